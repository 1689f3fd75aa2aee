import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from '@jest/globals';
import { createSimulatedClock } from '../dev/simulated-clock.ts';
import { EXIT_CODES, Failure } from '../shell/failure.ts';
import type { TaskStatus } from '../training/task.ts';
import type { EndReason, QueueState, TaskLife, WatchedTask } from '../training/task-life.ts';
import { createPatience } from './outage.ts';
import { beginWatch, runWatch, type WatchServer, type WatchSettings } from './watch.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** What a task shows at a time, in ms since the first look; nothing where it is not there. */
type Script = (atMs: number) => ({ status: TaskStatus } & Partial<WatchedTask>) | undefined;

interface Stage {
  readonly tasks: Readonly<Record<string, Script>>;
  readonly queue?: (atMs: number) => Pick<QueueState, 'entries' | 'workers'>;
  readonly settings?: Partial<WatchSettings>;
  /** Fails the requests made at these times. */
  readonly isDown?: (atMs: number) => boolean;
  readonly outageTimeoutMs?: number;
  readonly keepsLooks?: boolean;
  /** How long telling of an end takes. */
  readonly tellMs?: number;
}

/** Plays a watch over a scripted server in simulated time. */
function play(stage: Stage) {
  const clock = createSimulatedClock();
  const startMs = clock.now();
  const atMs = () => clock.now() - startMs;
  const looks: Array<{ atMs: number; ids: readonly string[] }> = [];
  const overdue: Array<{ id: string; timeout: string; atMs: number }> = [];
  const ends = new Map<string, { end: EndReason; atMs: number }>();
  const said: string[] = [];
  let queueLooks = 0;
  const failIfDown = () => {
    if (stage.isDown?.(atMs()) === true) {
      throw new Failure('connection refused', { exitCode: EXIT_CODES.unavailable, remedy: '' });
    }
  };
  const server: WatchServer = {
    async readTasks(ids) {
      if (stage.keepsLooks !== false) looks.push({ atMs: atMs(), ids });
      failIfDown();
      return new Map(
        ids.flatMap((id): Array<[string, WatchedTask]> => {
          const shown = stage.tasks[id]?.(atMs());
          return shown === undefined ? [] : [[id, toTask(id, shown)]];
        }),
      );
    },
    async readQueues(ids) {
      queueLooks += 1;
      expect(ids).toEqual(['q']);
      const queue = stage.queue?.(atMs());
      return new Map(queue === undefined ? [] : [['q', { id: 'q', name: 'default', ...queue }]]);
    },
    mendDrafts: async () => [],
    readMetrics: async () => new Map(),
    readUserId: async () => 'me',
  };
  const patience = createPatience({
    clock,
    outageTimeoutMs: stage.outageTimeoutMs ?? 10 * MINUTE,
    say: (text) => said.push(text),
    isAnswer: () => false,
  });
  async function run(signal = new AbortController().signal): Promise<void> {
    const watch = beginWatch(
      Object.keys(stage.tasks),
      { timeoutMs: HOUR, queueTimeoutMs: 30 * MINUTE, pollIntervalMs: undefined, ...stage.settings },
      { server, patience, clock, random: () => 0.5, signal },
    );
    await runWatch(watch, {
      async afterLook() {
        for (const { id, end } of watch.lives) {
          if (end === undefined || ends.has(id)) continue;
          ends.set(id, { end, atMs: atMs() });
          if (stage.tellMs !== undefined) await clock.sleep(stage.tellMs);
        }
      },
      tick: () => undefined,
      tickMs: Number.POSITIVE_INFINITY,
      async endOverdue({ id }: TaskLife, timeout) {
        overdue.push({ id, timeout, atMs: atMs() });
        await clock.sleep(5 * SECOND);
      },
    });
  }
  return {
    run,
    clock,
    looks,
    overdue,
    ends,
    said,
    atMs,
    queueLooks: () => queueLooks,
  };
}

function toTask(id: string, shown: { status: TaskStatus } & Partial<WatchedTask>): WatchedTask {
  return {
    id,
    name: 'train',
    statusReason: '',
    statusMessage: '',
    startedAtMs: undefined,
    endedAtMs: undefined,
    statusChangedAtMs: undefined,
    lastUpdate: '',
    iteration: 0,
    worker: undefined,
    machine: undefined,
    projectId: 'p',
    queueId: 'q',
    workingDir: '.',
    origin: { runtime: {}, tags: [], user: undefined },
    ...shown,
  };
}

