import type { Octokit } from '@octokit/rest';
import * as v from 'valibot';
import { openBoard } from './board.ts';
import type { CommentBoard } from './comments.ts';
import type { CodeLocation } from './event.ts';
import { ask, createFetch, GithubRefusal, type GithubWire } from './transport.ts';

/** As many as GitHub puts on a page. */
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
interface GithubClient extends CodeHost {
  /** Where a pull request's code is; undefined where the repository it comes from was deleted. */
  locateHead(pullRequest: number): Promise<CodeLocation | undefined>;
  openBoard(pullRequest: number): CommentBoard;
}

/** How GitHub is reached, and as whom. */
interface GithubClientOptions extends GithubWire {
  readonly token: string;
  /** `owner/name` */
  readonly repository: string;
  /** Ours, for the user agent. */
  readonly version: string;
  /** Whose comments the token writes, where the caller knows. */
  readonly commentAuthor?: string | undefined;
}

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
  const place = { octokit, owner, repo };
  return {
    locateHead: (number) => locateHead(place, number),
    async readPullRequest(number) {
      const { head, base } = await readPull(place, number);
      return { headCommit: head.sha, baseBranch: base.ref };
    },
    compareCommits: (base, head) => unlessUnknown(() => compareCommits(place, base, head)),
    listCommits: async (ref) => (await unlessUnknown(() => listCommits(place, ref))) ?? [],
    readTree: (commit) => unlessUnknown(() => readTree(place, commit)),
    readFile: (path, ref) => unlessUnknown(() => readFile(place, path, ref)),
    openBoard: (pullRequest) => openBoard({ ...place, pullRequest, token, commentAuthor }),
  };
}

/** A repository, and who is asked about it. */
interface Place {
  readonly octokit: Octokit;
  readonly owner: string;
  readonly repo: string;
}

async function readPull({ octokit, owner, repo }: Place, number: number) {
  const request = octokit.pulls.get({ owner, repo, pull_number: number });
  return (await ask(request, PullSchema, `pull request ${number}`)).data;
}

async function locateHead(place: Place, number: number): Promise<CodeLocation | undefined> {
  const { sha: commit, ref: branch, repo: source } = (await readPull(place, number)).head;
  return source ? { cloneUrl: source.clone_url, branch, commit } : undefined;
}

async function compareCommits(
  { octokit, owner, repo }: Place,
  base: string,
  head: string,
): Promise<CommitComparison> {
  const request = octokit.repos.compareCommitsWithBasehead({
    owner,
    repo,
    // The other way round the merge base is the same one, and the answer tells the head's tree.
    basehead: `${head}...${base}`,
    // The files that changed, with their patches, come with the first page only: the second is small.
    per_page: 1,
    page: 2,
  });
  const { data } = await ask(request, ComparisonSchema, `commits ${base} and ${head}`);
  const { base_commit: compared, merge_base_commit: mergeBase } = data;
  return { mergeBase: mergeBase.sha, head: { commit: compared.sha, tree: compared.commit.tree.sha } };
}

async function listCommits({ octokit, owner, repo }: Place, ref: string): Promise<ListedCommit[]> {
  const request = octokit.repos.listCommits({ owner, repo, sha: ref, per_page: PAGE_SIZE });
  const { data } = await ask(request, CommitsSchema, `commits of ${ref}`);
  return data.map(({ sha, commit, parents }) => ({
    commit: sha,
    tree: commit.tree.sha,
    parents: parents.map((parent) => parent.sha),
  }));
}

async function readTree({ octokit, owner, repo }: Place, commit: string): Promise<string> {
  const request = octokit.git.getCommit({ owner, repo, commit_sha: commit });
  return (await ask(request, GitCommitSchema, `commit ${commit}`)).data.tree.sha;
}

async function readFile({ octokit, owner, repo }: Place, path: string, ref: string): Promise<string> {
  const request = octokit.repos.getContent({ owner, repo, path, ref });
  const { data } = await ask(request, FileSchema, `file ${path} of ${ref}`);
  return Buffer.from(data.content, 'base64').toString('utf8');
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
