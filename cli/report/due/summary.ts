import { writeHeading, writeList } from '../../text/markdown.ts';
import { joinPhrases, link, type Phrase, phrase, words } from '../../text/phrase.ts';
import type { Published } from '../comment.ts';
import { composePromotion } from '../promotion/words.ts';
import { composeHeading } from '../words/heading.ts';
import type { DueEntry } from './entries.ts';

/** What became of an entry: its report, why there is none, or what kept it from being posted. */
export type DueOutcome = { readonly entry: DueEntry } & (
  | { readonly published: Published }
  | { readonly skipped: string }
  | { readonly problem: string }
);

/** The Markdown of the job summary: a line for each entry. */
export function renderDueSummary(outcomes: readonly DueOutcome[]): string {
  const lines = outcomes.map((outcome) => phrase`${nameEntry(outcome.entry)}: ${describe(outcome)}`);
  return `${writeHeading(3, words('Trainings that no job waits for'))}\n\n${writeList(lines)}`;
}

function nameEntry({ pullRequest, commit }: DueEntry): Phrase {
  const short = commit.slice(0, 10);
  return pullRequest === undefined
    ? phrase`Commit ${short}`
    : phrase`Pull request ${pullRequest} at ${short}`;
}

function describe(outcome: DueOutcome): Phrase {
  if ('skipped' in outcome) return words(outcome.skipped);
  if ('problem' in outcome) return phrase`${outcome.problem}`;
  const { report, commentUrl } = outcome.published;
  if (report === undefined) return words('nothing to report');
  const place = commentUrl ?? report.tasks[0]?.url;
  return joinPhrases(
    [
      composeHeading(report),
      place === undefined ? [] : link(place, commentUrl === undefined ? 'task' : 'comment'),
      report.promotion === null ? [] : composePromotion(report.promotion),
    ],
    ' · ',
  );
}
