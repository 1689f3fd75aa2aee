import * as v from 'valibot';
import { isUsedByOthers } from '../training/ownership.ts';
import { RUNTIME_KEYS, tagPullRequest } from '../training/task.ts';
import { type ClearmlClient, isRefusal } from './client.ts';
import { readTasks } from './tasks.ts';

/**
 * Takes a pull request's tag off tasks that others use too: whoever is the last to give one up ends it.
 *
 * @returns those launched for a pull request that nobody uses any more, as read afterwards: of two that give a task up
 *   at the same time, one at least sees that
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
      // Deleted meanwhile.
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
