import { isChance } from '../gate/comparison.ts';
import type { Comparison, MetricJudgement, MetricVerdict } from '../gate/data.ts';
import { assignRole, type Goal, isSchedule, type MetricRole } from '../gate/metric-rules.ts';
import { findChanceRange } from '../gate/noise.ts';
import { listReplacements } from '../gate/suspicious-value.ts';
import type { MetricRule } from '../shell/config.ts';
import type { Metric, MetricPick } from '../training/metrics.ts';
import { isSuccess } from '../training/task.ts';
import { listBaselineTasks, listHistory } from './baseline/baseline.ts';
import { averageCurves, type Curve, drawSparkline, dropValues, restoreExtremes } from './drawing/curve.ts';
import { createDoubter, type FindDoubt, type ShownDoubt } from './gate-input.ts';
import { findFamilies, isStruck, listRowMembers } from './ranking/families.ts';
import { NOISE_COMMITS, SLIGHT_SHARE } from './ranking/movement.ts';
import { isPattern, type Presence, type RankedMetric } from './ranking/ranking.ts';
import { countEffects } from './ranking/tally.ts';
import type { Report } from './report.ts';
import type { ReportedTask } from './reported-task.ts';
import type { ReportSources } from './sources.ts';

/** A metric of the code under test beside the baseline's. */
export interface ReportMetric {
  /** `title/series` */
  readonly metric: string;
  /** Mean over the tasks; null if no task has the metric. */
  readonly value: number | null;
  /** Mean over the baseline's tasks; null if none has the metric. */
  readonly baseline: number | null;
  /** `value - baseline` */
  readonly change: number | null;
  /** The change as a share of the baseline's magnitude; null if that is 0. */
  readonly changeShare: number | null;
  /** The gate's verdict; `none` if the metric is not gated. */
  readonly verdict: MetricVerdict;
  /** Which direction is better; null if unknown. */
  readonly goal: Goal | null;
  /** The goal was read from the metric's name. */
  readonly isGoalGuessed: boolean;
  /**
   * What the change means for the goal; `noise` if chance explains it or both sides are the same training; null if the
   * change or the goal is unknown, a run has no number to trust, or the change is slight and neither noise nor goal is certain.
   */
  readonly effect: Effect | null;
  /** Whether both sides report it, only the pull request, or only the base; null if unknown or not completed. */
  readonly presence: Presence | null;
  /** It tells how the training went and not how good its result is, and no rule names it. */
  readonly isBookkeeping: boolean;
  /** The metric that is shown in its place, because it has the same numbers by another name. */
  readonly copyOf: string | null;
  /** Which number of each task counts. */
  readonly pick: MetricPick;
  /** Of each task, in the order of `tasks`; null if it has none, or one that is not to be trusted. */
  readonly values: ReadonlyArray<number | null>;
  readonly baselineValues: ReadonlyArray<number | null>;
  /** The numbers that are not to be trusted, such as a NaN that arrived as 0. */
  readonly doubts: readonly DoubtedValue[];
  readonly baselineDoubts: readonly DoubtedValue[];
  /** Standard deviation over the tasks; null for fewer than two. */
  readonly spread: number | null;
  readonly baselineSpread: number | null;
  /** The curve over the iterations as a word of bars; empty without a curve. */
  readonly sparkline: string;
}

export type Effect = 'better' | 'worse' | 'same' | 'noise';

/** A task's number that is no measurement, or may be none. */
export interface DoubtedValue extends ShownDoubt {
  /** The task's id. */
  readonly task: string;
  /** What ClearML keeps as the value. */
  readonly reported: number;
}

/** A metric over the iterations: the mean over the tasks of each side, without points that are not to be trusted. */
export interface ReportCurve {
  readonly metric: string;
  readonly task: Curve;
  readonly baseline: Curve | null;
  /** How many points of both sides were left out. */
  readonly leftOut: number;
  /** How many runs each curve is the mean of. */
  readonly runs: { readonly task: number; readonly baseline: number };
}

