import { formatNumber } from '../text/number-format.ts';
import type {
  Comparison,
  GateNote,
  GateReason,
  GateRule,
  MeasurementProblem,
  MetricJudgement,
} from './data.ts';

/**
 * The gate's judgement of a metric against one baseline, in plain sentences. They contain only our own words and numbers:
 * no name, branch or task that others chose.
 */
export function explainComparison(
  metric: Pick<MetricJudgement, 'goal' | 'value' | 'reasons'>,
  comparison: Comparison,
): string[] {
  const isSeedless = comparison.notes.some(({ kind }) => kind === 'seed-not-used');
  const reasons = [...metric.reasons, ...comparison.reasons].map((reason) =>
    explainReason(reason, isSeedless),
  );
  const isJudged = comparison.verdict === 'pass' || comparison.verdict === 'regression';
  return [
    ...reasons,
    ...(isJudged ? [explainVerdict(metric, comparison), explainSight(comparison)] : []),
    ...comparison.notes.map(explainNote),
    explainFirstRun(comparison),
  ].filter((sentence) => sentence !== '');
}

/** How a metric was judged, with the number of runs on both sides. */
export function explainRule({ rule, runs, noise }: Comparison): string {
  if (rule === null) return 'Not compared.';
  const sides = `${countRuns(runs.pullRequest)} against ${countRuns(runs.base)}`;
  const spread = noise === null ? '' : formatNumber(noise.standardDeviation, 2);
  const words: Readonly<Record<GateRule, string>> = {
    pooled: `t-test, ${sides}; the standard deviation between runs of the same code is ${spread}.`,
    'successive-differences': `t-test, ${sides}; the standard deviation between runs of successive commits is ${spread}.`,
    deterministic: `Direct comparison, ${sides}; the base’s runs have never differed by chance.`,
    tolerance: `Direct comparison, ${sides}; how much runs differ by chance is unknown.`,
    'same-training': `Not tested, ${sides}.`,
  };
  return words[rule];
}

function explainVerdict(
  { goal, value }: Pick<MetricJudgement, 'goal' | 'value'>,
  { verdict, rule, change, base, tolerance, correctedPValue, interval }: Comparison,
): string {
  if (rule === 'same-training') {
    return change === null || change === 0
      ? 'The same code and settings as the base: nothing has changed.'
      : 'The same code and settings as the base: the numbers differ by chance.';
  }
  if (change === null || base === null || value === null || tolerance === null) return '';
  const loss = goal === 'maximize' ? -change : change;
  const size = formatNumber(Math.abs(loss), 3);
  const allowed = tolerance > 0 ? `, more than the tolerance of ${formatNumber(tolerance, 3)}` : '';
  if (verdict === 'regression') {
    const chance =
      correctedPValue === null
        ? ''
        : ` Chance alone makes ${formatShare(correctedPValue)} of unchanged pull requests look this bad.`;
    const exact = rule === 'deterministic' ? ', and the base’s runs have never differed by chance' : '';
    return `Worse by ${size}${allowed}${exact}.${chance}`;
  }
  if (loss === 0) return 'The same as the base.';
  if (loss < 0) {
    if (interval !== null && -loss <= interval) return `Differs by ${size}, which chance can explain.`;
    return `Better by ${size}.${correctedPValue === null ? '' : ' Whether chance explains that was not tested.'}`;
  }
  if (tolerance > 0 && loss <= tolerance * (1 + 1e-9)) {
    return `Worse by ${size}, within the tolerance of ${formatNumber(tolerance, 3)}.`;
  }
  return correctedPValue === null
    ? `Worse by ${size}, a rounding difference.`
    : `Worse by ${size}, which chance can explain: it makes up to ${formatShare(correctedPValue)} of unchanged pull requests look this bad.`;
}

/** Why the first run of a new repository should have several seeds. */
function explainFirstRun({ notes, runs }: Comparison): string {
  return runs.pullRequest === 1 && notes.some(({ kind }) => kind === 'no-history')
    ? 'A single run does not show how much runs differ by chance; several seeds would.'
    : '';
}

