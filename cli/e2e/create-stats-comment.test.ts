import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { main } from '../create-stats-comment.ts';
import { type ClearmlDriver, createClearmlDriver } from '../dev/clearml-driver.ts';
import { type FaultProxy, startFaultProxy } from '../dev/fault-proxy.ts';
import { createPatientClock } from '../dev/patient-clock.ts';
import { runProgramHere, runProgramProcess } from '../dev/program-run.ts';
import { countRoundTrips } from '../dev/round-trips.ts';
import { createScratchRepository } from '../dev/scratch-repository.ts';
import { type ClearmlSandbox, startClearmlSandbox } from '../sandbox/clearml-server.ts';
import {
  type GithubSandbox,
  type GithubSandboxOptions,
  startGithubSandbox,
} from '../sandbox/github-server.ts';
import type { Clock } from '../shell/world.ts';
import { hashPipeline, hashText } from '../training/pipeline.ts';

const HEAD = '1'.repeat(40);
const PULL = { number: 7, headSha: HEAD, headRef: 'topic', baseRef: 'main' };

let clearml: ClearmlSandbox;
let driver: ClearmlDriver;
let github: GithubSandbox;
let directory: string;
const open: Array<{ close(): Promise<void> }> = [];

beforeAll(async () => {
  clearml = await startClearmlSandbox();
  driver = createClearmlDriver(clearml.env);
});

afterAll(() => clearml.close());

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'comment-'));
  github = await startGithub();
});

afterEach(async () => {
  await Promise.all(open.splice(0).map((one) => one.close()));
  rmSync(directory, { recursive: true, force: true });
});

async function startGithub(options: GithubSandboxOptions = {}): Promise<GithubSandbox> {
  const sandbox = await startGithubSandbox({ pulls: [PULL], ...options });
  open.push(sandbox);
  return sandbox;
}

async function startProxy(...options: Parameters<typeof startFaultProxy>): Promise<FaultProxy> {
  const proxy = await startFaultProxy(...options);
  open.push(proxy);
  return proxy;
}

async function trainTask(
  accuracy = 0.97,
  end: 'completed' | 'failed' | 'in_progress' | 'queued' = 'completed',
): Promise<string> {
  const id = await driver.createTask({
    name: 'train digits',
    script: { repository: 'https://github.com/acme/digits.git', branch: 'topic', version_num: HEAD },
  });
  await driver.call('tasks.enqueue', { task: id, queue_name: 'default' });
  if (end === 'queued') return id;
  await driver.startTask(id);
  await driver.reportScalars(id, 'loss', 'train', [2, 1, 0.5]);
  await driver.reportScalars(id, 'test_accuracy', 'accuracy', [accuracy]);
  if (end === 'completed') await driver.completeTask(id);
  if (end === 'failed') await driver.failTask(id);
  return id;
}

function makeEnv(extra: Readonly<Record<string, string>> = {}): Record<string, string> {
  return {
    ...clearml.env,
    ...github.env,
    PR_NUMBER: '7',
    GITHUB_OUTPUT: join(directory, 'output'),
    GITHUB_STEP_SUMMARY: join(directory, 'summary.md'),
    ...extra,
  };
}

function run(args: readonly string[], env = makeEnv(), clock: Clock = createPatientClock()) {
  return runProgramHere(main, { args, env, cwd: directory, clock });
}

function readOutputs(): Record<string, string> {
  const text = readFileSync(join(directory, 'output'), 'utf8');
  return Object.fromEntries(
    [...text.matchAll(/^([\w-]+)<<(\S+)\n([\s\S]*?)\n\2$/gm)].map(([, name, , value]) => [name, value]),
  );
}

function writeSettings(text: string): void {
  writeFileSync(join(directory, 'settings.yml'), text);
}

