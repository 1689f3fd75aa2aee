import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { main } from '../check-task-running.ts';
import { type ClearmlDriver, createClearmlDriver } from '../dev/clearml-driver.ts';
import { startFaultProxy } from '../dev/fault-proxy.ts';
import { createPatientClock } from '../dev/patient-clock.ts';
import { type ProgramRun, type RunOptions, runProgramHere, runProgramProcess } from '../dev/program-run.ts';
import { type ClearmlSandbox, startClearmlSandbox } from '../sandbox/clearml-server.ts';
import { hashPipeline } from '../training/pipeline.ts';

/** What the program asked the server for, by task: `tasks.get_all`, … */
interface Asked {
  readonly endpoint: string;
  readonly body: string;
}

let sandbox: ClearmlSandbox;
let driver: ClearmlDriver;
let folder: string;
let projectId: string;
let queueId: string;
const asked: Asked[] = [];
/** Ends what a test that failed has left running. */
const kills: Array<() => void> = [];

beforeAll(async () => {
  sandbox = await startClearmlSandbox({
    onRequest: ({ endpoint, body }) => asked.push({ endpoint, body: JSON.stringify(body) }),
  });
  driver = createClearmlDriver(sandbox.env);
  folder = await mkdtemp(join(tmpdir(), 'check-'));
  projectId = (await driver.call('projects.create', { name: 'digits', description: '' })).id;
  queueId = (await driver.call('queues.get_all', { name: '^default$' })).queues[0].id;
});

afterAll(async () => {
  for (const kill of kills) kill();
  await sandbox.close();
  await rm(folder, { recursive: true, force: true });
});

/** Runs that wait for their turn. */
const plannedRuns: Array<() => Promise<void>> = [];
/** Each costs a second or more, most of it waiting: so several at once, while the first tests look at their results. */
const PARALLEL_RUNS = 6;

/** Plans a run of the program that begins before the tests do; gives what came of it. */
function plan<Result>(start: () => Promise<Result>): () => Promise<Result> {
  const result = new Promise<Result>((resolve, reject) => {
    plannedRuns.push(() => start().then(resolve, reject));
  });
  // Whoever asks for the result hears of the failure.
  result.catch(() => undefined);
  return () => result;
}

beforeAll(() => {
  const work = async () => {
    for (let next = plannedRuns.shift(); next !== undefined; next = plannedRuns.shift()) await next();
  };
  for (let worker = 0; worker < PARALLEL_RUNS; worker += 1) void work();
});

