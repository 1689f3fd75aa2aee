import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { Octokit } from '@octokit/rest';
import { createScratchRepository, type ScratchRepository } from '../dev/scratch-repository.ts';
import { createAnswerBuilder } from './github-answers.ts';
import type { Call } from './github-call.ts';
import { loadGithubDescription } from './github-description.ts';
import {
  type GithubSandbox,
  type GithubSandboxOptions,
  type SandboxRequest,
  startGithubSandbox,
} from './github-server.ts';
import { createStatusHandlers } from './github-statuses.ts';

const HEAD_SHA = '1'.repeat(40);
const PULL = { number: 7, headSha: HEAD_SHA, headRef: 'topic', baseRef: 'main' };
const open: GithubSandbox[] = [];

async function start(options: GithubSandboxOptions = {}): Promise<GithubSandbox> {
  const sandbox = await startGithubSandbox({ pulls: [PULL], ...options });
  open.push(sandbox);
  return sandbox;
}

function clientOf(sandbox: GithubSandbox, auth = sandbox.token): Octokit {
  const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
  return new Octokit({ baseUrl: sandbox.apiUrl, auth, log: silent });
}

interface RawAnswer {
  status: number;
  headers: Headers;
  body: { message?: string; errors?: Array<{ message: string }> };
}

async function send(sandbox: GithubSandbox, path: string, init: RequestInit = {}): Promise<RawAnswer> {
  const headers = {
    authorization: `Bearer ${sandbox.token}`,
    'content-type': 'application/json',
    ...init.headers,
  };
  const response = await fetch(`${sandbox.apiUrl}${path}`, { ...init, headers });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text === '' ? {} : JSON.parse(text) };
}

/** The status and message of what a client's call was refused with. */
async function refusalOf(call: Promise<unknown>): Promise<{ status: number; message: string }> {
  try {
    await call;
  } catch (error) {
    const { status, response } = error as { status: number; response?: { data: { message: string } } };
    return { status, message: response?.data.message ?? String(error) };
  }
  throw new Error('The call was not refused.');
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((sandbox) => sandbox.close()));
});

const here = { owner: 'acme', repo: 'digits' };
const commentsPath = '/repos/acme/digits/issues/7/comments';

describe('comments', () => {
  test('are created, read, updated and deleted by Octokit', async () => {
    let clock = Date.UTC(2026, 10, 1);
    const sandbox = await start({ now: () => clock });
    const client = clientOf(sandbox);
    const {
      data: created,
      status,
      headers,
    } = await client.issues.createComment({ ...here, issue_number: 7, body: 'one' });
    expect(status).toBe(201);
    expect(headers.location).toBe(created.url);
    expect(created.id).toBeGreaterThan(2 ** 31);
    expect(created.user?.login).toBe('github-actions[bot]');
    expect(created.user?.type).toBe('Bot');
    expect(created.html_url).toBe(`${sandbox.serverUrl}/acme/digits/pull/7#issuecomment-${created.id}`);

    clock += 60_000;
    await client.issues.updateComment({ ...here, comment_id: created.id, body: 'two' });
    const { data: read } = await client.issues.getComment({ ...here, comment_id: created.id });
    expect([read.body, read.created_at, read.updated_at]).toEqual([
      'two',
      '2026-11-01T00:00:00Z',
      '2026-11-01T00:01:00Z',
    ]);
    expect(sandbox.comments(7)).toEqual([
      {
        id: created.id,
        body: 'two',
        author: 'github-actions[bot]',
        createdAt: '2026-11-01T00:00:00Z',
        updatedAt: '2026-11-01T00:01:00Z',
      },
    ]);

    const { status: deleted } = await client.issues.deleteComment({ ...here, comment_id: created.id });
    expect(deleted).toBe(204);
    expect(sandbox.comments(7)).toEqual([]);
    expect((await refusalOf(client.issues.getComment({ ...here, comment_id: created.id }))).status).toBe(404);
    expect(await refusalOf(client.issues.deleteComment({ ...here, comment_id: created.id }))).toEqual({
      status: 404,
      message: 'Not Found',
    });
  });

  test('come in pages of 30, at most 100, with links to the repository by its number', async () => {
    const sandbox = await start({ requestsPerHour: 5000 });
    const client = clientOf(sandbox);
    const { data: repository } = await client.repos.get(here);
    const bodies = Array.from({ length: 205 }, (_, index) => `comment ${index}`);
    const post = (body: string): Promise<RawAnswer> =>
      send(sandbox, commentsPath, { method: 'POST', body: JSON.stringify({ body }) });
    await Promise.all(bodies.map(post));
    const first = await client.issues.listComments({ ...here, issue_number: 7 });
    expect(first.data).toHaveLength(30);
    const greedy = await client.issues.listComments({ ...here, issue_number: 7, per_page: 1000, page: 2 });
    expect(greedy.data.map((comment) => comment.body)).toEqual(
      sandbox
        .comments(7)
        .slice(100, 200)
        .map((one) => one.body),
    );
    const base = `${sandbox.apiUrl}/repositories/${repository.id}/issues/7/comments?per_page=1000&page=`;
    expect(greedy.headers.link).toBe(
      `<${base}1>; rel="prev", <${base}3>; rel="next", <${base}3>; rel="last", <${base}1>; rel="first"`,
    );
    const all = await client.paginate(client.issues.listComments, {
      ...here,
      issue_number: 7,
      per_page: 100,
    });
    expect(all.map((comment) => comment.id)).toEqual(sandbox.comments(7).map((comment) => comment.id));
    const past = await client.issues.listComments({ ...here, issue_number: 7, page: 99 });
    expect(past.data).toEqual([]);
  });

  test('since a time are only those updated at or after it', async () => {
    let clock = Date.UTC(2026, 10, 1);
    const sandbox = await start({ now: () => clock });
    const client = clientOf(sandbox);
    await client.issues.createComment({ ...here, issue_number: 7, body: 'early' });
    clock += 60_000;
    await client.issues.createComment({ ...here, issue_number: 7, body: 'late' });
    const { data } = await client.issues.listComments({
      ...here,
      issue_number: 7,
      since: '2026-11-01T01:00:30+01:00',
    });
    expect(data.map((comment) => comment.body)).toEqual(['late']);
  });

  test.each([
    ['65,536 characters', 'x'.repeat(65_536), 201],
    ['65,536 characters outside the basic plane', '𝛼'.repeat(65_536), 201],
    ['65,537 characters', 'x'.repeat(65_537), 422],
    ['blanks only', ' \n', 422],
  ])('of %s are answered as GitHub does', async (_title, body, status) => {
    const sandbox = await start();
    const answer = await send(sandbox, commentsPath, { method: 'POST', body: JSON.stringify({ body }) });
    expect(answer.status).toBe(status);
    if (body.length === 65_537) {
      expect(answer.body.message).toBe('Validation Failed');
      expect(answer.body.errors?.[0]?.message).toBe('Body is too long (maximum is 65536 characters)');
    }
  });
});

