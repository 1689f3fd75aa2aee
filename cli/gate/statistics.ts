// jstat is one package of 1.2 MB without dependencies (MIT), imported in 27 ms; its t and chi-squared agree with SciPy to
// 1e-7. @stdlib's t is 246 packages, 27 MB and 130 ms, lib-r-math.js 3.9 MB and 120 ms, and simple-statistics has no t
// distribution (Node 20, 2 cores).
import jstat from 'jstat';

const { jStat } = jstat;

/** The mean; exactly the value where all are equal, so that equal values have no variance. */
export function findMean(values: readonly number[]): number {
  const [first = Number.NaN] = values;
  return first + values.reduce((sum, value) => sum + (value - first), 0) / values.length;
}

/** P(T >= t) for Student's t: the p-value of a one-sided t-test. The degrees of freedom need not be whole. */
export function tailOfT(t: number, degreesOfFreedom: number): number {
  return jStat.studentt.cdf(-t, degreesOfFreedom);
}

/**
 * P(F >= ratio) for Fisher's F: how often chance makes a variance with `df` degrees of freedom so many times as large as
 * one with `baseDf`.
 */
export function tailOfF(ratio: number, df: number, baseDf: number): number {
  if (ratio === Number.POSITIVE_INFINITY) return 0;
  // 1 - cdf rounds small tails to 0; this does not (Abramowitz and Stegun 26.6.2).
  return jStat.ibeta(baseDf / (baseDf + df * ratio), baseDf / 2, df / 2);
}

/** The critical value of a one-sided t-test: the t that is exceeded with this probability. */
export const criticalT = memoize(
  (probability: number, degreesOfFreedom: number) => -jStat.studentt.inv(probability, degreesOfFreedom),
);

/** A one-sided t-test whose estimate must also exceed a tolerance. */
export interface TestDesign {
  /** In units of the standard error of the difference. */
  readonly tolerance: number;
  /** Level of the test. */
  readonly probability: number;
  readonly degreesOfFreedom: number;
}

/**
 * The power of the test: how often it sees a loss.
 *
 * @param loss in units of the standard error of the difference
 */
export function findPower(loss: number, { tolerance, probability, degreesOfFreedom }: TestDesign): number {
  const critical = criticalT(probability, degreesOfFreedom);
  const chances = listSpreads(degreesOfFreedom, POINTS).map((spread) =>
    jStat.normal.cdf(loss - Math.max(critical * spread, tolerance), 0, 1),
  );
  return chances.reduce((sum, chance) => sum + chance, 0) / chances.length;
}

const POINTS = 200;

/**
 * Estimated over true standard deviation, at the middles of equally likely intervals: the mean of a function over them is
 * its mean over all estimates. So the power needs no non-central t distribution (jstat's underflows where few degrees of
 * freedom meet a small level), and a tolerance can be part of it.
 */
const listSpreads = memoize((degreesOfFreedom: number, points: number) =>
  Array.from({ length: points }, (_, index) =>
    Math.sqrt(jStat.chisquare.inv((index + 0.5) / points, degreesOfFreedom) / degreesOfFreedom),
  ),
);

/** The minimum detectable effect: the smallest loss that is seen with this power, in units of the standard error. */
export function findDetectableLoss(power: number, design: TestDesign): number {
  const key = `${power} ${design.tolerance} ${design.probability} ${design.degreesOfFreedom}`;
  const loss = detectableLosses.get(key) ?? searchDetectableLoss(power, design);
  detectableLosses.set(key, loss);
  return loss;
}

const detectableLosses = new Map<string, number>();

function searchDetectableLoss(power: number, design: TestDesign): number {
  let low = 0;
  let high = 1;
  while (findPower(high, design) < power) {
    low = high;
    high *= 2;
  }
  for (let step = 0; step < 40 && high - low > 1e-6 * high; step += 1) {
    const middle = (low + high) / 2;
    if (findPower(middle, design) < power) low = middle;
    else high = middle;
  }
  return high;
}

export interface HolmResult {
  /** Adjusted p-value: rejected where it is at most alpha. */
  readonly corrected: number;
  /** The level that the raw p-value had to meet: rejected where `p <= level`. */
  readonly level: number;
}

/**
 * Holm's step-down correction (Holm 1979, Scandinavian Journal of Statistics 6, 65-70): however many tests there are, and
 * however they depend on each other, the chance that any true hypothesis is rejected is at most alpha.
 *
 * @returns one result a p-value, in their order
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

/** A report asks for the same few values again and again, a simulation a million times. */
function memoize<Value>(compute: (a: number, b: number) => Value): (a: number, b: number) => Value {
  const known = new Map<number, Map<number, Value>>();
  return (a, b) => {
    const row = known.get(a) ?? new Map<number, Value>();
    known.set(a, row);
    const value = row.get(b) ?? compute(a, b);
    row.set(b, value);
    return value;
  };
}
