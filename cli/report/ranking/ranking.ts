import { readName } from '../../gate/metric-names.ts';
import { assignRole, type MetricRole } from '../../gate/metric-rules.ts';
import type { MetricRule } from '../../shell/config.ts';
import { type Metric, sortMetrics } from '../../training/metrics.ts';
import type { MetricName } from '../ports.ts';
import type { ReportedTask } from '../reported-task.ts';

/** Whether a rule's name is a pattern for any number of metrics. */
export function isPattern(metric: string): boolean {
  return /[*?]/.test(metric);
}

/** On which side a metric is, of two completed trainings. */
export type Presence = 'both' | 'new' | 'gone';

/** A metric with what its rule and its name say. */
export interface RankedMetric {
  readonly metric: Metric;
  readonly role: MetricRole;
  /** A rule means it: a pattern without a goal means no bookkeeping that it happens to match. */
  readonly isNamed: boolean;
  /** The place of that rule; the same for all others. */
  readonly position: number;
  /** It tells how the training went, and nobody asked for it. */
  readonly isBookkeeping: boolean;
  /** How interesting its name is. */
  readonly interest: number;
  /** It is of the data that the model learns from, and others are not. */
  readonly isOfTraining?: boolean;
  /** undefined where the trainings have not completed, or it is unknown. */
  readonly presence?: Presence | undefined;
  /** The metric that has the same numbers by another name. */
  readonly copyOf?: string | undefined;
}

/** Metrics with what rules and names say, not yet in order. */
export function describeRanks(metrics: Iterable<Metric>, rules: readonly MetricRule[]): RankedMetric[] {
  const positions = new Map(rules.map((rule, index) => [rule, index]));
  return sortMetrics([...metrics]).map((metric) => {
    const hints = readName(metric.name);
    const role = assignRole(metric.name, rules);
    const { rule } = role;
    const isMeant = rule !== undefined && (rule.goal !== undefined || !isPattern(rule.metric));
    const isNamed = isMeant || (rule !== undefined && !hints.isBookkeeping);
    return {
      metric,
      role,
      isNamed,
      position: (isNamed && rule ? positions.get(rule) : undefined) ?? rules.length,
      isBookkeeping: hints.isBookkeeping && !isNamed,
      interest: hints.interest + (metric.isSingle ? 2 : 0),
    };
  });
}

/** Those of all tasks, each once. */
export function collectMetrics(tasks: readonly ReportedTask[]): Map<string, Metric> {
  const known = new Map<string, Metric>();
  for (const task of tasks)
    for (const metric of task.metrics) if (!known.has(metric.name)) known.set(metric.name, metric);
  return known;
}

/** The tasks' metrics: those that the settings name, in that order; then the others, most telling name first. */
export function rankMetrics(
  tasks: readonly ReportedTask[],
  rules: readonly MetricRule[],
): readonly RankedMetric[] {
  return describeRanks(collectMetrics(tasks).values(), rules).sort(
    (a, b) => a.position - b.position || b.interest - a.interest,
  );
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
