import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { createPatientClock } from '../dev/patient-clock.ts';
import { createScratchRepository } from '../dev/scratch-repository.ts';
import type { GithubSandboxOptions } from '../sandbox/github-server.ts';
import { identifyRepository } from '../shell/git-url.ts';
import type { Due } from '../training/due.ts';
import { hashPipeline } from '../training/pipeline.ts';
import {
  clearml,
  directory,
  driver,
  github,
  makeEnv,
  noteDue,
  readSummary,
  replaceGithub,
  run,
  setUpComments,
  startProxy,
} from './comment-setup.ts';

setUpComments();

const FILE = '.github/clearml-ci.yml';
const GATE = 'metrics: [{ metric: test_accuracy/accuracy, goal: maximize, gate: fail, tolerance: 0.01 }]\n';

const repository = createScratchRepository();
const first = repository.commit('Train', { 'train.py': 'a', [FILE]: `detach: true\n${GATE}` });
repository.git('checkout', '--quiet', '-b', 'topic');
const older = repository.commit('Train otherwise', { 'train.py': 'b' });
const head = repository.commit('Train better', { 'train.py': 'c' });
repository.git('checkout', '--quiet', '-b', 'changed', 'main');
const changed = repository.commit('Judge otherwise', { [FILE]: 'status: Mine\n' });
repository.git('checkout', '--quiet', '-b', 'group', 'main');
const group = repository.commit('Merge pull request 7', { 'train.py': 'c' });
repository.git('checkout', '--quiet', '-b', 'merged', 'main');
repository.git('merge', '--quiet', '--no-ff', '-m', 'Merge', 'topic');
const merged = repository.git('rev-parse', 'merged');
for (const [branch, text] of [
  ['silent', GATE],
  ['broken', 'metrics: [{ metric: test_accuracy/accuracy, gate: fail }]\n'],
  ['recreating', `detach: true\ncomment: recreate\n${GATE}`],
] as const) {
  repository.git('checkout', '--quiet', '-b', branch, 'main');
  repository.commit('Set up', { [FILE]: text });
}
repository.git('checkout', '--quiet', 'main');
afterAll(() => repository.remove());

const PULL = { number: 7, headSha: head, headRef: 'topic', baseRef: 'main', baseSha: first };

const startGithub = (options: GithubSandboxOptions = {}) =>
  replaceGithub({
    gitDir: repository.directory,
    pulls: [PULL],
    permissions: { contents: 'read', 'pull-requests': 'write', statuses: 'write' },
    ...options,
  });

type End = 'completed' | 'failed' | 'in_progress' | 'queued';

const projects: Record<string, Promise<string>> = {};

async function findProject(): Promise<string> {
  const create = () => driver.call('projects.create', { name: `digits ${directory}`, description: '' });
  const project = projects[directory] ?? create().then(({ id }) => id);
  projects[directory] = project;
  return project;
}

/** A pipeline for each test: the tasks of the others are none of its business. */
const taskName = () => `train ${directory}`;

async function train(
  commit: string,
  accuracy: number,
  {
    end = 'completed',
    runtime = {},
    tags = [],
    key = `${commit} ${accuracy}`,
  }: { end?: End; runtime?: Record<string, string>; tags?: string[]; key?: string } = {},
): Promise<string> {
  const place = identifyRepository(`${github.serverUrl}/acme/digits`);
  const task = await driver.createTask({
    name: 'train',
    tags,
    project: await findProject(),
    script: {
      repository: 'https://github.com/acme/digits.git',
      branch: [first, merged].includes(commit) ? 'main' : 'topic',
      version_num: commit,
    },
    runtime: {
      ci_key: key,
      ci_pipeline: await hashPipeline({ repository: place, project: 'digits', taskName: taskName() }),
      ci_code: repository.git('rev-parse', `${commit}^{tree}`),
      ci_run: '41',
      ...(commit === first
        ? { ci_event: 'push' }
        : { ci_event: 'pull_request', ci_pull_request: '7', ci_use_7: use(commit) }),
      ...runtime,
    },
  });
  await driver.call('tasks.enqueue', { task, queue_name: 'default' });
  if (end === 'queued') return task;
  await driver.startTask(task);
  await driver.reportScalars(task, 'test_accuracy', 'accuracy', [accuracy]);
  if (end === 'completed') await driver.completeTask(task);
  if (end === 'failed') await driver.failTask(task);
  return task;
}

const use = (commit: string) => `${commit} topic https://github.com/acme/digits.git`;
const note = (fields: Partial<Due> = {}) => noteDue({ commit: head, ...fields });

interface Entry {
  readonly pullRequest: number | null;
  readonly commit: string;
  readonly taskIds: readonly string[];
  readonly state: string;
}

const entryOf = (taskIds: string | readonly string[], fields: Partial<Entry> = {}): Entry => ({
  pullRequest: 7,
  commit: head,
  taskIds: [taskIds].flat(),
  state: 'ended',
  ...fields,
});

