import { eachTask } from './clearml-batch.ts';
import { type Endpoints, steppedEndpoint } from './clearml-endpoint.ts';
import { ClearmlApiError, invalidRequest } from './clearml-error.ts';
import { findQueueByName, getDefaultQueue, isWatched, notInQueue } from './clearml-queues.ts';
import { type Data, flag, optionalText, requiredText, requiredTexts } from './clearml-request.ts';
import type { Steps } from './clearml-steps.ts';
import { getQueue, getTask, insertQueue, type Store, type TaskStatus, timeText } from './clearml-store.ts';
import {
  changeStatus,
  dequeueTask,
  isTaskStatus,
  readReasons,
  removeFromAllQueues,
  type StatusReply,
} from './clearml-task-status.ts';

/** The queue that a request names; a name that nobody has makes a queue, without a word (recording 115). */
function resolveQueue(store: Store, data: Data): string {
  const name = optionalText(data, 'queue_name');
  if (name) return (findQueueByName(store, name) ?? insertQueue(store, name, [], [])).id;
  return optionalText(data, 'queue') || getDefaultQueue(store).id;
}

/** Adds an entry: first it is looked whether there is one (400/706), then it is pushed unless there is one (400/703). */
function* addEntry(store: Store, queueId: string, task: string): Steps<void> {
  const isIn = () => getQueue(store, queueId).entries.some((entry) => entry.task === task);
  if (isIn()) {
    throw new ClearmlApiError(400, 706, 'Failed adding task to queue since task is already queued', { task });
  }
  yield { task, done: 'entry looked for' };
  if (!store.queues.has(queueId) || isIn()) throw notInQueue(queueId, task);
  const queue = getQueue(store, queueId);
  queue.entries.push({ task, added: timeText(store) });
  queue.last_update = timeText(store);
}

/**
 * Puts a task into a queue, and out of all others, in the steps of `enqueue_task` in clearml-server 2.3.0
 * (apiserver/bll/task/task_operations.py): the status is compared and set, the entry added, and where that fails the status set back to
 * what this request had loaded, whatever another has done since. So a task can end `created` with its id in the queue (recordings 118,
 * 327-331).
 */
function* enqueueTask(store: Store, taskId: string, data: Data): Steps<StatusReply> {
  if (optionalText(data, 'queue') && optionalText(data, 'queue_name')) {
    throw invalidRequest('Either queue id or queue name should be provided');
  }
  const task = getTask(store, taskId);
  const { status: loaded, enqueue_status: before, execution } = task;
  const keepsQueue = !flag(data, 'update_execution_queue', true);
  if (keepsQueue && (loaded !== 'queued' || !execution.queue)) {
    throw invalidRequest(
      'Cannot skip setting execution queue for a task that is not enqueued or does not have execution queue set',
    );
  }
  const queueId = resolveQueue(store, data);
  yield { task: taskId, done: 'task loaded' };
  const reply = changeStatus(store, task, {
    status: 'queued',
    ...readReasons(data),
    loaded,
    fields: { enqueue_status: (loaded === 'queued' && before) || loaded },
  });
  yield { task: taskId, done: 'status set' };
  try {
    yield* addEntry(store, queueId, taskId);
  } catch (error) {
    changeStatus(store, task, {
      status: loaded,
      reason: 'failed enqueueing',
      force: true,
      loaded: 'queued',
      fields: { enqueue_status: null },
    });
    throw error;
  }
  yield { task: taskId, done: 'entry pushed' };
  if (!keepsQueue) {
    task.execution = { ...task.execution, queue: queueId };
    reply.fields['execution.queue'] = queueId;
  }
  removeFromAllQueues(store, taskId, queueId);
  return reply;
}

/** Whether a worker serves the queue that a task was put into, where that was asked. */
function readWatched(store: Store, data: Data, reply: { fields?: unknown } | undefined) {
  const queue = (reply?.fields as StatusReply['fields'] | undefined)?.['execution.queue'];
  if (!flag(data, 'verify_watched_queue') || typeof queue !== 'string') return {};
  return { queue_watched: isWatched(store, queue) };
}

function readDequeuing(data: Data) {
  const { reason, message } = readReasons(data);
  const status = optionalText(data, 'new_status');
  if (status && !isTaskStatus(status)) throw invalidRequest(`Invalid task status: ${status}`);
  return {
    status: (status || undefined) as TaskStatus | undefined,
    reason,
    message,
    fromAllQueues: flag(data, 'remove_from_all_queues'),
  };
}

/** An unknown id counts as dequeued, and goes out of every queue (recording 270). */
function* dequeueById(store: Store, id: string, data: Data): Steps<StatusReply> {
  const change = readDequeuing(data);
  const task = store.tasks.get(id);
  if (task) return yield* dequeueTask(store, task, change);
  removeFromAllQueues(store, id);
  return { updated: 0, fields: {} };
}

/** What puts tasks into queues and takes them out. */
export const taskQueueEndpoints: Endpoints = {
  'tasks.enqueue': steppedEndpoint([1, 0], function* ({ store, data }) {
    const taskId = requiredText(data, 'task');
    if (flag(data, 'verify_watched_queue') && !flag(data, 'update_execution_queue', true)) {
      throw invalidRequest('verify_watched_queue cannot be used with update_execution_queue=False');
    }
    const reply = yield* enqueueTask(store, taskId, data);
    return { fields: reply.fields, ...readWatched(store, data, reply), queued: 1, updated: reply.updated };
  }),
  'tasks.enqueue_many': steppedEndpoint([1, 0], function* ({ store, data }) {
    const given = { ...data, update_execution_queue: true };
    const reply = yield* eachTask(requiredTexts(data, 'ids'), function* (id) {
      return { ...(yield* enqueueTask(store, id, given)), queued: true };
    });
    return { ...reply, ...readWatched(store, data, reply.succeeded[0]) };
  }),
  // The agent takes a task out of its queue this way and keeps it running (clients/agent/tasks.dequeue.json).
  'tasks.dequeue': steppedEndpoint([1, 0], function* ({ store, data }) {
    return { dequeued: 1, ...(yield* dequeueById(store, requiredText(data, 'task'), data)) };
  }),
  'tasks.dequeue_many': steppedEndpoint([1, 0], function* ({ store, data }) {
    return yield* eachTask(requiredTexts(data, 'ids'), function* (id) {
      return { dequeued: true, ...(yield* dequeueById(store, id, data)) };
    });
  }),
};
