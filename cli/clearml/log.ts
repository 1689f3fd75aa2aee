import * as v from 'valibot';
import type { LogPage, ReadLogPage } from '../training/console-log.ts';
import type { ClearmlClient } from './client.ts';

/** A page of thousands of lines takes its time. */
const LARGE_ANSWER_TIMEOUT_MS = 30_000;

const PageSchema = v.object({
  events: v.array(
    v.object({ timestamp: v.number(), worker: v.nullish(v.string(), ''), msg: v.nullish(v.string(), '') }),
  ),
  total: v.fallback(v.number(), 0),
});

/** Reads a task's console forward in time: `navigate_earlier` is true by default, which reads backward (recording 156). */
export function createLogPageReader(
  client: ClearmlClient,
  taskId: string,
  signal?: AbortSignal,
): ReadLogPage {
  return async (afterMs, batchSize) => {
    const page = await client.call(
      'events.get_task_log',
      { task: taskId, batch_size: batchSize, order: 'asc', navigate_earlier: false, from_timestamp: afterMs },
      PageSchema,
      { isRepeatable: true, signal, timeoutMs: LARGE_ANSWER_TIMEOUT_MS },
    );
    return toLogPage(page);
  };
}

/**
 * The newest messages of a task's console, oldest first.
 *
 * @param batchSize how many; all that share the oldest one's time are in
 */
export async function readLogEnd(
  client: ClearmlClient,
  taskId: string,
  batchSize: number,
  signal?: AbortSignal,
): Promise<LogPage> {
  const page = await client.call(
    'events.get_task_log',
    { task: taskId, batch_size: batchSize, order: 'asc', navigate_earlier: true },
    PageSchema,
    { isRepeatable: true, signal, timeoutMs: LARGE_ANSWER_TIMEOUT_MS },
  );
  return toLogPage(page);
}

function toLogPage(page: v.InferOutput<typeof PageSchema>): LogPage {
  return {
    events: page.events.map((event) => ({
      timestampMs: event.timestamp,
      worker: event.worker,
      text: event.msg,
    })),
    total: page.total,
  };
}
