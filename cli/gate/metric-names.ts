import type { Goal } from './metric-rules.ts';

/** Longer names are read up to this length. */
const READ_LENGTH = 200;

/** `testAccuracy/top-1` as `test_accuracy/top_1`. */
export function splitWords(name: string): string {
  return name
    .slice(0, READ_LENGTH)
    .replace(/(\p{Ll})(?=\p{Lu})/gu, '$1_')
    .toLowerCase()
    .replace(/[\s.:-]+/g, '_');
}

/** The words of a text without order, repetition and those that are left out. */
export function sortWords(text: string, left: RegExp): string {
  const words = text.split(/[^\p{L}\p{N}]+/u).filter((word) => word !== '' && !left.test(word));
  return [...new Set(words)].sort().join(' ');
}

/** A test for whole words, between anything but letters. */
function matchWords(...alternatives: readonly string[]): RegExp {
  return new RegExp(`(?:^|[^a-z])(?:${alternatives.join('|')})(?:$|[^a-z])`);
}

/** The measures that libraries report by these names, and what people call them. */
const DISTANCES =
  'n(?:ll|loglik)|deviance|negative_log_?likelihood|n?r?mse|r?msle|n?mae|medae|wape|mase|bits_per_(?:byte|char|dim)|bp[bcd]|hausdorff|hd95|assd|chamfer|epe|[af]de|kid|lpips|fvd|fad|niqe|brisque|x_?entropy|kullback_leibler';
const SMALLER_IS_BETTER = matchWords(
  DISTANCES,
  'loss(?:es)?|m?logloss|log_loss|m?errors?|err|s?mape|l[12](?![0-9]|_(?:norm|reg|weight|penalty|lambda|decay))',
  'perplexity|ppl|regret|brier|ece|wer|cer|ter|der|eer|(?:min_?)?dcf|fid|(?:b|x)?ce|cross_?entropy|xent',
  'fpr(?:95)?|fnr|frr|miss_rate|failure_rate',
  'false_(?:positive|negative|alarm|discovery|accept(?:ance)?|reject(?:ion)?)s?(?:_rates?)?|rejections?',
);
const LARGER_IS_BETTER = matchWords(
  'accuracy|acc|top_?[0-9]+|exact_match|(?:pass|hits?)@[0-9]+|(?:hit|win|success|pass)_rate|kappa|mcc|matthews',
  'g?auc(?:_?pr|_?roc)?|auroc|auprc|prauc|(?:aver[a-z]*_)?precision|recall|sensitivity|specificity|tpr|tnr|ppv|npv',
  'true_(?:positive|negative)s?(?:_rates?)?|f1(?:_?score)?|f2|f_?score|f_?beta|jaccard|dice|dsc|pq',
  'm?ap[sml]?|m_ap|[gdc]?iou|m_?iou|m_?io_u|io_u|psnr|ssim|si_?sdr|sdr|pesq|stoi|explained_variance|log_likelihood|elbo',
  '(?:sacre_?)?bleu|rouge[a-z]*|meteor|chrf|bert_?score|bleurt|cider|r2(?:_?score)?|r_?squared|ndcg|mrr',
  'spearmanr?|pearsonr?|corrcoef|correlation|concordance|rewards?|rew|returns?',
);
/** `fid_score` and `brier_score` are smaller the better. */
const PROBABLY_LARGER = matchWords('scores?');

/** What is told of a measure has not its direction: the deviation of a loss, or its weight. */
const ABOUT_MEASURE =
  /^(?:std|stdev|stddev|var|variance|sem)_|(?:^|_)(?:std|stdev|std_dev|stddev|sd|sem|var|variance|ci[0-9]*|scal(?:e|er|ing)|weights?|coef[a-z]*|lambda|thresh(?:old)?s?|cutoff|margin|ratio|gap|diff(?:erence)?|delta|change|slope|histogram|schedule|bits|dtype)(?:_?[0-9]+)?(?:_(?:epoch|step))?$/;

