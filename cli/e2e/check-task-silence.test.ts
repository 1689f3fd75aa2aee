import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { main } from '../check-task-running.ts';
import { type ClearmlDriver, createClearmlDriver } from '../dev/clearml-driver.ts';
import { type FaultProxy, startFaultProxy } from '../dev/fault-proxy.ts';
import { createPatientClock } from '../dev/patient-clock.ts';
import { runProgramHere } from '../dev/program-run.ts';
import { type ClearmlSandbox, startClearmlSandbox } from '../sandbox/clearml-server.ts';
import { inActions } from './check-task-setup.ts';

// A wait in which nothing happens says every five minutes that it goes on, and when it gives up.

const MINUTE = 60_000;

let clock: ReturnType<typeof createPatientClock>;
let sandbox: ClearmlSandbox;
let driver: ClearmlDriver;
let queue: string;
let proxy: FaultProxy | undefined;

beforeEach(async () => {
  clock = createPatientClock();
  sandbox = await startClearmlSandbox({ now: () => clock.now() });
  driver = createClearmlDriver(sandbox.env);
  queue = (await driver.call('queues.get_all', { name: '^default$' })).queues[0].id;
});

afterEach(async () => {
  await proxy?.close();
  proxy = undefined;
  await sandbox.close();
});

async function createQueued(): Promise<string> {
  const id = await driver.createTask({ name: 'train' });
  await driver.call('tasks.enqueue', { task: id, queue });
  return id;
}

async function createRunning(): Promise<string> {
  const id = await createQueued();
  await driver.startTask(id);
  return id;
}

/** Runs the program; gives what it said, without addresses. */
async function wait(args: readonly string[], env: Record<string, string> = {}, isTerminal = false) {
  const run = await runProgramHere(main, { args, env: { ...sandbox.env, ...env }, clock, isTerminal });
  return { ...run, lines: run.stderr.split('\n'), still: run.stderr.match(/^Still .*$/gm) ?? [] };
}

test('one task that runs on and reports nothing: every five minutes, with its time-out', async () => {
  const { exitCode, lines, still } = await wait([await createRunning(), '--timeout', '22m']);
  expect(exitCode).toBe(124);
  expect(still).toEqual(['17m', '12m', '7m', '2m'].map((rest) => `Still running; times out in ${rest}`));
  expect(lines.filter((line) => line.startsWith('running'))).toHaveLength(1);
});

test('one that waits in a queue which nobody serves: its place, and when it gives up', async () => {
  await createQueued();
  const { exitCode, still } = await wait([await createQueued(), '--queue-timeout', '12m']);
  expect(exitCode).toBe(7);
  const where = 'Still queued in "default", number 2 (1 task ahead), which no worker serves';
  expect(still).toEqual([`${where}; gives up in 7m`, `${where}; gives up in 2m`]);
});

test('several tasks: each with its own', async () => {
  const [running, queued] = [await createRunning(), await createQueued()];
  const args = [running, queued, '--timeout', '8m', '--queue-timeout', '9m'];
  const { still } = await wait(args, inActions());
  expect(still).toEqual([
    `Still waiting: ${running.slice(0, 8)} running, times out in 3m; ${queued.slice(0, 8)} queued in "default", number 1, which no worker serves, gives up in 4m`,
  ]);
});

test('on a terminal the live line has the time-out, and nothing is said beside it', async () => {
  const { stderr, still } = await wait([await createRunning(), '--timeout', '7m'], {}, true);
  expect(stderr).toContain('running for 5m; times out in 2m');
  expect(still).toEqual([]);
});

test('nothing where there is news more often', async () => {
  const id = await createRunning();
  const training = (async () => {
    for (let nth = 1; nth <= 16; nth += 1) {
      await clock.sleep(MINUTE);
      await driver.call('tasks.update', { task: id, last_iteration: nth }).catch(() => undefined);
      await driver.logLines(id, [`epoch ${nth}`]);
    }
    await driver.completeTask(id);
  })();
  const { exitCode, still } = await wait([id]);
  await training;
  expect([exitCode, still]).toEqual([0, []]);
});

test('an outage: that there is no answer yet, and when it gives up', async () => {
  const id = await createRunning();
  let isDown = false;
  proxy = await startFaultProxy(
    sandbox.apiHost,
    () => (isDown ? { kind: 'answer', status: 503, body: '' } : undefined),
    { clock },
  );
  void clock.sleep(MINUTE).then(() => {
    isDown = true;
  });
  const args = [id, '--outage-timeout', '18m'];
  const { exitCode, still } = await wait(args, { CLEARML_API_HOST: proxy.url });
  expect(exitCode).toBe(9);
  expect(still).toEqual(
    ['13m', '8m', '3m'].map((rest) => `Still no answer from ClearML; gives up in ${rest}`),
  );
});
