import { describe, expect, test } from '@jest/globals';
import { startFaultProxy } from '../dev/fault-proxy.ts';
import {
  base,
  clearml,
  driver,
  head,
  judge,
  older,
  setUpGates,
  type Training,
  train,
  trainSeeds,
} from './comment-gate-setup.ts';

setUpGates();

/** From the console of a real run whose loss was NaN. */
const NOTE =
  "2026-11-24 07:32:36,777 - clearml - INFO - NaN value encountered. Reporting it as '0.0'. Use clearml.Logger.set_reporting_nan_value to assign another value";
const INF_NOTE = NOTE.replace('NaN', 'inf').replace('_nan_', '_inf_');
const LOSS = { metric: ['test', 'loss'] } as const;
/** Nothing is gated. */
const PLAIN = 'queue: default';

/** The comment, the outputs and the JSON document. */
async function report(
  tasks: string,
  settings = PLAIN,
  env: Readonly<Record<string, string>> = {},
  flags: readonly string[] = [],
) {
  const json = JSON.parse((await judge(tasks, settings, ['--json', ...flags], env)).stdout);
  const metricOf = (name: string) => json.metrics.find(({ metric }: { metric: string }) => metric === name);
  return { ...(await judge(tasks, settings, flags, env)), json, metricOf };
}

