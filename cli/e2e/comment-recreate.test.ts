import { beforeEach, describe, expect, test } from '@jest/globals';
import {
  driver,
  github,
  makeEnv,
  replaceGithub,
  run,
  setUpComments,
  startProxy,
  trainTask,
  writeSettings,
} from './comment-setup.ts';

setUpComments();
beforeEach(() => writeSettings('comment: recreate\n'));

const report = (tasks: readonly string[], env = makeEnv()) =>
  run([...tasks, '--config', 'settings.yml'], env);
const listIds = () => github.comments(7).map(({ id }) => id);
const listBodies = () => github.comments(7).map(({ body }) => body);
const listMethods = (seen: ReadonlyArray<{ readonly method: string; readonly path: string }>) =>
  seen
    .filter(({ path }) => path.includes('/issues/'))
    .map(({ method, path }) => `${method} ${path.replace(/\?.*/, '').replace(/^.*\/issues\//, '')}`);

async function call(method: string, path: string, body?: string): Promise<void> {
  const answer = await fetch(`${github.apiUrl}/repos/acme/digits/issues/${path}`, {
    method,
    headers: { authorization: `Bearer ${github.token}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify({ body }) }),
  });
  expect(answer.ok).toBe(true);
}

describe('comment: recreate', () => {
  test('posts another verdict as a new comment, of which GitHub sends mail, and then deletes the old one', async () => {
    await report([await trainTask(0.9, 'failed')]);
    const [before] = listIds();
    const proxy = await startProxy(github.apiUrl);
    const second = await report([await trainTask(0.8)], makeEnv({ GITHUB_API_URL: proxy.url }));
    expect(second).toMatchObject({
      exitCode: 0,
      stderr: expect.stringContaining('Posted the comment on pull request 7'),
    });
    expect(listBodies()).toEqual([expect.stringContaining('**0.8**')]);
    expect(listIds()).not.toContain(before);
    expect(second.stdout).toContain(`#issuecomment-${listIds()[0]}`);
    expect(listMethods(proxy.seen)).toEqual([
      'GET 7/comments',
      'POST 7/comments',
      'GET 7/comments',
      `DELETE comments/${before}`,
    ]);
  });

  test('only edits the comment where the verdict is the same, in as many requests as an update takes', async () => {
    await report([await trainTask(0.9)]);
    const before = listIds();
    const proxy = await startProxy(github.apiUrl);
    await report([await trainTask(0.8)], makeEnv({ GITHUB_API_URL: proxy.url }));
    expect(listIds()).toEqual(before);
    expect(listBodies()).toEqual([expect.stringContaining('**0.8**')]);
    expect(listMethods(proxy.seen)).toEqual(['GET 7/comments', `PATCH comments/${before[0]}`]);
  });

  test('only edits it while the training waits and runs, and posts the verdict that follows, though it is the same', async () => {
    const task = await trainTask(0.9);
    await report([task]);
    const [first] = listIds();
    for (const state of ['queued', 'in_progress'] as const) await report([await trainTask(0.8, state)]);
    expect(listIds()).toEqual([first]);
    expect(listBodies()).toEqual([expect.stringContaining('is running')]);
    await report([task]);
    expect(listBodies()).toEqual([expect.stringContaining('**0.9**')]);
    expect(listIds()).not.toContain(first);
  });

  test('posts anew what an update or an older version wrote, which does not say what it shows', async () => {
    const task = await trainTask(0.9);
    await run([task]);
    const [first] = listIds();
    expect(listBodies()[0]).not.toContain('shows');
    await report([task]);
    const [second] = listIds();
    expect(second).not.toBe(first);
    expect(listIds()).toHaveLength(1);
    await run([task]);
    expect(listIds()).toEqual([second]);
  });

  test('takes the verdict from the second line only: a training may print one', async () => {
    const line = '<!-- clearml-ci-cd shows: failed -->';
    const task = await trainTask(0.9, 'failed', { name: line });
    await driver.logLines(task, [line]);
    await report([task]);
    expect(listBodies()[0]?.split('\n')[1]).toBe(line);
    // A verdict of `none` with the other one all over it.
    const named = await trainTask(0.8, 'completed', { name: line });
    await report([named]);
    const shown = listIds();
    await report([named]);
    expect(listIds()).toEqual(shown);
    await report([task]);
    expect(listIds()).not.toEqual(shown);
    expect(listIds()).toHaveLength(1);
  });

  test('does not know a verdict by a comment of somebody else’s', async () => {
    const task = await trainTask(0.9);
    const { stdout: planted } = await run([task, '--dry-run', '--config', 'settings.yml']);
    await replaceGithub({ comments: [{ pull: 7, author: 'mallory', body: planted }] });
    await report([task]);
    await report([await trainTask(0.8, 'failed')]);
    expect(github.comments(7).map(({ author }) => author)).toEqual(['mallory', 'github-actions[bot]']);
    expect(listBodies()[0]).toBe(planted);
  });

  test.each(['none', 'shows'])(
    'knows its comment though the proxy’s user name, %s, is in it',
    async (user) => {
      const task = await trainTask(0.9);
      const env = makeEnv({ HTTPS_PROXY: `http://${user}:pass%20word@127.0.0.1:9` });
      await report([task], env);
      const before = listIds();
      await report([task], env);
      expect(listIds()).toEqual(before);
    },
  );

  test('says that tasks are gone in a new comment, and once', async () => {
    const task = await trainTask(0.9);
    await report([task]);
    const [first] = listIds();
    await driver.call('tasks.delete', { task, force: true });
    expect((await report([task])).exitCode).toBe(10);
    const [second] = listIds();
    expect(listBodies()).toEqual([expect.stringContaining(`### ClearML has no task \`${task}\``)]);
    expect(second).not.toBe(first);
    expect((await report([task])).exitCode).toBe(10);
    expect(listIds()).toEqual([second]);
  });

  test('prints in a dry run what it would post', async () => {
    const { stdout } = await run([await trainTask(0.9), '--dry-run', '--config', 'settings.yml']);
    expect(stdout.split('\n').slice(0, 3)).toEqual([
      expect.stringContaining('clearml-ci-cd comment: '),
      '<!-- clearml-ci-cd shows: none -->',
      expect.stringMatching(/^### /),
    ]);
  });
});

describe('comment: recreate, disturbed,', () => {
  test.each([
    [403, 'Resource not accessible by integration'],
    [404, 'GitHub does not find it'],
    [500, 'did not answer'],
    [200, 'has another shape'],
  ])('has its report posted though GitHub answers a deletion with %d, and says so', async (status, words) => {
    await report([await trainTask(0.9, 'failed')]);
    const proxy = await startProxy(github.apiUrl, ({ method }) =>
      method === 'DELETE'
        ? { kind: 'answer', status, body: '{"message":"Resource not accessible by integration"}' }
        : undefined,
    );
    const task = await trainTask(0.8);
    const { exitCode, stderr, stdout } = await report([task], makeEnv({ GITHUB_API_URL: proxy.url }));
    expect({ exitCode, stdout }).toEqual({
      exitCode: 0,
      stdout: expect.stringContaining(`#issuecomment-${listIds()[1]}`),
    });
    expect(stderr).toMatch(
      new RegExp(`warning: the old comment on pull request 7 was not deleted .*${words}`),
    );
    expect(listIds()).toHaveLength(2);
    const [, newer] = listIds();
    await report([task]);
    expect(listIds()).toEqual([newer]);
  });

  test('keeps the newer of two comments that a killed run left, by its verdict', async () => {
    const [failed, good] = [await trainTask(0.9, 'failed'), await trainTask(0.8)];
    await report([failed]);
    const { stdout: body } = await run([good, '--dry-run', '--config', 'settings.yml']);
    await call('POST', '7/comments', body);
    const [, newer] = listIds();
    await report([good]);
    expect(listIds()).toEqual([newer]);
    await call('POST', '7/comments', body);
    await report([failed]);
    expect(listBodies()).toEqual([expect.stringContaining('failed')]);
  });

  test('leaves the old comment where the new one is refused', async () => {
    await report([await trainTask(0.9, 'failed')]);
    const before = github.comments(7);
    const proxy = await startProxy(github.apiUrl, ({ method }) =>
      method === 'POST' ? { kind: 'answer', status: 403, body: '{"message":"no"}' } : undefined,
    );
    const { exitCode } = await report([await trainTask(0.8)], makeEnv({ GITHUB_API_URL: proxy.url }));
    expect(exitCode).toBe(8);
    expect(github.comments(7)).toEqual(before);
  });

  test.each([
    ['once', 1],
    ['twice', 2],
  ])('leaves one comment though the answer to its creation got lost %s', async (_, times) => {
    await report([await trainTask(0.9, 'failed')]);
    let lost = 0;
    const proxy = await startProxy(github.apiUrl, ({ method }) =>
      method === 'POST' && lost++ < times ? { kind: 'cut-after' } : undefined,
    );
    const { exitCode } = await report([await trainTask(0.8)], makeEnv({ GITHUB_API_URL: proxy.url }));
    expect(exitCode).toBe(0);
    expect(listBodies()).toEqual([expect.stringContaining('**0.8**')]);
  });

  test.each([
    ['nothing', undefined],
    ['another verdict', 'failed' as const],
  ])('leaves one comment where three runs report at the same time over %s', async (_, before) => {
    if (before !== undefined) await report([await trainTask(0.9, before)]);
    const task = await trainTask(0.8);
    const runs = await Promise.all([report([task]), report([task]), report([task])]);
    expect(runs.map(({ exitCode }) => exitCode)).toEqual([0, 0, 0]);
    expect(listBodies()).toEqual([expect.stringContaining('**0.8**')]);
  });

  test('leaves one comment where another run finishes between the creation and the look after it', async () => {
    const [failed, good] = [await trainTask(0.9, 'failed'), await trainTask(0.8)];
    let other: Promise<unknown> | undefined;
    const proxy = await startProxy(github.apiUrl, ({ method, path }) => {
      if (method !== 'GET' || !path.includes('since=') || other !== undefined) return undefined;
      other = report([failed]);
      return { kind: 'hold', until: other };
    });
    const { exitCode } = await report([good], makeEnv({ GITHUB_API_URL: proxy.url }));
    expect([exitCode, listIds().length]).toEqual([0, 1]);
    expect(other).toBeDefined();
  });

  test('writes the old comment’s successor where somebody deletes the old one meanwhile', async () => {
    await report([await trainTask(0.9, 'failed')]);
    const [first] = listIds();
    const proxy = await startProxy(github.apiUrl, async ({ method }) => {
      if (method === 'POST') await call('DELETE', `comments/${first}`);
      return undefined;
    });
    const { exitCode } = await report([await trainTask(0.8)], makeEnv({ GITHUB_API_URL: proxy.url }));
    expect(exitCode).toBe(0);
    expect(listBodies()).toEqual([expect.stringContaining('**0.8**')]);
  });

  test('of an app whose name GitHub tells late, leaves one comment, and says how to tell it', async () => {
    const env = makeEnv({ GH_TOKEN: github.addApp('our-app[bot]') });
    await report([await trainTask(0.9, 'failed')], env);
    const { stderr } = await report([await trainTask(0.8)], env);
    expect(stderr).toContain("set --comment-author 'our-app[bot]'");
    expect(listBodies()).toEqual([expect.stringContaining('**0.8**')]);
  });
});
