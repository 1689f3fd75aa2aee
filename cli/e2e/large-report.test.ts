import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { main } from '../create-stats-comment.ts';
import { type ClearmlDriver, createClearmlDriver } from '../dev/clearml-driver.ts';
import { type FaultProxy, startFaultProxy } from '../dev/fault-proxy.ts';
import { answerLargeTask } from '../dev/large-task.ts';
import { runProgramHere, runProgramProcess } from '../dev/program-run.ts';
import { type Sandbox, startSandbox } from '../sandbox/sandbox.ts';

let sandbox: Sandbox;
let proxy: FaultProxy;
let quarter: FaultProxy;
let task: string;
let driver: ClearmlDriver;

beforeAll(async () => {
  sandbox = await startSandbox({
    github: { pulls: [{ number: 7, headRef: 'topic', headSha: 'a'.repeat(40), baseRef: 'main' }] },
  });
  driver = createClearmlDriver(sandbox.clearml.env);
  task = await driver.createTask();
  const document = await driver.getTask(task);
  const whole = answerLargeTask(document, 10_000);
  expect(whole.length).toBeGreaterThan(15_000_000);
  proxy = await startProxyWith(whole);
  quarter = await startProxyWith(answerLargeTask(document, 2_500));
});

afterAll(async () => {
  await proxy.close();
  await quarter.close();
  await sandbox.close();
});

async function startProxyWith(body: string): Promise<FaultProxy> {
  return await startFaultProxy(sandbox.clearml.apiHost, ({ path }) =>
    path.endsWith('tasks.get_all')
      ? { kind: 'answer', status: 200, headers: { 'content-type': 'application/json' }, body }
      : undefined,
  );
}

/** Reports the task, and gives what the process used: MiB at most, and seconds of the processor. */
async function measureReport(id: string, apiHost: string) {
  const tell =
    'process.on("exit", () => { const r = process.resourceUsage(); console.error("used", r.maxRSS, r.userCPUTime + r.systemCPUTime) })';
  const run = await runProgramProcess('create-stats-comment', {
    args: [id],
    cwd: '/',
    env: {
      ...sandbox.env,
      CLEARML_API_HOST: apiHost,
      PR_NUMBER: '7',
      NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(tell)}`,
    },
  });
  expect(run).toMatchObject({ exitCode: 0 });
  const [, kilobytes, microseconds] = /used (\d+) (\d+)/.exec(run.stderr) ?? [];
  return { mib: Number(kilobytes) / 1024, seconds: Number(microseconds) / 1e6 };
}

test('10,000 metrics in a document of 16 MB are reported in 300 MB and three times what a quarter takes', async () => {
  // One after the other: a busy machine slows both.
  const small = await measureReport(task, quarter.url);
  const large = await measureReport(task, proxy.url);
  expect(sandbox.github.comments(7)[0]?.body).toContain('Left out here: 9899 metrics');
  expect(large.mib).toBeLessThan(300);
  // Work that grew with the square of the metrics would take up to 16 times as long.
  expect(large.seconds / small.seconds).toBeLessThan(3);
});

async function reportCurves(title: string): Promise<string> {
  const id = await driver.createTask();
  await driver.call('tasks.started', { task: id });
  await driver.reportScalars(id, title, 'train', [4, 2, 1, 0.5]);
  await driver.call('tasks.completed', { task: id });
  return id;
}

async function printComment(tasks: readonly string[], env: Record<string, string> = {}): Promise<string> {
  const run = await runProgramHere(main, {
    args: [...tasks, '--dry-run', '--pr', '7'],
    cwd: '/',
    env: { ...sandbox.env, ...env },
  });
  expect(run).toMatchObject({ exitCode: 0, stderr: '' });
  return run.stdout;
}

test('the curves of more tasks than ClearML takes in one request, or answers soon, are shown', async () => {
  const tasks = await Promise.all(Array.from({ length: 101 }, () => reportCurves('loss')));
  const watched = await startFaultProxy(sandbox.clearml.apiHost);
  const text = await printComment(tasks, { CLEARML_API_HOST: watched.url });
  await watched.close();
  expect(text).toContain('line "this PR" [4, 2, 1, 0.5]');
  expect(text).not.toContain('did not answer');
  const asked = watched.seen.filter(({ path }) =>
    path.endsWith('events.multi_task_scalar_metrics_iter_histogram'),
  );
  // A real server takes up to half a second a task.
  expect(asked.map(({ body }) => JSON.parse(body).tasks.length).sort()).toEqual([1, 25, 25, 25, 25]);
});

test.each(['__proto__', 'constructor', 'prototype'])('a metric titled %s has its curve', async (title) => {
  const text = await printComment([await reportCurves(title)]);
  expect(text).toContain('line "this PR" [4, 2, 1, 0.5]');
});
