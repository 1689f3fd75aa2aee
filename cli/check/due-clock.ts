import { isRecord, parseJson } from '../shell/json.ts';
import { type Due, listOpenDues } from '../training/due.ts';
import { RUNTIME_KEYS } from '../training/task.ts';
import {
  beginLife,
  findEnding,
  findTimeout,
  isArchivedUnfinished,
  observeTask,
  type TaskLife,
  type WatchedTask,
} from '../training/task-life.ts';

// The clocks of tasks that nobody watches: a run looks at them once an hour, and remembers in `runtime` what it needs.

/** A task that something is due of, as one look shows it. Times in ms since 1970. */
export interface DueTask {
  readonly task: WatchedTask;
  /** `end`: it is over. A `draft` was never queued. */
  readonly life: TaskLife;
  /** What was not reported yet. */
  readonly dues: readonly Due[];
}

/** A launch gives up within a minute. A draft that is older is not about to be queued. */
const LAUNCHED_MS = 10 * 60_000;

/** Begins the life of a task where the last look has left it. */
export function beginDue(task: WatchedTask, nowMs: number): DueTask {
  const dues = listOpenDues(task.origin);
  const life = beginLife(task.id, nowMs);
  life.movesSinceMs = task.statusChangedAtMs;
  observeTask(life, task, nowMs);
  if (task.status === 'created') {
    const isFresh = dues.some(({ atMs }) => nowMs - atMs < LAUNCHED_MS);
    life.end = judgeDraft(task, isFresh);
  }
  if (life.end === undefined && life.phase === 'queued') restoreWait(life);
  return { task, life, dues };
}

/** What we ended is over at once: a launch that takes it again removes the note of that before it is queued. */
function judgeDraft(task: WatchedTask, isFresh: boolean): TaskLife['end'] {
  if (findEnding(task) !== undefined) return 'dequeued';
  if (isFresh) return undefined;
  if (isArchivedUnfinished(task)) return 'archived';
  return task.statusReason !== '' || task.queueId !== undefined ? 'dequeued' : 'draft';
}

/** Goes on counting where the task has waited in its queue since, for the same news of its pod. */
function restoreWait(life: TaskLife): void {
  const { origin, statusChangedAtMs } = life.task ?? {};
  const noted = parseJson(origin?.runtime[RUNTIME_KEYS.waited] ?? '');
  if (!isRecord(noted) || noted.queuedAtMs !== statusChangedAtMs) return;
  if ((noted.pod ?? '') !== (life.pod ?? '')) return;
  const { atMs, isOpen, waitMs } = noted;
  if (typeof atMs !== 'number' || typeof waitMs !== 'number' || !(waitMs >= 0)) return;
  life.queueWaitMs = waitMs;
  life.queueSample = { atMs, isOpen: isOpen === true };
}

/** What the next look needs to know of the wait; undefined where the task says it already, or there is nothing to know. */
export function noteWait(life: TaskLife, before: TaskLife['queueSample']): string | undefined {
  const { queueSample: sample, queueWaitMs: waitMs, pod, task } = life;
  // While every worker is busy nothing counts, before and after.
  if (sample === undefined || (!sample.isOpen && before?.isOpen !== true)) return undefined;
  return JSON.stringify({ ...sample, waitMs, pod, queuedAtMs: task?.statusChangedAtMs });
}

/** The time-out that has passed for all that is due of a task, with the longest limit, in ms. */
export function findDueTimeout(
  { task, life, dues }: DueTask,
  nowMs: number,
): { readonly kind: 'timeout' | 'queue-timeout'; readonly limitMs: number } | undefined {
  const passed = dues.map((due) => {
    const phaseSinceMs = Math.max(task.startedAtMs ?? 0, due.atMs);
    const queueWaitMs = Math.min(life.queueWaitMs, nowMs - due.atMs);
    const kind = findTimeout({ ...life, phaseSinceMs, queueWaitMs }, due, nowMs);
    if (kind === undefined || kind === 'draft') return undefined;
    return { kind, limitMs: kind === 'timeout' ? due.timeoutMs : due.queueTimeoutMs };
  });
  if (passed.includes(undefined)) return undefined;
  return passed.flatMap((one) => one ?? []).sort((a, b) => b.limitMs - a.limitMs)[0];
}

/** Of those that wait: whose own time-out has passed. */
export function listOverdue(found: DueTask, nowMs: number): Due[] {
  return found.dues.filter((due) => findDueTimeout({ ...found, dues: [due] }, nowMs) !== undefined);
}
