import type { Due } from './due.ts';
import { listMarks } from './history-mark.ts';
import { RUNTIME_KEYS, tagPullRequest } from './task.ts';
import { keyOfUse, listUses, type User } from './uses.ts';

/** A launch without a pull request puts it on a draft that it takes over: the draft's creator must not remove it then. */
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
 * reused it. Outside Actions there is no run id: then the user of our credentials must have launched it, also outside.
 *
 * @param readUser the id of that user; called only where the answer depends on it
 */
export async function isOursToAbort(
  task: TaskOrigin,
  run: { readonly runId: string | undefined },
  readUser: () => Promise<string | undefined>,
): Promise<boolean> {
  const { runtime } = task;
  const owner = runtime[RUNTIME_KEYS.pullRequest];
  if (isUsedByOthers(task, owner === undefined ? undefined : Number(owner))) return false;
  const taskRun = runtime[RUNTIME_KEYS.run];
  if (run.runId !== undefined || taskRun !== undefined) return run.runId === taskRun;
  if (runtime[RUNTIME_KEYS.launch] === undefined || task.user === undefined) return false;
  return task.user === (await readUser());
}

/** A pull request's tasks, those of one pipeline. */
export interface PullRequestTasks {
  readonly pipeline: string;
  readonly pullRequest: number;
}

/**
 * Whether a task is this pull request's to end: launched for it, or reused by it and given up by the pull request that
 * it was launched for; and nobody else uses it.
 */
export function isOfPullRequest(task: TaskOrigin, of: PullRequestTasks): boolean {
  return (
    task.runtime[RUNTIME_KEYS.pipeline] === of.pipeline &&
    task.runtime[RUNTIME_KEYS.pullRequest] !== undefined &&
    isUsedByPullRequest(task, of.pullRequest) &&
    !isUsedByOthers(task, of.pullRequest)
  );
}

/**
 * Whether the task was launched for this pull request, or reused by it. The tag tells it too: an older server can note
 * nothing in `runtime`. A clone by hand copies tags, but it belongs to no pipeline.
 */
export function isUsedByPullRequest(
  { runtime, tags }: Pick<TaskOrigin, 'runtime' | 'tags'>,
  pullRequest: number,
): boolean {
  return (
    runtime[RUNTIME_KEYS.pullRequest] === String(pullRequest) ||
    runtime[keyOfUse(pullRequest)] !== undefined ||
    tags.includes(tagPullRequest(pullRequest))
  );
}

/**
 * Whether a pull request other than ours, or a launch without one, has taken the task for itself too.
 *
 * @param signsBefore the task's signs before we took it over as a draft of another launch
 */
export function isUsedByOthers(
  task: Pick<TaskOrigin, 'runtime' | 'tags'>,
  pullRequest: number | undefined,
  signsBefore?: readonly string[],
): boolean {
  // After taking it over, the general mark may be our own.
  const ours = [
    pullRequest === undefined ? NO_PULL_REQUEST : tagPullRequest(pullRequest),
    ...(signsBefore === undefined ? [] : [TAKEN_OVER_TAG, ...signsBefore]),
  ];
  return listSigns(task).some((sign) => !ours.includes(sign));
}

/**
 * What shows who uses a task, in `runtime` or as a tag. A training may replace its tags and, now and then, overwrite what
 * was just noted in `runtime`, so either counts.
 */
export function listSigns({ runtime, tags }: Pick<TaskOrigin, 'runtime' | 'tags'>): string[] {
  return [
    ...[...listUses(runtime).keys()].map(signOf),
    ...listMarks({ runtime, tags }),
    ...tags.filter((tag) => tag === TAKEN_OVER_TAG || /^pr:\d+$/.test(tag)),
  ];
}

/**
 * Whether the collecting workflow reports a task to all who use it, so that no job waits for it.
 *
 * @param dues what is due of the task
 */
export function isOnlyDue(task: Pick<TaskOrigin, 'runtime' | 'tags'>, dues: readonly Due[]): boolean {
  const commits = dues.filter(({ to }) => typeof to === 'string');
  const isCovered = (sign: string) =>
    /^pr:\d+$/.test(sign) ? dues.some(({ to }) => sign === `pr:${to}`) : commits.length > 0;
  // A launch by hand and a push to a branch look the same as a sign. Of both, one may wait.
  const others = [...listUses(task.runtime).keys()].filter((user) => typeof user !== 'number');
  return others.length <= commits.length && listSigns(task).every(isCovered);
}

/** Whether somebody has taken the task for themselves since it looked like `before`. */
export function hasNewUser(
  before: Pick<TaskOrigin, 'runtime' | 'tags'>,
  now: Pick<TaskOrigin, 'runtime' | 'tags'>,
): boolean {
  const known = listSigns(before);
  return listSigns(now).some((sign) => !known.includes(sign));
}

const NO_PULL_REQUEST = 'no pull request';

function signOf(user: User): string {
  return typeof user === 'number' ? tagPullRequest(user) : NO_PULL_REQUEST;
}
