const DEFAULT_DIGITS = 5;
/** The most digits that mean anything: a float64 has 17, and ClearML plots float32. */
const MAX_DIGITS = 17;

/** A number with a few significant digits, and an exponent only if it is very large or small. */
export function formatNumber(value: number, digits = DEFAULT_DIGITS): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? 'infinity' : '-infinity';
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1e15 || size < 1e-5) return trimZeros(value.toExponential(Math.max(0, digits - 1)));
  if (Number.isInteger(value) && size < 1e9) return String(value);
  return trimZeros(Number(value.toPrecision(digits)).toFixed(countDecimals(value, digits)));
}

/** Two numbers with enough digits to show two digits of their difference, and the difference `value - base`. */
export function formatPair(
  value: number,
  base: number,
): { readonly value: string; readonly base: string; readonly change: string } {
  const change = value - base;
  const size = Math.max(Math.abs(value), Math.abs(base));
  const hasDigits = change !== 0 && Number.isFinite(change);
  const needed = hasDigits ? Math.floor(Math.log10(size)) - Math.floor(Math.log10(Math.abs(change))) + 2 : 0;
  const digits = Math.min(Math.max(DEFAULT_DIGITS, needed), MAX_DIGITS);
  return {
    value: formatNumber(value, digits),
    base: formatNumber(base, digits),
    change: formatChange(change),
  };
}

/** A difference with its sign and three significant digits. */
export function formatChange(change: number): string {
  const sign = change > 0 && Number.isFinite(change) ? '+' : '';
  return `${sign}${formatNumber(change, 3)}`;
}

/** A change as a percentage of the base, like `formatChange`; undefined where it is not finite. */
export function formatPercentChange(change: number, base: number): string | undefined {
  const share = change / Math.abs(base);
  return Number.isFinite(share) ? `${formatChange(share * 100)}%` : undefined;
}

/** Bytes in units of powers of 1000. */
export function formatBytes(bytes: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${formatNumber(value, 3)} ${units[unit]}`;
}

function countDecimals(value: number, digits: number): number {
  return Math.min(100, Math.max(0, digits - 1 - Math.floor(Math.log10(Math.abs(value)))));
}

function trimZeros(text: string): string {
  const [mantissa = '', exponent] = text.split('e');
  const trimmed = mantissa.includes('.') ? mantissa.replace(/\.?0+$/, '') : mantissa;
  return exponent === undefined ? trimmed : `${trimmed}e${exponent.replace('+', '')}`;
}