/** How many metrics a comment leads with if no rule names any. */
const DEFAULT_LEADING = 6;
const MAX_LEADING = 20;
const DEFAULT_CHARTS = 4;
const MAX_CHARTS = 12;
const SPARKLINE_BARS = 12;

type MetricSources = Pick<ReportSources, 'tasks' | 'baseline' | 'curves' | 'consoles' | 'ranked'> &
  Partial<Pick<ReportSources, 'anchors'>>;

/**
 * Everything a report says about metrics.
 *
 * @param judgements the gate's; empty if nothing is gated
 */
export function describeMetrics(
  sources: MetricSources,
  rules: readonly MetricRule[],
  judgements: readonly MetricJudgement[],
): Pick<Report, 'metrics' | 'leadingMetrics' | 'families' | 'tally' | 'curves'> {
  const { tasks, ranked } = sources;
  // A task that has not ended shows its own numbers so far.
  const judged = isCompleted(tasks) ? judgements : [];
  const judgementOf = new Map(judged.map((judgement) => [judgement.metric, judgement]));
  const sides = indexSides(sources, rules, createDoubter(sources, rules));
  const described = ranked.map((one) => describeMetric(one, sides, judgementOf.get(one.metric.name)));
  const isNamed = new Set(ranked.flatMap((one) => (one.isNamed ? one.metric.name : [])));
  // A metric that the settings name and no task reported keeps its place.
  const expected = [...rules.filter(({ metric }) => !isPattern(metric)), ...judgements];
  const missing = [...new Set(expected.map(({ metric }) => metric))]
    .filter((name) => !isNamed.has(name))
    .map((name) =>
      describeMetric({ metric: { name }, role: assignRole(name, rules) }, sides, judgementOf.get(name)),
    );
  const named = [...described.slice(0, isNamed.size), ...missing];
  const others = putWorstFirst(described.slice(isNamed.size));
  const results = others.filter(({ metric }) => !metric.isBookkeeping && metric.copyOf === null);
  const counted = named.length > 0 ? named : results;
  const order = arrangeMetrics(named, results, others);
  return {
    ...order,
    tally: isCompleted(tasks) && sides.base.length > 0 ? countEffects(counted) : null,
    curves: chooseCurves(named, results, order.families),
  };
}

/** A metric as the report shows it. */
interface Described {
  readonly metric: ReportMetric;
  readonly curve: ReportCurve | undefined;
  readonly isNoiseKnown: boolean;
  readonly isOfTraining: boolean;
}

/** The first line names the worst of what moved, so it leads the table too, unless it is of training data. */
function putWorstFirst(described: readonly Described[]): readonly Described[] {
  const isWorst = ({ metric, isOfTraining }: Described) =>
    !metric.isBookkeeping && metric.copyOf === null && !isOfTraining && isStruck(metric);
  const worst = described.find(isWorst);
  return worst === undefined ? described : [worst, ...described.filter((one) => one !== worst)];
}

/** The order of the report: what the settings name, results with the members of a family together, bookkeeping, copies. */
function arrangeMetrics(
  named: readonly Described[],
  results: readonly Described[],
  others: readonly Described[],
): Pick<Report, 'metrics' | 'leadingMetrics' | 'families'> {
  const shown = results.map(({ metric }) => metric);
  const families = findFamilies(shown);
  const rows = listRowMembers(shown, families);
  const isShown = new Set(shown);
  const rest = others.flatMap(({ metric }) => (isShown.has(metric) ? [] : metric));
  const first = named.map(({ metric }) => metric);
  return {
    metrics: [
      ...first,
      ...rows.flat(),
      ...rest.filter(({ copyOf }) => copyOf === null),
      ...rest.filter(({ copyOf }) => copyOf !== null),
    ],
    leadingMetrics:
      first.length > 0 ? Math.min(first.length, MAX_LEADING) : rows.slice(0, DEFAULT_LEADING).flat().length,
    families,
  };
}

