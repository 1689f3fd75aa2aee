import type { Octokit } from '@octokit/rest';
import * as v from 'valibot';
import { EXIT_CODES, Failure } from '../shell/failure.ts';
import { AnswerLost } from '../shell/retry.ts';
import { ClosedConversation, type CommentBoard, type PullRequestComment } from './comments.ts';
import { ask, GithubRefusal } from './transport.ts';

const PAGE_SIZE = 100;
/** GitHub asks for few requests at a time. */
const PARALLEL_PAGES = 4;
const JOB_LOGIN = 'github-actions[bot]';

const UserSchema = v.object({ login: v.string() });
const CommentSchema = v.pipe(
  v.object({
    id: v.number(),
    html_url: v.string(),
    body: v.nullish(v.string(), ''),
    user: v.nullish(UserSchema),
  }),
  v.transform(
    ({ id, html_url: url, body, user }): PullRequestComment => ({ id, url, body, author: user?.login }),
  ),
);
const CommentsSchema = v.array(CommentSchema);
/** Octokit's data of a 204. A login page in its place is no deletion. */
const NothingSchema = v.literal('');

/** The conversation of one pull request, and our part in it. */
interface Conversation {
  readonly octokit: Octokit;
  readonly owner: string;
  readonly repo: string;
  readonly pullRequest: number;
  readonly token: string;
  /** Author of the token's comments, if the caller knows. */
  readonly commentAuthor: string | undefined;
}

/** The comments of a pull request. Their author is asked for once, when it is needed. */
export function openBoard(conversation: Conversation): CommentBoard {
  const { octokit, owner, repo, pullRequest } = conversation;
  const place = { owner, repo };
  const subject = `the comments of pull request ${pullRequest}`;
  let author: Promise<string> | undefined;
  return {
    listComments: () => listComments(conversation, {}),
    listCommentsSince: (sinceMs) =>
      listComments(conversation, { since: new Date(sinceMs).toISOString().replace(/\.\d+Z$/, 'Z') }),
    async createComment(body) {
      try {
        const request = octokit.issues.createComment({ ...place, issue_number: pullRequest, body });
        return { comment: (await ask(request, CommentSchema, subject)).data };
      } catch (error) {
        if (error instanceof AnswerLost) return { lost: error };
        throw explainWriteRefusal(error);
      }
    },
    async updateComment(id, body) {
      try {
        const request = octokit.issues.updateComment({ ...place, comment_id: id, body });
        return (await ask(request, CommentSchema, subject)).data;
      } catch (error) {
        if (isGone(error)) return undefined;
        throw explainWriteRefusal(error);
      }
    },
    async deleteComment(id) {
      try {
        await ask(octokit.issues.deleteComment({ ...place, comment_id: id }), NothingSchema, subject);
        return 'deleted';
      } catch (error) {
        if (isGone(error)) return 'gone';
        throw explainWriteRefusal(error);
      }
    },
    readAuthor: () => {
      author ??= findAuthor(conversation);
      return author;
    },
  };
}

async function findAuthor({ octokit, token, commentAuthor }: Conversation): Promise<string> {
  if (commentAuthor !== undefined) return commentAuthor;
  // An app's installation token, such as GITHUB_TOKEN, may not ask who it is.
  if (token.startsWith('ghs_')) return JOB_LOGIN;
  try {
    return (await ask(octokit.users.getAuthenticated(), UserSchema, 'the account of the token')).data.login;
  } catch (error) {
    if (error instanceof GithubRefusal && error.status === 403) return JOB_LOGIN;
    throw error;
  }
}

async function listComments(
  { octokit, owner, repo, pullRequest }: Conversation,
  since: { readonly since?: string },
): Promise<PullRequestComment[]> {
  const query = { owner, repo, issue_number: pullRequest, per_page: PAGE_SIZE, ...since };
  const subject = `the comments of pull request ${pullRequest}`;
  const readPage = (page: number) =>
    ask(octokit.issues.listComments({ ...query, page }), CommentsSchema, subject);
  const first = await readPage(1);
  const comments = [...first.data];
  const lastPage = readLastPage(first.headers.link);
  for (let page = 2; page <= lastPage; page += PARALLEL_PAGES) {
    const count = Math.min(PARALLEL_PAGES, lastPage - page + 1);
    const pages = await Promise.all(Array.from({ length: count }, (_, index) => readPage(page + index)));
    comments.push(...pages.flatMap(({ data }) => data));
  }
  return comments;
}

/** The number of the last page, from the Link header; 1 without one. */
function readLastPage(link: string | undefined): number {
  const last = /<([^>]+)>;\s*rel="last"/.exec(link ?? '')?.[1];
  const page = last !== undefined && URL.canParse(last) ? Number(new URL(last).searchParams.get('page')) : 1;
  return Number.isSafeInteger(page) && page > 0 ? page : 1;
}

function isGone(error: unknown): boolean {
  return error instanceof GithubRefusal && (error.status === 404 || error.status === 410);
}

/**
 * GitHub's 403 for a conversation that takes no comment from any token (semantic-release/github issue 221;
 * ram0verflow/ram0verflow pull request 10).
 */
const CLOSED_CONVERSATIONS = [
  {
    answer: /\bis locked\b/i,
    remedy:
      'The conversation is locked, so only accounts with write access may comment. Unlock it, or set GH_TOKEN to the token of such an account.',
  },
  {
    answer: /repository was archived/i,
    remedy:
      'The repository is archived, so it takes no comment: unarchive it (Settings > General > Danger Zone).',
  },
  {
    answer: /commenting is disabled on issues with more than/i,
    remedy:
      'The pull request has the maximum number of comments: delete some, or continue in a new pull request.',
  },
] as const;

/** Explains a refused comment. */
function explainWriteRefusal(error: unknown): unknown {
  if (!(error instanceof GithubRefusal) || error.exitCode !== EXIT_CODES.refused || error.status !== 403) {
    return error;
  }
  const closed = CLOSED_CONVERSATIONS.find(({ answer }) => answer.test(error.answer));
  const Refusal = closed === undefined ? Failure : ClosedConversation;
  return new Refusal(`GitHub refuses the comment: ${error.answer}`, {
    exitCode: EXIT_CODES.refused,
    remedy:
      closed?.remedy ??
      "The token needs the permission pull-requests: write (or issues: write): add it under `permissions` of the workflow's job. Pull requests from forks and by Dependabot always get a read-only token.",
    cause: error,
  });
}
