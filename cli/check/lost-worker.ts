import * as v from 'valibot';
import { type ClearmlClient, ClearmlRefusal } from '../clearml/client.ts';
import { enqueueTask } from '../clearml/enqueue.ts';
import { findEntries, removeEntry } from '../clearml/queues.ts';
import { toSingleLine } from '../text/single-line.ts';
import { readSourceQueue } from '../training/attempt.ts';
import type { Cause } from '../training/cause/cause.ts';
import { isEnded, RUNTIME_KEYS, readRetries } from '../training/task.ts';
import {
  beginLife,
  observeTask,
  type QueueState,
  type TaskLife,
  type WatchedTask,
} from '../training/task-life.ts';
import type { LiveConsole } from './live-console.ts';
import type { Watch } from './watch.ts';

/** Of those who race for one task, one wins each round. */
const MAX_ROUNDS = 5;
const RACE_PAUSE_MS = 1000;

export interface RetryTools {
  readonly client: ClearmlClient;
  readonly watch: Pick<Watch, 'ports'>;
  readonly out: Pick<LiveConsole, 'say' | 'warn'>;
  readonly options: { readonly retries: number };
}

/** A task whose worker was lost, and how often it was enqueued again. */
interface Loss {
  readonly life: TaskLife;
  readonly task: WatchedTask;
  readonly used: number;
  readonly queue: QueueState;
}

/** A task that the server stopped at once was stopped by somebody, whatever its console says. */
export function isLost({ task }: TaskLife, { kind }: Cause): boolean {
  return kind === 'worker-lost' && !/^Stopped by /.test(task?.statusMessage ?? '');
}

/**
 * Enqueues a task whose worker was lost again, as often as the settings allow. Then it is waited for anew.
 *
 * @param log the console of the attempt that was lost
 * @returns the cause that is left to report; undefined where the task goes on
 */
export async function retryLost(
  life: TaskLife,
  cause: Cause,
  log: readonly string[],
  tools: RetryTools,
): Promise<Cause | undefined> {
  const { options, out } = tools;
  const { task } = life;
  if (task === undefined) return cause;
  const used = Math.max(life.retries, readRetries(task.origin.runtime));
  const times = used === 1 ? 'once' : `${used} times`;
  const lost =
    used === 0 ? cause : { ...cause, message: `${cause.message} (it was enqueued again ${times})` };
  if (used >= options.retries) return lost;
  const queue = await findQueue(task, log, tools);
  if (queue === undefined) {
    out.warn(`task ${life.id} lost its worker, and is not enqueued again: its queue is unknown or gone`);
    return lost;
  }
  return (await enqueueAgain({ life, task, used, queue }, tools)) ? undefined : lost;
}

/** The queue that the task was taken from. The Kubernetes glue has moved it since. */
async function findQueue(
  { queueId }: WatchedTask,
  log: readonly string[],
  { watch: { ports } }: RetryTools,
): Promise<QueueState | undefined> {
  const ids = [queueId, readSourceQueue(log)].flatMap((id) => id ?? []);
  if (ids.length === 0) return undefined;
  const read = () => ports.server.readQueues(ids, ports.signal);
  const queues = await ports.patience.run(read, ports.signal);
  return ids.flatMap((id) => queues.get(id) ?? []).find(({ isForPods }) => isForPods !== true);
}

/** @returns whether the task goes on, by us or by somebody else */
async function enqueueAgain(loss: Loss, tools: RetryTools): Promise<boolean> {
  const { life, used, queue } = loss;
  const { server, patience, clock, random, signal } = tools.watch.ports;
  const retry = `retry ${used + 1} of ${tools.options.retries}`;
  const note = `enqueued again after its worker was lost, ${retry}`;
  let isMaybeOurs = false;
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    if (round > 0) await clock.sleep(RACE_PAUSE_MS * (1 + random()), signal);
    const task = (await patience.run(() => server.readTasks([life.id], signal), signal)).get(life.id);
    if (task === undefined) return false;
    if (!isEnded(task.status)) {
      if (isMaybeOurs) await noteRetry(loss, tools);
      else tools.out.say(`Task ${life.id} lost its worker; somebody else has enqueued it again`);
      beginAttempt(life, task, used + 1, clock.now());
      return true;
    }
    if (task.statusChangedAtMs !== loss.task.statusChangedAtMs && !isSetBack(task)) {
      // It has another end by now, which the next look shows.
      beginAttempt(life, task, used, clock.now());
      return true;
    }
    const outcome = await patience.run(
      () => enqueueTask(tools.client, life.id, queue.id, { note, signal }),
      signal,
    );
    if ('isWatched' in outcome) {
      await noteRetry(loss, tools);
      const name = toSingleLine(queue.name, 80);
      tools.out.warn(`task ${life.id} lost its worker: enqueued again in "${name}", ${retry}`);
      const queued = { ...task, status: 'queued', statusReason: '', statusMessage: note } as const;
      beginAttempt(life, { ...queued, queueId: queue.id }, used + 1, clock.now());
      return true;
    }
    isMaybeOurs ||= 'lost' in outcome;
    await removeStranded(life.id, tools);
  }
  return false;
}

/** After enqueues at the same time the server may have set the status back to what it was. */
function isSetBack({ statusReason }: WatchedTask): boolean {
  return statusReason === 'failed enqueueing';
}

/** Such a task may be in a queue all the same; then it can't be enqueued. */
async function removeStranded(id: string, { client, watch: { ports } }: RetryTools): Promise<void> {
  const { patience, server, signal } = ports;
  const [entry] = await patience.run(() => findEntries(client, [id], { signal }), signal);
  if (entry === undefined) return;
  // Read after the queues: a task is `queued` before it is in one.
  const task = (await patience.run(() => server.readTasks([id], signal), signal)).get(id);
  if (task === undefined || !isEnded(task.status)) return;
  await patience.run(() => removeEntry(client, entry, { signal }), signal);
}

/** For the comment, and for another run of this step. Only a task that waits or runs can be edited. */
async function noteRetry({ life, used }: Loss, { client, watch: { ports }, out }: RetryTools): Promise<void> {
  const { patience, signal } = ports;
  const body = { task: life.id, add_or_update: { [RUNTIME_KEYS.retries]: String(used + 1) } };
  const write = () => client.call('tasks.edit_runtime', body, v.unknown(), { isRepeatable: true, signal });
  try {
    await patience.run(write, signal);
  } catch (error) {
    if (!(error instanceof ClearmlRefusal)) throw error;
    out.warn(`ClearML does not note that task ${life.id} was enqueued again: ${error.message}`);
  }
}

/** The clocks start anew. */
function beginAttempt(life: TaskLife, task: WatchedTask, retries: number, nowMs: number): void {
  Object.assign(life, beginLife(life.id, nowMs), { retries, task });
  if (!isEnded(task.status)) observeTask(life, task, nowMs);
}