/** What a pass could have missed. */
function explainSight({ verdict, rule, missable, tolerance, notes }: Comparison): string {
  if (verdict !== 'pass' || rule === 'same-training' || notes.some(({ kind }) => kind === 'few-agree'))
    return '';
  if (missable === null) {
    return 'The smallest loss that these runs can detect is unknown; more seeds would show it.';
  }
  if (rule === 'deterministic') {
    const least = tolerance === 0 ? '' : ` of more than ${formatNumber(missable, 3)}`;
    return `Any loss${least} would have been detected.`;
  }
  return `These runs detect a loss of ${formatNumber(missable, 2)} in 4 of 5 cases; a smaller one can slip through.`;
}

/** Why a task has no measurement: the end of a sentence that begins with the task. */
const PROBLEM_WORDS: Readonly<Record<MeasurementProblem, string>> = {
  'not-completed': 'did not complete.',
  missing: 'did not report it.',
  'not-a-number': 'reported NaN.',
  infinite: 'reported an infinite value.',
  replaced: 'had NaN or an infinity, which ClearML reports as another number. That is not a measurement.',
  'unverified-zero':
    'reported exactly 0, and the console could not be read completely. ClearML reports NaN as 0 and says so only there, so the 0 is not trusted.',
  ambiguous:
    'reported two metrics of this name: their titles and series contain slashes and join to the same name. Rename one.',
  'unexpected-zero':
    'reported exactly 0, but the curve does not lead there. ClearML reports NaN as 0, so the 0 is not trusted.',
  unmeasured:
    'reported a number that may stand for NaN, and nothing speaks for it: it is no count, no course leads there, and the other side’s runs do not confirm it. ClearML reports NaN as 0, and a training can mute the warning.',
};

/**
 * Why a metric could not be judged, and what would help.
 *
 * @param isSeedless seeds make no difference, so more of them would not help
 */
export function explainReason(reason: GateReason, isSeedless = false): string {
  switch (reason.kind) {
    case 'too-few-iterations':
      return `${countTasks(reason.tasks)} ran fewer than the ${count(reason.required, 'iteration')} that min-iterations requires.`;
    case 'too-few-reports':
      return `${countTasks(reason.tasks)} reported it fewer than the ${count(reason.required, 'time')} that min-iterations requires: the metric stopped before the run.`;
    case 'missing-in-baseline':
      return 'No run of the base has it. If it was renamed, set `was` to the old name; if it is new, gate it once the base has it.';
    case 'unmeasured-in-baseline':
      return 'No run of the base has a number that can be trusted: train the base branch again. If this pull request fixes the cause, name a sound task with --baseline, or let a person override the gate.';
    case 'baseline-unreached':
      return 'The base branch was trained, but at no commit that was searched. Merge it into this pull request or rebase, so that a trained commit comes before it; or train the commit where the pull request branched off.';
    case 'baseline-unfinished':
      return 'The base commit is still being trained. Run this job again when that training has ended, or stop it if it should not count.';
    case 'baseline-unknown':
      return 'The base is unknown.';
    case 'noise-unknown':
      return `${explainUnknown(reason, isSeedless)}, or set a tolerance.`;
    case 'share-of-zero':
      return `How much runs differ by chance is unknown, and a tolerance of ${reason.tolerance} of 0 is 0. Set an absolute tolerance.`;
    case 'uneven-spread':
      return `The runs of this pull request differ ${formatNumber(reason.pullRequest / reason.base, 2)} times as much as those of the base (standard deviation ${formatNumber(reason.pullRequest, 2)} against ${formatNumber(reason.base, 2)}), which chance ${reason.pValue <= 0.001 ? 'does not explain' : `explains in ${formatShare(reason.pValue)} of cases`}. Their mean is worse: look at the worst run. More seeds here would decide.`;
    case 'detect-within-tolerance':
      return `The loss in detect (${formatNumber(reason.detect, 3)}) is within the tolerance (${formatNumber(reason.tolerance, 3)}), where no loss is a regression. Change one of the two.`;
    case 'out-of-range':
      return 'The numbers are too large to compute with.';
    case 'too-few-runs':
      return `${
        reason.missable === null
          ? 'It is unknown whether these runs can detect a loss of'
          : `These runs detect a loss of ${formatNumber(reason.missable, 2)} in 4 of 5 cases, but detect asks for`
      } ${formatNumber(reason.detect, 3)}; ${explainNeed(reason, isSeedless)}`;
    default:
      return reason.kind === 'missing' && reason.tasks.length === 0
        ? 'No run could have reported it.'
        : `${countTasks(reason.tasks)} ${PROBLEM_WORDS[reason.kind]}`;
  }
}

