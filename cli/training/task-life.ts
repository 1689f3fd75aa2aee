import { EXIT_CODES, type ExitCode } from '../shell/failure.ts';
import { type Ending, readEnding } from './ending.ts';
import { findMoveTimeoutMs, readPodState } from './kubernetes.ts';
import type { TaskOrigin } from './ownership.ts';
import type { TaskParam } from './params/arrival.ts';
import type { PipelineStep } from './steps.ts';
import { isEnded, isSuccess, RESET_REASON, type TaskStatus } from './task.ts';

/** What one look at a task shows. Times in ms since 1970, by the server's clock. */
export interface WatchedTask {
  readonly id: string;
  readonly name: string;
  readonly status: TaskStatus;
  readonly statusReason: string;
  readonly statusMessage: string;
  readonly startedAtMs: number | undefined;
  readonly endedAtMs: number | undefined;
  readonly statusChangedAtMs: number | undefined;
  /** Another text whenever the task has reported anything, console lines included. */
  readonly lastUpdate: string;
  readonly iteration: number;
  /** Worker that runs it or ran it: `machine:gpu:0`. */
  readonly worker: string | undefined;
  /** Host name of the machine. */
  readonly machine: string | undefined;
  readonly projectId: string | undefined;
  readonly queueId: string | undefined;
  /** Folder of the repository that the program runs in. */
  readonly workingDir: string;
  /** Its params, as the training left them. */
  readonly held?: readonly TaskParam[];
  /** Of a pipeline's controller. */
  readonly steps?: readonly PipelineStep[];
  /** Archiving takes a task out of its queue, and stops one that runs. */
  readonly isArchived?: boolean;
  readonly origin: TaskOrigin;
}

/** Why the wait for a task is over. */
export type EndReason =
  | 'succeeded'
  | 'failed'
  /** The server stopped it because its worker was silent, or its agent was shut down. */
  | 'worker-lost'
  | 'stopped'
  | 'closed'
  | 'archived'
  /** Somebody took it out of the queue. */
  | 'dequeued'
  /** Somebody reset it. */
  | 'reset'
  | 'deleted'
  /** It stayed a draft: nobody has put it into a queue. */
  | 'draft'
  | 'queue-timeout'
  | 'timeout';

/** The exit code that each end asks for. */
export const EXIT_CODE_BY_END: Readonly<Record<EndReason, ExitCode>> = {
  succeeded: EXIT_CODES.done,
  failed: EXIT_CODES.failed,
  'worker-lost': EXIT_CODES.failed,
  stopped: EXIT_CODES.stopped,
  closed: EXIT_CODES.stopped,
  archived: EXIT_CODES.stopped,
  dequeued: EXIT_CODES.stopped,
  reset: EXIT_CODES.stopped,
  deleted: EXIT_CODES.stopped,
  draft: EXIT_CODES.neverStarted,
  'queue-timeout': EXIT_CODES.neverStarted,
  timeout: EXIT_CODES.timeout,
};

/** The exit code of several ends: the first of 3, 4, 7, 124, 0 that occurs. */
export function combineEnds(ends: readonly EndReason[]): ExitCode {
  const { failed, stopped, neverStarted, timeout, done } = EXIT_CODES;
  const codes = new Set(ends.map((reason) => EXIT_CODE_BY_END[reason]));
  return [failed, stopped, neverStarted, timeout].find((code) => codes.has(code)) ?? done;
}

/** How long each wait may last, in ms. */
export interface Limits {
  readonly timeoutMs: number;
  readonly queueTimeoutMs: number;
}

/** A draft that nobody puts into a queue for this long was never meant to run. */
const DRAFT_TIMEOUT_MS = 60_000;

/** Phases of a task that is not over. A `draft` is not in a queue yet. */
export type WaitingPhase = 'draft' | 'queued' | 'running';

