import * as v from 'valibot';
import type { Failure } from '../shell/failure.ts';
import { AnswerLost } from '../shell/retry.ts';
import { type CallOptions, type ClearmlClient, isRefusal } from './client.ts';
import { findEntries, removeEntry } from './queues.ts';
import { readTasks, runInParallel } from './tasks.ts';

const EnqueuedSchema = v.object({ queue_watched: v.optional(v.boolean()) });

/**
 * Puts a task into a queue. `isWatched`: whether a worker listens to it. `lost`: it is unknown whether the task is
 * queued. `raced`: somebody else was faster, or at it at the same time; it may be queued, running, ended, deleted, or a
 * draft that is in the queue all the same.
 *
 * @param note the status message of the queued task; default none
 */
export async function enqueueTask(
  client: ClearmlClient,
  taskId: string,
  queueId: string,
  { note, ...options }: Omit<CallOptions, 'isRepeatable'> & { readonly note?: string | undefined },
): Promise<
  { readonly isWatched: boolean | undefined } | { readonly lost: Failure } | { readonly raced: Failure }
> {
  try {
    const body = {
      task: taskId,
      queue: queueId,
      verify_watched_queue: true,
      ...(note === undefined ? {} : { status_message: note }),
    };
    const { queue_watched: isWatched } = await client.call('tasks.enqueue', body, EnqueuedSchema, {
      ...options,
      isRepeatable: false,
    });
    return { isWatched };
  } catch (error) {
    if (error instanceof AnswerLost) return { lost: error };
    const isRace = isRefusal(
      error,
      'queued already',
      'not in queue',
      'overtaken',
      'wrong status',
      'no such task',
    );
    if (isRace) return { raced: error };
    throw error;
  }
}

/**
 * Enqueues again those drafts that are in a queue all the same: a worker would run them unseen, and ClearML refuses to
 * enqueue or dequeue them.
 *
 * @returns the tasks that are in a queue
 */
export async function mendDrafts(
  client: ClearmlClient,
  ids: readonly string[],
  options: Omit<CallOptions, 'isRepeatable'>,
): Promise<string[]> {
  const entries = await findEntries(client, ids, options);
  if (entries.length === 0) return [];
  const queued = entries.map(({ taskId }) => taskId);
  // Read after the queues: a task is `queued` before it is in one. So a draft among them was set back.
  const tasks = await readTasks(client, queued, ['status'], options);
  const stranded = entries.filter(({ taskId }) => tasks.get(taskId)?.status === 'created');
  await runInParallel(stranded, async (entry) => {
    // Where somebody else mends it, the next look shows what became of it.
    if (await removeEntry(client, entry, options))
      await enqueueTask(client, entry.taskId, entry.queueId, options);
  });
  return queued;
}
