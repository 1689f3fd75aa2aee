import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { type GithubSandbox, startGithubSandbox } from '../sandbox/github-server.ts';
import {
  breakRequests,
  describePullRequest,
  driver,
  launch,
  launchTask,
  publish,
  repository,
  sandbox,
  setSettings,
  setUpLaunches,
} from './launch-setup.ts';

// `--dry-run` says what it found before it prints the documents, and changes nothing.

setUpLaunches();

let github: GithubSandbox;
let methods: Set<string>;

beforeEach(async () => {
  methods = new Set();
  github = await startGithubSandbox({ onRequest: ({ method }) => void methods.add(method) });
});

afterEach(() => github.close());

/** What a dry run says, by label. */
async function look(args: readonly string[] = [], env: Record<string, string> = {}) {
  const run = await launch(['--dry-run', ...args], { env: { ...github.env, ...env } });
  let label = '';
  const found: Record<string, string[]> = {};
  for (const [, name = '', text = ''] of run.stderr.matchAll(/^([A-Z][\w]*| +) {2,}(\S.*)$/gm)) {
    label = name.trim() || label;
    found[label] = [...(found[label] ?? []), text];
  }
  return { ...run, found };
}

async function serve(name: string, task?: string): Promise<void> {
  const queues = [(await driver.call('queues.get_all', { name: '^default$' })).queues[0].id];
  await driver.call('workers.register', { worker: name, queues });
  const report = { worker: name, queues, timestamp: Date.now(), ...(task === undefined ? {} : { task }) };
  await driver.call('workers.status_report', report);
}

const commit = () => repository.git('rev-parse', '--short=10', 'HEAD');

test('whose keys, code, project, queue, tasks, what is superseded and what the token may do', async () => {
  const older = await launchTask([], { ...github.env, ...(await describePullRequest(7, { id: '1000' })) });
  repository.commit('Newer', { 'train_model.py': 'print(2)\n' });
  publish();
  await serve('gpu-1:0', older.id);
  await serve('gpu-2:0');
  const env = { ...github.env, ...(await describePullRequest(7, { id: '1001' })) };
  const run = await launch(['--dry-run', '--seeds', '2'], { env });
  expect(run.exitCode).toBe(0);
  expect(JSON.parse(run.stdout).tasks).toHaveLength(2);
  expect(run.stderr).toBe(
    `ClearML     ${sandbox.apiHost}, API 2.34: keys of Default User in workspace clearml
Code        commit ${commit()} of feature, https://github.com/acme/digits.git
Project     "digits" exists
Queue       "default": 2 workers, 1 busy; 1 task waits
Tasks       seed 1: new, number 2 in the queue: there is none of the same code, params and surroundings
            seed 2: new, number 3 in the queue: there is none of the same code, params and surroundings
Superseded  Task ${older.id} of an older commit would be ended: it is superseded
Comment     unknown: GitHub does not say what an app's token may do; it needs pull-requests: write. The log's "Set up job" lists those of GITHUB_TOKEN
Status      unknown: GitHub does not say what an app's token may do; it needs statuses: write. The log's "Set up job" lists those of GITHUB_TOKEN
`,
  );
});

test('only reads', async () => {
  await launchTask([], { ...github.env, ...(await describePullRequest(7, { id: '1000' })) });
  repository.commit('Newer', { 'train_model.py': 'print(2)\n' });
  publish();
  const asked = new Set<string>();
  const env = await breakRequests((endpoint) => void asked.add(endpoint));
  const pull = await describePullRequest(7, { id: '1001' });
  const before = JSON.stringify(await driver.listTasks());
  const { exitCode } = await look(['--project', 'digit'], { ...pull, ...env });
  expect(exitCode).toBe(0);
  expect([...asked].filter((endpoint) => !/\.get_(?:all|all_ex|current_user)$/.test(endpoint))).toEqual([]);
  expect(asked).toContain('users.get_current_user');
  expect([...methods]).toEqual(['GET']);
  expect(JSON.stringify(await driver.listTasks())).toBe(before);
});

