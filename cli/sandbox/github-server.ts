import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { formatGithubTime, type GitHistory, openGitHistory } from './git-history.ts';
import {
  type Comment,
  createAnswerBuilder,
  numberFor,
  objectIdFor,
  type Pull,
  type PullCounts,
  type PullDocument,
  type RepositoryDocument,
  type StatusDocument,
  type UserDocument,
} from './github-answers.ts';
import { loadGithubDescription, type Operation } from './github-description.ts';
import { renderPage } from './github-pages.ts';

/** A pull request as the sandbox is told of it; on GitHub, pushes and people make them. */
export interface SandboxPull {
  readonly number: number;
  readonly headSha: string;
  readonly headRef: string;
  readonly baseRef: string;
  /** Default: the base branch's tip in `gitDir`; without one a made-up commit id. */
  readonly baseSha?: string;
  /** `owner/name`; another than the sandbox's repository makes it a fork's pull request. */
  readonly headRepository?: string;
  readonly title?: string;
  /** Login; default: the owner of the head repository. */
  readonly author?: string;
}

/** One request as it came in, before anything was checked. */
export interface SandboxRequest {
  readonly method: string;
  /** The path without the query. */
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  /** Parsed JSON; the text where it is none; `undefined` where there is no body. */
  readonly body: unknown;
}

export type PermissionName = 'contents' | 'issues' | 'pull-requests' | 'statuses';

export interface GithubSandboxOptions {
  /** `owner/name`; default `acme/digits`. */
  readonly repository?: string;
  readonly defaultBranch?: string;
  /** A private repository refuses reads too where the token lacks the permission; a public one only writes. */
  readonly isPrivate?: boolean;
  readonly pulls?: readonly SandboxPull[];
  /** A local git repository (work tree or bare) that answers for commits, comparisons, branches and contents. */
  readonly gitDir?: string;
  /** Of `token`, as the `permissions` of a workflow's job; default: contents read, pull-requests write. */
  readonly permissions?: Readonly<Partial<Record<PermissionName, 'read' | 'write'>>>;
  /** Default 1000, what GITHUB_TOKEN has an hour and repository. */
  readonly requestsPerHour?: number;
  /** Path before every API path, such as `/api/v3` of GitHub Enterprise Server; default none. */
  readonly apiPath?: string;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  readonly onRequest?: (request: SandboxRequest) => void;
}

export interface SandboxComment {
  readonly id: number;
  readonly body: string;
  readonly author: string;
  readonly createdAt: string;
  readonly updatedAt: string;
}

/** The payload of a `pull_request` event, as the runner writes it to GITHUB_EVENT_PATH (the parts that programs read). */
export interface PullRequestEvent {
  readonly action: string;
  readonly number: number;
  readonly pull_request: PullDocument;
  readonly repository: RepositoryDocument;
  readonly sender: UserDocument;
}

export interface GithubSandbox {
  readonly apiUrl: string;
  readonly serverUrl: string;
  readonly repository: string;
  /** Behaves like a job's GITHUB_TOKEN: comments are by `github-actions[bot]`, `/user` is refused. */
  readonly token: string;
  /** The job token of a fork's or Dependabot's run: it reads, and every write is refused. */
  readonly readOnlyToken: string;
  /** GITHUB_API_URL, GITHUB_SERVER_URL, GITHUB_REPOSITORY, GH_TOKEN. */
  readonly env: Readonly<Record<string, string>>;
  readonly comments: (pull: number) => readonly SandboxComment[];
  /** A personal token of a user; with role `read`, an outsider who may comment on a public repository, no more. */
  addUser(login: string, role?: 'admin' | 'write' | 'read'): string;
  addPull(pull: SandboxPull): void;
  /** What a push to the pull request's branch does. */
  setPullHead(number: number, headSha: string): void;
  closePull(number: number): void;
  /** The event that GitHub would start a workflow with. `actor` defaults to the pull request's author. */
  pullRequestEvent(
    number: number,
    action: 'opened' | 'reopened' | 'synchronize' | 'closed',
    actor?: string,
  ): Promise<PullRequestEvent>;
  close(): Promise<void>;
}

type TokenHolder =
  | {
      readonly kind: 'job';
      readonly login: string;
      readonly permissions: GithubSandboxOptions['permissions'] & {};
    }
  | { readonly kind: 'user'; readonly login: string; readonly role: 'admin' | 'write' | 'read' };

