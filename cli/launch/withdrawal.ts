import { type AbortOutcome, abortTasks, createAbortServer, NOTHING_ENDED } from '../clearml/abort.ts';
import { type ClearmlClient, createClearmlClient, type Reach } from '../clearml/client.ts';
import { releaseTasks } from '../clearml/release.ts';
import { findTasks, readTasks, runInParallel, type TaskOf } from '../clearml/tasks.ts';
import { Failure } from '../shell/failure.ts';
import { Interruption } from '../shell/program.ts';
import { listPossibleMarks } from '../training/history-mark.ts';
import { isUsedByOthers } from '../training/ownership.ts';
import { isEnded, RUNTIME_KEYS } from '../training/task.ts';
import { isTakeoverNote, type Launch, type LaunchResult, noteTakeover } from './create-and-enqueue.ts';
import { deleteDraft, readUnfinished } from './server.ts';
import { countEntries, isGivenUp, isSuperseded } from './superseded.ts';

/** How long ending older tasks, or taking back what was created, may take at least. */
const CLEAN_UP_MS = 9_000;

const TASK_FIELDS = ['tags', 'runtime', 'status', 'status_message'] as const;

type FoundTask = TaskOf<(typeof TASK_FIELDS)[number]>;

/**
 * Takes back what a launch has done, whether it was answered or not. Aborts and deletes the tasks it created, and takes
 * drafts of others that it queued out of the queue. Leaves what another pull request uses by now, and what another launch
 * may have handed out. Never throws a Failure: another error is on its way.
 *
 * @param why what has ended the launch
 * @param urlOf the task's page
 * @returns warnings about what is left
 */
export async function takeBackLaunch(
  launch: Launch,
  why: unknown,
  reach: Reach,
  urlOf: (taskId: string) => string,
): Promise<readonly string[]> {
  const { plan, clock } = launch;
  const deadlineMs = clock.now() + CLEAN_UP_MS;
  const client = createClearmlClient({ ...reach, giveUpAt: () => deadlineMs });
  const by = plan.run.runId === undefined ? 'launch' : `launch of run ${plan.run.runId}`;
  const reason = why instanceof Interruption ? `${by} was ${why.message}` : `${by} failed`;
  const messages = new Set<string>();
  try {
    // Twice: a request that was under way when we gave up may be applied a moment later.
    for (let look = 0; look < 2; look += 1) {
      if (look > 0) await clock.sleep(Math.min(1000, Math.max(0, deadlineMs - clock.now())));
      const ours = new Map<string, FoundTask>();
      for (const task of await findDone(client, launch)) {
        const user = findOtherUser(task, launch);
        if (user === undefined) ours.set(task.id, task);
        else messages.add(`leaving task ${task.id} alone: ${user} uses it (${urlOf(task.id)})`);
      }
      if (ours.size === 0) continue;
      const ending = { kind: 'withdrawn', by: '' } as const;
      const options = { clock, reason, ending, seen: ours, deadlineMs };
      const { ended, unconfirmed, taken } = await abortTasks(
        createAbortServer(client),
        [...ours.keys()],
        options,
      );
      await runInParallel(
        ended.filter((id) => isCreatedBy(launch, ours.get(id))),
        (id) => deleteDraft({ client }, id),
      );
      for (const id of taken)
        messages.add(`leaving task ${id} alone: another launch has taken it meanwhile (${urlOf(id)})`);
      for (const id of unconfirmed)
        messages.add(`not confirmed: task ${id} may still run; look at ${urlOf(id)}`);
    }
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    messages.add(
      `not confirmed: project "${plan.project}" may still hold a task of this launch (${error.message}); the next launch of the same code takes it over`,
    );
  }
  return [...messages];
}

