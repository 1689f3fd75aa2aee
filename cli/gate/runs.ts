import { isSuccess } from '../training/task.ts';
import type { GateRun, GateValue, MeasurementProblem } from './data.ts';

/** A metric's name, and what it was called before. */
export interface MetricNames {
  readonly name: string;
  readonly was?: string | undefined;
}

/** Runs of one commit, without those that only repeat another run. */
export interface DistinctRuns {
  readonly runs: readonly GateRun[];
  /** How many runs with different seeds gave the same bits; 0 if the seeds made a difference. */
  readonly seedless: number;
  /** How many completed runs did not get their seed; 0 for a single run. */
  readonly lostSeeds: number;
}

/**
 * Leaves out repeated runs: the same seed with the same result, and all but one run if all seeds are bit-identical in every
 * metric, gated or not (a coarse metric alone may agree by chance). A run with a doubted number is never left out.
 *
 * @param names the gated metrics
 */
export function dropRepeats(runs: readonly GateRun[], names: readonly MetricNames[]): DistinctRuns {
  const ended = runs.filter(({ status }) => isSuccess(status));
  const lostSeeds = ended.length > 1 ? ended.filter(({ isSeedLost }) => isSeedLost === true).length : 0;
  const others = runs.filter(({ status }) => !isSuccess(status));
  const isDoubted = (run: GateRun) => names.some((name) => findValue(run, name)?.doubt !== undefined);
  const doubted = ended.filter(isDoubted);
  const sound = ended.filter((run) => !isDoubted(run));
  const distinct = sound.filter(
    (run, index) =>
      run.seed === null ||
      !sound.slice(0, index).some((other) => other.seed === run.seed && isSameResult(other, run, names)),
  );
  const [first, ...further] = distinct;
  const isRepeated =
    first !== undefined &&
    further.length > 0 &&
    names.some((name) => findValue(first, name) !== undefined) &&
    further.every((run) => isSameResult(first, run, names));
  if (!isRepeated) return { runs: [...distinct, ...doubted, ...others], seedless: 0, lostSeeds };
  const hasSeeds = distinct.every(({ seed }) => seed !== null);
  return { runs: [first, ...doubted, ...others], seedless: hasSeeds ? distinct.length : 0, lostSeeds };
}

function isSameResult(a: GateRun, b: GateRun, names: readonly MetricNames[]): boolean {
  return (
    a.fingerprint === b.fingerprint &&
    names.every((name) => Object.is(findValue(a, name)?.value, findValue(b, name)?.value))
  );
}

function findValue({ values }: GateRun, { name, was }: MetricNames): GateValue | undefined {
  return values.get(name) ?? (was === undefined ? undefined : values.get(was));
}

/**
 * Measures a metric in some runs.
 *
 * @param trusted doubts to ignore: those of a 0, if the metric is 0 on the whole base branch
 * @returns the values that are measurements, and the tasks without one by their problem
 */
export function measureRuns(
  runs: readonly GateRun[],
  name: MetricNames,
  trusted: readonly MeasurementProblem[],
) {
  const measured: Array<{ readonly task: string; readonly value: number }> = [];
  const problems = new Map<MeasurementProblem, string[]>();
  for (const run of runs) {
    const result = measureRun(run, name, trusted);
    if (typeof result === 'number') measured.push({ task: run.task, value: result });
    else problems.set(result, [...(problems.get(result) ?? []), run.task]);
  }
  return { measured, problems };
}

function measureRun(
  run: GateRun,
  name: MetricNames,
  trusted: readonly MeasurementProblem[],
): number | MeasurementProblem {
  if (!isSuccess(run.status)) return 'not-completed';
  const { value, doubt } = findValue(run, name) ?? {};
  if (value === undefined) return 'missing';
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'not-a-number' : 'infinite';
  return doubt === undefined || trusted.includes(doubt) ? value : doubt;
}

/** Doubts about a 0, with or without its console: the consoles of older commits are not read. */
export const ZERO_DOUBTS: ReadonlyArray<GateValue['doubt']> = ['unexpected-zero', 'unverified-zero'];

/**
 * Whether a metric is exactly 0 in every run of at least two commits, and certainly in one run. Such a 0 is real, like a
 * count of failures, and not a loss that diverged on every commit.
 */
export function isAlwaysZero(
  commits: ReadonlyArray<{ readonly runs: readonly GateRun[] }>,
  name: MetricNames,
): boolean {
  const measured = commits
    .map(({ runs }) => runs.flatMap((run) => (isSuccess(run.status) ? (findValue(run, name) ?? []) : [])))
    .filter(({ length }) => length > 0);
  const values = measured.flat();
  return (
    measured.length >= 2 &&
    values.every(({ value, doubt }) => value === 0 && (doubt === undefined || ZERO_DOUBTS.includes(doubt))) &&
    values.some(({ doubt }) => doubt === undefined)
  );
}

/** How often the run reported the metric; undefined if unknown. */
export function countReports(run: GateRun, name: MetricNames): number | undefined {
  return isSuccess(run.status) ? findValue(run, name)?.reports : undefined;
}

/** Iterations of the shortest completed run; 0 if unknown. */
export function findShortest(runs: readonly GateRun[]): number {
  return findLeast(runs.flatMap((run) => (isSuccess(run.status) ? (run.iterations ?? []) : [])));
}

/** How often the run with the fewest reports of the metric reported it; 0 if unknown. */
export function findFewest(runs: readonly GateRun[], name: MetricNames): number {
  return findLeast(runs.flatMap((run) => countReports(run, name) ?? []));
}

function findLeast(numbers: readonly number[]): number {
  return numbers.length === 0 ? 0 : Math.min(...numbers);
}
