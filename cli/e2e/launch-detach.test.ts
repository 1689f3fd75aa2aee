import { mkdir, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { type GithubSandbox, startGithubSandbox } from '../sandbox/github-server.ts';
import { listOpenDues } from '../training/due.ts';
import { hashText } from '../training/pipeline.ts';
import {
  breakRequests,
  clock,
  describePullRequest,
  driver,
  folder,
  launch,
  launchTask,
  publish,
  repository,
  setSettings,
  setUpLaunches,
} from './launch-setup.ts';

setUpLaunches();

const COLLECT = '.github/workflows/clearml_collect.yml';

let github: GithubSandbox;
/** Requests to GitHub. */
let asked: number;

/** GitHub shows the scratch repository. */
async function startGithub(): Promise<void> {
  asked = 0;
  const onRequest = () => {
    asked += 1;
  };
  github = await startGithubSandbox({ gitDir: repository.directory, repository: 'acme/digits', onRequest });
}

beforeEach(startGithub);
afterEach(() => github.close());

/** A pull request's branch with its own settings, from a base branch with these. */
async function branchOff(base: string | undefined, own: string | undefined): Promise<string> {
  const files = (text: string | undefined) =>
    text === undefined ? { 'other.txt': 'x\n' } : { '.github/clearml-ci.yml': text };
  repository.commit('Base', { ...files(base), [COLLECT]: 'on: schedule\n' });
  publish();
  repository.git('checkout', '--quiet', '-b', 'feature');
  repository.commit('Own', { ...files(own), 'train_model.py': 'print(7)\n' });
  publish('feature');
  return repository.git('rev-parse', 'HEAD');
}

const duesOf = async (id: string) => listOpenDues((await driver.getTask(id)) as never);
const inGithub = async (number = 7, more: Parameters<typeof describePullRequest>[1] = {}) => ({
  ...(await describePullRequest(number, more)),
  GITHUB_API_URL: github.apiUrl,
  GH_TOKEN: github.token,
});

describe('a detached launch', () => {
  test('notes on the task what nobody waits for', async () => {
    const settings = 'detach: true\ntimeout: 2h\nqueue-timeout: 10m\nretries: 2\n';
    const commit = await branchOff(settings, settings);
    const run = await launch([], { env: await inGithub() });
    expect(run.stderr.match(/::warning::.*/g)).toEqual([expect.stringContaining('no worker serves')]);
    const { runtime } = await driver.getTask(run.stdout.trim());
    expect(runtime.ci_due).toBe(await hashText('github.com/acme/digits'));
    expect(await duesOf(run.stdout.trim())).toEqual([
      {
        to: 7,
        commit,
        launch: runtime.ci_launch,
        count: 1,
        runId: '1000',
        base: undefined,
        atMs: expect.any(Number),
        timeoutMs: 7_200_000,
        queueTimeoutMs: 600_000,
        retries: 2,
        settings: '.github/clearml-ci.yml',
        context: 'ClearML',
        isDetached: true,
      },
    ]);
  });

  test('notes it on a task that it reuses, for each pull request apart, with no request more', async () => {
    const commit = await branchOff('detach: true\n', 'detach: true\n');
    const counts: string[] = [];
    const count = await breakRequests((endpoint) => {
      counts.push(endpoint);
      return undefined;
    });
    const { id } = await launchTask(['--no-detach'], await inGithub(7));
    expect(await duesOf(id)).toEqual([]);
    counts.length = 0;
    await launchTask(['--no-detach'], { ...(await inGithub(8)), ...count });
    const attached = [...counts].sort();
    counts.length = 0;
    await launchTask([], { ...(await inGithub(9)), ...count });
    expect(counts.sort()).toEqual(attached);
    await launchTask([], await inGithub(7, { id: '1001' }));
    expect((await duesOf(id)).map(({ to, commit, runId }) => [to, commit, runId])).toEqual([
      [9, commit, '1000'],
      [7, commit, '1001'],
    ]);
    // A job that waits tells it itself.
    await launchTask(['--no-detach'], await inGithub(9, { id: '1002' }));
    expect((await duesOf(id)).map(({ to }) => to)).toEqual([7]);
  });

  test.each(['runs', 'starts at that moment'])(
    'notes it on a training that %s, though the SDK writes back what it had read just before',
    async (when) => {
      await branchOff('detach: true\n', 'detach: true\n');
      const { id } = await launchTask(['--no-detach'], await inGithub(7));
      if (when === 'runs') await driver.startTask(id);
      const { runtime } = await driver.getTask(id);
      let writing: Promise<unknown> | undefined;
      const writeBack = async () => {
        await clock.sleep(200);
        await driver.call('tasks.edit', { task: id, force: true, runtime: { ...runtime, progress: '5' } });
      };
      const env = await breakRequests((endpoint) => {
        if (endpoint !== 'tasks.edit_runtime' || writing !== undefined) return undefined;
        const started = when === 'runs' ? Promise.resolve() : driver.startTask(id);
        writing = started.then(writeBack);
        return { kind: 'hold', until: started };
      });
      await launchTask([], { ...(await inGithub(8)), ...env });
      await writing;
      expect(await duesOf(id)).toMatchObject([{ to: 8 }]);
      expect((await driver.getTask(id)).runtime.progress).toBe('5');
    },
  );

  test('takes off what says that an earlier run of the task was reported', async () => {
    await branchOff('detach: true\n', 'detach: true\n');
    const { id } = await launchTask([], await inGithub(7));
    await driver.call('tasks.update_tags', { ids: [id], add_tags: ['ci-reported', 'ci-reported:7', 'mine'] });
    await launchTask([], await inGithub(7, { id: '1001' }));
    const { tags } = await driver.getTask(id);
    expect(tags).toContain('mine');
    expect(tags).not.toContain('ci-reported');
    expect(tags).not.toContain('ci-reported:7');
  });

  test('notes nothing on a task that has ended: the same job reports it', async () => {
    await branchOff('detach: true\n', 'detach: true\n');
    const { id } = await launchTask(['--no-detach'], await inGithub(7));
    await driver.startTask(id);
    await driver.completeTask(id);
    const run = await launch([], { env: await inGithub(8) });
    expect(run).toMatchObject({ exitCode: 0, stdout: `${id}\n` });
    expect(run.stderr).not.toContain('warning');
    expect((await driver.getTask(id)).runtime.ci_due).toBeUndefined();
  });

  test('says where an old server takes no note on a task that waits', async () => {
    await branchOff('detach: true\n', 'detach: true\n');
    const { id } = await launchTask(['--no-detach'], await inGithub(7));
    const old = await breakRequests((endpoint) =>
      endpoint === 'tasks.edit_runtime'
        ? {
            kind: 'answer',
            status: 404,
            body: JSON.stringify({
              meta: { result_code: 404, result_subcode: 0, result_msg: 'Unable to find endpoint' },
              data: {},
            }),
          }
        : undefined,
    );
    const run = await launch([], { env: { ...(await inGithub(8)), ...old } });
    expect(run.exitCode).toBe(0);
    expect(run.stderr).toContain(`::warning::the collecting workflow will not report task ${id}`);
  });

  test('tells all seeds how many they are', async () => {
    await branchOff('detach: true\n', 'detach: true\n');
    const run = await launch(['--seeds', '3'], { env: await inGithub() });
    const dues = await Promise.all(run.stdout.trim().split('\n').map(duesOf));
    expect(dues.flat().map(({ count }) => count)).toEqual([3, 3, 3]);
    const [id = ''] = run.stdout.split('\n');
    const tag = (await driver.getTask(id)).tags.find((one: string) => one.startsWith('seeds:'));
    expect(dues.flat().map(({ seedsTag }) => seedsTag)).toEqual([tag, tag, tag]);
    expect(new Set(dues.flat().map(({ launch }) => launch)).size).toBe(1);
  });

  test('is shown by a dry run', async () => {
    await branchOff('detach: true\n', 'detach: true\n');
    const run = await launch(['--dry-run'], { env: await inGithub() });
    const [{ runtime }] = JSON.parse(run.stdout).tasks;
    expect(JSON.parse(runtime.ci_due_7)).toMatchObject({ timeoutMs: 3_600_000, isDetached: true });
    expect(run.stderr).toMatch(/^Report +by the collecting workflow/m);
  });

  test('warns where the default branch has no collecting workflow', async () => {
    await setSettings('detach: true\n');
    const run = await launch([], { env: await inGithub() });
    expect(run.exitCode).toBe(0);
    expect(run.stderr).toContain(`::warning::nothing reports this training: main has no ${COLLECT}`);
    const attached = await launch(['--no-detach'], { env: await inGithub(8) });
    expect(attached.stderr).not.toContain(COLLECT);
  });
});

describe('whether a pull request is detached', () => {
  const isDetached = async (base: string | undefined, own: string | undefined, args: string[] = []) => {
    await branchOff(base, own);
    const { id } = await launchTask(args, await inGithub());
    return (await duesOf(id)).map(({ context }) => context ?? 'no status');
  };

  test.each([
    ['both say so', 'detach: true\n', 'detach: true\n', ['ClearML']],
    ['its own settings alone', 'seeds: 1\n', 'detach: true\n', []],
    ['the base branch alone', 'detach: true\nstatus: Model\n', 'detach: false\n', ['Model']],
    ['its own settings, where the base branch has none', undefined, 'detach: true\n', ['ClearML']],
    ['nobody', 'status: Model\n', 'status: Model\n', []],
  ])('is decided by the base branch: %s', async (_title, base, own, expected) => {
    expect(await isDetached(base, own)).toEqual(expected);
  });

  test.each([
    [['--detach'], 'seeds: 1\n', ['no status']],
    [['--no-detach'], 'detach: true\n', []],
  ])('is decided by %j first', async (args, settings, expected) => {
    expect(await isDetached(settings, settings, args)).toEqual(expected);
  });

  test('costs no request where its settings name neither detach nor status', async () => {
    await branchOff('detach: true\n', 'seeds: 1\n');
    await launchTask([], await inGithub());
    expect(asked).toBe(0);
  });

  test('is decided by its own settings where GitHub does not tell, and that is said', async () => {
    await branchOff('seeds: 1\n', 'detach: true\n');
    const run = await launch([], { env: { ...(await inGithub()), GH_TOKEN: '' } });
    expect(run.stderr).toContain('::warning::the settings of main are unknown');
    expect(await duesOf(run.stdout.trim())).toHaveLength(1);
  });

  test('is decided by the settings that are checked out in a run by hand', async () => {
    await setSettings('detach: true\n');
    const head = repository.git('rev-parse', 'HEAD');
    const file = `${folder}/dispatch.json`;
    const places = { clone_url: 'https://github.com/acme/digits.git', default_branch: 'main' };
    await writeFile(file, JSON.stringify({ repository: places }));
    const env = { ...(await inGithub()), GITHUB_EVENT_NAME: 'workflow_dispatch', GITHUB_EVENT_PATH: file };
    const args = ['https://github.com/fork/digits.git', 'topic', head];
    const { id } = await launchTask(args, { ...env, PR_NUMBER: '7' });
    expect((await duesOf(id)).map(({ to, base }) => [to, base])).toEqual([[7, undefined]]);
  });

  test('is not decided by the settings outside Actions', async () => {
    await setSettings('detach: true\n');
    expect(await duesOf((await launchTask([], { PR_NUMBER: '7' })).id)).toEqual([]);
    expect(await duesOf((await launchTask(['--detach', '--no-reuse'], { PR_NUMBER: '7' })).id)).toHaveLength(
      1,
    );
  });

  test('can be told of no uncommitted changes', async () => {
    const run = await launch(['--detach', '--diff']);
    expect(run).toMatchObject({ exitCode: 2 });
    expect(run.stderr).toContain('error: --detach and --diff contradict each other');
  });
});

describe('without a pull request', () => {
  async function describeEvent(
    name: 'push' | 'merge_group',
    commit: string,
  ): Promise<Record<string, string>> {
    const file = `${folder}/${name}.json`;
    const places = { clone_url: 'https://github.com/acme/digits.git', default_branch: 'main' };
    const refs = {
      head_sha: commit,
      head_ref: 'refs/heads/gh-readonly-queue/main/pr-7',
      base_ref: 'refs/heads/main',
    };
    await mkdir(folder, { recursive: true });
    const event = name === 'push' ? { before: 'b'.repeat(40) } : { merge_group: refs };
    await writeFile(file, JSON.stringify({ ...event, repository: places }));
    return {
      ...(await inGithub()),
      GITHUB_EVENT_NAME: name,
      GITHUB_EVENT_PATH: file,
      GITHUB_REF: name === 'push' ? 'refs/heads/main' : refs.head_ref,
      GITHUB_SHA: commit,
    };
  }

  test.each([
    ['push', 'status: ClearML\n', false],
    ['push', 'promote: { tag: production }\n', false],
    ['push', 'detach: true\n', true],
    ['merge_group', 'detach: true\n', true],
  ] as const)('a %s with %j is due to its commit', async (name, settings, isDetached) => {
    await setSettings(settings);
    const commit = repository.git('rev-parse', 'HEAD');
    const { id } = await launchTask([], await describeEvent(name, commit));
    const branch = name === 'push' ? 'main' : 'gh-readonly-queue/main/pr-7';
    const previous = name === 'push' ? 'b'.repeat(40) : undefined;
    expect(await duesOf(id)).toEqual([
      expect.objectContaining({ to: commit, commit, isDetached, base: { event: name, branch, previous } }),
    ]);
  });

  test.each([
    ['status: ClearML\n', 'its commit status stays pending: main has no'],
    ['detach: true\n', 'nothing reports this training: main has no'],
    ['seeds: 1\n', ''],
  ])('a push with %j warns where the default branch has no collecting workflow', async (settings, words) => {
    await setSettings(settings);
    const env = await describeEvent('push', repository.git('rev-parse', 'HEAD'));
    const { stderr } = await launch([], { env });
    expect(stderr).toContain(words);
    expect(stderr.includes(COLLECT)).toBe(words !== '');
  });

  test.each([
    ['push', 'seeds: 1\n'],
    ['merge_group', 'status: ClearML\n'],
    ['merge_group', 'promote: { tag: production }\n'],
  ] as const)('a %s with %j is due to nobody: its job waits', async (name, settings) => {
    await setSettings(settings);
    const { id } = await launchTask([], await describeEvent(name, repository.git('rev-parse', 'HEAD')));
    expect((await driver.getTask(id)).runtime.ci_due).toBeUndefined();
  });
});

describe('a task that is given up', () => {
  test('is due no more to the pull request that has newer code', async () => {
    await branchOff('detach: true\n', 'detach: true\n');
    const first = await launchTask([], await inGithub(7));
    await launchTask([], await inGithub(8));
    repository.commit('Newer', { 'train_model.py': 'print(8)\n' });
    publish('feature');
    await launchTask([], await inGithub(7, { id: '1001' }));
    expect((await duesOf(first.id)).map(({ to }) => to)).toEqual([8]);
  });

  test('keeps its note where it was ended: the old commit gets its final status', async () => {
    const commit = await branchOff('detach: true\n', 'detach: true\n');
    const first = await launchTask([], await inGithub(7));
    repository.commit('Newer', { 'train_model.py': 'print(8)\n' });
    publish('feature');
    await launchTask([], await inGithub(7, { id: '1001' }));
    expect((await driver.getTask(first.id)).status).toBe('created');
    expect((await duesOf(first.id)).map((due) => due.commit)).toEqual([commit]);
  });
});
