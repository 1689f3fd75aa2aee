import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type AskServer, askDirectly } from './direct-answer.ts';
import { formatGithubTime, type GitHistory, openGitHistory } from './git-history.ts';
import {
  type CommentDocument,
  createAnswerBuilder,
  type IssueDocument,
  numberFor,
  type PullDocument,
  type RepositoryDocument,
  type UserDocument,
} from './github-answers.ts';
import type { Answer, Handlers } from './github-call.ts';
import { createCollaboratorHandlers, type KeptReaction } from './github-collaborators.ts';
import {
  addComment,
  createCommentHandlers,
  type EarlierComment,
  listEarlierComments,
} from './github-comments.ts';
import { createCommitHandlers } from './github-commits.ts';
import { loadGithubDescription, type Operation } from './github-description.ts';
import { renderPage } from './github-pages.ts';
import { createPullStore, type SandboxPull } from './github-pulls.ts';
import { archived, notFound, Refusal, type SecondaryLimit, secondaryLimitRefusal } from './github-refusal.ts';
import { createStatusHandlers, type KeptStatus } from './github-statuses.ts';
import {
  checkPermission,
  createTokenBook,
  listRepositoryPermissions,
  needOf,
  type Permissions,
  type UserRole,
} from './github-tokens.ts';
import { NO_TIME_LIMITS } from './http-limits.ts';

/** One request as it came in, before anything was checked. */
export interface SandboxRequest {
  readonly method: string;
  /** The path without the query. */
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  /** Parsed JSON; the text where it is none; `undefined` where there is no body. */
  readonly body: unknown;
}

export interface GithubSandboxOptions {
  /** `owner/name`; default `acme/digits`. */
  readonly repository?: string;
  readonly defaultBranch?: string;
  /** A private repository refuses reads too where the token lacks the permission; a public one only writes. */
  readonly isPrivate?: boolean;
  /** An archived repository refuses every write. */
  readonly isArchived?: boolean;
  readonly pulls?: readonly SandboxPull[];
  /** Oldest first. */
  readonly comments?: readonly EarlierComment[];
  /** A local git repository (work tree or bare) that answers for commits, comparisons, branches and contents. */
  readonly gitDir?: string;
  /** Answers in place of `gitDir`. */
  readonly history?: GitHistory;
  /** Of `token`, as the `permissions` of a workflow's job; default: contents read, pull-requests write. */
  readonly permissions?: Permissions;
  /** Default 1000, what GITHUB_TOKEN has an hour and repository. */
  readonly requestsPerHour?: number;
  /** Asked at each request that may be made: what it gives is how the secondary rate limit refuses it. Default: it refuses none. */
  readonly secondaryLimit?: (request: SandboxRequest) => SecondaryLimit | undefined;
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

export interface SandboxStatus {
  readonly context: string;
  readonly state: string;
  readonly description: string;
  readonly targetUrl: string;
  readonly creator: string;
}

/** The payload of a `pull_request` event, as the runner writes it to GITHUB_EVENT_PATH (the parts that programs read). */
export interface PullRequestEvent {
  readonly action: string;
  readonly number: number;
  readonly pull_request: PullDocument;
  readonly repository: RepositoryDocument;
  readonly sender: UserDocument;
}

/** The payload of an `issue_comment` event about a pull request (the parts that programs read). */
export interface CommentEvent {
  readonly action: string;
  readonly issue: IssueDocument;
  readonly comment: CommentDocument;
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
  /** Asks the API without a connection. */
  readonly askApi: AskServer;
  readonly comments: (pull: number) => readonly SandboxComment[];
  /** The reactions to a comment, as `author: content`, oldest first. */
  readonly reactions: (comment: number) => readonly string[];
  /** The statuses of a commit, oldest first. */
  readonly statuses: (sha: string) => readonly SandboxStatus[];
  /**
   * A personal token of a user; with role `read`, an outsider who may comment on a public repository, no more. `scopes` are
   * told, not enforced; default: `repo`.
   */
  addUser(login: string, role?: UserRole, scopes?: readonly string[] | 'fine-grained'): string;
  /** A token of an app's installation, which GitHub does not tell who it is either: its comments are by `login`. */
  addApp(login: `${string}[bot]`): string;
  addPull(pull: SandboxPull): void;
  /** What a push to the pull request's branch does. */
  setPullHead(number: number, headSha: string): void;
  closePull(number: number): void;
  /** Closes it as merged, by the commit that this put on the base branch. */
  mergePull(number: number, sha: string): void;
  /** The event that GitHub would start a workflow with. `actor` defaults to the pull request's author. */
  pullRequestEvent(
    number: number,
    action: 'opened' | 'reopened' | 'synchronize' | 'closed',
    actor?: string,
  ): Promise<PullRequestEvent>;
  /** What GitHub does when somebody comments on a pull request: the comment is there, and this is the event. */
  commentEvent(comment: EarlierComment, action?: string): Promise<CommentEvent>;
  close(): Promise<void>;
}

const JOB_LOGIN = 'github-actions[bot]';
const API_VERSIONS = ['2022-11-28', '2026-03-10'];

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
  const repositoryId = numberFor(`repository ${repository}`);
  const description = loadGithubDescription();
  const history =
    options.history ??
    (options.gitDir === undefined ? undefined : openGitHistory(options.gitDir, defaultBranch));