/** Which direction is better, by a part of a name. */
function guessGoalOf(part: string): Goal | undefined {
  const isSmaller = SMALLER_IS_BETTER.test(part);
  const isLarger = LARGER_IS_BETTER.test(part);
  // A loss of accuracy, or one made of the Dice coefficient.
  if (isSmaller && isLarger)
    return /(?:loss(?:es)?|m?errors?)(?:_?[0-9]+|_epoch|_step)*$/.test(part) ? 'minimize' : undefined;
  if (isSmaller) return 'minimize';
  return isLarger || PROBABLY_LARGER.test(part) ? 'maximize' : undefined;
}

/** Which direction is better, by a name's words; undefined where its parts disagree or say nothing. */
function guessGoal(words: string): Goal | undefined {
  const parts = words.split('/');
  if (parts.some((part) => ABOUT_MEASURE.test(part))) return undefined;
  const goals = parts.filter((part) => !/^scores?$/.test(part)).flatMap((part) => guessGoalOf(part) ?? []);
  if (goals.length === 0) return guessGoalOf(words);
  return new Set(goals).size === 1 ? goals[0] : undefined;
}

/** Times, rates, and the use of the machine. `min` is a minimum (`min_dcf`), and `ms_ssim` a similarity. */
const ABOUT_TIME =
  /(?:^|[^a-z])(?:time(?!_?(?:steps?|series)(?:$|[^a-z]))|times|timing|timings|timer|timestamp|runtime|uptime|walltime|wallclock|wall_clock|hours|minutes|mins|seconds|secs|sec|ms(?!_ssim)|duration|durations|elapsed|latency|throughput|speed|fps|qps|tps|eta|per_(?:s|second|min|minute|hour)|memory|mem|ram|vram|rss|gib|gb|mib|mb|gpu|gpus|cpu|cuda|tflops|gflops|mfu|utilization|util|watts)(?:$|[^a-z])|(?:^|[^a-z])(?:its?|iters?|iterations?|steps?|batch(?:es)?|samples?|images?|imgs?|tokens?|examples?|frames?|[gmk]?bytes?)\/_?s(?:$|\/)/;
/** `speed/s`: a title of anything, by the second. */
const BY_SECOND = /\/_?s(?:$|\/)/;

/** Whether a metric is about the machine's speed, which differs even between runs with bit-identical results. */
export function isAboutTime(name: string): boolean {
  const words = splitWords(name);
  return ABOUT_TIME.test(words) || BY_SECOND.test(words);
}

/** Bookkeeping although a measure's name may stand in it. */
const CERTAINLY_BOOKKEEPING =
  /(?:^|[^a-z])(?:learning_rates?|grad(?:ient)?s?_norms?|(?:loss|grad|amp)_scal(?:e|er|ing)|hp_metric|runtime|(?:mixed|matmul|float(?:ing)?(?:_point)?|trainer\/|amp)_?precision|precision_(?:bits|dtype)|(?:samples|tokens|images|steps|iterations)_per_[a-z]+|[a-z]*time(?:_?\(?(?:m?s|sec|seconds)\)?)?$)(?:$|[^a-z])|(?:^|[^a-z])(?:seconds|secs|latency|throughput)$|_vs_(?:iterations|steps|epochs)$|(?:^|[^a-z])(?:best|stopped)_(?:[a-z0-9_]*_)?(?:epoch|step|iter(?:ation)?|round)s?$|(?:^|[^a-z])(?:epoch|step|iter(?:ation)?|round)s?_(?:of|at)_/;

const ABOUT_DEVICE = matchWords('gpus?|cpu|cuda');
/** What a training sets, or tells of its own machinery. */
const ABOUT_MACHINERY = matchWords(
  'lrs?|pg|momentum|mom|wd|weight_decay|(?:ema_)?decay|eps|epsilon|betas?[12]|dropout|warmup|coef[a-z]*|seed|patience',
  'grads?|gradients?|norms?|weights|biases|histograms?|activations|num_zeros|scaler',
  '[gmt]?flo[ps]|[gmt]?flops|[gm]?macs|param(?:eter)?s|remaining_budget|resources',
);
const COURSE =
  /^(?:epoch|step|iter|iteration|round|batch|batche|minibatch|sample|token|example|timestep|trial)s?$/;
