import { isUsedByOthers, isUsedByPullRequest } from '../training/ownership.ts';
import { RUNTIME_KEYS } from '../training/task.ts';
import type { LaunchPlan } from './plan.ts';
import type { KnownTask } from './server.ts';

/** An unfinished task of the same pull request, of another commit, with none of our keys, from an earlier run. */
export function isSuperseded(task: KnownTask, plan: LaunchPlan): boolean {
  return (
    task.runtime[RUNTIME_KEYS.pullRequest] !== undefined &&
    isOlder(task, plan) &&
    !isUsedByOthers(task, plan.run.pullRequest)
  );
}

/** One that would be superseded, but that others use too: it goes on, and only this pull request's tag goes. */
export function isGivenUp(task: KnownTask, plan: LaunchPlan): boolean {
  return isOlder(task, plan) && isUsedByOthers(task, plan.run.pullRequest);
}

/**
 * The tasks, with drafts that are in a queue as what they are to a worker: queued. Launches at the same time can leave one
 * there.
 */
export function countEntries(tasks: readonly KnownTask[], entries: ReadonlySet<string>): KnownTask[] {
  return tasks.map((task) =>
    task.status === 'created' && entries.has(task.id) ? { ...task, status: 'queued' } : task,
  );
}

function isOlder(task: KnownTask, plan: LaunchPlan): boolean {
  // A draft does not run, and a later launch may want it again.
  if (!['queued', 'in_progress'].includes(task.status)) return false;
  const { pullRequest } = plan.run;
  if (pullRequest === undefined || !isUsedByPullRequest(task, pullRequest)) return false;
  if (task.runtime[RUNTIME_KEYS.pipeline] !== plan.pipelineHash) return false;
  if (task.commit === plan.code.commit) return false;
  if (plan.tasks.some(({ key }) => key === task.runtime[RUNTIME_KEYS.key])) return false;
  const theirs = toRunNumber(task.runtime[RUNTIME_KEYS.run]);
  const ours = toRunNumber(plan.run.runId);
  // Without a run number on either side, a task that was there when we looked was created earlier.
  return theirs === undefined || ours === undefined || theirs < ours;
}

function toRunNumber(text: string | undefined): bigint | undefined {
  return text !== undefined && /^\d+$/.test(text) ? BigInt(text) : undefined;
}
