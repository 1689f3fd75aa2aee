import * as v from 'valibot';
import { nameMetric } from '../core/metrics.ts';
import type { QueueState, WatchedTask } from '../core/task-life.ts';
import type { WatchServer } from '../core/watch.ts';
import type { ClearmlClient } from './clearml.ts';
import { ServerTimeSchema, StatusSchema } from './clearml-fields.ts';

/** The server caps a page silently at this many tasks (recordings 324-326). */
const PAGE_SIZE = 500;

const Text = v.fallback(v.nullish(v.string(), ''), '');
const OptionalText = v.pipe(
  Text,
  v.transform((text) => (text === '' ? undefined : text)),
);

const TaskSchema = v.object({
  id: v.string(),
  name: Text,
  status: StatusSchema,
  status_reason: Text,
  status_message: Text,
  status_changed: ServerTimeSchema,
  started: ServerTimeSchema,
  completed: ServerTimeSchema,
  last_update: Text,
  last_iteration: v.fallback(v.nullish(v.number(), 0), 0),
  last_worker: OptionalText,
  project: OptionalText,
  tags: v.fallback(v.nullish(v.array(v.string()), []), []),
  user: OptionalText,
  /** The agent and the SDK put numbers beside our own texts. */
  runtime: v.fallback(v.nullish(v.record(v.string(), v.unknown()), {}), {}),
  execution: v.optional(v.object({ queue: OptionalText }), {}),
  script: v.optional(v.object({ working_dir: Text }), {}),
});

const TASK_FIELDS = [
  ...Object.keys(TaskSchema.entries).filter((field) => field !== 'execution' && field !== 'script'),
  'execution.queue',
  'script.working_dir',
];

const TasksSchema = v.object({ tasks: v.array(TaskSchema) });

const QueuesSchema = v.object({
  queues: v.array(
    v.object({
      id: v.string(),
      name: Text,
      /** An entry's task is an id, or where the server joins it an object that has one. */
      entries: v.array(v.object({ task: v.union([v.string(), v.object({ id: v.string() })]) })),
      workers: v.fallback(
        v.nullish(v.array(v.object({ name: Text, task: v.nullish(v.object({ id: v.string() })) })), []),
        [],
      ),
    }),
  ),
});

const MetricsSchema = v.object({
  tasks: v.array(
    v.object({
      id: v.string(),
      last_metrics: v.nullish(
        v.record(
          v.string(),
          v.record(v.string(), v.object({ metric: v.string(), variant: v.string(), value: v.number() })),
        ),
        {},
      ),
    }),
  ),
});

const UserSchema = v.object({ user: v.object({ id: v.string() }) });

/** What watching asks of ClearML, over its REST API. */
export function createWatchServer(client: ClearmlClient): WatchServer {
  return {
    async readTasks(ids, signal) {
      const found = new Map<string, WatchedTask>();
      for (let start = 0; start < ids.length; start += PAGE_SIZE) {
        const page = new Set(ids.slice(start, start + PAGE_SIZE));
        const { tasks } = await client.call(
          'tasks.get_all',
          { id: [...page], only_fields: TASK_FIELDS, page: 0, page_size: PAGE_SIZE },
          TasksSchema,
          { isRepeatable: true, signal },
        );
        // A query that widened would show tasks that nobody asked for.
        for (const task of tasks) if (page.has(task.id)) found.set(task.id, toWatchedTask(task));
      }
      return found;
    },

    async readQueues(ids, signal) {
      const wanted = new Set(ids);
      const { queues } = await client.call('queues.get_all_ex', { id: [...wanted] }, QueuesSchema, {
        isRepeatable: true,
        signal,
      });
      return new Map(
        queues.filter(({ id }) => wanted.has(id)).map((queue) => [queue.id, toQueueState(queue)]),
      );
    },

    async readMetrics(ids, signal) {
      const wanted = new Set(ids.slice(0, PAGE_SIZE));
      const { tasks } = await client.call(
        'tasks.get_all',
        { id: [...wanted], only_fields: ['id', 'last_metrics'], page: 0, page_size: PAGE_SIZE },
        MetricsSchema,
        { isRepeatable: true, signal },
      );
      return new Map(
        tasks
          .filter(({ id }) => wanted.has(id))
          .map(({ id, last_metrics }) => [
            id,
            Object.values(last_metrics)
              .flatMap((series) => Object.values(series))
              .map(({ metric, variant, value }) => ({ name: nameMetric(metric, variant), value })),
          ]),
      );
    },

    async readUserId(signal) {
      const { user } = await client.call('users.get_current_user', {}, UserSchema, {
        isRepeatable: true,
        signal,
      });
      return user.id;
    },
  };
}

function toWatchedTask(task: v.InferOutput<typeof TaskSchema>): WatchedTask {
  const runtime = Object.fromEntries(
    Object.entries(task.runtime).map(([name, value]) => [
      name,
      typeof value === 'string' ? value : JSON.stringify(value),
    ]),
  );
  return {
    id: task.id,
    name: task.name,
    status: task.status,
    statusReason: task.status_reason,
    statusMessage: task.status_message,
    startedAtMs: task.started,
    endedAtMs: task.completed,
    statusChangedAtMs: task.status_changed,
    lastUpdate: task.last_update,
    iteration: task.last_iteration,
    worker: task.last_worker,
    machine: runtime.hostname ?? runtime._exec_agent_hostname,
    projectId: task.project,
    queueId: task.execution.queue,
    workingDir: task.script.working_dir || '.',
    origin: { runtime, tags: task.tags, user: task.user },
  };
}

function toQueueState(queue: v.InferOutput<typeof QueuesSchema>['queues'][number]): QueueState {
  return {
    id: queue.id,
    name: queue.name,
    entries: queue.entries.map(({ task }) => (typeof task === 'string' ? task : task.id)),
    workers: queue.workers.map(({ name, task }) => ({ name, taskId: task?.id })),
  };
}
