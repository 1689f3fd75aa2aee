import type {
  BaselineAbsence,
  GateBaseline,
  GateCommit,
  GateInput,
  GateRun,
  GateValue,
} from '../gate/data.ts';
import { isAboutTime, readName } from '../gate/metric-names.ts';
import { assignRole, type Goal, isLoss, isSchedule, listTopic } from '../gate/metric-rules.ts';
import { ZERO_DOUBTS } from '../gate/runs.ts';
import {
  doubtValue,
  hasStrayZero,
  leadsToZero,
  listReplacements,
  needsConsole,
  type ValueDoubt,
} from '../gate/suspicious-value.ts';
import type { BaselineRule, MetricRule } from '../shell/config.ts';
import type { Metric, MetricPick } from '../training/metrics.ts';
import { wasTakenBack } from '../training/task.ts';
import { hasLostSeed, listKnownParams } from './arrived.ts';
import {
  type Baseline,
  type FoundBaseline,
  listBaselineTasks,
  listHistory,
  type MissingBaseline,
} from './baseline/baseline.ts';
import { type Curves, countReportsPerPoint, restoreExtremes } from './drawing/curve.ts';
import type { ConsoleEnd } from './ports.ts';
import { isPattern, type RankedMetric } from './ranking/ranking.ts';
import type { ReportedTask } from './reported-task.ts';
import type { ReportSources } from './sources.ts';
import type { SourceOptions } from './subject.ts';

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
  return listGatedMetrics(task, rules).some(({ metric, rule: { value: pick } }) =>
    needsConsole({ value: metric[pick], pick, series: readSeries(metric, task, curves) }),
  );
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
      (hasZero && hasStrayZeroOf(metric, series)) ||
      (Number.isInteger(value) && needsConsole({ value, pick, series }))
    );
  };
  return ranked.some(({ metric: { name }, role: { pick } }) => {
    const metric = own.get(name);
    return metric !== undefined && isDoubtful(metric, pick) && !isSchedule(name);
  });
}

function hasStrayZeroOf({ name }: Metric, series: readonly number[]): boolean {
  return hasStrayZero(series, isLoss(name) ? 'underflow' : 'loose');
}

/** Why a number that a report shows is no measurement, or may be none. */
export interface ShownDoubt {
  readonly kind: ValueDoubt;
  /** The console says that the training had such a number, and nothing speaks for a real 0. */
  readonly isCertain: boolean;
}

/** What doubts are founded on. */
type DoubtSources = Pick<ReportSources, 'tasks' | 'baseline' | 'curves' | 'consoles'> &
  Partial<Pick<ReportSources, 'anchors'>>;

/** Doubts a number of a task; undefined if it is a measurement. One answer for gate, tables, heading and charts. */
export type FindDoubt = (
  metric: Metric,
  role: { readonly pick: MetricPick; readonly goal: Goal | undefined },
  task: ReportedTask,
) => ShownDoubt | undefined;

/** A metric of a run that another run is held against. */
interface OtherRun {
  readonly task: ReportedTask;
  readonly metric: Metric;
  /** Runs of the same code have the same one. */
  readonly group: number;
}

/**
 * What doubts the numbers of a report: a 0 that nothing speaks for, what stands for NaN as the console says, and the
 * summary of such numbers.
 *
 * @param rules whose old names lead to the base's numbers too
 */
export function createDoubter(sources: DoubtSources, rules: readonly MetricRule[]): FindDoubt {
  const { curves, consoles } = sources;
  const readOthers = indexOthers(sources, rules);
  const curvesByTopic = new Map<ReportedTask, ReadonlyMap<string, Metric>>();

  const isSound = ({ task, metric }: OtherRun) => {
    const log = consoles.get(task.id);
    const series = metric.min === 0 || metric.max === 0 ? readSeries(metric, task, curves) : undefined;
    const isReplaced = log !== undefined && listReplacements(log.lines).includes(0);
    return !isReplaced && (series === undefined || !hasStrayZeroOf(metric, series));
  };

  const doubtBy = (
    log: ConsoleEnd | undefined,
    ...[metric, { pick, goal }, task]: Parameters<FindDoubt>
  ): ShownDoubt | undefined => {
    const value = metric[pick];
    // Quick for thousands of metrics.
    if (Number.isFinite(value) && !Number.isInteger(value) && (log?.lines ?? []).length === 0)
      return undefined;
    const series = Number.isInteger(value) ? readSeries(metric, task, curves) : undefined;
    const runs = Number.isInteger(value) ? readOthers(metric.name, task) : [];
    const others = runs.filter(isSound).map((run) => run.metric);
    const kind = doubtValue({ ...metric, pick, value, goal, series, console: log, others });
    if (kind === undefined || kind !== 'replaced' || value !== 0) {
      return kind && { kind, isCertain: !(kind === 'unmeasured' || ZERO_DOUBTS.includes(kind)) };
    }
    // The note does not say of which metric: a diverged model's accuracy may well be a real 0, but hardly its loss.
    const known = readName(metric.name).goal;
    const isLedTo = known === undefined && series !== undefined && leadsToZero(series, pick);
    const isHonest = runs.some((run) => run.metric[pick] === 0) || known === 'maximize' || isLedTo;
    return { kind, isCertain: !isHonest };
  };

  /** The mean of numbers that may stand for NaN is no measurement either, whatever it is. */
  const doubtSummarised: FindDoubt = (metric, { goal, pick: own }, task) => {
    if (metric.count > 1 && !metric.isSingle) return undefined;
    const topics = curvesByTopic.get(task) ?? indexTopics(task);
    curvesByTopic.set(task, topics);
    if (topics.size === 0) return undefined;
    const curve = topics.get(listTopic(metric.name));
    // A copy of the last value is no mean.
    if (curve === undefined || metric[own] === curve.last) return undefined;
    const best = goal === undefined ? 'last' : goal === 'minimize' ? 'min' : 'max';
    // Without a warning the console proves nothing, so it need not be read for the curve's sake.
    const log = { lines: consoles.get(task.id)?.lines ?? [], isWhole: true };
    const isDoubted = ([best, 'last'] as const).some((pick) => doubtBy(log, curve, { pick, goal }, task));
    return isDoubted ? { kind: 'unmeasured', isCertain: false } : undefined;
  };

  return (metric, role, task) =>
    doubtBy(consoles.get(task.id), metric, role, task) ?? doubtSummarised(metric, role, task);
}

