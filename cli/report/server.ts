import * as v from 'valibot';
import type { CallOptions, ClearmlClient } from '../clearml/client.ts';
import { entriesOf, PAGE_SIZE, TextSchema } from '../clearml/fields.ts';
import { createLogPageReader, readLogEnd } from '../clearml/log.ts';
import { readQueues } from '../clearml/queues.ts';
import {
  findNewestTasks,
  listMetrics,
  listParams,
  readParams,
  readTasks,
  type TaskField,
  type TaskFilter,
  type TaskOf,
} from '../clearml/tasks.ts';
import { isRecord } from '../shell/json.ts';
import { escapeRegExp } from '../shell/redaction.ts';
import { splitLogLines } from '../training/console-log.ts';
import { matchMarked } from '../training/history-mark.ts';
import { isMonitor, nameMetric, sortMetrics } from '../training/metrics.ts';
import type { Candidate } from '../training/newest-tasks.ts';
import type { PullRequestTasks } from '../training/ownership.ts';
import { findFailedStep, readSteps } from '../training/steps.ts';
import { HISTORY_EVENTS, RUNTIME_KEYS, tagPullRequest } from '../training/task.ts';
import { keyOfUse } from '../training/uses.ts';
import { type Curve, type Curves, cleanCurve, MIN_SAMPLES } from './drawing/curve.ts';
import { type Plot, parsePlot } from './drawing/plot.ts';
import { type ConsoleEnd, MANY_METRICS, type MetricName, type ReportServer } from './ports.ts';
import type { ReportedTask } from './reported-task.ts';

/** A task with 10,000 metrics is a document of about 16 MB. Three attempts fit into the time limit. */
const LARGE_ANSWER_TIMEOUT_MS = 12_000;

/** What a report reads of a task, but for its metrics. */
export const TASK_FIELDS = [
  'name',
  'project',
  'status',
  'status_reason',
  'status_message',
  'created',
  'started',
  'completed',
  'last_iteration',
  'last_worker',
  'tags',
  'parent',
  'system_tags',
  'runtime',
  'hyperparams',
  'configuration.Pipeline',
  'container',
  'script.repository',
  'script.branch',
  'script.version_num',
  'script.entry_point',
  'script.working_dir',
  'script.diff',
  'script.requirements',
  'execution.queue',
  'execution.artifacts',
  'models',
] as const;

/** What decides whether a task counts for a branch. */
const BRANCH_FIELDS = [
  'status',
  'created',
  'tags',
  'system_tags',
  'runtime',
  'script.branch',
  'script.version_num',
  'script.diff',
] as const;

const SUCCESSFUL = ['completed', 'published'];
const UNDER_WAY = ['queued', 'in_progress', 'publishing'];
/** They are no baseline, but show that a commit was trained. */
const UNSUCCESSFUL = ['failed', 'stopped', 'closed'];
/** The report compares with all seeds of the newest one and only counts the others. */
const TAGGED_TASKS = 100;

/** Messages of a failed task's console; each holds the lines of a few seconds. A launcher prints many after the cause. */
const LOG_MESSAGES = 200;

/** A whole console, up to 20,000 messages: a few days of a training that prints all the time. */
const CONSOLE_PAGE_SIZE = 2000;
const MAX_CONSOLE_PAGES = 10;

/** Points in an answer: a few MB. */
const POINT_BUDGET = 100_000;
/** With more samples the server answers slowly. */
const MAX_SAMPLES = 2000;
/**
 * The server refuses a request for the curves of more than 100 tasks. It reads them one after another, two searches each:
 * with 100 the answer of a busy one took 12 to 50 s.
 */
const MAX_TASKS_IN_REQUEST = 25;

const CurveSchema = v.object({ x: v.array(v.unknown()), y: v.array(v.unknown()) });
type WireCurve = v.InferOutput<typeof CurveSchema>;
const CurvesSchema = entriesOf(entriesOf(CurveSchema));
/** title, series, task */
const CurvesByTaskSchema = v.object({
  metrics: entriesOf(entriesOf(entriesOf(CurveSchema))),
});

const PlotsSchema = v.object({
  plots: v.array(
    v.object({
      metric: TextSchema,
      variant: TextSchema,
      iter: v.fallback(v.nullish(v.number(), 0), 0),
      plot_str: TextSchema,
    }),
  ),
});

/** How to ask ClearML. */
interface Ask {
  readonly client: ClearmlClient;
  readonly options: CallOptions;
}

