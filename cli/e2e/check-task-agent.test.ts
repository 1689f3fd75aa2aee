import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { main } from '../check-task-running.ts';
import { type ClearmlAgent, startClearmlAgent } from '../dev/clearml-agent.ts';
import { type ClearmlDriver, createClearmlDriver } from '../dev/clearml-driver.ts';
import { runProgramHere, runProgramProcess } from '../dev/program-run.ts';
import { preparePythonEnvironment } from '../dev/python-environment.ts';
import { createScratchRepository, type ScratchRepository } from '../dev/scratch-repository.ts';
import { runWorkflowJob } from '../dev/workflow-runner.ts';
import { type ClearmlSandbox, startClearmlSandbox } from '../sandbox/clearml-server.ts';
import { systemClock } from '../shell/process.ts';

// What ends a training that a real agent runs. At more moments, and again and again: dev/prove-abort.ts.

/** Once the agent has left the task nothing undoes a stop. */
const AFTERMATH_MS = 1500;

const TRAINING = `from clearml import Task
import time
Task.init(project_name='digits', task_name='train', reuse_last_task_id=False)
for epoch in range(600):
    print('epoch', epoch, flush=True)
    time.sleep(0.5)
`;

let sandbox: ClearmlSandbox;
let driver: ClearmlDriver;
let repository: ScratchRepository;
let commit: string;
let folder: string;
let agents: ClearmlAgent[] = [];
/** Hears which tasks somebody has asked for. */
let onLook: (body: string) => void = () => undefined;
/** Has an agent of its own, and goes on while the other tests run. */
let cancelled: ReturnType<typeof cancelWhenTaken>;

beforeAll(async () => {
  const { python } = await preparePythonEnvironment();
  folder = await mkdtemp(join(tmpdir(), 'check-agent-'));
  repository = createScratchRepository();
  commit = repository.commit('A long training', { 'train_model.py': TRAINING, 'requirements.txt': '' });
  sandbox = await startClearmlSandbox({
    onRequest: ({ endpoint, body }) => endpoint === 'tasks.get_all' && onLook(JSON.stringify(body)),
  });
  driver = createClearmlDriver(sandbox.env);
  const start = (queue: string, pollIntervalMs: number) =>
    startClearmlAgent({
      server: sandbox.env,
      python,
      queue,
      workerId: `tests:${queue}`,
      packages: 'prepared',
      pollIntervalMs,
    });
  // As slow to look after its task as an agent is by default, and faster.
  agents = await Promise.all([start('slow', 5000), start('fast', 300)]);
  cancelled = cancelWhenTaken();
  cancelled.catch(() => undefined);
});

afterAll(async () => {
  await Promise.all(agents.map((agent) => agent.stop()));
  await sandbox.close();
  repository.remove();
  await rm(folder, { recursive: true, force: true });
});

/** A draft as run 1000 of the workflow makes it. */
function createDraft(): Promise<string> {
  return driver.createTask({
    name: 'train',
    runtime: { ci_launch: 'token', ci_run: '1000', ci_pull_request: '7' },
    tags: ['ci', 'pr:7'],
    script: {
      repository: pathToFileURL(repository.directory).href,
      branch: 'main',
      version_num: commit,
      entry_point: 'train_model.py',
      working_dir: '.',
    },
  });
}

async function enqueue(task: string, queue: string): Promise<void> {
  const { queues } = await driver.call('queues.get_all', { name: `^${queue}$` });
  await driver.call('tasks.enqueue', { task, queue: queues[0].id });
}

async function waitUntilTaken(id: string): Promise<void> {
  while ((await driver.getTask(id)).status !== 'in_progress') await sleep(20);
}

