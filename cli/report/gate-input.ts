import type {
  BaselineAbsence,
  GateBaseline,
  GateCommit,
  GateInput,
  GateRun,
  GateValue,
} from '../gate/data.ts';
import { assignRole, isAboutTime, isSchedule, readName } from '../gate/metric-rules.ts';
import { ZERO_DOUBTS } from '../gate/runs.ts';
import {
  doubtValue,
  hasStrayZero,
  leadsToZero,
  needsConsole,
  type ValueDoubt,
} from '../gate/suspicious-value.ts';
import type { BaselineRule, MetricRule } from '../shell/config.ts';
import type { Metric, MetricPick } from '../training/metrics.ts';
import { wasTakenBack } from '../training/task.ts';
import { hasLostSeed, listKnownParams } from './arrived.ts';
import type { Baseline, FoundBaseline, MissingBaseline } from './baseline/baseline.ts';
import { type Curves, restoreExtremes } from './drawing/curve.ts';
import { isPattern, type RankedMetric } from './ranking.ts';
import type { ReportedTask } from './reported-task.ts';
import type { ReportSources, SourceOptions } from './sources.ts';

/** Whether any metric is gated. */
export function hasGate(rules: readonly MetricRule[]): boolean {
  return rules.some(({ gate }) => gate !== 'off');
}

/** Whether patterns name gated metrics, so that not all names are known. */
export function hasGatedPatterns(rules: readonly MetricRule[]): boolean {
  return rules.some(({ gate, metric }) => gate !== 'off' && isPattern(metric));
}

/** Whether a task's console must be read to judge it. */
export function needsConsoleOf(task: ReportedTask, rules: readonly MetricRule[], curves: Curves): boolean {
  return listGatedMetrics(task, rules, curves).some((metric) => needsConsole(metric));
}

/**
 * Whether a task's console must be read to show its numbers, gated or not: for an exact 0, for a whole number that the
 * curve leaps to, as people choose them for NaN, or for a 0 within the curve that it does not lead to.
 */
export function needsConsoleToShow(
  { metrics, id }: ReportedTask,
  ranked: readonly RankedMetric[],
  curves: Curves,
): boolean {
  const own = new Map(metrics.map((metric) => [metric.name, metric]));
  const isDoubtful = (metric: Metric, pick: MetricPick) => {
    const value = metric[pick];
    if (value === 0) return true;
    const hasZero = metric.min === 0 || metric.max === 0;
    const series = hasZero || Number.isInteger(value) ? readSeries(metric, { id }, curves) : undefined;
    if (series === undefined) return false;
    return (
      (hasZero && hasStrayZero(series)) || (Number.isInteger(value) && needsConsole({ value, pick, series }))
    );
  };
  return ranked.some(({ metric: { name }, role: { pick } }) => {
    const metric = own.get(name);
    return metric !== undefined && isDoubtful(metric, pick) && !isSchedule(name);
  });
}

/** Why a number that a report shows is no measurement, or may be none. */
export interface ShownDoubt {
  readonly kind: ValueDoubt;
  /** The console says that the training had such a number, and nothing speaks for a real 0. */
  readonly isCertain: boolean;
}

/**
 * Doubts a number that a report shows; undefined if it is a measurement.
 *
 * @param pick which number of the metric is shown
 * @param others the same number of the runs on the other side
 */
export function doubtShown(
  metric: Metric,
  pick: MetricPick,
  task: Pick<ReportedTask, 'id'>,
  { curves, consoles }: Pick<ReportSources, 'curves' | 'consoles'>,
  others: readonly number[],
): ShownDoubt | undefined {
  const value = metric[pick];
  const log = consoles.get(task.id);
  // Quick for thousands of metrics.
  if (value !== 0 && Number.isFinite(value) && (log?.lines ?? []).length === 0) return undefined;
  const series = value === 0 ? readSeries(metric, task, curves) : undefined;
  const kind = doubtValue({ ...metric, pick, value, series, console: log });
  // A training may mute the SDK's note. But a metric that counts something may be 0 for once, and so may a single result.
  const isConstant = metric.count > 1 && metric.min === 0 && metric.max === 0;
  const isUsual = others.every(Number.isInteger) || others.includes(0);
  if ((kind === undefined && (!isConstant || isUsual)) || isSchedule(metric.name)) return undefined;
  if (kind === undefined) return { kind: 'unexpected-zero', isCertain: false };
  // The note does not say of which metric: a diverged model's accuracy may well be a real 0, but hardly its loss.
  const { goal } = readName(metric.name);
  const isLedTo = goal === undefined && series !== undefined && leadsToZero(series, pick);
  const isHonest = others.includes(0) || goal === 'maximize' || isLedTo;
  return { kind, isCertain: !(ZERO_DOUBTS.includes(kind) || (value === 0 && isHonest)) };
}

/**
 * What the gate judges.
 *
 * @param options whose baseline rules stand in the order of the sources' baselines
 */
