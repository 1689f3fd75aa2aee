import { formatRunUrl } from '../../github/event.ts';
import { writeSummary } from '../../github/runner-files.ts';
import { type Failure, settle } from '../../shell/failure.ts';
import type { Session } from '../../shell/program.ts';
import { writeHeading, writeLine } from '../../text/markdown.ts';
import { joinPhrases, link, words, writePlain } from '../../text/phrase.ts';
import type { Options } from '../options.ts';
import type { CommentName } from '../posting/comment-key.ts';
import type { Report } from '../report.ts';
import type { ReportSources } from '../sources.ts';
import { writeLineTo } from './comment-line.ts';
import { type Promotion, type PromotionQuestion, promote } from './promote.ts';
import { composePromotion } from './words.ts';

/** What a promotion is decided and told with. */
interface PublishQuestion extends PromotionQuestion {
  readonly session: Session;
  /** Tells our comment from those of other pipelines. */
  readonly name: CommentName;
}

/**
 * Whether to promote, and for which push: where `--promote` asks for it, and where a run of the collecting workflow reports
 * a push whose settings do. A pull request's model is not promoted before the merge.
 *
 * @returns undefined if not
 */
export function findPromotion({
  flags,
  github,
  config,
  launched,
}: Options): Pick<PromotionQuestion, 'pushed'> | undefined {
  const isAsked = flags.promote === true || (launched !== undefined && config.promote !== undefined);
  const { push, eventName = '' } = github;
  if (!isAsked) return undefined;
  if (eventName === 'push') return push && { pushed: { branch: push.branch, commit: push.commit } };
  const isByHand = launched === undefined && !/^(?:pull_request|merge_group)/.test(eventName);
  return isByHand ? { pushed: undefined } : undefined;
}

/**
 * Promotes, and says in the log, the job summary and the merged pull request's comment what became of it and why.
 *
 * @returns also what kept it from being told, for the exit code
 * @throws as `promote` does
 */
export async function publishPromotion(
  report: Report,
  sources: ReportSources,
  question: PublishQuestion,
): Promise<{ readonly promotion: Promotion; readonly problem: Failure | undefined }> {
  const { options, connection, session, pushed, name } = question;
  const promotion = await promote(report, sources, question);
  const told = composePromotion(promotion);
  session.voice.say(writePlain(told));
  const isDry = options.flags.dryRun === true;
  if (promotion.reason === 'off' || isDry) return { promotion, problem: undefined };
  if (options.flags.summary) {
    await writeSummary(session, `${writeHeading(3, words('Promotion'))}\n\n${writeLine(told)}`);
  }
  // By the commit of the push. A task that a person names may be any one's.
  if (pushed === undefined || connection.wires.github === undefined || promotion.reason === 'pending')
    return { promotion, problem: undefined };
  const line = writeLine(joinPhrases([told, composeOrigin(report, question)], ' '));
  const keepsNewest = options.config.comment === 'recreate';
  const written = await settle(
    connection.wires.github.then((host) =>
      writeLineTo(host, pushed, session.redact(line), { name, keepsNewest }),
    ),
  );
  if ('failure' in written) return { promotion, problem: written.failure };
  session.voice.say(
    written.value.length === 0
      ? 'No comment of ours on a merged pull request of this commit was found to tell it in'
      : `Told it in the comment on pull request ${written.value.join(', ')}`,
  );
  return { promotion, problem: undefined };
}

/** When, and by which run. */
function composeOrigin({ reportedAtMs }: Report, { options: { github, target } }: PublishQuestion) {
  const time = new Date(reportedAtMs).toISOString().slice(0, 16).replace('T', ' ');
  const runUrl = formatRunUrl({ ...github, repository: target.repository });
  const run = runUrl === undefined ? [] : [' by this ', ...link(runUrl, 'workflow run')];
  return [`(${time} UTC`, ...run, ')'];
}
