import * as v from 'valibot';
import type { QueueState } from '../training/task-life.ts';
import type { CallOptions, ClearmlClient } from './client.ts';
import { TextSchema } from './fields.ts';

const QueueSchema = v.object({
  id: v.string(),
  name: TextSchema,
  /** An entry's task is an id, or where the server joins it an object that has one. */
  entries: v.nullish(v.array(v.object({ task: v.union([v.string(), v.object({ id: v.string() })]) })), []),
  workers: v.fallback(
    v.nullish(v.array(v.object({ name: TextSchema, task: v.nullish(v.object({ id: v.string() })) })), []),
    [],
  ),
});
const QueuesSchema = v.object({ queues: v.array(QueueSchema) });

/** The queues with these ids, those that exist. */
export async function readQueues(
  client: ClearmlClient,
  ids: readonly string[],
  options: Omit<CallOptions, 'isRepeatable'>,
): Promise<Map<string, QueueState>> {
  const wanted = new Set(ids);
  const queues = await findQueues(client, { id: [...wanted] }, options);
  return new Map(queues.filter(({ id }) => wanted.has(id)).map((queue) => [queue.id, queue]));
}

/** The queues that the filter finds, with entries, workers and what these are at, in one request. */
export async function findQueues(
  client: ClearmlClient,
  filter: Readonly<Record<string, unknown>>,
  options: Omit<CallOptions, 'isRepeatable'>,
): Promise<QueueState[]> {
  const { queues } = await client.call('queues.get_all_ex', filter, QueuesSchema, {
    ...options,
    isRepeatable: true,
  });
  return queues.map(toQueueState);
}

function toQueueState({ id, name, entries, workers }: v.InferOutput<typeof QueueSchema>): QueueState {
  return {
    id,
    name,
    entries: entries.map(({ task }) => (typeof task === 'string' ? task : task.id)),
    workers: workers.map((worker) => ({ name: worker.name, taskId: worker.task?.id })),
  };
}
