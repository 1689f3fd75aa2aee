import { formatGithubTime } from './git-history.ts';
import type { AnswerBuilder, Comment } from './github-answers.ts';
import { answerPage, type Handlers } from './github-call.ts';
import type { PullStore } from './github-pulls.ts';
import { notFound, Refusal } from './github-refusal.ts';
import { isPusher, type TokenHolder } from './github-tokens.ts';

const COMMENT_MAX_CHARACTERS = 65_536;

/** Real comment ids have passed 2^31: a client that keeps them in 32 bits must fail here too. */
const FIRST_COMMENT_ID = 3_000_000_001;
const EARLIER_MS = 3_600_000;

/** A comment that is there when the sandbox starts, written an hour before. */
export interface EarlierComment {
  readonly pull: number;
  /** Login. */
  readonly author: string;
  readonly body: string;
}

/** The comments that are there already, oldest first. */
export function listEarlierComments(earlier: readonly EarlierComment[], nowMs: number): Comment[] {
  const writtenAt = formatGithubTime(nowMs - EARLIER_MS);
  return earlier.map(({ pull, author, body }, index) => ({
    id: FIRST_COMMENT_ID + index,
    pull,
    author,
    body: checkCommentBody(body),
    createdAt: writtenAt,
    updatedAt: writtenAt,
  }));
}

/** Ids are never given twice: comments may be deleted. */
let lastCommentId = FIRST_COMMENT_ID + 100_000;

/** Writes a comment. */
export function addComment(comments: Comment[], earlier: EarlierComment, createdAt: string): Comment {
  lastCommentId += 1;
  const comment = { id: lastCommentId, ...earlier, createdAt, updatedAt: createdAt };
  comments.push(comment);
  return comment;
}

/** Writes by others than the author need write access. That a job's token has it everywhere is the danger to know. */
function checkMayChange(comment: Comment, holder: TokenHolder): void {
  if (holder.kind === 'user' && !isPusher(holder.role) && holder.login !== comment.author) {
    throw new Refusal(403, 'Must have admin rights to Repository.');
  }
}

/** Checks what the description does not say. Characters are Unicode's, not UTF-16's. */
function checkCommentBody(body: unknown): string {
  const text = String(body);
  const refuse = (message: string): Refusal =>
    new Refusal(422, 'Validation Failed', {
      errors: [{ resource: 'IssueComment', code: 'unprocessable', field: 'data', message }],
    });
  if (text.trim() === '') throw refuse('Body cannot be blank');
  if ([...text].length > COMMENT_MAX_CHARACTERS) {
    throw refuse(`Body is too long (maximum is ${COMMENT_MAX_CHARACTERS} characters)`);
  }
  return text;
}

/** The operations on the comments of pull requests; `comments` is where they are kept, oldest first. */
export function createCommentHandlers(
  comments: Comment[],
  pulls: PullStore,
  answers: AnswerBuilder,
  time: () => string,
): Handlers {
  const findComment = (id: string | number | undefined): Comment => {
    const comment = comments.find((candidate) => candidate.id === id);
    if (comment === undefined) throw notFound();
    return comment;
  };

  return {
    'issues/list-comments': async (call) => {
      const pull = await pulls.find(Number(call.values.issue_number));
      const from = call.values.since === undefined ? '' : formatGithubTime(String(call.values.since));
      const selected = comments.filter(
        (comment) => comment.pull === pull.number && comment.updatedAt >= from,
      );
      return answerPage(call, selected, answers.comment);
    },
    'issues/get-comment': ({ values }) => ({
      status: 200,
      body: answers.comment(findComment(values.comment_id)),
    }),
    'issues/create-comment': async ({ values, body, holder }) => {
      const pull = await pulls.find(Number(values.issue_number));
      const text = checkCommentBody(body.body);
      const comment = addComment(comments, { pull: pull.number, author: holder.login, body: text }, time());
      const document = answers.comment(comment);
      return { status: 201, body: document, headers: { location: document.url } };
    },
    'issues/update-comment': ({ values, body, holder }) => {
      const comment = findComment(values.comment_id);
      checkMayChange(comment, holder);
      comment.body = checkCommentBody(body.body);
      comment.updatedAt = time();
      return { status: 200, body: answers.comment(comment) };
    },
    'issues/delete-comment': ({ values, holder }) => {
      const comment = findComment(values.comment_id);
      checkMayChange(comment, holder);
      comments.splice(comments.indexOf(comment), 1);
      return { status: 204 };
    },
  };
}