/** Runs the program as a process; outside Actions unless `env` says otherwise. */
function check(
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

async function createTask(fields: object = {}): Promise<string> {
  return driver.createTask({ name: 'train', project: projectId, ...fields });
}

async function createQueuedTask(fields: object = {}): Promise<string> {
  const id = await createTask(fields);
  await driver.call('tasks.enqueue', { task: id, queue: queueId });
  return id;
}

async function createRunningTask(fields: object = {}): Promise<string> {
  const id = await createQueuedTask(fields);
  await driver.startTask(id);
  return id;
}

/** Lets the program's time run 20 times as fast. */
const hurried = { NODE_OPTIONS: `--import=${new URL('../dev/hurry-process.mjs', import.meta.url).href}` };

/** What the workflow's launch leaves on a task. */
const launchedBy = (run: string, pullRequest = '7') => ({
  runtime: { ci_launch: 'token', ci_run: run, ci_pull_request: pullRequest },
  tags: ['ci', `pr:${pullRequest}`],
});

const inActions = (run = '1000') => ({ GITHUB_ACTIONS: 'true', GITHUB_RUN_ID: run });

async function statusOf(id: string): Promise<string> {
  return (await driver.getTask(id)).status;
}

describe('a task that has ended', () => {
  const ends: Record<
    string,
    { end: (id: string) => Promise<unknown>; exitCode: number; status: string; cause: RegExp | null }
  > = {
    completed: { end: (id) => driver.completeTask(id), exitCode: 0, status: 'completed', cause: null },
    published: {
      end: async (id) => {
        await driver.completeTask(id);
        await driver.call('tasks.publish', { task: id });
      },
      exitCode: 0,
      status: 'published',
      cause: null,
    },
    failed: {
      end: (id) => driver.failTask(id, 'worker execution exit code 3'),
      exitCode: 3,
      status: 'failed',
      cause: /^training: the training ended itself with exit code 3$/,
    },
    'stopped by a person': {
      end: (id) => driver.call('tasks.stop', { task: id }),
      exitCode: 4,
      status: 'stopped',
      cause: /^stopped: the task was stopped by \S/,
    },
    'stopped by the server, its worker being lost': {
      end: (id) =>
        driver.call('tasks.stopped', {
          task: id,
          force: true,
          status_reason: 'Forced stop (non-responsive)',
          status_message: 'Forced stop (non-responsive)',
        }),
      exitCode: 3,
      status: 'stopped',
      cause: /^worker-lost: /,
    },
    closed: {
      end: async (id) => {
        await driver.call('tasks.stopped', { task: id, force: true });
        await driver.call('tasks.close', { task: id });
      },
      exitCode: 4,
      status: 'closed',
      cause: /^stopped: the task was closed by somebody$/,
    },
  };
  const cases = Object.entries(ends).map(([name, expected], index) => ({
    name,
    expected,
    run: plan(async () => {
      const id = await createRunningTask();
      await expected.end(id);
      const outputs = join(folder, `outputs-${index}`);
      await writeFile(outputs, '');
      return { ...(await check([id], { env: { GITHUB_OUTPUT: outputs } })), outputs };
    }),
  }));

  test.each(cases)(
    '$name: the contract’s exit code, its status on stdout, the talk on stderr',
    async ({ expected, run: finish }) => {
      const run = await finish();
      expect(run).toMatchObject({ exitCode: expected.exitCode, stdout: `${expected.status}\n` });
      const written = await readOutputs(run.outputs);
      expect(Object.keys(written)).toEqual(['status', 'duration-seconds', 'cause']);
      expect(written.status).toBe(expected.status);
      expect(written['duration-seconds']).toMatch(/^\d+$/);
      expect(written.cause).toMatch(expected.cause ?? /^$/);
      expect(run.stderr).toMatch(
        expected.cause === null ? /^task \S+ "train" is/m : /^error: task \S+ "train" /m,
      );
      expect(run.stderr).toContain(`${sandbox.webHost}/projects/${projectId}/tasks/`);
    },
  );
});

/** Watches a task that is in a passing state, which no request of a test can put it into, for two looks. */
async function watchPassing(status: 'publishing' | 'unknown') {
  const id = await createRunningTask();
  await driver.completeTask(id);
  await driver.call('tasks.publish', { task: id });
  const task = await driver.getTask(id);
  let looks = 0;
  const proxy = await startFaultProxy(sandbox.apiHost, ({ path }) => {
    if (!path.endsWith('tasks.get_all')) return undefined;
    looks += 1;
    const meta = { result_code: 200, result_subcode: 0, result_msg: 'OK' };
    const body = JSON.stringify({ meta, data: { tasks: [{ ...task, status }] } });
    return looks <= 2 ? { kind: 'answer', status: 200, body } : undefined;
  });
  const run = await check([id, '--poll-interval', '200ms'], { env: { CLEARML_API_HOST: proxy.url } });
  await proxy.close();
  return { ...run, looks };
}

describe('a wait', () => {
  const waits = {
    'through all phases': plan(async () => {
      const id = await createTask();
      const run = await check([id, '--poll-interval', '200ms', '--json'], {
        onStderr: chain([
          [/a draft in no queue/, () => driver.call('tasks.enqueue', { task: id, queue: queueId })],
          [
            /no worker serves the queue "default"/,
            async () => {
              await driver.startTask(id);
              await driver.logLines(id, ['epoch 1\n']);
            },
          ],
          [/epoch 1/, () => driver.completeTask(id)],
        ]),
      });
      return { ...run, ids: [id] };
    }),
    'of several tasks': plan(async () => {
      const good = await createRunningTask();
      const bad = await createRunningTask();
      const outputs = join(folder, 'outputs-several');
      await writeFile(outputs, '');
      const run = await check([`${good} ${bad}`, good, '--poll-interval', '200ms', '--no-logs'], {
        env: { GITHUB_OUTPUT: outputs },
        onStderr: chain([
          [/2 running/, () => driver.failTask(bad)],
          [/error: /, () => driver.completeTask(good)],
        ]),
      });
      return { ...run, ids: [good, bad], outputs };
    }),
    'for a task that is taken out of the queue': plan(async () => {
      const id = await createQueuedTask();
      const run = await check([id, '--poll-interval', '200ms'], {
        onStderr: chain([[/queued/, () => driver.call('tasks.dequeue', { task: id })]]),
      });
      return { ...run, ids: [id] };
    }),
    'for a task that is reset': plan(async () => {
      const id = await createRunningTask();
      const run = await check([id, '--poll-interval', '200ms'], {
        onStderr: chain([[/running/, () => driver.call('tasks.reset', { task: id, force: true })]]),
      });
      return { ...run, ids: [id] };
    }),
    'for a task that is deleted': plan(async () => {
      const id = await createRunningTask();
      const run = await check([id, '--poll-interval', '200ms'], {
        onStderr: chain([[/running/, () => driver.call('tasks.delete', { task: id, force: true })]]),
      });
      return { ...run, ids: [id] };
    }),
    'until the time-out, of a task of ours': plan(async () => {
      const id = await createRunningTask(launchedBy('1000'));
      const run = await check([id, '--timeout', '1s'], { env: inActions() });
      return { ...run, ids: [id] };
    }),
    'until the time-out, of a task that another run launched': plan(async () => {
      const id = await createRunningTask(launchedBy('999'));
      const run = await check([id, '--timeout', '1s'], { env: inActions() });
      return { ...run, ids: [id] };
    }),
    'until the time-out, leaving the task': plan(async () => {
      const id = await createRunningTask(launchedBy('1000'));
      const run = await check([id, '--timeout', '1s', '--on-timeout', 'leave'], { env: inActions() });
      return { ...run, ids: [id] };
    }),
    'for a task that stays a draft': plan(async () => {
      const id = await createTask();
      return { ...(await check([id], { env: hurried })), ids: [id] };
    }),
    publishing: plan(() => watchPassing('publishing')),
    unknown: plan(() => watchPassing('unknown')),
    'until the queue time-out': plan(async () => {
      const id = await createQueuedTask(launchedBy('1000'));
      const run = await check([id, '--queue-timeout', '1s'], { env: inActions() });
      return { ...run, ids: [id] };
    }),
  };

  test('goes on while a task is a draft, queued and running, and gives one JSON document', async () => {
    const run = await waits['through all phases']();
    expect(run.exitCode).toBe(0);
    expect(JSON.parse(run.stdout)).toEqual({
      tasks: [
        {
          id: run.ids[0],
          url: `${sandbox.webHost}/projects/${projectId}/tasks/${run.ids[0]}/output/log`,
          status: 'completed',
          statusReason: expect.any(String),
          durationSeconds: expect.any(Number),
          cause: null,
        },
      ],
    });
    expect(run.stderr).toContain('epoch 1');
  });

  test('for several tasks ends with the worst of them, each once and in the order given', async () => {
    const run = await waits['of several tasks']();
    expect(run).toMatchObject({ exitCode: 3, stdout: 'completed\nfailed\n' });
    expect(await readOutputs(run.outputs)).toMatchObject({
      status: 'mixed',
      cause: expect.stringMatching(/^training: /),
    });
    const looks = asked.filter(
      ({ endpoint, body }) => endpoint === 'tasks.get_all' && body.includes(run.ids[1] ?? ''),
    );
    // While both were unfinished, one request asked for both.
    expect(looks.filter(({ body }) => body.includes(run.ids[0] ?? '')).length).toBeGreaterThan(0);
  });

  test.each([
    ['for a task that is taken out of the queue', 'created', 'taken out of the queue'],
    ['for a task that is reset', 'created', 'reset by somebody'],
    ['for a task that is deleted', 'unknown', 'deleted by somebody'],
  ] as const)('%s ends with 4', async (name, status, words) => {
    const run = await waits[name]();
    expect(run).toMatchObject({ exitCode: 4, stdout: `${status}\n` });
    expect(run.stderr).toContain(words);
  });

  test('past the time-out ends the task and exits with 124', async () => {
    const run = await waits['until the time-out, of a task of ours']();
    expect(run).toMatchObject({ exitCode: 124, stdout: 'stopped\n' });
    expect(await statusOf(run.ids[0] ?? '')).toBe('stopped');
  });

  test.each([
    ['until the time-out, of a task that another run launched', 'workflow run 999 launched it'],
    ['until the time-out, leaving the task', '--on-timeout leave'],
  ] as const)('%s leaves it running and says so', async (name, words) => {
    const run = await waits[name]();
    expect(run).toMatchObject({ exitCode: 124, stdout: 'in_progress\n' });
    expect(run.stderr).toContain(words);
    expect(await statusOf(run.ids[0] ?? '')).toBe('in_progress');
  });

  test('past the queue time-out takes the task out of the queue and exits with 7', async () => {
    const run = await waits['until the queue time-out']();
    expect(run).toMatchObject({ exitCode: 7, stdout: 'created\n' });
    expect(await statusOf(run.ids[0] ?? '')).toBe('created');
    expect(run.stderr).toContain('no worker serves the queue "default"');
  });

  test('tells what has changed at most every 30 s, with the metrics that the settings name', async () => {
    const settings = join(folder, 'settings.yml');
    await writeFile(settings, 'metrics:\n  - metric: loss/*\n');
    const id = await createRunningTask();
    const clock = createPatientClock();
    const times: number[] = [];
    // Something new for every look, for a minute and a half.
    const train = async () => {
      for (let reported = 1; reported < 45; reported += 1) {
        await clock.sleep(2000);
        await driver.reportScalars(id, 'loss', 'train', Array(reported).fill(0.5));
      }
      await driver.completeTask(id);
    };
    const run = await runProgramHere(main, {
      args: [id, '--config', settings, '--poll-interval', '2s'],
      env: sandbox.env,
      cwd: folder,
      clock,
      onStart: () => void train(),
      onStderr: (text) => {
        if (text.startsWith('running')) times.push(clock.now());
      },
    });
    expect(run.exitCode).toBe(0);
    expect(run.stderr).toMatch(/^running for .*, iteration \d+, loss\/train 0\.5$/m);
    expect(times.length).toBeGreaterThan(2);
    const pauses = times.slice(1).map((atMs, index) => atMs - (times[index] ?? 0));
    expect(Math.min(...pauses)).toBeGreaterThan(29_000);
  });

  test('for a task that stays a draft ends after a minute with 7', async () => {
    const run = await waits['for a task that stays a draft']();
    expect(run).toMatchObject({ exitCode: 7, stdout: 'created\n' });
    expect(run.stderr).toContain('it is a draft in no queue');
  });

  test.each(['publishing', 'unknown'] as const)('goes on while a task is %s', async (status) => {
    const run = await waits[status]();
    expect(run).toMatchObject({ exitCode: 0, stdout: 'published\n' });
    expect(run.looks).toBe(3);
  });
});

describe('a signal', () => {
  const signalled = (
    id: string,
    signals: ReadonlyArray<[RegExp, NodeJS.Signals]>,
    options: { args?: readonly string[]; env?: Record<string, string> } = {},
  ) => {
    let kill: (signal: NodeJS.Signals) => void = () => undefined;
    return check([id, ...(options.args ?? [])], {
      env: { ...inActions(), ...options.env },
      onStart: (process) => {
        kill = process.kill;
      },
      onStderr: chain(signals.map(([pattern, signal]) => [pattern, () => kill(signal)])),
    });
  };

  const ours = plan(async () => {
    const ids = await Promise.all([
      createRunningTask(launchedBy('1000')),
      createQueuedTask(launchedBy('1000')),
    ]);
    const runs = await Promise.all([
      signalled(ids[0], [[/running/, 'SIGINT']]),
      signalled(ids[1], [[/queued/, 'SIGTERM']]),
    ]);
    return { runs, ids };
  });
  const foreign = plan(async () => {
    const ids = [
      await createRunningTask({ ...launchedBy('1000'), tags: ['pr:7', 'pr:8'] }),
      await createRunningTask(),
    ] as const;
    const runs = await Promise.all([
      signalled(ids[0], [[/running/, 'SIGINT']]),
      signalled(ids[1], [[/running/, 'SIGTERM']]),
    ]);
    return { runs, ids };
  });
  const leaving = plan(async () => {
    const id = await createRunningTask(launchedBy('1000'));
    return { id, run: await signalled(id, [[/running/, 'SIGINT']], { args: ['--on-interrupt', 'leave'] }) };
  });
  /** A task whose worker never obeys: the attempt to end it goes on for nine seconds. */
  const createStubbornTask = async (worker: string) => {
    const id = await createRunningTask(launchedBy('1000'));
    await driver.call('workers.register', { worker });
    await driver.call('workers.status_report', { worker, task: id, timestamp: Date.now() });
    return id;
  };
  const stubborn = plan(async () => {
    const id = await createStubbornTask('stubborn:0');
    const startedAtMs = Date.now();
    const run = await signalled(id, [
      [/running/, 'SIGINT'],
      [/ending/, 'SIGTERM'],
    ]);
    return { id, run, tookMs: Date.now() - startedAtMs };
  });
  const hurried = (['SIGINT', 'SIGTERM'] as const).map((signal) => ({
    signal,
    run: plan(async () => {
      const id = await createStubbornTask(`stubborn:${signal}`);
      return signalled(id, [
        [/running/, signal],
        [/ending/, signal],
      ]);
    }),
  }));

  test('in Actions ends the task that this run launched, and the exit code tells which it was', async () => {
    const { runs, ids } = await ours();
    expect(runs[0]).toMatchObject({ exitCode: 130, stdout: 'stopped\n' });
    expect(runs[1]).toMatchObject({ exitCode: 143, stdout: 'created\n' });
    expect(await Promise.all(ids.map(statusOf))).toEqual(['stopped', 'created']);
  });

  test('leaves a task that somebody else shares or launched, and says why', async () => {
    const { runs, ids } = await foreign();
    expect(runs.map(({ exitCode }) => exitCode)).toEqual([130, 143]);
    expect(runs[0].stderr).toContain('another pull request uses it too');
    expect(runs[1].stderr).toContain('it was not launched by launch-training-task');
    expect(await Promise.all(ids.map(statusOf))).toEqual(['in_progress', 'in_progress']);
  });

  test('with --on-interrupt leave leaves also what is ours', async () => {
    const { run, id } = await leaving();
    expect(run).toMatchObject({ exitCode: 130, stdout: 'in_progress\n' });
    expect(await statusOf(id)).toBe('in_progress');
  });

  test('gives up after nine seconds and says so; SIGTERM after SIGINT is the runner’s habit and changes nothing', async () => {
    const { run, id, tookMs } = await stubborn();
    expect(run.exitCode).toBe(130);
    expect(run.stderr).toContain(`not confirmed: task ${id} may still run`);
    expect(tookMs).toBeGreaterThan(9000);
  });

  test.each(hurried)('$signal that comes twice ends the program at once', async ({ signal, run: finish }) => {
    const run = await finish();
    expect(run.exitCode).toBe(signal === 'SIGINT' ? 130 : 143);
    expect(run.stderr).not.toContain('not confirmed');
  });
});

describe('at a terminal', () => {
  /** The person presses Ctrl-C once the live line shows an iteration; without a live line, once the task runs. */
  async function interrupt(id: string, args: readonly string[] = [], isTerminal = true) {
    let send: (signal: 'SIGINT') => void = () => undefined;
    return runProgramHere(main, {
      args: [id, '--poll-interval', '200ms', ...args],
      env: sandbox.env,
      cwd: folder,
      isTerminal,
      hasKeyboard: true,
      onStart: (start) => {
        send = start;
      },
      onStderr: isTerminal
        ? chain([
            [/running/, () => driver.reportScalars(id, 'loss', 'train', [0.5, 0.25, 0.125])],
            [/iteration 2/, () => send('SIGINT')],
          ])
        : chain([[/running/, () => send('SIGINT')]]),
    });
  }
  const local = () => createRunningTask({ runtime: { ci_launch: 'token' } });

  test('Ctrl-C only stops watching too where stderr goes into a file or a pipe', async () => {
    const id = await local();
    const run = await interrupt(id, [], false);
    expect(run).toMatchObject({ exitCode: 130, stdout: 'in_progress\n' });
    expect(run.stderr).toContain('Not watching any more; what runs goes on');
  });

  test('one live line is drawn over, and Ctrl-C only stops watching', async () => {
    const id = await local();
    const run = await interrupt(id);
    expect(run).toMatchObject({ exitCode: 130, stdout: 'in_progress\n' });
    expect(run.stderr).toContain('\r\u001b[2Krunning');
    expect(run.stderr).toContain('Not watching any more; what runs goes on:');
    // What was drawn last is wiped before anything else is said.
    expect(run.stderr.split('\r\u001b[2K').at(-1)).not.toContain('running');
    expect(await statusOf(id)).toBe('in_progress');
  });

  test('Ctrl-C ends what the same user launched where --on-interrupt says so', async () => {
    const id = await local();
    const run = await interrupt(id, ['--on-interrupt', 'abort']);
    expect(run).toMatchObject({ exitCode: 130, stdout: 'stopped\n' });
    expect(await statusOf(id)).toBe('stopped');
  });
});

describe('--abort', () => {
  const named = plan(async () => {
    const ids = [await createQueuedTask(), await createRunningTask(), await createTask()];
    return { ids, run: await check(['--abort', ...ids, '--timeout', '5m', '--no-logs']) };
  });
  const inRun = plan(async () => {
    const ids = [await createRunningTask(launchedBy('1000')), await createRunningTask(launchedBy('999'))];
    return { ids, run: await check(['--abort', ids.join(' ')], { env: inActions() }) };
  });
  const env = { ...inActions('1001'), GITHUB_REPOSITORY: 'acme/digits', PR_NUMBER: '70' };
  const ofPullRequest = plan(async () => {
    const repository = 'github.com/acme/digits';
    const pipeline = await hashPipeline({ repository, project: 'digits', taskName: 'train_model' });
    const runtime = { ci_pipeline: pipeline, ci_pull_request: '70', ci_run: '1000', ci_launch: 'token' };
    const ours = [await createQueuedTask({ runtime }), await createRunningTask({ runtime, tags: ['pr:70'] })];
    const others = [
      await createRunningTask({ runtime, tags: ['pr:70', 'pr:71'] }),
      await createRunningTask({ runtime: { ...runtime, ci_pull_request: '71' } }),
      await createRunningTask({ runtime: { ...runtime, ci_pipeline: 'f'.repeat(32) } }),
      await createRunningTask({ tags: ['pr:70'] }),
    ];
    return { ours, others, run: await check(['--abort', '--json'], { env }) };
  });

  const stubborn = plan(async () => {
    const id = await createRunningTask();
    await driver.call('workers.register', { worker: 'stubborn:abort' });
    const report = { worker: 'stubborn:abort', task: id, timestamp: Date.now() };
    await driver.call('workers.status_report', report);
    const beganAtMs = Date.now();
    return { id, run: await check(['--abort', id], { env: hurried }), tookMs: (Date.now() - beganAtMs) * 20 };
  });

  test('gives up after two minutes with 9, and gives the link', async () => {
    const { id, run, tookMs } = await stubborn();
    expect(run).toMatchObject({ exitCode: 9, stdout: 'in_progress\n' });
    expect(run.stderr).toContain(`error: not confirmed: ${id} may still run`);
    expect(run.stderr).toContain(`/tasks/${id}/output/log`);
    expect(tookMs).toBeGreaterThan(120_000);
  });

  test('ends the tasks that are named, wherever they are', async () => {
    const { ids, run } = await named();
    expect(run).toMatchObject({ exitCode: 0, stdout: 'created\nstopped\ncreated\n' });
    expect(await Promise.all(ids.map(statusOf))).toEqual(['created', 'stopped', 'created']);
  });

  test('in Actions leaves what is not this run’s, and says so', async () => {
    const { ids, run } = await inRun();
    expect(run).toMatchObject({ exitCode: 0, stdout: 'stopped\nin_progress\n' });
    expect(run.stderr).toContain(`task ${ids[1]} is left as it is`);
  });

  test('without ids ends every unfinished task of the pull request and pipeline, and no other', async () => {
    const { ours, others, run } = await ofPullRequest();
    expect(run.exitCode).toBe(0);
    expect(await Promise.all(ours.map(statusOf))).toEqual(['created', 'stopped']);
    expect(new Set(await Promise.all(others.map(statusOf)))).toEqual(new Set(['in_progress']));
  });

  const shared = plan(async () => {
    const repository = 'github.com/acme/digits';
    const pipeline = await hashPipeline({ repository, project: 'digits', taskName: 'train_model' });
    const runtime = { ci_pipeline: pipeline, ci_pull_request: '81', ci_run: '1000', ci_launch: 'token' };
    const tags = ['pr:81', 'pr:82'];
    const id = await createRunningTask({ runtime, tags });
    const ofPush = await createRunningTask({ runtime: { ci_pipeline: pipeline, ci_run: '9' }, tags });
    const close = async (pullRequest: string) => ({
      run: await check(['--abort'], { env: { ...env, PR_NUMBER: pullRequest } }),
      tags: (await driver.getTask(id)).tags,
      status: await statusOf(id),
    });
    return { id, ofPush, first: await close('81'), last: await close('82') };
  });

  test('a task that two pull requests share is ended by the second that closes', async () => {
    const { id, ofPush, first, last } = await shared();
    expect(first).toMatchObject({ tags: ['pr:82'], status: 'in_progress', run: { exitCode: 0 } });
    expect(first.run.stderr).toContain(
      `task ${id} is left as it is: another pull request, or a branch, uses it too`,
    );
    expect(last.run.stderr).toContain(
      `task ${ofPush} is left as it is: it was not launched for a pull request`,
    );
    expect(last).toMatchObject({ status: 'stopped', run: { exitCode: 0 } });
    expect(await statusOf(ofPush)).toBe('in_progress');
  });

  test('without ids and with nothing to end is done at once', async () => {
    const args = ['--abort', '--json'];
    const run = await runProgramHere(main, {
      args,
      env: { ...sandbox.env, ...env, PR_NUMBER: '72' },
      cwd: folder,
    });
    expect(run).toMatchObject({ exitCode: 0, stdout: '{"tasks":[]}\n' });
  });

  test('without ids and without a pull request is a mistake', async () => {
    const run = await runProgramHere(main, {
      args: ['--abort'],
      env: { ...sandbox.env, ...inActions() },
      cwd: folder,
    });
    expect(run).toMatchObject({ exitCode: 2, stdout: '' });
    expect(run.stderr).toContain('PR_NUMBER');
  });

  test.each([
    ['a number that is none', { PR_NUMBER: 'seven' }, 'PR_NUMBER is not the number of a pull request'],
    [
      'an event file that is not there',
      { GITHUB_EVENT_PATH: '/no' },
      'the event file that GITHUB_EVENT_PATH names',
    ],
  ])('names the keys and %s at once', async (_, env, text) => {
    const run = await runProgramHere(main, { args: ['--abort'], env, cwd: folder });
    expect(run.exitCode).toBe(2);
    for (const wrong of ['CLEARML_API_ACCESS_KEY and', text]) expect(run.stderr).toContain(wrong);
    expect(run.stderr).not.toContain('whose tasks');
  });

  test('without anything names the keys and the pull request at once', async () => {
    const run = await runProgramHere(main, { args: ['--abort'], env: {}, cwd: folder });
    expect(run.exitCode).toBe(2);
    for (const name of ['CLEARML_API_ACCESS_KEY', 'CLEARML_API_SECRET_KEY', 'PR_NUMBER'])
      expect(run.stderr).toContain(name);
  });
});

describe('what is refused before anything is waited for', () => {
  const unknown = '0'.repeat(32);
  test.each([
    ['no id', [], 2, 'an empty output means that the launch step failed'],
    ['an empty id', [''], 2, 'an empty output means that the launch step failed'],
    ['a malformed id', ['12345'], 10, '32 hexadecimal digits'],
    ['an unknown id', [unknown], 10, `there is no task ${unknown}`],
    [
      'a malformed duration',
      [unknown, '--timeout', '5 parsecs'],
      2,
      '--timeout "5 parsecs" is not a duration',
    ],
    [
      'an unknown id though options are set to nothing, which count as left out',
      [unknown, '--timeout', '', '--project', '', '--config', ''],
      10,
      `there is no task ${unknown}`,
    ],
    ['a pause that is too short', [unknown, '--poll-interval', '1ms'], 2, '--poll-interval 1ms is too short'],
    ['an unknown option', [unknown, '--frobnicate'], 2, '--frobnicate'],
    ['an option without effect', [unknown, '--project', 'digits'], 2, '--project has no meaning here'],
    ['an unknown choice', [unknown, '--on-timeout', 'panic'], 2, 'abort, leave'],
  ] as const)('%s', async (_name, args, exitCode, words) => {
    const run = await runProgramHere(main, { args, env: sandbox.env, cwd: folder });
    expect(run).toMatchObject({ exitCode, stdout: '' });
    expect(run.stderr).toMatch(/^error: /);
    expect(run.stderr).toContain(words);
  });

  test('several mistakes are said at once', async () => {
    await writeFile(join(folder, 'settings.yml'), 'queu: gpu\n');
    const args = [unknown, '--timeout', 'long', '--outage-timeout', '0s', '--config', 'settings.yml'];
    const run = await runProgramHere(main, { args, env: {}, cwd: folder });
    expect(run).toMatchObject({ exitCode: 2, stdout: '' });
    for (const text of [
      'CLEARML_API_ACCESS_KEY and CLEARML_API_SECRET_KEY are not set',
      '--timeout "long" is not a duration',
      '--outage-timeout "0s" is not a duration',
      'line 1: queu',
    ])
      expect(run.stderr).toContain(text);
  });

  test('missing credentials, refused ones and a server that is not there', async () => {
    const env = { ...sandbox.env };
    const runWith = (changed: Record<string, string>) =>
      runProgramHere(main, {
        args: [unknown],
        env: { ...env, ...changed },
        cwd: folder,
        clock: createPatientClock(),
      });
    expect((await runWith({ CLEARML_API_SECRET_KEY: '' })).exitCode).toBe(2);
    expect((await runWith({ CLEARML_API_SECRET_KEY: 'wrong' })).exitCode).toBe(8);
    expect((await runWith({ CLEARML_API_HOST: 'http://127.0.0.1:9' })).exitCode).toBe(9);
  });
});

/** Acts on what the program says, one step after the other; each looks only at what was said since the one before. */
function chain(steps: ReadonlyArray<readonly [RegExp, () => unknown]>) {
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
async function readOutputs(path: string): Promise<Record<string, string>> {
  const text = await readFile(path, 'utf8');
  return Object.fromEntries(
    [...text.matchAll(/^(\S+?)<<(\S+)\n([\s\S]*?)\n\2$/gm)].map(([, name, , value]) => [name, value ?? '']),
  );
}
