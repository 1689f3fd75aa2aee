import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { main } from '../check-task-running.ts';
import { type ClearmlDriver, createClearmlDriver, type DeclaredParam } from '../dev/clearml-driver.ts';
import { createPatientClock } from '../dev/patient-clock.ts';
import { runProgramHere } from '../dev/program-run.ts';
import { type ClearmlSandbox, startClearmlSandbox } from '../sandbox/clearml-server.ts';
import { formatGivenParams, type GivenParam } from '../training/params/given.ts';

let sandbox: ClearmlSandbox;
let driver: ClearmlDriver;
let looks = 0;

beforeAll(async () => {
  sandbox = await startClearmlSandbox({
    onRequest: ({ endpoint }) => {
      if (endpoint === 'tasks.get_all') looks += 1;
    },
  });
  driver = createClearmlDriver(sandbox.env);
});

afterAll(() => sandbox.close());

/** What argparse adds: all arguments but those that were given. */
const ARGUMENTS: Readonly<Record<string, DeclaredParam>> = {
  'Args/lr': { value: '0.1', type: 'float', description: 'None' },
  'Args/epochs': { value: '5', type: 'int', description: 'None' },
};

/** A running task, as a launch with these params leaves it. */
async function launch(given: readonly GivenParam[]): Promise<string> {
  const hyperparams: Record<string, Record<string, object>> = {};
  for (const { name: path, value, type } of given) {
    const [section = '', name = ''] = path.split('/');
    hyperparams[section] = {
      ...hyperparams[section],
      [name]: { section, name, value, ...(type ? { type } : {}) },
    };
  }
  const id = await driver.createTask({ hyperparams, runtime: { ci_given: formatGivenParams(given) } });
  await driver.call('tasks.enqueue', { task: id, queue_name: 'default' });
  await driver.startTask(id);
  return id;
}

function check(ids: readonly string[], flags: readonly string[] = [], onSleep?: () => Promise<void>) {
  const clock = createPatientClock();
  return runProgramHere(main, {
    args: [...ids, ...flags],
    env: { ...sandbox.env, GITHUB_ACTIONS: 'true' },
    clock:
      onSleep === undefined
        ? clock
        : {
            ...clock,
            sleep: async (...pause) => {
              await onSleep();
              return clock.sleep(...pause);
            },
          },
  });
}

const warningsIn = (stderr: string) => stderr.split('\n').filter((line) => line.startsWith('::warning'));

describe('params that do not reach the training', () => {
  test('are warned of once a task, and the JSON document says what became of each', async () => {
    const given = [
      { name: 'Args/epochs', value: '9' },
      { name: 'Args/lrr', value: '0.5' },
    ];
    const id = await launch(given);
    await driver.setParams(id, { 'Args/lr': { value: '0.1', type: 'float', description: 'None' } });
    await driver.reportScalars(id, 'loss', 'train', [0.5, 0.4]);
    await driver.completeTask(id);

    const { stdout, stderr, exitCode } = await check([id], ['--json']);

    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout).tasks[0].params).toEqual([
      { name: 'Args/epochs', given: '9', value: '9', state: 'kept' },
      { name: 'Args/lrr', given: '0.5', value: '0.5', state: 'undeclared' },
    ]);
    expect(warningsIn(stderr)).toEqual([
      `::warning::task ${id}: lrr did not reach the training, it seems: the training declares lr.`,
    ]);
  });

  test('are warned of while the training runs, each as soon as it is known', async () => {
    const id = await launch([
      { name: 'Transformers/learning_rate', value: '0.5' },
      { name: 'Args/seed', value: '3' },
    ]);
    let seen = looks;
    let step: Promise<void> | undefined;
    const steps = [
      () => driver.setParams(id, { 'General/seed': { value: '0', type: 'int' } }),
      () => driver.setParams(id, { 'Transformers/learning_rate': { value: '5e-05', type: 'float' } }),
      () => driver.reportScalars(id, 'loss', 'train', [0.5, 0.4]),
      () => driver.completeTask(id),
    ];
    const { stderr } = await check([id], [], async () => {
      // The look that follows a step sees it before the next one.
      if (looks > seen) {
        seen = looks;
        step = steps.shift()?.();
      }
      // Several pauses may begin after one look, those of time limits too: no look begins before the step is done.
      await step;
    });

    const warnings = warningsIn(stderr);
    expect(warnings).toHaveLength(2);
    expect(warnings[0]).toContain(
      'Transformers/learning_rate was overwritten: the launch gave 0.5, and the task holds 5e-05.',
    );
    expect(warnings[1]).toContain(
      'Args/seed did not reach the training, it seems: the training declares General/seed.',
    );
    expect(stderr.indexOf(warnings[0] ?? '')).toBeLessThan(stderr.indexOf('is completed'));
  });

  test('are warned of together where several tasks have the same', async () => {
    const ids: string[] = [];
    for (const seed of ['1', '2', '3', '4']) {
      const id = await launch([{ name: 'Args/seed', value: seed }]);
      await driver.reportScalars(id, 'loss', 'train', [0.5]);
      await driver.completeTask(id);
      ids.push(id);
    }
    const { stderr } = await check(ids);
    expect(warningsIn(stderr)).toEqual([
      expect.stringContaining(
        `::warning::tasks ${ids.slice(0, 3).join(', ')} and 1 more: Nothing shows that seed reached`,
      ),
    ]);
  });

  test('are not asked for with requests of their own', async () => {
    const run = async (given: readonly GivenParam[]) => {
      const id = await launch(given);
      await driver.setParams(id, ARGUMENTS);
      await driver.completeTask(id);
      looks = 0;
      await check([id]);
      return looks;
    };
    expect(await run([{ name: 'Args/lrr', value: '1' }])).toBe(await run([]));
  });

  test('cannot command the runner with their names and values', async () => {
    const name = 'Args/lr\n::error::x';
    const id = await launch([{ name, value: '1' }]);
    await driver.setParams(id, {
      'Args/x': { value: '1', type: 'int' },
      [name]: { value: '##[error]y', type: 'str' },
    });
    await driver.completeTask(id);
    const { stderr } = await check([id]);
    expect(warningsIn(stderr)).toHaveLength(1);
    expect(stderr).not.toMatch(/^::error|##\[error\]/m);
  });
});

describe('nothing is warned of', () => {
  test.each<[string, readonly GivenParam[], Readonly<Record<string, DeclaredParam>>]>([
    [
      'where the training declares its other arguments',
      [{ name: 'Args/lr', value: '1e-3' }],
      { 'Args/epochs': { value: '5', type: 'int', description: 'None' } },
    ],
    [
      'where it writes the value in its own way',
      [{ name: 'Args/lr', value: '1e-3' }],
      { 'Args/lr': { value: '0.001', type: 'float' } },
    ],
  ])('%s', async (_, given, declared) => {
    const id = await launch(given);
    await driver.setParams(id, declared);
    await driver.reportScalars(id, 'loss', 'train', [0.5, 0.4]);
    await driver.completeTask(id);
    const { stdout, stderr } = await check([id], ['--json']);
    expect(warningsIn(stderr)).toEqual([]);
    expect(JSON.parse(stdout).tasks[0].params).toMatchObject([{ state: 'kept' }]);
  });

  test('where a training fails before it declares anything', async () => {
    const id = await launch([{ name: 'Args/lr', value: '1e-3' }]);
    await driver.failTask(id);
    const { stdout, stderr } = await check([id], ['--json']);
    expect(warningsIn(stderr)).toEqual([]);
    expect(JSON.parse(stdout).tasks[0]).not.toHaveProperty('params');
  });
});
