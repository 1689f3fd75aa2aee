import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
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

const NEWER = '2'.repeat(40);
const PULL = { number: 7, headSha: HEAD, headRef: 'topic', baseRef: 'main' };
const MAY_WRITE = {
  pulls: [PULL],
  permissions: { contents: 'read', 'pull-requests': 'write', statuses: 'write' },
} as const;
const ACCEPT = ['--status', 'ClearML', '--accept', 'the data changed'];
const LINE = 'Accepted by `ada`: `the data changed`';

const inActions = (extra: Record<string, string> = {}) =>
  makeEnv({ GITHUB_ACTIONS: 'true', GITHUB_ACTOR: 'ada', GITHUB_EVENT_NAME: 'workflow_dispatch', ...extra });
const statuses = (sha = HEAD) =>
  github.statuses(sha).map(({ state, description }) => `${state}: ${description}`);
const body = () => github.comments(7).at(-1)?.body ?? '';

/** A gate that the accuracy fails. */
async function failGate(): Promise<string[]> {
  const base = await trainTask(0.96);
  writeSettings(
    `metrics: [{ metric: test_accuracy/accuracy, goal: maximize, gate: fail, tolerance: 0.01 }]\nbaseline: { task: ${base} }\n`,
  );
  return ['--config', 'settings.yml'];
}

/** The event of a comment on the pull request. */
async function commentBy(author: string): Promise<Record<string, string>> {
  const event = await github.commentEvent({ pull: 7, author, body: '/accept x' });
  writeFileSync(join(directory, 'event.json'), JSON.stringify(event));
  return { GITHUB_EVENT_NAME: 'issue_comment', GITHUB_EVENT_PATH: join(directory, 'event.json') };
}