/** Those of what the settings name, else of what leads; a family has one, its worst member's. */
function chooseCurves(
  named: readonly Described[],
  results: readonly Described[],
  families: Report['families'],
): readonly ReportCurve[] {
  const ofNamed = named.flatMap(({ curve }) => curve ?? []);
  if (ofNamed.length > 0) return ofNamed.slice(0, MAX_CHARTS);
  const isFolded = new Set(
    families.flatMap(({ metrics, worst }) => metrics.filter((name) => name !== worst)),
  );
  const shown = results.filter(({ metric }) => !isFolded.has(metric.metric));
  return shown.flatMap(({ curve }) => curve ?? []).slice(0, DEFAULT_CHARTS);
}

/** A run's metrics by name. */
interface Run {
  readonly task: ReportedTask;
  readonly metrics: ReadonlyMap<string, Metric>;
}

/** What is compared. */
interface Sides {
  readonly own: readonly Run[];
  readonly base: readonly Run[];
  /** The base's commits, the one compared with first. */
  readonly history: ReadonlyArray<readonly Run[]>;
  readonly isSameTraining: boolean;
  readonly sources: MetricSources;
  readonly findDoubt: FindDoubt;
}

function indexSides(sources: MetricSources, rules: readonly MetricRule[], findDoubt: FindDoubt): Sides {
  const { tasks, baseline } = sources;
  const index = (side: readonly ReportedTask[]) =>
    side.map((task) => ({ task, metrics: new Map(task.metrics.map((metric) => [metric.name, metric])) }));
  /** The base may have a metric by its old name only. */
  const indexBase = (side: readonly ReportedTask[]) => {
    const runs = index(side);
    for (const { metrics } of runs)
      for (const { metric, was = metric } of rules) {
        const old = metrics.get(was);
        if (old !== undefined && !metrics.has(metric)) metrics.set(metric, old);
      }
    return runs;
  };
  const base = indexBase(listBaselineTasks(baseline));
  const older = listHistory(baseline).slice(1, NOISE_COMMITS);
  return {
    own: index(tasks),
    base,
    history: [base, ...older.map((commit) => indexBase(commit.tasks))],
    isSameTraining: baseline.kind === 'found' && baseline.isSameTraining,
    sources,
    findDoubt,
  };
}

function isCompleted(tasks: readonly ReportedTask[]): boolean {
  return tasks.every(({ status }) => isSuccess(status));
}

/** A metric to describe; one that no task reported has but its name. */
type Subject = Pick<RankedMetric, 'role'> &
  Partial<Pick<RankedMetric, 'presence' | 'isBookkeeping' | 'copyOf' | 'isOfTraining'>> & {
    readonly metric: Pick<Metric, 'name'>;
  };

function describeMetric(
  { metric: { name }, role, presence, isBookkeeping = false, copyOf, isOfTraining = false }: Subject,
  { own, base, history, isSameTraining, sources, findDoubt }: Sides,
  judgement: MetricJudgement | undefined,
): Described {
  const measure = (runs: readonly Run[], find = findDoubt) => measureRuns(name, role, runs, find);
  const { values: baselineValues, doubts: baselineDoubts } = measure(base);
  const { values, doubts } = measure(own, (...number) => {
    const doubt = findDoubt(...number);
    // The gate trusts a 0 that is usual on the base branch.
    const isTrusted = judgement?.reasons.every(({ kind }) => kind !== doubt?.kind) ?? false;
    return isTrusted ? undefined : doubt;
  });
  const range = findChanceRange(
    keepNumbers(values),
    history.map((commit) => keepNumbers(measure(commit).values)).filter(({ length }) => length > 0),
  );
  const [task, other] = [
    joinCurves(name, role, own, doubts, { sources, findDoubt }),
    joinCurves(name, role, base, baselineDoubts, { sources, findDoubt }),
  ];
  const metric: ReportMetric = {
    metric: name,
    ...compareValues(computeMean(values), computeMean(baselineValues), role.goal, {
      isSameTraining,
      range,
      isDoubted: doubts.length > 0 || baselineDoubts.length > 0,
      isGoalGuessed: role.isGoalGuessed,
    }),
    verdict: 'none',
    goal: role.goal ?? null,
    isGoalGuessed: role.isGoalGuessed,
    presence: presence ?? null,
    isBookkeeping,
    copyOf: copyOf ?? null,
    pick: role.pick,
    values,
    baselineValues,
    doubts,
    baselineDoubts,
    spread: computeSpread(values),
    baselineSpread: computeSpread(baselineValues),
    sparkline: task === undefined ? '' : drawSparkline(shortenEvenly(task.curve, SPARKLINE_BARS)),
  };
  return {
    metric: judgement === undefined ? metric : showJudged(metric, judgement, { isSameTraining, range }),
    curve: task && {
      metric: name,
      task: task.curve,
      baseline: other?.curve ?? null,
      leftOut: task.leftOut + (other?.leftOut ?? 0),
      runs: { task: task.runs, baseline: other?.runs ?? 0 },
    },
    isNoiseKnown: range !== undefined || isSameTraining,
    isOfTraining,
  };
}