describe('tokens', () => {
  test.each([
    ['no token', undefined, 401, 'Requires authentication'],
    ['an unknown token', 'Bearer ghp_unknown', 401, 'Bad credentials'],
    ['another scheme', 'Basic YTpi', 401, 'Bad credentials'],
  ])('%s is refused', async (_title, authorization, status, message) => {
    const sandbox = await start();
    const headers = { 'user-agent': 'test', ...(authorization === undefined ? {} : { authorization }) };
    const response = await fetch(`${sandbox.apiUrl}/user`, { headers });
    expect([response.status, ((await response.json()) as { message: string }).message]).toEqual([
      status,
      message,
    ]);
  });

  test('the job token is not told who it is, a user is', async () => {
    const sandbox = await start();
    expect(await refusalOf(clientOf(sandbox).users.getAuthenticated())).toEqual({
      status: 403,
      message: 'Resource not accessible by integration',
    });
    const { data } = await clientOf(sandbox, sandbox.addUser('octocat')).users.getAuthenticated();
    expect(data.login).toBe('octocat');
  });

  test('a read-only job token reads, and is refused every write', async () => {
    const sandbox = await start();
    await clientOf(sandbox).issues.createComment({ ...here, issue_number: 7, body: 'hello' });
    const client = clientOf(sandbox, sandbox.readOnlyToken);
    const { data } = await client.issues.listComments({ ...here, issue_number: 7 });
    const comment_id = data[0]?.id ?? 0;
    const calls = [
      client.issues.createComment({ ...here, issue_number: 7, body: 'no' }),
      client.issues.updateComment({ ...here, comment_id, body: 'no' }),
      client.issues.deleteComment({ ...here, comment_id }),
      client.repos.createCommitStatus({ ...here, sha: HEAD_SHA, state: 'success' }),
    ];
    for (const call of calls) {
      expect(await refusalOf(call)).toEqual({
        status: 403,
        message: 'Resource not accessible by integration',
      });
    }
    expect(sandbox.comments(7).map((comment) => comment.body)).toEqual(['hello']);
  });

  test('a private repository refuses reads without the permission, and hides from outsiders nothing they may see', async () => {
    const sandbox = await start({ isPrivate: true, permissions: { 'pull-requests': 'write' } });
    expect((await refusalOf(clientOf(sandbox).repos.listCommits(here))).status).toBe(403);
    const { data } = await clientOf(sandbox).issues.listComments({ ...here, issue_number: 7 });
    expect(data).toEqual([]);
  });

  test('an outsider comments, and changes only what is theirs', async () => {
    const sandbox = await start();
    const { data: ours } = await clientOf(sandbox).issues.createComment({
      ...here,
      issue_number: 7,
      body: 'ours',
    });
    const outsider = clientOf(sandbox, sandbox.addUser('mallory'));
    const { data: theirs } = await outsider.issues.createComment({
      ...here,
      issue_number: 7,
      body: 'theirs',
    });
    await outsider.issues.updateComment({ ...here, comment_id: theirs.id, body: 'theirs, edited' });
    const refusal = await refusalOf(
      outsider.issues.updateComment({ ...here, comment_id: ours.id, body: 'mine' }),
    );
    expect(refusal.status).toBe(403);
    await clientOf(sandbox).issues.updateComment({ ...here, comment_id: theirs.id, body: 'a job may, alas' });
    expect(sandbox.comments(7).map(({ author, body }) => [author, body])).toEqual([
      ['github-actions[bot]', 'ours'],
      ['mallory', 'a job may, alas'],
    ]);
  });

  test('the permission of a collaborator is told by the older roles, whatever the case of the login', async () => {
    const [sandbox, hidden] = await Promise.all([start(), start({ isPrivate: true })]);
    const roles = ['admin', 'maintain', 'write', 'triage', 'read'] as const;
    for (const role of roles) sandbox.addUser(`The-${role}`, role);
    const ask = (username: string, client = clientOf(sandbox)) =>
      client.repos.getCollaboratorPermissionLevel({ ...here, username });
    const told = await Promise.all(roles.map((role) => ask(`the-${role}`)));
    expect(told.map(({ data }) => [data.permission, data.role_name])).toEqual([
      ['admin', 'admin'],
      ['write', 'maintain'],
      ['write', 'write'],
      ['read', 'triage'],
      ['read', 'read'],
    ]);
    // Everybody may read what is public.
    expect((await ask('stranger')).data.permission).toBe('read');
    expect((await ask('stranger', clientOf(hidden))).data.permission).toBe('none');
    expect((await ask('the-admin', clientOf(sandbox, sandbox.readOnlyToken))).data.permission).toBe('admin');
    expect((await refusalOf(ask('dependabot[bot]'))).status).toBe(404);
    expect(await refusalOf(ask('the-admin', clientOf(sandbox, sandbox.addUser('mallory'))))).toEqual({
      status: 403,
      message: 'Must have push access to view collaborator permission.',
    });
  });

  test('a comment gets a reaction once, from whoever may write on pull requests', async () => {
    const sandbox = await start();
    const { comment, issue, action } = await sandbox.commentEvent({ pull: 7, author: 'ada', body: '/train' });
    expect([action, issue.number, issue.pull_request.url]).toEqual([
      'created',
      7,
      `${sandbox.apiUrl}/repos/acme/digits/pulls/7`,
    ]);
    expect(sandbox.comments(7)).toMatchObject([{ id: comment.id, author: 'ada', body: '/train' }]);
    const react = (client = clientOf(sandbox)) =>
      client.reactions.createForIssueComment({ ...here, comment_id: Number(comment.id), content: 'eyes' });
    const answers = [await react(), await react()];
    expect(answers.map(({ status }) => status)).toEqual([201, 200]);
    expect(String(answers[0]?.data.id)).toBe(String(answers[1]?.data.id));
    expect(sandbox.reactions(Number(comment.id))).toEqual(['github-actions[bot]: eyes']);
    expect((await refusalOf(react(clientOf(sandbox, sandbox.readOnlyToken)))).status).toBe(403);
    const onIssues = await start({ permissions: { issues: 'write' } });
    const other = await onIssues.commentEvent({ pull: 7, author: 'ada', body: '/train' });
    const call = clientOf(onIssues).reactions.createForIssueComment({
      ...here,
      comment_id: Number(other.comment.id),
      content: 'eyes',
    });
    expect((await refusalOf(call)).status).toBe(403);
  });

  test('a pull request says when its head was pushed, and has no repository once that is deleted', async () => {
    let clock = Date.UTC(2026, 10, 1);
    const gone = { ...PULL, number: 8, headRepository: 'mallory/digits', isHeadGone: true };
    const sandbox = await start({ now: () => clock, pulls: [PULL, gone] });
    const read = async (pull_number: number) =>
      (await clientOf(sandbox).pulls.get({ ...here, pull_number })).data.head.repo;
    expect((await read(7))?.pushed_at).toBe('2026-10-31T23:59:00Z');
    clock += 5000;
    sandbox.setPullHead(7, '2'.repeat(40));
    expect((await read(7))?.pushed_at).toBe('2026-11-01T00:00:05Z');
    expect(await read(8)).toBeNull();
  });

  // An installation's token has no user, so GitHub says false of everything, even of the reading that it has just done
  // (MemberJunction/MJ pull request 4389, flathub-infra/flatpak-external-data-checker pull request 223).
  test('a repository tells a user its role, an app nothing; a classic token its scopes, others none', async () => {
    const sandbox = await start();
    const askAs = async (token?: string) => {
      const { data, headers } = await clientOf(sandbox, token).repos.get(here);
      const { pull, push } = data.permissions ?? {};
      return { pull, push, scopes: headers['x-oauth-scopes'] };
    };
    expect(await askAs()).toEqual({ pull: false, push: false, scopes: undefined });
    expect(await askAs(sandbox.addUser('ada', 'write', ['repo:status', 'gist']))).toEqual({
      pull: true,
      push: true,
      scopes: 'repo:status, gist',
    });
    expect(await askAs(sandbox.addUser('eve', 'read', []))).toEqual({ pull: true, push: false, scopes: '' });
    const fineGrained = sandbox.addUser('bob', 'admin', 'fine-grained');
    expect(fineGrained).toMatch(/^github_pat_/);
    expect(await askAs(fineGrained)).toEqual({ pull: true, push: true, scopes: undefined });
  });

  test('a token used up is refused until the hour is over, and /rate_limit costs nothing', async () => {
    let clock = Date.UTC(2026, 10, 1);
    const sandbox = await start({ requestsPerHour: 2, now: () => clock });
    const statuses = [];
    for (let index = 0; index < 3; index++) statuses.push(await send(sandbox, '/repos/acme/digits'));
    expect(statuses.map((answer) => answer.status)).toEqual([200, 200, 403]);
    expect(statuses.map((answer) => answer.headers.get('x-ratelimit-remaining'))).toEqual(['1', '0', '0']);
    expect(statuses[2]?.headers.get('x-ratelimit-reset')).toBe(String(Date.UTC(2026, 10, 1, 1) / 1000));
    expect((await clientOf(sandbox).rateLimit.get()).data.rate.used).toBe(2);
    clock += 3_600_000;
    expect((await send(sandbox, '/repos/acme/digits')).status).toBe(200);
  });
});

