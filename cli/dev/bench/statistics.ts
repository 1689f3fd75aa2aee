/** The middle value. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? Number.NaN)
    : ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2;
}

/** `1.2 s (1.1-1.4)`: the median, and from the lowest to the highest where they differ. */
export function formatSpread(values: readonly number[], unit: string, scale = 1): string {
  const of = (value: number) => formatNumber(value * scale);
  const low = of(Math.min(...values));
  const high = of(Math.max(...values));
  return `${of(median(values))}${unit}${low === high ? '' : ` (${low}-${high})`}`;
}

/** Three digits at most. */
export function formatNumber(value: number): string {
  return value >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(2)));
}
