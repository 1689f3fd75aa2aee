import { EXIT_CODES } from './exit-code.ts';
import { Failure } from './failure.ts';
import type { LaunchPlan, PlannedTask, TaskDocument } from './launch-plan.ts';
import { RUNTIME_KEYS, type TaskStatus, tagPullRequest } from './task.ts';
import type { Clock } from './world.ts';

/** A queue as ClearML shows it. */
export interface Queue {
  readonly id: string;
  readonly name: string;
  /** Ids of the tasks that wait, first come first. */
  readonly taskIds: readonly string[];
  /** How many workers listen to it. */
  readonly workers: number;
}

/** A task that is there already. */
export interface KnownTask {
  readonly id: string;
  readonly projectId: string | undefined;
  readonly status: TaskStatus;
  /** ms since 1970, by the server's clock. */
  readonly createdMs: number;
  readonly commit: string | undefined;
  readonly tags: readonly string[];
  readonly isArchived: boolean;
  readonly runtime: Readonly<Record<string, string>>;
}

/** What a launch asks of ClearML. Every look-up gives only what really matches: the wire's filters widen silently. */
export interface LaunchServer {
  /** The id of the project of exactly this name. */
  findProject(name: string): Promise<string | undefined>;
  /** Creates the project, or gives the id of the one that somebody created meanwhile. */
  ensureProject(name: string): Promise<string>;
  /** The queue of exactly this name or id. */
  findQueue(nameOrId: string): Promise<Queue | undefined>;
  listQueueNames(): Promise<readonly string[]>;
  /** Tasks with one of these keys, in this pipeline. */
  findTasksByKey(keys: readonly string[], pipelineHash: string): Promise<readonly KnownTask[]>;
  /** Queued and running tasks of a pull request, in this pipeline. */
  findUnfinished(pullRequest: number, pipelineHash: string): Promise<readonly KnownTask[]>;
  /** `lost`: nobody can say whether it was created. */
  createTask(
    document: TaskDocument,
    projectId: string,
  ): Promise<{ readonly id: string } | { readonly lost: Failure }>;
  /**
   * Puts a task into a queue; being in it already is success. `isWatched`: whether a worker listens to it. `lost`:
   * nobody can say whether it is queued; `moved`: it is no draft any more, or gone.
   */
  enqueueTask(
    taskId: string,
    queueId: string,
  ): Promise<
    { readonly isWatched: boolean | undefined } | { readonly lost: Failure } | { readonly moved: Failure }
  >;
  /** Deletes a task that is still a draft; one that is no draft any more, or gone, is left alone. */
  deleteDraft(taskId: string): Promise<void>;
  addTag(taskId: string, tag: string): Promise<void>;
}

export interface LaunchedTask {
  readonly id: string;
  readonly projectId: string | undefined;
  readonly seed: number | undefined;
  /** It was there before this launch. */
  readonly isReused: boolean;
  readonly status: TaskStatus;
  /** Place in the queue, from 1; undefined where it does not wait. */
  readonly position: number | undefined;
}

export interface LaunchResult {
  readonly tasks: readonly LaunchedTask[];
  readonly queue: Queue;
  /** Whether a worker listens to the queue. */
  readonly isWatched: boolean;
  /** Tasks of the same pull request that this launch makes pointless: to be aborted. */
  readonly superseded: readonly KnownTask[];
}

/** What the first look at ClearML shows. */
export interface Survey {
  readonly projectId: string | undefined;
  readonly queue: Queue;
  /** For each planned task, the one that is taken instead of creating it. */
  readonly reusable: ReadonlyMap<PlannedTask, KnownTask>;
  readonly superseded: readonly KnownTask[];
}

/**
 * Looks at ClearML, all at once: project, queue, tasks that can be reused, tasks that are superseded. Changes nothing.
 *
 * @throws Failure (notFound) for an unknown queue, (neverStarted) where a worker is required and none listens
 */
