import * as v from 'valibot';
import { isRecord } from '../shell/json.ts';
import { type Metric, nameMetric, SINGLE_VALUES_TITLE } from '../training/metrics.ts';
import type { TaskParam } from '../training/params/arrival.ts';
import type { CallOptions, ClearmlClient } from './client.ts';
import {
  listOf,
  OptionalTextSchema,
  PAGE_SIZE,
  ServerTimeSchema,
  StatusSchema,
  TextSchema,
} from './fields.ts';

/** The server keeps single values under this iteration. */
const SINGLE_VALUE_ITERATION = -(2 ** 31);
const PARALLEL_REQUESTS = 8;

/** Values as texts: beside our own texts the agent and the SDK store numbers, flags and more. */
const TextMapSchema = v.pipe(
  v.nullish(v.record(v.string(), v.unknown()), {}),
  v.transform((map) =>
    Object.fromEntries(
      Object.entries(map)
        .filter(([, value]) => value !== null)
        .map(([name, value]) => [name, typeof value === 'string' ? value : JSON.stringify(value)]),
    ),
  ),
);

const AnyMapSchema = v.nullish(v.record(v.string(), v.unknown()), {});

const ModelsSchema = listOf(v.object({ name: TextSchema, model: v.string() }));

const ArtifactsSchema = listOf(
  v.object({
    key: v.string(),
    type: OptionalTextSchema,
    mode: OptionalTextSchema,
    content_size: v.fallback(v.nullish(v.number()), undefined),
  }),
);

/** A task as ClearML sends it. Fields that were not asked for are empty. */
const TaskSchema = v.object({
  id: v.pipe(v.string(), v.minLength(1)),
  name: TextSchema,
  project: OptionalTextSchema,
  user: OptionalTextSchema,
  status: StatusSchema,
  status_reason: TextSchema,
  status_message: TextSchema,
  status_changed: ServerTimeSchema,
  created: ServerTimeSchema,
  started: ServerTimeSchema,
  completed: ServerTimeSchema,
  last_update: TextSchema,
  last_iteration: v.fallback(v.nullish(v.number(), 0), 0),
  last_worker: OptionalTextSchema,
  // Tags decide whose a task is. A list that can't be read is no empty list, so there is no fallback.
  tags: v.optional(v.array(v.string()), []),
  parent: OptionalTextSchema,
  system_tags: v.optional(v.array(v.string()), []),
  runtime: TextMapSchema,
  hyperparams: AnyMapSchema,
  configuration: AnyMapSchema,
  container: TextMapSchema,
  // All of it, known or not: an edit replaces the whole script.
  script: v.nullish(
    v.looseObject({
      repository: OptionalTextSchema,
      branch: OptionalTextSchema,
      version_num: OptionalTextSchema,
      entry_point: OptionalTextSchema,
      working_dir: OptionalTextSchema,
      diff: TextSchema,
      requirements: AnyMapSchema,
    }),
    {},
  ),
  execution: v.nullish(v.object({ queue: OptionalTextSchema, artifacts: ArtifactsSchema }), {}),
  models: v.nullish(v.object({ input: ModelsSchema, output: ModelsSchema }), {}),
  last_metrics: AnyMapSchema,
});

const TasksSchema = v.object({ tasks: v.array(TaskSchema) });

type Task = v.InferOutput<typeof TaskSchema>;
type Field = keyof Task;

/** What a query may ask for: a field of a task, or a part of one (`script.branch`). */
export type TaskField = Field | `${Field}.${string}`;

/** A task with the fields that were asked for. */
export type TaskOf<F extends TaskField> = Pick<
  Task,
  'id' | (F extends `${infer Root extends Field}.${string}` ? Root : F & Field)
>;

/** Conditions of `tasks.get_all`. The server ignores those that it does not know, and then finds more. */
export type TaskFilter = Readonly<Record<string, unknown>>;

type ReadOptions = Omit<CallOptions, 'isRepeatable'>;

