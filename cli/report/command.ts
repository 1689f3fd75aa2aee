import { type CommentBoard, hasAnyMarker, type PullRequestComment } from '../github/comments.ts';
import { writeSummary } from '../github/runner-files.ts';
import { locateConfigFile } from '../shell/config-file.ts';
import { EXIT_CODES, type ExitCode, type Settled, settle, takeSettled } from '../shell/failure.ts';
import { type Command, runProgram, type Session } from '../shell/program.ts';
import type { World } from '../shell/world.ts';
import { chooseNewestTasks } from '../training/newest-tasks.ts';
import type { Published } from './comment.ts';
import { type Connection, connect, openWires, type Wires } from './connection.ts';
import type { DueEntry } from './due/entries.ts';
import { createCommand, type Options, readOptions } from './options.ts';
import { hashOwnPipeline } from './posting/comment-key.ts';
import { findTasksOfPullRequest } from './server.ts';
import { readBaseSettings, readSubject } from './subject.ts';
import type { Templates } from './template.ts';

export { createCommand };

/** Loaded after the first answers, so that no request waits for them: what asks for the rest, and what writes the comment. */
const loadSources = () => import('./sources.ts');
const loadComment = () => import('./comment.ts');

/** Runs the program. */
export async function main(world: World): Promise<ExitCode> {
  return runProgram(world, createCommand, run);
}

async function run(command: Command, session: Session): Promise<ExitCode> {
  const options = await readOptions(command, session);
  const ending = await settle(reportAll(options, session));
  const { accept, dryRun } = options.flags;
  if ('failure' in ending && accept !== undefined && dryRun !== true)
    await (await import('../github/reply.ts')).replyWithFailure(ending.failure, options.github, session);
  return takeSettled(ending);
}

async function reportAll(options: Options, session: Session): Promise<ExitCode> {
  const { template } = options.flags;
  // A mistake in a user's template is reported before any request.
  const ownTemplates =
    template === undefined ? undefined : await (await loadComment()).readTemplates(session.cwd, template);
  if (options.due !== undefined) return reportAllDue(options.due, options, session, ownTemplates);
  const wires = openWires(options, session);
  const connection = connect(options, wires);
  const { taskIds } = options.sources;
  const endings: Settled<ExitCode>[] = [];
  try {
    const groups = taskIds.length > 0 ? [taskIds] : await findGroups(options, wires);
    for (const ids of groups) {
      const own = { ...options, sources: { ...options.sources, taskIds: ids } };
      const isUntrained = ids.length === 0 && options.flags.accept !== undefined;
      const exit = isUntrained
        ? acceptUntrained(own, connection, session)
        : report(own, { connection, session, ownTemplates }).then(({ exitCode }) => exitCode);
      endings.push(await (groups.length > 1 ? settle(exit) : exit.then((value) => ({ value }))));
    }
  } finally {
    await wires.close();
  }
  const exitCodes = endings.map(takeSettled).filter((exitCode) => exitCode !== EXIT_CODES.done);
  return exitCodes.sort((one, other) => one - other)[0] ?? EXIT_CODES.done;
}

/** The tasks to report where none are named. */
async function findGroups(options: Options, wires: Wires): Promise<string[][]> {
  const pushed = options.flags.promote === true ? options.github.push : undefined;
  if (pushed === undefined) return findNewest(options, wires);
  const { findPushedTasks } = await import('./promotion/find-tasks.ts');
  return [await findPushedTasks(pushed, options, wires)];
}

/** Reports what `--due` lists. Nothing is asked if that is nothing. */
async function reportAllDue(
  entries: readonly DueEntry[],
  options: Options,
  session: Session,
  ownTemplates: Templates | undefined,
): Promise<ExitCode> {
  const { dryRun, json, summary, config } = options.flags;
  if (entries.length === 0) {
    session.voice.say('Nothing is due');
    if (json === true) session.voice.result('[]');
    return EXIT_CODES.done;
  }
  const { reportDue, renderDueSummary } = await import('./due/run.ts');
  const { outcomes, exitCode } = await reportDue(entries, options, session, {
    settingsPath: locateConfigFile(session.cwd, config),
    report: (own, connection, muted) => report(own, { connection, session: muted, ownTemplates }),
  });
  const reports = outcomes.flatMap((outcome) =>
    'published' in outcome ? (outcome.published.report ?? []) : [],
  );
  if (json === true) session.voice.result(JSON.stringify(reports, undefined, 2));
  if (summary && dryRun !== true) await writeSummary(session, renderDueSummary(outcomes));
  return exitCode;
}

/**
 * The newest tasks of the pull request and the settings' pipeline: one group for each leg of a matrix, or an empty one. A
 * JSON document can hold a single report, that of the newest.
 */
async function findNewest(options: Options, { clearml, signal }: Wires): Promise<string[][]> {
  const { expected, pullRequest = 0 } = options.sources;
  // A branch may have gone back to an older commit.
  const head = expected?.headCommit ?? options.target.commit;
  const of = { pipeline: await hashOwnPipeline(options), pullRequest };
  const found = await findTasksOfPullRequest(clearml, of, signal);
  const [newest = [], ...others] = chooseNewestTasks(found, of, head);
  return options.flags.json === true ? [newest] : [newest, ...others];
}

/** `--accept` for a pull request without tasks. */
async function acceptUntrained(
  options: Options,
  connection: Connection,
  session: Session,
): Promise<ExitCode> {
  const existing = connection.board && settle(connection.board.then(listComments));
  const { publishAcceptance } = await import('./posting/untrained.ts');
  return publishAcceptance(await existing, { options, connection, session });
}

/** Reports one group of tasks. */
async function report(
  options: Options,
  {
    connection,
    session,
    ownTemplates,
  }: { connection: Connection; session: Session; ownTemplates: Templates | undefined },
): Promise<Published> {
  // A refusal of GitHub's is reported after the job summary is written.
  const [{ gone, gathered }, existing] = await Promise.all([
    gather(options, connection),
    connection.board === undefined ? undefined : settle(connection.board.then(listComments)),
  ]);
  if (gathered === undefined) {
    const { publishGone } = await import('./posting/gone.ts');
    const exitCode = await publishGone(gone, existing, { options, connection, session });
    return { report: undefined, exitCode, commentUrl: undefined };
  }
  const { publishReport, readTemplates } = await loadComment();
  const templates = ownTemplates ?? (await readTemplates(session.cwd, undefined));
  return publishReport(gathered, existing, { templates, options, connection, session });
}

/** Gathers the sources, and loads the rendering while further answers are under way. */
async function gather({ sources, missing }: Options, { servers }: Connection) {
  if (sources.taskIds.length === 0) {
    const baseSettings = readBaseSettings(sources, servers, sources.expected?.baseBranch);
    return { gone: { ids: [], left: [], baseSettings } };
  }
  const subject = await readSubject(sources, servers);
  if (subject.gone.length > 0 || missing > 0) {
    const { gone: ids, tasks: left, baseSettings } = subject;
    return { gone: { ids, left, baseSettings } };
  }
  const { gatherSources } = await loadSources();
  const [gathered] = await Promise.all([gatherSources(subject, sources, servers), loadComment()]);
  return { gathered };
}

/** Lists the comments. If one may be ours, also asks for our login while other answers are under way. */
async function listComments(board: CommentBoard): Promise<readonly PullRequestComment[]> {
  const comments = await board.listComments();
  if (comments.some(({ body }) => hasAnyMarker(body))) await board.readAuthor();
  return comments;
}