/** What a report asks of ClearML, over its REST API. */
export function createReportServer(client: ClearmlClient, signal?: AbortSignal): ReportServer {
  const ask: Ask = { client, options: { isRepeatable: true, signal, timeoutMs: LARGE_ANSWER_TIMEOUT_MS } };
  return {
    async readTasks(ids) {
      const tasks = await readTasks(client, ids, [...TASK_FIELDS, 'last_metrics'], ask.options);
      return new Map([...tasks].map(([id, task]) => [id, toReportedTask(task)]));
    },
    findTasksByCode: (search) => findTasksByCode(ask, search),
    findTasksByBranch: ({ branch, codeIds, ...place }) =>
      findNewest(ask, place, matchBranch(branch, codeIds), BRANCH_FIELDS, PAGE_SIZE),
    findTasksByTag: ({ tag, projectId, metrics }) =>
      findNewest(
        ask,
        { projectId },
        // Without the operator a tag that begins with "-" would exclude.
        { tags: ['__$all', tag] },
        [...TASK_FIELDS, ...locateMetrics(metrics)],
        TAGGED_TASKS,
      ),
    readCurves: (tasks, metrics) => readCurves(ask, tasks, metrics),
    async readLogEnd(taskId) {
      const { events, total } = await readLogEnd(client, taskId, LOG_MESSAGES, signal);
      return { lines: events.flatMap(({ text }) => splitLogLines(text)), isWhole: events.length >= total };
    },
    readConsole: (taskId) => readConsole(client, taskId, signal),
    readQueues: (ids) => readQueues(client, ids, ask.options),
    readPlots: (taskId) => readPlots(ask, taskId),
  };
}

/** The newest 500 tasks of a pipeline that a pull request may use: one request. */
export async function findTasksOfPullRequest(
  client: ClearmlClient,
  { pipeline, pullRequest }: PullRequestTasks,
  signal: AbortSignal,
): Promise<Candidate[]> {
  const fields = [`runtime.${RUNTIME_KEYS.pullRequest}`, 'tags', `runtime.${keyOfUse(pullRequest)}`];
  const pattern = `^(${pullRequest}|${tagPullRequest(pullRequest)}|[0-9a-f]{40,64} .*)$`;
  const filter = { [`runtime.${RUNTIME_KEYS.pipeline}`]: pipeline, _any_: { fields, pattern } };
  const found = await findNewestTasks(client, filter, CANDIDATE_FIELDS, PAGE_SIZE, { signal });
  return found.map((task) => ({
    id: task.id,
    status: task.status,
    statusReason: task.status_reason,
    queueId: task.execution.queue,
    createdAtMs: task.created,
    tags: task.tags,
    runtime: task.runtime,
    commit: task.script.version_num,
  }));
}

const CANDIDATE_FIELDS = [
  'status',
  'status_reason',
  'execution.queue',
  'created',
  'tags',
  'runtime',
  'script.version_num',
] as const;

/** The newest matching tasks, in one request; by default successful ones. */
async function findNewest(
  { client, options }: Ask,
  { projectId, pipeline }: { readonly projectId: string | undefined; readonly pipeline?: string },
  conditions: TaskFilter,
  fields: readonly TaskField[],
  count: number,
  status: readonly string[] = SUCCESSFUL,
): Promise<ReportedTask[]> {
  const filter = {
    ...(pipeline === undefined ? {} : { [`runtime.${RUNTIME_KEYS.pipeline}`]: pipeline }),
    ...conditions,
    status,
    ...(projectId === undefined ? {} : { project: [projectId] }),
  };
  return (await findNewestTasks(client, filter, fields, count, options)).map(toReportedTask);
}

async function findTasksByCode(
  ask: Ask,
  { codeIds, branch, metrics, ...place }: Parameters<ReportServer['findTasksByCode']>[0],
): Promise<ReportedTask[]> {
  if (codeIds.length === 0) return [];
  const conditions = branch === undefined ? matchCode(codeIds) : matchBranch(branch, codeIds);
  const fields = [...TASK_FIELDS, ...locateMetrics(metrics)];
  return findNewest(ask, place, conditions, fields, PAGE_SIZE, [
    ...SUCCESSFUL,
    ...UNDER_WAY,
    ...UNSUCCESSFUL,
  ]);
}

const CODE_FIELDS = [
  `runtime.${RUNTIME_KEYS.code}`,
  'script.version_num',
  `runtime.${RUNTIME_KEYS.history}`,
  'tags',
];

