import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { main as check } from '../check-task-running.ts';
import { main as comment } from '../create-stats-comment.ts';
import { type ClearmlDriver, createClearmlDriver } from '../dev/clearml-driver.ts';
import { createPatientClock } from '../dev/patient-clock.ts';
import { runProgramHere } from '../dev/program-run.ts';
import { createScratchRepository, type ScratchRepository } from '../dev/scratch-repository.ts';
import { main as launch } from '../launch-training-task.ts';
import { type ClearmlSandbox, startClearmlSandbox } from '../sandbox/clearml-server.ts';
import { type GithubSandbox, startGithubSandbox } from '../sandbox/github-server.ts';

/**
 * What becomes of the base branch's history while people work: real launches for pull requests, pushes and by hand, and
 * the comment on a later pull request, which has to find it.
 */

const CLONE_URL = 'https://github.com/acme/digits.git';
/** One commit of history, so that the tolerance alone decides. */
const SETTINGS = {
  '.github/clearml-ci.yml': `paths: [train.py]
baseline: { runs: 1 }
metrics: [{ metric: test/accuracy, goal: maximize, tolerance: 0.01, gate: fail }]
`,
};

let clearml: ClearmlSandbox;
let github: GithubSandbox;
let driver: ClearmlDriver;
let repository: ScratchRepository;
let folder: string;
let runs: number;
let files: number;

beforeEach(async () => {
  runs = 100;
  files = 0;
  clearml = await startClearmlSandbox();
  driver = createClearmlDriver(clearml.env);
  repository = createScratchRepository();
  repository.commit('Start', { ...SETTINGS, 'train.py': 'v1', 'notes.md': '0' });
  repository.git('remote', 'add', 'origin', CLONE_URL);
  folder = mkdtempSync(join(tmpdir(), 'base-history-'));
  github = await startGithubSandbox({ gitDir: repository.directory });
});

afterEach(async () => {
  await Promise.all([clearml.close(), github.close()]);
  repository.remove();
  rmSync(folder, { recursive: true, force: true });
});

const headOf = (ref = 'HEAD') => repository.git('rev-parse', ref);

/** Puts a commit on a branch, which begins at main where it is new. */
function commitOn(branch: string, file: string, text: string): string {
  const isNew = repository.git('branch', '--list', branch) === '';
  repository.git('checkout', '--quiet', ...(isNew ? ['-b', branch, 'main'] : [branch]));
  return repository.commit(`${file}: ${text}`, { [file]: text });
}

function writeEvent(event: object): string {
  files += 1;
  const file = join(folder, `event-${files}.json`);
  const parts = { repository: { clone_url: CLONE_URL, default_branch: 'main' }, ...event };
  writeFileSync(file, JSON.stringify(parts));
  return file;
}

function inActions(name: string, event: object, more: Record<string, string> = {}): Record<string, string> {
  runs += 1;
  return {
    ...clearml.env,
    ...github.env,
    GITHUB_ACTIONS: 'true',
    GITHUB_EVENT_NAME: name,
    GITHUB_EVENT_PATH: writeEvent(event),
    GITHUB_RUN_ID: String(runs),
    ...more,
  };
}

function describePull(number: number, branch: string): Record<string, string> {
  const head = { sha: headOf(branch), ref: branch, repo: { clone_url: CLONE_URL } };
  return inActions('pull_request', { pull_request: { number, head, base: { ref: 'main' } } });
}

function describePush(before: string, branch = 'main'): Record<string, string> {
  const ref = `refs/heads/${branch}`;
  return inActions('push', { before }, { GITHUB_REF: ref, GITHUB_SHA: headOf(branch) });
}

async function launchTask(env: Record<string, string>, args: readonly string[] = []): Promise<string> {
  const clock = createPatientClock();
  const run = await runProgramHere(launch, { args, env, cwd: repository.directory, clock });
  expect(run).toMatchObject({ exitCode: 0 });
  return run.stdout.trim();
}

async function trainPull(number: number, branch: string, accuracy: number): Promise<string> {
  const task = await launchTask(describePull(number, branch));
  await finish(task, accuracy);
  return task;
}

async function finish(task: string, accuracy: number): Promise<void> {
  const { status } = await driver.getTask(task);
  if (status === 'completed') return;
  if (status === 'queued') await driver.startTask(task);
  await driver.reportScalars(task, 'test', 'accuracy', [accuracy]);
  await driver.completeTask(task);
}

type Merge = 'squash' | 'rebase' | 'merge';

