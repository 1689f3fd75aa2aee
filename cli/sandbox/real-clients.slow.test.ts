import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type ClearmlAgent, startClearmlAgent } from '../dev/clearml-agent.ts';
import { type ClearmlDriver, createClearmlDriver, type TaskDocument } from '../dev/clearml-driver.ts';
import { runCommand } from '../dev/command-run.ts';
import { runProgramProcess } from '../dev/program-run.ts';
import { preparePythonEnvironment } from '../dev/python-environment.ts';
import { createScratchRepository, type ScratchRepository } from '../dev/scratch-repository.ts';
import { type ClearmlSandbox, startClearmlSandbox } from './clearml-server.ts';

// The sandbox against the clients it stands in for a server to: the Python SDK and clearml-agent from PyPI, with the
// training of this repository.

const ROOT = new URL('../../', import.meta.url);
/** A wait that takes longer fails, and says what the task was doing. */
const LONGEST_WAIT_MS = 600_000;
/** A training of these parameters takes a fraction of a second, and its numbers are those of no other test here. */
const SHORT = { epochs: '4', seed: '3' };

let home: string;
let python: string;
let repository: ScratchRepository;
let commit: string;
let sandbox: ClearmlSandbox;
let clearml: ClearmlDriver;
let agent: ClearmlAgent;
let installingAgent: ClearmlAgent;
let onRequest: (request: { endpoint: string; body: unknown }) => void = () => undefined;
let installedTask: string;
let patientAgent: ClearmlAgent | undefined;
let stoppedEarly: ReturnType<typeof stopEarly>;

beforeAll(async () => {
  ({ python } = await preparePythonEnvironment());
  home = mkdtempSync(join(tmpdir(), 'clearml-ci-home-'));
  repository = createScratchRepository();
  const files = ['train_model.py', 'requirements.txt'];
  commit = repository.commit(
    'A training',
    Object.fromEntries(files.map((name) => [name, readFileSync(new URL(name, ROOT), 'utf8')])),
  );
  repository.git('remote', 'add', 'origin', 'https://example.com/acme/digits.git');
  sandbox = await startClearmlSandbox({ onRequest: (request) => onRequest(request) });
  clearml = createClearmlDriver(sandbox.env);
  [agent, installingAgent] = await Promise.all([
    startClearmlAgent({
      server: sandbox.env,
      python,
      queue: 'default',
      workerId: 'tests:prepared',
      packages: 'prepared',
    }),
    startClearmlAgent({
      server: sandbox.env,
      python,
      queue: 'install',
      workerId: 'tests:install',
      packages: 'install',
    }),
  ]);
  // Both take longest and run beside the other tests; the last ones look at what came of them.
  installedTask = await enqueueTraining(SHORT, 'install');
  stoppedEarly = stopEarly();
  stoppedEarly.catch(() => undefined);
});

afterAll(async () => {
  await Promise.all([agent?.stop(), installingAgent?.stop(), patientAgent?.stop()]);
  await sandbox?.close();
  repository?.remove();
  rmSync(home, { recursive: true, force: true });
});

/** A task as our launch makes it: the script of a commit, parameters in the section Args, no requirements. */
async function enqueueTraining(args: Readonly<Record<string, string>>, queue = 'default'): Promise<string> {
  const parameters = Object.entries(args).map(([name, value]) => [name, { section: 'Args', name, value }]);
  const id = await clearml.createTask({
    name: 'train_model',
    script: {
      repository: pathToFileURL(repository.directory).href,
      branch: 'main',
      version_num: commit,
      entry_point: 'train_model.py',
      working_dir: '.',
    },
    hyperparams: { Args: Object.fromEntries(parameters) },
  });
  await clearml.call('tasks.enqueue', { task: id, queue_name: queue });
  return id;
}

async function waitUntil(
  id: string,
  isReached: (task: TaskDocument) => boolean | Promise<boolean>,
): Promise<TaskDocument> {
  const deadline = Date.now() + LONGEST_WAIT_MS;
  for (;;) {
    const task = await clearml.getTask(id);
    if (await isReached(task)) return task;
    if (Date.now() > deadline) {
      throw new Error(`${task.status}: ${task.status_message}\n${(await readLog(id)).slice(-3000)}`);
    }
    await sleep(100);
  }
}