export async function surveyLaunch(plan: LaunchPlan, server: LaunchServer): Promise<Survey> {
  const keys = plan.tasks.map((task) => task.key);
  const [projectId, queue, sameKey, unfinished] = await Promise.all([
    server.findProject(plan.project),
    server.findQueue(plan.queue),
    server.findTasksByKey(keys, plan.pipelineHash),
    plan.supersede && plan.pullRequest !== undefined
      ? server.findUnfinished(plan.pullRequest, plan.pipelineHash)
      : Promise.resolve([]),
  ]);
  if (queue === undefined) throw await failUnknownQueue(plan.queue, server);
  const reusable = new Map<PlannedTask, KnownTask>();
  for (const task of plan.tasks) {
    const known = chooseTask(sameKey.filter((candidate) => isSameTraining(candidate, task, plan)));
    if (known !== undefined) reusable.set(task, known);
  }
  const needsWorker = plan.tasks.some((task) => {
    const status = reusable.get(task)?.status;
    return status === undefined || status === 'created' || status === 'queued';
  });
  if (plan.requireWorker && needsWorker && queue.workers === 0) {
    throw new Failure(`no worker serves the queue "${queue.name}"`, {
      exitCode: EXIT_CODES.neverStarted,
      remedy: `Start one (clearml-agent daemon --queue ${queue.name}), or name another queue; nothing was created.`,
    });
  }
  return { projectId, queue, reusable, superseded: unfinished.filter((task) => isSuperseded(task, plan)) };
}

export interface LaunchTools {
  readonly server: LaunchServer;
  readonly clock: Clock;
  /** Drawn for this launch; on every task it creates. */
  readonly token: string;
  /** When to stop trying, ms since 1970. */
  readonly deadlineMs: number;
  readonly signal?: AbortSignal;
}

/**
 * Carries a plan out: what is not there yet is created and queued, once. Each key ends with one queued or running
 * task, however many launches run at once and whichever answers get lost. Either every planned task is there at the
 * end, or this throws and the caller removes what the launch created (`findByToken`).
 */
export async function carryOutLaunch(
  plan: LaunchPlan,
  survey: Survey,
  tools: LaunchTools,
): Promise<LaunchResult> {
  const { server } = tools;
  const launched = new Map<PlannedTask, LaunchedTask>();
  const drafts = new Map<PlannedTask, KnownTask>();
  for (const [task, known] of survey.reusable) {
    if (known.status === 'created') drafts.set(task, known);
    else launched.set(task, describeReused(task, known, survey.queue));
  }

  const missing = plan.tasks.filter((task) => !survey.reusable.has(task));
  let answersLost = false;
  const created = new Set<string>();
  if (missing.length > 0) {
    const projectId = survey.projectId ?? (await server.ensureProject(plan.project));
    const outcomes = await settleAll(missing.map((task) => createOnce(task, projectId, plan, tools)));
    for (const outcome of outcomes) {
      created.add(outcome.id);
      answersLost ||= outcome.wasLost;
    }
  }

  if (missing.length > 0 || drafts.size > 0) {
    const contenders = [...missing, ...drafts.keys()];
    const chosen = await chooseAmongContenders(contenders, plan, tools, created);
    for (const [task, known] of chosen) {
      if (known.status === 'created') drafts.set(task, known);
      else {
        drafts.delete(task);
        launched.set(task, describeReused(task, known, survey.queue));
      }
    }
  }

  let isWatched = survey.queue.workers > 0;
  let place = survey.queue.taskIds.length;
  await settleAll(
    [...drafts].map(async ([task, draft]) => {
      const outcome = await enqueueOnce(task, draft, survey.queue, plan, tools, created);
      if (outcome.isWatched !== undefined) isWatched = outcome.isWatched;
      answersLost ||= outcome.wasLost;
      place += 1;
      launched.set(task, {
        id: outcome.task.id,
        projectId: outcome.task.projectId,
        seed: task.seed,
        isReused: !created.has(outcome.task.id),
        status: outcome.task.status === 'created' ? 'queued' : outcome.task.status,
        position: place,
      });
    }),
  );

  const tasks = plan.tasks.map((task) => launched.get(task)).filter((task) => task !== undefined);
  if (tasks.length !== plan.tasks.length) throw new Error('a planned task was neither launched nor reused');
  const kept = new Set(tasks.map((task) => task.id));
  if (answersLost) await removeLateArrivals(plan, tools, kept);
  if (plan.pullRequest !== undefined)
    await tagReused(tagPullRequest(plan.pullRequest), plan, survey, tasks, server);
  return {
    tasks,
    queue: survey.queue,
    isWatched,
    superseded: survey.superseded.filter((task) => !kept.has(task.id)),
  };
}

/** How often a create whose answer got lost is sent again. The deadline usually comes first. */
const MAX_CREATE_ATTEMPTS = 6;

/** What a request that is still under way on the server is given before we look whether it landed. */
const LANDING_MS = 1000;