/** Merges as GitHub does, and gives main's commit before. */
function mergeBranch(branch: string, how: Merge): string {
  repository.git('checkout', '--quiet', 'main');
  const before = headOf();
  if (how === 'merge') repository.git('merge', '--quiet', '--no-ff', '--no-edit', branch);
  else if (how === 'squash') {
    repository.git('merge', '--quiet', '--squash', branch);
    repository.commit(`Squash ${branch}`, {});
  } else {
    // GitHub gives even a commit that could stay as it is a new committer, and so a new id.
    repository.git('cherry-pick', '--allow-empty', `main..${branch}`);
    repository.commit(`Rebased ${branch}`, {});
  }
  return before;
}

/** A push to main that touches nothing of `paths`, and its launch. */
async function pushNotes(text: string): Promise<string> {
  const before = headOf('main');
  commitOn('main', 'notes.md', text);
  return launchTask(describePush(before));
}

/** What the comment on a pull request says; GitHub knows it from now on. */
async function report(number: number, branch: string, task: string, flags: readonly string[] = []) {
  github.addPull({ number, headSha: headOf(branch), headRef: branch, baseRef: 'main' });
  const { stdout, stderr, exitCode } = await runProgramHere(comment, {
    args: [task, '--json', ...flags],
    env: describePull(number, branch),
    cwd: repository.directory,
    clock: createPatientClock(),
  });
  if (stdout === '') return { exitCode, stderr };
  const { verdict, baseline } = JSON.parse(stdout);
  return { exitCode, verdict, tasks: baseline.tasks.map(({ id }: { id: string }) => id), baseline };
}

describe('with paths', () => {
  test.each<Merge>(['squash', 'rebase', 'merge'])(
    'a pull request merged by %s is the base of the next one, though main had moved elsewhere',
    async (how) => {
      const first = await launchTask(describePush(''));
      await finish(first, 0.8);
      commitOn('better', 'train.py', 'v2');
      const better = await trainPull(7, 'better', 0.95);
      await pushNotes('1');
      const before = mergeBranch('better', how);
      expect(await launchTask(describePush(before))).toBe(better);
      commitOn('worse', 'train.py', 'v3');
      const worse = await trainPull(8, 'worse', 0.85);
      expect(await report(8, 'worse', worse)).toMatchObject({
        exitCode: 5,
        verdict: 'regression',
        tasks: [better],
        baseline: { commit: headOf('main'), commitsBehind: 0 },
      });
    },
  );

  test('each later push that leaves the training alone is found too, and the task keeps two tags of it', async () => {
    const first = await launchTask(describePush(''));
    await finish(first, 0.8);
    commitOn('better', 'train.py', 'v2');
    const better = await trainPull(7, 'better', 0.95);
    await pushNotes('1');
    const merged = mergeBranch('better', 'squash');
    await launchTask(describePush(merged));
    const mergedAt = headOf('main');
    for (const text of ['2', '3', '4']) expect(await pushNotes(text)).toBe(better);
    const { tags } = await driver.getTask(better);
    expect(tags.filter((tag: string) => tag.startsWith('base'))).toEqual([
      `base-until:main:${headOf('main')}`,
      `base:main:${mergedAt}`,
    ]);
    // A pull request that branched off between the two.
    repository.git('checkout', '--quiet', '-b', 'between', 'main~1');
    repository.commit('Between', { 'train.py': 'v4' });
    const between = await trainPull(9, 'between', 0.96);
    expect(await report(9, 'between', between)).toMatchObject({
      verdict: 'pass',
      tasks: [better],
      baseline: { commit: mergedAt, commitsBehind: 2 },
    });
  });

  test('what a commit takes back is the base again, not what lay between', async () => {
    const first = await launchTask(describePush(''));
    await finish(first, 0.9);
    const before = headOf('main');
    commitOn('main', 'train.py', 'v2');
    const second = await launchTask(describePush(before));
    await finish(second, 0.5);
    const between = headOf('main');
    commitOn('main', 'train.py', 'v1');
    expect(await launchTask(describePush(between))).toBe(first);
    commitOn('topic', 'train.py', 'v3');
    const task = await trainPull(7, 'topic', 0.6);
    expect(await report(7, 'topic', task)).toMatchObject({ verdict: 'regression', tasks: [first] });
  });

  test('a pull request that touches nothing of them is a pass, whatever main had before', async () => {
    const first = await launchTask(describePush(''));
    await finish(first, 0.95);
    const before = headOf('main');
    commitOn('main', 'train.py', 'v2');
    const second = await launchTask(describePush(before));
    await finish(second, 0.9);
    commitOn('docs', 'notes.md', 'more');
    const reused = await launchTask(describePull(7, 'docs'));
    expect(reused).toBe(second);
    const expected = { exitCode: 0, verdict: 'pass', baseline: { isSameTraining: true } };
    expect(await report(7, 'docs', reused)).toMatchObject(expected);
    const again = await launchTask(describePull(7, 'docs'), ['--no-reuse']);
    await finish(again, 0.5);
    expect(await report(8, 'docs', again)).toMatchObject({ ...expected, tasks: [second] });
  });
});

