import { describe, expect, test } from '@jest/globals';
import { formatMarker, formatOlderKey } from '../github/comments.ts';
import { identifyRepository } from '../shell/git-url.ts';
import { hashPipeline } from '../training/pipeline.ts';
import {
  driver,
  github,
  makeEnv,
  replaceGithub,
  run,
  setUpComments,
  trainTask,
  writeSettings,
} from './comment-setup.ts';

setUpComments();

const OF_PIPELINE = { runtime: { ci_pipeline: 'a'.repeat(32) } };
const BOT = 'github-actions[bot]';

/** The comments on the pull request, by what they begin with. */
function readAccuracies(): string[] {
  return github.comments(7).map(({ body }) => /\*\*(0\.\d+)\*\*/.exec(body)?.[1] ?? body);
}

/** What a launch of `train digits` with the default settings writes. */
function hashOwnPipeline(): Promise<string> {
  const repository = identifyRepository(`${github.serverUrl}/acme/digits`);
  return hashPipeline({ repository, project: 'digits', taskName: 'train digits' });
}

function formatOlderMarker(taskName: string, workflow = 'ClearML CI/CD', job = 'train'): string {
  return formatMarker(formatOlderKey({ workflow, job, taskName }));
}

describe('without --comment-key', () => {
  test('every workflow and job of a pipeline updates one comment, whatever the settings', async () => {
    const [first, second] = [
      await trainTask(0.9, 'completed', OF_PIPELINE),
      await trainTask(0.8, 'completed', OF_PIPELINE),
    ];
    await run([first], makeEnv({ GITHUB_WORKFLOW: 'ClearML CI/CD', GITHUB_JOB: 'train' }));
    writeSettings('project: another\nseeds: 2\nparams: { lr: 1 }\nalpha: 0.1\n');
    const args = [second, '--config', 'settings.yml', '--no-gate'];
    await run(args, makeEnv({ GITHUB_WORKFLOW: 'Collect', GITHUB_JOB: 'due' }));
    expect(readAccuracies()).toEqual(['0.8']);
  });

  test('the legs of a matrix have one comment each, and no leg takes that of another', async () => {
    const runtimeOf = (leg: string) => ({ runtime: { ...OF_PIPELINE.runtime, ci_leg: leg } });
    const [small, large] = [runtimeOf('11111111'), runtimeOf('22222222')];
    await run([await trainTask(0.7, 'completed', small)]);
    await run([await trainTask(0.9, 'completed', large)]);
    await run([await trainTask(0.5, 'completed', OF_PIPELINE)]);
    expect(readAccuracies()).toEqual(['0.7', '0.9', '0.5']);
    await run([await trainTask(0.75, 'completed', small)]);
    expect(readAccuracies()).toEqual(['0.75', '0.9', '0.5']);
  });

  test('the order of the tasks decides nothing', async () => {
    const one = await trainTask(0.7, 'completed', { runtime: { ...OF_PIPELINE.runtime, ci_leg: '1' } });
    const two = await trainTask(0.7, 'completed', { runtime: { ...OF_PIPELINE.runtime, ci_leg: '2' } });
    await run([one, two]);
    await run([two, one]);
    expect(github.comments(7)).toHaveLength(1);
  });

  test('pipelines with tasks of one name have one comment each', async () => {
    await run([await trainTask(0.7, 'completed', OF_PIPELINE)]);
    await run([await trainTask(0.9, 'completed', { runtime: { ci_pipeline: 'b'.repeat(32) } })]);
    expect(readAccuracies()).toEqual(['0.7', '0.9']);
  });

  test('a training that renames its task keeps its comment', async () => {
    const task = await trainTask(0.7, 'in_progress', OF_PIPELINE);
    await run([task]);
    await driver.call('tasks.edit', { task, name: 'run of today', force: true });
    await driver.completeTask(task);
    await run([task]);
    expect(github.comments(7)).toEqual([
      expect.objectContaining({ body: expect.stringContaining('run of today') }),
    ]);
  });

  test('a task that was reset, and has lost what the launch wrote, keeps its comment', async () => {
    const ci_pipeline = await hashOwnPipeline();
    const task = await trainTask(0.7, 'failed', { runtime: { ci_pipeline } });
    await run([task]);
    await driver.call('tasks.edit', { task, runtime: {}, force: true });
    await run([task]);
    expect(github.comments(7)).toHaveLength(1);
  });
});

describe('a comment of version 0.1', () => {
  const post = (body: string, author = BOT) =>
    replaceGithub({ comments: [{ pull: 7, author, body: `${body}\nof old` }] });
  const own = { GITHUB_WORKFLOW: 'ClearML CI/CD', GITHUB_JOB: 'train' };

  test.each([
    ['by this workflow and job', formatOlderMarker('train digits')],
    ['by another workflow', formatOlderMarker('train digits', 'Nightly')],
    ['by a run outside Actions', formatOlderMarker('train digits', '', '')],
  ])('%s is taken over, once', async (_, marker) => {
    await post(marker);
    const [old] = github.comments(7);
    await run([await trainTask(0.7, 'completed', OF_PIPELINE)], makeEnv(own));
    await run([await trainTask(0.9, 'completed', OF_PIPELINE)], makeEnv({ ...own, GITHUB_JOB: 'other' }));
    expect(github.comments(7)).toEqual([
      expect.objectContaining({ id: old?.id, body: expect.stringContaining('**0.9**') }),
    ]);
    expect(github.comments(7)[0]?.body).toContain('comment: pipeline');
  });

  test('under the launched name is taken over though the training renames its task', async () => {
    writeSettings('project: digits\ntask-name: train digits\n');
    await post(formatOlderMarker('train digits'));
    const ci_pipeline = await hashOwnPipeline();
    const task = await trainTask(0.7, 'completed', { name: 'run of today', runtime: { ci_pipeline } });
    await run([task, '--config', 'settings.yml'], makeEnv(own));
    expect(readAccuracies()).toEqual(['0.7']);
  });

  test.each([
    ['of another task', formatOlderMarker('train letters'), BOT, {}],
    ['by somebody else', formatOlderMarker('train digits'), 'mallory', {}],
    ['of a key', formatMarker('train digits'), BOT, {}],
    ['beside a key of its own', formatOlderMarker('train digits'), BOT, ['--comment-key', 'cpu']],
  ])('%s is left alone', async (_, marker, author, flags) => {
    await post(marker, author);
    await run(
      [await trainTask(0.7, 'completed', OF_PIPELINE), ...(Array.isArray(flags) ? flags : [])],
      makeEnv(own),
    );
    expect(github.comments(7)).toEqual([
      expect.objectContaining({ body: `${marker}\nof old` }),
      expect.objectContaining({ body: expect.stringContaining('**0.7**') }),
    ]);
  });

  test('that an old branch has posted beside the new one is merged into it', async () => {
    await run([await trainTask(0.7, 'completed', OF_PIPELINE)], makeEnv(own));
    const marked = github.comments(7)[0]?.body ?? '';
    await replaceGithub({
      comments: [
        { pull: 7, author: BOT, body: marked },
        { pull: 7, author: BOT, body: `${formatOlderMarker('train digits')}\nof old` },
      ],
    });
    await run([await trainTask(0.9, 'completed', OF_PIPELINE)], makeEnv(own));
    expect(readAccuracies()).toEqual(['0.9']);
  });
});
