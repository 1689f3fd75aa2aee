import {
  ClosedConversation,
  type CommentBoard,
  formatMarker,
  hasAnyMarker,
  hasMarker,
  type PullRequestComment,
  placeComment,
  selectOwnComments,
} from '../../github/comments.ts';
import { formatRunUrl } from '../../github/run-url.ts';
import { writeOutputs, writeSummary } from '../../github/runner-files.ts';
import {
  EXIT_CODES,
  type ExitCode,
  Failure,
  type Settled,
  settle,
  takeSettled,
} from '../../shell/failure.ts';
import type { Redact } from '../../shell/redaction.ts';
import { writeHeading, writeLine, writeList } from '../../text/markdown.ts';
import { joinPhrases, link, type Phrase, phrase, words } from '../../text/phrase.ts';
import { formatTaskUrl } from '../../training/task.ts';
import type { Options } from '../options.ts';
import type { ReportedTask } from '../reported-task.ts';
import type { BaseSettings } from '../subject.ts';
import { STATUS_WORDS } from '../words/lead.ts';
import type { AcceptanceQuestion } from './accept.ts';
import { nameComment } from './comment-key.ts';
import { formatShown, isNews } from './shown.ts';
import { endPendingStatus } from './status.ts';
import { tellPlacement } from './tell-placement.ts';

/** Tasks that ClearML does not have. */
export interface Gone {
  /** None: the pull request has no task at all, or, where some are left, nobody knows any more which they were. */
  readonly ids: readonly string[];
  /** Those that were asked for too and exist. */
  readonly left: readonly ReportedTask[];
  /** Undefined if GitHub was not asked. */
  readonly baseSettings: Promise<BaseSettings> | undefined;
}

/** A comment to write, by its first line. */
interface GoneComment {
  readonly marker: string;
  /** The first lines that it may have now: several where two comments are left of it. */
  readonly present: readonly string[];
}

/**
 * The comments about tasks that are gone: the one that names them, else the pipeline's. If the pull request has no task at
 * all, these are the comments of all legs that exist.
 *
 * @param existing the comments on the pull request; undefined if nothing is posted
 */
async function findGoneComments(
  { ids, left }: Gone,
  existing: readonly PullRequestComment[] | undefined,
  board: CommentBoard | undefined,
  options: Options,
  redact: Redact,
): Promise<GoneComment[]> {
  const { key, markers, isKin } = await nameComment(left, options, redact);
  const marker = redact(formatMarker(key));
  const own = { marker, present: [] };
  if (existing === undefined || board === undefined) return [own];
  const firstLineOf = (body: string) => body.split(/\r?\n/, 1)[0]?.trim() ?? '';
  if (ids.length + left.length > 0) {
    if (left.length > 0 || options.flags.commentKey !== undefined) return [own];
    const names = (body: string) => hasAnyMarker(body) && ids.some((id) => body.includes(id));
    const [named] = await selectOwnComments(board, existing, names);
    const line = named === undefined ? marker : firstLineOf(named.body);
    return [{ marker: isKin(line) || markers.includes(line) ? marker : line, present: [line] }];
  }
  // A leg's key is the pipeline's and one word more.
  const legPrefix = `${marker.replace(/ -->$/, '')}%20`;
  const isLeg = (line: string) => line.startsWith(legPrefix) && !line.includes('%2C');
  const isOfPipeline = (body: string) => {
    const line = firstLineOf(body);
    return markers.includes(line) || isKin(line) || (options.flags.commentKey === undefined && isLeg(line));
  };
  const found = await selectOwnComments(board, existing, isOfPipeline);
  const lines = found.map(({ body }) => firstLineOf(body));
  const written = new Set(lines.map((line) => (isLeg(line) ? line : marker)));
  return [...written].map((own) => ({
    marker: own,
    present: lines.filter((line) => (isLeg(line) ? line : marker) === own),
  }));
}

/** The Markdown of a comment about tasks that are gone, without its marker. */
function renderGone(
  left: Gone['left'],
  { heading, why }: Explanation,
  context: {
    readonly webHost: string;
    readonly apiVersion: string | undefined;
    readonly runUrl: string | undefined;
  },
): string {
  const states = left.map(
    (task) =>
      phrase`${link(formatTaskUrl(context.webHost, task, context.apiVersion), phrase`${task.id}`)}: ${words(STATUS_WORDS[task.status])}`,
  );
  const run =
    context.runUrl === undefined ? [] : phrase`Found by this ${link(context.runUrl, 'workflow run')}.`;
  return [
    writeHeading(3, heading),
    writeLine(joinPhrases([words(why), run], ' ')),
    ...(states.length === 0 ? [] : [`${writeLine(words('The other tasks:'))}\n\n${writeList(states)}`]),
  ].join('\n\n');
}

const GONE_REASON =
  'It was deleted, or it is in another workspace or on another server than those of the credentials.';

/** What the comment says of it, and what the program ends with. */
interface Explanation {
  readonly heading: Phrase;
  readonly why: string;
  readonly failure: Failure;
}

