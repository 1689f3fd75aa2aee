import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { main } from '../check-task-running.ts';
import { type ClearmlDriver, createClearmlDriver } from '../dev/clearml-driver.ts';
import { createPatientClock } from '../dev/patient-clock.ts';
import { type RunOptions, runProgramHere, runProgramProcess } from '../dev/program-run.ts';
import { type ClearmlSandbox, startClearmlSandbox } from '../sandbox/clearml-server.ts';

let sandbox: ClearmlSandbox;
let driver: ClearmlDriver;
let folder: string;

beforeAll(async () => {
  sandbox = await startClearmlSandbox();
  driver = createClearmlDriver(sandbox.env);
  folder = await mkdtemp(join(tmpdir(), 'check-log-'));
});

afterAll(async () => {
  await sandbox.close();
  await rm(folder, { recursive: true, force: true });
});

const ESCAPE = '\u001b';

/** Everything a training may print, and what a person is to see of it. */
const PRINTED: ReadonlyArray<(nth: number) => readonly [sent: string, seen: string]> = [
  (nth) => [`epoch ${nth} loss ${1 / nth}`, `epoch ${nth} loss ${1 / nth}`],
  (nth) => [`same line`, `same line${nth < 0 ? '!' : ''}`],
  () => ['', ''],
  (nth) => [`  1%|#   ${nth}\r 50%|##  ${nth}\r100%|####${nth}`, `100%|####${nth}`],
  (nth) => [`${ESCAPE}[32mINFO${ESCAPE}[0m step ${nth}`, `INFO step ${nth}`],
  (nth) => [`${ESCAPE}]0;title${nth}\u0007visible`, 'visible'],
  () => [
    '::error file=train_model.py,line=1::not an error',
    '::error file=train_model.py,line=1::not an error',
  ],
  () => ['::set-output name=verdict::pass', '::set-output name=verdict::pass'],
  () => ['::add-mask::e', '::add-mask::e'],
  () => ['  ::stop-commands::mine', '  ::stop-commands::mine'],
  () => ['::mine::', '::mine::'],
  () => ['::endgroup::', '::endgroup::'],
  () => ['loss ##[error]also mid-line', 'loss ##[error]also mid-line'],
  (nth) => [`ложь 損失 ${nth}`, `ложь 損失 ${nth}`],
];

/** Messages that hold the given number of lines, in a mixture that is the same each time. */
function composeLog(lineCount: number): Array<{ text: string; seen: string[] }> {
  const messages: Array<{ text: string; seen: string[] }> = [];
  let state = 42;
  const draw = (below: number) => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return Math.floor((state / 2147483648) * below);
  };
  for (let nth = 1; nth <= lineCount; ) {
    const size = Math.min(1 + draw(50), lineCount - nth + 1);
    const lines = Array.from(
      { length: size },
      (_, index) => PRINTED[draw(PRINTED.length)]?.(nth + index) ?? ['', ''],
    );
    messages.push({
      text: `${lines.map(([sent]) => sent).join('\n')}\n`,
      seen: lines.map(([, seen]) => seen),
    });
    nth += size;
  }
  return messages;
}

async function send(id: string, events: ReadonlyArray<{ timestamp: number; msg: string }>): Promise<void> {
  const body = events.map((event) =>
    JSON.stringify({ type: 'log', task: id, level: 'DEBUG', worker: 'w:0', ...event }),
  );
  const response = await fetch(`${sandbox.apiHost}/events.add_batch`, {
    method: 'POST',
    headers: {
      authorization: `Basic ${btoa(`${sandbox.accessKey}:${sandbox.secretKey}`)}`,
      'content-type': 'application/json-lines',
    },
    body: body.join('\n'),
  });
  expect(response.status).toBe(200);
}

