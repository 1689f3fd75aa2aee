import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { main } from '../check-task-running.ts';
import { type ClearmlDriver, createClearmlDriver } from '../dev/clearml-driver.ts';
import { startKubernetesGlue } from '../dev/kubernetes-glue.ts';
import { createPatientClock } from '../dev/patient-clock.ts';
import { runProgramHere } from '../dev/program-run.ts';
import { preparePythonEnvironment } from '../dev/python-environment.ts';
import { type ClearmlSandbox, startClearmlSandbox } from '../sandbox/clearml-server.ts';

// What the real glue did (dev/record-kubernetes-glue.ts), played again with more time between its steps; and once the real one.

interface Step {
  readonly endpoint: string;
  readonly body: unknown;
}

const SECOND = 1000;
const MINUTE = 60 * SECOND;

let recorded: Record<string, Step[]>;
let folder: string;
let sandbox: ClearmlSandbox;
let driver: ClearmlDriver;
let queue: string;
let pods: string;
let task: string;
let clock: ReturnType<typeof createPatientClock>;

beforeAll(async () => {
  recorded = JSON.parse(await readFile(new URL('fixtures/kubernetes-glue.json', import.meta.url), 'utf8'));
  folder = await mkdtemp(join(tmpdir(), 'check-kubernetes-'));
});

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

beforeEach(async () => {
  clock = createPatientClock();
  sandbox = await startClearmlSandbox({ now: () => clock.now() });
  driver = createClearmlDriver(sandbox.env);
  queue = (await driver.call('queues.get_all', { name: '^default$' })).queues[0].id;
  pods = (await driver.call('queues.create', { name: 'k8s_scheduler', system_tags: ['k8s-glue'] })).id;
  // The glue says that it is there as an agent does.
  await driver.call('workers.register', { worker: 'k8s:glue', queues: [queue], timeout: 86_400 });
  task = await driver.createTask({ name: 'train', runtime: { ci_launch: 'token', ci_run: '1000' } });
  await driver.call('tasks.enqueue', { task, queue });
});

afterEach(async () => {
  await sandbox.close();
});

/** Does what the glue did, with this much time after each of its steps, and after its news. */
async function replay(name: string, pauseMs: number, newsMs = pauseMs): Promise<void> {
  for (const { endpoint, body } of recorded[name] ?? []) {
    const text = JSON.stringify(body).replaceAll('TASK', task).replaceAll('QUEUE', queue);
    const given = JSON.parse(text.replaceAll('PODS', pods));
    if (endpoint === 'events.add_batch') {
      await driver.logLines(
        task,
        given.map(({ msg }: { msg: string }) => msg),
        clock.now(),
      );
    } else {
      // Refused to the glue too, which does not mind.
      const mayFail = ['queues.remove_task', 'tasks.edit_hyper_params'].includes(endpoint);
      await driver.call(endpoint, given).catch((error) => {
        if (!mayFail) throw error;
      });
    }
    await clock.sleep(endpoint === 'tasks.update' ? newsMs : pauseMs);
  }
}

/** Watches the task in Actions while something happens. */
function watch(meanwhile: () => Promise<unknown>, args: readonly string[] = []) {
  return runProgramHere(main, {
    args: [task, ...args],
    env: { ...sandbox.env, GITHUB_ACTIONS: 'true', GITHUB_RUN_ID: '1000' },
    cwd: folder,
    clock,
    onStart: () => void meanwhile(),
  });
}

const NO_ADVICE_TO_START_AN_AGENT = expect.not.stringMatching(/clearml-agent daemon|no worker serves/);

test('a task that the glue moves is waited for, and what its pod waits for is shown', async () => {
  const run = await watch(async () => {
    await replay('scheduled', 8 * SECOND, MINUTE);
    await driver.startTask(task);
    await clock.sleep(MINUTE);
    await driver.completeTask(task);
  });
  expect(run).toMatchObject({ exitCode: 0, stdout: 'completed\n', stderr: NO_ADVICE_TO_START_AN_AGENT });
  expect(run.stderr).toContain(
    ', waiting for a Kubernetes pod: Unschedulable (0/3 nodes are available: 3 Insufficient nvidia.com/gpu.)\n',
  );
  expect(run.stderr).toContain(', waiting for a Kubernetes pod: ContainerCreating\n');
});

test('a task that finds no free pod goes back to its queue, and is waited for all the same', async () => {
  for (const name of ['no-free-pod', 'unreadable-pods']) {
    const run = await watch(async () => {
      await replay(name, 4 * SECOND);
      await clock.sleep(MINUTE);
      await driver.startTask(task);
      await driver.completeTask(task);
    });
    expect(run).toMatchObject({ exitCode: 0, stderr: NO_ADVICE_TO_START_AN_AGENT });
    await driver.call('tasks.reset', { task });
    await driver.call('tasks.enqueue', { task, queue });
  }
});

