import { expect, test } from '@jest/globals';
import { statusContextOf } from './status-context.ts';

test.each([
  [{}, undefined],
  [{ detach: false }, undefined],
  [{ detach: true }, 'ClearML'],
  [{ status: 'Model' }, 'Model'],
  [{ status: 'Model', detach: true }, 'Model'],
])('settings %j ask for the status %j', (settings, context) => {
  expect(statusContextOf(settings)).toBe(context);
});
