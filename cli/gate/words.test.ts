import { expect, test } from '@jest/globals';
import { explainReason } from './words.ts';

test.each([
  ['too-few-iterations', 1, 'A task ran fewer than the 1 iteration that min-iterations requires.'],
  ['too-few-iterations', 20, 'A task ran fewer than the 20 iterations that min-iterations requires.'],
  ['too-few-reports', 1, 'A task reported it fewer than the 1 time that'],
  ['too-few-reports', 20, 'A task reported it fewer than the 20 times that'],
] as const)('%s: what is required is counted, %d of it', (kind, required, expected) => {
  expect(explainReason({ kind, tasks: ['a'], required })).toContain(expected);
});
