import { formatMarker, type PullRequestComment, placeComment } from '../../github/comments.ts';
import { formatRunUrl } from '../../github/run-url.ts';
import { writeOutputs } from '../../github/runner-files.ts';
import {
  EXIT_CODES,
  type ExitCode,
  failUsage,
  type Settled,
  settle,
  takeSettled,
} from '../../shell/failure.ts';
import { writeHeading, writeLine } from '../../text/markdown.ts';
import { joinPhrases, link, phrase, words } from '../../text/phrase.ts';
import { readBaseSettings } from '../subject.ts';
import { composeAcceptance } from '../words/lead.ts';
import { type Acceptance, type AcceptanceQuestion, failWithoutStatus, retract } from './accept.ts';
import { nameComment } from './comment-key.ts';
import { publishStatus, readStatus } from './status.ts';

/** Accepts the newest commit of a pull request that has no task to report: by a comment and the commit status. */
export async function publishAcceptance(
  existing: Settled<readonly PullRequestComment[]> | undefined,
  question: AcceptanceQuestion,
): Promise<ExitCode> {
  const { options, connection, session } = question;
  const sources = await readPullRequest(question);
  const stated = await readStatus(sources, question);
  if (stated?.accepted === undefined) throw failWithoutStatus();
  connection.wires.beginPosting();
  const name = await nameComment([], options, session.redact);
  const runUrl = formatRunUrl({ ...options.github, repository: options.target.repository });
  const run = runUrl === undefined ? [] : phrase`Accepted in this ${link(runUrl, 'workflow run')}.`;
  const why = words(
    'This pull request has no task of this pipeline in ClearML, so there is nothing to report.',
  );
  const write = (accepted: Acceptance | undefined) =>
    [
      writeHeading(3, words(accepted === undefined ? 'No training' : 'Accepted without a training')),
      ...(accepted === undefined ? [] : [writeLine(composeAcceptance(accepted, undefined))]),
      writeLine(joinPhrases([why, accepted === undefined ? [] : run], ' ')),
    ].join('\n\n');
  if (options.flags.dryRun === true) {
    session.voice.result(session.redact(write(stated.accepted)));
    return EXIT_CODES.done;
  }
  const board = await connection.board;
  if (existing === undefined || board === undefined)
    throw new Error('there is no pull request to comment on');
  const place = (listed: readonly PullRequestComment[], accepted: Acceptance | undefined) =>
    placeComment(board, {
      identity: name,
      text: Promise.resolve(session.redact(`${formatMarker(name.key)}\n${write(accepted)}\n`)),
      draft: undefined,
      existing: listed,
      clock: session.clock,
      giveUpAtMs: connection.wires.postUntilMs,
      signal: connection.wires.signal,
    });
  const comments = takeSettled(existing);
  const { comment } = await place(comments, stated.accepted);
  await writeOutputs(session, { 'comment-url': comment.url, 'comment-id': String(comment.id) });
  session.voice.result(comment.url);
  const where = { ...question, commentUrl: comment.url, identity: name, comments };
  const written = await settle(publishStatus(undefined, stated, where));
  if ('failure' in written) await retract(connection.board, session, (listed) => place(listed, undefined));
  takeSettled(written);
  return EXIT_CODES.done;
}

async function readPullRequest({ options: { sources, target }, connection }: AcceptanceQuestion) {
  const host = await connection.servers.github;
  const number = target.pullRequest?.number;
  if (host === undefined || number === undefined) {
    throw failUsage(
      'GitHub is not asked which commit is the newest',
      'Without a task --accept needs GH_TOKEN (or GITHUB_TOKEN) for a dry run too.',
    );
  }
  const pullRequest = await host.readPullRequest(number);
  const baseSettings = await readBaseSettings(sources, connection.servers, pullRequest.baseBranch);
  return { tasks: [], isCurrent: undefined, pullRequest, failure: undefined, baseSettings };
}
