import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { parseRunnerFile } from '../dev/runner-file.ts';
import {
  type CommentEvent,
  type GithubSandbox,
  type GithubSandboxOptions,
  type SandboxRequest,
  startGithubSandbox,
} from '../sandbox/github-server.ts';
import { clock, driver, folder, launch, setSettings, setUpLaunches } from './launch-setup.ts';

setUpLaunches();

const HEAD = '1'.repeat(40);
const NEWER = '2'.repeat(40);
const OWN = { number: 7, headSha: HEAD, headRef: 'topic', baseRef: 'main', author: 'Octocat' };
const FORK = { ...OWN, number: 8, headRepository: 'mallory/digits', author: 'mallory' };
const GONE = { ...FORK, number: 9, isHeadGone: true };

let github: GithubSandbox;
let asked: SandboxRequest[];

async function start(options: GithubSandboxOptions = {}): Promise<void> {
  await github?.close();
  asked = [];
  const onRequest = (request: SandboxRequest) => asked.push(request);
  github = await startGithubSandbox({ pulls: [OWN, FORK, GONE], now: clock.now, onRequest, ...options });
  for (const [login, role] of [
    ['Octocat', 'admin'],
    ['ada', 'write'],
    ['max', 'maintain'],
    ['triss', 'triage'],
    ['mallory', 'read'],
  ] as const)
    github.addUser(login, role);
}

beforeEach(() => start());
afterEach(() => github.close());

interface CommentRun {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly outputs: Readonly<Record<string, string>>;
  readonly event: CommentEvent;
  /** Our answers. */
  readonly answers: readonly string[];
  readonly reactions: readonly string[];
}

/** Somebody comments, and GitHub starts the workflow for it. */
async function comment(
  body: string,
  {
    author = 'ada',
    pull = 7,
    action = 'created',
    edit = (event: CommentEvent): object => event,
    args = [] as readonly string[],
    env = {} as Readonly<Record<string, string>>,
  } = {},
): Promise<CommentRun> {
  return runFor(await github.commentEvent({ pull, author, body }, action), { edit, args, env });
}

async function runFor(
  event: CommentEvent,
  {
    edit = (unchanged: CommentEvent): object => unchanged,
    args = [] as readonly string[],
    env = {} as Readonly<Record<string, string>>,
  } = {},
): Promise<CommentRun> {
  const [eventPath, output] = [join(folder, 'event.json'), join(folder, 'output')];
  writeFileSync(eventPath, JSON.stringify(edit(event)));
  writeFileSync(output, '');
  const run = await launch(['--from-comment', ...args], {
    env: {
      ...github.env,
      GITHUB_ACTIONS: 'true',
      GITHUB_EVENT_NAME: 'issue_comment',
      GITHUB_EVENT_PATH: eventPath,
      GITHUB_OUTPUT: output,
      GITHUB_RUN_ID: '4711',
      GITHUB_REF: 'refs/heads/main',
      GITHUB_SHA: 'f'.repeat(40),
      GITHUB_ACTOR: event.sender.login,
      ...env,
    },
  });
  return {
    ...run,
    outputs: parseRunnerFile(readFileSync(output, 'utf8')),
    event,
    answers: github
      .comments(event.issue.number)
      .filter((one) => one.author === 'github-actions[bot]')
      .map((one) => one.body),
    reactions: github.reactions(Number(event.comment.id)),
  };
}

const listTasks = () => driver.listTasks();
const NOTHING = { exitCode: 0, stdout: '', outputs: { command: 'none' }, answers: [], reactions: [] };

