import { isUsedByOthers, isUsedByPullRequest } from '../launch/task-choice.ts';
import { EXIT_CODES } from '../shell/exit-code.ts';
import { Failure } from '../shell/failure.ts';
import type { Clock } from '../shell/world.ts';
import { isEnded, RUNTIME_KEYS, type TaskStatus } from '../training/task.ts';

/** What is asked of ClearML to end tasks. Lists are never empty; a task that is gone is left out of an answer. */
export interface AbortServer {
  readStates(ids: readonly string[], signal: AbortSignal): Promise<ReadonlyMap<string, AbortState>>;
  /** Asks that running tasks stop. Those that cannot be stopped (ended meanwhile, gone) are passed over. */
  stop(ids: readonly string[], reason: string, signal: AbortSignal): Promise<void>;
  /** Takes tasks out of their queues. Those that are in none (taken meanwhile, gone) are passed over. */
  dequeue(ids: readonly string[], reason: string, signal: AbortSignal): Promise<void>;
}

export interface AbortState {
  readonly status: TaskStatus;
  /** ClearML's `status_message`: names who set the status. */
  readonly statusMessage: string;
  /** When its worker began with it; ms since 1970, the server's clock. */
  readonly startedAtMs: number | undefined;
  /** When it got its status; ms since 1970, the server's clock. */
  readonly statusChangedAtMs: number | undefined;
}

export interface AbortOptions {
  readonly clock: Clock;
  /** Shown in ClearML as the task's status reason. */
  readonly reason: string;
  /** When to give up; ms since 1970. */
  readonly deadlineMs: number;
  /** Ends the attempt at once, with the signal's reason. */
  readonly signal?: AbortSignal;
}

export interface AbortOutcome {
  /** Have ended, are drafts again or are gone: read from the server, and nothing is left that could undo it. */
  readonly ended: readonly string[];
  /** Could not be confirmed before the deadline. */
  readonly unconfirmed: readonly string[];
  /** Why the server was last unable to answer, where it was. */
  readonly lastError: Failure | undefined;
}

const FIRST_PAUSE_MS = 250;
const PAUSE_MS = 1000;

/** An agent that took a task from the queue just before we took it out reports it as running within this time. */
const DEQUEUE_SETTLE_MS = 2000;
/**
 * A task whose worker the server does not know yet is stopped at once, and the agent that is just starting it sets it
 * running again: seen 0.7 to 3.7 s later.
 */
const STOP_SETTLE_MS = 5000;
/** A worker is known to the server well before its task is this old. */
const STARTUP_MS = 60_000;
/** More dequeues than this do not help: the task is in a second queue, which only a stop overrules. */
const MAX_DEQUEUES = 3;

/**
 * Ends tasks, and makes sure that they have. A stop counts for nothing until the training has called `Task.init` (the
 * agent's start-up overwrites it), so it is sent again every second until the status read is an ended one; a queued
 * task is taken out of its queue; a draft counts as ended. A request that fails is tried again until the deadline.
 *
 * @throws Failure when the server refuses the credentials; the signal's reason when it is aborted
 */
export async function abortTasks(
  server: AbortServer,
  ids: readonly string[],
  options: AbortOptions,
): Promise<AbortOutcome> {
  const { clock } = options;
  const pending = new Map([...new Set(ids)].map((id) => [id, createProgress()]));
  const ended: string[] = [];
  let lastError: Failure | undefined;

  await withDeadline(options, async (signal) => {
    for (let round = 0; pending.size > 0; round += 1) {
      if (round > 0) await clock.sleep(round === 1 ? FIRST_PAUSE_MS : PAUSE_MS, signal);
      try {
        const asked = [...pending.keys()];
        const states = await server.readStates(asked, signal);
        const toStop: string[] = [];
        const toDequeue: string[] = [];
        for (const [id, progress] of pending) {
          const step = decideStep(states.get(id), progress, clock.now());
          if (step === 'done') {
            pending.delete(id);
            ended.push(id);
          } else if (step === 'stop') toStop.push(id);
          else if (step === 'dequeue') toDequeue.push(id);
        }
        await Promise.all([
          toStop.length > 0 ? server.stop(toStop, options.reason, signal) : undefined,
          toDequeue.length > 0 ? server.dequeue(toDequeue, options.reason, signal) : undefined,
        ]);
        lastError = undefined;
      } catch (error) {
        if (!(error instanceof Failure) || error.exitCode === EXIT_CODES.refused) throw error;
        lastError = error;
      }
    }
  });
  return { ended, unconfirmed: [...pending.keys()], lastError };
}

/** How far we have got with one task. */
interface Progress {
  dequeues: number;
  stops: number;
  /** When its status was first read as one that may yet be undone; ms since 1970. */
  settlingSinceMs: number | undefined;
}

