import { EXIT_CODES, Failure } from '../shell/failure.ts';
import { WRITE_ATTEMPTS, waitAfterLost } from '../shell/retry.ts';
import type { Clock } from '../shell/world.ts';
import { replaceBroken } from '../text/quotation.ts';

const MARKER_START = '<!-- clearml-ci-cd comment: ';

/** The HTML comment that identifies our comment. The key is encoded, so that it can't end early or look like another. */
export function formatMarker(key: string): string {
  return `${MARKER_START}${encodeKey(key)} -->`;
}

/** As an HTML comment can hold it, whatever it is. */
export function encodeKey(key: string): string {
  return encodeURIComponent(replaceBroken(key)).replaceAll('-', '%2D');
}

/** The conversation takes no comment from this token, whatever its permissions: it is locked, for example. */
export class ClosedConversation extends Failure {}

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
  /** Succeeds if GitHub has no such comment: it was deleted already. Then the answer is `gone`. */
  deleteComment(id: number): Promise<'deleted' | 'gone'>;
  /** Author of the token's comments. */
  readAuthor(): Promise<string>;
}

/** Where the text was placed. */
export interface Placement {
  readonly comment: Pick<PullRequestComment, 'id' | 'url'>;
  readonly isNew: boolean;
  /** Author of the token's comments, if creating one showed that it is not the expected one. */
  readonly lateAuthor?: string | undefined;
  /** Why an old comment may still be there although the text was posted anew. */
  readonly leftOver?: string | undefined;
}

/** The most that GitHub puts on a page. With more comments, one may have moved between pages unseen. */
const PAGE_SIZE = 100;
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
  /** First text of the first comment. The whole text replaces it while the search for a second comment runs. */
  readonly draft: (() => string) | undefined;
  /**
   * Whether the text is news to who has read this body: then it is posted as a new comment, of which GitHub sends mail, and
   * the old one is deleted after that. Left out: an existing comment is always updated.
   */
  readonly isNews?: ((shown: string) => Promise<boolean>) | undefined;
  /** Takes something over from the text that is replaced. Left out: the new text replaces all of it. */
  readonly carry?: ((shown: string, text: string) => string) | undefined;
  /** The comments as listed a moment ago. */
  readonly existing: readonly PullRequestComment[];
  readonly clock: Clock;
  /** When to give up; ms since 1970. */
  readonly giveUpAtMs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Puts a text into the one comment with its marker, which is updated, taken over from an older version, or created; if it is
 * news, it is created anew. Only comments by the token's own author count; GitHub may name the author only after a creation.
 * Of several such comments, also by runs at the same time, one stays and the others are deleted: the oldest, whose address
 * readers know; where comments are created anew the newest, because the next run deletes the older ones.
 *
 * @throws Failure when GitHub refuses, or its answers get lost repeatedly
 */
export async function placeComment(board: CommentBoard, options: PlacementOptions): Promise<Placement> {
  const { draft, isNews, carry, clock, giveUpAtMs, signal } = options;
  let { text } = options;
  // Awaited below; this keeps an early rejection from being reported as unhandled.
  text.catch(() => undefined);
  const keeps = isNews === undefined ? 'oldest' : 'newest';
  const { markers } = options.identity;
  const search: Search = { board, markers, keeps, author: undefined, listed: options.existing, old: [] };
  let own = await findOwn(search, options.identity.isKin);
  const isAnew = own[0] !== undefined && isNews !== undefined && (await isNews(own[0].body));
  const shown = own[0]?.body;
  if (carry !== undefined && shown !== undefined) {
    text = text.then((whole) => carry(shown, whole));
    text.catch(() => undefined);
  }
  if (isAnew) [search.old, own] = [own, []];
  let lost: Failure | undefined;
  for (let attempt = 1; attempt <= WRITE_ATTEMPTS; attempt += 1) {
    const updated = own.length === 0 ? undefined : await updateFirst(search, own, await text);
    if (updated !== undefined) return updated;
    const sinceMs = clock.now() - CLOCK_SKEW_MS;
    const body = attempt === 1 && !isAnew && draft !== undefined ? draft() : await text;
    const created = await board.createComment(body);
    const whole = await text;
    if ('comment' in created) {
      const outcome = await settleCreated(search, created.comment, { sinceMs, body, whole });
      if ('placement' in outcome) return outcome.placement;
      own = outcome.others;
    } else {
      lost = created.lost;
      // Look before the next attempt: it may exist.
      await waitAfterLost(attempt, { clock, signal });
      own = withoutThese(await selectOwn(search, await board.listComments()), search.old);
    }
    if (clock.now() >= giveUpAtMs) break;
  }
  const updated = own.length === 0 ? undefined : await updateFirst(search, own, await text);
  if (updated !== undefined) return updated;
  throw (
    lost ??
    new Failure('the comment was deleted each time it was written', {
      exitCode: EXIT_CODES.unavailable,
      remedy: 'Something else deletes it: check the other workflows and apps of the repository.',
    })
  );
}

