import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { type ClearmlDriver, createClearmlDriver, type TaskDocument } from '../dev/clearml-driver.ts';
import { type Fault, type FaultProxy, type SeenRequest, startFaultProxy } from '../dev/fault-proxy.ts';
import { createPatientClock } from '../dev/patient-clock.ts';
import { type ProgramRun, type RunOptions, runProgramHere, runProgramProcess } from '../dev/program-run.ts';
import { countRoundTrips } from '../dev/round-trips.ts';
import { createScratchRepository, type ScratchRepository } from '../dev/scratch-repository.ts';
import { main } from '../launch-training-task.ts';
import { type ClearmlSandbox, startClearmlSandbox } from '../sandbox/clearml-server.ts';
import { startGithubSandbox } from '../sandbox/github-server.ts';
import type { Clock } from '../shell/world.ts';

const CLONE_URL = 'https://github.com/acme/digits.git';
/** A valid name of a branch. */
const HOSTILE_BRANCH = `x$(touch$\{IFS}y)`;
const PROGRAM = 'launch-training-task';

/** All that a test's world consists of, made anew for each: the sandbox is up in a few milliseconds. */
let sandbox: ClearmlSandbox;
let driver: ClearmlDriver;
let repository: ScratchRepository;
let folder: string;
let proxies: FaultProxy[];

beforeEach(async () => {
  clock = createPatientClock();
  sandbox = await startClearmlSandbox({ now: clock.now });
  driver = createClearmlDriver(sandbox.env);
  repository = createScratchRepository();
  repository.commit('Start', { 'train_model.py': 'print(1)\n', 'docs/guide.md': 'read me\n' });
  repository.git('remote', 'add', 'origin', 'https://octocat:ghp_inTheUrl@github.com/acme/digits.git');
  publish();
  folder = await mkdtemp(join(tmpdir(), 'launch-'));
  proxies = [];
});

afterEach(async () => {
  await Promise.all(proxies.map((proxy) => proxy.close()));
  await sandbox.close();
  repository.remove();
  await rm(folder, { recursive: true, force: true });
});

/** What a push leaves behind in the checkout. */
function publish(branch = 'main'): void {
  repository.git('update-ref', `refs/remotes/origin/${branch}`, 'HEAD');
}

/** One for all launches of a test, since some run side by side. */
let clock: Clock;

type LaunchRunOptions = Pick<Partial<RunOptions>, 'cwd' | 'env'> & { readonly clock?: Clock };

/** Runs the program in this process, in the scratch checkout. */
function launch(args: readonly string[] = [], options: LaunchRunOptions = {}) {
  return runProgramHere(main, {
    cwd: repository.directory,
    clock,
    ...options,
    args,
    env: { ...sandbox.env, ...options.env },
  });
}

/** Runs it and gives the one task it names. */
async function launchTask(
  args: readonly string[] = [],
  env: Record<string, string> = {},
): Promise<TaskDocument> {
  const run = await launch(args, { env });
  expect(run).toMatchObject({ exitCode: 0 });
  return driver.getTask(run.stdout.trim());
}

/** The variables of a pull request's run; the event file says where its code is. */
async function describePullRequest(
  number: number,
  run: { id?: string; head?: string; cloneUrl?: string; branch?: string; attempt?: string } = {},
): Promise<Record<string, string>> {
  const file = join(folder, `event-${number}-${Math.random()}.json`);
  const head = {
    sha: run.head ?? repository.git('rev-parse', 'HEAD'),
    ref: run.branch ?? 'feature',
    repo: { clone_url: run.cloneUrl ?? CLONE_URL, default_branch: 'main' },
  };
  const event = {
    pull_request: { number, head, base: { ref: 'main' } },
    repository: { clone_url: CLONE_URL, default_branch: 'main' },
  };
  await writeFile(file, JSON.stringify(event));
  return {
    GITHUB_ACTIONS: 'true',
    GITHUB_EVENT_NAME: 'pull_request',
    GITHUB_EVENT_PATH: file,
    GITHUB_REPOSITORY: 'acme/digits',
    GITHUB_RUN_ID: run.id ?? '1000',
    GITHUB_RUN_ATTEMPT: run.attempt ?? '1',
    GITHUB_SHA: 'f'.repeat(40),
    GITHUB_ACTOR: 'octocat',
  };
}

/** A proxy before the sandbox that lets the n-th request to an endpoint meet a fault. */
async function breakRequests(
  choose: (endpoint: string, nth: number, request: Pick<SeenRequest, 'body'>) => Fault | undefined,
): Promise<Record<string, string>> {
  const counts = new Map<string, number>();
  const proxy = await startFaultProxy(sandbox.apiHost, (request) => {
    const endpoint = request.path.split('/').at(-1) ?? '';
    const nth = (counts.get(endpoint) ?? 0) + 1;
    counts.set(endpoint, nth);
    return choose(endpoint, nth, request);
  });
  proxies.push(proxy);
  return { CLEARML_API_HOST: proxy.url };
}

async function setSettings(text: string): Promise<void> {
  repository.commit('Settings', { '.github/clearml-ci.yml': text });
  publish();
}

