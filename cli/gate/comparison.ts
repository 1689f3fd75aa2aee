import type { MetricRule } from '../shell/config.ts';
import type { Comparison, GateNote, GateReason, GateRule, MetricVerdict, RunCounts } from './data.ts';
import type { Goal } from './metric-rules.ts';
import { countAgreeing, findWidening, type Noise } from './noise.ts';
import { criticalT, findDetectableLoss, findMean, type HolmResult, tailOfT } from './statistics.ts';

/** The usual power of a test: it detects the loss in 4 of 5 cases (Cohen 1988). */
const POWER = 0.8;

/** A metric against a baseline, before any statistics. */
export interface Pair {
  readonly baseline: string;
  readonly goal: Goal;
  readonly rule: MetricRule;
  /** The pull request's values, one per run. */
  readonly values: readonly number[];
  /** The values can't be judged: the report shows them without a verdict. */
  readonly isBlocked: boolean;
  /** Base commits with a trusted value, nearest first. */
  readonly commits: ReadonlyArray<{
    readonly commit: string;
    readonly tasks: readonly string[];
    readonly values: readonly number[];
  }>;
  /** How much the metric varies, from all baselines together; undefined if unknown. */
  readonly noise: Noise | undefined;
  /** The same code with the same settings on both sides. */
  readonly isSameTraining: boolean;
  /** What prevents the comparison with this base. */
  readonly reasons: readonly GateReason[];
  readonly notes: readonly GateNote[];
}

/** A pair in numbers; a loss is positive if the pull request is worse. */
export interface Estimate {
  readonly pair: Pair;
  readonly value: number;
  readonly base: number;
  readonly loss: number;
  readonly tolerance: number;
  readonly isBeyondTolerance: boolean;
  readonly runs: RunCounts;
  readonly rule: GateRule;
  /** How many more base runs would have to agree until the metric counts as deterministic. */
  readonly neededRuns: number;
  /** Of the difference of the two means; 0 without a test. */
  readonly standardError: number;
}

/** A difference of this share of the numbers is rounding, as between float32 and float64. */
const ROUNDING = 1e-9;
/** A standard deviation of this share of the numbers is rounding: sums in another order differ by as much. */
const ZERO_SPREAD = 1e-12;
/**
 * A pair in numbers, without its significance.
 *
 * @param outlierLevel the accepted chance that a metric varies although the base never did
 * @returns undefined if a side has no values, or both are the same training
 */
export function estimatePair(pair: Pair, outlierLevel: number): Estimate | undefined {
  const [nearest] = pair.commits;
  if (nearest === undefined || pair.values.length === 0 || pair.isSameTraining) return undefined;
  const value = findMean(pair.values);
  const base = findMean(nearest.values);
  const loss = findLoss(pair.goal, value, base);
  const tolerance = resolveTolerance(pair.rule.tolerance, base);
  const magnitude = Math.max(Math.abs(value), Math.abs(base));
  const { noise } = pair;
  const runs = { pullRequest: pair.values.length, base: nearest.values.length };
  const neededRuns = Math.max(0, countAgreeing(outlierLevel, runs.pullRequest) - (noise?.baseRuns ?? 0));
  const rule = chooseRule(noise, magnitude, neededRuns);
  return {
    pair,
    value,
    base,
    loss,
    tolerance,
    isBeyondTolerance: loss > tolerance + ROUNDING * magnitude,
    runs,
    rule,
    neededRuns,
    standardError:
      noise === undefined || !isTest(rule)
        ? 0
        : noise.standardDeviation * factorOf(runs.pullRequest, runs.base),
  };
}

function findLoss(goal: Goal, value: number, base: number): number {
  return goal === 'maximize' ? base - value : value - base;
}

/**
 * A metric that never varied on the base is deterministic only if enough base runs agree to rule out a rare outlier: about
 * 7 for each run of the pull request.
 */
function chooseRule(noise: Noise | undefined, magnitude: number, neededRuns: number): GateRule {
  if (noise === undefined) return 'tolerance';
  if (noise.standardDeviation > ZERO_SPREAD * magnitude) {
    return noise.source === 'within-commits' ? 'pooled' : 'successive-differences';
  }
  return neededRuns === 0 ? 'deterministic' : 'tolerance';
}

function isTest(rule: GateRule): boolean {
  return rule === 'pooled' || rule === 'successive-differences';
}

/** The standard error of the difference of two means, for a standard deviation of 1 between runs. */
function factorOf(pullRequest: number, base: number): number {
  return Math.sqrt(1 / pullRequest + 1 / base);
}

/** An absolute tolerance; a percentage is one of the baseline's magnitude. */
function resolveTolerance(tolerance: MetricRule['tolerance'], base: number): number {
  return typeof tolerance === 'number' ? tolerance : (Number.parseFloat(tolerance) / 100) * Math.abs(base);
}

/** The p-value of the one-sided test; undefined without a test. */
export function testEstimate({ pair, loss, rule, standardError }: Estimate): number | undefined {
  if (pair.noise === undefined || pair.isBlocked || !isTest(rule) || !isInRange(loss, standardError))
    return undefined;
  return tailOfT(loss / standardError, pair.noise.degreesOfFreedom);
}

