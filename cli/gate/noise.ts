import { DEFAULT_ALPHA } from './data.ts';
import { criticalT, findMean, tailOfF } from './statistics.ts';

/** An estimated standard deviation, in the metric's unit. */
interface Spread {
  readonly standardDeviation: number;
  /** Whole within commits; for successive differences the effective degrees of freedom of their variance. */
  readonly degreesOfFreedom: number;
}

/** How much a metric varies between runs of the same code; a standard deviation of 0 if all base runs agree. */
export interface Noise extends Spread {
  /** The runs of each commit, or the differences of successive commits. */
  readonly source: 'within-commits' | 'successive-differences';
  /** Of the base alone. */
  readonly base: Spread;
  /** Of the pull request's runs; undefined for a single run. */
  readonly own: Spread | undefined;
  /** The base's spread with the further commits, divided by its spread without them. */
  readonly widenedBy: number;
  /** All base runs, except single runs of further commits that differ from the history. */
  readonly baseRuns: number;
}

/**
 * Estimates the noise between runs of the same code. The variance is pooled within commits, over all baselines and the
 * pull request's runs. If the history has one run per commit, the differences of successive commits replace it. They
 * contain the commits' own changes too, so they rather overstate the noise.
 *
 * Without the pull request's runs, heavy or skewed tails would raise twice as many false alarms. So the caller must check
 * whether the pull request's own spread is much larger.
 *
 * @param pullRequest the pull request's values, one per run
 * @param history values of each base commit, one per run, nearest commit first
 * @param anchors values of further commits, of other baselines
 * @returns undefined if the base has a single run
 */
export function estimateNoise(
  pullRequest: readonly number[],
  history: ReadonlyArray<readonly number[]>,
  anchors: ReadonlyArray<readonly number[]> = [],
): Noise | undefined {
  const groups = [...history, ...anchors];
  const within = sumWithin(groups);
  const between = sumBetween(history);
  // If only one of the two shows any difference, it is the better estimate.
  const isWithin =
    within.squares > 0 === between.variance > 0 ? within.freedom >= between.freedom : within.squares > 0;
  const source = isWithin ? 'within-commits' : 'successive-differences';
  if (within.freedom === 0 && between.freedom === 0) return undefined;
  const base = isWithin ? { variance: within.squares / within.freedom, freedom: within.freedom } : between;
  const own = sumWithin([pullRequest]);
  const alone = sumWithin(history);
  const freedom = base.freedom + own.freedom;
  // The pull request's spread must not hide that the base never varied.
  const squares = base.variance === 0 ? 0 : base.variance * base.freedom + own.squares;
  return {
    ...toSpread(squares / freedom, freedom),
    source,
    base: toSpread(base.variance, base.freedom),
    own: own.freedom === 0 ? undefined : toSpread(own.squares / own.freedom, own.freedom),
    widenedBy: isWithin && alone.squares > 0 ? Math.sqrt(base.variance / (alone.squares / alone.freedom)) : 1,
    baseRuns: [...history, ...anchors.filter((values) => isComparable(values, history))].flat().length,
  };
}

/** The differences of fewer successive commits say too little of chance, because they contain the commits' own changes. */
const LEAST_FREEDOM = 3;

/**
 * The largest difference of the two means that chance explains in 95% of unchanged pull requests, for a metric that is not
 * gated. A gated metric has its own, narrower question: see `Comparison.interval`.
 *
 * @param history values of each base commit, one per run, the commit compared with first
 * @returns undefined if the noise is unknown, or the pull request's runs differ far more than the base's: then a run may have
 *   collapsed, and its own loss must not pass for chance
 */
export function findChanceRange(
  pullRequest: readonly number[],
  history: ReadonlyArray<readonly number[]>,
): number | undefined {
  const [nearest = []] = history;
  const shared = estimateNoise(pullRequest, history);
  // If the base's runs agree, or there is one, those of the pull request may still differ by chance.
  const noise = (shared?.standardDeviation ? shared : estimateNoise([], [pullRequest])) ?? shared;
  if (noise === undefined || pullRequest.length === 0 || nearest.length === 0) return undefined;
  const { source, standardDeviation, degreesOfFreedom } = noise;
  if (findWidening(noise, 1) !== undefined) return undefined;
  if (source === 'successive-differences' && degreesOfFreedom < LEAST_FREEDOM) return undefined;
  const standardError = standardDeviation * Math.sqrt(1 / pullRequest.length + 1 / nearest.length);
  return standardError * criticalT(DEFAULT_ALPHA / 2, degreesOfFreedom);
}