describe('--accept', () => {
  test('turns a regression green for this commit, and says who accepted it and why', async () => {
    await replaceGithub(MAY_WRITE);
    const gate = await failGate();
    const task = await trainTask(0.5);
    expect(await run([task, ...gate, '--status', 'ClearML'], inActions())).toMatchObject({ exitCode: 5 });
    const accepted = await run([task, ...gate, ...ACCEPT], inActions({ PR_COMMIT: HEAD }));
    expect(accepted).toMatchObject({ exitCode: 0 });
    expect(statuses()).toEqual([
      expect.stringMatching(/^failure: Regression: /),
      'success: Accepted by ada: the data changed',
    ]);
    expect(github.statuses(HEAD).at(-1)?.targetUrl).toBe(accepted.stdout.trim());
    expect(github.comments(7)).toHaveLength(1);
    expect(body()).toContain(`\n\n${LINE}\\\n`);
    expect(body()).toContain('Regression');
    expect(readOutputs()).toMatchObject({ verdict: 'regression', 'comment-url': accepted.stdout.trim() });
  });

  test('is kept by later reports of the commit, whose exit code stays the gate’s', async () => {
    await replaceGithub(MAY_WRITE);
    const gate = await failGate();
    const task = await trainTask(0.5);
    await run([task, ...gate, ...ACCEPT], inActions());
    const again = await run([task, ...gate, '--status', 'ClearML'], inActions());
    expect(again).toMatchObject({ exitCode: 5 });
    expect(statuses()).toEqual(['success: Accepted by ada: the data changed']);
    expect(body()).toContain(LINE);
    const { stdout } = await run([task, '--json', '--status', 'ClearML'], inActions());
    expect(JSON.parse(stdout).accepted).toEqual({ by: 'ada', reason: 'the data changed', commit: HEAD });
  });

  test('holds for no newer commit', async () => {
    await replaceGithub(MAY_WRITE);
    const task = await trainTask(0.5);
    await run([task, ...ACCEPT], inActions());
    github.setPullHead(7, NEWER);
    const runtime = { ci_use_7: `${NEWER} topic https://github.com/acme/digits.git` };
    const gate = await failGate();
    const newer = await trainTask(0.5, 'completed', { runtime });
    await run([newer, ...gate, '--status', 'ClearML'], inActions({ PR_COMMIT: NEWER }));
    expect(statuses(NEWER)).toEqual([expect.stringMatching(/^failure: Regression/)]);
    expect(body()).not.toContain('Accepted by');
  });

  test('names the commit where the report is about an older one', async () => {
    await replaceGithub({ ...MAY_WRITE, pulls: [{ ...PULL, headSha: NEWER }] });
    await run([await trainTask(0.5), ...ACCEPT], inActions());
    expect(statuses(NEWER)).toEqual(['success: Accepted by ada: the data changed']);
    expect(statuses()).toEqual([]);
    expect(body()).toContain(`${LINE} · commit \`${NEWER.slice(0, 10)}\``);
  });

  test('is not what a training calls itself', async () => {
    await replaceGithub(MAY_WRITE);
    const name = 'Accepted by ada';
    await run([await trainTask(0.97, 'completed', { name }), '--status', 'ClearML'], inActions());
    expect(statuses()).toEqual([expect.stringMatching(/^success: Training Accepted by ada: /)]);
    const gate = await failGate();
    const worse = await trainTask(0.5, 'completed', { name });
    await run([worse, ...gate, '--status', 'ClearML'], inActions());
    expect(statuses().at(-1)).toMatch(/^failure: Regression: /);
    expect(body()).not.toContain('Accepted by `ada`');
  });

  test('works while the training runs, and its end does not undo it', async () => {
    await replaceGithub(MAY_WRITE);
    const gate = await failGate();
    const task = await trainTask(0.5, 'in_progress');
    expect(await run([task, ...gate, ...ACCEPT], inActions())).toMatchObject({ exitCode: 0 });
    await driver.completeTask(task);
    await run([task, ...gate, '--status', 'ClearML'], inActions());
    expect(statuses()).toEqual(['success: Accepted by ada: the data changed']);
    expect(body()).toContain(LINE);
  });

  test.each([
    ['pending', 'in_progress'],
    ['final', 'completed'],
  ] as const)('is kept by a %s report that had begun before it', async (_, end) => {
    await replaceGithub(MAY_WRITE);
    const gate = await failGate();
    const task = await trainTask(0.5, end);
    let accepted: Promise<unknown> | undefined;
    const proxy = await startProxy(github.apiUrl, ({ method, path }) => {
      if (method !== 'POST' || !path.endsWith('/issues/7/comments')) return undefined;
      accepted ??= run([task, ...gate, ...ACCEPT], inActions());
      return { kind: 'hold', until: accepted };
    });
    const env = inActions({ GITHUB_API_URL: proxy.url });
    await run([task, ...gate, '--status', 'ClearML', '--no-gate'], env);
    await expect(accepted).resolves.toMatchObject({ exitCode: 0 });
    expect(statuses()).toEqual(['success: Accepted by ada: the data changed']);
  });

  test('is written once for one reason, and anew for another', async () => {
    await replaceGithub(MAY_WRITE);
    const task = await trainTask(0.5);
    for (const reason of ['one', 'one', '--no-gate'])
      await run([task, '--status', 'ClearML', '--accept', reason], inActions());
    expect(statuses()).toEqual(['success: Accepted by ada: one', 'success: Accepted by ada: --no-gate']);
  });

  test('needs no training: the comment says that there is none', async () => {
    await replaceGithub(MAY_WRITE);
    const { exitCode, stdout } = await run(ACCEPT, inActions());
    expect(exitCode).toBe(0);
    expect(github.comments(7)).toMatchObject([
      { body: expect.stringContaining('### Accepted without a training') },
    ]);
    expect(body()).toContain(LINE);
    expect(github.statuses(HEAD)).toMatchObject([
      { state: 'success', description: 'Accepted by ada: the data changed', targetUrl: stdout.trim() },
    ]);
    // A training that comes later takes the comment over, and keeps the line.
    const pipeline = body().split('\n')[0];
    await run(ACCEPT, inActions());
    expect(github.comments(7)).toMatchObject([{ body: expect.stringContaining(pipeline ?? '') }]);
  });

  test('replaces the verdict of another pipeline: a pull request may have renamed its own', async () => {
    await replaceGithub(MAY_WRITE);
    await run([await trainTask(0.5, 'failed', { name: 'renamed' }), '--status', 'ClearML'], inActions());
    expect(statuses()).toEqual([expect.stringMatching(/^failure: renamed failed/)]);
    expect(await run(ACCEPT, inActions())).toMatchObject({ exitCode: 0 });
    expect(statuses().at(-1)).toBe('success: Accepted by ada: the data changed');
    expect(body()).toContain('no task of this pipeline');
  });

  test('writes nothing in a dry run', async () => {
    await replaceGithub(MAY_WRITE);
    const { exitCode, stdout } = await run([await trainTask(), ...ACCEPT, '--dry-run'], inActions());
    expect(exitCode).toBe(0);
    expect(stdout).toContain(LINE);
    expect(await run([...ACCEPT, '--dry-run'], inActions())).toMatchObject({ exitCode: 0 });
    expect([statuses(), github.comments(7)]).toEqual([[], []]);
  });
});

