import type { Comparison, MetricJudgement, MetricVerdict } from '../gate/data.ts';
import { assignRole, type Goal, type MetricRole, readName } from '../gate/metric-rules.ts';
import type { MetricRule } from '../shell/config.ts';
import { type Metric, type MetricPick, sortMetrics } from '../training/metrics.ts';
import { isSuccess } from '../training/task.ts';
import { listBaselineTasks } from './baseline/baseline.ts';
import { averageCurves, type Curve, type Curves, drawSparkline, restoreExtremes } from './drawing/curve.ts';
import type { MetricName } from './ports.ts';
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
  /** What the change means for the goal; null if either is unknown. */
  readonly effect: 'better' | 'worse' | 'same' | null;
  /** Which number of each task counts. */
  readonly pick: MetricPick;
  /** Of each task, in the order of `tasks`; null if it has none. */
  readonly values: ReadonlyArray<number | null>;
  readonly baselineValues: ReadonlyArray<number | null>;
  /** Standard deviation over the tasks; null for fewer than two. */
  readonly spread: number | null;
  readonly baselineSpread: number | null;
  /** The curve over the iterations as a word of bars; empty without a curve. */
  readonly sparkline: string;
}

/** A metric over the iterations: the mean over the tasks of each side. */
export interface ReportCurve {
  readonly metric: string;
  readonly task: Curve;
  readonly baseline: Curve | null;
}

/** How many metrics a comment leads with if no rule names any. */
const DEFAULT_LEADING = 6;
const MAX_LEADING = 20;
const DEFAULT_CHARTS = 4;
const MAX_CHARTS = 12;
const SPARKLINE_BARS = 12;

/** Whether a rule's name is a pattern for any number of metrics. */
export function isPattern(metric: string): boolean {
  return /[*?]/.test(metric);
}

/** A metric with what its rule and its name say. */
export interface RankedMetric {
  readonly metric: Metric;
  readonly role: MetricRole;
}

/** The tasks' metrics: those that the settings name, in that order; then the others, most telling first, then by name. */
export function rankMetrics(
  tasks: readonly ReportedTask[],
  rules: readonly MetricRule[],
): readonly RankedMetric[] {
  const known = new Map<string, Metric>();
  for (const task of tasks)
    for (const metric of task.metrics) if (!known.has(metric.name)) known.set(metric.name, metric);
  const positions = new Map(rules.map((rule, index) => [rule, index]));
  return sortMetrics([...known.values()])
    .map((metric) => {
      const hints = readName(metric.name);
      const role = assignRole(metric.name, rules, hints);
      const position = (role.rule && positions.get(role.rule)) ?? rules.length;
      return { metric, role, position, interest: hints.interest + (metric.isSingle ? 2 : 0) };
    })
    .sort((a, b) => a.position - b.position || b.interest - a.interest);
}

/** The metrics that the rules name, old names included. In a name with several slashes, each may separate title and series. */
export function listNamedMetrics(rules: readonly MetricRule[]): MetricName[] {
  const names = rules.flatMap(({ metric, was }) => [metric, ...(was === undefined ? [] : [was])]);
  return [...new Set(names)]
    .filter((name) => !isPattern(name))
    .flatMap((name) =>
      [...name.matchAll(/\//g)].map(({ index }) => {
        return { name, title: name.slice(0, index), series: name.slice(index + 1) };
      }),
    );
}

/**
 * Everything a report says about metrics.
 *
 * @param judgements the gate's; empty if nothing is gated
 */
