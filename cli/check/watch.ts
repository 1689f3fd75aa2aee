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

/** What happens around the looks. */
export interface WatchEvents {
  /** After each look: what was seen may be told. May take time; the next look waits for it. */
  afterLook(watch: Watch): Promise<void>;
  /** While nothing happens, every `tickMs`. */
  tick(watch: Watch): void;
  readonly tickMs: number;
  /** A time-out has passed: ends the task if it is ours to end, and says what came of it. Throws only the signal's reason. */
  endOverdue(life: TaskLife, timeout: 'timeout' | 'queue-timeout', signal: AbortSignal): Promise<void>;
}

export interface WatchPorts {
  readonly server: WatchServer;
  readonly patience: Patience;
  readonly clock: Clock;
  readonly random: () => number;
  readonly events: WatchEvents;
}

/** A wait for tasks. Its state can be looked at any time, also after it was interrupted. */
export interface Watch {
  /** One a task, in the order of the ids. */
  readonly lives: readonly TaskLife[];
  /** The queues that tasks wait in, as last seen. */
  readonly queues: ReadonlyMap<string, QueueState>;
  /**
   * Waits until every task has ended or timed out.
   *
   * @throws Failure when a task does not exist, the server refuses, or it stays away too long; the signal's reason
   */
  run(signal: AbortSignal): Promise<void>;
}

/** A queue is looked at less often than the tasks: it costs a request of its own. */
const QUEUE_PAUSE_MS = 25_000;
/** Another look at a task that the last one did not show, or showed as a draft again. */
const DOUBT_PAUSE_MS = 1000;

/** A watch over these tasks that has not begun: `run` begins it. The clocks of all tasks start now. */
export function createWatch(ids: readonly string[], settings: WatchSettings, ports: WatchPorts): Watch {
  const { server, patience, clock, events } = ports;
  const lives = ids.map((id) => beginLife(id, clock.now()));
  const queues = new Map<string, QueueState>();
  const ending = new Map<string, Promise<void>>();
  let queuesReadAtMs: number | undefined;
  /** When the last look began, and when its answer was there. */
  let lookedAtMs = clock.now();
  let seenAtMs = lookedAtMs;

  const watch: Watch = { lives, queues, run };

  async function run(signal: AbortSignal): Promise<void> {
    for (let isFirst = true; ; isFirst = false) {
      signal.throwIfAborted();
      lookedAtMs = clock.now();
      const waiting = listWaiting();
      if (waiting.length > 0) {
        await look(waiting, isFirst, signal);
        await lookAtQueues(signal);
        for (const life of listWaiting()) endIfOverdue(life, signal);
      }
      const ends = countEnds();
      await events.afterLook(watch);
      if (listWaiting().length === 0) {
        // What a time-out has ended while the others were told is not told yet.
        if (ending.size === 0 && countEnds() === ends) return;
        await Promise.all(ending.values());
        continue;
      }
      await pauseUntil(findNextLookMs(), signal);
    }
  }

  function countEnds(): number {
    return lives.filter((life) => life.end !== undefined).length;
  }

  /** Tasks that have neither ended nor are being ended by us. */
  function listWaiting(): TaskLife[] {
    return lives.filter((life) => life.end === undefined && !ending.has(life.id));
  }

  async function look(waiting: readonly TaskLife[], isFirst: boolean, signal: AbortSignal): Promise<void> {
    const asked = waiting.map(({ id }) => id);
    const tasks = await patience.run(() => server.readTasks(asked, signal), signal);
    const unknown = asked.filter((id) => !tasks.has(id));
    if (isFirst && unknown.length > 0) throw failUnknown(unknown);
    seenAtMs = clock.now();
    for (const life of waiting) observeTask(life, tasks.get(life.id), seenAtMs);
  }

  async function lookAtQueues(signal: AbortSignal): Promise<void> {
    const queued = listWaiting().filter(({ phase }) => phase === 'queued');
    if (queued.length === 0) return;
    const isDue =
      queuesReadAtMs === undefined ||
      clock.now() - queuesReadAtMs >= QUEUE_PAUSE_MS ||
      queued.some((life) => life.queueSample === undefined || clock.now() >= findDeadlineMs(life, settings));
    if (!isDue) return;
    const ids = [...new Set(queued.flatMap(({ task }) => task?.queueId ?? []))];
    const found =
      ids.length === 0
        ? new Map<string, QueueState>()
        : await patience.run(() => server.readQueues(ids, signal), signal);
    queues.clear();
    for (const [id, queue] of found) queues.set(id, queue);
    queuesReadAtMs = clock.now();
    for (const life of queued) observeQueue(life, queues.get(life.task?.queueId ?? ''), queuesReadAtMs);
  }

  function endIfOverdue(life: TaskLife, signal: AbortSignal): void {
    const timeout = findTimeout(life, settings, clock.now());
    if (timeout === undefined) return;
    if (timeout === 'draft') {
      life.end = 'draft';
      return;
    }
    const ended = events
      .endOverdue(life, timeout, signal)
      .then(() => lookAgain(life, signal))
      .then(() => {
        life.end = timeout;
        ending.delete(life.id);
      });
    // Awaited once nothing else is waited for; only an interruption rejects it.
    ended.catch(() => undefined);
    ending.set(life.id, ended);
  }

  /** What the task has become is shown; that it could not be read changes nothing. */
  async function lookAgain(life: TaskLife, signal: AbortSignal): Promise<void> {
    try {
      life.task = (await server.readTasks([life.id], signal)).get(life.id) ?? life.task;
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
    }
  }

  function findNextLookMs(): number {
    const pausesMs = listWaiting().map((life) => {
      if (life.doubts > 0) return DOUBT_PAUSE_MS;
      return (
        settings.pollIntervalMs ??
        computePollIntervalMs(life.phase, seenAtMs - life.phaseSinceMs, ports.random())
      );
    });
    const deadlinesMs = listWaiting().map((life) => findDeadlineMs(life, settings));
    return Math.min(lookedAtMs + Math.min(...pausesMs), ...deadlinesMs);
  }

  async function pauseUntil(atMs: number, signal: AbortSignal): Promise<void> {
    do {
      await clock.sleep(Math.max(0, Math.min(events.tickMs, atMs - clock.now())), signal);
      events.tick(watch);
    } while (clock.now() < atMs);
  }

  return watch;
}

/** The failure for ids that name no task. */
export function failUnknown(ids: readonly string[]): Failure {
  return new Failure(
    ids.length === 1
      ? `there is no task ${ids[0]}`
      : `there are no such tasks: ${ids.slice(0, 10).join(', ')}${ids.length > 10 ? ` and ${ids.length - 10} more` : ''}`,
    {
      exitCode: EXIT_CODES.notFound,
      remedy:
        'It was deleted, or it is on another ClearML server or in another workspace than CLEARML_API_HOST and the credentials name.',
    },
  );
}
