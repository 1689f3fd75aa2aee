/** How much a metric varies between runs of the same code. */
export interface Noise {
  readonly standardDeviation: number;
  /** Whole numbers for variances within commits; for successive differences what their variance is worth. */
  readonly degreesOfFreedom: number;
  /** Where it comes from: runs of the same commit, or one run a commit and its successor's. */
  readonly source: 'within-commits' | 'successive-differences';
  /** How many values agree or disagree with another one of what should be the same. */
  readonly comparisons: number;
}

/**
 * The noise between runs of the same code: pooled within commits over the history and the pull request's runs; where the
 * history holds more about it in the differences of successive commits (one run a commit), from these and the pull
 * request's runs. Differences between commits hold the commits' own changes too, so they overstate the noise rather than
 * understate it.
 *
 * @param pullRequest the pull request's values, one a run
 * @param history values of each base commit, one a run, nearest commit first
 * @returns undefined where nothing tells: one run on each side
 */
export function estimateNoise(
  pullRequest: readonly number[],
  history: ReadonlyArray<readonly number[]>,
): Noise | undefined {
  const own = sumWithin([pullRequest]);
  const base = sumWithin(history);
  const between = sumBetween(history);
  if (base.freedom >= between.freedom) {
    const freedom = own.freedom + base.freedom;
    if (freedom === 0) return undefined;
    return {
      standardDeviation: Math.sqrt((own.squares + base.squares) / freedom),
      degreesOfFreedom: freedom,
      source: 'within-commits',
      comparisons: freedom,
    };
  }
  const freedom = own.freedom + between.freedom;
  return {
    standardDeviation: Math.sqrt((own.squares + between.variance * between.freedom) / freedom),
    degreesOfFreedom: freedom,
    source: 'successive-differences',
    comparisons: own.freedom + history.length - 1,
  };
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
 * Variance from the differences of successive means, each divided by the variance it would have if a run's were 1 (von
 * Neumann 1941 for equal sizes). Successive differences share a mean, so they are worth fewer degrees of freedom than
 * there are: 2 / Var(s² / sigma²) = M² / (M + 2 * sum of the squared correlations); for n single runs 2(n-1)²/(3n-4).
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

/** The mean; exactly the value where all are equal, so that equal values have no variance. */
export function findMean(values: readonly number[]): number {
  const [first = Number.NaN] = values;
  return first + values.reduce((sum, value) => sum + (value - first), 0) / values.length;
}