function explainGone({ ids, left }: Gone, { missing, launched, target }: Options): Explanation {
  const pullRequest = target.pullRequest?.number;
  const fail = (message: string, remedy: string) =>
    new Failure(message, { exitCode: EXIT_CODES.notFound, remedy });
  const [id] = ids;
  if (id !== undefined) {
    const more = ids.length > 1 ? ` and ${ids.length - 1} more` : '';
    return {
      heading: phrase`ClearML has no task ${id}${words(more)}`,
      why: GONE_REASON,
      failure: fail(
        `ClearML has no task ${ids.join(', ')}`,
        `${GONE_REASON.slice(0, -1)} (CLEARML_API_HOST).`,
      ),
    };
  }
  if (left.length > 0) {
    const message = `${missing} of ${launched?.count ?? 0} trainings ${missing === 1 ? 'is' : 'are'} gone`;
    // A push has no conversation in which to comment.
    const orComment = pullRequest === undefined ? '' : ', or comment /train';
    const why = `Deleted, reset or never queued. The others are not judged alone: run the job that launched them again${orComment}.`;
    return { heading: words(message), why, failure: fail(message, why) };
  }
  return {
    heading: words('This pull request has no task in ClearML'),
    why: 'What was reported before was deleted, or goes on for another pull request or branch.',
    failure: fail(
      `ClearML has no task of pull request ${pullRequest} and this pipeline`,
      'Its tasks were deleted, or no run has launched one. The settings name the pipeline: check project and task-name.',
    ),
  };
}

/**
 * Writes into the comment, and the job summary, that tasks are gone: otherwise it would always say what they did last. A
 * new comment is posted only for tasks that were named.
 *
 * @param existing the pull request's comments; undefined if nothing is to be posted
 * @returns exit code 0 where `--no-gate` finds a pull request without tasks and comments: nobody has launched anything.
 *   With `--json` there would be no document
 * @throws Failure (not found), or what kept the comment from being written
 */
export async function publishGone(
  gone: Gone,
  existing: Settled<readonly PullRequestComment[]> | undefined,
  { options, session, connection }: AcceptanceQuestion,
): Promise<ExitCode> {
  const { access, flags, github, target } = options;
  const { voice, redact } = session;
  connection.wires.beginPosting();
  const explanation = explainGone(gone, options);
  const { failure } = explanation;
  const isRecreated = options.config.comment === 'recreate';
  const text = redact(
    renderGone(gone.left, explanation, {
      webHost: access.webHost,
      apiVersion: connection.wires.clearml.apiVersion,
      runUrl: formatRunUrl({ ...github, repository: target.pullRequest?.repository }),
    }),
  );
  const body = isRecreated ? `${redact(formatShown('gone'))}\n${text}` : text;
  // GitHub's failure decides the exit code, and this would not be told.
  if (existing !== undefined && 'failure' in existing) voice.say(failure.message);
  const listed = existing === undefined ? undefined : takeSettled(existing);
  const board = await connection.board;
  const comments = await findGoneComments(gone, listed, board, options, redact);
  const endStatus = async (commentUrl: string | undefined, former: readonly string[] = []) => {
    const where = { commentUrl, former, gone };
    const stated = await settle(endPendingStatus(failure.message, where, { options, connection, session }));
    // The next tick tries again.
    if ('failure' in stated && options.missing > 0) throw stated.failure;
    // That the tasks are gone decides the exit code.
    if ('failure' in stated) voice.warn(`${stated.failure.message}\n${stated.failure.remedy}`);
  };
  // A dry run reads no comments, and takes it that there is none.
  const isUnseen = flags.dryRun === true ? gone.ids.length + gone.left.length === 0 : comments.length === 0;
  if (isUnseen && !flags.gate && flags.json !== true) {
    voice.say(`Nothing to report: ${failure.message}`);
    return EXIT_CODES.done;
  }
  if (flags.dryRun === true) {
    if (flags.json !== true) for (const { marker } of comments) voice.result(`${marker}\n${body}`);
    throw failure;
  }
  if (listed === undefined || board === undefined) {
    if (flags.summary) await writeSummary(session, text);
    await endStatus(undefined);
    throw failure;
  }
  if (flags.summary && comments.length > 0) await writeSummary(session, text);
  for (const { marker, present } of comments) {
    const markers = [marker, ...present];
    const former = listed.flatMap((one) => (markers.some((own) => hasMarker(one.body, own)) ? one.url : []));
    const posted = await settle(
      placeComment(board, {
        identity: { markers, isKin: () => false },
        text: Promise.resolve(`${marker}\n${body}\n`),
        draft: undefined,
        isNews: isRecreated ? async (shown) => isNews(shown, 'gone', redact) : undefined,
        existing: listed,
        clock: session.clock,
        giveUpAtMs: connection.wires.postUntilMs,
        signal: connection.wires.signal,
      }),
    );
    // The status tells it then.
    if ('failure' in posted && posted.failure instanceof ClosedConversation)
      await endStatus(undefined, former);
    const { comment, ...placed } = takeSettled(posted);
    tellPlacement({ comment, ...placed }, { options, session });
    await writeOutputs(session, { 'comment-url': comment.url, 'comment-id': String(comment.id) });
    await endStatus(comment.url, former);
    if (flags.json !== true) voice.result(comment.url);
  }
  throw failure;
}
