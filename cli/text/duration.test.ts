import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { formatDuration, parseDurationMs } from './duration.ts';

test.each([
  ['250ms', 250],
  ['30s', 30_000],
  ['1.5s', 1500],
  ['90m', 5_400_000],
  ['2h', 7_200_000],
  ['1h30m', 5_400_000],
  ['1h2m3s4ms', 3_723_004],
  ['0s', 0],
])('reads %s as %i ms', (text, ms) => {
  expect(parseDurationMs(text)).toBe(ms);
});

test.each(['', '30', 's', '1m1h', '1d', '-1s', '1 s', '1.5ms', '1h30', `${'9'.repeat(400)}h`])(
  'reads %j as no duration',
  (text) => {
    expect(parseDurationMs(text)).toBeUndefined();
  },
);

test.each([
  [0, '0ms'],
  [999.4, '999ms'],
  [1999, '1s'],
  [61_000, '1m 1s'],
  [3_599_999, '59m 59s'],
  [3_600_000, '1h'],
  [90_061_000, '1d 1h 1m 1s'],
])('writes %d ms as %s', (ms, text) => {
  expect(formatDuration(ms)).toBe(text);
});

test('what it writes for less than a day, it reads back, to the second', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1000, max: 86_399_999 }), (ms) => {
      expect(parseDurationMs(formatDuration(ms).replaceAll(' ', ''))).toBe(Math.floor(ms / 1000) * 1000);
    }),
  );
});
