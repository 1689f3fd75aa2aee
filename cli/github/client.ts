import type { Octokit } from '@octokit/rest';
import * as v from 'valibot';
import { EXIT_CODES, Failure } from '../shell/failure.ts';
import { type Http, type HttpResponse, TransportError } from '../shell/http.ts';
import type { Redact } from '../shell/redaction.ts';
import type { Clock } from '../shell/world.ts';
import { toSingleLine } from '../text/single-line.ts';
import type { CommentBoard, PullRequestComment } from './comments.ts';
import type { CodeLocation } from './event.ts';

/** One request's own limit. */
const ATTEMPT_TIMEOUT_MS = 8_000;
const PAGE_SIZE = 100;
/** GitHub asks for few requests at a time. */
const PARALLEL_PAGES = 4;
/** Without a hint GitHub wants a minute of quiet; longer than we have. */
const RATE_LIMIT_PAUSE_MS = 60_000;
const JOB_LOGIN = 'github-actions[bot]';

/** A commit and its tree. */
export interface Ancestor {
  readonly commit: string;
  readonly tree: string;
}

/** A commit as GitHub lists it. */
export interface ListedCommit extends Ancestor {
  readonly parents: readonly string[];
}

/** What GitHub says of a pull request now. */
export interface PullRequest {
  readonly headCommit: string;
  readonly baseBranch: string;
}

/** What a report asks of GitHub. */
export interface CodeHost {
  readPullRequest(number: number): Promise<PullRequest>;
  /** Of branches or commits; undefined where they have no common ancestor, or GitHub does not know one of them. */
  compareCommits(base: string, head: string): Promise<CommitComparison | undefined>;
  /** The newest 100 commits that a branch or commit reaches; empty where GitHub does not know it. */
  listCommits(ref: string): Promise<readonly ListedCommit[]>;
  /** undefined where GitHub does not know the commit. */
  readTree(commit: string): Promise<string | undefined>;
  /** The text of a file on a branch or at a commit; undefined where there is none. */
  readFile(path: string, ref: string): Promise<string | undefined>;
}

/** How two commits lie to each other. */
export interface CommitComparison {
  readonly mergeBase: string;
  readonly head: Ancestor;
}

/** One repository on GitHub, asked and written with one token. */
export interface GithubClient extends CodeHost {
  /** Where a pull request's code is; undefined where the repository it comes from was deleted. */
  locateHead(pullRequest: number): Promise<CodeLocation | undefined>;
  openBoard(pullRequest: number): CommentBoard;
}

/** How GitHub is reached, and for how long. */
export interface GithubClientOptions {
  /** No trailing slash. */
  readonly apiUrl: string;
  readonly token: string;
  /** `owner/name` */
  readonly repository: string;
  readonly http: Http;
  readonly clock: Clock;
  readonly redact: Redact;
  readonly random: () => number;
  readonly version: string;
  /** When to give up; ms since 1970. Asked anew each time. */
  readonly giveUpAt: () => number;
  /** Whose comments the token writes, where the caller knows. */
  readonly commentAuthor?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onRetry?: (reason: string) => void;
}

/** The request may have been applied, and nobody told us. */
class AnswerLost extends Failure {}

/** GitHub answered with an error status. */
class GithubRefusal extends Failure {
  readonly status: number;
  /** GitHub's own words. */
  readonly answer: string;

  constructor(
    message: string,
    options: ConstructorParameters<typeof Failure>[1] & { readonly status: number; readonly answer: string },
  ) {
    super(message, options);
    this.status = options.status;
    this.answer = options.answer;
  }
}

const CommentSchema = v.object({
  id: v.number(),
  html_url: v.string(),
  body: v.nullish(v.string(), ''),
  user: v.nullish(v.object({ login: v.string() })),
});
const CommentsSchema = v.array(CommentSchema);
const CommitSchema = v.object({
  sha: v.string(),
  commit: v.object({ tree: v.object({ sha: v.string() }) }),
  parents: v.array(v.object({ sha: v.string() })),
});
const CommitsSchema = v.array(CommitSchema);
const ComparisonSchema = v.object({ base_commit: CommitSchema, merge_base_commit: CommitSchema });
/** Of a folder, a submodule or a link that leads nowhere, and of more than 1 MB, GitHub gives no content. */
const FileSchema = v.object({ encoding: v.literal('base64'), content: v.string() });
const GitCommitSchema = v.object({ tree: v.object({ sha: v.string() }) });
const UserSchema = v.object({ login: v.string() });
const PullSchema = v.object({
  head: v.object({
    sha: v.string(),
    ref: v.string(),
    repo: v.nullish(v.object({ clone_url: v.string() })),
  }),
  base: v.object({ ref: v.string() }),
});

