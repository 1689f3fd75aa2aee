import { toSingleLine } from '../text/single-line.ts';

/** ClearML's task statuses. */
export const TASK_STATUSES = [
  'created',
  'queued',
  'in_progress',
  'stopped',
  'closed',
  'failed',
  'completed',
  'publishing',
  'published',
  'unknown',
] as const;

export type TaskStatus = (typeof TASK_STATUSES)[number];

/** Whether a task with this status did what it was launched for. */
export function isSuccess(status: TaskStatus): boolean {
  return status === 'completed' || status === 'published';
}

/** Whether a task with this status waits for a worker or has one. */
export function isUnderWay(status: TaskStatus): boolean {
  return status === 'queued' || status === 'in_progress' || status === 'publishing';
}

/** Whether a task with this status is over. A draft (`created`) is not running, but it has not run either. */
export function isEnded(status: TaskStatus): boolean {
  return isSuccess(status) || status === 'failed' || status === 'stopped' || status === 'closed';
}

/**
 * Whether a draft was more than that before: it was taken out of its queue (it keeps the queue's id, and our reason) or
 * was reset. A draft that was never queued has neither queue nor reason.
 */
export function wasTakenBack(task: {
  readonly status: TaskStatus;
  readonly statusReason: string;
  readonly queueId: string | undefined;
}): boolean {
  return task.status === 'created' && (task.statusReason !== '' || task.queueId !== undefined);
}

/** The `status_reason` and the `status_message` of a task that was reset. */
export const RESET_REASON = 'reset';

/**
 * Keys in a task's `runtime` that say where it came from. They survive the agent and the SDK, which add their own keys
 * to the same map, and a query finds them (`runtime.KEY`).
 */
export const RUNTIME_KEYS = {
  /** Everything that decides the result, hashed: two tasks with the same key are the same training. */
  key: 'ci_key',
  /** Repository, project and task name, hashed. */
  pipeline: 'ci_pipeline',
  /** Git tree (or the objects of `paths`, hashed) that is trained. */
  code: 'ci_code',
  /** The params on the launch's command line, hashed; none without any. */
  leg: 'ci_leg',
  /** Pull request's number. */
  pullRequest: 'ci_pull_request',
  /** GITHUB_RUN_ID of the run that launched it. */
  run: 'ci_run',
  /** GITHUB_RUN_ATTEMPT of that run. */
  attempt: 'ci_attempt',
  /** What GitHub event launched it; `launch` outside Actions. */
  event: 'ci_event',
  /** Random, one per launch: identifies its tasks even where the answer to a creation got lost. */
  launch: 'ci_launch',
  /** `launch` of the last launch that handed out another one's unfinished task: one that fails does not take it back. */
  shared: 'ci_shared',
  /** Why we ended it, as JSON. */
  ended: 'ci_ended',
  /** The history marks, separated by blanks. */
  history: 'ci_history',
  /** The params that its launch gave, as JSON. */
  given: 'ci_given',
  /** How often it was enqueued again because its worker was lost. */
  retries: 'ci_retries',
  /** The repository, hashed, of a task that something is due of: one query finds all of them. */
  due: 'ci_due',
  /** How long it has waited although a worker was free, as the collecting workflow saw it, as JSON. */
  waited: 'ci_waited',
} as const;

/** How often a task was enqueued again because its worker was lost, as its `runtime` says. */
export function readRetries(runtime: Readonly<Record<string, string>>): number {
  const text = runtime[RUNTIME_KEYS.retries] ?? '';
  return /^\d{1,3}$/.test(text) ? Number(text) : 0;
}

/** Events whose trainings belong to a branch's history. A dispatch is a trial and does not count. */
export const HISTORY_EVENTS: readonly string[] = [
  'push',
  'pull_request',
  'pull_request_target',
  'merge_group',
];

/** Whether what such an event launches belongs to a branch's history, once the branch has its code. */
export function isHistoryEvent(event: string | undefined): boolean {
  return event !== undefined && HISTORY_EVENTS.includes(event);
}

/** The tag that ties a task to a pull request: `pr:7`. */
export function tagPullRequest(pullRequest: number): string {
  return `pr:${pullRequest}`;
}

/**
 * The tag of a task that a pull request took for this commit after it had ended, when the server takes no notes: with
 * `paths` nothing else tells that it stands for it.
 */
export function tagTakenFor(pullRequest: number, commit: string): string {
  return `${tagPullRequest(pullRequest)}:${commit}`;
}

/**
 * Where ClearML's web app shows the task's console.
 *
 * @param apiVersion the server's; the path changed with 2.31. Unknown counts as new.
 */
export function formatTaskUrl(
  webHost: string,
  task: { readonly id: string; readonly projectId: string | undefined },
  apiVersion: string | undefined,
): string {
  const page = isAtLeast(apiVersion, 31) ? 'tasks' : 'experiments';
  return `${webHost}/projects/${task.projectId ?? '*'}/${page}/${task.id}/output/log`;
}

/**
 * Where ClearML's web app shows the curves of tasks of two sides together. The sides take turns, because other tabs of the
 * page show only its first ten tasks.
 *
 * The address is in clearml-web's app.routes.ts and experiments-compare.routes.ts: the path changed with 2.31, and its
 * redirect loses the ids. The page compares at most 100 tasks, before its version 1.10 at most 10 (compare-footer-item.ts).
 *
 * @param apiVersion the server's; unknown counts as new
 * @returns undefined unless both sides have a task
 */
export function formatCompareUrl(
  webHost: string,
  own: ReadonlyArray<{ readonly id: string; readonly projectId: string | undefined }>,
  others: ReadonlyArray<{ readonly id: string }>,
  apiVersion: string | undefined,
): string | undefined {
  const [first] = own;
  if (first === undefined || others.length === 0) return undefined;
  const turns = Array.from({ length: Math.max(own.length, others.length) }, (_, index) => [
    own[index],
    others[index],
  ]);
  // A training that was reused may be on both sides.
  const ids = [...new Set(turns.flat().flatMap((task) => task?.id ?? []))];
  if (ids.length < 2) return undefined;
  const page = isAtLeast(apiVersion, 31) ? 'compare-tasks' : 'compare-experiments';
  const shown = ids.slice(0, isAtLeast(apiVersion, 24) ? 100 : 10);
  return `${webHost}/projects/${first.projectId ?? '*'}/${page};ids=${shown.join(',')}/scalars/graph`;
}

/** Whether the server's API has version 2.`minor` or later. */
function isAtLeast(apiVersion: string | undefined, minor: number): boolean {
  const [major = 0, own = 0] = (apiVersion ?? `2.${minor}`).split('.').map(Number);
  return major > 2 || (major === 2 && own >= minor);
}

/** A ClearML id: 32 hexadecimal digits. */
export function isTaskId(text: string): boolean {
  return /^[0-9a-f]{32}$/.test(text);
}

/** The shell command that starts an agent for a queue, whose name may contain blanks. */
export function formatAgentCommand(queueName: string): string {
  const name = toSingleLine(queueName, 80);
  const word = /^[\w.,:@%+=/][\w.,:@%+=/-]*$/.test(name) ? name : `'${name.replaceAll("'", "'\\''")}'`;
  return `clearml-agent daemon --queue ${word}`;
}
