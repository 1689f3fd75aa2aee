import * as v from 'valibot';
import { isUsedByOthers } from '../training/ownership.ts';

import { RUNTIME_KEYS, tagPullRequest } from '../training/task.ts';
import { type ClearmlClient, ClearmlRefusal } from './client.ts';

const TasksSchema = v.object({
  tasks: v.array(
    v.object({
      id: v.string(),
      tags: v.optional(v.array(v.string()), []),
      runtime: v.optional(v.record(v.string(), v.unknown()), {}),
    }),
  ),
});

const Anything = v.unknown();

/**
 * Takes a pull request's tag off tasks that others use too: whoever is the last to give one up ends it.
 *
 * @param ids at most 500
 * @returns those launched for a pull request that nobody uses any more, as read afterwards: of two that give a task up
 *   at the same time, one at least sees that
 */
export async function releaseTasks(
  client: ClearmlClient,
  ids: readonly string[],
  pullRequest: number,
  signal: AbortSignal,
): Promise<string[]> {
  if (ids.length === 0) return [];
  const options = { isRepeatable: true, signal };
  for (const id of ids) {
    try {
      const body = { ids: [id], remove_tags: [tagPullRequest(pullRequest)] };
      await client.call('tasks.update_tags', body, Anything, options);
    } catch (error) {
      // Deleted meanwhile (recording 197).
      if (!(error instanceof ClearmlRefusal && error.is(400, 101))) throw error;
    }
  }
  const query = { id: ids, only_fields: ['id', 'tags', 'runtime'], page: 0, page_size: 500 };
  const { tasks } = await client.call('tasks.get_all', query, TasksSchema, options);
  return tasks
    .filter(
      (task) =>
        ids.includes(task.id) &&
        task.runtime[RUNTIME_KEYS.pullRequest] !== undefined &&
        !isUsedByOthers(task, pullRequest),
    )
    .map(({ id }) => id);
}
