import { compareVersions, type Endpoints, endpoint } from './clearml-endpoint.ts';
import { ClearmlApiError, invalidDocument } from './clearml-error.ts';
import { queueCollection } from './clearml-fields.ts';
import { findDocuments, projectDocument, requestedFields } from './clearml-query.ts';
import { type Data, flag, optionalText, optionalTexts, requiredText } from './clearml-request.ts';
import { company, getQueue, insertQueue, type QueueDocument, type Store, timeText } from './clearml-store.ts';
import { changeStatus, removeFromQueue } from './clearml-task-status.ts';
import { liveWorkers } from './clearml-workers.ts';

/** The queue of this very name, if there is one. */
export function findQueueByName(store: Store, name: string): QueueDocument | undefined {
  for (const queue of store.queues.values()) if (queue.name === name) return queue;
  return undefined;
}

/** 400/703: the queue is not there, or it has no entry of the task, or has one where none should be (recording 328). */
export function notInQueue(id: string, task: string): ClearmlApiError {
  return new ClearmlApiError(400, 703, 'Invalid queue id or task not in queue', {
    task,
    id,
    company: company.id,
  });
}

/** The queue tagged `default` (400/707 and 400/708 are from the server's apierrors/errors.conf). */
export function getDefaultQueue(store: Store): QueueDocument {
  const queues = [...store.queues.values()].filter((queue) => queue.system_tags.includes('default'));
  if (queues.length > 1) {
    const ids = queues.map((queue) => queue.id).join(', ');
    throw new ClearmlApiError(
      400,
      708,
      'More than one queue is tagged as the default queue for this company',
      { queues: `(${ids})` },
    );
  }
  const queue = queues[0];
  if (!queue) throw new ClearmlApiError(400, 707, 'No queue is tagged as the default queue for this company');
  return queue;
}

/** Whether a worker that is alive serves the queue (`verify_watched_queue`, recordings 124 and 308). */
export function isWatched(store: Store, queueId: string): boolean {
  return liveWorkers(store).some((worker) => worker.queues.includes(queueId));
}

function findQueues(store: Store, data: Data) {
  return findDocuments(queueCollection, store.queues.values(), data, store.scrollPositions);
}

/** A queue with its tasks' names and the workers that serve it (recordings 066, 311). */
function queueInfo(store: Store, queue: QueueDocument): Record<string, unknown> {
  return {
    ...queue,
    company: { id: company.id },
    entries: queue.entries.map(({ task, added }) => {
      const name = store.tasks.get(task)?.name;
      return { added, task: name === undefined ? { id: task } : { id: task, name } };
    }),
    workers: liveWorkers(store)
      .filter((worker) => worker.queues.includes(queue.id))
      .map(({ id, ip, key, task }) => ({ name: id, ip, key, task: task ?? null })),
  };
}

export const queueEndpoints: Endpoints = {
  'queues.create': endpoint([2, 4], ({ store, data }) => {
    const name = requiredText(data, 'name');
    if (name.length < 3) throw invalidDocument('name', 'String value is too short');
    if (findQueueByName(store, name)) {
      throw new ClearmlApiError(
        400,
        801,
        'Value combination already exists (unique field already contains this value)',
        { name, company: company.id },
      );
    }
    const queue = insertQueue(store, name, optionalTexts(data, 'tags'), optionalTexts(data, 'system_tags'));
    return { id: queue.id };
  }),
  'queues.get_all': endpoint([2, 4], ({ store, data, version }) => {
    const { documents, scrollId } = findQueues(store, data);
    // Metadata was a list before it became a map (clients/agent/queues.get_all.json, version 2.5).
    const legacy = compareVersions(version, [2, 13]) < 0;
    const queues = documents.map((queue) => {
      const view = projectDocument(queueCollection, queue, requestedFields(data));
      return legacy && 'metadata' in view ? { ...view, metadata: [] } : view;
    });
    return { queues, ...(scrollId !== undefined && { scroll_id: scrollId }) };
  }),
  'queues.get_all_ex': endpoint([2, 4], ({ store, data }) => {
    const { documents, scrollId } = findQueues(store, data);
    const queues = documents.map((queue) => queueInfo(store, queue as QueueDocument));
    return { queues, ...(scrollId !== undefined && { scroll_id: scrollId }) };
  }),
  'queues.get_by_id': endpoint([2, 4], ({ store, data }) => ({
    queue: getQueue(store, requiredText(data, 'queue')),
  })),
  'queues.get_default': endpoint([2, 4], ({ store }) => {
    const { id, name } = getDefaultQueue(store);
    return { id, name };
  }),
  // The task stays `queued`: the worker says itself that it has started it.
  'queues.get_next_task': endpoint([1, 0], ({ store, data }) => {
    const queue = getQueue(store, requiredText(data, 'queue'));
    const wanted = optionalText(data, 'task');
    const [entry] = queue.entries;
    if (!entry || (wanted !== undefined && entry.task !== wanted)) return {};
    queue.entries = queue.entries.slice(1);
    queue.last_update = timeText(store);
    return { entry };
  }),
  // Takes out the entry alone; the task's status follows only where that is asked for (recordings 336, 337).
  'queues.remove_task': endpoint([2, 4], ({ store, data }) => {
    const id = requiredText(data, 'queue');
    const taskId = requiredText(data, 'task');
    const queue = store.queues.get(id);
    if (!queue || !removeFromQueue(store, queue, taskId)) throw notInQueue(id, taskId);
    const task = store.tasks.get(taskId);
    if (flag(data, 'update_task_status') && task?.execution.queue === id) {
      changeStatus(store, task, {
        status: task.enqueue_status ?? 'created',
        reason: `Task was removed from the queue ${id}`,
        force: true,
        fields: { enqueue_status: null },
      });
      const { queue: _queue, ...execution } = task.execution;
      task.execution = execution;
    }
    return { removed: 1 };
  }),
};
