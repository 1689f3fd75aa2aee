import type { GateRun, GateValue, MeasurementProblem } from './gate-data.ts';
import { isSuccess } from './task.ts';

/** A metric's name, and what it was called before. */
export interface MetricName {
  readonly name: string;
  readonly was?: string | undefined;
}

/** Runs of one commit, without those that only repeat another one. */
export interface DistinctRuns {
  readonly runs: readonly GateRun[];
  /** How many runs with different seeds gave the same bits; 0 where the seeds made a difference. */
  readonly seedless: number;
}

/**
 * Leaves out runs that tell nothing new: the same seed with the same result, and all but one where the results of all
 * seeds are bit-identical. Such seeds are not used, and repeating a number is no evidence that it is exact.
 *
 * @param names the metrics that are looked at: all gated ones, since a coarse one alone may agree by chance
 */
export function dropRepeats(runs: readonly GateRun[], names: readonly MetricName[]): DistinctRuns {
  const ended = runs.filter(({ status }) => isSuccess(status));
  const others = runs.filter(({ status }) => !isSuccess(status));
  const distinct = ended.filter(
    (run, index) =>
      run.seed === null ||
      !ended.slice(0, index).some((other) => other.seed === run.seed && isSameResult(other, run, names)),
  );
  const [first, ...further] = distinct;
  const isRepeated =
    first !== undefined &&
    further.length > 0 &&
    names.some((name) => findValue(first, name) !== undefined) &&
    further.every((run) => isSameResult(first, run, names));
  if (!isRepeated) return { runs: [...distinct, ...others], seedless: 0 };
  const hasSeeds = distinct.every(({ seed }) => seed !== null);
  return { runs: [first, ...others], seedless: hasSeeds ? distinct.length : 0 };
}

function isSameResult(a: GateRun, b: GateRun, names: readonly MetricName[]): boolean {
  return names.every((name) => Object.is(findValue(a, name)?.value, findValue(b, name)?.value));
}

function findValue({ values }: GateRun, { name, was }: MetricName): GateValue | undefined {
  return values.get(name) ?? (was === undefined ? undefined : values.get(was));
}

/** What a run says of a metric: its value, or why that is none. */
export type Measurement = { readonly value: number } | { readonly problem: MeasurementProblem };

/**
 * Measures a metric, failing closed.
 *
 * @param isZeroUsual the metric is 0 on the whole base branch, so that a 0 without a warning is nothing special
 */
export function measureRun(run: GateRun, name: MetricName, isZeroUsual: boolean): Measurement {
  if (!isSuccess(run.status)) return { problem: 'not-completed' };
  const found = findValue(run, name);
  if (found === undefined) return { problem: 'missing' };
  if (Number.isNaN(found.value)) return { problem: 'not-a-number' };
  if (!Number.isFinite(found.value)) return { problem: 'infinite' };
  if (found.doubt === undefined || (isZeroUsual && isBelievableZero(found))) return { value: found.value };
  return { problem: found.doubt };
}

/**
 * Whether a metric is exactly 0 in every run of at least two commits and no console says otherwise: then 0 is what it is
 * (a count of failures, say), not a loss that diverged on every commit.
 */
export function isAlwaysZero(commits: ReadonlyArray<readonly GateRun[]>, name: MetricName): boolean {
  let zeros = 0;
  for (const runs of commits) {
    let isFound = false;
    for (const run of runs) {
      const found = isSuccess(run.status) ? findValue(run, name) : undefined;
      if (found === undefined) continue;
      if (!isBelievableZero(found)) return false;
      isFound = true;
    }
    if (isFound) zeros += 1;
  }
  return zeros >= 2;
}

function isBelievableZero({ value, doubt }: GateValue): boolean {
  return value === 0 && (doubt === undefined || doubt === 'unexpected-zero');
}

/** How long the shortest run of a commit trained; undefined where no run tells. */
export function findShortest(runs: readonly GateRun[]): number | undefined {
  const iterations = runs.flatMap((run) => (isSuccess(run.status) ? (run.iterations ?? []) : []));
  return iterations.length === 0 ? undefined : Math.min(...iterations);
}
