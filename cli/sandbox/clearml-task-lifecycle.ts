import { type Endpoint, type Endpoints, endpoint } from './clearml-endpoint.ts';
import { ClearmlApiError, invalidRequest, wrongStatus } from './clearml-error.ts';
import { findQueueByName, getDefaultQueue, isWatched } from './clearml-queues.ts';
import { type Data, flag, isObject, optionalText, requiredText, requiredTexts } from './clearml-request.ts';
import {
  getQueue,
  getTask,
  getTasks,
  insertQueue,
  type Store,
  type TaskDocument,
  type TaskStatus,
  timeText,
  user,
} from './clearml-store.ts';
import {
  changeStatus,
  checkStatusChange,
  dequeueTask,
  removeFromAllQueues,
  type StatusReply,
  stopTask,
  touchProject,
  updateProgressTime,
} from './clearml-task-status.ts';

/** What most status endpoints read. */
function readReasons(data: Data) {
  return {
    reason: optionalText(data, 'status_reason'),
    message: optionalText(data, 'status_message'),
    force: flag(data, 'force'),
  };
}

/** tasks.failed and its like; `ends` sets the time of completion (recordings 232, 236, 245; not for `closed`, 249). */
function statusEndpoint(status: TaskStatus, ends: boolean): Endpoint {
  return endpoint([1, 0], ({ store, data }) =>
    changeStatus(store, getTask(store, requiredText(data, 'task')), {
      status,
      ...readReasons(data),
      ...(ends && { fields: { completed: timeText(store) } }),
    }),
  );
}

/** Tasks of which some may fail: failures are listed, not thrown (recordings 269, 270). */
function eachTask(ids: readonly string[], change: (id: string) => Record<string, unknown>) {
  const succeeded: Record<string, unknown>[] = [];
  const failed: Record<string, unknown>[] = [];
  for (const id of ids) {
    try {
      succeeded.push({ id, ...change(id) });
    } catch (error) {
      if (!(error instanceof ClearmlApiError)) throw error;
      const { code, subcode, message, details } = error;
      failed.push({ id, error: { codes: [code, subcode], msg: message, data: details } });
    }
  }
  return { failed, succeeded };
}

/** The queue that a request names; a name that nobody has makes a queue, without a word (recording 115). */
function resolveQueue(store: Store, data: Data): string {
  const id = optionalText(data, 'queue');
  const name = optionalText(data, 'queue_name');
  if (id && name) throw invalidRequest('Either queue id or queue name should be provided');
  if (name) return (findQueueByName(store, name) ?? insertQueue(store, name, [], [])).id;
  return id || getDefaultQueue(store).id;
}

/** Puts a task into a queue, and out of all others. Where that fails the task keeps a trace of the attempt (recording 118). */
function enqueueTask(store: Store, taskId: string, queueId: string, data: Data): StatusReply {
  const task = getTask(store, taskId);
  const before = task.status;
  const reply = changeStatus(store, task, {
    status: 'queued',
    ...readReasons(data),
    fields: { enqueue_status: before },
  });
  try {
    const queue = getQueue(store, queueId);
    if (queue.entries.some((entry) => entry.task === task.id)) {
      throw new ClearmlApiError(400, 706, 'Failed adding task to queue since task is already queued', {
        task: task.id,
      });
    }
    removeFromAllQueues(store, task.id, queue.id);
    queue.entries.push({ task: task.id, added: timeText(store) });
    queue.last_update = timeText(store);
  } catch (error) {
    changeStatus(store, task, {
      status: before,
      reason: 'failed enqueueing',
      force: true,
      fields: { enqueue_status: null },
    });
    throw error;
  }
  task.execution = { ...task.execution, queue: queueId };
  return { updated: reply.updated, fields: { ...reply.fields, 'execution.queue': queueId } };
}

function deleteEvents(store: Store, task: TaskDocument): void {
  store.events.delete(task.id);
}

function resetTask(store: Store, task: TaskDocument, force: boolean): StatusReply {
  if (task.status === 'published' && !force) throw wrongStatus({ task_id: task.id, status: task.status });
  if (!force) checkStatusChange(task, 'created');
  removeFromAllQueues(store, task.id);
  deleteEvents(store, task);
  const reply = changeStatus(store, task, { status: 'created', reason: 'reset', message: 'reset', force });
  for (const field of ['started', 'completed', 'published', 'active_duration', 'enqueue_status'])
    delete task[field];
  for (const field of ['last_worker', 'last_worker_report']) delete task[field];
  const { queue: _queue, ...execution } = task.execution;
  const artifacts = Array.isArray(execution.artifacts) ? execution.artifacts : [];
  Object.assign(task, {
    last_iteration: 0,
    last_metrics: {},
    metric_stats: {},
    runtime: {},
    models: { ...task.models, output: [] },
    execution: {
      ...execution,
      artifacts: artifacts.filter((item) => isObject(item) && item.mode === 'input'),
    },
  });
  return reply;
}

function publishTask(
  store: Store,
  task: TaskDocument,
  options: { reason?: string | undefined; message?: string | undefined; force: boolean },
): StatusReply {
  return changeStatus(store, task, {
    status: 'published',
    ...options,
    fields: { published: timeText(store), output: task.output },
  });
}