const waitForEnd = (id: string) =>
  waitUntil(id, ({ status }) => !['created', 'queued', 'in_progress'].includes(status));

async function readLog(id: string): Promise<string> {
  const { events } = await clearml.call('events.get_task_log', {
    task: id,
    batch_size: 5000,
    navigate_earlier: false,
  });
  return events.map((event: TaskDocument) => event.msg).join('\n');
}

/** The last value of each metric of the training, as `title/series`. */
function listValues(task: TaskDocument): Record<string, number> {
  const metrics = Object.values(task.last_metrics).flatMap((variants) => Object.values(variants as object));
  const own = metrics.filter(({ metric }) => !metric.startsWith(':monitor:'));
  return Object.fromEntries(own.map(({ metric, variant, value }) => [`${metric}/${variant}`, value]));
}

const listArgs = (task: TaskDocument): Record<string, string> =>
  Object.fromEntries(
    Object.values(task.hyperparams.Args as TaskDocument).map(({ name, value }) => [name, value]),
  );

let valuesByHand: Record<string, number>;

test('the SDK reports a training that somebody runs by hand', async () => {
  const run = await runCommand(
    python,
    [join(repository.directory, 'train_model.py'), '--epochs', SHORT.epochs, '--seed', SHORT.seed],
    {
      cwd: repository.directory,
      env: { PATH: process.env.PATH, HOME: home, NO_PROXY: '127.0.0.1', ...sandbox.env },
    },
  );
  expect(run?.output).toContain('test accuracy 0.9');
  expect(run?.exitCode).toBe(0);
  const id = /task id=([0-9a-f]{32})/.exec(run?.output ?? '')?.[1] ?? '';
  const task = await clearml.getTask(id);
  valuesByHand = listValues(task);

  expect(task).toMatchObject({ status: 'completed', name: 'train_model', last_iteration: 4 });
  expect(task.script).toMatchObject({
    repository: 'https://example.com/acme/digits.git',
    branch: 'main',
    version_num: commit,
    entry_point: 'train_model.py',
    working_dir: '.',
  });
  expect(task.script.requirements.pip).toMatch(/^clearml *== *2\./m);
  expect(task.script.requirements.pip).toMatch(/^scikit_learn *== *1\.7\.2$/m);
  expect(task.hyperparams.Args).toMatchObject({
    learning_rate: { section: 'Args', name: 'learning_rate', value: '0.05', type: 'float' },
    epochs: { section: 'Args', name: 'epochs', value: '4', type: 'int' },
    seed: { section: 'Args', name: 'seed', value: '3', type: 'int' },
  });

  const curves = await clearml.call('events.scalar_metrics_iter_histogram', { task: id });
  for (const [metric, variant] of [
    ['loss', 'train'],
    ['loss', 'validation'],
    ['accuracy', 'train'],
    ['accuracy', 'validation'],
  ] as const) {
    expect(curves[metric][variant].x).toEqual([1, 2, 3, 4]);
    expect(curves[metric][variant].y[3]).toBeCloseTo(valuesByHand[`${metric}/${variant}`] ?? Number.NaN, 6);
  }
  expect(valuesByHand['test_accuracy/accuracy']).toBeGreaterThan(0.9);
  expect(await readLog(id)).toMatch(/epoch 4\/4 .*\n(.*\n)*test accuracy 0\.9/);

  const { plots } = await clearml.call('events.get_task_plots', { task: id });
  expect(plots).toHaveLength(1);
  expect(plots[0]).toMatchObject({ metric: 'confusion matrix', variant: 'test' });
  const cells = JSON.parse(plots[0].plot_str).data[0].z.flat();
  expect(cells.reduce((sum: number, count: number) => sum + count)).toBe(360);

  const [output] = task.models.output;
  expect(output.name).toBe('model');
  const { model } = await clearml.call('models.get_by_id', { model: output.model });
  expect(model.uri.startsWith(`${sandbox.filesHost}/`)).toBe(true);
  const { token } = await clearml.call('auth.login');
  const file = await fetch(model.uri, { headers: { authorization: `Bearer ${token}` } });
  expect(
    createHash('sha256')
      .update(Buffer.from(await file.arrayBuffer()))
      .digest('hex'),
  ).toBe(
    createHash('sha256')
      .update(readFileSync(join(repository.directory, 'model.joblib')))
      .digest('hex'),
  );
});

