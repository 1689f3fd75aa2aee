import * as v from 'valibot';
import type { ClearmlClient } from '../clearml/client.ts';
import {
  OptionalTextSchema,
  ServerTimeSchema,
  StatusSchema,
  TextSchema,
  TextsSchema,
} from '../clearml/fields.ts';
import { createLogPageReader, readLogEnd } from '../clearml/log.ts';
import { readQueues } from '../clearml/queues.ts';
import { escapeRegExp } from '../shell/redaction.ts';
import { splitLogLines } from '../training/console-log.ts';
import { MARK_PREFIX_PATTERN } from '../training/history-mark.ts';
import { isMonitor, isSingleValueTitle, type Metric, nameMetric, sortMetrics } from '../training/metrics.ts';
import { HISTORY_EVENTS, RUNTIME_KEYS } from '../training/task.ts';
import { type Curve, cleanCurve } from './drawing/curve.ts';
import { type Plot, parsePlot } from './drawing/plot.ts';
import { MANY_METRICS, type MetricName, type ReportServer } from './ports.ts';
import type { Model, ReportedTask } from './reported-task.ts';

/** A page of `get_all`; the server caps larger ones silently (recordings 324-326). */
const PAGE_SIZE = 500;
/** A task with 10,000 metrics is a document of some 16 MB. Three such attempts fit into the time that there is. */
const LARGE_ANSWER_TIMEOUT_MS = 12_000;

/** Iteration of single values (recording 142). */
const SINGLE_VALUE_ITERATION = -(2 ** 31);

/** Values as text: agent and SDK put numbers and flags beside our own texts. */
const TextMap = v.pipe(
  v.nullish(v.record(v.string(), v.unknown()), {}),
  v.transform((map) =>
    Object.fromEntries(
      Object.entries(map)
        .filter(([, value]) => ['string', 'number', 'boolean'].includes(typeof value))
        .map(([name, value]) => [name, String(value)]),
    ),
  ),
);

const ModelsSchema = v.fallback(
  v.nullish(v.array(v.object({ name: TextSchema, model: v.string() })), []),
  [],
);

const TaskSchema = v.object({
  id: v.string(),
  name: TextSchema,
  project: OptionalTextSchema,
  status: StatusSchema,
  status_reason: TextSchema,
  status_message: TextSchema,
  created: ServerTimeSchema,
  started: ServerTimeSchema,
  completed: ServerTimeSchema,
  last_iteration: v.fallback(v.nullish(v.number(), 0), 0),
  last_worker: OptionalTextSchema,
  tags: TextsSchema,
  system_tags: TextsSchema,
  runtime: TextMap,
  hyperparams: v.nullish(v.record(v.string(), v.unknown()), {}),
  container: TextMap,
  script: v.optional(
    v.object({
      repository: OptionalTextSchema,
      branch: OptionalTextSchema,
      version_num: OptionalTextSchema,
      entry_point: OptionalTextSchema,
      working_dir: OptionalTextSchema,
      diff: TextSchema,
      requirements: v.nullish(v.record(v.string(), v.unknown()), {}),
    }),
  ),
  execution: v.optional(
    v.object({
      queue: OptionalTextSchema,
      artifacts: v.fallback(
        v.nullish(
          v.array(
            v.object({
              key: v.string(),
              type: OptionalTextSchema,
              mode: OptionalTextSchema,
              content_size: v.fallback(v.nullish(v.number()), undefined),
            }),
          ),
          [],
        ),
        [],
      ),
    }),
  ),
  models: v.optional(v.object({ input: ModelsSchema, output: ModelsSchema })),
  last_metrics: v.nullish(v.record(v.string(), v.unknown()), {}),
});

const TasksSchema = v.object({ tasks: v.array(TaskSchema) });

const TASK_FIELDS = [
  'id',
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
];

const CurveSchema = v.object({ x: v.array(v.unknown()), y: v.array(v.unknown()) });
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