describe('the one comment', () => {
  test('is posted, then updated in place; its URL is the result, and outputs and summary are written', async () => {
    const task = await trainTask(0.9722);
    const first = await runProgramProcess('create-stats-comment', {
      args: [task],
      env: makeEnv(),
      cwd: directory,
    });
    expect(first).toMatchObject({ exitCode: 0, signal: null });
    expect(github.comments(7)).toHaveLength(1);
    expect(github.comments(7)[0]?.body).toContain('**0.9722**');
    const { id } = github.comments(7)[0] ?? {};
    expect(first.stdout).toBe(`${github.serverUrl}/acme/digits/pull/7#issuecomment-${id}\n`);
    expect(first.stderr).toContain('Posted the comment');
    expect(readOutputs()).toEqual({
      'comment-url': first.stdout.trim(),
      'comment-id': String(id),
      verdict: 'none',
      metrics: expect.stringContaining('"metric":"test_accuracy/accuracy","value":0.9722'),
    });
    expect(readFileSync(join(directory, 'summary.md'), 'utf8')).toContain('**0.9722**');

    const worse = await trainTask(0.8);
    const second = await runProgramProcess('create-stats-comment', {
      args: [worse],
      env: makeEnv(),
      cwd: directory,
    });
    expect(second).toMatchObject({ exitCode: 0, stdout: first.stdout });
    expect(second.stderr).toContain('Updated the comment');
    expect(github.comments(7)).toHaveLength(1);
    expect(github.comments(7)[0]?.body).toContain('**0.8**');
  });

  test('is begun and given up where a signal comes while the curves are still asked for', async () => {
    const task = await trainTask();
    const silence = { kind: 'silence', isApplied: true } as const;
    const curves = await startProxy(clearml.apiHost, ({ path }) =>
      path.includes('/events.scalar') ? silence : undefined,
    );
    let kill: () => void = () => undefined;
    const posts = await startProxy(github.apiUrl, ({ method }) => {
      if (method !== 'POST') return undefined;
      kill();
      return silence;
    });
    const ended = await runProgramProcess('create-stats-comment', {
      args: [task],
      env: makeEnv({ CLEARML_API_HOST: curves.url, GITHUB_API_URL: posts.url }),
      cwd: directory,
      onStart: (process) => {
        kill = () => process.kill('SIGTERM');
      },
    });
    expect(ended).toEqual({ exitCode: 143, signal: null, stdout: '', stderr: 'interrupted by SIGTERM\n' });
  });

  test('that only is printed does not ask for a history that a task of no pipeline has no use for', async () => {
    const task = await trainTask();
    const slow = await startProxy(github.apiUrl, ({ path }) =>
      /\/compare\/|\/commits/.test(path) ? { kind: 'silence', isApplied: true } : undefined,
    );
    const printed = await runProgramProcess('create-stats-comment', {
      args: [task, '--dry-run'],
      env: makeEnv({ GITHUB_API_URL: slow.url }),
      cwd: directory,
    });
    expect(printed).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('**0.97**'), stderr: '' });
  });

  test('is found on the second page of comments', async () => {
    const task = await trainTask();
    const other = github.addUser('ada');
    const post = async (body: string) => {
      const answer = await fetch(`${github.apiUrl}/repos/acme/digits/issues/7/comments`, {
        method: 'POST',
        headers: { authorization: `Bearer ${other}`, 'content-type': 'application/json' },
        body: JSON.stringify({ body }),
      });
      expect(answer.status).toBe(201);
    };
    for (let index = 0; index < 105; index += 1) await post(`comment ${index}`);
    await run([task]);
    await run([task]);
    expect(github.comments(7).filter(({ author }) => author !== 'ada')).toHaveLength(1);
  });

  test('is found at the end of 3,000 others, the first of which carries its marker too, in a request a page', async () => {
    const task = await trainTask();
    const { stdout: body } = await run([task, '--dry-run']);
    const others = Array.from({ length: 2999 }, (_, index) => ({ author: 'ada', body: `comment ${index}` }));
    const all = [{ author: 'mallory', body }, ...others, { author: 'github-actions[bot]', body }];
    github = await startGithub({ comments: all.map((comment) => ({ pull: 7, ...comment })) });
    const before = github.comments(7);
    const proxy = await startProxy(github.apiUrl);
    const worse = await trainTask(0.8);
    const { exitCode, stderr } = await run([worse], makeEnv({ GITHUB_API_URL: proxy.url }));
    expect({ exitCode, stderr }).toEqual({
      exitCode: 0,
      stderr: expect.stringContaining('Updated the comment'),
    });
    const after = github.comments(7);
    expect(after.filter(({ body }, index) => body !== before[index]?.body)).toEqual([after.at(-1)]);
    expect(after.at(-1)?.body).toContain('**0.8**');
    const asked = proxy.seen.map(({ method, path }) => `${method} ${path.replace(/\?.*|\/\d+$/, '')}`);
    const count = (what: string) => asked.filter((one) => one === `${what}/comments`).length;
    expect(count('GET /repos/acme/digits/issues/7')).toBe(31);
    expect(count('PATCH /repos/acme/digits/issues')).toBe(1);
    // The pull request and the base's settings.
    expect(asked).toHaveLength(31 + 1 + 2);
  });

  test('is found though it slips to a page that was read already, because somebody deletes another meanwhile', async () => {
    const task = await trainTask();
    const { stdout: body } = await run([task, '--dry-run']);
    const others = Array.from({ length: 100 }, (_, index) => ({ author: 'ada', body: `comment ${index}` }));
    const all = [...others, { author: 'github-actions[bot]', body }];
    github = await startGithub({ comments: all.map((comment) => ({ pull: 7, ...comment })) });
    const [first] = github.comments(7);
    const proxy = await startProxy(github.apiUrl, async ({ path }) => {
      if (!path.includes('&page=2') || github.comments(7)[0]?.id !== first?.id) return undefined;
      await fetch(`${github.apiUrl}/repos/acme/digits/issues/comments/${first?.id}`, {
        method: 'DELETE',
        headers: { authorization: `Bearer ${github.token}` },
      });
      return undefined;
    });
    const { exitCode, stderr } = await run([task], makeEnv({ GITHUB_API_URL: proxy.url }));
    expect({ exitCode, stderr }).toEqual({
      exitCode: 0,
      stderr: expect.stringContaining('Updated the comment'),
    });
    expect(github.comments(7)).toHaveLength(100);
  });

  test('by somebody else is never updated, though it carries our marker', async () => {
    const task = await trainTask();
    const { stdout: text } = await run([task, '--dry-run']);
    const planted = await fetch(`${github.apiUrl}/repos/acme/digits/issues/7/comments`, {
      method: 'POST',
      headers: { authorization: `Bearer ${github.addUser('mallory')}`, 'content-type': 'application/json' },
      body: JSON.stringify({ body: text }),
    });
    expect(planted.status).toBe(201);
    expect((await run([task])).exitCode).toBe(0);
    expect(github.comments(7).map(({ author }) => author)).toEqual(['mallory', 'github-actions[bot]']);
    expect((await run([task])).stderr).toContain('Updated');
    expect(github.comments(7)).toHaveLength(2);
  });

  test('is found by the login that GitHub names where a person’s token is used', async () => {
    const task = await trainTask();
    const env = makeEnv({ GH_TOKEN: github.addUser('ada', 'write') });
    await run([task], env);
    await run([task], env);
    expect(github.comments(7).map(({ author }) => author)).toEqual(['ada']);
  });

  test.each([
    ['few', 0],
    ['more than a page of', 105],
  ])(
    'of an app, whose name GitHub does not tell beforehand, stays the one among %s others',
    async (_, count) => {
      const task = await trainTask();
      const { stdout: planted } = await run([task, '--dry-run']);
      const others = Array.from({ length: count }, (_, index) => ({
        author: 'ada',
        body: `comment ${index}`,
      }));
      const all = [{ author: 'mallory', body: planted }, ...others];
      github = await startGithub({ comments: all.map((comment) => ({ pull: 7, ...comment })) });
      const env = makeEnv({ GH_TOKEN: github.addApp('our-app[bot]') });
      const first = await run([task], env);
      const ownComments = () => github.comments(7).filter(({ author }) => author === 'our-app[bot]');
      const [comment] = ownComments();
      const second = await run([await trainTask(0.8)], env);
      expect(second).toMatchObject({ exitCode: 0, stdout: first.stdout });
      expect(ownComments()).toEqual([
        { ...comment, body: expect.stringContaining('**0.8**'), updatedAt: expect.anything() },
      ]);
      expect(second.stderr).toContain("give --comment-author 'our-app[bot]'");
      // Told who it is, it need not write one to find the other.
      const proxy = await startProxy(github.apiUrl);
      const third = await run([task, '--comment-author', 'our-app[bot]'], {
        ...env,
        GITHUB_API_URL: proxy.url,
      });
      expect(third).toMatchObject({ exitCode: 0, stdout: first.stdout });
      expect(third.stderr).not.toContain('--comment-author');
      expect(proxy.seen.filter(({ method }) => method !== 'GET').map(({ method }) => method)).toEqual([
        'PATCH',
      ]);
      expect(github.comments(7)[0]).toMatchObject({ author: 'mallory', body: planted });
    },
  );

  test.each(['digits', 'clearml'])(
    'is found though the proxy’s user name, %s, is in its marker',
    async (user) => {
      const task = await trainTask();
      const env = makeEnv({ HTTPS_PROXY: `http://${user}:pass%20word@127.0.0.1:9` });
      const first = await run([task], env);
      const second = await run([task], env);
      expect(second).toMatchObject({ exitCode: 0, stdout: first.stdout });
      expect(github.comments(7)).toEqual([
        expect.objectContaining({ body: expect.not.stringContaining(user) }),
      ]);
    },
  );

  test('is the same one where options are set to nothing: they count as left out', async () => {
    const task = await trainTask();
    const first = await run([task]);
    const empty = [
      '--comment-key',
      '--pr',
      '--repo',
      '--baseline',
      '--template',
      '--comment-author',
      '--config',
    ];
    const second = await run([task, ...empty.flatMap((option) => [option, ''])]);
    expect(second).toEqual({ ...first, stderr: expect.stringContaining('Updated the comment') });
    expect(github.comments(7)).toHaveLength(1);
  });

  test('that was deleted is posted anew', async () => {
    const task = await trainTask();
    await run([task]);
    const [comment] = github.comments(7);
    await fetch(`${github.apiUrl}/repos/acme/digits/issues/comments/${comment?.id}`, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${github.token}` },
    });
    expect((await run([task])).exitCode).toBe(0);
    expect(github.comments(7)).toHaveLength(1);
  });

  test('is one a key: jobs with different keys never meet', async () => {
    const task = await trainTask();
    await run([task, '--comment-key', 'cpu']);
    await run([task, '--comment-key', 'gpu']);
    await run([task, '--comment-key', 'cpu']);
    expect(github.comments(7)).toHaveLength(2);
  });

  test.each([
    ['once', 1],
    ['twice', 2],
  ])('is one though the answer to its creation got lost %s', async (_, times) => {
    const task = await trainTask();
    let lost = 0;
    const proxy = await startProxy(github.apiUrl, ({ method }) =>
      method === 'POST' && lost++ < times ? { kind: 'cut-after' } : undefined,
    );
    const { exitCode } = await run([task], makeEnv({ GITHUB_API_URL: proxy.url }));
    expect(exitCode).toBe(0);
    expect(github.comments(7)).toHaveLength(1);
  });

  test('is one though its creation never reached GitHub at first', async () => {
    const task = await trainTask();
    let cut = 0;
    const proxy = await startProxy(github.apiUrl, ({ method }) =>
      method === 'POST' && cut++ < 1 ? { kind: 'cut-before' } : undefined,
    );
    const env = makeEnv({ GITHUB_API_URL: proxy.url });
    expect((await run([task], env)).exitCode).toBe(0);
    expect(github.comments(7)).toHaveLength(1);
  });

  test('is one where two runs create it at the same time', async () => {
    const task = await trainTask();
    const runs = await Promise.all([run([task]), run([task]), run([task])]);
    expect(runs.map(({ exitCode }) => exitCode)).toEqual([0, 0, 0]);
    expect(github.comments(7)).toHaveLength(1);
  });

  test('is posted before its curves are known, which a refusal then keeps out', async () => {
    const task = await trainTask(0.9722);
    const bodies: string[] = [];
    const proxy = await startProxy(github.apiUrl, ({ method }) => {
      if (method === 'POST') bodies.push(github.comments(7)[0]?.body ?? 'none yet');
      return method === 'PATCH' ? { kind: 'answer', status: 403, body: '{"message":"no"}' } : undefined;
    });
    const { exitCode, stderr } = await run([task], makeEnv({ GITHUB_API_URL: proxy.url }));
    expect(exitCode).toBe(8);
    expect(stderr).toContain('GitHub refuses the comment');
    expect(bodies).toEqual(['none yet']);
    expect(github.comments(7)[0]?.body).toContain('**0.9722**');
    expect(github.comments(7)[0]?.body).not.toContain('```mermaid');
    expect(readFileSync(join(directory, 'summary.md'), 'utf8')).toContain('```mermaid');
    expect((await run([task])).exitCode).toBe(0);
    expect(github.comments(7)).toHaveLength(1);
    expect(github.comments(7)[0]?.body).toContain('```mermaid');
  });

  test.each(['somebody', 'a run that created an older one'])(
    'is one, with its curves, though %s deletes it meanwhile',
    async (who) => {
      const task = await trainTask(0.9722);
      const call = (method: string, path: string, body?: unknown) =>
        fetch(`${github.apiUrl}/repos/acme/digits/issues/${path}`, {
          method,
          headers: { authorization: `Bearer ${github.token}`, 'content-type': 'application/json' },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        });
      const { stdout } = await run([task, '--dry-run']);
      let deleted: Promise<unknown> | undefined;
      const proxy = await startProxy(github.apiUrl, ({ method }) => {
        // The comment is there; the charts are on their way.
        const [comment] = github.comments(7);
        if (method === 'PATCH' && comment !== undefined && deleted === undefined) {
          deleted = call('DELETE', `comments/${comment.id}`).then(() =>
            who === 'somebody' ? undefined : call('POST', '7/comments', { body: `${stdout}other` }),
          );
          return { kind: 'hold', until: deleted };
        }
        return undefined;
      });
      expect((await run([task], makeEnv({ GITHUB_API_URL: proxy.url }))).exitCode).toBe(0);
      expect(github.comments(7)).toHaveLength(1);
      expect(github.comments(7)[0]?.body).toContain('```mermaid');
    },
  );

  test('is written on GitHub Enterprise Server, under its API path', async () => {
    const task = await trainTask();
    github = await startGithub({ apiPath: '/api/v3' });
    expect((await run([task])).exitCode).toBe(0);
    expect(github.comments(7)).toHaveLength(1);
  });
});

