import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { main } from '../check-task-running.ts';
import { createPatientClock } from '../dev/patient-clock.ts';
import { runProgramHere } from '../dev/program-run.ts';
import { startGithubSandbox } from '../sandbox/github-server.ts';
import { hashPipeline, hashText } from '../training/pipeline.ts';
import {
  check,
  createQueuedTask,
  createRunningTask,
  createTask,
  driver,
  folder,
  inActions,
  launchedBy,
  plan,
  sandbox,
  setUpChecks,
  statusOf,
} from './check-task-setup.ts';

setUpChecks();

describe('--abort', () => {
  const named = plan(async () => {
    const ids = [await createQueuedTask(), await createRunningTask(), await createTask()];
    return { ids, run: await check(['--abort', ...ids, '--timeout', '5m', '--no-logs']) };
  });
  const inRun = plan(async () => {
    const ids = [await createRunningTask(launchedBy('1000')), await createRunningTask(launchedBy('999'))];
    return { ids, run: await check(['--abort', ids.join(' ')], { env: inActions() }) };
  });
  const env = { ...inActions('1001'), GITHUB_REPOSITORY: 'acme/digits', PR_NUMBER: '70' };
  const ofPullRequest = plan(async () => {
    const repository = 'github.com/acme/digits';
    const pipeline = await hashPipeline({ repository, project: 'digits', taskName: 'train_model' });
    const runtime = { ci_pipeline: pipeline, ci_pull_request: '70', ci_run: '1000', ci_launch: 'token' };
    const ours = [await createQueuedTask({ runtime }), await createRunningTask({ runtime, tags: ['pr:70'] })];
    const others = [
      await createRunningTask({ runtime, tags: ['pr:70', 'pr:71'] }),
      await createRunningTask({ runtime: { ...runtime, ci_pull_request: '71' } }),
      await createRunningTask({ runtime: { ...runtime, ci_pipeline: 'f'.repeat(32) } }),
      await createRunningTask({ tags: ['pr:70'] }),
    ];
    return { ours, others, run: await check(['--abort', '--json'], { env }) };
  });

  test('gives up after two minutes with 9, and gives the link', async () => {
    const id = await createRunningTask();
    await driver.call('workers.register', { worker: 'stubborn:abort' });
    const report = { worker: 'stubborn:abort', task: id, timestamp: Date.now() };
    await driver.call('workers.status_report', report);
    const clock = createPatientClock();
    const beganAtMs = clock.now();
    const run = await runProgramHere(main, { args: ['--abort', id], env: sandbox.env, cwd: folder, clock });
    expect(run).toMatchObject({ exitCode: 9, stdout: 'in_progress\n' });
    expect(run.stderr).toContain(`error: not confirmed: ${id} may still run`);
    expect(run.stderr).toContain(`/tasks/${id}/output/log`);
    expect(clock.now() - beganAtMs).toBeGreaterThanOrEqual(120_000);
  });

  test('ends the tasks that are named, wherever they are', async () => {
    const { ids, run } = await named();
    expect(run).toMatchObject({ exitCode: 0, stdout: 'created\nstopped\ncreated\n' });
    expect(await Promise.all(ids.map(statusOf))).toEqual(['created', 'stopped', 'created']);
  });

  test('in Actions leaves what is not this run’s, and says so', async () => {
    const { ids, run } = await inRun();
    expect(run).toMatchObject({ exitCode: 0, stdout: 'stopped\nin_progress\n' });
    expect(run.stderr).toContain(`leaving task ${ids[1]} alone`);
  });

  test('without ids ends every unfinished task of the pull request and pipeline, and no other', async () => {
    const { ours, others, run } = await ofPullRequest();
    expect(run.exitCode).toBe(0);
    expect(await Promise.all(ours.map(statusOf))).toEqual(['created', 'stopped']);
    expect(new Set(await Promise.all(others.map(statusOf)))).toEqual(new Set(['in_progress']));
  });

  test.each([
    ['a cancelled run of a pull request ends what it has launched', 'pull_request', 'synchronize', false],
    ['a cancelled run by hand too', 'workflow_dispatch', undefined, false],
    ['one that follows another workflow too', 'workflow_run', 'completed', false],
    ['one that follows a review too', 'pull_request_review', 'submitted', false],
    ['a closed pull request ends all', 'pull_request', 'closed', true],
    ['a comment ends all', 'issue_comment', 'created', true],
    ['the comment /abort does', 'issue_comment', 'created', true, '/abort'],
    [
      'a cancelled run of the comment /train ends what it has launched',
      'issue_comment',
      'created',
      false,
      '/train',
    ],
    ['whatever follows it', 'issue_comment', 'created', false, '/trainx\nplease'],
  ] as const)('without ids %s', async (_, eventName, action, endsAll, body: string | undefined = '') => {
    const repository = 'github.com/acme/digits';
    const pipeline = await hashPipeline({ repository, project: 'digits', taskName: 'train_model' });
    const runtime = { ci_pipeline: pipeline, ci_pull_request: '90', ci_launch: 'token' };
    const own = await createRunningTask({ runtime: { ...runtime, ci_run: '1001' } });
    const other = await createQueuedTask({ runtime: { ...runtime, ci_run: '1002' } });
    const head = {
      ref: 'topic',
      sha: 'a'.repeat(40),
      repo: { clone_url: 'https://github.com/acme/digits.git' },
    };
    const pull = { number: 90, head, base: { ref: 'main', sha: 'b'.repeat(40) } };
    const event = join(folder, `${eventName} ${action}${body.replace(/\W/g, ' ')}.json`);
    await writeFile(
      event,
      JSON.stringify(
        eventName === 'pull_request'
          ? { action, pull_request: pull }
          : { action, issue: { number: 90, pull_request: {} }, comment: { body } },
      ),
    );
    const run = await runProgramHere(main, {
      args: ['--abort'],
      env: {
        ...sandbox.env,
        ...env,
        PR_NUMBER: '90',
        GITHUB_EVENT_NAME: eventName,
        GITHUB_EVENT_PATH: event,
      },
      cwd: folder,
      clock: createPatientClock(),
    });
    expect(run.exitCode).toBe(0);
    expect(await statusOf(own)).toBe('stopped');
    expect(await statusOf(other)).toBe(endsAll ? 'created' : 'queued');
    await driver.call('tasks.delete', { task: other, force: true });
  });

  const renamed = plan(async () => {
    const launch = (repository: string, runtime: Record<string, string> = {}) =>
      createQueuedTask({
        runtime: { ci_pipeline: 'e'.repeat(32), ci_pull_request: '91', ci_launch: 'token', ...runtime },
        script: { repository },
      });
    const place = await hashText('github.com/acme/digits');
    const ours = [
      await launch('https://github.com/acme/digits.git'),
      await launch('git@github.com:Acme/digits.git'),
      await launch('https://github.com/mallory/digits.git', { ci_due: place }),
    ];
    const others = [
      await launch('https://github.com/acme/letters.git'),
      await launch('https://github.com/acme/digits.git', { ci_pull_request: '92' }),
      await launch('https://github.com/acme/digits.git', { ci_use_92: `${'a'.repeat(40)} topic` }),
    ];
    const event = join(folder, 'abort renamed.json');
    const comment = {
      action: 'created',
      issue: { number: 91, pull_request: {} },
      comment: { body: '/abort' },
    };
    await writeFile(event, JSON.stringify(comment));
    const abort = (...args: string[]) =>
      check(['--abort', ...args], {
        env: { ...env, PR_NUMBER: '91', GITHUB_EVENT_NAME: 'issue_comment', GITHUB_EVENT_PATH: event },
      });
    const named = await abort('--task-name', 'train_model');
    return { ours, others, named, run: await abort() };
  });

  test('for /abort and a closed pull request ends those of a pipeline that it has renamed too', async () => {
    const { ours, others, named, run } = await renamed();
    expect(named.stderr).toContain('Nothing to abort');
    expect(run.exitCode).toBe(0);
    expect(await Promise.all(ours.map(statusOf))).toEqual(['created', 'created', 'created']);
    expect(await Promise.all(others.map(statusOf))).toEqual(['queued', 'queued', 'queued']);
  });

  const shared = plan(async () => {
    const repository = 'github.com/acme/digits';
    const pipeline = await hashPipeline({ repository, project: 'digits', taskName: 'train_model' });
    const runtime = { ci_pipeline: pipeline, ci_pull_request: '81', ci_run: '1000', ci_launch: 'token' };
    const tags = ['pr:81', 'pr:82'];
    const id = await createRunningTask({ runtime, tags });
    const ofPush = await createRunningTask({ runtime: { ci_pipeline: pipeline, ci_run: '9' }, tags });
    const close = async (pullRequest: string) => ({
      run: await check(['--abort'], { env: { ...env, PR_NUMBER: pullRequest } }),
      tags: (await driver.getTask(id)).tags,
      status: await statusOf(id),
    });
    return { id, ofPush, first: await close('81'), last: await close('82') };
  });

  test('a task that two pull requests share is ended by the second that closes', async () => {
    const { id, ofPush, first, last } = await shared();
    expect(first).toMatchObject({ tags: ['pr:82'], status: 'in_progress', run: { exitCode: 0 } });
    expect(first.run.stderr).toContain(
      `leaving task ${id} alone: another pull request, or a branch, uses it too`,
    );
    expect(last.run.stderr).toContain(`leaving task ${ofPush} alone: it was not launched for a pull request`);
    expect(last).toMatchObject({ status: 'stopped', run: { exitCode: 0 } });
    expect(await statusOf(ofPush)).toBe('in_progress');
  });

  test('without ids and with nothing to end is done at once', async () => {
    const args = ['--abort', '--json'];
    const run = await runProgramHere(main, {
      args,
      env: { ...sandbox.env, ...env, PR_NUMBER: '72' },
      cwd: folder,
    });
    expect(run).toMatchObject({ exitCode: 0, stdout: '{"tasks":[]}\n' });
  });

  test('without ids and without a pull request is a mistake', async () => {
    const run = await runProgramHere(main, {
      args: ['--abort'],
      env: { ...sandbox.env, ...inActions() },
      cwd: folder,
    });
    expect(run).toMatchObject({ exitCode: 2, stdout: '' });
    expect(run.stderr).toContain('PR_NUMBER');
  });

  test.each([
    ['a number that is none', { PR_NUMBER: 'seven' }, 'PR_NUMBER is not the number of a pull request'],
    [
      'an event file that is not there',
      { GITHUB_EVENT_PATH: '/no' },
      'the event file that GITHUB_EVENT_PATH names',
    ],
  ])('names the keys and %s at once', async (_, env, text) => {
    const run = await runProgramHere(main, { args: ['--abort'], env, cwd: folder });
    expect(run.exitCode).toBe(2);
    for (const wrong of ['CLEARML_API_ACCESS_KEY and', text]) expect(run.stderr).toContain(wrong);
    expect(run.stderr).not.toContain('--abort needs');
  });

  test('without anything names the keys and the pull request at once', async () => {
    const run = await runProgramHere(main, { args: ['--abort'], env: {}, cwd: folder });
    expect(run.exitCode).toBe(2);
    for (const name of ['CLEARML_API_ACCESS_KEY', 'CLEARML_API_SECRET_KEY', 'PR_NUMBER'])
      expect(run.stderr).toContain(name);
  });
});

describe('the comment /abort that fails', () => {
  test.each([
    ['/abort', 1],
    ['/train', 0],
  ])('is answered: %s', async (body, answers) => {
    const pull = { number: 7, headRef: 'topic', headSha: '1'.repeat(40), baseRef: 'main' };
    const github = await startGithubSandbox({ pulls: [pull] });
    try {
      const event = join(folder, 'abort-event.json');
      await writeFile(event, JSON.stringify(await github.commentEvent({ pull: 7, author: 'ada', body })));
      const env = {
        ...inActions(),
        ...github.env,
        GITHUB_EVENT_NAME: 'issue_comment',
        GITHUB_EVENT_PATH: event,
        CLEARML_API_SECRET_KEY: 'wrong',
      };
      expect(await check(['--abort'], { env })).toMatchObject({ exitCode: 8 });
      const ours = github.comments(7).filter(({ author }) => author === 'github-actions[bot]');
      expect(ours).toHaveLength(answers);
      for (const one of ours)
        expect(one.body).toMatch(/^<!--.*\n\[This command\].* failed .*:\s+```text\nClearML refused/);
    } finally {
      await github.close();
    }
  });
});
