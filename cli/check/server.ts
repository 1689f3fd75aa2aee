import * as v from 'valibot';
import type { ClearmlClient } from '../clearml/client.ts';
import {
  OptionalTextSchema,
  ServerTimeSchema,
  StatusSchema,
  TextSchema,
  TextsSchema,
} from '../clearml/fields.ts';
import { readQueues } from '../clearml/queues.ts';
import { nameMetric } from '../training/metrics.ts';
import type { WatchedTask } from '../training/task-life.ts';
import type { WatchServer } from './watch.ts';

/** The server caps a page silently at this many tasks (recordings 324-326). */
const PAGE_SIZE = 500;

const TaskSchema = v.object({
  id: v.string(),
  name: TextSchema,
  status: StatusSchema,
  status_reason: TextSchema,
  status_message: TextSchema,
  status_changed: ServerTimeSchema,
  started: ServerTimeSchema,
  completed: ServerTimeSchema,
  last_update: TextSchema,
  last_iteration: v.fallback(v.nullish(v.number(), 0), 0),
  last_worker: OptionalTextSchema,
  project: OptionalTextSchema,
  tags: TextsSchema,
  user: OptionalTextSchema,
  /** The agent and the SDK put numbers beside our own texts. */
  runtime: v.fallback(v.nullish(v.record(v.string(), v.unknown()), {}), {}),
  execution: v.optional(v.object({ queue: OptionalTextSchema }), {}),
  script: v.optional(v.object({ working_dir: TextSchema }), {}),
});

const TASK_FIELDS = [
  ...Object.keys(TaskSchema.entries).filter((field) => field !== 'execution' && field !== 'script'),
  'execution.queue',
  'script.working_dir',
];

const TasksSchema = v.object({ tasks: v.array(TaskSchema) });

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

    readQueues: (ids, signal) => readQueues(client, ids, { signal }),

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