describe('what would be reused', () => {
  const place = 'number 1 in the queue';
  test.each<[string, (id: string) => Promise<unknown>, readonly string[], (id: string) => string]>([
    [
      'one that waits',
      async () => undefined,
      [],
      (id) => `reuses ${id}: the same training, which waits, number 1 in "default"`,
    ],
    [
      'one that runs',
      (id) => driver.startTask(id),
      [],
      (id) => `reuses ${id}: the same training, which is running`,
    ],
    [
      'one that is done',
      (id) => driver.completeTask(id),
      [],
      (id) => `reuses ${id}: the same training, which is completed`,
    ],
    [
      'a draft',
      (id) => driver.call('tasks.dequeue', { task: id }),
      [],
      (id) => `queues ${id}, ${place}: the same training, which is a draft`,
    ],
    [
      'not one that failed',
      (id) => driver.startTask(id).then(() => driver.failTask(id)),
      [],
      (id) => `new, ${place}: task ${id} has failed`,
    ],
    [
      'not one that was stopped',
      (id) => driver.startTask(id).then(() => driver.call('tasks.stopped', { task: id })),
      [],
      (id) => `new, ${place}: task ${id} was stopped`,
    ],
    [
      'not one that is archived',
      (id) => driver.call('tasks.archive', { tasks: [id] }),
      [],
      (id) => `new, ${place}: task ${id} is archived`,
    ],
    [
      'not one that was edited',
      async (id) => {
        await driver.call('tasks.dequeue', { task: id });
        await driver.call('tasks.edit', { task: id, container: { image: 'other' } });
      },
      [],
      (id) => `new, ${place}: task ${id} was edited since`,
    ],
    [
      'none with --no-reuse',
      (id) => driver.startTask(id).then(() => driver.completeTask(id)),
      ['--no-reuse'],
      (id) => `new, ${place}: task ${id} is the same training, but reuse is off`,
    ],
  ])('%s, and why', async (_, change, args, text) => {
    const { id } = await launchTask([], github.env);
    await change(id);
    expect((await look(args)).found.Task).toEqual([text(id)]);
  });
});

describe('the project and the queue', () => {
  test('one that does not exist would be created; near names are listed', async () => {
    await driver.call('projects.create', { name: 'Digits', description: '' });
    await driver.call('projects.create', { name: 'something else', description: '' });
    const { found } = await look(['--project', 'digitz']);
    expect(found.Project).toEqual([
      'project "digitz" does not exist yet: it would be created; nearest: "Digits"',
    ]);
    expect((await look(['--project', 'quite another'])).found.Project?.[0]).toMatch(/would be created$/);
  });

  test('a queue that nobody serves comes with the command that does', async () => {
    expect((await look()).found.Queue).toEqual([
      '"default": no worker serves it (clearml-agent daemon --queue default); no tasks wait',
    ]);
  });

  test('an unknown queue is exit 10 as ever, after what is known all the same', async () => {
    const { exitCode, stdout, stderr, found } = await look(['--queue', 'defualt']);
    expect([exitCode, stdout]).toEqual([10, '']);
    expect(Object.keys(found)).toEqual(['ClearML', 'Code', 'Comment', 'Status']);
    expect(stderr).toContain('error: there is no queue "defualt"\nNearest existing queues: "default"');
  });

  test('names in a pull request’s settings cannot command the runner', async () => {
    await setSettings('project: "abc\\n::error::x\\n::warning::y"\n');
    const { stderr, exitCode } = await look([], await describePullRequest(7));
    expect(exitCode).toBe(0);
    expect(stderr).not.toMatch(/^\s*::(?:error|warning)/m);
  });
});

