export interface HolmResult {
  /** Corrected p-value: rejected where it is at most alpha. */
  readonly corrected: number;
  /** What the raw p-value had to undercut: rejected where `p <= level`. */
  readonly level: number;
}

/**
 * Holm's correction (Holm 1979): however many tests there are, and however they depend on each other, the chance that
 * any true hypothesis is rejected is at most alpha.
 */
export function correctHolm(pValues: readonly number[], alpha: number): HolmResult[] {
  const order = pValues.map((_, index) => index).sort((a, b) => (pValues[a] ?? 1) - (pValues[b] ?? 1));
  const results = new Array<HolmResult>(pValues.length);
  let largest = 0;
  let rejected = 0;
  for (const [rank, index] of order.entries()) {
    largest = Math.max(largest, Math.min(1, (pValues.length - rank) * (pValues[index] ?? 1)));
    results[index] = { corrected: largest, level: alpha / (pValues.length - rejected) };
    if (largest <= alpha) rejected += 1;
  }
  return results;
}
