import { expect, test } from '@jest/globals';
import { createLogFollower } from './log-follow.ts';
import { beginLife } from './task-life.ts';

test('a page of the log may hold more lines than a call has arguments', async () => {
  const message = 'a line\n'.repeat(100);
  const events = Array.from({ length: 5000 }, (_, index) => ({
    timestampMs: index + 1,
    worker: 'w',
    text: message,
  }));
  let printed = 0;
  const follower = createLogFollower({
    readPage: async (afterMs) => ({
      events: afterMs === 0 ? events : [],
      total: events.length,
    }),
    clock: { now: () => 0, sleep: async () => undefined },
    signal: new AbortController().signal,
    keepColors: false,
    print: (lines) => {
      printed += lines.length;
    },
  });
  await follower.finish(beginLife('a'.repeat(32), 0));
  expect(printed).toBeGreaterThan(200_000);
});
