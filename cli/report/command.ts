import { type CommentBoard, hasAnyMarker, type PullRequestComment } from '../github/comments.ts';
import { type ExitCode, settle } from '../shell/failure.ts';
import { type Command, runProgram, type Session } from '../shell/program.ts';
import type { World } from '../shell/world.ts';
import { type Connection, connect } from './connection.ts';
import { createCommand, type Options, readOptions } from './options.ts';
import { gatherSources, readSubject } from './sources.ts';

export { createCommand };

/** Renders and posts the comment. Loaded after the first answer, so that no request waits for it. */
const loadComment = () => import('./comment.ts');

/** Runs the program. */
export async function main(world: World): Promise<ExitCode> {
  return runProgram(world, createCommand, run);
}

async function run(command: Command, session: Session): Promise<ExitCode> {
  const options = await readOptions(command, session);
  const { template } = options.flags;
  // A mistake in a user's template is reported before any request.
  const ownTemplates =
    template === undefined ? undefined : await (await loadComment()).readTemplates(session.cwd, template);
  const connection = connect(options, session);
  try {
    // A refusal of GitHub's is reported after the job summary is written.
    const [{ gathered, comment }, existing] = await Promise.all([
      gather(options, connection),
      connection.board === undefined ? undefined : settle(connection.board.then(listComments)),
    ]);
    const templates = ownTemplates ?? (await comment.readTemplates(session.cwd, undefined));
    return await comment.publishReport(gathered, existing, { templates, options, connection, session });
  } finally {
    await connection.close();
  }
}

/** Gathers the sources, and loads the rendering while further answers are under way. */
async function gather({ sources }: Options, { servers }: Connection) {
  const subject = await readSubject(sources, servers);
  const [gathered, comment] = await Promise.all([gatherSources(subject, sources, servers), loadComment()]);
  return { gathered, comment };
}

/** Lists the comments. If one may be ours, also asks for our login while other answers are under way. */
async function listComments(board: CommentBoard): Promise<readonly PullRequestComment[]> {
  const comments = await board.listComments();
  if (comments.some(({ body }) => hasAnyMarker(body))) await board.readAuthor();
  return comments;
}
