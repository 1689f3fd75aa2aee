import type { Metric } from '../../training/metrics.ts';

/** A metric over the iterations; both axes have the same length, iterations ascend. Values have float32 precision. */
export interface Curve {
  readonly x: readonly number[];
  readonly y: readonly number[];
}

/** Curves by task id and metric name. */
export type Curves = ReadonlyMap<string, ReadonlyMap<string, Curve>>;

/**
 * A number in the precision of ClearML's curves. It keeps the last and the extreme values as float64: next to 0.9 the same
 * 0.9 of a curve (0.8999999762) is another number, and a constant curve would have a cliff.
 *
 * @returns the number itself beyond the range of float32
 */
function toCurvePrecision(value: number): number {
  const rounded = Math.fround(value);
  return Number.isFinite(rounded) ? rounded : value;
}

/** Leaves out what is not a finite number, rounds the others to the curves' precision, and sorts by iteration. */
export function cleanCurve(x: readonly unknown[], y: readonly unknown[]): Curve {
  const points = x
    .map((at, index) => [at, y[index]] as const)
    .filter((point): point is readonly [number, number] => point.every(isFiniteNumber))
    .sort(([a], [b]) => a - b);
  return { x: points.map(([at]) => at), y: points.map(([, value]) => toCurvePrecision(value)) };
}

/** Restores the smallest and the largest value: the server averages the curve's points, but keeps both extremes. */
export function restoreExtremes(curve: Curve, metric: Metric | undefined): Curve {
  if (metric === undefined || curve.x.length === 0) return curve;
  const points = new Map(curve.x.map((at, index) => [at, curve.y[index] ?? 0]));
  for (const [at, value] of [
    [metric.minAt, metric.min],
    [metric.maxAt, metric.max],
  ]) {
    if (isFiniteNumber(at) && isFiniteNumber(value)) points.set(at, value);
  }
  return cleanCurve([...points.keys()], [...points.values()]);
}

/** The server gives each curve at least so many points before it averages any. */
export const MIN_SAMPLES = 40;

/**
 * How many reports each point of a curve stands for, if equally many and none was averaged: ClearML keeps the last report of
 * an iteration only. A server that averages gives iterations that are multiples of its step.
 *
 * @param reports how often the metric was reported
 * @returns undefined if unknown
 */
export function countReportsPerPoint({ x }: Curve, reports: number): number | undefined {
  const isWhole = reports < MIN_SAMPLES || reports === x.length || x.reduce(findDivisor, 0) === 1;
  const each = reports / x.length;
  return isWhole && Number.isInteger(each) ? each : undefined;
}

/** The greatest common divisor. */
function findDivisor(a: number, b: number): number {
  let [left, right] = [Math.abs(a), Math.abs(b)];
  while (right > 0) [left, right] = [right, left % right];
  return left;
}

/** Leaves out the points that have one of these values. */
export function dropValues(curve: Curve, values: readonly number[]): Curve {
  const dropped = new Set(values.map(toCurvePrecision));
  if (dropped.size === 0) return curve;
  const kept = [...curve.x.keys()].filter((index) => !dropped.has(toCurvePrecision(curve.y[index] ?? 0)));
  return { x: kept.map((index) => curve.x[index] ?? 0), y: kept.map((index) => curve.y[index] ?? 0) };
}

/** The mean of several runs' curves in their common range, at the first one's iterations. */
export function averageCurves(curves: readonly Curve[]): Curve {
  const [first, ...others] = curves;
  if (first === undefined || others.length === 0) return first ?? { x: [], y: [] };
  const from = Math.max(...curves.map(({ x }) => x[0] ?? Number.POSITIVE_INFINITY));
  const to = Math.min(...curves.map(({ x }) => x.at(-1) ?? Number.NEGATIVE_INFINITY));
  const x = first.x.filter((at) => at >= from && at <= to);
  return {
    x,
    y: x.map((at) =>
      toCurvePrecision(curves.reduce((sum, curve) => sum + interpolate(curve, at), 0) / curves.length),
    ),
  };
}

/** Value at an iteration, on the straight line between the two neighbours. */
export function interpolate({ x, y }: Curve, at: number): number {
  let low = 0;
  let high = x.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if ((x[middle] ?? 0) <= at) low = middle;
    else high = middle;
  }
  const [x0 = 0, x1 = 0, y0 = 0, y1 = 0] = [x[low], x[high], y[low], y[high]];
  if (at <= x0 || x1 === x0) return y0;
  if (at >= x1) return y1;
  return y0 + ((y1 - y0) * (at - x0)) / (x1 - x0);
}

const BARS = ['\u2581', '\u2582', '\u2583', '\u2584', '\u2585', '\u2586', '\u2587', '\u2588'];

/** A curve as a word of bars; empty for fewer than two values. What float32 does not tell apart is drawn as equal. */
export function drawSparkline(values: readonly number[]): string {
  const finite = values.filter(Number.isFinite).map(toCurvePrecision);
  if (finite.length < 2) return '';
  const low = Math.min(...finite);
  const high = Math.max(...finite);
  return finite
    .map((value) => {
      // Halving keeps their difference from overflowing.
      const share = high === low ? 0.5 : (value / 2 - low / 2) / (high / 2 - low / 2);
      return BARS[Math.min(BARS.length - 1, Math.floor(share * BARS.length))] ?? '';
    })
    .join('');
}

function isFiniteNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}
