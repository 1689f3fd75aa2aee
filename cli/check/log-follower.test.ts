import { expect, test } from '@jest/globals';
import { beginLife, type WatchedTask } from '../training/task-life.ts';
import { createLogFollower } from './log-follower.ts';

const RUNNING_TASK: WatchedTask = {
  id: 'a'.repeat(32),
  name: 'train',
  status: 'in_progress',
  statusReason: '',
  statusMessage: '',
  startedAtMs: 0,
  endedAtMs: undefined,
  statusChangedAtMs: undefined,
  lastUpdate: '2026-01-01T00:00:00',
  iteration: 0,
  worker: 'w',
  machine: undefined,
  projectId: 'p',
  queueId: 'q',
  workingDir: '.',
  origin: { runtime: {}, tags: [], user: undefined },
};

test('a page of the log may hold more lines than a call has arguments', async () => {
  // Node takes some 120,000. Short lines: each character of a message is hashed to tell it from others.
  const message = '.\n'.repeat(100);
  const events = Array.from({ length: 2100 }, (_, index) => ({
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
    isShortened: true,
    print: (lines) => {
      printed += lines.length;
    },
  });
  await follower.finish(beginLife('a'.repeat(32), 0));
  expect(printed).toBeGreaterThan(200_000);
});

test('what a task says between its log being asked for and its end is not lost', async () => {
  const written = ['first'];
  const printed: string[] = [];
  const follower = createLogFollower({
    readPage: async (afterMs) => ({
      events: written
        .map((text, index) => ({ timestampMs: 1_000_000 * (index + 1), worker: 'w', text }))
        .filter(({ timestampMs }) => timestampMs > afterMs),
      total: written.length,
    }),
    clock: { now: () => 0, sleep: async () => undefined },
    signal: new AbortController().signal,
    keepColors: false,
    isShortened: true,
    print: (lines) => printed.push(...lines),
  });
  const life = beginLife('a'.repeat(32), 0);
  life.task = RUNNING_TASK;
  follower.ask(life);
  written.push('last');
  life.end = 'timeout';
  follower.ask(life);
  await follower.finish(life);
  expect(printed).toEqual(['first', 'last']);
});
