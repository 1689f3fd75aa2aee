import type { Metric, MetricPick } from '../training/metrics.ts';
import { isAboutTime, readName } from './metric-names.ts';
import { type Goal, isCount, isLoss, isRate, isSchedule } from './metric-rules.ts';

/** Why a number is not a measurement. */
export type ValueDoubt =
  | 'not-a-number'
  | 'infinite'
  /** ClearML's SDK replaced a NaN or an infinity by this number, as the console says. */
  | 'replaced'
  /** An exact 0.0, which the SDK reports for a NaN, without the whole console that would say so. */
  | 'unverified-zero'
  /** An exact 0.0 that the metric's curve does not lead to, although the console contains no warning. */
  | 'unexpected-zero'
  /** A 0.0 in every report, or a whole number far from all others, that nothing speaks for; or the mean of such reports. */
  | 'unmeasured';

/** What ClearML keeps of a metric over all of a run's reports. */
export type MetricNumbers = Pick<Metric, 'first' | 'last' | 'min' | 'max'>;

/** A metric's value, and where it comes from. */
export interface ValueOrigin extends Pick<Metric, 'first' | 'min' | 'max'> {
  /** The number that counts. */
  readonly value: number;
  /** Which number of the metric that is. */
  readonly pick: MetricPick;
  /** The metric's name; without one nothing of it is known. */
  readonly name?: string | undefined;
  /** Which direction is better; undefined if unknown. */
  readonly goal?: Goal | undefined;
  /** How many times it was reported; undefined if unknown. */
  readonly count?: number | undefined;
  /** The metric's values in the order of the iterations, in the precision of curves; undefined if they were not read. */
  readonly series?: readonly number[] | undefined;
  /** The run's console, or a part of it; undefined if it was not read. */
  readonly console?: { readonly lines: readonly string[]; readonly isWhole: boolean } | undefined;
  /** The same metric in the runs that this one is held against, as far as their numbers are beyond doubt. */
  readonly others?: readonly MetricNumbers[] | undefined;
}

/**
 * Why a value may not be a measurement; undefined if it is one.
 *
 * The SDK reports NaN and infinities as 0.0, or as another number that the training chose. It says so on the console the
 * first time, and then once in a thousand times (clearml 2.1.12, `MetricsEventAdapter._convert_np_nan_inf`). So a diverged
 * loss looks perfect. Ordinary code mutes that line (`logging.config.dictConfig` disables the loggers that exist), so its
 * absence proves nothing: a 0.0 is trusted only if something speaks for it. That is the curve that leads there, a 0 that
 * the other runs have had, or a metric that counts something. Any other number than the replacement is trusted, unless it
 * is a whole number far from all others; later iterations may be sound again.
 */
export function doubtValue(origin: ValueOrigin): ValueDoubt | undefined {
  const { value, console: log, series, name = '' } = origin;
  if (Number.isNaN(value)) return 'not-a-number';
  if (!Number.isFinite(value)) return 'infinite';
  if (isSchedule(name)) return undefined;
  if (log !== undefined && listReplacements(log.lines).includes(value)) return 'replaced';
  if (value !== 0) return isFarOff(origin) ? 'unmeasured' : undefined;
  if (log?.isWhole !== true) return 'unverified-zero';
  if (isCounted(origin) || hasKnownZero(origin)) return undefined;
  if (origin.first === 0 && origin.min === 0 && origin.max === 0) {
    return isPlainlyZero(origin) ? undefined : 'unmeasured';
  }
  return series !== undefined && leadsToZero(series, origin.pick, chooseReach(origin))
    ? undefined
    : 'unexpected-zero';
}

/** Whether the metric counts something, by its name or because all its numbers are whole: a count is never NaN. */
function isCounted(origin: ValueOrigin): boolean {
  const { name = '', series = [], others = [] } = origin;
  if (isOfMachine(name)) return true;
  // A perfect accuracy is whole too.
  if (isResult(name)) return false;
  const numbers = [...listNumbers(origin), ...series, ...others.flatMap(listNumbers)];
  return numbers.every(Number.isInteger) && numbers.some((number) => Math.abs(number) > 1 && number !== 100);
}

