import { EXIT_CODES, Failure } from '../shell/failure.ts';
import type { Clock } from '../shell/world.ts';
import {
  beginLife,
  findDeadlineMs,
  findTimeout,
  type Limits,
  observeQueue,
  observeTask,
  type QueueState,
  type TaskLife,
  type WatchedTask,
} from '../training/task-life.ts';
import type { Patience } from './outage.ts';
import { computePollIntervalMs } from './poll-schedule.ts';

/** What watching asks of ClearML. Lists are never empty; what does not exist is left out of an answer. */
export interface WatchServer {
  /** One request for every 500 tasks. */
  readTasks(ids: readonly string[], signal: AbortSignal): Promise<ReadonlyMap<string, WatchedTask>>;
  readQueues(ids: readonly string[], signal: AbortSignal): Promise<ReadonlyMap<string, QueueState>>;
  /** Enqueues again those drafts that are in a queue all the same; gives the tasks that are in a queue. */
  mendDrafts(ids: readonly string[], signal: AbortSignal): Promise<readonly string[]>;
  readMetrics(
    ids: readonly string[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, ReadonlyArray<{ readonly name: string; readonly value: number }>>>;
  /** ClearML id of the user whose credentials we have. */
  readUserId(signal: AbortSignal): Promise<string>;
}

export interface WatchSettings extends Limits {
  /** Fixed pause between two looks, in ms; undefined: adaptive. */
  readonly pollIntervalMs: number | undefined;
}

/** What the watch calls. */
export interface WatchEvents {
  /** After each look. The next look waits for it. */
  afterLook(): Promise<void>;
  /** While nothing happens, every `tickMs`. */
  tick(): void;
  readonly tickMs: number;
  /** Ends a task whose time-out has passed, if it is ours to end, and reports that. Throws only the signal's reason. */
  endOverdue(life: TaskLife, timeout: 'timeout' | 'queue-timeout'): Promise<void>;
}

export interface WatchPorts {
  readonly server: WatchServer;
  readonly patience: Patience;
  readonly clock: Clock;
  readonly random: () => number;
  /** Ends the wait, with its reason. */
  readonly signal: AbortSignal;
}

/** The state of a wait. It can be read at any time, also after an interruption. */
export interface Watch {
  /** One per task, in the order of the ids. */
  readonly lives: readonly TaskLife[];
  /** The queues that tasks wait in, as last seen. */
  readonly queues: Map<string, QueueState>;
  readonly settings: WatchSettings;
  readonly ports: WatchPorts;
  /** Tasks whose time-out has passed, while they are being ended. */
  readonly ending: Map<string, Promise<void>>;
  /** The first look, or why it failed. */
  readonly firstLook: Promise<Look | { readonly error: unknown }>;
}

/** One look at tasks. Times in ms since 1970. */
interface Look {
  readonly beganAtMs: number;
  readonly answeredAtMs: number;
  readonly tasks: ReadonlyMap<string, WatchedTask>;
}

/** A queue is read less often than the tasks: it costs a request of its own. */
const QUEUE_PAUSE_MS = 25_000;
/** Before the next look at a task that the last one did not show, or showed as a draft again. */
const DOUBT_PAUSE_MS = 1000;

/** Begins to watch: asks at once how the tasks are. The clocks of all tasks start now. */
export function beginWatch(ids: readonly string[], settings: WatchSettings, ports: WatchPorts): Watch {
  return {
    lives: ids.map((id) => beginLife(id, ports.clock.now())),
    queues: new Map(),
    settings,
    ports,
    ending: new Map(),
    firstLook: look(ids, ports).catch((error: unknown) => ({ error })),
  };
}

async function look(
  ids: readonly string[],
  { server, patience, clock, signal }: Omit<WatchPorts, 'random'>,
): Promise<Look> {
  signal.throwIfAborted();
  const beganAtMs = clock.now();
  const found = await patience.run(() => server.readTasks(ids, signal), signal);
  const drafts = [...found.values()].filter(({ status }) => status === 'created').map(({ id }) => id);
  if (drafts.length === 0) return { beganAtMs, answeredAtMs: clock.now(), tasks: found };
  // Launches at the same time can leave a draft in a queue.
  const queued = await patience.run(() => server.mendDrafts(drafts, signal), signal);
  const tasks = new Map(
    [...found].map(([id, task]) => [id, queued.includes(id) ? { ...task, status: 'queued' as const } : task]),
  );
  return { beganAtMs, answeredAtMs: clock.now(), tasks };
}

/**
 * Goes on until every task has ended or timed out.
 *
 * @throws Failure when a task does not exist, the server refuses, or it stays away too long; the signal's reason
 */
export async function runWatch(watch: Watch, events: WatchEvents): Promise<void> {
  const { lives, ports, ending } = watch;
  const first = await watch.firstLook;
  if ('error' in first) throw first.error;
  const unknown = lives.filter(({ id }) => !first.tasks.has(id)).map(({ id }) => id);
  if (unknown.length > 0) throw failUnknown(unknown);
  let seen: Look = first;
  let queuesReadAtMs: number | undefined;
  for (;;) {
    const waiting = listWaiting(watch);
    for (const life of waiting) observeTask(life, seen.tasks.get(life.id), seen.answeredAtMs);
    queuesReadAtMs = await lookAtQueues(watch, queuesReadAtMs);
    for (const life of listWaiting(watch)) endIfOverdue(life, watch, events);
    const ends = countEnds(lives);
    await events.afterLook();
    if (listWaiting(watch).length === 0) {
      // A task that a time-out ended while the others were reported is reported in the next round.
      if (ending.size === 0 && countEnds(lives) === ends) return;
      await Promise.all(ending.values());
      ports.signal.throwIfAborted();
      continue;
    }
    await pauseUntil(findNextLookMs(watch, seen), events, ports);
    const asked = listWaiting(watch).map(({ id }) => id);
    seen = await look(asked, ports);
  }
}

function countEnds(lives: readonly TaskLife[]): number {
  return lives.filter((life) => life.end !== undefined).length;
}

/** Tasks that have neither ended nor are being ended by us. */
function listWaiting({ lives, ending }: Watch): TaskLife[] {
  return lives.filter((life) => life.end === undefined && !ending.has(life.id));
}

/** @returns when the queues were last read */
async function lookAtQueues(watch: Watch, readAtMs: number | undefined): Promise<number | undefined> {
  const { server, patience, clock, signal } = watch.ports;
  const queued = listWaiting(watch).filter(({ phase }) => phase === 'queued');
  if (queued.length === 0) return readAtMs;
  const isDue =
    readAtMs === undefined ||
    clock.now() - readAtMs >= QUEUE_PAUSE_MS ||
    queued.some(
      (life) => life.queueSample === undefined || clock.now() >= findDeadlineMs(life, watch.settings),
    );
  if (!isDue) return readAtMs;
  const ids = [...new Set(queued.flatMap(({ task }) => task?.queueId ?? []))];
  const found = ids.length === 0 ? [] : await patience.run(() => server.readQueues(ids, signal), signal);
  watch.queues.clear();
  for (const [id, queue] of found) watch.queues.set(id, queue);
  const nowMs = clock.now();
  for (const life of queued) observeQueue(life, watch.queues.get(life.task?.queueId ?? ''), nowMs);
  return nowMs;
}

/** Ends a task whose time-out has passed, while the watch over the others goes on. */
function endIfOverdue(life: TaskLife, watch: Watch, events: WatchEvents): void {
  const timeout = findTimeout(life, watch.settings, watch.ports.clock.now());
  if (timeout === undefined) return;
  if (timeout === 'draft') {
    life.end = 'draft';
    return;
  }
  const end = async () => {
    await events.endOverdue(life, timeout);
    await lookAgain(life, watch.ports);
    life.end = timeout;
    watch.ending.delete(life.id);
  };
  const ended = end();
  // Awaited in runWatch() at the end. This keeps an interruption from being reported as unhandled.
  ended.catch(() => undefined);
  watch.ending.set(life.id, ended);
}

/** Reads the task once more for the report. A failure changes nothing. */
async function lookAgain(life: TaskLife, { server, signal }: WatchPorts): Promise<void> {
  try {
    life.task = (await server.readTasks([life.id], signal)).get(life.id) ?? life.task;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
  }
}

function findNextLookMs(watch: Watch, { beganAtMs, answeredAtMs }: Look): number {
  const waiting = listWaiting(watch);
  const pausesMs = waiting.map(({ doubts, phase, phaseSinceMs }) => {
    if (doubts > 0) return DOUBT_PAUSE_MS;
    return (
      watch.settings.pollIntervalMs ??
      computePollIntervalMs(phase, answeredAtMs - phaseSinceMs, watch.ports.random())
    );
  });
  const deadlinesMs = waiting.map((life) => findDeadlineMs(life, watch.settings));
  return Math.min(beganAtMs + Math.min(...pausesMs), ...deadlinesMs);
}

async function pauseUntil(
  atMs: number,
  { tickMs, tick }: WatchEvents,
  { clock, signal }: WatchPorts,
): Promise<void> {
  do {
    await clock.sleep(Math.max(0, Math.min(tickMs, atMs - clock.now())), signal);
    tick();
  } while (clock.now() < atMs);
}

/** The failure for ids without a task. */
export function failUnknown(ids: readonly string[]): Failure {
  return new Failure(
    ids.length === 1
      ? `there is no task ${ids[0]}`
      : `there are no such tasks: ${ids.slice(0, 10).join(', ')}${ids.length > 10 ? ` and ${ids.length - 10} more` : ''}`,
    {
      exitCode: EXIT_CODES.notFound,
      remedy:
        'It was deleted, or it belongs to another ClearML server or workspace: check CLEARML_API_HOST and the credentials.',
    },
  );
}