  const tokens = createTokenBook(options.requestsPerHour ?? 1000, now, apiPath === '');
  const comments = listEarlierComments(options.comments ?? [], now());
  const time = (): string => formatGithubTime(now());

  const statuses: KeptStatus[] = [];
  const reactions: KeptReaction[] = [];
  const permissions = options.permissions ?? { contents: 'read', 'pull-requests': 'write' };
  const token = tokens.add('ghs', { kind: 'job', login: JOB_LOGIN, permissions });
  const readOnlyToken = tokens.add('ghs', {
    kind: 'job',
    login: JOB_LOGIN,
    permissions: { contents: 'read', issues: 'read', 'pull-requests': 'read', statuses: 'read' },
  });

  const api = createServer(NO_TIME_LIMITS);
  const web = createServer(NO_TIME_LIMITS);
  const [apiOrigin, serverUrl] = await Promise.all([listen(api), listen(web)]);
  const apiUrl = `${apiOrigin}${apiPath}`;
  const since = time();
  const answers = createAnswerBuilder({ apiUrl, serverUrl, repository, defaultBranch, since });

  const pulls = createPullStore({
    repository,
    history,
    answers,
    time,
    countComments: (number) => comments.filter((comment) => comment.pull === number).length,
  });
  for (const pull of options.pulls ?? []) pulls.add(pull);

