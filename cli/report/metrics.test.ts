import { describe, expect, test } from '@jest/globals';
import { makeMetric, makeReport, makeReportedTask } from '../dev/made-up-report.ts';
import type { MetricRule } from '../shell/config.ts';
import type { Metric } from '../training/metrics.ts';
import type { FoundBaseline } from './baseline/baseline.ts';
import { describeMetrics } from './metrics.ts';
import { listNamedMetrics, rankMetrics } from './ranking/ranking.ts';
import type { ReportedTask } from './reported-task.ts';
import type { ReportSources } from './sources.ts';

const RULE = { value: 'last', tolerance: 0, gate: 'off' } as const;

function rank(names: readonly string[], rules: readonly MetricRule[] = []): string[] {
  const metrics = names.map((name) =>
    makeMetric(name.split('/')[0] ?? '', name.split('/').slice(1).join('/')),
  );
  return rankMetrics([makeReportedTask({ metrics })], rules).map(({ metric }) => metric.name);
}

describe('without any settings', () => {
  test('400 metrics lead with results on held-out data, bookkeeping comes last', () => {
    const layers = Array.from({ length: 380 }, (_, index) => `grad_norm/layer${index}.weight`);
    const names = [
      ...layers,
      'lr/group0',
      'time/epoch_seconds',
      'throughput/samples_per_second',
      'memory/allocated',
      'loss/train',
      'loss/validation',
      'accuracy/train',
      'accuracy/validation',
      'test/accuracy',
      'test/f1',
      'epoch/number',
    ];
    const ranked = rank(names);
    expect(ranked.slice(0, 6)).toEqual([
      'test/accuracy',
      'test/f1',
      'accuracy/validation',
      'loss/validation',
      'accuracy/train',
      'loss/train',
    ]);
    expect(ranked.slice(6, 20).some((name) => /^(?:test|accuracy|loss)/.test(name))).toBe(false);
  });

  test.each([
    ['valLoss/total', 'minimize'],
    ['test_accuracy/accuracy', 'maximize'],
    ['eval/mIoU', 'maximize'],
    ['metrics/mAP', 'maximize'],
    ['glossary/size', undefined],
    ['accuracy/loss', undefined],
    ['mean error/test', 'minimize'],
    ['perplexity/val', 'minimize'],
  ])('the name %s says: %s', (name, goal) => {
    const [title = '', series = ''] = name.split('/');
    const task = makeReportedTask({ metrics: [makeMetric(title, series)] });
    const [ranked] = rankMetrics([task], []);
    expect(ranked?.role.goal).toBe(goal);
    expect(ranked?.role.isGoalGuessed).toBe(goal !== undefined);
  });
});

test('what the settings name leads, in their order; what is named and missing keeps its place', () => {
  const rules: MetricRule[] = [
    { ...RULE, metric: 'loss/*', goal: 'minimize', value: 'min' },
    { ...RULE, metric: 'gone/away' },
  ];
  const task = makeReportedTask({
    metrics: [makeMetric('accuracy', 'test'), makeMetric('loss', 'b'), makeMetric('loss', 'a')],
  });
  const baseline = { kind: 'missing', reason: 'off', branch: undefined, commitsSearched: 0 } as const;
  const sources = {
    tasks: [task],
    baseline,
    curves: new Map(),
    consoles: new Map(),
    ranked: rankMetrics([task], rules),
  };
  const { metrics, leadingMetrics } = describeMetrics(sources, rules, []);
  expect(metrics.map(({ metric, value }) => [metric, value])).toEqual([
    ['loss/a', 0.25],
    ['loss/b', 0.25],
    ['gone/away', null],
    ['accuracy/test', 0.5],
  ]);
  expect(leadingMetrics).toBe(3);
});

test('a change is better or worse by the goal, and the mean of large numbers does not overflow', () => {
  const task = makeReportedTask({
    metrics: [
      makeMetric('loss', 'test', { last: 0.6 }),
      makeMetric('accuracy', 'test', { last: 0.6 }),
      makeMetric('size', 'x', { last: 1.5e308 }),
    ],
  });
  const base = makeReportedTask({
    id: '6'.repeat(32),
    metrics: [
      makeMetric('loss', 'test'),
      makeMetric('accuracy', 'test'),
      makeMetric('size', 'x', { last: 1.5e308 }),
    ],
  });
  const byName = new Map(
    makeReport([task, task], [base, base]).metrics.map((metric) => [metric.metric, metric]),
  );
  expect(byName.get('loss/test')).toMatchObject({ effect: 'worse', spread: 0 });
  expect(byName.get('accuracy/test')).toMatchObject({ effect: 'better' });
  expect(byName.get('size/x')).toMatchObject({ value: 1.5e308, change: 0, effect: 'same' });
});