interface Answer {
  readonly status: number;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

interface Call {
  readonly operation: Operation;
  readonly values: Readonly<Record<string, string | number>>;
  readonly body: Record<string, unknown>;
  readonly holder: TokenHolder;
  /** The request's own path and query, for the Link header. */
  readonly url: URL;
}

/** What an operation asks of a job's token: one of the permissions, at least at the level. */
interface Need {
  readonly anyOf: readonly PermissionName[];
  readonly level: 'read' | 'write';
}

const COMMENT_MAX_CHARACTERS = 65_536;
const STATUS_DESCRIPTION_MAX_CHARACTERS = 140;
const PAGE_MAX = 100;
const PAGE_DEFAULT = 30;
const COMPARISON_MAX_COMMITS = 250;
const COMPARISON_MAX_FILES = 300;
const JOB_LOGIN = 'github-actions[bot]';
const API_VERSIONS = ['2022-11-28', '2026-03-10'];

const NEEDS: Readonly<Record<string, Need>> = {
  'issues/list-comments': { anyOf: ['issues', 'pull-requests'], level: 'read' },
  'issues/get-comment': { anyOf: ['issues', 'pull-requests'], level: 'read' },
  'issues/create-comment': { anyOf: ['issues', 'pull-requests'], level: 'write' },
  'issues/update-comment': { anyOf: ['issues', 'pull-requests'], level: 'write' },
  'issues/delete-comment': { anyOf: ['issues', 'pull-requests'], level: 'write' },
  'pulls/list': { anyOf: ['pull-requests'], level: 'read' },
  'pulls/get': { anyOf: ['pull-requests'], level: 'read' },
  'repos/list-pull-requests-associated-with-commit': { anyOf: ['pull-requests'], level: 'read' },
  'repos/list-commits': { anyOf: ['contents'], level: 'read' },
  'repos/get-commit': { anyOf: ['contents'], level: 'read' },
  'repos/compare-commits-with-basehead': { anyOf: ['contents'], level: 'read' },
  'repos/get-branch': { anyOf: ['contents'], level: 'read' },
  'repos/get-content': { anyOf: ['contents'], level: 'read' },
  'git/get-commit': { anyOf: ['contents'], level: 'read' },
  'repos/create-commit-status': { anyOf: ['statuses'], level: 'write' },
  'repos/list-commit-statuses-for-ref': { anyOf: ['statuses'], level: 'read' },
  'repos/get-combined-status-for-ref': { anyOf: ['statuses'], level: 'read' },
};

/** A refusal as GitHub words it. */
class Refusal extends Error {
  readonly status: number;
  readonly errors: ReadonlyArray<Readonly<Record<string, string>>> | undefined;

