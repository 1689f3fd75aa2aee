import { expect, test } from '@jest/globals';
import { formatBytes, formatChange, formatNumber, formatPair, formatPercentChange } from './number-format.ts';

test.each([
  [0, '0'],
  [-0, '0'],
  [0.9722222222222222, '0.97222'],
  [0.5, '0.5'],
  [12, '12'],
  [123_456_789, '123456789'],
  [1234.5678, '1234.6'],
  [-0.00001234567, '-0.000012346'],
  [0.0000012, '1.2e-6'],
  [1.5e20, '1.5e20'],
  [99_999.6, '100000'],
  [0.099999999, '0.1'],
  [Number.NaN, 'NaN'],
  [Number.POSITIVE_INFINITY, 'infinity'],
  [Number.NEGATIVE_INFINITY, '-infinity'],
])('%p is written %s', (value, text) => {
  expect(formatNumber(value)).toBe(text);
});

test.each([
  [0.9722, 0.9611, { value: '0.9722', base: '0.9611', change: '+0.0111' }],
  [0.97222221, 0.97222222, { value: '0.97222221', base: '0.97222222', change: '-1e-8' }],
  [1e6 + 0.25, 1e6, { value: '1000000.25', base: '1000000', change: '+0.25' }],
  [0.5, 0.5, { value: '0.5', base: '0.5', change: '0' }],
  [0, 0.001, { value: '0', base: '0.001', change: '-0.001' }],
])('%p against %p shows their difference', (value, base, texts) => {
  expect(formatPair(value, base)).toEqual(texts);
});

test('a real change never shows as zero, and never as two equal numbers', () => {
  for (let exponent = -14; exponent <= 6; exponent += 1) {
    for (const base of [1, 0.1234, 98_765.4321, -3.3]) {
      const value = base + 10 ** exponent;
      if (value === base) continue;
      const pair = formatPair(value, base);
      expect(pair.change).not.toBe('0');
      expect(pair.value).not.toBe(pair.base);
    }
  }
});

test('changes carry their sign', () => {
  expect([formatChange(0.0111), formatChange(-2), formatChange(0)]).toEqual(['+0.0111', '-2', '0']);
  expect(formatPercentChange(0.0111, 0.9611)).toBe('+1.15%');
  expect(formatPercentChange(-0.5, -1)).toBe('-50%');
  expect(formatPercentChange(12.345, 1)).toBe('+1230%');
  expect(formatPercentChange(1, 0)).toBeUndefined();
  expect(formatPercentChange(0, 0)).toBeUndefined();
});

test('bytes are counted in thousands', () => {
  expect([0, 999, 1000, 1_234_567, 16e9].map(formatBytes)).toEqual([
    '0 bytes',
    '999 bytes',
    '1 kB',
    '1.23 MB',
    '16 GB',
  ]);
});
