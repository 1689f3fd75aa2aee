import { runInParallel } from '../clearml/tasks.ts';
import { DEFAULT_ALPHA } from '../gate/data.ts';
import { judgeGate } from '../gate/judge.ts';
import {
  ClosedConversation,
  type Placement,
  type PullRequestComment,
  placeComment,
} from '../github/comments.ts';
import { writeOutputs, writeSummary } from '../github/runner-files.ts';
import { EXIT_CODES, type ExitCode, Failure, type Settled, settle, takeSettled } from '../shell/failure.ts';
import type { Session } from '../shell/program.ts';
import { writePlain } from '../text/phrase.ts';
import { formatCompareUrl, formatTaskUrl } from '../training/task.ts';
import { describeSettings, type ReportSettings } from './base-settings.ts';
import type { Connection } from './connection.ts';
import { closeDue, findAwaited, findOwed, isOver } from './due/owed.ts';
import type { TaskFailure } from './failure.ts';
import { hasGate, prepareGateInput } from './gate-input.ts';
import { composeGateWords, listGateRows } from './gate-table.ts';
import { renderComment, renderSummary } from './markdown.ts';
import type { Options } from './options.ts';
import { MANY_METRICS } from './ports.ts';
import { type Acceptance, retract } from './posting/accept.ts';
import { type CommentName, nameComment } from './posting/comment-key.ts';
import { composeOutputs } from './posting/outputs.ts';
import { formatShown, isNews } from './posting/shown.ts';
import { publishStatus, readStatus, type Stated } from './posting/status.ts';
import { tellPlacement } from './posting/tell-placement.ts';
import { findPromotion, isPromotedByHand } from './promotion/asked.ts';
import { carryLine } from './promotion/comment-line.ts';
import { rankByMovement } from './ranking/movement.ts';
import { buildReport, hasFailed, type Report } from './report.ts';
import type { ReportedTask } from './reported-task.ts';
import { completeSources, type ReportSources } from './sources.ts';
import type { Templates } from './template.ts';
import { findForce } from './words/force.ts';
import { composeCause, composeHeading } from './words/heading.ts';
import { explainUnknownBranch } from './words/notices.ts';

export { readTemplates } from './template.ts';

/** What a report is published with. */
interface Publication {
  readonly options: Options;
  readonly session: Session;
  readonly connection: Connection;
  readonly templates: Templates;
}

/** A report that was published. */
export interface Published {
  /** Undefined where a pull request has nothing to report. */
  readonly report: Report | undefined;
  readonly exitCode: ExitCode;
  readonly commentUrl: string | undefined;
}

interface Written {
  readonly report: Report;
  /** The comment's text. */
  readonly text: string;
  readonly exitCode: ExitCode;
}

/**
 * Reads the rest, judges, and publishes the report: as the comment, the job summary, outputs and the result.
 *
 * @param existing the pull request's comments; undefined if nothing is to be posted
 */
