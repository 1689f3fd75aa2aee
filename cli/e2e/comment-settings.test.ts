import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { main } from '../create-stats-comment.ts';
import { type ClearmlDriver, createClearmlDriver } from '../dev/clearml-driver.ts';
import { type FaultProxy, startFaultProxy } from '../dev/fault-proxy.ts';
import { createPatientClock } from '../dev/patient-clock.ts';
import { runProgramHere } from '../dev/program-run.ts';
import { createScratchRepository } from '../dev/scratch-repository.ts';
import { type ClearmlSandbox, startClearmlSandbox } from '../sandbox/clearml-server.ts';
import {
  type GithubSandbox,
  type GithubSandboxOptions,
  startGithubSandbox,
} from '../sandbox/github-server.ts';
import { identifyRepository } from '../shell/git-url.ts';
import { hashPipeline, hashText } from '../training/pipeline.ts';

const FILE = '.github/clearml-ci.yml';
const BROKEN = 'metrics: [{ metric: test/accuracy, gate: fail }]';
const settingsOf = (rule: string, more = '') =>
  `metrics: [{ metric: test/accuracy, goal: maximize, ${rule} }]\n${more}`;
const GATED = settingsOf('gate: fail, tolerance: 0.005');

// Each branch has its own settings file; `bare` has none.
const repository = createScratchRepository();
repository.commit('Train', { 'train.py': 'a' });
repository.git('checkout', '--quiet', '-b', 'bare');
for (const [branch, text] of [
  ['gated', GATED],
  ['stated', 'status: ClearML\n'],
  ['detached', 'detach: true\n'],
  ['broken', BROKEN],
  ['promoting', 'promote: { tag: production }\n'],
] as const) {
  repository.git('checkout', '--quiet', '-B', branch, 'bare');
  repository.commit('Set up', { [FILE]: text });
}
repository.git('checkout', '--quiet', '-B', 'topic', 'bare');
const head = repository.commit('Train otherwise', { 'train.py': 'b' });

let clearml: ClearmlSandbox;
let driver: ClearmlDriver;
let directory: string;
const open: Array<{ close(): Promise<void> }> = [];

beforeAll(async () => {
  clearml = await startClearmlSandbox();
  driver = createClearmlDriver(clearml.env);
});

afterAll(async () => {
  await clearml.close();
  repository.remove();
});

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'settings-'));
});

afterEach(async () => {
  await Promise.all(open.splice(0).map((one) => one.close()));
  rmSync(directory, { recursive: true, force: true });
});

async function startGithub(base: string, options: GithubSandboxOptions = {}): Promise<GithubSandbox> {
  const github = await startGithubSandbox({
    gitDir: repository.directory,
    pulls: [{ number: 7, headSha: head, headRef: 'topic', baseRef: base }],
    ...options,
  });
  open.push(github);
  return github;
}

async function trainTask(pipeline?: string, isCompleted = true): Promise<string> {
  const task = await driver.createTask({
    name: 'train',
    script: { repository: 'https://github.com/acme/digits.git', branch: 'topic', version_num: head },
    runtime: {
      ci_key: 'key',
      ci_event: 'pull_request',
      ci_pipeline: pipeline ?? (await hashText(directory)),
    },
  });
  await driver.call('tasks.enqueue', { task, queue_name: 'default' });
  await driver.startTask(task);
  await driver.reportScalars(task, 'test', 'accuracy', [0.9]);
  if (isCompleted) await driver.completeTask(task);
  return task;
}

function writeFile(path: string, text: string): void {
  mkdirSync(dirname(join(directory, path)), { recursive: true });
  writeFileSync(join(directory, path), text);
}