describe('/train', () => {
  test('trains the newest commit of a branch of the repository, as a run by hand would', async () => {
    const run = await comment('/train');
    expect(run).toMatchObject({ exitCode: 0, answers: [], reactions: ['github-actions[bot]: eyes'] });
    const [task, ...more] = await listTasks();
    expect(more).toEqual([]);
    expect(run.stdout.trim()).toBe(task?.id);
    expect(task?.script).toMatchObject({
      repository: `${github.serverUrl}/acme/digits.git`,
      branch: 'topic',
      version_num: HEAD,
    });
    expect(task?.tags).toContain('pr:7');
    expect(run.outputs).toMatchObject({
      command: 'train',
      'pull-request': '7',
      commit: HEAD,
      'task-ids': task?.id,
      reused: 'false',
    });
  });

  test('asks for the permission first, and reads the pull request once', async () => {
    const run = await comment('/train');
    expect(asked.map(({ method, path }) => `${method} ${path.replace('/repos/acme/digits', '')}`)).toEqual([
      'GET /collaborators/ada/permission',
      expect.stringMatching(/^(GET \/pulls|POST \/issues)/),
      expect.stringMatching(/^(GET \/pulls|POST \/issues)/),
      `GET /git/commits/${run.outputs.commit}`,
    ]);
  });

  test.each(['Octocat', 'ada', 'ADA', 'max'])('is for %s, who may push', async (author) => {
    expect(await comment('/train', { author })).toMatchObject({ exitCode: 0, outputs: { command: 'train' } });
  });

  test.each(['triss', 'mallory', 'nobody'])('is not for %s: exit 8, and no word of ours', async (author) => {
    const run = await comment('/train', { author });
    expect(run).toMatchObject({
      exitCode: 8,
      stdout: '',
      outputs: { command: 'none' },
      answers: [],
      reactions: ['github-actions[bot]: -1'],
    });
    expect(run.stderr).toContain(`error: ${author} may not give commands`);
    expect(await listTasks()).toEqual([]);
  });

  test('does not take the word of the event for who may', async () => {
    const edit = (event: CommentEvent) => ({
      ...event,
      comment: { ...event.comment, author_association: 'OWNER' },
    });
    expect(await comment('/train', { author: 'mallory', edit })).toMatchObject({ exitCode: 8 });
  });

  test('takes a commit that is the newest, in any case, and seeds beside it', async () => {
    const run = await comment(`/Train --seeds 2 ${HEAD.toUpperCase()}\r\nplease`);
    expect(run).toMatchObject({ exitCode: 0, outputs: { command: 'train', commit: HEAD } });
    expect((await listTasks()).map(({ hyperparams }) => hyperparams.Args?.seed?.value).sort()).toEqual([
      '1',
      '2',
    ]);
  });

  test.each([
    ['another one', `/train ${NEWER}`, `${NEWER} is not the newest commit of pull request 7`],
    ['a short one', '/train 1111111', '1111111 is not a full commit id'],
    ['a short one of another', '/train 2222222', '2222222 is not the newest commit of pull request 7'],
    ['no commit', '/train `id`', '/train takes the id of one commit and --seeds, not `id`'],
    ['seeds that are none', '/train --seeds -1', 'invalid --seeds "-1"'],
    ['two seeds of one number', '/train --seeds 1,1', 'invalid --seeds "1,1"'],
    ['something else', '/train --no-reuse', '/train takes the id of one commit and --seeds, not --no-reuse'],
  ])('of %s is exit 2, answered once, and trains nothing', async (_, body, words) => {
    const run = await comment(body);
    expect(run).toMatchObject({ exitCode: 2, reactions: ['github-actions[bot]: eyes'] });
    expect(run.stderr).toContain(words);
    expect(run.outputs['task-ids']).toBeUndefined();
    expect(await listTasks()).toEqual([]);
    for (const again of [run, await runFor(run.event)])
      expect(again.answers).toEqual([expect.stringContaining(words)]);
    expect(run.answers[0]).toContain(run.event.comment.html_url);
  });

  test('of a short id tells the full one that it could be', async () => {
    expect((await comment('/train 1111')).answers).toEqual([expect.stringContaining(`/train ${HEAD}.`)]);
  });

  test('of a closed pull request is exit 2', async () => {
    github.closePull(7);
    const run = await comment('/train');
    expect(run).toMatchObject({
      exitCode: 2,
      answers: [expect.stringContaining('pull request 7 is closed')],
    });
    expect(await listTasks()).toEqual([]);
  });

  test('tells the commenter what kept the launch from being made', async () => {
    await setSettings('queue: nowhere\n');
    const run = await comment('/train');
    expect(run).toMatchObject({ exitCode: 10, answers: [expect.stringContaining('"nowhere"')] });
    expect(run.answers[0]).toContain(`${github.serverUrl}/acme/digits/actions/runs/4711`);
  });

  test('that another attempt of the run makes good takes the answer back', async () => {
    await setSettings('queue: nowhere\n');
    const run = await comment('/train');
    expect(run.answers).toHaveLength(1);
    await setSettings('');
    expect(await runFor(run.event, { env: { GITHUB_RUN_ATTEMPT: '2' } })).toMatchObject({
      exitCode: 0,
      answers: [],
    });
  });

  test('is answered by each of two workflows, and neither takes back the other’s answer', async () => {
    await setSettings('queue: nowhere\n');
    const run = await comment('/train', { env: { GITHUB_WORKFLOW: 'ClearML commands' } });
    await setSettings('queue: elsewhere\n');
    const fraud = { GITHUB_WORKFLOW: 'ClearML fraud --> commands' };
    const both = await runFor(run.event, { env: fraud });
    expect(both.answers).toEqual([
      expect.stringContaining('"nowhere"'),
      expect.stringContaining('"elsewhere"'),
    ]);
    expect(both.answers[1]?.split('\n')[0]).toMatch(/^<!-- \S+ reply: \d+ ClearML%20fraud%20\S+ -->$/);
    await setSettings('');
    const again = await runFor(run.event, { env: { ...fraud, GITHUB_RUN_ATTEMPT: '2' } });
    expect(again.answers).toEqual([expect.stringContaining('"nowhere"')]);
  });

  test('launches all the same where GitHub takes no reaction, and warns', async () => {
    await start({ permissions: { contents: 'read' } });
    const run = await comment('/train');
    expect(run).toMatchObject({ exitCode: 0, outputs: { command: 'train' }, reactions: [] });
    expect(run.stderr).toContain('::warning::the comment gets no reaction');
  });

  test('that is tried (--dry-run) writes nothing', async () => {
    const run = await comment('/train', { args: ['--dry-run'] });
    expect(run).toMatchObject({ exitCode: 0, outputs: {}, answers: [], reactions: [] });
    expect(JSON.parse(run.stdout).tasks).toHaveLength(1);
    expect(await comment('/trian', { args: ['--dry-run'] })).toMatchObject({ outputs: {}, answers: [] });
    expect(await listTasks()).toEqual([]);
  });
});

