import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import {
  directory,
  driver,
  github,
  HEAD,
  makeEnv,
  noteDue,
  readSummary,
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
const GATED = 'metrics: [{ metric: test_accuracy/accuracy, goal: maximize, gate: fail }]\nbaseline: none\n';

const tagsOf = async (task: string) => (await driver.getTask(task)).tags;

/** Variables of the job that launched. */
function inPullRequest(): Record<string, string> {
  const event = {
    pull_request: {
      number: 7,
      head: { ref: 'topic', sha: HEAD, repo: { clone_url: 'https://github.com/acme/digits.git' } },
      base: { ref: 'main', sha: '3'.repeat(40) },
    },
  };
  writeFileSync(join(directory, 'event.json'), JSON.stringify(event));
  return makeEnv({ GITHUB_EVENT_NAME: 'pull_request', GITHUB_EVENT_PATH: join(directory, 'event.json') });
}

describe('a training that no job waits for', () => {
  test.each(['queued', 'in_progress'] as const)(
    'is no objection while it is %s, and says who reports it',
    async (state) => {
      writeSettings(GATED);
      const task = await trainTask(0.9, state, { runtime: noteDue() });
      const { exitCode, stderr } = await run([task, '--config', 'settings.yml'], inPullRequest());
      expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
      expect(stderr).toContain('The collecting workflow reports how the training ends');
      const sentence = 'The collecting workflow reports how this training ends: no job waits for it.';
      expect(github.comments(7)[0]?.body).toContain(sentence);
      expect(readSummary()).toContain(sentence);
      expect(await tagsOf(task)).toEqual([]);
    },
  );

  test.each([
    ['nothing is noted', {}],
    ['a job waits for', noteDue({ isDetached: false })],
    ['an older commit of the pull request is due', noteDue({ commit: '2'.repeat(40) })],
    ['another pull request is due', noteDue({ to: 8 })],
    ['is noted by hand, unreadably', { ci_due_7: '{"isDetached":true}' }],
  ])('is one where %s', async (_, runtime) => {
    writeSettings(GATED);
    const task = await trainTask(0.9, 'in_progress', { runtime });
    expect(await run([task, '--config', 'settings.yml'], inPullRequest())).toMatchObject({ exitCode: 6 });
  });

  test('is one where it is only some of the tasks', async () => {
    writeSettings(GATED);
    const tasks = [
      await trainTask(0.9, 'in_progress', { runtime: noteDue() }),
      await trainTask(0.9, 'in_progress'),
    ];
    const args = [...tasks, '--config', 'settings.yml'];
    expect(await run(args, inPullRequest())).toMatchObject({ exitCode: 6 });
  });

  test('and failed objects as any other', async () => {
    writeSettings(GATED);
    const task = await trainTask(0.9, 'failed', { runtime: noteDue() });
    expect(await run([task, '--config', 'settings.yml'], inPullRequest())).toMatchObject({ exitCode: 6 });
  });
});

describe('what is due', () => {
  const STATUS = ['--status', 'ClearML'];

  test('is no more once a job has posted the final state', async () => {
    await replaceGithub(MAY_WRITE);
    const task = await trainTask(0.9, 'completed', { runtime: noteDue() });
    await run([task, ...STATUS], inPullRequest());
    expect(await tagsOf(task)).toEqual(['ci-reported', 'ci-reported:7']);
  });

  test('to others stays', async () => {
    const runtime = { ...noteDue(), ...noteDue({ to: 8, commit: '2'.repeat(40) }) };
    const task = await trainTask(0.9, 'completed', { runtime });
    await run([task], inPullRequest());
    expect(await tagsOf(task)).toEqual(['ci-reported:7']);
  });

  test.each<[string, () => Promise<Record<string, string>>, string[]]>([
    ['the status is refused', async () => inPullRequest(), STATUS],
    [
      'the comment is lost',
      async () => {
        const proxy = await startProxy(github.apiUrl, ({ method }) =>
          method === 'POST' ? { kind: 'answer', status: 502, body: '' } : undefined,
        );
        return { ...inPullRequest(), GITHUB_API_URL: proxy.url };
      },
      [],
    ],
    ['nothing is posted', async () => inPullRequest(), ['--dry-run']],
  ])('stays due where %s', async (_, prepare, args) => {
    const task = await trainTask(0.9, 'completed', { runtime: noteDue() });
    await run([task, ...args], await prepare());
    expect(await tagsOf(task)).toEqual([]);
  });

  test('to another commit than the one whose status was set stays', async () => {
    await replaceGithub(MAY_WRITE);
    const task = await trainTask(0.9, 'completed', { runtime: noteDue({ commit: '2'.repeat(40) }) });
    await run([task, ...STATUS]);
    expect(github.statuses(HEAD)).toHaveLength(1);
    expect(await tagsOf(task)).toEqual([]);
  });

  test('of tasks that are reported together stays due until all have ended', async () => {
    const ended = await trainTask(0.9, 'completed', { runtime: noteDue() });
    const running = await trainTask(0.9, 'in_progress', { runtime: noteDue() });
    await run([ended, running], inPullRequest());
    expect(await tagsOf(ended)).toEqual([]);
    await driver.completeTask(running);
    await run([ended, running], inPullRequest());
    expect(await tagsOf(ended)).toContain('ci-reported');
    expect(await tagsOf(running)).toContain('ci-reported');
  });

  test('of a task that somebody took out of its queue is no more, without a tag that would outlive it', async () => {
    const task = await trainTask(0.9, 'queued', { runtime: noteDue() });
    await driver.call('tasks.dequeue', { task });
    await run([task], inPullRequest());
    const { tags, runtime } = await driver.getTask(task);
    expect([tags, runtime]).toEqual([[], {}]);
  });
});
