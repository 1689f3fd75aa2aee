import * as v from 'valibot';
import { isPodQueue } from '../training/kubernetes.ts';
import type { QueueState } from '../training/task-life.ts';
import { type CallOptions, type ClearmlClient, isRefusal } from './client.ts';
import { listOf, PAGE_SIZE, TextSchema } from './fields.ts';

const ReferenceSchema = v.object({ id: v.string() });
const WorkerSchema = v.fallback(
  v.object({ name: TextSchema, task: v.fallback(v.nullish(ReferenceSchema), undefined) }),
  { name: '', task: undefined },
);
const QueueSchema = v.pipe(
  v.object({
    id: v.string(),
    name: TextSchema,
    system_tags: listOf(v.string()),
    /** The task is an id, or where the server joins the task an object with its id. */
    entries: v.nullish(v.array(v.object({ task: v.union([v.string(), ReferenceSchema]) })), []),
    // A worker counts whatever it tells of itself.
    workers: listOf(WorkerSchema),
  }),
  v.transform(
    ({ id, name, system_tags: tags, entries, workers }): QueueState => ({
      id,
      name,
      entries: entries.map(({ task }) => (typeof task === 'string' ? task : task.id)),
      workers: workers.map((worker) => ({ name: worker.name, taskId: worker.task?.id })),
      ...(isPodQueue(name, tags) ? { isForPods: true } : {}),
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

/** A task's place in a queue. The status is another thing: enqueues at the same time can leave a draft in a queue. */
export interface QueueEntry {
  readonly taskId: string;
  readonly queueId: string;
}

/** The first queue that holds each of these tasks, whatever its status. Those in no queue are left out. */
export async function findEntries(
  client: ClearmlClient,
  taskIds: readonly string[],
  options: Omit<CallOptions, 'isRepeatable'>,
): Promise<QueueEntry[]> {
  const queues = await findQueues(client, { page: 0, page_size: PAGE_SIZE }, options);
  return taskIds.flatMap((taskId) => {
    const queue = queues.find(({ entries }) => entries.includes(taskId));
    return queue === undefined ? [] : [{ taskId, queueId: queue.id }];
  });
}

/** Takes a task out of a queue and leaves its status. False where it is not in there (any more). */
export async function removeEntry(
  client: ClearmlClient,
  { taskId, queueId }: QueueEntry,
  options: Omit<CallOptions, 'isRepeatable'>,
): Promise<boolean> {
  try {
    const body = { queue: queueId, task: taskId };
    await client.call('queues.remove_task', body, v.unknown(), { ...options, isRepeatable: true });
    return true;
  } catch (error) {
    if (!isRefusal(error, 'not in queue')) throw error;
    return false;
  }
}
