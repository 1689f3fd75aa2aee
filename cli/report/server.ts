import * as v from 'valibot';
import type { CallOptions, ClearmlClient } from '../clearml/client.ts';
import { TextSchema } from '../clearml/fields.ts';
import { createLogPageReader, readLogEnd } from '../clearml/log.ts';
import { readQueues } from '../clearml/queues.ts';
import {
  findNewestTasks,
  listMetrics,
  listParams,
  PAGE_SIZE,
  readTasks,
  type TaskField,
  type TaskFilter,
  type TaskOf,
} from '../clearml/tasks.ts';
import { isRecord } from '../shell/json.ts';
import { escapeRegExp } from '../shell/redaction.ts';
import { splitLogLines } from '../training/console-log.ts';
import { MARK_PREFIX_PATTERN } from '../training/history-mark.ts';
import { isMonitor, nameMetric, sortMetrics } from '../training/metrics.ts';
import { HISTORY_EVENTS, RUNTIME_KEYS } from '../training/task.ts';
import { type Curve, type Curves, cleanCurve } from './drawing/curve.ts';
import { type Plot, parsePlot } from './drawing/plot.ts';
import { type ConsoleEnd, MANY_METRICS, type MetricName, type ReportServer } from './ports.ts';
import type { Model, ReportedTask } from './reported-task.ts';

/** A task with 10,000 metrics is a document of some 16 MB. Three such attempts fit into the time that there is. */
const LARGE_ANSWER_TIMEOUT_MS = 12_000;

