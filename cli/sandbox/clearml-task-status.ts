import { ClearmlApiError, wrongStatus } from './clearml-error.ts';
import { type Data, flag, optionalText } from './clearml-request.ts';
import type { Steps } from './clearml-steps.ts';
import {
  type QueueDocument,
  type Store,
  type TaskDocument,
  type TaskStatus,
  timeText,
  user,
} from './clearml-store.ts';

/** Which statuses may follow which, without `force` (recordings 133, 229, 234, 243, 247, 251, 255, 257, 265). */
const successors: Readonly<Record<TaskStatus, readonly TaskStatus[]>> = {
  created: ['queued', 'in_progress'],
  queued: ['created', 'in_progress', 'stopped'],
  in_progress: ['stopped', 'failed', 'created', 'completed'],
  stopped: ['closed', 'created', 'failed', 'queued', 'in_progress', 'published', 'publishing', 'completed'],
  closed: ['created', 'failed', 'published', 'publishing', 'stopped'],
  failed: ['created', 'stopped', 'published', 'queued'],
  publishing: ['published'],
  published: [],
  completed: ['published', 'in_progress', 'created'],
  unknown: [],
};

/** Whether a text is one of the ten statuses. */
export function isTaskStatus(text: string): text is TaskStatus {
  return Object.hasOwn(successors, text);
}

/** A status change as an endpoint wants it. */
export interface StatusChange {
  readonly status: TaskStatus;
  readonly reason?: string | undefined;
  readonly message?: string | undefined;
  readonly force?: boolean | undefined;
  /** What the status was when the request read the task; default: what it is now. */
  readonly loaded?: TaskStatus | undefined;
  /** Other fields set in the same step and named in the reply. */
  readonly fields?: Readonly<Record<string, unknown>>;
}

/** What most status endpoints read. */
export function readReasons(data: Data) {
  return {
    reason: optionalText(data, 'status_reason'),
    message: optionalText(data, 'status_message'),
    force: flag(data, 'force'),
  };
}

/** What the status endpoints answer. */
export interface StatusReply {
  updated: number;
  fields: Record<string, unknown>;
}

/** Refuses a status that may not follow another (400/110). The same status again is allowed (recordings 131, 226, 239). */
export function checkStatusChange(from: TaskStatus, to: TaskStatus): void {
  if (to !== from && !successors[from].includes(to)) {
    throw wrongStatus({ current_status: from, new_status: to }, 'Invalid status change');
  }
}

/**
 * Changes the status, where it is still the one that the request had loaded (else 400/121, with `force` too: recordings 327, 339, 340).
 * Reason and message are overwritten in any case: so the agent's start-up erases a "stopping".
 */
export function changeStatus(store: Store, task: TaskDocument, change: StatusChange): StatusReply {
  const loaded = change.loaded ?? task.status;
  if (!change.force) checkStatusChange(loaded, change.status);
  if (task.status !== loaded || !store.tasks.has(task.id)) {
    throw new ClearmlApiError(
      400,
      121,
      'Failed changing task status. probably someone changed it before you',
      { task_id: task.id, current_status: loaded, new_status: change.status },
    );
  }
  const now = timeText(store);
  const fields: Record<string, unknown> = {
    status: change.status,
    status_reason: change.reason ?? '',
    status_message: change.message ?? '',
    status_changed: now,
    last_update: now,
    last_change: now,
    last_changed_by: user.id,
    ...change.fields,
  };
  Object.assign(task, fields);
  if (change.status === 'queued') {
    task.system_tags = task.system_tags.filter((tag) => tag !== 'development');
  }
  touchProject(store, task.project);
  return { updated: 1, fields };
}

/** A project's last_update moves with what happens in it. */
export function touchProject(store: Store, projectId: string | undefined): void {
  const project = projectId === undefined ? undefined : store.projects.get(projectId);
  if (project) project.last_update = timeText(store);
}

/** Takes a task out of a queue; false where it was not in it. */
export function removeFromQueue(store: Store, queue: QueueDocument, taskId: string): boolean {
  const entries = queue.entries.filter((entry) => entry.task !== taskId);
  if (entries.length === queue.entries.length) return false;
  queue.entries = entries;
  queue.last_update = timeText(store);
  return true;
}

/** Takes a task out of all queues but one. */
export function removeFromAllQueues(store: Store, taskId: string, exceptQueueId?: string): void {
  for (const queue of store.queues.values()) {
    if (queue.id !== exceptQueueId) removeFromQueue(store, queue, taskId);
  }
}