/**
 * Talks to GitHub through Octokit, whose `fetch` is ours: proxies, time limits and retries are those of all our
 * requests. What reads or sets is repeated when its answer gets lost; what creates is not: its caller looks first.
 */
export async function createGithubClient(options: GithubClientOptions): Promise<GithubClient> {
  // Loaded only here: a dry run without a token does not pay for it.
  const { Octokit } = await import('@octokit/rest');
  const silent = () => undefined;
  const octokit = new Octokit({
    auth: options.token,
    baseUrl: options.apiUrl,
    userAgent: `clearml-ci-cd/${options.version}`,
    request: { fetch: createFetch(options) },
    log: { debug: silent, info: silent, warn: silent, error: silent },
  });
  const [owner = '', repo = ''] = options.repository.split('/');
  const place = { owner, repo };

  return {
    async locateHead(number) {
      const { data } = await ask(
        octokit.pulls.get({ ...place, pull_number: number }),
        PullSchema,
        `pull request ${number}`,
      );
      const { sha: commit, ref: branch, repo: source } = data.head;
      return source ? { cloneUrl: source.clone_url, branch, commit } : undefined;
    },

    async readPullRequest(number) {
      const { data } = await ask(
        octokit.pulls.get({ ...place, pull_number: number }),
        PullSchema,
        `pull request ${number}`,
      );
      return {
        headCommit: data.head.sha,
        baseBranch: data.base.ref,
      };
    },

    compareCommits: (base, head) =>
      unlessUnknown(async () => {
        const { data } = await ask(
          octokit.repos.compareCommitsWithBasehead({
            ...place,
            // The other way round the merge base is the same one, and the answer tells the head's tree.
            basehead: `${head}...${base}`,
            // The files that changed, with their patches, come with the first page only: the second is small.
            per_page: 1,
            page: 2,
          }),
          ComparisonSchema,
          `commits ${base} and ${head}`,
        );
        const { base_commit: compared, merge_base_commit: mergeBase } = data;
        return { mergeBase: mergeBase.sha, head: { commit: compared.sha, tree: compared.commit.tree.sha } };
      }),

    listCommits: async (ref) =>
      (await unlessUnknown(async () => {
        const { data } = await ask(
          octokit.repos.listCommits({ ...place, sha: ref, per_page: PAGE_SIZE }),
          CommitsSchema,
          `commits of ${ref}`,
        );
        return data.map(({ sha, commit, parents }) => ({
          commit: sha,
          tree: commit.tree.sha,
          parents: parents.map((parent) => parent.sha),
        }));
      })) ?? [],

    readTree: (commit) =>
      unlessUnknown(async () => {
        const { data } = await ask(
          octokit.git.getCommit({ ...place, commit_sha: commit }),
          GitCommitSchema,
          `commit ${commit}`,
        );
        return data.tree.sha;
      }),

    readFile: (path, ref) =>
      unlessUnknown(async () => {
        const { data } = await ask(
          octokit.repos.getContent({ ...place, path, ref }),
          FileSchema,
          `file ${path} of ${ref}`,
        );
        return Buffer.from(data.content, 'base64').toString('utf8');
      }),

    openBoard: (pullRequest) => openBoard(octokit, place, pullRequest, options),
  };
}

/** undefined where GitHub does not know what was asked for (404), or has no commits (409, 422). */
async function unlessUnknown<T>(action: () => Promise<T>): Promise<T | undefined> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof GithubRefusal && [404, 409, 422].includes(error.status)) return undefined;
    throw error;
  }
}