describe('what the token may do', () => {
  test.each<[string, () => string, string, string]>([
    [
      'of a person who may write',
      () => github.addUser('ada', 'write'),
      'allowed: the token has the scope repo',
      'allowed: the token has the scope repo',
    ],
    [
      'of an outsider',
      () => github.addUser('mallory'),
      'allowed: the token has the scope repo',
      "refused: the token's user may not push to the repository",
    ],
    [
      'without scopes',
      () => github.addUser('eve', 'write', []),
      'refused: the token lacks the scope public_repo',
      'refused: the token lacks the scope repo:status',
    ],
    [
      'that is fine-grained',
      () => github.addUser('bob', 'write', 'fine-grained'),
      'unknown: GitHub does not say what a fine-grained token may do; it needs pull-requests: write',
      'unknown: GitHub does not say what a fine-grained token may do; it needs statuses: write',
    ],
  ])('one %s', async (_, makeToken, comment, status) => {
    const { found } = await look([], { GH_TOKEN: makeToken() });
    expect([found.Comment, found.Status]).toEqual([[comment], [status]]);
  });

  test('the job’s own sets the status, whoever comments', async () => {
    const env = { GH_TOKEN: github.addUser('ada', 'write'), GITHUB_TOKEN: github.token };
    const { found } = await look([], env);
    expect(found.Comment).toEqual(['allowed: the token has the scope repo']);
    expect(found.Status).toEqual([
      expect.stringMatching(/^unknown: GitHub does not say what an app's token may do/),
    ]);
    const wrong = await look([], { ...env, GITHUB_TOKEN: 'ghp_wrong' });
    expect(wrong.found.Comment).toEqual(['allowed: the token has the scope repo']);
    expect(wrong.found.Status).toEqual(['refused: GitHub refuses the token: Bad credentials']);
  });

  test.each<[string, Record<string, string>, RegExp]>([
    ['no token', { GH_TOKEN: '' }, /^unknown: neither GH_TOKEN nor GITHUB_TOKEN is set$/],
    ['a wrong token', { GH_TOKEN: 'ghp_wrong' }, /^GitHub refuses the token: Bad credentials$/],
    [
      'a repository that the token does not see',
      { GITHUB_REPOSITORY: 'acme/none' },
      /^GitHub did not find the repository acme\/none$/,
    ],
    [
      'no repository on this GitHub',
      { GITHUB_REPOSITORY: '' },
      /^unknown: set GITHUB_REPOSITORY to say in which repository the token is to act$/,
    ],
    ['no GitHub', { GITHUB_API_URL: 'http://127.0.0.1:9' }, /^unknown: .*(?:did not answer|no answer)/],
  ])('with %s it is said so, and the documents are printed', async (_, env, text) => {
    const { exitCode, found, stdout } = await look([], env);
    expect(exitCode).toBe(0);
    expect(found.GitHub).toEqual([expect.stringMatching(text)]);
    expect(JSON.parse(stdout).tasks).toHaveLength(1);
  });
});

test('an account that ClearML does not tell is unknown, and no failure', async () => {
  const page = { kind: 'answer', status: 503, body: '' } as const;
  const env = await breakRequests((endpoint) => (endpoint.startsWith('users.') ? page : undefined));
  const { exitCode, found, stdout } = await look([], env);
  expect(exitCode).toBe(0);
  expect(found.ClearML?.[0]).toMatch(/^http:.*; user unknown: no answer within 10 s$/);
  expect(JSON.parse(stdout).tasks).toHaveLength(1);
});

test('without ClearML keys a dry run is a mistake as ever', async () => {
  const run = await look([], { CLEARML_API_ACCESS_KEY: '' });
  expect(run).toMatchObject({ exitCode: 2, stdout: '', found: {} });
});

test('keys that are refused are told once', async () => {
  const { exitCode, stderr, found } = await look([], { CLEARML_API_SECRET_KEY: 'wrong' });
  expect([exitCode, Object.keys(found)]).toEqual([8, ['Code', 'Comment', 'Status']]);
  expect(stderr.match(/refused the credentials/g)).toHaveLength(1);
});

test('a launch that is no dry run says nothing of it, and asks GitHub nothing', async () => {
  const run = await launch([], { env: github.env });
  expect(run.stderr).not.toMatch(/^(?:ClearML|Project|Comment) /m);
  expect(methods.size).toBe(0);
});
