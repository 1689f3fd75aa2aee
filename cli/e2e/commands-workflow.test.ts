import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { type ClearmlDriver, createClearmlDriver } from '../dev/clearml-driver.ts';
import { findNodeDirectory } from '../dev/node-release.ts';
import type { ScratchRepository } from '../dev/scratch-repository.ts';
import { evaluateExpression } from '../dev/workflow-expression.ts';
import { readWorkflow, type StepRun, type WorkflowRun } from '../dev/workflow-runner.ts';
import { type Sandbox, startSandbox } from '../sandbox/sandbox.ts';
import {
  copyProject,
  createWorkflowStage,
  expectConclusion,
  transcriptOf,
  type WorkflowStage,
} from './workflow-stage.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string) => readFileSync(join(ROOT, '.github', path), 'utf8');
const text = read('workflows/clearml_commands.yml');

interface Job {
  readonly if: string;
  readonly concurrency: { readonly group: string; readonly 'cancel-in-progress': boolean };
  readonly permissions: Record<string, string>;
  readonly steps: ReadonlyArray<{
    readonly name: string;
    readonly uses?: string;
    readonly run?: string;
    readonly with?: Record<string, unknown>;
    readonly env?: Record<string, string>;
  }>;
}
const source = parse(text) as {
  on: object;
  permissions: object;
  concurrency?: object;
  jobs: { obey: Job };
};
const { obey } = source.jobs;

const evaluate = (expression: string, event: object): string =>
  evaluateExpression(
    expression,
    { github: { event_name: 'issue_comment', workflow: 'ClearML commands', event } },
    { hasFailed: false, isCancelled: false },
  ).coerceString();

