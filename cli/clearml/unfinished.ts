import { isUsedByPullRequest, type PullRequestTasks } from '../training/ownership.ts';
import { RUNTIME_KEYS, type TaskStatus } from '../training/task.ts';
import type { CallOptions, ClearmlClient } from './client.ts';
import { findTasks, type TaskField, type TaskOf } from './tasks.ts';

const UNFINISHED: readonly TaskStatus[] = ['created', 'queued', 'in_progress'];

/**
 * Drafts, queued and running tasks of a pipeline that a pull request uses, oldest first. A draft may be in a queue all the
 * same, after launches at the same time.
 */
export async function findUnfinished<F extends TaskField>(
  client: ClearmlClient,
  { pipeline, pullRequest }: PullRequestTasks,
  fields: readonly F[],
  options: Omit<CallOptions, 'isRepeatable'>,
): Promise<Array<TaskOf<F | 'status' | 'tags' | 'runtime'>>> {
  const filter = {
    status: UNFINISHED,
    [`runtime.${RUNTIME_KEYS.pipeline}`]: pipeline,
    order_by: ['created'],
  };
  const needed = ['status', 'tags', 'runtime'] as const;
  const found = await findTasks(client, filter, [...new Set([...needed, ...fields])], options);
  // The server ignores a filter that it does not know, and then finds everything.
  return found.filter((task: TaskOf<(typeof needed)[number]>) => {
    const isOurs = task.runtime[RUNTIME_KEYS.pipeline] === pipeline;
    return isOurs && UNFINISHED.includes(task.status) && isUsedByPullRequest(task, pullRequest);
  });
}
