import * as v from 'valibot';
import type { QueueState } from '../training/task-life.ts';
import type { CallOptions, ClearmlClient } from './client.ts';
import { listOf, TextSchema } from './fields.ts';

const ReferenceSchema = v.object({ id: v.string() });
const WorkerSchema = v.fallback(
  v.object({ name: TextSchema, task: v.fallback(v.nullish(ReferenceSchema), undefined) }),
  { name: '', task: undefined },
);
const QueueSchema = v.pipe(
  v.object({
    id: v.string(),
    name: TextSchema,
    /** The task is an id, or where the server joins the task an object with its id. */
    entries: v.nullish(v.array(v.object({ task: v.union([v.string(), ReferenceSchema]) })), []),
    // A worker counts whatever it tells of itself.
    workers: listOf(WorkerSchema),
  }),
  v.transform(
    ({ id, name, entries, workers }): QueueState => ({
      id,
      name,
      entries: entries.map(({ task }) => (typeof task === 'string' ? task : task.id)),
      workers: workers.map((worker) => ({ name: worker.name, taskId: worker.task?.id })),
    }),
  ),
);
const QueuesSchema = v.object({ queues: v.array(QueueSchema) });

/** The queues with these ids, if they exist. */
export async function readQueues(
  client: ClearmlClient,
  ids: readonly string[],
  options: Omit<CallOptions, 'isRepeatable'>,
): Promise<Map<string, QueueState>> {
  const wanted = new Set(ids);
  const queues = await findQueues(client, { id: [...wanted] }, options);
  return new Map(queues.filter(({ id }) => wanted.has(id)).map((queue) => [queue.id, queue]));
}

/** The queues that the filter finds, with their entries, workers and the workers' tasks, in one request. */
export async function findQueues(
  client: ClearmlClient,
  filter: Readonly<Record<string, unknown>>,
  options: Omit<CallOptions, 'isRepeatable'>,
): Promise<QueueState[]> {
  const { queues } = await client.call('queues.get_all_ex', filter, QueuesSchema, {
    ...options,
    isRepeatable: true,
  });
  return queues;
}
