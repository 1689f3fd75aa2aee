import { expect, test } from '@jest/globals';
import { measureWait, TRAINING_SECONDS } from './held.ts';

test('an hour of waiting costs an hour, and a request now and then', async () => {
  const held = await measureWait();
  expect(held.seconds).toBeGreaterThanOrEqual(TRAINING_SECONDS);
  expect(held.seconds).toBeLessThan(TRAINING_SECONDS + 60);
  expect(held.requests).toBeGreaterThan(60);
});