async function report(
  github: GithubSandbox,
  {
    args = [],
    env = {},
    cwd = directory,
    pipeline,
  }: {
    readonly args?: readonly string[];
    readonly env?: Readonly<Record<string, string>>;
    readonly cwd?: string;
    readonly pipeline?: string;
  } = {},
) {
  const run = await runProgramHere(main, {
    args: [await trainTask(pipeline), '--json', '--no-gate', ...args],
    env: { ...clearml.env, ...github.env, PR_NUMBER: '7', ...env },
    cwd,
    clock: createPatientClock(),
  });
  expect(run).toMatchObject({ exitCode: 0 });
  const body = github.comments(7)[0]?.body ?? '';
  return { settings: JSON.parse(run.stdout).settings, body, stderr: run.stderr };
}

describe('a pull request that changes what it is judged by', () => {
  test('is flagged below the first lines, with old and new value', async () => {
    writeFile(FILE, settingsOf('gate: fail, tolerance: 0.5', 'alpha: 0.4'));
    const { settings, body } = await report(await startGithub('gated'));
    expect(settings).toEqual({
      kind: 'changed',
      path: FILE,
      branch: 'gated',
      isGated: true,
      problem: null,
      changes: [
        { metric: 'test/accuracy', setting: 'tolerance', base: '0.005', value: '0.5' },
        { metric: null, setting: 'alpha', base: '0.05', value: '0.4' },
      ],
    });
    const [start] = body.split('<details');
    expect(start).toContain(
      [
        '> [!WARNING]',
        '> **This pull request changes the settings that judge it: they differ from those of `gated`.**',
        '>',
        '> - `test/accuracy` tolerance: `0.005` → `0.5`',
        '> - alpha: `0.05` → `0.4`',
        '',
      ].join('\n'),
    );
  });

  test.each([
    ['loosens', settingsOf('gate: off'), 'test/accuracy` gate: `fail` → `off`'],
    ['removes', undefined, 'test/accuracy` gate: `fail` → `off`'],
    [
      'quotes nothing that could act',
      settingsOf('gate: fail', 'seed-param: "`|<b>@acme/x"'),
      '`` `|<b>@acme/x ``',
    ],
  ])('is flagged where it %s them', async (_, text, expected) => {
    if (text !== undefined) writeFile(FILE, text);
    expect((await report(await startGithub('gated'))).body).toContain(expected);
  });

  test('is not flagged where it leaves them alone, in other words or with other params', async () => {
    writeFile(
      FILE,
      `# another comment\nparams: { lr: 1 }\nqueue: gpu\nbaseline: { runs: 10, branch: gated }\n${GATED}`,
    );
    const { settings, body } = await report(await startGithub('gated'));
    expect(settings).toMatchObject({ kind: 'same', isGated: true, changes: [] });
    expect(body).not.toContain('[!WARNING]');
  });

  test('is told to bring the gate where the base branch has no settings file, if it does', async () => {
    const github = await startGithub('bare');
    writeFile(FILE, 'project: another\n');
    expect((await report(github)).settings).toMatchObject({ kind: 'same', isGated: false });
    writeFile(FILE, GATED);
    const { settings, body } = await report(github);
    expect(settings.kind).toBe('new');
    expect(body).toContain('This pull request adds the gate: `bare` has no settings file.');
    expect(body).toContain('> - `test/accuracy` gate: `off` → `fail`');
  });

  test('is flagged for another project or task name, unless a flag of the launch has decided it', async () => {
    writeFile(FILE, `project: elsewhere\ntask-name: train again\n${GATED}`);
    const names = { project: 'elsewhere', taskName: 'train again' };
    const github = await startGithub('gated');
    const repository = identifyRepository(`${github.serverUrl}/acme/digits`);
    const pipeline = await hashPipeline({ repository, ...names });
    const { settings } = await report(github, { pipeline });
    expect(settings.changes).toEqual([
      { metric: null, setting: 'project', base: 'digits', value: 'elsewhere' },
      { metric: null, setting: 'task-name', base: 'train_model', value: 'train again' },
    ]);
    expect((await report(github)).settings).toMatchObject({ kind: 'same' });
  });
});

