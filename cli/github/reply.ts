import { type Failure, settle } from '../shell/failure.ts';
import type { Session } from '../shell/program.ts';
import { writeLine, writeQuotedBlock } from '../text/markdown.ts';
import { link, phrase } from '../text/phrase.ts';
import { type CommentBoard, encodeKey, hasMarker, placeComment } from './comments.ts';
import type { EventComment, GithubRun } from './event.ts';
import { askGithub } from './remote-code.ts';
import { formatRunUrl } from './run-url.ts';

const GIVE_UP_MS = 15_000;

/**
 * Answers a comment in one of our own. A run that is repeated finds its answer by a hidden marker and updates it.
 *
 * @param markdown without anything that the comment could have put there as Markdown
 * @param workflow whose answer it is, where those of several may differ
 */
export async function replyTo(
  comment: EventComment,
  markdown: string,
  board: CommentBoard,
  { clock, redact, interruption: signal }: Session,
  workflow?: string,
): Promise<void> {
  const marker = markReply(comment, workflow);
  await placeComment(board, {
    identity: { markers: [marker], isKin: () => false },
    text: Promise.resolve(redact(`${marker}\n${markdown}\n`)),
    draft: undefined,
    existing: await board.listComments(),
    clock,
    giveUpAtMs: clock.now() + GIVE_UP_MS,
    signal,
  });
}

/** Tells a commenter why their command came to nothing. What GitHub refuses is only warned of: the failure matters more. */
export async function replyWithFailure(
  { message, remedy }: Failure,
  github: GithubRun,
  session: Session,
): Promise<void> {
  const { comment, repository } = github;
  if (comment === undefined || repository === undefined) return;
  const run = link(formatRunUrl(github) ?? null, 'workflow run');
  const lead = writeLine(phrase`${link(comment.url, 'This command')} failed (${run}):`);
  const text = `${lead}\n\n${writeQuotedBlock(`${message}\n${remedy}`)}`;
  const replying = askGithub(repository, github, session, (client) =>
    replyTo(comment, text, client.openBoard(comment.pullRequest), session, github.workflow),
  );
  await warnOfFailure(replying, 'the command is not answered', session);
}

/** Deletes what an earlier attempt of this run has answered: that it failed. Another attempt that fails answers anew. */
export async function takeBackReply(github: GithubRun, session: Session): Promise<void> {
  const { comment, repository, runAttempt = '1', workflow } = github;
  if (comment === undefined || repository === undefined || runAttempt === '1') return;
  const deleting = askGithub(repository, github, session, async (client) => {
    const board = client.openBoard(comment.pullRequest);
    const marker = markReply(comment, workflow);
    const answers = (await board.listComments()).filter(({ body }) => hasMarker(body, marker));
    const author = answers.length > 0 ? await board.readAuthor() : undefined;
    for (const answer of answers) if (answer.author === author) await board.deleteComment(answer.id);
  });
  await warnOfFailure(deleting, 'the answer of an earlier attempt is still there', session);
}

function markReply({ id }: EventComment, workflow = ''): string {
  return `<!-- clearml-ci-cd reply: ${id}${workflow === '' ? '' : ` ${encodeKey(workflow)}`} -->`;
}

/** For a reaction or an answer, which is a courtesy: what keeps it from being written is only warned of. */
export async function warnOfFailure(work: Promise<unknown>, what: string, { voice }: Session): Promise<void> {
  const settled = await settle(work);
  if ('failure' in settled) voice.warn(`${what}: ${settled.failure.message}`);
}