/** Whether the name tells of a count or of the machine's time and memory, which are no results of a computation. */
function isOfMachine(name: string): boolean {
  return isCount(name) || (isAboutTime(name) && !isResult(name));
}

function isResult(name: string): boolean {
  return isLoss(name) || readName(name).goal !== undefined;
}

function listNumbers({ first, min, max }: Pick<Metric, 'first' | 'min' | 'max'>): number[] {
  return [first, min, max];
}

/**
 * Whether the other runs have had a 0 that may be this one: not only in the beginning, before anything was learnt. One
 * alone may be an old NaN: a loss must be 0 in most of them, and what is best at 0 and no rate, in two.
 */
function hasKnownZero(origin: ValueOrigin): boolean {
  const isBest = isZeroBest(origin);
  const { name = '', others = [] } = origin;
  const zeros = others.filter(
    ({ first, last, min, max }) => last === 0 || (first === 0 ? !isBest : min === 0 || max === 0),
  );
  if (isLoss(name)) return 2 * zeros.length > others.length;
  const required = isBest && !isRate(name) ? 2 : 1;
  return zeros.length >= required || (zeros.length > 0 && zeros.length === others.length);
}

/** Whether a 0 would be the best value of all: a NaN that nobody notices. */
function isZeroBest(origin: ValueOrigin): boolean {
  const numbers = [origin, ...(origin.others ?? [])].flatMap(listNumbers);
  if (origin.goal === undefined) return false;
  return numbers.every((number) => (origin.goal === 'minimize' ? number >= 0 : number <= 0));
}

/** A single result of a rate within this distance of 0 may well be 0 for once. */
const NEAR_ZERO = 0.1;

/**
 * Whether a metric that has never been anything but 0 needs nothing that speaks for it: nobody knows what it is, or it is
 * the only result of a rate that is nearly 0 otherwise.
 */
function isPlainlyZero({ name = '', goal, count, pick, others = [] }: ValueOrigin): boolean {
  if (others.length === 0) return goal === undefined;
  return count === 1 && isRate(name) && others.some((other) => Math.abs(other[pick]) <= NEAR_ZERO);
}

/** Larger whole numbers are not chosen by people: every float32 from here on is whole. */
const LARGEST_CHOSEN = 2 ** 24;
/** A number is far off if it is so many times as large as all others. */
const FAR_OFF = 10;

/**
 * Whether the value is a whole number far from all others, or the only one below 0, as people choose it for NaN
 * (`Logger.set_reporting_nan_value(-1)`).
 */
function isFarOff(origin: ValueOrigin): boolean {
  const { value, series = [], others = [], name = '' } = origin;
  if (!Number.isInteger(value) || Math.abs(value) >= LARGEST_CHOSEN) return false;
  const known = others.flatMap(listNumbers);
  if (known.includes(value) || isOfMachine(name)) return false;
  const sound = [...known, ...listNumbers(origin), ...series].filter((number) => number !== value);
  if (sound.every(Number.isInteger)) return false;
  const isAlone = value < 0 && sound.every((number) => number >= 0);
  return isAlone || Math.abs(value) > FAR_OFF * Math.max(...sound.map(Math.abs));
}

/**
 * Whether the console must be read to judge a value: for an exact 0.0, or if the biggest step of the whole series leads to
 * the value. That may be a number that the training chose for NaN, and stays as long as the metric is NaN.
 */
