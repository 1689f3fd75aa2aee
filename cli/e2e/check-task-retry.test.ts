import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { main } from '../check-task-running.ts';
import { type ClearmlDriver, createClearmlDriver } from '../dev/clearml-driver.ts';
import { type Fault, startFaultProxy } from '../dev/fault-proxy.ts';
import { runProgramHere } from '../dev/program-run.ts';
import { type ClearmlSandbox, startClearmlSandbox } from '../sandbox/clearml-server.ts';
import { createHold, type Hold } from '../sandbox/clearml-steps.ts';

let sandbox: ClearmlSandbox;
let driver: ClearmlDriver;
let hold: Hold;
let folder: string;
let queue: string;
/** How often each endpoint was called. */
let calls: string[];

beforeEach(async () => {
  calls = [];
  hold = createHold();
  sandbox = await startClearmlSandbox({
    onRequest: ({ endpoint }) => void calls.push(endpoint),
    atGap: (gap) => hold.atGap(gap),
  });
  driver = createClearmlDriver(sandbox.env);
  folder = await mkdtemp(join(tmpdir(), 'check-retry-'));
  queue = (await driver.call('queues.get_all', { name: '^default$' })).queues[0].id;
});

afterEach(async () => {
  await sandbox.close();
  await rm(folder, { recursive: true, force: true });
});

async function startTask(): Promise<string> {
  const id = await driver.createTask({ name: 'train' });
  await driver.call('tasks.enqueue', { task: id, queue });
  await driver.logLines(id, [`task ${id} pulled from ${queue} by worker spot:0`]);
  await driver.startTask(id);
  return id;
}

/** What the server's watchdog does. */
async function loseWorker(id: string): Promise<void> {
  const words = 'Forced stop (non-responsive)';
  await driver.call('tasks.stopped', { task: id, force: true, status_reason: words, status_message: words });
}

const AGAIN = /enqueued again in "default", retry (\d) of/;

/** Checks a task; `onNews` hears each thing that is said, once. */
async function check(
  id: string,
  retries: number,
  options: {
    readonly onNews?: (text: string) => unknown;
    readonly env?: object;
    readonly args?: readonly string[];
  } = {},
) {
  const settings = join(folder, `settings-${retries}.yml`);
  await writeFile(settings, `retries: ${retries}\n`);
  return runProgramHere(main, {
    args: [id, '--config', settings, '--poll-interval', '100ms', '--json', ...(options.args ?? [])],
    env: { ...sandbox.env, ...options.env },
    cwd: folder,
    onStderr: (text) => void options.onNews?.(text),
  });
}

async function entries(): Promise<string[]> {
  const found = await driver.call('queues.get_by_id', { queue });
  return found.queue.entries.map(({ task }: { task: string }) => task);
}

const causeOf = ({ stdout }: { readonly stdout: string }) => JSON.parse(stdout).tasks[0].cause;
const countOf = (endpoint: string) => calls.filter((name) => name === endpoint).length;

test('a task whose worker was lost is enqueued again into its queue, and its new end counts', async () => {
  const id = await startTask();
  await loseWorker(id);
  const run = await check(id, 2, {
    env: { GITHUB_ACTIONS: 'true' },
    async onNews(text) {
      if (!AGAIN.test(text)) return;
      expect(await entries()).toEqual([id]);
      expect(await driver.getTask(id)).toMatchObject({
        status: 'queued',
        status_message: 'enqueued again after its worker was lost, retry 1 of 2',
        runtime: { ci_retries: '1' },
      });
      await driver.startTask(id);
      await driver.completeTask(id);
    },
  });
  expect(run.exitCode).toBe(0);
  expect(causeOf(run)).toBeNull();
  expect(run.stderr).toContain(
    `::warning::task ${id} lost its worker: enqueued again in "default", retry 1 of 2\n`,
  );
  expect(run.stderr).not.toContain('::error::');
});

test('when the retries are used up the end is 3, also when the step runs again', async () => {
  const id = await startTask();
  await loseWorker(id);
  const seen: string[] = [];
  const run = await check(id, 2, {
    async onNews(text) {
      const [, retry] = AGAIN.exec(text) ?? [];
      if (retry === undefined) return;
      seen.push(retry);
      await driver.startTask(id);
      await loseWorker(id);
    },
  });
  expect(seen).toEqual(['1', '2']);
  const again = await check(id, 2);
  for (const { exitCode, ...said } of [run, again]) {
    expect(exitCode).toBe(3);
    expect(causeOf(said)).toMatchObject({
      kind: 'worker-lost',
      message: expect.stringMatching(/^the worker was lost.* \(it was enqueued again 2 times\)$/),
    });
  }
  expect(countOf('tasks.enqueue')).toBe(3);
});

test('without the setting nothing is enqueued again', async () => {
  const id = await startTask();
  await loseWorker(id);
  expect(await check(id, 0)).toMatchObject({ exitCode: 3 });
  expect(countOf('tasks.enqueue')).toBe(1);
});

