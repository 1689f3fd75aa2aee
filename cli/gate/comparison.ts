import type { MetricRule } from '../shell/config.ts';
import type { Comparison, GateNote, GateReason, GateRule, MetricVerdict, RunCounts } from './data.ts';
import type { Goal } from './metric-rules.ts';
import { countAgreeing, type Noise } from './noise.ts';
import { criticalT, findDetectableLoss, findMean, type HolmResult, tailOfF, tailOfT } from './statistics.ts';

/** The usual power of a test: what a detectable loss is seen with in 4 of 5 cases (Cohen 1988). */
const POWER = 0.8;

/** A metric against a baseline: what is known before any statistics. */
export interface Pair {
  readonly baseline: string;
  readonly goal: Goal;
  readonly rule: MetricRule;
  /** The pull request's values, one a run. */
  readonly values: readonly number[];
  /** The values can't be judged: numbers are given, but no verdict is drawn from them. */
  readonly isBlocked: boolean;
  /** Base commits with a value to believe, nearest first. */
  readonly commits: ReadonlyArray<{
    readonly commit: string;
    readonly tasks: readonly string[];
    readonly values: readonly number[];
  }>;
  /** How much the metric varies, as all baselines together tell; undefined where they don't. */
  readonly noise: Noise | undefined;
  /** The same code with the same settings on both sides. */
  readonly isSameTraining: boolean;
  /** What keeps the base from being compared with. */
  readonly reasons: readonly GateReason[];
  readonly notes: readonly GateNote[];
}

/** A pair in numbers, losses positive where the pull request is worse. */
export interface Estimate {
  readonly pair: Pair;
  readonly value: number;
  readonly base: number;
  readonly loss: number;
  readonly tolerance: number;
  readonly isBeyondTolerance: boolean;
  readonly runs: RunCounts;
  readonly rule: GateRule;
  /** How many more base runs would have to agree until the metric is taken for deterministic; 0 where enough do. */
  readonly neededRuns: number;
  /** Of the difference of the two means; 0 where no test is drawn. */
  readonly standardError: number;
}

/** A difference of this share of the numbers is rounding, as between float32 and float64. */
const ROUNDING = 1e-9;
/** A standard deviation of this share of the numbers is rounding: sums in another order differ by as much. */
const ZERO_SPREAD = 1e-12;
/** Level of the F-test, over all tested metrics, that keeps a loss from passing where the pull request's runs differ too much. */
const SPREAD_LEVEL = 0.001;
/**
 * A young base has too few runs for that level: its spread is so uncertain that the test misses even a collapsed run. There
 * a ratio of 10 is enough, at a level of 0.03 in this metric alone. The README's table holds what that costs unchanged pull
 * requests. The simulation's test holds what it finds: of two seeds against one base commit's two, a run that is worse by
 * 40 standard deviations passes in about a fifth of all cases (97% without this), of three against three in none (59%).
 */
const PLAIN_RATIO = 10;
const PLAIN_LEVEL = 0.03;

/**
 * A pair in numbers, without its significance.
 *
 * @param outlierLevel how likely it may be that a metric varies although the base never did
 * @returns undefined where a side has no values, or both are the same training
 */
export function estimatePair(pair: Pair, outlierLevel: number): Estimate | undefined {
  const [nearest] = pair.commits;
  if (nearest === undefined || pair.values.length === 0 || pair.isSameTraining) return undefined;
  const value = findMean(pair.values);
  const base = findMean(nearest.values);
  const loss = pair.goal === 'maximize' ? base - value : value - base;
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

/**
 * A metric that never varied on the base is deterministic only where so many runs agree that a rare outlier is no
 * explanation for one that does not: about 7 base runs for each of the pull request's.
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

/** The p-value of the one-sided test; undefined where there is no test. */
export function testEstimate({ pair, loss, rule, standardError }: Estimate): number | undefined {
  if (pair.noise === undefined || pair.isBlocked || !isTest(rule) || !isInRange(loss, standardError))
    return undefined;
  return tailOfT(loss / standardError, pair.noise.degreesOfFreedom);
}

function isInRange(loss: number, standardError: number): boolean {
  return Number.isFinite(loss) && Number.isFinite(standardError);
}

/** What can be said of a pair that has no numbers to compare. */
export function describeAbsence(pair: Pair, verdict: Exclude<MetricVerdict, 'regression'>): Comparison {
  return {
    baseline: pair.baseline,
    verdict,
    rule: null,
    commit: pair.commits[0]?.commit ?? null,
    base: pair.commits[0] === undefined ? null : findMean(pair.commits[0].values),
    change: null,
    tolerance: null,
    runs: { pullRequest: pair.values.length, base: pair.commits[0]?.values.length ?? 0 },
    history: pair.commits.map(({ values }) => findMean(values)),
    noise: null,
    interval: null,
    pValue: null,
    correctedPValue: null,
    missable: null,
    reasons: pair.reasons,
    notes: pair.notes,
  };
}

/** The pull request's runs are the base's own training: a pass without a test, however the numbers turned out. */
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

/** The verdict of a pair, and all that a reader needs to follow it. */
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

/** Each run is at least as good as the base: whatever chance does to the metric, that is no regression. */
function isNowhereWorse({ pair: { values, goal }, base }: Estimate): boolean {
  return values.every((value) => {
    const loss = goal === 'maximize' ? base - value : value - base;
    return loss <= ROUNDING * Math.max(Math.abs(value), Math.abs(base));
  });
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

/** An F-test of the spreads: one collapsed run widens the noise so much that the t-test no longer sees its loss. */
function compareSpreads({ base, own }: Noise, metrics: number): GateReason[] {
  if (own === undefined) return [];
  const ratio = own.standardDeviation / base.standardDeviation;
  const pValue = tailOfF(ratio ** 2, own.degreesOfFreedom, base.degreesOfFreedom);
  const isPlain = ratio >= PLAIN_RATIO && pValue <= PLAIN_LEVEL;
  if (!isPlain && pValue > SPREAD_LEVEL / metrics) return [];
  const { standardDeviation: pullRequest } = own;
  return [{ kind: 'uneven-spread', pValue, pullRequest, base: base.standardDeviation }];
}

/** Skewed noise cancels out only between equally many runs, and a single run shows no noise at all. */
function describeBalance({ pullRequest, base }: RunCounts): GateNote[] {
  return pullRequest === base && base > 1 ? [] : [{ kind: 'uneven-runs', pullRequest, base }];
}

/** Ratios of standard deviations from which a reader is told that the range is wider than the base's own. */
const WIDE_RATIO = 3;
const WIDENED_RATIO = 1.5;

function describeWidening({ base, own, widenedBy }: Noise): GateNote[] {
  const ratio = (own?.standardDeviation ?? 0) / base.standardDeviation;
  return [
    ...(ratio >= WIDE_RATIO ? [{ kind: 'range-widened', by: 'own-runs', ratio } as const] : []),
    ...(widenedBy >= WIDENED_RATIO
      ? [{ kind: 'range-widened', by: 'other-baselines', ratio: widenedBy } as const]
      : []),
  ];
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
 * How many further runs would see the loss: of the pull request alone if that can do, else on both sides, equally many in
 * the end; null where even 100 a side do not.
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

/** The smallest count from `start` to 100 that does, given that more always do if fewer do. */
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

/** The worst of several: a metric regresses if it does against any baseline. */
export function pickWorst(verdicts: readonly MetricVerdict[]): MetricVerdict {
  const order = ['regression', 'undecided', 'pass'] as const;
  return order.find((verdict) => verdicts.includes(verdict)) ?? 'none';
}
