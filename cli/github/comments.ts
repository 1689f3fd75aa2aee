import { EXIT_CODES, Failure } from '../shell/failure.ts';
import type { Clock } from '../shell/world.ts';
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

/** A comment on a pull request. */
export interface PullRequestComment {
  readonly id: number;
  readonly url: string;
  readonly body: string;
  /** Login; undefined where the account is gone. */
  readonly author: string | undefined;
}

/** A pull request's comments, read and written with one token. */
export interface CommentBoard {
  /** All of them, oldest first. */
  listComments(): Promise<readonly PullRequestComment[]>;
  /** Those written or changed since then; ms since 1970, GitHub's clock. */
  listCommentsSince(sinceMs: number): Promise<readonly PullRequestComment[]>;
  /** `lost`: it may have been created, and nobody told us. */
  createComment(body: string): Promise<{ readonly comment: PullRequestComment } | { readonly lost: Failure }>;
  /** undefined: it is gone. */
  updateComment(id: number, body: string): Promise<PullRequestComment | undefined>;
  /** One that is gone already is no failure. */
  deleteComment(id: number): Promise<void>;
  /** Whose comments the token writes. */
  readAuthor(): Promise<string>;
}

/** Where the text stands in the end. */
export interface Placement {
  readonly comment: Pick<PullRequestComment, 'id' | 'url'>;
  readonly isNew: boolean;
  /** Whose comments the token writes, where it was taken for another's until one was created. */
  readonly lateAuthor?: string | undefined;
}

const MAX_ATTEMPTS = 5;
/** As many as GitHub puts on a page: where there are more, one may have slipped from page to page unseen. */
const PAGE_SIZE = 100;
const PAUSE_AFTER_LOST_MS = 1500;
/** How far GitHub's clock and ours may be apart. */
const CLOCK_SKEW_MS = 10 * 60_000;

/** What is placed, and how long it is tried. */
interface PlacementOptions {
  /** As it is posted, without what must not be told. */
  readonly marker: string;
  /** Begins with the marker; it may still be under way. */
  readonly text: Promise<string>;
  /**
   * What a new comment may begin with in the meantime: while somebody looks whether another one was created at the same
   * time, the text takes its place.
   */
  readonly draft: (() => string) | undefined;
  /** The comments as they were listed a moment ago. */
  readonly existing: readonly PullRequestComment[];
  readonly clock: Clock;
  /** When it is no use to try again; ms since 1970. */
  readonly giveUpAtMs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Puts a text into the one comment that carries its marker: the one that is there is updated, else it is created. Only
 * comments by the token's own author count, whom GitHub may name only once it has created one. However often this is
 * repeated, and whoever does it at the same time, one comment is left: the oldest; younger ones with the same marker by
 * the same author are deleted.
 *
 * @throws Failure when GitHub refuses, or its answers get lost again and again
 */
export async function placeComment(board: CommentBoard, options: PlacementOptions): Promise<Placement> {
  const { text, draft, clock, giveUpAtMs, signal } = options;
  // Awaited below; this keeps an early rejection from being reported as unhandled.
  text.catch(() => undefined);
  const search: Search = { board, marker: options.marker, author: undefined, listed: options.existing };
  let lost: Failure | undefined;
  let own: readonly PullRequestComment[] = await selectOwn(search, search.listed);
  if (own.length === 0 && search.listed.length >= PAGE_SIZE) {
    // Where somebody deletes a comment meanwhile, the first one of the next page moves to a page that was read already.
    search.listed = await board.listComments();
    own = await selectOwn(search, search.listed);
  }
  for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt += 1) {
    const updated = own.length === 0 ? undefined : await updateOldest(board, own, await text);
    if (updated !== undefined) return { comment: updated, isNew: false };
    const sinceMs = clock.now() - CLOCK_SKEW_MS;
    const body = attempt === 1 && draft !== undefined ? draft() : await text;
    const created = await board.createComment(body);
    const whole = await text;
    if ('comment' in created) {
      const outcome = await settleCreated(search, created.comment, { sinceMs, body, whole });
      if ('placement' in outcome) return outcome.placement;
      own = outcome.others;
    } else {
      lost = created.lost;
      // It may be there already: looked up before it is tried again.
      await clock.sleep(PAUSE_AFTER_LOST_MS * Math.min(attempt, 3), signal);
      own = await selectOwn(search, await board.listComments());
    }
    if (clock.now() >= giveUpAtMs) break;
  }
  const updated = own.length === 0 ? undefined : await updateOldest(board, own, await text);
  if (updated !== undefined) return { comment: updated, isNew: false };
  throw (
    lost ??
    new Failure('the comment was deleted each time it was written', {
      exitCode: EXIT_CODES.unavailable,
      remedy: 'Something else deletes it: look at the other workflows and apps of the repository.',
    })
  );
}

