import { EXIT_CODES } from '../../shell/failure.ts';
import type { Redact } from '../../shell/redaction.ts';
import type { Report } from '../report.ts';

/** What a comment shows: a verdict, or that its tasks are gone. */
type Shown = Report['verdict'] | 'warning' | 'gone';

/** A regression that begins to block, or no longer does, is another verdict to a reader. */
export function nameShown({ verdict, gate }: Pick<Report, 'verdict' | 'gate'>): Shown {
  if (verdict !== 'regression' && verdict !== 'undecided') return verdict;
  if (gate?.exitCode === EXIT_CODES.done) return 'warning';
  return gate?.exitCode === EXIT_CODES.undecided ? 'undecided' : verdict;
}

/** The hidden second line of a comment that may be posted anew. Code writes the line, so nothing of a training is in it. */
export function formatShown(shown: Shown): string {
  return `<!-- clearml-ci-cd shows: ${shown} -->`;
}

/**
 * Whether a report is news to who has read a comment: it shows something else now. That a training waits or runs is none,
 * so the verdict that follows always is. A comment without the line shows something unknown.
 *
 * @param body as GitHub has it, so without secrets
 */
export function isNews(body: string, shown: Shown, redact: Redact): boolean {
  const [, secondLine = ''] = body.split(/\r?\n/, 2);
  return shown !== 'pending' && secondLine.trim() !== redact(formatShown(shown));
}
