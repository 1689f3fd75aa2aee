import { execFileSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { describe, expect, test } from '@jest/globals';
import { main as check } from '../check-task-running.ts';
import type { TaskDocument } from '../dev/clearml-driver.ts';
import { type Fault, startFaultProxy } from '../dev/fault-proxy.ts';
import { runProgramHere } from '../dev/program-run.ts';
import { listOpenDues } from '../training/due.ts';
import {
  clock,
  describePullRequest,
  driver,
  folder,
  launch,
  launchTask,
  proxies,
  publish,
  repository,
  sandbox,
  setUpLaunches,
} from './launch-setup.ts';

setUpLaunches();

const HOUR_MS = 3_600_000;

/** One entry of the output. */
interface Entry {
  readonly pullRequest: number | null;
  readonly commit: string;
  readonly taskIds: readonly string[];
  readonly state: string;
}

/** What a tick asked of ClearML, in order. */
let asked: string[];

/** One run of the collecting workflow's first step. `fail` gives some of its requests a fault. */
async function tick(
  args: readonly string[] = [],
  fail: (endpoint: string, nth: number, body: string) => Fault | undefined = () => undefined,
  runnerClock = clock,
) {
  asked = [];
  const proxy = await startFaultProxy(sandbox.apiHost, ({ path, body }) => {
    asked.push(path.split('/').at(-1) ?? '');
    return fail(asked.at(-1) ?? '', asked.length, body);
  });
  proxies.push(proxy);
  const output = `${folder}/output-${Math.random()}`;
  await writeFile(output, '');
  const run = await runProgramHere(check, {
    args: ['--due', ...args],
    env: {
      ...sandbox.env,
      CLEARML_API_HOST: proxy.url,
      GITHUB_ACTIONS: 'true',
      GITHUB_EVENT_NAME: 'schedule',
      GITHUB_REPOSITORY: 'acme/digits',
      GITHUB_RUN_ID: '9000',
      GITHUB_OUTPUT: output,
    },
    cwd: folder,
    clock: runnerClock,
  });
  const outputs = await readFile(output, 'utf8');
  const entries: Entry[] = run.stdout === '' ? [] : JSON.parse(run.stdout);
  return { ...run, entries, outputs };
}

async function setLimits(text: string): Promise<void> {
  repository.commit('Settings', { '.github/clearml-ci.yml': text });
  publish();
}

const launchDetached = async (number: number, args: readonly string[] = [], id = '1000') =>
  launchTask(['--detach', ...args], await describePullRequest(number, { id }));

const head = () => repository.git('rev-parse', 'HEAD');
const pass = (ms: number) => clock.sleep(ms);
const openTo = async (id: string) => listOpenDues((await driver.getTask(id)) as never).map(({ to }) => to);

async function serveQueue(task: TaskDocument, busyWith?: string): Promise<void> {
  const report = { worker: 'w:0', queues: [task.execution.queue], timestamp: clock.now() };
  await driver.call('workers.status_report', { ...report, ...(busyWith && { task: busyWith }) });
}

describe('a look at all that is due', () => {
  test('is one request where nothing is', async () => {
    await launchTask([], await describePullRequest(7));
    const { stdout, exitCode, outputs } = await tick();
    expect([stdout, exitCode, asked]).toEqual(['[]\n', 0, ['tasks.get_all']]);
    expect(outputs).toMatch(/^due<<(\S+)\n\[\]\n\1\n$/);
  });

  test('tells what runs and what has ended, the same on stdout, as JSON and as the output', async () => {
    const running = await launchDetached(7);
    const ended = await launchDetached(8, ['--param', 'a=1']);
    await driver.startTask(running.id);
    await driver.startTask(ended.id);
    await driver.failTask(ended.id);
    const { exitCode, stdout, entries, outputs } = await tick();
    expect(exitCode).toBe(0);
    expect([...entries].sort((a, b) => Number(a.pullRequest) - Number(b.pullRequest))).toEqual([
      { pullRequest: 7, commit: head(), taskIds: [running.id], state: 'running' },
      { pullRequest: 8, commit: head(), taskIds: [ended.id], state: 'ended' },
    ]);
    expect(asked).toEqual(['tasks.get_all']);
    expect(outputs).toContain(`\n${stdout}`);
    expect((await tick(['--json'])).stdout).toBe(stdout);
  });

  test('tells two pull requests that share a task apart, and what a push is due to', async () => {
    const { id } = await launchDetached(7);
    await launchDetached(8);
    const env = await describePullRequest(0);
    await writeFile(env.GITHUB_EVENT_PATH ?? '', JSON.stringify({ before: '0'.repeat(40) }));
    const push = { GITHUB_EVENT_NAME: 'push', GITHUB_REF: 'refs/heads/main', GITHUB_SHA: head() };
    await launchTask(['--detach'], { ...env, ...push, GITHUB_RUN_ID: '1001' });
    await driver.startTask(id);
    await driver.completeTask(id);
    const { entries } = await tick();
    expect(new Map(entries.map(({ pullRequest, state }) => [pullRequest, state]))).toEqual(
      new Map([
        [7, 'ended'],
        [8, 'ended'],
        [null, 'ended'],
      ]),
    );
    await driver.call('tasks.update_tags', { ids: [id], add_tags: ['ci-reported:8'] });
    expect((await tick()).entries.map(({ pullRequest }) => pullRequest).sort()).toEqual([7, null].sort());
  });

  test('finds an ended task no more once all was reported, also where the last tag is missing', async () => {
    const { id } = await launchDetached(7);
    await driver.startTask(id);
    await driver.completeTask(id);
    await driver.call('tasks.update_tags', { ids: [id], add_tags: ['ci-reported:7'] });
    expect((await tick()).entries).toEqual([]);
    expect((await driver.getTask(id)).tags).toContain('ci-reported');
    await tick();
    expect(asked).toEqual(['tasks.get_all']);
  });

  test('names all seeds, those that had ended before the launch too', async () => {
    const first = await launchTask(['--seeds', '1,2'], await describePullRequest(7)).catch(() => undefined);
    expect(first).toBeUndefined();
    const [early] = (await driver.listTasks()).map(({ id }) => id);
    await driver.startTask(early);
    await driver.completeTask(early);
    const run = await launchDetached(7, ['--seeds', '1,2,3'], '1001').catch(() => undefined);
    expect(run).toBeUndefined();
    const all = (await driver.listTasks()).map(({ id }) => id);
    // A training may replace its tags.
    for (const id of all)
      if (id !== early) await driver.call('tasks.edit', { task: id, force: true, tags: ['mine'] });
    const { entries } = await tick();
    expect(entries).toHaveLength(1);
    expect([...(entries[0]?.taskIds ?? [])].sort()).toEqual([...all].sort());
    expect(all).toHaveLength(3);
    expect(asked.filter((endpoint) => endpoint === 'tasks.get_all')).toHaveLength(2);
    expect(entries[0]?.state).toBe('running');
  });

  test('names the seed that was reused, and none of the same training that was not asked for', async () => {
    await launchTask(['--seeds', '3'], await describePullRequest(7)).catch(() => undefined);
    const ids = (await driver.listTasks()).map(({ id }) => id);
    for (const id of ids) {
      await driver.startTask(id);
      await driver.completeTask(id);
    }
    for (const seed of ['1', '2', '3']) {
      const { stdout } = await launch(['--detach', '--seeds', `${seed},9`], {
        env: await describePullRequest(7, { id: `100${seed}` }),
      });
      const launched = stdout.trim().split('\n');
      const { entries } = await tick();
      expect(entries.map(({ taskIds }) => taskIds)).toContainEqual(launched);
    }
  });

  test('names a seed that failed though a launch at the same time has left its note on it', async () => {
    await launchDetached(7, ['--seeds', '3']).catch(() => undefined);
    const ids = (await driver.listTasks()).map(({ id }) => id);
    for (const id of ids) await driver.startTask(id);
    const [failed = ''] = ids;
    const { runtime } = await driver.getTask(failed);
    const other = { ...JSON.parse(runtime.ci_due_7), launch: 'other', atMs: 1 };
    const note = { ci_due_7: JSON.stringify(other) };
    await driver.call('tasks.edit_runtime', { task: failed, add_or_update: note });
    await driver.failTask(failed);
    for (const id of ids.slice(1)) await driver.completeTask(id);
    const { entries, stderr } = await tick();
    expect(entries.map(({ taskIds }) => [...taskIds].sort())).toContainEqual([...ids].sort());
    expect(stderr).not.toContain("can't be found");
  });

  test('tells that a launch is not over while a seed runs that another launch has left its note on', async () => {
    await launchDetached(7, ['--seeds', '2']).catch(() => undefined);
    const [running = '', ended = ''] = (await driver.listTasks()).map(({ id }) => id);
    for (const id of [running, ended]) await driver.startTask(id);
    await driver.completeTask(ended);
    const { runtime } = await driver.getTask(running);
    const other = { ...JSON.parse(runtime.ci_due_7), launch: 'other' };
    const note = { ci_due_7: JSON.stringify(other) };
    await driver.call('tasks.edit_runtime', { task: running, add_or_update: note });
    const { entries } = await tick();
    expect(entries.map(({ taskIds, state }) => [taskIds.length, state])).toEqual([
      [2, 'running'],
      [2, 'running'],
    ]);
  });

  test('says that seeds are gone, and tells the others', async () => {
    await launchDetached(7, ['--seeds', '3']).catch(() => undefined);
    const [gone, ...left] = (await driver.listTasks()).map(({ id }) => id);
    for (const id of [gone, ...left]) {
      await driver.startTask(id);
      await driver.completeTask(id);
    }
    await driver.call('tasks.delete', { task: gone, force: true });
    const run = await tick();
    expect(run.entries[0]?.taskIds).toHaveLength(2);
    expect(run.stderr).toContain("of 3 trainings for pull request 7, 1 can't be found");
  });

  test.each([
    ['task ids', ['0'.repeat(32)], 'error: --due takes no task ids'],
    ['--abort', ['--abort'], 'error: --abort and --due contradict each other'],
    ['--detach', ['--detach'], 'error: --detach and --due contradict each other'],
  ])('refuses %s', async (_title, args, message) => {
    const run = await tick(args);
    expect(run.exitCode).toBe(2);
    expect(run.stderr).toContain(message);
  });

  // `create-stats-comment --due` takes no such pull request, and would report nothing at all.
  test('leaves out notes that no launch writes: a training can write into its runtime too', async () => {
    const { id } = await launchDetached(7);
    const forged = (await driver.getTask(id)).runtime.ci_due_7 as string;
    const notes = { ci_due_0: forged, ci_due_07: forged, ci_due_00: forged };
    await driver.call('tasks.edit_runtime', { task: id, add_or_update: notes });
    const { entries } = await tick();
    expect(entries).toEqual([{ pullRequest: 7, commit: head(), taskIds: [id], state: 'running' }]);
  });

  test('tells no more than the next step takes, and first what has ended', async () => {
    const running = await launchDetached(7);
    const note = (await driver.getTask(running.id)).runtime.ci_due_7 as string;
    const numbers = Array.from({ length: 1500 }, (_, index) => 1000 + index);
    const notes = Object.fromEntries(numbers.map((number) => [`ci_due_${number}`, note]));
    await driver.call('tasks.edit_runtime', { task: running.id, add_or_update: notes });
    await pass(1000);
    const ended = await launchDetached(8, ['--param', 'a=1']);
    await driver.startTask(ended.id);
    await driver.completeTask(ended.id);
    const { entries, stdout, stderr, outputs, exitCode } = await tick();
    expect([exitCode, entries[0]?.taskIds]).toEqual([0, [ended.id]]);
    expect(
      execFileSync('printenv', ['DUE'], { env: { DUE: stdout.trim(), PATH: '/usr/bin:/bin' } }),
    ).toBeDefined();
    expect(outputs).toContain(`\n${stdout}`);
    expect(stderr).toContain(`telling ${entries.length} of 1502 trainings: a step takes no longer list`);
  });

  test('says which options have no effect', async () => {
    const { stderr, exitCode } = await tick(['--timeout', '1h', '--log', 'all']);
    expect(exitCode).toBe(0);
    expect(stderr).toContain('ignoring --timeout, --log: ');
  });
});

describe('the run time-out', () => {
  test('ends a task, and is told then and later', async () => {
    await setLimits('timeout: 2h\n');
    const { id } = await launchDetached(7);
    await driver.startTask(id);
    await pass(HOUR_MS * 1.9);
    expect((await tick()).entries[0]?.state).toBe('running');
    await pass(HOUR_MS * 0.2);
    const run = await tick();
    expect(run.entries).toEqual([{ pullRequest: 7, commit: head(), taskIds: [id], state: 'timeout' }]);
    expect(run.stderr).toContain(`the run time-out of 2h has passed for task ${id}: ending it`);
    const task = await driver.getTask(id);
    expect(task.status).toBe('stopped');
    expect(JSON.parse(task.runtime.ci_ended)).toMatchObject({ kind: 'timeout', by: '2h' });
    expect((await tick()).entries[0]?.state).toBe('timeout');
    expect(asked).toEqual(['tasks.get_all']);
  });

  test('counts from the launch where the task had begun before', async () => {
    const { id } = await launchTask(['--detach'], await describePullRequest(7));
    await driver.startTask(id);
    await pass(HOUR_MS * 0.6);
    await launchDetached(7, [], '1001');
    await pass(HOUR_MS * 0.7);
    expect((await tick()).entries[0]?.state).toBe('running');
    await pass(HOUR_MS * 0.4);
    expect((await tick()).entries[0]?.state).toBe('timeout');
  });

  test('is the server’s, however far a runner’s clock is off: that of the launch, or of a look', async () => {
    const off = (ms: number) => ({ ...clock, now: () => clock.now() + ms });
    const env = await describePullRequest(7);
    const run = await launch(['--detach'], { env, clock: off(3 * HOUR_MS) });
    const id = run.stdout.trim();
    await driver.startTask(id);
    for (const ms of [3 * HOUR_MS, -3 * HOUR_MS])
      expect((await tick([], undefined, off(ms))).entries).toMatchObject([{ state: 'running' }]);
    await pass(HOUR_MS + 60_000);
    const { entries, stderr } = await tick([], undefined, off(-3 * HOUR_MS));
    expect(stderr).toContain('the run time-out of 1h has passed');
    expect(entries).toMatchObject([{ state: 'timeout' }]);
    // The note of why it was ended counts for a look with another clock too.
    expect((await tick()).entries).toMatchObject([{ state: 'timeout' }]);
  });

  test('leaves a task that others use: one whose job waits, or one whose time-out has not passed', async () => {
    const { id } = await launchDetached(7);
    await driver.startTask(id);
    await launchTask([], await describePullRequest(8));
    await pass(HOUR_MS * 1.1);
    const run = await tick();
    expect(run.entries[0]?.state).toBe('running');
    expect(run.stderr).toContain(
      `::warning::leaving task ${id} alone: its time-out has passed for pull request 7`,
    );
    await launchDetached(8, [], '1001');
    await pass(HOUR_MS * 0.5);
    expect((await tick()).entries.map(({ state }) => state)).toEqual(['running', 'running']);
    await pass(HOUR_MS);
    expect((await tick()).entries.map(({ state }) => state)).toEqual(['timeout', 'timeout']);
  });

  test('is each seed’s own, and the launch is over once the last has ended', async () => {
    await launchDetached(7, ['--seeds', '2']).catch(() => undefined);
    const [first, second] = (await driver.listTasks()).map(({ id }) => id);
    await driver.startTask(first);
    await pass(HOUR_MS * 1.1);
    await driver.startTask(second);
    expect((await tick()).entries[0]?.state).toBe('running');
    expect((await driver.getTask(first)).status).toBe('stopped');
    await driver.completeTask(second);
    expect((await tick()).entries[0]?.state).toBe('timeout');
  });

  test('of one task that can’t be ended does not keep the others', async () => {
    const first = await launchDetached(7);
    const second = await launchDetached(8, ['--param', 'a=1']);
    for (const { id } of [first, second]) await driver.startTask(id);
    await pass(HOUR_MS * 1.1);
    const run = await tick([], (endpoint, _nth, body) =>
      endpoint === 'tasks.stop' && body.includes(first.id)
        ? { kind: 'answer', status: 500, body: '' }
        : undefined,
    );
    const states = new Map(run.entries.map(({ taskIds, state }) => [taskIds[0], state]));
    expect(states).toEqual(
      new Map([
        [first.id, 'running'],
        [second.id, 'timeout'],
      ]),
    );
    expect(run.exitCode).toBe(9);
    expect(run.outputs).toContain('"state":"timeout"');
    expect((await tick()).entries.map(({ state }) => state)).toEqual(['timeout', 'timeout']);
  });
});

describe('the queue time-out', () => {
  test('counts what two looks saw unserved, and ends the task', async () => {
    const task = await launchDetached(7);
    await pass(HOUR_MS * 5);
    // Nobody has seen yet that the queue is not served.
    expect((await tick()).entries[0]?.state).toBe('running');
    expect(asked).toEqual(['tasks.get_all', 'queues.get_all_ex', 'tasks.edit_runtime']);
    await pass(HOUR_MS * 0.4);
    expect((await tick()).entries[0]?.state).toBe('running');
    await pass(HOUR_MS * 0.2);
    const run = await tick();
    expect(run.entries[0]?.state).toBe('timeout');
    expect(run.stderr).toContain(`the queue time-out of 30m has passed for task ${task.id}: ending it`);
    expect((await driver.getTask(task.id)).status).toBe('created');
    expect((await tick()).entries[0]?.state).toBe('timeout');
  });

  test('stands still while every worker is busy, and costs no note then', async () => {
    const other = await launchTask(['--param', 'a=1'], await describePullRequest(9));
    const task = await launchDetached(7);
    await driver.startTask(other.id);
    for (let hours = 0; hours < 3; hours += 1) {
      await serveQueue(task, other.id);
      expect((await tick()).entries[0]?.state).toBe('running');
      expect(asked).toEqual(['tasks.get_all', 'queues.get_all_ex']);
      await pass(HOUR_MS);
    }
    // The worker is gone.
    await tick();
    await pass(HOUR_MS);
    expect((await tick()).entries[0]?.state).toBe('timeout');
  });

  test('begins anew in another queue', async () => {
    const task = await launchDetached(7);
    await tick();
    await pass(HOUR_MS * 0.4);
    await tick();
    await driver.call('tasks.dequeue', { task: task.id });
    await driver.call('tasks.enqueue', { task: task.id, queue: task.execution.queue });
    await pass(HOUR_MS * 0.4);
    expect((await tick()).entries[0]?.state).toBe('running');
    await pass(HOUR_MS * 0.6);
    expect((await tick()).entries[0]?.state).toBe('timeout');
  });
});

describe('a task whose worker was lost', () => {
  const lose = (id: string) => {
    const words = 'Forced stop (non-responsive)';
    return driver.call('tasks.stopped', {
      task: id,
      force: true,
      status_reason: words,
      status_message: words,
    });
  };

  test('is enqueued again as often as its launch allows', async () => {
    await setLimits('retries: 1\n');
    const { id } = await launchDetached(7);
    await driver.startTask(id);
    await lose(id);
    const run = await tick();
    expect(run.entries[0]?.state).toBe('running');
    expect(run.stderr).toContain(`task ${id} lost its worker: enqueued again in "default", retry 1 of 1`);
    expect(await driver.getTask(id)).toMatchObject({ status: 'queued', runtime: { ci_retries: '1' } });
    await driver.startTask(id);
    await lose(id);
    expect((await tick()).entries[0]?.state).toBe('ended');
  });

  test('is not enqueued again for a pull request that has newer code by now', async () => {
    await setLimits('retries: 1\n');
    const { id } = await launchDetached(7);
    await driver.startTask(id);
    await lose(id);
    repository.commit('Newer', { 'train_model.py': 'print(2)\n' });
    publish();
    await pass(1000);
    await launchDetached(7, [], '1001');
    expect((await tick()).entries.map(({ state }) => state)).toEqual(['ended', 'running']);
    expect((await driver.getTask(id)).status).toBe('stopped');
  });

  test('has ended where its launch allows none', async () => {
    const { id } = await launchDetached(7);
    await driver.startTask(id);
    await lose(id);
    expect((await tick()).entries[0]?.state).toBe('ended');
    expect(asked).toEqual(['tasks.get_all']);
  });
});

describe('a draft', () => {
  test('that was taken out of its queue has ended, once no launch can be about to queue it', async () => {
    const { id } = await launchDetached(7);
    await driver.call('tasks.dequeue', { task: id });
    expect((await tick()).entries[0]?.state).toBe('running');
    await pass(HOUR_MS);
    expect((await tick()).entries).toEqual([
      { pullRequest: 7, commit: head(), taskIds: [id], state: 'ended' },
    ]);
  });

  test('that a newer commit has superseded has ended at once', async () => {
    const { id } = await launchDetached(7);
    const old = head();
    repository.commit('Newer', { 'train_model.py': 'print(2)\n' });
    publish();
    await pass(1000);
    const next = await launchDetached(7, [], '1001');
    expect((await tick()).entries).toEqual([
      { pullRequest: 7, commit: old, taskIds: [id], state: 'ended' },
      { pullRequest: 7, commit: head(), taskIds: [next.id], state: 'running' },
    ]);
  });

  test('that was never queued is told by nobody, and found no more', async () => {
    const { id } = await launchDetached(7);
    const { task } = await driver.call('tasks.get_by_id', { task: id });
    const { runtime } = task;
    await driver.call('tasks.delete', { task: id, force: true });
    const draft = await driver.createTask({ name: 'train', runtime });
    expect((await tick()).entries[0]?.state).toBe('running');
    await pass(HOUR_MS);
    const run = await tick();
    expect(run.entries).toEqual([]);
    expect(run.stderr).toContain(`::warning::task ${draft} was never put into a queue`);
    expect(await openTo(draft)).toEqual([]);
    await tick();
    expect(asked).toEqual(['tasks.get_all']);
  });
});

test('a service that does not answer, or refuses, is the exit code', async () => {
  await launchDetached(7);
  const silent = await tick([], () => ({ kind: 'answer', status: 503, body: '' }));
  expect([silent.exitCode, silent.stdout]).toEqual([9, '']);
  const body = JSON.stringify({
    meta: { result_code: 401, result_subcode: 20, result_msg: 'Unauthorized' },
    data: {},
  });
  expect((await tick([], () => ({ kind: 'answer', status: 401, body }))).exitCode).toBe(8);
});

test('a look that is killed at any of its requests is mended by the next one', async () => {
  let cells = 0;
  for (let at = 1, isOver = false; !isOver; at += 1) {
    for (const isApplied of [false, true]) {
      const late = await launchDetached(7);
      const ended = await launchDetached(8, ['--param', 'a=1']);
      const waiting = await launchDetached(9, ['--param', 'a=2']);
      const reported = await launchDetached(10, ['--param', 'a=3']);
      for (const { id } of [late, ended, reported]) await driver.startTask(id);
      await tick();
      for (const { id } of [ended, reported]) await driver.completeTask(id);
      await driver.call('tasks.update_tags', { ids: [reported.id], add_tags: ['ci-reported:10'] });
      await pass(HOUR_MS * 1.1);
      // All that the program sends from here on is lost, as if it had been killed.
      await tick([], (_endpoint, nth) =>
        nth < at ? undefined : { kind: nth > at ? 'refuse' : isApplied ? 'cut-after' : 'cut-before' },
      );
      isOver = asked.length < at;
      const { exitCode, entries } = await tick();
      expect([at, isApplied, exitCode]).toEqual([at, isApplied, 0]);
      expect(
        new Map(entries.map(({ pullRequest, taskIds, state }) => [pullRequest, [taskIds, state]])),
      ).toEqual(
        new Map([
          [7, [[late.id], 'timeout']],
          [8, [[ended.id], 'ended']],
          [9, [[waiting.id], 'timeout']],
        ]),
      );
      const kindOf = async ({ id }: TaskDocument) =>
        JSON.parse((await driver.getTask(id)).runtime.ci_ended).kind;
      expect([await kindOf(late), await kindOf(waiting)]).toEqual(['timeout', 'queue-timeout']);
      expect((await driver.getTask(reported.id)).tags).toContain('ci-reported');
      for (const { id } of [late, ended, waiting, reported])
        await driver.call('tasks.delete', { task: id, force: true });
      cells += 1;
      if (isOver) break;
    }
  }
  expect(cells).toBeGreaterThan(20);
}, 180_000);
