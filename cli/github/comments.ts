import { EXIT_CODES, Failure } from '../shell/failure.ts';
import type { Clock } from '../shell/world.ts';
import { replaceBroken } from '../text/quotation.ts';

const MARKER_START = '<!-- clearml-ci-cd comment: ';

/** The HTML comment that identifies our comment. The key is encoded, so that it can't end early or look like another. */
export function formatMarker(key: string): string {
  return `${MARKER_START}${encodeURIComponent(replaceBroken(key)).replaceAll('-', '%2D')} -->`;
}

/** Whether a comment's first line is this marker. A quotation of it in a reply does not count. */
export function hasMarker(body: string, marker: string): boolean {
  const [firstLine = ''] = body.split(/\r?\n/, 1);
  return firstLine.trim() === marker;
}

/** What the comments of version 0.1 were kept apart by, as a key. */
export function formatOlderKey(run: {
  readonly workflow: string | undefined;
  readonly job: string | undefined;
  readonly taskName: string;
}): string {
  return [run.workflow ?? '', run.job ?? '', run.taskName].join('\n');
}

/** The task's name in the key of a comment of version 0.1; undefined for any other comment. */
export function readOlderTaskName(body: string): string | undefined {
  const [firstLine = ''] = body.split(/\r?\n/, 1);
  const encoded = firstLine.startsWith(MARKER_START) ? firstLine.slice(MARKER_START.length) : '';
  try {
    const [, , ...name] = decodeURIComponent(encoded.replace(/\s*-->\s*$/, '')).split('\n');
    return name.length === 0 ? undefined : name.join('\n');
  } catch {
    return undefined;
  }
}

/** Whether a comment begins with one of our markers, with any key. */
export function hasAnyMarker(body: string): boolean {
  return body.startsWith(MARKER_START);
}

/** A comment on a pull request. */
export interface PullRequestComment {
  readonly id: number;
  readonly url: string;
  readonly body: string;
  /** Login; undefined if the account was deleted. */
  readonly author: string | undefined;
}

/** A pull request's comments, read and written with one token. */
export interface CommentBoard {
  /** All of them, oldest first. */
  listComments(): Promise<readonly PullRequestComment[]>;
  /** Those created or changed since then; ms since 1970, GitHub's clock. */
  listCommentsSince(sinceMs: number): Promise<readonly PullRequestComment[]>;
  /** `lost`: the answer got lost, so it may have been created. */
  createComment(body: string): Promise<{ readonly comment: PullRequestComment } | { readonly lost: Failure }>;
  /** undefined if it was deleted. */
  updateComment(id: number, body: string): Promise<PullRequestComment | undefined>;
  /** Succeeds if it was deleted already. */
  deleteComment(id: number): Promise<void>;
  /** Author of the token's comments. */
  readAuthor(): Promise<string>;
}

/** Where the text was placed. */
export interface Placement {
  readonly comment: Pick<PullRequestComment, 'id' | 'url'>;
  readonly isNew: boolean;
  /** Author of the token's comments, if creating one showed that it is not the expected one. */
  readonly lateAuthor?: string | undefined;
}

const MAX_ATTEMPTS = 5;
/** The most that GitHub puts on a page. With more comments, one may have moved between pages unseen. */
const PAGE_SIZE = 100;
const PAUSE_AFTER_LOST_MS = 1500;
/** How far GitHub's clock and ours may differ. */
const CLOCK_SKEW_MS = 10 * 60_000;

/** Which comment is meant. */
export interface CommentIdentity {
  /** Its marker first, then those that older versions gave it; as they are posted, without secrets. */
  readonly markers: readonly string[];
  /** Whether it may have been this one under an older version. One such comment is taken over if no marker is found. */
  isKin(body: string): boolean;
}

