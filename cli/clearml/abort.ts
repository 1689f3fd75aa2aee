import * as v from 'valibot';
import { EXIT_CODES, Failure } from '../shell/failure.ts';
import { withTimeLimit } from '../shell/time-limit.ts';
import type { Clock } from '../shell/world.ts';
import { isEnded, type TaskStatus } from '../training/task.ts';
import { type ClearmlClient, isRefusal } from './client.ts';
import { readTasks, runInParallel } from './tasks.ts';

/** What is asked of ClearML to end tasks. Lists are never empty; a task that is gone is left out of an answer. */
export interface AbortServer {
  readStates(ids: readonly string[], signal: AbortSignal): Promise<ReadonlyMap<string, AbortState>>;
  /** Asks that running tasks stop. Those that cannot be stopped (ended meanwhile, gone) are passed over. */
  stop(ids: readonly string[], reason: string, signal: AbortSignal): Promise<void>;
  /** Takes tasks out of their queues. Those that are in none (taken meanwhile, gone) are passed over. */
  dequeue(ids: readonly string[], reason: string, signal: AbortSignal): Promise<void>;
}

/** How a task is, as far as ending it depends on that. */
export interface AbortState {
  readonly status: TaskStatus;
  /** ClearML's `status_message`: names who set the status. */
  readonly statusMessage: string;
  /** When its worker began with it; ms since 1970, the server's clock. */
  readonly startedAtMs: number | undefined;
  /** When it got its status; ms since 1970, the server's clock. */
  readonly statusChangedAtMs: number | undefined;
}

interface AbortOptions {
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
  const { clock, deadlineMs, signal } = options;
  const attempt: Attempt = {
    pending: new Map([...new Set(ids)].map((id) => [id, beginEffort()])),
    ended: [],
    lastError: undefined,
  };
  const reason = new Error('the deadline has passed');
  const timeoutMs = Math.max(0, deadlineMs - clock.now());
  try {
    await withTimeLimit({ clock, timeoutMs, reason, signal }, (limit) =>
      pursue(server, attempt, options, limit),
    );
  } catch (error) {
    if (error !== reason) throw error;
  }
  return { ended: attempt.ended, unconfirmed: [...attempt.pending.keys()], lastError: attempt.lastError };
}

/** What has come of the tasks so far. */
interface Attempt {
  readonly pending: Map<string, Effort>;
  readonly ended: string[];
  lastError: Failure | undefined;
}

/** Looks at the tasks, asks for what each needs, and again until none is pending. */
async function pursue(
  server: AbortServer,
  attempt: Attempt,
  { clock, reason }: AbortOptions,
  signal: AbortSignal,
): Promise<void> {
  const { pending, ended } = attempt;
  for (let round = 0; pending.size > 0; round += 1) {
    if (round > 0) await clock.sleep(round === 1 ? FIRST_PAUSE_MS : PAUSE_MS, signal);
    try {
      const states = await server.readStates([...pending.keys()], signal);
      const toStop: string[] = [];
      const toDequeue: string[] = [];
      for (const [id, effort] of pending) {
        const step = decideStep(states.get(id), effort, clock.now());
        if (step === 'done') {
          pending.delete(id);
          ended.push(id);
        } else if (step === 'stop') toStop.push(id);
        else if (step === 'dequeue') toDequeue.push(id);
      }
      await Promise.all([
        toStop.length > 0 ? server.stop(toStop, reason, signal) : undefined,
        toDequeue.length > 0 ? server.dequeue(toDequeue, reason, signal) : undefined,
      ]);
      attempt.lastError = undefined;
    } catch (error) {
      if (!(error instanceof Failure) || error.exitCode === EXIT_CODES.refused) throw error;
      attempt.lastError = error;
    }
  }
}

/** What has been done to end one task. */
interface Effort {
  dequeues: number;
  stops: number;
  /** When its status was first read as one that may yet be undone; ms since 1970. */
  settlingSinceMs: number | undefined;
}

function beginEffort(): Effort {
  return { dequeues: 0, stops: 0, settlingSinceMs: undefined };
}

function decideStep(
  state: AbortState | undefined,
  effort: Effort,
  nowMs: number,
): 'done' | 'stop' | 'dequeue' | 'wait' {
  if (state === undefined) return 'done';
  if (isEnded(state.status) || state.status === 'created') {
    const settleMs = computeSettleMs(state, effort, nowMs);
    effort.settlingSinceMs ??= nowMs;
    return nowMs - effort.settlingSinceMs >= settleMs ? 'done' : 'wait';
  }
  effort.settlingSinceMs = undefined;
  if (state.status === 'queued' && effort.dequeues < MAX_DEQUEUES) {
    effort.dequeues += 1;
    return 'dequeue';
  }
  effort.stops += 1;
  return 'stop';
}

/** How long a status must stand before nothing can undo it any more. */
function computeSettleMs(state: AbortState, effort: Effort, nowMs: number): number {
  if (state.status === 'created') return effort.dequeues > 0 ? DEQUEUE_SETTLE_MS : 0;
  if (state.status !== 'stopped' || isSetByAgent(state.statusMessage)) return 0;
  const { startedAtMs, statusChangedAtMs } = state;
  const isFresh =
    effort.stops + effort.dequeues > 0 ||
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

/** Ends tasks by ClearML's REST API. */
export function createAbortServer(client: ClearmlClient): AbortServer {
  return {
    readStates: (ids, signal) => readStates(client, ids, signal),
    stop: (ids, reason, signal) => changeEach(client, 'tasks.stop', ids, reason, signal),
    dequeue: (ids, reason, signal) => changeEach(client, 'tasks.dequeue', ids, reason, signal),
  };
}

async function readStates(
  client: ClearmlClient,
  ids: readonly string[],
  signal: AbortSignal,
): Promise<Map<string, AbortState>> {
  const fields = ['status', 'status_message', 'started', 'status_changed'] as const;
  const tasks = await readTasks(client, ids, fields, { signal });
  return new Map(
    [...tasks].map(([id, task]) => [
      id,
      {
        status: task.status,
        statusMessage: task.status_message,
        startedAtMs: task.started,
        statusChangedAtMs: task.status_changed,
      },
    ]),
  );
}

/** Stops or dequeues each task; one that is gone, or ended meanwhile, is passed over. */
function changeEach(
  client: ClearmlClient,
  endpoint: 'tasks.stop' | 'tasks.dequeue',
  ids: readonly string[],
  reason: string,
  signal: AbortSignal,
): Promise<void> {
  return runInParallel(ids, async (id) => {
    try {
      const body = { task: id, status_reason: reason };
      await client.call(endpoint, body, v.unknown(), { isRepeatable: true, signal });
    } catch (error) {
      if (!isRefusal(error, 'no such task', 'wrong status')) throw error;
    }
  });
}
