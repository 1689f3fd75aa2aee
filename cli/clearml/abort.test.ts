import { describe, expect, test } from '@jest/globals';
import { createSimulatedClock } from '../dev/simulated-clock.ts';
import { EXIT_CODES, Failure } from '../shell/failure.ts';
import type { Clock } from '../shell/world.ts';
import { readEnding } from '../training/ending.ts';
import { isOfPullRequest, isOursToAbort } from '../training/ownership.ts';
import type { TaskStatus } from '../training/task.ts';
import { type AbortServer, type AbortState, abortTasks, NOTHING_ENDED } from './abort.ts';
import type { Children } from './children.ts';

const A = 'a'.repeat(32);
const B = 'b'.repeat(32);
const ending = { kind: 'aborted', by: '' } as const;
const NO_CHILDREN = { own: [], clones: [] };

interface FakeTask {
  status: TaskStatus;
  statusReason: string;
  statusMessage: string;
  startedAtMs: number | undefined;
  statusChangedAtMs: number | undefined;
}

/** A server whose tasks change by what the test says happens at each call. */
function createServer(
  clock: Clock,
  tasks: Record<string, Partial<FakeTask>>,
  on: Partial<Record<'read' | 'stop' | 'dequeue', (task: FakeTask, id: string, nth: number) => void>> = {},
) {
  const startMs = clock.now();
  const all = new Map<string, FakeTask>(
    Object.entries(tasks).map(([id, task]) => [
      id,
      {
        status: 'in_progress',
        statusReason: '',
        statusMessage: '',
        startedAtMs: startMs - 600_000,
        statusChangedAtMs: startMs - 600_000,
        ...task,
      },
    ]),
  );
  const calls: string[] = [];
  const noted: Array<[string, Readonly<Record<string, string>>]> = [];
  const runtimes = new Map<string, Readonly<Record<string, string>>>();
  const removed: string[] = [];
  const children = new Map<string, Children>();
  const counts = { read: 0, stop: 0, dequeue: 0 };
  /** Drafts that are in a queue all the same. */
  const inQueue = new Set<string>();
  /** Tags that show who uses a task. */
  const users = new Map<string, string[]>();
  /** Requests that another change beats to it. */
  const overtaken = new Set<'stop' | 'dequeue'>();
  const apply = (kind: 'read' | 'stop' | 'dequeue', ids: readonly string[]) => {
    expect(ids.length).toBeGreaterThan(0);
    counts[kind] += 1;
    if (kind !== 'read')
      calls.push(`${(clock.now() - startMs) / 1000} ${kind} ${ids.map((id) => id[0]).join()}`);
    for (const id of ids) {
      const task = all.get(id);
      if (task !== undefined) on[kind]?.(task, id, counts[kind]);
    }
  };
  const server: AbortServer = {
    readStates: async (ids) => {
      apply('read', ids);
      return new Map<string, AbortState>(
        ids.flatMap((id): Array<[string, AbortState]> => {
          const task = all.get(id);
          return task === undefined
            ? []
            : [
                [
                  id,
                  {
                    ...task,
                    user: 'ada',
                    origin: { runtime: runtimes.get(id) ?? {}, tags: users.get(id) ?? [] },
                  },
                ],
              ];
        }),
      );
    },
    stop: async (ids) => {
      apply('stop', ids);
      return overtaken.delete('stop');
    },
    dequeue: async (ids) => {
      apply('dequeue', ids);
      return overtaken.delete('dequeue');
    },
    now: clock.now,
    removeEntries: async (ids) => ids.filter((id) => inQueue.delete(id)),
    note: async (ids, { set, remove = [] }) => {
      for (const id of ids) {
        if (set !== undefined) {
          noted.push([id, set]);
          runtimes.set(id, { ...runtimes.get(id), ...set });
        }
        removed.push(...remove.map((key) => `${key} of ${id[0]}`));
      }
      return true;
    },
    findChildren: async (parents) => {
      const found = [...parents.keys()].flatMap((id) => children.get(id) ?? []);
      return { own: found.flatMap(({ own }) => own), clones: found.flatMap(({ clones }) => clones) };
    },
  };
  return {
    server,
    calls,
    counts,
    seconds: () => (clock.now() - startMs) / 1000,
    all,
    inQueue,
    overtaken,
    noted,
    runtimes,
    removed,
    users,
    children,
  };
}