describe('without a gate a number that is none', () => {
  test.each<readonly [what: string, values: readonly number[], training: Training]>([
    ['a loss that turned NaN', [2, 1.9, 1.8, 0, 0], { log: [NOTE] }],
    ['a loss that turned infinite', [2, 30, 1e9, 0], { log: [INF_NOTE] }],
    ['a loss that was NaN from its first report', [0, 0, 0], { log: ['epoch 1', NOTE, 'epoch 2'] }],
    ['a NaN as a single report', [0], { log: [NOTE] }],
    ['a number that the training chose for NaN', [2, 1.9, -1, -1], { log: [NOTE.replace('0.0', '-1.0')] }],
    ['a NaN before a log of several pages', [2, 1.1, 0], { log: [NOTE, ...Array(4500).fill('step')] }],
  ])('is shown as such, and never as a result: %s', async (_, values, training) => {
    await train(base, [2, 1, 0.5], LOSS);
    const { exitCode, verdict, body, metrics, metricOf } = await report(
      await train(head, values, { ...LOSS, ...training }),
    );
    const shown = `not a number (reported as ${values.at(-1)})`;
    expect({ exitCode, verdict }).toEqual({ exitCode: 0, verdict: 'none' });
    expect(body).toContain(`### 🏁 \`train\`: \`test/loss\` was ${shown}\n`);
    expect(body).toContain(`| \`test/loss\` | ${shown} | 0.5 | – |`);
    expect(body).not.toMatch(/better|worse/);
    expect(metrics[0]).toMatchObject({ metric: 'test/loss', value: null, baseline: 0.5, change: null });
    expect(metricOf('test/loss')).toMatchObject({
      value: null,
      change: null,
      effect: null,
      values: [null],
      doubts: [{ kind: 'replaced', reported: values.at(-1) }],
    });
  });

  test('is possible where the curve leaps to 0 and the console has no word of it', async () => {
    await train(base, [2, 1, 0.5], LOSS);
    const { body, metricOf } = await report(
      await train(head, [2, 1.9, 1.8, 1.7, 0], { ...LOSS, log: ['a'] }),
    );
    expect(body).toContain('`test/loss` was possibly not a number (reported as 0)');
    expect(body).toContain('neither curve nor baseline leads to the 0');
    expect(metricOf('test/loss')).toMatchObject({ value: null, effect: null });
  });

  test('is possible where all reports are 0, the base’s never were, and the note may be muted', async () => {
    await train(base, [2, 1, 0.5], LOSS);
    const { body, metricOf } = await report(await train(head, [0, 0, 0], { ...LOSS, log: ['a'] }));
    expect(body).toContain('`test/loss` was 0, perhaps not measured');
    expect(body).toContain('| `test/loss` | 0, perhaps not measured | 0.5 | – |');
    expect(metricOf('test/loss')).toMatchObject({ value: null, effect: null });
    // The same on the other side.
    await train(base, [0, 0, 0], { ...LOSS, log: ['a'] });
    const other = await report(await train(head, [2, 1, 0.5], LOSS));
    expect(other.metricOf('test/loss').effect).toBeNull();
    expect(other.body).toContain('no curve leads to it, and the other side’s runs do not confirm it.');
  });

  test('is only possible where a real 0 is as likely: the console does not say which metric it means', async () => {
    const metric = ['test', 'failures'] as const;
    await train(base, [0, 0], { metric, log: ['a'] });
    const { body } = await report(await train(head, [0, 0], { metric, log: [NOTE] }));
    expect(body).toContain('`test/failures` was possibly not a number (reported as 0)');
  });

  test('is possible where the console can’t be read', async () => {
    await train(base, [2, 1, 0.5], LOSS);
    const task = await train(head, [2, 1, 0.01, 0.001, 0], LOSS);
    const proxy = await startFaultProxy(clearml.apiHost, ({ path }) =>
      path.endsWith('/events.get_task_log') ? { kind: 'answer', status: 404, body: '{}' } : undefined,
    );
    const { body } = await report(task, PLAIN, { CLEARML_API_HOST: proxy.url });
    await proxy.close();
    expect(body).toContain('`test/loss` was possibly not a number (reported as 0)');
    expect(body).toContain('could not be read completely');
  });

  test('is no base to compare with either', async () => {
    await train(base, [2, 1.9, 0], { ...LOSS, log: [NOTE] });
    const { body, metricOf } = await report(await train(head, [2, 1, 0.5], LOSS));
    expect(body).toContain('| `test/loss` | **0.5** | not a number (reported as 0) | – |');
    expect(body).not.toMatch(/better|worse/);
    expect(metricOf('test/loss')).toMatchObject({ baseline: null, baselineDoubts: [{ kind: 'replaced' }] });
  });

  test('does not count in the mean of the seeds, which is then neither better nor worse', async () => {
    await trainSeeds(base, [0.5, 0.51, 0.52], LOSS);
    const sound = await trainSeeds(head, [0.3, 0.31], LOSS);
    const diverged = await train(head, [2, 1.9, 0], { ...LOSS, seed: 3, log: [NOTE] });
    const { body, metricOf } = await report(`${sound} ${diverged}`);
    expect(body).toContain('`test/loss` **0.305** (2 of 3; 1 not a number), -0.205 against `main`');
    expect(body).not.toMatch(/better|worse/);
    expect(metricOf('test/loss')).toMatchObject({ values: [0.3, 0.31, null], effect: null });
  });

  test('is told of a run that is still going, and of one that failed', async () => {
    for (const end of ['none', 'failed'] as const) {
      const { body } = await report(await train(head, [2, 1.9, 0], { ...LOSS, log: [NOTE], end }));
      expect(body).toContain('| `test/loss` | not a number (reported as 0) |');
    }
  });

  test('is not drawn, in the middle of a course either', async () => {
    await train(base, [2, 1, 0.5], LOSS);
    const { body, json, metricOf } = await report(
      await train(head, [2, 1.9, 0, 1.7, 1.6], { ...LOSS, log: [NOTE] }),
    );
    expect(metricOf('test/loss')).toMatchObject({ value: 1.6, doubts: [] });
    expect(json.curves[0]).toMatchObject({ task: { x: [0, 1, 3, 4] }, leftOut: 1 });
    expect(body).toContain('without 1 point that may be NaN');
    // Without a word on the console.
    const muted = await report(await train(head, [2, 1.9, 0, 1.7, 1.6], { ...LOSS, log: ['a'] }));
    expect(muted.json.curves[0]).toMatchObject({ task: { x: [0, 1, 3, 4] }, leftOut: 1 });
  });
});

test('a NaN that no console tells of is undecided where it is gated, and so is the summary of it', async () => {
  const gate = (metric: string) =>
    `metrics: [{ metric: ${metric}, goal: minimize, tolerance: 0.1, gate: fail }]`;
  const trainWith = async (commit: string, losses: readonly number[], mean: number) => {
    const task = await train(commit, losses, { metric: ['train', 'loss'], log: ['epoch 1'] });
    await driver.reportScalars(task, 'train', 'train_loss', [mean]);
    return task;
  };
  await trainWith(base, [2.3, 1.1, 0.7], 1.37);
  const muted = await trainWith(head, [2.31, 1.12, 0, 0, 0], 0.686);
  for (const metric of ['train/loss', 'train/train_loss']) {
    const { exitCode, verdict, body } = await report(muted, gate(metric));
    expect({ exitCode, verdict }).toEqual({ exitCode: 6, verdict: 'undecided' });
    expect(body).toContain('| **undecided** |');
  }
  const { body, metricOf } = await report(muted);
  expect(body).toContain('| `train/train_loss` | 0.686, perhaps not measured |');
  expect(metricOf('train/loss')).toMatchObject({ value: null, effect: null });
});

