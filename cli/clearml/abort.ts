import * as v from 'valibot';
import { EXIT_CODES, Failure } from '../shell/failure.ts';
import type { Clock } from '../shell/world.ts';
import { isEnded, type TaskStatus } from '../training/task.ts';
import { type ClearmlClient, ClearmlRefusal } from './client.ts';
import { ServerTimeSchema, StatusSchema } from './fields.ts';

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

/** The server caps a page silently at this many tasks (recordings 324-326). */
const PAGE_SIZE = 500;
const PARALLEL_REQUESTS = 8;

const StatesSchema = v.object({
  tasks: v.array(
    v.object({
      id: v.string(),
      status: StatusSchema,
      status_message: v.nullish(v.string(), ''),
      started: ServerTimeSchema,
      status_changed: ServerTimeSchema,
    }),
  ),
});

const Anything = v.unknown();

/** Ends tasks by ClearML's REST API. */
export function createAbortServer(client: ClearmlClient): AbortServer {
  async function readStates(ids: readonly string[], signal: AbortSignal): Promise<Map<string, AbortState>> {
    const states = new Map<string, AbortState>();
    for (let start = 0; start < ids.length; start += PAGE_SIZE) {
      const page = new Set(ids.slice(start, start + PAGE_SIZE));
      const { tasks } = await client.call(
        'tasks.get_all',
        {
          id: [...page],
          only_fields: ['id', 'status', 'status_message', 'started', 'status_changed'],
          page: 0,
          page_size: PAGE_SIZE,
        },
        StatesSchema,
        { isRepeatable: true, signal },
      );
      for (const task of tasks) {
        // A query that widened would name tasks that are none of our business.
        if (!page.has(task.id)) continue;
        states.set(task.id, {
          status: task.status,
          statusMessage: task.status_message,
          startedAtMs: task.started,
          statusChangedAtMs: task.status_changed,
        });
      }
    }
    return states;
  }

  async function changeEach(
    endpoint: 'tasks.stop' | 'tasks.dequeue',
    ids: readonly string[],
    reason: string,
    signal: AbortSignal,
  ): Promise<void> {
    const queue = [...ids];
    const work = async () => {
      for (let id = queue.shift(); id !== undefined; id = queue.shift()) {
        try {
          await client.call(endpoint, { task: id, status_reason: reason }, Anything, {
            isRepeatable: true,
            signal,
          });
        } catch (error) {
          if (!isPassedOver(error)) throw error;
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(PARALLEL_REQUESTS, queue.length) }, work));
  }

  return {
    readStates,
    stop: (ids, reason, signal) => changeEach('tasks.stop', ids, reason, signal),
    dequeue: (ids, reason, signal) => changeEach('tasks.dequeue', ids, reason, signal),
  };
}

/** Gone (400/101, recording 231), or in a status from which it cannot be stopped (400/110, recording 229). */
function isPassedOver(error: unknown): boolean {
  return error instanceof ClearmlRefusal && (error.is(400, 101) || error.is(400, 110));
}
