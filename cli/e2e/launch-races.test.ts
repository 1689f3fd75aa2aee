import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { main as checkMain } from '../check/command.ts';
import { type ClearmlDriver, createClearmlDriver } from '../dev/clearml-driver.ts';
import { createPatientClock } from '../dev/patient-clock.ts';
import { runProgramHere } from '../dev/program-run.ts';
import { createScratchRepository, type ScratchRepository } from '../dev/scratch-repository.ts';
import { main as launchMain } from '../launch-training-task.ts';
import { type ClearmlSandbox, startClearmlSandbox } from '../sandbox/clearml-server.ts';
import { createHold, type Hold, type RequestGap, type StepDone } from '../sandbox/clearml-steps.ts';
import { systemClock } from '../shell/process.ts';
import type { Clock } from '../shell/world.ts';

// Enqueues at the same time, as a real server with several processes carries them out: the sandbox's requests have gaps here.

let sandbox: ClearmlSandbox;
let driver: ClearmlDriver;
let repository: ScratchRepository;
let folder: string;
let hold: Hold;
let queue: string;
/** Takes the place of the hold. */
let pauseAt: ((gap: RequestGap) => Promise<unknown> | undefined) | undefined;
/** How often somebody has asked for tasks. */
let looks: number;

beforeEach(async () => {
  hold = createHold();
  pauseAt = undefined;
  looks = 0;
  sandbox = await startClearmlSandbox({
    atGap: (gap) => (pauseAt ?? hold.atGap)(gap),
    onRequest: ({ endpoint }) => {
      if (endpoint === 'tasks.get_all') looks += 1;
    },
  });
  driver = createClearmlDriver(sandbox.env);
  queue = (await driver.call('queues.get_default')).id;
  repository = createScratchRepository();
  repository.commit('Start', { 'train_model.py': 'print(1)\n' });
  repository.git('remote', 'add', 'origin', 'https://github.com/acme/digits.git');
  repository.git('update-ref', 'refs/remotes/origin/main', 'HEAD');
  folder = await mkdtemp(join(tmpdir(), 'races-'));
});

afterEach(async () => {
  await sandbox.close();
  repository.remove();
  await rm(folder, { recursive: true, force: true });
});

type Extra = Pick<Parameters<typeof runProgramHere>[1], 'args' | 'onStart'> & {
  readonly env?: Record<string, string>;
};

function launch({ env, ...options }: Extra = {}) {
  return runProgramHere(launchMain, {
    cwd: repository.directory,
    ...options,
    env: { ...sandbox.env, ...env },
  });
}

function check(args: readonly string[], env: Record<string, string> = {}, clock: Clock = systemClock) {
  return runProgramHere(checkMain, { cwd: folder, args, env: { ...sandbox.env, ...env }, clock });
}

/** The status and id of each task, and the ids in the queue. */
async function look() {
  const tasks = await driver.listTasks();
  const { entries } = (await driver.call('queues.get_by_id', { queue })).queue as {
    entries: { task: string }[];
  };
  return {
    tasks: tasks.map(({ id, status }) => [status, id]),
    entries: entries.map(({ task }) => task),
  };
}

const waits = (id: string) => ({ tasks: [['queued', id]], entries: [id] });

/** Leaves a draft in the queue, as two enqueues at the same time do. */
async function strand(task: string): Promise<void> {
  const held = hold.next('tasks.enqueue', 'entry looked for');
  const answering = driver.call('tasks.enqueue', { task, queue }).catch(() => undefined);
  await held.reached;
  await driver.call('tasks.enqueue', { task, queue });
  held.release();
  await answering;
  expect(await look()).toEqual({ tasks: [['created', task]], entries: [task] });
}

/** A launch whose task was taken out of the queue again: a draft that further launches reuse. */
async function launchDraft(env: Record<string, string> = {}): Promise<string> {
  const { stdout } = await launch({ env });
  await driver.call('tasks.dequeue', { task: stdout.trim() });
  return stdout.trim();
}

