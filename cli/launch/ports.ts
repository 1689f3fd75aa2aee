import type { Failure } from '../shell/failure.ts';
import type { TaskStatus } from '../training/task.ts';
import type { TaskContent, TaskDocument } from './plan.ts';

/** A queue as ClearML shows it. */
export interface Queue {
  readonly id: string;
  readonly name: string;
  /** Ids of the tasks that wait, first come first. */
  readonly taskIds: readonly string[];
  /** How many workers listen to it. */
  readonly workers: number;
}

/** A task that is there already. */
export interface KnownTask {
  readonly id: string;
  readonly projectId: string | undefined;
  /** The queue that it waits, or waited, in. */
  readonly queueId: string | undefined;
  readonly status: TaskStatus;
  /** ms since 1970, by the server's clock. */
  readonly createdMs: number;
  readonly commit: string | undefined;
  readonly tags: readonly string[];
  readonly isArchived: boolean;
  readonly runtime: Readonly<Record<string, string>>;
  /** What it would train; an agent and the SDK add to it once it runs. */
  readonly content: TaskContent;
}

/** What a launch asks of ClearML. Every look-up gives only what really matches: the wire's filters widen silently. */
export interface LaunchServer {
  /** The id of the project of exactly this name. */
  findProject(name: string): Promise<string | undefined>;
  /** Creates the project, or gives the id of the one that somebody created meanwhile. */
  ensureProject(name: string): Promise<string>;
  /** The queue of exactly this name or id. */
  findQueue(nameOrId: string): Promise<Queue | undefined>;
  listQueueNames(): Promise<readonly string[]>;
  /** Tasks with one of these keys, in this pipeline. */
  findTasksByKey(keys: readonly string[], pipelineHash: string): Promise<readonly KnownTask[]>;
  /** Queued and running tasks that carry a pull request's tag, in this pipeline. */
  findUnfinished(pullRequest: number, pipelineHash: string): Promise<readonly KnownTask[]>;
  /** `lost`: nobody can say whether it was created. */
  createTask(
    document: TaskDocument,
    projectId: string,
  ): Promise<{ readonly id: string } | { readonly lost: Failure }>;
  /**
   * Puts a task into a queue; being in it already is success. `isWatched`: whether a worker listens to it. `lost`:
   * nobody can say whether it is queued; `moved`: it is no draft any more, or gone.
   */
  enqueueTask(
    taskId: string,
    queueId: string,
  ): Promise<
    { readonly isWatched: boolean | undefined } | { readonly lost: Failure } | { readonly moved: Failure }
  >;
  /** Deletes a task that is still a draft; one that is no draft any more, or gone, is left alone. */
  deleteDraft(taskId: string): Promise<void>;
  changeTags(
    taskId: string,
    tags: { readonly add: readonly string[]; readonly remove?: readonly string[] },
  ): Promise<void>;
}
