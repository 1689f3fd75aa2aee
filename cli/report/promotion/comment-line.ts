import type { GithubClient } from '../../github/client.ts';
import { hasMarker, type PullRequestComment, selectOwnComments } from '../../github/comments.ts';
import { EXIT_CODES, Failure } from '../../shell/failure.ts';
import { COMMENT_MAX_LENGTH } from '../markdown.ts';
import type { CommentName } from '../posting/comment-key.ts';
import type { PushedCommit } from './decide.ts';

/** Hidden above the line, so that it is found again. */
const LINE_MARKER = '<!-- clearml-ci-cd promotion -->';

/**
 * The hidden lines that every comment begins with, then the line if there is one. Nothing of a training stands there, so
 * nobody can plant it.
 */
const HEAD =
  /^(?<hidden><!-- clearml-ci-cd comment: [^\n]*\n(?:<!-- clearml-ci-cd shows: [^\n]*\n)?)(?:<!-- clearml-ci-cd promotion -->\n(?<line>[^\n]*)\n{1,2})?/;

/** The comment's text with the line in place of an earlier one; undefined if GitHub would not take it. */
export function placeLine(body: string, line: string): string | undefined {
  const text = body.replaceAll('\r\n', '\n');
  const [head = '', hidden] = HEAD.exec(text) ?? [];
  if (hidden === undefined) return undefined;
  const whole = `${hidden}${LINE_MARKER}\n${line}\n\n${text.slice(head.length)}`;
  return whole.length <= COMMENT_MAX_LENGTH ? whole : undefined;
}

/** A new text of the comment with the line that the shown one has; without it where both do not fit. */
export function carryLine(shown: string, text: string): string {
  const line = HEAD.exec(shown.replaceAll('\r\n', '\n'))?.groups?.line;
  return line === undefined ? text : (placeLine(text, line) ?? text);
}

/**
 * Writes the line into our comment on each merged pull request that brought the commit.
 *
 * @param keepsNewest of two comments the newer one counts, as with `comment: recreate`
 * @returns the pull requests whose comment has it now
 * @throws Failure (refused) naming the permission
 */
export async function writeLineTo(
  host: GithubClient,
  { commit, branch }: PushedCommit,
  line: string,
  { name, keepsNewest }: { readonly name: CommentName; readonly keepsNewest: boolean },
): Promise<readonly number[]> {
  const written: number[] = [];
  try {
    for (const number of await host.findMergedPulls(commit, branch)) {
      const board = host.openBoard(number);
      const isOurs = (body: string) => name.markers.some((marker) => hasMarker(body, marker));
      const own: PullRequestComment[] = await selectOwnComments(board, await board.listComments(), isOurs);
      const comment = own.at(keepsNewest ? -1 : 0);
      const text = comment === undefined ? undefined : placeLine(comment.body, line);
      if (comment === undefined || text === undefined) continue;
      const isThere = text === comment.body || (await board.updateComment(comment.id, text)) !== undefined;
      if (isThere) written.push(number);
    }
  } catch (error) {
    if (!(error instanceof Failure) || error.exitCode !== EXIT_CODES.refused) throw error;
    throw new Failure(`the line in the pull request’s comment was not written: ${error.message}`, {
      exitCode: EXIT_CODES.refused,
      remedy:
        "The token needs the permission pull-requests: write: add it under `permissions` of the workflow's job. What was promoted stays so.",
      cause: error,
    });
  }
  return written;
}