describe('what comes of it', () => {
  test('a dry run needs no token, prints the Markdown, posts nothing and writes no file', async () => {
    const task = await trainTask();
    const { GH_TOKEN: _, ...env } = makeEnv({ GITHUB_API_URL: 'http://127.0.0.1:9' });
    const { exitCode, stdout } = await run([task, '--dry-run'], env);
    expect(exitCode).toBe(0);
    expect(stdout).toContain('<!-- clearml-ci-cd comment:');
    expect(stdout).toContain('`test_accuracy/accuracy`');
    expect(() => readOutputs()).toThrow('ENOENT');
    expect(() => readFileSync(join(directory, 'summary.md'))).toThrow('ENOENT');
  });

  test('--json prints the whole report and nothing else', async () => {
    const task = await trainTask();
    const { stdout } = await run([task, '--json']);
    expect(JSON.parse(stdout)).toMatchObject({
      version: 1,
      verdict: 'none',
      pullRequest: { repository: 'acme/digits', number: 7, headCommit: HEAD },
      commit: { id: HEAD, isCurrent: true },
      tasks: [{ id: task, status: 'completed' }],
    });
  });

  test.each([
    ['failed', 'failed', 0],
    ['failed', 'failed', 6],
    ['in_progress', 'pending', 0],
    ['in_progress', 'pending', 6],
    ['queued', 'pending', 6],
  ] as const)('a task that is %s is %s: exit code %i', async (status, verdict, exitCode) => {
    const task = await trainTask(0.9, status);
    writeSettings('metrics: [{ metric: test_accuracy/accuracy, goal: maximize, gate: fail }]');
    const args = [task, '--config', 'settings.yml', ...(exitCode === 0 ? ['--no-gate'] : [])];
    expect((await run(args)).exitCode).toBe(exitCode);
    expect(readOutputs().verdict).toBe(verdict);
    expect(github.comments(7)).toHaveLength(1);
  });

  test.each([
    ['by us', { status_reason: 'aborted by workflow run 120' }, ': aborted by workflow run 120'],
    ['by somebody', {}, ' by somebody'],
  ])(
    'a task that was taken out of the queue %s is stopped, not about to be queued',
    async (_, body, words) => {
      const task = await trainTask(0.9, 'queued');
      await driver.call('tasks.dequeue', { task, ...body });
      writeSettings('metrics: [{ metric: test_accuracy/accuracy, goal: maximize, gate: fail }]');
      expect((await run([task, '--config', 'settings.yml'])).exitCode).toBe(6);
      expect(readOutputs().verdict).toBe('failed');
      expect(github.comments(7)[0]?.body).toContain(
        `\`train digits\` stopped: \`the task was taken out of the queue${words}\``,
      );
    },
  );

  test('a task that nobody has queued yet is pending', async () => {
    const task = await driver.createTask({ name: 'train' });
    expect((await run([task])).exitCode).toBe(0);
    expect(readOutputs().verdict).toBe('pending');
    expect(github.comments(7)[0]?.body).toContain('`train` is not in a queue yet');
  });

  test('a token without the permission is exit 8, names it, and the report is in the summary and the outputs', async () => {
    const task = await trainTask();
    const { exitCode, stderr, stdout } = await run([task], makeEnv({ GH_TOKEN: github.readOnlyToken }));
    expect(exitCode).toBe(8);
    expect(stderr).toContain('pull-requests: write');
    expect(stderr).toContain('fork');
    expect(stdout).toBe('');
    expect(readFileSync(join(directory, 'summary.md'), 'utf8')).toContain('test_accuracy');
    expect(readOutputs()).toMatchObject({ verdict: 'none' });
    expect(readOutputs()).not.toHaveProperty('comment-id');
  });

  test.each([
    ['is locked', 'Unable to create comment because issue is locked.', 'Unlock it'],
    [
      'holds as many comments as GitHub takes',
      'Commenting is disabled on issues with more than 2500 comments',
      'delete some',
    ],
  ])(
    'a conversation that %s is exit 8, and no permission is said to be missing',
    async (_, message, advice) => {
      const proxy = await startProxy(github.apiUrl, ({ method }) =>
        method === 'POST' ? { kind: 'answer', status: 403, body: JSON.stringify({ message }) } : undefined,
      );
      const { exitCode, stderr } = await run([await trainTask()], makeEnv({ GITHUB_API_URL: proxy.url }));
      expect(exitCode).toBe(8);
      expect(stderr).toContain(message);
      expect(stderr).toContain(advice);
      expect(stderr).not.toContain('pull-requests: write');
      expect(readFileSync(join(directory, 'summary.md'), 'utf8')).toContain('test_accuracy');
    },
  );

  test.each([
    ['an unknown token', { GH_TOKEN: 'ghp_unknown' }, 8, 'GH_TOKEN'],
    ['another secret key', { CLEARML_API_SECRET_KEY: 'wrong' }, 8, 'CLEARML_API_SECRET_KEY'],
    ['an unknown pull request', { PR_NUMBER: '8' }, 10, 'pull request 8'],
    ['a GitHub that is not there', { GITHUB_API_URL: 'http://127.0.0.1:9' }, 9, 'GITHUB_API_URL'],
    ['a ClearML that is not there', { CLEARML_API_HOST: 'http://127.0.0.1:9' }, 9, 'CLEARML_API_HOST'],
    ['no access key', { CLEARML_API_ACCESS_KEY: '' }, 2, 'CLEARML_API_ACCESS_KEY'],
    ['no token and no number', { GH_TOKEN: '', PR_NUMBER: '' }, 2, 'GH_TOKEN'],
  ] as const)('%s', async (_, variables, exitCode, text) => {
    const task = await trainTask();
    const result = await run([task], makeEnv(variables));
    expect(result).toMatchObject({ exitCode, stdout: '' });
    expect(result.stderr).toContain(text);
    expect(result.stderr).not.toContain('a bug of ours');
  });

  test('every variable that is missing is named at once', async () => {
    const { exitCode, stderr } = await run(['a'.repeat(32)], {});
    expect(exitCode).toBe(2);
    expect(stderr.split('\n')).toEqual([
      'error: CLEARML_API_ACCESS_KEY and CLEARML_API_SECRET_KEY are not set; GH_TOKEN (or GITHUB_TOKEN) is not set; GITHUB_REPOSITORY is not set (or give --repo); PR_NUMBER is not set (or give --pr), and no event names a pull request',
      expect.stringMatching(/^Create credentials in ClearML .* put them into the environment/),
      'Put them into the environment or into a .env file here (.env.example shows how). Or add --dry-run, which posts nothing.',
      '',
    ]);
  });

  test('what is malformed is named beside what is missing', async () => {
    writeSettings('seeds: many\nqueu: gpu\n');
    const { exitCode, stderr } = await run(
      ['a'.repeat(32), '--baseline', 'branch:', '--repo', 'acme', '--config', 'settings.yml'],
      {
        PR_NUMBER: 'seven',
        GITHUB_REPOSITORY: 'digits',
        GITHUB_API_URL: 'api.github.com',
        GITHUB_EVENT_PATH: '/no',
      },
    );
    expect(exitCode).toBe(2);
    for (const name of [
      'CLEARML_API_ACCESS_KEY and CLEARML_API_SECRET_KEY are not set',
      'the event file that GITHUB_EVENT_PATH names cannot be read',
      'GH_TOKEN (or GITHUB_TOKEN) is not set',
      '--repo is not of the form owner/name',
      '--baseline',
      'line 1: seeds',
      'line 2: queu',
    ])
      expect(stderr).toContain(name);
    expect(stderr).not.toMatch(/PR_NUMBER is not set|GITHUB_REPOSITORY is not set/);
  });

  test('every variable of GitHub’s that is malformed is named at once', async () => {
    const { exitCode, stderr } = await run(
      ['a'.repeat(32)],
      makeEnv({
        PR_NUMBER: 'seven',
        GITHUB_REPOSITORY: 'digits',
        GITHUB_API_URL: 'api.github.com',
        GH_TOKEN: '',
      }),
    );
    expect(exitCode).toBe(2);
    expect(stderr.split('\n')[0]).toBe(
      'error: GITHUB_REPOSITORY is not of the form owner/name; PR_NUMBER is not the number of a pull request; GITHUB_API_URL is not an http(s) URL; GH_TOKEN (or GITHUB_TOKEN) is not set',
    );
  });

  test.each([
    ['outside Actions', { PR_NUMBER: '' }, 'Put it into the environment '],
    ['in Actions', { PR_NUMBER: '', GITHUB_ACTIONS: 'true' }, 'In a workflow give it to this step '],
    ['in Actions without a token', { GH_TOKEN: '', GITHUB_ACTIONS: 'true' }, 'pass the job’s own token'],
  ])('one that is missing alone is one, with where to put it %s', async (_, variables, remedy) => {
    const { exitCode, stderr } = await run(['a'.repeat(32)], makeEnv(variables));
    expect(exitCode).toBe(2);
    expect(stderr).toContain(remedy);
  });

  test('a task that does not exist is exit 10, one that is not named exit 2', async () => {
    const unknown = 'ab'.repeat(16);
    expect(await run([unknown])).toMatchObject({ exitCode: 10, stderr: expect.stringContaining(unknown) });
    expect((await run(['train'])).exitCode).toBe(10);
    expect((await run([' '])).exitCode).toBe(2);
    expect((await run([])).exitCode).toBe(2);
  });

  test('a rate limit that ends too late is exit 9, with the time to wait', async () => {
    const task = await trainTask();
    const clock: Clock = createPatientClock();
    github = await startGithub({ requestsPerHour: 1, now: clock.now });
    const began = clock.now();
    const { exitCode, stderr } = await run([task], makeEnv(), clock);
    expect(exitCode).toBe(9);
    expect(stderr).toMatch(/rate limit .*\n.*Wait \d+ min/);
    expect(clock.now() - began).toBeLessThan(60_000);
  });

  test('what GitHub answers too late is asked again', async () => {
    const task = await trainTask();
    let failed = 0;
    const proxy = await startProxy(github.apiUrl, () =>
      failed++ < 3 ? { kind: 'answer', status: 502, body: '<html>Bad gateway</html>' } : undefined,
    );
    const env = makeEnv({ GITHUB_API_URL: proxy.url });
    expect((await run([task], env)).exitCode).toBe(0);
    expect(github.comments(7)).toHaveLength(1);
  });
});