export function describeMetrics(
  sources: Pick<ReportSources, 'tasks' | 'baseline' | 'curves' | 'ranked'>,
  rules: readonly MetricRule[],
  judgements: readonly MetricJudgement[],
): Pick<Report, 'metrics' | 'leadingMetrics' | 'curves'> {
  const { tasks, ranked } = sources;
  const baselineTasks = listBaselineTasks(sources.baseline);
  const own = tasks.map(indexMetrics);
  const base = baselineTasks.map(indexMetrics);
  const curves = ranked.flatMap(({ metric: { name } }): ReportCurve[] => {
    const task = joinCurves(name, tasks, sources.curves);
    if (task === undefined) return [];
    return [{ metric: name, task, baseline: joinCurves(name, baselineTasks, sources.curves) ?? null }];
  });
  const curveOf = new Map(curves.map((curve) => [curve.metric, curve.task]));
  const metrics = ranked.map(({ metric: { name }, role }) =>
    describeMetric(name, role, own, base, curveOf.get(name)),
  );
  const isNamed = new Set(ranked.flatMap(({ metric, role }) => (role.rule === undefined ? [] : metric.name)));
  // A metric that the settings name and no task reported keeps its place.
  const expected = [...rules.filter(({ metric }) => !isPattern(metric)), ...judgements];
  const missing = [...new Set(expected.map(({ metric }) => metric))]
    .filter((name) => !isNamed.has(name))
    .map((name) => describeMetric(name, assignRole(name, rules), own, base, undefined));
  const named = isNamed.size + missing.length;
  const chartsNamed = curves.filter(({ metric }) => isNamed.has(metric));
  // A task that has not ended shows its own numbers so far.
  const judged = tasks.every(({ status }) => isSuccess(status)) ? judgements : [];
  const judgementOf = new Map(judged.map((judgement) => [judgement.metric, judgement]));
  return {
    metrics: [...metrics.slice(0, isNamed.size), ...missing, ...metrics.slice(isNamed.size)].map((metric) => {
      const judgement = judgementOf.get(metric.metric);
      return judgement === undefined ? metric : showJudged(metric, judgement);
    }),
    leadingMetrics: Math.min(
      metrics.length + missing.length,
      named > 0 ? Math.min(named, MAX_LEADING) : DEFAULT_LEADING,
    ),
    curves: chartsNamed.length > 0 ? chartsNamed.slice(0, MAX_CHARTS) : curves.slice(0, DEFAULT_CHARTS),
  };
}

type MetricIndex = ReadonlyMap<string, Metric>;

function indexMetrics(task: ReportedTask): MetricIndex {
  return new Map(task.metrics.map((metric) => [metric.name, metric]));
}

function joinCurves(name: string, tasks: readonly ReportedTask[], curves: Curves): Curve | undefined {
  const found = tasks.flatMap((task) => {
    const curve = curves.get(task.id)?.get(name);
    if (curve === undefined || curve.x.length === 0) return [];
    return restoreExtremes(
      curve,
      task.metrics.findLast((metric) => metric.name === name),
    );
  });
  return found.length === 0 ? undefined : averageCurves(found);
}

function describeMetric(
  name: string,
  role: MetricRole,
  own: readonly MetricIndex[],
  base: readonly MetricIndex[],
  curve: Curve | undefined,
): ReportMetric {
  const pickAll = (side: typeof own) => side.map((metrics) => metrics.get(name)?.[role.pick] ?? null);
  const values = pickAll(own);
  const baselineValues = pickAll(base);
  const value = computeMean(values);
  const baseline = computeMean(baselineValues);
  return {
    metric: name,
    ...compareValues(value, baseline, role.goal),
    verdict: 'none',
    goal: role.goal ?? null,
    isGoalGuessed: role.isGoalGuessed,
    pick: role.pick,
    values,
    baselineValues,
    spread: computeSpread(values),
    baselineSpread: computeSpread(baselineValues),
    sparkline: curve === undefined ? '' : drawSparkline(shortenEvenly(curve, SPARKLINE_BARS)),
  };
}

function compareValues(value: number | null, baseline: number | null, goal: Goal | undefined) {
  const change = value === null || baseline === null ? null : value - baseline;
  const share = change === null || baseline === null ? Number.NaN : change / Math.abs(baseline);
  return {
    value,
    baseline,
    change,
    changeShare: Number.isFinite(share) ? share : null,
    effect: judgeEffect(change, goal),
  };
}

/** Shows the numbers that were judged: measurements only, against the commit compared with. */
function showJudged(
  metric: ReportMetric,
  { verdict, value, goal, comparisons }: MetricJudgement,
): ReportMetric {
  const base = comparisons[0]?.base ?? null;
  return {
    ...metric,
    ...compareValues(value, base, goal),
    verdict,
    spread: isAlmost(value, metric.value) ? metric.spread : null,
    ...(isAlmost(base, metric.baseline) ? {} : { baselineValues: [], baselineSpread: null }),
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

/** Whether a change is better, if the goal is known. */
export function judgeEffect(change: number | null, goal: Goal | undefined): ReportMetric['effect'] {
  if (change === null || !Number.isFinite(change)) return null;
  if (change === 0) return 'same';
  if (goal === undefined) return null;
  return change > 0 === (goal === 'maximize') ? 'better' : 'worse';
}

function computeMean(values: ReadonlyArray<number | null>): number | null {
  const numbers = values.filter((value) => value !== null);
  // Each is divided first: the sum of large numbers could overflow.
  return numbers.length === 0 ? null : numbers.reduce((mean, value) => mean + value / numbers.length, 0);
}

/** Standard deviation of a sample (n - 1). */
function computeSpread(values: ReadonlyArray<number | null>): number | null {
  const numbers = values.filter((value) => value !== null);
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
