import { wrongStatus } from './clearml-error.ts';
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

/** A status change as an endpoint wants it. */
export interface StatusChange {
  readonly status: TaskStatus;
  readonly reason?: string | undefined;
  readonly message?: string | undefined;
  readonly force?: boolean | undefined;
  /** Other fields set in the same step and named in the reply. */
  readonly fields?: Readonly<Record<string, unknown>>;
}

/** What the status endpoints answer. */
export interface StatusReply {
  updated: number;
  fields: Record<string, unknown>;
}

/** Refuses a status that may not follow the task's (400/110). The same status again is allowed (recordings 131, 226, 239). */
export function checkStatusChange(task: TaskDocument, status: TaskStatus): void {
  if (status !== task.status && !successors[task.status].includes(status)) {
    throw wrongStatus({ current_status: task.status, new_status: status }, 'Invalid status change');
  }
}

/** Changes the status. Reason and message are overwritten in any case: so the agent's start-up erases a "stopping". */
export function changeStatus(store: Store, task: TaskDocument, change: StatusChange): StatusReply {
  if (!change.force) checkStatusChange(task, change.status);
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

/**
 * Takes the task out of its queues. A queued task becomes again what it was before it was enqueued (recordings 248, 270), a running one
 * as well: the server does not tell them apart; any other is left as it is (127).
 */
export function dequeueTask(
  store: Store,
  task: TaskDocument,
  change: { status?: TaskStatus | undefined; reason?: string | undefined; message?: string | undefined },
): StatusReply {
  removeFromAllQueues(store, task.id);
  if (task.status !== 'queued' && task.status !== 'in_progress') return { updated: 0, fields: {} };
  return changeStatus(store, task, {
    status: change.status ?? task.enqueue_status ?? 'created',
    reason: change.reason,
    message: change.message,
    force: true,
    fields: { enqueue_status: null },
  });
}

/** A task that a worker reported on within this time is stopped by the worker, not by the server. */
const workerTimeoutMs = 600_000;

/** Whether the server thinks that a worker runs the task. */
export function isRunByWorker(store: Store, task: TaskDocument): boolean {
  return task.last_worker !== undefined && store.nowMs() - Date.parse(task.last_update) < workerTimeoutMs;
}

/**
 * Stops a task: at once where no worker runs it, was queued, or is run by hand (recordings 224, 227); else only `status_message` becomes
 * "stopping", for the worker to see (315).
 */
export function stopTask(
  store: Store,
  task: TaskDocument,
  options: { reason?: string | undefined; force: boolean },
): StatusReply {
  const queued = task.status === 'queued';
  const atOnce = queued || task.system_tags.includes('development') || !isRunByWorker(store, task);
  if (atOnce && !options.force) checkStatusChange(task, 'stopped');
  if (queued) removeFromAllQueues(store, task.id);
  return changeStatus(store, task, {
    status: atOnce ? 'stopped' : task.status,
    reason: options.reason,
    message: atOnce ? `Stopped by ${user.name}` : 'stopping',
    force: options.force,
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
