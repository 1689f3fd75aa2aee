import { expect, test } from '@jest/globals';
import { matchesPattern } from '../text/pattern.ts';

test.each([
  ['test_accuracy/accuracy', 'test_accuracy/accuracy', true],
  ['test_accuracy/accuracy', 'test_accuracy/accuracy2', false],
  ['*', 'a/b', true],
  ['test*', 'test/a/b', true],
  ['*/train', 'loss/train', true],
  ['*/train', 'loss/training', false],
  ['a*b*c', 'a/xb/c', true],
  ['a*b*c', 'acb', false],
  ['l?ss/*', 'loss/', true],
  ['l?ss/*', 'lss/', false],
  ['a.b', 'axb', false],
  ['?', '\u{1f600}', true],
  ['', '', true],
  ['**', '', true],
])('the pattern %j and the name %j: %s', (pattern, name, expected) => {
  expect(matchesPattern(pattern, name)).toBe(expected);
});

test('a pattern of many stars takes no time', () => {
  const before = process.cpuUsage();
  expect(matchesPattern(`${'*a'.repeat(200)}b`, 'a'.repeat(5000))).toBe(false);
  expect(process.cpuUsage(before).user).toBeLessThan(2_000_000);
});
