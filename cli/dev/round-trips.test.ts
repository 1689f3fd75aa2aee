import { expect, test } from '@jest/globals';
import { countRoundTrips } from './round-trips.ts';

const from = (beganAtMs: number, answeredAtMs: number | undefined) => ({ beganAtMs, answeredAtMs });

test.each([
  ['nothing', [], 0],
  ['one after the other', [from(0, 50), from(51, 101), from(102, 152)], 3],
  ['together, in whatever order', [from(2, 60), from(0, 50), from(49, 99)], 1],
  ['one that waited for the first only', [from(0, 50), from(1, 90), from(51, 101)], 2],
])('%s', (_, seen, trips) => {
  expect(countRoundTrips(seen)).toBe(trips);
});

test('a request without an answer is no trip that could be counted', () => {
  expect(() => countRoundTrips([from(0, undefined)])).toThrow('not answered');
});