/** What identifies our comments, and which one stays. */
interface Search {
  readonly board: CommentBoard;
  readonly markers: readonly string[];
  readonly keeps: 'oldest' | 'newest';
  /** Author of the token's comments, once known. */
  author: string | undefined;
  /** All comments, as listed before the creation. */
  listed: readonly PullRequestComment[];
  /** Those that a new one replaces. */
  old: readonly PullRequestComment[];
  /** Why one of them may still be there. */
  leftOver?: string;
}

/** Our comments before anything is written, the one that stays first. */
async function findOwn(
  search: Search,
  isKin: CommentIdentity['isKin'],
): Promise<readonly PullRequestComment[]> {
  let own = await selectOwn(search, search.listed);
  if (own.length === 0 && search.listed.length >= PAGE_SIZE) {
    // If a comment is deleted meanwhile, the first one of the next page moves to a page that was already read.
    search.listed = await search.board.listComments();
    own = await selectOwn(search, search.listed);
  }
  return own.length > 0 ? own : (await selectBy(search, search.listed, isKin)).slice(0, 1);
}

/** Those comments by the token's own author that match, oldest first. */
export function selectOwnComments(
  board: CommentBoard,
  comments: readonly PullRequestComment[],
  matches: (body: string) => boolean,
): Promise<PullRequestComment[]> {
  return selectBy({ board, author: undefined }, comments, matches);
}

/** The comments with one of the markers by the token's own author, the one that stays first. */
async function selectOwn(
  search: Search,
  comments: readonly PullRequestComment[],
): Promise<PullRequestComment[]> {
  const { keeps, markers } = search;
  const own = await selectBy(search, comments, (body) => markers.some((marker) => hasMarker(body, marker)));
  return keeps === 'oldest' ? own : own.reverse();
}

function withoutThese(
  comments: readonly PullRequestComment[],
  these: readonly PullRequestComment[],
): PullRequestComment[] {
  return comments.filter(({ id }) => !these.some((one) => one.id === id));
}

async function selectBy(
  search: Pick<Search, 'board' | 'author'>,
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
  const found = [...new Map([...search.old, ...earlier, ...recent].map((one) => [one.id, one])).values()];
  const others = found.filter(({ id }) => id !== comment.id);
  if (present === undefined) return { others: sortByKept(search, others) };
  const placement = await settleRace(search, present, others, whole);
  return { placement: { ...placement, lateAuthor: isOther ? search.author : undefined } };
}

function sortByKept({ keeps }: Search, comments: readonly PullRequestComment[]): PullRequestComment[] {
  return [...comments].sort((a, b) => (keeps === 'oldest' ? a.id - b.id : b.id - a.id));
}

/** Updates the first of our comments that still exists, and deletes the others. */
async function updateFirst(
  search: Search,
  own: readonly PullRequestComment[],
  text: string,
): Promise<Placement | undefined> {
  for (const [index, { id }] of own.entries()) {
    const updated = await search.board.updateComment(id, text);
    if (updated === undefined) continue;
    await deleteAll(search, [...own.slice(index + 1), ...withoutThese(search.old, own)]);
    return { comment: updated, isNew: false, leftOver: search.leftOver };
  }
  return undefined;
}

/** The text is posted, so an old comment that stays is only told: the next run deletes it. */
async function deleteAll(search: Search, comments: readonly PullRequestComment[]): Promise<void> {
  for (const { id } of comments) {
    try {
      const answer = await search.board.deleteComment(id);
      if (answer === 'gone' && search.keeps === 'newest')
        search.leftOver = 'GitHub does not find it: it is gone, or the token may not delete it';
    } catch (error) {
      if (search.keeps === 'oldest' || !(error instanceof Failure)) throw error;
      search.leftOver = error.message;
    }
  }
}

/** Two runs that create at the same time both search afterwards, and both keep the same comment. */
async function settleRace(
  search: Search,
  created: PullRequestComment,
  others: readonly PullRequestComment[],
  text: string,
): Promise<Placement> {
  const all = sortByKept(search, [created, ...others]);
  const better = all.slice(0, all.indexOf(created));
  if (better.length === 0) {
    await deleteAll(search, others);
    return { comment: created, isNew: true, leftOver: search.leftOver };
  }
  const placement = await updateFirst(search, [...better, created], text);
  return placement === undefined
    ? { comment: created, isNew: true }
    : { ...placement, isNew: placement.comment.id === created.id };
}

/** Compares logins as GitHub does, without case. */
function isSameAuthor(author: string | undefined, own: string | undefined): boolean {
  return author !== undefined && own !== undefined && author.toLowerCase() === own.toLowerCase();
}
