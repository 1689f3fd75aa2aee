import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { createPatientClock } from '../dev/patient-clock.ts';
import { countRoundTrips } from '../dev/round-trips.ts';
import { createScratchRepository } from '../dev/scratch-repository.ts';
import { hashPipeline, hashText } from '../training/pipeline.ts';
import {
  clearml,
  directory,
  driver,
  github,
  makeEnv,
  replaceGithub,
  run,
  setUpComments,
  startProxy,
  writeSettings,
} from './comment-setup.ts';

setUpComments();

describe('compared with the base', () => {
  const repository = createScratchRepository();
  const base = repository.commit('Train', { 'train.py': 'a' });
  const tip = repository.commit('Document', { 'README.md': 'b' });
  repository.git('checkout', '--quiet', '-b', 'topic');
  const head = repository.commit('Train better', { 'train.py': 'c' });
  const treeOf = (commit: string) => repository.git('rev-parse', `${commit}^{tree}`);
  const pull = { number: 7, headSha: head, headRef: 'topic', baseRef: 'main' };
  let pipeline: string;
  let project: string;

  beforeAll(async () => {
    pipeline = await hashPipeline({
      repository: 'github.com/acme/digits',
      project: 'digits',
      taskName: 'train',
    });
    project = (await driver.call('projects.create', { name: 'digits', description: '' })).id;
  });

  // Each test has its own pipeline: the tasks of the others are none of its business.
  beforeEach(async () => {
    pipeline = await hashText(directory);
    await replaceGithub({ gitDir: repository.directory, pulls: [pull] });
  });

  afterAll(() => repository.remove());

  async function launchTask(
    commit: string,
    fields: {
      readonly accuracy?: number;
      readonly event?: string;
      readonly params?: Readonly<Record<string, string>>;
      readonly tags?: readonly string[];
      readonly codeId?: string;
    } = {},
  ): Promise<string> {
    const params = Object.entries(fields.params ?? { lr: '0.1' }).map(([name, value]) => [
      name,
      { section: 'Args', name, value },
    ]);
    const id = await driver.createTask({
      name: 'train',
      project,
      tags: fields.tags ?? [],
      script: { repository: 'https://github.com/acme/digits.git', branch: 'topic', version_num: commit },
      hyperparams: { Args: Object.fromEntries(params) },
      runtime: {
        ci_key: `${commit} ${JSON.stringify(fields)}`,
        ci_pipeline: pipeline,
        ci_code: fields.codeId ?? treeOf(commit),
        ci_event: fields.event ?? 'push',
        ci_run: '42',
      },
    });
    await driver.call('tasks.enqueue', { task: id, queue_name: 'default' });
    return id;
  }

  async function trainCommit(commit: string, fields: Parameters<typeof launchTask>[1] = {}): Promise<string> {
    const id = await launchTask(commit, fields);
    await driver.startTask(id);
    await driver.reportScalars(id, 'loss', 'train', [2, 1, 0.5, 0.25]);
    await driver.reportScalars(id, ':monitor:machine', 'cpu_usage', [50, 60]);
    await driver.reportScalars(id, 'test_accuracy', 'accuracy', [fields.accuracy ?? 0.9]);
    await driver.completeTask(id);
    return id;
  }

  async function writeEvent(): Promise<string> {
    const file = join(directory, 'event.json');
    writeFileSync(file, JSON.stringify(await github.pullRequestEvent(7, 'synchronize')));
    return file;
  }

  async function startCommit(commit: string): Promise<string> {
    const id = await launchTask(commit);
    await driver.startTask(id);
    return id;
  }

  const textOf = () => github.comments(7)[0]?.body ?? '';

  /** Runs the program against servers that answer late. */
  async function countRequests(task: string, env: Readonly<Record<string, string>>) {
    // Its time stands still while anything but waiting goes on: however busy the machine is, a trip is a trip.
    const options = { latencyMs: 200, clock: createPatientClock() };
    const toClearml = await startProxy(clearml.apiHost, undefined, options);
    const toGithub = await startProxy(github.apiUrl, undefined, options);
    const { exitCode } = await run(
      [task],
      makeEnv({ ...env, CLEARML_API_HOST: toClearml.url, GITHUB_API_URL: toGithub.url }),
      options.clock,
    );
    expect(exitCode).toBe(0);
    return {
      clearml: toClearml.seen.length,
      github: toGithub.seen
        .map(({ method, path }) => `${method} ${path.replace(/\?.*|\/\d+$|[^/]*\.\.\..*/g, '')}`)
        .sort(),
      trips: countRoundTrips([...toClearml.seen, ...toGithub.seen]),
    };
  }

  describe('a report with a baseline takes at most 4 requests to ClearML, 7 to GitHub, 4 round trips,', () => {
    const REPO = '/repos/acme/digits';
    const ASKED = [
      `GET ${REPO}/commits`,
      `GET ${REPO}/compare/`,
      `GET ${REPO}/contents/.github%2Fclearml-ci.yml`,
      `GET ${REPO}/issues/7/comments`,
    ];

    async function prepareEvent() {
      await trainCommit(base, { accuracy: 0.8 });
      return {
        GITHUB_EVENT_PATH: await writeEvent(),
        GITHUB_EVENT_NAME: 'pull_request',
        GH_TOKEN: github.addUser('ada', 'write'),
      };
    }

    test('where it updates its comment', async () => {
      const env = await prepareEvent();
      const task = await trainCommit(head, { accuracy: 0.9, event: 'pull_request' });
      await run([task], makeEnv(env));
      const counted = await countRequests(task, env);
      expect(counted).toEqual({
        clearml: 4,
        github: [...ASKED, 'GET /user', `PATCH ${REPO}/issues/comments`].sort(),
        trips: 4,
      });
      expect(textOf()).toContain('+0.1 (better) against `main`');
    });

    test('where it creates its comment: the curves are put in afterwards', async () => {
      const env = await prepareEvent();
      const task = await trainCommit(head, { accuracy: 0.9, event: 'pull_request' });
      const counted = await countRequests(task, env);
      expect(counted).toEqual({
        clearml: 4,
        github: [
          ...ASKED,
          `GET ${REPO}/issues/7/comments`,
          `PATCH ${REPO}/issues/comments`,
          `POST ${REPO}/issues/7/comments`,
        ].sort(),
        trips: 4,
      });
      expect(textOf()).toContain('+0.1 (better) against `main`');
      expect(textOf()).toContain('```mermaid');
    });

    test('right after the launch, when no curve is asked for', async () => {
      const env = await prepareEvent();
      const task = await launchTask(head, { event: 'pull_request' });
      const counted = await countRequests(task, env);
      expect(counted).toEqual({
        clearml: 3,
        github: [...ASKED, `GET ${REPO}/issues/7/comments`, `POST ${REPO}/issues/7/comments`].sort(),
        trips: 4,
      });
      await driver.call('tasks.dequeue', { task });
    });

    test('but for one more where the pull request was pushed to since', async () => {
      const env = await prepareEvent();
      const task = await trainCommit(head, { accuracy: 0.9, event: 'pull_request' });
      await run([task], makeEnv(env));
      repository.git('checkout', '--quiet', 'topic');
      github.setPullHead(7, repository.commit('Go on', { 'train.py': 'd' }));
      const { trips } = await countRequests(task, env);
      repository.git('reset', '--quiet', '--hard', head);
      expect(trips).toBe(5);
      expect(textOf()).toContain('This report is about an older commit.');
      expect(textOf()).toContain('+0.1 (better) against `main`');
    });

    test('but for one more without an event, which names the branches', async () => {
      const { GH_TOKEN } = await prepareEvent();
      const task = await trainCommit(head, { accuracy: 0.9, event: 'pull_request' });
      expect((await countRequests(task, { GH_TOKEN })).trips).toBe(5);
    });
  });

  test('the nearest ancestor with a task counts, and the comment names it, the change and the param', async () => {
    await trainCommit(base, { accuracy: 0.8, params: { lr: '0.1', epochs: '5' } });
    const task = await trainCommit(head, {
      accuracy: 0.9,
      event: 'pull_request',
      params: { lr: '0.2', epochs: '5' },
    });
    const { exitCode, stdout } = await run([task, '--json']);
    expect(exitCode).toBe(0);
    const report = JSON.parse(stdout);
    expect(report.baseline).toMatchObject({
      kind: 'found',
      by: 'branch',
      name: 'main',
      commit: base,
      commitsBehind: 1,
    });
    expect(report.metrics[0]).toMatchObject({
      metric: 'test_accuracy/accuracy',
      value: 0.9,
      baseline: 0.8,
      change: expect.closeTo(0.1),
      effect: 'better',
    });
    expect(report.params).toEqual([{ param: 'Args/lr', value: '0.2', baseline: '0.1' }]);
    expect(report.metrics.map(({ metric }: { metric: string }) => metric)).not.toContain(
      ':monitor:machine/cpu_usage',
    );
    expect(report.tasks[0].machine.cpuPercent).toBe(55);
    const text = textOf();
    expect(text).toContain('| `test_accuracy/accuracy` | **0.9** | 0.8 | +0.1 (+12.5%) ▲\u00a0better |');
    expect(text).toContain('Changed: `lr` `0.1` → `0.2`');
    expect(text).toContain('```mermaid');
    expect(text).toContain(base.slice(0, 10));
  });

  test('without an event the pull request itself tells the base', async () => {
    await trainCommit(tip, { accuracy: 0.7 });
    await run([await trainCommit(head, { event: 'pull_request' })]);
    expect(textOf()).toContain('where the pull request branched off');
  });

  test('a task, a tag or nothing can be named instead', async () => {
    const other = await trainCommit(base, { accuracy: 0.5, tags: ['production', directory] });
    const task = await trainCommit(head, { accuracy: 0.9, event: 'pull_request' });
    const baselineOf = async (...args: string[]) => {
      const { exitCode, stdout } = await run([task, '--json', ...args]);
      expect(exitCode).toBe(0);
      return JSON.parse(stdout).baseline;
    };
    expect(await baselineOf('--baseline', other)).toMatchObject({ by: 'task', tasks: [{ id: other }] });
    expect(await baselineOf('--baseline', `tag:${directory}`)).toMatchObject({
      by: 'tag',
      tasks: [{ id: other }],
    });
    expect(await baselineOf('--baseline', 'none')).toMatchObject({ kind: 'missing', reason: 'off' });
    expect((await run([task, '--baseline', 'tag:no such'])).exitCode).toBe(10);
    expect((await run([task, '--baseline', 'ab'.repeat(16)])).exitCode).toBe(10);
    expect((await run([task, '--baseline', 'main'])).exitCode).toBe(2);
  });

  test('the first result is told as that; the code under test is never its own baseline', async () => {
    await trainCommit(head, { event: 'pull_request', params: { lr: '7' } });
    const { exitCode } = await run([await trainCommit(head, { event: 'pull_request' })]);
    expect(exitCode).toBe(0);
    expect(textOf()).toContain(
      '**This is the first result:** no earlier training of `main` was found. Merging this pull request gives the next one its baseline.',
    );
    expect(textOf()).not.toContain('No baseline');
  });

  test.each([
    ['the command line', ['--baseline', 'branch:mian']],
    ['the settings', ['--config', 'settings.yml']],
  ])(
    'a branch that GitHub does not know, named by %s, is said in the comment and the log',
    async (_, args) => {
      writeSettings(
        'baseline: { branch: mian }\nmetrics: [{ metric: test_accuracy/accuracy, goal: maximize, gate: fail }]\n',
      );
      for (const [train, exitCode] of [
        [launchTask, 0],
        [trainCommit, args.includes('--config') ? 6 : 0],
      ] as const) {
        const task = await train(head, { event: 'pull_request' });
        const told = await run([task, ...args, ...(train === launchTask ? ['--no-gate'] : [])]);
        expect(told).toMatchObject({
          exitCode,
          stderr: expect.stringContaining(
            'warning: GitHub knows no branch mian in this repository. The pull request’s base branch is main.',
          ),
        });
        expect(textOf()).toContain('No baseline: GitHub knows no branch `mian` in this repository.');
      }
    },
  );

  test('a metric that the base has by its old name is compared and drawn with it, gated or not', async () => {
    writeSettings('metrics: [{ metric: loss/val, was: loss/train, goal: minimize }]\n');
    await trainCommit(base);
    const task = await launchTask(head, { event: 'pull_request' });
    await driver.startTask(task);
    await driver.reportScalars(task, 'loss', 'val', [4, 3, 2, 1]);
    await driver.completeTask(task);
    await run([task, '--config', 'settings.yml']);
    expect(textOf()).toContain('`loss/val` **1**, +0.75 (worse) against `main`');
    expect(textOf()).toMatch(/line "main" \[2, 1, 0\.5, 0\.25\]/);
  });

  test('a branch that shares no commit is said as that, and no mistake', async () => {
    repository.git('checkout', '--quiet', '--orphan', 'other');
    repository.commit('Begin anew', { 'train.py': 'z' });
    repository.git('checkout', '--quiet', 'topic');
    const task = await trainCommit(head, { event: 'pull_request' });
    const { stderr } = await run([task, '--baseline', 'branch:other']);
    expect(stderr).not.toContain('warning');
    expect(textOf()).toContain('GitHub knows no common ancestor of this commit and `other`');
  });

  test.each([
    ['failed', async () => driver.failTask(await startCommit(base))],
    ['was aborted', async () => driver.call('tasks.stopped', { task: await startCommit(base) })],
    ['was a trial', () => trainCommit(base, { event: 'workflow_dispatch' })],
  ])(
    'no baseline is said, with the way to get one, where the training of the base %s',
    async (_, trainBase) => {
      await trainBase();
      await run([await trainCommit(head, { event: 'pull_request' })]);
      expect(textOf()).toContain('No baseline: none of the 2 commits of `main`');
      expect(textOf()).toContain('launch it there once');
      expect(textOf()).not.toContain('first result');
    },
  );

  test('a token that may not read the commits still posts, and says what it lacks', async () => {
    await replaceGithub({
      gitDir: repository.directory,
      pulls: [pull],
      isPrivate: true,
      permissions: { 'pull-requests': 'write' },
    });
    expect((await run([await trainCommit(head, { event: 'pull_request' })])).exitCode).toBe(0);
    expect(textOf()).toContain('`contents: read`');
  });

  test('a server that is not GitHub is named as such, and no permission is said to be missing', async () => {
    // Gitea and Forgejo compare without a merge base (Gitea 1.26).
    const proxy = await startProxy(github.apiUrl, ({ path }) =>
      path.includes('/compare/')
        ? { kind: 'answer', status: 200, body: JSON.stringify({ total_commits: 1, commits: [] }) }
        : undefined,
    );
    const task = await trainCommit(head, { event: 'pull_request' });
    expect(await run([task], makeEnv({ GITHUB_API_URL: proxy.url }))).toMatchObject({ exitCode: 0 });
    expect(textOf()).toContain('the server that GITHUB_API_URL names is not GitHub');
    expect(textOf()).not.toContain('contents: read');
  });

  test('several seeds on both sides give means and spreads', async () => {
    for (const accuracy of [0.7, 0.8, 0.9])
      await trainCommit(base, { accuracy, params: { seed: String(accuracy) } });
    const tasks: string[] = [];
    for (const accuracy of [0.85, 0.95]) {
      tasks.push(
        await trainCommit(head, { accuracy, event: 'pull_request', params: { seed: String(accuracy) } }),
      );
    }
    const { stdout } = await run([tasks.join(' '), '--json']);
    const [metric] = JSON.parse(stdout).metrics;
    expect(metric).toMatchObject({
      value: expect.closeTo(0.9),
      baseline: expect.closeTo(0.8),
      values: [0.85, 0.95],
    });
    expect(metric.baselineSpread).toBeCloseTo(0.1);
    expect(textOf()).toContain('2 tasks completed');
    expect(textOf()).toMatch(/\*\*0\.9\*\*\u00a0±\u00a00\.071 \| 0\.8\u00a0±\u00a00\.1 /);
  });

  test('an older commit is marked as one, but not where the newest holds the same code', async () => {
    const task = await trainCommit(tip, { event: 'pull_request' });
    await run([task]);
    expect(textOf()).toContain('This report is about an older commit.');
    const same = await trainCommit(tip, { event: 'pull_request', codeId: treeOf(head) });
    await run([same]);
    expect(textOf()).not.toContain('older commit');
  });

  test('a queued task shows its place, a running one how far it is', async () => {
    await trainCommit(base);
    const task = await launchTask(head, { event: 'pull_request' });
    await run([task]);
    expect(textOf()).toMatch(/### ⏳ `train` is waiting in the queue `default`, number \d+ of \d+/);
    await driver.startTask(task);
    await driver.reportScalars(task, 'loss', 'train', [2, 1]);
    await run([task]);
    expect(textOf()).toContain('### 🏃 `train` is running, iteration 1, about 33% of the baseline’s length');
    expect(textOf()).toContain('| Metric | So far | `main` | Curve |');
    expect(github.comments(7)).toHaveLength(1);
    await driver.call('tasks.stop', { task, force: true });
  });

  test('a failed task shows the cause, the place and the end of the log', async () => {
    const task = await launchTask(head, { event: 'pull_request' });
    await driver.startTask(task);
    await driver.logLines(task, [
      'epoch 1',
      'Traceback (most recent call last):',
      '  File "/root/.clearml/venvs-builds/task_repository/digits.git/train.py", line 3, in <module>',
      '    main()',
      'ValueError: no such thing',
    ]);
    await driver.failTask(task);
    await run([task]);
    expect(textOf()).toContain('### 💥 `train` failed: `ValueError: no such thing`');
    expect(textOf()).toContain(`[\`train.py:3\`](${github.serverUrl}/acme/digits/blob/${head}/train.py#L3)`);
    expect(textOf()).toContain('    main()\nValueError: no such thing\n```');
  });

  test('a failed training says which param is gone, if it got as far as its command line', async () => {
    await trainCommit(base, { params: { lr: '0.1', weight_decay: '0.2' } });
    const lead = async (args: object) => {
      const task = await launchTask(head, { event: 'pull_request' });
      await driver.startTask(task);
      await driver.call('tasks.edit', { task, force: true, hyperparams: { Args: args } });
      await driver.failTask(task);
      await run([task]);
      return /^Changed: .*/m.exec(textOf())?.[0];
    };
    const launched = { section: 'Args', name: 'lr', value: '0.1' };
    const added = { section: 'Args', name: 'penalty', value: '0.3' };
    // As the SDK writes them: it describes what it adds, and what was launched not.
    expect(
      await lead({
        lr: { ...launched, type: 'str', description: '' },
        penalty: { ...added, type: 'float', description: 'None' },
      }),
    ).toBe('Changed: `penalty` not set → `0.3`, `weight_decay` `0.2` → not set');
    expect(await lead({ lr: launched, penalty: added })).toBe('Changed: `penalty` not set → `0.3`');
  });

  test('tables and matrices that the training reported are shown', async () => {
    const task = await launchTask(head, { event: 'pull_request' });
    await driver.startTask(task);
    await driver.call('events.add', {
      type: 'plot',
      task,
      metric: 'confusion',
      variant: 'test',
      iter: 1,
      plot_str: JSON.stringify({
        data: [
          {
            type: 'heatmap',
            z: [
              [5, 1],
              [0, 7],
            ],
          },
        ],
        layout: {},
      }),
    });
    await driver.completeTask(task);
    await run([task]);
    expect(textOf()).toContain('**`confusion/test`**');
    expect(textOf()).toContain('| **1** | 0 | **7** |');
  });
});