export function prepareGateInput(
  sources: Pick<ReportSources, 'tasks' | 'baseline' | 'anchors' | 'curves' | 'consoles'>,
  { rules, baselineRules, seedParam }: Pick<SourceOptions, 'rules' | 'baselineRules' | 'seedParam'>,
  alpha: number,
): GateInput {
  const known = listKnownParams(sources);
  const toRun = (task: ReportedTask): GateRun => ({
    task: task.id,
    seed: task.params[seedParam] ?? null,
    isSeedLost: hasLostSeed(task, known, seedParam),
    status: wasTakenBack(task) ? 'stopped' : task.status,
    iterations: task.iteration,
    values: measureAll(task, rules, sources),
    fingerprint: JSON.stringify(
      task.metrics
        .filter(({ name }) => !isAboutTime(name))
        .map(({ title, series, ...metric }) => [title, series, ...RESULTS.map((field) => metric[field])]),
    ),
  });
  const baselines = [sources.baseline, ...sources.anchors];
  return {
    rules,
    alpha,
    pullRequest: sources.tasks.map(toRun),
    baselines: baselineRules.flatMap((rule, index) => {
      const baseline = baselines[index];
      return (baseline && toGateBaseline(baseline, rule, toRun, sources.tasks.length)) ?? [];
    }),
  };
}

/** What must be bit-identical in two runs with the same result. */
const RESULTS = ['first', 'last', 'min', 'max', 'count'] as const;

/** The gated metrics of a task, the base's old names included, with the values that count. */
function listGatedMetrics(task: ReportedTask, rules: readonly MetricRule[], curves: Curves) {
  return task.metrics.flatMap((metric) => {
    const rule =
      rules.find(({ gate, was }) => gate !== 'off' && was === metric.name) ??
      assignRole(metric.name, rules).rule;
    if (rule === undefined || rule.gate === 'off') return [];
    const pick = rule.value;
    return [{ ...metric, pick, value: metric[pick], series: readSeries(metric, task, curves) }];
  });
}

function measureAll(
  task: ReportedTask,
  rules: readonly MetricRule[],
  { curves, consoles }: Pick<ReportSources, 'curves' | 'consoles'>,
): Map<string, GateValue> {
  const values = new Map<string, GateValue>();
  for (const metric of listGatedMetrics(task, rules, curves)) {
    const { name, value, count, isSingle } = metric;
    const doubt = values.has(name) ? 'ambiguous' : doubtValue({ ...metric, console: consoles.get(task.id) });
    values.set(name, { value, doubt, reports: isSingle ? undefined : count });
  }
  return values;
}

/** The values in the order of the iterations; undefined if some are unknown. */
function readSeries(
  metric: Metric,
  task: Pick<ReportedTask, 'id'>,
  curves: Curves,
): readonly number[] | undefined {
  const curve = curves.get(task.id)?.get(metric.name);
  // The server averages a long series; the means would lead to a zero that the series jumps to.
  return curve === undefined || curve.x.length < metric.count ? undefined : restoreExtremes(curve, metric).y;
}

/**
 * Whether the gate must wait for unfinished runs: for any run of a nearer commit. The base commit itself needs as many
 * finished runs as the pull request, because the seeds that end first are not the branch's result.
 */
function isWaitedFor(baseline: FoundBaseline, runs: number): boolean {
  const { unfinished, commitsBehind, isSameTraining, tasks } = baseline;
  if (unfinished === undefined) return false;
  return unfinished.commitsBehind !== commitsBehind || (!isSameTraining && tasks.length < runs);
}

/** What a missing baseline means to the gate, if known. */
const ABSENCES: Partial<Record<MissingBaseline['reason'], BaselineAbsence>> = {
  'no-task': 'no-history',
  unreached: 'unreached',
  unfinished: 'unfinished',
};

/**
 * @param runs how many runs the pull request has
 * @returns undefined if no baseline was asked for
 */
function toGateBaseline(
  baseline: Baseline,
  rule: BaselineRule,
  toRun: (task: ReportedTask) => GateRun,
  runs: number,
): GateBaseline | undefined {
  if (baseline.kind === 'missing') {
    const { branch: name = 'the base branch', reason } = baseline;
    return reason === 'off' ? undefined : { name, absence: ABSENCES[reason] ?? 'unknown' };
  }
  const toCommit = (commit: string | undefined, tasks: readonly ReportedTask[]): GateCommit => ({
    commit: commit ?? tasks[0]?.id ?? '',
    runs: tasks.map(toRun),
  });
  const limit = 'runs' in rule ? rule.runs : 1;
  const [nearest, ...older] = baseline.history
    .slice(0, limit)
    .map(({ commit, tasks }) => toCommit(commit, tasks));
  return {
    name: baseline.name,
    isSameTraining: baseline.isSameTraining,
    hasUnfinished: isWaitedFor(baseline, runs),
    history: [nearest ?? toCommit(baseline.commit, baseline.tasks), ...older],
  };
}