export async function publishReport(
  unordered: ReportSources,
  existing: Settled<readonly PullRequestComment[]> | undefined,
  publication: Publication,
): Promise<Published> {
  const { options, session, connection, templates } = publication;
  const { gathered, name, reading, write, written, placing } = await beginReport(
    unordered,
    existing,
    publication,
  );
  const { report: judged, text, exitCode } = await written;
  warnOfBranches(judged, session);
  let report = judged;

  // With thousands of metrics the document has several MB.
  const tell = (short: string) => {
    if (options.flags.json === true) session.voice.result(JSON.stringify(report, undefined, 2));
    else if (short !== '') session.voice.result(short);
    if (exitCode !== EXIT_CODES.done) tellObjection(report, session);
  };
  const promote = async () => {
    const asked = findPromotion(options);
    if (asked === undefined) return undefined;
    const { publishPromotion } = await import('./promotion/publish.ts');
    const { promotion, problem } = await publishPromotion(judged, gathered, {
      ...publication,
      ...asked,
      name,
    });
    report = { ...judged, promotion };
    return problem;
  };
  if (options.flags.dryRun === true) {
    const problem = await promote();
    tell(text);
    if (problem !== undefined) throw problem;
    if (gathered.failure !== undefined) throw gathered.failure;
    return { report, exitCode, commentUrl: undefined };
  }
  // GitHub keeps the summary of each step, so one of a training that goes on would stay in front of the last.
  const isInterim = report.verdict === 'pending' && exitCode === EXIT_CODES.done && !report.isDue;
  const hasSummary = session.env.GITHUB_STEP_SUMMARY !== undefined;
  // Thousands of metrics take a while to write.
  const isSummed = options.flags.summary && !isInterim && hasSummary;
  const sum = () => (isSummed ? writeSummary(session, renderSummary(report, templates.summary)) : undefined);
  // What is accepted is told once it is.
  if (options.flags.accept === undefined) await sum();
  const [placed] = (await placing) ?? [];
  const comment = placed?.status === 'fulfilled' ? placed.value.comment : undefined;
  const comments = existing !== undefined && 'value' in existing ? existing.value : [];
  const question = { ...publication, identity: name, commentUrl: comment?.url, comments };
  // What GitHub did not answer it would not answer now either.
  const isLost = placed?.status === 'rejected' && !isRefused(placed.reason);
  const state = async (read: Stated | undefined) => {
    if (read !== undefined) await publishStatus(report, read, question);
    return read;
  };
  const stated = isLost ? undefined : await settle(reading.then(takeSettled).then(state));
  if (options.flags.accept !== undefined && stated !== undefined) {
    if ('value' in stated) await sum();
    else if (comment !== undefined)
      await retract(connection.board, session, (listed) =>
        placeReport(listed, write(undefined), publication, { name, draft: undefined }),
      );
  }
  const problem = await promote();
  const outputs = composeOutputs(report);
  if (placed?.status === 'rejected') {
    // Later steps get the verdict even without the comment.
    await writeOutputs(session, outputs);
    if (isSummed) session.voice.say('The report is in the job summary');
    if (stated !== undefined && 'failure' in stated) session.voice.say(stated.failure.message);
    if (problem !== undefined) session.voice.say(problem.message);
    // Each tick would try again, for ever. The commit status has told the end.
    const isFutile = options.launched !== undefined && placed.reason instanceof ClosedConversation;
    if (isFutile && stated !== undefined && 'value' in stated)
      await closeDues(gathered.tasks, stated.value, publication);
    throw placed.reason;
  }
  if (placed !== undefined) tellPlacement(placed.value, publication);
  const posted = comment && { 'comment-url': comment.url, 'comment-id': String(comment.id) };
  await writeOutputs(session, { ...posted, ...outputs });
  tell(comment?.url ?? '');
  const status = stated === undefined ? undefined : takeSettled(stated);
  if (problem !== undefined) throw problem;
  if (report.isDue) session.voice.say('The collecting workflow reports how the training ends');
  await closeDues(gathered.tasks, status, publication);
  return { report, exitCode, commentUrl: comment?.url };
}

/** Judges as soon as all is read, and places the comment meanwhile. What it gives is under way. */
async function beginReport(
  unordered: ReportSources,
  existing: Settled<readonly PullRequestComment[]> | undefined,
  publication: Publication,
) {
  const { options, session, connection } = publication;
  const gathered = { ...unordered, ranked: rankByMovement(unordered, options.sources.rules) };
  // One time for both texts: a draft that lacks nothing needs no update.
  const nowMs = connection.wires.clearml.serverNow();
  const reading = settle(
    isPromotedByHand(options) ? Promise.resolve(undefined) : readStatus(gathered, publication),
  );
  // An acceptance that can't be is posted nowhere.
  if (options.flags.accept !== undefined) takeSettled(await reading);
  const accepting = reading.then((read) => ('value' in read ? read.value?.accepted : undefined));
  const name = { ...(await nameComment(gathered.tasks, options, session.redact)), nowMs };
  const { lack, whole } = completeSources(gathered, options.sources.rules, connection.servers);
  const settings = describeSettings(gathered, options);
  const failing = explain(gathered);
  const write = async (accepted: Acceptance | undefined) => {
    const [sources, compared, failure] = await Promise.all([whole, settings, failing]);
    connection.wires.beginPosting();
    return writeReport(sources, compared, { ...name, accepted, failure }, publication);
  };
  const written = accepting.then(write);
  // A new comment is posted without the curves; an update adds them.
  const hasDraft = lack === 'curves' && gathered.tasks.every(({ metrics }) => metrics.length <= MANY_METRICS);
  const place = async (comments: Settled<readonly PullRequestComment[]>): Promise<Placement> => {
    const listed = takeSettled(comments);
    if (gathered.failure !== undefined) throw gathered.failure;
    const [compared, accepted, failure] = await Promise.all([settings, accepting, failing]);
    return placeReport(listed, written, publication, {
      name,
      draft: hasDraft
        ? () => writeReport(gathered, compared, { ...name, accepted, failure }, publication).text
        : undefined,
    });
  };
  const placing = existing === undefined ? undefined : Promise.allSettled([place(existing)]);
  return { gathered, name, reading, write, written, placing };
}

/** Why a task failed. The table of causes is large, and most trainings succeed. */
async function explain(sources: ReportSources): Promise<TaskFailure | undefined> {
  if (!sources.tasks.some(hasFailed)) return undefined;
  const { explainFailure } = await import('./failure.ts');
  return explainFailure(sources);
}

