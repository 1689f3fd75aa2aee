import { expect, test } from '@jest/globals';
import { isAboutTime } from './metric-names.ts';
import { isSchedule } from './metric-rules.ts';

test.each([
  'lr/group0',
  'lr-Adam/lr-Adam',
  'train/learning_rate',
  'epoch_learning_rate/epoch_learning_rate',
  'epoch/epoch',
  'train/epoch',
  'trainer/global_step',
  'Summary/epoch',
  'global_step/global_step',
])('%s is a number that the training sets', (name) => {
  expect(isSchedule(name)).toBe(true);
});

test.each([
  'epoch_loss/epoch_loss',
  'my_metric_epoch/my_metric_epoch',
  'my_metric_step/my_metric_step',
  'train_loss_step/train_loss_step',
  'train/grad_norm',
  'val_nan/val_nan',
  'lr/loss',
  'epochs10/epochs10',
  'kl/step',
  'perceptual/epoch',
])('%s is one that the training computes', (name) => {
  expect(isSchedule(name)).toBe(false);
});

test.each([
  'eval/runtime',
  'Summary/train_runtime',
  'evalRuntime/evalRuntime',
  'eval/samples_per_second',
  'train/tokens_per_sec',
  'speed/it/s',
  'images/img/s',
  'Epoch Time/Epoch Time',
  'wall_time/wall_time',
  'Wall-clock/total',
  'step/latency_ms',
  'time/ms per step',
  'train/elapsed_min',
  'total/minutes',
  'gpu_0_utilization/gpu',
  'machine/peak memory (GiB)',
  'perf/mfu',
])('%s is about the machine', (name) => {
  expect(isAboutTime(name)).toBe(true);
});

test.each([
  'min_dcf/min_dcf',
  'val/min',
  'minFDE/minADE',
  'metrics/mAP50',
  'map/map',
  'ms_ssim/ms_ssim',
  'MS-SSIM/val',
  'rollout/timesteps',
  'time_series/smape',
  'sentiment/sentiment',
  'rmse/rmse',
  'second/accuracy',
])('%s is about the result', (name) => {
  expect(isAboutTime(name)).toBe(false);
});