/** Ends tasks with a minute's time, unless another deadline is given. */
function abort(
  server: AbortServer,
  ids: readonly string[],
  clock: Clock,
  options: Partial<Parameters<typeof abortTasks>[2]> = {},
) {
  return abortTasks(server, ids, {
    clock,
    reason: 'r',
    ending,
    deadlineMs: clock.now() + 60_000,
    ...options,
  });
}

function endByAgent(task: FakeTask): void {
  task.status = 'stopped';
  task.statusMessage = 'Changed by clearml-agent worker:0';
}

test('a stop that the agent forgets is sent again every second until the task has ended', async () => {
  const clock = createSimulatedClock();
  const { server, calls, seconds } = createServer(
    clock,
    { [A]: { startedAtMs: clock.now() } },
    { read: (task, _id, nth) => (nth === 8 ? endByAgent(task) : undefined) },
  );
  const outcome = await abort(server, [A], clock);
  expect(outcome).toEqual({ ...NOTHING_ENDED, ended: [A] });
  expect(calls).toEqual([0, 0.25, 1.25, 2.25, 3.25, 4.25, 5.25].map((at) => `${at} stop a`));
  expect(seconds()).toBe(6.25);
});

test('a queued task is dequeued, and an agent that had just taken it is noticed and stopped', async () => {
  const clock = createSimulatedClock();
  const { server, calls } = createServer(
    clock,
    { [A]: { status: 'queued', startedAtMs: undefined } },
    {
      dequeue: (task) => {
        task.status = 'created';
      },
      read: (task, _id, nth) => {
        if (nth === 3) Object.assign(task, { status: 'in_progress', startedAtMs: clock.now() });
      },
      stop: (task) => endByAgent(task),
    },
  );
  const outcome = await abort(server, [A], clock);
  expect(outcome.ended).toEqual([A]);
  expect(calls).toEqual(['0 dequeue a', '1.25 stop a']);
});

test('a dequeued task counts as ended once it has stayed a draft for two seconds', async () => {
  const clock = createSimulatedClock();
  const { server, calls, seconds } = createServer(
    clock,
    { [A]: { status: 'queued' } },
    {
      dequeue: (task) => {
        task.status = 'created';
      },
    },
  );
  await abort(server, [A], clock);
  expect(calls).toEqual(['0 dequeue a']);
  expect(seconds()).toBe(2.25);
});

test('a task that stays queued although it was dequeued (it was in two queues) is stopped', async () => {
  const clock = createSimulatedClock();
  const { server, calls } = createServer(
    clock,
    { [A]: { status: 'queued', startedAtMs: undefined } },
    {
      stop: (task) => {
        task.status = 'stopped';
      },
    },
  );
  const outcome = await abort(server, [A], clock);
  expect(outcome.ended).toEqual([A]);
  expect(calls.map((call) => call.split(' ')[1])).toEqual(['dequeue', 'dequeue', 'dequeue', 'stop']);
});

test('a task stopped while its agent was starting is watched until nothing can set it running again', async () => {
  const clock = createSimulatedClock();
  const { server, calls, seconds } = createServer(
    clock,
    { [A]: { startedAtMs: clock.now() } },
    {
      stop: (task, _id, nth) => {
        if (nth === 1)
          Object.assign(task, {
            status: 'stopped',
            statusMessage: 'Stopped by ci',
            statusChangedAtMs: clock.now(),
          });
        else endByAgent(task);
      },
      read: (task, _id, nth) => {
        if (nth === 5) Object.assign(task, { status: 'in_progress', statusMessage: 'launch by agent' });
      },
    },
  );
  await abort(server, [A], clock);
  expect(calls).toEqual(['0 stop a', '3.25 stop a']);
  expect(seconds()).toBe(4.25);
});