test.each([
  ['drops', 'queue: gpu\n', '`{ tag: production }` → not set'],
  ['renames', 'promote: { tag: "`live" }\n', '`{ tag: production }` → ``{ tag: `live }``'],
  [
    'publishes beside',
    'promote: { tag: production, publish: true }\n',
    '`{ tag: production }` → `{ tag: production, publish: true }`',
  ],
])('a pull request that %s the tag that moves after the merge is flagged', async (_, text, words) => {
  writeFile(FILE, text);
  const { body } = await report(await startGithub('promoting'));
  expect(body).toContain(`> - promote: ${words}`);
  expect(body).toContain('**This pull request changes what the merge promotes: its settings differ');
});

test('the tag that moves after the merge is not flagged where it stays', async () => {
  writeFile(FILE, 'promote: { tag: production, publish: false }\n');
  expect((await report(await startGithub('promoting'))).settings).toMatchObject({ changes: [] });
});

describe('the commit status', () => {
  const mayWrite = { contents: 'read', 'pull-requests': 'write', statuses: 'write' } as const;

  test.each([
    ['drops it', 'queue: gpu\n', '`ClearML` → not set'],
    ['renames it', 'status: Another\n', '`ClearML` → `Another`'],
  ])('is the base branch’s where the pull request %s, and that is flagged', async (_, text, words) => {
    writeFile(FILE, text);
    const github = await startGithub('stated', { permissions: mayWrite });
    const { settings, body } = await report(github);
    expect(github.statuses(head)).toMatchObject([{ context: 'ClearML', state: 'success' }]);
    expect(settings).toMatchObject({ kind: 'changed', changes: [{ setting: 'status', base: 'ClearML' }] });
    expect(body).toContain(`> - status: ${words}`);
    expect(body).toContain('**This pull request changes how it is reported: its settings differ');
  });

  test('is implied by detach, which belongs to what a pull request is judged by', async () => {
    writeFile(FILE, 'queue: gpu\n');
    const github = await startGithub('detached', { permissions: mayWrite });
    const { body } = await report(github);
    expect(github.statuses(head)).toMatchObject([{ context: 'ClearML', state: 'success' }]);
    expect(body).toContain('> - status: `ClearML` → not set\n> - detach: `true` → `false`');
    writeFile(FILE, 'status: ClearML\n');
    const { changes } = (await report(github)).settings;
    expect(changes.map(({ setting }: { setting: string }) => setting)).toEqual(['detach']);
  });

  test('of a base branch whose settings have a mistake is this branch’s, and that is said', async () => {
    writeFile(FILE, 'status: Mine\n');
    const github = await startGithub('broken', { permissions: mayWrite });
    const { stderr } = await report(github);
    expect(github.statuses(head)).toMatchObject([{ context: 'Mine' }]);
    expect(stderr).toContain(
      `warning: ${FILE} of broken is unknown (${FILE} of broken has a mistake), so the commit status is Mine`,
    );
  });

  test.each([
    ['of a task that was deleted', true],
    ['of a pull request without a task', false],
  ])('%s ends by the base branch’s settings too', async (_, isNamed) => {
    writeFile(FILE, 'queue: gpu\n');
    const github = await startGithub('stated', { permissions: mayWrite });
    const event = join(directory, 'event.json');
    writeFileSync(event, JSON.stringify(await github.pullRequestEvent(7, 'closed')));
    const env = {
      ...clearml.env,
      ...github.env,
      GITHUB_EVENT_NAME: 'pull_request',
      GITHUB_EVENT_PATH: event,
    };
    const identity = { repository: identifyRepository(`${github.serverUrl}/acme/digits`) };
    const pipeline = await hashPipeline({ ...identity, project: 'digits', taskName: 'train_model' });
    const task = await trainTask(pipeline, false);
    await runProgramHere(main, { args: [task], env, cwd: directory, clock: createPatientClock() });
    await driver.call('tasks.delete', { task, force: true });
    const args = isNamed ? [task] : [];
    const run = await runProgramHere(main, { args, env, cwd: directory, clock: createPatientClock() });
    expect(run).toMatchObject({ exitCode: 10 });
    expect(github.statuses(head).map(({ state }) => state)).toEqual(['pending', 'error']);
  });

  test('is none where only the pull request asks for it', async () => {
    writeFile(FILE, `${GATED}status: ClearML\n`);
    const github = await startGithub('gated', { permissions: mayWrite });
    expect((await report(github)).body).toContain('> - status: not set → `ClearML`');
    expect(github.statuses(head)).toEqual([]);
  });

  test('of --status counts whatever the settings say', async () => {
    const github = await startGithub('stated', { permissions: mayWrite });
    await report(github, { args: ['--status', 'Mine'] });
    expect(github.statuses(head)).toMatchObject([{ context: 'Mine' }]);
  });
});

