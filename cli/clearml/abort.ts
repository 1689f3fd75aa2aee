import * as v from 'valibot';
import { EXIT_CODES, Failure, settle } from '../shell/failure.ts';
import { withTimeLimit } from '../shell/time-limit.ts';
import type { Clock } from '../shell/world.ts';
import { type Ending, noteEnding } from '../training/ending.ts';
import { findMoveTimeoutMs } from '../training/kubernetes.ts';
import { hasNewUser, type TaskOrigin } from '../training/ownership.ts';
import { isEnded, isSuccess, RUNTIME_KEYS } from '../training/task.ts';
import type { WatchedTask } from '../training/task-life.ts';
import { type Children, findChildren } from './children.ts';
import { type ClearmlClient, isRefusal } from './client.ts';
import { editRuntime, type Notes } from './notes.ts';
import { findEntries, removeEntry } from './queues.ts';
import { readTasks, runInParallel } from './tasks.ts';

/** ClearML, as far as ending tasks needs it. Lists are never empty. Answers leave out deleted tasks. */
export interface AbortServer {
  readStates(ids: readonly string[], signal: AbortSignal): Promise<ReadonlyMap<string, AbortState>>;
  /**
   * Stops running tasks. Skips those that can't be stopped, as they have ended or were deleted. Gives whether another
   * change was faster somewhere: then the tasks are to be read again.
   */
  stop(ids: readonly string[], reason: string, signal: AbortSignal): Promise<boolean>;
  /** Takes tasks out of their queues, likewise. Skips those that are in none or were deleted. */
  dequeue(ids: readonly string[], reason: string, signal: AbortSignal): Promise<boolean>;
  /** Takes drafts out of the queues that hold them all the same, and gives these drafts. */
  removeEntries(ids: readonly string[], signal: AbortSignal): Promise<readonly string[]>;
  /** The time by the server's clock, in ms since 1970. */
  now(): number;
  /** Notes in `runtime` why the tasks are ended. Gives false where the server takes no notes (before API 2.34). */
  note(ids: readonly string[], notes: Notes, signal: AbortSignal): Promise<boolean>;
  /** The unfinished children of these tasks: their own, and clones that somebody made of them. */
  findChildren(parents: ReadonlyMap<string, AbortState>, signal: AbortSignal): Promise<Children>;
}

/** A task, as far as ending it needs it. Times in ms since 1970, by the server's clock. */
export interface AbortState
  extends Pick<
    WatchedTask,
    'status' | 'statusReason' | 'statusMessage' | 'startedAtMs' | 'statusChangedAtMs'
  > {
  /** ClearML id of the user who created it. */
  readonly user: string | undefined;
  readonly origin: Users;
}

/** What shows who uses a task. */
type Users = Pick<TaskOrigin, 'runtime' | 'tags'>;

export interface AbortOptions {
  readonly clock: Clock;
  /** ClearML shows it as the task's status reason, until an agent writes another. */
  readonly reason: string;
  /** The same, to be found again. */
  readonly ending: Ending;
  /** The tasks as they were when it was decided to end them: one that somebody takes meanwhile is left. */
  readonly seen?: ReadonlyMap<string, Users> | undefined;
  /** When to give up; ms since 1970. */
  readonly deadlineMs: number;
  /** Ends the attempt at once. */
  readonly signal?: AbortSignal;
}

export interface AbortOutcome {
  /** Have ended, are drafts again or were deleted, as read from the server. Nothing can undo that any more. */
  readonly ended: readonly string[];
  /** Not confirmed before the deadline. */
  readonly unconfirmed: readonly string[];
  /** Those of both that were not asked for: steps of a pipeline, trials of a search. */
  readonly children: readonly string[];
  /** Unfinished clones of the tasks, made by somebody: they go on. */
  readonly clones: readonly string[];
  /** Somebody has taken them since `seen`: they go on. */
  readonly taken: readonly string[];
  /** The failure of the last round of requests, if it failed. */
  readonly lastError: Failure | undefined;
}

