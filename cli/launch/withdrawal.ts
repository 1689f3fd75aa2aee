import { abortTasks, createAbortServer } from '../clearml/abort.ts';
import type { ClearmlClient } from '../clearml/client.ts';
import { releaseTasks } from '../clearml/release.ts';
import { findTasks, readTasks, runInParallel, type TaskOf } from '../clearml/tasks.ts';
import { Failure } from '../shell/failure.ts';
import type { Clock } from '../shell/world.ts';
import { listPossibleMarks } from '../training/history-mark.ts';
import { isUsedByOthers } from '../training/ownership.ts';
import { RUNTIME_KEYS } from '../training/task.ts';
import type { LaunchRecord, LaunchResult } from './create-and-enqueue.ts';
import type { LaunchPlan } from './plan.ts';
import { createLaunchServer } from './server.ts';
import { isGivenUp, isSuperseded } from './superseded.ts';

type FoundTask = TaskOf<'tags' | 'runtime'>;

/** The tags that a draft had before this launch took it over, and those that this launch may have added. */
function listTagsToIgnore(
  taskId: string,
  { historyMark }: LaunchPlan,
  { takenOver }: LaunchRecord,
): readonly string[] | undefined {
  const before = takenOver.get(taskId);
  return before === undefined || historyMark === undefined
    ? before
    : [...before, ...listPossibleMarks(historyMark)];
}

/** What taking back needs. */
interface TakeBackTools {
  readonly client: ClearmlClient;
  readonly clock: Clock;
  readonly deadlineMs: number;
  /** Shown in ClearML as the tasks' status reason. */
  readonly reason: string;
  /** Where a person can look at a task. */
  readonly urlOf: (taskId: string) => string;
}

/**
 * Takes back what a launch has done, whether it was answered or not: tasks it created are aborted and deleted, drafts of
 * others that it queued are taken out of the queue again. What another pull request has taken for itself meanwhile is
 * left. Never throws a Failure: it runs while another error is on its way.
 *
 * @param token the launch's own, on every task it creates
 * @returns what to tell where something is left
 */
export async function takeBackLaunch(
  plan: LaunchPlan,
  token: string,
  record: LaunchRecord,
  tools: TakeBackTools,
): Promise<readonly string[]> {
  const { client, clock, deadlineMs, reason, urlOf } = tools;
  const messages = new Set<string>();
  try {
    const server = createLaunchServer(client);
    // Twice: a request that was under way when we gave up may be applied a moment later.
    for (let look = 0; look < 2; look += 1) {
      if (look > 0) await clock.sleep(Math.min(1000, Math.max(0, deadlineMs - clock.now())));
      const found = await findDone(client, token, record);
      const ours = found.filter(
        (task) => !isUsedByOthers(task, plan.pullRequest, listTagsToIgnore(task.id, plan, record)),
      );
      for (const task of found) {
        if (!ours.includes(task))
          messages.add(`task ${task.id} is left: another pull request uses it (${urlOf(task.id)})`);
      }
      if (ours.length === 0) continue;
      const ids = ours.map(({ id }) => id);
      const { ended, unconfirmed } = await abortTasks(createAbortServer(client), ids, {
        clock,
        reason,
        deadlineMs,
      });
      const created = new Set(ours.filter((task) => isCreatedBy(task, token)).map(({ id }) => id));
      await runInParallel(
        ended.filter((id) => created.has(id)),
        (id) => server.deleteDraft(id),
      );
      for (const id of unconfirmed)
        messages.add(`that task ${id} has ended could not be confirmed: ${urlOf(id)}`);
    }
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    messages.add(
      `whether a task of this launch is left in project "${plan.project}" could not be found out (${error.message}); the next launch of the same code takes it over`,
    );
  }
  return [...messages];
}

async function findDone(client: ClearmlClient, token: string, record: LaunchRecord): Promise<FoundTask[]> {
  const fields = ['tags', 'runtime'] as const;
  const [created, takenOver] = await Promise.all([
    findTasks(client, { [`runtime.${RUNTIME_KEYS.launch}`]: token }, fields, {}),
    readTasks(client, [...record.takenOver.keys()], fields, {}),
  ]);
  const done = [...created.filter((task) => isCreatedBy(task, token)), ...takenOver.values()];
  return [...new Map(done.map((task) => [task.id, task])).values()];
}

function isCreatedBy(task: FoundTask, token: string): boolean {
  return task.runtime[RUNTIME_KEYS.launch] === token;
}

/**
 * Ends the tasks that a launch makes pointless, or gives them up where others use them too. They are looked at again
 * first: another pull request may have taken one for itself since.
 *
 * @returns what came of each: `ended`, or `unconfirmed` with why
 */
export async function endSuperseded(
  { superseded, givenUp }: Pick<LaunchResult, 'superseded' | 'givenUp'>,
  plan: LaunchPlan,
  tools: {
    readonly client: ClearmlClient;
    readonly clock: Clock;
    readonly deadlineMs: number;
    readonly signal: AbortSignal;
  },
): Promise<{
  readonly ended: readonly string[];
  readonly unconfirmed: readonly string[];
  readonly why: string | undefined;
}> {
  const { client, clock, deadlineMs, signal } = tools;
  let ids = superseded.map((task) => task.id);
  try {
    const pullRequest = plan.pullRequest ?? 0;
    const known = new Set([...superseded, ...givenUp].map((task) => task.id));
    const present = (
      await createLaunchServer(client, signal).findUnfinished(pullRequest, plan.pipelineHash)
    ).filter((task) => known.has(task.id));
    const shared = present.filter((task) => isGivenUp(task, plan)).map((task) => task.id);
    ids = [
      ...present.filter((task) => isSuperseded(task, plan)).map((task) => task.id),
      ...(await releaseTasks(client, shared, pullRequest, signal)),
    ];
    if (ids.length === 0) return { ended: [], unconfirmed: [], why: undefined };
    const by = plan.run.runId === undefined ? 'a newer launch' : `run ${plan.run.runId}`;
    const reason = `superseded by ${by}: commit ${plan.commit.slice(0, 10)} of pull request ${plan.pullRequest}`;
    const { ended, unconfirmed, lastError } = await abortTasks(createAbortServer(client), ids, {
      clock,
      reason,
      deadlineMs,
      signal,
    });
    return { ended, unconfirmed, why: lastError?.message };
  } catch (error) {
    // The launch itself has succeeded: an old task that cannot be ended is worth a warning, not the new one.
    if (!(error instanceof Failure)) throw error;
    return { ended: [], unconfirmed: ids, why: error.message };
  }
}