describe('the exact code', () => {
  test('comes from the arguments', async () => {
    const commit = 'a'.repeat(40);
    const task = await launchTask(['git@github.com:acme/digits.git', 'main', commit]);
    expect(task.script).toMatchObject({
      repository: 'git@github.com:acme/digits.git',
      branch: 'main',
      version_num: commit,
      entry_point: 'train_model.py',
      working_dir: '.',
    });
    expect(task.script.requirements?.pip ?? '').toBe('');
  });

  test('of a subfolder is launched with a word on the settings file at the root', async () => {
    await setSettings('project: Fraud\n');
    repository.commit('Service', { 'services/a/train_model.py': 'print(1)\n' });
    publish();
    const cwd = join(repository.directory, 'services/a');
    const unset = await launch([], { cwd });
    expect(unset.stderr).toContain(
      'No settings file in this folder, so the defaults hold; there is one at ../../.github/clearml-ci.yml: --config',
    );
    const set = await launch(['--config', '../../.github/clearml-ci.yml'], { cwd });
    expect(set.stderr).not.toContain('No settings file');
    expect((await launch([])).stderr).not.toContain('No settings file');
  });

  test('that lacks the program is launched with a warning that names what is near', async () => {
    const run = await launch(['--working-dir', 'docs', '--entry-point', 'train_modle.py']);
    expect(run.exitCode).toBe(0);
    expect(run.stderr).toContain('warning: commit ');
    expect(run.stderr).toContain('has no file "docs/train_modle.py"');
    expect(run.stderr).toContain('"train_model.py"');
    expect((await launch(['--param', 'a=1'])).stderr).not.toContain('has no file');
    const elsewhere = ['https://github.com/acme/other.git', 'main', 'a'.repeat(40)];
    const unread = await launch([...elsewhere, '--entry-point', 'xyz.py']);
    expect(unread).toMatchObject({ exitCode: 0, stderr: expect.not.stringContaining('has no file') });
  });

  test('that lacks the program is warned of though ClearML refuses the launch', async () => {
    const run = await launch(['--entry-point', 'docs/train_modle.py', '--queue', 'nowhere']);
    expect(run.exitCode).toBe(10);
    expect(run.stderr).toMatch(
      /has no file "docs\/train_modle.py".*\n(?:.*\n)*.*there is no queue "nowhere"/,
    );
  });

  test('is the head of the pull request in the fork that holds it, never the merge commit', async () => {
    const env = await describePullRequest(7, {
      cloneUrl: 'https://github.com/fork/digits.git',
      branch: HOSTILE_BRANCH,
    });
    const task = await launchTask([], env);
    expect(task.script).toMatchObject({
      repository: 'https://github.com/fork/digits.git',
      branch: HOSTILE_BRANCH,
      version_num: repository.git('rev-parse', 'HEAD'),
    });
  });

  test('comes from the local checkout, without the user name and token in its remote', async () => {
    const task = await launchTask();
    expect(task.script).toMatchObject({
      repository: CLONE_URL,
      branch: 'main',
      version_num: repository.git('rev-parse', 'HEAD'),
      diff: '',
    });
    expect(JSON.stringify(await driver.listTasks())).not.toContain('ghp_inTheUrl');
  });

  test('must have been pushed: an agent could not clone it otherwise', async () => {
    repository.commit('Not pushed', { 'train_model.py': 'print(2)\n' });
    const run = await launch();
    expect(run.exitCode).toBe(2);
    expect(run.stderr).toMatch(/^error: commit [0-9a-f]{10} is on no branch of the remote\n.*push it first/);
    expect(await driver.listTasks()).toEqual([]);
  });

  test('with changes to tracked files is refused, unless --diff sends them along', async () => {
    await writeFile(join(repository.directory, 'train_model.py'), 'print(3)\n');
    const refused = await launch();
    expect(refused.exitCode).toBe(2);
    expect(refused.stderr).toContain('--diff');

    const task = await launchTask(['--diff']);
    expect(task.script.diff).toBe(`${repository.git('diff', 'HEAD')}\n`);
    expect(task.script.diff).toContain('+print(3)');
  });

  test('leaves untracked files out, and says so', async () => {
    await writeFile(join(repository.directory, 'new.py'), '');
    const run = await launch();
    expect(run).toMatchObject({
      exitCode: 0,
      stderr: expect.stringContaining('warning: 1 untracked file is not part'),
    });
  });

  test('is found from a folder below the root, and in a detached checkout', async () => {
    repository.git('checkout', '--quiet', '--detach');
    const run = await launch([], { cwd: join(repository.directory, 'docs') });
    const task = await driver.getTask(run.stdout.trim());
    expect(task.script).toMatchObject({ branch: 'main', version_num: repository.git('rev-parse', 'HEAD') });
  });

  test.each<[string, object, Record<string, string>]>([
    ['an issue_comment event', { issue: { number: 7, pull_request: {} } }, {}],
    ['a dispatch with PR_NUMBER', {}, { PR_NUMBER: '7' }],
  ])('is not guessed where %s names a pull request but not its head', async (_, event, more) => {
    const file = join(folder, 'event.json');
    await writeFile(file, JSON.stringify({ ...event, repository: { clone_url: CLONE_URL } }));
    const env = {
      GITHUB_EVENT_PATH: file,
      GITHUB_SHA: repository.git('rev-parse', 'HEAD'),
      GITHUB_REF: 'refs/heads/main',
      ...more,
    };
    const refused = await launch([], { env });
    expect(refused.exitCode).toBe(2);
    expect(refused.stderr).toContain("the event does not say which commit the pull request's head is");
    const given = await launch([CLONE_URL, 'feature', 'a'.repeat(40)], { env });
    expect((await driver.getTask(given.stdout.trim())).tags).toContain('pr:7');
  });

  test("of a fork's pull request that a maintainer trains by hand is what GitHub says, if it is what was read", async () => {
    const head = 'd'.repeat(40);
    const github = await startGithubSandbox({
      pulls: [{ number: 9, headRef: 'fix', headSha: head, baseRef: 'main', headRepository: 'fork/digits' }],
    });
    try {
      const file = join(folder, 'event.json');
      await writeFile(file, JSON.stringify({ inputs: {}, repository: { clone_url: CLONE_URL } }));
      const env = {
        ...github.env,
        GITHUB_EVENT_NAME: 'workflow_dispatch',
        GITHUB_EVENT_PATH: file,
        GITHUB_SHA: repository.git('rev-parse', 'HEAD'),
        GITHUB_REF: 'refs/heads/main',
        PR_NUMBER: '9',
      };
      const moved = await launch([], { env: { ...env, PR_COMMIT: 'e'.repeat(40) } });
      expect(moved).toMatchObject({ exitCode: 2, stdout: '' });
      expect(moved.stderr).toContain('error: the commit to train is dddddddddd, not eeeeeeeeee');
      const short = await launch([], { env: { ...env, PR_COMMIT: head.slice(0, 10) } });
      expect(short).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('no full commit id') });
      const task = await launchTask([], { ...env, PR_COMMIT: head.toUpperCase() });
      expect(task.script).toMatchObject({ version_num: head, branch: 'fix' });
      expect(task.script.repository).toMatch(/\/fork\/digits\.git$/);
      expect(task.tags).toContain('pr:9');
      const unknown = await launch([], { env: { ...env, PR_NUMBER: '10' } });
      expect(unknown.exitCode).toBe(10);
    } finally {
      await github.close();
    }
  });

  test('of a workflow_run is what that run was about', async () => {
    const file = join(folder, 'event.json');
    const workflow_run = {
      head_sha: 'b'.repeat(40),
      head_branch: 'x',
      head_repository: { html_url: 'https://github.com/acme/digits' },
    };
    await writeFile(file, JSON.stringify({ workflow_run, repository: { clone_url: CLONE_URL } }));
    const task = await launchTask([], {
      GITHUB_EVENT_NAME: 'workflow_run',
      GITHUB_EVENT_PATH: file,
      GITHUB_SHA: 'c'.repeat(40),
    });
    expect(task.script).toMatchObject({ version_num: 'b'.repeat(40), branch: 'x' });
  });

  test('is the same however its id is spelled', async () => {
    const upper = await launchTask([CLONE_URL, 'main', 'A'.repeat(40)]);
    expect((await launchTask([CLONE_URL, 'main', 'a'.repeat(40)])).id).toBe(upper.id);
  });

  test('may be pushed to another remote than origin', async () => {
    repository.commit('Elsewhere', { 'train_model.py': 'print(2)\n' });
    repository.git('remote', 'add', 'team/fork', 'https://github.com/fork/digits.git');
    repository.git('update-ref', 'refs/remotes/team/fork/main', 'HEAD');
    const task = await launchTask();
    expect(task.script).toMatchObject({ repository: 'https://github.com/fork/digits.git', branch: 'main' });
  });

  test('is not taken from a remote whose URL would carry a token out', async () => {
    repository.git('remote', 'set-url', 'origin', 'https://octocat:ghp_inTheUrl@github.com:acme/digits.git');
    const run = await launch();
    expect(run.exitCode).toBe(2);
    expect(run.stderr).toContain('the URL of the checkout’s remote is none that an agent can clone');
    expect(run.stderr).not.toContain('ghp_');
  });

  test('with --diff can be applied, whatever git is set to', async () => {
    repository.git('config', 'diff.noprefix', 'true');
    await writeFile(join(repository.directory, 'train_model.py'), 'print(3)\n');
    await writeFile(join(repository.directory, 'docs/guide.md'), Buffer.from([0, 1, 2, 0]));
    const task = await launchTask(['--diff']);
    const patch = join(folder, 'patch');
    await writeFile(patch, task.script.diff);
    repository.git('checkout', '--', '.');
    repository.git('apply', patch);
    expect(await readFile(join(repository.directory, 'docs/guide.md'))).toEqual(Buffer.from([0, 1, 2, 0]));
    await writeFile(join(repository.directory, 'docs/guide.md'), Buffer.from('latin-1: \u00e9\n', 'latin1'));
    const refused = await launch(['--diff']);
    expect(refused.exitCode).toBe(2);
    expect(refused.stderr).toContain('not UTF-8 text');
  });

  test.each([
    [['http://x'], 'the repository URL is none that git can clone'],
    [['--', '-x', 'main', 'a'.repeat(40)], 'the repository URL is none that git can clone'],
    [[CLONE_URL, 'a b', 'a'.repeat(40)], 'the branch is no valid name'],
    [[CLONE_URL, 'main', 'abc123'], 'the commit is no full commit id'],
    [['https://github.com/other/repo.git'], 'which commit of the given repository is meant'],
    [[CLONE_URL, 'other'], 'which commit of the given branch is meant'],
  ])('%j is refused: %s', async (args, message) => {
    const run = await launch(args);
    expect(run.exitCode).toBe(2);
    expect(run.stderr).toContain(`error: ${message}`);
    expect(await driver.listTasks()).toEqual([]);
  });

  test('without checkout, event or arguments is an error that says what to give', async () => {
    const run = await launch([], { cwd: folder });
    expect(run.exitCode).toBe(2);
    expect(run.stderr).toContain('give repository URL, branch and commit as arguments');
  });
});