const runningUntil =
  (endMs: number, status: TaskStatus = 'completed'): Script =>
  (atMs) => ({ status: atMs < endMs ? 'in_progress' : status });

test('a run is looked at promptly at first and seldom later, and its end is seen', async () => {
  const { run, ends, looks } = play({ tasks: { a: runningUntil(HOUR - 1) } });
  await run();
  expect(ends.get('a')?.end).toBe('succeeded');
  expect((ends.get('a')?.atMs ?? 0) - HOUR).toBeLessThan(20 * SECOND);
  expect(looks.length).toBeLessThanOrEqual(271);
});

test('one request asks for all tasks that are unfinished, and for no other', async () => {
  const { run, looks } = play({
    tasks: {
      a: runningUntil(5 * SECOND),
      b: runningUntil(30 * SECOND),
      c: runningUntil(60 * SECOND, 'failed'),
    },
    settings: { pollIntervalMs: 10 * SECOND },
  });
  await run();
  expect(looks.map(({ atMs, ids }) => `${atMs / SECOND} ${ids.join('')}`)).toEqual([
    '0 abc',
    '10 abc',
    '20 bc',
    '30 bc',
    '40 c',
    '50 c',
    '60 c',
  ]);
});

test.each<[TaskStatus, EndReason]>([
  ['completed', 'succeeded'],
  ['published', 'succeeded'],
  ['failed', 'failed'],
  ['stopped', 'stopped'],
  ['closed', 'closed'],
  ['created', 'reset'],
])('a running task that becomes %s has %s', async (status, end) => {
  const { run, ends } = play({ tasks: { a: runningUntil(10 * SECOND, status) } });
  await run();
  expect(ends.get('a')?.end).toBe(end);
});

test.each<TaskStatus>(['publishing', 'unknown', 'queued', 'created'])('%s is waited for', async (status) => {
  const { run, ends } = play({
    tasks: { a: (atMs) => ({ status: atMs < 30 * SECOND ? status : 'completed' }) },
  });
  await run();
  expect(ends.get('a')?.end).toBe('succeeded');
  expect(ends.get('a')?.atMs).toBeGreaterThanOrEqual(30 * SECOND);
});

test('the run time-out counts from the start that we see, for each task by itself', async () => {
  const { run, overdue, ends } = play({
    tasks: {
      a: () => ({ status: 'in_progress' }),
      b: (atMs) => ({
        status: atMs < 10 * MINUTE ? 'queued' : atMs < 22 * MINUTE ? 'in_progress' : 'completed',
      }),
    },
    queue: () => ({ entries: ['b'], workers: [{ name: 'w', taskId: 'a' }] }),
    settings: { timeoutMs: 15 * MINUTE },
  });
  await run();
  expect(overdue).toEqual([{ id: 'a', timeout: 'timeout', atMs: 15 * MINUTE }]);
  expect(ends.get('a')?.end).toBe('timeout');
  expect(ends.get('b')?.end).toBe('succeeded');
});

test('a task that is ended by its time-out while the end of the last other one is told is told too', async () => {
  const { run, ends } = play({
    tasks: { a: () => ({ status: 'in_progress' }), b: runningUntil(15 * MINUTE) },
    settings: { timeoutMs: 15 * MINUTE },
    tellMs: 8 * SECOND,
  });
  await run();
  expect(Object.fromEntries(ends)).toEqual({
    b: { end: 'succeeded', atMs: 15 * MINUTE },
    a: { end: 'timeout', atMs: 15 * MINUTE + 8 * SECOND },
  });
});