/** What a report asks of ClearML, over its REST API. */
export function createReportServer(client: ClearmlClient, signal?: AbortSignal): ReportServer {
  const read = { isRepeatable: true, signal, timeoutMs: LARGE_ANSWER_TIMEOUT_MS };

  /** The newest ones, successful where nothing else is said: one request, however many there are. */
  async function findNewest(
    filter: Readonly<Record<string, unknown>> & { readonly projectId: string | undefined },
    fields: readonly string[],
    count: number,
    status: readonly string[] = SUCCESSFUL,
  ): Promise<ReportedTask[]> {
    const { projectId, ...others } = filter;
    const { tasks } = await client.call(
      'tasks.get_all',
      {
        ...others,
        status,
        ...(projectId === undefined ? {} : { project: [projectId] }),
        only_fields: fields,
        order_by: ['-created'],
        page: 0,
        page_size: count,
      },
      TasksSchema,
      read,
    );
    return tasks.map(toReportedTask);
  }

  return {
    async readTasks(ids) {
      const found = new Map<string, ReportedTask>();
      for (let start = 0; start < ids.length; start += PAGE_SIZE) {
        const page = ids.slice(start, start + PAGE_SIZE);
        const { tasks } = await client.call(
          'tasks.get_all',
          { id: page, only_fields: [...TASK_FIELDS, 'last_metrics'], page: 0, page_size: PAGE_SIZE },
          TasksSchema,
          read,
        );
        // A query that widened would name tasks that nobody asked for.
        for (const task of tasks) if (page.includes(task.id)) found.set(task.id, toReportedTask(task));
      }
      return found;
    },

    async findTasksByCode({ codeIds, branch, pipeline, projectId, metrics }) {
      if (codeIds.length === 0) return [];
      return findNewest(
        {
          projectId,
          [`runtime.${RUNTIME_KEYS.pipeline}`]: pipeline,
          ...(branch === undefined ? matchCode(codeIds) : matchBranch(branch, codeIds)),
        },
        [...TASK_FIELDS, ...(await locateMetrics(metrics))],
        SEARCH_PAGE_SIZE,
        [...SUCCESSFUL, ...UNDER_WAY],
      );
    },

    findTasksByBranch: ({ branch, codeIds, pipeline, projectId }) =>
      findNewest(
        {
          projectId,
          [`runtime.${RUNTIME_KEYS.pipeline}`]: pipeline,
          ...matchBranch(branch, codeIds),
        },
        BRANCH_FIELDS,
        SEARCH_PAGE_SIZE,
      ),

    findTasksByTag: async ({ tag, projectId, metrics }) =>
      findNewest(
        // Without the operator a tag that begins with "-" would exclude.
        { projectId, tags: ['__$all', tag] },
        [...TASK_FIELDS, ...(await locateMetrics(metrics))],
        TAGGED_TASKS,
      ),

    async readCurves(tasks, metrics) {
      const isWanted = new Map(
        metrics.map(({ title, series, name }) => [JSON.stringify([title, series]), name]),
      );
      const curves = new Map(tasks.map(({ id }) => [id, new Map<string, Curve>()]));
      const keep = (
        taskId: string,
        title: string,
        series: string,
        curve: v.InferOutput<typeof CurveSchema>,
      ) => {
        const name = isWanted.get(JSON.stringify([title, series]));
        if (name !== undefined) curves.get(taskId)?.set(name, cleanCurve(curve.x, curve.y));
      };
      const choice = groupByTitle(metrics);
      const all = Math.max(...tasks.map((task) => task.metrics.length + task.monitors.length)) * tasks.length;
      const toSamples = (count: number) =>
        Math.max(MIN_SAMPLES, Math.min(MAX_SAMPLES, Math.floor(POINT_BUDGET / count)));
      if (all <= MANY_METRICS * 2) {
        // One request for all tasks. A server that does not know `metrics` here answers with every metric there is.
        const answer = await client.call(
          'events.multi_task_scalar_metrics_iter_histogram',
          { tasks: tasks.map(({ id }) => id), metrics: choice, samples: toSamples(all), key: 'iter' },
          CurvesByTaskSchema,
          read,
        );
        for (const [title, bySeries] of Object.entries(answer.metrics))
          for (const [series, byTask] of Object.entries(bySeries))
            for (const [taskId, curve] of Object.entries(byTask)) keep(taskId, title, series, curve);
        return curves;
      }
      const samples = toSamples(metrics.length * tasks.length);
      await Promise.all(
        tasks.map(async ({ id }) => {
          const answer = await client.call(
            'events.scalar_metrics_iter_histogram',
            { task: id, metrics: choice, samples, key: 'iter' },
            CurvesSchema,
            read,
          );
          for (const [title, bySeries] of Object.entries(answer))
            for (const [series, curve] of Object.entries(bySeries)) keep(id, title, series, curve);
        }),
      );
      return curves;
    },

    async readLogEnd(taskId) {
      const { events, total } = await readLogEnd(client, taskId, LOG_MESSAGES, signal);
      return {
        lines: events.flatMap(({ text }) => splitLogLines(text)),
        isWhole: events.length >= total,
      };
    },

    async readConsole(taskId) {
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
        if (last === undefined || events.length < CONSOLE_PAGE_SIZE)
          return { lines, isWhole: count >= total };
        afterMs = last.timestampMs;
      }
      return { lines, isWhole: false };
    },

    readQueues: (ids) => readQueues(client, ids, read),

    async readPlots(taskId) {
      const { plots } = await client.call(
        'events.get_task_plots',
        { task: taskId, iters: 1, no_scroll: true },
        PlotsSchema,
        read,
      );
      return plots.flatMap(({ metric, variant, iter, plot_str: json }): Plot[] => {
        const plot = parsePlot(nameMetric(metric, variant), iter, json);
        return plot === undefined ? [] : [plot];
      });
    },
  };
}

const SUCCESSFUL = ['completed', 'published'];
const UNDER_WAY = ['queued', 'in_progress', 'publishing'];
/** What a server gives at most (recordings 324-326): the nearest commits are the newest, and a history is one request. */
const SEARCH_PAGE_SIZE = 500;
/** Whether there is one that counts is asked: what tells it. */
const BRANCH_FIELDS = [
  'id',
  'status',
  'created',
  'tags',
  'system_tags',
  'runtime',
  'script.branch',
  'script.version_num',
  'script.diff',
];
/** The newest one is compared with, all seeds of it; the others are only counted. */
const TAGGED_TASKS = 100;

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
 * Where `last_metrics` holds metrics: under the MD5 of title and series (recording 140). A task can have thousands: only
 * those that are compared are sent (recording 293).
 */
