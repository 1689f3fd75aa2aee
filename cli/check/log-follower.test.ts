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

test('for the cause the newest lines are kept, from the start of the last attempt on', async () => {
  const written: string[] = [];
  const follower = createLogFollower({
    readPage: async (afterMs) => ({
      events: written
        .map((text, index) => ({ timestampMs: 20_000 * (index + 1), worker: 'w', text }))
        .filter(({ timestampMs }) => timestampMs > afterMs),
      total: written.length,
    }),
    clock: { now: () => 0, sleep: async () => undefined },
    signal: new AbortController().signal,
    keepColors: false,
    isShortened: false,
    print: () => undefined,
  });
  const life = beginLife('a'.repeat(32), 0);
  const read = async (...messages: string[]) => {
    written.push(...messages);
    await follower.finish(life);
    const { recent, isComplete } = follower.log;
    return { count: recent.length, first: recent[0], last: recent.at(-1), isComplete };
  };
  const lines = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, index) => `line ${from + index}`).join('\n');
  expect(await read(lines(0, 3000))).toEqual({
    count: 3000,
    first: 'line 0',
    last: 'line 2999',
    isComplete: true,
  });
  const cut = { count: 3000, first: 'line 1', last: 'line 3000', isComplete: false };
  expect(await read(lines(3000, 3001))).toEqual(cut);
  const pulled = `task ${'b'.repeat(32)} pulled from ${'c'.repeat(32)} by worker w`;
  const attempt = { count: 2, first: pulled, last: 'line 0', isComplete: true };
  expect(await read(`${lines(3001, 9001)}\n${pulled}\nline 0`)).toEqual(attempt);
  expect(await read(lines(1, 9001))).toMatchObject({ count: 3000, last: 'line 9000', isComplete: false });
  follower.beginAgain();
  expect(follower.log).toMatchObject({ recent: [], isComplete: true });
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
