import { describe, expect, test } from '@jest/globals';
import type { Metric } from '../../training/metrics.ts';
import {
  averageCurves,
  type Curve,
  cleanCurve,
  drawSparkline,
  dropValues,
  restoreExtremes,
} from './curve.ts';
import { resampleCurve } from './resample.ts';

function makeCurve(length: number, valueAt: (index: number) => number): Curve {
  const x = Array.from({ length }, (_, index) => index);
  return { x, y: x.map(valueAt) };
}

describe('a resampled curve', () => {
  test('has as many points as asked for, and keeps its ends and a single spike in 30,000 iterations', () => {
    const curve = makeCurve(30_000, (index) =>
      index === 12_345 ? 9 : index === 20_001 ? -7 : Math.sin(index / 3000),
    );
    const values = resampleCurve(curve, { from: 0, to: 29_999 }, 60);
    expect(values).toHaveLength(60);
    expect(Math.max(...values)).toBe(9);
    expect(Math.min(...values)).toBe(-7);
    expect(values[0]).toBeCloseTo(0, 5);
    expect(values.at(-1)).toBeCloseTo(Math.sin(29_999 / 3000), 3);
    // A spike stands where it was, to a step.
    expect(Math.abs(values.indexOf(9) - (12_345 / 29_999) * 59)).toBeLessThanOrEqual(1);
  });

  test('is the curve itself where it fits', () => {
    const curve = makeCurve(30, (index) => index ** 2);
    expect(resampleCurve(curve, { from: 0, to: 29 }, 30)).toEqual(curve.y);
  });

  test('places irregular iterations where they belong', () => {
    const curve = { x: [0, 1, 2, 100], y: [0, 1, 2, 100] };
    const values = resampleCurve(curve, { from: 0, to: 100 }, 11);
    for (const [index, value] of values.entries())
      expect(Math.abs(value - index * 10)).toBeLessThanOrEqual(10);
  });

  test.each<[string, Curve]>([
    ['an empty one', { x: [], y: [] }],
    ['one point', { x: [3], y: [1] }],
  ])('is nothing for %s', (_, curve) => {
    expect(resampleCurve(curve, { from: 3, to: 3 }, 10)).toEqual([]);
  });
});

test('what is no number is left out, and iterations are put in order', () => {
  expect(cleanCurve([2, 0, 1, 3, 4], [20, 0, null, Number.NaN, 'x'])).toEqual({ x: [0, 2], y: [0, 20] });
});

test('the extremes that averaging took away come back', () => {
  const metric: Metric = {
    name: 'loss/train',
    title: 'loss',
    series: 'train',
    last: 1,
    min: -5,
    max: 9,
    first: 1,
    minAt: 3,
    maxAt: 10,
    mean: 1,
    count: 20,
    isSingle: false,
  };
  expect(restoreExtremes({ x: [0, 5, 10], y: [1, 2, 3] }, metric)).toEqual({
    x: [0, 3, 5, 10],
    y: [1, -5, 2, 9],
  });
  expect(restoreExtremes({ x: [], y: [] }, metric)).toEqual({ x: [], y: [] });
});

test('the mean of several runs goes as far as all of them', () => {
  const mean = averageCurves([
    { x: [0, 1, 2, 3], y: [0, 1, 2, 3] },
    { x: [0, 2], y: [2, 4] },
  ]);
  expect(mean).toEqual({ x: [0, 1, 2], y: [1, 2, 3] });
});

test.each([
  [[1, 2, 3, 4, 5, 6, 7, 8], '▁▂▃▄▅▆▇█'],
  [[3, 3, 3], '▅▅▅'],
  [[1], ''],
  [[], ''],
  [[-1e308, 1e308], '▁█'],
  [[1, Number.NaN, 2], '▁█'],
])('the sparkline of %j is %s', (values, bars) => {
  expect(drawSparkline(values)).toBe(bars);
});

test('points with a value that stands for NaN are left out, as float32 too', () => {
  const curve = { x: [0, 1, 2, 3], y: [2, -0, Math.fround(0.1), 1] };
  expect(dropValues(curve, [0, 0.1])).toEqual({ x: [0, 3], y: [2, 1] });
  expect(dropValues(curve, [])).toBe(curve);
});

describe('a constant metric stays constant:', () => {
  const constant: Curve = { x: [0, 1, 2, 3], y: Array(4).fill(Math.fround(0.9)) };
  const isFlat = (values: readonly number[]) => new Set(values).size === 1;

  test('ClearML keeps its points as float32, and its extremes as float64', () => {
    const metric = { min: 0.9, max: 0.9, minAt: 0, maxAt: 0 } as Metric;
    expect(isFlat(restoreExtremes(constant, metric).y)).toBe(true);
  });

  test('means of equal points differ by rounding', () => {
    const other = { x: [0, 3], y: [Math.fround(0.1), Math.fround(0.1)] };
    expect(isFlat(averageCurves([constant, other, other]).y)).toBe(true);
    expect(isFlat(cleanCurve([0, 1], [0.8999999761581421, 0.8999999761581422]).y)).toBe(true);
    expect(drawSparkline([0.9, 0.9 + 1e-16, (0.9 * 7) / 7, Math.fround(0.9)])).toBe('▅▅▅▅');
  });

  test('numbers beyond float32 are kept as they are', () => {
    expect(cleanCurve([0, 1], [1e300, -1e300]).y).toEqual([1e300, -1e300]);
  });
});
