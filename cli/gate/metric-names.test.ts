import { expect, test } from '@jest/globals';
import { readName } from './metric-names.ts';

test.each(
  `train/mlogloss valid/merror valid_0/l1 valid_0/l2 valid_0/mape valid/rmse valid/rmsle val/mae cross_entropy/test
  learn/CrossEntropy val/dice_loss val/iou_loss accuracy_loss/accuracy_loss eval/fid fid_score/fid_score eval/perplexity
  eval/wer eval/cer min_dcf/min_dcf minDCF/val eer/eer val:loss/x epoch_loss/validation:epoch_loss metrics_0/valid_loss
  val/val/box_loss train_loss_step/train_loss_step loss/total validation/nll valid/binary_logloss valid/multi_logloss
  false_positive_rate/false_positive_rate falsePositiveRate/test error_rate/error_rate val/num_errors top1_error/val
  brier_score/brier_score zeroOneLoss/test val/lpips gpu_0/loss test/hd95 minADE/val loss/train/min`.split(
    /\s+/,
  ),
)('%s is better the smaller', (name) => {
  expect(readName(name)).toMatchObject({ goal: 'minimize', isBookkeeping: false });
});

test.each(
  `valid/auc validation/AUC test/aucpr val/AP AP/AP50 val/map metrics/metrics/mAP50(B) metrics/metrics/mAP50-95(B)
  metrics/metrics/precision(B) metrics/metrics/recall(M) MultiClass/Accuracy val/iou val/mIoU MeanIoU/iou jaccard/val
  val/dice f1/f1 F1Score/val macro_f1/test val/f1-score eval/bleu eval/sacrebleu eval/rouge1 eval/rougeLsum r2/r2
  r2_score/val ndcg@10/ndcg NDCG/top10 recall/class_17 Recall@5/test eval/pass@1 test/hits@10 accuracy/top-1 test_accuracy/accuracy
  balanced_accuracy/val eval/exact_match true_positive_rate/val rollout/ep_rew_mean val_accuracy/gpu_0 score/test
  time_series/accuracy`.split(/\s+/),
)('%s is better the larger', (name) => {
  expect(readName(name)).toMatchObject({ goal: 'maximize', isBookkeeping: false });
});

test.each(
  `val_loss_std/val_loss_std loss/std std_val_accuracy/x accuracy/loss a_b/c glossary/size kl/step perceptual/epoch
  val_nan/val_nan my_metric_epoch/my_metric_epoch class_17/class_17 loss_weight/dice signal/ratio mapping/size
  train_val_loss_gap/gap accuracy_threshold/x Summary/fitness entropy/entropy length/mean`.split(/\s+/),
)('%s says no direction, and may be a result', (name) => {
  expect(readName(name)).toMatchObject({ goal: undefined, isBookkeeping: false });
});

test.each(
  `epoch/epoch train/epoch Summary/epoch trainer/global_step best_epoch/best_epoch best_val_loss_epoch/best_val_loss_epoch
  best/best_iteration lr-Adam/lr-Adam lr/lr/pg0 train/learning_rate epoch_learning_rate/epoch_learning_rate
  train/grad_norm loss_grad_norm/loss_grad_norm grad_norm/layer1.weight gradients/fc model_stats_gradients_0/avg_norm
  eval/runtime Summary/train_runtime eval/samples_per_second eval/steps_per_second Summary/total_flos
  Summary/model/GFLOPs Summary/model/parameters Summary/model/speed_PyTorch(ms) hp_metric/hp_metric loss_scale/loss_scale
  eps_0/eps wd_0/wd mom_0/mom sqr_mom_0/sqr_mom time/total_timesteps train/num_input_tokens_seen batch_size/batch_size
  evaluation_accuracy_vs_iterations/evaluation_accuracy_vs_iterations trainer/precision mixed_precision/mixed_precision
  val_loss_time/val_loss_time gpu/memory_allocated weights/conv1 optimizer/momentum dropout/dropout
  tokens_per_second/train eta/eta l2_norm/l2_norm`.split(/\s+/),
)('%s is bookkeeping, which has no better', (name) => {
  expect(readName(name)).toMatchObject({ goal: undefined, isBookkeeping: true });
});

test.each(['Epoch Time/Epoch Time', 'remaining budget/jobs %', 'resources/queue workers', 'images/img/s'])(
  '%s is bookkeeping too',
  (name) => {
    expect(readName(name).isBookkeeping).toBe(true);
  },
);
