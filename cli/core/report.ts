import type { MetricRule } from './config.ts';
import { assignRole, type Goal, type MetricRole, rateInterest } from './metric-rules.ts';
import { type Metric, pickValue, sortMetrics } from './metrics.ts';
import type { ReportSources } from './report-sources.ts';
import type { ReportedTask } from './reported-task.ts';
import { isEnded, isSuccess, RUNTIME_KEYS, type TaskStatus } from './task.ts';

/** What is said of the whole run, the first that holds (public contract). */
export type Verdict = 'failed' | 'pending' | 'none';

/** The whole report as data: what `--json` prints, and what the templates show. Times in ms since 1970. */
export interface Report {
  /** Counts up when a field changes its meaning or goes. */
  readonly version: 1;
  readonly verdict: Verdict;
  readonly name: string;
  readonly pullRequest: ReportPullRequest | null;
  /** What was trained. */
  readonly commit: ReportCommit | null;
  readonly tasks: readonly ReportTask[];
  /** Those that the settings name, in that order; then the others, most telling first. */
  readonly metrics: readonly ReportMetric[];
  /** How many of `metrics` the comment leads with. */
  readonly leadingMetrics: number;
}

export interface ReportPullRequest {
  readonly repository: string;
  readonly number: number;
  readonly url: string;
  readonly headCommit: string | null;
  readonly baseBranch: string | null;
}

export interface ReportCommit {
  readonly id: string;
  readonly url: string | null;
  /** Whether the pull request's newest commit holds the same code; null where that is not known. */
  readonly isCurrent: boolean | null;
}

export interface ReportTask {
  readonly id: string;
  readonly url: string;
  readonly status: TaskStatus;
  readonly statusReason: string;
  readonly statusMessage: string;
  readonly seed: string | null;
  readonly iteration: number;
  readonly worker: string | null;
  readonly createdAtMs: number | null;
  readonly startedAtMs: number | null;
  readonly endedAtMs: number | null;
  /** From start to end, or to now. */
  readonly durationSeconds: number | null;
}

export interface ReportMetric {
  /** `title/series` */
  readonly metric: string;
  /** Mean over the tasks; null where no task has the metric. */
  readonly value: number | null;
  readonly baseline: number | null;
  readonly change: number | null;
  readonly verdict: string;
  readonly goal: Goal | null;
  readonly isGoalGuessed: boolean;
  /** Which number of each task counts. */
  readonly pick: 'last' | 'min' | 'max';
  /** Of each task, in the order of `tasks`; null where it has none. */
  readonly values: ReadonlyArray<number | null>;
}

export interface ReportContext {
  readonly rules: readonly MetricRule[];
  readonly pullRequest: { readonly repository: string; readonly number: number } | undefined;
  /** No trailing slash. */
  readonly githubUrl: string;
  readonly seedParam: string;
  readonly urlOf: (task: Pick<ReportedTask, 'id' | 'projectId'>) => string;
  readonly nowMs: number;
}

/** How many metrics a comment leads with where no rule names any. */
const DEFAULT_LEADING = 6;
const MAX_LEADING = 12;

/** Puts the report together. */
export function buildReport(sources: ReportSources, context: ReportContext): Report {
  const { tasks } = sources;
  const { metrics, leading } = listMetrics(tasks, context.rules);
  return {
    version: 1,
    verdict: decideVerdict(tasks),
    name: tasks[0]?.name ?? '',
    pullRequest: describePullRequest(sources, context),
    commit: describeCommit(sources, context),
    tasks: tasks.map((task) => describeTask(task, context)),
    metrics,
    leadingMetrics: leading,
  };
}

/** What can be said before any metric is looked at. */
export function decideVerdict(tasks: ReadonlyArray<Pick<ReportedTask, 'status'>>): Verdict {
  if (tasks.some(({ status }) => isEnded(status) && !isSuccess(status))) return 'failed';
  if (tasks.some(({ status }) => !isSuccess(status))) return 'pending';
  return 'none';
}

