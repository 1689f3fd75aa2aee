import type { ClearmlServer } from '../clearml/client.ts';
import { ensureProject } from '../clearml/destination.ts';
import { enqueueTask } from '../clearml/enqueue.ts';
import { findEntries, removeEntry } from '../clearml/queues.ts';
import { runInParallel } from '../clearml/tasks.ts';
import { EXIT_CODES, Failure } from '../shell/failure.ts';
import type { Clock } from '../shell/world.ts';
import { listSigns } from '../training/ownership.ts';
import { RUNTIME_KEYS, type TaskStatus } from '../training/task.ts';
import type { QueueState } from '../training/task-life.ts';
import { adoptTask } from './adoption.ts';
import type { LaunchPlan, PlannedTask, TaskDocument } from './plan.ts';
import { canStandFor, chooseTask } from './reuse.ts';
import { createTask, deleteDraft, findTasksByKey, type KnownTask, markShared } from './server.ts';
import type { Survey } from './survey.ts';

/** A launch under way: what it has to do, and what it has done so far. Taking it back reads that. */
export interface Launch {
  readonly plan: LaunchPlan;
  readonly server: ClearmlServer;
  readonly clock: Clock;
  /** Drawn for this launch; on every task it creates. */
  readonly token: string;
  /** What is due of its tasks, for their `runtime`; empty where nothing is. */
  readonly dueNotes: Readonly<Record<string, string>>;
  /** Reused tasks that did not take these notes. */
  readonly unnoted: Set<string>;
  /** When to stop trying, ms since 1970. */
  readonly deadlineMs: number;
  /** Tasks it has created, as far as that was answered. */
  readonly created: Set<string>;
  /** Drafts of others that it has asked to be queued, with what showed before who uses them. */
  readonly takenOver: Map<string, readonly string[]>;
  /** Tasks that other launches were queuing at the same time: they may have handed them out. */
  readonly contested: Set<string>;
  /** Running tasks that somebody is ending. */
  readonly ending: Set<string>;
  /** Whether some request that changes something was never answered. */
  hasLostAnswers: boolean;
}

export interface LaunchedTask {
  readonly id: string;
  readonly projectId: string | undefined;
  readonly seed: number | undefined;
  /** What a reused task was when it was taken; undefined for one that this launch created. */
  readonly known: KnownTask | undefined;
  readonly status: TaskStatus;
  /** The queue it waits in; where it does not wait, the one the launch was asked for. */
  readonly queue: QueueState;
  /** How many workers serve that queue. */
  readonly workers: number;
  /** Place in the queue, from 1; undefined where it does not wait. */
  readonly position: number | undefined;
}

export interface LaunchResult {
  readonly tasks: readonly LaunchedTask[];
  /** Reused tasks that an agent took while they were given this launch's commit: they may train the former one. */
  readonly overtaken: readonly string[];
  /** Tasks of the same pull request that this launch makes pointless: they are aborted. */
  readonly superseded: readonly KnownTask[];
  /** Such tasks that others use too: they lose this pull request's tag. */
  readonly givenUp: readonly KnownTask[];
}

/**
 * Carries a plan out: creates and queues, once, what does not exist yet. Each key ends with one queued or running
 * task, however many launches run at once and whichever answers get lost. If not every planned task exists at the end,
 * this throws and the caller takes the launch back.
 */