test.each([
  ['completed', { status: 'completed' }],
  ['failed', { status: 'failed' }],
  ['published', { status: 'published' }],
  ['closed', { status: 'closed' }],
  ['a draft', { status: 'created' }],
  ['stopped long ago', { status: 'stopped', statusMessage: 'Stopped by somebody' }],
  [
    'stopped by its agent a moment ago',
    { status: 'stopped', statusMessage: 'Changed by clearml-agent w:0', statusChangedAtMs: 1_000_000 },
  ],
] as Array<[string, Partial<FakeTask>]>)(
  'a task that is %s has ended at the first look',
  async (_name, task) => {
    const clock = createSimulatedClock();
    const { server, calls, seconds } = createServer(clock, { [A]: task });
    const outcome = await abort(server, [A, A], clock);
    expect(outcome.ended).toEqual([A]);
    expect(calls).toEqual([]);
    expect(seconds()).toBe(0);
  },
);

test('a task that is gone has ended, and one request serves all tasks that are left', async () => {
  const clock = createSimulatedClock();
  const { server, counts } = createServer(clock, { [B]: {} }, { stop: (task) => endByAgent(task) });
  const outcome = await abort(server, [A, B], clock);
  expect(outcome.ended).toEqual([A, B]);
  expect(counts).toEqual({ read: 2, stop: 1, dequeue: 0 });
});

test('what has not ended by the deadline is unconfirmed, and the deadline is kept', async () => {
  const clock = createSimulatedClock();
  const { server, seconds } = createServer(clock, { [A]: {}, [B]: { status: 'failed' } });
  const outcome = await abort(server, [A, B], clock, { deadlineMs: clock.now() + 9000 });
  expect(outcome).toEqual({ ...NOTHING_ENDED, ended: [B], unconfirmed: [A] });
  expect(seconds()).toBe(9);
});

test('a deadline passes also while the server keeps a request waiting', async () => {
  const clock = createSimulatedClock();
  const silent: AbortServer = {
    readStates: (_ids, signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error));
      }),
    stop: async () => false,
    dequeue: async () => false,
    now: clock.now,
    removeEntries: async () => [],
    note: async () => true,
    findChildren: async () => NO_CHILDREN,
  };
  const outcome = await abort(silent, [A], clock, { deadlineMs: clock.now() + 9000 });
  expect(outcome.unconfirmed).toEqual([A]);
});

test('requests that fail are tried again, and the last failure is told where it did not help', async () => {
  const clock = createSimulatedClock();
  const { server, all } = createServer(clock, { [A]: {} }, { stop: (task) => endByAgent(task) });
  const down = new Failure('down', { exitCode: EXIT_CODES.unavailable, remedy: 'wait' });
  let failures = 3;
  const flaky: AbortServer = {
    ...server,
    readStates: async (ids, signal) => {
      if (failures > 0) {
        failures -= 1;
        throw down;
      }
      return server.readStates(ids, signal);
    },
  };
  const options = { clock, reason: 'r', ending, deadlineMs: clock.now() + 60_000 };
  expect((await abortTasks(flaky, [A], options)).ended).toEqual([A]);
  expect(all.get(A)?.status).toBe('stopped');

  failures = 1000;
  const outcome = await abortTasks(flaky, [A], { ...options, deadlineMs: clock.now() + 5000 });
  expect(outcome).toEqual({ ...NOTHING_ENDED, unconfirmed: [A], lastError: down });
});

test('a draft that is in a queue all the same is taken out, and a worker that had just taken it is noticed', async () => {
  const clock = createSimulatedClock();
  const { server, inQueue, calls, seconds } = createServer(
    clock,
    { [A]: { status: 'created' }, [B]: { status: 'created' } },
    {
      read: (task, id, nth) => {
        if (id === A && nth === 3) Object.assign(task, { status: 'in_progress', startedAtMs: clock.now() });
      },
      stop: (task) => endByAgent(task),
    },
  );
  inQueue.add(A);
  const outcome = await abort(server, [A, B], clock);
  expect(outcome.ended).toEqual([B, A]);
  expect(calls).toEqual(['1.25 stop a']);
  expect(seconds()).toBeLessThan(3);
});

