import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { main } from '../check-task-running.ts';
import { type ClearmlDriver, createClearmlDriver } from '../dev/clearml-driver.ts';
import { startFaultProxy } from '../dev/fault-proxy.ts';
import { createPatientClock } from '../dev/patient-clock.ts';
import { runProgramHere } from '../dev/program-run.ts';
import { countRoundTrips } from '../dev/round-trips.ts';
import { type ClearmlSandbox, startClearmlSandbox } from '../sandbox/clearml-server.ts';

/** Time stands still while anything but waiting goes on: however busy the machine is, a trip is a trip. */
const createLatency = () => ({ latencyMs: 50, clock: createPatientClock() });

let sandbox: ClearmlSandbox;
let driver: ClearmlDriver;
let task: string;

beforeAll(async () => {
  sandbox = await startClearmlSandbox();
  driver = createClearmlDriver(sandbox.env);
  task = await runTask(['epoch 1', 'epoch 2']);
  await driver.completeTask(task);
});

async function runTask(lines: readonly string[]): Promise<string> {
  const id = await driver.createTask();
  await driver.call('tasks.enqueue', { task: id, queue: (await driver.call('queues.get_default')).id });
  await driver.startTask(id);
  await driver.logLines(id, lines);
  return id;
}

afterAll(() => sandbox.close());

test.each([
  { args: ['--no-logs'], endpoints: ['/tasks.get_all'] },
  { args: [], endpoints: ['/tasks.get_all', '/events.get_task_log'] },
])(
  'a task that has ended costs $endpoints with options $args, a round trip each',
  async ({ args, endpoints }) => {
    const latency = createLatency();
    const proxy = await startFaultProxy(sandbox.apiHost, undefined, latency);
    try {
      const env = { ...sandbox.env, CLEARML_API_HOST: proxy.url };
      const run = await runProgramHere(main, { args: [task, ...args], env, clock: latency.clock });
      expect(run).toMatchObject({ exitCode: 0, stdout: 'completed\n' });
      // No more requests than that, so no more round trips either.
      expect(proxy.seen.map(({ path }) => path)).toEqual(endpoints);
    } finally {
      await proxy.close();
    }
  },
);

test.each([
  { args: [], end: 'completed', exitCode: 0, trips: 5 },
  // Each is looked at once more, for its final reason.
  { args: ['--no-logs'], end: 'failed', exitCode: 3, trips: 20 },
])(
  'the logs of 20 $end tasks are asked for eight at a time and told in their order, with options $args',
  async ({ args, end, exitCode, trips }) => {
    const numbers = Array.from({ length: 20 }, (_, index) => index);
    const ids: string[] = [];
    for (const number of numbers) ids.push(await runTask([`line of ${number}`]));
    for (const id of ids) await (end === 'failed' ? driver.failTask(id) : driver.completeTask(id));
    const latency = createLatency();
    const proxy = await startFaultProxy(sandbox.apiHost, undefined, latency);
    try {
      const env = { ...sandbox.env, CLEARML_API_HOST: proxy.url };
      const run = await runProgramHere(main, { args: [...ids, ...args], env, clock: latency.clock });
      expect(run).toMatchObject({ exitCode, stdout: `${end}\n`.repeat(20) });
      const told = [...run.stderr.matchAll(/\bline of (\d+)$/gm)].map(([, number]) => Number(number));
      // Of a failure a line may be told twice: in the log and as its cause.
      expect([...new Set(told)]).toEqual(numbers);
      const logs = proxy.seen.filter(({ path }) => path === '/events.get_task_log');
      expect(logs).toHaveLength(20);
      const underWay = logs.map(
        ({ beganAtMs }) =>
          logs.filter((other) => other.beganAtMs <= beganAtMs && beganAtMs < (other.answeredAtMs ?? 0))
            .length,
      );
      expect(Math.max(...underWay)).toBe(8);
      expect(countRoundTrips(logs)).toBeLessThanOrEqual(trips);
    } finally {
      await proxy.close();
    }
  },
);

test.each([{ args: [] }, { args: ['--no-logs'] }])(
  '20 tasks that failed long ago are not looked at again for their reasons, with options $args',
  async ({ args }) => {
    let agoMs = 60_000;
    const earlier = await startClearmlSandbox({ now: () => Date.now() - agoMs });
    const past = createClearmlDriver(earlier.env);
    const latency = createLatency();
    const proxy = await startFaultProxy(earlier.apiHost, undefined, latency);
    try {
      const ids: string[] = [];
      for (let number = 0; number < 20; number += 1) {
        const id = await past.createTask();
        await past.startTask(id);
        await past.logLines(id, [`line of ${number}`]);
        await past.failTask(id);
        ids.push(id);
      }
      agoMs = 0;
      const env = { ...earlier.env, CLEARML_API_HOST: proxy.url };
      const run = await runProgramHere(main, { args: [...ids, ...args], env, clock: latency.clock });
      expect(run).toMatchObject({ exitCode: 3, stdout: 'failed\n'.repeat(20) });
      expect(run.stderr.match(/^error: /gm)).toHaveLength(20);
      expect(proxy.seen.filter(({ path }) => path === '/tasks.get_all')).toHaveLength(1);
      expect(proxy.seen).toHaveLength(21);
      expect(countRoundTrips(proxy.seen)).toBeLessThanOrEqual(5);
    } finally {
      await proxy.close();
      await earlier.close();
    }
  },
);

test('each log of 21 tasks is asked for once, after its end, however often they are looked at', async () => {
  const ids: string[] = [];
  for (let number = 0; number < 21; number += 1) ids.push(await runTask([`line of ${number}`]));
  const latency = createLatency();
  const proxy = await startFaultProxy(sandbox.apiHost, undefined, latency);
  const count = (endpoint: string) => proxy.seen.filter(({ path }) => path === endpoint).length;
  const logsAtEnd: number[] = [];
  const endAfterThreeLooks = async () => {
    while (count('/tasks.get_all') < 3) await latency.clock.sleep(1000);
    logsAtEnd.push(count('/events.get_task_log'));
    for (const id of ids) await driver.completeTask(id);
  };
  try {
    const run = await runProgramHere(main, {
      args: [...ids, '--poll-interval', '2s'],
      env: { ...sandbox.env, CLEARML_API_HOST: proxy.url },
      clock: latency.clock,
      onStart: () => void endAfterThreeLooks(),
    });
    expect(run).toMatchObject({ exitCode: 0, stdout: 'completed\n'.repeat(21) });
    expect(run.stderr.match(/\bline of \d+$/gm)).toHaveLength(21);
    expect(logsAtEnd).toEqual([0]);
    expect(count('/events.get_task_log')).toBe(21);
  } finally {
    await proxy.close();
  }
});