async function createOnce(
  task: PlannedTask,
  projectId: string,
  plan: LaunchPlan,
  { server, clock, token, deadlineMs, signal }: LaunchTools,
): Promise<{ id: string; wasLost: boolean }> {
  const document: TaskDocument = {
    ...task.document,
    runtime: { ...task.document.runtime, [RUNTIME_KEYS.launch]: token },
  };
  for (let attempt = 1; ; attempt += 1) {
    const outcome = await server.createTask(document, projectId);
    if ('id' in outcome) return { id: outcome.id, wasLost: attempt > 1 };
    if (attempt >= MAX_CREATE_ATTEMPTS || clock.now() + LANDING_MS >= deadlineMs) throw outcome.lost;
    await clock.sleep(LANDING_MS, signal);
    const landed = (await server.findTasksByKey([task.key], plan.pipelineHash)).filter(
      (known) => known.runtime[RUNTIME_KEYS.launch] === token,
    );
    const oldest = chooseTask(landed);
    if (oldest !== undefined) return { id: oldest.id, wasLost: true };
  }
}

/** Time between two looks where another launch has a draft of the same key: it may be about to queue it. */
const SETTLING_MS = 400;

/**
 * Looks again by key after creating: a task that is queued or further beats a draft, among drafts the oldest wins, and
 * ours that lost are deleted. Where somebody else's draft is in the race, the look is taken twice, since that launch
 * may have looked before our draft was there.
 */
async function chooseAmongContenders(
  contenders: readonly PlannedTask[],
  plan: LaunchPlan,
  { server, clock, signal }: LaunchTools,
  created: ReadonlySet<string>,
): Promise<Map<PlannedTask, KnownTask>> {
  const look = async () => {
    const found = await server.findTasksByKey(
      contenders.map((task) => task.key),
      plan.pipelineHash,
    );
    return new Map(
      contenders.map((task) => [
        task,
        found
          .filter((known) => isSameTraining(known, task, plan) || created.has(known.id))
          .filter((known) => known.runtime[RUNTIME_KEYS.key] === task.key),
      ]),
    );
  };
  let candidates = await look();
  const isContested = [...candidates.values()].some(
    (known) =>
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
    // The server shows at once what it has created; an empty answer can only mean that somebody removed it.
    if (winner === undefined) throw failVanished();
    chosen.set(task, winner);
    for (const loser of known) {
      if (loser.id !== winner.id && created.has(loser.id)) await server.deleteDraft(loser.id);
    }
  }
  return chosen;
}