test('with three seeds and one worker the third waits for its siblings and does not time out in the queue', async () => {
  const seed =
    (startMs: number): Script =>
    (atMs) => ({
      status: atMs < startMs ? 'queued' : atMs < startMs + 25 * MINUTE ? 'in_progress' : 'completed',
    });
  const startsMs = { a: 0, b: 25 * MINUTE + SECOND, c: 50 * MINUTE + 2 * SECOND };
  const { run, overdue, ends } = play({
    tasks: { a: seed(startsMs.a), b: seed(startsMs.b), c: seed(startsMs.c) },
    queue: (atMs) => ({
      entries: Object.entries(startsMs)
        .filter(([, startMs]) => atMs < startMs)
        .map(([id]) => id),
      workers: [{ name: 'gpu', taskId: 'busy' }],
    }),
    settings: { queueTimeoutMs: 10 * MINUTE },
  });
  await run();
  expect(overdue).toEqual([]);
  expect([...ends.values()].map(({ end }) => end)).toEqual(['succeeded', 'succeeded', 'succeeded']);
});

test.each<[string, ((atMs: number) => Pick<QueueState, 'entries' | 'workers'>) | undefined]>([
  ['no worker serves it', () => ({ entries: ['a'], workers: [] })],
  [
    'a worker that serves it stands idle',
    () => ({ entries: ['a'], workers: [{ name: 'w', taskId: undefined }] }),
  ],
  ['it was deleted', undefined],
])('the queue time-out passes while %s', async (_name, queue) => {
  const { run, overdue } = play({
    tasks: { a: () => ({ status: 'queued' }) },
    ...(queue === undefined ? {} : { queue }),
  });
  await run();
  expect(overdue).toEqual([{ id: 'a', timeout: 'queue-timeout', atMs: 30 * MINUTE }]);
});

test('the clock of the queue time-out stands still while the workers are busy, and goes on afterwards', async () => {
  const { run, overdue } = play({
    tasks: { a: () => ({ status: 'queued' }) },
    queue: (atMs) => ({
      entries: ['a'],
      workers: [{ name: 'w', taskId: atMs > 10 * MINUTE && atMs < 40 * MINUTE ? 'other' : undefined }],
    }),
    settings: { queueTimeoutMs: 20 * MINUTE },
  });
  await run();
  const passedMs = overdue[0]?.atMs ?? 0;
  // The queue is looked at every 25 s: so exact is the clock where its state changes.
  expect(Math.abs(passedMs - 50 * MINUTE)).toBeLessThan(MINUTE);
});

/** What the Kubernetes glue makes of a task that it has taken. */
const parked = (statusMessage = '') =>
  ({ status: 'queued', statusReason: 'k8s pending scheduler', statusMessage }) as const;
const moving = { status: 'stopped', statusReason: 'moving to k8s pending queue' } as const;

test('while a pod is waited for, the queue time-out counts from the last news of Kubernetes', async () => {
  const { run, overdue } = play({
    tasks: {
      a: (atMs) => {
        if (atMs < 20 * MINUTE) return { status: 'queued' };
        if (atMs < 45 * MINUTE) return parked();
        return parked(
          `K8S glue status: ${atMs < 60 * MINUTE ? 'Unschedulable (no GPU)' : 'ContainerCreating'}`,
        );
      },
    },
    // The glue's own queue, which it serves, or the one without workers: both are read alike.
    queue: () => ({ entries: [], workers: [{ name: 'glue', taskId: undefined }] }),
    settings: { pollIntervalMs: 10 * SECOND },
  });
  await run();
  expect(overdue).toEqual([{ id: 'a', timeout: 'queue-timeout', atMs: 90 * MINUTE }]);
});

test('a cluster that is full over and over again is no news', async () => {
  const { run, overdue } = play({
    tasks: {
      a: (atMs) =>
        atMs % (30 * SECOND) < 15 * SECOND
          ? parked()
          : { status: 'queued', statusReason: 'k8s max pod limit (no free k8s service)' },
    },
    queue: () => ({ entries: ['a'], workers: [{ name: 'glue', taskId: 'other' }] }),
    settings: { pollIntervalMs: 10 * SECOND },
  });
  await run();
  expect(overdue).toEqual([{ id: 'a', timeout: 'queue-timeout', atMs: 30 * MINUTE + 20 * SECOND }]);
});