test.each(['stop', 'dequeue'] as const)(
  'a %s that another change beat to it is followed by a new look at once',
  async (kind) => {
    const clock = createSimulatedClock();
    const { server, overtaken, seconds } = createServer(
      clock,
      { [A]: { status: kind === 'stop' ? 'in_progress' : 'queued' } },
      {
        [kind]: (task: FakeTask, _id: string, nth: number) => {
          if (nth < 3) overtaken.add(kind);
          else endByAgent(task);
        },
      },
    );
    const outcome = await abort(server, [A], clock);
    expect(outcome).toEqual({ ...NOTHING_ENDED, ended: [A] });
    expect(seconds()).toBe(1.5);
  },
);

describe('a task that another pull request takes meanwhile', () => {
  test.each([1, 2, 3])('is left, and the note goes (before look %s)', async (look) => {
    const clock = createSimulatedClock();
    const { server, users, noted, removed, calls } = createServer(
      clock,
      { [A]: { status: 'queued', startedAtMs: undefined }, [B]: {} },
      {
        read: (_task, id, nth) => id === A && nth === look && users.set(A, ['pr:7', 'pr:8']),
        dequeue: (task) => {
          task.status = 'created';
        },
        stop: (task) => endByAgent(task),
      },
    );
    users.set(A, ['pr:7']);
    const outcome = await abort(server, [A, B], clock, {
      seen: new Map([A, B].map((id) => [id, { runtime: {}, tags: id === A ? ['pr:7'] : [] }])),
    });
    expect(outcome).toEqual({ ...NOTHING_ENDED, ended: [B], taken: [A] });
    // It may have been dequeued before: then the other side enqueues it again.
    expect(calls.filter((call) => call.includes('dequeue')).length).toBe(look === 3 ? 1 : 0);
    expect(noted.map(([id]) => id).sort()).toEqual(look === 1 ? [B] : [A, B]);
    expect(removed).toEqual(['ci_ended of a']);
  });

  test('is ended all the same where it was meant, whoever uses it', async () => {
    const clock = createSimulatedClock();
    const { server, users } = createServer(clock, { [A]: {} }, { stop: (task) => endByAgent(task) });
    users.set(A, ['pr:8']);
    const options = { clock, reason: 'r', ending, deadlineMs: clock.now() + 60_000 };
    expect(await abortTasks(server, [A], options)).toEqual({ ...NOTHING_ENDED, ended: [A] });
  });
});

test('refused credentials end the attempt at once', async () => {
  const clock = createSimulatedClock();
  const refused = new Failure('no', { exitCode: EXIT_CODES.refused, remedy: 'key' });
  const { server } = createServer(clock, { [A]: {} });
  const attempt = abort({ ...server, readStates: () => Promise.reject(refused) }, [A], clock);
  await expect(attempt).rejects.toBe(refused);
});

test('the caller can end the attempt', async () => {
  const clock = createSimulatedClock();
  const hurry = new AbortController();
  const { server } = createServer(
    clock,
    { [A]: {} },
    { read: (_task, _id, nth) => (nth === 3 ? hurry.abort(new Error('hurry')) : undefined) },
  );
  const attempt = abortTasks(server, [A], {
    clock,
    reason: 'r',
    ending,
    deadlineMs: clock.now() + 60_000,
    signal: hurry.signal,
  });
  await expect(attempt).rejects.toThrow('hurry');
});

