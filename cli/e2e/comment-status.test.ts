import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { createScratchRepository } from '../dev/scratch-repository.ts';
import {
  clearml,
  directory,
  driver,
  github,
  HEAD,
  makeEnv,
  readOutputs,
  replaceGithub,
  run,
  setUpComments,
  startProxy,
  trainTask,
  writeSettings,
} from './comment-setup.ts';

setUpComments();

const PULL = { number: 7, headSha: HEAD, headRef: 'topic', baseRef: 'main' };
const MAY_WRITE = {
  pulls: [PULL],
  permissions: { contents: 'read', 'pull-requests': 'write', statuses: 'write' },
} as const;
const STATUS = ['--status', 'ClearML'];
const MAX_LENGTH = 140;

/** What the pull request's head says, oldest first. */
const statesOf = (sha = HEAD) => github.statuses(sha).map(({ state }) => state);
const latest = (sha = HEAD) => github.statuses(sha).at(-1);

/** The metrics' gate, with a baseline task to compare with. */
async function gateAgainst(accuracy: number, gate: 'fail' | 'warn'): Promise<string[]> {
  const base = await trainTask(accuracy);
  writeSettings(
    `metrics: [{ metric: test_accuracy/accuracy, goal: maximize, gate: ${gate}, tolerance: 0.01 }]\nbaseline: { task: ${base} }\n`,
  );
  return ['--config', 'settings.yml', ...STATUS];
}