/** The conditions for tasks of these commits or code ids. */
export function matchCode(codeIds: readonly string[]) {
  const ids = codeIds.map(escapeRegExp).join('|');
  return { _any_: { fields: CODE_FIELDS, pattern: `^(${ids})$|${matchMarked(ids)}` } };
}

/** The same, and all tasks that may count for the branch; so trials of others cannot push them out of the page. */
function matchBranch(branch: string, codeIds: readonly string[]) {
  const marked = matchMarked('[0-9a-f]+', escapeRegExp(branch));
  const ids = codeIds.map(escapeRegExp).join('|');
  return {
    _any_: {
      fields: [...CODE_FIELDS, 'script.branch'],
      pattern: `^(${escapeRegExp(branch)}|${ids})$|${matchMarked(ids)}|${marked}`,
    },
    // The server joins the two with *and* (GetMixin.prepare_query in its apiserver/database/model/base.py).
    _or_: {
      fields: [`runtime.${RUNTIME_KEYS.event}`, `runtime.${RUNTIME_KEYS.history}`, 'tags'],
      pattern: `^(${[...HISTORY_EVENTS, 'launch'].join('|')})$|${marked}`,
    },
  };
}

/** Where `last_metrics` holds metrics: under the MD5 of title and series. The server sends only those that are named. */
function locateMetrics(metrics: readonly MetricName[] | 'all'): TaskField[] {
  if (metrics === 'all') return ['last_metrics'];
  // An import would be loaded before the first request, which needs no hash.
  const { createHash } = process.getBuiltinModule('node:crypto');
  const hashName = (name: string) => createHash('md5').update(name, 'utf8').digest('hex');
  return metrics.map(({ title, series }): TaskField => `last_metrics.${hashName(title)}.${hashName(series)}`);
}

/**
 * The curves of these metrics: one request for up to 25 tasks, or one each if they have many metrics. An older server
 * ignores `metrics` in the first kind of request and answers with all of them.
 */
async function readCurves(
  { client, options }: Ask,
  tasks: readonly ReportedTask[],
  metrics: readonly MetricName[],
): Promise<Curves> {
  const names = new Map(metrics.map(({ title, series, name }) => [JSON.stringify([title, series]), name]));
  const curves = new Map(tasks.map(({ id }) => [id, new Map<string, Curve>()]));
  const keep = (taskId: string, title: string, series: string, { x, y }: WireCurve) => {
    const name = names.get(JSON.stringify([title, series]));
    if (name !== undefined) curves.get(taskId)?.set(name, cleanCurve(x, y));
  };
  const query = (curvesInAnswer: number) => {
    const samples = Math.max(MIN_SAMPLES, Math.min(MAX_SAMPLES, Math.floor(POINT_BUDGET / curvesInAnswer)));
    return { metrics: groupByTitle(metrics), samples, key: 'iter' };
  };
  const perTask = Math.max(...tasks.map((task) => task.metrics.length + task.monitors.length));
  if (perTask * tasks.length <= MANY_METRICS * 2) {
    const common = query(perTask * tasks.length);
    await Promise.all(
      splitIntoParts(tasks, MAX_TASKS_IN_REQUEST).map(async (part) => {
        const endpoint = 'events.multi_task_scalar_metrics_iter_histogram';
        const body = { tasks: part.map(({ id }) => id), ...common };
        const answer = await client.call(endpoint, body, CurvesByTaskSchema, options);
        for (const [title, bySeries] of answer.metrics)
          for (const [series, byTask] of bySeries)
            for (const [taskId, curve] of byTask) keep(taskId, title, series, curve);
      }),
    );
    return curves;
  }
  const common = query(metrics.length * tasks.length);
  await Promise.all(
    tasks.map(async ({ id }) => {
      const endpoint = 'events.scalar_metrics_iter_histogram';
      const answer = await client.call(endpoint, { task: id, ...common }, CurvesSchema, options);
      for (const [title, bySeries] of answer)
        for (const [series, curve] of bySeries) keep(id, title, series, curve);
    }),
  );
  return curves;
}

function splitIntoParts<T>(items: readonly T[], size: number): T[][] {
  const count = Math.ceil(items.length / size);
  return Array.from({ length: count }, (_, index) => items.slice(index * size, (index + 1) * size));
}

function groupByTitle(metrics: readonly MetricName[]): Array<{ metric: string; variants: string[] }> {
  const titles = new Map<string, string[]>();
  for (const { title, series } of metrics) titles.set(title, [...(titles.get(title) ?? []), series]);
  return [...titles].map(([metric, variants]) => ({ metric, variants }));
}

