import { isHistoryMark } from './history-mark.ts';
import { RUNTIME_KEYS, tagPullRequest } from './task.ts';

/** Put on a draft by a launch without a pull request that takes it over: whoever created it must not remove it then. */
export const TAKEN_OVER_TAG = 'taken-over';

/** What a task tells about who launched it and who else uses it. */
export interface TaskOrigin {
  readonly runtime: Readonly<Record<string, string>>;
  readonly tags: readonly string[];
  /** ClearML id of the user who created it. */
  readonly user: string | undefined;
}

/**
 * Whether a task is this run's to abort: this workflow run launched it (any attempt), and no other pull request has
 * reused it. Outside Actions, where no run has an id: the user whose credentials we have launched it, likewise outside.
 *
 * @param readUser the id of that user; called only where the answer depends on it
 */
export async function isOursToAbort(
  task: TaskOrigin,
  run: { readonly runId: string | undefined },
  readUser: () => Promise<string | undefined>,
): Promise<boolean> {
  const { runtime } = task;
  if (isShared(task)) return false;
  const taskRun = runtime[RUNTIME_KEYS.run];
  if (run.runId !== undefined || taskRun !== undefined) return run.runId === taskRun;
  if (runtime[RUNTIME_KEYS.launch] === undefined || task.user === undefined) return false;
  return task.user === (await readUser());
}

/**
 * Whether a task is this pull request's to end: launched for it, or reused by it and given up by the pull request that
 * it was launched for; and nobody else uses it.
 */
export function isOfPullRequest(
  task: TaskOrigin,
  of: { readonly pipeline: string; readonly pullRequest: number },
): boolean {
  return (
    task.runtime[RUNTIME_KEYS.pipeline] === of.pipeline &&
    task.runtime[RUNTIME_KEYS.pullRequest] !== undefined &&
    isUsedByPullRequest(task, of.pullRequest) &&
    !isUsedByOthers(task, of.pullRequest)
  );
}

/** Whether somebody other than the pull request it was launched for uses the task. */
function isShared(task: TaskOrigin): boolean {
  const owner = task.runtime[RUNTIME_KEYS.pullRequest];
  return isUsedByOthers(task, owner === undefined ? undefined : Number(owner));
}

/** Whether the task was launched for this pull request, or carries its tag: then it has reused the task. */
export function isUsedByPullRequest(
  {
    runtime,
    tags,
  }: { readonly runtime: Readonly<Record<string, unknown>>; readonly tags: readonly string[] },
  pullRequest: number,
): boolean {
  return (
    runtime[RUNTIME_KEYS.pullRequest] === String(pullRequest) || tags.includes(tagPullRequest(pullRequest))
  );
}

/**
 * Whether a pull request other than ours, or a launch without one, has taken the task for itself too.
 *
 * @param tagsBefore those that it had before we took it over from a launch that left it as a draft
 */
export function isUsedByOthers(
  task: { readonly tags: readonly string[] },
  pullRequest: number | undefined,
  tagsBefore: readonly string[] | undefined = undefined,
): boolean {
  // Where we took it over, the general mark may be our own.
  const ours = [
    ...(pullRequest === undefined ? [] : [tagPullRequest(pullRequest)]),
    ...(tagsBefore === undefined ? [] : [TAKEN_OVER_TAG, ...tagsBefore]),
  ];
  return task.tags.some(
    (tag) => (tag === TAKEN_OVER_TAG || isHistoryMark(tag) || /^pr:\d+$/.test(tag)) && !ours.includes(tag),
  );
}