describe('settings', () => {
  test('come from flags, then from the file; all reach the task', async () => {
    await setSettings(
      [
        'project: From File',
        'task-name: My Task',
        'working-dir: ./sub/',
        'entry-point: run.py',
        'requirements: sub/req.txt',
        'docker-image: python:3.11',
        'docker-args: --ipc=host',
        'params: { Args/lr: 0.1, General/depth: 3, plain: true }',
        'tags: [team-a]',
      ].join('\n'),
    );
    repository.commit('More', { 'sub/req.txt': 'numpy\n', 'sub/run.py': '' });
    publish();
    const task = await launchTask([
      '--project',
      'From Flag',
      '--param',
      'lr=0.2',
      '--param',
      'Args/text=a=b',
      '--tag',
      'team-b',
    ]);
    expect(task).toMatchObject({
      name: 'My Task',
      type: 'training',
      status: 'queued',
      script: { working_dir: 'sub', entry_point: 'run.py', requirements: { pip: 'numpy\n' } },
      container: { image: 'python:3.11', arguments: '--ipc=host' },
    });
    const hyperparams = Object.entries(
      task.hyperparams as Record<string, Record<string, { value: string }>>,
    ).flatMap(([section, params]) =>
      Object.entries(params).map(([name, { value }]) => `${section}/${name}=${value}`),
    );
    expect(hyperparams.sort()).toEqual([
      'Args/lr=0.2',
      'Args/plain=true',
      'Args/text=a=b',
      'General/depth=3',
    ]);
    expect(task.tags).toEqual(expect.arrayContaining(['ci', 'branch:main', 'team-a', 'team-b']));
    const { projects } = await driver.call('projects.get_all', { id: [task.project] });
    expect(projects[0].name).toBe('From Flag');
  });

  test('name the task after its program by default, the project after the repository', async () => {
    repository.commit('More', { 'a/b/train.py': '' });
    publish();
    const task = await launchTask(['--working-dir', 'a/b', '--entry-point', 'train.py']);
    expect(task.name).toBe('a/b/train');
    expect((await driver.call('projects.get_all', { name: '^digits$' })).projects).toHaveLength(1);
  });

  test('--dry-run prints the documents, changes nothing and writes no output', async () => {
    const output = join(folder, 'output');
    const run = await launch(['--dry-run', '--param', 'lr=1'], { env: { GITHUB_OUTPUT: output } });
    expect(run.exitCode).toBe(0);
    const [document] = JSON.parse(run.stdout).tasks;
    expect(await driver.listTasks()).toEqual([]);
    expect((await driver.call('projects.get_all', { name: '^digits$' })).projects).toEqual([]);
    await expect(readFile(output)).rejects.toThrow('ENOENT');

    const task = await launchTask(['--param', 'lr=1']);
    expect(task).toMatchObject({ ...document, project: task.project, tags: [...document.tags].sort() });
    const again = await launch(['--dry-run', '--param', 'lr=1']);
    expect(JSON.parse(again.stdout)).toEqual({ tasks: [{ id: task.id }] });
  });

  test('a requirements file must lie inside the checkout, links followed', async () => {
    await writeFile(join(folder, 'secret'), 'runner secret');
    await symlink(join(folder, 'secret'), join(repository.directory, 'req.txt'));
    repository.commit('Link', {});
    publish();
    for (const [path, message] of [
      ['req.txt', 'lies outside the checkout'],
      ['../x', 'does not exist'],
      ['no-such.txt', 'does not exist'],
      ['.', 'is a folder, not a file'],
    ] as const) {
      const run = await launch(['--requirements', path]);
      expect(run.exitCode).toBe(2);
      expect(run.stderr).toContain(message);
    }
    expect(JSON.stringify(await driver.listTasks())).not.toContain('runner secret');
  });

  test('outputs and JSON name the task; stdout without --json is the id alone', async () => {
    const output = join(folder, 'output');
    const env = { ...(await describePullRequest(7)), GITHUB_OUTPUT: output };
    const run = await launch(['--json'], { env });
    const [task] = JSON.parse(run.stdout).tasks;
    expect(JSON.parse(run.stdout)).toEqual({
      tasks: [
        {
          id: expect.stringMatching(/^[0-9a-f]{32}$/),
          url: expect.stringMatching(
            new RegExp(`^${sandbox.webHost}/projects/[0-9a-f]{32}/tasks/${task.id}/output/log$`),
          ),
          seed: null,
          reused: false,
          queue: { name: 'default', position: 1, workers: 0 },
        },
      ],
      superseded: [],
    });
    const lines = (await readFile(output, 'utf8'))
      .split('\n')
      .filter((line) => !/ghadelimiter_|^$/.test(line));
    expect(lines).toEqual([task.id, task.id, task.url, 'false']);
    const again = await launch([], { env: { ...env, GITHUB_OUTPUT: `${output}2` } });
    expect(again.stdout).toBe(`${task.id}\n`);
    expect(await readFile(`${output}2`, 'utf8')).toMatch(/reused<<(.*)\ntrue\n\1\n$/);
  });
});

