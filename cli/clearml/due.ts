import { type DueTo, keyOfDue, listDues, listOpenDues, REPORTED_TAG, tagReported } from '../training/due.ts';
import { isEnded, RUNTIME_KEYS } from '../training/task.ts';
import { type CallOptions, type ClearmlClient, isRefusal } from './client.ts';
import { editRuntime } from './notes.ts';
import { changeTags } from './tags.ts';
import { findTasks, readTasks, type TaskField, type TaskOf } from './tasks.ts';

type RequestOptions = Omit<CallOptions, 'isRepeatable'>;

/**
 * The tasks of a repository that something may be due of, oldest first: one request for every 500. It may be reported
 * already where a task has not ended.
 *
 * @param repository hashed, as launches note it
 */
export async function findDueTasks<F extends TaskField>(
  client: ClearmlClient,
  repository: string,
  fields: readonly F[],
  options: RequestOptions,
): Promise<Array<TaskOf<F | 'status' | 'tags' | 'runtime'>>> {
  const filter = {
    [`runtime.${RUNTIME_KEYS.due}`]: repository,
    tags: ['__$not', REPORTED_TAG],
    order_by: ['created'],
  };
  const needed = ['status', 'tags', 'runtime'] as const;
  const found = await findTasks(client, filter, [...new Set([...needed, ...fields])], options);
  // The server ignores a filter that it does not know, and then finds everything.
  return found.filter(
    ({ runtime, tags }: TaskOf<(typeof needed)[number]>) =>
      runtime[RUNTIME_KEYS.due] === repository && !tags.includes(REPORTED_TAG),
  );
}

/**
 * Notes on a task that is over that its final state was reported to these: a tag where it has ended. A draft, taken out of
 * its queue, may be queued again, so the notes of what is due go. A task of which nothing else is due is found no more.
 *
 * @param task as last seen; nothing is written where it says already that it was reported
 */
export async function markReported(
  client: ClearmlClient,
  task: Pick<TaskOf<'status' | 'runtime'>, 'id' | 'status' | 'runtime'> & {
    readonly tags: readonly string[];
  },
  to: readonly DueTo[],
  options: RequestOptions,
): Promise<void> {
  const { id, status, tags, runtime } = task;
  if (status === 'created') return removeNotes(client, task, to, options);
  if (!isEnded(status)) throw new Error(`task ${id} has not ended`);
  const known = listDues(runtime).map((due) => due.to);
  const add = to.filter((one) => known.includes(one)).map(tagReported);
  const isOver = listOpenDues({ runtime, tags: [...tags, ...add] }).length === 0;
  const isFound = runtime[RUNTIME_KEYS.due] !== undefined;
  const missing = [...add, ...(isOver && isFound ? [REPORTED_TAG] : [])].filter((tag) => !tags.includes(tag));
  if (missing.length === 0) return;
  try {
    await changeTags(client, 'tasks', [id], { add: missing }, options);
  } catch (error) {
    // It was deleted meanwhile: nothing is due of it any more.
    if (!isRefusal(error, 'no such task')) throw error;
  }
}

async function removeNotes(
  client: ClearmlClient,
  { id, runtime }: Pick<TaskOf<'runtime'>, 'id' | 'runtime'>,
  to: readonly DueTo[],
  options: RequestOptions,
): Promise<void> {
  // A launch may take it just now, and note anew what is due of it.
  const now = (await readTasks(client, [id], ['status', 'runtime'], options)).get(id);
  if (now?.status !== 'created') return;
  const gone = to.map(keyOfDue).filter((key) => now.runtime[key] !== undefined);
  if (gone.some((key) => now.runtime[key] !== runtime[key])) return;
  const left = Object.fromEntries(Object.entries(now.runtime).filter(([key]) => !gone.includes(key)));
  const remove = [...gone, ...(listDues(left).length === 0 ? [RUNTIME_KEYS.due] : [])];
  await editRuntime(client, id, { remove }, options);
}