export async function carryOutLaunch(launch: Launch, survey: Survey): Promise<LaunchResult> {
  const { plan, clock, deadlineMs } = launch;
  const launched = new Map<PlannedTask, LaunchedTask>();
  const overtaken: string[] = [];
  let { reusable } = survey;
  for (;;) {
    const open = plan.tasks.filter((task) => !launched.has(task));
    if (open.length === 0) break;
    // A draft that somebody removes meanwhile is created again, until the time is up.
    if (clock.now() + LANDING_MS >= deadlineMs) throw failVanished();
    await launchRound(open, launch, { ...survey, reusable }, launched);
    await runInParallel(open, async (task) => {
      const known = launched.get(task)?.known;
      if (known === undefined || launch.takenOver.has(known.id)) return;
      const outcome = await adoptTask(known, task, launch);
      if (outcome === 'overtaken') overtaken.push(known.id);
      if (outcome !== 'ended') return;
      // As a draft it may be queued again.
      if (known.status !== 'queued') launch.ending.add(known.id);
      launched.delete(task);
    });
    reusable = new Map();
  }

  const tasks = plan.tasks.flatMap((task) => launched.get(task) ?? []);
  const kept = new Set(tasks.map((task) => task.id));
  if (launch.hasLostAnswers) await removeLateArrivals(launch, kept);
  return {
    tasks,
    overtaken,
    superseded: survey.superseded.filter((task) => !kept.has(task.id)),
    givenUp: survey.givenUp.filter((task) => !kept.has(task.id)),
  };
}

/** Launches what it can of the open tasks. One whose draft somebody removes meanwhile stays open. */
async function launchRound(
  open: readonly PlannedTask[],
  launch: Launch,
  survey: Survey,
  launched: Map<PlannedTask, LaunchedTask>,
): Promise<void> {
  const { plan, server, created } = launch;
  const { queue, reusable } = survey;
  const waiting = new Set(open);
  for (const task of open) {
    const known = reusable.get(task);
    if (known === undefined || known.status === 'created') continue;
    launched.set(task, describeReused(task, known, survey));
    waiting.delete(task);
  }
  if (waiting.size === 0) return;

  const missing = [...waiting].filter((task) => !reusable.has(task));
  if (missing.length > 0) {
    const projectId = survey.projectId ?? (await ensureProject(server, plan.project));
    await settleAll(missing.map((task) => createOnce(task, projectId, launch)));
  }
  const drafts: Array<readonly [PlannedTask, KnownTask]> = [];
  for (const [task, known] of await chooseAmongContenders([...waiting], launch)) {
    if (known.status === 'created') {
      drafts.push([task, known]);
      continue;
    }
    // Another launch was faster. It does not know that we hand out its task.
    await markShared(server, known, launch.token);
    launched.set(task, describeReused(task, known, survey));
  }
  let place = queue.entries.length + [...launched.values()].filter((task) => task.known === undefined).length;
  await settleAll(
    drafts.map(async ([task, draft]) => {
      const outcome = await enqueueOnce(task, draft, queue.id, launch);
      if (outcome === undefined) return;
      place += 1;
      const { id, projectId, status } = outcome.task;
      launched.set(task, {
        id,
        projectId,
        seed: task.seed,
        known: created.has(id) ? undefined : outcome.task,
        status: status === 'created' ? 'queued' : status,
        queue,
        workers: Math.max(queue.workers.length, outcome.isWatched === true ? 1 : 0),
        position: status === 'created' || status === 'queued' ? place : undefined,
      });
    }),
  );
}

/** How often a create whose answer got lost is sent again. The deadline usually comes first. */
const MAX_CREATE_ATTEMPTS = 6;

/** How long a request may still be under way on the server before we look whether it landed. */
const LANDING_MS = 1000;

async function createOnce(task: PlannedTask, projectId: string, launch: Launch): Promise<void> {
  const { plan, server, clock, token, created } = launch;
  const document: TaskDocument = {
    ...task.document,
    runtime: { ...task.document.runtime, [RUNTIME_KEYS.launch]: token, ...launch.dueNotes },
  };
  for (let attempt = 1; ; attempt += 1) {
    const outcome = await createTask(server, document, projectId);
    if ('id' in outcome) {
      created.add(outcome.id);
      return;
    }
    launch.hasLostAnswers = true;
    if (attempt >= MAX_CREATE_ATTEMPTS || clock.now() + LANDING_MS >= launch.deadlineMs) throw outcome.lost;
    await clock.sleep(LANDING_MS, server.signal);
    const known = await findTasksByKey(server, [task.key], plan.pipelineHash);
    const landed = chooseTask(known.filter(({ runtime }) => runtime[RUNTIME_KEYS.launch] === token));
    if (landed !== undefined) {
      created.add(landed.id);
      return;
    }
  }
}

