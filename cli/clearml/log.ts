import * as v from 'valibot';
import type { LogPage, ReadLogPage } from '../training/console-log.ts';
import type { ClearmlClient } from './client.ts';

/** A page of thousands of lines takes longer. */
const LARGE_ANSWER_TIMEOUT_MS = 30_000;

const PageSchema = v.object({
  events: v.array(
    v.object({ timestamp: v.number(), worker: v.nullish(v.string(), ''), msg: v.nullish(v.string(), '') }),
  ),
  total: v.fallback(v.number(), 0),
});

/** Reads a task's console forward in time. */
export function createLogPageReader(
  client: ClearmlClient,
  taskId: string,
  signal?: AbortSignal,
): ReadLogPage {
  return (afterMs, batchSize) =>
    // The server reads backward by default.
    readLog(client, taskId, batchSize, { navigate_earlier: false, from_timestamp: afterMs }, signal);
}

/**
 * The newest messages of a task's console, oldest first.
 *
 * @param batchSize how many, and more where several share the oldest one's time
 */
export function readLogEnd(
  client: ClearmlClient,
  taskId: string,
  batchSize: number,
  signal?: AbortSignal,
): Promise<LogPage> {
  return readLog(client, taskId, batchSize, { navigate_earlier: true }, signal);
}

async function readLog(
  client: ClearmlClient,
  taskId: string,
  batchSize: number,
  direction: { readonly navigate_earlier: boolean; readonly from_timestamp?: number },
  signal: AbortSignal | undefined,
): Promise<LogPage> {
  const { events, total } = await client.call(
    'events.get_task_log',
    { task: taskId, batch_size: batchSize, order: 'asc', ...direction },
    PageSchema,
    { isRepeatable: true, signal, timeoutMs: LARGE_ANSWER_TIMEOUT_MS },
  );
  return {
    events: events.map(({ timestamp, worker, msg }) => ({ timestampMs: timestamp, worker, text: msg })),
    total,
  };
}