/** A metric of some runs, and which of the numbers are not to be trusted. */
function measureRuns(name: string, role: MetricRole, runs: readonly Run[], findDoubt: FindDoubt) {
  const doubts: DoubtedValue[] = [];
  const values = runs.map(({ task, metrics }) => {
    const metric = metrics.get(name);
    if (metric === undefined) return null;
    const doubt = findDoubt(metric, role, task);
    if (doubt === undefined) return metric[role.pick];
    doubts.push({ task: task.id, ...doubt, reported: metric[role.pick] });
    return null;
  });
  return { values, doubts };
}

/** Points over the iterations: the mean over the runs, of those with a number to trust if there are any. */
function joinCurves(
  name: string,
  { goal }: MetricRole,
  runs: readonly Run[],
  doubts: readonly DoubtedValue[],
  { sources: { curves, consoles }, findDoubt }: Pick<Sides, 'sources' | 'findDoubt'>,
): { readonly curve: Curve; readonly leftOut: number; readonly runs: number } | undefined {
  // A NaN in the middle of the course is the best number of all.
  const best = goal === undefined ? undefined : goal === 'minimize' ? 'min' : 'max';
  const found = runs.flatMap(({ task, metrics }) => {
    const metric = metrics.get(name);
    const curve = metric && curves.get(task.id)?.get(metric.name);
    if (curve === undefined || metric === undefined || curve.x.length === 0) return [];
    const whole = restoreExtremes(curve, metric);
    const doubt = doubts.find((one) => one.task === task.id);
    const dropped = isSchedule(name) ? [] : listReplacements(consoles.get(task.id)?.lines ?? []);
    if (doubt !== undefined) dropped.push(doubt.reported);
    // A console that was not needed tells nothing.
    const kind = best && findDoubt(metric, { pick: best, goal }, task)?.kind;
    if (best !== undefined && kind !== undefined && kind !== 'unverified-zero') dropped.push(metric[best]);
    const sound = dropValues(whole, dropped);
    return [{ curve: sound, leftOut: whole.x.length - sound.x.length, isDoubted: doubt !== undefined }];
  });
  const leftOut = found.reduce((sum, run) => sum + run.leftOut, 0);
  const sound = found.filter(({ isDoubted }) => !isDoubted);
  const drawn = (sound.length > 0 ? sound : found).flatMap(({ curve }) => (curve.x.length > 0 ? curve : []));
  return drawn.length === 0 ? undefined : { curve: averageCurves(drawn), leftOut, runs: drawn.length };
}

/** What tells a change for better or worse from one that means nothing. */
interface ChangeContext {
  readonly isSameTraining: boolean;
  /** The largest change that chance explains; undefined if unknown. */
  readonly range: number | undefined;
  readonly isDoubted: boolean;
  readonly isGoalGuessed: boolean;
}