/** Time between two looks where another launch has a draft of the same key: it may be about to queue it. */
const SETTLING_MS = 400;

/**
 * Looks again by key after creating: a task that is queued or further beats a draft, among drafts the oldest wins, and
 * ours that lost are deleted. With another launch's draft in the race we look twice: that launch may have looked before
 * ours existed. A planned task without any candidate is left out.
 */
async function chooseAmongContenders(
  contenders: readonly PlannedTask[],
  launch: Launch,
): Promise<Map<PlannedTask, KnownTask>> {
  const { plan, server, clock, created } = launch;
  const keys = contenders.map((task) => task.key);
  const look = async () => {
    const found = await findTasksByKey(server, keys, plan.pipelineHash);
    return contenders.map((task) => [task, filterCandidates(found, task, launch)] as const);
  };
  let candidates = await look();
  const isContested = candidates.some(
    ([, known]) =>
      known.some((task) => created.has(task.id)) &&
      known.some((task) => task.status === 'created' && !created.has(task.id)),
  );
  if (isContested) {
    await clock.sleep(SETTLING_MS, server.signal);
    candidates = await look();
  }
  const chosen = new Map<PlannedTask, KnownTask>();
  for (const [task, known] of candidates) {
    const winner = chooseTask(known);
    if (winner === undefined) continue;
    chosen.set(task, winner);
    const losers = known.filter((loser) => loser.id !== winner.id && created.has(loser.id));
    await Promise.all(losers.map((loser) => deleteDraft(server, loser.id)));
  }
  return chosen;
}

function filterCandidates(
  found: readonly KnownTask[],
  task: PlannedTask,
  { plan, created, ending }: Launch,
): KnownTask[] {
  return found.filter(
    (known) =>
      !ending.has(known.id) &&
      known.runtime[RUNTIME_KEYS.key] === task.key &&
      (created.has(known.id) || canStandFor(known, task, plan)),
  );
}

/** The status message of another launch's draft that this launch has queued: so it can tell that nobody else has. */
export function noteTakeover({ token }: Pick<Launch, 'token'>): string {
  return `${TAKEOVER_NOTE}${token}`;
}

/** Whether a status message says that some launch has queued another one's draft. */
export function isTakeoverNote(statusMessage: string): boolean {
  return statusMessage.startsWith(TAKEOVER_NOTE);
}

const TAKEOVER_NOTE = 'queued by launch ';

/** @returns undefined where the launch that owns the draft has removed it, and there is no other */
async function enqueueOnce(
  task: PlannedTask,
  draft: KnownTask,
  queueId: string,
  launch: Launch,
): Promise<{ readonly task: KnownTask; readonly isWatched: boolean | undefined } | undefined> {
  const { server, clock, created, takenOver, contested } = launch;
  const { client, signal } = server;
  let current = draft;
  let isLost = false;
  for (;;) {
    const isOurs = created.has(current.id);
    if (!isOurs && !takenOver.has(current.id)) {
      await adoptTask(current, task, launch);
      takenOver.set(current.id, listSigns(current));
    }
    const note = isOurs ? undefined : noteTakeover(launch);
    const outcome = await enqueueTask(client, current.id, queueId, { signal, note });
    if ('isWatched' in outcome) return { task: current, isWatched: outcome.isWatched };
    const failure = 'lost' in outcome ? outcome.lost : failContested(current.id, outcome.raced);
    if (clock.now() + LANDING_MS >= launch.deadlineMs) throw failure;
    if ('lost' in outcome) {
      isLost = true;
      launch.hasLostAnswers = true;
      await clock.sleep(LANDING_MS, signal);
    }
    // After a lost request it may be that one which was faster.
    if (!isLost) contested.add(current.id);
    const settled = await settleRace(task, current, launch, failure);
    if (settled === undefined) return undefined;
    current = settled.task;
    if (!settled.isPlaced) continue;
    if (!isLost) await markShared(server, current, launch.token);
    return { task: current, isWatched: undefined };
  }
}