test('the agent clones the commit and runs it with the parameters of the task: the same numbers as by hand', async () => {
  const id = await enqueueTraining(SHORT);
  const task = await waitForEnd(id);
  expect(task).toMatchObject({
    status: 'completed',
    status_reason: 'worker execution done',
    last_worker: 'tests:prepared',
  });
  expect(listValues(task)).toEqual(valuesByHand);
  expect(listArgs(task)).toMatchObject({ ...SHORT, learning_rate: '0.05', hidden_units: '64' });
  expect(await readLog(id)).toMatch(/commit: [0-9a-f]+[\s\S]*epoch 4\/4/);
  expect(task.models.output).toHaveLength(1);
});

test('a parameter of the task overrides the default in the code, and the numbers show it', async () => {
  const id = await enqueueTraining({ ...SHORT, learning_rate: '0.001' });
  const task = await waitForEnd(id);
  expect(task.status).toBe('completed');
  expect(listArgs(task)).toMatchObject({ learning_rate: '0.001' });
  expect(listValues(task)['test_accuracy/accuracy']).toBeLessThan(
    (valuesByHand['test_accuracy/accuracy'] ?? 0) - 0.2,
  );
});

test('a training that raises ends as failed, with its traceback in the log', async () => {
  const id = await enqueueTraining({ ...SHORT, learning_rate: '1e9' });
  const task = await waitForEnd(id);
  expect(task).toMatchObject({ status: 'failed', status_reason: 'worker execution exit code 1' });
  expect(await readLog(id)).toMatch(
    /Traceback \(most recent call last\):[\s\S]*train_model\.py", line \d+, in train[\s\S]*ValueError: Solver produced non-finite/,
  );
});

test('a parameter that the training refuses ends it as failed, and the log says why', async () => {
  const id = await enqueueTraining({ ...SHORT, epochs: '0' });
  const task = await waitForEnd(id);
  expect(task).toMatchObject({ status: 'failed', status_reason: 'worker execution exit code 2' });
  expect(await readLog(id)).toContain('argument --epochs: 0 is not above 0');
});

test('a stop in the middle of a training stops it', async () => {
  const id = await enqueueTraining({ epochs: '1000000' });
  await waitUntil(id, async () => (await readLog(id)).includes('epoch 5/1000000'));
  await clearml.call('tasks.stop', { task: id });
  const task = await waitForEnd(id);
  expect(task.status).toBe('stopped');
  expect(await readLog(id)).toContain('User aborted: stopping task');
});

/** Stops a task between an agent's first look after it and the start of its training. */
async function stopEarly(): Promise<{ readonly id: string; readonly message: string }> {
  const id = await enqueueTraining(SHORT, 'patient');
  const looked = new Promise<void>((resolve) => {
    let isLaunched = false;
    onRequest = ({ endpoint, body }) => {
      const { task, status_message: message } = (body ?? {}) as TaskDocument;
      if (task === id && message === 'launch by agent') isLaunched = true;
      // The other agents look after tasks of theirs.
      else if (isLaunched && endpoint === 'tasks.get_all' && JSON.stringify(body).includes(id)) resolve();
    };
  });
  patientAgent = await startClearmlAgent({
    server: sandbox.env,
    python,
    queue: 'patient',
    workerId: 'tests:patient',
    packages: 'prepared',
    // So long may it take until the training starts: at its second look the agent would find the stop.
    pollIntervalMs: 40_000,
  });
  await looked;
  await clearml.call('tasks.stop', { task: id });
  return { id, message: (await clearml.getTask(id)).status_message };
}

test("the agent installs the repository's requirements, and says so in the task", async () => {
  const task = await waitForEnd(installedTask);
  expect(task).toMatchObject({ status: 'completed', last_worker: 'tests:install' });
  expect(task.script.requirements.pip).toEqual(
    expect.arrayContaining(['clearml==2.1.12', 'scikit-learn==1.7.2']),
  );
  const log = await readLog(installedTask);
  expect(log).toMatch(/Successfully installed .*scikit-learn-1\.7\.2/);
  expect(log).not.toContain(python);
  // Another numpy may have been chosen than when the other environment was made: nearly the same numbers.
  expect(listValues(task)['test_accuracy/accuracy']).toBeCloseTo(
    valuesByHand['test_accuracy/accuracy'] ?? Number.NaN,
    2,
  );
});

