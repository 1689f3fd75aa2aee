import * as v from 'valibot';
import { type CallOptions, type ClearmlClient, ClearmlRefusal, isRefusal } from './client.ts';
import { readTasks, type TaskOf } from './tasks.ts';

/** What to note in a task's `runtime`. */
export interface Notes {
  readonly set?: Readonly<Record<string, string>>;
  readonly remove?: readonly string[];
  /** The task's `runtime` as last seen. What is another since, somebody else has noted: it is left. */
  readonly before?: Readonly<Record<string, string>>;
}

/** The SDK of a running training now and then writes back all of `runtime` as it read it: a note may get lost. */
const MAX_ATTEMPTS = 3;
/** So long the SDK may take from reading to writing (findings/clearml-runtime-write-back.sh): two requests. */
const WRITE_BACK_MS = 500;

/**
 * Notes something in an unfinished task's `runtime`, where the agent leaves it alone. It is read back, and noted again if
 * it got lost. Once a task has ended, the server takes tags only.
 *
 * @param sleep waits until what the SDK of a running task has read before the note is written back
 * @param isRunning whether the task was running when last seen. One that is found to run now has just begun: it writes most then
 * @returns the task as it was read back; undefined where it has ended or is gone, or the server can't do it (before API 2.34)
 */
export async function noteInRuntime(
  client: ClearmlClient,
  taskId: string,
  notes: Notes,
  {
    sleep,
    isRunning = false,
    ...options
  }: Omit<CallOptions, 'isRepeatable'> & {
    readonly sleep?: ((ms: number) => Promise<void>) | undefined;
    readonly isRunning?: boolean;
  },
): Promise<TaskOf<'status' | 'runtime'> | undefined> {
  const { set = {}, remove = [], before } = notes;
  const look = async () => (await readTasks(client, [taskId], ['status', 'runtime'], options)).get(taskId);
  let mayWrite = isRunning;
  for (let attempt = 1; ; attempt += 1) {
    if (!(await editRuntime(client, taskId, notes, options))) return undefined;
    let task = mayWrite ? undefined : await look();
    if (sleep !== undefined) mayWrite ||= task?.status === 'in_progress';
    if (mayWrite) {
      await sleep?.(WRITE_BACK_MS);
      task = await look();
    }
    if (task === undefined) return undefined;
    const { runtime } = task;
    // Launches at the same time would else overwrite each other in turn.
    const isOthers = (key: string) =>
      before !== undefined && runtime[key] !== undefined && runtime[key] !== before[key];
    const isKept =
      Object.entries(set).every(([key, value]) => runtime[key] === value || isOthers(key)) &&
      remove.every((key) => runtime[key] === undefined);
    if (isKept || attempt >= MAX_ATTEMPTS) return task;
  }
}

/**
 * The same without a second look.
 *
 * @returns false where the task has ended or is gone; undefined where the server can't do it (before API 2.34)
 */
export async function editRuntime(
  client: ClearmlClient,
  taskId: string,
  { set = {}, remove = [] }: Notes,
  options: Omit<CallOptions, 'isRepeatable'>,
): Promise<boolean | undefined> {
  const body = {
    task: taskId,
    ...(Object.keys(set).length === 0 ? {} : { add_or_update: set }),
    ...(remove.length === 0 ? {} : { remove }),
  };
  try {
    await client.call('tasks.edit_runtime', body, v.unknown(), { ...options, isRepeatable: true });
    return true;
  } catch (error) {
    if (isRefusal(error, 'no such task', 'wrong status')) return false;
    if (isUnknownEndpoint(error)) return undefined;
    throw error;
  }
}

function isUnknownEndpoint(error: unknown): boolean {
  return error instanceof ClearmlRefusal && error.code === 404;
}
