import { expect, test } from '@jest/globals';
import { isSchedule } from './metric-rules.ts';

test.each([
  'lr/group0',
  'lr-Adam/lr-Adam',
  'train/learning_rate',
  'epoch_learning_rate/epoch_learning_rate',
  'epoch/epoch',
  'train/epoch',
  'trainer/global_step',
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
])('%s is one that the training computes', (name) => {
  expect(isSchedule(name)).toBe(false);
});