describe('the commit status', () => {
  test('is written once as pending and once as final, and leads to the comment', async () => {
    await replaceGithub(MAY_WRITE);
    const task = await trainTask(0.97, 'in_progress');
    const interim = [task, ...STATUS, '--no-gate', '--no-summary'];
    await run(interim);
    await run(interim);
    expect(statesOf()).toEqual(['pending']);
    expect(latest()).toMatchObject({ context: 'ClearML', creator: 'github-actions[bot]' });
    expect(latest()?.description).toMatch(/^train digits is running/);
    await driver.completeTask(task);
    for (const _ of ['once', 'again']) {
      const { exitCode, stdout, stderr } = await run([task, ...STATUS]);
      expect(exitCode).toBe(0);
      expect(latest()?.targetUrl).toBe(stdout.trim());
      expect(stderr.includes('Set the commit status ClearML')).toBe(_ === 'once');
    }
    expect(statesOf()).toEqual(['pending', 'success']);
    expect(latest()?.description).toMatch(/^train digits: .*0\.97/);
  });

  test('costs no request where nobody asks for it', async () => {
    const asked: string[] = [];
    await replaceGithub({ ...MAY_WRITE, onRequest: ({ path }) => asked.push(path) });
    expect(await run([await trainTask()])).toMatchObject({ exitCode: 0 });
    expect(asked.filter((path) => path.includes('status'))).toEqual([]);
    expect(statesOf()).toEqual([]);
  });

  test.each([
    ['a pass', 0.97, 'fail', 0, 'success', 'Pass: '],
    ['a regression', 0.5, 'fail', 5, 'failure', 'Regression: '],
    ['a regression that only warns', 0.5, 'warn', 0, 'success', 'Regression (a warning only): '],
  ] as const)('of %s', async (_, accuracy, gate, exitCode, state, words) => {
    await replaceGithub(MAY_WRITE);
    const flags = await gateAgainst(0.96, gate);
    const result = await run([await trainTask(accuracy), ...flags]);
    expect(result).toMatchObject({ exitCode });
    expect(latest()).toMatchObject({ state, description: expect.stringContaining(words) });
  });

  test('follows a verdict that changes, also within one state', async () => {
    await replaceGithub(MAY_WRITE);
    const flags = await gateAgainst(0.96, 'fail');
    const failed = await trainTask(0.97, 'failed');
    const worse = await trainTask(0.5);
    const better = await trainTask(0.99);
    for (const task of [failed, worse, worse, better, await trainTask(0.98, 'queued')])
      await run([task, ...flags]);
    expect(statesOf()).toEqual(['failure', 'failure', 'success', 'pending']);
  });

  test.each([
    [
      'its worker was lost',
      'error',
      async (id: string) =>
        driver.call('tasks.stopped', {
          task: id,
          force: true,
          status_reason: 'Forced stop (non-responsive)',
        }),
    ],
    [
      'somebody stopped it',
      'failure',
      async (id: string) => driver.call('tasks.stopped', { task: id, force: true }),
    ],
  ] as const)('of a training that ended because %s is %s', async (_, state, end) => {
    await replaceGithub(MAY_WRITE);
    const task = await trainTask(0.9, 'in_progress');
    await end(task);
    await run([task, ...STATUS]);
    expect(statesOf()).toEqual([state]);
  });

  test('that is pending ends as an error once its training is gone', async () => {
    await replaceGithub(MAY_WRITE);
    const task = await trainTask(0.9, 'in_progress');
    const env = makeEnv({ PR_COMMIT: HEAD });
    await run([task, ...STATUS], env);
    await driver.call('tasks.delete', { task, force: true });
    for (const _ of ['once', 'again'])
      expect(await run([task, ...STATUS], env)).toMatchObject({ exitCode: 10 });
    expect(statesOf()).toEqual(['pending', 'error']);
    expect(latest()?.description).toBe(`ClearML has no task ${task}`);
  });

  test.each([
    ['is posted anew', 'comment: recreate\n', false],
    ['can’t be changed, as the conversation is locked', '', true],
  ])('likewise where the comment that it leads to %s', async (_, settings, isLocked) => {
    await replaceGithub(MAY_WRITE);
    writeSettings(settings);
    const task = await trainTask(0.9, 'in_progress');
    const env = makeEnv({ PR_COMMIT: HEAD });
    const args = [task, ...STATUS, '--config', 'settings.yml'];
    await run(args, env);
    await driver.call('tasks.delete', { task, force: true });
    const proxy = await startProxy(github.apiUrl, ({ method, path }) =>
      isLocked && method !== 'GET' && path.includes('/comments')
        ? {
            kind: 'answer',
            status: 403,
            body: '{"message":"Unable to create comment because issue is locked."}',
          }
        : undefined,
    );
    const { exitCode } = await run(args, { ...env, GITHUB_API_URL: proxy.url });
    expect([exitCode, statesOf()]).toEqual([isLocked ? 8 : 10, ['pending', 'error']]);
    expect(latest()?.targetUrl).toContain(`issuecomment-${github.comments(7)[0]?.id}`);
  });

  test('is one plain line of at most 140 characters, whatever the names say', async () => {
    await replaceGithub(MAY_WRITE);
    const secret = clearml.env.CLEARML_API_SECRET_KEY ?? '';
    const name = `evil\n::error::\u001b[31m ${'😀'.repeat(90)} ${secret}`;
    await run([await trainTask(0.9, 'completed', { name }), ...STATUS]);
    const { description = '' } = latest() ?? {};
    expect(description.length).toBeLessThanOrEqual(MAX_LENGTH);
    expect(description).not.toMatch(/\p{Cc}|\p{Cs}/u);
    expect(description).not.toContain(secret.slice(0, 12));
    expect(description).toContain('\ufffd');
  });

  test('is the job’s own, where a token of a person posts the comment', async () => {
    await replaceGithub(MAY_WRITE);
    const env = { GH_TOKEN: github.addUser('maintainer', 'write'), GITHUB_TOKEN: github.token };
    await run([await trainTask(), ...STATUS], makeEnv(env));
    expect(latest()).toMatchObject({ state: 'success', creator: 'github-actions[bot]' });
    expect(github.comments(7)).toMatchObject([{ author: 'maintainer' }]);
  });

  test('that a person wrote in its place does not count as ours', async () => {
    await replaceGithub(MAY_WRITE);
    const person = github.addUser('maintainer', 'write');
    const task = await trainTask();
    await run([task, ...STATUS], makeEnv({ GH_TOKEN: person }));
    await run([task, ...STATUS]);
    expect(github.statuses(HEAD).map(({ creator }) => creator)).toEqual([
      'maintainer',
      'github-actions[bot]',
    ]);
  });
});

