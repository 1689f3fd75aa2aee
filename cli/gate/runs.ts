import { isSuccess } from '../training/task.ts';
import type { GateRun, GateValue, MeasurementProblem } from './data.ts';

/** A metric's name, and what it was called before. */
export interface MetricNames {
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
 * seeds are bit-identical in every metric, gated or not: a coarse one alone may agree by chance. Repeating a number is no
 * evidence that it is exact. A run with a number that is doubted is never left out.
 *
 * @param names the gated metrics
 */
export function dropRepeats(runs: readonly GateRun[], names: readonly MetricNames[]): DistinctRuns {
  const ended = runs.filter(({ status }) => isSuccess(status));
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
  if (!isRepeated) return { runs: [...distinct, ...doubted, ...others], seedless: 0 };
  const hasSeeds = distinct.every(({ seed }) => seed !== null);
  return { runs: [first, ...doubted, ...others], seedless: hasSeeds ? distinct.length : 0 };
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

/** What a run says of a metric: its value, or why that is none. */
type Measurement = { readonly value: number } | { readonly problem: MeasurementProblem };

/**
 * Measures a metric, failing closed.
 *
 * @param believed doubts that are put aside: of a 0 where the metric is 0 on the whole base branch
 */
export function measureRun(
  run: GateRun,
  name: MetricNames,
  believed: readonly MeasurementProblem[] = [],
): Measurement {
  if (!isSuccess(run.status)) return { problem: 'not-completed' };
  const found = findValue(run, name);
  if (found === undefined) return { problem: 'missing' };
  if (Number.isNaN(found.value)) return { problem: 'not-a-number' };
  if (!Number.isFinite(found.value)) return { problem: 'infinite' };
  if (found.doubt === undefined || believed.includes(found.doubt)) return { value: found.value };
  return { problem: found.doubt };
}

/** Doubts of a 0 whose console was read, and of one whose was not: older commits' are not. */
const ZERO_DOUBTS: ReadonlyArray<GateValue['doubt']> = ['unexpected-zero', 'unverified-zero'];

/**
 * Whether a metric is exactly 0 in every run of at least two commits, beyond doubt in one of them: then 0 is what it is
 * (a count of failures, say), not a loss that diverged on every commit.
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

/** How often the run reported the metric; undefined where that is not known. */
export function countReports(run: GateRun, name: MetricNames): number | undefined {
  return isSuccess(run.status) ? findValue(run, name)?.reports : undefined;
}

/** How long the shortest run of a commit trained; undefined where no run tells. */
export function findShortest(runs: readonly GateRun[]): number | undefined {
  const iterations = runs.flatMap((run) => (isSuccess(run.status) ? (run.iterations ?? []) : []));
  return iterations.length === 0 ? undefined : Math.min(...iterations);
}

/** How often the metric was reported by the run of a commit that reported it least; undefined where no run tells. */
export function findFewest(runs: readonly GateRun[], name: MetricNames): number | undefined {
  const reports = runs.flatMap((run) => countReports(run, name) ?? []);
  return reports.length === 0 ? undefined : Math.min(...reports);
}