describe('clearml_commands.yml', () => {
  test("is valid by GitHub's own parser, and starts for a new comment only", async () => {
    await expect(readWorkflow(text)).resolves.toBeDefined();
    expect(source.on).toEqual({ issue_comment: { types: ['created'] } });
  });

  test('grants what a report needs, with a reason each, and nothing on top', () => {
    expect(source.permissions).toEqual({});
    expect(obey.permissions).toEqual({ contents: 'read', 'pull-requests': 'write', statuses: 'write' });
    for (const [name, level] of Object.entries(obey.permissions))
      expect(text).toMatch(new RegExp(`^ +${name}: ${level} # \\S+`, 'm'));
  });

  test('checks out the default branch, without credentials, and pins its actions as the other workflow', () => {
    const others = read('workflows/clearml_ci_cd.yml');
    for (const { uses } of obey.steps.filter((step) => step.uses !== undefined))
      expect(others).toContain(uses);
    const checkouts = obey.steps.filter(({ uses }) => uses?.startsWith('actions/checkout@'));
    expect(checkouts.map((step) => step.with)).toEqual([{ 'persist-credentials': false }]);
    const install = obey.steps.find(({ run }) => run?.startsWith('npm'))?.run ?? '';
    expect(others).toContain(`run: ${install}\n`);
  });

  test('puts nothing of an event into a script or a variable', () => {
    for (const { run = '', env = {} } of obey.steps) {
      expect(run).not.toContain('${{');
      expect(JSON.stringify(env)).not.toMatch(/github\.event|inputs\./);
      if (run.includes('node cli/')) expect(run).toMatch(/^exec node cli\//);
    }
  });

  test.each([
    ['a command', { pull_request: {} }, { body: '/train' }, 'true'],
    ['a capital', { pull_request: {} }, { body: '/Train' }, 'true'],
    ['talk', { pull_request: {} }, { body: 'Shall we /train?' }, 'false'],
    ['a quotation', { pull_request: {} }, { body: '> /train' }, 'false'],
    ['an issue', {}, { body: '/train' }, 'false'],
    ['a bot', { pull_request: {} }, { body: '/train', user: { type: 'Bot' } }, 'false'],
  ])('runs for comments that begin with a slash: %s', (_, issue, comment, expected) => {
    const event = { issue, comment: { user: { type: 'User' }, ...comment } };
    expect(evaluate(`(${obey.if}) && 'true' || 'false'`, event)).toBe(expected);
  });

  test('has a group for each comment, which nobody else’s comment cancels or waits for', () => {
    expect(source.concurrency).toBeUndefined();
    expect(obey.concurrency['cancel-in-progress']).toBe(false);
    const group = (id: number) =>
      obey.concurrency.group.replace(/\$\{\{(.*?)\}\}/g, (_, expression: string) =>
        evaluate(expression, { issue: { number: 7 }, comment: { id } }),
      );
    expect([group(1), group(2)]).toEqual(['ClearML commands-1', 'ClearML commands-2']);
  });
});

describe('the page on training only by /train', () => {
  const page = read('WORKFLOW.md');
  const [, snippet = ''] = /### Train only by \/train\n[\s\S]*?```yaml\n([\s\S]*?)```/.exec(page) ?? [];
  const trigger = /^ {2}pull_request:\n(?: {4}.*\n)+/m;
  const exchanged = read('workflows/clearml_ci_cd.yml').replace(trigger, snippet);

  test('leaves pull requests that are closed, and all other triggers', async () => {
    await expect(readWorkflow(exchanged)).resolves.toBeDefined();
    const [{ on: before }, { on: after }] = [read('workflows/clearml_ci_cd.yml'), exchanged].map(
      (yaml) => parse(yaml) as { on: Record<string, object> },
    ) as [{ on: Record<string, object> }, { on: Record<string, object> }];
    expect(after).toEqual({ ...before, pull_request: { branches: ['main', 'master'], types: ['closed'] } });
  });

  test('lists the commands that the answer to an unknown word lists', () => {
    const answer = readFileSync(join(ROOT, 'cli/launch/from-comment.ts'), 'utf8');
    const listed = [...answer.matchAll(/phrase`\$\{'(\/[^']+)'\}/g)].map(([, command]) => command);
    const section = page.slice(page.indexOf('## Commands in a comment'), page.indexOf('### Train only by'));
    expect(listed.length).toBeGreaterThan(4);
    expect([...section.matchAll(/^\| `(\/[^`]+)` \|/gm)].map(([, command]) => command)).toEqual(listed);
  });
});

const node24 = await findNodeDirectory(24);
const testOnNode24 = node24 === undefined ? test.skip : test;
const SETTINGS = 'task-name: digits\nstatus: ClearML\nentry-point: train_model.py\n';
const OWN = 7;
const FORK = 8;

let repository: ScratchRepository;
let head: string;
let sandbox: Sandbox;
let driver: ClearmlDriver;
let stage: WorkflowStage;
let runs = 0;

beforeAll(() => {
  repository = copyProject();
  repository.commit('Settings', { '.github/clearml-ci.yml': SETTINGS });
  repository.git('checkout', '--quiet', '-b', 'topic');
  // Were a pull request's code ever run, it would show.
  head = repository.commit('A change', {
    'train_model.py': 'print(2)\n',
    'cli/launch-training-task.ts': 'throw new Error("code of the pull request");\n',
  });
  repository.git('checkout', '--quiet', 'main');
});
afterAll(() => repository.remove());

beforeEach(async () => {
  const pull = { headRef: 'topic', headSha: head, baseRef: 'main', author: 'octocat' };
  sandbox = await startSandbox({
    github: {
      gitDir: repository.directory,
      permissions: { contents: 'read', 'pull-requests': 'write', statuses: 'write' },
      pulls: [
        { ...pull, number: OWN },
        { ...pull, number: FORK, headRepository: 'mallory/digits', author: 'mallory' },
      ],
    },
  });
  for (const [login, role] of [
    ['ada', 'write'],
    ['octocat', 'write'],
    ['mallory', 'read'],
  ] as const)
    sandbox.github.addUser(login, role);
  driver = createClearmlDriver(sandbox.clearml.env);
  stage = await createWorkflowStage(repository, sandbox);
});
afterEach(async () => {
  stage.close();
  await sandbox.close();
});

interface Comment {
  readonly author?: string;
  readonly pull?: number;
  readonly cancel?: AbortSignal;
  readonly onStep?: (name: string) => void;
}

/** Somebody comments, and GitHub starts the workflow. */
async function comment(
  body: string,
  { author = 'ada', pull = OWN, ...hooks }: Comment = {},
): Promise<WorkflowRun> {
  const event = await sandbox.github.commentEvent({ pull, author, body });
  runs += 1;
  return stage.run({
    file: 'clearml_commands.yml',
    job: 'obey',
    eventName: 'issue_comment',
    event,
    sha: repository.git('rev-parse', 'main'),
    ref: 'refs/heads/main',
    runId: String(4000 + runs),
    actor: author,
    ...hooks,
  });
}

/** Trains the next task that waits, as an agent would. */
async function trainNext(accuracy: number): Promise<string> {
  for (;;) {
    const queued = (await driver.listTasks()).find(({ status }) => status === 'queued');
    if (queued !== undefined) {
      await driver.startTask(queued.id);
      await driver.reportScalars(queued.id, 'test_accuracy', 'accuracy', [accuracy]);
      await driver.completeTask(queued.id);
      return queued.id;
    }
    await sleep(50);
  }
}

const ranSteps = (run: WorkflowRun) =>
  run.steps.filter(({ outcome }) => outcome !== 'skipped').map(({ name }) => name);
const PREPARATION = [
  'Check out the default branch',
  'Set up Node.js',
  'Install what the programs need',
  'Read the command, and launch what is to be trained',
];
const stepOf = (run: WorkflowRun, name: string): StepRun => {
  const step = run.steps.find((one) => one.name === name);
  if (step === undefined) throw new Error(`no step is named ${name}`);
  return step;
};
const ourComments = (pull = OWN) =>
  sandbox.github.comments(pull).filter(({ author }) => author === 'github-actions[bot]');
const statuses = () =>
  sandbox.github.statuses(head).map(({ state, description }) => `${state}: ${description}`);

describe('the steps of clearml_commands.yml, run against the sandbox,', () => {
  testOnNode24(
    'train the newest commit for /train, with the programs of the default branch, and report',
    async () => {
      const [run, id] = await Promise.all([comment('/train'), trainNext(0.9375)]);
      expectConclusion(run, 'success');
      expect(ranSteps(run)).toEqual([...PREPARATION, 'Wait for the training', 'Report as a comment']);
      expect((await driver.getTask(id)).script.version_num).toBe(head);
      expect(ourComments().map(({ body }) => body)).toEqual([expect.stringContaining('0.9375')]);
      expect(statuses().at(-1)).toMatch(/^success: .*0\.9375/);
    },
  );

  testOnNode24('train a fork’s commit that was read, and nothing else', async () => {
    const refused = await comment('/train', { pull: FORK });
    expectConclusion(refused, 'failure');
    expect(ranSteps(refused)).toEqual(PREPARATION);
    expect(await driver.listTasks()).toEqual([]);
    const [run, id] = await Promise.all([comment(`/train ${head}`, { pull: FORK }), trainNext(0.9375)]);
    expectConclusion(run, 'success');
    expect((await driver.getTask(id)).script.repository).toMatch(/\/mallory\/digits\.git$/);
    expect(ourComments(FORK).at(-1)?.body).toContain('0.9375');
  });

  testOnNode24('do nothing for a stranger, in no word, and fail', async () => {
    for (const body of ['/train', '/abort', '/accept fine']) {
      const run = await comment(body, { author: 'mallory' });
      expectConclusion(run, 'failure');
      expect(ranSteps(run)).toEqual(PREPARATION);
      expect(stepOf(run, PREPARATION[3] ?? '').exitCode).toBe(8);
    }
    expect([await driver.listTasks(), ourComments(), statuses()]).toEqual([[], [], []]);
  });

  testOnNode24('do nothing for another word, and are green', async () => {
    const run = await comment('/lgtm');
    expectConclusion(run, 'success');
    expect(ranSteps(run)).toEqual(PREPARATION);
    expect(ourComments()).toMatchObject([{ body: expect.stringContaining('`/lgtm` is not a command') }]);
  });

  testOnNode24('end for /abort what another run has launched, and tell it', async () => {
    const cancel = new AbortController();
    const training = comment('/train', { cancel: cancel.signal });
    let id: string | undefined;
    while (id === undefined) {
      await sleep(50);
      id = (await driver.listTasks()).find(({ status }) => status === 'queued')?.id;
    }
    await driver.startTask(id);
    const run = await comment('/abort');
    expectConclusion(run, 'success');
    expect(ranSteps(run)).toEqual([
      ...PREPARATION,
      "End the pull request's unfinished tasks",
      'Report what was ended',
    ]);
    expect((await driver.getTask(id)).status).toBe('stopped');
    expectConclusion(await training, 'failure');
    expect(ourComments().map(({ body }) => body)).toEqual([expect.stringContaining('stopped')]);
  });

  testOnNode24('accept a commit for /accept, whatever its reason holds for a shell', async () => {
    const reason = "\"; touch pwned; $(touch pwned) `touch pwned` 'x' --no-gate";
    const run = await comment(`/accept ${reason}`);
    expectConclusion(run, 'success');
    expect(ranSteps(run)).toEqual([...PREPARATION, 'Accept the newest commit']);
    expect(statuses()).toEqual([`success: Accepted by ada: ${reason}`]);
    expect(ourComments()).toMatchObject([{ body: expect.stringContaining('Accepted by `ada`') }]);
    expect(existsSync('pwned')).toBe(false);
    expect(transcriptOf(run)).not.toContain('pwned: ');
    const byAuthor = await comment('/accept fine', { author: 'octocat' });
    expectConclusion(byAuthor, 'failure');
    expect(statuses()).toHaveLength(1);
  });

  testOnNode24('end the training of a cancelled /train, and no other of the pull request', async () => {
    const other = await driver.createTask({ name: 'other', tags: [`pr:${OWN}`] });
    await driver.call('tasks.enqueue', { task: other, queue_name: 'default' });
    const cancel = new AbortController();
    const onStep = (name: string) => {
      if (name === 'Wait for the training') cancel.abort();
    };
    const run = await comment('/train', { cancel: cancel.signal, onStep });
    expectConclusion(run, 'cancelled');
    expect(ranSteps(run).slice(-2)).toEqual([
      'End the training of a cancelled run',
      'Report what became of a cancelled run',
    ]);
    const tasks = await driver.listTasks();
    expect(tasks.map((task) => [task.id === other, task.status]).sort()).toEqual([
      [false, 'created'],
      [true, 'queued'],
    ]);
  });
});