describe('a status that GitHub refuses', () => {
  test('is exit 8 with the permission, and the comment is posted all the same', async () => {
    const { exitCode, stdout, stderr } = await run([await trainTask(), ...STATUS]);
    expect(exitCode).toBe(8);
    expect(stderr).toContain('error: GitHub refuses the commit status ClearML');
    expect(stderr).toContain('statuses: write');
    expect(stdout.trim()).toBe(readOutputs()['comment-url']);
    expect(github.comments(7)).toHaveLength(1);
  });

  test('for want of the right to push is exit 8 too', async () => {
    await replaceGithub(MAY_WRITE);
    const env = makeEnv({ GH_TOKEN: github.addUser('reader', 'read') });
    const { exitCode, stderr } = await run([await trainTask(), ...STATUS], env);
    expect(exitCode).toBe(8);
    expect(stderr).toContain('statuses: write');
  });

  test.each([
    ['No commit found for SHA: 1', 'check GITHUB_REPOSITORY'],
    [
      "Validation Failed: context doesn't accept 4-byte Unicode",
      'GitHub probably refuses this name. Choose another, by the setting status',
    ],
  ])('as a mistake (%s) is exit 2, with what to change', async (message, remedy) => {
    await replaceGithub(MAY_WRITE);
    const proxy = await startProxy(github.apiUrl, ({ method, path }) =>
      method === 'POST' && path.includes('/statuses/')
        ? { kind: 'answer', status: 422, body: JSON.stringify({ message }) }
        : undefined,
    );
    const env = makeEnv({ GITHUB_API_URL: proxy.url });
    const { exitCode, stderr } = await run([await trainTask(), ...STATUS], env);
    expect(exitCode).toBe(2);
    expect(stderr).toContain(message);
    expect(stderr).toContain(remedy);
  });

  test('of a conversation that takes no comment is written, and leads to the task', async () => {
    await replaceGithub({ ...MAY_WRITE, permissions: { contents: 'read', statuses: 'write' } });
    const task = await trainTask();
    expect(await run([task, ...STATUS])).toMatchObject({ exitCode: 8 });
    expect(latest()).toMatchObject({ state: 'success', targetUrl: expect.stringContaining(task) });
  });

  test('whose answer gets lost is not written twice', async () => {
    await replaceGithub(MAY_WRITE);
    let lost = 0;
    const proxy = await startProxy(github.apiUrl, ({ method, path }) => {
      if (method !== 'POST' || !path.includes('/statuses/') || lost > 0) return undefined;
      lost += 1;
      return { kind: 'cut-after' };
    });
    const env = makeEnv({ GITHUB_API_URL: proxy.url });
    expect(await run([await trainTask(), ...STATUS], env)).toMatchObject({ exitCode: 0 });
    expect([lost, ...statesOf()]).toEqual([1, 'success']);
  });
});