/** Runs the program as the collecting workflow does: on a schedule, without a pull request. */
function collect(
  entries: readonly Entry[],
  args: readonly string[] = [],
  extra: Record<string, string> = {},
) {
  const { PR_NUMBER: _, ...env } = makeEnv({ GITHUB_EVENT_NAME: 'schedule', GITHUB_RUN_ID: '99', ...extra });
  return run(['--due', JSON.stringify(entries), ...args], env);
}

const tagsOf = async (task: string) =>
  (await driver.getTask(task)).tags.filter((tag: string) => /^ci-rep/.test(tag));
const statesOf = (sha = head) => github.statuses(sha).map(({ context, state }) => `${context} ${state}`);
const bodies = (pull = 7) => github.comments(pull).map(({ body }) => body);

const lockConversation = () =>
  startProxy(github.apiUrl, ({ method, path }) =>
    method !== 'GET' && path.includes('/comments')
      ? {
          kind: 'answer',
          status: 403,
          body: '{"message":"Unable to create comment because issue is locked."}',
        }
      : undefined,
  );

describe('what no job waits for', () => {
  test('is nothing: then nothing is asked', async () => {
    const asked: string[] = [];
    await startGithub({ onRequest: ({ path }) => asked.push(path) });
    const before = clearml.env.CLEARML_API_HOST ?? '';
    const proxy = await startProxy(before, ({ path }) => {
      asked.push(path);
      return undefined;
    });
    const env = { CLEARML_API_HOST: proxy.url };
    expect(await collect([], [], env)).toMatchObject({ exitCode: 0, stdout: '', stderr: 'Nothing is due\n' });
    expect(await collect([], ['--json'], env)).toMatchObject({ exitCode: 0, stdout: '[]\n' });
    expect([asked, existsSync(join(directory, 'summary.md'))]).toEqual([[], false]);
  });

  test('is reported as by the job that launched it: comment, status, and once', async () => {
    await startGithub();
    await train(first, 0.9);
    const task = await train(head, 0.95, { runtime: note() });
    const { exitCode, stdout, stderr } = await collect([entryOf(task)]);
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
    const [comment] = github.comments(7);
    expect(stdout).toBe(`${github.serverUrl}/acme/digits/pull/7#issuecomment-${comment?.id}\n`);
    expect(comment?.body).toMatch(
      /\*\*Pass\*\*: `train`: .*\*\*0\.95\*\*, \+0\.05 \(better\) against `main`/,
    );
    expect(comment?.body).not.toMatch(/reused from an earlier run|workflow run|job summary/);
    expect(statesOf()).toEqual(['ClearML success']);
    expect(await tagsOf(task)).toEqual(['ci-reported', 'ci-reported:7']);
    expect(existsSync(join(directory, 'output'))).toBe(false);
    const summary = readSummary();
    expect(summary).toContain(`- Pull request 7 at \`${head.slice(0, 10)}\`: **Pass**`);
    expect(summary).toContain(`[comment](${stdout.trim()})`);

    const asked: string[] = [];
    const proxy = await startProxy(github.apiUrl, ({ path }) => {
      asked.push(path);
      return undefined;
    });
    const again = await collect([entryOf(task)], [], { GITHUB_API_URL: proxy.url });
    expect(again).toMatchObject({ exitCode: 0, stdout: '' });
    expect(again.stderr).toContain('it was reported already');
    expect([asked, statesOf().length, bodies()]).toEqual([[], 1, [comment?.body]]);
  });

  test.each<[string, number, string, string]>([
    ['a regression', 0.5, 'failure', 'Regression'],
    ['a training that failed', Number.NaN, 'failure', 'failed'],
  ])('is exit 0 for %s too: the status says it', async (_, accuracy, state, words) => {
    await startGithub();
    await train(first, 0.9);
    const isFailed = Number.isNaN(accuracy);
    const task = await train(head, isFailed ? 0.9 : accuracy, {
      end: isFailed ? 'failed' : 'completed',
      runtime: note(),
    });
    expect(await collect([entryOf(task)])).toMatchObject({ exitCode: 0 });
    expect(statesOf()).toEqual([`ClearML ${state}`]);
    expect(bodies()[0]).toContain(words);
    expect(await tagsOf(task)).toContain('ci-reported');
  });

  test('and still runs is told in place, and stays due', async () => {
    await startGithub();
    const task = await train(head, 0.95, { end: 'in_progress', runtime: note() });
    const entry = entryOf(task, { state: 'running' });
    for (const _ of ['once', 'again']) expect(await collect([entry])).toMatchObject({ exitCode: 0 });
    expect(statesOf()).toEqual(['ClearML pending']);
    expect(bodies()).toEqual([
      expect.stringMatching(/`train` is running[\s\S]*The collecting workflow reports how/),
    ]);
    expect(await tagsOf(task)).toEqual([]);
  });

  test('is one document with --json, a list', async () => {
    await startGithub();
    const entries = [
      entryOf(await train(head, 0.95, { runtime: note() })),
      entryOf('f'.repeat(32)),
      entryOf(await train(first, 0.9, { runtime: note({ to: first, commit: first, base: BASE_PUSH }) }), {
        pullRequest: null,
        commit: first,
      }),
    ];
    const { stdout } = await collect(entries, ['--json']);
    const reports = JSON.parse(stdout) as Array<{ pullRequest: unknown; runUrl: unknown; tasks: object[] }>;
    expect(reports).toMatchObject([
      { pullRequest: { number: 7 }, runUrl: null, tasks: [{ isReused: false }] },
      { pullRequest: null, tasks: [{ id: entries[2]?.taskIds[0] }] },
    ]);
  });

  test('is only printed with --dry-run', async () => {
    await startGithub();
    const task = await train(head, 0.95, { runtime: note() });
    const { exitCode, stdout } = await collect([entryOf(task)], ['--dry-run']);
    expect([exitCode, bodies(), statesOf(), await tagsOf(task)]).toEqual([0, [], [], []]);
    expect(stdout).toContain('0.95');
    const { GH_TOKEN: _, PR_NUMBER: __, ...env } = makeEnv();
    const dry = await run(['--due', JSON.stringify([entryOf(task)]), '--dry-run'], env);
    expect(dry).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('0.95') });
  });
});