/** Prints all that a launch can hand to a training. */
const TELLING_TRAINING = `
import argparse, os
from importlib.metadata import version
from clearml import Task
from clearml.config import config
from labels import LABELS

config.get("development")["report_use_subprocess"] = False
task = Task.init(project_name="ignored", task_name="ignored")
parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=1)
parser.add_argument("--name", default="nobody")
args = parser.parse_args()
settings = task.connect({"warmup": 5}, name="Schedule")
print("folder", os.path.relpath(os.getcwd(), os.path.join(__file__, "../../..")))
print("labels", LABELS, "epochs", args.epochs, "name", args.name, "warmup", settings["warmup"])
print("iniconfig", version("iniconfig"))
task.get_logger().report_scalar("test_accuracy", "accuracy", 0.5, 1)
`;

test('a launched task reaches the training whole: commit, diff, folder, parameters and requirements', async () => {
  const launched = createScratchRepository();
  try {
    launched.commit('Start', {
      // Would fail, if it were installed: the launch sends another one along.
      'requirements.txt': 'clearml==0.0.0\n',
      'models/digits/train.py': TELLING_TRAINING,
      'models/digits/labels.py': 'LABELS = "committed"\n',
      'models/requirements-train.txt': 'clearml==2.1.12\niniconfig==2.1.0\n',
    });
    launched.git('remote', 'add', 'origin', launched.directory);
    launched.git('update-ref', 'refs/remotes/origin/main', 'HEAD');
    writeFileSync(join(launched.directory, 'models/digits/labels.py'), 'LABELS = "changed, not committed"\n');
    const launch = () =>
      runProgramProcess('launch-training-task', {
        cwd: launched.directory,
        env: sandbox.env,
        args: [
          ...['--project', 'digits', '--queue', 'install', '--diff'],
          ...['--working-dir', 'models/digits', '--entry-point', 'train.py'],
          ...['--requirements', 'models/requirements-train.txt'],
          ...['--param', 'epochs=7', '--param', 'name=a = b, $c', '--param', 'Schedule/warmup=9'],
        ],
      });

    const run = await launch();
    expect(run).toMatchObject({ exitCode: 0 });
    const id = run.stdout.trim();
    const before = await clearml.getTask(id);
    const after = await waitForEnd(id);
    expect(after).toMatchObject({ status: 'completed', last_worker: 'tests:install' });
    const log = await readLog(id);
    expect(log).toContain('folder models/digits\n');
    expect(log).toContain('labels changed, not committed epochs 7 name a = b, $c warmup 9\n');
    expect(log).toContain('iniconfig 2.1.0\n');

    // What the task is found again by survives the agent and the SDK, and so does what people find it by.
    const ownKeys = Object.entries(before.runtime).filter(([key]) => key.startsWith('ci_'));
    expect(ownKeys.map(([key]) => key)).toEqual(expect.arrayContaining(['ci_key', 'ci_pipeline', 'ci_code']));
    expect(after.runtime).toMatchObject(Object.fromEntries(ownKeys));
    const { name, project, tags, comment } = before;
    expect(after).toMatchObject({ name, project, tags, comment });
    expect(after.hyperparams).toMatchObject({
      Args: { epochs: { value: '7' }, name: { value: 'a = b, $c' } },
      Schedule: { warmup: { value: '9' } },
    });
    expect(await launch()).toMatchObject({ exitCode: 0, stdout: `${id}\n` });
  } finally {
    launched.remove();
  }
});

test("a stop that comes before the training has started is erased by the agent's own start-up", async () => {
  // An agent looks after its task every few seconds. A stop between its first look and the start of the training is gone
  // at its second look.
  const { id, message } = await stoppedEarly;
  expect(message).toBe('stopping');
  const task = await waitForEnd(id);
  expect(task.status).toBe('completed');
  expect(listValues(task)).toEqual(valuesByHand);
  await patientAgent?.stop();
});

test('workers are listed while their agents run, and gone when these have stopped', async () => {
  const { workers } = await clearml.call('workers.get_all');
  expect(workers.map(({ id }: TaskDocument) => id).sort()).toEqual(['tests:install', 'tests:prepared']);
  await Promise.all([agent.stop(), installingAgent.stop()]);
  expect((await clearml.call('workers.get_all')).workers).toEqual([]);
});
