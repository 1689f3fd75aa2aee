import { keyOfDue } from '../training/due.ts';
import { isUsedByOthers } from '../training/ownership.ts';
import { RUNTIME_KEYS, tagPullRequest } from '../training/task.ts';
import { chooseCode, isSameCode, keyOfUse } from '../training/uses.ts';
import { type ClearmlClient, isRefusal } from './client.ts';
import { handOverCode } from './hand-over.ts';
import { noteInRuntime } from './notes.ts';
import { changeTags } from './tags.ts';
import { readTasks, runInParallel, type TaskOf } from './tasks.ts';

const TASK_FIELDS = ['tags', 'runtime', 'status', 'script'] as const;

/** What became of tasks that a pull request has given up. */
export interface Released {
  /** Tasks of pull requests that nobody uses any more. */
  readonly unused: readonly string[];
  /** Tasks that an agent took while they were handed to another user: they may train the commit given up. */
  readonly overtaken: readonly string[];
}

/**
 * Gives up tasks that others use too: removes the pull request's notes and tag. One that still waits is handed to a
 * remaining user: the agent may not find our commit any more. The last one to release a task ends it.
 *
 * The tasks are read afterwards, so of two releases at the same time at least one sees that nobody uses it.
 */
export async function releaseTasks(
  client: ClearmlClient,
  ids: readonly string[],
  pullRequest: number,
  signal: AbortSignal,
): Promise<Released> {
  await runInParallel(ids, (id) => removeUse(client, id, pullRequest, signal));
  const tasks = [...(await readTasks(client, ids, TASK_FIELDS, { signal })).values()];
  const isUnused = (task: TaskOf<(typeof TASK_FIELDS)[number]>) =>
    task.runtime[RUNTIME_KEYS.pullRequest] !== undefined && !isUsedByOthers(task, pullRequest);
  const overtaken: string[] = [];
  await runInParallel(
    tasks.filter((task) => task.status === 'queued' && !isUnused(task)),
    async (task) => {
      const { version_num: commit, branch, repository: cloneUrl } = task.script;
      const now = { commit, branch, cloneUrl };
      const code = chooseCode(task.runtime, now);
      if (code === undefined || isSameCode(code, now)) return;
      if ((await handOverCode(client, task, code, { signal })) === 'overtaken') overtaken.push(task.id);
    },
  );
  return { unused: tasks.filter(isUnused).map(({ id }) => id), overtaken };
}

async function removeUse(
  client: ClearmlClient,
  id: string,
  pullRequest: number,
  signal: AbortSignal,
): Promise<void> {
  await noteInRuntime(client, id, { remove: [keyOfUse(pullRequest), keyOfDue(pullRequest)] }, { signal });
  try {
    await changeTags(client, 'tasks', [id], { remove: [tagPullRequest(pullRequest)] }, { signal });
  } catch (error) {
    // It was deleted meanwhile.
    if (!isRefusal(error, 'no such task')) throw error;
  }
}
