import { distance } from 'fastest-levenshtein';
import { EXIT_CODES, Failure } from '../shell/failure.ts';
import { formatAgentCommand } from '../training/task.ts';
import type { LaunchPlan, PlannedTask } from './plan.ts';
import type { KnownTask, LaunchServer, Queue } from './ports.ts';
import { canStandFor, chooseTask } from './reuse.ts';
import { isGivenUp, isSuperseded } from './superseded.ts';

/** What the first look at ClearML shows. */
export interface Survey {
  readonly projectId: string | undefined;
  readonly queue: Queue;
  /** For each planned task, the one that is taken instead of creating it. */
  readonly reusable: ReadonlyMap<PlannedTask, KnownTask>;
  /** Other queues in which tasks that are taken wait. */
  readonly otherQueues: ReadonlyMap<string, Queue>;
  readonly superseded: readonly KnownTask[];
  readonly givenUp: readonly KnownTask[];
}

/** Where a launch puts its tasks, as far as it is there. */
export interface Destination {
  readonly projectId: string | undefined;
  readonly queue: Queue | undefined;
}

/**
 * Looks at ClearML, all at once: tasks that can be reused, tasks that are superseded. Changes nothing.
 *
 * @throws Failure (notFound) for an unknown queue, (neverStarted) where a worker is required and none listens
 */
export async function surveyLaunch(
  plan: LaunchPlan,
  destination: Promise<Destination>,
  server: LaunchServer,
): Promise<Survey> {
  const keys = plan.tasks.map((task) => task.key);
  const [{ projectId, queue }, sameKey, unfinished] = await Promise.all([
    destination,
    server.findTasksByKey(keys, plan.pipelineHash),
    plan.supersede && plan.pullRequest !== undefined
      ? server.findUnfinished(plan.pullRequest, plan.pipelineHash)
      : Promise.resolve([]),
  ]);
  if (queue === undefined) throw await failUnknownQueue(plan.queue, server);
  const reusable = new Map<PlannedTask, KnownTask>();
  for (const task of plan.tasks) {
    const known = chooseTask(sameKey.filter((candidate) => canStandFor(candidate, task, plan)));
    if (known !== undefined) reusable.set(task, known);
  }
  const otherQueues = await findOtherQueues([...reusable.values()], queue, server);
  if (plan.requireWorker) requireWorkers(plan, { queue, reusable, otherQueues });
  return {
    projectId,
    queue,
    reusable,
    otherQueues,
    superseded: unfinished.filter((task) => isSuperseded(task, plan)),
    givenUp: unfinished.filter((task) => isGivenUp(task, plan)),
  };
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
    if (waitsIn.workers === 0) throw failUnserved(waitsIn);
  }
}

/** A task that waits already may do so in another queue than the one this launch names. */
async function findOtherQueues(
  tasks: readonly KnownTask[],
  queue: Queue,
  server: LaunchServer,
): Promise<Map<string, Queue>> {
  const ids = new Set(
    tasks
      .filter(({ status, queueId }) => status === 'queued' && queueId !== queue.id)
      .map(({ queueId }) => queueId),
  );
  const others = await Promise.all(
    [...ids].map((id) => (id === undefined ? undefined : server.findQueue(id))),
  );
  return new Map(others.filter((other) => other !== undefined).map((other) => [other.id, other]));
}

function failUnserved(queue: Queue): Failure {
  return new Failure(`no worker serves the queue "${queue.name}"`, {
    exitCode: EXIT_CODES.neverStarted,
    remedy: `Start one (${formatAgentCommand(queue.name)}), or name another queue; nothing was created.`,
  });
}

async function failUnknownQueue(name: string, server: LaunchServer): Promise<Failure> {
  const names = await server.listQueueNames();
  const nearest = [...names]
    .sort(
      (a, b) => distance(a.toLowerCase(), name.toLowerCase()) - distance(b.toLowerCase(), name.toLowerCase()),
    )
    .slice(0, 5);
  return new Failure(`there is no queue "${name}"`, {
    exitCode: EXIT_CODES.notFound,
    remedy:
      nearest.length === 0
        ? 'This ClearML server has no queues: create one in its web app (Workers & Queues > Queues).'
        : `Nearest existing queues: ${nearest.map((queue) => `"${queue}"`).join(', ')}. Fix --queue (or \`queue\` in the settings file), or create the queue in the web app.`,
  });
}
