import { type CommentBoard, hasAnyMarker, type PullRequestComment } from '../github/comments.ts';
import { type ExitCode, settle } from '../shell/failure.ts';
import { type Command, runProgram, type Session } from '../shell/program.ts';
import type { World } from '../shell/world.ts';
import { type Connection, connect } from './connection.ts';
import { createCommand, type Options, readOptions } from './options.ts';
import { gatherSources, readSubject } from './sources.ts';

export { createCommand };

/** What makes a comment of the answers and puts it there: loaded once the first of them is here, before it nothing waits. */
const loadComment = () => import('./comment.ts');

/** Runs the program; the exit code is what it gives. */
export async function main(world: World): Promise<ExitCode> {
  return runProgram(world, createCommand, run);
}

async function run(command: Command, session: Session): Promise<ExitCode> {
  const options = await readOptions(command, session);
  const { template } = options.flags;
  // A mistake in somebody's own template is told before anything is asked.
  const ownTemplates =
    template === undefined ? undefined : await (await loadComment()).readTemplates(session.cwd, template);
  const connection = connect(options, session);
  try {
    // What GitHub refuses must not keep the report from the job summary: its failures wait until that is written.
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

/** What is asked for; and, loaded while the further answers are under way, what makes a comment of it. */
async function gather({ sources }: Options, { servers }: Connection) {
  const subject = await readSubject(sources, servers);
  const [gathered, comment] = await Promise.all([gatherSources(subject, sources, servers), loadComment()]);
  return { gathered, comment };
}

/** The comments there are. Where one may be ours, who we are is asked now: other answers are still under way. */
async function listComments(board: CommentBoard): Promise<readonly PullRequestComment[]> {
  const comments = await board.listComments();
  if (comments.some(({ body }) => hasAnyMarker(body))) await board.readAuthor();
  return comments;
}
