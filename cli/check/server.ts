import * as v from 'valibot';
import type { ClearmlClient } from '../clearml/client.ts';
import { mendDrafts } from '../clearml/enqueue.ts';
import { PAGE_SIZE } from '../clearml/fields.ts';
import { readQueues } from '../clearml/queues.ts';
import { listMetrics, readParams, readTasks, type TaskOf } from '../clearml/tasks.ts';
import { readSteps } from '../training/steps.ts';
import type { WatchedTask } from '../training/task-life.ts';
import type { WatchServer } from './watch.ts';

/** What a watch reads of a task. */
export const WATCHED_FIELDS = [
  'name',
  'status',
  'status_reason',
  'status_message',
  'status_changed',
  'started',
  'completed',
  'last_update',
  'last_iteration',
  'last_worker',
  'project',
  'tags',
  'system_tags',
  'user',
  'runtime',
  'hyperparams',
  'execution.queue',
  'script.working_dir',
  'configuration.Pipeline',
] as const;

const UserSchema = v.object({ user: v.object({ id: v.string() }) });

/** What watching asks of ClearML, over its REST API. */
export function createWatchServer(client: ClearmlClient): WatchServer {
  return {
    async readTasks(ids, signal) {
      const tasks = await readTasks(client, ids, WATCHED_FIELDS, { signal });
      return new Map([...tasks].map(([id, task]) => [id, toWatchedTask(task)]));
    },

    readQueues: (ids, signal) => readQueues(client, ids, { signal }),

    mendDrafts: (ids, signal) => mendDrafts(client, ids, { signal }),

    async readMetrics(ids, signal) {
      // Nobody reads the values of more tasks than a page holds.
      const tasks = await readTasks(client, ids.slice(0, PAGE_SIZE), ['last_metrics'], { signal });
      return new Map(
        [...tasks].map(([id, task]) => [
          id,
          listMetrics(task.last_metrics).map(({ name, last }) => ({ name, value: last })),
        ]),
      );
    },

    async readUserId(signal) {
      const options = { isRepeatable: true, signal };
      const { user } = await client.call('users.get_current_user', {}, UserSchema, options);
      return user.id;
    },
  };
}

/** A task as a watch sees it. */
export function toWatchedTask(task: TaskOf<(typeof WATCHED_FIELDS)[number]>): WatchedTask {
  const { runtime } = task;
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
    held: readParams(task.hyperparams),
    steps: readSteps(task.configuration),
    isArchived: task.system_tags.includes('archived'),
    origin: { runtime, tags: task.tags, user: task.user },
  };
}
