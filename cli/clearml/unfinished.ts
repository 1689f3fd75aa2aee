import { identifyRepository } from '../shell/git-url.ts';
import { isUsedByPullRequest, type PullRequestTasks } from '../training/ownership.ts';
import { hashText } from '../training/pipeline.ts';
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

/**
 * Likewise what was launched for a pull request in this repository's other pipelines: it may have renamed its own. A task is
 * the repository's by the code that it runs, or by what is due.
 *
 * @param repository host/owner/name
 */
export async function findUnfinishedElsewhere(
  client: ClearmlClient,
  { pipeline, pullRequest }: PullRequestTasks,
  repository: string,
  options: Omit<CallOptions, 'isRepeatable'>,
): Promise<Array<TaskOf<'status' | 'runtime'>>> {
  const { pullRequest: owner, due } = RUNTIME_KEYS;
  const filter = {
    status: UNFINISHED,
    [`runtime.${owner}`]: String(pullRequest),
    order_by: ['created'],
  };
  const place = await hashText(repository);
  const fields = ['status', 'runtime', 'script.repository'] as const;
  return (await findTasks(client, filter, fields, options)).filter(({ status, runtime, script }) => {
    const { repository: cloneUrl = '' } = script;
    const isHere = runtime[due] === place || identifyRepository(cloneUrl) === repository;
    const other = runtime[RUNTIME_KEYS.pipeline] ?? pipeline;
    return (
      UNFINISHED.includes(status) && runtime[owner] === String(pullRequest) && isHere && other !== pipeline
    );
  });
}