describe('/train for a pull request of a fork', () => {
  test('without a commit is exit 2, and does not hand out an id that nobody may have read', async () => {
    const run = await comment('/train', { pull: 8 });
    expect(run).toMatchObject({ exitCode: 2, outputs: { command: 'none' } });
    expect(run.answers).toEqual([expect.stringContaining('needs the id of the commit that you have read')]);
    expect(run.answers[0]).not.toContain(HEAD);
    expect(await listTasks()).toEqual([]);
  });

  test('trains the commit that was read, from the fork', async () => {
    const run = await comment(`/train ${HEAD}`, { pull: 8 });
    expect(run).toMatchObject({
      exitCode: 0,
      outputs: { command: 'train', 'pull-request': '8', commit: HEAD },
    });
    expect((await listTasks()).map(({ script }) => [script.repository, script.version_num])).toEqual([
      [`${github.serverUrl}/mallory/digits.git`, HEAD],
    ]);
  });

  test('never trains what was pushed after the comment', async () => {
    const event = await github.commentEvent({ pull: 8, author: 'ada', body: `/train ${HEAD}` });
    github.setPullHead(8, NEWER);
    expect(await runFor(event)).toMatchObject({ exitCode: 2 });
    expect(await listTasks()).toEqual([]);
  });

  test('that was deleted says so', async () => {
    const run = await comment(`/train ${HEAD}`, { pull: 9 });
    expect(run).toMatchObject({ exitCode: 2, answers: [expect.stringContaining('was deleted')] });
  });

  test('is not for its author', async () => {
    expect(await comment(`/train ${HEAD}`, { pull: 8, author: 'mallory' })).toMatchObject({ exitCode: 8 });
    expect(await listTasks()).toEqual([]);
  });
});

