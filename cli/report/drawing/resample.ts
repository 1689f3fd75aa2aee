import { LTTB } from 'downsample';
import { type Curve, interpolate } from './curve.ts';

/** How many points to consider for each one that is shown. */
const OVERSAMPLING = 8;

/**
 * Values at `count` equally spaced iterations that keep the curve's shape, its smallest and its largest value. Each value
 * moves by less than one step.
 */
export function resampleCurve(
  curve: Curve,
  { from, to }: { readonly from: number; readonly to: number },
  count: number,
): number[] {
  const span = to - from;
  if (curve.x.length === 0 || !(span > 0) || count < 2) return [];
  const step = span / (count - 1);
  // Every point of the curve takes part; interpolated points between them fill all steps equally.
  const known = curve.x
    .map((at, index): [number, number] => [at, curve.y[index] ?? 0])
    .filter(([at]) => at >= from && at <= to);
  if (known.length <= count && areEquallySpaced(known, step)) return known.map(([, value]) => value);
  const fineCount = (count - 1) * OVERSAMPLING + 1;
  const fine = Array.from({ length: fineCount }, (_, index): [number, number] => {
    const at = from + (span * index) / (fineCount - 1);
    return [at, interpolate(curve, at)];
  });
  for (const extreme of pickFarthest(known, step / OVERSAMPLING, fine)) fine[extreme.index] = extreme.point;
  // Largest-Triangle-Three-Buckets (Steinarsson 2013).
  const chosen = LTTB(fine, count) as ArrayLike<[number, number]>;
  const shown = Array.from(chosen, ([, value]) => value);
  for (const best of [Math.min, Math.max]) {
    const value = best(...fine.map(([, one]) => one));
    const extreme = fine.find(([, one]) => one === value);
    if (extreme !== undefined && !shown.includes(extreme[1])) {
      shown[Math.round((extreme[0] - from) / step)] = extreme[1];
    }
  }
  return shown;
}

function areEquallySpaced(points: ReadonlyArray<[number, number]>, step: number): boolean {
  return points.every(
    ([at], index) => index === 0 || Math.abs(at - (points[index - 1]?.[0] ?? 0) - step) < step * 1e-6,
  );
}

/** Among the points next to the same point of a fine grid, the one farthest from the line through the grid. */
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