function compareValues(
  value: number | null,
  baseline: number | null,
  goal: Goal | undefined,
  { isSameTraining, range, isDoubted, isGoalGuessed }: ChangeContext,
) {
  const change = value === null || baseline === null ? null : value - baseline;
  const share = change === null || baseline === null ? Number.NaN : change / Math.abs(baseline);
  const isChance = isSameTraining || (range !== undefined && Math.abs(change ?? 0) <= range);
  const isSlight = isGoalGuessed && range === undefined && Math.abs(share) < SLIGHT_SHARE;
  // Sums in another order differ slightly.
  const effect = judgeEffect(isAlmost(value, baseline) ? 0 : change, isSlight ? undefined : goal, isChance);
  return {
    value,
    baseline,
    change,
    changeShare: Number.isFinite(share) ? share : null,
    effect: isDoubted ? null : effect,
  };
}

/** Shows the numbers that were judged: measurements only, against the commit compared with. */
function showJudged(
  metric: ReportMetric,
  { verdict, value, goal, comparisons }: MetricJudgement,
  { isSameTraining, range }: Pick<ChangeContext, 'isSameTraining' | 'range'>,
): ReportMetric {
  const [comparison] = comparisons;
  const base = comparison?.base ?? null;
  const isKept = isAlmost(base, metric.baseline);
  const isExplained = comparison && isChance(comparison);
  return {
    ...metric,
    ...compareValues(value, base, goal, {
      isSameTraining: isSameTraining || isExplained === true,
      range: isExplained === undefined ? range : undefined,
      isGoalGuessed: false,
      isDoubted: metric.doubts.length > 0 || (isKept && metric.baselineDoubts.length > 0),
    }),
    verdict,
    spread: isAlmost(value, metric.value) ? metric.spread : null,
    ...(isKept ? {} : { baselineValues: [], baselineDoubts: [], baselineSpread: null }),
  };
}

/** The comparison that decides the verdict, if there are several baselines. */
export function findDecisive({ verdict, comparisons }: MetricJudgement): Comparison | undefined {
  return comparisons.find((comparison) => comparison.verdict === verdict) ?? comparisons[0];
}

/** Sums in another order differ slightly. */
function isAlmost(a: number | null, b: number | null): boolean {
  return a !== null && b !== null && Math.abs(a - b) <= 1e-9 * Math.max(Math.abs(a), Math.abs(b));
}

/** Whether a change is better, if the goal is known and chance does not explain it. */
export function judgeEffect(
  change: number | null,
  goal: Goal | undefined,
  isExplained: boolean,
): ReportMetric['effect'] {
  if (change === null || !Number.isFinite(change)) return null;
  if (change === 0) return 'same';
  if (isExplained) return 'noise';
  if (goal === undefined) return null;
  return change > 0 === (goal === 'maximize') ? 'better' : 'worse';
}

function keepNumbers(values: ReadonlyArray<number | null>): number[] {
  return values.filter((value) => value !== null);
}

function computeMean(values: ReadonlyArray<number | null>): number | null {
  const numbers = keepNumbers(values);
  const [first] = numbers;
  // Rounding would make another number of equal ones.
  if (first !== undefined && numbers.every((value) => value === first)) return first;
  // Each is divided first: the sum of large numbers could overflow.
  return numbers.length === 0 ? null : numbers.reduce((mean, value) => mean + value / numbers.length, 0);
}

/** Standard deviation of a sample (n - 1). */
function computeSpread(values: ReadonlyArray<number | null>): number | null {
  const numbers = keepNumbers(values);
  const mean = computeMean(numbers);
  if (numbers.length < 2 || mean === null) return null;
  return Math.sqrt(numbers.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (numbers.length - 1));
}

/** Means over equal parts of the iterations. */
function shortenEvenly({ x, y }: Curve, count: number): number[] {
  const from = x[0] ?? 0;
  const span = (x.at(-1) ?? 0) - from;
  if (x.length <= count || span <= 0) return [...y];
  const parts = Array.from({ length: count }, () => ({ sum: 0, count: 0 }));
  for (const [index, at] of x.entries()) {
    const part = parts[Math.min(count - 1, Math.floor(((at - from) / span) * count))];
    if (part === undefined) continue;
    part.sum += y[index] ?? 0;
    part.count += 1;
  }
  return parts.filter((part) => part.count > 0).map((part) => part.sum / part.count);
}