function createProgress(): Progress {
  return { dequeues: 0, stops: 0, settlingSinceMs: undefined };
}

function decideStep(
  state: AbortState | undefined,
  progress: Progress,
  nowMs: number,
): 'done' | 'stop' | 'dequeue' | 'wait' {
  if (state === undefined) return 'done';
  if (isEnded(state.status) || state.status === 'created') {
    const settleMs = computeSettleMs(state, progress, nowMs);
    progress.settlingSinceMs ??= nowMs;
    return nowMs - progress.settlingSinceMs >= settleMs ? 'done' : 'wait';
  }
  progress.settlingSinceMs = undefined;
  if (state.status === 'queued' && progress.dequeues < MAX_DEQUEUES) {
    progress.dequeues += 1;
    return 'dequeue';
  }
  progress.stops += 1;
  return 'stop';
}

/** How long a status must stand before nothing can undo it any more. */
function computeSettleMs(state: AbortState, progress: Progress, nowMs: number): number {
  if (state.status === 'created') return progress.dequeues > 0 ? DEQUEUE_SETTLE_MS : 0;
  if (state.status !== 'stopped' || isSetByAgent(state.statusMessage)) return 0;
  const { startedAtMs, statusChangedAtMs } = state;
  const isFresh =
    progress.stops + progress.dequeues > 0 ||
    (statusChangedAtMs !== undefined && Math.abs(nowMs - statusChangedAtMs) < 2 * STOP_SETTLE_MS);
  const wasStartingUp =
    startedAtMs === undefined ||
    statusChangedAtMs === undefined ||
    statusChangedAtMs - startedAtMs < STARTUP_MS;
  return isFresh && wasStartingUp ? STOP_SETTLE_MS : 0;
}

/** Whether the worker itself says so: it has ended the process. */
export function isSetByAgent(statusMessage: string): boolean {
  return statusMessage.startsWith('Changed by clearml-agent');
}

/** Runs `work` until it ends or the deadline passes, whichever comes first. */
async function withDeadline(
  { clock, deadlineMs, signal }: AbortOptions,
  work: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const limit = new AbortController();
  const deadline = new Error('the deadline has passed');
  const alarm = new AbortController();
  const timeUp = clock.sleep(Math.max(0, deadlineMs - clock.now()), alarm.signal).then(
    () => limit.abort(deadline),
    () => undefined,
  );
  const forward = () => limit.abort(signal?.reason);
  if (signal?.aborted === true) forward();
  signal?.addEventListener('abort', forward, { once: true });
  try {
    await work(limit.signal);
  } catch (error) {
    if (error !== deadline) throw error;
  } finally {
    signal?.removeEventListener('abort', forward);
    alarm.abort();
    await timeUp;
  }
}

/** What a task tells about who launched it and who else uses it. */
export interface TaskOrigin {
  readonly runtime: Readonly<Record<string, string>>;
  readonly tags: readonly string[];
  /** ClearML id of the user who created it. */
  readonly user: string | undefined;
}

/**
 * Whether a task is this run's to abort: this workflow run launched it (any attempt), and no other pull request has
 * reused it. Outside Actions, where no run has an id: the user whose credentials we have launched it, likewise outside.
 *
 * @param readUser the id of that user; called only where the answer depends on it
 */
export async function isOursToAbort(
  task: TaskOrigin,
  run: { readonly runId: string | undefined },
  readUser: () => Promise<string | undefined>,
): Promise<boolean> {
  const { runtime } = task;
  if (isShared(task)) return false;
  const taskRun = runtime[RUNTIME_KEYS.run];
  if (run.runId !== undefined || taskRun !== undefined) return run.runId === taskRun;
  if (runtime[RUNTIME_KEYS.launch] === undefined || task.user === undefined) return false;
  return task.user === (await readUser());
}

/**
 * Whether a task is this pull request's to end: launched for it, or reused by it and given up by the pull request that
 * it was launched for; and nobody else uses it.
 */
export function isOfPullRequest(
  task: TaskOrigin,
  of: { readonly pipeline: string; readonly pullRequest: number },
): boolean {
  return (
    task.runtime[RUNTIME_KEYS.pipeline] === of.pipeline &&
    task.runtime[RUNTIME_KEYS.pullRequest] !== undefined &&
    isUsedByPullRequest(task, of.pullRequest) &&
    !isUsedByOthers(task, of.pullRequest)
  );
}

/** Whether somebody other than the pull request it was launched for uses the task. */
function isShared(task: TaskOrigin): boolean {
  const owner = task.runtime[RUNTIME_KEYS.pullRequest];
  return isUsedByOthers(task, owner === undefined ? undefined : Number(owner));
}
