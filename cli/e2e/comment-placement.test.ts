import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { createPatientClock } from '../dev/patient-clock.ts';
import {
  directory,
  driver,
  github,
  makeEnv,
  replaceGithub,
  run,
  setUpComments,
  startProxy,
  trainTask,
} from './comment-setup.ts';

setUpComments();

describe('the one comment', () => {
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

  test('is not edited again where the time of the report is all that passed since it was posted', async () => {
    const proxy = await startProxy(github.apiUrl);
    // A single number: the draft lacks its curve, which shows nothing.
    const task = await driver.createTask({ name: 'train digits' });
    await driver.call('tasks.enqueue', { task, queue_name: 'default' });
    await driver.startTask(task);
    await driver.reportScalars(task, 'test_accuracy', 'accuracy', [0.97]);
    await driver.completeTask(task);
    const clock = createPatientClock();
    let passedMs = 0;
    const now = () => {
      passedMs += 1000;
      return clock.now() + passedMs;
    };
    await run([task], makeEnv({ GITHUB_API_URL: proxy.url }), { ...clock, now });
    expect(github.comments(7)[0]?.body).toMatch(/Reported \d{4}-\d\d-\d\d [\d:]{8} UTC/);
    expect(proxy.seen.filter(({ method }) => method === 'PATCH')).toEqual([]);
  });

  test('is found at the end of 3,000 others, the first of which carries its marker too, in a request a page', async () => {
    const task = await trainTask();
    const { stdout: body } = await run([task, '--dry-run']);
    const others = Array.from({ length: 2999 }, (_, index) => ({ author: 'ada', body: `comment ${index}` }));
    const all = [{ author: 'mallory', body }, ...others, { author: 'github-actions[bot]', body }];
    await replaceGithub({ comments: all.map((comment) => ({ pull: 7, ...comment })) });
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
    await replaceGithub({ comments: all.map((comment) => ({ pull: 7, ...comment })) });
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
      await replaceGithub({ comments: all.map((comment) => ({ pull: 7, ...comment })) });
      const env = makeEnv({ GH_TOKEN: github.addApp('our-app[bot]') });
      const first = await run([task], env);
      const ownComments = () => github.comments(7).filter(({ author }) => author === 'our-app[bot]');
      const [comment] = ownComments();
      const second = await run([await trainTask(0.8)], env);
      expect(second).toMatchObject({ exitCode: 0, stdout: first.stdout });
      expect(ownComments()).toEqual([
        { ...comment, body: expect.stringContaining('**0.8**'), updatedAt: expect.anything() },
      ]);
      expect(second.stderr).toContain("set --comment-author 'our-app[bot]'");
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
    await replaceGithub({ apiPath: '/api/v3' });
    expect((await run([task])).exitCode).toBe(0);
    expect(github.comments(7)).toHaveLength(1);
  });
});