describe('the base branch’s file', () => {
  test('that has mistakes leaves it unknown, and that is said where the pull request gates', async () => {
    const github = await startGithub('broken');
    const free = await report(github);
    expect(free.settings).toMatchObject({ kind: 'unknown', problem: `${FILE} of broken has a mistake` });
    expect(free.body).not.toContain('[!WARNING]');
    writeFile(FILE, GATED);
    expect((await report(github)).body).toContain(
      `**It is unknown whether this pull request changes the settings that judge it:** \`${FILE} of broken has a mistake\`.`,
    );
  });

  test('that the token may not read leaves it unknown, with what GitHub said', async () => {
    writeFile(FILE, GATED);
    const github = await startGithub('gated', {
      isPrivate: true,
      permissions: { 'pull-requests': 'write' },
    });
    const { settings, body } = await report(github);
    expect(settings).toMatchObject({ kind: 'unknown', problem: expect.stringContaining('403') });
    expect(body).toContain(
      '> **It is unknown whether this pull request changes the settings that judge it:**',
    );
  });

  test('that GitHub does not give does not keep the report from being posted', async () => {
    writeFile(FILE, GATED);
    const github = await startGithub('gated');
    const proxy: FaultProxy = await startFaultProxy(github.apiUrl, ({ path }) =>
      path.includes('/contents/') ? { kind: 'answer', status: 400, body: 'no' } : undefined,
    );
    open.push(proxy);
    const { settings } = await report(github, { env: { GITHUB_API_URL: proxy.url } });
    expect(settings).toMatchObject({ kind: 'unknown', problem: expect.stringContaining('HTTP 400') });
  });

  test.each(['[1, 2]', '"text"', '{}'])('of an unknown shape is unknown: %s', async (answer) => {
    const github = await startGithub('gated');
    const proxy = await startFaultProxy(github.apiUrl, ({ path }) =>
      path.includes('/contents/')
        ? { kind: 'answer', status: 200, headers: { 'content-type': 'application/json' }, body: answer }
        : undefined,
    );
    open.push(proxy);
    const { settings } = await report(github, { env: { GITHUB_API_URL: proxy.url } });
    expect(settings).toMatchObject({ kind: 'unknown', problem: expect.stringContaining('another shape') });
  });

  test('is looked for where --config says, from the repository’s root', async () => {
    mkdirSync(join(directory, '.git'));
    mkdirSync(join(directory, 'sub'));
    writeFile(FILE, settingsOf('gate: warn, tolerance: 0.005'));
    const github = await startGithub('gated');
    const { settings } = await report(github, {
      cwd: join(directory, 'sub'),
      args: ['--config', `../${FILE}`],
    });
    expect(settings).toMatchObject({
      path: FILE,
      changes: [{ setting: 'gate', base: 'fail', value: 'warn' }],
    });
  });

  test('is not asked for where the settings lie outside the repository', async () => {
    mkdirSync(join(directory, '.git'));
    const outside = mkdtempSync(join(tmpdir(), 'outside-'));
    open.push({ close: async () => rmSync(outside, { recursive: true }) });
    writeFileSync(join(outside, 'settings.yml'), GATED);
    const { settings } = await report(await startGithub('gated'), {
      args: ['--config', join(outside, 'settings.yml')],
    });
    expect(settings).toBeNull();
  });
});