function describePullRequest(
  { pullRequest }: ReportSources,
  context: ReportContext,
): ReportPullRequest | null {
  if (context.pullRequest === undefined) return null;
  const { repository, number } = context.pullRequest;
  return {
    repository,
    number,
    url: pullRequest?.url ?? `${context.githubUrl}/${repository}/pull/${number}`,
    headCommit: pullRequest?.headCommit ?? null,
    baseBranch: pullRequest?.baseBranch ?? null,
  };
}

function describeCommit({ tasks, pullRequest }: ReportSources, context: ReportContext): ReportCommit | null {
  const id = tasks[0]?.script.commit;
  if (id === undefined) return null;
  return {
    id,
    url:
      context.pullRequest === undefined || !/^[0-9a-f]{40,64}$/.test(id)
        ? null
        : `${context.githubUrl}/${context.pullRequest.repository}/commit/${id}`,
    isCurrent: pullRequest === undefined ? null : pullRequest.headCommit === id,
  };
}

function describeTask(task: ReportedTask, context: ReportContext): ReportTask {
  const { startedAtMs, endedAtMs } = task;
  const untilMs = isEnded(task.status) ? endedAtMs : context.nowMs;
  return {
    id: task.id,
    url: context.urlOf(task),
    status: task.status,
    statusReason: task.statusReason,
    statusMessage: task.statusMessage,
    seed: task.params[context.seedParam] ?? null,
    iteration: task.iteration,
    worker: task.worker ?? null,
    createdAtMs: task.createdAtMs ?? null,
    startedAtMs: startedAtMs ?? null,
    endedAtMs: isEnded(task.status) ? (endedAtMs ?? null) : null,
    durationSeconds:
      startedAtMs === undefined || untilMs === undefined || task.status === 'queued'
        ? null
        : Math.max(0, (untilMs - startedAtMs) / 1000),
  };
}

function listMetrics(
  tasks: readonly ReportedTask[],
  rules: readonly MetricRule[],
): { readonly metrics: ReportMetric[]; readonly leading: number } {
  const byTask = tasks.map((task) => new Map(task.metrics.map((metric) => [metric.name, metric])));
  const known = new Map<string, Metric>();
  for (const metrics of byTask)
    for (const [name, metric] of metrics) if (!known.has(name)) known.set(name, metric);

  const entries = sortMetrics([...known.values()]).map((metric) => ({
    metric,
    role: assignRole(metric.name, rules),
    interest: rateInterest(metric.name, metric.isSingle),
  }));
  const position = (role: MetricRole) => (role.rule === undefined ? rules.length : rules.indexOf(role.rule));
  // A stable sort: those of equal interest stay in order of their names.
  entries.sort((a, b) => position(a.role) - position(b.role) || b.interest - a.interest);

  const named = entries.filter(({ role }) => role.rule !== undefined).length;
  return {
    metrics: entries.map(({ metric, role }) => describeMetric(metric.name, role, byTask)),
    leading: Math.min(entries.length, named > 0 ? Math.min(named, MAX_LEADING) : DEFAULT_LEADING),
  };
}

function describeMetric(
  name: string,
  role: MetricRole,
  byTask: ReadonlyArray<ReadonlyMap<string, Metric>>,
): ReportMetric {
  const values = byTask.map((metrics) => {
    const metric = metrics.get(name);
    return metric === undefined ? null : pickValue(metric, role.pick);
  });
  const present = values.filter((value) => value !== null);
  return {
    metric: name,
    value: present.length === 0 ? null : present.reduce((sum, value) => sum + value, 0) / present.length,
    baseline: null,
    change: null,
    verdict: 'none',
    goal: role.goal ?? null,
    isGoalGuessed: role.isGoalGuessed,
    pick: role.pick,
    values,
  };
}

/** Whether a task carries what our launch writes on it. */
export function isLaunchedByUs(task: Pick<ReportedTask, 'runtime'>): boolean {
  return task.runtime[RUNTIME_KEYS.key] !== undefined;
}
