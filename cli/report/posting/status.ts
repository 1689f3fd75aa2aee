import {
  type CommentIdentity,
  hasAnyMarker,
  hasMarker,
  type PullRequestComment,
} from '../../github/comments.ts';
import {
  type CommitStatus,
  type FoundStatus,
  MAX_DESCRIPTION_LENGTH,
  type StatusBoard,
} from '../../github/statuses.ts';
import { failUsage } from '../../shell/failure.ts';
import type { Session } from '../../shell/program.ts';
import type { Redact } from '../../shell/redaction.ts';
import { writePlain } from '../../text/phrase.ts';
import { toSingleLine } from '../../text/single-line.ts';
import { RUNTIME_KEYS } from '../../training/task.ts';
import { listUses } from '../../training/uses.ts';
import { chooseStatusContext } from '../base-settings.ts';
import { listCodeIds } from '../baseline/baseline.ts';
import type { Connection } from '../connection.ts';
import type { Options } from '../options.ts';
import type { Report } from '../report.ts';
import type { ReportedTask } from '../reported-task.ts';
import type { ReportSources } from '../sources.ts';
import { findForce } from '../words/force.ts';
import { composeHeading } from '../words/heading.ts';
import { type Acceptance, failWithoutStatus, makeAcceptance, readAcceptance } from './accept.ts';
import type { Gone } from './gone.ts';

/** What a status is written with. */
interface StatusQuestion {
  readonly options: Options;
  readonly connection: Connection;
  readonly session: Session;
  /** Where the report is; undefined if it is no comment. */
  readonly commentUrl: string | undefined;
  /** Tells our comment from those of other pipelines. */
  readonly identity: CommentIdentity;
  /** The pull request's comments. */
  readonly comments: readonly PullRequestComment[];
}

/** A commit status before the report is posted. */
export interface Stated {
  readonly context: string;
  /** undefined if the tasks are not known to train one. */
  readonly commit: string | undefined;
  /** undefined in a dry run, and without a commit. */
  readonly board: StatusBoard | undefined;
  /** What it says now. */
  readonly found: FoundStatus | undefined;
  /** Somebody accepts the commit with this run, or has accepted it. */
  readonly accepted: Acceptance | undefined;
}

/** What is known of the tasks and of their pull request. */
type StatusSources = Pick<ReportSources, 'tasks' | 'isCurrent' | 'pullRequest' | 'failure' | 'baseSettings'>;

/**
 * Reads the commit status that the settings or `--status` ask for.
 *
 * @returns undefined if nobody asks for one
 * @throws Failure (refused) naming the permission, or (usage) if `--accept` can't be obeyed
 */
export async function readStatus(
  sources: StatusSources,
  question: Pick<StatusQuestion, 'options' | 'connection' | 'session'>,
): Promise<Stated | undefined> {
  const { options, connection, session } = question;
  const isDry = options.flags.dryRun === true;
  if (isDry && options.flags.accept === undefined) return undefined;
  const accepted = await makeAcceptance(sources, question);
  const context = await chooseStatusContext(sources, options, session);
  if (context === undefined && accepted !== undefined) throw failWithoutStatus();
  if (context === undefined) return undefined;
  const commit = accepted?.commit ?? findStatusCommit(sources, options);
  if (commit === undefined) {
    session.voice.warn(
      `the commit status ${context} is not set: these tasks are not known to train the commit that it belongs to`,
    );
  }
  if (isDry || commit === undefined) return { context, commit, board: undefined, found: undefined, accepted };
  const board = await connection.wires.openStatuses(context);
  const found = await board.findNewest(commit);
  return { context, commit, board, found, accepted: accepted ?? readAcceptance(found, commit) };
}

/**
 * Sets the commit status to the report's verdict. It is written once as pending, once as final, and again only if the
 * verdict changes: GitHub keeps every status. What somebody has accepted stays accepted.
 *
 * @param report undefined if there is nothing but an acceptance
 * @throws Failure (refused) naming the permission, or (usage) if another pipeline writes the same context, or GitHub does
 *   not take it
 */