/** A task as the watch knows it. Changes with each look. */
export interface TaskLife {
  readonly id: string;
  /** As last seen; undefined before the first look. */
  task: WatchedTask | undefined;
  phase: WaitingPhase;
  /** When we first saw it in this phase, by our clock. */
  phaseSinceMs: number;
  /** When we first saw it running, by our clock. */
  runningSinceMs: number | undefined;
  /** How long it has waited in the queue although a worker was free, or because none served the queue. */
  queueWaitMs: number;
  /** When the queue was last read, and whether a worker was free then, or none served it. */
  queueSample: { readonly atMs: number; readonly isOpen: boolean } | undefined;
  /** What Kubernetes says of the pod that it waits for, empty where that is nothing; undefined: it waits for none. */
  pod: string | undefined;
  /** How often we know it to have been enqueued again because its worker was lost. */
  retries: number;
  /** Since when it has been stopped on its way to another queue. */
  movesSinceMs: number | undefined;
  /** Whether it has been more than a draft. */
  wasEnqueued: boolean;
  /** Looks in a row that did not show it, or showed it as a draft again: once could be a passing state. */
  doubts: number;
  end: EndReason | undefined;
}

/** The life of a task that has not been looked at yet; `nowMs` is our clock, in milliseconds. */
export function beginLife(id: string, nowMs: number): TaskLife {
  return {
    id,
    task: undefined,
    phase: 'draft',
    phaseSinceMs: nowMs,
    runningSinceMs: undefined,
    queueWaitMs: 0,
    queueSample: undefined,
    pod: undefined,
    retries: 0,
    movesSinceMs: undefined,
    wasEnqueued: false,
    doubts: 0,
    end: undefined,
  };
}

/** Updates the life after a look; `task` is undefined where the look did not show it. */
export function observeTask(life: TaskLife, seen: WatchedTask | undefined, nowMs: number): void {
  const isGone = seen === undefined;
  const isBack =
    seen?.status === 'created' && !isArchivedUnfinished(seen) && (life.wasEnqueued || saysTakenOut(seen));
  const isMoving = seen !== undefined && moves(life, seen, nowMs);
  life.doubts = isGone || isBack || isMoving ? life.doubts + 1 : 0;
  if (isGone) {
    // A server that is just starting may not know it yet.
    if (life.doubts > 1) life.end = 'deleted';
    return;
  }
  const before = life.task;
  const task: WatchedTask = isMoving ? { ...seen, status: 'queued' } : seen;
  life.task = task;
  if (isBack) {
    // Somebody may be moving it to another queue.
    if (life.doubts > 1)
      life.end =
        life.phase !== 'running' && task.statusReason !== RESET_REASON ? endAs('dequeued', task) : 'reset';
    return;
  }
  life.end = judgeEnd(task);
  if (life.end !== undefined) return;
  const phase = task.status === 'created' ? 'draft' : task.status === 'queued' ? 'queued' : 'running';
  if (phase !== 'draft') life.wasEnqueued = true;
  if (phase !== life.phase || before === undefined) {
    life.phase = phase;
    life.phaseSinceMs = nowMs;
    restartQueueClock(life);
    life.pod = undefined;
    if (phase === 'running') life.runningSinceMs ??= nowMs;
  }
  if (phase === 'queued') notePod(life, task);
}

/** Whether it was stopped only to be put into another queue. If it stays stopped, it was stopped. */
function moves(life: TaskLife, task: WatchedTask, nowMs: number): boolean {
  const isForPod = life.phase === 'queued' && life.pod !== undefined && task.isArchived !== true;
  const timeoutMs = findMoveTimeoutMs(task, isForPod);
  life.movesSinceMs = timeoutMs === undefined ? undefined : (life.movesSinceMs ?? nowMs);
  return timeoutMs !== undefined && nowMs - (life.movesSinceMs ?? nowMs) < timeoutMs;
}

/** As long as Kubernetes has something new to say, the pod may come. */
function notePod(life: TaskLife, task: WatchedTask): void {
  const state = readPodState(task);
  if (state === undefined || state === life.pod || (state === '' && life.pod !== undefined)) return;
  life.pod = state;
  restartQueueClock(life);
}

function restartQueueClock(life: TaskLife): void {
  life.queueWaitMs = 0;
  life.queueSample = undefined;
}

/** A draft with a reason was taken out of its queue before our first look; one that was reset may be about to be queued. */
function saysTakenOut({ statusReason }: WatchedTask): boolean {
  return statusReason !== '' && statusReason !== RESET_REASON;
}

function judgeEnd(task: WatchedTask): EndReason | undefined {
  if (isArchivedUnfinished(task)) return 'archived';
  if (isSuccess(task.status)) return 'succeeded';
  if (task.status === 'failed') return 'failed';
  if (task.status === 'closed') return 'closed';
  if (task.status === 'stopped') return endAs(isWorkerLost(task) ? 'worker-lost' : 'stopped', task);
  return undefined;
}