test('a task that is stopped to be put into another queue is waited for, but not for ever', async () => {
  const { run, ends } = play({
    tasks: {
      moved: (atMs) =>
        atMs < 10 * SECOND
          ? { status: 'queued' }
          : atMs < 35 * SECOND
            ? moving
            : { status: atMs < MINUTE ? 'queued' : 'completed' },
      seenMoving: (atMs) => (atMs < 10 * SECOND ? moving : { status: 'completed' }),
      putBack: (atMs) =>
        atMs < 10 * SECOND
          ? parked()
          : { status: atMs < 18 * SECOND ? 'stopped' : atMs < MINUTE ? 'queued' : 'completed' },
      stuck: () => moving,
      stoppedInCluster: (atMs) => (atMs < 20 * SECOND ? parked() : { status: 'stopped' }),
      stopped: (atMs) => ({ status: atMs < 20 * SECOND ? 'queued' : 'stopped' }),
    },
    queue: () => ({ entries: [], workers: [] }),
    settings: { pollIntervalMs: 10 * SECOND },
  });
  await run();
  expect(Object.fromEntries([...ends].map(([id, { end, atMs }]) => [id, `${end} ${atMs / SECOND}`]))).toEqual(
    {
      moved: 'succeeded 65',
      seenMoving: 'succeeded 10',
      putBack: 'succeeded 65',
      stuck: 'stopped 30',
      stoppedInCluster: 'stopped 30',
      stopped: 'stopped 20',
    },
  );
});

test('the queue is looked at at once and then about twice a minute', async () => {
  const { run, queueLooks } = play({
    tasks: { a: (atMs) => ({ status: atMs < 20 * MINUTE ? 'queued' : 'completed' }) },
    queue: () => ({ entries: ['a'], workers: [{ name: 'w', taskId: 'other' }] }),
  });
  await run();
  expect(queueLooks()).toBeGreaterThan(30);
  expect(queueLooks()).toBeLessThanOrEqual((20 * 60) / 25 + 2);
});

test('a task that was taken out of the queue, or put back by somebody, is told apart from a draft', async () => {
  const { run, ends } = play({
    tasks: {
      dequeued: (atMs) => ({ status: atMs < 5 * SECOND ? 'queued' : 'created' }),
      draft: () => ({ status: 'created' }),
      aborted: () => ({ status: 'created', statusReason: 'aborted by workflow run 120' }),
      moved: (atMs) =>
        atMs === 0
          ? { status: 'created', statusReason: 'superseded by a newer launch' }
          : { status: atMs < 5 * SECOND ? 'queued' : 'completed' },
    },
    queue: () => ({ entries: ['dequeued'], workers: [] }),
  });
  await run();
  expect(ends.get('dequeued')?.end).toBe('dequeued');
  expect(ends.get('aborted')).toEqual({ end: 'dequeued', atMs: SECOND });
  expect(ends.get('moved')?.end).toBe('succeeded');
  expect(ends.get('draft')).toEqual({ end: 'draft', atMs: MINUTE });
});

test('an archived task is told as archived where it has not trained, and by its result where it has', async () => {
  const archived = { isArchived: true } as const;
  const { run, ends } = play({
    tasks: {
      queued: (atMs) => (atMs < 5 * SECOND ? { status: 'queued' } : { status: 'created', ...archived }),
      draft: () => ({ status: 'created', ...archived }),
      running: (atMs) => (atMs < 5 * SECOND ? { status: 'in_progress' } : { status: 'stopped', ...archived }),
      inCluster: (atMs) => (atMs < 5 * SECOND ? parked() : { status: 'stopped', ...archived }),
      reset: () => ({ status: 'created', statusReason: 'reset', ...archived }),
      trained: () => ({ status: 'completed', ...archived }),
      failed: () => ({ status: 'failed', ...archived }),
      goesOn: (atMs) => ({ status: atMs < 5 * SECOND ? 'in_progress' : 'completed', ...archived }),
    },
    queue: () => ({ entries: [], workers: [] }),
    settings: { pollIntervalMs: 5 * SECOND },
  });
  await run();
  expect(Object.fromEntries([...ends].map(([id, { end, atMs }]) => [id, `${end} ${atMs / SECOND}`]))).toEqual(
    {
      queued: 'archived 5',
      draft: 'archived 0',
      running: 'archived 5',
      inCluster: 'archived 5',
      reset: 'draft 60',
      trained: 'succeeded 0',
      failed: 'failed 0',
      goesOn: 'succeeded 5',
    },
  );
});