/** Between two looks at a task that others are queuing. */
const RACE_PAUSE_MS = 100;
/** A task that is `queued` and in no queue for this long is not about to be: neither by a launch, nor taken by an agent. */
const IN_BETWEEN_MS = 2000;

/**
 * Looks what became of a task after an enqueue that failed or was overtaken, and takes a draft out of the queue that
 * holds it all the same. `isPlaced`: it is queued, running or ended; else it is to be enqueued again.
 *
 * @returns undefined where there is no such task any more
 * @throws the failure, when the time is up
 */
async function settleRace(
  task: PlannedTask,
  raced: KnownTask,
  launch: Launch,
  failure: Failure,
): Promise<{ readonly task: KnownTask; readonly isPlaced: boolean } | undefined> {
  const { plan, server, clock, deadlineMs } = launch;
  const { client, signal } = server;
  const beganAtMs = clock.now();
  for (;;) {
    // Read before the status: a task is `queued` before it is in a queue. So a draft in a queue was set back.
    const [entry] = await findEntries(client, [raced.id], { signal });
    const found = await findTasksByKey(server, [task.key], plan.pipelineHash);
    const known = chooseTask(filterCandidates(found, task, launch));
    if (known === undefined) return undefined;
    const isDraft = known.status === 'created';
    if (known.id !== raced.id || (!isDraft && known.status !== 'queued'))
      return { task: known, isPlaced: !isDraft };
    if (entry === undefined && (isDraft || clock.now() - beganAtMs >= IN_BETWEEN_MS)) {
      await clock.sleep(SETTLING_MS, signal);
      return { task: known, isPlaced: false };
    }
    if (entry !== undefined && !isDraft) return { task: known, isPlaced: true };
    // Of several launches that mend it, the one that takes it out enqueues it.
    if (entry !== undefined && (await removeEntry(client, entry, { signal })))
      return { task: known, isPlaced: false };
    if (clock.now() + LANDING_MS >= deadlineMs) throw failure;
    await clock.sleep(RACE_PAUSE_MS, signal);
  }
}

/** Deletes drafts of this launch that landed after we had given them up. */
async function removeLateArrivals(
  { plan, server, clock, token }: Launch,
  kept: ReadonlySet<string>,
): Promise<void> {
  await clock.sleep(LANDING_MS, server.signal);
  const keys = plan.tasks.map((task) => task.key);
  for (const task of await findTasksByKey(server, keys, plan.pipelineHash)) {
    if (task.runtime[RUNTIME_KEYS.launch] === token && !kept.has(task.id)) await deleteDraft(server, task.id);
  }
}

function describeReused({ seed }: PlannedTask, known: KnownTask, survey: Survey): LaunchedTask {
  const { id, projectId, status, queueId } = known;
  const queue = (status === 'queued' && survey.otherQueues.get(queueId ?? '')) || survey.queue;
  const index = queue.entries.indexOf(id);
  const position = status === 'queued' && index >= 0 ? index + 1 : undefined;
  return { id, projectId, seed, known, status, queue, workers: queue.workers.length, position };
}

/** Throws the first failure only after all have ended, so that nothing goes on in the background. */
async function settleAll(promises: ReadonlyArray<Promise<void>>): Promise<void> {
  for (const outcome of await Promise.allSettled(promises)) {
    if (outcome.status === 'rejected') throw outcome.reason;
  }
}

function failContested(taskId: string, cause: Failure): Failure {
  return new Failure(`other launches were queuing task ${taskId} at the same time until the time was up`, {
    exitCode: EXIT_CODES.unavailable,
    remedy: 'ClearML answers slowly. Run this step again: it finds the task.',
    cause,
  });
}

function failVanished(): Failure {
  return new Failure('somebody removed the task again and again before it could be queued', {
    exitCode: EXIT_CODES.unavailable,
    remedy:
      'Run this step again. If it happens again, find out who or what deletes drafts from the ClearML project.',
  });
}