export function needsConsole(origin: Pick<ValueOrigin, 'value' | 'pick' | 'series'>): boolean {
  const { value, pick, series } = origin;
  return (
    value === 0 ||
    (series !== undefined &&
      leapsTo(
        series,
        pick === 'last' ? series.length - 1 : series.findIndex((point) => isSameInCurve(point, value)),
      ))
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

/** ClearML keeps a curve as float32, but its last and extreme values in full. */
function isSameInCurve(point: number | undefined, value: number): boolean {
  return point !== undefined && Math.fround(point) === Math.fround(value);
}

function leapsTo(series: readonly number[], at: number): boolean {
  const here = series[at];
  if (here === undefined) return false;
  const [start, stop] = findPlateau(at, (index) => isSameInCurve(series[index], here));
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

/**
 * How near a curve must come for the next value to be 0: `underflow` where only a number too small for a computer is an
 * exact 0, as of a loss; `strict` where a 0 would be the best value.
 */
type Reach = 'underflow' | 'strict' | 'loose';

function chooseReach(origin: ValueOrigin): Reach {
  if (isLoss(origin.name ?? '')) return 'underflow';
  return isZeroBest(origin) ? 'strict' : 'loose';
}

/** How many values on each side of a zero show the size of the metric's steps. */
const NEIGHBOURS = 10;
/** A metric leads to zero if it comes within this many of its biggest steps, … */
const STEPS_LEFT = 3;
/** … or within this share of its usual magnitude, more than rounding makes of it. */
const SHARE_LEFT = 1e-3 * (1 + 1e-6);
/** Where a 0 would be the best value, a curve that comes within one of its steps must be this small already. */
const SMALL_SHARE = 0.25;
/** A rate is a count out of many: while it falls, the next one may be 0 after so many. */
const UNITS_LEFT = 12;

/** Whether the metric's curve leads to the zero that counts. */
export function leadsToZero(
  series: readonly number[],
  pick: ValueOrigin['pick'],
  reach: Reach = 'loose',
): boolean {
  const end = pick === 'last' ? series.length - 1 : series.indexOf(0);
  return series[end] === 0 && series.every(Number.isFinite) && isLedTo(series, end, reach);
}

/** Whether a curve has a zero that it does not lead to. */
export function hasStrayZero(series: readonly number[], reach: Reach = 'loose'): boolean {
  return (
    findUsualSize(series) > 0 &&
    series.some((value, at) => value === 0 && series[at - 1] !== 0 && !isLedTo(series, at, reach))
  );
}

function findUsualSize(series: readonly number[]): number {
  return findMedian(series.map(Math.abs).filter((size) => size > 0));
}

/** Whether the curve leads to a zero, from both sides if it has two. */
function isLedTo(series: readonly number[], at: number, reach: Reach): boolean {
  const usual = findUsualSize(series);
  const [start, stop] = findPlateau(at, (index) => series[index] === 0);
  const before = series.slice(Math.max(0, start - NEIGHBOURS), start).reverse();
  const after = series.slice(stop + 1, stop + 1 + NEIGHBOURS);
  const sides = [before, after].filter((side) => side.length > 0).map((side) => side.map(Math.abs));
  return sides.length > 0 && comesNear(sides, usual, reach);
}

/** @param sides magnitudes beside the zero, the nearest first */
function comesNear(sides: ReadonlyArray<readonly number[]>, usual: number, reach: Reach): boolean {
  const stepsOf = (sizes: readonly number[]) => sizes.slice(1).map((size, at) => size - (sizes[at] ?? size));
  const farthest = Math.max(...sides.map(([nearest = 0]) => nearest));
  if (farthest <= SHARE_LEFT * usual) return true;
  if (reach === 'underflow') return false;
  if (reach === 'loose') {
    return sides.every(([nearest = 0, ...further]) => {
      const steps = stepsOf([nearest, ...further]);
      return nearest <= SHARE_LEFT * usual || nearest <= STEPS_LEFT * Math.max(0, ...steps);
    });
  }
  const steps = sides.flatMap(stepsOf);
  return (
    farthest <= STEPS_LEFT * -Math.min(0, ...steps) ||
    (farthest <= SMALL_SHARE * usual && farthest <= Math.max(0, ...steps)) ||
    countUnits(sides.flat(), farthest) <= UNITS_LEFT
  );
}

/** How many units the nearest value has, if all are multiples of one unit, as rates of the same size are. */
function countUnits(sizes: readonly number[], nearest: number): number {
  const ratios = sizes.map((size) => size / nearest);
  if (new Set(ratios).size < 2) return Number.POSITIVE_INFINITY;
  for (let units = 1; units <= UNITS_LEFT; units += 1) {
    const isWhole = (ratio: number) =>
      Math.abs(ratio * units - Math.round(ratio * units)) <= UNIT_ROUNDING * ratio * units;
    if (ratios.every(isWhole)) return units;
  }
  return Number.POSITIVE_INFINITY;
}

/** Twice the rounding of float32. */
const UNIT_ROUNDING = 2.4e-7;

function findMedian(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
