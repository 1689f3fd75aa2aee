import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { listMetrics } from '../../clearml/tasks.ts';
import { makeReport, makeReportedTask } from '../../dev/made-up-report.ts';
import { partMetrics } from './families.ts';

interface Recording {
  readonly lastMetrics: Parameters<typeof listMetrics>[0];
  readonly bookkeeping: readonly string[];
}

/** The report of a real training, recorded by `npm run test:frameworks`, against itself. */
function report(fixture: string) {
  const path = new URL(`../../training/fixtures/frameworks/${fixture}.json`, import.meta.url);
  const { lastMetrics, bookkeeping } = JSON.parse(readFileSync(path, 'utf8')) as Recording;
  const metrics = listMetrics(lastMetrics);
  const made = makeReport(
    [makeReportedTask({ metrics })],
    [makeReportedTask({ id: '6'.repeat(32), metrics })],
  );
  return { ...made, bookkeeping };
}

describe.each<readonly [fixture: string, lead: readonly string[], copies: Readonly<Record<string, string>>]>([
  [
    'lightning-tensorboard',
    [
      'test_loss/test_loss ↓',
      'val_loss/val_loss ↓',
      'val_nan/val_nan',
      'train/accuracy ↑',
      'train_loss_epoch/train_loss_epoch ↓',
      'train_loss_step/train_loss_step ↓',
    ],
    {},
  ],
  ['transformers-clearml', ['eval/accuracy ↑', 'eval/loss ↓', 'Summary/train_loss ↓', 'train/loss ↓'], {}],
  ['transformers-tensorboard', ['eval/accuracy ↑', 'eval/loss ↓', 'train/loss ↓', 'train/train_loss ↓'], {}],
  [
    'transformers-all',
    ['eval/accuracy ↑', 'eval/loss ↓', 'train/loss ↓', 'train/train_loss ↓'],
    {
      'Summary/train_loss': 'train/train_loss',
      'Summary/train_runtime': 'train/train_runtime',
      'Summary/train_samples_per_second': 'train/train_samples_per_second',
      'Summary/train_steps_per_second': 'train/train_steps_per_second',
    },
  ],
  [
    'xgboost-train',
    [
      'valid/auc ↑',
      'valid/error ↓',
      'valid/logloss ↓',
      'validation_0 - 1/logloss ↓',
      'train/auc ↑',
      'train/error ↓',
    ],
    {},
  ],
  [
    'lightgbm-train',
    [
      'valid/auc ↑',
      'valid/binary_logloss ↓',
      'valid/rmse ↓',
      'train/auc ↑',
      'train/binary_logloss ↓',
      'train/rmse ↓',
    ],
    {},
  ],
  [
    'catboost-train',
    [
      'validation/Accuracy ↑',
      'validation/AUC ↑',
      'validation/Logloss ↓',
      'learn/Accuracy ↑',
      'learn/Logloss ↓',
    ],
    {},
  ],
  [
    'keras-callback',
    [
      'epoch_accuracy/validation: epoch_accuracy ↑',
      'epoch_auc/validation: epoch_auc ↑',
      'epoch_loss/validation: epoch_loss ↓',
      'epoch_accuracy/epoch_accuracy ↑',
      'epoch_auc/epoch_auc ↑',
      'epoch_loss/epoch_loss ↓',
    ],
    {},
  ],
  [
    'fastai-learner',
    [
      'metrics_0/valid_accuracy ↑',
      'metrics_0/valid_loss ↓',
      'metrics_0/train_accuracy ↑',
      'metrics_0/train_avg_smooth_loss ↓',
    ],
    {},
  ],
  [
    'fastai-tensorboard',
    [
      'metrics_0/valid_accuracy ↑',
      'metrics_0/valid_loss ↓',
      'metrics_0/train_accuracy ↑',
      'train_loss/train_loss ↓',
    ],
    {
      'accuracy/accuracy': 'metrics_0/valid_accuracy',
      'valid_loss/valid_loss': 'metrics_0/valid_loss',
      'metrics_0/train_avg_smooth_loss': 'train_loss/train_loss',
      'eps_0/eps_0': 'eps_0/eps',
      'lr_0/lr_0': 'lr_0/lr',
      'mom_0/mom_0': 'mom_0/mom',
      'sqr_mom_0/sqr_mom_0': 'sqr_mom_0/sqr_mom',
      'wd_0/wd_0': 'wd_0/wd',
    },
  ],
  [
    'ultralytics-train',
    [
      'metrics/metrics/mAP50-95(B) ↑',
      'metrics/metrics/mAP50(B) ↑',
      'metrics/metrics/precision(B) ↑',
      'metrics/metrics/recall(B) ↑',
      'val/val/box_loss ↓',
      'val/val/cls_loss ↓',
    ],
    {
      'Summary/metrics/mAP50-95(B)': 'metrics/metrics/mAP50-95(B)',
      'Summary/metrics/mAP50(B)': 'metrics/metrics/mAP50(B)',
      'Summary/metrics/precision(B)': 'metrics/metrics/precision(B)',
      'Summary/metrics/recall(B)': 'metrics/metrics/recall(B)',
    },
  ],
  ['ignite-logger', ['validation/accuracy ↑', 'validation/nll ↓', 'training/loss ↓'], {}],
  ['optimizer', ['loss/train/last reported ↓', 'loss/train/min ↓'], {}],
  [
    'torch-tensorboard',
    [
      'accuracy/accuracy ↑',
      'hparam/accuracy ↑',
      'nostep/accuracy ↑',
      'val:loss x/val:loss x ↓',
      'infinite/loss ↓',
      'nan/loss ↓',
    ],
    { 'Train Loss/Train Loss': 'loss/train' },
  ],
])('%s', (fixture, lead, copies) => {
  const made = report(fixture);

  test('leads with its results on held-out data, with the direction that is better', () => {
    const leading = partMetrics(made).leading.map(([metric]) => metric);
    const arrows = { maximize: ' ↑', minimize: ' ↓' };
    expect(leading.map((metric) => `${metric?.metric}${metric?.goal ? arrows[metric.goal] : ''}`)).toEqual(
      lead,
    );
    expect(made.leadingMetrics).toBeLessThanOrEqual(6);
  });

  test('has its bookkeeping under Training', () => {
    const bookkeeping = made.metrics.filter(({ isBookkeeping }) => isBookkeeping);
    expect(bookkeeping.map(({ metric }) => metric).sort()).toEqual([...made.bookkeeping].sort());
    for (const { goal, effect } of bookkeeping) expect([goal, effect ?? 'same']).toEqual([null, 'same']);
  });

  test('shows each number once', () => {
    const found = made.metrics.flatMap(({ metric, copyOf }) => (copyOf === null ? [] : [[metric, copyOf]]));
    expect(Object.fromEntries(found)).toEqual(copies);
  });
});