async function enqueueOnce(
  task: PlannedTask,
  draft: KnownTask,
  queue: Queue,
  plan: LaunchPlan,
  { server, clock, deadlineMs, signal }: LaunchTools,
  created: ReadonlySet<string>,
): Promise<{ task: KnownTask; isWatched: boolean | undefined; wasLost: boolean }> {
  let current = draft;
  let wasLost = false;
  for (;;) {
    const outcome = await server.enqueueTask(current.id, queue.id);
    if ('isWatched' in outcome) return { task: current, isWatched: outcome.isWatched, wasLost };
    const failure = 'lost' in outcome ? outcome.lost : outcome.moved;
    if (clock.now() + LANDING_MS >= deadlineMs) throw failure;
    if ('lost' in outcome) {
      wasLost = true;
      await clock.sleep(LANDING_MS, signal);
    }
    // Did it land? Or was the draft that we had taken over removed by the launch it belonged to?
    const known = (await server.findTasksByKey([task.key], plan.pipelineHash)).filter(
      (candidate) => isSameTraining(candidate, task, plan) || created.has(candidate.id),
    );
    const winner = chooseTask(known);
    if (winner === undefined) throw failVanished(failure);
    current = winner;
    if (current.status !== 'created') return { task: current, isWatched: undefined, wasLost };
  }
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

async function tagReused(
  tag: string,
  _plan: LaunchPlan,
  survey: Survey,
  tasks: readonly LaunchedTask[],
  server: LaunchServer,
): Promise<void> {
  const tagged = new Set(
    [...survey.reusable.values()].filter((known) => known.tags.includes(tag)).map((known) => known.id),
  );
  await Promise.all(
    tasks.filter((task) => task.isReused && !tagged.has(task.id)).map((task) => server.addTag(task.id, tag)),
  );
}

function describeReused(task: PlannedTask, known: KnownTask, queue: Queue): LaunchedTask {
  const index = queue.taskIds.indexOf(known.id);
  return {
    id: known.id,
    projectId: known.projectId,
    seed: task.seed,
    isReused: true,
    status: known.status,
    position: known.status === 'queued' && index >= 0 ? index + 1 : undefined,
  };
}

/** The further a task has come, the better: what is done need not be waited for, what is queued is ahead of a draft. */
const PREFERENCE: ReadonlyMap<TaskStatus, number> = new Map([
  ['published', 0],
  ['completed', 1],
  ['publishing', 1],
  ['in_progress', 2],
  ['queued', 3],
  ['created', 4],
]);

/** The best of tasks with the same key; the oldest among equals, so that launches at the same time agree. */
export function chooseTask(tasks: readonly KnownTask[]): KnownTask | undefined {
  return [...tasks]
    .filter((task) => PREFERENCE.has(task.status) && !task.isArchived)
    .sort(
      (a, b) =>
        (PREFERENCE.get(a.status) ?? 9) - (PREFERENCE.get(b.status) ?? 9) ||
        a.createdMs - b.createdMs ||
        (a.id < b.id ? -1 : 1),
    )[0];
}

/**
 * Whether a task may stand for a planned one. With `--no-reuse` only what this very workflow run has launched and not
 * finished counts, so that a step that is retried does not train twice.
 */
function isSameTraining(known: KnownTask, task: PlannedTask, plan: LaunchPlan): boolean {
  if (
    known.runtime[RUNTIME_KEYS.key] !== task.key ||
    known.runtime[RUNTIME_KEYS.pipeline] !== plan.pipelineHash
  )
    return false;
  if (plan.reuse) return true;
  const isUnfinished = ['created', 'queued', 'in_progress'].includes(known.status);
  return isUnfinished && plan.run.runId !== undefined && known.runtime[RUNTIME_KEYS.run] === plan.run.runId;
}

/** An unfinished task of the same pull request, of another commit, with none of our keys, from an earlier run. */
export function isSuperseded(task: KnownTask, plan: LaunchPlan): boolean {
  // A draft does not run: it is left for the launch that may want it again.
  if (!['queued', 'in_progress'].includes(task.status)) return false;
  if (plan.pullRequest === undefined || task.runtime[RUNTIME_KEYS.pullRequest] !== String(plan.pullRequest))
    return false;
  if (task.runtime[RUNTIME_KEYS.pipeline] !== plan.pipelineHash) return false;
  if (task.commit === plan.commit) return false;
  if (plan.tasks.some(({ key }) => key === task.runtime[RUNTIME_KEYS.key])) return false;
  if (task.tags.some((tag) => /^pr:\d+$/.test(tag) && tag !== `pr:${plan.pullRequest}`)) return false;
  const theirs = toRunNumber(task.runtime[RUNTIME_KEYS.run]);
  const ours = toRunNumber(plan.run.runId);
  // Without a run number on either side, a task that was there when we looked was created earlier.
  return theirs === undefined || ours === undefined || theirs < ours;
}

function toRunNumber(text: string | undefined): bigint | undefined {
  return text !== undefined && /^\d+$/.test(text) ? BigInt(text) : undefined;
}

/** Waits for all before the first failure is thrown: nothing is left running behind the caller's back. */
async function settleAll<T>(promises: ReadonlyArray<Promise<T>>): Promise<T[]> {
  const outcomes = await Promise.allSettled(promises);
  return outcomes.map((outcome) => {
    if (outcome.status === 'rejected') throw outcome.reason;
    return outcome.value;
  });
}

function failVanished(cause?: unknown): Failure {
  return new Failure('the task was removed by somebody before it could be queued', {
    exitCode: EXIT_CODES.unavailable,
    remedy:
      'Run this step again; if it happens again, look who or what deletes drafts from the ClearML project.',
    cause,
  });
}

async function failUnknownQueue(name: string, server: LaunchServer): Promise<Failure> {
  const names = await server.listQueueNames();
  const { distance } = await import('fastest-levenshtein');
  const nearest = [...names]
    .sort(
      (a, b) => distance(a.toLowerCase(), name.toLowerCase()) - distance(b.toLowerCase(), name.toLowerCase()),
    )
    .slice(0, 5);
  return new Failure(`there is no queue "${name}"`, {
    exitCode: EXIT_CODES.notFound,
    remedy:
      nearest.length === 0
        ? 'This ClearML server has no queues: create one in its web app (Workers & Queues > Queues).'
        : `Nearest existing queues: ${nearest.map((queue) => `"${queue}"`).join(', ')}. Fix --queue (or \`queue\` in the settings file), or create the queue in the web app.`,
  });
}