test.each([
  ['this run launched it', { ci_run: '5', ci_launch: 'x' }, [], '5', true],
  [
    'this run launched it, its pull request has its tag on it',
    { ci_run: '5', ci_pull_request: '7' },
    ['ci', 'pr:7'],
    '5',
    true,
  ],
  ['another pull request reuses it', { ci_run: '5', ci_pull_request: '7' }, ['pr:7', 'pr:8'], '5', false],
  ['a pull request reuses what a push launched', { ci_run: '5' }, ['pr:8'], '5', false],
  ['another run launched it', { ci_run: '4', ci_launch: 'x' }, [], '5', false],
  ['somebody launched it outside Actions', { ci_launch: 'x' }, [], '5', false],
  ['a run launched it and we are outside Actions', { ci_run: '5', ci_launch: 'x' }, [], undefined, false],
  ['we launched it outside Actions', { ci_launch: 'x' }, [], undefined, true],
  ['it has no mark of ours', {}, [], undefined, false],
  ['it has no mark of ours, in Actions', {}, [], '5', false],
] as Array<[string, Record<string, string>, string[], string | undefined, boolean]>)(
  'whose a task is: %s',
  async (_name, runtime, tags, runId, isOurs) => {
    expect(await isOursToAbort({ runtime, tags, user: 'me' }, { runId }, async () => 'me')).toBe(isOurs);
  },
);

test('a task that somebody else launched outside Actions is not ours, and who we are is asked only there', async () => {
  let asked = 0;
  const readUser = async () => {
    asked += 1;
    return 'me';
  };
  const task = { runtime: { ci_launch: 'x' }, tags: [], user: 'other' };
  expect(await isOursToAbort(task, { runId: undefined }, readUser)).toBe(false);
  expect(asked).toBe(1);
  expect(await isOursToAbort(task, { runId: '5' }, readUser)).toBe(false);
  expect(asked).toBe(1);
});

test("a pull request's tasks are those of its pipeline and number that no other one has reused", () => {
  const runtime = { ci_pipeline: 'p', ci_pull_request: '7' };
  const of = { pipeline: 'p', pullRequest: 7 };
  expect(isOfPullRequest({ runtime, tags: ['pr:7'], user: undefined }, of)).toBe(true);
  expect(isOfPullRequest({ runtime, tags: ['pr:7', 'pr:9'], user: undefined }, of)).toBe(false);
  expect(isOfPullRequest({ runtime, tags: [], user: undefined }, { ...of, pullRequest: 8 })).toBe(false);
  expect(isOfPullRequest({ runtime, tags: [], user: undefined }, { ...of, pipeline: 'q' })).toBe(false);
  expect(isOfPullRequest({ runtime: {}, tags: ['pr:7'], user: undefined }, of)).toBe(false);
});

test('why a task is ended is noted before it is stopped, once, and a note that fails keeps nothing running', async () => {
  const clock = createSimulatedClock();
  const { server, noted, calls } = createServer(
    clock,
    { [A]: {}, [B]: { status: 'completed' } },
    {
      stop: (task, _, nth) => {
        expect(noted.map(([id]) => id)).toEqual([A]);
        if (nth > 1) endByAgent(task);
      },
    },
  );
  const options = { clock, reason: 'r', ending, deadlineMs: clock.now() + 60_000 };
  expect((await abortTasks(server, [A, B], options)).unconfirmed).toEqual([]);
  expect(calls).toHaveLength(2);
  expect(noted).toHaveLength(1);
  expect(readEnding(noted[0]?.[1] ?? {}, clock.now())).toEqual({ ...ending, url: undefined });

  const mute = createServer(clock, { [A]: {} }, { stop: (task) => endByAgent(task) });
  const note = () =>
    Promise.reject(new Failure('down', { exitCode: EXIT_CODES.unavailable, remedy: 'wait' }));
  expect((await abortTasks({ ...mute.server, note }, [A], options)).ended).toEqual([A]);
});

test('a server that takes no notes is asked once, and the tasks end all the same', async () => {
  const clock = createSimulatedClock();
  const { server, counts, all } = createServer(
    clock,
    { [A]: {}, [B]: {} },
    {
      stop: (task, _, nth) => {
        if (nth > 5) endByAgent(task);
      },
    },
  );
  const asked: string[] = [];
  const note = async (ids: readonly string[]) => {
    asked.push(...ids);
    return false;
  };
  const seen = new Map([A, B].map((id) => [id, { runtime: {}, tags: [] }]));
  const { ended } = await abort({ ...server, note }, [...all.keys()], clock, { seen });
  expect([[...ended].sort(), asked]).toEqual([
    [A, B],
    [A, B],
  ]);
  // One look for each round, and one after the first note.
  expect(counts.read).toBe(counts.stop + 2);
});

