import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { main } from './check-task-running.ts';
import { createClearmlDriver } from './dev/clearml-driver.ts';
import { startFaultProxy } from './dev/fault-proxy.ts';
import { runProgramHere } from './dev/program-run.ts';
import { type ClearmlSandbox, startClearmlSandbox } from './sandbox/clearml-server.ts';

const LATENCY_MS = 50;

let sandbox: ClearmlSandbox;
let task: string;

beforeAll(async () => {
  sandbox = await startClearmlSandbox();
  const driver = createClearmlDriver(sandbox.env);
  task = await driver.createTask();
  await driver.call('tasks.enqueue', { task, queue: (await driver.call('queues.get_default')).id });
  await driver.startTask(task);
  await driver.logLines(task, ['epoch 1', 'epoch 2']);
  await driver.completeTask(task);
});

afterAll(() => sandbox.close());

test.each([
  { args: ['--no-logs'], endpoints: ['/tasks.get_all'] },
  { args: [], endpoints: ['/tasks.get_all', '/events.get_task_log'] },
])(
  'a task that has ended costs $endpoints with options $args, a round trip each',
  async ({ args, endpoints }) => {
    const proxy = await startFaultProxy(sandbox.apiHost, undefined, { latencyMs: LATENCY_MS });
    try {
      const env = { ...sandbox.env, CLEARML_API_HOST: proxy.url };
      const run = await runProgramHere(main, { args: [task, ...args], env });
      expect(run).toMatchObject({ exitCode: 0, stdout: 'completed\n' });
      // No more requests than that, so no more round trips either.
      expect(proxy.seen.map(({ path }) => path)).toEqual(endpoints);
    } finally {
      await proxy.close();
    }
  },
);