describe('the commit of the status', () => {
  const NEWER = '2'.repeat(40);
  const event = (sha: string) => ({
    pull_request: {
      number: 7,
      head: { ref: 'topic', sha, repo: { clone_url: 'https://github.com/acme/digits.git' } },
      base: { ref: 'main', sha: '3'.repeat(40) },
    },
  });
  const inPullRequest = (sha: string) => {
    writeFileSync(join(directory, 'event.json'), JSON.stringify(event(sha)));
    return { GITHUB_EVENT_NAME: 'pull_request', GITHUB_EVENT_PATH: join(directory, 'event.json') };
  };

  test('is the one that was trained, not a newer one', async () => {
    await replaceGithub({ ...MAY_WRITE, pulls: [{ ...PULL, headSha: NEWER }] });
    await run([await trainTask(), ...STATUS], makeEnv(inPullRequest(HEAD)));
    expect([statesOf(), statesOf(NEWER)]).toEqual([['success'], []]);
  });

  test('is the one that a maintainer has read, not what was pushed meanwhile', async () => {
    await replaceGithub({ ...MAY_WRITE, pulls: [{ ...PULL, headSha: NEWER }] });
    await run([await trainTask(), ...STATUS], makeEnv({ PR_COMMIT: HEAD }));
    expect([statesOf(), statesOf(NEWER)]).toEqual([['success'], []]);
  });

  test('is none where the tasks trained another one, and that is said', async () => {
    await replaceGithub({ ...MAY_WRITE, pulls: [{ ...PULL, headSha: NEWER }] });
    for (const env of [makeEnv(), makeEnv(inPullRequest(NEWER)), makeEnv({ PR_COMMIT: NEWER })]) {
      const { exitCode, stderr } = await run([await trainTask(), ...STATUS], env);
      expect(exitCode).toBe(0);
      expect(stderr).toContain('the commit status ClearML is not set');
    }
    expect([statesOf(), statesOf(NEWER)]).toEqual([[], []]);
  });

  test('is none where only an older commit was trained, whatever the setting paths says', async () => {
    await replaceGithub({ ...MAY_WRITE, pulls: [{ ...PULL, headSha: NEWER }] });
    writeSettings('paths: [train.py]\n');
    const args = ['--config', 'settings.yml', ...STATUS];
    const use = (commit: string) => ({ ci_use_7: `${commit} topic https://github.com/acme/digits.git` });
    const older = await trainTask(0.97, 'completed', { tags: ['pr:7'], runtime: use(HEAD) });
    const { stderr } = await run([older, ...args], makeEnv(inPullRequest(NEWER)));
    expect(stderr).toContain('the commit status ClearML is not set');
    expect([statesOf(), statesOf(NEWER)]).toEqual([[], []]);
    const reused = await trainTask(0.97, 'completed', { tags: ['pr:7'], runtime: use(NEWER) });
    await run([reused, ...args], makeEnv(inPullRequest(NEWER)));
    // A run by hand has no event of the pull request.
    const other = [reused, '--config', 'settings.yml', '--status', 'By hand'];
    await run(other, makeEnv({ GITHUB_EVENT_NAME: 'workflow_dispatch' }));
    expect([statesOf(), statesOf(NEWER)]).toEqual([[], ['success', 'success']]);
  });

  test('is that of a training which had ended when the commit took it, with paths', async () => {
    await replaceGithub({ ...MAY_WRITE, pulls: [{ ...PULL, headSha: NEWER }] });
    writeSettings('paths: [train.py]\n');
    const ci_use_7 = `${HEAD} topic https://github.com/acme/digits.git`;
    const tags = ['pr:7', `pr:7:${NEWER}`];
    const task = await trainTask(0.97, 'completed', { tags, runtime: { ci_use_7 } });
    await run([task, '--config', 'settings.yml', ...STATUS], makeEnv(inPullRequest(NEWER)));
    expect([statesOf(), statesOf(NEWER)]).toEqual([[], ['success']]);
  });

  test('is none where uncommitted changes were trained', async () => {
    await replaceGithub(MAY_WRITE);
    const task = await driver.createTask({
      name: 'train digits',
      script: {
        repository: 'https://github.com/acme/digits.git',
        branch: 'topic',
        version_num: HEAD,
        diff: 'diff --git a/train.py b/train.py\n',
      },
      runtime: { ci_use_7: `${HEAD} topic https://github.com/acme/digits.git` },
    });
    for (const env of [makeEnv(), makeEnv(inPullRequest(HEAD)), makeEnv({ PR_COMMIT: HEAD })]) {
      const { stderr } = await run([task, ...STATUS], env);
      expect(stderr).toContain('the commit status ClearML is not set');
    }
    expect(statesOf()).toEqual([]);
  });

  test('is the pushed one without a pull request: with the summary, and without a comment', async () => {
    await replaceGithub(MAY_WRITE);
    writeFileSync(
      join(directory, 'event.json'),
      JSON.stringify({
        before: '3'.repeat(40),
        repository: { clone_url: 'https://github.com/acme/digits.git', default_branch: 'main' },
      }),
    );
    const push = makeEnv({
      PR_NUMBER: '',
      GITHUB_EVENT_NAME: 'push',
      GITHUB_EVENT_PATH: join(directory, 'event.json'),
      GITHUB_REF: 'refs/heads/main',
      GITHUB_SHA: HEAD,
    });
    const task = await trainTask();
    expect(await run([task, ...STATUS], push)).toMatchObject({ exitCode: 0, stdout: '' });
    expect(latest()).toMatchObject({ state: 'success', targetUrl: expect.stringContaining(task) });
    expect(readFileSync(join(directory, 'summary.md'), 'utf8')).toContain('test_accuracy');
    expect(readOutputs()).toMatchObject({ verdict: 'none', metrics: expect.any(String) });
    expect(readOutputs()).not.toHaveProperty('comment-url');
    expect(github.comments(7)).toEqual([]);
    // The summary is reason enough; without it there is nothing to write.
    expect(await run([task], push)).toMatchObject({ exitCode: 0 });
    expect(await run([task, '--no-summary'], push)).toMatchObject({ exitCode: 2 });
    expect(await run([task, ...STATUS], { ...push, GITHUB_SHA: NEWER })).toMatchObject({ exitCode: 0 });
    expect(statesOf(NEWER)).toEqual([]);
    // With paths the mark that its launch put on the ended task tells.
    writeSettings('paths: [train.py]\n');
    const marked = await trainTask(0.97, 'completed', { tags: [`base:main:${NEWER}`] });
    await run([marked, '--config', 'settings.yml', ...STATUS], { ...push, GITHUB_SHA: NEWER });
    expect(statesOf(NEWER)).toEqual(['success']);
  });
});

