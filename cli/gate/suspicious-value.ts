import type { Metric, MetricPick } from '../training/metrics.ts';

/** Why a number is not a measurement. */
export type ValueDoubt =
  | 'not-a-number'
  | 'infinite'
  /** ClearML's SDK replaced a NaN or an infinity by this number, as the console says. */
  | 'replaced'
  /** An exact 0.0, which the SDK reports for a NaN, without the whole console that would say so. */
  | 'unverified-zero'
  /** An exact 0.0 that the metric's curve does not lead to, although the console contains no warning. */
  | 'unexpected-zero';

/** A metric's value, and where it comes from. */
export interface ValueOrigin extends Pick<Metric, 'first' | 'min' | 'max'> {
  /** The number that counts. */
  readonly value: number;
  /** Which number of the metric that is. */
  readonly pick: MetricPick;
  /** The metric's values in the order of the iterations; undefined if they were not read. */
  readonly series?: readonly number[] | undefined;
  /** The run's console, or a part of it; undefined if it was not read. */
  readonly console?: { readonly lines: readonly string[]; readonly isWhole: boolean } | undefined;
}

/**
 * Why a value may not be a measurement; undefined if it is one.
 *
 * The SDK reports NaN and infinities as 0.0, or as another number that the training chose. It says so on the console the
 * first time, and then once in a thousand times (clearml 2.1.12, `MetricsEventAdapter._convert_np_nan_inf`). So a diverged
 * loss looks perfect. A 0.0 is trusted only if the whole console contains no such warning, and the metric's curve leads to
 * 0 or was never anything else. Any other number than the replacement is trusted: later iterations may be sound again.
 */
export function doubtValue(origin: ValueOrigin): ValueDoubt | undefined {
  const { value, console: log, series } = origin;
  if (Number.isNaN(value)) return 'not-a-number';
  if (!Number.isFinite(value)) return 'infinite';
  if (log !== undefined && listReplacements(log.lines).includes(value)) return 'replaced';
  if (value !== 0) return undefined;
  if (log?.isWhole !== true) return 'unverified-zero';
  if (origin.first === 0 && origin.min === 0 && origin.max === 0) return undefined;
  return series !== undefined && leadsToZero(series, origin.pick) ? undefined : 'unexpected-zero';
}

/**
 * Whether the console must be read to judge a value: for an exact 0.0, or if the biggest step of the whole series leads to
 * the value. That may be a number that the training chose for NaN, and stays as long as the metric is NaN.
 */
export function needsConsole(origin: Pick<ValueOrigin, 'value' | 'pick' | 'series'>): boolean {
  const { value, pick, series } = origin;
  return (
    value === 0 ||
    (series !== undefined && leapsTo(series, pick === 'last' ? series.length - 1 : series.indexOf(value)))
  );
}

/** The first and the last point of the plateau around a point of a series. */
function findPlateau(at: number, isSame: (index: number) => boolean): readonly [start: number, stop: number] {
  let start = at;
  let stop = at;
  while (isSame(start - 1)) start -= 1;
  while (isSame(stop + 1)) stop += 1;
  return [start, stop];
}

function leapsTo(series: readonly number[], at: number): boolean {
  // ClearML keeps a curve as float32, but its last and extreme values in full.
  const isSame = (index: number) => Math.fround(series[index] ?? Number.NaN) === Math.fround(series[at] ?? 0);
  const [start, stop] = findPlateau(at, isSame);
  const steps = series.slice(1).map((value, index) => Math.abs(value - (series[index] ?? value)));
  const leap = steps[start - 1] ?? 0;
  // The step out of a dip is as big as the step into it.
  const others = steps.filter((_, index) => index < start - 1 || index > stop);
  return others.length > 0 && others.every((step) => step < leap);
}

const REPLACEMENT =
  /(?:NaN|inf) value encountered\. Reporting it as '([^']{1,40})'\. Use clearml\.Logger\.set_reporting_/g;

/** Whether a line of the console says that the SDK replaced a NaN or an infinity. */
export function isReplacementNote(line: string): boolean {
  return listReplacements([line]).length > 0;
}

/** The numbers that the SDK reported for NaN and infinities, as the console says. */
export function listReplacements(lines: readonly string[]): number[] {
  return lines.flatMap((line) => [...line.matchAll(REPLACEMENT)].map(([, number]) => Number(number)));
}

/** How many values on each side of a zero show the size of the metric's steps. */
const NEIGHBOURS = 10;
/** A metric leads to zero if it comes within this many of its biggest steps, … */
const STEPS_LEFT = 3;
/** … or within this share of its usual magnitude. */
const SHARE_LEFT = 1e-3;

/** Whether the metric's curve leads to the zero that counts. */
export function leadsToZero(series: readonly number[], pick: ValueOrigin['pick']): boolean {
  const end = pick === 'last' ? series.length - 1 : series.indexOf(0);
  return series[end] === 0 && series.every(Number.isFinite) && isLedTo(series, end, findUsualSize(series));
}

/** Whether a curve has a zero that it does not lead to. */
export function hasStrayZero(series: readonly number[]): boolean {
  const usual = findUsualSize(series);
  return (
    usual > 0 &&
    series.some((value, at) => value === 0 && series[at - 1] !== 0 && !isLedTo(series, at, usual))
  );
}

function findUsualSize(series: readonly number[]): number {
  return findMedian(series.map(Math.abs).filter((size) => size > 0));
}

/** Whether the curve leads to a zero, from both sides if it has two. */
function isLedTo(series: readonly number[], at: number, usual: number): boolean {
  const [start, stop] = findPlateau(at, (index) => series[index] === 0);
  const before = series.slice(Math.max(0, start - NEIGHBOURS), start).reverse();
  const sides = [before, series.slice(stop + 1, stop + 1 + NEIGHBOURS)].filter((side) => side.length > 0);
  return sides.length > 0 && sides.every((side) => comesNear(side.map(Math.abs), usual));
}

/** @param sizes magnitudes beside the zero, the nearest first */
function comesNear(sizes: readonly number[], usual: number): boolean {
  const [nearest = Number.POSITIVE_INFINITY] = sizes;
  const biggestStep = Math.max(0, ...sizes.slice(1).map((size, index) => size - (sizes[index] ?? size)));
  return nearest <= SHARE_LEFT * usual || nearest <= STEPS_LEFT * biggestStep;
}

function findMedian(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