/** Numbers in [0, 1) that are the same in each run. */
function createDraw(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

describe('20 launches at once', () => {
  test.each([1, 2, 3, 4, 5, 6])(
    'end with one task in the queue, whatever the gaps (round %i)',
    async (seed) => {
      const draw = createDraw(seed);
      pauseAt = () => sleep(draw() * 4);
      // In half of the rounds there is a draft already: then all of them enqueue it at once.
      if (seed % 2 === 0) await launchDraft();
      const runs = await Promise.all(Array.from({ length: 20 }, () => launch()));
      expect(runs.map(({ exitCode, stderr }) => (exitCode === 0 ? 0 : stderr))).toEqual(Array(20).fill(0));
      const ids = new Set(runs.map(({ stdout }) => stdout.trim()));
      expect(ids.size).toBe(1);
      expect(await look()).toEqual(waits([...ids][0] ?? ''));
    },
  );
});

describe('a launch whose enqueue is overtaken', () => {
  test.each<[string, StepDone]>([
    ['400/121', 'task loaded'],
    ['400/706', 'status set'],
    ['400/703', 'entry looked for'],
  ])('with %s hands out the task that is in the queue then', async (_, done) => {
    const id = await launchDraft();
    const held = hold.next('tasks.enqueue', done);
    const first = launch();
    await held.reached;
    const second = await launch();
    held.release();
    expect(await first).toMatchObject({ exitCode: 0, stdout: `${id}\n` });
    expect(second).toMatchObject({ exitCode: 0, stdout: `${id}\n` });
    expect(await look()).toEqual(waits(id));
  });

  test('does not enqueue again what a worker has taken', async () => {
    const id = await launchDraft();
    const held = hold.next('tasks.enqueue', 'task loaded');
    const first = launch();
    await held.reached;
    await launch();
    await driver.call('queues.get_next_task', { queue });
    looks = 0;
    held.release();
    // It has seen twice that the task is in no queue, and not running yet.
    while (looks < 2) await sleep(5);
    await driver.call('tasks.started', { task: id });
    expect(await first).toMatchObject({ exitCode: 0, stdout: `${id}\n` });
    expect(await look()).toEqual({ tasks: [['in_progress', id]], entries: [] });
  });

  test('and that fails later leaves the task to the others', async () => {
    const id = await launchDraft();
    const held = hold.next('tasks.enqueue', 'task loaded');
    const failing = launch({ env: { GITHUB_OUTPUT: join(folder, 'no-such-folder/output') } });
    await held.reached;
    await launch();
    held.release();
    const { exitCode, stderr } = await failing;
    expect(exitCode).toBe(2);
    expect(stderr).toContain(`leaving task ${id} alone: another launch uses it`);
    expect(await look()).toEqual(waits(id));
  });

  test('keeps its task where the launch that was faster fails', async () => {
    let interrupt: (signal: 'SIGINT') => void = () => undefined;
    const creating = hold.next('tasks.enqueue', 'entry pushed');
    const failing = launch({
      onStart: (send) => {
        interrupt = send;
      },
    });
    await creating.reached;
    // Its task is in the queue and `queued`, but it has no answer yet.
    const [task] = await driver.listTasks();
    const overtaken = await driver.call('tasks.edit_runtime', {
      task: task?.id,
      add_or_update: { ci_shared: '1' },
    });
    expect(overtaken.updated).toBe(1);
    interrupt('SIGINT');
    creating.release();
    expect((await failing).exitCode).toBe(130);
    expect(await look()).toEqual(waits(task?.id));
  });
});

test('a launch creates its project where somebody creates meanwhile the one that it lies in', async () => {
  const held = hold.next('projects.create', 'project looked for');
  const launching = launch({ args: ['--project', 'A Team/digits'] });
  await held.reached;
  await driver.call('projects.create', { name: 'A Team' });
  held.release();
  const { exitCode, stdout } = await launching;
  expect(exitCode).toBe(0);
  expect(await look()).toEqual(waits(stdout.trim()));
  const { projects } = await driver.call('projects.get_all', { name: '^A Team' });
  expect(projects.map(({ name }: { name: string }) => name).sort()).toEqual(['A Team', 'A Team/digits']);
});

describe('a draft that is in the queue all the same', () => {
  test('is mended by a launch that reuses it', async () => {
    const id = await launchDraft();
    await strand(id);
    expect(await launch()).toMatchObject({ exitCode: 0, stdout: `${id}\n` });
    expect(await look()).toEqual(waits(id));
  });

  test('is mended by check-task-running, which waits for it', async () => {
    const id = await launchDraft();
    await strand(id);
    const checking = check([id, '--poll-interval', '100ms']);
    for (;;) {
      const { tasks } = await look();
      if (tasks[0]?.[0] === 'queued') break;
      await sleep(50);
    }
    expect(await look()).toEqual(waits(id));
    await driver.startTask(id);
    await driver.call('tasks.completed', { task: id });
    const { exitCode, stderr } = await checking;
    expect(stderr).not.toContain('taken out of the queue');
    expect(exitCode).toBe(0);
  });

  test.each([true, false])('is taken out by --abort (named: %s)', async (isNamed) => {
    const env = { PR_NUMBER: '7', GITHUB_REPOSITORY: 'acme/digits' };
    const id = await launchDraft(env);
    await strand(id);
    expect((await check(['--abort', ...(isNamed ? [id] : [])], env)).exitCode).toBe(0);
    expect(await look()).toEqual({ tasks: [['created', id]], entries: [] });
  });
});

describe('a draft of an older commit', () => {
  const env = { PR_NUMBER: '7', GITHUB_REPOSITORY: 'acme/digits' };

  async function launchTwice(between: (older: string) => Promise<void>) {
    const older = await launchDraft(env);
    await between(older);
    repository.commit('Newer', { 'train_model.py': 'print(2)\n' });
    repository.git('update-ref', 'refs/remotes/origin/main', 'HEAD');
    const newer = await launch({ args: ['--json'], env });
    const report = JSON.parse(newer.stdout) as { tasks: { id: string }[]; superseded: string[] };
    return { older, newer: report.tasks[0]?.id ?? '', superseded: report.superseded };
  }

  test('is taken out of the queue that holds it all the same', async () => {
    const { older, newer, superseded } = await launchTwice(strand);
    expect(superseded).toEqual([older]);
    expect((await look()).entries).toEqual([newer]);
  });

  test('is left alone where it is in no queue', async () => {
    expect((await launchTwice(async () => undefined)).superseded).toEqual([]);
  });
});

describe('another change at the same time', () => {
  test.each<[string, StepDone, string]>([
    ['tasks.dequeue', 'task loaded', 'queued'],
    ['tasks.stop', 'task loaded', 'in_progress'],
  ])('costs --abort no second: %s', async (endpoint, done, status) => {
    const { stdout } = await launch();
    const task = stdout.trim();
    if (status === 'in_progress') await driver.startTask(task);
    const held = hold.next(endpoint, done);
    // Its time stands still while anything but waiting goes on, the held request too.
    const clock = createPatientClock();
    const aborting = check(['--abort', task], {}, clock);
    await held.reached;
    const beganAtMs = clock.now();
    await driver.call(status === 'queued' ? 'tasks.dequeue' : 'tasks.completed', { task });
    held.release();
    const { exitCode, stderr } = await aborting;
    expect(stderr).not.toContain('not confirmed');
    expect(exitCode).toBe(0);
    // It looks again a moment later; and it watches a dequeued draft for two seconds.
    expect(clock.now() - beganAtMs).toBe(status === 'queued' ? 2250 : 250);
  });
});