describe('findable', () => {
  test('the task tells where it came from and who started it', async () => {
    const env = await describePullRequest(7, { id: '4711', attempt: '2' });
    const task = await launchTask([], env);
    const commit = repository.git('rev-parse', 'HEAD');
    expect(task.tags).toEqual(expect.arrayContaining(['ci', 'pr:7', 'branch:feature']));
    expect(task.comment.split('\n')).toEqual([
      'Pull request: https://github.com/acme/digits/pull/7',
      `Commit: https://github.com/acme/digits/commit/${commit} (branch feature)`,
      'Run: https://github.com/acme/digits/actions/runs/4711/attempts/2',
      'Started by: octocat, event pull_request',
    ]);
    expect(task.runtime).toMatchObject({
      ci_key: expect.stringMatching(/^[0-9a-f]{32}$/),
      ci_code: repository.git('rev-parse', 'HEAD^{tree}'),
      ci_pull_request: '7',
      ci_run: '4711',
      ci_attempt: '2',
      ci_event: 'pull_request',
    });
  });
});

describe('once', () => {
  test('another message, author or parent of the same tree trains nothing', async () => {
    const first = await launchTask();
    repository.git('commit', '--quiet', '--amend', '-m', 'Another message');
    publish();
    const second = await launchTask();
    expect(second.id).toBe(first.id);
    repository.commit('Change', { 'train_model.py': 'print(2)\n' });
    publish();
    expect((await launchTask()).id).not.toBe(first.id);
  });

  test('with paths, a commit that touches only other files trains nothing', async () => {
    await setSettings('paths: [train_model.py, "src/**"]');
    const first = await launchTask();
    repository.commit('Docs', { 'docs/guide.md': 'changed\n' });
    publish();
    expect((await launchTask()).id).toBe(first.id);
    repository.commit('Source', { 'src/deep/model.py': 'x\n' });
    publish();
    expect((await launchTask()).id).not.toBe(first.id);
  });

  test('paths that match no file are an error', async () => {
    await setSettings('paths: [nothing/**]');
    const run = await launch();
    expect(run.exitCode).toBe(2);
    expect(run.stderr).toContain('matches paths (nothing/**)');
  });

  test.each<[string, string[]]>([
    ['params', ['--param', 'lr=2']],
    ['image', ['--docker-image', 'python:3.12']],
    ['arguments of the image', ['--docker-args', '--ipc=host']],
    ['entry point', ['--entry-point', 'other.py', '--task-name', 'train_model']],
    ['working directory', ['--working-dir', 'docs', '--task-name', 'train_model']],
    ['requirements', ['--requirements', 'docs/guide.md']],
    ['project', ['--project', 'Other']],
    ['task name', ['--task-name', 'Other']],
  ])('another %s is another training', async (_, args) => {
    const first = await launchTask();
    expect((await launchTask(args)).id).not.toBe(first.id);
    expect((await launchTask(args)).id).not.toBe(first.id);
    expect(await driver.listTasks()).toHaveLength(2);
  });

  test('tags, queue and branch do not make another training', async () => {
    await driver.call('queues.create', { name: 'other' });
    const first = await launchTask();
    publish('also-here');
    expect((await launchTask(['--tag', 'x', '--queue', 'other'])).id).toBe(first.id);
  });

  test.each(['queued', 'in_progress', 'completed', 'published'])(
    'a task that is %s is reused',
    async (status) => {
      const { id } = await launchTask();
      if (status !== 'queued') await driver.startTask(id);
      if (status === 'completed' || status === 'published') await driver.completeTask(id);
      if (status === 'published') await driver.call('tasks.publish', { task: id });
      expect(await driver.getTask(id)).toMatchObject({ status });
      const run = await launch();
      expect(run.stdout).toBe(`${id}\n`);
      expect(run.stderr).toContain(`Reusing task ${id}`);
    },
  );

  test.each(['failed', 'stopped', 'closed', 'archived'])('a task that is %s is not', async (state) => {
    const { id } = await launchTask();
    await driver.startTask(id);
    if (state === 'failed') await driver.failTask(id);
    else if (state === 'archived') await driver.completeTask(id);
    else await driver.call('tasks.stop', { task: id });
    if (state === 'closed') await driver.call('tasks.close', { task: id });
    if (state === 'archived') await driver.call('tasks.archive', { tasks: [id] });
    expect((await launchTask()).id).not.toBe(id);
  });

  test('a draft with the same key is queued instead of a new one', async () => {
    const { id } = await launchTask();
    await driver.call('tasks.dequeue', { task: id });
    const task = await launchTask();
    expect(task).toMatchObject({ id, status: 'queued' });
  });

  test('a draft that somebody has edited meanwhile is another training', async () => {
    const { id } = await launchTask(['--param', 'lr=1']);
    await driver.call('tasks.dequeue', { task: id });
    const hyperparams = [{ section: 'Args', name: 'lr', value: '999' }];
    await driver.call('tasks.edit_hyper_params', { task: id, hyperparams });
    const task = await launchTask(['--param', 'lr=1']);
    expect(task.id).not.toBe(id);
    expect(await driver.getTask(id)).toMatchObject({ status: 'created' });
  });

  test.each([{ entry_point: 'evil.py' }, { working_dir: 'elsewhere' }, { diff: 'diff --git a/x b/x\n' }])(
    'a task that ran another program under the same key is another training: %j',
    async (change) => {
      const [planned] = JSON.parse((await launch(['--dry-run'])).stdout).tasks;
      const script = { ...planned.script, ...change };
      const forged = await driver.createTask({ name: planned.name, script, runtime: planned.runtime });
      await driver.startTask(forged);
      await driver.completeTask(forged);
      expect((await launchTask()).id).not.toBe(forged);
    },
  );

  test('an option that is set to nothing counts as left out', async () => {
    const first = await launchTask();
    expect((await launchTask(['--docker-image', '', '--requirements', ''])).id).toBe(first.id);
  });

  test('another pull request that reuses a task puts its tag on it', async () => {
    const first = await launchTask([], await describePullRequest(7));
    const second = await launchTask([], await describePullRequest(8));
    expect(second.id).toBe(first.id);
    expect(second.tags).toEqual(expect.arrayContaining(['pr:7', 'pr:8']));
  });

  test('--no-reuse trains again, but a retry of the same run does not train twice', async () => {
    const first = await launchTask([], await describePullRequest(7, { id: '1' }));
    await driver.startTask(first.id);
    await driver.completeTask(first.id);
    const again = await launchTask(['--no-reuse'], await describePullRequest(7, { id: '2' }));
    expect(again.id).not.toBe(first.id);
    const retried = await launchTask(['--no-reuse'], await describePullRequest(7, { id: '2', attempt: '2' }));
    expect(retried.id).toBe(again.id);
  });

  test('three programs of the same name in three folders share nothing', async () => {
    repository.commit('More', { 'a/train_model.py': '', 'b/train_model.py': '' });
    publish();
    const tasks = [];
    for (const folderName of ['.', 'a', 'b']) {
      tasks.push(await launchTask(['--working-dir', folderName], await describePullRequest(7)));
    }
    expect(new Set(tasks.map((task) => task.runtime.ci_pipeline)).size).toBe(3);
    expect(new Set(tasks.map((task) => task.runtime.ci_key)).size).toBe(3);
    // A newer commit of one of them supersedes that one alone.
    repository.commit('Newer', { 'a/train_model.py': 'x' });
    publish();
    const run = await launch(['--working-dir', 'a', '--json'], {
      env: await describePullRequest(7, { id: '1001' }),
    });
    expect(JSON.parse(run.stdout).superseded).toEqual([tasks[1]?.id]);
  });

  test('20 launches at once end with one task', async () => {
    const runs = await Promise.all(Array.from({ length: 20 }, () => launch()));
    expect(runs.map((run) => run.exitCode)).toEqual(Array(20).fill(0));
    expect(new Set(runs.map((run) => run.stdout)).size).toBe(1);
    const tasks = await driver.listTasks();
    expect(tasks.map((task) => task.status)).toEqual(['queued']);
  });
});