describe('what somebody stopped is left:', () => {
  test('a running task', async () => {
    const id = await startTask();
    await driver.call('tasks.stop', { task: id });
    expect(await check(id, 2)).toMatchObject({ exitCode: 4 });
  });

  test.each([[[]], [['--no-logs']]])('a task that waits for its retry %j', async (args) => {
    const id = await startTask();
    await driver.logLines(id, ['Process terminated by user'], Date.now() + 1000);
    await loseWorker(id);
    const run = await check(id, 2, {
      args,
      onNews: (text) => AGAIN.test(text) && driver.call('tasks.stop', { task: id }),
    });
    expect(run.exitCode).toBe(4);
    expect(causeOf(run).kind).toBe('stopped');
  });

  afterEach(() => {
    expect(countOf('tasks.enqueue')).toBeLessThanOrEqual(2);
  });
});

test('of several that wait for the task one enqueues it', async () => {
  const id = await startTask();
  await loseWorker(id);
  let isEnded = false;
  const end = async () => {
    if (isEnded) return;
    isEnded = true;
    await driver.startTask(id);
    await driver.completeTask(id);
  };
  const runs = await Promise.all(
    [1, 2, 3].map(() => check(id, 1, { onNews: (text) => AGAIN.test(text) && setTimeout(end, 2000) })),
  );
  expect(runs.map(({ exitCode }) => exitCode)).toEqual([0, 0, 0]);
  expect(runs.filter(({ stderr }) => AGAIN.test(stderr))).toHaveLength(1);
  expect((await driver.getTask(id)).runtime).toEqual({ ci_retries: '1' });
});

test('a task that a race has left stopped in the queue is mended', async () => {
  const id = await startTask();
  await loseWorker(id);
  const held = hold.next('tasks.enqueue', 'status set');
  const checking = check(id, 1, {
    async onNews(text) {
      if (!AGAIN.test(text)) return;
      expect(await entries()).toEqual([id]);
      await driver.startTask(id);
      await driver.completeTask(id);
    },
  });
  await held.reached;
  await driver.call('tasks.enqueue', { task: id, queue });
  held.release();
  expect(await checking).toMatchObject({ exitCode: 0 });
});

test('a lost answer to the enqueueing is looked for', async () => {
  const id = await startTask();
  await loseWorker(id);
  const cut: Fault = { kind: 'cut-after' };
  const proxy = await startFaultProxy(sandbox.apiHost, ({ path }) =>
    path.endsWith('tasks.enqueue') ? cut : undefined,
  );
  const run = await check(id, 1, {
    env: { CLEARML_API_HOST: proxy.url },
    async onNews(text) {
      if (!/^queued/.test(text)) return;
      await driver.startTask(id);
      await driver.completeTask(id);
    },
  });
  await proxy.close();
  expect(run.exitCode).toBe(0);
  expect((await driver.getTask(id)).runtime).toEqual({ ci_retries: '1' });
});

test('a server that can’t note the retry is told, and the task goes on', async () => {
  const id = await startTask();
  await loseWorker(id);
  const meta = { result_code: 400, result_subcode: 0, result_msg: 'Unable to find endpoint' };
  const body = JSON.stringify({ meta, data: {} });
  const proxy = await startFaultProxy(sandbox.apiHost, ({ path }) =>
    path.endsWith('tasks.edit_runtime') ? { kind: 'answer', status: 400, body } : undefined,
  );
  let lost = 0;
  const run = await check(id, 1, {
    env: { CLEARML_API_HOST: proxy.url },
    async onNews(text) {
      if (!AGAIN.test(text)) return;
      lost += 1;
      await driver.startTask(id);
      await loseWorker(id);
    },
  });
  await proxy.close();
  expect([run.exitCode, lost]).toEqual([3, 1]);
  expect(run.stderr).toContain(`ClearML does not note that task ${id} was enqueued again`);
});

test('a task whose pod is gone goes back to the queue that the Kubernetes glue took it from', async () => {
  const id = await startTask();
  const pods = (await driver.call('queues.create', { name: 'own-pods', system_tags: ['k8s-glue'] })).id;
  await driver.call('tasks.stop', { task: id, force: true });
  await driver.call('tasks.enqueue', { task: id, queue: pods, status_reason: 'k8s pending scheduler' });
  await driver.startTask(id);
  await driver.failTask(id, 'Pod deleted (not pending or running)');
  const run = await check(id, 1, {
    async onNews(text) {
      if (!AGAIN.test(text)) return;
      expect(await entries()).toEqual([id]);
      await driver.startTask(id);
      await driver.completeTask(id);
    },
  });
  expect(run.exitCode).toBe(0);
});

test('a task whose queue is gone is not enqueued again, and that is said', async () => {
  const id = await driver.createTask({ name: 'train' });
  await driver.call('tasks.started', { task: id });
  await loseWorker(id);
  const run = await check(id, 1);
  expect(run.exitCode).toBe(3);
  expect(run.stderr).toContain('is not enqueued again: its queue is unknown or gone');
});
