import { formatRunUrl } from '../../github/run-url.ts';
import { writeSummary } from '../../github/runner-files.ts';
import { type Failure, settle } from '../../shell/failure.ts';
import type { Session } from '../../shell/program.ts';
import { writeHeading, writeLine } from '../../text/markdown.ts';
import { joinPhrases, link, words, writePlain } from '../../text/phrase.ts';
import type { CommentName } from '../posting/comment-key.ts';
import type { Report } from '../report.ts';
import type { ReportSources } from '../sources.ts';
import { writeLineTo } from './comment-line.ts';
import { decideState } from './decide.ts';
import { type Promotion, type PromotionQuestion, promote } from './promote.ts';
import { composePromotion } from './words.ts';

/** What a promotion is decided and told with. */
interface PublishQuestion extends PromotionQuestion {
  readonly session: Session;
  /** Tells our comment from those of other pipelines. */
  readonly name: CommentName;
}

/**
 * Promotes, and says in the log, the job summary and the merged pull request's comment what became of it and why.
 *
 * @returns null if it is too early, or a service failed; and what failed, for the exit code
 */
export async function publishPromotion(
  report: Report,
  sources: ReportSources,
  question: PublishQuestion,
): Promise<{ readonly promotion: Promotion | null; readonly problem?: Failure | undefined }> {
  const { options } = question;
  // What has not ended comes again, in a run of the collecting workflow.
  const isEarly = options.launched !== undefined && decideState(sources.tasks) === 'pending';
  if (isEarly) return { promotion: null };
  const done = await settle(promote(report, sources, question));
  if ('failure' in done) return { promotion: null, problem: done.failure };
  const promotion = done.value;
  const told = await settle(tellPromotion(promotion, report, question));
  return { promotion, problem: 'failure' in told ? told.failure : undefined };
}

/** @throws Failure if the pull request's comment could not be written */
async function tellPromotion(promotion: Promotion, report: Report, question: PublishQuestion): Promise<void> {
  const { options, connection, session, pushed, name } = question;
  const told = composePromotion(promotion);
  session.voice.say(writePlain(told));
  if (promotion.reason === 'off' || options.flags.dryRun === true) return;
  if (options.flags.summary)
    await writeSummary(session, `${writeHeading(3, words('Promotion'))}\n\n${writeLine(told)}`);
  // By the commit of the push. A task that a person names may be any one's.
  const host = await connection.wires.github;
  if (pushed === undefined || host === undefined || promotion.reason === 'pending') return;
  const line = session.redact(writeLine(joinPhrases([told, composeOrigin(report, question)], ' ')));
  const keepsNewest = options.config.comment === 'recreate';
  const written = await writeLineTo(host, pushed, line, { name, keepsNewest });
  session.voice.say(
    written.length === 0
      ? 'No comment of ours on a merged pull request of this commit was found to tell it in'
      : `Told it in the comment on pull request ${written.join(', ')}`,
  );
}

/** When, and by which run. */
function composeOrigin({ reportedAtMs }: Report, { options: { github, target } }: PublishQuestion) {
  const time = new Date(reportedAtMs).toISOString().slice(0, 16).replace('T', ' ');
  const runUrl = formatRunUrl({ ...github, repository: target.repository });
  const run = runUrl === undefined ? [] : [' by this ', ...link(runUrl, 'workflow run')];
  return [`(${time} UTC`, ...run, ')'];
}
