import { describe, expect, test } from '@jest/globals';
import { main } from '../check-task-running.ts';
import { runProgramHere } from '../dev/program-run.ts';
import {
  chain,
  check,
  createQueuedTask,
  createRunningTask,
  driver,
  folder,
  inActions,
  launchedBy,
  plan,
  sandbox,
  setUpChecks,
  statusOf,
} from './check-task-setup.ts';

setUpChecks();

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
    expect(run.stderr).toContain('No longer watching; these tasks go on');
  });

  test('one live line is drawn over, and Ctrl-C only stops watching', async () => {
    const id = await local();
    const run = await interrupt(id);
    expect(run).toMatchObject({ exitCode: 130, stdout: 'in_progress\n' });
    expect(run.stderr).toContain('\r\u001b[2Krunning');
    expect(run.stderr).toContain('No longer watching; these tasks go on:');
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