/** Takes the output for what the runner takes it for: commands, or lines between `stop-commands` and its token. */
function readAsRunner(output: string): { log: string[]; commands: string[]; talk: string[] } {
  const log: string[] = [];
  const commands: string[] = [];
  const talk: string[] = [];
  let token: string | undefined;
  for (const line of output.replace(/\n$/, '').split(/\r\n|\n|\r/)) {
    const command = /^\s*::([^: ]+)[^:]*::(.*)$/.exec(line);
    if (token !== undefined) {
      if (line.trim() === `::${token}::`) token = undefined;
      else log.push(line);
    } else if (command?.[1] === 'stop-commands') token = command[2];
    else if (command !== null || line.includes('##[')) commands.push(command?.[1] ?? line);
    else talk.push(line);
  }
  expect(token).toBeUndefined();
  return { log, commands, talk };
}

/** Watches a task in Actions while `act` lets it live. */
async function watch(act: (id: string) => Promise<void>) {
  const id = await driver.createTask({ name: 'train' });
  await driver.startTask(id);
  let begin: () => void = () => undefined;
  const isRunning = new Promise<void>((resolve) => {
    begin = resolve;
  });
  const finished = runProgramProcess('check-task-running', {
    args: [id, '--poll-interval', '100ms'],
    cwd: folder,
    env: { ...sandbox.env, GITHUB_ACTIONS: 'true' },
    onStderr: (text) => {
      if (text.includes('running')) begin();
    },
  });
  await isRunning;
  await act(id);
  return finished;
}

test('200,000 hostile lines come out as they went in, once each, and command nothing', async () => {
  const messages = composeLog(200_000);
  const late = Array.from({ length: 50 }, (_, index) => `late line ${index}`);
  const run = await watch(async (id) => {
    const batchSize = Math.ceil(messages.length / 10);
    for (let start = 0; start < messages.length; start += batchSize) {
      // The first two batches tie at one time: more than a page of the server's holds.
      const timestampOf = (index: number) => 1_700_000_000_000 + Math.max(0, index - 2 * batchSize);
      const batch = messages.slice(start, start + batchSize);
      await send(
        id,
        batch.map(({ text }, index) => ({ timestamp: timestampOf(start + index), msg: text })),
      );
    }
    await send(
      id,
      late.map((msg, index) => ({ timestamp: 1_600_000_000_000 + index, msg })),
    );
    await driver.completeTask(id);
  });
  expect(run.exitCode).toBe(0);
  const { log, commands } = readAsRunner(run.stderr);
  const inOrder = log.filter((line) => !line.startsWith('late line'));
  const expected = messages.flatMap(({ seen }) => seen);
  expect(inOrder.length).toBe(200_000);
  expect(inOrder.findIndex((line, index) => line !== expected[index])).toBe(-1);
  expect(log.filter((line) => line.startsWith('late line'))).toEqual(late);
  expect(new Set(commands)).toEqual(new Set(['group', 'endgroup']));
});

test('beyond 8 MiB the middle is left out with a count, and the last forty lines come all the same', async () => {
  const lines = Array.from({ length: 120_000 }, (_, index) => `${index} ${'x'.repeat(90)}`);
  const run = await watch(async (id) => {
    for (let start = 0; start < lines.length; start += 60_000) {
      const msg = `${lines.slice(start, start + 60_000).join('\n')}\n`;
      await send(id, [{ timestamp: 1_700_000_000_000 + start, msg }]);
    }
    await driver.failTask(id, 'worker execution exit code 3');
  });
  expect(run.exitCode).toBe(3);
  const { log, talk } = readAsRunner(run.stderr);
  const tail = lines.slice(-40);
  const left = Number(
    talk.map((line) => /^(\d+) lines \(\d+ bytes\) of the log are left out/.exec(line)?.[1]).join(''),
  );
  const passed = lines.length - 40 - left;
  expect(left).toBeGreaterThan(30_000);
  expect(lines.slice(0, passed).join('\n').length).toBeLessThanOrEqual(8 * 1024 * 1024);
  expect(log.length).toBe(passed + 2 * tail.length);
  expect(log.slice(0, passed).findIndex((line, index) => line !== lines[index])).toBe(-1);
  // In the folded group, and once more where it is seen without unfolding.
  expect(log.slice(passed)).toEqual([...tail, ...tail]);
});

