import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { main } from '../check-task-running.ts';
import { type ClearmlDriver, createClearmlDriver } from '../dev/clearml-driver.ts';
import { type Fault, type FaultProxy, startFaultProxy } from '../dev/fault-proxy.ts';
import { createPatientClock } from '../dev/patient-clock.ts';
import { runProgramHere, runProgramProcess } from '../dev/program-run.ts';
import { type ClearmlSandbox, startClearmlSandbox } from '../sandbox/clearml-server.ts';

let sandbox: ClearmlSandbox;
let driver: ClearmlDriver;
let folder: string;
let proxy: FaultProxy | undefined;

beforeAll(async () => {
  sandbox = await startClearmlSandbox();
  driver = createClearmlDriver(sandbox.env);
  folder = await mkdtemp(join(tmpdir(), 'check-outage-'));
});

afterEach(async () => {
  await proxy?.close();
});

afterAll(async () => {
  await sandbox.close();
  await rm(folder, { recursive: true, force: true });
});

const page = (status: number, headers: Record<string, string> = {}): Fault => ({
  kind: 'answer',
  status,
  headers,
  body: '<html><body>Down for maintenance</body></html>',
});

/** Watches a running task; the n-th request after the first two meets the n-th fault. */
async function watchThrough(faults: readonly Fault[] | (() => Fault), args: readonly string[] = []) {
  const id = await driver.createTask({ name: 'train' });
  await driver.startTask(id);
  const clock = createPatientClock();
  const times: number[] = [];
  let isOver = false;
  const chooseFault = (_request: unknown, index: number) => {
    times.push(clock.now());
    if (index < 2) return undefined;
    if (typeof faults === 'function') return faults();
    const fault = faults[index - 2];
    if (fault === undefined && !isOver) {
      isOver = true;
      void driver.completeTask(id);
    }
    return fault;
  };
  proxy = await startFaultProxy(sandbox.apiHost, chooseFault, { clock });
  const beganAtMs = clock.now();
  const run = await runProgramHere(main, {
    args: [id, '--poll-interval', '1s', ...args],
    env: { ...sandbox.env, CLEARML_API_HOST: proxy.url },
    cwd: folder,
    clock,
  });
  return {
    run,
    id,
    tookMs: clock.now() - beganAtMs,
    timesMs: times.map((ms) => ms - beganAtMs),
  };
}

test.each<[string, Fault[]]>([
  ['connections that are cut', [{ kind: 'cut-before' }, { kind: 'cut-after' }, { kind: 'cut-within' }]],
  ['errors of a gateway', [page(502), page(503), page(504)]],
  ['an error of the server’s own', [page(500), page(500)]],
  [
    'a maintenance page that says it is fine',
    [page(200), page(200), page(200), page(200), page(200), page(200)],
  ],
  ['a page that knows no such address', [page(404), page(404)]],
  ['a redirection to somewhere else', [page(302, { location: 'https://elsewhere.example/' })]],
  ['an answer that is no JSON', [{ kind: 'answer', status: 200, body: 'OK' }]],
  ['an answer of another shape', [{ kind: 'answer', status: 200, body: '{"meta": {}}' }]],
])('a wait goes on through %s, and says so once', async (_name, faults) => {
  const { run } = await watchThrough(faults);
  expect(run).toMatchObject({ exitCode: 0, stdout: 'completed\n' });
  expect(run.stderr.match(/does not answer/g)).toHaveLength(1);
  expect(run.stderr.match(/answers again/g)).toHaveLength(1);
});

test('a limited rate is respected: nothing is asked before the time that the server names', async () => {
  const { run, timesMs } = await watchThrough([page(429, { 'retry-after': '9' })]);
  expect(run.exitCode).toBe(0);
  expect((timesMs[3] ?? 0) - (timesMs[2] ?? 0)).toBeGreaterThanOrEqual(8900);
});

test.each<[string, () => Fault]>([
  ['refuses connections', () => ({ kind: 'cut-before' })],
  ['shows a maintenance page', () => page(503)],
  ['shows a page with status 200', () => page(200)],
])('a server that %s for longer than the outage time-out ends the wait with 9', async (_name, fault) => {
  const { run, id, tookMs } = await watchThrough(fault, ['--outage-timeout', '40s']);
  expect(run).toMatchObject({ exitCode: 9, stdout: '' });
  expect(run.stderr).toMatch(/^error: ClearML at \S+ did not answer/m);
  expect(run.stderr).toMatch(new RegExp(`These tasks go on unwatched.*\\n.*${id}`));
  expect(tookMs).toBeGreaterThan(25_000);
  expect(tookMs).toBeLessThan(60_000);
});

test.each([
  [401, 22],
  [403, 20],
])('refused credentials (%i/%i) end the wait at once with 8', async (status, subcode) => {
  const meta = {
    id: 'x',
    trx: 'x',
    endpoint: {},
    result_code: status,
    result_subcode: subcode,
    result_msg: 'no',
  };
  const { run, timesMs } = await watchThrough(() => ({
    kind: 'answer',
    status,
    body: JSON.stringify({ meta, data: {} }),
  }));
  expect(run).toMatchObject({ exitCode: 8, stdout: '' });
  expect(timesMs).toHaveLength(3);
});

