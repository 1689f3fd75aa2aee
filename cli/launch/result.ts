import type { Session } from '../shell/program.ts';
import { formatAgentCommand, type TaskStatus } from '../training/task.ts';
import type { LaunchResult } from './create-and-enqueue.ts';
import type { LaunchPlan } from './plan.ts';
import type { Survey } from './survey.ts';
import type { endSuperseded } from './withdrawal.ts';

/** The task's page. */
export type UrlOf = (task: { readonly id: string; readonly projectId: string | undefined }) => string;

/** `--dry-run`: prints the tasks that would be created, and says what else would be done. */
export function tellDryRun(plan: LaunchPlan, survey: Survey, { voice }: Session): void {
  const documents = plan.tasks.map((task) => {
    const known = survey.reusable.get(task);
    return known === undefined ? { ...task.document, project: survey.projectId ?? null } : { id: known.id };
  });
  for (const { id } of survey.superseded)
    voice.say(`Task ${id} of an older commit would be ended${explainSuperseding(plan)}`);
  if (survey.projectId === undefined)
    voice.say(`project "${plan.project}" does not exist yet: it would be created`);
  voice.result(JSON.stringify({ tasks: documents }, undefined, 2));
}

/** The outputs for later steps. */
export function formatOutputs({ tasks }: LaunchResult, urlOf: UrlOf): Record<string, string> {
  const [first] = tasks;
  return {
    'task-id': first?.id ?? '',
    'task-ids': tasks.map((task) => task.id).join(' '),
    'task-url': first === undefined ? '' : urlOf(first),
    reused: String(tasks.every((task) => task.isReused)),
  };
}

/** Says which tasks were created or reused, and where they wait. */
export function tellTasks(result: LaunchResult, plan: LaunchPlan, urlOf: UrlOf, { voice }: Session): void {
  for (const task of result.tasks) {
    const { queue } = task;
    const seed = task.seed === undefined ? '' : ` (seed ${task.seed})`;
    const what = task.isReused
      ? `Reusing task ${task.id}${seed}, which is the same training and ${describeStatus(task.status)}`
      : `Created task ${task.id}${seed} for commit ${plan.commit.slice(0, 10)}`;
    const where =
      task.position === undefined
        ? ''
        : `, number ${task.position} in queue "${queue.name}" (${countWorkers(queue.workers)})`;
    voice.say(`${what}${where}\n  ${urlOf(task)}`);
  }
  const waitsIn = result.tasks.filter((task) => task.status === 'queued').map((task) => task.queue);
  const unserved = new Set(waitsIn.filter((queue) => queue.workers === 0).map((queue) => queue.name));
  for (const name of unserved) {
    voice.warn(
      `no worker serves the queue "${name}": the training waits until one is started (${formatAgentCommand(name)})`,
    );
  }
}

/** Says which tasks of older commits were ended. */
export function tellSuperseded(
  { ended, unconfirmed, why }: Awaited<ReturnType<typeof endSuperseded>>,
  plan: LaunchPlan,
  { voice }: Session,
): void {
  for (const id of ended) voice.say(`Ended task ${id} of an older commit${explainSuperseding(plan)}`);
  for (const id of unconfirmed) {
    const reason = why === undefined ? '' : ` (${why})`;
    voice.warn(
      `task ${id} of an older commit is superseded, but that it has ended could not be confirmed${reason}`,
    );
  }
}

/** Who launches by hand may not expect that a variable ends what the workflow has launched. */
function explainSuperseding({ run, pullRequest }: LaunchPlan): string {
  return run.runId === undefined
    ? `: it is superseded, since PR_NUMBER is ${pullRequest} (--no-supersede leaves it)`
    : ': it is superseded';
}

function describeStatus(status: TaskStatus): string {
  return status === 'in_progress' ? 'is running' : status === 'queued' ? 'waits' : `is ${status}`;
}

function countWorkers(count: number): string {
  return count === 0 ? 'no worker' : count === 1 ? '1 worker' : `${count} workers`;
}

/** The JSON document of `--json`. */
export function formatJson(result: LaunchResult, urlOf: UrlOf): string {
  return JSON.stringify({
    tasks: result.tasks.map((task) => ({
      id: task.id,
      url: urlOf(task),
      seed: task.seed ?? null,
      reused: task.isReused,
      queue: { name: task.queue.name, position: task.position ?? null, workers: task.queue.workers },
    })),
    superseded: result.superseded.map((task) => task.id),
  });
}