/** The tasks with these ids, if they exist: one request for every 500 ids. */
export async function readTasks<F extends TaskField>(
  client: ClearmlClient,
  ids: readonly string[],
  fields: readonly F[],
  options: ReadOptions,
): Promise<Map<string, TaskOf<F>>> {
  const wanted = [...new Set(ids)];
  const found = new Map<string, TaskOf<F>>();
  for (let start = 0; start < wanted.length; start += PAGE_SIZE) {
    const page = wanted.slice(start, start + PAGE_SIZE);
    const tasks = await readPage(client, { id: page }, fields, { page: 0, page_size: PAGE_SIZE }, options);
    // A server that ignored the ids would send other tasks.
    for (const task of tasks) if (page.includes(task.id)) found.set(task.id, task);
  }
  return found;
}

/** All tasks that the filter finds, page by page. */
export async function findTasks<F extends TaskField>(
  client: ClearmlClient,
  filter: TaskFilter,
  fields: readonly F[],
  options: ReadOptions,
): Promise<Array<TaskOf<F>>> {
  const found: Array<TaskOf<F>> = [];
  for (let page = 0; ; page += 1) {
    const tasks = await readPage(client, filter, fields, { page, page_size: PAGE_SIZE }, options);
    found.push(...tasks);
    if (tasks.length < PAGE_SIZE) return found;
  }
}

/** The newest tasks that the filter finds, newest first: one request. */
export async function findNewestTasks<F extends TaskField>(
  client: ClearmlClient,
  filter: TaskFilter,
  fields: readonly F[],
  count: number,
  options: ReadOptions,
): Promise<Array<TaskOf<F>>> {
  const newestFirst = { ...filter, order_by: ['-created'] };
  return readPage(client, newestFirst, fields, { page: 0, page_size: count }, options);
}

async function readPage<F extends TaskField>(
  client: ClearmlClient,
  filter: TaskFilter,
  fields: readonly F[],
  page: { readonly page: number; readonly page_size: number },
  options: ReadOptions,
): Promise<Array<TaskOf<F>>> {
  const query = { ...filter, only_fields: ['id', ...fields], ...page };
  const { tasks } = await client.call('tasks.get_all', query, TasksSchema, {
    ...options,
    isRepeatable: true,
  });
  return tasks;
}

/** Does the work for each item, eight at a time. Throws the first error. */
export async function runInParallel<T>(
  items: readonly T[],
  work: (item: T) => Promise<unknown>,
): Promise<void> {
  const open = [...items];
  const worker = async () => {
    for (let item = open.shift(); item !== undefined; item = open.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(PARALLEL_REQUESTS, open.length) }, worker));
}

/** The hyperparameters of all sections. */
export function readParams(hyperparams: Task['hyperparams']): TaskParam[] {
  return Object.entries(hyperparams).flatMap(([section, entries]) =>
    Object.entries(isRecord(entries) ? entries : {}).map(([name, entry]) => {
      const read = (key: string) =>
        isRecord(entry) && typeof entry[key] === 'string' ? entry[key] : undefined;
      const [value, type, description] = [read('value'), read('type'), read('description')];
      return { name: `${section}/${name}`, value, type, description };
    }),
  );
}

/** The hyperparameters by `Section/name`; undefined for one without a text. */
export function listParams(hyperparams: Task['hyperparams']): Array<[string, string | undefined]> {
  return readParams(hyperparams).map(({ name, value }) => [name, value]);
}

/** The metrics of `last_metrics`, which maps md5(title) to md5(series) to the numbers. */
export function listMetrics(lastMetrics: Task['last_metrics']): Metric[] {
  return Object.values(lastMetrics).flatMap((series) =>
    Object.values(isRecord(series) ? series : {}).flatMap((entry) => readMetric(entry) ?? []),
  );
}

function readMetric(entry: unknown): Metric | undefined {
  if (!isRecord(entry)) return undefined;
  const { metric: title, variant: series, value } = entry;
  if (typeof title !== 'string' || typeof series !== 'string' || typeof value !== 'number') return undefined;
  const number = (name: string, otherwise: number) => {
    const found = entry[name];
    return typeof found === 'number' ? found : otherwise;
  };
  const isSingle =
    title === SINGLE_VALUES_TITLE && number('min_value_iteration', 0) === SINGLE_VALUE_ITERATION;
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