/** Takes a queued task out of the queue that it names, where it is in there. */
function removeFromOwnQueue(store: Store, taskId: string, loaded: TaskStatus, queueId: unknown): void {
  const queue = loaded === 'queued' ? store.queues.get(String(queueId)) : undefined;
  if (queue) removeFromQueue(store, queue, taskId);
}

/** How a task is dequeued. */
export interface Dequeuing {
  readonly status?: TaskStatus | undefined;
  /** What a running task becomes, in place of `status`. */
  readonly statusIfRunning?: TaskStatus | undefined;
  readonly reason?: string | undefined;
  readonly message?: string | undefined;
  readonly fromAllQueues?: boolean | undefined;
}

/**
 * Takes a queued task out of its queue. It becomes again what it was before it was enqueued (recordings 248, 270), a running one as well:
 * the server does not tell them apart. Any other is left as it is, and so is its entry in a queue (127, 334, 335).
 */
export function* dequeueTask(store: Store, task: TaskDocument, change: Dequeuing): Steps<StatusReply> {
  const { status: loaded, enqueue_status: before, execution } = task;
  yield { task: task.id, done: 'task loaded' };
  removeFromOwnQueue(store, task.id, loaded, execution.queue);
  if (change.fromAllQueues) removeFromAllQueues(store, task.id);
  if (loaded !== 'queued' && loaded !== 'in_progress') return { updated: 0, fields: {} };
  yield { task: task.id, done: 'entry removed' };
  const ifRunning = loaded === 'in_progress' ? change.statusIfRunning : undefined;
  return changeStatus(store, task, {
    status: ifRunning ?? change.status ?? before ?? 'created',
    reason: change.reason,
    message: change.message,
    force: true,
    loaded,
    fields: { enqueue_status: null },
  });
}

/** A task that a worker reported on within this time is stopped by the worker, not by the server. */
const workerTimeoutMs = 600_000;

/** Whether the server thinks that a worker runs the task. */
function isRunByWorker(store: Store, task: TaskDocument): boolean {
  return task.last_worker !== undefined && store.nowMs() - Date.parse(task.last_update) < workerTimeoutMs;
}

/**
 * Stops a task: at once where no worker runs it, was queued, or is run by hand (recordings 224, 227); else only `status_message` becomes
 * "stopping", for the worker to see (315). Its children go on (366-370).
 */
export function* stopTask(
  store: Store,
  task: TaskDocument,
  options: { reason?: string | undefined; force: boolean },
): Steps<StatusReply> {
  const { status: loaded, execution } = task;
  const queued = loaded === 'queued';
  const atOnce = queued || task.system_tags.includes('development') || !isRunByWorker(store, task);
  yield { task: task.id, done: 'task loaded' };
  removeFromOwnQueue(store, task.id, loaded, execution.queue);
  if (queued) yield { task: task.id, done: 'entry removed' };
  return changeStatus(store, task, {
    status: atOnce ? 'stopped' : loaded,
    reason: options.reason,
    message: atOnce ? `Stopped by ${user.name}` : 'stopping',
    force: options.force,
    loaded,
  });
}

const silenceLimitMs = 2 * 60 * 60 * 1000;
const forcedStop = 'Forced stop (non-responsive)';

/** The server's watchdog: ends running tasks that nobody has updated for two hours. */
export function stopSilentTasks(store: Store): void {
  const now = store.nowMs();
  for (const task of store.tasks.values()) {
    if (task.status !== 'in_progress' || now - Date.parse(task.last_update) < silenceLimitMs) continue;
    const completed = task.last_update;
    changeStatus(store, task, {
      status: 'stopped',
      reason: forcedStop,
      message: forcedStop,
      force: true,
      fields: { completed },
    });
  }
}

/** Notes who changed a task, and when. */
export function markChanged(store: Store, task: TaskDocument): void {
  const now = timeText(store);
  Object.assign(task, { last_update: now, last_change: now, last_changed_by: user.id });
}

/** Notes a sign of life; a running task's active duration (whole seconds) grows with it. */
export function updateProgressTime(store: Store, task: TaskDocument): void {
  markChanged(store, task);
  if (task.status === 'in_progress' && task.started !== undefined) {
    task.active_duration = Math.floor((store.nowMs() - Date.parse(task.started)) / 1000);
  }
}