describe('/abort and /accept', () => {
  test('/abort is left to the next step, also of a closed pull request', async () => {
    github.closePull(7);
    const run = await comment('/abort');
    expect(run).toMatchObject({
      exitCode: 0,
      stdout: '',
      answers: [],
      reactions: ['github-actions[bot]: eyes'],
    });
    expect(run.outputs).toEqual({ command: 'abort', 'pull-request': '7' });
  });

  test('/accept hands on the newest commit and the reason', async () => {
    const run = await comment('/accept the data changed');
    expect(run).toMatchObject({ exitCode: 0, stdout: '', reactions: ['github-actions[bot]: eyes'] });
    expect(run.outputs).toEqual({
      command: 'accept',
      'pull-request': '7',
      commit: HEAD,
      reason: 'the data changed',
    });
    expect(await listTasks()).toEqual([]);
  });

  test.each([
    ['without a reason', '/accept', {}, 2, '/accept needs a reason'],
    ['of nothing visible', '/accept \u200b', {}, 2, '/accept needs a reason'],
    [
      'by the author',
      '/accept fine',
      { author: 'octocat' },
      8,
      'the author of a pull request may not accept',
    ],
  ] as const)('/accept %s is refused', async (_, body, options, exitCode, words) => {
    const run = await comment(body, options);
    expect(run).toMatchObject({ exitCode, outputs: { command: 'none' } });
    expect(run.answers).toEqual([expect.stringContaining(words)]);
  });

  test('/accept counts for no commit that was pushed after it, or in the same second', async () => {
    for (const delayMs of [0, 2000]) {
      const event = await github.commentEvent({ pull: 7, author: 'ada', body: '/accept fine' });
      await clock.sleep(delayMs);
      github.setPullHead(7, delayMs === 0 ? NEWER : '3'.repeat(40));
      const run = await runFor(event);
      expect(run).toMatchObject({ exitCode: 2, outputs: { command: 'none' } });
      expect(run.stderr).toContain('somebody has pushed since the comment was written');
    }
    await clock.sleep(2000);
    expect((await comment('/accept fine')).outputs.commit).toBe('3'.repeat(40));
  });

  test('/accept counts for nothing where it is unknown whether somebody has pushed since', async () => {
    const words = 'it is unknown whether somebody has pushed since the comment was written';
    const undated = (event: CommentEvent) => ({
      ...event,
      comment: { ...event.comment, created_at: undefined },
    });
    // A fork that was deleted tells of no push: one may have come between the comment and the deletion.
    for (const run of [
      await comment('/accept fine', { pull: 9 }),
      await comment('/accept fine', { edit: undated }),
    ]) {
      expect(run).toMatchObject({ exitCode: 2, outputs: { command: 'none' } });
      expect(run.answers).toEqual([expect.stringContaining(words)]);
    }
  });

  test('a stranger gives neither', async () => {
    for (const body of ['/abort', '/accept fine'])
      expect(await comment(body, { author: 'mallory' })).toMatchObject({
        exitCode: 8,
        outputs: { command: 'none' },
      });
  });
});

