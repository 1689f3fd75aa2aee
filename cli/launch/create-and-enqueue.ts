import { EXIT_CODES, Failure } from '../shell/failure.ts';
import type { Clock } from '../shell/world.ts';
import { chooseMarks } from '../training/history-mark.ts';
import { TAKEN_OVER_TAG } from '../training/ownership.ts';
import { isEnded, RUNTIME_KEYS, type TaskStatus, tagPullRequest } from '../training/task.ts';
import type { LaunchPlan, PlannedTask, TaskDocument } from './plan.ts';
import type { KnownTask, LaunchServer, Queue } from './ports.ts';
import { canStandFor, chooseTask } from './reuse.ts';
import type { Survey } from './survey.ts';

export interface LaunchedTask {
  readonly id: string;
  readonly projectId: string | undefined;
  readonly seed: number | undefined;
  /** It was there before this launch. */
  readonly isReused: boolean;
  /** What it was when it was taken; undefined for one that this launch created. */
  readonly known: KnownTask | undefined;
  readonly status: TaskStatus;
  /** The queue it waits in; where it does not wait, the one the launch was asked for. */
  readonly queue: Queue;
  /** Place in the queue, from 1; undefined where it does not wait. */
  readonly position: number | undefined;
}

export interface LaunchResult {
  readonly tasks: readonly LaunchedTask[];
  /** Tasks of the same pull request that this launch makes pointless: to be aborted. */
  readonly superseded: readonly KnownTask[];
  /** Such that others use too: to lose this pull request's tag. */
  readonly givenUp: readonly KnownTask[];
}

export interface LaunchTools {
  readonly server: LaunchServer;
  readonly clock: Clock;
  /** Drawn for this launch; on every task it creates. */
  readonly token: string;
  /** When to stop trying, ms since 1970. */
  readonly deadlineMs: number;
  readonly signal?: AbortSignal;
  /** What this launch has done so far; whoever takes it back reads it. */
  readonly record: LaunchRecord;
}

/** What a launch has done, for whoever has to take it back. */
export interface LaunchRecord {
  /** Tasks it has created, as far as that was answered. */
  readonly created: Set<string>;
  /** Drafts of others that it has asked to be queued, with the tags they had before. */
  readonly takenOver: Map<string, readonly string[]>;
  /** Whether some request that changes something was never answered. */
  hasLostAnswers: boolean;
}

/** A record in which nothing has been done yet. */
export function createLaunchRecord(): LaunchRecord {
  return { created: new Set(), takenOver: new Map(), hasLostAnswers: false };
}

/**
 * Carries a plan out: what is not there yet is created and queued, once. Each key ends with one queued or running
 * task, however many launches run at once and whichever answers get lost. Either every planned task is there at the
 * end, or this throws and the caller takes back what `tools.record` and the token name.
 */
export async function carryOutLaunch(
  plan: LaunchPlan,
  survey: Survey,
  tools: LaunchTools,
): Promise<LaunchResult> {
  const { server, clock, record } = tools;
  const launched = new Map<PlannedTask, LaunchedTask>();
  let reusable: ReadonlyMap<PlannedTask, KnownTask> = survey.reusable;
  for (;;) {
    const open = plan.tasks.filter((task) => !launched.has(task));
    if (open.length === 0) break;
    // Only the last round's failure counts: a draft that somebody removed meanwhile is created again.
    if (clock.now() + LANDING_MS >= tools.deadlineMs) throw failVanished();
    await launchRound(open, reusable, plan, survey, tools, launched);
    reusable = new Map();
  }

  const tasks = plan.tasks.map((task) => launched.get(task)).filter((task) => task !== undefined);
  const kept = new Set(tasks.map((task) => task.id));
  if (record.hasLostAnswers) await removeLateArrivals(plan, tools, kept);
  await tagReused(plan, tasks, server);
  return {
    tasks,
    superseded: survey.superseded.filter((task) => !kept.has(task.id)),
    givenUp: survey.givenUp.filter((task) => !kept.has(task.id)),
  };
}