test('equal numbers have their own mean and no spread', () => {
  const task = makeReportedTask({ metrics: [makeMetric('accuracy', 'test', { last: 0.9 })] });
  const [metric] = makeReport([task, task, task], [task, task, task]).metrics;
  expect(metric).toMatchObject({ value: 0.9, spread: 0, baseline: 0.9, baselineSpread: 0, change: 0 });
});

describe('a change means nothing', () => {
  const NAME = 'test/accuracy';
  const makeRun = (id: string, last: number, fields: Partial<Metric> = {}) =>
    makeReportedTask({ id: id.repeat(32), metrics: [makeMetric('test', 'accuracy', { last, ...fields })] });
  const effectOf = (
    own: readonly ReportedTask[],
    base: readonly ReportedTask[],
    fields: Partial<ReportSources> = {},
  ) => makeReport(own, base, fields).metrics.find(({ metric }) => metric === NAME)?.effect;
  const found = (tasks: readonly ReportedTask[], more: Partial<FoundBaseline>): FoundBaseline => ({
    kind: 'found',
    by: 'branch',
    tasks,
    name: 'main',
    commit: '4'.repeat(40),
    commitsBehind: 0,
    passedOver: 0,
    isSameTraining: false,
    history: [],
    ...more,
  });

  test('with the same training on both sides, whatever the goal is', () => {
    const base = [makeRun('6', 0.5)];
    expect(effectOf([makeRun('1', 0.9)], base, { baseline: found(base, { isSameTraining: true }) })).toBe(
      'noise',
    );
    expect(effectOf([makeRun('1', 0.5)], base, { baseline: found(base, { isSameTraining: true }) })).toBe(
      'same',
    );
  });

  test('within what the seeds differ by, or single runs of many commits', () => {
    const seeds = [0.9, 0.92, 0.88].map((last, index) => makeRun(String(index + 3), last));
    expect(effectOf([makeRun('1', 0.91), makeRun('2', 0.93)], seeds)).toBe('noise');
    expect(effectOf([makeRun('1', 0.2), makeRun('2', 0.22)], seeds)).toBe('worse');
    const commits = [0.9, 0.92, 0.88, 0.91, 0.89, 0.9].map((last, index) => ({
      commit: `${index}`,
      tree: 't',
      commitsBehind: index,
      tasks: [makeRun(String(index + 3), last)],
    }));
    const tasks = commits[0]?.tasks ?? [];
    const ask = (last: number, history: typeof commits) =>
      effectOf([makeRun('1', last)], tasks, { baseline: found(tasks, { history }) });
    expect(ask(0.91, commits)).toBe('noise');
    expect(ask(0.2, commits)).toBe('worse');
    expect(ask(0.91, commits.slice(0, 3))).toBe('better');
  });

  test('where sums differ by rounding', () => {
    const own = [0.1, 0.2, 0.3].map((last, index) => makeRun(String(index + 1), last));
    const base = [0.3, 0.1, 0.2].map((last, index) => makeRun(String(index + 5), last));
    expect(effectOf(own, base)).toBe('same');
  });
});

test('a mean of the runs that have a number leaves out the others, and says which', () => {
  const makeRun = (id: string, last: number) =>
    makeReportedTask({
      id: id.repeat(32),
      metrics: [makeMetric('test', 'loss', { last, min: last, first: 1 })],
    });
  const lines = [
    "NaN value encountered. Reporting it as '0.0'. Use clearml.Logger.set_reporting_nan_value to",
  ];
  const consoles = new Map([['2'.repeat(32), { lines, isWhole: true }]]);
  const [metric] = makeReport([makeRun('1', 0.5), makeRun('2', 0)], [makeRun('6', 0.9)], {
    consoles,
  }).metrics;
  expect(metric).toMatchObject({
    value: 0.5,
    values: [0.5, null],
    effect: null,
    doubts: [{ task: '2'.repeat(32), kind: 'replaced', isCertain: true, reported: 0 }],
    baselineDoubts: [],
  });
});

test('a name with several slashes may be parted at any of them', () => {
  const rules: MetricRule[] = [
    { ...RULE, metric: 'a/b/c', was: 'old/name' },
    { ...RULE, metric: 'loss/*' },
  ];
  expect(listNamedMetrics(rules)).toEqual([
    { name: 'a/b/c', title: 'a', series: 'b/c' },
    { name: 'a/b/c', title: 'a/b', series: 'c' },
    { name: 'old/name', title: 'old', series: 'name' },
  ]);
});
