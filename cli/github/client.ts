import type { Octokit } from '@octokit/rest';
import * as v from 'valibot';
import { openBoard } from './board.ts';
import { type CommandHost, openCommandHost } from './command-host.ts';
import type { CommentBoard } from './comments.ts';
import { type CodeLocation, failDeletedHead } from './event.ts';
import { type Place, readPull } from './pulls.ts';
import { openStatuses, type StatusBoard } from './statuses.ts';
import type { RepositoryAccess } from './token-rights.ts';
import { ask, createFetch, GithubRefusal, type GithubWire } from './transport.ts';

/** The most that GitHub puts on a page. */
const PAGE_SIZE = 100;

/** A commit and its tree. */
export interface Ancestor {
  readonly commit: string;
  readonly tree: string;
}

/** A commit as GitHub lists it. */
export interface ListedCommit extends Ancestor {
  readonly parents: readonly string[];
}

/** A pull request as it is now. */
export interface PullRequest {
  readonly headCommit: string;
  readonly baseBranch: string;
}

/** The same with what tells whether it is to be reported, and by whose settings. */
export interface PullRequestState extends PullRequest {
  /** The base branch's commit without it. After a merge the branch itself holds its code. */
  readonly baseCommit: string | undefined;
  /** Merged or not. */
  readonly isClosed: boolean;
  /** Its code is in another repository, or that was deleted. */
  readonly isFork: boolean;
}

/** What a report needs from GitHub. */
export interface CodeHost {
  readPullRequest(number: number): Promise<PullRequest>;
  /** Of branches or commits; undefined without a common ancestor, or where GitHub does not know one of them. */
  compareCommits(base: string, head: string): Promise<CommitComparison | undefined>;
  /** The newest 100 commits of a branch, or up to a commit; empty where GitHub does not know it. */
  listCommits(ref: string): Promise<readonly ListedCommit[]>;
  /** undefined where GitHub does not know the commit. */
  readTree(commit: string): Promise<string | undefined>;
  /** The text of a file on a branch or at a commit; undefined where it does not exist. */
  readFile(path: string, ref: string): Promise<string | undefined>;
}

/** The common ancestor of two commits, and the second one. */
export interface CommitComparison {
  readonly mergeBase: string;
  readonly head: Ancestor;
}

/** One repository on GitHub, read and written with one token. */
export interface GithubClient extends CodeHost, CommandHost {
  readPullRequestState(number: number): Promise<PullRequestState>;
  /** What GitHub tells of the repository and of the token. */
  readAccess(): Promise<RepositoryAccess>;
  /** @throws Failure (usage) where the repository with the pull request's code was deleted */
  locateHead(pullRequest: number): Promise<CodeLocation>;
  /** The merged pull requests that brought a commit into a branch of this repository, newest first. */
  findMergedPulls(commit: string, branch: string): Promise<readonly number[]>;
  openBoard(pullRequest: number): CommentBoard;
  openStatuses(context: string): StatusBoard;
}

/** The repository, and how to reach it. */
interface GithubClientOptions extends GithubWire {
  readonly token: string;
  /** `owner/name` */
  readonly repository: string;
  /** Our own, for the user agent. */
  readonly version: string;
  /** Author of the token's comments, if the caller knows. */
  readonly commentAuthor?: string | undefined;
}

const CommitSchema = v.object({
  sha: v.string(),
  commit: v.object({ tree: v.object({ sha: v.string() }) }),
  parents: v.array(v.object({ sha: v.string() })),
});
const CommitsSchema = v.array(CommitSchema);
const ComparisonSchema = v.object({ base_commit: CommitSchema, merge_base_commit: CommitSchema });
/** GitHub gives no content for a folder, a submodule, a broken link and a file over 1 MB. */
const FileSchema = v.object({ encoding: v.literal('base64'), content: v.string() });
const GitCommitSchema = v.object({ tree: v.object({ sha: v.string() }) });
const PullsSchema = v.array(
  v.object({
    number: v.number(),
    merged_at: v.nullish(v.string()),
    base: v.object({ ref: v.string(), repo: v.nullish(v.object({ full_name: v.string() })) }),
  }),
);

const RepositorySchema = v.object({
  private: v.boolean(),
  archived: v.optional(v.boolean(), false),
  permissions: v.optional(v.object({ pull: v.boolean(), push: v.boolean() })),
});

/** Enough for a request that has begun to reach its socket. */
const LOAD_AFTER_MS = 25;

/**
 * Talks to GitHub with Octokit over our own `fetch`, with the proxies, time limits and retries of all our requests. A
 * request that creates is not repeated when its answer got lost: the caller looks first.
 */