describe('refusals beside permissions', () => {
  test('tokens of apps are long, with dots, on github.com, and short on GitHub Enterprise Server', async () => {
    const [here, enterprise] = await Promise.all([start(), start({ apiPath: '/api/v3' })]);
    expect(here.token).toMatch(/^ghs_[\w-]+\.[\w-]+\.[\w-]+$/);
    expect(here.token.length).toBeGreaterThan(450);
    expect((await send(here, '/repos/acme/digits')).status).toBe(200);
    expect(here.addApp('other[bot]')).toContain('.');
    expect(here.addUser('octocat')).toHaveLength(40);
    expect(enterprise.token).toHaveLength(40);
  });

  test('an archived repository is read, and refuses every write', async () => {
    const sandbox = await start({ isArchived: true });
    const client = clientOf(sandbox);
    expect((await client.repos.get(here)).data.archived).toBe(true);
    const refusal = { status: 403, message: 'Repository was archived so is read-only.' };
    const creating = client.issues.createComment({ ...here, issue_number: 7, body: 'no' });
    expect(await refusalOf(creating)).toEqual(refusal);
    expect((await client.issues.listComments({ ...here, issue_number: 7 })).data).toEqual([]);
  });

  test.each([
    ['without Retry-After', {}, 403, null],
    ['with it', { retryAfterSeconds: 7, status: 429 as const }, 429, '7'],
  ])('the secondary rate limit refuses %s while requests are left', async (_title, limit, status, after) => {
    let isLimited = true;
    const secondaryLimit = ({ method }: SandboxRequest) =>
      isLimited && method === 'POST' ? limit : undefined;
    const sandbox = await start({ secondaryLimit });
    const init = { method: 'POST', body: '{"body":"x"}' };
    const answer = await send(sandbox, commentsPath, init);
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([status, after]);
    expect(answer.body.message).toMatch(/^You have exceeded a secondary rate limit\./);
    expect(Number(answer.headers.get('x-ratelimit-remaining'))).toBeGreaterThan(0);
    expect((await send(sandbox, commentsPath)).status).toBe(200);
    isLimited = false;
    expect((await send(sandbox, commentsPath, init)).status).toBe(201);
  });

  test('a commit takes 1,000 statuses of one context', async () => {
    const addresses = {
      apiUrl: 'http://127.0.0.1',
      serverUrl: 'http://127.0.0.1',
      repository: 'acme/digits',
    };
    const answers = createAnswerBuilder({
      ...addresses,
      defaultBranch: 'main',
      since: '2026-11-01T00:00:00Z',
    });
    const time = () => '2026-11-01T00:00:00Z';
    const handlers = createStatusHandlers({ ...addresses, history: undefined, answers, time });
    const post = async (context: string) =>
      handlers['repos/create-commit-status']?.({
        values: { sha: HEAD_SHA },
        body: { state: 'success', context },
        holder: { kind: 'job', login: 'github-actions[bot]', permissions: {} },
      } as unknown as Call);
    for (let index = 0; index < 1000; index++) await post('train');
    await expect(post('train')).rejects.toMatchObject({
      status: 422,
      details: { errors: [{ message: 'This SHA and context has reached the maximum number of statuses.' }] },
    });
    expect((await post('other'))?.status).toBe(201);
  });
});

