import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import { createScratchRepository } from '../dev/scratch-repository.ts';
import { identifyRepository } from '../shell/git-url.ts';
import { hashPipeline } from '../training/pipeline.ts';
import { directory, driver, github, makeEnv, replaceGithub, run, setUpComments } from './comment-setup.ts';

setUpComments();

const repository = createScratchRepository();
const base = repository.commit('Train', { 'train_model.py': 'a' });
repository.git('checkout', '--quiet', '-b', 'topic');
const head = repository.commit('Train otherwise', { 'train_model.py': 'b' });
repository.git('checkout', '--quiet', 'main');
repository.git('merge', '--quiet', '--no-ff', '-m', 'Merge', 'topic');

afterAll(() => repository.remove());

beforeEach(() =>
  replaceGithub({
    gitDir: repository.directory,
    pulls: [{ number: 7, headSha: head, headRef: 'topic', baseRef: 'main', baseSha: base }],
  }),
);

async function train(
  commit: string,
  accuracy: number,
  end: 'completed' | 'in_progress' = 'completed',
): Promise<string> {
  const place = identifyRepository(`${github.serverUrl}/acme/digits`);
  const task = await driver.createTask({
    name: 'train_model',
    script: {
      repository: 'https://github.com/acme/digits.git',
      branch: commit === base ? 'main' : 'topic',
      version_num: commit,
    },
    runtime: {
      ci_key: `${commit} ${accuracy}`,
      ci_pipeline: await hashPipeline({ repository: place, project: 'digits', taskName: 'train_model' }),
      ci_code: repository.git('rev-parse', `${commit}^{tree}`),
      ...(commit === base ? { ci_event: 'push' } : { ci_event: 'pull_request', ci_pull_request: '7' }),
    },
  });
  await driver.call('tasks.enqueue', { task, queue_name: 'default' });
  await driver.startTask(task);
  await driver.reportScalars(task, 'test_accuracy', 'accuracy', [accuracy]);
  if (end === 'completed') await driver.completeTask(task);
  return task;
}

async function makeClosedEnv(): Promise<Record<string, string>> {
  const event = join(directory, 'event.json');
  writeFileSync(event, JSON.stringify(await github.pullRequestEvent(7, 'closed')));
  return makeEnv({ GITHUB_EVENT_NAME: 'pull_request', GITHUB_EVENT_PATH: event });
}

describe('the comment of a pull request that was merged', () => {
  test('compares with the base branch as it was, not with itself', async () => {
    await train(base, 0.9);
    const task = await train(head, 0.8);
    // What the launch on the push after the merge adds to a task that it reuses.
    await driver.call('tasks.edit', { task, tags: [`base:main:${head}`], force: true });
    expect(await run([], await makeClosedEnv())).toMatchObject({ exitCode: 0 });
    const [comment] = github.comments(7);
    expect(comment?.body).toMatch(
      new RegExp(
        `Compared with \`main\` at \\[\`${base.slice(0, 10)}\`\\].*, where the pull request branched off`,
      ),
    );
    expect(comment?.body).toMatch(/\*\*0\.8\*\*, -0\.1 \(worse\) against `main`/);
    expect(comment?.body).not.toContain('closed');
  });

  test('says that nobody updates it where the training goes on', async () => {
    const task = await train(head, 0.7, 'in_progress');
    await run([task]);
    expect(github.comments(7)[0]?.body).not.toContain('closed');
    await run([], await makeClosedEnv());
    expect(github.comments(7)).toHaveLength(1);
    expect(github.comments(7)[0]?.body).toContain(
      '**The pull request is closed, so nothing updates this comment any more.** The training has not ended',
    );
  });
});
