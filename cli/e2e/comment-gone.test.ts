import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { identifyRepository } from '../shell/git-url.ts';
import { hashPipeline } from '../training/pipeline.ts';
import {
  directory,
  driver,
  github,
  makeEnv,
  readOutputs,
  replaceGithub,
  run,
  setUpComments,
  startProxy,
  trainTask,
} from './comment-setup.ts';

setUpComments();

let pulls = 7;

/** What a launch of `train digits` for this pull request writes. Each test has a pull request of its own: a number. */
async function describeLaunch(more: Readonly<Record<string, string>> = {}, pull = String(pulls)) {
  const repository = identifyRepository(`${github.serverUrl}/acme/digits`);
  const ci_pipeline = await hashPipeline({ repository, project: 'digits', taskName: 'train_model' });
  return { name: 'train_model', runtime: { ci_pipeline, ci_pull_request: pull, ...more } };
}

async function beginPull(): Promise<Record<string, string>> {
  pulls += 1;
  await replaceGithub({
    pulls: [{ number: pulls, headSha: '1'.repeat(40), headRef: 'topic', baseRef: 'main' }],
  });
  return makeEnv({ PR_NUMBER: String(pulls) });
}

const readBodies = () => github.comments(pulls).map(({ body }) => body);
const remove = (task: string) => driver.call('tasks.delete', { task, force: true });