describe('in a merge queue', () => {
  const repository = createScratchRepository();
  const base = repository.commit('Train', { 'train.py': 'a', '.github/clearml-ci.yml': 'status: ClearML\n' });
  repository.git('checkout', '--quiet', '-b', 'topic');
  const head = repository.commit('Train otherwise', { 'train.py': 'b' });
  // The queue merges: another commit with the same tree.
  const group = repository.commit('Merge pull request 7', { 'train.py': 'b' });
  const tree = repository.git('rev-parse', `${group}^{tree}`);
  afterAll(() => repository.remove());

  const train = async (commit: string, accuracy: number | undefined, event: string, code?: string) => {
    const runtime = { ci_key: commit, ci_pipeline: directory, ci_event: event, ci_run: '1' };
    const id = await driver.createTask({
      name: 'train',
      script: { repository: 'https://github.com/acme/digits.git', branch: 'main', version_num: commit },
      runtime: code === undefined ? runtime : { ...runtime, ci_code: code },
    });
    await driver.call('tasks.enqueue', { task: id, queue_name: 'default' });
    await driver.startTask(id);
    if (accuracy === undefined) return id;
    await driver.reportScalars(id, 'test_accuracy', 'accuracy', [accuracy]);
    await driver.completeTask(id);
    return id;
  };

  const inQueue = () => {
    const event = {
      merge_group: {
        head_sha: group,
        head_ref: 'refs/heads/gh-readonly-queue/main/pr-7-x',
        base_ref: 'refs/heads/main',
      },
      repository: { clone_url: 'https://github.com/acme/digits.git', default_branch: 'main' },
    };
    writeFileSync(join(directory, 'event.json'), JSON.stringify(event));
    return makeEnv({
      PR_NUMBER: '',
      GITHUB_EVENT_NAME: 'merge_group',
      GITHUB_EVENT_PATH: join(directory, 'event.json'),
      GITHUB_REF: 'refs/heads/gh-readonly-queue/main/pr-7-x',
      GITHUB_SHA: group,
    });
  };

  test('a pending status ends as an error once its training is gone, and the summary says so', async () => {
    await replaceGithub({ ...MAY_WRITE, pulls: [], gitDir: repository.directory });
    const env = inQueue();
    const task = await train(group, undefined, 'merge_group');
    await run([task, ...STATUS, '--no-gate', '--no-summary'], env);
    await driver.call('tasks.delete', { task, force: true });
    expect(await run([task, ...STATUS], env)).toMatchObject({ exitCode: 10, stdout: '' });
    expect(statesOf(group)).toEqual(['pending', 'error']);
    expect(readFileSync(join(directory, 'summary.md'), 'utf8')).toContain(`ClearML has no task`);
  });

  test('groups that wait at the same time share a training, whatever the setting paths says', async () => {
    await replaceGithub({ ...MAY_WRITE, pulls: [], gitDir: repository.directory });
    writeSettings('paths: [train.py]\n');
    const later = `${'2'.repeat(40)} main https://github.com/acme/digits.git`;
    const task = await trainTask(0.9, 'completed', { runtime: { ci_use_queue: later } });
    await run([task, '--config', 'settings.yml', ...STATUS], inQueue());
    expect(statesOf(group)).toEqual(['success']);
  });

  test('the group’s commit has the status of the training of its tree, against the base branch', async () => {
    await replaceGithub({ ...MAY_WRITE, pulls: [], gitDir: repository.directory });
    await train(base, 0.9, 'push');
    const task = await train(head, 0.95, 'pull_request', tree);
    const { exitCode, stdout } = await run([task, '--json'], inQueue());
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      pullRequest: null,
      baseline: { kind: 'found', commit: base },
      metrics: [{ value: expect.closeTo(0.95), baseline: expect.closeTo(0.9) }],
    });
    expect([statesOf(group), statesOf(head)]).toEqual([['success'], []]);
    expect(latest(group)?.description).toContain('against main');
    expect(readFileSync(join(directory, 'summary.md'), 'utf8')).toContain('test_accuracy');
  });
});