  constructor(status: number, message: string, errors?: ReadonlyArray<Readonly<Record<string, string>>>) {
    super(message);
    this.status = status;
    this.errors = errors;
  }
}

const notFound = (): Refusal => new Refusal(404, 'Not Found');

/**
 * Starts the GitHub half of the sandbox: an API server and a web server on free ports of 127.0.0.1, state in memory.
 *
 * It checks every request against GitHub's own description and is stricter than GitHub where GitHub would hide a
 * client's mistake: a query parameter or body field that is not described is a 422, a body that is not sent as JSON a
 * 415, an operation that the sandbox does not have a 501. Every answer is checked against the description too; one
 * that does not fit is a 500 that says so.
 */
export async function startGithubSandbox(options: GithubSandboxOptions = {}): Promise<GithubSandbox> {
  const repository = options.repository ?? 'acme/digits';
  if (!/^[\w.-]+\/[\w.-]+$/.test(repository)) throw new Error(`"${repository}" is not owner/name.`);
  const defaultBranch = options.defaultBranch ?? 'main';
  const now = options.now ?? Date.now;
  const apiPath = options.apiPath ?? '';
  const requestsPerHour = options.requestsPerHour ?? 1000;
  const repositoryId = numberFor(`repository ${repository}`);
  const description = loadGithubDescription();
  const history = options.gitDir === undefined ? undefined : openGitHistory(options.gitDir, defaultBranch);

  const tokens = new Map<string, TokenHolder>();
  const used = new Map<string, { count: number; resetMs: number }>();
  const pulls = new Map<number, Pull>();
  const comments: Comment[] = [];
  const statuses: Array<{ sha: string; document: StatusDocument }> = [];
  // Real comment ids have passed 2^31: a client that keeps them in 32 bits must fail here too.
  let nextCommentId = 3_000_000_001;
  const time = (): string => formatGithubTime(now());

  const addToken = (prefix: string, holder: TokenHolder): string => {
    const token = `${prefix}_${randomBytes(18).toString('hex')}`;
    tokens.set(token, holder);
    return token;
  };
  const token = addToken('ghs', {
    kind: 'job',
    login: JOB_LOGIN,
    permissions: options.permissions ?? { contents: 'read', 'pull-requests': 'write' },
  });
  const readOnlyToken = addToken('ghs', {
    kind: 'job',
    login: JOB_LOGIN,
    permissions: { contents: 'read', issues: 'read', 'pull-requests': 'read', statuses: 'read' },
  });

  const api = createServer();
  const web = createServer();
  const [apiOrigin, serverUrl] = await Promise.all([listen(api), listen(web)]);
  const apiUrl = `${apiOrigin}${apiPath}`;
  const since = time();
  const answers = createAnswerBuilder({ apiUrl, serverUrl, repository, defaultBranch, since });

  const addPull = (pull: SandboxPull): void => {
    if (pulls.has(pull.number)) throw new Error(`Pull request ${pull.number} exists already.`);
    const headRepository = pull.headRepository ?? repository;
    pulls.set(pull.number, {
      number: pull.number,
      title: pull.title ?? pull.headRef,
      author: pull.author ?? headRepository.split('/')[0] ?? 'octocat',
      headRef: pull.headRef,
      headSha: pull.headSha,
      headRepository,
      baseRef: pull.baseRef,
      baseSha: pull.baseSha ?? '',
      state: 'open',
      createdAt: time(),
      updatedAt: time(),
      closedAt: null,
    });
  };
  const knownPull = (number: number): Pull => {
    const pull = pulls.get(number);
    if (pull === undefined) throw new Error(`The sandbox has no pull request ${number}.`);
    return pull;
  };
  for (const pull of options.pulls ?? []) addPull(pull);

  const findPull = async (number: number): Promise<Pull> => {
    const pull = pulls.get(number);
    if (pull === undefined) throw notFound();
    if (pull.baseSha === '') {
      pull.baseSha = (await history?.resolveBranch(pull.baseRef)) ?? objectIdFor(`branch ${pull.baseRef}`);
    }
    return pull;
  };
  const countPull = async (pull: Pull): Promise<PullCounts> => {
    const none = { commits: 0, additions: 0, deletions: 0, changedFiles: 0 };
    const commentCount = comments.filter((comment) => comment.pull === pull.number).length;
    const [head, base] = await Promise.all([history?.resolve(pull.headSha), history?.resolve(pull.baseSha)]);
    if (history === undefined || head === undefined || base === undefined)
      return { comments: commentCount, ...none };
    const mergeBase = await history.mergeBase(base, head);
    const [commits, changes] = await Promise.all([
      history.between(base, head),
      history.changes(mergeBase, head),
    ]);
    return {
      comments: commentCount,
      commits: commits.length,
      additions: changes.reduce((sum, change) => sum + change.additions, 0),
      deletions: changes.reduce((sum, change) => sum + change.deletions, 0),
      changedFiles: changes.length,
    };
  };

  const findComment = (id: string | number | undefined): Comment => {
    const comment = comments.find((candidate) => candidate.id === id);
    if (comment === undefined) throw notFound();
    return comment;
  };
  /** Writes by others than the author need write access. That a job's token has it everywhere is the danger to know. */
  const checkMayChange = (comment: Comment, holder: TokenHolder): void => {
    if (holder.kind === 'user' && holder.role === 'read' && holder.login !== comment.author) {
      throw new Refusal(403, 'Must have admin rights to Repository.');
    }
  };
  const checkCommentBody = (body: unknown): string => {
    const text = String(body);
    const refuse = (message: string): Refusal =>
      new Refusal(422, 'Validation Failed', [
        { resource: 'IssueComment', code: 'unprocessable', field: 'data', message },
      ]);
    if (text.trim() === '') throw refuse('Body cannot be blank');
    if ([...text].length > COMMENT_MAX_CHARACTERS) {
      throw refuse(`Body is too long (maximum is ${COMMENT_MAX_CHARACTERS} characters)`);
    }
    return text;
  };

  /** The repository's commits; GitHub answers 409 while a repository is empty. */
  const openHistory = (): GitHistory => {
    if (history === undefined) throw new Refusal(409, 'Git Repository is empty.');
    return history;
  };
  const resolveCommit = async (ref: string): Promise<string> => {
    const sha = await openHistory().resolve(ref);
    if (sha === undefined) throw new Refusal(422, `No commit found for SHA: ${ref}`);
    return sha;
  };

  const pageOf = ({ values }: Call): { page: number; perPage: number } => ({
    page: Math.max(1, Number(values.page ?? 1)),
    perPage: Math.min(PAGE_MAX, Number(values.per_page ?? PAGE_DEFAULT) || PAGE_DEFAULT),
  });
  /** GitHub's links lead to the repository's number, not to its name. */
  const linkHeader = (call: Call, total: number): Record<string, string> => {
    const { page, perPage } = pageOf(call);
    const last = Math.max(1, Math.ceil(total / perPage));
    const link = (number: number, rel: string): string => {
      const url = new URL(call.url);
      url.pathname = url.pathname.replace(/^(.*?)\/repos\/[^/]+\/[^/]+/, `$1/repositories/${repositoryId}`);
      url.searchParams.set('page', String(number));
      return `<${url.href}>; rel="${rel}"`;
    };
    const links = [
      ...(page > 1 ? [link(Math.min(page - 1, last), 'prev')] : []),
      ...(page < last ? [link(page + 1, 'next'), link(last, 'last')] : []),
      ...(page > 1 ? [link(1, 'first')] : []),
    ];
    return links.length === 0 ? {} : { link: links.join(', ') };
  };
  const pageAnswer = async <T>(
    call: Call,
    all: readonly T[],
    toDocument: (item: T) => unknown | Promise<unknown>,
  ): Promise<Answer> => {
    const { page, perPage } = pageOf(call);
    const items = all.slice((page - 1) * perPage, page * perPage);
    return {
      status: 200,
      body: await Promise.all(items.map(toDocument)),
      headers: linkHeader(call, all.length),
    };
  };

  const limitOf = (key: string): { limit: number; remaining: number; reset: number; used: number } => {
    let window = used.get(key);
    if (window === undefined || now() >= window.resetMs) {
      window = { count: 0, resetMs: now() + 3_600_000 };
      used.set(key, window);
    }
    return {
      limit: requestsPerHour,
      remaining: Math.max(0, requestsPerHour - window.count),
      reset: Math.ceil(window.resetMs / 1000),
      used: Math.min(window.count, requestsPerHour),
    };
  };

  const statusesOf = (sha: string): StatusDocument[] =>
    statuses
      .filter((status) => status.sha === sha)
      .map((status) => status.document)
      .reverse();
  const resolveForStatus = async (ref: string): Promise<string> => {
    const sha = history === undefined ? ref : await history.resolve(ref);
    if (sha === undefined) throw notFound();
    return sha;
  };

  const handlers: Readonly<Record<string, (call: Call) => Answer | Promise<Answer>>> = {
    'users/get-authenticated': ({ holder }) => {
      if (holder.kind === 'job') throw new Refusal(403, 'Resource not accessible by integration');
      return { status: 200, body: answers.ownUser(holder.login) };
    },
    'repos/get': () => ({
      status: 200,
      body: { ...answers.repository(repository), private: options.isPrivate === true },
    }),
    'repos/get-collaborator-permission-level': ({ values }) => {
      const login = String(values.username);
      const holder = [...tokens.values()].find((one) => one.kind === 'user' && one.login === login);
      const role = holder?.kind === 'user' ? holder.role : 'none';
      return {
        status: 200,
        body: { permission: role, role_name: role, user: { ...answers.user(login), role_name: role } },
      };
    },

    'issues/list-comments': async (call) => {
      const pull = await findPull(Number(call.values.issue_number));
      const from = call.values.since === undefined ? '' : formatGithubTime(String(call.values.since));
      const selected = comments.filter(
        (comment) => comment.pull === pull.number && comment.updatedAt >= from,
      );
      return pageAnswer(call, selected, answers.comment);
    },
    'issues/get-comment': ({ values }) => ({
      status: 200,
      body: answers.comment(findComment(values.comment_id)),
    }),
    'issues/create-comment': async ({ values, body, holder }) => {
      const pull = await findPull(Number(values.issue_number));
      const text = checkCommentBody(body.body);
      const comment: Comment = {
        id: nextCommentId++,
        pull: pull.number,
        author: holder.login,
        body: text,
        createdAt: time(),
        updatedAt: time(),
      };
      comments.push(comment);
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

    'pulls/get': async ({ values }) => {
      const pull = await findPull(Number(values.pull_number));
      return { status: 200, body: answers.pull(pull, await countPull(pull)) };
    },
    'pulls/list': async (call) => {
      const { state = 'open', head, base, direction, sort } = call.values;
      const key = (pull: Pull): string => (sort === 'updated' ? pull.updatedAt : pull.createdAt);
      const selected = [...pulls.values()]
        .filter((pull) => state === 'all' || pull.state === state)
        .filter(
          (pull) => head === undefined || `${pull.headRepository.split('/')[0]}:${pull.headRef}` === head,
        )
        .filter((pull) => base === undefined || pull.baseRef === base)
        .sort((a, b) => key(b).localeCompare(key(a)) || b.number - a.number);
      if (direction === 'asc') selected.reverse();
      return pageAnswer(call, selected, async (pull) => answers.pullInList(await findPull(pull.number)));
    },
    'repos/list-pull-requests-associated-with-commit': async (call) => {
      const sha = String(call.values.commit_sha);
      const selected: Pull[] = [];
      for (const { number } of pulls.values()) {
        const pull = await findPull(number);
        if (pull.headSha === sha || (await pullHolds(pull, sha))) selected.push(pull);
      }
      return pageAnswer(call, selected, answers.pullInList);
    },

    'repos/list-commits': async (call) => {
      const { values } = call;
      const sha = await openHistory().resolve(String(values.sha ?? defaultBranch));
      if (sha === undefined) throw notFound();
      const { page, perPage } = pageOf(call);
      const filter = Object.fromEntries(
        (['path', 'author', 'committer', 'since', 'until'] as const)
          .filter((name) => values[name] !== undefined)
          .map((name) => [name, String(values[name])]),
      );
      const { commits, total } = await openHistory().list(sha, filter, (page - 1) * perPage, perPage);
      return { status: 200, body: commits.map(answers.commit), headers: linkHeader(call, total) };
    },
    'repos/get-commit': async ({ values }) => {
      const [commit] = await openHistory().read([await resolveCommit(String(values.ref))]);
      if (commit === undefined) throw notFound();
      const changes = await openHistory().changes(commit.parents[0], commit.sha);
      return { status: 200, body: answers.commitWithFiles(commit, changes.slice(0, COMPARISON_MAX_FILES)) };
    },
    'git/get-commit': async ({ values }) => {
      const sha = String(values.commit_sha);
      const found = /^[0-9a-f]{40}$/.test(sha) ? await openHistory().resolve(sha) : undefined;
      const [commit] = found === undefined ? [] : await openHistory().read([found]);
      if (commit === undefined) throw notFound();
      return { status: 200, body: answers.gitCommit(commit) };
    },
    'repos/get-branch': async ({ values }) => {
      const name = String(values.branch);
      const sha = await history?.resolveBranch(name);
      const [commit] = sha === undefined ? [] : await openHistory().read([sha]);
      if (commit === undefined) throw new Refusal(404, 'Branch not found');
      const path = encodeURIComponent(name);
      const self = `${apiUrl}/repos/${repository}/branches/${path}`;
      const body = {
        name,
        commit: answers.commit(commit),
        _links: { self, html: `${serverUrl}/${repository}/tree/${path}` },
        protected: false,
        protection: {
          enabled: false,
          required_status_checks: { enforcement_level: 'off', contexts: [], checks: [] },
        },
        protection_url: `${self}/protection`,
      };
      return { status: 200, body };
    },
    'repos/compare-commits-with-basehead': async (call) => {
      const basehead = String(call.values.basehead);
      const [base, head] = basehead.split('...').map((ref) => ref.replace(/^.*:/, ''));
      const [baseSha, headSha] = await Promise.all([
        history?.resolve(base ?? ''),
        history?.resolve(head ?? ''),
      ]);
      if (history === undefined || baseSha === undefined || headSha === undefined) throw notFound();
      const mergeBaseSha = await history.mergeBase(baseSha, headSha);
      if (mergeBaseSha === undefined)
        throw new Refusal(404, `No common ancestor between ${base} and ${head}.`);
      const [ahead, behind] = await Promise.all([
        history.between(baseSha, headSha),
        history.between(headSha, baseSha),
      ]);
      const { page, perPage } = pageOf(call);
      const paged = call.values.page !== undefined || call.values.per_page !== undefined;
      const shas = paged
        ? ahead.slice((page - 1) * perPage, page * perPage)
        : ahead.slice(0, COMPARISON_MAX_COMMITS);
      const [baseCommit, mergeBase, ...commits] = await history.read([baseSha, mergeBaseSha, ...shas]);
      if (baseCommit === undefined || mergeBase === undefined) throw notFound();
      const changes = page > 1 ? undefined : await history.changes(mergeBaseSha, headSha);
      const status =
        ahead.length === 0
          ? behind.length === 0
            ? 'identical'
            : 'behind'
          : behind.length === 0
            ? 'ahead'
            : 'diverged';
      const htmlUrl = `${serverUrl}/${repository}/compare/${encodeURIComponent(basehead)}`;
      const owner = repository.split('/')[0];
      const permalink = encodeURIComponent(
        `${owner}:${baseSha.slice(0, 7)}...${owner}:${headSha.slice(0, 7)}`,
      );
      const body = {
        url: `${apiUrl}/repos/${repository}/compare/${encodeURIComponent(basehead)}`,
        html_url: htmlUrl,
        permalink_url: `${serverUrl}/${repository}/compare/${permalink}`,
        diff_url: `${htmlUrl}.diff`,
        patch_url: `${htmlUrl}.patch`,
        base_commit: answers.commit(baseCommit),
        merge_base_commit: answers.commit(mergeBase),
        status,
        ahead_by: ahead.length,
        behind_by: behind.length,
        total_commits: ahead.length,
        commits: commits.map(answers.commit),
        ...(changes === undefined
          ? {}
          : { files: answers.files(changes.slice(0, COMPARISON_MAX_FILES), headSha) }),
      };
      return { status: 200, body, headers: paged ? linkHeader(call, ahead.length) : {} };
    },
    'repos/get-content': async ({ values }) => {
      const ref = String(values.ref ?? defaultBranch);
      const sha = await history?.resolve(ref);
      if (sha === undefined) throw new Refusal(404, `No commit found for the ref ${ref}`);
      const found = await history?.contents(sha, String(values.path));
      if (history === undefined || found === undefined) throw notFound();
      if (Array.isArray(found))
        return { status: 200, body: found.map((entry) => answers.content(entry, ref)) };
      const document = answers.content(found, ref);
      if (found.type === 'submodule') throw new Refusal(501, 'The sandbox does not answer for submodules.');
      const blob = await history.blob(found.sha);
      if (found.type === 'symlink')
        return { status: 200, body: { ...document, target: blob.toString('utf8') } };
      // GitHub breaks the base64 text every 60 characters, and gives none for more than 1 MB.
      const content = blob.toString('base64').replace(/.{60}/g, '$&\n');
      const isLarge = blob.length > 1024 * 1024;
      const body = {
        ...document,
        encoding: isLarge ? 'none' : 'base64',
        content: isLarge ? '' : `${content}\n`,
      };
      return { status: 200, body };
    },

    'repos/create-commit-status': async ({ values, body, holder }) => {
      const sha = await history?.resolve(String(values.sha));
      if (history !== undefined && sha === undefined) {
        throw new Refusal(422, `No commit found for SHA: ${String(values.sha)}`);
      }
      const text = typeof body.description === 'string' ? body.description : null;
      if (text !== null && [...text].length > STATUS_DESCRIPTION_MAX_CHARACTERS) {
        const message = `description is too long (maximum is ${STATUS_DESCRIPTION_MAX_CHARACTERS} characters)`;
        throw new Refusal(422, 'Validation Failed', [
          { resource: 'Status', code: 'custom', field: 'description', message },
        ]);
      }
      const id = 40_000_000_000 + statuses.length;
      const document: StatusDocument = {
        url: `${apiUrl}/repos/${repository}/statuses/${String(values.sha)}`,
        avatar_url: answers.user(holder.login).avatar_url,
        id,
        node_id: `SC_${id}`,
        state: String(body.state),
        description: text,
        target_url: typeof body.target_url === 'string' ? body.target_url : null,
        context: typeof body.context === 'string' ? body.context : 'default',
        created_at: time(),
        updated_at: time(),
        creator: answers.user(holder.login),
      };
      statuses.push({ sha: sha ?? String(values.sha), document });
      return { status: 201, body: document, headers: { location: document.url } };
    },
    'repos/list-commit-statuses-for-ref': async (call) =>
      pageAnswer(call, statusesOf(await resolveForStatus(String(call.values.ref))), (status) => status),
    'repos/get-combined-status-for-ref': async (call) => {
      const sha = await resolveForStatus(String(call.values.ref));
      const newest = new Map<string, StatusDocument>();
      for (const status of statusesOf(sha))
        if (!newest.has(status.context)) newest.set(status.context, status);
      const latest = [...newest.values()];
      const has = (...states: string[]): boolean => latest.some((status) => states.includes(status.state));
      const url = `${apiUrl}/repos/${repository}/commits/${sha}`;
      const { page, perPage } = pageOf(call);
      const body = {
        state: has('failure', 'error')
          ? 'failure'
          : latest.length === 0 || has('pending')
            ? 'pending'
            : 'success',
        sha,
        total_count: latest.length,
        statuses: latest.slice((page - 1) * perPage, page * perPage),
        repository: answers.repository(repository),
        commit_url: url,
        url: `${url}/status`,
      };
      return { status: 200, body, headers: linkHeader(call, latest.length) };
    },
  };

  const pullHolds = async (pull: Pull, sha: string): Promise<boolean> => {
    const [commit, head, base] = await Promise.all(
      [sha, pull.headSha, pull.baseSha].map(async (ref) => history?.resolve(ref)),
    );
    if (history === undefined || commit === undefined || head === undefined || base === undefined)
      return false;
    return (await history.isAncestor(commit, head)) && !(await history.isAncestor(commit, base));
  };

  const checkPermission = (operation: Operation, holder: TokenHolder): void => {
    const need = NEEDS[operation.id];
    if (need === undefined) return;
    const isRead = need.level === 'read';
    if (isRead && options.isPrivate !== true) return;
    if (holder.kind === 'user') {
      if (options.isPrivate === true && holder.role === 'read' && !isRead) throw notFound();
      if (operation.id === 'repos/create-commit-status' && holder.role === 'read') throw notFound();
      return;
    }
    const granted = need.anyOf.some((name) => {
      const level = holder.permissions[name];
      return level === 'write' || (isRead && level === 'read');
    });
    if (!granted) throw new Refusal(403, 'Resource not accessible by integration');
  };

  const answerCall = async (
    request: IncomingMessage,
    text: string,
    url: URL,
  ): Promise<Answer & { operation?: Operation }> => {
    const method = request.method ?? 'GET';
    if ((request.headers['user-agent'] ?? '') === '') {
      throw new Refusal(
        403,
        'Request forbidden by administrative rules. Please make sure your request has a User-Agent header.',
      );
    }
    const version = request.headers['x-github-api-version'];
    if (version !== undefined && !API_VERSIONS.includes(String(version))) {
      throw new Refusal(400, `"${String(version)}" is not a supported version of the REST API.`);
    }
    checkAccept(request.headers.accept);
    const secret = /^(?:token|bearer) (\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
    if (request.headers.authorization === undefined) throw new Refusal(401, 'Requires authentication');
    const holder = secret === undefined ? undefined : tokens.get(secret);
    if (secret === undefined || holder === undefined) throw new Refusal(401, 'Bad credentials');

    if (!url.pathname.startsWith(`${apiPath}/`)) throw notFound();
    const path = url.pathname
      .slice(apiPath.length)
      .replace(new RegExp(`^/repositories/${repositoryId}(?=/|$)`), `/repos/${repository}`);
    if (!isPercentEncoded(path)) throw new Refusal(400, 'Bad Request');
    const limit = limitOf(secret);
    if (path === '/rate_limit' && method === 'GET') {
      const operation = description.findOperation('GET', path)?.operation;
      const search = { ...limit, limit: 30, remaining: 30, used: 0 };
      const body = { rate: limit, resources: { core: limit, search } };
      return operation === undefined ? { status: 200, body } : { status: 200, body, operation };
    }
    if (limit.remaining === 0) {
      throw new Refusal(
        403,
        `API rate limit exceeded for installation. If you reach out to GitHub Support for help, say so.`,
      );
    }
    const window = used.get(secret);
    if (window !== undefined) window.count += 1;

    const match = description.findOperation(method, path);
    const handler = match === undefined ? undefined : handlers[match.operation.id];
    if (match === undefined || handler === undefined) {
      throw new Refusal(501, `The sandbox has no operation for ${method} ${path}.`);
    }
    const { operation, pathValues } = match;
    if (
      pathValues.owner !== undefined &&
      `${pathValues.owner}/${pathValues.repo}`.toLowerCase() !== repository.toLowerCase()
    ) {
      throw notFound();
    }
    const checked = description.checkParameters(match, url.searchParams);
    if (!checked.ok) {
      throw checked.in === 'path' ? notFound() : new Refusal(422, `Invalid request.\n\n${checked.problem}`);
    }
    checkPermission(operation, holder);
    const body = parseBody(request, text, operation);
    return { ...(await handler({ operation, values: checked.values, body, holder, url })), operation };
  };

  const parseBody = (
    request: IncomingMessage,
    text: string,
    operation: Operation,
  ): Record<string, unknown> => {
    if (operation.method === 'GET' || operation.method === 'DELETE') return {};
    if (!/^application\/json(;|$)/.test(request.headers['content-type'] ?? '')) {
      throw new Refusal(
        415,
        `A body must be sent as application/json, not as ${request.headers['content-type'] ?? 'nothing'}.`,
      );
    }
    let body: unknown;
    try {
      body = JSON.parse(text);
    } catch {
      throw new Refusal(400, 'Problems parsing JSON');
    }
    if (body === null || typeof body !== 'object' || Array.isArray(body)) {
      throw new Refusal(400, 'Body should be a JSON object');
    }
    const problems = description.checkRequestBody(operation, body);
    if (problems.length > 0) throw new Refusal(422, `Invalid request.\n\n${problems.join('\n')}`);
    return body as Record<string, unknown>;
  };

  const serveApi = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? '/', apiOrigin);
    const text = await readText(request);
    options.onRequest?.({
      method: request.method ?? 'GET',
      path: url.pathname,
      query: Object.fromEntries(url.searchParams),
      body: text === '' ? undefined : parseOrKeep(text),
    });
    let answer: Answer & { operation?: Operation };
    try {
      answer = await answerCall(request, text, url);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const match = isPercentEncoded(url.pathname)
        ? description.findOperation(request.method ?? 'GET', url.pathname.slice(apiPath.length))
        : undefined;
      const documentationUrl = match?.operation.documentationUrl ?? 'https://docs.github.com/rest';
      const errors = error.errors === undefined ? {} : { errors: error.errors };
      answer = {
        status: error.status,
        body: {
          message: error.message,
          ...errors,
          documentation_url: documentationUrl,
          status: String(error.status),
        },
        ...(match === undefined ? {} : { operation: match.operation }),
      };
    }
    const problems = description.checkAnswer(answer.operation, answer.status, answer.body);
    if (problems.length > 0) {
      throw new Error(
        `the sandbox's own answer to ${answer.operation?.id} does not fit GitHub's description: ${problems.join('; ')}`,
      );
    }
    const secret = /^\S+ (\S+)$/.exec(request.headers.authorization ?? '')?.[1];
    const limits = secret !== undefined && tokens.has(secret) ? limitOf(secret) : undefined;
    const need = answer.operation === undefined ? undefined : NEEDS[answer.operation.id];
    sendJson(response, answer.status, answer.body, {
      'x-github-media-type': 'github.v3; format=json',
      'x-github-request-id': randomBytes(10).toString('hex').toUpperCase(),
      ...(limits === undefined
        ? {}
        : {
            'x-ratelimit-limit': String(limits.limit),
            'x-ratelimit-remaining': String(limits.remaining),
            'x-ratelimit-reset': String(limits.reset),
            'x-ratelimit-used': String(limits.used),
            'x-ratelimit-resource': 'core',
          }),
      ...(need === undefined
        ? {}
        : {
            'x-accepted-github-permissions': need.anyOf
              .map((name) => `${name.replace('-', '_')}=${need.level}`)
              .join('; '),
          }),
      ...answer.headers,
    });
  };

  api.on('request', (request, response) => {
    serveApi(request, response).catch((error: unknown) => {
      sendJson(response, 500, { message: `The sandbox failed: ${String(error)}` }, {});
    });
  });
  web.on('request', (request, response) => {
    const page = renderPage({
      path: new URL(request.url ?? '/', serverUrl).pathname,
      repository,
      pulls: [...pulls.values()],
      comments,
    });
    response.writeHead(page.status, { 'content-type': 'text/html; charset=utf-8' });
    response.end(page.html);
  });

  return {
    apiUrl,
    serverUrl,
    repository,
    token,
    readOnlyToken,
    env: {
      GITHUB_API_URL: apiUrl,
      GITHUB_SERVER_URL: serverUrl,
      GITHUB_REPOSITORY: repository,
      GH_TOKEN: token,
    },
    comments: (pull) =>
      comments
        .filter((comment) => comment.pull === pull)
        .map(({ id, body, author, createdAt, updatedAt }) => ({ id, body, author, createdAt, updatedAt })),
    addUser: (login, role = 'read') => addToken('ghp', { kind: 'user', login, role }),
    addPull,
    setPullHead(number, headSha) {
      const pull = knownPull(number);
      pull.headSha = headSha;
      pull.updatedAt = time();
    },
    closePull(number) {
      const pull = knownPull(number);
      pull.state = 'closed';
      pull.closedAt = time();
      pull.updatedAt = pull.closedAt;
    },
    async pullRequestEvent(number, action, actor) {
      const pull = await findPull(knownPull(number).number);
      return {
        action,
        number,
        pull_request: answers.pull(pull, await countPull(pull)),
        repository: answers.repository(repository),
        sender: answers.user(actor ?? pull.author),
      };
    },
    async close() {
      await Promise.all([closeServer(api), closeServer(web)]);
    },
  };
}

/** GitHub answers 415 to a media type it does not have; of its own, only the default and `raw` are served here. */
function checkAccept(accept: string | undefined): void {
  const types = (accept ?? '*/*').split(',').map((type) => type.split(';')[0]?.trim() ?? '');
  const known =
    /^(\*\/\*|application\/(\*|json|vnd\.github(\.v3|\.[\w-]+-preview)?(\.raw)?\+json|vnd\.github\.v3))$/;
  if (types.some((type) => known.test(type))) return;
  if (types.some((type) => type.startsWith('application/vnd.github'))) {
    throw new Refusal(501, `The sandbox does not answer in ${accept}.`);
  }
  throw new Refusal(415, `Unsupported 'Accept' header: '${accept}'. Must accept 'application/json'.`);
}

function isPercentEncoded(path: string): boolean {
  try {
    decodeURIComponent(path);
    return true;
  } catch {
    return false;
  }
}

async function readText(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

function parseOrKeep(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string>,
): void {
  if (body === undefined) {
    response.writeHead(status, headers);
    response.end();
    return;
  }
  const text = JSON.stringify(body);
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': String(Buffer.byteLength(text)),
    ...headers,
  });
  response.end(text);
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function closeServer(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeAllConnections();
  await closed;
}
