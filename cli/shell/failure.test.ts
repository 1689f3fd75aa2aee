import { expect, test } from '@jest/globals';
import { EXIT_CODE_MEANINGS, EXIT_CODES } from './failure.ts';

test('every exit code has its meaning, once, in ascending order', () => {
  expect(EXIT_CODE_MEANINGS.map(([code]) => code)).toEqual(Object.values(EXIT_CODES));
});
