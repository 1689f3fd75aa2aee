import * as v from 'valibot';
import type { AbortServer, AbortState } from './abort.ts';
import { type ClearmlClient, ClearmlRefusal } from './client.ts';
import { ServerTimeSchema, StatusSchema } from './fields.ts';

/** The server caps a page silently at this many tasks (recordings 324-326). */
const PAGE_SIZE = 500;
const PARALLEL_REQUESTS = 8;

const StatesSchema = v.object({
  tasks: v.array(
    v.object({
      id: v.string(),
      status: StatusSchema,
      status_message: v.nullish(v.string(), ''),
      started: ServerTimeSchema,
      status_changed: ServerTimeSchema,
    }),
  ),
});

const Anything = v.unknown();

/** Ends tasks by ClearML's REST API. */
export function createAbortServer(client: ClearmlClient): AbortServer {
  async function readStates(ids: readonly string[], signal: AbortSignal): Promise<Map<string, AbortState>> {
    const states = new Map<string, AbortState>();
    for (let start = 0; start < ids.length; start += PAGE_SIZE) {
      const page = new Set(ids.slice(start, start + PAGE_SIZE));
      const { tasks } = await client.call(
        'tasks.get_all',
        {
          id: [...page],
          only_fields: ['id', 'status', 'status_message', 'started', 'status_changed'],
          page: 0,
          page_size: PAGE_SIZE,
        },
        StatesSchema,
        { isRepeatable: true, signal },
      );
      for (const task of tasks) {
        // A query that widened would name tasks that are none of our business.
        if (!page.has(task.id)) continue;
        states.set(task.id, {
          status: task.status,
          statusMessage: task.status_message,
          startedAtMs: task.started,
          statusChangedAtMs: task.status_changed,
        });
      }
    }
    return states;
  }

  async function changeEach(
    endpoint: 'tasks.stop' | 'tasks.dequeue',
    ids: readonly string[],
    reason: string,
    signal: AbortSignal,
  ): Promise<void> {
    const queue = [...ids];
    const work = async () => {
      for (let id = queue.shift(); id !== undefined; id = queue.shift()) {
        try {
          await client.call(endpoint, { task: id, status_reason: reason }, Anything, {
            isRepeatable: true,
            signal,
          });
        } catch (error) {
          if (!isPassedOver(error)) throw error;
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(PARALLEL_REQUESTS, queue.length) }, work));
  }

  return {
    readStates,
    stop: (ids, reason, signal) => changeEach('tasks.stop', ids, reason, signal),
    dequeue: (ids, reason, signal) => changeEach('tasks.dequeue', ids, reason, signal),
  };
}

/** Gone (400/101, recording 231), or in a status from which it cannot be stopped (400/110, recording 229). */
function isPassedOver(error: unknown): boolean {
  return error instanceof ClearmlRefusal && (error.is(400, 101) || error.is(400, 110));
}
