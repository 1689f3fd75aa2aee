import { EXIT_CODES, Failure } from '../shell/failure.ts';
import type { Metric } from '../training/metrics.ts';
import type { TaskParam } from '../training/params/arrival.ts';
import type { TaskStatus } from '../training/task.ts';

/** Everything of a task that a report may show. Times in ms since 1970. */
export interface ReportedTask {
  readonly id: string;
  readonly name: string;
  readonly projectId: string | undefined;
  readonly status: TaskStatus;
  readonly statusReason: string;
  readonly statusMessage: string;
  readonly createdAtMs: number | undefined;
  readonly startedAtMs: number | undefined;
  readonly endedAtMs: number | undefined;
  /** The newest iteration with a report. */
  readonly iteration: number;
  readonly worker: string | undefined;
  readonly queueId: string | undefined;
  readonly tags: readonly string[];
  /** The task that this one was cloned from, or whose step it is. */
  readonly parent: string | undefined;
  readonly isArchived: boolean;
  /** Of a pipeline: the step that failed. */
  readonly failedStep?: { readonly name: string; readonly taskId: string } | undefined;
  readonly runtime: Readonly<Record<string, string>>;
  readonly script: {
    readonly repository: string | undefined;
    readonly branch: string | undefined;
    readonly commit: string | undefined;
    readonly entryPoint: string | undefined;
    readonly workingDir: string | undefined;
    readonly hasDiff: boolean;
    /** Packages that the agent installed, or those of the requirements; one per entry. */
    readonly packages: readonly string[];
  };
  readonly image: string | undefined;
  /** By `Section/name`. */
  readonly params: Readonly<Record<string, string>>;
  /** The same with what the SDK says of them; undefined if not asked for. */
  readonly held?: readonly TaskParam[];
  /** The training has parsed its command line, so `params` contains all of its arguments in the section Args. */
  readonly hasToldArguments: boolean;
  /** The training's own. */
  readonly metrics: readonly Metric[];
  /** The resource monitor's: the machine's load. */
  readonly monitors: readonly Metric[];
  readonly artifacts: readonly Artifact[];
  readonly outputModels: readonly Model[];
  readonly inputModels: readonly Model[];
}

/** A file that a task uploaded. */
export interface Artifact {
  readonly name: string;
  readonly type: string | undefined;
  readonly sizeBytes: number | undefined;
}

/** A model that a task started from or made. */
export interface Model {
  readonly id: string;
  readonly name: string;
}

/**
 * The tasks with these ids, in their order.
 *
 * @param what the kind of task, for the message
 * @throws Failure (not found) that lists the ids which ClearML does not have
 */
export function pickTasks(
  found: ReadonlyMap<string, ReportedTask>,
  ids: readonly string[],
  what: string,
): ReportedTask[] {
  const missing = ids.filter((id) => !found.has(id));
  if (missing.length > 0) {
    throw new Failure(`ClearML has no ${what} ${missing.join(', ')}`, {
      exitCode: EXIT_CODES.notFound,
      remedy:
        'It was deleted, or it is in another workspace or on another server than those of the credentials (CLEARML_API_HOST).',
    });
  }
  return ids.flatMap((id) => found.get(id) ?? []);
}