/** Why we ended the task, if we did. */
export function findEnding(task: Pick<WatchedTask, 'origin' | 'startedAtMs'>): Ending | undefined {
  return readEnding(task.origin.runtime, task.startedAtMs);
}

/** The end that the status shows, or our own time-out, which is seen again by whoever looks later. */
function endAs(end: EndReason, task: WatchedTask): EndReason {
  const kind = findEnding(task)?.kind;
  return kind === 'timeout' || kind === 'queue-timeout' ? kind : end;
}

/** Whether it was archived instead of trained. The server then gives no reason. */
export function isArchivedUnfinished({
  status,
  statusReason,
  isArchived,
}: Pick<WatchedTask, 'status' | 'statusReason' | 'isArchived'>): boolean {
  const isWaiting = status === 'created' && statusReason !== RESET_REASON;
  return isArchived === true && (isWaiting || status === 'stopped');
}

/** The server's watchdog says `Forced stop (non-responsive)`, as reason and as message. */
export function isWorkerLost(task: Pick<WatchedTask, 'status' | 'statusReason' | 'statusMessage'>): boolean {
  return task.status === 'stopped' && /non-responsive/i.test(`${task.statusReason} ${task.statusMessage}`);
}

/** What a queue looks like. */
export interface QueueState {
  readonly id: string;
  readonly name: string;
  /** Ids of the tasks in it, the next one first. */
  readonly entries: readonly string[];
  /** With the task that each is busy with. */
  readonly workers: ReadonlyArray<{ readonly name: string; readonly taskId: string | undefined }>;
  /** Tasks wait in it for a Kubernetes pod, not for a worker. */
  readonly isForPods?: boolean;
}

/**
 * Updates the life after a look at its queue. The queue time-out's clock stands still while every worker of the queue is
 * busy. A queue that is gone has no workers. Workers do not count where a pod is waited for.
 */
export function observeQueue(life: TaskLife, queue: QueueState | undefined, nowMs: number): void {
  const isForPod = queue?.isForPods === true || (life.task && readPodState(life.task)) !== undefined;
  // Between two queues it says nothing.
  if (life.movesSinceMs === undefined) life.pod = isForPod ? (life.pod ?? '') : undefined;
  const workers = queue?.workers ?? [];
  const isOpen =
    life.pod !== undefined || workers.length === 0 || workers.some((worker) => worker.taskId === undefined);
  if (life.queueSample?.isOpen === true && isOpen) life.queueWaitMs += nowMs - life.queueSample.atMs;
  life.queueSample = { atMs: nowMs, isOpen };
}

/** The time-out that has passed, if any. */
export function findTimeout(
  life: TaskLife,
  limits: Limits,
  nowMs: number,
): 'timeout' | 'queue-timeout' | 'draft' | undefined {
  const elapsedMs = nowMs - life.phaseSinceMs;
  if (life.phase === 'running') return elapsedMs >= limits.timeoutMs ? 'timeout' : undefined;
  if (life.phase === 'draft') return elapsedMs >= DRAFT_TIMEOUT_MS ? 'draft' : undefined;
  return life.queueWaitMs >= limits.queueTimeoutMs ? 'queue-timeout' : undefined;
}

/** When the next time-out may pass, in ms since 1970; for a queued task: when the queue must be looked at for it. */
export function findDeadlineMs(life: TaskLife, limits: Limits): number {
  if (life.phase === 'running') return life.phaseSinceMs + limits.timeoutMs;
  if (life.phase === 'draft') return life.phaseSinceMs + DRAFT_TIMEOUT_MS;
  const sample = life.queueSample;
  if (sample === undefined || !sample.isOpen) return Number.POSITIVE_INFINITY;
  return sample.atMs + limits.queueTimeoutMs - life.queueWaitMs;
}

/** How long the training ran, in ms; 0 if it never started. `nowMs` is by the server's clock, as the task's times are. */
export function measureRunMs(life: TaskLife, nowMs: number): number {
  const { task } = life;
  if (task?.startedAtMs === undefined || task.status === 'created' || task.status === 'queued') return 0;
  const isOver = isEnded(task.status);
  const endMs = task.endedAtMs ?? (isOver ? (task.statusChangedAtMs ?? nowMs) : nowMs);
  return Math.max(0, endMs - task.startedAtMs);
}