test('a constant metric is drawn as constant', async () => {
  await train(base, [0.9, 0.9, 0.9, 0.9]);
  const { body, json } = await report(await train(head, Array(30).fill(0.9)));
  expect(new Set(json.curves[0].task.y).size).toBe(1);
  expect(new Set(json.curves[0].baseline.y).size).toBe(1);
  expect(json.metrics[0]).toMatchObject({ value: 0.9, change: 0, effect: 'same', sparkline: '▅'.repeat(12) });
  const [, line = ''] = body.match(/line .*(\[.*\])/) ?? [];
  expect(new Set(line.match(/[\d.]+/g)).size).toBe(1);
});

test('two processes that write one task, and a training that reports nothing, are told', async () => {
  const task = await train(head, [2, 1.5, 1.3], { ...LOSS, end: 'none' });
  await driver.reportScalars(task, 'test', 'loss', [1, 0.5, 0.3]);
  await driver.completeTask(task);
  const { body, json } = await report(task);
  expect(json.overwritten).toEqual({ metrics: ['test/loss'], reports: 2, isLaunched: false });
  expect(body).toContain('> **The last writer won:** `test/loss` has 2 reports for each iteration');
  const silent = await report(await train(head, []));
  expect(silent.json.noMetrics).toEqual({ frameworks: [] });
  expect(silent.body).toContain('### 🏁 `train` completed without any metric');
});

describe('an honest 0 is a number:', () => {
  test.each<readonly [what: string, values: readonly number[], metric: readonly [string, string]]>([
    ['an error rate that falls to it', [0.05, 0.03, 0.02, 0.01, 0], ['test', 'error']],
    ['a count that is always 0', [0, 0, 0], ['test', 'failures']],
    ['a single 0', [0], ['test', 'failures']],
    ['an accuracy of a run that learns nothing', [0.02, 0.01, 0.02, 0], ['test', 'accuracy']],
  ])('%s', async (_, values, metric) => {
    const { body, metricOf } = await report(await train(head, values, { metric, log: ['epoch 1'] }));
    expect(metricOf(metric.join('/'))).toMatchObject({ value: 0, doubts: [] });
    expect(body).not.toContain('not a number');
  });

  test('a count that is 0 for once', async () => {
    const metric = ['test', 'failures'] as const;
    await train(base, [4, 3], { metric });
    const { metricOf } = await report(await train(head, [0, 0], { metric, log: ['epoch 1'] }));
    expect(metricOf('test/failures')).toMatchObject({ value: 0, change: -3, doubts: [] });
  });

  test('a single result of 0, better than the base’s', async () => {
    const metric = ['test', 'error'] as const;
    await train(base, [0.02], { metric });
    const { body, metricOf } = await report(await train(head, [0], { metric, log: ['epoch 1'] }));
    expect(metricOf('test/error')).toMatchObject({ value: 0, effect: 'better', doubts: [] });
    expect(body).toContain('`test/error` **0**, -0.02 (better) against `main`');
  });

  test('a learning rate that ends at 0 needs no console, whatever that says of others', async () => {
    const task = await train(head, [2, 1, 0.5], { ...LOSS, log: [NOTE] });
    await driver.reportScalars(task, 'train', 'learning_rate', [0.1, 0.09, 0]);
    await driver.reportScalars(task, 'epoch', 'epoch', [0]);
    const proxy = await startFaultProxy(clearml.apiHost);
    const { metricOf } = await report(task, PLAIN, { CLEARML_API_HOST: proxy.url });
    await proxy.close();
    expect(proxy.seen.map(({ path }) => path).filter((path) => path.includes('get_task_log'))).toEqual([]);
    expect(metricOf('train/learning_rate')).toMatchObject({ value: 0, doubts: [] });
    expect(metricOf('epoch/epoch')).toMatchObject({ value: 0, doubts: [] });
  });

  test('numbers without any 0 cost no request for the console', async () => {
    await train(base, [2, 1, 0.5], LOSS);
    const task = await train(head, [2, 1.9, 0.4], LOSS);
    const proxy = await startFaultProxy(clearml.apiHost);
    await report(task, PLAIN, { CLEARML_API_HOST: proxy.url });
    await proxy.close();
    expect(proxy.seen.map(({ path }) => path).filter((path) => path.includes('get_task_log'))).toEqual([]);
  });
});