const BASE_PUSH: Due['base'] = { event: 'push', branch: 'main', previous: undefined };

describe('the settings', () => {
  test('are those of the commit that was trained, but the context is the base branch’s', async () => {
    await startGithub({ pulls: [{ ...PULL, headSha: changed, headRef: 'changed' }] });
    const task = await train(changed, 0.5, { runtime: note({ commit: changed }) });
    await train(first, 0.9);
    await collect([entryOf(task, { commit: changed })]);
    expect(statesOf(changed)).toEqual(['ClearML success']);
    expect(bodies()[0]).toContain('This pull request changes the settings that judge it');
  });

  test('of a fork’s pull request are the base branch’s', async () => {
    await startGithub({
      pulls: [{ ...PULL, headSha: changed, headRef: 'changed', headRepository: 'fork/digits' }],
    });
    const task = await train(changed, 0.5, { runtime: note({ commit: changed }) });
    await train(first, 0.9);
    await collect([entryOf(task, { commit: changed })]);
    expect(statesOf(changed)).toEqual(['ClearML failure']);
    expect(bodies()[0]).not.toContain('changes the settings');
  });

  test('name no status where the base branch’s do not, whatever the note says', async () => {
    await startGithub({ pulls: [{ ...PULL, baseRef: 'silent' }] });
    const task = await train(head, 0.95, { runtime: note({ context: 'Evil' }) });
    await collect([entryOf(task)]);
    expect([statesOf(), bodies().length]).toEqual([[], 1]);
    expect(await tagsOf(task)).toContain('ci-reported');
  });

  test('of a base branch that can’t be read leave it due', async () => {
    await startGithub({ pulls: [{ ...PULL, baseRef: 'broken' }] });
    const task = await train(head, 0.95, { runtime: note() });
    const { exitCode, stderr } = await collect([entryOf(task)]);
    expect(exitCode).toBe(0);
    expect(stderr).toContain(`pull request 7 at ${head.slice(0, 10)}: ${FILE} of broken has a mistake`);
    expect([statesOf(), await tagsOf(task)]).toEqual([[], []]);
  });

  test.each(['../../../../user', '/etc/passwd', 'a/./b', `../digits/contents/${FILE}`])(
    'are never read at %s',
    async (settings) => {
      const asked: string[] = [];
      await startGithub({ onRequest: ({ path }) => asked.push(path) });
      const task = await train(head, 0.95, { runtime: note({ settings }) });
      expect(await collect([entryOf(task)])).toMatchObject({ exitCode: 0 });
      expect(asked.filter((path) => path.includes('/contents/') || path.includes('/user'))).toEqual([]);
    },
  );

  test('of a commit that GitHub does not know any more are the base branch’s', async () => {
    const gone = 'd'.repeat(40);
    await startGithub({ pulls: [{ ...PULL, headSha: gone }] });
    const task = await train(head, 0.95, { runtime: note({ commit: gone }) });
    await collect([entryOf(task, { commit: gone })]);
    expect(bodies()[0]).toContain('The gate');
  });

  test('with a tag that names nothing fail this one, and no other', async () => {
    await startGithub();
    const task = await train(head, 0.95, { runtime: note() });
    const { exitCode, stderr } = await collect([entryOf(task)], ['--baseline', 'tag:none']);
    expect(exitCode).toBe(0);
    expect(stderr).toContain('no completed task of the project can be the baseline with the tag "none"');
    expect(await tagsOf(task)).toEqual([]);
  });
});

