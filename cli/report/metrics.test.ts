import { describe, expect, test } from '@jest/globals';
import { makeMetric, makeReport, makeReportedTask } from '../dev/made-up-report.ts';
import type { MetricRule } from '../shell/config.ts';
import { describeMetrics } from './metrics.ts';
import { listNamedMetrics, rankMetrics } from './ranking.ts';

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
