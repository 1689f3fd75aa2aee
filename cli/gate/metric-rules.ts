import type { MetricRule } from '../shell/config.ts';
import { matchesPattern } from '../text/pattern.ts';
import type { MetricPick } from '../training/metrics.ts';
import { isDistance, readName, sortWords, splitWords } from './metric-names.ts';

export type Goal = 'maximize' | 'minimize';

/** How a metric counts in a report. */
export interface MetricRole {
  /** The rule that decides; undefined if none names the metric. */
  readonly rule: MetricRule | undefined;
  readonly pick: MetricPick;
  /** Which direction is better; undefined if neither the settings nor the name say. */
  readonly goal: Goal | undefined;
  /** The goal was read from the metric's name. */
  readonly isGoalGuessed: boolean;
}

/** The first rule that names the metric decides; without one its name does. */
export function assignRole(name: string, rules: readonly MetricRule[]): MetricRole {
  const rule = rules.find(({ metric }) => matchesPattern(metric, name));
  if (rule?.goal !== undefined) return { rule, pick: rule.value, goal: rule.goal, isGoalGuessed: false };
  const { goal } = readName(name);
  return { rule, pick: rule?.value ?? 'last', goal, isGoalGuessed: goal !== undefined };
}

/** In `perceptual/epoch` the last word only tells how often the metric is reported. */
const ABOUT_SCHEDULE =
  /(?:^|[^a-z])(?:lr|learning_rate)(?:$|[^a-z])|^(?:(?:train(?:er|ing)?|val(?:id(?:ation)?)?|eval|test|time|progress|summary|(?:global_)?(?:epoch|step|iteration)s?)\/)?(?:global_)?(?:epoch|step|iteration)s?$|(?:^|\/)momentum$/;

/** Whether a metric is a number that the training sets, like the learning rate, and does not compute: it is never NaN. */
export function isSchedule(name: string): boolean {
  const words = splitWords(name);
  return ABOUT_SCHEDULE.test(words) && !ABOUT_LOSS.test(words) && readName(name).goal === undefined;
}

const ABOUT_COUNT =
  /(?:^|[^a-z])(?:count|counts|num|number|total|failures|failed|skipped|dropped|missed|violations|timeouts|crashes|collisions)(?:$|[^a-z])/;

/** Whether a metric counts something, by its name: 0 is as real as any other number. */
export function isCount(name: string): boolean {
  const words = splitWords(name);
  return ABOUT_COUNT.test(words) && !ABOUT_LOSS.test(words);
}

const ABOUT_LOSS =
  /(?:^|[^a-z])(?<!(?:hamming|zero_one)_)(?:loss|losses|m?logloss|mse|rmse|rmsle|mae|mape|nll|ppl|perplexity|(?:b|x)?ce|cross_?entropy|xent|kld?|divergence|(?:squared|absolute|reconstruction)_error|fid|l1|l2|brier)(?:$|[^a-z])/;

/** Whether a metric is a loss or distance with a value of its own for each model: it is never exactly 0 but by underflow. */
export function isLoss(name: string): boolean {
  return ABOUT_LOSS.test(splitWords(name));
}

/** Whether a metric is probably a share between 0 and 1, of errors or of successes. */
export function isRate(name: string): boolean {
  const words = splitWords(name);
  return (
    !isLoss(name) &&
    !isDistance(name) &&
    (readName(name).goal !== undefined || /(?:rate|ratio|fraction|error)s?(?:$|[^a-z])/.test(words))
  );
}

/**
 * A name's words without order, repetition and those of a summary: equal for a single value and the curve that it sums up,
 * as Transformers' `Summary/train_loss` and `train/loss`.
 */
export function listTopic(name: string): string {
  return sortWords(splitWords(name), /^(?:summary|final|mean|avg|average)$/);
}
