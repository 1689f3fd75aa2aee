import { EXIT_CODES } from './exit-code.ts';
import { Failure, settle } from './failure.ts';
import type { ReportedTask } from './reported-task.ts';

/** What a report asks of ClearML. */
export interface ReportServer {
  /** The tasks with these ids, those that exist. */
  readTasks(ids: readonly string[]): Promise<ReadonlyMap<string, ReportedTask>>;
}

export interface PullRequest {
  readonly url: string;
  readonly isOpen: boolean;
  readonly headCommit: string;
  readonly baseBranch: string;
}

/** What a report asks of GitHub. */
export interface CodeHost {
  readPullRequest(number: number): Promise<PullRequest>;
}

/** Everything a report is made of. */
export interface ReportSources {
  /** In the order asked for. */
  readonly tasks: readonly ReportedTask[];
  /** undefined where GitHub was not asked, or did not tell. */
  readonly pullRequest: PullRequest | undefined;
  /** Why GitHub did not tell. */
  readonly failure: Failure | undefined;
}

/**
 * Asks for everything a report needs, independent questions together.
 *
 * @throws Failure (not found) naming the tasks that do not exist
 */
export async function collectSources(
  taskIds: readonly string[],
  {
    server,
    readPullRequest,
  }: {
    readonly server: ReportServer;
    readonly readPullRequest: (() => Promise<PullRequest>) | undefined;
  },
): Promise<ReportSources> {
  const [found, pullRequest] = await Promise.all([
    server.readTasks(taskIds),
    readPullRequest === undefined ? undefined : settle(readPullRequest()),
  ]);
  const missing = taskIds.filter((id) => !found.has(id));
  if (missing.length > 0) {
    throw new Failure(`ClearML has no task ${missing.join(', ')}`, {
      exitCode: EXIT_CODES.notFound,
      remedy:
        'It was deleted, or it is in another workspace or on another server than the credentials (CLEARML_API_HOST) belong to.',
    });
  }
  return {
    tasks: taskIds.flatMap((id) => found.get(id) ?? []),
    pullRequest: pullRequest !== undefined && 'value' in pullRequest ? pullRequest.value : undefined,
    failure: pullRequest !== undefined && 'failure' in pullRequest ? pullRequest.failure : undefined,
  };
}