describe('nothing is better or worse', () => {
  const ACCURACY = 'test/accuracy';
  const expectNoise = ({ body, metricOf }: Awaited<ReturnType<typeof report>>) => {
    expect(metricOf(ACCURACY).effect).toBe('noise');
    const [heading = ''] = body.split('\n').filter((line) => line.startsWith('### '));
    const rows = body.split('\n').filter((line) => line.startsWith(`| \`${ACCURACY}\` |`));
    expect(rows.length).toBeGreaterThan(0);
    expect([heading, ...rows].join('\n')).not.toMatch(/better|worse|▲|▼/);
    expect(heading).toContain('(within noise)');
  };

  test('with the same code, however much the numbers differ', async () => {
    // Seeds of the base commit itself, trained for the pull request: nothing of `paths` has changed.
    const tasks = [await train(base, [0.9]), await train(base, [0.7], { seed: 2 })];
    const { json, body, metricOf } = await report(tasks[1] ?? '');
    expect(json.baseline.isSameTraining).toBe(true);
    expect(body).toContain('The same code and settings as');
    expectNoise({ json, body, metricOf } as Awaited<ReturnType<typeof report>>);
  });

  test('with the same code by a task’s id', async () => {
    const other = await train(head, [0.7]);
    const result = await report(await train(head, [0.9]), PLAIN, {}, ['--baseline', other]);
    expect(result.body).toContain('The same code and settings as the task');
    expectNoise(result);
  });

  test('within what the seeds differ by, without a gate', async () => {
    await trainSeeds(base, [0.9, 0.92, 0.88]);
    expectNoise(await report(await trainSeeds(head, [0.91, 0.93, 0.89])));
  });

  test('within what many commits differ by, without a gate', async () => {
    // One run a commit tells it only where there are many.
    await trainSeeds(older, [0.9, 0.93, 0.87]);
    await train(base, [0.9]);
    expectNoise(await report(await train(head, [0.91])));
  });

  test('within the range that the gate finds, whichever way', async () => {
    const settings = 'metrics: [{ metric: test/accuracy, goal: maximize, gate: warn }]';
    await trainSeeds(base, [0.9, 0.92, 0.88]);
    expectNoise(await report(await trainSeeds(head, [0.91, 0.93, 0.89]), settings));
    expectNoise(await report(await trainSeeds(head, [0.89, 0.91, 0.87]), settings));
  });

  test('but beyond it, with and without a gate', async () => {
    const settings = 'metrics: [{ metric: test/accuracy, goal: maximize, gate: warn }]';
    await trainSeeds(base, [0.9, 0.91, 0.905]);
    const better = await trainSeeds(head, [0.99, 0.98, 0.985]);
    const worse = await trainSeeds(head, [0.7, 0.71, 0.705]);
    for (const rules of [PLAIN, settings]) {
      expect((await report(better, rules)).metricOf(ACCURACY).effect).toBe('better');
      const { body, metricOf } = await report(worse, rules);
      expect(metricOf(ACCURACY).effect).toBe('worse');
      expect(body).toContain('-0.2 (worse) against `main`');
      expect(body).toContain('**▼\u00a0worse**');
    }
  });
});

test('seeds that ran on different GPUs are told, on both sides', async () => {
  const gpus = ['A100', 'T4 <b>'];
  const trainOn = async (commit: string) => {
    const tasks = (await trainSeeds(commit, [0.9, 0.91])).split(' ');
    for (const [index, task] of tasks.entries()) {
      const { runtime } = await driver.getTask(task);
      const known = { ...runtime, gpu_count: 1, gpu_type: gpus[index] };
      await driver.call('tasks.edit', { task, runtime: known, force: true });
    }
    return tasks.join(' ');
  };
  await trainOn(base);
  const { body } = await report(await trainOn(head));
  expect(body).toContain(
    '**The runs of this training used different GPUs:** `1 × A100` (1 run), `1 × T4 <b>` (1 run).',
  );
  expect(body).toContain('**The runs of `main` used different GPUs:**');
});
