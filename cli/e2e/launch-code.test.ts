import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { runProgramProcess } from '../dev/program-run.ts';
import { createCheckoutReader } from '../github/git.ts';
import { startGithubSandbox } from '../sandbox/github-server.ts';
import {
  CLONE_URL,
  describePullRequest,
  driver,
  folder,
  launch,
  launchTask,
  publish,
  repository,
  sandbox,
  setSettings,
  setUpLaunches,
} from './launch-setup.ts';

/** A valid name of a branch. */
const HOSTILE_BRANCH = `x$(touch$\{IFS}y)`;

setUpLaunches();

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
      'No settings file in this folder, so the defaults apply. To use the one at the root: --config ../../.github/clearml-ci.yml',
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
    expect(run.stderr).toMatch(
      /^error: commit [0-9a-f]{10} is on no branch of the remote, and on no tag\n.*Push it first/,
    );
    expect(await driver.listTasks()).toEqual([]);
  });

  test('may be on a tag only, which an agent fetches too', async () => {
    const commit = repository.commit('Tagged', { 'train_model.py': 'print(2)\n' });
    repository.git('tag', '-a', 'v1', '-m', 'One');
    const run = await launch();
    expect(run.exitCode).toBe(0);
    expect(run.stderr).toContain('only if the tag v1 is pushed (git push origin v1)');
    expect((await driver.getTask(run.stdout.trim())).script).toMatchObject({
      branch: 'v1',
      version_num: commit,
    });
  });

  test('in a checkout that git does not trust is told apart by its commit only, with a warning', async () => {
    const commit = repository.git('rev-parse', 'HEAD');
    const run = await runProgramProcess('launch-training-task', {
      args: [CLONE_URL, 'main', commit],
      cwd: repository.directory,
      // How git's own tests stage it.
      env: { ...sandbox.env, GIT_TEST_ASSUME_DIFFERENT_OWNER: '1' },
    });
    expect(run.exitCode).toBe(0);
    expect(run.stderr).toMatch(
      /^warning: commit [0-9a-f]{10} cannot be read here: git does not trust the folder.*safe\.directory/m,
    );
    expect((await driver.getTask(run.stdout.trim())).runtime.ci_code).toBe(commit);
  });

  test('without arguments in a checkout that git does not trust is refused with what helps', async () => {
    const run = await runProgramProcess('launch-training-task', {
      cwd: repository.directory,
      env: { ...sandbox.env, GIT_TEST_ASSUME_DIFFERENT_OWNER: '1' },
    });
    expect(run.exitCode).toBe(2);
    expect(run.stderr).toMatch(/^error: git does not trust the folder.*\nTrust it with .* safe\.directory/);
    expect(run.stderr).not.toContain('Run this inside a checkout');
  });

  test('by hand, without the commit at hand, is the same training: GitHub knows its tree', async () => {
    const commit = repository.git('rev-parse', 'HEAD');
    const github = await startGithubSandbox({ gitDir: repository.directory });
    try {
      const args = [CLONE_URL, 'main', commit];
      const env = { ...sandbox.env, GITHUB_REPOSITORY: 'acme/digits' };
      const { id } = await launchTask(args, env);
      const asked = { ...env, GITHUB_API_URL: github.apiUrl, GH_TOKEN: github.env.GH_TOKEN ?? '' };
      expect((await launch(args, { cwd: folder, env: asked })).stdout).toBe(`${id}\n`);
      // Without a token nobody can tell.
      expect((await launch(args, { cwd: folder, env })).stdout).not.toContain(id);
    } finally {
      await github.close();
    }
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

  test.each([
    [['new.py'], '1 untracked file (new.py) will'],
    [['data/a.csv', 'data/b.csv'], '1 untracked folder (data/) will'],
    [
      ['a.py', 'b.py', 'c.py', 'd.py', 'docs/e.py'],
      '5 untracked files (a.py, b.py, c.py, d.py, docs/e.py) will',
    ],
    [
      ['a.py', 'b.py', 'c.py', 'd.py', 'data/e.csv', 'g.py', 'h.py'],
      '7 untracked files or folders (a.py, b.py, c.py, d.py, data/ and 2 more) will',
    ],
    [['é ü.py'], '1 untracked file (é ü.py) will'],
    [['x\n::error::y\u001b[31m.py'], '1 untracked file (x ::error::y.py) will'],
  ])('leaves untracked files out, and names them: %j', async (paths, text) => {
    for (const path of paths) {
      await mkdir(dirname(join(repository.directory, path)), { recursive: true });
      await writeFile(join(repository.directory, path), '');
    }
    const run = await launch([], { cwd: join(repository.directory, 'docs') });
    expect(run).toMatchObject({
      exitCode: 0,
      stderr: expect.stringContaining(`warning: ${text} not reach the training`),
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
      expect(short).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('not a full commit id') });
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
    expect(run.stderr).toContain('an agent cannot clone the URL of the checkout’s remote');
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
    [['http://x'], 'git cannot clone the repository URL'],
    [['--', '-x', 'main', 'a'.repeat(40)], 'git cannot clone the repository URL'],
    [[CLONE_URL, 'a b', 'a'.repeat(40)], 'the branch is not a valid name'],
    [[CLONE_URL, 'main', 'abc123'], 'the commit is not a full commit id'],
    [
      ['https://github.com/other/repo.git'],
      'the arguments do not say which commit of the repository to train',
    ],
    [[CLONE_URL, 'other'], 'the arguments do not say which commit of the branch to train'],
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

test('git that has said that a folder is no checkout is not asked again', async () => {
  const started: unknown[] = [];
  const note = (message: unknown) => started.push(message);
  subscribe('child_process', note);
  try {
    const reader = createCheckoutReader(folder, new AbortController().signal);
    const commit = 'a'.repeat(40);
    expect(await reader.readTreeId(commit)).toBe(undefined);
    expect(await reader.explainUnreadable(commit)).toBe(undefined);
    expect(await reader.readPath(commit, 'train_model.py')).toBe(undefined);
    expect(await reader.findRoot()).toBe(undefined);
    expect(started).toHaveLength(1);
  } finally {
    unsubscribe('child_process', note);
  }
});