/** The outcome of an attempt that could not begin. */
export const NOTHING_ENDED: AbortOutcome = {
  ended: [],
  unconfirmed: [],
  children: [],
  clones: [],
  taken: [],
  lastError: undefined,
};

const FIRST_PAUSE_MS = 250;
const PAUSE_MS = 1000;

/** An agent may take a task just before we dequeue it. It reports the task as running within this time. */
const DEQUEUE_SETTLE_MS = 2000;
/**
 * The server stops a task at once if it does not know its worker yet. The starting agent then sets it running again,
 * 0.7 to 3.7 s later in our tests.
 */
const STOP_SETTLE_MS = 5000;
/** The server knows the worker of a task that is older than this. */
const STARTUP_MS = 60_000;
/** After this many dequeues the task must be in a second queue. Only a stop ends it then. */
const MAX_DEQUEUES = 3;

/**
 * Ends tasks and confirms it. The agent's start-up overwrites a stop that comes before `Task.init`, so a stop is sent
 * again every second until the task has ended. A queued task is dequeued; a draft counts as ended once it is in no queue.
 * The server leaves the children of a task running, so they are ended too. A request that fails is repeated until the
 * deadline.
 *
 * @throws Failure when the server refuses the credentials; the signal's reason
 */
export async function abortTasks(
  server: AbortServer,
  ids: readonly string[],
  options: AbortOptions,
): Promise<AbortOutcome> {
  const { clock, deadlineMs, signal } = options;
  const attempt: Attempt = {
    pending: new Map(ids.map((id) => [id, beginEffort()])),
    ended: [],
    children: new Set(),
    clones: new Set(),
    taken: [],
    takesNotes: true,
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
  const { pending, children, clones, takesNotes: _, ...rest } = attempt;
  return { ...rest, unconfirmed: [...pending.keys()], children: [...children], clones: [...clones] };
}

/** The state of the tasks so far. */
interface Attempt {
  readonly pending: Map<string, Effort>;
  readonly ended: string[];
  readonly children: Set<string>;
  readonly clones: Set<string>;
  readonly taken: string[];
  takesNotes: boolean;
  lastError: Failure | undefined;
}

/** Reads the tasks and sends what each needs, until none is pending. */
async function pursue(
  server: AbortServer,
  attempt: Attempt,
  { clock, reason, ending, seen }: AbortOptions,
  signal: AbortSignal,
): Promise<void> {
  const { pending } = attempt;
  let isOvertaken = false;
  for (let round = 0; pending.size > 0; round += 1) {
    if (round > 0) await clock.sleep(round === 1 || isOvertaken ? FIRST_PAUSE_MS : PAUSE_MS, signal);
    isOvertaken = false;
    try {
      const states = await server.readStates([...pending.keys()], signal);
      for (const [id, effort] of pending) effort.isNoted &&= !isNoteLost(states.get(id));
      await leaveTaken([...pending.keys()], states, seen, server, attempt, signal);
      const steps = { done: [], stop: [], dequeue: [], wait: [] } as Record<Step, string[]>;
      for (const [id, effort] of pending) steps[decideStep(states.get(id), effort, server.now())].push(id);
      const fresh = await noteOnce(
        [...steps.stop, ...steps.dequeue],
        noteEnding(ending, server.now()),
        server,
        attempt,
        signal,
      );
      const checked = fresh.filter((id) => seen?.has(id));
      if (checked.length > 0)
        await leaveTaken(checked, await server.readStates(checked, signal), seen, server, attempt, signal);
      for (const step of ['stop', 'dequeue'] as const)
        steps[step] = steps[step].filter((id) => pending.has(id));
      const changes = await Promise.all([
        adoptChildren([...steps.stop, ...steps.done], states, server, attempt, signal),
        steps.stop.length > 0 && server.stop(steps.stop, reason, signal),
        steps.dequeue.length > 0 && server.dequeue(steps.dequeue, reason, signal),
        settleDone(steps.done, states, server, attempt, signal),
      ]);
      isOvertaken = changes.includes(true);
      attempt.lastError = undefined;
    } catch (error) {
      if (!(error instanceof Failure) || error.exitCode === EXIT_CODES.refused) throw error;
      attempt.lastError = error;
    }
  }
}

/**
 * The SDK writes back all of `runtime` as it read it, above all in `Task.init`: our note may be gone. An ended task takes
 * none any more.
 */
function isNoteLost(state: AbortState | undefined): boolean {
  return (
    state !== undefined && !isEnded(state.status) && state.origin.runtime[RUNTIME_KEYS.ended] === undefined
  );
}

/**
 * A note that fails or gets lost is tried again with the next stop. It must not keep a task running. Gives those noted
 * now.
 */
async function noteOnce(
  ids: readonly string[],
  notes: Readonly<Record<string, string>>,
  server: AbortServer,
  attempt: Attempt,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { pending, takesNotes } = attempt;
  const efforts = ids.flatMap((id) => pending.get(id) ?? []);
  const fresh = ids.filter((id) => pending.get(id)?.isNoted === false);
  if (fresh.length === 0 || !takesNotes) return [];
  const noted = await settle(server.note(fresh, { set: notes }, signal));
  if ('value' in noted) {
    attempt.takesNotes = noted.value;
    for (const effort of efforts) effort.isNoted = true;
  } else if (noted.failure.exitCode === EXIT_CODES.refused) throw noted.failure;
  return fresh;
}

/**
 * Leaves the tasks that somebody has taken for themselves since it was decided to end them. A launch that takes one notes
 * that first and looks for our note afterwards; we look in the other order, so one of the two sees the other.
 *
 * @param states as read last
 */
async function leaveTaken(
  ids: readonly string[],
  states: ReadonlyMap<string, AbortState>,
  seen: AbortOptions['seen'],
  server: AbortServer,
  { pending, taken }: Attempt,
  signal: AbortSignal,
): Promise<void> {
  const found = ids.filter((id) => {
    const [before, now] = [seen?.get(id), states.get(id)];
    return (
      before !== undefined && now !== undefined && !isEnded(now.status) && hasNewUser(before, now.origin)
    );
  });
  if (found.length === 0) return;
  for (const id of found) pending.delete(id);
  taken.push(...found);
  // The other side goes on without an answer too, a little later.
  await settle(server.note(found, { remove: [RUNTIME_KEYS.ended] }, signal));
}

/**
 * Has the children of running tasks ended too. Looks for them when their parent is stopped first, and once it has ended:
 * until then it may start some more.
 */
async function adoptChildren(
  ids: readonly string[],
  states: ReadonlyMap<string, AbortState>,
  server: AbortServer,
  { pending, ended, children, clones }: Attempt,
  signal: AbortSignal,
): Promise<false> {
  const parents = new Map(
    ids.flatMap((id) => {
      const state = states.get(id);
      const isFirst = (pending.get(id)?.stops ?? 0) <= 1;
      const mayHave =
        state?.startedAtMs !== undefined && state.status !== 'created' && !isSuccess(state.status);
      return mayHave && (isFirst || isEnded(state.status)) ? [[id, state] as const] : [];
    }),
  );
  if (parents.size === 0) return false;
  const found = await server.findChildren(parents, signal);
  for (const id of found.clones) if (!pending.has(id) && !ended.includes(id)) clones.add(id);
  for (const id of found.own) {
    if (pending.has(id) || ended.includes(id)) continue;
    pending.set(id, beginEffort());
    children.add(id);
  }
  return false;
}

/** Notes which tasks have ended: not drafts that are in a queue all the same, from where a worker would run them. */
async function settleDone(
  ids: readonly string[],
  states: ReadonlyMap<string, AbortState>,
  server: AbortServer,
  { pending, ended }: Attempt,
  signal: AbortSignal,
): Promise<boolean> {
  const drafts = ids.filter((id) => states.get(id)?.status === 'created');
  const end = (id: string) => {
    pending.delete(id);
    ended.push(id);
  };
  ids.filter((id) => !drafts.includes(id)).forEach(end);
  if (drafts.length === 0) return false;
  const removed = new Set(await server.removeEntries(drafts, signal));
  drafts.filter((id) => !removed.has(id)).forEach(end);
  for (const id of removed) {
    // A worker may have taken it just before.
    const effort = pending.get(id);
    if (effort !== undefined)
      Object.assign(effort, { dequeues: effort.dequeues + 1, settlingSinceMs: undefined });
  }
  return removed.size > 0;
}

/** What was done to end one task. */
interface Effort {
  isNoted: boolean;
  dequeues: number;
  stops: number;
  /** When we first read a status that may still be undone; ms since 1970. */
  settlingSinceMs: number | undefined;
}

function beginEffort(): Effort {
  return { isNoted: false, dequeues: 0, stops: 0, settlingSinceMs: undefined };
}

type Step = 'done' | 'stop' | 'dequeue' | 'wait';

function decideStep(state: AbortState | undefined, effort: Effort, nowMs: number): Step {
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

/** How long a status must last until nothing can undo it. */
function computeSettleMs(state: AbortState, effort: Effort, nowMs: number): number {
  if (state.status === 'created') return effort.dequeues > 0 ? DEQUEUE_SETTLE_MS : 0;
  // The Kubernetes glue is about to enqueue it elsewhere.
  const moveMs = findMoveTimeoutMs(state, false);
  if (moveMs !== undefined) return moveMs;
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

/** Whether the worker itself set the status: then it has ended the process. */
export function isSetByAgent(statusMessage: string): boolean {
  return statusMessage.startsWith('Changed by clearml-agent');
}

/** Ends tasks with ClearML's REST API. */
export function createAbortServer(client: ClearmlClient): AbortServer {
  return {
    readStates: (ids, signal) => readStates(client, ids, signal),
    stop: (ids, reason, signal) => changeEach(client, 'tasks.stop', ids, reason, signal),
    dequeue: (ids, reason, signal) => changeEach(client, 'tasks.dequeue', ids, reason, signal),
    async removeEntries(ids, signal) {
      const entries = await findEntries(client, ids, { signal });
      await runInParallel(entries, (entry) => removeEntry(client, entry, { signal }));
      return entries.map(({ taskId }) => taskId);
    },
    now: client.serverNow,
    async note(ids, notes, signal) {
      let isTaken = true;
      await runInParallel(ids, async (id) => {
        if ((await editRuntime(client, id, notes, { signal })) === undefined) isTaken = false;
      });
      return isTaken;
    },
    findChildren: (parents, signal) => findChildren(client, parents, signal),
  };
}

async function readStates(
  client: ClearmlClient,
  ids: readonly string[],
  signal: AbortSignal,
): Promise<Map<string, AbortState>> {
  const fields = [
    'status',
    'status_reason',
    'status_message',
    'started',
    'status_changed',
    'user',
    'runtime',
    'tags',
  ] as const;
  const tasks = await readTasks(client, ids, fields, { signal });
  return new Map(
    [...tasks].map(([id, task]) => [
      id,
      {
        status: task.status,
        statusReason: task.status_reason,
        statusMessage: task.status_message,
        startedAtMs: task.started,
        statusChangedAtMs: task.status_changed,
        user: task.user,
        origin: { runtime: task.runtime, tags: task.tags },
      },
    ]),
  );
}

/** Stops or dequeues each task. Skips those that were deleted or have ended. Gives whether another change was faster. */
async function changeEach(
  client: ClearmlClient,
  endpoint: 'tasks.stop' | 'tasks.dequeue',
  ids: readonly string[],
  reason: string,
  signal: AbortSignal,
): Promise<boolean> {
  let isOvertaken = false;
  await runInParallel(ids, async (id) => {
    try {
      const body = { task: id, status_reason: reason };
      await client.call(endpoint, body, v.unknown(), { isRepeatable: true, signal });
    } catch (error) {
      if (isRefusal(error, 'overtaken')) isOvertaken = true;
      else if (!isRefusal(error, 'no such task', 'wrong status')) throw error;
    }
  });
  return isOvertaken;
}