describe('when an answer gets lost', () => {
  const cutAfter: Fault = { kind: 'cut-after' };
  const cutBefore: Fault = { kind: 'cut-before' };

  describe.each([
    'tasks.create',
    'tasks.enqueue',
    'projects.create',
    'tasks.get_all',
    'queues.get_all_ex',
    'projects.get_all',
  ])('to %s', (endpoint) => {
    test.each<[string, Fault, number]>([
      ['once, applied', cutAfter, 1],
      ['once, not applied', cutBefore, 1],
      ['three times in a row, applied', cutAfter, 3],
      ['three times in a row, not applied', cutBefore, 3],
    ])('%s: exactly one task is queued at the end', async (_, fault, times) => {
      const env = await breakRequests((name, nth) => (name === endpoint && nth <= times ? fault : undefined));
      const run = await launch([], { env });
      expect(run).toMatchObject({ exitCode: 0 });
      const tasks = await driver.listTasks();
      expect(tasks.map((task) => [task.id, task.status])).toEqual([[run.stdout.trim(), 'queued']]);
    });
  });

  test('a create that lands late is found and removed', async () => {
    // The first create reaches the server only when the second one has been answered and queued.
    let lateBody = '';
    const env = await breakRequests((endpoint, nth, request) => {
      if (endpoint === 'tasks.create' && nth === 1) {
        lateBody = request.body;
        return cutBefore;
      }
      if (endpoint === 'tasks.enqueue') void driver.call('tasks.create', JSON.parse(lateBody));
      return undefined;
    });
    const run = await launch([], { env });
    expect(run.exitCode).toBe(0);
    const tasks = await driver.listTasks();
    expect(tasks.map((task) => [task.id, task.status])).toEqual([[run.stdout.trim(), 'queued']]);
  });

  test('a task that was created but could not be queued is removed', async () => {
    const env = await breakRequests((endpoint) =>
      endpoint === 'tasks.enqueue'
        ? {
            kind: 'answer',
            status: 400,
            headers: { 'content-type': 'application/json' },
            body: JSON.stringify({
              meta: { result_code: 400, result_subcode: 12, result_msg: 'no' },
              data: {},
            }),
          }
        : undefined,
    );
    const run = await launch([], { env });
    expect(run.exitCode).toBe(9);
    expect(await driver.listTasks()).toEqual([]);
  });

  test('for good, the program gives up within a minute with exit 9 and leaves nothing', async () => {
    const env = await breakRequests((endpoint) => (endpoint === 'tasks.enqueue' ? cutBefore : undefined));
    const beganAtMs = clock.now();
    const run = await launch([], { env });
    expect(run.exitCode).toBe(9);
    expect(clock.now() - beganAtMs).toBeLessThan(60_000);
    expect(await driver.listTasks()).toEqual([]);
    expect(run.stdout).toBe('');
  });
});

describe('taken back', () => {
  /** Launches and runs `meanwhile` while the launch's enqueue is held up; the launch is then interrupted. */
  async function interruptAtEnqueue(
    meanwhile: () => Promise<unknown>,
    options: { isApplied: boolean; env?: Record<string, string>; args?: string[] },
  ) {
    let send: (signal: 'SIGINT') => void = () => undefined;
    const env = await breakRequests((endpoint, nth) => {
      if (endpoint !== 'tasks.enqueue') return undefined;
      if (nth === 1) setImmediate(() => void meanwhile().then(() => send('SIGINT')));
      return { kind: 'silence', isApplied: options.isApplied };
    });
    return runProgramHere(main, {
      args: options.args ?? [],
      cwd: repository.directory,
      clock,
      env: { ...sandbox.env, ...options.env, ...env },
      onStart: (deliver) => {
        send = deliver;
      },
    });
  }

  test.each([
    ['another pull request', 8],
    ['a launch without one', undefined],
  ] as const)('not what %s has taken over meanwhile', async (_, number) => {
    let taken: TaskDocument = {};
    const run = await interruptAtEnqueue(
      async () => {
        taken = await launchTask(
          [],
          number === undefined ? { GITHUB_REPOSITORY: 'acme/digits' } : await describePullRequest(number),
        );
      },
      { isApplied: false, env: await describePullRequest(7) },
    );
    expect(run.exitCode).toBe(130);
    expect(run.stderr).toContain(
      `task ${taken.id} is left: another pull request uses it (${sandbox.webHost}/`,
    );
    expect(await driver.getTask(taken.id)).toMatchObject({ status: 'queued' });
  });

  test('a draft of an earlier launch that was queued goes back to being a draft', async () => {
    const { id } = await launchTask();
    await driver.call('tasks.dequeue', { task: id });
    const run = await interruptAtEnqueue(async () => undefined, { isApplied: true });
    expect(run.exitCode).toBe(130);
    expect(await driver.getTask(id)).toMatchObject({
      status: 'created',
      status_reason: 'launch was interrupted by SIGINT',
    });
  });

  test('when the outputs cannot be written: what later steps cannot find is not launched', async () => {
    const run = await launch([], { env: { GITHUB_OUTPUT: join(folder, 'no-such-folder/output') } });
    expect(run.exitCode).toBe(2);
    expect(run.stderr).toContain('GITHUB_OUTPUT names a file that cannot be written (ENOENT)');
    expect(await driver.listTasks()).toEqual([]);
  });

  test('and a launch whose draft vanishes with another one creates it again', async () => {
    let vanish = true;
    const env = await breakRequests((endpoint) => {
      if (endpoint === 'tasks.enqueue' && vanish) {
        vanish = false;
        return {
          kind: 'hold',
          until: driver.listTasks().then((tasks) => driver.call('tasks.delete', { task: tasks[0]?.id })),
        };
      }
      return undefined;
    });
    const run = await launch([], { env });
    expect(run.exitCode).toBe(0);
    expect((await driver.listTasks()).map((task) => [task.id, task.status])).toEqual([
      [run.stdout.trim(), 'queued'],
    ]);
  });
});

