import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from '@jest/globals';
import { type ClearmlDriver, createClearmlDriver } from '../dev/clearml-driver.ts';
import { type ProgramRun, type RunOptions, runProgramProcess } from '../dev/program-run.ts';
import { type ClearmlSandbox, startClearmlSandbox } from '../sandbox/clearml-server.ts';

/** What the program asked the server for, by task: `tasks.get_all`, … */
interface Asked {
  readonly endpoint: string;
  readonly body: string;
}

export let sandbox: ClearmlSandbox;
export let driver: ClearmlDriver;
export let folder: string;
export let projectId: string;
export let queueId: string;
export const asked: Asked[] = [];
/** Ends what a test that failed has left running. */
const kills: Array<() => void> = [];

/** Runs that wait for their turn. */
const plannedRuns: Array<() => Promise<void>> = [];
/** Each costs a second or more, most of it waiting: so several at once, while the first tests look at their results. */
const PARALLEL_RUNS = 6;

/** Plans a run of the program that begins before the tests do; gives what came of it. */
export function plan<Result>(start: () => Promise<Result>): () => Promise<Result> {
  const result = new Promise<Result>((resolve, reject) => {
    plannedRuns.push(() => start().then(resolve, reject));
  });
  // Whoever asks for the result hears of the failure.
  result.catch(() => undefined);
  return () => result;
}

/** To be called once in a file of tests. */
export function setUpChecks(): void {
  beforeAll(async () => {
    sandbox = await startClearmlSandbox({
      onRequest: ({ endpoint, body }) => asked.push({ endpoint, body: JSON.stringify(body) }),
    });
    driver = createClearmlDriver(sandbox.env);
    folder = await mkdtemp(join(tmpdir(), 'check-'));
    projectId = (await driver.call('projects.create', { name: 'digits', description: '' })).id;
    queueId = (await driver.call('queues.get_all', { name: '^default$' })).queues[0].id;
  });

  beforeAll(() => {
    const work = async () => {
      for (let next = plannedRuns.shift(); next !== undefined; next = plannedRuns.shift()) await next();
    };
    for (let worker = 0; worker < PARALLEL_RUNS; worker += 1) void work();
  });

  afterAll(async () => {
    for (const kill of kills) kill();
    await sandbox.close();
    await rm(folder, { recursive: true, force: true });
  });
}

/** Runs the program as a process; outside Actions unless `env` says otherwise. */
export function check(
  args: readonly string[],
  options: Pick<Partial<RunOptions>, 'env' | 'onStart' | 'onStderr'> = {},
): Promise<ProgramRun> {
  return runProgramProcess('check-task-running', {
    cwd: folder,
    ...options,
    args,
    env: { ...sandbox.env, ...options.env },
    onStart: (process) => {
      kills.push(() => process.kill('SIGKILL'));
      options.onStart?.(process);
    },
  });
}

export async function createTask(fields: object = {}): Promise<string> {
  return driver.createTask({ name: 'train', project: projectId, ...fields });
}

export async function createQueuedTask(fields: object = {}): Promise<string> {
  const id = await createTask(fields);
  await driver.call('tasks.enqueue', { task: id, queue: queueId });
  return id;
}

export async function createRunningTask(fields: object = {}): Promise<string> {
  const id = await createQueuedTask(fields);
  await driver.startTask(id);
  return id;
}

/** What the workflow's launch leaves on a task. */
export const launchedBy = (run: string, pullRequest = '7') => ({
  runtime: { ci_launch: 'token', ci_run: run, ci_pull_request: pullRequest },
  tags: ['ci', `pr:${pullRequest}`],
});

export const inActions = (run = '1000') => ({ GITHUB_ACTIONS: 'true', GITHUB_RUN_ID: run });

export async function statusOf(id: string): Promise<string> {
  return (await driver.getTask(id)).status;
}

/** Acts on what the program says, one step after the other; each looks only at what was said since the one before. */
export function chain(steps: ReadonlyArray<readonly [RegExp, () => unknown]>) {
  let said = '';
  let step = 0;
  return (text: string) => {
    said += text;
    const [pattern, act] = steps[step] ?? [];
    if (pattern === undefined || act === undefined || !pattern.test(said)) return;
    said = '';
    step += 1;
    void act();
  };
}

/** The runner's reading of an outputs file. */
export async function readOutputs(path: string): Promise<Record<string, string>> {
  const text = await readFile(path, 'utf8');
  return Object.fromEntries(
    [...text.matchAll(/^(\S+?)<<(\S+)\n([\s\S]*?)\n\2$/gm)].map(([, name, , value]) => [name, value ?? '']),
  );
}
