import type { FoundStatus } from '../../github/statuses.ts';
import { isActions } from '../../shell/environment.ts';
import { type Failure, failUsage } from '../../shell/failure.ts';
import type { Session } from '../../shell/program.ts';
import { toVisibleLine } from '../../text/quotation.ts';
import type { Connection } from '../connection.ts';
import type { Options } from '../options.ts';
import type { ReportSources } from '../sources.ts';

/** A commit that somebody accepted, whatever its training came to. Who and why are foreign text. */
export interface Acceptance {
  readonly by: string;
  readonly reason: string;
  readonly commit: string;
}

/** Whose acceptance it is, and where GitHub is asked. */
export interface AcceptanceQuestion {
  readonly options: Options;
  readonly connection: Connection;
  readonly session: Session;
}

/** The acceptance that a commit's status tells: it holds for this commit until somebody accepts it anew. */
export function readAcceptance(found: FoundStatus | undefined, commit: string): Acceptance | undefined {
  const [, by, reason] = /^Accepted by ([^:]+): (.*)$/s.exec(found?.description ?? '') ?? [];
  if (found?.state !== 'success' || by === undefined || reason === undefined) return undefined;
  return { by, reason, commit };
}

/**
 * The acceptance that `--accept` asks for: of the pull request's newest commit, by the comment's author, else in Actions by
 * whoever started the run, else by the token's account.
 *
 * @returns undefined without that option
 * @throws Failure (usage) if PR_COMMIT is not the newest commit
 */
export async function makeAcceptance(
  { tasks, pullRequest, failure }: Pick<ReportSources, 'tasks' | 'pullRequest' | 'failure'>,
  { options: { flags, github, target }, connection, session }: AcceptanceQuestion,
): Promise<Acceptance | undefined> {
  if (flags.accept === undefined) return undefined;
  if (failure !== undefined) throw failure;
  const head = pullRequest?.headCommit;
  if (head !== undefined && target.commit !== undefined && target.commit !== head) {
    throw failUsage(
      `${target.commit} is not the newest commit of pull request ${target.pullRequest?.number}`,
      `Most likely the branch has moved on. Read the new commits, up to ${head}, then accept that one.`,
    );
  }
  const actor = isActions(session.env) ? github.actor : undefined;
  const by = github.comment?.author ?? actor ?? (await (await connection.board)?.readAuthor());
  const commit = head ?? target.commit ?? tasks[0]?.script.commit ?? '';
  return { by: toVisibleLine(by ?? 'unknown'), reason: toVisibleLine(flags.accept), commit };
}

/** What `--accept` says where the settings name no commit status. */
export function failWithoutStatus(): Failure {
  return failUsage(
    'there is no commit status to accept with',
    'The base branch’s settings name none: set status (or detach) there, or give --status.',
  );
}
