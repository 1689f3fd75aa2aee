import { LTTB } from 'downsample';
import { type Curve, interpolate } from './curve.ts';

/** So many points between each two that are shown are looked at. */
const OVERSAMPLING = 8;

/**
 * The curve at `count` equally spaced iterations from `from` to `to`, chosen so that its shape stays, its smallest and
 * its largest value included. A chart that can place points nowhere else shows each less than one step from where it was.
 */
export function resampleCurve(
  curve: Curve,
  range: { readonly from: number; readonly to: number },
  count: number,
): number[] {
  const span = range.to - range.from;
  if (curve.x.length === 0 || !(span > 0) || count < 2) return [];
  const step = span / (count - 1);
  // Every point of the curve takes part, and between them enough others that all steps are as full.
  const known = curve.x
    .map((at, index): [number, number] => [at, curve.y[index] ?? 0])
    .filter(([at]) => at >= range.from && at <= range.to);
  if (known.length <= count && areEquallySpaced(known, step)) return known.map(([, value]) => value);
  const fineCount = (count - 1) * OVERSAMPLING + 1;
  const fine = Array.from({ length: fineCount }, (_, index): [number, number] => {
    const at = range.from + (span * index) / (fineCount - 1);
    return [at, interpolate(curve, at)];
  });
  for (const extreme of pickFarthest(known, step / OVERSAMPLING, fine)) fine[extreme.index] = extreme.point;
  // Largest-Triangle-Three-Buckets (Steinarsson 2013).
  const chosen = LTTB(fine, count) as ArrayLike<[number, number]>;
  const shown = Array.from(chosen, ([, value]) => value);
  return keepExtremes(shown, fine, range.from, step);
}

function areEquallySpaced(points: ReadonlyArray<[number, number]>, step: number): boolean {
  return points.every(
    ([at], index) => index === 0 || Math.abs(at - (points[index - 1]?.[0] ?? 0) - step) < step * 1e-6,
  );
}

/** Of the points that fall to the same place of a fine grid, the one that is farthest from the line through the grid. */
function pickFarthest(
  known: ReadonlyArray<[number, number]>,
  fineStep: number,
  fine: ReadonlyArray<[number, number]>,
): Array<{ readonly index: number; readonly point: [number, number] }> {
  const start = fine[0]?.[0] ?? 0;
  const farthest = new Map<number, { distance: number; value: number }>();
  for (const [at, value] of known) {
    const index = Math.round((at - start) / fineStep);
    const distance = Math.abs(value - (fine[index]?.[1] ?? value));
    if (distance > (farthest.get(index)?.distance ?? -1)) farthest.set(index, { distance, value });
  }
  return [...farthest]
    .filter(([index]) => index > 0 && index < fine.length - 1)
    .map(([index, { value }]) => ({ index, point: [fine[index]?.[0] ?? 0, value] }));
}

function keepExtremes(
  shown: number[],
  fine: ReadonlyArray<[number, number]>,
  from: number,
  step: number,
): number[] {
  const result = [...shown];
  for (const isBetter of [(a: number, b: number) => a < b, (a: number, b: number) => a > b]) {
    const extreme = fine.reduce((best, point) => (isBetter(point[1], best[1]) ? point : best));
    if (!result.includes(extreme[1])) result[Math.round((extreme[0] - from) / step)] = extreme[1];
  }
  return result;
}