test('a pod that never comes ends with the queue time-out, half an hour after the last news', async () => {
  let newsMs = 0;
  const news = async () => {
    await replay('scheduled', 8 * SECOND, 20 * MINUTE);
    newsMs = clock.now() - 20 * MINUTE - 8 * SECOND;
  };
  const run = await watch(news, ['--json']);
  expect(run).toMatchObject({ exitCode: 7, stderr: NO_ADVICE_TO_START_AN_AGENT });
  expect(Math.abs(clock.now() - newsMs - 30 * MINUTE)).toBeLessThan(MINUTE);
  expect(JSON.parse(run.stdout).tasks[0].cause).toMatchObject({
    kind: 'never-started',
    message: expect.stringContaining('while it waited for a Kubernetes pod: ContainerCreating'),
  });
  expect(run.stderr).toContain('kubectl describe pod');
  // As the glue enqueued a stopped task, it is stopped again; then the glue takes its pod away.
  expect(await driver.getTask(task)).toMatchObject({ status: 'stopped' });
});

test.each([
  ['kubernetes-image', /setup: .*ImagePullBackOff \(Back-off pulling image "acme\/train:9"\)/],
  ['kubernetes-refused', /setup: .*Error from server \(Forbidden\): pods "clearml-id" is forbidden/],
])('what the glue reports as an error is a failure of set-up, in its words: %s', async (name, words) => {
  const run = await watch(() => replay(name, 2 * SECOND), ['--json']);
  expect(run.exitCode).toBe(3);
  const { cause } = JSON.parse(run.stdout).tasks[0];
  expect(`${cause.kind}: ${cause.message}`).toMatch(words);
});

test('a task that stays between the queues is what it is: stopped', async () => {
  const [log, stop] = recorded.scheduled ?? [];
  recorded.stuck = [log, stop].flatMap((step) => step ?? []);
  const run = await watch(() => replay('stuck', SECOND), ['--json']);
  expect(run.exitCode).toBe(4);
  expect(JSON.parse(run.stdout).tasks[0]).toMatchObject({
    status: 'stopped',
    cause: { kind: 'stopped', message: expect.stringContaining('moving to k8s pending queue') },
  });
});

test('the glue’s words are one line that commands nothing, and end', async () => {
  const words = `Unschedulable (\n::error::nodes\r\n::endgroup::${'x'.repeat(5000)})`;
  const run = await watch(async () => {
    await replay('scheduled', SECOND);
    await driver.call('tasks.update', { task, status_message: `K8S glue status: ${words}` });
    await clock.sleep(2 * MINUTE);
    await driver.startTask(task);
    await driver.completeTask(task);
  });
  expect(run.exitCode).toBe(0);
  const line = run.stderr.split('\n').find((text) => text.includes('::error::nodes')) ?? '';
  expect(line).toMatch(/^queued for .*: Unschedulable \( ::error::nodes ::endgroup::x+…$/);
  expect(line.length).toBeLessThan(400);
});

test('with the real glue a task is waited for from its queue to its end', async () => {
  const { python } = await preparePythonEnvironment();
  const real = await startClearmlSandbox();
  const realDriver = createClearmlDriver(real.env);
  const { queues } = await realDriver.call('queues.get_all', { name: '^default$' });
  const id = await realDriver.createTask({ name: 'train' });
  await realDriver.call('tasks.enqueue', { task: id, queue: queues[0].id });
  const glue = await startKubernetesGlue({ server: real.env, python, queue: 'default' });
  try {
    glue.setCluster({ pending: [{ task: id, reason: 'Unschedulable', message: 'no GPU' }] });
    let said = '';
    const run = await runProgramHere(main, {
      args: [id, '--poll-interval', '100ms'],
      env: real.env,
      cwd: folder,
      isTerminal: true,
      onStderr: (text) => {
        const isNews = !said.includes('Unschedulable (');
        said += text;
        if (!isNews || !said.includes('Unschedulable (')) return;
        glue.setCluster({ pending: [] });
        void realDriver.startTask(id).then(() => realDriver.completeTask(id));
      },
    });
    expect(run).toMatchObject({ exitCode: 0, stderr: NO_ADVICE_TO_START_AN_AGENT });
    expect(said).toContain('waiting for a Kubernetes pod');
  } finally {
    await glue.stop();
    await real.close();
  }
});