/** It has ended, its agent turns to the next, and it stays ended and prints nothing any more. */
async function expectToStayEnded(id: string, agent: ClearmlAgent | undefined): Promise<void> {
  expect((await driver.getTask(id)).status).toBe('stopped');
  const isLeft = new RegExp(`DONE: Running task '${id}'[^]*No tasks in queue`, 'i');
  while (!isLeft.test(agent?.log() ?? '')) await sleep(20);
  const countMessages = async () => (await driver.call('events.get_task_log', { task: id })).total;
  const messages = await countMessages();
  await sleep(AFTERMATH_MS);
  expect((await driver.getTask(id)).status).toBe('stopped');
  expect(await countMessages()).toBe(messages);
}

const inActions = () => ({ ...sandbox.env, GITHUB_ACTIONS: 'true', GITHUB_RUN_ID: '1000' });

/** Calls back once, in the midst of the training. */
function onceTraining(act: () => void): (text: string) => void {
  let isTraining = false;
  return (text) => {
    if (isTraining || !/^epoch 3$/m.test(text)) return;
    isTraining = true;
    act();
  };
}

/** Runs two steps as the runner does, and cancels the run when the agent has just taken the task. */
async function cancelWhenTaken() {
  const id = await createDraft();
  const cancel = new AbortController();
  const command = `exec "$NODE" --import "$TSX" "$PROGRAM"`;
  const looked = new Promise<void>((resolve) => {
    onLook = (body) => body.includes(id) && resolve();
  });
  const running = runWorkflowJob({
    workflow: `
on: push
jobs:
  train:
    runs-on: ubuntu-latest
    steps:
      - id: check
        run: ${command} "$TASK_ID"
      - id: abort
        if: cancelled()
        run: ${command} --abort "$TASK_ID"
`,
    job: 'train',
    github: { run_id: '1000', event_name: 'push', event: {} },
    machineEnv: {
      ...sandbox.env,
      PATH: process.env.PATH ?? '',
      NODE: process.execPath,
      TSX: import.meta.resolve('tsx'),
      PROGRAM: fileURLToPath(new URL('../check-task-running.ts', import.meta.url)),
      TASK_ID: id,
    },
    workspace: folder,
    cancel: cancel.signal,
  });
  // By then it handles signals.
  await looked;
  await enqueue(id, 'slow');
  await waitUntilTaken(id);
  cancel.abort();
  return { id, ...(await running) };
}

test('a time-out in the midst of a training ends it', async () => {
  const id = await createDraft();
  await enqueue(id, 'fast');
  let leapMs = 0;
  const run = await runProgramHere(main, {
    args: [id, '--poll-interval', '300ms', '--timeout', '1h'],
    cwd: folder,
    env: inActions(),
    // However long the agent takes until it trains.
    clock: { ...systemClock, now: () => Date.now() + leapMs },
    onStderr: onceTraining(() => {
      leapMs = 3_600_000;
    }),
  });
  expect(run).toMatchObject({ exitCode: 124, stdout: 'stopped\n' });
  expect(run.stderr).toMatch(/^Process aborted by user$/m);
  await expectToStayEnded(id, agents[1]);
});

test('a signal in the midst of a training ends it within the time that a runner gives', async () => {
  const id = await createDraft();
  await enqueue(id, 'fast');
  let kill: (signal: NodeJS.Signals) => void = () => undefined;
  let signalledAtMs = 0;
  const run = await runProgramProcess('check-task-running', {
    args: [id, '--poll-interval', '300ms'],
    cwd: folder,
    env: inActions(),
    onStart: (process) => {
      kill = process.kill;
    },
    onStderr: onceTraining(() => {
      signalledAtMs = Date.now();
      kill('SIGTERM');
    }),
  });
  expect(run).toMatchObject({ exitCode: 143, stdout: 'stopped\n' });
  expect(Date.now() - signalledAtMs).toBeLessThan(9500);
  await expectToStayEnded(id, agents[1]);
});

test('a run that is cancelled when an agent has just taken its task leaves nothing running', async () => {
  const { id, conclusion, steps } = await cancelled;
  expect(conclusion).toBe('cancelled');
  expect(steps.map((step) => step.exitCode)).toEqual([130, 0]);
  await expectToStayEnded(id, agents[0]);
});