  const handlers: Handlers = {
    ...createCommentHandlers(comments, pulls, answers, time),
    ...createCollaboratorHandlers(
      { comments, reactions, isPrivate: options.isPrivate === true },
      tokens,
      answers,
      time,
    ),
    ...pulls.handlers,
    ...createCommitHandlers({ apiUrl, serverUrl, repository, defaultBranch, history, answers }),
    ...createStatusHandlers({ apiUrl, repository, history, answers, time, statuses }),
    'users/get-authenticated': ({ holder }) => {
      if (holder.kind === 'job') throw new Refusal(403, 'Resource not accessible by integration');
      return { status: 200, body: answers.ownUser(holder.login) };
    },
    'repos/get': ({ holder }) => ({
      status: 200,
      body: {
        ...answers.repository(repository),
        permissions: listRepositoryPermissions(holder),
        private: options.isPrivate === true,
        archived: options.isArchived === true,
      },
    }),
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
    const holder = secret === undefined ? undefined : tokens.find(secret);
    if (secret === undefined || holder === undefined) throw new Refusal(401, 'Bad credentials');

    if (!url.pathname.startsWith(`${apiPath}/`)) throw notFound();
    const path = url.pathname
      .slice(apiPath.length)
      .replace(new RegExp(`^/repositories/${repositoryId}(?=/|$)`), `/repos/${repository}`);
    if (!isPercentEncoded(path)) throw new Refusal(400, 'Bad Request');
    const limit = tokens.limitOf(secret);
    if (path === '/rate_limit' && method === 'GET') {
      const operation = description.findOperation('GET', path)?.operation;
      const search = { ...limit, limit: 30, remaining: 30, used: 0 };
      const body = { rate: limit, resources: { core: limit, search } };
      return operation === undefined ? { status: 200, body } : { status: 200, body, operation };
    }
    if (limit.remaining === 0) {
      throw new Refusal(403, 'API rate limit exceeded for installation.');
    }
    tokens.spend(secret);
    const secondary = options.secondaryLimit?.(describeRequest(request, text, url));
    if (secondary !== undefined) throw secondaryLimitRefusal(secondary);

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
    checkPermission(operation.id, holder, options.isPrivate === true);
    const body = parseBody(request, text, operation);
    if (options.isArchived === true && operation.method !== 'GET') throw archived();
    return {
      ...(await handler({ operation, values: checked.values, body, holder, repositoryId, url })),
      operation,
    };
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
    options.onRequest?.(describeRequest(request, text, url));
    let answer: Answer & { operation?: Operation };
    try {
      answer = await answerCall(request, text, url);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const match = isPercentEncoded(url.pathname)
        ? description.findOperation(request.method ?? 'GET', url.pathname.slice(apiPath.length))
        : undefined;
      const { errors, headers, documentationUrl } = error.details;
      answer = {
        status: error.status,
        body: {
          message: error.message,
          ...(errors !== undefined && { errors }),
          documentation_url:
            documentationUrl ?? match?.operation.documentationUrl ?? 'https://docs.github.com/rest',
          status: String(error.status),
        },
        ...(headers !== undefined && { headers }),
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
    const holder = secret === undefined ? undefined : tokens.find(secret);
    const limits = secret !== undefined && holder !== undefined ? tokens.limitOf(secret) : undefined;
    const scopes = holder?.kind === 'user' ? holder.scopes : undefined;
    const need = answer.operation === undefined ? undefined : needOf(answer.operation.id);
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
      ...(scopes === undefined ? {} : { 'x-oauth-scopes': scopes.join(', ') }),
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
      pulls: pulls.all(),
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
    askApi: (request) => askDirectly(api, request),
    comments: (pull) =>
      comments
        .filter((comment) => comment.pull === pull)
        .map(({ id, body, author, createdAt, updatedAt }) => ({ id, body, author, createdAt, updatedAt })),
    reactions: (id) =>
      reactions.filter(({ comment }) => comment === id).map(({ author, content }) => `${author}: ${content}`),
    statuses: (sha) =>
      statuses
        .filter((status) => status.sha === sha)
        .map(({ document: { context, state, description, target_url: targetUrl, creator } }) => ({
          context,
          state,
          description: description ?? '',
          targetUrl: targetUrl ?? '',
          creator: creator?.login ?? '',
        })),
    addUser: (login, role = 'read', scopes = ['repo']) =>
      scopes === 'fine-grained'
        ? tokens.add('github_pat', { kind: 'user', login, role, scopes: undefined })
        : tokens.add('ghp', { kind: 'user', login, role, scopes }),
    addApp: (login) => tokens.add('ghs', { kind: 'job', login, permissions }),
    addPull: pulls.add,
    setPullHead: pulls.setHead,
    closePull: pulls.close,
    mergePull: (number, sha) => pulls.merge(number, sha),
    async pullRequestEvent(number, action, actor) {
      const pull = await pulls.find(number);
      return {
        action,
        number,
        pull_request: {
          ...(await pulls.describe(pull)),
          ...(action === 'closed' ? { state: 'closed' } : {}),
        },
        repository: answers.repository(repository),
        sender: answers.user(actor ?? pull.author),
      };
    },
    async commentEvent(comment, action = 'created') {
      const pull = await pulls.find(comment.pull);
      const { url, html_url, number, title, user, state } = await pulls.describe(pull);
      return {
        action,
        issue: { number, title, user, state, html_url, pull_request: { url, html_url } },
        comment: answers.comment(addComment(comments, comment, time())),
        repository: answers.repository(repository),
        sender: answers.user(comment.author),
      };
    },
    async close() {
      await Promise.all([closeServer(api), closeServer(web)]);
    },
  };
}

/** GitHub answers 415 to a media type it does not have; of its own, only the default is served here. */
function checkAccept(accept: string | undefined): void {
  const types = (accept ?? '*/*').split(',').map((type) => type.split(';')[0]?.trim() ?? '');
  const known = /^(\*\/\*|application\/(\*|json|vnd\.github(\.v3|\.[\w-]+-preview)?\+json|vnd\.github\.v3))$/;
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

function describeRequest(request: IncomingMessage, text: string, url: URL): SandboxRequest {
  return {
    method: request.method ?? 'GET',
    path: url.pathname,
    query: Object.fromEntries(url.searchParams),
    body: text === '' ? undefined : parseOrKeep(text),
  };
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
