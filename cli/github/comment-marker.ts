import { replaceBroken } from '../text/quotation.ts';

const MARKER_START = '<!-- clearml-ci-cd comment: ';

/**
 * What identifies our comment among all others on a pull request: an HTML comment, which GitHub does not show. The key
 * is percent-encoded, so that none can end it early or look like another.
 */
export function formatMarker(key: string): string {
  return `${MARKER_START}${encodeURIComponent(replaceBroken(key)).replaceAll('-', '%2D')} -->`;
}

/** Whether a comment's text carries this very marker, as its first line: quoted in a reply it does not count. */
export function hasMarker(body: string, marker: string): boolean {
  const [firstLine = ''] = body.split(/\r?\n/, 1);
  return firstLine.trim() === marker;
}

/** The key that tells one workflow's comment from another's, where none is given. */
export function defaultCommentKey(run: {
  readonly workflow: string | undefined;
  readonly job: string | undefined;
  readonly taskName: string;
}): string {
  return [run.workflow ?? '', run.job ?? '', run.taskName].join('\n');
}

/** Whether a comment begins with a marker of ours, of whatever key. */
export function hasAnyMarker(body: string): boolean {
  return body.startsWith(MARKER_START);
}