function openBoard(
  octokit: Octokit,
  place: { readonly owner: string; readonly repo: string },
  pullRequest: number,
  options: GithubClientOptions,
): CommentBoard {
  const thread = { ...place, issue_number: pullRequest, per_page: PAGE_SIZE };
  const subject = `the comments of pull request ${pullRequest}`;

  let author: Promise<string> | undefined;

  async function findAuthor(): Promise<string> {
    if (options.commentAuthor !== undefined) return options.commentAuthor;
    // A token of an app's installation (GITHUB_TOKEN is one) may never ask who it is.
    if (options.token.startsWith('ghs_')) return JOB_LOGIN;
    try {
      return (await ask(octokit.users.getAuthenticated(), UserSchema, 'account of the token')).data.login;
    } catch (error) {
      if (error instanceof GithubRefusal && error.status === 403) return JOB_LOGIN;
      throw error;
    }
  }

  async function listPages(since: { since?: string }): Promise<PullRequestComment[]> {
    const readPage = (page: number) =>
      ask(octokit.issues.listComments({ ...thread, ...since, page }), CommentsSchema, subject);
    const first = await readPage(1);
    const comments = first.data.map(toComment);
    const lastPage = readLastPage(first.headers.link);
    for (let page = 2; page <= lastPage; page += PARALLEL_PAGES) {
      const numbers = Array.from(
        { length: Math.min(PARALLEL_PAGES, lastPage - page + 1) },
        (_, i) => page + i,
      );
      const pages = await Promise.all(numbers.map(readPage));
      comments.push(...pages.flatMap(({ data }) => data.map(toComment)));
    }
    return comments;
  }

  return {
    listComments: () => listPages({}),
    listCommentsSince: (sinceMs) =>
      listPages({ since: new Date(sinceMs).toISOString().replace(/\.\d+Z$/, 'Z') }),

    async createComment(body) {
      try {
        const { data } = await ask(
          octokit.issues.createComment({ ...place, issue_number: pullRequest, body }),
          CommentSchema,
          subject,
        );
        return { comment: toComment(data) };
      } catch (error) {
        if (error instanceof AnswerLost) return { lost: error };
        throw explainWriteRefusal(error);
      }
    },

    async updateComment(id, body) {
      try {
        const { data } = await ask(
          octokit.issues.updateComment({ ...place, comment_id: id, body }),
          CommentSchema,
          subject,
        );
        return toComment(data);
      } catch (error) {
        if (isGone(error)) return undefined;
        throw explainWriteRefusal(error);
      }
    },

    async deleteComment(id) {
      try {
        await ask(octokit.issues.deleteComment({ ...place, comment_id: id }), v.unknown(), subject);
      } catch (error) {
        if (!isGone(error)) throw explainWriteRefusal(error);
      }
    },

    readAuthor: () => {
      author ??= findAuthor();
      return author;
    },
  };
}

function toComment(data: v.InferOutput<typeof CommentSchema>): PullRequestComment {
  return { id: data.id, url: data.html_url, body: data.body ?? '', author: data.user?.login };
}

/** The number of the last page, from the Link header; 1 where there is only one. */
function readLastPage(link: string | undefined): number {
  const last = /<([^>]+)>;\s*rel="last"/.exec(link ?? '')?.[1];
  const page = last !== undefined && URL.canParse(last) ? Number(new URL(last).searchParams.get('page')) : 1;
  return Number.isSafeInteger(page) && page > 0 ? page : 1;
}

/** Waits for Octokit, looks at what came, and gives back our own failures instead of Octokit's errors. */
async function ask<T>(
  request: Promise<{ readonly data: unknown; readonly headers: { readonly link?: string | undefined } }>,
  schema: v.GenericSchema<unknown, T>,
  subject: string,
): Promise<{ readonly data: T; readonly headers: { readonly link?: string | undefined } }> {
  let answer: Awaited<typeof request>;
  try {
    answer = await request;
  } catch (error) {
    // Octokit wraps what its fetch threw.
    const cause = error instanceof Error ? error.cause : undefined;
    if (cause instanceof Failure) throw explainNotFound(cause, subject);
    // An interruption, or a bug: what happened tells more than Octokit's wrapping.
    throw cause instanceof Error ? cause : error;
  }
  const parsed = v.safeParse(schema, answer.data);
  if (parsed.success) return { data: parsed.output, headers: answer.headers };
  throw new Failure(
    `GitHub's answer about ${subject} has another shape than expected (${v.getDotPath(parsed.issues[0]) ?? 'root'})`,
    {
      exitCode: EXIT_CODES.unavailable,
      remedy:
        'GITHUB_API_URL must name the API (https://api.github.com, or https://HOST/api/v3 on GitHub Enterprise Server), not the web page.',
    },
  );
}

function isGone(error: unknown): boolean {
  return error instanceof GithubRefusal && (error.status === 404 || error.status === 410);
}