describe('the context', () => {
  test('that another pipeline’s comment has is a mistake of the settings', async () => {
    await replaceGithub(MAY_WRITE);
    await run([await trainTask(), ...STATUS]);
    const fraud = [await trainTask(0.5), '--comment-key', 'fraud'];
    const { exitCode, stderr } = await run([...fraud, '--status', 'clearml']);
    expect(exitCode).toBe(2);
    expect(stderr).toContain('the commit status clearml carries the verdict of another comment: http');
    expect(statesOf()).toEqual(['success']);
    expect(await run([...fraud, '--status', 'Fraud'])).toMatchObject({ exitCode: 0 });
    expect(github.statuses(HEAD).map(({ context }) => context)).toEqual(['ClearML', 'Fraud']);
  });

  test.each(['', ' ', 'x'.repeat(256), 'two\nlines'])('%j is refused', async (context) => {
    writeSettings(`status: ${JSON.stringify(context)}\n`);
    const task = await trainTask();
    expect(await run([task, '--config', 'settings.yml'])).toMatchObject({ exitCode: 2 });
    // A flag that is set to nothing counts as left out.
    if (context.trim() !== '')
      expect(await run([task, '--status', context])).toMatchObject({ exitCode: 2, stdout: '' });
  });

  test('of a settings file that the base branch does not have yet counts', async () => {
    await replaceGithub(MAY_WRITE);
    writeSettings('status: From settings\n');
    await run([await trainTask(), '--config', 'settings.yml']);
    expect(latest()?.context ?? 'none').toBe('From settings');
  });
});