test.each([1, 2])('in Actions %i training that prints for two minutes makes one group', async (count) => {
  const ids = await Promise.all(
    Array.from({ length: count }, async () => {
      const id = await driver.createTask({ name: 'train' });
      await driver.startTask(id);
      return id;
    }),
  );
  const clock = createPatientClock();
  const train = async () => {
    for (let step = 1; step <= 40; step += 1) {
      await clock.sleep(3000);
      for (const id of ids) {
        await driver.logLines(id, [`step ${step}\n`], 1_700_000_000_000 + step);
        await driver.reportScalars(id, 'loss', 'train', Array(step).fill(0.5));
      }
    }
    for (const id of ids) await driver.completeTask(id);
  };
  const run = await runProgramHere(main, {
    args: [...ids, '--poll-interval', '2s'],
    env: { ...sandbox.env, GITHUB_ACTIONS: 'true' },
    cwd: folder,
    clock,
    onStart: () => void train(),
  });
  expect(run.exitCode).toBe(0);
  const groups = [...run.stderr.matchAll(/^::group::Log of task (\S+)$/gm)].map(([, id]) => id);
  expect(groups.sort()).toEqual([...ids].sort());
  const { log } = readAsRunner(run.stderr);
  expect(log.filter((line) => /step \d+$/.test(line))).toHaveLength(40 * count);
  // Once in half a minute, and each with what is new.
  expect(run.stderr.match(/running for .*iteration \d+/g)?.length).toBeGreaterThanOrEqual(3);
});

test.each([['--no-logs'], ['--log=none']])(
  '%s shows nothing of a log, but the last forty lines of one that failed',
  async (flag) => {
    const lines = Array.from({ length: 100 }, (_, index) => `line ${index}`);
    const [completed, failed] = await Promise.all(
      (['completeTask', 'failTask'] as const).map(async (end) => {
        const id = await driver.createTask({ name: 'train' });
        await driver.startTask(id);
        await send(id, [{ timestamp: 1_700_000_000_000, msg: lines.join('\n') }]);
        await driver[end](id);
        const args = [id, flag];
        return runProgramProcess('check-task-running', { args, cwd: folder, env: sandbox.env });
      }),
    );
    expect(completed).toMatchObject({ exitCode: 0, stderr: expect.not.stringContaining('line 99') });
    expect(failed?.exitCode).toBe(3);
    expect(failed?.stderr).toContain(`${lines.slice(-40).join('\n')}\n`);
    expect(failed?.stderr).not.toContain('line 59\n');
  },
);

describe('what an agent prints before the training', () => {
  const pulled = (id: string) => `task ${id} pulled from ${id} by worker agent:0`;

  async function show(lines: (id: string) => string[], end: 'completeTask' | 'failTask', ...args: string[]) {
    const id = await driver.createTask({ name: 'train' });
    await driver.startTask(id);
    await send(id, [{ timestamp: 1_700_000_000_000, msg: lines(id).join('\n') }]);
    await driver[end](id);
    const run = await runProgramProcess('check-task-running', {
      args: [id, ...args],
      cwd: folder,
      env: sandbox.env,
    });
    return run.stderr;
  }

  const trained = (id: string) => [pulled(id), 'agent.debug = false', 'Starting Task Execution:', 'epoch 1'];

  test('is one line, and with --log all or --logs it is all there', async () => {
    const shortened = await show(trained, 'completeTask');
    expect(shortened).toContain('… 2 lines of the agent: settings, clone, environment\nepoch 1\n');
    expect(shortened).not.toContain('agent.debug');
    for (const flag of ['--log=all', '--logs'])
      expect(await show(trained, 'completeTask', flag)).toContain(
        'agent.debug = false\nStarting Task Execution:\n',
      );
  });

  test('is all there where it failed', async () => {
    const failed = (id: string) => [pulled(id), 'agent.debug = false', 'clearml_agent: ERROR: no such image'];
    expect(await show(failed, 'failTask')).toContain(
      'agent.debug = false\nclearml_agent: ERROR: no such image\n',
    );
  });
});