function explainNotFound(failure: Failure, subject: string): Failure {
  if (!(failure instanceof GithubRefusal) || failure.status !== 404) return failure;
  return new GithubRefusal(`GitHub knows no ${subject.replace(/^the comments of /, '')}`, {
    exitCode: EXIT_CODES.notFound,
    remedy:
      'Look at GITHUB_REPOSITORY and PR_NUMBER (--repo, --pr); GitHub says the same of a private repository that the token may not read.',
    status: failure.status,
    answer: failure.answer,
    cause: failure,
  });
}

/**
 * Where the conversation takes no comment whatever the token may do, GitHub says so with 403 too (semantic-release/github
 * issue 221; ram0verflow/ram0verflow pull request 10).
 */
const CLOSED_CONVERSATIONS = [
  {
    answer: /\bis locked\b/i,
    remedy:
      'The conversation is locked: only somebody with write access may comment. Unlock it, or give GH_TOKEN the token of such an account. The report is in the job summary.',
  },
  {
    answer: /commenting is disabled on issues with more than/i,
    remedy:
      'The pull request has as many comments as GitHub takes: delete some, or go on in a new pull request. The report is in the job summary.',
  },
] as const;

/** A refused comment: which permission is missing, and what a fork's run can't have. */
function explainWriteRefusal(error: unknown): unknown {
  if (!(error instanceof GithubRefusal) || error.exitCode !== EXIT_CODES.refused || error.status !== 403) {
    return error;
  }
  const closed = CLOSED_CONVERSATIONS.find(({ answer }) => answer.test(error.answer));
  return new Failure(`GitHub refuses the comment: ${error.answer}`, {
    exitCode: EXIT_CODES.refused,
    remedy:
      closed?.remedy ??
      'The token lacks the permission pull-requests: write (or issues: write): add it under `permissions` of the workflow’s job. The run of a pull request from a fork or by Dependabot gets a read-only token whatever the workflow says. The report is in the job summary.',
    cause: error,
  });
}

/** `fetch` as Octokit wants it, over our own HTTP, with retries by kind of failure. */
function createFetch(options: GithubClientOptions): typeof fetch {
  const { http, clock, redact, giveUpAt, signal } = options;

  return async (input, init) => {
    const url = String(input);
    const method = toMethod(init?.method);
    const request = {
      method,
      url,
      headers: Object.fromEntries(new Headers(init?.headers)),
      ...(typeof init?.body === 'string' ? { body: init.body } : {}),
    };
    for (let attempt = 1; ; attempt += 1) {
      const outcome = await tryOnce(request);
      if (outcome instanceof Response) return outcome;
      if (method === 'POST' && outcome.mayHaveLanded) {
        throw new AnswerLost(`GitHub's answer got lost: ${outcome.reason}`, {
          exitCode: EXIT_CODES.unavailable,
          remedy:
            'Look at githubstatus.com, then run this step again: a comment that did land is found again.',
          cause: outcome.cause,
        });
      }
      const pauseMs = Math.max(
        outcome.pauseMs ?? 0,
        Math.min(8000, 500 * 2 ** (attempt - 1)) * (1 - options.random() / 2),
      );
      if (outcome.isPermanent || clock.now() + pauseMs >= giveUpAt()) {
        throw new Failure(`GitHub at ${redact(options.apiUrl)} did not answer: ${outcome.reason}`, {
          exitCode: EXIT_CODES.unavailable,
          remedy: outcome.remedy,
          cause: outcome.cause,
        });
      }
      options.onRetry?.(outcome.reason);
      await clock.sleep(pauseMs, signal);
    }
  };

  async function tryOnce(
    request: Pick<Parameters<Http['send']>[0], 'method' | 'url' | 'headers' | 'body'>,
  ): Promise<Response | NoAnswer> {
    let response: HttpResponse;
    try {
      response = await http.send({
        ...request,
        timeoutMs: Math.max(1000, Math.min(ATTEMPT_TIMEOUT_MS, giveUpAt() - clock.now())),
        ...(signal === undefined ? {} : { signal }),
      });
    } catch (error) {
      if (!(error instanceof TransportError)) throw error;
      return {
        reason: redact(error.message),
        remedy:
          error.remedy ??
          `Look whether GITHUB_API_URL (${redact(options.apiUrl)}) and the proxy variables are right, and at githubstatus.com.`,
        mayHaveLanded: error.kind === 'lost',
        isPermanent: error.remedy !== undefined,
        cause: error,
      };
    }
    return readAnswer(response);
  }

  function readAnswer(response: HttpResponse): Response | NoAnswer {
    const { status, headers } = response;
    if (status < 300) return toFetchResponse(response);
    const answer = redact(toSingleLine(readMessage(response.text))) || `HTTP ${status}`;
    const limitMs = readRateLimitMs(response, clock.now());
    if (limitMs !== undefined) {
      return {
        reason: `the rate limit is reached (${answer})`,
        remedy: `Wait ${Math.ceil(limitMs / 60_000)} min, then run this step again.`,
        mayHaveLanded: false,
        isPermanent: false,
        pauseMs: limitMs,
      };
    }
    if (status >= 500) {
      return {
        reason: `HTTP ${status}${answer.startsWith('HTTP') ? '' : `, ${answer}`}`,
        remedy: 'Look at githubstatus.com, then run this step again.',
        mayHaveLanded: true,
        isPermanent: false,
        pauseMs: readSeconds(headers['retry-after']),
      };
    }
    if (status < 400) {
      return {
        reason: `it answered with a redirection (HTTP ${status})`,
        remedy:
          'The repository was renamed or moved: correct GITHUB_REPOSITORY. Or GITHUB_API_URL is not the API’s.',
        mayHaveLanded: false,
        isPermanent: true,
      };
    }
    throw new GithubRefusal(
      status === 401 ? `GitHub refuses the token: ${answer}` : `GitHub refuses: ${answer} (HTTP ${status})`,
      {
        exitCode: status === 401 || status === 403 ? EXIT_CODES.refused : EXIT_CODES.unavailable,
        remedy:
          status === 401
            ? 'GH_TOKEN (or GITHUB_TOKEN) has expired, was revoked, or belongs to another server than GITHUB_API_URL names.'
            : status === 403
              ? `The token lacks a permission${describePermission(headers['x-accepted-github-permissions'])}: add it under \`permissions\` of the workflow’s job.`
              : 'If this happens again, please report it with this line.',
        status,
        answer,
      },
    );
  }
}