/** Launches what it can of the open tasks; one whose draft vanishes under its hands stays open. */
async function launchRound(
  open: readonly PlannedTask[],
  reusable: ReadonlyMap<PlannedTask, KnownTask>,
  plan: LaunchPlan,
  survey: Survey,
  tools: LaunchTools,
  launched: Map<PlannedTask, LaunchedTask>,
): Promise<void> {
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
    const projectId = survey.projectId ?? (await tools.server.ensureProject(plan.project));
    await settleAll(missing.map((task) => createOnce(task, projectId, plan, tools)));
  }
  const drafts: Array<readonly [PlannedTask, KnownTask]> = [];
  for (const [task, known] of await chooseAmongContenders([...waiting], plan, tools)) {
    if (known.status === 'created') drafts.push([task, known]);
    else launched.set(task, describeReused(task, known, survey));
  }
  const { queue } = survey;
  let place = queue.taskIds.length + [...launched.values()].filter((task) => !task.isReused).length;
  await settleAll(
    drafts.map(async ([task, draft]) => {
      const outcome = await enqueueOnce(task, draft, queue, plan, tools);
      if (outcome === undefined) return;
      place += 1;
      const isDraft = outcome.task.status === 'created';
      launched.set(task, {
        id: outcome.task.id,
        projectId: outcome.task.projectId,
        seed: task.seed,
        isReused: !tools.record.created.has(outcome.task.id),
        known: tools.record.created.has(outcome.task.id) ? undefined : outcome.task,
        status: isDraft ? 'queued' : outcome.task.status,
        queue: outcome.isWatched === true && queue.workers === 0 ? { ...queue, workers: 1 } : queue,
        position: isDraft || outcome.task.status === 'queued' ? place : undefined,
      });
    }),
  );
}

/** How often a create whose answer got lost is sent again. The deadline usually comes first. */
const MAX_CREATE_ATTEMPTS = 6;

/** What a request that is still under way on the server is given before we look whether it landed. */
const LANDING_MS = 1000;

async function createOnce(
  task: PlannedTask,
  projectId: string,
  plan: LaunchPlan,
  { server, clock, token, deadlineMs, signal, record }: LaunchTools,
): Promise<void> {
  const document: TaskDocument = {
    ...task.document,
    runtime: { ...task.document.runtime, [RUNTIME_KEYS.launch]: token },
  };
  for (let attempt = 1; ; attempt += 1) {
    const outcome = await server.createTask(document, projectId);
    if ('id' in outcome) {
      record.created.add(outcome.id);
      return;
    }
    record.hasLostAnswers = true;
    if (attempt >= MAX_CREATE_ATTEMPTS || clock.now() + LANDING_MS >= deadlineMs) throw outcome.lost;
    await clock.sleep(LANDING_MS, signal);
    const known = await server.findTasksByKey([task.key], plan.pipelineHash);
    const landed = chooseTask(known.filter(({ runtime }) => runtime[RUNTIME_KEYS.launch] === token));
    if (landed !== undefined) {
      record.created.add(landed.id);
      return;
    }
  }
}

/** Time between two looks where another launch has a draft of the same key: it may be about to queue it. */
const SETTLING_MS = 400;

/**
 * Looks again by key after creating: a task that is queued or further beats a draft, among drafts the oldest wins, and
 * ours that lost are deleted. Where somebody else's draft is in the race, the look is taken twice, since that launch
 * may have looked before our draft was there. A task of which nothing is left is not in the answer.
 */
async function chooseAmongContenders(
  contenders: readonly PlannedTask[],
  plan: LaunchPlan,
  { server, clock, signal, record }: LaunchTools,
): Promise<Map<PlannedTask, KnownTask>> {
  const { created } = record;
  const keys = contenders.map((task) => task.key);
  const look = async () => {
    const found = await server.findTasksByKey(keys, plan.pipelineHash);
    return contenders.map((task) => [task, filterCandidates(found, task, plan, created)] as const);
  };
  let candidates = await look();
  const isContested = candidates.some(
    ([, known]) =>
      known.some((task) => created.has(task.id)) &&
      known.some((task) => task.status === 'created' && !created.has(task.id)),
  );
  if (isContested) {
    await clock.sleep(SETTLING_MS, signal);
    candidates = await look();
  }
  const chosen = new Map<PlannedTask, KnownTask>();
  for (const [task, known] of candidates) {
    const winner = chooseTask(known);
    if (winner === undefined) continue;
    chosen.set(task, winner);
    const losers = known.filter((loser) => loser.id !== winner.id && created.has(loser.id));
    await Promise.all(losers.map((loser) => server.deleteDraft(loser.id)));
  }
  return chosen;
}

function filterCandidates(
  found: readonly KnownTask[],
  task: PlannedTask,
  plan: LaunchPlan,
  created: ReadonlySet<string>,
): KnownTask[] {
  return found.filter(
    (known) =>
      known.runtime[RUNTIME_KEYS.key] === task.key &&
      (created.has(known.id) || canStandFor(known, task, plan)),
  );
}