export async function publishStatus(
  report: Report | undefined,
  { accepted, board, commit, context, found }: Stated,
  question: StatusQuestion,
): Promise<void> {
  const { options, session, commentUrl } = question;
  const targetUrl = session.redact(commentUrl ?? report?.tasks[0]?.url ?? '');
  const status =
    accepted === undefined
      ? report && {
          state: chooseState(report),
          description: describeVerdict(report, session.redact),
          targetUrl,
        }
      : { state: 'success' as const, description: describeAcceptance(accepted, session.redact), targetUrl };
  if (board === undefined || commit === undefined || status === undefined) return;
  if (accepted !== undefined) {
    const isKept = options.flags.accept === undefined || found?.description === status.description;
    if (isKept && found?.state === 'success') return;
  }
  // Whoever accepts a commit accepts it, whichever pipeline has judged it: a pull request may have renamed its own.
  if (options.flags.accept === undefined) checkOwner(found, context, question);
  // The launching job has written that it is pending; what is final since, another job has written.
  const isInterim = options.launched !== undefined && status.state === 'pending';
  if (accepted === undefined && found !== undefined && (isInterim || isSameVerdict(found, status))) return;
  // The report took its time, and somebody may have accepted the commit meanwhile.
  if (accepted === undefined && readAcceptance(await board.findNewest(commit), commit) !== undefined) {
    session.voice.say(
      `The commit status ${context} of ${commit.slice(0, 10)} stays: somebody has accepted it`,
    );
    return;
  }
  await board.write(commit, status);
  session.voice.say(`Set the commit status ${context} of ${commit.slice(0, 10)} to ${status.state}`);
}

/**
 * Ends a pending status whose tasks are gone: otherwise it would be waited for for ever. What was final was true.
 *
 * @param message what was found, for the description
 * @param commentUrl where that is told; undefined without a pull request
 * @param former where the tasks were reported before
 * @param gone the tasks: without a comment, the status leads to one of them
 */
export async function endPendingStatus(
  message: string,
  {
    commentUrl,
    former,
    gone: { ids, baseSettings },
  }: {
    readonly commentUrl: string | undefined;
    readonly former: readonly string[];
    readonly gone: Pick<Gone, 'ids' | 'baseSettings'>;
  },
  { options, connection, session }: Pick<StatusQuestion, 'options' | 'connection' | 'session'>,
): Promise<void> {
  const commit = options.sources.expected?.headCommit ?? options.target.commit;
  if (commit === undefined) return;
  const context = await chooseStatusContext({ baseSettings: await baseSettings }, options, session);
  if (context === undefined) return;
  const board = await connection.wires.openStatuses(context);
  const found = await board.findNewest(commit);
  if (found?.state !== 'pending') return;
  const { targetUrl } = found;
  // It leads to a comment, or to one of the launch's tasks, which may be the one that is gone.
  const isReported = [commentUrl, ...former].includes(targetUrl);
  if (!isReported && !ids.some((id) => targetUrl.includes(id)) && options.missing === 0) return;
  const description = describe(message, session.redact);
  await board.write(commit, { state: 'error', description, targetUrl: commentUrl ?? targetUrl });
}

/** Where the training could not show what the code is worth. */
const INFRASTRUCTURE: ReadonlySet<string> = new Set(['worker-lost', 'never-started']);

/** The state for a verdict. An objection that blocks nothing is a success, and its words say so. */
export function chooseState(report: Report): CommitStatus['state'] {
  const { failure } = report;
  switch (findForce(report)) {
    case 'pending':
      return 'pending';
    case 'failed':
      return failure !== null && INFRASTRUCTURE.has(failure.kind) ? 'error' : 'failure';
    case 'regression':
      return 'failure';
    case 'undecided':
      return 'error';
    case 'warning':
    case 'none':
    case 'pass':
      return 'success';
  }
}

