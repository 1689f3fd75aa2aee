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

/** Three digits, of numbers below one two. */
export function formatNumber(value: number): string {
  return value >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(value >= 1 ? 3 : 2)));
}

/** `1/12` or `1.8×`: what a value is of another. */
export function formatRatio(value: number, of: number): string {
  const ratio = value / of;
  return ratio >= 1 ? `${Number(ratio.toPrecision(2))}×` : `1/${formatTwoDigits(1 / ratio)}`;
}

function formatTwoDigits(value: number): string {
  return value >= 10 ? value.toFixed(0) : value.toFixed(1).replace(/\.0$/, '');
}