/** @returns undefined where the draft was removed by the launch that it belonged to, and no other is left */
async function enqueueOnce(
  task: PlannedTask,
  draft: KnownTask,
  queue: Queue,
  plan: LaunchPlan,
  { server, clock, deadlineMs, signal, record }: LaunchTools,
): Promise<{ readonly task: KnownTask; readonly isWatched: boolean | undefined } | undefined> {
  let current = draft;
  for (;;) {
    if (!record.created.has(current.id) && !record.takenOver.has(current.id)) {
      await markTakenOver(current, plan, server);
      record.takenOver.set(current.id, current.tags);
    }
    const outcome = await server.enqueueTask(current.id, queue.id);
    if ('isWatched' in outcome) return { task: current, isWatched: outcome.isWatched };
    const failure = 'lost' in outcome ? outcome.lost : outcome.moved;
    if (clock.now() + LANDING_MS >= deadlineMs) throw failure;
    if ('lost' in outcome) {
      record.hasLostAnswers = true;
      await clock.sleep(LANDING_MS, signal);
    }
    // Did it land? Or was the draft that we had taken over removed by the launch it belonged to?
    const found = await server.findTasksByKey([task.key], plan.pipelineHash);
    const winner = chooseTask(filterCandidates(found, task, plan, record.created));
    if (winner === undefined) return undefined;
    current = winner;
    if (current.status !== 'created') return { task: current, isWatched: undefined };
  }
}

/** Before a draft of another launch is queued: that launch must not take it back any more. */
async function markTakenOver(draft: KnownTask, plan: LaunchPlan, server: LaunchServer): Promise<void> {
  const tag = plan.pullRequest === undefined ? TAKEN_OVER_TAG : tagPullRequest(plan.pullRequest);
  if (!draft.tags.includes(tag)) await server.changeTags(draft.id, { add: [tag] });
}

/** Deletes drafts of this launch that landed after we had given them up. */
async function removeLateArrivals(
  plan: LaunchPlan,
  { server, clock, token, signal }: LaunchTools,
  kept: ReadonlySet<string>,
): Promise<void> {
  await clock.sleep(LANDING_MS, signal);
  const keys = plan.tasks.map((task) => task.key);
  for (const task of await server.findTasksByKey(keys, plan.pipelineHash)) {
    if (task.runtime[RUNTIME_KEYS.launch] === token && !kept.has(task.id)) await server.deleteDraft(task.id);
  }
}

/**
 * Reused tasks get this pull request's tag, and that of their group of seeds. Without a pull request they are marked, so
 * that they count for the branch, and so that nobody ends them who has no more use for them.
 */
async function tagReused(
  plan: LaunchPlan,
  tasks: readonly LaunchedTask[],
  server: LaunchServer,
): Promise<void> {
  await Promise.all(
    tasks.map(async ({ known }) => {
      if (known === undefined) return;
      const marks = chooseTagsOfReused(known, plan);
      const add = [...plan.tagsOfReused, ...marks.add].filter((tag) => !known.tags.includes(tag));
      if (add.length > 0) await server.changeTags(known.id, { add, remove: marks.remove });
    }),
  );
}

function chooseTagsOfReused(
  known: KnownTask,
  { historyMark, pullRequest }: LaunchPlan,
): { readonly add: readonly string[]; readonly remove: readonly string[] } {
  const isSafe = isEnded(known.status) || known.runtime[RUNTIME_KEYS.pullRequest] === undefined;
  if (historyMark !== undefined) return chooseMarks({ ...known, isSafe }, historyMark);
  return { add: pullRequest === undefined && !isSafe ? [TAKEN_OVER_TAG] : [], remove: [] };
}

function describeReused(task: PlannedTask, known: KnownTask, survey: Survey): LaunchedTask {
  const queue = (known.status === 'queued' && survey.otherQueues.get(known.queueId ?? '')) || survey.queue;
  const index = queue.taskIds.indexOf(known.id);
  return {
    id: known.id,
    projectId: known.projectId,
    seed: task.seed,
    isReused: true,
    known,
    status: known.status,
    queue,
    position: known.status === 'queued' && index >= 0 ? index + 1 : undefined,
  };
}

/** Waits for all before the first failure is thrown: nothing is left running behind the caller's back. */
async function settleAll<T>(promises: ReadonlyArray<Promise<T>>): Promise<T[]> {
  const outcomes = await Promise.allSettled(promises);
  return outcomes.map((outcome) => {
    if (outcome.status === 'rejected') throw outcome.reason;
    return outcome.value;
  });
}

function failVanished(): Failure {
  return new Failure('the task was removed, again and again, before it could be queued', {
    exitCode: EXIT_CODES.unavailable,
    remedy:
      'Run this step again; if it happens again, look who or what deletes drafts from the ClearML project.',
  });
}