interface NoAnswer {
  readonly reason: string;
  readonly remedy: string;
  readonly mayHaveLanded: boolean;
  readonly isPermanent: boolean;
  readonly pauseMs?: number | undefined;
  readonly cause?: unknown;
}

function toMethod(method: string | undefined): 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE' {
  switch (method) {
    case 'POST':
    case 'PATCH':
    case 'PUT':
    case 'DELETE':
      return method;
    default:
      return 'GET';
  }
}

function toFetchResponse({ status, headers, text }: HttpResponse): Response {
  const { 'content-encoding': _, 'content-length': __, ...rest } = headers;
  return new Response(status === 204 || status === 205 ? null : text, { status, headers: rest });
}

/** `message` of GitHub's error, and of each single error in it. */
function readMessage(text: string): string {
  const ErrorSchema = v.object({
    message: v.string(),
    errors: v.fallback(v.optional(v.array(v.object({ message: v.optional(v.string()) })), []), []),
  });
  try {
    const { message, errors } = v.parse(ErrorSchema, JSON.parse(text));
    return [message, ...errors.flatMap((error) => error.message ?? [])].join(': ');
  } catch {
    return '';
  }
}

/**
 * How long to be quiet, where the answer is a rate limit: `retry-after`, else until the reset, else a minute.
 * (docs.github.com, "Rate limits for the REST API")
 */
function readRateLimitMs({ status, headers, text }: HttpResponse, nowMs: number): number | undefined {
  if (status !== 403 && status !== 429) return undefined;
  const afterMs = readSeconds(headers['retry-after']);
  if (afterMs !== undefined) return afterMs;
  if (headers['x-ratelimit-remaining'] === '0') {
    const resetMs = Number(headers['x-ratelimit-reset']) * 1000;
    return Number.isFinite(resetMs) && resetMs > 0 ? Math.max(1000, resetMs - nowMs) : RATE_LIMIT_PAUSE_MS;
  }
  return status === 429 || /secondary rate limit/i.test(text) ? RATE_LIMIT_PAUSE_MS : undefined;
}

function readSeconds(header: string | undefined): number | undefined {
  const seconds = header === undefined ? Number.NaN : Number(header);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : undefined;
}

/** `pull_requests=read` as a workflow writes it: ` (pull-requests: read)`. */
function describePermission(header: string | undefined): string {
  if (header === undefined || header === '') return '';
  const sets = header
    .split(';')
    .map((set) => set.trim().replaceAll('_', '-').replaceAll('=', ': ').replaceAll(',', ', '));
  return ` (${toSingleLine(sets.join(' or '), 100)})`;
}
