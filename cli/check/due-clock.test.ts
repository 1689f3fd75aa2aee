import { describe, expect, test } from '@jest/globals';
import { type Due, formatDue, keyOfDue } from '../training/due.ts';
import { isOnlyDue } from '../training/ownership.ts';
import { observeQueue, type QueueState, type WatchedTask } from '../training/task-life.ts';
import { beginDue, findDueTimeout, listOverdue, noteWait } from './due-clock.ts';

const HOUR_MS = 3_600_000;
const LAUNCHED_MS = 1_000 * HOUR_MS;

const due: Due = {
  to: 7,
  commit: 'a'.repeat(40),
  launch: 'l',
  count: 1,
  runId: '1',
  base: undefined,
  atMs: LAUNCHED_MS,
  timeoutMs: HOUR_MS,
  queueTimeoutMs: HOUR_MS / 2,
  retries: 0,
  settings: undefined,
  context: undefined,
  isDetached: true,
};
const pushed: Due = { ...due, to: due.commit, base: { event: 'push', branch: 'main', previous: undefined } };

const noteDues = (...dues: readonly Due[]) =>
  Object.fromEntries(dues.map((one) => [keyOfDue(one.to), formatDue(one)]));

function makeTask(fields: Partial<WatchedTask> = {}, runtime: Record<string, string> = noteDues(due)) {
  return {
    id: 'f'.repeat(32),
    name: 'train',
    status: 'queued',
    statusReason: '',
    statusMessage: '',
    startedAtMs: undefined,
    endedAtMs: undefined,
    statusChangedAtMs: LAUNCHED_MS,
    lastUpdate: '',
    iteration: 0,
    worker: undefined,
    machine: undefined,
    projectId: undefined,
    queueId: 'q',
    workingDir: '.',
    origin: { runtime, tags: [], user: undefined },
    ...fields,
  } satisfies WatchedTask;
}

/** Looks at a waiting task at these hours after its launch. Gives the time-out of the last look, and its notes. */
function wait(
  looks: ReadonlyArray<{ at: number; queue?: QueueState | undefined } & Partial<WatchedTask>>,
  dues: readonly Due[] = [due],
) {
  let runtime = noteDues(...dues);
  const noted: boolean[] = [];
  let timeout: string | undefined;
  for (const { at, queue, ...fields } of looks) {
    const nowMs = LAUNCHED_MS + at * HOUR_MS;
    const found = beginDue(makeTask(fields, runtime), nowMs);
    const before = found.life.queueSample;
    observeQueue(found.life, queue, nowMs);
    const waited = noteWait(found.life, before);
    noted.push(waited !== undefined);
    if (waited !== undefined) runtime = { ...runtime, ci_waited: waited };
    timeout = findDueTimeout(found, nowMs)?.kind;
  }
  return { timeout, noted };
}

const busy: QueueState = {
  id: 'q',
  name: 'default',
  entries: [],
  workers: [{ name: 'w', taskId: 'another' }],
};
const pods: QueueState = { id: 'q', name: 'k8s_scheduler', entries: [], workers: [], isForPods: true };

