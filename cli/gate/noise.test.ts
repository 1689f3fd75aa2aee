import { describe, expect, test } from '@jest/globals';
import { findChanceRange } from './noise.ts';

describe('what chance explains of a metric without a gate', () => {
  test.each<
    readonly [what: string, own: readonly number[], history: ReadonlyArray<readonly number[]>, range: number]
  >([
    // t(0.975; 4) = 2.776, standard error 1 * sqrt(1/3 + 1/3)
    ['three seeds on both sides', [1, 2, 3], [[11, 12, 13]], 2.267],
    // t(0.975; 1) = 12.706, standard error sqrt(0.5) * sqrt(1 + 1/2)
    ['two seeds on the base alone', [5], [[1, 2]], 11.004],
    ['two seeds of the pull request alone', [1, 2], [[5]], 11.004],
    ['seeds that differ, against base runs that agree', [1, 2], [[5, 5]], 8.985],
    ['runs that never differ', [1], [[2, 2, 2]], 0],
  ])('is known from %s', (_, own, history, range) => {
    expect(findChanceRange(own, history)).toBeCloseTo(range, 3);
  });

  test.each<readonly [what: string, own: readonly number[], history: ReadonlyArray<readonly number[]>]>([
    ['one run on each side', [1], [[2]]],
    ['a few commits with one run each', [1], [[2], [3], [2], [1], [2]]],
    ['a collapsed seed', [0.91, 0.1, 0.93], [[0.91, 0.92, 0.93]]],
    ['no base', [1, 2], []],
    ['no own run', [], [[1, 2]]],
  ])('is unknown with %s', (_, own, history) => {
    expect(findChanceRange(own, history)).toBeUndefined();
  });

  test('is known from single runs of many commits', () => {
    const history = [2, 3, 2, 1, 2, 3].map((value) => [value]);
    expect(findChanceRange([2], history)).toBeGreaterThan(1);
    expect(findChanceRange([2], history)).toBeLessThan(5);
  });
});