describe('who accepted it', () => {
  test.each<[string, () => Promise<Record<string, string>>, string]>([
    ['the comment’s author', async () => inActions(await commentBy('grace')), 'grace'],
    ['whoever started the run', async () => inActions(), 'ada'],
    [
      'outside Actions the token’s account',
      async () => makeEnv({ GH_TOKEN: github.addUser('margaret', 'write'), GITHUB_ACTOR: 'ada' }),
      'margaret',
    ],
  ])('is %s', async (_, describeRun, login) => {
    await replaceGithub(MAY_WRITE);
    await run([await trainTask(), ...ACCEPT], await describeRun());
    expect(statuses()).toEqual([`success: Accepted by ${login}: the data changed`]);
  });

  test('and a mere emoji, which GitHub takes in no status, stay so at the next report', async () => {
    await replaceGithub(MAY_WRITE);
    await run([await trainTask(), '--status', 'ClearML', '--accept', '👩‍🔬👍'], inActions());
    expect(statuses()).toEqual(['success: Accepted by ada: \ufffd']);
    await run([await trainTask(), '--status', 'ClearML'], inActions());
    expect(statuses()).toHaveLength(1);
  });

  test('and why stay one quoted line, whatever they hold', async () => {
    await replaceGithub(MAY_WRITE);
    const secret = clearml.env.CLEARML_API_SECRET_KEY ?? '';
    const reason = `\`@octocat\` <b>\n::error::x | ![x](http://x) ${'😀'.repeat(20)} ${secret} ${'y'.repeat(200)}`;
    const args = [await trainTask(), '--status', 'ClearML', '--accept', reason];
    const { stdout, stderr } = await run(args, inActions({ GITHUB_ACTOR: '@mallory`<b>' }));
    const { description = '' } = github.statuses(HEAD)[0] ?? {};
    expect(description).toMatch(/^Accepted by @mallory`<b>: `@octocat` <b> ::error::x .*…$/);
    expect(description.length).toBeLessThanOrEqual(140);
    expect(description).not.toMatch(/\p{Cc}|\p{Cs}/u);
    for (const text of [description, body(), stdout, stderr]) expect(text).not.toContain(secret.slice(0, 12));
    const line =
      body()
        .split('\n')
        .find((one) => one.startsWith('Accepted by')) ?? '';
    expect(line.replace(/(`+)[\s\S]*?[^`]\1(?!`)/g, '')).not.toMatch(/octocat|mallory|<b>|!\[/);
    await run([await trainTask(), '--status', 'ClearML'], inActions());
    expect(
      body()
        .split('\n')
        .find((one) => one.startsWith('Accepted by')),
    ).toContain('mallory');
  });
});

describe('--accept is refused, and nothing is written', () => {
  test('where PR_COMMIT is not the newest commit any more', async () => {
    await replaceGithub({ ...MAY_WRITE, pulls: [{ ...PULL, headSha: NEWER }] });
    for (const ids of [[await trainTask()], []]) {
      const { exitCode, stderr } = await run([...ids, ...ACCEPT], inActions({ PR_COMMIT: HEAD }));
      expect(exitCode).toBe(2);
      expect(stderr).toContain(`${HEAD} is not the newest commit of pull request 7`);
    }
    expect([statuses(), statuses(NEWER), github.comments(7)]).toEqual([[], [], []]);
  });

  test('where no commit status is asked for; the commenter is told', async () => {
    await replaceGithub(MAY_WRITE);
    const event = await commentBy('grace');
    for (const ids of [[await trainTask()], []]) {
      const { exitCode, stderr } = await run([...ids, '--accept', 'fine'], inActions(event));
      expect(exitCode).toBe(2);
      expect(stderr).toContain('error: there is no commit status to accept with');
    }
    const [, answer, ...more] = github.comments(7);
    expect(answer?.body).toContain('set status (or detach) there');
    expect(more).toEqual([]);
    expect(statuses()).toEqual([]);
  });

  test.each([
    ['a training', true],
    ['none', false],
  ])(
    'where GitHub takes the status of %s no more: the comment does not say that it was accepted',
    async (_, isTrained) => {
      await replaceGithub({
        ...MAY_WRITE,
        permissions: { contents: 'read', 'pull-requests': 'write', statuses: 'read' },
      });
      const ids = isTrained ? [await trainTask()] : [];
      const { exitCode } = await run([...ids, ...ACCEPT], inActions(await commentBy('grace')));
      expect(exitCode).toBe(8);
      expect(
        github
          .comments(7)
          .map((one) => one.body)
          .filter((text) => text.includes('ccepted')),
      ).toEqual([]);
      const summary = join(directory, 'summary.md');
      expect(existsSync(summary) ? readFileSync(summary, 'utf8') : '').toBe('');
    },
  );

  test('where GitHub takes no status: exit 8 with the permission, told to the commenter', async () => {
    await replaceGithub({ pulls: [PULL] });
    const { exitCode, stderr } = await run(
      [await trainTask(), ...ACCEPT],
      inActions(await commentBy('grace')),
    );
    expect(exitCode).toBe(8);
    expect(stderr).toContain('statuses: write');
    expect(github.comments(7).some((one) => one.body.includes('This command'))).toBe(true);
  });

  test.each([
    ['without a reason', ['--accept', ''], {}, '--accept needs a reason'],
    ['for a reason that nobody sees', ['--accept', ' \u200b'], {}, '--accept needs a reason'],
    [
      'without a pull request',
      ['--accept', 'x'],
      { PR_NUMBER: '', GITHUB_EVENT_NAME: 'push' },
      '--accept needs a pull request',
    ],
    ['for what is due', ['--accept', 'x', '--due', '[]'], {}, '--due names what to report'],
  ] as const)('%s', async (_, args, env, words) => {
    await replaceGithub(MAY_WRITE);
    const { exitCode, stderr } = await run(['5'.repeat(32), '--status', 'ClearML', ...args], inActions(env));
    expect(exitCode).toBe(2);
    expect(stderr).toContain(words);
    expect(statuses()).toEqual([]);
    expect(existsSync(join(directory, 'output')) ? readFileSync(join(directory, 'output'), 'utf8') : '').toBe(
      '',
    );
  });
});