function explainUnknown(
  { because, baseRuns, neededRuns }: Extract<GateReason, { readonly kind: 'noise-unknown' }>,
  isSeedless: boolean,
): string {
  const unknown = 'How much runs differ by chance is unknown, and no tolerance is set';
  if (isSeedless) return `${unknown}: make the training use its seed`;
  switch (because) {
    case 'single-runs':
      return `${unknown}: launch with seeds`;
    case 'single-base-run':
      return `${unknown}: train the base commit with seeds too`;
    case 'too-few-agree':
      return `The ${countRuns(baseRuns)} of the base agree, but they are too few to rule out chance, and no tolerance is set: ${countNeeded(neededRuns ?? 1)}`;
  }
}

function explainNeed(
  { missable, needed }: Extract<GateReason, { readonly kind: 'too-few-runs' }>,
  isSeedless: boolean,
): string {
  if (isSeedless) return 'seeds that change the result would tell.';
  if (missable === null) return 'more seeds would tell.';
  if (needed === null) return 'even 100 seeds on each side would not be enough.';
  if (needed.base === 0) return `${count(needed.pullRequest, 'more seed')} would decide.`;
  return `${count(needed.pullRequest, 'more seed')} here and ${needed.base} more on the base commit would decide.`;
}

function nameSide(side: 'pull-request' | 'base'): string {
  return side === 'base' ? 'on the base' : 'here';
}

/** What a reader should know, although it decides nothing. */
function explainNote(note: GateNote): string {
  switch (note.kind) {
    case 'no-history':
      return 'The base branch has no history yet, so there is nothing to compare with.';
    case 'fewer-iterations':
      return `${countTasks(note.tasks)} ran fewer iterations than the base's ${note.baseline}.`;
    case 'fewer-reports':
      return `${countTasks(note.tasks)} reported it fewer times than the base's ${note.baseline}.`;
    case 'seed-not-used':
      return `${note.runs} seeds gave bit-identical results in every metric ${nameSide(note.side)}. The training does not seem to use its seed, so they count as one run.`;
    case 'seed-lost':
      return note.runs === 1
        ? `Nothing shows that the seed of 1 run ${nameSide(note.side)} reached the training.`
        : `Nothing shows that the seeds of ${note.runs} runs ${nameSide(note.side)} reached the training: these runs may be the same training.`;
    case 'uneven-runs':
      return `${countRuns(note.pullRequest)} against ${countRuns(note.base)}: this can block good pull requests more often than the same number of seeds, two or more, on both sides.`;
    case 'range-widened':
      return note.by === 'own-runs'
        ? `The runs of this pull request differ ${formatNumber(note.ratio, 2)} times as much as those of the base, which widens the range that chance explains. Look at the worst run.`
        : `The runs of another baseline differ more, which makes the range that chance explains ${formatNumber(note.ratio, 2)} times as wide as this base’s own history does.`;
    case 'spread-left-out':
      return `The runs of ${note.commits.length === 1 ? 'another baseline' : 'other baselines'} differ far more than those of this history, as after a collapsed run. They do not count for how much runs differ by chance.`;
    case 'few-agree':
      return `The ${countRuns(note.baseRuns)} of the base agree, but they are too few to tell a drop from chance: ${countNeeded(note.neededRuns)}.`;
    case 'nearest-unmeasured':
      return 'The nearest base commit has no number that can be trusted, so an older one takes its place.';
    case 'renamed':
      return 'The base has it under its old name.';
  }
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

/** `1 run`, `3 runs` */
export function countRuns(runs: number): string {
  return count(runs, 'run');
}

function countNeeded(baseRuns: number): string {
  return baseRuns === 1
    ? '1 more base run (a further commit, or seed) would decide'
    : `${baseRuns} more base runs (further commits, or seeds) would decide`;
}

function countTasks(tasks: readonly string[]): string {
  return tasks.length === 1 ? 'A task' : `${tasks.length} tasks`;
}

/** `2.3%`; a small share as a bound. */
function formatShare(share: number): string {
  return share < 0.001 ? 'fewer than 0.1%' : `${formatNumber(100 * share, 2)}%`;
}