describe('templates', () => {
  test('a template of one’s own shapes the comment; values are quoted', async () => {
    writeFileSync(
      join(directory, 'own.md'),
      'Accuracy: {{metric: test_accuracy/accuracy}}, unknown: {{metric: no/such}}\n',
    );
    await run([await trainTask(0.9722), '--template', 'own.md']);
    expect(github.comments(7)[0]?.body.split('\n').slice(1)).toEqual([
      'Accuracy: `0.9722`, unknown: n/a',
      '',
    ]);
  });

  test('an unknown placeholder is exit 2 and lists the known ones', async () => {
    writeFileSync(join(directory, 'own.md'), '{{accuracy}} {{#nothing}}{{deep: er}}{{/nothing}} {{call1}}');
    const { exitCode, stderr } = await run([await trainTask(), '--template', 'own.md']);
    expect(exitCode).toBe(2);
    expect(stderr).toContain('{{accuracy}}, {{nothing}}, {{call1}}, {{deep:}}');
    expect(stderr).toContain('{{lead}}');
  });

  test.each([
    ['own.md', '{{#metrics}}', 'own.md'],
    ['no-such.md', undefined, 'the template no-such.md does not exist'],
  ])('a template that cannot be used is exit 2: %s', async (name, text, expected) => {
    if (text !== undefined) writeFileSync(join(directory, name), text);
    const { exitCode, stderr } = await run([await trainTask(), '--template', name]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain(expected);
  });
});

describe('compared with the base', () => {
  const repository = createScratchRepository();
  const base = repository.commit('Train', { 'train.py': 'a' });
  const tip = repository.commit('Document', { 'README.md': 'b' });
  repository.git('checkout', '--quiet', '-b', 'topic');
  const head = repository.commit('Train better', { 'train.py': 'c' });
  const treeOf = (commit: string) => repository.git('rev-parse', `${commit}^{tree}`);
  const pull = { number: 7, headSha: head, headRef: 'topic', baseRef: 'main' };
  let pipeline: string;
  let project: string;

  beforeAll(async () => {
    pipeline = await hashPipeline({
      repository: 'github.com/acme/digits',
      project: 'digits',
      taskName: 'train',
    });
    project = (await driver.call('projects.create', { name: 'digits', description: '' })).id;
  });

  // Each test has its own pipeline: the tasks of the others are none of its business.
  beforeEach(async () => {
    pipeline = await hashText(directory);
    github = await startGithub({ gitDir: repository.directory, pulls: [pull] });
  });

  afterAll(() => repository.remove());

  async function launchTask(
    commit: string,
    fields: {
      readonly accuracy?: number;
      readonly event?: string;
      readonly params?: Readonly<Record<string, string>>;
      readonly tags?: readonly string[];
      readonly codeId?: string;
    } = {},
  ): Promise<string> {
    const params = Object.entries(fields.params ?? { lr: '0.1' }).map(([name, value]) => [
      name,
      { section: 'Args', name, value },
    ]);
    const id = await driver.createTask({
      name: 'train',
      project,
      tags: fields.tags ?? [],
      script: { repository: 'https://github.com/acme/digits.git', branch: 'topic', version_num: commit },
      hyperparams: { Args: Object.fromEntries(params) },
      runtime: {
        ci_key: `${commit} ${JSON.stringify(fields)}`,
        ci_pipeline: pipeline,
        ci_code: fields.codeId ?? treeOf(commit),
        ci_event: fields.event ?? 'push',
        ci_run: '42',
      },
    });
    await driver.call('tasks.enqueue', { task: id, queue_name: 'default' });
    return id;
  }

  async function trainCommit(commit: string, fields: Parameters<typeof launchTask>[1] = {}): Promise<string> {
    const id = await launchTask(commit, fields);
    await driver.startTask(id);
    await driver.reportScalars(id, 'loss', 'train', [2, 1, 0.5, 0.25]);
    await driver.reportScalars(id, ':monitor:machine', 'cpu_usage', [50, 60]);
    await driver.reportScalars(id, 'test_accuracy', 'accuracy', [fields.accuracy ?? 0.9]);
    await driver.completeTask(id);
    return id;
  }

  async function writeEvent(): Promise<string> {
    const file = join(directory, 'event.json');
    writeFileSync(file, JSON.stringify(await github.pullRequestEvent(7, 'synchronize')));
    return file;
  }

  const textOf = () => github.comments(7)[0]?.body ?? '';

  /** Runs the program against servers that answer late. */
  async function countRequests(task: string, env: Readonly<Record<string, string>>) {
    // Its time stands still while anything but waiting goes on: however busy the machine is, a trip is a trip.
    const options = { latencyMs: 200, clock: createPatientClock() };
    const toClearml = await startProxy(clearml.apiHost, undefined, options);
    const toGithub = await startProxy(github.apiUrl, undefined, options);
    const { exitCode } = await run(
      [task],
      makeEnv({ ...env, CLEARML_API_HOST: toClearml.url, GITHUB_API_URL: toGithub.url }),
      options.clock,
    );
    expect(exitCode).toBe(0);
    return {
      clearml: toClearml.seen.length,
      github: toGithub.seen
        .map(({ method, path }) => `${method} ${path.replace(/\?.*|\/\d+$|[^/]*\.\.\..*/g, '')}`)
        .sort(),
      trips: countRoundTrips([...toClearml.seen, ...toGithub.seen]),
    };
  }

  describe('a report with a baseline takes at most 4 requests to ClearML, 7 to GitHub, 4 round trips,', () => {
    const REPO = '/repos/acme/digits';
    const ASKED = [
      `GET ${REPO}/commits`,
      `GET ${REPO}/compare/`,
      `GET ${REPO}/contents/.github%2Fclearml-ci.yml`,
      `GET ${REPO}/issues/7/comments`,
    ];

    async function prepareEvent() {
      await trainCommit(base, { accuracy: 0.8 });
      return {
        GITHUB_EVENT_PATH: await writeEvent(),
        GITHUB_EVENT_NAME: 'pull_request',
        GH_TOKEN: github.addUser('ada', 'write'),
      };
    }

    test('where it updates its comment', async () => {
      const env = await prepareEvent();
      const task = await trainCommit(head, { accuracy: 0.9, event: 'pull_request' });
      await run([task], makeEnv(env));
      const counted = await countRequests(task, env);
      expect(counted).toEqual({
        clearml: 4,
        github: [...ASKED, 'GET /user', `PATCH ${REPO}/issues/comments`].sort(),
        trips: 4,
      });
      expect(textOf()).toContain('+0.1 (better) against `main`');
    });

    test('where it creates its comment: the curves are put in afterwards', async () => {
      const env = await prepareEvent();
      const task = await trainCommit(head, { accuracy: 0.9, event: 'pull_request' });
      const counted = await countRequests(task, env);
      expect(counted).toEqual({
        clearml: 4,
        github: [
          ...ASKED,
          `GET ${REPO}/issues/7/comments`,
          `PATCH ${REPO}/issues/comments`,
          `POST ${REPO}/issues/7/comments`,
        ].sort(),
        trips: 4,
      });
      expect(textOf()).toContain('+0.1 (better) against `main`');
      expect(textOf()).toContain('```mermaid');
    });

    test('right after the launch, when no curve is asked for', async () => {
      const env = await prepareEvent();
      const task = await launchTask(head, { event: 'pull_request' });
      const counted = await countRequests(task, env);
      expect(counted).toEqual({
        clearml: 3,
        github: [...ASKED, `GET ${REPO}/issues/7/comments`, `POST ${REPO}/issues/7/comments`].sort(),
        trips: 4,
      });
      await driver.call('tasks.dequeue', { task });
    });

    test('but for one more where the pull request was pushed to since', async () => {
      const env = await prepareEvent();
      const task = await trainCommit(head, { accuracy: 0.9, event: 'pull_request' });
      await run([task], makeEnv(env));
      repository.git('checkout', '--quiet', 'topic');
      github.setPullHead(7, repository.commit('Go on', { 'train.py': 'd' }));
      const { trips } = await countRequests(task, env);
      repository.git('reset', '--quiet', '--hard', head);
      expect(trips).toBe(5);
      expect(textOf()).toContain('This is about an older commit.');
      expect(textOf()).toContain('+0.1 (better) against `main`');
    });

    test('but for one more without an event, which names the branches', async () => {
      const { GH_TOKEN } = await prepareEvent();
      const task = await trainCommit(head, { accuracy: 0.9, event: 'pull_request' });
      expect((await countRequests(task, { GH_TOKEN })).trips).toBe(5);
    });
  });

  test('the nearest ancestor with a task counts, and the comment names it, the change and the param', async () => {
    await trainCommit(base, { accuracy: 0.8, params: { lr: '0.1', epochs: '5' } });
    const task = await trainCommit(head, {
      accuracy: 0.9,
      event: 'pull_request',
      params: { lr: '0.2', epochs: '5' },
    });
    const { exitCode, stdout } = await run([task, '--json']);
    expect(exitCode).toBe(0);
    const report = JSON.parse(stdout);
    expect(report.baseline).toMatchObject({
      kind: 'found',
      by: 'branch',
      name: 'main',
      commit: base,
      commitsBehind: 1,
    });
    expect(report.metrics[0]).toMatchObject({
      metric: 'test_accuracy/accuracy',
      value: 0.9,
      baseline: 0.8,
      change: expect.closeTo(0.1),
      effect: 'better',
    });
    expect(report.params).toEqual([{ param: 'Args/lr', value: '0.2', baseline: '0.1' }]);
    expect(report.metrics.map(({ metric }: { metric: string }) => metric)).not.toContain(
      ':monitor:machine/cpu_usage',
    );
    expect(report.tasks[0].machine.cpuPercent).toBe(55);
    const text = textOf();
    expect(text).toContain('| `test_accuracy/accuracy` | **0.9** | 0.8 | +0.1 (+12.5%) ▲\u00a0better |');
    expect(text).toContain('Changed: `lr` `0.1` → `0.2`');
    expect(text).toContain('```mermaid');
    expect(text).toContain(base.slice(0, 10));
  });

  test('without an event the pull request itself tells the base', async () => {
    await trainCommit(tip, { accuracy: 0.7 });
    await run([await trainCommit(head, { event: 'pull_request' })]);
    expect(textOf()).toContain('where the pull request branched off');
  });

  test('a task, a tag or nothing can be named instead', async () => {
    const other = await trainCommit(base, { accuracy: 0.5, tags: ['production', directory] });
    const task = await trainCommit(head, { accuracy: 0.9, event: 'pull_request' });
    const baselineOf = async (...args: string[]) => {
      const { exitCode, stdout } = await run([task, '--json', ...args]);
      expect(exitCode).toBe(0);
      return JSON.parse(stdout).baseline;
    };
    expect(await baselineOf('--baseline', other)).toMatchObject({ by: 'task', tasks: [{ id: other }] });
    expect(await baselineOf('--baseline', `tag:${directory}`)).toMatchObject({
      by: 'tag',
      tasks: [{ id: other }],
    });
    expect(await baselineOf('--baseline', 'none')).toMatchObject({ kind: 'missing', reason: 'off' });
    expect((await run([task, '--baseline', 'tag:no such'])).exitCode).toBe(10);
    expect((await run([task, '--baseline', 'ab'.repeat(16)])).exitCode).toBe(10);
    expect((await run([task, '--baseline', 'main'])).exitCode).toBe(2);
  });

  test('no baseline is said, with the way to get one; the code under test is never its own', async () => {
    await trainCommit(head, { event: 'pull_request', params: { lr: '7' } });
    await run([await trainCommit(head, { event: 'pull_request' })]);
    expect(textOf()).toContain('No baseline: none of the 2 commits of `main`');
  });

  test('a token that may not read the commits still posts, and says what it lacks', async () => {
    github = await startGithub({
      gitDir: repository.directory,
      pulls: [pull],
      isPrivate: true,
      permissions: { 'pull-requests': 'write' },
    });
    expect((await run([await trainCommit(head, { event: 'pull_request' })])).exitCode).toBe(0);
    expect(textOf()).toContain('`contents: read`');
  });

  test('several seeds on both sides give means and spreads', async () => {
    for (const accuracy of [0.7, 0.8, 0.9])
      await trainCommit(base, { accuracy, params: { seed: String(accuracy) } });
    const tasks: string[] = [];
    for (const accuracy of [0.85, 0.95]) {
      tasks.push(
        await trainCommit(head, { accuracy, event: 'pull_request', params: { seed: String(accuracy) } }),
      );
    }
    const { stdout } = await run([tasks.join(' '), '--json']);
    const [metric] = JSON.parse(stdout).metrics;
    expect(metric).toMatchObject({
      value: expect.closeTo(0.9),
      baseline: expect.closeTo(0.8),
      values: [0.85, 0.95],
    });
    expect(metric.baselineSpread).toBeCloseTo(0.1);
    expect(textOf()).toContain('2 tasks completed');
    expect(textOf()).toMatch(/\*\*0\.9\*\*\u00a0±\u00a00\.071 \| 0\.8\u00a0±\u00a00\.1 /);
  });

  test('an older commit is marked as one, but not where the newest holds the same code', async () => {
    const task = await trainCommit(tip, { event: 'pull_request' });
    await run([task]);
    expect(textOf()).toContain('This is about an older commit.');
    const same = await trainCommit(tip, { event: 'pull_request', codeId: treeOf(head) });
    await run([same]);
    expect(textOf()).not.toContain('older commit');
  });

  test('a queued task shows its place, a running one how far it is', async () => {
    await trainCommit(base);
    const task = await launchTask(head, { event: 'pull_request' });
    await run([task]);
    expect(textOf()).toMatch(/### `train` is waiting in the queue `default`, number \d+ of \d+/);
    await driver.startTask(task);
    await driver.reportScalars(task, 'loss', 'train', [2, 1]);
    await run([task]);
    expect(textOf()).toContain('### `train` is running, iteration 1, about 33% of the baseline’s length');
    expect(textOf()).toContain('| Metric | So far | `main` | Course |');
    expect(github.comments(7)).toHaveLength(1);
    await driver.call('tasks.stop', { task, force: true });
  });

  test('a failed task shows the cause, the place and the end of the log', async () => {
    const task = await launchTask(head, { event: 'pull_request' });
    await driver.startTask(task);
    await driver.logLines(task, [
      'epoch 1',
      'Traceback (most recent call last):',
      '  File "/root/.clearml/venvs-builds/task_repository/digits.git/train.py", line 3, in <module>',
      '    main()',
      'ValueError: no such thing',
    ]);
    await driver.failTask(task);
    await run([task]);
    expect(textOf()).toContain('### `train` failed: `ValueError: no such thing`');
    expect(textOf()).toContain(`[\`train.py:3\`](${github.serverUrl}/acme/digits/blob/${head}/train.py#L3)`);
    expect(textOf()).toContain('    main()\nValueError: no such thing\n```');
  });

  test('a failed training says which param is gone, if it got as far as its command line', async () => {
    await trainCommit(base, { params: { lr: '0.1', weight_decay: '0.2' } });
    const lead = async (args: object) => {
      const task = await launchTask(head, { event: 'pull_request' });
      await driver.startTask(task);
      await driver.call('tasks.edit', { task, force: true, hyperparams: { Args: args } });
      await driver.failTask(task);
      await run([task]);
      return /^Changed: .*/m.exec(textOf())?.[0];
    };
    const launched = { section: 'Args', name: 'lr', value: '0.1' };
    const added = { section: 'Args', name: 'penalty', value: '0.3' };
    // As the SDK writes them: it describes what it adds, and what was launched not.
    expect(
      await lead({
        lr: { ...launched, type: 'str', description: '' },
        penalty: { ...added, type: 'float', description: 'None' },
      }),
    ).toBe('Changed: `penalty` not set → `0.3`, `weight_decay` `0.2` → not set');
    expect(await lead({ lr: launched, penalty: added })).toBe('Changed: `penalty` not set → `0.3`');
  });

  test('tables and matrices that the training reported are shown', async () => {
    const task = await launchTask(head, { event: 'pull_request' });
    await driver.startTask(task);
    await driver.call('events.add', {
      type: 'plot',
      task,
      metric: 'confusion',
      variant: 'test',
      iter: 1,
      plot_str: JSON.stringify({
        data: [
          {
            type: 'heatmap',
            z: [
              [5, 1],
              [0, 7],
            ],
          },
        ],
        layout: {},
      }),
    });
    await driver.completeTask(task);
    await run([task]);
    expect(textOf()).toContain('**`confusion/test`**');
    expect(textOf()).toContain('| **1** | 0 | **7** |');
  });
});