test.each([
  [['--log', 'none', '--logs'], '--log none and --logs contradict each other'],
  [['--log', 'all', '--no-logs'], '--log all and --no-logs contradict each other'],
  [['--log', 'some'], 'Allowed choices are training, all, none'],
])('%j is refused', async (args, message) => {
  const run = await runProgramProcess('check-task-running', {
    args: ['a'.repeat(32), ...args],
    cwd: folder,
    env: sandbox.env,
  });
  expect(run.exitCode).toBe(2);
  expect(run.stderr).toContain(message);
});

describe('the last lines of a log that was shown', () => {
  const linesOf = (name: string) => Array.from({ length: 50 }, (_, index) => `${name} line ${index}`);

  async function startLoggedTask(name: string): Promise<string> {
    const id = await driver.createTask({ name });
    await driver.startTask(id);
    await send(id, [{ timestamp: 1_700_000_000_000, msg: linesOf(name).join('\n') }]);
    return id;
  }

  function check(ids: readonly string[], options: Pick<Partial<RunOptions>, 'env' | 'onStderr'> = {}) {
    return runProgramProcess('check-task-running', {
      args: [...ids, '--poll-interval', '100ms'],
      cwd: folder,
      ...options,
      env: { ...sandbox.env, ...options.env },
    });
  }

  async function startFailedTasks(...names: readonly string[]): Promise<string[]> {
    const ids = await Promise.all(names.map(startLoggedTask));
    await Promise.all(ids.map((id) => driver.failTask(id)));
    return ids;
  }

  const countOf = (text: string, line: string) =>
    text.split('\n').filter((shown) => shown.endsWith(line)).length;

  test('are not repeated where they stand right above, be it one task or several', async () => {
    const [one, several] = await Promise.all([
      startFailedTasks('alone').then(check),
      startFailedTasks('first', 'second').then(check),
    ]);
    for (const { exitCode, stderr } of [one, several]) {
      expect(exitCode).toBe(3);
      expect(stderr).not.toContain('The last ');
    }
    expect(countOf(one.stderr, 'alone line 49')).toBe(1);
    for (const name of ['first', 'second']) expect(countOf(several.stderr, `${name} line 49`)).toBe(1);
  });

  test('are, where another task’s lines came in between', async () => {
    const [early, late] = await Promise.all([startLoggedTask('early'), startLoggedTask('late')]);
    let seen = '';
    let end: Promise<unknown> | undefined;
    const { exitCode, stderr } = await check([early, late], {
      onStderr: (text) => {
        seen += text;
        if (!seen.includes('late line 49\n')) return;
        end ??= driver.failTask(early).then(() => driver.completeTask(late));
      },
    });
    await end;
    expect(exitCode).toBe(3);
    const [log, tail = ''] = stderr.split('The last 40 lines of its log:\n');
    expect(log).toContain('early line 49\n');
    expect(log).toContain('late line 49\n');
    expect(tail.split('\n').slice(0, 40)).toEqual(linesOf('early').slice(-40));
    expect(countOf(stderr, 'late line 49')).toBe(1);
  });

  test('are in Actions, where the log is folded, for each task that failed', async () => {
    const [one, several] = await Promise.all(
      [startFailedTasks('alone'), startFailedTasks('first', 'second')].map(async (ids) =>
        check(await ids, { env: { GITHUB_ACTIONS: 'true' } }),
      ),
    );
    for (const [run, names] of [
      [one, ['alone']],
      [several, ['first', 'second']],
    ] as const) {
      const { talk } = readAsRunner(run?.stderr ?? '');
      expect(talk.filter((line) => line === 'The last 40 lines of its log:').length).toBe(names.length);
      for (const name of names) expect(countOf(run?.stderr ?? '', `${name} line 49`)).toBe(2);
    }
  });

  test('are called the last line where it is only one', async () => {
    const id = await driver.createTask({ name: 'terse' });
    await driver.startTask(id);
    await send(id, [{ timestamp: 1_700_000_000_000, msg: 'killed\n' }]);
    await driver.failTask(id);
    const { stderr } = await check([id], { env: { GITHUB_ACTIONS: 'true' } });
    expect(stderr).toContain('\nThe last line of its log:\n');
  });
});