describe('superseded', () => {
  /** Launches for the first commit, then pushes another one. */
  async function launchTwoCommits(second: { id?: string; args?: string[] } = {}) {
    const older = await launchTask([], await describePullRequest(7, { id: '1000' }));
    repository.commit('Newer', { 'train_model.py': 'print(2)\n' });
    publish();
    const run = await launch(['--json', ...(second.args ?? [])], {
      env: await describePullRequest(7, { id: second.id ?? '1001' }),
    });
    return { older, run, report: JSON.parse(run.stdout) as { tasks: TaskDocument[]; superseded: string[] } };
  }

  test('a queued task of an older commit is taken out of the queue, with the reason on it', async () => {
    const { older, run, report } = await launchTwoCommits();
    expect(report.superseded).toEqual([older.id]);
    expect(await driver.getTask(older.id)).toMatchObject({
      status: 'created',
      status_reason: expect.stringMatching(/^superseded by run 1001: commit [0-9a-f]{10} of pull request 7$/),
    });
    expect(run.stderr).toContain(`Ended task ${older.id} of an older commit`);
  });

  test('not with --no-supersede, nor by an older run that is retried', async () => {
    expect((await launchTwoCommits({ args: ['--no-supersede'] })).report.superseded).toEqual([]);
    expect((await launchTwoCommits({ id: '999' })).report.superseded).toEqual([]);
  });

  test('not what another pull request has reused since the first look', async () => {
    const older = await launchTask([], await describePullRequest(7, { id: '1000' }));
    const oldCommit = repository.git('rev-parse', 'HEAD');
    repository.commit('Newer', { 'train_model.py': 'print(2)\n' });
    publish();
    const reuse = await describePullRequest(8, { head: oldCommit });
    const env = await breakRequests((endpoint) =>
      endpoint === 'tasks.create' ? { kind: 'hold', until: launchTask([], reuse) } : undefined,
    );
    const run = await launch([], { env: { ...(await describePullRequest(7, { id: '1001' })), ...env } });
    expect(run.exitCode).toBe(0);
    expect(await driver.getTask(older.id)).toMatchObject({ status: 'queued' });
  });

  test('by a launch by hand is said with the variable that makes it one', async () => {
    const older = await launchTask([], await describePullRequest(7, { id: '1000' }));
    repository.commit('Newer', { 'train_model.py': 'print(2)\n' });
    publish();
    const env = { GITHUB_REPOSITORY: 'acme/digits', PR_NUMBER: '7' };
    const why = 'it is superseded, since PR_NUMBER is 7 (--no-supersede leaves it)';
    const dry = await launch(['--dry-run'], { env });
    expect(dry.stderr).toContain(`Task ${older.id} of an older commit would be ended: ${why}`);
    expect(await driver.getTask(older.id)).toMatchObject({ status: 'queued' });
    expect((await launch([], { env })).stderr).toContain(`Ended task ${older.id} of an older commit: ${why}`);
  });

  test('a task that two pull requests share ends when the second has newer code too', async () => {
    const older = await launchTask([], await describePullRequest(7, { id: '1000' }));
    await launchTask([], await describePullRequest(8, { id: '1001' }));
    repository.commit('Newer', { 'train_model.py': 'print(2)\n' });
    publish();
    await launchTask([], await describePullRequest(7, { id: '1002' }));
    const shared = await driver.getTask(older.id);
    expect(shared).toMatchObject({ status: 'queued', tags: expect.not.arrayContaining(['pr:7']) });
    const run = await launch(['--json'], { env: await describePullRequest(8, { id: '1003' }) });
    expect(JSON.parse(run.stdout).superseded).toEqual([older.id]);
    expect(await driver.getTask(older.id)).toMatchObject({ status: 'created' });
  });

  test('an old task that cannot be ended is a warning: the new one is launched all the same', async () => {
    const older = await launchTask([], await describePullRequest(7, { id: '1000' }));
    repository.commit('Newer', { 'train_model.py': 'print(2)\n' });
    publish();
    const env = await breakRequests((endpoint) =>
      endpoint === 'tasks.dequeue' ? { kind: 'answer', status: 403, body: '' } : undefined,
    );
    const run = await launch([], { env: { ...(await describePullRequest(7, { id: '1001' })), ...env } });
    expect(run).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^[0-9a-f]{32}\n$/) });
    expect(run.stderr).toContain(
      `task ${older.id} of an older commit is superseded, but that it has ended could not be confirmed`,
    );
  });

  test('nothing that differs in any one field is touched', async () => {
    const { older } = await launchTwoCommits({ args: ['--no-supersede'] });
    const commit = repository.git('rev-parse', 'HEAD');
    const runtime = older.runtime as Record<string, string>;
    const project = older.project as string;
    const queue = (await driver.call('queues.get_default')).id;
    const create = async (change: { runtime?: object; tags?: string[]; commit?: string; name?: string }) => {
      const id = await driver.createTask({
        name: change.name ?? older.name,
        project,
        tags: change.tags ?? ['ci', 'pr:7', 'branch:feature'],
        script: { ...older.script, version_num: change.commit ?? older.script.version_num },
        runtime: Object.fromEntries(
          Object.entries({ ...runtime, ci_key: 'b'.repeat(32), ...change.runtime }).filter(
            ([, value]) => value !== undefined,
          ),
        ),
      });
      await driver.call('tasks.enqueue', { task: id, queue });
      return id;
    };
    const nearMisses = await Promise.all([
      create({ runtime: { ci_pull_request: '8' }, tags: ['ci', 'pr:8'] }),
      create({ runtime: { ci_pull_request: '77' }, tags: ['ci', 'pr:77'] }),
      create({ runtime: { ci_pull_request: undefined } }),
      create({ runtime: { ci_pipeline: 'c'.repeat(32) } }),
      create({ runtime: { ci_pipeline: undefined } }),
      create({ runtime: { ci_run: '1002' } }),
      create({ runtime: { ci_run: '10000' } }),
      create({ commit }),
      create({ tags: ['ci', 'pr:7', 'pr:8'] }),
    ]);
    const hit = await create({});
    repository.git('commit', '--quiet', '--amend', '--no-edit', '--author', 'Bob <bob@example.com>');
    const run = await launch(['--json'], { env: await describePullRequest(7, { id: '1001', head: commit }) });
    expect(JSON.parse(run.stdout).superseded.sort()).toEqual([older.id, hit].sort());
    for (const id of nearMisses) expect(await driver.getTask(id)).toMatchObject({ status: 'queued' });
  });
});