async function locateMetrics(metrics: readonly MetricName[] | 'all'): Promise<string[]> {
  if (metrics === 'all') return ['last_metrics'];
  // Loaded only here, after the first answers: it would be a seventh of a start.
  const { createHash } = await import('node:crypto');
  const hashName = (name: string) => createHash('md5').update(name, 'utf8').digest('hex');
  return metrics.map(({ title, series }) => `last_metrics.${hashName(title)}.${hashName(series)}`);
}

function groupByTitle(metrics: readonly MetricName[]): Array<{ metric: string; variants: string[] }> {
  const titles = new Map<string, string[]>();
  for (const { title, series } of metrics) titles.set(title, [...(titles.get(title) ?? []), series]);
  return [...titles].map(([metric, variants]) => ({ metric, variants }));
}

function toReportedTask(task: v.InferOutput<typeof TaskSchema>): ReportedTask {
  const metrics = sortMetrics(readMetrics(task.last_metrics));
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
    queueId: task.execution?.queue,
    tags: task.tags,
    isArchived: task.system_tags.includes('archived'),
    runtime: task.runtime,
    script: {
      repository: task.script?.repository,
      branch: task.script?.branch,
      commit: task.script?.version_num,
      entryPoint: task.script?.entry_point,
      workingDir: task.script?.working_dir,
      hasDiff: (task.script?.diff ?? '').trim() !== '',
      packages: readPackages(task.script?.requirements.pip),
    },
    image: task.container.image,
    params: readParams(task.hyperparams),
    hasToldArguments: task.runtime[RUNTIME_KEYS.key] !== undefined && hasDescribedArgument(task.hyperparams),
    metrics: metrics.filter((metric) => !isMonitor(metric)),
    monitors: metrics.filter(isMonitor),
    artifacts: (task.execution?.artifacts ?? [])
      .filter(({ mode }) => mode !== 'input')
      .map(({ key, type, content_size: sizeBytes }) => ({
        name: key,
        type,
        sizeBytes: sizeBytes ?? undefined,
      })),
    outputModels: toModels(task.models?.output),
    inputModels: toModels(task.models?.input),
  };
}

function toModels(models: v.InferOutput<typeof ModelsSchema> | undefined): Model[] {
  return (models ?? []).map(({ name, model }) => ({ id: model, name }));
}

/** A text until the agent has replaced it by the list of what it installed (recordings 082, 321). */
function readPackages(pip: unknown): string[] {
  const lines = Array.isArray(pip) ? pip : typeof pip === 'string' ? pip.split('\n') : [];
  return lines
    .filter((line) => typeof line === 'string')
    .map((line) => line.replace(/^-\s+/, '').trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
}

function readParams(sections: Readonly<Record<string, unknown>>): Record<string, string> {
  const params: Record<string, string> = {};
  for (const [section, entries] of Object.entries(sections)) {
    if (!isRecord(entries)) continue;
    for (const [name, entry] of Object.entries(entries)) {
      const value = isRecord(entry) ? entry.value : undefined;
      if (typeof value === 'string') params[`${section}/${name}`] = value;
    }
  }
  return params;
}

/**
 * Whether the SDK has put the program's arguments beside those of the launch: in one request, each with its help text, or
 * the word None (recordings clients/agent/tasks.edit; SDK 2.1.12: args.py `copy_to_parser`). A launch of ours describes
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

/** `last_metrics`: md5(title) to md5(series) to the numbers (recording 140). */
function readMetrics(titles: Readonly<Record<string, unknown>>): Metric[] {
  const metrics: Metric[] = [];
  for (const series of Object.values(titles)) {
    if (!isRecord(series)) continue;
    for (const entry of Object.values(series)) {
      const metric = isRecord(entry) ? readMetric(entry) : undefined;
      if (metric !== undefined) metrics.push(metric);
    }
  }
  return metrics;
}

function readMetric(entry: Readonly<Record<string, unknown>>): Metric | undefined {
  const { metric: title, variant: series, value } = entry;
  if (typeof title !== 'string' || typeof series !== 'string' || typeof value !== 'number') return undefined;
  const number = (name: string, otherwise: number) => {
    const found = entry[name];
    return typeof found === 'number' ? found : otherwise;
  };
  const isSingle = isSingleValueTitle(title) && number('min_value_iteration', 0) === SINGLE_VALUE_ITERATION;
  return {
    name: nameMetric(title, series),
    title,
    series,
    last: value,
    min: number('min_value', value),
    max: number('max_value', value),
    first: number('first_value', value),
    minAt: isSingle ? undefined : number('min_value_iteration', 0),
    maxAt: isSingle ? undefined : number('max_value_iteration', 0),
    mean: number('mean_value', value),
    count: number('count', 1),
    isSingle,
  };
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