function isInRange(loss: number, standardError: number): boolean {
  return Number.isFinite(loss) && Number.isFinite(standardError);
}

/** A pair without numbers to compare. */
export function describeAbsence(pair: Pair, verdict: Exclude<MetricVerdict, 'regression'>): Comparison {
  const history = pair.commits.map(({ values }) => findMean(values));
  return {
    baseline: pair.baseline,
    verdict,
    rule: null,
    commit: pair.commits[0]?.commit ?? null,
    base: history[0] ?? null,
    change: null,
    tolerance: null,
    runs: { pullRequest: pair.values.length, base: pair.commits[0]?.values.length ?? 0 },
    history,
    noise: null,
    interval: null,
    pValue: null,
    correctedPValue: null,
    missable: null,
    reasons: pair.reasons,
    notes: pair.notes,
  };
}

/** The pull request's runs are the base's own training: a pass without a test, whatever the numbers are. */
export function describeSameTraining(pair: Pair): Comparison {
  const comparison = describeAbsence(pair, 'pass');
  const { base } = comparison;
  return {
    ...comparison,
    rule: 'same-training',
    change: base === null || pair.values.length === 0 ? null : findMean(pair.values) - base,
    reasons: [],
  };
}

export interface TestResult extends HolmResult {
  readonly pValue: number;
  /** How many metrics are tested. */
  readonly metrics: number;
}

/** The verdict of a pair, with everything that a reader needs to follow it. */
export function decideEstimate(estimate: Estimate, test: TestResult | undefined, alpha: number): Comparison {
  const { pair, rule, standardError, loss, tolerance } = estimate;
  const { noise } = pair;
  const comparison: Comparison = {
    ...describeAbsence(pair, 'undecided'),
    rule,
    change: estimate.value - estimate.base,
    tolerance,
    noise:
      noise === undefined
        ? null
        : { standardDeviation: noise.standardDeviation, degreesOfFreedom: noise.degreesOfFreedom },
  };
  if (!isInRange(loss, standardError)) {
    return { ...comparison, reasons: [...pair.reasons, { kind: 'out-of-range' }] };
  }
  if (pair.isBlocked) return comparison;
  return test === undefined || noise === undefined
    ? decideDirectly(estimate, comparison)
    : decideByTest(estimate, noise, test, alpha, comparison);
}

/** Without a test: the metric is deterministic, or the tolerance alone decides. */
function decideDirectly(estimate: Estimate, comparison: Comparison): Comparison {
  const { pair, rule, tolerance, isBeyondTolerance, neededRuns } = estimate;
  if (rule === 'deterministic') {
    return conclude({ ...comparison, missable: tolerance, interval: 0 }, pair, isBeyondTolerance);
  }
  if (tolerance > 0) return conclude(comparison, pair, isBeyondTolerance);
  if (pair.noise === undefined || !isNowhereWorse(estimate)) {
    return { ...comparison, reasons: [...pair.reasons, explainUnknown(estimate)] };
  }
  const note: GateNote = { kind: 'few-agree', baseRuns: pair.noise.baseRuns, neededRuns };
  return conclude({ ...comparison, notes: [...pair.notes, note] }, pair, false);
}

function decideByTest(
  { pair, runs, standardError, tolerance, isBeyondTolerance }: Estimate,
  noise: Noise,
  test: TestResult,
  alpha: number,
  comparison: Comparison,
): Comparison {
  const findMissable = (pullRequest: number, base: number): number => {
    const error = noise.standardDeviation * factorOf(pullRequest, base);
    // Each further run is worth a degree of freedom.
    const degreesOfFreedom = noise.degreesOfFreedom + (pullRequest - runs.pullRequest) + (base - runs.base);
    const design = { tolerance: tolerance / error, probability: test.level, degreesOfFreedom };
    return error * findDetectableLoss(POWER, design);
  };
  const concluded = conclude(
    {
      ...comparison,
      notes: [...pair.notes, ...describeBalance(runs)],
      interval: standardError * criticalT(test.level, noise.degreesOfFreedom),
      pValue: test.pValue,
      correctedPValue: test.corrected,
      missable: findMissable(runs.pullRequest, runs.base),
      reasons: [...pair.reasons, ...(isBeyondTolerance ? compareSpreads(noise, test.metrics) : [])],
    },
    pair,
    isBeyondTolerance && test.corrected <= alpha,
    (detect) => findNeededRuns(runs, (pullRequest, base) => findMissable(pullRequest, base) <= detect),
  );
  return concluded.verdict === 'pass' && isBeyondTolerance
    ? { ...concluded, notes: [...concluded.notes, ...describeWidening(noise)] }
    : concluded;
}

/** Each run is at least as good as the base; no chance can make that a regression. */
function isNowhereWorse({ pair: { values, goal }, base }: Estimate): boolean {
  return values.every(
    (value) => findLoss(goal, value, base) <= ROUNDING * Math.max(Math.abs(value), Math.abs(base)),
  );
}