test('a server that never answers leaves a task that may run: that is said, with the link', async () => {
  const id = await driver.createTask({ name: 'train' });
  const clock = createPatientClock();
  proxy = await startFaultProxy(sandbox.apiHost, () => page(503), { clock });
  const run = await runProgramHere(main, {
    args: [id],
    env: { ...sandbox.env, CLEARML_API_HOST: proxy.url },
    cwd: folder,
    clock,
  });
  expect(run).toMatchObject({ exitCode: 9, stdout: '' });
  expect(run.stderr).toMatch(new RegExp(`These tasks go on unwatched.*\\n.*${id}`));
});

test('requests that are under way when another one is refused end with the program, without a word of their own', async () => {
  const ids: string[] = [];
  for (const line of ['one', 'two', 'three']) {
    const id = await driver.createTask();
    await driver.startTask(id);
    await driver.logLines(id, [line]);
    await driver.completeTask(id);
    ids.push(id);
  }
  const body = JSON.stringify({
    meta: { result_code: 403, result_subcode: 1, result_msg: 'not for you' },
    data: {},
  });
  proxy = await startFaultProxy(sandbox.apiHost, ({ path, body: request }) => {
    if (!path.endsWith('/events.get_task_log')) return undefined;
    return request.includes(ids[0] ?? '')
      ? { kind: 'answer', status: 403, headers: { 'content-type': 'application/json' }, body }
      : { kind: 'silence', isApplied: true };
  });
  const env = { ...sandbox.env, CLEARML_API_HOST: proxy.url };
  const run = await runProgramProcess('check-task-running', { args: ids, env, cwd: folder });
  expect(run).toMatchObject({ exitCode: 8, stdout: '' });
  expect(run.stderr).toMatch(/^error: ClearML refused events\.get_task_log: not for you\n[^\n]*\n$/);
});

/** What a signal comes to after which ClearML does not do what it is asked. */
async function interrupt(
  id: string,
  { fault, isSeen, runId }: { fault: Fault; isSeen: boolean; runId?: string },
) {
  const clock = createPatientClock();
  let isBroken = !isSeen;
  proxy = await startFaultProxy(sandbox.apiHost, () => (isBroken ? fault : undefined), { clock });
  let beganAtMs = 0;
  const run = await runProgramHere(main, {
    args: [id, '--outage-timeout', '30s'],
    env: {
      ...sandbox.env,
      CLEARML_API_HOST: proxy.url,
      ...(runId === undefined ? {} : { GITHUB_ACTIONS: 'true', GITHUB_RUN_ID: runId }),
    },
    cwd: folder,
    clock,
    onStart: (send) => {
      void clock.sleep(3000).then(() => {
        isBroken = true;
        beganAtMs = clock.now();
        send('SIGTERM');
      });
    },
  });
  return { ...run, tookMs: clock.now() - beganAtMs };
}

const refusal: Fault = {
  kind: 'answer',
  status: 401,
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ meta: { result_code: 401, result_subcode: 22, result_msg: 'revoked' }, data: {} }),
};

test.each<[string, Fault, { isSeen: boolean; runId?: string }, RegExp]>([
  ['and the user of the keys is not told', page(503), { isSeen: true }, /users\.get_current_user: HTTP 503/],
  ['for good', { kind: 'silence', isApplied: false }, { isSeen: true, runId: '1000' }, /no answer within/],
  ['and never did', page(503), { isSeen: false, runId: '1000' }, /may still run; look at/],
  ['but refuses the keys', refusal, { isSeen: true, runId: '1000' }, /refused the credentials: revoked/],
])(
  'a signal while ClearML does not answer, %s, ends the wait with its own code in time, and says that nothing is confirmed',
  async (_name, fault, { isSeen, runId }, reason) => {
    const id = await driver.createTask({ runtime: { ci_launch: 'x', ...(runId && { ci_run: runId }) } });
    await driver.startTask(id);
    const run = await interrupt(id, { fault, isSeen, ...(runId === undefined ? {} : { runId }) });
    expect(run).toMatchObject({ exitCode: 143, stdout: isSeen ? 'in_progress\n' : 'unknown\n' });
    const [told] = run.stderr.match(/.*not confirmed: .*/) ?? [];
    expect(told).toMatch(new RegExp(`task ${id} may still run.*; look at http\\S+${id}`));
    expect(told).toMatch(reason);
    expect(run.stderr).not.toMatch(/^error: /m);
    // The runner kills it after 10 s.
    expect(run.tookMs).toBeLessThan(9800);
  },
);

test('a time-out passes though ClearML stumbles when it is asked whose the task is', async () => {
  const id = await driver.createTask({ runtime: { ci_launch: 'x' } });
  await driver.startTask(id);
  const clock = createPatientClock();
  let askedAtMs: number | undefined;
  proxy = await startFaultProxy(
    sandbox.apiHost,
    ({ path }) => {
      if (!path.includes('users.get_current_user')) return undefined;
      askedAtMs ??= clock.now();
      return clock.now() - askedAtMs < 20_000 ? page(503) : undefined;
    },
    { clock },
  );
  const run = await runProgramHere(main, {
    args: [id, '--timeout', '5s'],
    env: { ...sandbox.env, CLEARML_API_HOST: proxy.url },
    cwd: folder,
    clock,
  });
  expect(run).toMatchObject({ exitCode: 124, stdout: 'stopped\n' });
  expect(run.stderr).toContain(`Task ${id} has ended`);
});