describe('requests that GitHub does not describe', () => {
  const post = (body: unknown): RequestInit => ({ method: 'POST', body: JSON.stringify(body) });
  test.each<[string, string, RequestInit, number, RegExp]>([
    ['no User-Agent', '/user', { headers: { 'user-agent': '' } }, 403, /User-Agent/],
    [
      'an unknown API version',
      '/user',
      { headers: { 'x-github-api-version': '1999-01-01' } },
      400,
      /version/,
    ],
    ['a foreign media type', '/user', { headers: { accept: 'text/csv' } }, 415, /Unsupported 'Accept'/],
    [
      'a media type the sandbox lacks',
      '/user',
      { headers: { accept: 'application/vnd.github.html+json' } },
      501,
      /html/,
    ],
    ['an unknown operation', '/repos/acme/digits/stargazers', {}, 501, /no operation/],
    [
      'an operation that is described but not there',
      '/repos/acme/digits/dispatches',
      post({}),
      501,
      /no operation/,
    ],
    ['an unknown repository', '/repos/acme/letters', {}, 404, /Not Found/],
    ['an unknown pull request', '/repos/acme/digits/pulls/8', {}, 404, /Not Found/],
    ['comments of an unknown pull request', '/repos/acme/digits/issues/8/comments', {}, 404, /Not Found/],
    ['a pull request that is no number', '/repos/acme/digits/pulls/seven', {}, 404, /Not Found/],
    ['an unknown query parameter', `${commentsPath}?sort=asc`, {}, 422, /"sort" is not a permitted key/],
    ['a query parameter given twice', `${commentsPath}?page=1&page=2`, {}, 422, /"page" was supplied twice/],
    ['a page that is no number', `${commentsPath}?page=two`, {}, 422, /'page'.*integer/],
    ['a time that is none', `${commentsPath}?since=yesterday`, {}, 422, /'since'.*date-time/],
    ['a percent sign that encodes nothing', '/repos/acme/digits/commits/%zz', {}, 400, /Bad Request/],
    ['a path that is no UTF-8', '/repos/acme/digits/commits/%ff', {}, 400, /Bad Request/],
    [
      'an unknown body field',
      commentsPath,
      post({ body: 'x', pinned: true }),
      422,
      /"pinned" is not a permitted key/,
    ],
    ['a missing body field', commentsPath, post({}), 422, /"body" wasn't supplied/],
    ['a body field of a wrong type', commentsPath, post({ body: 5 }), 422, /'properties\/body'.*string/],
    ['a body that is a list', commentsPath, post([]), 400, /should be a JSON object/],
    ['a body that is no JSON', commentsPath, { method: 'POST', body: '{' }, 400, /Problems parsing JSON/],
    [
      'a body sent as text',
      commentsPath,
      { method: 'POST', body: '{"body":"x"}', headers: { 'content-type': 'text/plain' } },
      415,
      /application\/json/,
    ],
  ])('%s', async (_title, path, init, status, message) => {
    const sandbox = await start();
    const answer = await send(sandbox, path, init);
    expect(answer.status).toBe(status);
    expect(answer.body.message).toMatch(message);
    expect(sandbox.comments(7)).toEqual([]);
  });

  test('owner and repository are found whatever their case', async () => {
    const sandbox = await start();
    expect((await send(sandbox, '/repos/ACME/Digits/issues/7/comments')).status).toBe(200);
  });
});

describe('pull requests', () => {
  test('are listed, read, pushed to and closed', async () => {
    const sandbox = await start();
    sandbox.addPull({
      number: 8,
      headSha: '2'.repeat(40),
      headRef: 'topic',
      baseRef: 'next',
      headRepository: 'mallory/digits',
    });
    const client = clientOf(sandbox);
    const numbers = async (filter: Parameters<typeof client.pulls.list>[0]): Promise<number[]> =>
      (await client.pulls.list(filter)).data.map((pull) => pull.number);
    expect(await numbers(here)).toEqual([8, 7]);
    expect(await numbers({ ...here, head: 'mallory:topic' })).toEqual([8]);
    expect(await numbers({ ...here, base: 'main' })).toEqual([7]);

    sandbox.setPullHead(8, '3'.repeat(40));
    const { data: fork } = await client.pulls.get({ ...here, pull_number: 8 });
    expect([fork.head.sha, fork.head.label, fork.head.repo?.fork]).toEqual([
      '3'.repeat(40),
      'mallory:topic',
      true,
    ]);
    expect(fork.head.repo?.clone_url).toBe(`${sandbox.serverUrl}/mallory/digits.git`);
    expect(fork.base.repo.full_name).toBe('acme/digits');

    sandbox.closePull(8);
    expect(await numbers(here)).toEqual([7]);
    expect(await numbers({ ...here, state: 'all', direction: 'asc' })).toEqual([7, 8]);
    const { data: ofCommit } = await client.repos.listPullRequestsAssociatedWithCommit({
      ...here,
      commit_sha: HEAD_SHA,
    });
    expect(ofCommit.map((pull) => pull.number)).toEqual([7]);

    const merged = '9'.repeat(40);
    sandbox.mergePull(7, merged);
    const { data: ofMerge } = await client.repos.listPullRequestsAssociatedWithCommit({
      ...here,
      commit_sha: merged,
    });
    expect(ofMerge).toMatchObject([{ number: 7, state: 'closed', merge_commit_sha: merged }]);
    expect(ofMerge[0]?.merged_at).toMatch(/^\d{4}-/);
    expect((await client.pulls.get({ ...here, pull_number: 7 })).data.merged).toBe(true);
  });

  test('have an event as a workflow run gets it', async () => {
    const sandbox = await start();
    const event = await sandbox.pullRequestEvent(7, 'synchronize', 'octocat');
    const { data } = await clientOf(sandbox).pulls.get({ ...here, pull_number: 7 });
    expect(event.pull_request).toEqual(data);
    expect([event.action, event.number, event.sender.login]).toEqual(['synchronize', 7, 'octocat']);
    expect(event.repository.full_name).toBe('acme/digits');
  });

  test('a commit status is kept and summed up', async () => {
    const sandbox = await start({ permissions: { statuses: 'write' } });
    const client = clientOf(sandbox);
    const states = [
      ['pending', 'train'],
      ['success', 'train'],
      ['failure', 'lint'],
    ] as const;
    for (const [state, context] of states)
      await client.repos.createCommitStatus({ ...here, sha: HEAD_SHA, state, context });
    const { data: combined } = await client.repos.getCombinedStatusForRef({ ...here, ref: HEAD_SHA });
    expect([combined.state, combined.total_count]).toEqual(['failure', 2]);
    const { data: all } = await client.repos.listCommitStatusesForRef({ ...here, ref: HEAD_SHA });
    expect(all.map((status) => status.state)).toEqual(['failure', 'success', 'pending']);
    expect(sandbox.statuses(HEAD_SHA)).toMatchObject([
      { context: 'train', state: 'pending' },
      { context: 'train', state: 'success' },
      { context: 'lint', state: 'failure' },
    ]);
  });

  test('a status that GitHub would not take is refused, and contexts differ in more than case', async () => {
    const sandbox = await start({ permissions: { statuses: 'write' } });
    const client = clientOf(sandbox);
    const status = { ...here, sha: HEAD_SHA, state: 'success' as const };
    for (const fields of [
      { description: 'x'.repeat(141) },
      { context: 'x'.repeat(256) },
      { target_url: 'javascript:alert(1)' },
    ])
      expect((await refusalOf(client.repos.createCommitStatus({ ...status, ...fields }))).status).toBe(422);
    for (const context of ['train', 'Train']) await client.repos.createCommitStatus({ ...status, context });
    const { data: combined } = await client.repos.getCombinedStatusForRef({ ...here, ref: HEAD_SHA });
    expect(combined.total_count).toBe(1);
  });
});

describe('a git repository behind the API', () => {
  const repository: { current?: ScratchRepository } = {};
  const sha: Record<string, string> = {};
  const scratch = (): ScratchRepository => {
    if (repository.current === undefined) throw new Error('The repository is made before all tests.');
    return repository.current;
  };

  beforeAll(() => {
    const made = createScratchRepository();
    repository.current = made;
    sha.first = made.commit('First', { 'train.py': 'print(1)\n', 'docs/read me.md': 'hello\n' });
    made.git('checkout', '--quiet', '-b', 'feature/odd');
    sha.topic1 = made.commit('Change\n\nWith a body', { 'train.py': 'print(2)\nprint(3)\n' });
    sha.topic2 = made.commit('Move', {
      'docs/read me.md': null,
      'docs/moved.md': 'hello\n',
      'new.txt': 'new\n',
    });
    made.git('checkout', '--quiet', 'main');
    sha.second = made.commit('Second', { 'train.py': 'print(1)\nprint(4)\n' });
    made.git('tag', 'v1');
    made.git('checkout', '--quiet', '--orphan', 'island');
    sha.island = made.commit('Island', { 'train.py': 'print(9)\n' });
  });
  afterAll(() => scratch().remove());

  const startHere = (): Promise<GithubSandbox> =>
    start({
      gitDir: scratch().directory,
      pulls: [{ number: 7, headSha: sha.topic2 ?? '', headRef: 'feature/odd', baseRef: 'main' }],
    });

  test('lists commits with tree and parents, a page at a time', async () => {
    const client = clientOf(await startHere());
    const page = await client.repos.listCommits({ ...here, sha: 'feature/odd', per_page: 2 });
    expect(
      page.data.map((commit) => [commit.sha, commit.commit.tree.sha, commit.parents.map((one) => one.sha)]),
    ).toEqual([
      [sha.topic2, scratch().git('rev-parse', `${sha.topic2}^{tree}`), [sha.topic1]],
      [sha.topic1, scratch().git('rev-parse', `${sha.topic1}^{tree}`), [sha.first]],
    ]);
    expect(page.data[1]?.commit.message).toBe('Change\n\nWith a body');
    expect(page.data[1]?.commit.author).toEqual({
      name: 'Ada Example',
      email: 'ada@example.com',
      date: '2026-01-01T00:01:00Z',
    });
    expect(page.headers.link).toMatch(/rel="next"/);
    const all = await client.paginate(client.repos.listCommits, { ...here, sha: 'feature/odd', per_page: 1 });
    expect(all.map((commit) => commit.sha)).toEqual([sha.topic2, sha.topic1, sha.first]);
    const { data: ofFile } = await client.repos.listCommits({
      ...here,
      sha: 'feature/odd',
      path: 'docs/read me.md',
    });
    expect(ofFile.map((commit) => commit.sha)).toEqual([sha.topic2, sha.first]);
    const { data: recent } = await client.repos.listCommits({ ...here, since: '2026-01-01T00:02:30Z' });
    expect(recent.map((commit) => commit.sha)).toEqual([sha.second]);
  });

  test.each([
    ['a branch', () => 'feature/odd', 'topic2'],
    ['heads/ and a branch', () => 'heads/feature/odd', 'topic2'],
    ['a tag', () => 'v1', 'second'],
    ['tags/ and a tag', () => 'tags/v1', 'second'],
    ['a shortened id', () => sha.first?.slice(0, 8) ?? '', 'first'],
    ['HEAD, which is the default branch', () => 'HEAD', 'second'],
  ])('finds a commit by %s', async (_title, ref, name) => {
    const { data } = await clientOf(await startHere()).repos.getCommit({ ...here, ref: ref() });
    expect(data.sha).toBe(sha[name]);
  });

  test.each(['nowhere', 'main~1', 'main..island', '@{-1}', '--all', 'f'.repeat(40)])(
    'has no commit for %s',
    async (ref) => {
      const client = clientOf(await startHere());
      expect(await refusalOf(client.repos.getCommit({ ...here, ref }))).toEqual({
        status: 422,
        message: `No commit found for SHA: ${ref}`,
      });
      expect((await refusalOf(client.repos.listCommits({ ...here, sha: ref }))).status).toBe(404);
    },
  );

  test('gives the files of a commit, renames and additions among them', async () => {
    const { data } = await clientOf(await startHere()).repos.getCommit({ ...here, ref: sha.topic2 ?? '' });
    expect(
      data.files?.map((file) => [
        file.status,
        file.filename,
        file.previous_filename,
        file.additions,
        file.deletions,
      ]),
    ).toEqual([
      ['renamed', 'docs/moved.md', 'docs/read me.md', 0, 0],
      ['added', 'new.txt', undefined, 1, 0],
    ]);
    expect(data.stats).toEqual({ total: 1, additions: 1, deletions: 0 });
  });

  test('gives a first commit, and a commit as git keeps it', async () => {
    const client = clientOf(await startHere());
    const { data: first } = await client.repos.getCommit({ ...here, ref: sha.first ?? '' });
    expect(first.files?.map((file) => file.status)).toEqual(['added', 'added']);
    const { data: plain } = await client.git.getCommit({ ...here, commit_sha: sha.topic1 ?? '' });
    expect([plain.tree.sha, plain.parents.map((one) => one.sha)]).toEqual([
      scratch().git('rev-parse', `${sha.topic1}^{tree}`),
      [sha.first],
    ]);
    expect((await refusalOf(client.git.getCommit({ ...here, commit_sha: 'main' }))).status).toBe(404);
  });

  test('compares two commits from their merge base', async () => {
    const client = clientOf(await startHere());
    const { data } = await client.repos.compareCommitsWithBasehead({
      ...here,
      basehead: 'main...acme:feature/odd',
    });
    expect([data.status, data.ahead_by, data.behind_by, data.total_commits]).toEqual(['diverged', 2, 1, 2]);
    expect(data.merge_base_commit.sha).toBe(sha.first);
    expect(data.commits.map((commit) => commit.sha)).toEqual([sha.topic1, sha.topic2]);
    expect(data.files?.map((file) => file.filename)).toEqual(['docs/moved.md', 'new.txt', 'train.py']);
    const statusOf = async (basehead: string): Promise<string> =>
      (await client.repos.compareCommitsWithBasehead({ ...here, basehead })).data.status;
    expect(await statusOf(`${sha.first}...main`)).toBe('ahead');
    expect(await statusOf(`main...${sha.first}`)).toBe('behind');
    expect(await statusOf('main...v1')).toBe('identical');
    expect(
      await refusalOf(client.repos.compareCommitsWithBasehead({ ...here, basehead: 'main...island' })),
    ).toEqual({
      status: 404,
      message: 'No common ancestor between main and island.',
    });
    expect(
      (await refusalOf(client.repos.compareCommitsWithBasehead({ ...here, basehead: 'main...nowhere' })))
        .status,
    ).toBe(404);
  });

  test('pages the commits of a comparison', async () => {
    const client = clientOf(await startHere());
    const { data } = await client.repos.compareCommitsWithBasehead({
      ...here,
      basehead: 'main...feature/odd',
      per_page: 1,
      page: 2,
    });
    expect(data.commits.map((commit) => commit.sha)).toEqual([sha.topic2]);
    expect([data.total_commits, data.files]).toEqual([2, undefined]);
  });

  test('gives branches, files and directories', async () => {
    const client = clientOf(await startHere());
    const { data: branch } = await client.repos.getBranch({ ...here, branch: 'feature/odd' });
    expect(branch.commit.sha).toBe(sha.topic2);
    expect(await refusalOf(client.repos.getBranch({ ...here, branch: 'v1' }))).toEqual({
      status: 404,
      message: 'Branch not found',
    });
    const { data: file } = await client.repos.getContent({ ...here, path: 'docs/read me.md' });
    if (Array.isArray(file) || file.type !== 'file') throw new Error('not a file');
    expect(Buffer.from(file.content, 'base64').toString()).toBe('hello\n');
    const { data: directory } = await client.repos.getContent({ ...here, path: '', ref: 'feature/odd' });
    if (!Array.isArray(directory)) throw new Error('not a directory');
    expect(directory.map((entry) => [entry.type, entry.path])).toEqual([
      ['dir', 'docs'],
      ['file', 'new.txt'],
      ['file', 'train.py'],
    ]);
    expect((await refusalOf(client.repos.getContent({ ...here, path: 'docs/none' }))).status).toBe(404);
  });

  test('knows what a pull request changes, and which one holds a commit', async () => {
    const client = clientOf(await startHere());
    const { data } = await client.pulls.get({ ...here, pull_number: 7 });
    expect([data.base.sha, data.commits, data.changed_files, data.additions]).toEqual([sha.second, 2, 3, 3]);
    const holders = async (commit_sha: string): Promise<number[]> =>
      (await client.repos.listPullRequestsAssociatedWithCommit({ ...here, commit_sha })).data.map(
        (pull) => pull.number,
      );
    expect(await holders(sha.topic1 ?? '')).toEqual([7]);
    expect(await holders(sha.first ?? '')).toEqual([]);
  });

  test('a sandbox without a repository is empty, as a new repository on GitHub', async () => {
    const client = clientOf(await start());
    expect(await refusalOf(client.repos.listCommits(here))).toEqual({
      status: 409,
      message: 'Git Repository is empty.',
    });
    expect((await refusalOf(client.repos.getBranch({ ...here, branch: 'main' }))).status).toBe(404);
  });
});

test('the page of a pull request shows the raw Markdown, escaped, and says whose page it is', async () => {
  const sandbox = await start();
  const { data } = await clientOf(sandbox).issues.createComment({
    ...here,
    issue_number: 7,
    body: '# Title <script>alert("1")</script>',
  });
  const response = await fetch(data.html_url);
  const html = await response.text();
  expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8');
  expect(html).toContain("This page is the sandbox's, not GitHub's");
  expect(html).toContain(`id="issuecomment-${data.id}"`);
  expect(html).toContain('# Title &lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;');
  expect((await fetch(`${sandbox.serverUrl}/acme/digits/pull/8`)).status).toBe(404);
  expect(await (await fetch(sandbox.serverUrl)).text()).toContain('/acme/digits/pull/7');
});

test('an API path prefix works as on GitHub Enterprise Server, paging included', async () => {
  const sandbox = await start({ apiPath: '/api/v3' });
  const client = clientOf(sandbox);
  for (const body of ['one', 'two', 'three'])
    await client.issues.createComment({ ...here, issue_number: 7, body });
  const all = await client.paginate(client.issues.listComments, { ...here, issue_number: 7, per_page: 1 });
  expect(all.map((comment) => comment.body)).toEqual(['one', 'two', 'three']);
  const outside = await fetch(`${new URL(sandbox.apiUrl).origin}/user`, {
    headers: { authorization: `Bearer ${sandbox.token}`, 'user-agent': 'test' },
  });
  expect(outside.status).toBe(404);
});

test('each request is shown as it came in', async () => {
  const seen: SandboxRequest[] = [];
  const sandbox = await start({ onRequest: (request) => seen.push(request) });
  await clientOf(sandbox).issues.createComment({ ...here, issue_number: 7, body: 'x' });
  await clientOf(sandbox).issues.listComments({ ...here, issue_number: 7, page: 2 });
  expect(seen).toEqual([
    { method: 'POST', path: commentsPath, query: {}, body: { body: 'x' } },
    { method: 'GET', path: commentsPath, query: { page: '2' }, body: undefined },
  ]);
});

describe('the description', () => {
  const description = loadGithubDescription();

  test('tells a wrong answer from a right one', async () => {
    const match = description.findOperation('GET', '/repos/a/b/issues/comments/1');
    const sandbox = await start();
    const { data } = await clientOf(sandbox).issues.createComment({ ...here, issue_number: 7, body: 'x' });
    expect(description.checkAnswer(match?.operation, 200, data)).toEqual([]);
    expect(description.checkAnswer(match?.operation, 200, { ...data, id: 'x' })).toEqual([
      '/id must be integer',
    ]);
    expect(description.checkAnswer(match?.operation, 200, { ...data, user: null })).toEqual([]);
    expect(description.checkAnswer(match?.operation, 200, { ...data, html_url: 'nowhere' })).toEqual([
      '/html_url must match format "uri"',
    ]);
    expect(description.checkAnswer(match?.operation, 201, data)).toEqual([
      'issues/get-comment has no answer 201',
    ]);
  });

  test.each([
    ['/repos/a/b/commits/heads/x/y', 'repos/get-commit', { owner: 'a', repo: 'b', ref: 'heads/x/y' }],
    [
      '/repos/a/b/commits/x%2Fy/status',
      'repos/get-combined-status-for-ref',
      { owner: 'a', repo: 'b', ref: 'x/y' },
    ],
    ['/repos/a/b/issues/comments/5', 'issues/get-comment', { owner: 'a', repo: 'b', comment_id: '5' }],
    ['/repos/a/b/contents/c/d.md', 'repos/get-content', { owner: 'a', repo: 'b', path: 'c/d.md' }],
  ])('finds the operation of %s', (path, id, pathValues) => {
    const match = description.findOperation('GET', path);
    expect([match?.operation.id, match?.pathValues]).toEqual([id, pathValues]);
  });
});