/** The comment's first line without Markdown, cut to what GitHub takes. */
function describeVerdict(report: Report, redact: Redact): string {
  const line = toSingleLine(redact(writePlain(composeHeading(report))), Number.POSITIVE_INFINITY);
  // A training chooses its own name: it must not read as an acceptance.
  return describe(/^accepted/i.test(line) ? `Training ${line}` : line, redact);
}

/** As `readAcceptance` reads it again. */
function describeAcceptance({ by, reason }: Acceptance, redact: Redact): string {
  return describe(`Accepted by ${by}: ${reason}`, redact);
}

/**
 * An emoji, with all that it is composed of, or another character of four bytes in UTF-8. GitHub takes none in a description
 * ("description doesn't accept 4-byte Unicode", github.com/ouzi-dev/commit-status-updater/issues/526).
 */
const FOUR_BYTES = /(?:[\u{10000}-\u{10ffff}][\u200d\ufe0f]*)+/gu;

/** Secrets go first: half of one is not recognised. */
function describe(text: string, redact: Redact): string {
  const line = toSingleLine(redact(text), Number.POSITIVE_INFINITY).replace(FOUR_BYTES, '\ufffd');
  if (line.length <= MAX_DESCRIPTION_LENGTH) return line;
  let cut = '';
  for (const character of line) {
    if (cut.length + character.length >= MAX_DESCRIPTION_LENGTH) break;
    cut += character;
  }
  return `${cut.trimEnd()}…`;
}

/**
 * The commit that the status belongs to: the event's own, or the one that a run by hand names, if the tasks were trained
 * for it; else the pull request's newest. undefined if that is not what was trained.
 */
function findStatusCommit(
  { tasks, isCurrent, pullRequest }: StatusSources,
  { sources: { expected, pullRequest: number }, target }: Options,
): string | undefined {
  const [first, ...others] = tasks;
  if (first === undefined || !others.every((task) => isSameTraining(task, first))) return undefined;
  // What a person trained with uncommitted changes is no commit's. What a workflow changes itself, it changes each time.
  if (tasks.some(({ script, runtime }) => script.hasDiff && runtime[RUNTIME_KEYS.run] === undefined))
    return undefined;
  const newest = pullRequest?.headCommit;
  const named = expected?.headCommit ?? (number === undefined ? undefined : target.commit);
  if (named === undefined) {
    if (number === undefined) return first.script.commit;
    return isCurrent === true ? newest : undefined;
  }
  if (isCurrent === true && (number === undefined || newest === named)) return named;
  const use = number === undefined ? undefined : listUses(first.runtime).get(number);
  return first.script.commit === named || use?.commit === named ? named : undefined;
}

function isSameTraining(task: ReportedTask, other: ReportedTask): boolean {
  const ids = listCodeIds(other);
  return task.script.commit === other.script.commit || listCodeIds(task).some((id) => ids.includes(id));
}

/** The verdict's own word at the start of a description. */
const VERDICT_WORD = /^(?:Regression|Undecided|Pass|Not judged)\b/;

function isSameVerdict(found: FoundStatus, { state, description, targetUrl }: CommitStatus): boolean {
  if (found.state !== state) return false;
  if (state === 'pending') return true;
  const [before, now] = [found.description, description].map((text) => VERDICT_WORD.exec(text)?.[0]);
  return before === now && found.targetUrl === targetUrl;
}

/** A status that leads to the comment of another pipeline, or of another leg of a matrix, is not ours to replace. */
function checkOwner(
  found: FoundStatus | undefined,
  context: string,
  { commentUrl, comments, identity }: StatusQuestion,
): void {
  if (found === undefined || found.targetUrl === commentUrl) return;
  const body = comments.find(({ url }) => url === found.targetUrl)?.body;
  if (body === undefined || !hasAnyMarker(body)) return;
  if (identity.markers.some((marker) => hasMarker(body, marker)) || identity.isKin(body)) return;
  throw failUsage(
    `the commit status ${context} carries the verdict of another comment: ${found.targetUrl}`,
    'Each pipeline, and each leg of a matrix, needs a commit status of its own: name another context, by the setting status or by --status.',
  );
}
