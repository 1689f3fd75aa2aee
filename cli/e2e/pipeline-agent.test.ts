import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { main as check } from '../check-task-running.ts';
import { main as report } from '../create-stats-comment.ts';
import { type ClearmlAgent, startClearmlAgent } from '../dev/clearml-agent.ts';
import { type ClearmlDriver, createClearmlDriver, type TaskDocument } from '../dev/clearml-driver.ts';
import { runProgramHere } from '../dev/program-run.ts';
import { preparePythonEnvironment } from '../dev/python-environment.ts';
import { createScratchRepository, type ScratchRepository } from '../dev/scratch-repository.ts';
import { type ClearmlSandbox, startClearmlSandbox } from '../sandbox/clearml-server.ts';

// A pipeline of the real SDK, its controller and its steps run by real agents.

const PIPELINE = `from clearml import PipelineController

def load():
    pass

def train():
    import time
    time.sleep(600)

if __name__ == '__main__':
    pipe = PipelineController(name='pipe', project='digits', version='1.0.0')
    pipe.set_default_execution_queue('steps')
    pipe.add_function_step(name='load', function=load)
    pipe.add_function_step(name='train', function=train, parents=['load'])
    pipe.start_locally(run_pipeline_steps_locally=False)
`;

let sandbox: ClearmlSandbox;
let driver: ClearmlDriver;
let repository: ScratchRepository;
let folder: string;
let agents: ClearmlAgent[] = [];

beforeAll(async () => {
  const { python } = await preparePythonEnvironment();
  folder = await mkdtemp(join(tmpdir(), 'pipeline-'));
  repository = createScratchRepository();
  sandbox = await startClearmlSandbox();
  driver = createClearmlDriver(sandbox.env);
  const start = (queue: string) =>
    startClearmlAgent({
      server: sandbox.env,
      python,
      queue,
      workerId: `tests:${queue}`,
      packages: 'prepared',
    });
  agents = await Promise.all([start('control'), start('steps')]);
});

afterAll(async () => {
  await Promise.all(agents.map((agent) => agent.stop()));
  await sandbox.close();
  repository.remove();
  await rm(folder, { recursive: true, force: true });
});

test('the steps of a pipeline are shown, and end with it; a clone of it by hand goes on', async () => {
  const commit = repository.commit('A pipeline', { 'train_model.py': PIPELINE, 'requirements.txt': '' });
  const project = (await driver.call('projects.create', { name: 'digits', description: '' })).id;
  const runtime = { ci_launch: 'token', ci_run: '1000' };
  const script = {
    repository: pathToFileURL(repository.directory).href,
    branch: 'main',
    version_num: commit,
    entry_point: 'train_model.py',
    working_dir: '.',
  };
  const id = await driver.createTask({ name: 'train', project, runtime, script });
  const queueOf = async (name: string) =>
    (await driver.call('queues.get_all', { name: `^${name}$` })).queues[0].id;
  await driver.call('tasks.enqueue', { task: id, queue: await queueOf('control') });
  const findStep = async (name: string): Promise<TaskDocument | undefined> =>
    (await driver.listTasks()).find((task) => task.name === name && task.parent === id);
  while ((await findStep('train'))?.status !== 'in_progress') {
    expect((await driver.getTask(id)).status).not.toBe('failed');
    await sleep(100);
  }
  const idle = (await driver.call('queues.create', { name: 'idle' })).id;
  const clone = (await driver.call('tasks.clone', { task: id, new_task_name: 'mine' })).id;
  await driver.call('tasks.enqueue', { task: clone, queue: idle });

  const env = { ...sandbox.env, GITHUB_ACTIONS: 'true', GITHUB_RUN_ID: '1000' };
  let isSent = false;
  let send: (signal: 'SIGINT') => void = () => undefined;
  const watched = await runProgramHere(check, {
    args: [id, '--no-logs', '--poll-interval', '200ms', '--on-interrupt', 'leave'],
    env,
    cwd: folder,
    onStart: (deliver) => {
      send = deliver;
    },
    onStderr: (text) => {
      if (isSent || !text.includes('1 of 2 steps completed')) return;
      isSent = true;
      send('SIGINT');
    },
  });
  expect(watched.exitCode).toBe(130);

  const run = await runProgramHere(check, { args: ['--abort', id], env, cwd: folder });
  expect(run.exitCode).toBe(0);
  const step = await findStep('train');
  expect([(await driver.getTask(id)).status, step?.status]).toEqual(['stopped', 'stopped']);
  expect(run.stderr).toContain(`Task ${step?.id}, a step of it, has ended`);
  expect(run.stderr).toContain(`leaving task ${clone} alone: somebody made it from the task that was ended`);
  expect((await driver.getTask(clone)).status).toBe('queued');
});

test('the cause of a failed step is the pipeline’s', async () => {
  const failed = await driver.createTask({ name: 'train' });
  await driver.startTask(failed);
  await driver.logLines(failed, [
    'Starting Task Execution:',
    'Traceback (most recent call last):',
    '  File "/home/a/task_repository/digits.git/train.py", line 3, in <module>',
    '    fit()',
    'ValueError: learning rate is negative',
    'Process failed, exit code 1',
  ]);
  await driver.failTask(failed, 'worker execution exit code 1');
  const nodes = { load: { status: 'completed' }, train: { status: 'failed', executed: failed } };
  const id = await driver.createTask({
    name: 'pipe',
    configuration: { Pipeline: { name: 'Pipeline', value: JSON.stringify(nodes) } },
  });
  await driver.startTask(id);
  await driver.failTask(id, 'worker execution exit code 1');
  const run = await runProgramHere(check, { args: [id, '--json'], env: sandbox.env, cwd: folder });
  expect(run.exitCode).toBe(3);
  expect(JSON.parse(run.stdout).tasks[0].cause).toMatchObject({
    kind: 'training',
    message: `step "train" (task ${failed}) failed: ValueError: learning rate is negative`,
  });
  const env = { ...sandbox.env, GITHUB_REPOSITORY: 'acme/digits', PR_NUMBER: '7' };
  const comment = await runProgramHere(report, { args: [id, '--dry-run'], env, cwd: folder });
  expect(comment.stdout).toContain('ValueError: learning rate is negative');
});