async function readConsole(
  client: ClearmlClient,
  taskId: string,
  signal: AbortSignal | undefined,
): Promise<ConsoleEnd> {
  const readPage = createLogPageReader(client, taskId, signal);
  const lines: string[] = [];
  let count = 0;
  let afterMs = 0;
  for (let page = 0; page < MAX_CONSOLE_PAGES; page += 1) {
    const { events, total } = await readPage(afterMs, CONSOLE_PAGE_SIZE);
    const last = events.at(-1);
    // A server that ignores the time would repeat the same page endlessly.
    if (last !== undefined && last.timestampMs <= afterMs) break;
    for (const { text } of events) lines.push(...splitLogLines(text));
    count += events.length;
    if (last === undefined || events.length < CONSOLE_PAGE_SIZE) return { lines, isWhole: count >= total };
    afterMs = last.timestampMs;
  }
  return { lines, isWhole: false };
}

async function readPlots({ client, options }: Ask, taskId: string): Promise<Plot[]> {
  const query = { task: taskId, iters: 1, no_scroll: true };
  const { plots } = await client.call('events.get_task_plots', query, PlotsSchema, options);
  return plots.flatMap(
    ({ metric, variant, iter, plot_str: json }) => parsePlot(nameMetric(metric, variant), iter, json) ?? [],
  );
}

/** Without `last_metrics` the task has no metrics. */
export function toReportedTask(
  task: TaskOf<(typeof TASK_FIELDS)[number]> & Partial<TaskOf<'last_metrics'>>,
): ReportedTask {
  const metrics = sortMetrics(listMetrics(task.last_metrics ?? {}));
  return {
    id: task.id,
    name: task.name,
    projectId: task.project,
    status: task.status,
    statusReason: task.status_reason,
    statusMessage: task.status_message,
    createdAtMs: task.created,
    startedAtMs: task.started,
    endedAtMs: task.completed,
    iteration: task.last_iteration,
    worker: task.last_worker,
    queueId: task.execution.queue,
    tags: task.tags,
    parent: task.parent,
    isArchived: task.system_tags.includes('archived'),
    failedStep: findFailedStep(readSteps(task.configuration)),
    runtime: task.runtime,
    script: {
      repository: task.script.repository,
      branch: task.script.branch,
      commit: task.script.version_num,
      entryPoint: task.script.entry_point,
      workingDir: task.script.working_dir,
      hasDiff: task.script.diff.trim() !== '',
      packages: readPackages(task.script.requirements.pip),
    },
    image: task.container.image,
    params: Object.fromEntries(listParams(task.hyperparams).filter(isGiven)),
    held: readParams(task.hyperparams),
    // A copy of a task has the original's arguments, but no key.
    hasToldArguments: task.runtime[RUNTIME_KEYS.key] !== undefined && hasDescribedArgument(task.hyperparams),
    metrics: metrics.filter((metric) => !isMonitor(metric)),
    monitors: metrics.filter(isMonitor),
    artifacts: task.execution.artifacts
      .filter(({ mode }) => mode !== 'input')
      .map(({ key: name, type, content_size: size }) => ({ name, type, sizeBytes: size ?? undefined })),
    outputModels: task.models.output.map(({ name, model: id }) => ({ id, name })),
    inputModels: task.models.input.map(({ name, model: id }) => ({ id, name })),
  };
}

/** Whether the param's value is a text. */
function isGiven(param: [string, string | undefined]): param is [string, string] {
  return param[1] !== undefined;
}

/** A text until the agent replaces it by the list of installed packages. */
function readPackages(pip: unknown): string[] {
  const lines = Array.isArray(pip) ? pip : typeof pip === 'string' ? pip.split('\n') : [];
  return lines
    .filter((line) => typeof line === 'string')
    .map((line) => line.replace(/^-\s+/, '').trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
}

/**
 * Whether the SDK has added the program's own arguments. It adds all in one request, each with its help text or the word
 * None (SDK 2.1.12: args.py `copy_to_parser`). Our launch, and what else the SDK writes, have no descriptions.
 */
function hasDescribedArgument({ Args: entries }: Readonly<Record<string, unknown>>): boolean {
  const hasDescription = (entry: unknown) =>
    isRecord(entry) && typeof entry.description === 'string' && entry.description !== '';
  return isRecord(entries) && Object.values(entries).some(hasDescription);
}