test('a task that is moved to another queue is not taken for one that was taken out', async () => {
  const { run, ends } = play({
    tasks: {
      a: (atMs) => ({
        status:
          atMs >= 10 * SECOND && atMs < 11 * SECOND ? 'created' : atMs < MINUTE ? 'queued' : 'completed',
      }),
    },
    queue: () => ({ entries: ['a'], workers: [] }),
    settings: { pollIntervalMs: 10 * SECOND },
  });
  await run();
  expect(ends.get('a')?.end).toBe('succeeded');
});

test('a task that one look does not show is looked for again before it counts as deleted', async () => {
  const { run, ends, looks } = play({
    tasks: {
      flickering: (atMs) =>
        atMs === 10 * SECOND ? undefined : { status: atMs < 30 * SECOND ? 'in_progress' : 'completed' },
      deleted: (atMs) => (atMs < 20 * SECOND ? { status: 'in_progress' } : undefined),
    },
    settings: { pollIntervalMs: 10 * SECOND },
  });
  await run();
  expect(ends.get('flickering')?.end).toBe('succeeded');
  expect(ends.get('deleted')).toEqual({ end: 'deleted', atMs: 22 * SECOND });
  expect(looks.map(({ atMs }) => atMs / SECOND)).toEqual([0, 10, 11, 21, 22, 32]);
});

test('an id that names nothing is told before anything is waited for', async () => {
  const { run, looks } = play({ tasks: { a: runningUntil(HOUR), b: () => undefined } });
  await expect(run()).rejects.toMatchObject({ exitCode: 10, message: 'there is no task b' });
  expect(looks.length).toBe(1);
});

test('a server that is away for a while is waited for and told of once', async () => {
  const { run, ends, said } = play({
    tasks: { a: runningUntil(20 * MINUTE) },
    isDown: (atMs) => atMs > 5 * MINUTE && atMs < 12 * MINUTE,
  });
  await run();
  expect(ends.get('a')?.end).toBe('succeeded');
  expect(said).toEqual([
    'ClearML does not answer (connection refused); retrying for up to 10m',
    expect.stringMatching(/^ClearML answers again, after (?:6m 5|7m)/),
  ]);
});

test('a server that stays away ends the wait after the outage time-out', async () => {
  const { run, atMs } = play({
    tasks: { a: runningUntil(HOUR) },
    isDown: (at) => at > 5 * MINUTE,
    outageTimeoutMs: 3 * MINUTE,
  });
  await expect(run()).rejects.toMatchObject({ exitCode: 9 });
  expect(atMs()).toBeGreaterThan(7 * MINUTE + 30 * SECOND);
  expect(atMs()).toBeLessThan(8 * MINUTE + 30 * SECOND);
});

test('a server that never answered is not waited for', async () => {
  const { run, atMs } = play({ tasks: { a: runningUntil(HOUR) }, isDown: () => true });
  await expect(run()).rejects.toMatchObject({ exitCode: 9 });
  expect(atMs()).toBe(0);
});

test('the wait ends with the reason of the signal, also while nothing happens', async () => {
  const { run, clock, atMs } = play({ tasks: { a: runningUntil(HOUR) } });
  const controller = new AbortController();
  const ended = run(controller.signal);
  void clock.sleep(MINUTE).then(() => controller.abort(new Error('enough')));
  await expect(ended).rejects.toThrow('enough');
  expect(atMs()).toBeLessThanOrEqual(MINUTE);
});

test('a wait of fifty thousand looks holds no more memory than one of five hundred', async () => {
  setFlagsFromString('--expose-gc');
  const collectGarbage: () => void = runInNewContext('gc');
  const measureHeap = () => {
    collectGarbage();
    return process.memoryUsage().heapUsed;
  };
  const heap = new Map<number, number>();
  let looks = 0;
  const { run } = play({
    tasks: {
      a: (atMs) => {
        looks += 1;
        if (looks === 500 || looks === 50_000) heap.set(looks, measureHeap());
        return { status: looks > 50_000 ? 'completed' : 'in_progress', lastUpdate: String(atMs) };
      },
    },
    settings: { timeoutMs: 1000 * HOUR },
    keepsLooks: false,
  });
  await run();
  // Of some fifty megabytes, most of them the test runner's: far less than a tenth.
  expect((heap.get(50_000) ?? Number.NaN) - (heap.get(500) ?? Number.NaN)).toBeLessThan(1_000_000);
});