/** Which comments are ours. */
interface Search {
  readonly board: CommentBoard;
  readonly marker: string;
  /** Whose comments the token writes, once that was asked or told. */
  author: string | undefined;
  /** All comments, as listed before one was created. */
  listed: readonly PullRequestComment[];
}

/** Those with the marker by the token's own author, oldest first. */
async function selectOwn(
  search: Search,
  comments: readonly PullRequestComment[],
): Promise<PullRequestComment[]> {
  const marked = comments.filter((comment) => hasMarker(comment.body, search.marker));
  // Who we are matters only where somebody has set our marker: a question less in most first runs.
  if (marked.length > 0) search.author ??= await search.board.readAuthor();
  return marked.filter((comment) => isSameAuthor(comment.author, search.author)).sort((a, b) => a.id - b.id);
}

/**
 * Gives a comment that was just created its whole text, while it is looked whether there is another of ours.
 *
 * @returns `others`: it was deleted meanwhile, by somebody who created an older one at the same time
 */
async function settleCreated(
  search: Search,
  comment: PullRequestComment,
  { sinceMs, body, whole }: { readonly sinceMs: number; readonly body: string; readonly whole: string },
): Promise<{ readonly placement: Placement } | { readonly others: readonly PullRequestComment[] }> {
  const { board, author } = search;
  // GitHub names here whom the token writes as; of an app's own token it does not say so before.
  const isOther = author !== undefined && !isSameAuthor(comment.author ?? author, author);
  search.author = comment.author ?? author;
  const [present, recent, earlier] = await Promise.all([
    body === whole ? comment : board.updateComment(comment.id, whole),
    board.listCommentsSince(sinceMs).then((comments) => selectOwn(search, comments)),
    isOther ? selectOwn(search, search.listed) : [],
  ]);
  const all = [...new Map([...earlier, ...recent].map((one) => [one.id, one])).values()];
  if (present === undefined) return { others: all.filter(({ id }) => id !== comment.id) };
  const placement = await settleRace(board, present, all, whole);
  return { placement: { ...placement, lateAuthor: isOther ? search.author : undefined } };
}

/** Updates the oldest of our comments that is still there, and deletes the younger ones. */
async function updateOldest(
  board: CommentBoard,
  own: readonly PullRequestComment[],
  text: string,
): Promise<PullRequestComment | undefined> {
  for (const [index, { id }] of own.entries()) {
    const updated = await board.updateComment(id, text);
    if (updated === undefined) continue;
    for (const younger of own.slice(index + 1)) await board.deleteComment(younger.id);
    return updated;
  }
  return undefined;
}

/** Where two create at the same time both look afterwards, and both keep the oldest. */
async function settleRace(
  board: CommentBoard,
  created: PullRequestComment,
  own: readonly PullRequestComment[],
  text: string,
): Promise<Placement> {
  const others = own.filter((comment) => comment.id !== created.id);
  const oldest = others[0];
  if (oldest === undefined) return { comment: created, isNew: true };
  if (oldest.id > created.id) {
    for (const younger of others) await board.deleteComment(younger.id);
    return { comment: created, isNew: true };
  }
  const updated = await updateOldest(board, [...others.filter(({ id }) => id < created.id), created], text);
  return updated === undefined
    ? { comment: created, isNew: true }
    : { comment: updated, isNew: updated.id === created.id };
}

/** GitHub compares logins without case. */
function isSameAuthor(author: string | undefined, own: string | undefined): boolean {
  return author !== undefined && own !== undefined && author.toLowerCase() === own.toLowerCase();
}