describe('the right queue', () => {
  test.each(['defualt', 'Default', 'def.ult', '.*', 'default('])(
    '%j is unknown: exit 10 with the nearest names',
    async (name) => {
      await driver.call('queues.create', { name: 'default-gpu' });
      const run = await launch(['--queue', name]);
      expect(run.exitCode).toBe(10);
      expect(run.stderr).toContain(`error: there is no queue "${name}"\nNearest existing queues: "default"`);
      expect(await driver.listTasks()).toEqual([]);
      expect((await driver.call('queues.get_all')).queues).toHaveLength(2);
    },
  );

  test('is found by its id too, and by a name full of signs', async () => {
    const name = 'gpu (a+b) [x]*';
    const { id } = await driver.call('queues.create', { name });
    const first = await launchTask(['--queue', name]);
    expect(first.execution.queue).toBe(id);
    const second = await launchTask(['--queue', id, '--param', 'a=1']);
    expect(second.execution.queue).toBe(id);
  });

  test('without a worker is a warning, with --require-worker exit 7 and nothing created', async () => {
    const warned = await launch();
    expect(warned.stderr).toContain('warning: no worker serves the queue "default"');
    const refused = await launch(['--require-worker', '--param', 'a=1']);
    expect(refused.exitCode).toBe(7);
    expect(refused.stderr).toContain('error: no worker serves the queue "default"');
    expect(await driver.listTasks()).toHaveLength(1);
  });

  test('without a worker is told with a command that starts one, whatever the queue is called', async () => {
    await driver.call('queues.create', { name: 'big GPUs' });
    const command = "(clearml-agent daemon --queue 'big GPUs')";
    expect((await launch(['--queue', 'big GPUs'])).stderr).toContain(command);
    const refused = await launch(['--queue', 'big GPUs', '--require-worker', '--param', 'a=1']);
    expect(refused.stderr).toContain(command);
  });

  test('with a worker tells the position in it', async () => {
    const queue = (await driver.call('queues.get_default')).id;
    await driver.call('workers.register', { worker: 'w:0', queues: [queue], timeout: 600 });
    await driver.call('workers.status_report', { worker: 'w:0', queues: [queue], timestamp: Date.now() });
    await launchTask();
    const run = await launch(['--require-worker', '--param', 'a=1']);
    expect(run.stderr).toContain('number 2 in queue "default" (1 worker)');
  });
});

describe('a reused task that waits in another queue', () => {
  const serve = async (name: string) => {
    const { queues } = await driver.call('queues.get_all', { name: `^${name}$` });
    const id = queues[0]?.id ?? (await driver.call('queues.create', { name })).id;
    await driver.call('workers.register', { worker: `w:${name}`, queues: [id], timeout: 600 });
    await driver.call('workers.status_report', { worker: `w:${name}`, queues: [id], timestamp: Date.now() });
  };

  test('is reported, and judged, by that queue', async () => {
    await serve('served');
    await launchTask();
    const unserved = await launch(['--queue', 'served', '--json', '--require-worker']);
    expect(unserved.exitCode).toBe(7);
    const warned = await launch(['--queue', 'served', '--json']);
    expect(JSON.parse(warned.stdout).tasks[0].queue).toEqual({ name: 'default', position: 1, workers: 0 });
    expect(warned.stderr).toContain('no worker serves the queue "default"');

    await launchTask(['--queue', 'served', '--param', 'a=1']);
    const served = await launch(['--param', 'a=1', '--require-worker', '--json']);
    expect(JSON.parse(served.stdout).tasks[0].queue).toEqual({ name: 'served', position: 1, workers: 1 });
  });
});

describe('seeds', () => {
  test('make one task each, grouped, and more of them later reuse those that are there', async () => {
    const two = await launch(['--seeds', '2', '--json']);
    const tasks = JSON.parse(two.stdout).tasks as TaskDocument[];
    expect(tasks.map((task) => task.seed)).toEqual([1, 2]);
    const documents = await Promise.all(tasks.map((task) => driver.getTask(task.id)));
    expect(documents.map((task) => task.hyperparams.Args.seed.value)).toEqual(['1', '2']);
    const groups = documents.map((task) => task.tags.filter((tag: string) => tag.startsWith('seeds:')));
    expect(groups[0]).toHaveLength(1);
    expect(groups[1]).toEqual(groups[0]);

    const three = await launch(['--seeds', '3', '--json']);
    const later = JSON.parse(three.stdout).tasks as TaskDocument[];
    expect(later.map((task) => task.reused)).toEqual([true, true, false]);
    expect(later.slice(0, 2).map((task) => task.id)).toEqual(tasks.map((task) => task.id));
  });

  test('are all there or none: where one cannot be created, the others go', async () => {
    const env = await breakRequests((endpoint, nth) =>
      endpoint === 'tasks.create' && nth >= 3 ? { kind: 'cut-before' } : undefined,
    );
    const run = await launch(['--seeds', '3'], { env });
    expect(run.exitCode).toBe(9);
    expect(await driver.listTasks()).toEqual([]);
  });

  test('come from the settings file, under the param it names', async () => {
    await setSettings('seeds: [7, 9]\nseed-param: General/random_state');
    const run = await launch();
    const ids = run.stdout.trim().split('\n');
    const values = await Promise.all(
      ids.map(async (id) => (await driver.getTask(id)).hyperparams.General.random_state.value),
    );
    expect(values).toEqual(['7', '9']);
  });

  test.each([
    [['--seeds', '2', '--param', 'seed=5'], 'the seed is given twice'],
    [['--seeds', '0'], 'is neither a number of seeds'],
    [['--seeds', '1,1'], 'is neither a number of seeds'],
    [['--seeds', 'x'], 'is neither a number of seeds'],
    [['--param', 'lr'], 'is not of the form [Section/]name=value'],
    [['--param', '/x=1'], 'has no section or no name'],
    [['--project', 'ab'], 'is shorter than 3 characters'],
    [['--entry-point', '../x.py'], 'is not a path inside the repository'],
    [['--no-such-option'], "unknown option '--no-such-option'"],
    [['a', 'b', 'c', 'd'], 'too many arguments'],
    [['--config', 'none.yml'], 'the settings file none.yml does not exist'],
  ])('%j is exit 2: %s', async (args, message) => {
    const run = await launch(args);
    expect(run.exitCode).toBe(2);
    expect(run.stderr.split('\n')[0]).toContain(message);
    expect(run.stdout).toBe('');
  });

  test('all options that are malformed are named at once', async () => {
    const run = await launch(['--seeds', 'x', '--param', 'lr', '--project', 'ab', '--working-dir', '..']);
    expect(run.exitCode).toBe(2);
    for (const option of ['--seeds "x"', '--param "lr"', 'is shorter than 3 characters', '--working-dir'])
      expect(run.stderr.split('\n')[0]).toContain(option);
  });
});

