import * as v from 'valibot';
import type { CodeLocation } from '../github/event.ts';
import { type CallOptions, type ClearmlClient, isRefusal } from './client.ts';
import { findEntries } from './queues.ts';
import type { TaskOf } from './tasks.ts';

/**
 * Has a waiting task or a draft train another commit with the same files. It keeps its place in the queue.
 *
 * @param comment the task's new comment; default: it stays
 * @returns `overtaken`: an agent has taken it meanwhile, and may train the former commit; or it is gone
 */
export async function handOverCode(
  client: ClearmlClient,
  task: Pick<TaskOf<'status' | 'script'>, 'id' | 'status' | 'script'>,
  { commit, branch, cloneUrl }: CodeLocation,
  { comment, ...options }: Omit<CallOptions, 'isRepeatable'> & { readonly comment?: string | undefined },
): Promise<'done' | 'overtaken'> {
  // The server replaces the whole script.
  const { tag: _tag, ...others } = task.script;
  const script = { ...others, repository: cloneUrl, branch, version_num: commit };
  const body = { task: task.id, force: true, script, ...(comment === undefined ? {} : { comment }) };
  try {
    await client.call('tasks.edit', body, v.unknown(), { ...options, isRepeatable: true });
  } catch (error) {
    if (isRefusal(error, 'no such task')) return 'overtaken';
    throw error;
  }
  if (task.status === 'created') return 'done';
  // An agent takes the entry first and reads the task afterwards.
  return (await findEntries(client, [task.id], options)).length > 0 ? 'done' : 'overtaken';
}
