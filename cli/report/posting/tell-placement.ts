import type { Placement } from '../../github/comments.ts';
import type { Session } from '../../shell/program.ts';
import type { Options } from '../options.ts';

/** Says in the log what became of the comment. */
export function tellPlacement(
  { isNew, lateAuthor, leftOver }: Placement,
  { options, session }: { readonly options: Options; readonly session: Session },
): void {
  const number = options.target.pullRequest?.number;
  session.voice.say(`${isNew ? 'Posted' : 'Updated'} the comment on pull request ${number}`);
  if (leftOver !== undefined) {
    session.voice.warn(
      `the old comment on pull request ${number} was not deleted (${leftOver}): the next report tries again`,
    );
  }
  if (lateAuthor === undefined) return;
  session.voice.warn(
    `the token writes as ${lateAuthor}, which only a new comment has shown: set --comment-author '${lateAuthor}' to update the existing comment instead`,
  );
}
