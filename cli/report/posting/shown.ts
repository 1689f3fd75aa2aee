import type { Redact } from '../../shell/redaction.ts';
import type { Force } from '../words/force.ts';

/** What a comment shows: a verdict (a regression that begins to block is another one to a reader), or that its tasks are gone. */
type Shown = Force | 'gone';

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
