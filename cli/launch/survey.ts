import { distance } from 'fastest-levenshtein';
import type { ClearmlServer } from '../clearml/client.ts';
import { findQueue, listQueueNames } from '../clearml/destination.ts';
import { EXIT_CODES, Failure } from '../shell/failure.ts';
import { formatAgentCommand } from '../training/task.ts';
import type { QueueState } from '../training/task-life.ts';
import type { LaunchPlan, PlannedTask } from './plan.ts';
import { canStandFor, chooseTask } from './reuse.ts';
import { findTasksByKey, type KnownTask, readUnfinished } from './server.ts';
import { countEntries, isGivenUp, isSuperseded } from './superseded.ts';

/** What the first look at ClearML shows. */
export interface Survey {
  readonly projectId: string | undefined;
  readonly queue: QueueState;
  /** For each planned task, the one that is taken instead of creating it. */
  readonly reusable: ReadonlyMap<PlannedTask, KnownTask>;
  /** All tasks of the pipeline with one of the keys, oldest first. */
  readonly sameKey: readonly KnownTask[];
  /** Other queues in which tasks that are taken wait. */
  readonly otherQueues: ReadonlyMap<string, QueueState>;
  readonly superseded: readonly KnownTask[];
  readonly givenUp: readonly KnownTask[];
}

/** Where a launch puts its tasks, as far as it exists: the project's id and the queue. Or why that is unknown. */
export type Destination =
  | readonly [projectId: string | undefined, queue: QueueState | undefined]
  | { readonly error: unknown };

/**
 * Reads from ClearML, all at once, which tasks can be reused and which are superseded. Changes nothing.
 *
 * @param asked where the tasks go; the requests for it are under way
 * @throws Failure (notFound) for an unknown queue, (neverStarted) where a worker is required and none listens
 */
export async function surveyLaunch(
  plan: LaunchPlan,
  asked: Promise<Destination>,
  server: ClearmlServer,
): Promise<Survey> {
  const { pipelineHash, run } = plan;
  const keys = plan.tasks.map((task) => task.key);
  const [[projectId, queue], sameKey, unfinished] = await Promise.all([
    takeDestination(asked),
    findTasksByKey(server, keys, pipelineHash),
    plan.supersede && run.pullRequest !== undefined
      ? readUnfinished(server, { pipeline: pipelineHash, pullRequest: run.pullRequest })
      : [],
  ]);
  if (queue === undefined) throw await failUnknownQueue(plan.queue, server);
  const reusable = new Map<PlannedTask, KnownTask>();
  for (const task of plan.tasks) {
    const known = chooseTask(sameKey.filter((candidate) => canStandFor(candidate, task, plan)));
    if (known !== undefined) reusable.set(task, known);
  }
  const waiting = countEntries(unfinished, new Set(queue.entries));
  const otherQueues = await findOtherQueues([...reusable.values()], queue, server);
  if (plan.requireWorker) requireWorkers(plan, { queue, reusable, otherQueues });
  return {
    projectId,
    queue,
    reusable,
    sameKey,
    otherQueues,
    superseded: waiting.filter((task) => isSuperseded(task, plan)),
    givenUp: waiting.filter((task) => isGivenUp(task, plan)),
  };
}

async function takeDestination(asked: Promise<Destination>) {
  const destination = await asked;
  if ('error' in destination) throw destination.error;
  return destination;
}

/** @throws Failure (neverStarted) where a task waits, or would wait, in a queue that no worker serves */
function requireWorkers(
  { tasks }: LaunchPlan,
  { queue, reusable, otherQueues }: Pick<Survey, 'queue' | 'reusable' | 'otherQueues'>,
): void {
  for (const task of tasks) {
    const { status, queueId } = reusable.get(task) ?? { status: 'created' };
    if (status !== 'created' && status !== 'queued') continue;
    const waitsIn = (status === 'queued' && otherQueues.get(queueId ?? '')) || queue;
    if (waitsIn.workers.length === 0 && waitsIn.isForPods !== true) throw failUnserved(waitsIn);
  }
}

/** The queues, other than this launch's, in which reused tasks wait. */
async function findOtherQueues(
  tasks: readonly KnownTask[],
  queue: QueueState,
  server: ClearmlServer,
): Promise<Map<string, QueueState>> {
  const waiting = tasks.filter(({ status, queueId }) => status === 'queued' && queueId !== queue.id);
  const ids = new Set(waiting.flatMap(({ queueId }) => queueId ?? []));
  const others = await Promise.all([...ids].map((id) => findQueue(server, id)));
  return new Map(others.flatMap((other) => (other === undefined ? [] : [[other.id, other]])));
}

function failUnserved({ name }: QueueState): Failure {
  return new Failure(`no worker serves the queue "${name}"`, {
    exitCode: EXIT_CODES.neverStarted,
    remedy: `Start one (${formatAgentCommand(name)}), or name another queue. Nothing was created.`,
  });
}

/** The nearest names first; `share`: only those in which no more than this share of the letters differs. */
export function sortByNearness(names: readonly string[], name: string, share = 1): string[] {
  const measure = (other: string) => distance(other.toLowerCase(), name.toLowerCase());
  return names
    .filter((other) => share === 1 || measure(other) <= Math.max(1, name.length * share))
    .sort((a, b) => measure(a) - measure(b));
}

async function failUnknownQueue(name: string, server: ClearmlServer): Promise<Failure> {
  const names = sortByNearness(await listQueueNames(server), name);
  const nearest = names.slice(0, 5).map((queue) => `"${queue}"`);
  return new Failure(`there is no queue "${name}"`, {
    exitCode: EXIT_CODES.notFound,
    remedy:
      nearest.length === 0
        ? 'This ClearML server has no queues: create one in its web app (Workers & Queues > Queues).'
        : `Nearest existing queues: ${nearest.join(', ')}. Fix --queue (or \`queue\` in the settings file), or create the queue in the web app.`,
  });
}