describe('a pull request', () => {
  test('with a newer commit keeps its comment: only the old commit’s status ends', async () => {
    await startGithub();
    const current = await train(head, 0.95, { end: 'in_progress' });
    await run([current], makeEnv());
    const before = bodies();
    const task = await train(older, 0.5, { end: 'in_progress', runtime: note({ commit: older }) });
    const entry = entryOf(task, { commit: older, state: 'running' });
    expect((await collect([entry])).stderr).toContain('the pull request has a newer commit');
    expect([statesOf(older), await tagsOf(task)]).toEqual([[], []]);
    const ended = { ci_ended: JSON.stringify({ kind: 'superseded', by: head, atMs: Date.now() }) };
    await driver.call('tasks.edit_runtime', { task, add_or_update: ended });
    await driver.call('tasks.stopped', { task, force: true });
    expect(await collect([entry])).toMatchObject({ exitCode: 0, stdout: '' });
    expect(statesOf(older)).toEqual(['ClearML failure']);
    expect(github.statuses(older)[0]?.description).toContain('superseded');
    expect(bodies()).toEqual(before);
    expect(await tagsOf(task)).toContain('ci-reported');
  });

  test('that was merged is compared with the base branch as it was', async () => {
    await startGithub({ defaultBranch: 'merged', pulls: [{ ...PULL, baseRef: 'merged' }] });
    github.closePull(7);
    await train(first, 0.9, { runtime: { ci_event: 'push' } });
    const task = await train(head, 0.5, { runtime: note() });
    await collect([entryOf(task)]);
    expect(bodies()[0]).toContain(`against \`merged\``);
    expect(bodies()[0]).toContain(first.slice(0, 10));
    expect(statesOf()).toEqual(['ClearML failure']);
  });

  test('that was closed while it trains still gets its last state', async () => {
    await startGithub();
    github.closePull(7);
    const task = await train(head, 0.5, { end: 'in_progress', runtime: note() });
    await collect([entryOf(task, { state: 'running' })]);
    expect(bodies()[0]).not.toContain('nothing updates this comment any more');
    await driver.completeTask(task);
    await collect([entryOf(task)]);
    expect(bodies()).toEqual([expect.stringContaining('**0.5**')]);
  });

  test('that shares a training with another is reported to each', async () => {
    await startGithub({ pulls: [PULL, { ...PULL, number: 8 }] });
    const runtime = { ...note(), ...note({ to: 8 }), ci_use_8: use(head) };
    const task = await train(head, 0.95, { runtime });
    await collect([entryOf(task), entryOf(task, { pullRequest: 8 })]);
    expect([bodies(7).length, bodies(8).length]).toEqual([1, 1]);
    expect(await tagsOf(task)).toEqual(['ci-reported', 'ci-reported:7', 'ci-reported:8']);
  });

  test('that one fails for does not keep the others, and what a service refused is tried again', async () => {
    await startGithub({ pulls: [PULL, { ...PULL, number: 8 }] });
    const tasks = [
      await train(head, 0.95, { runtime: note({ to: 8 }) }),
      await train(head, 0.94, { runtime: note() }),
    ] as const;
    const entries = [entryOf(tasks[0], { pullRequest: 8 }), entryOf(tasks[1])];
    const proxy = await startProxy(github.apiUrl, ({ path }) =>
      path.includes('/issues/8/') ? { kind: 'answer', status: 500, body: '{}' } : undefined,
    );
    const { exitCode, stderr } = await collect(entries, [], { GITHUB_API_URL: proxy.url });
    expect(exitCode).toBe(9);
    expect(stderr).toContain(`error: pull request 8 at ${head.slice(0, 10)}: GitHub at`);
    expect([bodies(8).length, bodies(7).length]).toEqual([0, 1]);
    expect([await tagsOf(tasks[0]), await tagsOf(tasks[1])]).toEqual([[], ['ci-reported', 'ci-reported:7']]);
    expect(readSummary()).toMatch(/- Pull request 8 .*did not answer[\s\S]*- Pull request 7 .*Not judged/);
  });

  test('whose task is too large to be read keeps no other from being reported', async () => {
    await startGithub({ pulls: [PULL, { ...PULL, number: 8 }] });
    const large = await train(head, 0.9, { runtime: note({ to: 8 }), key: 'large' });
    const task = await train(head, 0.95, { runtime: note() });
    const proxy = await startProxy(clearml.env.CLEARML_API_HOST ?? '', ({ body }) =>
      body.includes(large) ? { kind: 'answer', status: 503, body: '' } : undefined,
    );
    const { exitCode, stderr } = await collect([entryOf(large, { pullRequest: 8 }), entryOf(task)], [], {
      CLEARML_API_HOST: proxy.url,
    });
    expect([exitCode, await tagsOf(task), await tagsOf(large)]).toEqual([
      9,
      ['ci-reported', 'ci-reported:7'],
      [],
    ]);
    expect(stderr).toContain('pull request 8 at');
  });

  test('whose training ends while others are reported is told its end', async () => {
    let passedMs = 0;
    let completed: Promise<unknown> | undefined;
    const tasks: string[] = [];
    const end = (path: string) => {
      if (!path.includes('/issues/8/') || completed !== undefined) return;
      passedMs = 60_000;
      completed = driver.completeTask(tasks[1] ?? '');
    };
    await startGithub({
      pulls: [PULL, { ...PULL, number: 8 }],
      onRequest: ({ path }) => end(path),
    });
    tasks.push(await train(head, 0.95, { runtime: note({ to: 8 }) }));
    tasks.push(await train(head, 0.94, { end: 'in_progress', runtime: note() }));
    const entries = [
      entryOf(tasks[0] ?? '', { pullRequest: 8 }),
      entryOf(tasks[1] ?? '', { state: 'running' }),
    ];
    const clock = createPatientClock();
    const now = () => clock.now() + passedMs;
    await run(['--due', JSON.stringify(entries)], makeEnv(), { ...clock, now });
    await completed;
    expect(bodies()).toEqual([expect.stringContaining('**0.94**')]);
    expect(await tagsOf(tasks[1] ?? '')).toContain('ci-reported');
  });

  test('whose final status another job has written does not get a pending one again', async () => {
    await startGithub();
    await run([await train(head, 0.9), '--status', 'ClearML']);
    const task = await train(head, 0.95, { end: 'in_progress', runtime: note() });
    await collect([entryOf(task, { state: 'running' })]);
    expect(statesOf()).toEqual(['ClearML success']);
  });

  test('that does not exist is said, and no reason to fail', async () => {
    await startGithub();
    const task = await train(head, 0.95, { runtime: note({ to: 9 }) });
    const { exitCode, stderr } = await collect([entryOf(task, { pullRequest: 9 })]);
    expect(exitCode).toBe(0);
    expect(stderr).toContain('GitHub did not find pull request 9');
  });

  test('whose status is refused is exit 8, and stays due', async () => {
    await startGithub({ permissions: { contents: 'read', 'pull-requests': 'write' } });
    const task = await train(head, 0.95, { runtime: note() });
    expect(await collect([entryOf(task)])).toMatchObject({ exitCode: 8 });
    expect([bodies().length, await tagsOf(task)]).toEqual([1, []]);
  });

  test('whose conversation is locked gets its status, exit 8 says why once, and not while it trains', async () => {
    await startGithub();
    const task = await train(head, 0.95, { runtime: note(), end: 'in_progress' });
    const env = { GITHUB_API_URL: (await lockConversation()).url };
    for (const _ of ['once', 'again']) {
      const { exitCode, stderr } = await collect([entryOf(task, { state: 'running' })], [], env);
      expect([exitCode, statesOf()]).toEqual([0, ['ClearML pending']]);
      expect(stderr).toContain('Unlock it');
      expect(stderr).not.toContain('::error');
    }
    expect(readSummary()).toContain('GitHub refuses the comment');
    await driver.completeTask(task);
    const { exitCode, stderr } = await collect([entryOf(task)], [], env);
    expect([exitCode, statesOf()]).toEqual([8, ['ClearML pending', 'ClearML success']]);
    expect(stderr).toContain('Unlock it');
    expect(await tagsOf(task)).toEqual(['ci-reported', 'ci-reported:7']);
    expect(await collect([entryOf(task)], [], env)).toMatchObject({ exitCode: 0 });
  });

  test('whose draft a launch takes again while it is reported stays due', async () => {
    await startGithub();
    const task = await train(head, 0.95, { end: 'queued', runtime: note() });
    await driver.call('tasks.dequeue', { task, status_reason: 'by hand' });
    const again = note({ launch: 'again' });
    const take = async () => {
      await driver.call('tasks.edit_runtime', { task, add_or_update: again });
      await driver.call('tasks.enqueue', { task, queue_name: 'default' });
    };
    const proxy = await startProxy(github.apiUrl, ({ method, path }) =>
      method === 'POST' && path.includes('/statuses/') ? { kind: 'hold', until: take() } : undefined,
    );
    const { exitCode } = await collect([entryOf(task)], [], { GITHUB_API_URL: proxy.url });
    expect([exitCode, statesOf().length]).toEqual([0, 1]);
    expect((await driver.getTask(task)).runtime).toMatchObject(again);
  });

  test('whose task is gone is told so', async () => {
    await startGithub();
    const { exitCode, stderr } = await collect([entryOf('e'.repeat(32))]);
    expect(exitCode).toBe(0);
    expect(stderr).toContain(`ClearML has no task ${'e'.repeat(32)}`);
    expect(bodies()).toEqual([expect.stringContaining('ClearML has no task')]);
  });
});

