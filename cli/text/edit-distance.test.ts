import { expect, test } from '@jest/globals';
import { distance } from 'fastest-levenshtein';
import { countEdits } from './edit-distance.ts';

test.each([
  ['', ''],
  ['', 'lr'],
  ['lr', 'lrr'],
  ['learning_rate', 'laerning_rat'],
  ['kitten', 'sitting'],
  ['seed', 'epochs'],
])('from %j to %j', (a, b) => {
  expect(countEdits(a, b)).toBe(distance(a, b));
  expect(countEdits(b, a)).toBe(distance(a, b));
});