/** What changes a task's status, or ends it. */
export const taskLifecycleEndpoints: Endpoints = {
  'tasks.enqueue': endpoint([1, 0], ({ store, data }) => {
    const taskId = requiredText(data, 'task');
    const queueId = resolveQueue(store, data);
    const { updated, fields } = enqueueTask(store, taskId, queueId, data);
    return {
      fields,
      ...(flag(data, 'verify_watched_queue') && { queue_watched: isWatched(store, queueId) }),
      queued: 1,
      updated,
    };
  }),
  'tasks.enqueue_many': endpoint([1, 0], ({ store, data }) => {
    const ids = requiredTexts(data, 'ids');
    const queueId = resolveQueue(store, data);
    const reply = eachTask(ids, (id) => ({ ...enqueueTask(store, id, queueId, data), queued: true }));
    return {
      ...reply,
      ...(flag(data, 'verify_watched_queue') && { queue_watched: isWatched(store, queueId) }),
    };
  }),
  'tasks.dequeue': endpoint([1, 0], ({ store, data }) => {
    const task = getTask(store, requiredText(data, 'task'));
    // The agent takes a task out of its queue this way and keeps it running (clients/agent/tasks.dequeue.json).
    const status = optionalText(data, 'new_status') as TaskStatus | undefined;
    return { dequeued: 1, ...dequeueTask(store, task, { status, ...readReasons(data) }) };
  }),
  'tasks.dequeue_many': endpoint([1, 0], ({ store, data }) =>
    eachTask(requiredTexts(data, 'ids'), (id) => {
      const task = store.tasks.get(id);
      // An unknown id counts as dequeued (recording 270).
      const reply = task ? dequeueTask(store, task, readReasons(data)) : { updated: 0, fields: {} };
      return { dequeued: true, ...reply };
    }),
  ),
  'tasks.started': endpoint([1, 0], ({ store, data }) => {
    const task = getTask(store, requiredText(data, 'task'));
    const reply = changeStatus(store, task, {
      status: 'in_progress',
      ...readReasons(data),
      ...(task.started === undefined && { fields: { started: timeText(store) } }),
    });
    return { ...reply, started: reply.updated };
  }),
  'tasks.ping': endpoint([1, 0], ({ store, data }) => {
    const task = getTask(store, requiredText(data, 'task'));
    updateProgressTime(store, task);
    return {};
  }),
  'tasks.stop': endpoint([1, 0], ({ store, data }) =>
    stopTask(store, getTask(store, requiredText(data, 'task')), readReasons(data)),
  ),
  'tasks.stop_many': endpoint([1, 0], ({ store, data }) =>
    eachTask(requiredTexts(data, 'ids'), (id) => ({
      ...stopTask(store, getTask(store, id), readReasons(data)),
      stopped: true,
    })),
  ),
  'tasks.stopped': statusEndpoint('stopped', true),
  'tasks.failed': statusEndpoint('failed', true),
  'tasks.close': statusEndpoint('closed', false),
  'tasks.completed': endpoint([2, 2], ({ store, data }) => {
    const task = getTask(store, requiredText(data, 'task'));
    const change = readReasons(data);
    const publish = flag(data, 'publish');
    const completed = timeText(store);
    const reply = changeStatus(store, task, { status: 'completed', ...change, fields: { completed } });
    if (!publish) return { ...reply, published: 0 };
    publishTask(store, task, { force: true });
    return { fields: { ...reply.fields, status: 'published' }, published: 1, updated: 1 };
  }),
  'tasks.publish': endpoint([1, 0], ({ store, data }) =>
    publishTask(store, getTask(store, requiredText(data, 'task')), readReasons(data)),
  ),
  'tasks.reset': endpoint([1, 0], ({ store, data }) => {
    const task = getTask(store, requiredText(data, 'task'));
    const { fields, updated } = resetTask(store, task, flag(data, 'force'));
    return { deleted_models: 0, dequeued: {}, events: {}, fields, updated, urls: {} };
  }),
  'tasks.delete': endpoint([1, 0], ({ store, data }) => {
    const task = getTask(store, requiredText(data, 'task'));
    if (task.status !== 'created' && !task.system_tags.includes('archived') && !flag(data, 'force')) {
      throw new ClearmlApiError(400, 123, 'Task cannot be deleted (due to status, use force=True)', {
        task: task.id,
        expected: 'created',
        current: task.status,
      });
    }
    removeFromAllQueues(store, task.id);
    deleteEvents(store, task);
    store.tasks.delete(task.id);
    touchProject(store, task.project);
    return { deleted: true, updated_children: 0, updated_models: 0, deleted_models: 0, urls: null };
  }),
  'tasks.archive': endpoint([1, 0], ({ store, data }) => {
    const tasks = getTasks(store, requiredTexts(data, 'tasks'));
    for (const task of tasks) {
      const { reason, message } = readReasons(data);
      dequeueTask(store, task, { reason, message });
      Object.assign(task, {
        status_message: message ?? '',
        status_reason: reason ?? '',
        system_tags: [...new Set([...task.system_tags, 'archived'])].sort(),
        last_change: timeText(store),
        last_changed_by: user.id,
      });
    }
    return { archived: tasks.length };
  }),
};