/** Once a final state was posted, no tick need post it. A tick that posts it again does no harm. */
async function closeDues(
  tasks: readonly ReportedTask[],
  status: Stated | undefined,
  { options, connection, session }: Publication,
): Promise<void> {
  if (!tasks.every(isOver)) return;
  await runInParallel(tasks, async (task) => {
    const due = findOwed(task, options);
    // A newer launch may have taken it: that one is reported by itself.
    if (options.launched !== undefined && due?.launch !== options.launched.launch) return;
    // A tick that knows no commit for the status finds out no more next time. A job may know less than a tick.
    const isStated = status === undefined || status.commit === due?.commit;
    const isLast = options.launched !== undefined && status?.commit === undefined;
    if (due === undefined || !(isStated || isLast)) return;
    const closed = await settle(closeDue(task, due.to, connection.wires));
    if (options.launched !== undefined) takeSettled(closed);
    else if ('failure' in closed) session.voice.warn(`${closed.failure.message}\n${closed.failure.remedy}`);
  });
}

function isRefused(reason: unknown): boolean {
  return reason instanceof Failure && reason.exitCode === EXIT_CODES.refused;
}

/** Judges the sources, and writes the report and the comment's text. */
function writeReport(
  sources: ReportSources,
  settings: ReportSettings | undefined,
  {
    accepted,
    failure,
    key,
    nowMs,
  }: CommentName & {
    readonly nowMs: number;
    readonly accepted: Acceptance | undefined;
    readonly failure: TaskFailure | undefined;
  },
  { options, session, connection, templates }: Publication,
): Written {
  const { access, config, flags, github, target } = options;
  const { rules, seedParam } = options.sources;
  const alpha = config.alpha ?? DEFAULT_ALPHA;
  const gate = hasGate(rules)
    ? { alpha, ...judgeGate(prepareGateInput(sources, options.sources, alpha)) }
    : undefined;
  const awaited = findAwaited(sources.tasks, options);
  const report = buildReport(sources, {
    rules,
    gate,
    settings,
    pullRequest: target.pullRequest,
    repository: target.repository,
    isClosed: github.closedBase !== undefined,
    accepted,
    failure,
    githubUrl: github.serverUrl,
    runId: github.runId,
    seedParam,
    isDue: awaited !== undefined,
    launchRunId: options.launched?.runId,
    webHost: access.webHost,
    urlOf: (task) => formatTaskUrl(access.webHost, task, connection.wires.clearml.apiVersion),
    compareUrlOf: (own, others) =>
      formatCompareUrl(access.webHost, own, others, connection.wires.clearml.apiVersion),
    nowMs,
  });
  const shown = config.comment === 'recreate' ? formatShown(findForce(report)) : undefined;
  const text = renderComment(report, key, templates.comment, shown);
  // Nobody waits for a detached training, so that it goes on is no objection.
  const isDetached = report.verdict === 'pending' && awaited?.every((due) => due.isDetached) === true;
  return {
    report,
    text: session.redact(text),
    exitCode:
      gate !== undefined && flags.gate && !isDetached && flags.accept === undefined && flags.promote !== true
        ? gate.exitCode
        : EXIT_CODES.done,
  };
}

/** Posts or updates the pull request's comment. */
async function placeReport(
  existing: readonly PullRequestComment[],
  written: Promise<Written>,
  { connection, options, session }: Publication,
  { name, draft }: { readonly name: CommentName; readonly draft: (() => string) | undefined },
): Promise<Placement> {
  if (connection.board === undefined) throw new Error('there is no pull request to comment on');
  return placeComment(await connection.board, {
    identity: name,
    text: written.then(({ text }) => text),
    draft,
    isNews:
      options.config.comment === 'recreate'
        ? async (body) => isNews(body, findForce((await written).report), session.redact)
        : undefined,
    carry: carryLine,
    existing,
    clock: session.clock,
    giveUpAtMs: connection.wires.postUntilMs,
    signal: connection.wires.signal,
  });
}

/** Of a mistake in `--baseline` or the settings, which the comment shows to others only. */
function warnOfBranches({ baseline, anchors, pullRequest }: Report, { voice }: Session): void {
  for (const { reason, name } of [baseline, ...anchors]) {
    if (reason === 'no-such-branch')
      voice.warn(writePlain(explainUnknownBranch(name ?? '', pullRequest?.baseBranch ?? null)));
  }
}

/** Further metrics are in the comment. */
const MAX_TOLD_METRICS = 5;

/** Says in the log and as an annotation why the job fails, in the comment's words. */
function tellObjection(report: Report, { voice }: Session): void {
  const rows = listGateRows(report).filter(
    ({ metric, comparison }) =>
      metric.gate === 'fail' && metric.verdict !== 'pass' && (comparison?.verdict ?? 'none') !== 'pass',
  );
  const cause = writePlain(composeCause(report));
  const why = rows.slice(0, MAX_TOLD_METRICS).map((row) => writePlain(composeGateWords(row)));
  if (why.length === 0) why.push(cause === '' ? 'The gate judges a training once it has completed.' : cause);
  const text = [writePlain(composeHeading(report)), ...why].join('\n');
  voice.say(`error: ${text}`);
  voice.annotate('error', text);
}
