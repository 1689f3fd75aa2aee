import { eachTask } from './clearml-batch.ts';
import { type Endpoint, type Endpoints, endpoint, steppedEndpoint } from './clearml-endpoint.ts';
import { ClearmlApiError, wrongStatus } from './clearml-error.ts';
import { type Data, flag, isObject, requiredText, requiredTexts } from './clearml-request.ts';
import type { Steps } from './clearml-steps.ts';
import {
  getTask,
  getWritableTasks,
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
  readReasons,
  removeFromAllQueues,
  type StatusReply,
  stopTask,
  touchProject,
  updateProgressTime,
} from './clearml-task-status.ts';

/** The task, and what its status was when the request read it. */
function* loadTask(store: Store, data: Data): Steps<{ task: TaskDocument; loaded: TaskStatus }> {
  const task = getTask(store, requiredText(data, 'task'));
  const loaded = task.status;
  yield { task: task.id, done: 'task loaded' };
  return { task, loaded };
}

/** tasks.failed and its like; `ends` sets the time of completion (recordings 232, 236, 245; not for `closed`, 249). */
function statusEndpoint(status: TaskStatus, ends: boolean): Endpoint {
  return steppedEndpoint([1, 0], function* ({ store, data }) {
    const { task, loaded } = yield* loadTask(store, data);
    const fields = ends ? { completed: timeText(store) } : {};
    return changeStatus(store, task, { status, loaded, ...readReasons(data), fields });
  });
}

function deleteEvents(store: Store, task: TaskDocument): void {
  store.events.delete(task.id);
}

function resetTask(store: Store, task: TaskDocument, force: boolean): StatusReply {
  if (task.status === 'published' && !force) throw wrongStatus({ task_id: task.id, status: task.status });
  if (!force) checkStatusChange(task.status, 'created');
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

/** Makes a completed task public. */
export function publishTask(
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
  // From any status that a run may follow, and from one that is already running; the first start stays.
  'tasks.started': steppedEndpoint([1, 0], function* ({ store, data }) {
    const id = requiredText(data, 'task');
    if (!store.tasks.has(id)) throw new ClearmlApiError(400, 10, 'Invalid object id', { task: 'None' });
    const { task, loaded } = yield* loadTask(store, data);
    const goesOn = loaded === 'in_progress' && task.started !== undefined;
    const reply = changeStatus(store, task, {
      status: 'in_progress',
      loaded,
      ...readReasons(data),
      ...(!goesOn && { fields: { started: timeText(store) } }),
    });
    if (!goesOn) for (const field of ['completed', 'active_duration']) delete task[field];
    return { ...reply, started: reply.updated };
  }),
  'tasks.ping': endpoint([1, 0], ({ store, data }) => {
    const task = getTask(store, requiredText(data, 'task'));
    updateProgressTime(store, task);
    return {};
  }),
  'tasks.stop': steppedEndpoint([1, 0], ({ store, data }) =>
    stopTask(store, getTask(store, requiredText(data, 'task')), readReasons(data)),
  ),
  'tasks.stop_many': steppedEndpoint([1, 0], function* ({ store, data }) {
    return yield* eachTask(requiredTexts(data, 'ids'), function* (id) {
      return { ...(yield* stopTask(store, getTask(store, id), readReasons(data))), stopped: true };
    });
  }),
  'tasks.stopped': statusEndpoint('stopped', true),
  'tasks.failed': statusEndpoint('failed', true),
  'tasks.close': statusEndpoint('closed', false),
  'tasks.completed': steppedEndpoint([2, 2], function* ({ store, data }) {
    const { task, loaded } = yield* loadTask(store, data);
    const change = readReasons(data);
    const publish = flag(data, 'publish');
    const completed = timeText(store);
    const reply = changeStatus(store, task, {
      status: 'completed',
      loaded,
      ...change,
      fields: { completed },
    });
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
    const children = [...store.tasks.values()].filter((child) => child.parent === task.id);
    for (const child of children) child.parent = `__DELETED__${task.id}`;
    store.tasks.delete(task.id);
    touchProject(store, task.project);
    return {
      deleted: true,
      updated_children: children.length,
      updated_models: 0,
      deleted_models: 0,
      urls: null,
    };
  }),
  // A queued task leaves its queues, a running one ends (recordings 268, 364, 365).
  'tasks.archive': steppedEndpoint([1, 0], function* ({ store, data }) {
    const tasks = getWritableTasks(store, requiredTexts(data, 'tasks'));
    const { reason, message } = readReasons(data);
    for (const task of tasks) {
      try {
        yield* dequeueTask(store, task, { reason, message, fromAllQueues: true, statusIfRunning: 'stopped' });
      } catch (error) {
        // Where another change came first, only the tag is set.
        if (!(error instanceof ClearmlApiError)) throw error;
      }
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