/** Words beside those of the course that don't make a result of it. */
const BESIDE_COURSE =
  /^(?:[0-9]+|train(?:er|ing|ed)?|val(?:id(?:ation)?)?|eval(?:uation)?|test|global|total|num|n|number|count(?:er)?|current|last|best|max|min|of|early|stopp(?:ed|ing)|progress|summary|time|input|output|seen|consumed|processed|done|size|rollout|env|optimizer|effective|micro)$/;

/** Whether a metric tells how the training went, and not how good its result is: epochs, learning rates, times, counts. */
function isBookkeeping(words: string): boolean {
  if (CERTAINLY_BOOKKEEPING.test(words)) return true;
  const last = words.slice(words.lastIndexOf('/') + 1);
  if (ABOUT_TIME.test(last) && guessGoalOf(last) === undefined && !ABOUT_DEVICE.test(last)) return true;
  const parts = words.split(/[^\p{L}\p{N}]+/u).filter((word) => word !== '');
  const isOfCourse = parts.every((word) => COURSE.test(word) || BESIDE_COURSE.test(word));
  if (isOfCourse && parts.some((word) => COURSE.test(word))) return true;
  if (SMALLER_IS_BETTER.test(words) || LARGER_IS_BETTER.test(words)) return false;
  return ABOUT_MACHINERY.test(words) || ABOUT_TIME.test(words);
}

const ABOUT_RESULT = matchWords('test|eval|evaluation|holdout|final|best|summary');
const ABOUT_VALIDATION = matchWords('val|valid|validation|dev');
const ABOUT_TRAINING = matchWords('train|training|learn|trn');
const HELD_OUT = matchWords('test|eval|evaluation|holdout|val|valid|validation|dev');

const IS_DISTANCE = matchWords(DISTANCES);

/** Whether a name is of a measure without an upper limit: a 0 among other numbers is no small step. */
export function isDistance(name: string): boolean {
  return IS_DISTANCE.test(splitWords(name));
}

/** What a metric's name says. */
export interface NameHints {
  /** Which direction is better, for well-known measures; undefined for bookkeeping and for what nobody can guess. */
  readonly goal: Goal | undefined;
  /** It tells how the training went, and not how good its result is: epochs, learning rates, times, counts. */
  readonly isBookkeeping: boolean;
  /** On which data it was measured; undefined if the name does not say. */
  readonly data: 'training' | 'held-out' | undefined;
  /** How interesting it is: held-out data before training data, well-known measures first, bookkeeping last. */
  readonly interest: number;
}

/** A task can have thousands of metrics, and each is asked about several times. */
const known = new Map<string, NameHints>();
/** The same by their words: those of most differ only in a number. */
const knownWords = new Map<string, NameHints>();

/** Reads a metric's name. */
export function readName(name: string): NameHints {
  const found = known.get(name);
  if (found !== undefined) return found;
  // No measure's name has a third digit.
  const words = splitWords(name).replace(/([0-9]{2})[0-9]+/g, '$10');
  const hints = knownWords.get(words) ?? readWords(words);
  known.set(name, hints);
  knownWords.set(words, hints);
  return hints;
}

function readWords(words: string): NameHints {
  const bookkeeping = isBookkeeping(words);
  const goal = bookkeeping ? undefined : guessGoal(words);
  const data = HELD_OUT.test(words) ? 'held-out' : ABOUT_TRAINING.test(words) ? 'training' : undefined;
  return {
    goal,
    isBookkeeping: bookkeeping,
    data,
    interest:
      (goal === undefined ? 0 : 8) +
      (goal === 'maximize' ? 5 : 0) +
      (ABOUT_RESULT.test(words) ? 6 : 0) +
      (ABOUT_VALIDATION.test(words) ? 4 : 0) -
      (data === 'training' ? 6 : 0) -
      (bookkeeping ? 30 : 0),
  };
}
