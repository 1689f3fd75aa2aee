import * as v from 'valibot';
import { isUsedByOthers } from '../training/ownership.ts';
import { RUNTIME_KEYS, tagPullRequest } from '../training/task.ts';
import { type ClearmlClient, isRefusal } from './client.ts';
import { readTasks } from './tasks.ts';

/**
 * Removes a pull request's tag from tasks that others use too. The last one to release a task ends it.
 *
 * @returns ids of the tasks of pull requests that nobody uses any more. They are read afterwards, so of two releases at
 *   the same time at least one sees it
 */
export async function releaseTasks(
  client: ClearmlClient,
  ids: readonly string[],
  pullRequest: number,
  signal: AbortSignal,
): Promise<string[]> {
  for (const id of ids) {
    try {
      const body = { ids: [id], remove_tags: [tagPullRequest(pullRequest)] };
      await client.call('tasks.update_tags', body, v.unknown(), { isRepeatable: true, signal });
    } catch (error) {
      // It was deleted meanwhile.
      if (!isRefusal(error, 'no such task')) throw error;
    }
  }
  const tasks = await readTasks(client, ids, ['tags', 'runtime'], { signal });
  return [...tasks.values()]
    .filter(
      (task) => task.runtime[RUNTIME_KEYS.pullRequest] !== undefined && !isUsedByOthers(task, pullRequest),
    )
    .map(({ id }) => id);
}