const TASK_FIELDS = [
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
  'system_tags',
  'runtime',
  'hyperparams',
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

/** Whether there is one that counts is asked: what tells it. */
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
/** The newest one is compared with, all seeds of it; the others are only counted. */
const TAGGED_TASKS = 100;

/** Messages of a failed task's console: a message holds the lines of some seconds. */
const LOG_MESSAGES = 60;

/** A whole console, of up to 20,000 messages: some days of training that prints all the time. */
const CONSOLE_PAGE_SIZE = 2000;
const MAX_CONSOLE_PAGES = 10;

/** Points that an answer may hold: a few MB. */
const POINT_BUDGET = 100_000;
/** Above this many the server's own answer would be slow. */
const MAX_SAMPLES = 2000;
const MIN_SAMPLES = 40;

const CurveSchema = v.object({ x: v.array(v.unknown()), y: v.array(v.unknown()) });
type WireCurve = v.InferOutput<typeof CurveSchema>;
const CurvesSchema = v.record(v.string(), v.record(v.string(), CurveSchema));
/** title, series, task */
const CurvesByTaskSchema = v.object({
  metrics: v.record(v.string(), v.record(v.string(), v.record(v.string(), CurveSchema))),
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

/** Whom a report asks, and until when. */
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

/** The newest ones, successful where nothing else is said: one request, however many there are. */
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
  return findNewest(ask, place, conditions, fields, PAGE_SIZE, [...SUCCESSFUL, ...UNDER_WAY]);
}

const CODE_FIELDS = [`runtime.${RUNTIME_KEYS.code}`, 'script.version_num', 'tags'];

/** The conditions for tasks of these commits or code ids. */
function matchCode(codeIds: readonly string[]) {
  return {
    _any_: {
      fields: CODE_FIELDS,
      pattern: `^${MARK_PREFIX_PATTERN}(${codeIds.map(escapeRegExp).join('|')})$`,
    },
  };
}

/** The conditions for those and all tasks of the branch, as far as they may count: no number of trials hides them. */
function matchBranch(branch: string, codeIds: readonly string[]) {
  const marked = `base(-until)?:${escapeRegExp(branch)}:.*`;
  const ids = [branch, ...codeIds].map(escapeRegExp).join('|');
  return {
    _any_: {
      fields: [...CODE_FIELDS, 'script.branch'],
      pattern: `^(${MARK_PREFIX_PATTERN}(${ids})|${marked})$`,
    },
    // The server joins the two with *and* (GetMixin.prepare_query in its apiserver/database/model/base.py).
    _or_: {
      fields: [`runtime.${RUNTIME_KEYS.event}`, 'tags'],
      pattern: `^(${[...HISTORY_EVENTS, 'launch'].join('|')}|${marked})$`,
    },
  };
}

/**
 * Where `last_metrics` holds metrics: under the MD5 of title and series. A task can have thousands, and the
 * server sends only those that are named.
 */
function locateMetrics(metrics: readonly MetricName[] | 'all'): TaskField[] {
  if (metrics === 'all') return ['last_metrics'];
  // Not imported: a bundled start would load it before the first request, which needs no hash.
  const { createHash } = process.getBuiltinModule('node:crypto');
  const hashName = (name: string) => createHash('md5').update(name, 'utf8').digest('hex');
  return metrics.map(({ title, series }): TaskField => `last_metrics.${hashName(title)}.${hashName(series)}`);
}

/**
 * The curves of these metrics: one request for all tasks, or where they have many one for each. A server that does not
 * know `metrics` in the first answers with every metric there is.
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
  const all = Math.max(...tasks.map((task) => task.metrics.length + task.monitors.length)) * tasks.length;
  if (all <= MANY_METRICS * 2) {
    const answer = await client.call(
      'events.multi_task_scalar_metrics_iter_histogram',
      { tasks: tasks.map(({ id }) => id), ...query(all) },
      CurvesByTaskSchema,
      options,
    );
    for (const [title, bySeries] of Object.entries(answer.metrics))
      for (const [series, byTask] of Object.entries(bySeries))
        for (const [taskId, curve] of Object.entries(byTask)) keep(taskId, title, series, curve);
    return curves;
  }
  const common = query(metrics.length * tasks.length);
  await Promise.all(
    tasks.map(async ({ id }) => {
      const endpoint = 'events.scalar_metrics_iter_histogram';
      const answer = await client.call(endpoint, { task: id, ...common }, CurvesSchema, options);
      for (const [title, bySeries] of Object.entries(answer))
        for (const [series, curve] of Object.entries(bySeries)) keep(id, title, series, curve);
    }),
  );
  return curves;
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
    // A server that ignores the time gives the same page for ever.
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

function toReportedTask(task: TaskOf<(typeof TASK_FIELDS)[number] | 'last_metrics'>): ReportedTask {
  const metrics = sortMetrics(listMetrics(task.last_metrics));
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
    isArchived: task.system_tags.includes('archived'),
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
    hasToldArguments: task.runtime[RUNTIME_KEYS.key] !== undefined && hasDescribedArgument(task.hyperparams),
    metrics: metrics.filter((metric) => !isMonitor(metric)),
    monitors: metrics.filter(isMonitor),
    artifacts: task.execution.artifacts
      .filter(({ mode }) => mode !== 'input')
      .map(({ key, type, content_size: sizeBytes }) => ({
        name: key,
        type,
        sizeBytes: sizeBytes ?? undefined,
      })),
    outputModels: toModels(task.models.output),
    inputModels: toModels(task.models.input),
  };
}

/** One whose value is a text. */
function isGiven(param: [string, string | undefined]): param is [string, string] {
  return param[1] !== undefined;
}

function toModels(models: TaskOf<'models'>['models']['input']): Model[] {
  return models.map(({ name, model }) => ({ id: model, name }));
}

/** A text until the agent has replaced it by the list of what it installed. */
function readPackages(pip: unknown): string[] {
  const lines = Array.isArray(pip) ? pip : typeof pip === 'string' ? pip.split('\n') : [];
  return lines
    .filter((line) => typeof line === 'string')
    .map((line) => line.replace(/^-\s+/, '').trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
}

/**
 * Whether the SDK has put the program's arguments beside those of the launch: in one request, each with its help text, or
 * the word None (SDK 2.1.12: args.py `copy_to_parser`). A launch of ours describes
 * none, and what else the SDK writes repeats those of the launch without a description. A copy of a task has the
 * original's, but no key.
 */
function hasDescribedArgument(sections: Readonly<Record<string, unknown>>): boolean {
  const { Args: entries } = sections;
  return (
    isRecord(entries) &&
    Object.values(entries).some(
      (entry) => isRecord(entry) && typeof entry.description === 'string' && entry.description !== '',
    )
  );
}