describe('what is no command', () => {
  test.each<[string, string, Parameters<typeof comment>[1]]>([
    ['talk', 'Shall we /train?', {}],
    ['a quotation', '> /train', {}],
    ['a comment that was edited', '/train', { action: 'edited' }],
    ['a comment that was deleted', '/train', { action: 'deleted' }],
    [
      'a comment on an issue',
      '/train',
      { edit: ({ issue: { pull_request: _, ...issue }, ...event }) => ({ ...event, issue }) },
    ],
    [
      'a bot’s comment',
      '/train',
      { edit: (event) => ({ ...event, comment: { ...event.comment, user: { login: 'ada', type: 'Bot' } } }) },
    ],
    ['an unknown word of a stranger', '/trian', { author: 'mallory' }],
  ])('%s does nothing, and is no failure', async (_, body, options) => {
    expect(await comment(body, options)).toMatchObject(NOTHING);
    expect(await listTasks()).toEqual([]);
  });

  test('asks GitHub nothing, and needs no keys', async () => {
    const env = { CLEARML_API_ACCESS_KEY: '', CLEARML_API_SECRET_KEY: '', GH_TOKEN: '' };
    expect(await comment('Nice!', { env })).toMatchObject(NOTHING);
    expect(asked).toEqual([]);
  });

  test('is told as JSON where that is asked for', async () => {
    const { stdout } = await comment('Nice!', { args: ['--json'] });
    expect(JSON.parse(stdout)).toEqual({ tasks: [], superseded: [], command: 'none' });
  });

  test('a deleted account may do nothing', async () => {
    const edit = (event: CommentEvent) => ({ ...event, comment: { ...event.comment, user: null } });
    expect(await comment('/train', { edit })).toMatchObject({ exitCode: 8 });
  });

  test('an unknown word of somebody who may give commands is answered once with those there are', async () => {
    const run = await comment('/trian now');
    expect(run).toMatchObject({ exitCode: 0, outputs: { command: 'none' }, reactions: [] });
    const again = await runFor(run.event);
    expect(again.answers).toHaveLength(1);
    for (const words of ['`/trian` is not a command', '`/train COMMIT`', '`/abort`', '`/accept REASON`'])
      expect(again.answers[0]).toContain(words);
    expect((await comment('/retrain')).answers).toHaveLength(2);
  });
});

test.each([
  '/`</code><img src=x>@octocat`',
  '/x`</code>@octocat',
  '/x[a](b)<!--|@octocat ![](http://x)',
  '/train ```\u0007@octocat<b>',
  '/train --seeds 1%0A::error::x',
  '/x::error::@octocat',
  '/train ##[error]x',
  `/accept ${'`@octocat` ghadelimiter_ <b> ::error:: $(id) '.repeat(9)}`,
])('nothing of a comment becomes Markdown, a mention, an annotation or an output: %j', async (body) => {
  const run = await comment(body);
  const { outputs } = run;
  expect(
    Object.keys(outputs).every((name) => ['command', 'pull-request', 'commit', 'reason'].includes(name)),
  ).toBe(true);
  for (const value of Object.values(outputs)) expect(value).not.toMatch(/\p{Cc}/u);
  for (const line of run.stderr.split('\n')) expect(line).not.toMatch(/^\s*::error::(x|@octocat| \$)|##\[/);
  for (const answer of run.answers) {
    // Outside code there is nothing of it.
    const prose = answer.replace(/```text\n[\s\S]*?\n```/g, '').replace(/(`+)[^\n]*?[^`]\1(?!`)/g, '');
    expect(prose).not.toMatch(/octocat|<b>|<img|!\[/i);
  }
});

describe('the event', () => {
  test.each([
    ['none', { GITHUB_EVENT_PATH: '' }, [], '--from-comment needs an event'],
    ['of another kind', { GITHUB_EVENT_NAME: 'pull_request' }, [], '--from-comment needs an event'],
    [
      'of another pull request',
      { PR_NUMBER: '8' },
      [],
      'PR_NUMBER is 8, but the comment is on pull request 7',
    ],
    ['without a token', { GH_TOKEN: '' }, [], 'GH_TOKEN (or GITHUB_TOKEN) is not set'],
    ['beside arguments', {}, ['https://github.com/acme/digits.git'], '--from-comment takes no arguments'],
  ] as const)('%s is a mistake of the usage', async (_, env, args, words) => {
    const run = await comment('/train', { env, args });
    expect(run.exitCode).toBe(2);
    expect(run.stderr).toContain(words);
    expect(await listTasks()).toEqual([]);
  });

  test('and the variable PR_COMMIT hold both', async () => {
    expect(await comment('/train', { env: { PR_COMMIT: NEWER } })).toMatchObject({ exitCode: 2 });
    expect(await listTasks()).toEqual([]);
  });
});
