import { readName } from '../gate/metric-names.ts';
import { assignRole, type MetricRole } from '../gate/metric-rules.ts';
import type { MetricRule } from '../shell/config.ts';
import { type Metric, sortMetrics } from '../training/metrics.ts';
import type { MetricName } from './ports.ts';
import type { ReportedTask } from './reported-task.ts';

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
      const role = assignRole(metric.name, rules);
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
