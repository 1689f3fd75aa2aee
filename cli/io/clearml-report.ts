import * as v from 'valibot';
import { isMonitor, isSingleValueTitle, type Metric, nameMetric, sortMetrics } from '../core/metrics.ts';
import type { ReportServer } from '../core/report-sources.ts';
import type { Model, ReportedTask } from '../core/reported-task.ts';
import type { ClearmlClient } from './clearml.ts';
import { ServerTimeSchema, StatusSchema } from './clearml-fields.ts';

/** A page of `get_all`; the server caps larger ones silently (recordings 324-326). */
const PAGE_SIZE = 500;
/** A task with 10,000 metrics is a document of some 16 MB. */
const LARGE_ANSWER_TIMEOUT_MS = 30_000;

/** Iteration of single values (recording 142). */
const SINGLE_VALUE_ITERATION = -(2 ** 31);

const Text = v.fallback(v.nullish(v.string(), ''), '');
const OptionalText = v.pipe(
  Text,
  v.transform((text) => (text === '' ? undefined : text)),
);
const Texts = v.fallback(v.nullish(v.array(v.string()), []), []);

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

const ModelsSchema = v.fallback(v.nullish(v.array(v.object({ name: Text, model: v.string() })), []), []);

const TaskSchema = v.object({
  id: v.string(),
  name: Text,
  project: OptionalText,
  status: StatusSchema,
  status_reason: Text,
  status_message: Text,
  created: ServerTimeSchema,
  started: ServerTimeSchema,
  completed: ServerTimeSchema,
  last_iteration: v.fallback(v.nullish(v.number(), 0), 0),
  last_worker: OptionalText,
  tags: Texts,
  system_tags: Texts,
  runtime: TextMap,
  hyperparams: v.nullish(v.record(v.string(), v.unknown()), {}),
  container: TextMap,
  script: v.optional(
    v.object({
      repository: OptionalText,
      branch: OptionalText,
      version_num: OptionalText,
      entry_point: OptionalText,
      working_dir: OptionalText,
      diff: Text,
      requirements: v.nullish(v.record(v.string(), v.unknown()), {}),
    }),
  ),
  execution: v.optional(
    v.object({
      queue: OptionalText,
      artifacts: v.fallback(
        v.nullish(
          v.array(
            v.object({
              key: v.string(),
              type: OptionalText,
              mode: OptionalText,
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

/** What a report asks of ClearML, over its REST API. */
export function createReportServer(client: ClearmlClient, signal?: AbortSignal): ReportServer {
  const read = { isRepeatable: true, signal, timeoutMs: LARGE_ANSWER_TIMEOUT_MS };

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
  };
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
