import type { MetricRule } from '../shell/config.ts';
import { matchesPattern } from '../text/pattern.ts';
import type { MetricPick } from '../training/metrics.ts';

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
export function assignRole(name: string, rules: readonly MetricRule[], hints = readName(name)): MetricRole {
  const rule = rules.find(({ metric }) => matchesPattern(metric, name));
  if (rule?.goal !== undefined) return { rule, pick: rule.value, goal: rule.goal, isGoalGuessed: false };
  const { goal } = hints;
  return { rule, pick: rule?.value ?? 'last', goal, isGoalGuessed: goal !== undefined };
}

const SMALLER_IS_BETTER =
  /(?:^|[^a-z])(?:loss|losses|error|errors|err|mse|rmse|mae|mape|perplexity|ppl|wer|cer|fid|nll|regret|logloss|log_loss|eer|brier)(?:$|[^a-z])/;
const LARGER_IS_BETTER =
  /(?:^|[^a-z])(?:accuracy|acc|balanced_accuracy|auc|auroc|roc_auc|auprc|f1|f1_score|fscore|precision|recall|sensitivity|specificity|map|m_ap|iou|miou|io_u|m_io_u|dice|bleu|rouge|meteor|r2|score|reward|psnr|ssim|top1|top5|ndcg|mrr|kappa|mcc)(?:$|[^a-z])/;

const ABOUT_RESULT = /(?:^|[^a-z])(?:test|eval|evaluation|holdout|final|best|summary)(?:$|[^a-z])/;
const ABOUT_VALIDATION = /(?:^|[^a-z])(?:val|valid|validation|dev)(?:$|[^a-z])/;
const ABOUT_COURSE =
  /(?:^|[^a-z])(?:lr|learning_rate|epoch|epochs|step|steps|iteration|iterations|time|seconds|sec|ms|duration|throughput|samples_per_second|grad|gradient|gradients|grad_norm|norm|weight|weights|bias|histogram|momentum|memory|mem|eta|batch)(?:$|[^a-z])/;

/** Times, rates, and the use of the machine. `min` is a minimum (`min_dcf`), and `ms_ssim` a similarity. */
const ABOUT_TIME =
  /(?:^|[^a-z])(?:time(?!_?(?:steps?|series)(?:$|[^a-z]))|times|timing|timings|timer|timestamp|runtime|uptime|walltime|wallclock|wall_clock|hours|minutes|mins|seconds|secs|sec|ms(?!_ssim)|duration|durations|elapsed|latency|throughput|speed|fps|qps|tps|eta|per_(?:s|second|min|minute|hour)|memory|mem|ram|vram|rss|gib|gb|mib|mb|gpu|gpus|cpu|cuda|tflops|gflops|mfu|utilization|util|watts)(?:$|[^a-z])|\/_?s(?:$|\/)/;

/** Whether a metric is about the machine's speed, which differs even between runs with bit-identical results. */
export function isAboutTime(name: string): boolean {
  return ABOUT_TIME.test(splitWords(name.slice(0, READ_LENGTH)));
}

/** In `perceptual/epoch` the last word only tells how often the metric is reported. */
const ABOUT_SCHEDULE =
  /(?:^|[^a-z])(?:lr|learning_rate)(?:$|[^a-z])|^(?:(?:train(?:er|ing)?|val(?:id(?:ation)?)?|eval|test|time|progress|summary|(?:global_)?(?:epoch|step|iteration)s?)\/)?(?:global_)?(?:epoch|step|iteration)s?$|(?:^|\/)momentum$/;

/** Whether a metric is a number that the training sets, like the learning rate, and does not compute: it is never NaN. */
export function isSchedule(name: string): boolean {
  const words = splitWords(name.slice(0, READ_LENGTH));
  return ABOUT_SCHEDULE.test(words) && !ABOUT_LOSS.test(words) && readName(name).goal === undefined;
}

const ABOUT_COUNT =
  /(?:^|[^a-z])(?:count|counts|num|number|total|failures|failed|skipped|dropped|missed|violations|timeouts|crashes|collisions)(?:$|[^a-z])/;

/** Whether a metric counts something, by its name: 0 is as real as any other number. */
export function isCount(name: string): boolean {
  const words = splitWords(name.slice(0, READ_LENGTH));
  return ABOUT_COUNT.test(words) && !ABOUT_LOSS.test(words);
}

const ABOUT_LOSS =
  /(?:^|[^a-z])(?<!(?:hamming|zero_one)_)(?:loss|losses|m?logloss|mse|rmse|rmsle|mae|mape|nll|ppl|perplexity|(?:b|x)?ce|cross_?entropy|xent|kld?|divergence|(?:squared|absolute|reconstruction)_error|fid|l1|l2|brier)(?:$|[^a-z])/;

/** Whether a metric is a loss or distance with a value of its own for each model: it is never exactly 0 but by underflow. */
export function isLoss(name: string): boolean {
  return ABOUT_LOSS.test(splitWords(name.slice(0, READ_LENGTH)));
}

/** Whether a metric is probably a share between 0 and 1, of errors or of successes. */
export function isRate(name: string): boolean {
  const words = splitWords(name.slice(0, READ_LENGTH));
  return (
    !isLoss(name) &&
    (readName(name).goal !== undefined || /(?:rate|ratio|fraction|error)s?(?:$|[^a-z])/.test(words))
  );
}

/**
 * A name's words without order, repetition and those of a summary: equal for a single value and the curve that it sums up,
 * as Transformers' `Summary/train_loss` and `train/loss`.
 */
export function listTopic(name: string): string {
  const words = splitWords(name.slice(0, READ_LENGTH)).split(/[^\p{L}\p{N}]+/u);
  const isTopic = (word: string) => word !== '' && !/^(?:summary|final|mean|avg|average)$/.test(word);
  return [...new Set(words.filter(isTopic))].sort().join(' ');
}

/** What a metric's name says. */
interface NameHints {
  /** The direction that is better, for well-known names. */
  readonly goal: Goal | undefined;
  /** How interesting the metric is: held-out data before training data, well-known measures first, bookkeeping last. */
  readonly interest: number;
}

/** Longer names are read up to this length. */
const READ_LENGTH = 200;

/** Reads a metric's name, for metrics without a rule. */
export function readName(name: string): NameHints {
  const words = splitWords(name.slice(0, READ_LENGTH));
  const isSmaller = SMALLER_IS_BETTER.test(words);
  const isLarger = LARGER_IS_BETTER.test(words);
  const goal = isSmaller === isLarger ? undefined : isSmaller ? 'minimize' : 'maximize';
  return {
    goal,
    interest:
      (goal === undefined ? 0 : 8) +
      (goal === 'maximize' ? 1 : 0) +
      (ABOUT_RESULT.test(words) ? 6 : 0) +
      (ABOUT_VALIDATION.test(words) ? 4 : 0) -
      (ABOUT_COURSE.test(words) || ABOUT_TIME.test(words) ? 10 : 0),
  };
}

/** `testAccuracy/top-1` as `test_accuracy/top_1`. */
function splitWords(name: string): string {
  return name
    .replace(/(\p{Ll})(?=\p{Lu})/gu, '$1_')
    .toLowerCase()
    .replace(/[\s.:-]+/g, '_');
}
