import { expect, test } from '@jest/globals';
import { formatNumber, formatRatio, formatSpread } from './statistics.ts';

test.each([
  [0.034, '0.034'],
  [0.8512, '0.85'],
  [12.345, '12.3'],
  [478.4, '478'],
  [2000, '2000'],
])('%d is written %s', (value, text) => {
  expect(formatNumber(value)).toBe(text);
});

test.each([
  [1, 50, '1/50'],
  [2, 11, '1/5.5'],
  [3, 3, '1×'],
  [9, 5, '1.8×'],
])('%d is of %d: %s', (value, of, text) => {
  expect(formatRatio(value, of)).toBe(text);
});

test('a spread is the median, the lowest and the highest', () => {
  expect(formatSpread([3, 1, 2, 8], ' s')).toBe('2.5 s (1-8)');
  expect(formatSpread([7, 7], '')).toBe('7');
});