test('a training that was merged while it ran goes on: the closed pull request does not end what main uses', async () => {
  await finish(await launchTask(describePush('')), 0.8);
  commitOn('better', 'train.py', 'v2');
  const task = await launchTask(describePull(7, 'better'));
  await driver.startTask(task);
  const closed = describePull(7, 'better');
  const before = mergeBranch('better', 'squash');
  expect(await launchTask(describePush(before))).toBe(task);
  const run = await runProgramHere(check, {
    args: ['--abort'],
    env: closed,
    cwd: repository.directory,
    clock: createPatientClock(),
  });
  expect(run.exitCode).toBe(0);
  expect((await driver.getTask(task)).status).toBe('in_progress');
});

test.each<[string, () => Record<string, string>, readonly string[]]>([
  ['a person’s launch on another branch', () => clearml.env, [CLONE_URL, 'topic']],
  ['a dispatch', () => inActions('workflow_dispatch', {}), [CLONE_URL, 'topic']],
])('%s that a push to main finds done is main’s from then on', async (_, describeEnv, args) => {
  const commit = headOf('main');
  const trial = await launchTask({ ...github.env, ...describeEnv() }, [...args, commit]);
  await finish(trial, 0.9);
  commitOn('topic', 'train.py', 'v2');
  const task = await trainPull(7, 'topic', 0.5);
  expect(await report(7, 'topic', task)).toMatchObject({ verdict: 'none', tasks: [] });
  repository.git('checkout', '--quiet', 'main');
  expect(await launchTask(describePush(''))).toBe(trial);
  expect(await report(8, 'topic', task)).toMatchObject({ verdict: 'regression', tasks: [trial] });
});

test.each<[string, object]>([
  ['with paths', {}],
  [
    'without paths',
    { '.github/clearml-ci.yml': SETTINGS['.github/clearml-ci.yml'].replace(/^paths.*\n/, '') },
  ],
])(
  'what a pull request has tagged itself is no anchor of another one, until it is merged: %s',
  async (_, files) => {
    repository.commit('Settings', { 'train.py': 'v1', 'notes.md': '1', ...files });
    await finish(await launchTask(describePush('')), 0.8);
    commitOn('better', 'train.py', 'v2');
    const tagged = await launchTask(describePull(7, 'better'), ['--tag', 'production']);
    await finish(tagged, 0.95);
    commitOn('topic', 'train.py', 'v3');
    const task = await trainPull(8, 'topic', 0.85);
    const flags = ['--baseline', 'tag:production'];
    expect(await report(8, 'topic', task, flags)).toEqual({
      exitCode: 10,
      stderr: expect.stringContaining('that no push to the base branch has marked as merged'),
    });
    const before = mergeBranch('better', 'squash');
    expect(await launchTask(describePush(before))).toBe(tagged);
    expect(await report(9, 'topic', task, flags)).toMatchObject({ exitCode: 5, tasks: [tagged] });
  },
);

test('a trial by hand on the base branch does not displace what the branch trained', async () => {
  const first = await launchTask(describePush(''));
  await finish(first, 0.95);
  const before = headOf('main');
  commitOn('main', 'train.py', 'v2');
  const pushed = await launchTask(describePush(before));
  await finish(pushed, 0.95);
  const trial = await launchTask({ ...clearml.env, ...github.env }, [
    CLONE_URL,
    'main',
    headOf('main'),
    '--param',
    'lr=10',
  ]);
  commitOn('topic', 'train.py', 'v3');
  const task = await trainPull(7, 'topic', 0.2);
  // Neither waited for, as long as it runs, nor the base after it.
  expect(await report(7, 'topic', task)).toMatchObject({ exitCode: 5, tasks: [pushed] });
  await finish(trial, 0.1);
  expect(await report(8, 'topic', task)).toMatchObject({ exitCode: 5, tasks: [pushed] });
});

test('nobody puts such a mark on a task by a setting', async () => {
  const tag = `base:main:${headOf('main')}`;
  const env = describePush('');
  const run = await runProgramHere(launch, { args: ['--tag', tag], env, cwd: repository.directory });
  expect(run.exitCode).toBe(2);
  expect(run.stderr).toContain('is reserved: launches set it themselves');
});