test('a note that the SDK overwrites is noted again while the task runs, before the next stop', async () => {
  const clock = createSimulatedClock();
  const { server, noted, runtimes } = createServer(
    clock,
    { [A]: {} },
    {
      stop: (task, id, nth) => {
        expect(runtimes.get(id)).toHaveProperty('ci_ended');
        if (nth === 1) runtimes.set(id, { progress: '0' });
        if (nth === 3) endByAgent(task);
      },
    },
  );
  await abort(server, [A], clock);
  expect(noted).toHaveLength(2);
  expect(runtimes.get(A)).toEqual({ progress: '0', ci_ended: expect.stringContaining('aborted') });
});

test('the children of a task are ended with it, also those that it starts until its own end', async () => {
  const clock = createSimulatedClock();
  const [C, D] = ['c'.repeat(32), 'd'.repeat(32)];
  const { server, children, noted, all } = createServer(
    clock,
    { [A]: {}, [B]: {}, [C]: { status: 'queued' } },
    {
      stop: (task, id) => {
        endByAgent(task);
        if (id === A) children.set(A, { own: [B, C], clones: [D] });
      },
      dequeue: (task) => {
        task.status = 'created';
      },
    },
  );
  children.set(A, { own: [B], clones: [D] });
  const outcome = await abort(server, [A], clock);
  expect(outcome).toMatchObject({ unconfirmed: [], children: [B, C], clones: [D] });
  expect(new Set(outcome.ended)).toEqual(new Set([A, B, C]));
  expect([all.get(B)?.status, all.get(C)?.status]).toEqual(['stopped', 'created']);
  expect(noted.map(([id]) => id)).toEqual([A, B, C]);
});

test('a task that Kubernetes moves from one queue to the next is taken out of the next one', async () => {
  const clock = createSimulatedClock();
  const moving = { status: 'stopped', statusReason: 'moving to k8s pending queue' } as const;
  const { server, calls, all } = createServer(
    clock,
    { [A]: moving },
    {
      read: (task, _id, nth) => {
        if (nth === 12) Object.assign(task, { status: 'queued', statusReason: 'k8s pending scheduler' });
      },
      dequeue: (task) => Object.assign(task, { status: 'created' }),
    },
  );
  const outcome = await abort(server, [A], clock);
  expect(outcome).toEqual({ ...NOTHING_ENDED, ended: [A] });
  expect(calls).toEqual(['10.25 dequeue a']);
  expect(all.get(A)?.status).toBe('created');
});

test('a task that stays stopped on its way to a pod has ended', async () => {
  const clock = createSimulatedClock();
  const moving = { status: 'stopped', statusReason: 'moving to k8s pending queue' } as const;
  const { server, calls, seconds } = createServer(clock, { [A]: moving });
  const outcome = await abort(server, [A], clock);
  expect(outcome).toEqual({ ...NOTHING_ENDED, ended: [A] });
  expect(calls).toEqual([]);
  expect(seconds()).toBeCloseTo(30.25);
});

test('a task that an enqueue under way puts into its queue after our dequeue is taken out again', async () => {
  const clock = createSimulatedClock();
  const { server, calls, seconds, inQueue } = createServer(
    clock,
    { [A]: { status: 'queued' } },
    {
      dequeue: (task, id) => {
        task.status = 'created';
        inQueue.add(id);
      },
    },
  );
  const outcome = await abort(server, [A], clock);
  expect(outcome).toEqual({ ...NOTHING_ENDED, ended: [A] });
  expect(calls).toEqual(['0 dequeue a']);
  expect([...inQueue]).toEqual([]);
  // Once for the dequeue to settle, and once more for a worker that may have taken it from there.
  expect(seconds()).toBeGreaterThanOrEqual(4);
});