/** The curves that a summary's doubt may come from. */
function indexTopics({ metrics }: ReportedTask): ReadonlyMap<string, Metric> {
  const withCurve = metrics.filter(
    ({ count, isSingle, min, max }) => count > 1 && !isSingle && [min, max].some(Number.isInteger),
  );
  return new Map(withCurve.map((metric) => [listTopic(metric.name), metric]));
}

/** The same metric, also by its old name, in the runs of the other side and of other base commits; indexed when needed. */
function indexOthers({ tasks, baseline, anchors = [] }: DoubtSources, rules: readonly MetricRule[]) {
  const aliases = new Map(
    rules.flatMap(({ metric, was }) =>
      was === undefined ? [] : [[metric, was] as const, [was, metric] as const],
    ),
  );
  const groupOf = new Map<string, number>();
  let index: Map<string, OtherRun[]> | undefined;
  const build = () => {
    const built = new Map<string, OtherRun[]>();
    const commits = [baseline, ...anchors].flatMap((one) => [
      listBaselineTasks(one),
      ...listHistory(one).map((commit) => commit.tasks),
    ]);
    for (const [group, runs] of [tasks, ...commits].entries()) {
      for (const task of runs) {
        if (groupOf.has(task.id)) continue;
        groupOf.set(task.id, group);
        for (const metric of task.metrics) {
          const known = built.get(metric.name);
          if (known === undefined) built.set(metric.name, [{ task, metric, group }]);
          else known.push({ task, metric, group });
        }
      }
    }
    return built;
  };
  return (name: string, { id }: ReportedTask): readonly OtherRun[] => {
    index ??= build();
    const group = groupOf.get(id);
    const named = [name, ...(aliases.has(name) ? [aliases.get(name) ?? ''] : [])];
    return named.flatMap((one) => index?.get(one) ?? []).filter((run) => run.group !== group);
  };
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
  const findDoubt = createDoubter(sources, rules);
  const toRun = (task: ReportedTask): GateRun => ({
    task: task.id,
    seed: task.params[seedParam] ?? null,
    isSeedLost: hasLostSeed(task, known, seedParam),
    status: wasTakenBack(task) ? 'stopped' : task.status,
    iterations: task.iteration,
    values: measureAll(task, rules, findDoubt),
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

/** The gated metrics of a task, the base's old names included, with their rules. */
function listGatedMetrics(task: ReportedTask, rules: readonly MetricRule[]) {
  return task.metrics.flatMap((metric) => {
    const rule =
      rules.find(({ gate, was }) => gate !== 'off' && was === metric.name) ??
      assignRole(metric.name, rules).rule;
    return rule === undefined || rule.gate === 'off' ? [] : [{ metric, rule }];
  });
}

function measureAll(
  task: ReportedTask,
  rules: readonly MetricRule[],
  findDoubt: FindDoubt,
): Map<string, GateValue> {
  const values = new Map<string, GateValue>();
  for (const { metric, rule } of listGatedMetrics(task, rules)) {
    const { name, count, isSingle } = metric;
    const role = { pick: rule.value, goal: rule.goal };
    const doubt = values.has(name) ? 'ambiguous' : findDoubt(metric, role, task)?.kind;
    values.set(name, { value: metric[rule.value], doubt, reports: isSingle ? undefined : count });
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
  if (curve === undefined) return undefined;
  const isWhole = curve.x.length >= metric.count || countReportsPerPoint(curve, metric.count) !== undefined;
  return isWhole ? restoreExtremes(curve, metric).y : undefined;
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