function explainUnknown({ pair, base, runs, neededRuns }: Estimate): GateReason {
  const { noise } = pair;
  const { tolerance } = pair.rule;
  if (typeof tolerance === 'string' && base === 0 && Number.parseFloat(tolerance) > 0)
    return { kind: 'share-of-zero', tolerance };
  if (noise !== undefined)
    return { kind: 'noise-unknown', because: 'too-few-agree', baseRuns: noise.baseRuns, neededRuns };
  return {
    kind: 'noise-unknown',
    because: runs.pullRequest > 1 ? 'single-base-run' : 'single-runs',
    baseRuns: runs.base,
    neededRuns: null,
  };
}

/** One collapsed run widens the noise so much that the t-test misses its loss. */
function compareSpreads({ base, own }: Noise, metrics: number): GateReason[] {
  const pValue = findWidening({ base, own }, metrics);
  if (own === undefined || pValue === undefined) return [];
  return [
    {
      kind: 'uneven-spread',
      pValue,
      pullRequest: own.standardDeviation,
      base: base.standardDeviation,
    },
  ];
}

/** Skewed noise cancels out only between equal numbers of runs, and a single run shows no noise at all. */
function describeBalance({ pullRequest, base }: RunCounts): GateNote[] {
  return pullRequest === base && base > 1 ? [] : [{ kind: 'uneven-runs', pullRequest, base }];
}

/** Ratios of standard deviations from which the report says that the range is wider than the base's own. */
const WIDE_RATIO = 3;
const WIDENED_RATIO = 1.5;

function describeWidening({ base, own, widenedBy }: Noise): GateNote[] {
  const ratio = (own?.standardDeviation ?? 0) / base.standardDeviation;
  const notes: GateNote[] = [];
  if (ratio >= WIDE_RATIO) notes.push({ kind: 'range-widened', by: 'own-runs', ratio });
  if (widenedBy >= WIDENED_RATIO)
    notes.push({ kind: 'range-widened', by: 'other-baselines', ratio: widenedBy });
  return notes;
}

/** @param findNeeded the further runs that would show a loss of this size */
function conclude(
  comparison: Comparison,
  { rule: { detect } }: Pair,
  isRegression: boolean,
  findNeeded: (detect: number) => RunCounts | null = () => null,
): Comparison {
  if (isRegression) return { ...comparison, verdict: 'regression', reasons: [] };
  const { missable, tolerance, reasons } = comparison;
  const leaveOpen = (...more: readonly GateReason[]): Comparison => ({
    ...comparison,
    verdict: 'undecided',
    reasons: [...reasons, ...more],
  });
  if (detect !== undefined && tolerance !== null && detect <= tolerance) {
    return leaveOpen({ kind: 'detect-within-tolerance', detect, tolerance });
  }
  if (reasons.length > 0) return leaveOpen();
  if (detect !== undefined && (missable === null || missable > detect * (1 + ROUNDING))) {
    const needed = missable === null ? null : findNeeded(detect);
    return leaveOpen({ kind: 'too-few-runs', detect, missable, needed });
  }
  return { ...comparison, verdict: 'pass' };
}

const MAX_RUNS = 100;

/**
 * How many further runs would detect the loss: of the pull request alone if possible, otherwise on both sides up to equal
 * numbers; null if even 100 on each side would not.
 */
function findNeededRuns(
  runs: RunCounts,
  sees: (pullRequest: number, base: number) => boolean,
): RunCounts | null {
  const alone = findSmallest(runs.pullRequest, (count) => sees(count, runs.base));
  if (alone !== undefined) return { pullRequest: alone - runs.pullRequest, base: 0 };
  const start = Math.max(runs.pullRequest, runs.base);
  const both = findSmallest(start, (count) => sees(count, count));
  return both === undefined ? null : { pullRequest: both - runs.pullRequest, base: both - runs.base };
}

/** The smallest sufficient count from `start` to 100; a larger one is sufficient too. */
function findSmallest(start: number, does: (count: number) => boolean): number | undefined {
  let low = start;
  let high = MAX_RUNS;
  if (high < low || !does(high)) return undefined;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (does(middle)) high = middle;
    else low = middle + 1;
  }
  return high;
}

/**
 * Whether chance explains the change of a judged metric: both sides are the same training, or the change is within the
 * range that chance explains, in either direction. Runs that differ too unevenly are not explained by chance.
 *
 * @returns undefined if that range is unknown
 */
export function isChance({ rule, verdict, change, interval, reasons }: Comparison): boolean | undefined {
  if (rule === 'same-training') return true;
  if (verdict === 'regression') return false;
  if (change === null || interval === null) return undefined;
  return Math.abs(change) <= interval && !reasons.some(({ kind }) => kind === 'uneven-spread');
}

/** The worst of several verdicts: a metric regresses if it does against any baseline. */
export function pickWorst(verdicts: readonly MetricVerdict[]): MetricVerdict {
  const order = ['regression', 'undecided', 'pass'] as const;
  return order.find((verdict) => verdicts.includes(verdict)) ?? 'none';
}