describe('the queue time-out of a task that is looked at now and then', () => {
  test('counts from the first look that saw the queue unserved', () => {
    expect(wait([{ at: 5 }]).timeout).toBeUndefined();
    expect(wait([{ at: 5 }, { at: 5.4 }]).timeout).toBeUndefined();
    expect(wait([{ at: 5 }, { at: 5.4 }, { at: 5.6 }])).toEqual({
      timeout: 'queue-timeout',
      noted: [true, true, true],
    });
  });

  test('does not count where one of two looks saw all workers busy, and notes only what changes', () => {
    expect(wait([{ at: 1 }, { at: 2, queue: busy }, { at: 3, queue: busy }, { at: 4 }])).toEqual({
      timeout: undefined,
      noted: [true, true, false, true],
    });
  });

  test('begins anew once it waits anew', () => {
    const statusChangedAtMs = LAUNCHED_MS + HOUR_MS;
    expect(wait([{ at: 1 }, { at: 2, statusChangedAtMs }]).timeout).toBeUndefined();
  });

  test('begins anew with other news of its pod', () => {
    const say = (text: string) => ({ queue: pods, statusMessage: `K8S glue status: ${text}` });
    expect(
      wait([
        { at: 1, ...say('a') },
        { at: 2, ...say('a') },
      ]).timeout,
    ).toBe('queue-timeout');
    expect(
      wait([
        { at: 1, ...say('a') },
        { at: 2, ...say('b') },
      ]).timeout,
    ).toBeUndefined();
    expect(
      wait([
        { at: 1, queue: pods },
        { at: 2, queue: pods },
      ]).timeout,
    ).toBe('queue-timeout');
  });

  test('of a later launch counts from that launch', () => {
    const later = { ...due, to: 8, atMs: LAUNCHED_MS + 1.8 * HOUR_MS };
    expect(wait([{ at: 1 }, { at: 2 }], [due, later]).timeout).toBeUndefined();
    expect(wait([{ at: 1 }, { at: 2 }, { at: 3 }], [due, later]).timeout).toBe('queue-timeout');
  });

  test.each(['x', '{}', '[]', '{"atMs":"1","waitMs":9e9}', '{"waitMs":-1,"atMs":1}'])(
    'begins anew where the count is %s',
    (waited) => {
      const runtime = { ...noteDues(due), ci_waited: waited };
      expect(beginDue(makeTask({}, runtime), LAUNCHED_MS + 9 * HOUR_MS).life.queueWaitMs).toBe(0);
    },
  );
});

test('of several that a running task is due to, each has its own run time-out; the longest is named', () => {
  const long = { ...due, to: 8, timeoutMs: 3 * HOUR_MS };
  const task = makeTask({ status: 'in_progress', startedAtMs: LAUNCHED_MS }, noteDues(due, long));
  const at = (hours: number) => LAUNCHED_MS + hours * HOUR_MS;
  expect(listOverdue(beginDue(task, at(2)), at(2)).map(({ to }) => to)).toEqual([7]);
  expect(findDueTimeout(beginDue(task, at(2)), at(2))).toBeUndefined();
  expect(findDueTimeout(beginDue(task, at(3)), at(3))).toEqual({ kind: 'timeout', limitMs: 3 * HOUR_MS });
});

test('a task that the Kubernetes glue moves has not ended, one that stays stopped has', () => {
  const moved = { status: 'stopped', statusReason: 'moving to k8s pending queue' } as const;
  const endAfter = (ms: number) => beginDue(makeTask(moved), LAUNCHED_MS + ms).life.end;
  expect(endAfter(10_000)).toBeUndefined();
  expect(endAfter(40_000)).toBe('stopped');
});

describe('a task is only due', () => {
  const isOnly = (runtime: Record<string, string>, tags: readonly string[], ...dues: readonly Due[]) =>
    isOnlyDue({ runtime, tags }, dues);

  test.each([
    ['to the pull request that uses it', { ci_use_7: '' }, ['pr:7'], [due], true],
    ['not to one without a note', { ci_use_7: '', ci_use_8: '' }, [], [due], false],
    ['not to one that only its tag tells of', { ci_use_7: '' }, ['pr:7', 'pr:8'], [due], false],
    ['not to a branch without a note', { ci_use_7: '', ci_use_branch: '' }, [], [due], false],
    ['to a branch', { ci_use_branch: '' }, [`base:main:${due.commit}`], [pushed], true],
    ['to a branch and a pull request', { ci_use_7: '', ci_use_branch: '' }, ['pr:7'], [due, pushed], true],
    ['not to a person who waits beside', { ci_use_hand: '', ci_use_branch: '' }, [], [pushed], false],
    ['not to a launch that took it over', { ci_use_7: '' }, ['taken-over'], [due], false],
  ])('%s', (_title, runtime, tags, dues, expected) => {
    expect(isOnly(runtime as never, tags, ...dues)).toBe(expected);
  });
});
