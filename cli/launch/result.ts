import type { AbortOutcome } from '../clearml/abort.ts';
import type { Session } from '../shell/program.ts';
import { formatAgentCommand, type TaskStatus } from '../training/task.ts';
import type { LaunchResult } from './create-and-enqueue.ts';
import type { LaunchPlan } from './plan.ts';
import type { Survey } from './survey.ts';

/** The task's page. */
export type UrlOf = (task: { readonly id: string; readonly projectId: string | undefined }) => string;

/** `--dry-run`: prints the tasks that would be created. */
export function tellDryRun(
  plan: LaunchPlan,
  survey: Survey,
  dueNotes: Readonly<Record<string, string>>,
  { voice }: Session,
): void {
  const documents = plan.tasks.map((task) => {
    const known = survey.reusable.get(task);
    if (known !== undefined) return { id: known.id };
    const runtime = { ...task.document.runtime, ...dueNotes };
    return { ...task.document, runtime, project: survey.projectId ?? null };
  });
  voice.result(JSON.stringify({ tasks: documents }, undefined, 2));
}

/** The outputs for later steps. */
export function formatOutputs({ tasks }: LaunchResult, urlOf: UrlOf): Record<string, string> {
  const [first] = tasks;
  return {
    'task-id': first?.id ?? '',
    'task-ids': tasks.map((task) => task.id).join(' '),
    'task-url': first === undefined ? '' : urlOf(first),
    reused: String(tasks.every((task) => task.known !== undefined)),
  };
}

/** Says which tasks were created or reused, and where they wait. */
export function tellTasks(
  { tasks, overtaken }: LaunchResult,
  plan: LaunchPlan,
  urlOf: UrlOf,
  { voice }: Session,
): void {
  for (const task of tasks) {
    const seed = task.seed === undefined ? '' : ` (seed ${task.seed})`;
    const what =
      task.known !== undefined
        ? `Reusing task ${task.id}${seed}, which is the same training and ${describeStatus(task.status)}`
        : `Created task ${task.id}${seed} for commit ${plan.code.commit.slice(0, 10)}`;
    const waitsFor =
      task.queue.isForPods === true ? 'waiting for a Kubernetes pod' : countWorkers(task.workers);
    const where =
      task.position === undefined
        ? ''
        : `, number ${task.position} in queue "${task.queue.name}" (${waitsFor})`;
    voice.say(`${what}${where}\n  ${urlOf(task)}`);
  }
  for (const id of overtaken) {
    voice.warn(
      `an agent took task ${id} while it was given commit ${plan.code.commit.slice(0, 10)}: it may train the former commit, which has the same files. If it cannot find that one, run this step again`,
    );
  }
  const unserved = tasks.filter(
    (task) => task.status === 'queued' && task.workers === 0 && task.queue.isForPods !== true,
  );
  for (const name of new Set(unserved.map((task) => task.queue.name))) {
    voice.warn(
      `no worker serves the queue "${name}": the training waits until one is started (${formatAgentCommand(name)})`,
    );
  }
}

/** Says which tasks of older commits were ended. */
export function tellSuperseded(
  { ended, unconfirmed, taken, lastError }: AbortOutcome,
  plan: LaunchPlan,
  { voice }: Session,
): void {
  for (const id of ended) voice.say(`Ended task ${id} of an older commit${explainSuperseding(plan)}`);
  for (const id of taken)
    voice.say(`Leaving task ${id} of an older commit alone: somebody else has taken it meanwhile`);
  const reason = lastError === undefined ? '' : ` (${lastError.message})`;
  for (const id of unconfirmed)
    voice.warn(`not confirmed: superseded task ${id} of an older commit may still run${reason}`);
}

/** In a launch by hand it may surprise that a variable ends what the workflow has launched. */
export function explainSuperseding({ run }: LaunchPlan): string {
  return run.runId === undefined
    ? `: it is superseded, because PR_NUMBER is ${run.pullRequest} (--no-supersede leaves it running)`
    : ': it is superseded';
}

/** `is running`, `waits`, `is completed`. */
export function describeStatus(status: TaskStatus): string {
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
      reused: task.known !== undefined,
      queue: { name: task.queue.name, position: task.position ?? null, workers: task.workers },
    })),
    superseded: result.superseded.map((task) => task.id),
  });
}