describe('a task that is gone', () => {
  test('is said in the comment that reported it, in the summary and by exit code 10', async () => {
    const env = await beginPull();
    const task = await trainTask(0.9, 'in_progress', await describeLaunch());
    await run([task], env);
    const [before] = github.comments(pulls);
    await remove(task);
    const gone = await run([task], { ...env, GITHUB_RUN_ID: '42' });
    expect(gone).toMatchObject({
      exitCode: 10,
      stdout: expect.stringContaining(`issuecomment-${before?.id}`),
    });
    expect(gone.stderr).toContain(`error: ClearML has no task ${task}`);
    const [after, ...more] = github.comments(pulls);
    expect(more).toEqual([]);
    expect(after?.id).toBe(before?.id);
    expect(after?.body.split('\n').slice(0, 2)).toEqual([
      before?.body.split('\n')[0],
      `### ClearML has no task \`${task}\``,
    ]);
    expect(after?.body).toContain('/acme/digits/actions/runs/42');
    expect(after?.body).not.toMatch(/running|0\.9/);
    expect(readFileSync(join(directory, 'summary.md'), 'utf8')).toContain(
      `### ClearML has no task \`${task}\``,
    );
    expect(readOutputs()['comment-id']).toBe(String(before?.id));
    await run([await trainTask(0.8, 'completed', await describeLaunch())], env);
    expect(readBodies()).toEqual([expect.stringContaining('**0.8**')]);
  });

  test('is said in a comment of its own where no report came before', async () => {
    const env = await beginPull();
    expect(await run(['a'.repeat(32)], env)).toMatchObject({ exitCode: 10 });
    expect(readBodies()).toEqual([expect.stringContaining(`### ClearML has no task \`${'a'.repeat(32)}\``)]);
    await run([await trainTask(0.8, 'completed', await describeLaunch())], env);
    expect(readBodies()).toEqual([expect.stringContaining('**0.8**')]);
  });

  test('leaves the comments of the other legs and keys alone', async () => {
    const env = await beginPull();
    const [one, two] = [
      await trainTask(0.7, 'in_progress', await describeLaunch({ ci_leg: '1' })),
      await trainTask(0.9, 'completed', await describeLaunch({ ci_leg: '2' })),
    ];
    await run([one], env);
    await run([two], env);
    await run([one, '--comment-key', 'mine'], env);
    await remove(one);
    expect((await run([one], env)).exitCode).toBe(10);
    expect(readBodies()).toEqual([
      expect.stringContaining('ClearML has no task'),
      expect.stringContaining('**0.9**'),
      expect.stringContaining('**0.7**'),
    ]);
    expect((await run([one, '--comment-key', 'mine'], env)).exitCode).toBe(10);
    expect(readBodies()[2]).toContain('ClearML has no task');
  });

  test('is said beside the state of those that are there', async () => {
    const env = await beginPull();
    const [one, two] = [
      await trainTask(0.7, 'completed', await describeLaunch()),
      await trainTask(0.9, 'in_progress', await describeLaunch()),
    ];
    await run([one, two], env);
    await remove(one);
    expect((await run([one, two], env)).exitCode).toBe(10);
    expect(readBodies()).toEqual([
      expect.stringMatching(new RegExp(`no task \`${one}\`[\\s\\S]*${two}.*: running`)),
    ]);
  });

  test('is not written into a comment of somebody else that names it', async () => {
    const env = await beginPull();
    const task = await trainTask(0.9, 'completed', await describeLaunch());
    const { stdout: planted } = await run([task, '--dry-run'], env);
    await replaceGithub({
      pulls: [{ number: pulls, headSha: '1'.repeat(40), headRef: 'topic', baseRef: 'main' }],
      comments: [{ pull: pulls, author: 'mallory', body: planted }],
    });
    await remove(task);
    expect((await run([task], makeEnv({ PR_NUMBER: String(pulls) }))).exitCode).toBe(10);
    expect(readBodies()).toEqual([planted, expect.stringContaining('ClearML has no task')]);
  });

  test('is printed by a dry run, and posted nowhere', async () => {
    const env = await beginPull();
    const { exitCode, stdout } = await run(['a'.repeat(32), '--dry-run'], env);
    expect(exitCode).toBe(10);
    expect(stdout).toMatch(/^<!-- clearml-ci-cd comment: pipeline.*\n### ClearML has no task/);
    expect(readBodies()).toEqual([]);
    expect(existsSync(join(directory, 'summary.md'))).toBe(false);
  });

  test('is told though GitHub refuses to list the comments, which decides the exit code', async () => {
    const env = await beginPull();
    const proxy = await startProxy(github.apiUrl, ({ path }) =>
      path.includes('/comments') ? { kind: 'answer', status: 403, body: '{"message":"no"}' } : undefined,
    );
    const { exitCode, stderr } = await run(['a'.repeat(32)], { ...env, GITHUB_API_URL: proxy.url });
    expect(exitCode).toBe(8);
    expect(stderr).toContain('ClearML has no task');
  });
});

describe('without task ids', () => {
  test('the newest task of the pull request and the pipeline is reported', async () => {
    const env = await beginPull();
    await trainTask(0.5, 'completed', await describeLaunch());
    await trainTask(0.6, 'completed', await describeLaunch());
    await trainTask(0.7, 'completed', await describeLaunch({ ci_pipeline: 'b'.repeat(32) }));
    await trainTask(0.8, 'completed', await describeLaunch({}, '6'));
    expect(await run([], env)).toMatchObject({ exitCode: 0 });
    expect(readBodies()).toEqual([expect.stringContaining('**0.6**')]);
    expect(await run(['', ' '], env)).toMatchObject({ exitCode: 0 });
    expect(readBodies()).toHaveLength(1);
  });

  test('those of the commit that PR_COMMIT names come before newer ones', async () => {
    const env = await beginPull();
    await trainTask(0.7, 'completed', await describeLaunch());
    const ofAnother = { [`ci_use_${pulls}`]: `${'2'.repeat(40)} topic https://github.com/acme/digits.git` };
    await trainTask(0.6, 'completed', await describeLaunch(ofAnother));
    await run([], env);
    expect(readBodies()).toEqual([expect.stringContaining('**0.6**')]);
    await run([], { ...env, PR_COMMIT: '1'.repeat(40) });
    expect(readBodies()).toEqual([expect.stringContaining('**0.7**')]);
  });

  test('the pipeline may be named by its options, which ids leave without effect', async () => {
    const env = await beginPull();
    const task = await trainTask(0.5, 'completed', await describeLaunch());
    const names = ['--project', 'digits', '--task-name', 'train_model'];
    expect(await run(['--task-name', 'another'], env)).toMatchObject({ exitCode: 10 });
    expect(await run(names, { ...env, GITHUB_REPOSITORY: 'acme/digits' })).toMatchObject({ exitCode: 0 });
    expect(readBodies()).toContainEqual(expect.stringContaining('**0.5**'));
    const idle = await run([task, ...names], env);
    expect(idle).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('--project has no effect') });
  });

  test.each([
    ['carries its tag', (number: number) => ({ tags: [`pr:${number}`] })],
    [
      'names it as a user',
      (number: number) => ({ use: { [`ci_use_${number}`]: `${'1'.repeat(40)} topic` } }),
    ],
  ])('a task that %s counts, launched for another one', async (_, mark) => {
    const env = await beginPull();
    const { tags, use } = { tags: [], use: {}, ...mark(pulls) };
    const fields = await describeLaunch(use, '3');
    await trainTask(0.6, 'completed', { ...fields, tags });
    expect(await run([], env)).toMatchObject({ exitCode: 0 });
    expect(readBodies()).toEqual([expect.stringContaining('**0.6**')]);
  });

  test('each leg of a matrix has its comment updated', async () => {
    const env = await beginPull();
    for (const [leg, accuracy] of [
      ['1', 0.6],
      ['2', 0.7],
    ] as const) {
      const task = await trainTask(accuracy, 'in_progress', await describeLaunch({ ci_leg: leg }));
      await run([task], env);
      await driver.completeTask(task);
    }
    for (const body of readBodies()) expect(body).toContain('is running');
    expect((await run([], env)).exitCode).toBe(0);
    expect(readBodies()).toHaveLength(2);
    for (const body of readBodies()) expect(body).not.toContain('is running');
  });

  test('a pull request that has none any more is said in its comments, with exit code 10', async () => {
    const env = await beginPull();
    for (const leg of ['1', '2']) {
      const task = await trainTask(0.6, 'in_progress', await describeLaunch({ ci_leg: leg }));
      await run([task], env);
      await remove(task);
    }
    const before = github.comments(pulls).map(({ id, body }) => [id, body.split('\n')[0]]);
    expect((await run([], env)).exitCode).toBe(10);
    expect(github.comments(pulls).map(({ id, body }) => [id, body.split('\n')[0]])).toEqual(before);
    for (const body of readBodies()) expect(body).toContain('### This pull request has no task in ClearML');
  });

  test('a pull request that never had one gets no comment', async () => {
    const env = await beginPull();
    const { exitCode, stderr } = await run([], env);
    expect(exitCode).toBe(10);
    expect(stderr).toContain(`error: ClearML has no task of pull request ${pulls} and this pipeline`);
    expect(readBodies()).toEqual([]);
    expect(existsSync(join(directory, 'summary.md'))).toBe(false);
  });

  test('and is no failure with --no-gate: the workflow reports so what is closed or cancelled before any launch', async () => {
    const env = await beginPull();
    // With --json there is no document to print.
    expect(await run(['--no-gate', '--json', '--dry-run'], env)).toMatchObject({ exitCode: 10, stdout: '' });
    const dry = await run(['--no-gate', '--dry-run'], env);
    expect(dry).toMatchObject({ exitCode: 0, stdout: '' });
    expect(dry.stderr).toContain('Nothing to report: ClearML has no task of pull request');
    const { exitCode, stdout, stderr } = await run(['--no-gate'], env);
    expect([exitCode, stdout]).toEqual([0, '']);
    expect(stderr).toContain('Nothing to report: ClearML has no task of pull request');
    expect(stderr).not.toContain('::error');
    expect(await run(['--no-gate', '--json'], env)).toMatchObject({ exitCode: 10, stdout: '' });
    expect(readBodies()).toEqual([]);
  });

  test('nor a pull request there is nothing to report: exit 2', async () => {
    const { PR_NUMBER: _, ...env } = await beginPull();
    expect(await run([], env)).toMatchObject({ exitCode: 2 });
    const dry = await run(['', '--dry-run'], env);
    expect(dry).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('neither a task nor a pull request'),
    });
  });
});