test('a training that somebody archives while it waits has ended: it is told, and is due no more', async () => {
  await startGithub();
  const task = await train(head, 0.9, { runtime: note(), end: 'queued' });
  await collect([entryOf(task, { state: 'running' })]);
  await driver.call('tasks.archive', { tasks: [task] });
  await collect([entryOf(task)]);
  expect(bodies()).toEqual([expect.stringContaining('archived')]);
  expect(statesOf()).toEqual(['ClearML pending', 'ClearML failure']);
  const { runtime } = await driver.getTask(task);
  expect([runtime.ci_due, runtime.ci_due_7]).toEqual([undefined, undefined]);
});

describe('a launch of which trainings are gone', () => {
  test('is not judged by the others: comment and status say so, once, and it is due no more', async () => {
    await startGithub();
    const runtime = note({ count: 3 });
    const left = [
      await train(head, 0.95, { runtime }),
      await train(head, 0.96, { runtime, end: 'in_progress' }),
    ];
    await collect([entryOf(left, { state: 'running' })]);
    await driver.completeTask(left[1] ?? '');
    expect(bodies()).toEqual([expect.stringContaining('is running')]);
    const { exitCode, stderr } = await collect([entryOf(left)]);
    expect([exitCode, statesOf()]).toEqual([0, ['ClearML pending', 'ClearML error']]);
    expect(stderr).toContain('1 of 3 trainings is gone');
    expect(bodies()).toEqual([
      expect.stringMatching(/### 1 of 3 trainings is gone\n[\s\S]*never queued[\s\S]*, or comment \/train/),
    ]);
    expect(github.statuses(head)[1]).toMatchObject({
      description: '1 of 3 trainings is gone',
      targetUrl: expect.stringContaining('issuecomment'),
    });
    expect(await tagsOf(left[0] ?? '')).toEqual(['ci-reported', 'ci-reported:7']);
  });

  test('ends its status though the conversation is locked, and is due no more', async () => {
    await startGithub();
    const task = await train(head, 0.95, { runtime: note({ count: 2 }), end: 'in_progress' });
    await collect([entryOf(task, { state: 'running' })]);
    await driver.completeTask(task);
    const env = { GITHUB_API_URL: (await lockConversation()).url };
    const { exitCode, stderr } = await collect([entryOf(task)], [], env);
    expect([exitCode, statesOf()]).toEqual([8, ['ClearML pending', 'ClearML error']]);
    expect(stderr).toContain('Unlock it');
    expect(await tagsOf(task)).toEqual(['ci-reported', 'ci-reported:7']);
    expect(await collect([entryOf(task)], [], env)).toMatchObject({ exitCode: 0 });
  });

  test('ends its status where the comment that it leads to is posted anew', async () => {
    await startGithub({
      pulls: [{ ...PULL, baseRef: 'recreating', headSha: head, headRepository: 'fork/digits' }],
    });
    const task = await train(head, 0.95, { runtime: note({ count: 2 }), end: 'in_progress' });
    await collect([entryOf(task, { state: 'running' })]);
    await driver.completeTask(task);
    await collect([entryOf(task)]);
    expect(statesOf()).toEqual(['ClearML pending', 'ClearML error']);
    expect(github.statuses(head)[1]?.targetUrl).toContain(`issuecomment-${github.comments(7)[0]?.id}`);
  });

  test('is not judged by the others either once the pull request has a newer commit', async () => {
    await startGithub({ pulls: [{ ...PULL, headSha: older }] });
    const runtime = note({ commit: older, count: 3 });
    const task = await train(older, 0.95, { runtime });
    const open = await train(older, 0.95, { runtime, end: 'in_progress' });
    await collect([entryOf([task, open], { commit: older, state: 'running' })]);
    await driver.completeTask(open);
    expect(statesOf(older)).toEqual(['ClearML pending']);
    github.setPullHead(7, head);
    const before = bodies();
    const { exitCode, stderr } = await collect([entryOf([task, open], { commit: older })]);
    expect([exitCode, statesOf(older)]).toEqual([0, ['ClearML pending', 'ClearML error']]);
    expect(stderr).toContain('1 of 3 trainings is gone');
    expect(bodies()).toEqual(before);
    expect(await tagsOf(task)).toEqual(['ci-reported', 'ci-reported:7']);
  });

  test('stays due where GitHub refuses the status, and in a dry run', async () => {
    await startGithub();
    const task = await train(head, 0.95, { runtime: note({ count: 2 }), end: 'in_progress' });
    await collect([entryOf(task, { state: 'running' })]);
    await driver.completeTask(task);
    await collect([entryOf(task)], ['--dry-run']);
    const proxy = await startProxy(github.apiUrl, ({ method, path }) =>
      method === 'POST' && path.includes('/statuses/')
        ? { kind: 'answer', status: 403, body: '{"message":"no"}' }
        : undefined,
    );
    const { exitCode } = await collect([entryOf(task)], [], { GITHUB_API_URL: proxy.url });
    expect([exitCode, await tagsOf(task)]).toEqual([8, []]);
  });
});

describe('a launch that a newer one of the same commit has replaced', () => {
  test('is marked, and not reported, whether the newer one is due or not', async () => {
    await startGithub();
    const old = await train(head, 0.5, { runtime: note({ launch: 'old' }) });
    const current = await train(head, 0.95, {
      end: 'in_progress',
      runtime: note({ launch: 'new', atMs: Date.UTC(2026, 0, 2) }),
    });
    const { stderr } = await collect([entryOf(old), entryOf(current, { state: 'running' })]);
    expect(stderr).toContain('a newer launch of this commit has taken its place');
    expect(bodies()).toEqual([expect.stringContaining('is running')]);
    expect(await tagsOf(old)).toEqual(['ci-reported', 'ci-reported:7']);

    const late = await train(head, 0.4, { runtime: note({ launch: 'late' }) });
    await train(head, 0.96);
    const before = bodies();
    await collect([entryOf(late)]);
    expect([bodies(), await tagsOf(late)]).toEqual([before, ['ci-reported', 'ci-reported:7']]);
  });

  test.each<[string, End]>([
    ['runs', 'in_progress'],
    ['has ended', 'completed'],
  ])('is not taken for the newer one, which reuses some of its seeds and %s', async (_, end) => {
    await startGithub();
    const older = note({ launch: 'old', count: 5 });
    const newer = note({ launch: 'new', count: 3, atMs: Date.UTC(2026, 0, 2) });
    const shared = [await train(head, 0.91, { runtime: newer }), await train(head, 0.92, { runtime: newer })];
    const old = await train(head, 0.93, { runtime: older });
    const own = await train(head, 0.95, { runtime: newer, end });
    const entries = [entryOf([...shared, old]), entryOf([...shared, own])];
    const { exitCode, stderr } = await collect(entries);
    expect([exitCode, stderr]).toEqual([
      0,
      expect.stringMatching(/a newer launch of this commit has taken its place/),
    ]);
    const isOver = end === 'completed';
    expect(statesOf()).toEqual([isOver ? 'ClearML success' : 'ClearML pending']);
    const done = ['ci-reported', 'ci-reported:7'];
    expect(await tagsOf(old)).toEqual(done);
    for (const task of [...shared, own]) expect(await tagsOf(task)).toEqual(isOver ? done : []);
  });

  test('is not marked by a report of the older one, whose seeds it has taken meanwhile', async () => {
    await startGithub();
    const older = note({ launch: 'old', count: 2, atMs: Date.UTC(2026, 0, 2) });
    const shared = await train(head, 0.91, { runtime: note({ launch: 'new' }) });
    const old = await train(head, 0.93, { runtime: older });
    await collect([entryOf([shared, old])]);
    expect([await tagsOf(old), await tagsOf(shared)]).toEqual([['ci-reported', 'ci-reported:7'], []]);
  });

  test('is reported where the other only has newer tasks: it was launched again, and reused its own', async () => {
    await startGithub();
    const reused = await train(head, 0.95, { runtime: note({ launch: 'again', atMs: Date.now() + 60_000 }) });
    await train(head, 0.4);
    await collect([entryOf(reused)], ['--status', 'x']);
    expect(bodies()).toEqual([expect.stringContaining('0.95')]);
    expect(await tagsOf(reused)).toEqual(['ci-reported', 'ci-reported:7']);
  });

  test('is reported where the other is another leg of a matrix', async () => {
    await startGithub();
    const one = await train(head, 0.5, { runtime: note({ launch: 'one' }) });
    const atMs = Date.UTC(2026, 0, 2);
    const two = await train(head, 0.95, { runtime: { ...note({ launch: 'two', atMs }), ci_leg: 'leg' } });
    await collect([entryOf(one), entryOf(two)], ['--status', 'x']);
    expect(bodies()).toHaveLength(2);
  });
});

test('a seed that had ended when it was reused is reported with the others, without a note', async () => {
  await startGithub();
  const ended = await train(head, 0.9);
  const own = [
    await train(head, 0.92, { runtime: note({ count: 3 }) }),
    await train(head, 0.94, { runtime: note({ count: 3 }) }),
  ];
  const { stdout } = await collect([entryOf([ended, ...own])], ['--json']);
  const [report] = JSON.parse(stdout) as Array<{ tasks: Array<{ id: string }> }>;
  expect(report?.tasks.map(({ id }) => id)).toEqual([ended, ...own]);
  expect(await Promise.all([ended, ...own].map(tagsOf))).toEqual([
    [],
    ['ci-reported', 'ci-reported:7'],
    ['ci-reported', 'ci-reported:7'],
  ]);
});

describe('a push', () => {
  test('has a status and no comment, and is compared with the branch before it', async () => {
    await startGithub({ defaultBranch: 'merged' });
    await train(first, 0.9);
    const base: Due['base'] = { event: 'push', branch: 'merged', previous: first };
    const runtime = {
      ci_event: 'push',
      ci_use_branch: use(merged),
      ...noteDue({ to: merged, commit: merged, base }),
    };
    const task = await train(merged, 0.5, { runtime });
    const entry = entryOf(task, { pullRequest: null, commit: merged });
    expect(await collect([entry])).toMatchObject({ exitCode: 0, stdout: '' });
    expect(statesOf(merged)).toEqual(['ClearML failure']);
    expect(github.statuses(merged)[0]?.description).toMatch(/^Regression: .*against merged/);
    expect(bodies()).toEqual([]);
    expect(readSummary()).toContain(`- Commit \`${merged.slice(0, 10)}\`: **Regression**`);
    expect(await tagsOf(task)).toEqual(['ci-reported', `ci-reported:${merged}`]);
  });

  test('ends its status where a training of it is gone, whichever the status leads to', async () => {
    await startGithub({ defaultBranch: 'merged' });
    const base: Due['base'] = { event: 'push', branch: 'merged', previous: first };
    const notes = noteDue({ to: merged, commit: merged, base, count: 2 });
    const runtime = { ci_event: 'push', ci_use_branch: use(merged), ...notes };
    const tasks = [
      await train(merged, 0.5, { runtime, end: 'in_progress' }),
      await train(merged, 0.5, { runtime }),
    ];
    const of = { pullRequest: null, commit: merged };
    await collect([entryOf(tasks, { ...of, state: 'running' })]);
    await driver.call('tasks.delete', { task: tasks[0], force: true });
    const { stderr } = await collect([entryOf(tasks.slice(1), of)]);
    expect(stderr).toContain('run the job that launched them again.');
    expect(stderr).not.toContain('/train');
    expect(statesOf(merged)).toEqual(['ClearML pending', 'ClearML error']);
    expect(await tagsOf(tasks[1] ?? '')).toEqual(['ci-reported', `ci-reported:${merged}`]);
  });

  test.each([
    ['by its note', 'group', first],
    ['by the name of its branch', `gh-readonly-queue/group/pr-7-${first}`, undefined],
  ])(
    'of a merge queue is compared with what it was to be merged into, known %s',
    async (_, branch, previous) => {
      await startGithub({ defaultBranch: 'group' });
      await train(first, 0.9);
      // The group was merged since: the branch holds its commit.
      const base: Due['base'] = { event: 'merge_group', branch, previous };
      const runtime = {
        ci_event: 'merge_group',
        ci_use_queue: use(group),
        ...noteDue({ to: group, commit: group, base }),
      };
      const task = await train(group, 0.5, { runtime });
      await collect([entryOf(task, { pullRequest: null, commit: group })]);
      expect(statesOf(group)).toEqual(['ClearML failure']);
      expect(github.statuses(group)[0]?.description).toContain('against group');
    },
  );
});

describe('a note that a training has forged', () => {
  const stray = repository.git('commit-tree', `${changed}^{tree}`, '-p', first, '-m', 'A fork’s');

  test.each(['push', 'merge_group'] as const)(
    'does not let a fork’s commit judge itself as a %s',
    async (event) => {
      await startGithub({ pulls: [{ ...PULL, headSha: stray, headRepository: 'fork/digits' }] });
      for (const branch of ['main', 'none', 'gh-readonly-queue/main/pr-7-1']) {
        const base: Due['base'] = { event, branch, previous: changed };
        const task = await train(changed, 0.5, { runtime: noteDue({ to: stray, commit: stray, base }) });
        const run = await collect([entryOf(task, { pullRequest: null, commit: stray })]);
        expect(run.stderr).toContain('no branch holds it');
        expect(run).toMatchObject({ exitCode: 0, stdout: '' });
        expect([statesOf(stray), await tagsOf(task)]).toEqual([[], ['ci-reported', `ci-reported:${stray}`]]);
      }
    },
  );

  test('and removed since does not either', async () => {
    await startGithub();
    const task = await train(changed, 0.5);
    await collect([entryOf(task, { pullRequest: null, commit: changed })]);
    expect(statesOf(changed)).toEqual([]);
  });

  test('does not choose the settings that name a merge group’s status', async () => {
    await startGithub();
    const base: Due['base'] = { event: 'merge_group', branch: 'group', previous: changed };
    const runtime = { ci_use_queue: use(group), ...noteDue({ to: group, commit: group, base }) };
    await collect([entryOf(await train(group, 0.5, { runtime }), { pullRequest: null, commit: group })]);
    expect(statesOf(group)).toEqual(['ClearML success']);
  });

  // Octokit can't write half a character into an address.
  test('and can’t be asked for keeps no other from being reported', async () => {
    await startGithub();
    const half = `half-a-character-\ud800`;
    const base: Due['base'] = { event: 'push', branch: half, previous: half };
    const pushed = await train(changed, 0.5, { runtime: noteDue({ to: changed, commit: changed, base }) });
    const forged = await train(head, 0.5, { runtime: noteDue({ commit: older, settings: half }) });
    const task = await train(head, 0.95, { runtime: note() });
    const run = await collect([
      entryOf(pushed, { pullRequest: null, commit: changed }),
      entryOf(forged, { commit: older }),
      entryOf(task),
    ]);
    expect(run.stderr).not.toContain('bug');
    expect([run.exitCode, await tagsOf(task)]).toEqual([0, ['ci-reported', 'ci-reported:7']]);
  });
});

test('comment: recreate posts the final verdict anew, once, and nothing for a training that goes on', async () => {
  await startGithub({
    pulls: [{ ...PULL, baseRef: 'recreating', headSha: head, headRepository: 'fork/digits' }],
  });
  const task = await train(head, 0.95, { end: 'in_progress', runtime: note() });
  const running = entryOf(task, { state: 'running' });
  await collect([running]);
  const [interim] = github.comments(7);
  await collect([running]);
  expect(github.comments(7).map(({ id }) => id)).toEqual([interim?.id]);
  await driver.completeTask(task);
  await collect([entryOf(task)]);
  expect(github.comments(7)).toEqual([expect.objectContaining({ body: expect.stringContaining('0.95') })]);
  expect(github.comments(7)[0]?.id).not.toBe(interim?.id);
});

test.each([
  [['--due', '{}'], '--due is not a JSON list'],
  [['--due', '[7]'], '--due has something else as entry 1'],
  [['--due', '[]', 'a'.repeat(32)], '--due names what to report, and task ids do too'],
  [['--due', '[]', '--pr', '7'], '--due names what to report, and --pr does too'],
])('%j is a usage error', async (args, message) => {
  const { exitCode, stderr } = await run(args);
  expect(exitCode).toBe(2);
  expect(stderr).toContain(message);
});