export async function createGithubClient(options: GithubClientOptions): Promise<GithubClient> {
  // Loaded only here, as a dry run without a token does not need it. Loading blocks, a third of a program's start, so
  // requests that have begun leave first.
  await options.clock.sleep(LOAD_AFTER_MS);
  const { Octokit } = await import('@octokit/rest');
  const { token, apiUrl, repository, version, commentAuthor } = options;
  const silent = () => undefined;
  const octokit = new Octokit({
    auth: token,
    baseUrl: apiUrl,
    userAgent: `clearml-ci-cd/${version}`,
    request: { fetch: createFetch(options) },
    log: { debug: silent, info: silent, warn: silent, error: silent },
  });
  const [owner = '', repo = ''] = repository.split('/');
  const place = { owner, repo };
  return {
    ...createCodeHost(octokit, place),
    async readPullRequestState(number) {
      const { head, base, state } = await readPull(octokit, place, number);
      return {
        headCommit: head.sha,
        baseBranch: base.ref,
        baseCommit: base.sha,
        isClosed: state === 'closed',
        // GitHub ignores case in names.
        isFork: head.repo?.full_name?.toLowerCase() !== repository.toLowerCase(),
      };
    },
    ...openCommandHost(octokit, place),
    readAccess: () => readAccess(octokit, place, token),
    async locateHead(number) {
      const { sha: commit, ref: branch, repo: source } = (await readPull(octokit, place, number)).head;
      if (!source) throw failDeletedHead();
      return { cloneUrl: source.clone_url, branch, commit };
    },
    async findMergedPulls(commit, branch) {
      const query = { ...place, commit_sha: commit, per_page: PAGE_SIZE };
      const subject = `the pull requests of commit ${commit}`;
      const found = await unlessUnknown(() =>
        ask(octokit.repos.listPullRequestsAssociatedWithCommit(query), PullsSchema, subject),
      );
      return (found?.data ?? [])
        .filter(
          ({ merged_at: mergedAt, base }) =>
            typeof mergedAt === 'string' &&
            base.ref === branch &&
            (base.repo?.full_name ?? repository).toLowerCase() === repository.toLowerCase(),
        )
        .map(({ number }) => number)
        .sort((a, b) => b - a);
    },
    openBoard: (pullRequest) => openBoard({ octokit, ...place, pullRequest, token, commentAuthor }),
    openStatuses: (context) => openStatuses({ octokit, ...place, token }, context, options),
  };
}

function createCodeHost(octokit: Octokit, place: Place): CodeHost {
  return {
    async readPullRequest(number) {
      const { head, base } = await readPull(octokit, place, number);
      return { headCommit: head.sha, baseBranch: base.ref };
    },
    compareCommits: (base, head) =>
      unlessUnknown(async () => {
        // In this order the answer holds the head's tree. The merge base is the same.
        const basehead = `${head}...${base}`;
        // Only the first page holds the changed files with their patches.
        const page = { per_page: 1, page: 2 };
        const request = octokit.repos.compareCommitsWithBasehead({ ...place, basehead, ...page });
        const { data } = await ask(request, ComparisonSchema, `commits ${base} and ${head}`);
        const { sha: commit, commit: compared } = data.base_commit;
        return { mergeBase: data.merge_base_commit.sha, head: { commit, tree: compared.tree.sha } };
      }),
    async listCommits(ref) {
      const query = { ...place, sha: ref, per_page: PAGE_SIZE };
      const listed = await unlessUnknown(() =>
        ask(octokit.repos.listCommits(query), CommitsSchema, `commits of ${ref}`),
      );
      return (listed?.data ?? []).map(({ sha, commit, parents }) => ({
        commit: sha,
        tree: commit.tree.sha,
        parents: parents.map((parent) => parent.sha),
      }));
    },
    readTree: (commit) =>
      unlessUnknown(async () => {
        const request = octokit.git.getCommit({ ...place, commit_sha: commit });
        return (await ask(request, GitCommitSchema, `commit ${commit}`)).data.tree.sha;
      }),
    readFile: (path, ref) =>
      unlessUnknown(async () => {
        const request = octokit.repos.getContent({ ...place, path, ref });
        const { data } = await ask(request, FileSchema, `file ${path} of ${ref}`);
        return Buffer.from(data.content, 'base64').toString('utf8');
      }),
  };
}

async function readAccess(octokit: Octokit, place: Place, token: string): Promise<RepositoryAccess> {
  const subject = `the repository ${place.owner}/${place.repo}`;
  const { data, headers } = await ask(octokit.repos.get({ ...place }), RepositorySchema, subject);
  const listed = headers['x-oauth-scopes'];
  const scopes = listed
    ?.split(',')
    .map((scope) => scope.trim())
    .filter((scope) => scope !== '');
  // The header is empty for a token without scopes, and may be for other kinds.
  const hasScopes = /^gh[po]_/.test(token) || (scopes ?? []).length > 0;
  return {
    isPrivate: data.private,
    isArchived: data.archived,
    role: data.permissions,
    scopes: hasScopes ? scopes : undefined,
  };
}

/** undefined where GitHub does not know it (404), or has no commits (409, 422). */
async function unlessUnknown<T>(action: () => Promise<T>): Promise<T | undefined> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof GithubRefusal && [404, 409, 422].includes(error.status)) return undefined;
    throw error;
  }
}