/** Who else uses a task, as far as it shows. */
function findOtherUser(task: FoundTask, launch: Launch): string | undefined {
  if (isUsedByOthers(task, launch.plan.run.pullRequest, listSignsToIgnore(task.id, launch)))
    return 'another pull request';
  const { status, status_message: note } = task;
  const isQueuedByOther = isTakeoverNote(note) && note !== noteTakeover(launch);
  // A draft of another launch that has been queued, and not by us.
  const isOwners =
    !isCreatedBy(launch, task) && status !== 'created' && !isEnded(status) && note !== noteTakeover(launch);
  const sharedBy = task.runtime[RUNTIME_KEYS.shared];
  const isShared = launch.contested.has(task.id) || (sharedBy !== undefined && sharedBy !== launch.token);
  return isShared || isQueuedByOther || isOwners ? 'another launch' : undefined;
}

/** What showed before this launch took a draft over who uses it, and what this launch may have added. */
function listSignsToIgnore(taskId: string, { plan, takenOver }: Launch): readonly string[] | undefined {
  const before = takenOver.get(taskId);
  return before === undefined || plan.historyMark === undefined
    ? before
    : [...before, ...listPossibleMarks(plan.historyMark)];
}

async function findDone(client: ClearmlClient, launch: Launch): Promise<FoundTask[]> {
  const fields = TASK_FIELDS;
  const [created, takenOver] = await Promise.all([
    findTasks(client, { [`runtime.${RUNTIME_KEYS.launch}`]: launch.token }, fields, {}),
    readTasks(client, [...launch.takenOver.keys()], fields, {}),
  ]);
  const done = [...created.filter((task) => isCreatedBy(launch, task)), ...takenOver.values()];
  return [...new Map(done.map((task) => [task.id, task])).values()];
}

function isCreatedBy({ token }: Launch, task: FoundTask | undefined): boolean {
  return task?.runtime[RUNTIME_KEYS.launch] === token;
}

/**
 * Ends the tasks that a launch makes pointless, or gives them up where others use them too. Reads them again first:
 * another pull request may use one by now.
 */
export async function endSuperseded(
  { superseded, givenUp }: LaunchResult,
  { plan, clock, deadlineMs: launchDeadlineMs }: Launch,
  reach: Reach,
  signal: AbortSignal,
): Promise<AbortOutcome> {
  const { pullRequest = 0, runId } = plan.run;
  const deadlineMs = Math.max(launchDeadlineMs, clock.now() + CLEAN_UP_MS);
  const client = createClearmlClient({ ...reach, giveUpAt: () => deadlineMs });
  let ids = superseded.map((task) => task.id);
  try {
    const known = new Set([...superseded, ...givenUp].map((task) => task.id));
    const unfinished = await readUnfinished({ client, signal }, { pipeline: plan.pipelineHash, pullRequest });
    const present = countEntries(unfinished, known).filter((task) => known.has(task.id));
    const shared = present.filter((task) => isGivenUp(task, plan)).map((task) => task.id);
    const { unused } = await releaseTasks(client, shared, pullRequest, signal);
    ids = [...present.filter((task) => isSuperseded(task, plan)).map((task) => task.id), ...unused];
    const by = runId === undefined ? 'a newer launch' : `run ${runId}`;
    const reason = `superseded by ${by}: commit ${plan.code.commit.slice(0, 10)} of pull request ${pullRequest}`;
    const ending = { kind: 'superseded', by: plan.code.commit } as const;
    const seen = new Map(present.map((task) => [task.id, task]));
    const options = { clock, reason, ending, seen, deadlineMs, signal };
    const outcome = await abortTasks(createAbortServer(client), ids, options);
    if (outcome.taken.length > 0) await releaseTasks(client, outcome.taken, pullRequest, signal);
    return outcome;
  } catch (error) {
    // The launch itself has succeeded: an old task that can't be ended is only worth a warning.
    if (!(error instanceof Failure)) throw error;
    return { ...NOTHING_ENDED, unconfirmed: ids, lastError: error };
  }
}