/** Level of the F-test, over all tested metrics, that finds pull requests whose runs differ too much. */
const SPREAD_LEVEL = 0.001;
/**
 * A young base has too few runs for that level: the test would miss even a collapsed run. A ratio of 10 is enough there, at
 * a level of 0.03 in this metric alone. With two seeds against one base commit's two, a run that is worse by 40 standard
 * deviations then passes in a fifth of all cases (97% without this); with three against three in none (59%).
 */
const PLAIN_RATIO = 10;
const PLAIN_LEVEL = 0.03;

/**
 * An F-test of the spreads: one collapsed run widens the noise so much that the t-test misses its loss.
 *
 * @returns its p-value where the pull request's runs differ too much
 */
export function findWidening(
  { base, own }: Pick<Noise, 'base' | 'own'>,
  metrics: number,
): number | undefined {
  if (own === undefined || base.standardDeviation === 0) return undefined;
  const ratio = own.standardDeviation / base.standardDeviation;
  const pValue = tailOfF(ratio ** 2, own.degreesOfFreedom, base.degreesOfFreedom);
  const isPlain = ratio >= PLAIN_RATIO && pValue <= PLAIN_LEVEL;
  return isPlain || pValue <= SPREAD_LEVEL / metrics ? pValue : undefined;
}

function toSpread(variance: number, degreesOfFreedom: number): Spread {
  return { standardDeviation: Math.sqrt(variance), degreesOfFreedom };
}

/** Level of the F-test that finds a commit whose runs differ too much to belong to the history. */
const OUTLIER_LEVEL = 0.001;
/** A sum of squares below this share of another is rounding. */
const ZERO_SHARE = 1e-12;

/**
 * Whether the runs of a commit differ more than chance explains, compared with those of a history. An anchor with a
 * collapsed run would hide any loss. A history whose runs all agree proves nothing, as with a coarse metric.
 */
export function isUneven(values: readonly number[], history: ReadonlyArray<readonly number[]>): boolean {
  const own = sumWithin([values]);
  const others = sumWithin(history);
  if (own.freedom === 0 || others.freedom === 0 || others.squares <= ZERO_SHARE * own.squares) return false;
  const ratio = own.squares / own.freedom / (others.squares / others.freedom);
  return tailOfF(ratio, own.freedom, others.freedom) <= OUTLIER_LEVEL;
}

/**
 * The largest possible chance that all of n base runs agree and one of k further runs does not, for any distribution:
 * (1-p)^n (1 - (1-p)^k) at its maximum, (1-p)^k = n / (n+k).
 */
function boundOutlierChance(base: number, pullRequest: number): number {
  return ((base / (base + pullRequest)) ** (base / pullRequest) * pullRequest) / (base + pullRequest);
}

/** How many base runs must agree to bound the chance that a further run does not. */
export function countAgreeing(level: number, pullRequest: number): number {
  // The chance is a little less than k / (e n).
  let count = Math.ceil(pullRequest / (Math.E * level));
  while (count > 1 && boundOutlierChance(count - 1, pullRequest) <= level) count -= 1;
  return count;
}

function isComparable(values: readonly number[], history: ReadonlyArray<readonly number[]>): boolean {
  return values.length > 1 || history.some((others) => others.some((other) => other === values[0]));
}

function sumWithin(groups: ReadonlyArray<readonly number[]>): { squares: number; freedom: number } {
  let squares = 0;
  let freedom = 0;
  for (const group of groups) {
    const mean = findMean(group);
    for (const value of group) squares += (value - mean) ** 2;
    freedom += Math.max(0, group.length - 1);
  }
  return { squares, freedom };
}

/**
 * Variance from the differences of successive means, each divided by its variance for runs of variance 1 (von Neumann 1941
 * for equal sizes). Successive differences share a mean, which costs degrees of freedom: 2 / Var(s² / sigma²) =
 * M² / (M + 2 * sum of the squared correlations); for n single runs 2(n-1)²/(3n-4).
 */
function sumBetween(history: ReadonlyArray<readonly number[]>): { variance: number; freedom: number } {
  const means = history.map(findMean);
  const shares = history.map(({ length }) => 1 / length);
  const count = history.length - 1;
  if (count < 1) return { variance: 0, freedom: 0 };
  const size = (index: number) => (shares[index] ?? 0) + (shares[index + 1] ?? 0);
  let squares = 0;
  let correlations = 0;
  for (let index = 0; index < count; index += 1) {
    squares += ((means[index] ?? 0) - (means[index + 1] ?? 0)) ** 2 / size(index);
    if (index > 0) correlations += (shares[index] ?? 0) ** 2 / (size(index - 1) * size(index));
  }
  return { variance: squares / count, freedom: count ** 2 / (count + 2 * correlations) };
}