describe('frugal', () => {
  test('a plain launch takes at most 7 requests in at most 5 round trips, a reuse one round trip', async () => {
    await launchTask(['--param', 'first=1'], await describePullRequest(6));
    for (const expected of [
      { requests: 7, roundTrips: 5 },
      { requests: 4, roundTrips: 1 },
    ]) {
      // Its time stands still while anything but waiting goes on: however busy the machine is, a trip is a trip.
      const proxy = await startFaultProxy(sandbox.apiHost, undefined, { latencyMs: 50, clock });
      proxies.push(proxy);
      const env = { ...(await describePullRequest(7)), CLEARML_API_HOST: proxy.url };
      expect((await launch([], { env })).exitCode).toBe(0);
      expect(proxy.seen.length).toBeLessThanOrEqual(expected.requests);
      expect(countRoundTrips(proxy.seen)).toBeLessThanOrEqual(expected.roundTrips);
    }
  });
});

describe('as a process', () => {
  const run = (args: readonly string[], options: Partial<RunOptions> = {}): Promise<ProgramRun> =>
    runProgramProcess(PROGRAM, {
      cwd: repository.directory,
      ...options,
      args,
      env: { ...sandbox.env, ...options.env },
    });

  test('0: the id on stdout, the talk on stderr', async () => {
    const result = await run([]);
    expect(result).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^[0-9a-f]{32}\n$/) });
    expect(result.stderr).toContain('Created task');
  });

  test('130: interrupted by Ctrl-C, which ends a git that is under way too', async () => {
    const git =
      '#!/bin/sh\ncase "$*" in *diff*) kill -INT $PPID; sleep 0.3; kill -INT $$ ;; esac\nexec /usr/bin/env PATH="$REAL_PATH" git "$@"\n';
    await writeFile(join(folder, 'git'), git, { mode: 0o755 });
    const PATH = `${folder}:${process.env.PATH}`;
    const result = await run([], { env: { PATH, REAL_PATH: process.env.PATH ?? '' } });
    expect(result).toEqual({ exitCode: 130, signal: null, stdout: '', stderr: 'interrupted by SIGINT\n' });
    expect(await driver.listTasks()).toEqual([]);
  });

  test('0: help and version', async () => {
    const [help, version] = await Promise.all([run(['--help']), run(['--version'])]);
    expect(help).toMatchObject({
      exitCode: 0,
      stderr: '',
      stdout: expect.stringMatching(/Examples:[\s\S]*Exit codes:[\s\S]*143 /),
    });
    expect(version).toMatchObject({ exitCode: 0, stdout: '0.1.0\n' });
  });

  test('2: a missing variable, said in Actions as an annotation too', async () => {
    const result = await run([CLONE_URL, 'main', 'a'.repeat(40)], {
      env: { CLEARML_API_SECRET_KEY: '', GITHUB_ACTIONS: 'true' },
    });
    expect(result).toMatchObject({ exitCode: 2, stdout: '' });
    expect(result.stderr).toMatch(
      /^error: CLEARML_API_SECRET_KEY is not set\n.*SECRET_KEY.*\n::error::CLEARML_API_SECRET_KEY is not set%0A/,
    );
  });

  test('2: everything that is missing or malformed is said at once', async () => {
    await writeFile(join(folder, 'settings.yml'), 'queu: gpu\n');
    const result = await run(['--config', join(folder, 'settings.yml')], {
      env: {
        CLEARML_API_SECRET_KEY: '',
        PR_NUMBER: 'seven',
        GITHUB_REPOSITORY: 'digits',
        GITHUB_EVENT_PATH: join(folder, 'settings.yml'),
        PR_COMMIT: 'abc',
      },
    });
    expect(result).toMatchObject({ exitCode: 2, stdout: '' });
    for (const text of [
      'CLEARML_API_SECRET_KEY is not set',
      'the event file that GITHUB_EVENT_PATH names is no JSON',
      'PR_COMMIT is no full commit id',
      'line 1: queu',
    ])
      expect(result.stderr).toContain(text);
    const variables = await run([], { env: { PR_NUMBER: 'seven', GITHUB_REPOSITORY: 'digits' } });
    expect(variables.stderr.split('\n')[0]).toBe(
      'error: GITHUB_REPOSITORY is not of the form owner/name; PR_NUMBER is not the number of a pull request',
    );
  });

  test('8: refused credentials, which are not shown', async () => {
    const result = await run([], { env: { CLEARML_API_SECRET_KEY: 'wrong-secret-value' } });
    expect(result).toMatchObject({ exitCode: 8, stdout: '' });
    expect(result.stderr).toContain('error: ClearML refused the credentials');
    expect(result.stderr).not.toContain('wrong-secret-value');
  });

  test('9: a server that answers with a web page', async () => {
    const env = await breakRequests(() => ({ kind: 'answer', status: 404, body: '<html>app</html>' }));
    const result = await run([], { env });
    expect(result.exitCode).toBe(9);
    expect(result.stderr).toContain(
      'it answered with a web page (HTTP 404)\nCLEARML_API_HOST must name the API server',
    );
  });

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s: exit %d, and what was created goes again', async (signal, exitCode) => {
    let kill: () => void = () => undefined;
    const env = await breakRequests((endpoint) => {
      if (endpoint !== 'tasks.enqueue') return undefined;
      kill();
      return { kind: 'silence', isApplied: true };
    });
    const result = await run([], {
      env,
      onStart: (child) => {
        kill = () => child.kill(signal);
      },
    });
    expect(result).toMatchObject({ exitCode, stdout: '' });
    expect(await driver.listTasks()).toEqual([]);
  });

  test('.env is read outside Actions, and not inside', async () => {
    const text = Object.entries(sandbox.env).map(([name, value]) => `${name}=${value}`);
    await writeFile(join(repository.directory, '.env'), text.join('\n'));
    const empty = Object.fromEntries(Object.keys(sandbox.env).map((name) => [name, '']));
    expect(await run([], { env: empty })).toMatchObject({ exitCode: 0 });
    expect(await run([], { env: { ...empty, GITHUB_ACTIONS: 'true' } })).toMatchObject({ exitCode: 2 });
  });
});
