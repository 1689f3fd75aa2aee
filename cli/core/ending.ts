import { type AbortServer, abortTasks, isOursToAbort } from './abort.ts';
import type { Failure } from './failure.ts';
import { RUNTIME_KEYS } from './task.ts';
import type { WatchedTask } from './task-life.ts';
import type { Clock } from './world.ts';

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

/** Ends those tasks that are ours to end, and leaves the others. */
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
  const isOurs = await Promise.all(tasks.map(({ origin }) => isOursToAbort(origin, options, readUser)));
  const ours = tasks.filter((_, index) => isOurs[index] === true).map(({ id }) => id);
  const left = tasks
    .filter((_, index) => isOurs[index] !== true)
    .map((task) => ({ id: task.id, why: explainLeaving(task, options.runId) }));
  if (ours.length === 0) return { ended: [], unconfirmed: [], left, lastError: undefined };
  const { clock, server } = ports;
  const outcome = await abortTasks(server, ours, { ...options, clock });
  return { ...outcome, left };
}

function explainLeaving({ origin }: WatchedTask, runId: string | undefined): string {
  const taskRun = origin.runtime[RUNTIME_KEYS.run];
  if (runId !== undefined && taskRun === runId) return 'another pull request uses it too';
  if (taskRun !== undefined) return `workflow run ${taskRun} launched it, not this one`;
  return origin.runtime[RUNTIME_KEYS.launch] === undefined
    ? 'it was not launched by launch-training-task'
    : 'somebody else launched it';
}
