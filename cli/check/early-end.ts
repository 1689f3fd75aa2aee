import { type AbortServer, abortTasks } from '../clearml/abort.ts';
import { type Failure, settle } from '../shell/failure.ts';
import type { Clock } from '../shell/world.ts';
import { isOursToAbort } from '../training/ownership.ts';
import { RUNTIME_KEYS } from '../training/task.ts';
import type { WatchedTask } from '../training/task-life.ts';

/** What came of an attempt to end tasks. */
export interface EndingReport {
  readonly ended: readonly string[];
  readonly unconfirmed: readonly string[];
  /** Not ours to end, and why. */
  readonly left: ReadonlyArray<{ readonly id: string; readonly why: string }>;
  readonly lastError: Failure | undefined;
}

export interface EndingPorts {
  readonly server: AbortServer;
  /** Id of the user whose credentials we have. */
  readonly readUserId: () => Promise<string>;
  readonly clock: Clock;
}

export interface EndingOptions {
  /** GITHUB_RUN_ID. */
  readonly runId: string | undefined;
  /** Shown in ClearML. */
  readonly reason: string;
  /** ms since 1970. */
  readonly deadlineMs: number;
  readonly signal?: AbortSignal;
}

/**
 * Ends those tasks that are ours to end, and leaves the others. A Failure is none to throw: whoever ends tasks has a reason
 * for it that comes first. What could not be asked, or done, is unconfirmed.
 */
export async function endOurs(
  tasks: readonly WatchedTask[],
  ports: EndingPorts,
  options: EndingOptions,
): Promise<EndingReport> {
  let userId: Promise<string> | undefined;
  const readUser = () => {
    userId ??= ports.readUserId();
    return userId;
  };
  const answers = await Promise.all(
    tasks.map(async (task) => ({
      task,
      answer: await settle(isOursToAbort(task.origin, options, readUser)),
    })),
  );
  const ours = answers.flatMap(({ task, answer }) => ('value' in answer && answer.value ? [task.id] : []));
  const left = answers
    .filter(({ answer }) => 'value' in answer && !answer.value)
    .map(({ task }) => ({ id: task.id, why: explainLeaving(task, options.runId) }));
  const unclear = answers.flatMap(({ task, answer }) => ('failure' in answer ? [task.id] : []));
  const [unread] = answers.flatMap(({ answer }) => ('failure' in answer ? [answer.failure] : []));
  const { ended, unconfirmed, lastError } = await endAll(ours, ports, options);
  return { ended, unconfirmed: [...unconfirmed, ...unclear], left, lastError: lastError ?? unread };
}

async function endAll(
  ids: readonly string[],
  { clock, server }: EndingPorts,
  options: EndingOptions,
): Promise<Omit<EndingReport, 'left'>> {
  if (ids.length === 0) return { ended: [], unconfirmed: [], lastError: undefined };
  const outcome = await settle(abortTasks(server, ids, { ...options, clock }));
  return 'value' in outcome ? outcome.value : { ended: [], unconfirmed: ids, lastError: outcome.failure };
}

function explainLeaving({ origin }: WatchedTask, runId: string | undefined): string {
  const taskRun = origin.runtime[RUNTIME_KEYS.run];
  if (runId !== undefined && taskRun === runId) return 'another pull request uses it too';
  if (taskRun !== undefined) return `workflow run ${taskRun} launched it, not this one`;
  return origin.runtime[RUNTIME_KEYS.launch] === undefined
    ? 'it was not launched by launch-training-task'
    : 'somebody else launched it';
}