/** What to place, and for how long to try. */
interface PlacementOptions {
  readonly identity: CommentIdentity;
  /** Begins with the marker. It may not be ready yet. */
  readonly text: Promise<string>;
  /** First text of a new comment. The whole text replaces it while the search for a second comment runs. */
  readonly draft: (() => string) | undefined;
  /** The comments as listed a moment ago. */
  readonly existing: readonly PullRequestComment[];
  readonly clock: Clock;
  /** When to give up; ms since 1970. */
  readonly giveUpAtMs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Puts a text into the one comment with its marker, which is updated, taken over from an older version, or created. Only
 * comments by the token's own author count; GitHub may name the author only after a creation. Of several such comments,
 * also by runs at the same time, the oldest stays and the others are deleted.
 *
 * @throws Failure when GitHub refuses, or its answers get lost repeatedly
 */
export async function placeComment(board: CommentBoard, options: PlacementOptions): Promise<Placement> {
  const { text, draft, clock, giveUpAtMs, signal } = options;
  // Awaited below; this keeps an early rejection from being reported as unhandled.
  text.catch(() => undefined);
  const { markers, isKin } = options.identity;
  const search: Search = { board, markers, author: undefined, listed: options.existing };
  let lost: Failure | undefined;
  let own: readonly PullRequestComment[] = await selectOwn(search, search.listed);
  if (own.length === 0 && search.listed.length >= PAGE_SIZE) {
    // If a comment is deleted meanwhile, the first one of the next page moves to a page that was already read.
    search.listed = await board.listComments();
    own = await selectOwn(search, search.listed);
  }
  if (own.length === 0) own = (await selectBy(search, search.listed, isKin)).slice(0, 1);
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
      // Look before the next attempt: it may exist.
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
      remedy: 'Something else deletes it: check the other workflows and apps of the repository.',
    })
  );
}

/** What identifies our comments. */
interface Search {
  readonly board: CommentBoard;
  readonly markers: readonly string[];
  /** Author of the token's comments, once known. */
  author: string | undefined;
  /** All comments, as listed before the creation. */
  listed: readonly PullRequestComment[];
}

/** Those comments by the token's own author that match, oldest first. */
export function selectOwnComments(
  board: CommentBoard,
  comments: readonly PullRequestComment[],
  matches: (body: string) => boolean,
): Promise<PullRequestComment[]> {
  return selectBy({ board, markers: [], author: undefined, listed: comments }, comments, matches);
}

/** The comments with one of the markers by the token's own author, oldest first. */
function selectOwn(search: Search, comments: readonly PullRequestComment[]): Promise<PullRequestComment[]> {
  return selectBy(search, comments, (body) => search.markers.some((marker) => hasMarker(body, marker)));
}

async function selectBy(
  search: Search,
  comments: readonly PullRequestComment[],
  matches: (body: string) => boolean,
): Promise<PullRequestComment[]> {
  const marked = comments.filter(({ body }) => matches(body));
  // Only marked comments need the author, so most first runs save this request.
  if (marked.length > 0) search.author ??= await search.board.readAuthor();
  return marked.filter((comment) => isSameAuthor(comment.author, search.author)).sort((a, b) => a.id - b.id);
}

/**
 * Gives a new comment its whole text, and searches for another one of ours at the same time.
 *
 * @returns `others` if the new one was deleted, by a run that created an older one at the same time
 */
async function settleCreated(
  search: Search,
  comment: PullRequestComment,
  { sinceMs, body, whole }: { readonly sinceMs: number; readonly body: string; readonly whole: string },
): Promise<{ readonly placement: Placement } | { readonly others: readonly PullRequestComment[] }> {
  const { board, author } = search;
  // The creation tells the author, which GitHub does not tell an app's token before.
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

/** Updates the oldest of our comments that still exists, and deletes the younger ones. */
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

/** Two runs that create at the same time both search afterwards, and both keep the oldest comment. */
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

/** Compares logins as GitHub does, without case. */
function isSameAuthor(author: string | undefined, own: string | undefined): boolean {
  return author !== undefined && own !== undefined && author.toLowerCase() === own.toLowerCase();
}
