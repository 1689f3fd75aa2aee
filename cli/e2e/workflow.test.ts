import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { main as report } from '../create-stats-comment.ts';
import { type ClearmlDriver, createClearmlDriver } from '../dev/clearml-driver.ts';
import { runCommand } from '../dev/command-run.ts';
import { findNodeDirectory } from '../dev/node-release.ts';
import { runProgramHere } from '../dev/program-run.ts';
import { createScratchRepository, type ScratchRepository } from '../dev/scratch-repository.ts';
import { evaluateExpression } from '../dev/workflow-expression.ts';
import { readWorkflow, runWorkflowJob, type StepRun, type WorkflowRun } from '../dev/workflow-runner.ts';
import { main as launch } from '../launch-training-task.ts';
import { type Sandbox, startSandbox } from '../sandbox/sandbox.ts';
import { copyProject, expectConclusion, transcriptOf } from './workflow-stage.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

interface StepSource {
  name?: string;
  if?: string;
  uses?: string;
  run?: string;
  with?: Record<string, unknown>;
  env?: Record<string, string>;
}

interface WorkflowSource {
  on: Record<string, { branches?: string[]; types?: string[] } | null>;
  permissions: Record<string, string>;
  concurrency: { group: string; 'cancel-in-progress': boolean };
  jobs: Record<
    string,
    {
      if?: string;
      env?: Record<string, string>;
      permissions: Record<string, string>;
      outputs?: Record<string, string>;
      'timeout-minutes': number;
      'runs-on': string;
      strategy?: { matrix: Record<string, string[]> };
      steps: StepSource[];
    }
  >;
}

function readSource(name: string): { text: string; source: WorkflowSource; steps: StepSource[] } {
  const text = readFileSync(join(ROOT, '.github/workflows', name), 'utf8');
  const source = parse(text) as WorkflowSource;
  return { text, source, steps: Object.values(source.jobs).flatMap((job) => job.steps) };
}

describe.each(['clearml_ci_cd.yml', 'clearml_collect.yml', 'test.yml', 'release.yml'])('%s', (name) => {
  const { text, source, steps } = readSource(name);

  test("is valid by GitHub's own parser", async () => {
    await expect(readWorkflow(text)).resolves.toBeDefined();
  });

  test('grants nothing on top, and gives a reason for each permission of a job', () => {
    expect(source.permissions).toEqual({});
    for (const job of Object.values(source.jobs)) {
      for (const [permission, level] of Object.entries(job.permissions)) {
        expect(text).toMatch(new RegExp(`^ +${permission}: ${level} # \\S+`, 'm'));
      }
    }
  });

  test('pins every action by commit, with the version beside it', () => {
    const lines = text.split('\n').filter((line) => /^\s*(- )?uses:/.test(line));
    expect(lines.length).toBe(steps.filter((step) => step.uses !== undefined).length);
    for (const line of lines) expect(line).toMatch(/uses: [\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
  });

  test('puts no expression into a script, and leaves no credentials in the checkout', () => {
    for (const step of steps) expect(step.run ?? '').not.toContain('${{');
    const checkouts = steps.filter((step) => step.uses?.startsWith('actions/checkout@'));
    expect(checkouts.length).toBe(Object.keys(source.jobs).length);
    for (const checkout of checkouts) expect(checkout.with?.['persist-credentials']).toBe(false);
  });

  test('ends the runs that a newer one replaces, but never a release or a report half way', () => {
    const isNeverCut = ['release.yml', 'clearml_collect.yml'].includes(name);
    expect(source.concurrency['cancel-in-progress']).toBe(!isNeverCut);
    expect(source.concurrency.group).toContain('github.workflow');
  });
});

describe('the job of .github/WORKFLOW.md that needs train', () => {
  const page = readFileSync(join(ROOT, '.github/WORKFLOW.md'), 'utf8');
  const [, block = ''] = /```yaml\n( {2}deploy:\n[\s\S]*?)```/.exec(page) ?? [];
  const { text, source } = readSource('clearml_ci_cd.yml');
  const deploy = (verdict: string, id: string) => {
    const workspace = mkdtempSync(join(tmpdir(), 'deploy-'));
    started.workspaces.push(workspace);
    return runWorkflowJob({
      workflow: `${text}\n${block}`,
      job: 'deploy',
      github: { event: {}, event_name: 'pull_request' },
      needs: { train: { result: 'success', outputs: { verdict, 'model-id': id } } },
      machineEnv: { PATH: process.env.PATH ?? '' },
      workspace,
    });
  };

  test('uses outputs that train has', () => {
    const used = [...block.matchAll(/needs\.train\.outputs\.([\w-]+)/g)].map(([, name]) => name ?? '');
    expect(used.length).toBeGreaterThan(1);
    expect(Object.keys(source.jobs.train?.outputs ?? {})).toEqual(expect.arrayContaining(used));
  });

  test.each([
    ['pass', '5'.repeat(32), ['success']],
    ['regression', '5'.repeat(32), []],
    ['pass', '', []],
  ])('runs by the verdict and the model alone: %s, "%s"', async (verdict, id, conclusions) => {
    const run = await deploy(verdict, id);
    expect(run.steps.map(({ conclusion }) => conclusion)).toEqual(conclusions);
    if (conclusions.length > 0) expect(run.steps[0]?.stdout).toContain(id);
  });

  test('hands the id to a command as a variable, which nothing in it can leave', async () => {
    const { steps } = await deploy('pass', '"; echo "$HOME" #$(id)');
    expect(steps[0]?.stdout).toContain('"; echo "$HOME" #$(id)');
  });
});

describe('clearml_ci_cd.yml', () => {
  const { text, source, steps } = readSource('clearml_ci_cd.yml');
  const job = source.jobs.train;

  test('runs once for each new state of a pull request to main or master', () => {
    expect(source.on).toEqual({
      pull_request: { branches: ['main', 'master'], types: ['opened', 'reopened', 'synchronize', 'closed'] },
      merge_group: { branches: ['main', 'master'] },
      push: { branches: ['main', 'master'] },
      workflow_dispatch: {
        inputs: {
          'pull-request': expect.objectContaining({ required: true, type: 'number' }),
          commit: expect.objectContaining({ required: false, type: 'string' }),
        },
      },
    });
    expect(source.concurrency.group).toContain('github.event.pull_request.number');
  });

  test('cancels the run before for the same pull request, and by a push to it no run by hand', () => {
    const group = (event: object, inputs: object | null = null) =>
      source.concurrency.group.replace(/\$\{\{(.*?)\}\}/g, (_, expression: string) =>
        evaluateExpression(
          expression,
          { github: { workflow: 'ClearML', event, sha: 'abc', run_id: '4711' }, inputs },
          { hasFailed: false, isCancelled: false },
        ).coerceString(),
      );
    const pushed = group({ pull_request: { number: 7 } });
    const byHand = group({}, { 'pull-request': 7 });
    expect([pushed, group({})]).toEqual(['ClearML-7', 'ClearML-abc']);
    expect(byHand).toBe(group({}, { 'pull-request': 7 }));
    expect(new Set([pushed, byHand, group({}, { 'pull-request': 8 })]).size).toBe(3);
    for (const action of ['labeled', 'ready_for_review'])
      expect(group({ action, pull_request: { number: 7 } })).toBe('ClearML-4711');
  });

  describe('with its commented lines', () => {
    const lines = text.match(/^ *# (?:types|if): .*$/gm) ?? [];
    const exchanged = text.replace(/^ *(types|if): .*\n(?: *# [^\n]*\n)?? *# (?=\1: )/gm, '    ');
    const [, condition = ''] =
      /^ {4}if: (github\.event_name == 'workflow_dispatch'.*)$/m.exec(exchanged) ?? [];
    const trains = (event_name: string, action?: string, pull: object = {}, label?: string) =>
      evaluateExpression(
        condition,
        {
          github: {
            event_name,
            event: { action, pull_request: { draft: false, labels: [], ...pull }, label: { name: label } },
          },
        },
        { hasFailed: false, isCancelled: false },
      ).coerceString() === 'true';

    test('is valid, and there are two', async () => {
      expect(lines).toHaveLength(2);
      await expect(readWorkflow(exchanged)).resolves.toBeDefined();
      expect((parse(exchanged) as WorkflowSource).on.pull_request?.types).toEqual([
        'opened',
        'reopened',
        'synchronize',
        'closed',
        'ready_for_review',
        'labeled',
      ]);
    });

    test('trains what has the label and is no draft, and for no other label', () => {
      const labels = [{ name: 'bug' }, { name: 'train' }];
      expect(trains('pull_request', 'synchronize', { labels })).toBe(true);
      expect(trains('pull_request', 'ready_for_review', { labels })).toBe(true);
      expect(trains('pull_request', 'labeled', { labels }, 'train')).toBe(true);
      expect(trains('pull_request', 'labeled', { labels }, 'bug')).toBe(false);
      expect(trains('pull_request', 'opened', { labels, draft: true })).toBe(false);
      expect(trains('pull_request', 'opened')).toBe(false);
      expect(trains('pull_request', 'closed', { labels })).toBe(false);
      expect([trains('workflow_dispatch'), trains('merge_group'), trains('push')]).toEqual([
        true,
        true,
        false,
      ]);
    });
  });

  test('has no permission but to read the repository and to comment', () => {
    const reporting = { contents: 'read', 'pull-requests': 'write', statuses: 'write' };
    expect(job?.permissions).toEqual(reporting);
    expect(source.jobs.closed?.permissions).toEqual(reporting);
    expect(source.jobs.base?.permissions).toEqual(reporting);
  });

  test('hands every output of the report on that another job may want, and the tasks', () => {
    const steps = Object.entries(job?.outputs ?? {}).map(([name, value]) => [
      name,
      /^\$\{\{ steps\.(\w+)\.outputs\.([\w-]+) \}\}$/.exec(value)?.slice(1),
    ]);
    expect(Object.fromEntries(steps)).toEqual({
      'task-ids': ['launch', 'task-ids'],
      verdict: ['comment', 'verdict'],
      metrics: ['comment', 'metrics'],
      'model-id': ['comment', 'model-id'],
      'model-url': ['comment', 'model-url'],
    });
  });

  test('gives the job more time than a training and the wait for a worker may take', () => {
    expect(job?.['timeout-minutes']).toBeGreaterThan(60 + 30);
  });

  test('takes the hosts from variables, which are not masked in links, or else from secrets', () => {
    const hosts = steps
      .flatMap((step) => Object.entries(step.env ?? {}))
      .filter(([name]) => /_HOST$/.test(name));
    expect(hosts).toHaveLength(3 * 9);
    for (const [name, value] of hosts) expect(value).toBe(`\${{ vars.${name} || secrets.${name} }}`);
  });

  test('starts every program by `exec node`, so that it hears the signals of a cancelled run', () => {
    const programs = steps.map((step) => step.run ?? '').filter((run) => run.includes('node cli/'));
    expect(programs).toHaveLength(9);
    for (const run of programs) expect(run).toMatch(/^exec node cli\/[a-z-]+\.ts( |$)/);
  });

  test('hands ClearML secrets to the steps that run a program, and to no other', () => {
    for (const step of steps) {
      const hasSecrets = JSON.stringify(step.env ?? {}).includes('secrets.');
      expect([step.name, hasSecrets]).toEqual([step.name, step.run?.includes('node cli/') === true]);
    }
  });

  test('works without a token of its own', () => {
    const tokens = steps.flatMap((step) => step.env?.GH_TOKEN ?? []);
    // biome-ignore lint/suspicious/noTemplateCurlyInString: GitHub's expression, not JavaScript's.
    expect(new Set(tokens)).toEqual(new Set(['${{ secrets.GH_TOKEN || github.token }}']));
  });

  test('installs no development dependency and runs no script of a package', () => {
    const installs = steps.map((step) => step.run ?? '').filter((run) => run.includes('npm'));
    expect(installs.length).toBe(Object.keys(source.jobs).length);
    for (const install of installs)
      expect(install).toMatch(/^npm ci --omit=dev --prefix cli --ignore-scripts/);
  });
});

describe('clearml_collect.yml', () => {
  const { source, steps } = readSource('clearml_collect.yml');
  const stepsOf = (name: string) => readSource(name).steps;
  const [look, report] = steps.filter(({ run }) => run?.includes('node cli/'));

  test('runs every hour, away from the full hour, and by hand', () => {
    const { schedule, workflow_dispatch: byHand, ...others } = source.on as Record<string, unknown>;
    expect([byHand, others]).toEqual([null, {}]);
    const [{ cron }] = schedule as [{ cron: string }];
    expect(cron).toMatch(/^(?:[1-9]|[1-4]\d|5[0-8]) \* \* \* \*$/);
    expect(Number(cron.split(' ')[0]) % 5).not.toBe(0);
  });

  test('has one run at a time', () => {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: GitHub's expression, not JavaScript's.
    expect(source.concurrency.group).toBe('${{ github.workflow }}');
  });

  test.each([
    ['a fork', { repository: { fork: true } }, {}, 'false'],
    [
      'a fork with keys, which trains',
      { repository: { fork: true } },
      { ACCESS_KEY: 'a', SECRET_KEY: 's' },
      'true',
    ],
    ['the repository', { repository: { fork: false } }, {}, 'true'],
    ['the repository, told nothing by the schedule', {}, {}, 'true'],
  ])('its job in %s', (_, event, secrets, runs) => {
    const { if: condition, env } = source.jobs.collect ?? {};
    expect(condition).toBeUndefined();
    const expression = /^\$\{\{(.*)\}\}$/.exec(String(env?.CAN_COLLECT))?.[1] ?? '';
    const status = { hasFailed: false, isCancelled: false };
    const facts = { github: { event }, secrets: { ACCESS_KEY: '', SECRET_KEY: '', ...secrets } };
    expect(evaluateExpression(expression, facts, status).coerceString()).toBe(runs);
    // Without the look, nothing is reported either.
    const others = steps.filter((step) => step !== report);
    expect(new Set(others.map((step) => step.if))).toEqual(new Set(["env.CAN_COLLECT == 'true'"]));
  });

  test('may read the code, comment and set statuses, and runs the default branch’s code', () => {
    expect(Object.values(source.jobs).map(({ permissions }) => permissions)).toEqual([
      { contents: 'read', 'pull-requests': 'write', statuses: 'write' },
    ]);
    const [checkout] = steps;
    // biome-ignore lint/suspicious/noTemplateCurlyInString: GitHub's expression, not JavaScript's.
    expect(checkout?.with?.ref).toBe('${{ github.event.repository.default_branch }}');
  });

  test('sets up and installs as the other workflow does', () => {
    const other = stepsOf('clearml_ci_cd.yml');
    for (const { if: _, ...one } of steps.slice(1, 3)) {
      const {
        if: __,
        id: ___,
        ...same
      } = other.find(({ name }) => name === one.name) as StepSource & {
        id?: string;
      };
      expect(one).toEqual(same);
    }
  });

  test('hands the programs what the same steps of the other workflow get, and what is due as a variable only', () => {
    const envOf = (name: string) =>
      stepsOf('clearml_ci_cd.yml').find((step) => step.name === name)?.env ?? {};
    expect(look?.env).toEqual(without(envOf('Launch the training'), 'GH_TOKEN'));
    // biome-ignore lint/suspicious/noTemplateCurlyInString: GitHub's expression, not JavaScript's.
    const due = { DUE: '${{ steps.check.outputs.due }}' };
    expect(report?.env).toEqual({ ...due, ...without(envOf('Report as a comment'), 'TASK_IDS') });
    expect([look?.run, report?.run]).toEqual([
      'exec node cli/check-task-running.ts --due',
      'exec node cli/create-stats-comment.ts --due "$DUE"',
    ]);
  });

  test.each([
    ['nothing is due', { due: '[]' }, false, 'false'],
    ['the look failed before it found anything', {}, true, 'false'],
    ['something is due', { due: '[{}]' }, false, 'true'],
    ['the look failed after it found something', { due: '[{}]' }, true, 'true'],
  ])('reports, or does not, where %s', (_, outputs, hasFailed, runs) => {
    const condition = /^\$\{\{(.*)\}\}$/.exec(report?.if ?? '')?.[1] ?? '';
    const contexts = { steps: { check: { outputs } } };
    const status = { hasFailed, isCancelled: false };
    expect(evaluateExpression(condition, contexts, status).coerceString()).toBe(runs);
  });

  function without(env: Record<string, string>, name: string): Record<string, string> {
    const { [name]: _, ...others } = env;
    return others;
  }
});

describe('test.yml', () => {
  test('runs on every Node.js that is supported, with types, style and tests', () => {
    const { source, steps } = readSource('test.yml');
    expect(source.jobs.test?.strategy?.matrix).toEqual({ node: ['20', '22', '24'] });
    expect(source.jobs.test?.permissions).toEqual({ contents: 'read' });
    expect(steps.flatMap((step) => step.run ?? [])).toEqual([
      'npm ci',
      'npm audit --prefix cli',
      'npm run typecheck',
      'npm run lint',
      expect.stringMatching(/zizmor[\s\S]*actionlint/),
      'npm test',
    ]);
  });
});

const PULL = 7;
const node24 = await findNodeDirectory(24);
/** npm has Node 24 for Linux x64 only. Elsewhere the running Node must be 24. */
const testOnNode24 = node24 === undefined ? test.skip : test;

const started: { sandbox?: Sandbox; repository?: ScratchRepository; workspaces: string[] } = {
  workspaces: [],
};

/** This project on `main`, with one more commit on `topic`. */
function copyWithTopic(): ScratchRepository {
  const repository = copyProject();
  repository.git('checkout', '--quiet', '-b', 'topic');
  repository.commit('A change', { 'change.txt': 'to be trained\n' });
  return repository;
}

beforeAll(() => {
  started.repository = copyWithTopic();
});
afterAll(() => started.repository?.remove());
afterEach(async () => {
  await started.sandbox?.close();
  delete started.sandbox;
  for (const workspace of started.workspaces.splice(0)) rmSync(workspace, { recursive: true, force: true });
});

interface Scenario {
  /** Default: `train`, at a push. */
  job?: 'train' | 'closed' | 'base' | 'collect';
  /** Started by hand for the pull request, by a maintainer. */
  isByHand?: boolean;
  /** By hand: the commit that the maintainer has reviewed. */
  readCommit?: string;
  /** The repository is a fork itself. */
  isFork?: boolean;
  headRepository?: string;
  actor?: string;
  /** What happened to the pull request; default: what starts the job. */
  action?: 'synchronize' | 'closed';
  /** Default: all that a repository needs. */
  secrets?: Record<string, string>;
  vars?: Record<string, string>;
  /** Whose workflow runs; default: this project's. */
  repository?: ScratchRepository;
  /** Default: clearml_ci_cd.yml. */
  workflowFile?: string;
  cancel?: AbortSignal;
  onStep?: (name: string) => void;
}

async function startHere(
  headRepository: string | undefined,
  onRequest: (request: { readonly endpoint: string }) => void = () => undefined,
  repository = started.repository,
): Promise<Sandbox> {
  const pull = {
    number: PULL,
    headRef: 'topic',
    baseRef: 'main',
    ...(headRepository === undefined ? {} : { headRepository }),
  };
  const gitDir = repository?.directory ?? '';
  const permissions = { contents: 'read', 'pull-requests': 'write', statuses: 'write' } as const;
  const github = { gitDir, pulls: [pull], permissions };
  started.sandbox = await startSandbox({ clearml: { onRequest }, github });
  return started.sandbox;
}

/** The variables of a runner's machine: Node 24 first on the PATH, and what it needs to reach the npm registry. */
function describeMachine(): Record<string, string> {
  const names = ['HOME', 'NODE_EXTRA_CA_CERTS', 'HTTPS_PROXY', 'HTTP_PROXY', 'https_proxy', 'http_proxy'];
  // An npm under another Node looks for its global settings elsewhere; `npm test` hands over those that it runs with.
  names.push('npm_config_globalconfig', 'npm_config_registry', 'npm_config_cafile');
  const inherited = names.flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  return {
    ...Object.fromEntries(inherited),
    NO_PROXY: [process.env.NO_PROXY ?? process.env.no_proxy ?? '', '127.0.0.1'].join(','),
    PATH: `${node24}${delimiter}${process.env.PATH}`,
    npm_config_prefer_offline: 'true',
  };
}

/** Runs the workflow as GitHub would for a push to the pull request. */
async function runWorkflow(sandbox: Sandbox, scenario: Scenario = {}): Promise<WorkflowRun> {
  const { github, clearml } = sandbox;
  const job = scenario.job ?? 'train';
  const event = await github.pullRequestEvent(
    PULL,
    scenario.action ?? (job === 'closed' ? 'closed' : 'synchronize'),
    scenario.actor,
  );
  const workspace = mkdtempSync(join(tmpdir(), 'clearml-ci-workspace-'));
  started.workspaces.push(workspace);
  const isOnBase = scenario.isByHand === true || job === 'base' || job === 'collect';
  const repository = scenario.repository ?? started.repository;
  if (repository === undefined) throw new Error('There is no repository.');
  const baseCommit = repository.git('rev-parse', 'main');
  const file = job === 'collect' ? 'clearml_collect.yml' : 'clearml_ci_cd.yml';
  const path = join('.github/workflows', scenario.workflowFile ?? file);
  const workflow = readFileSync(join(repository.directory, path), 'utf8');
  return runWorkflowJob({
    workflow,
    job,
    ...(scenario.isByHand === true
      ? { inputs: { 'pull-request': PULL, commit: scenario.readCommit ?? '' } }
      : {}),
    github: {
      event: isOnBase
        ? { repository: { ...event.repository, fork: scenario.isFork === true }, sender: event.sender }
        : event,
      event_name:
        scenario.isByHand === true
          ? 'workflow_dispatch'
          : { base: 'push', collect: 'schedule', train: 'pull_request', closed: 'pull_request' }[job],
      repository: github.repository,
      repository_owner: github.repository.split('/')[0],
      actor: event.sender.login,
      token: github.token,
      api_url: github.apiUrl,
      server_url: github.serverUrl,
      sha: isOnBase ? baseCommit : event.pull_request.merge_commit_sha,
      ref: isOnBase ? 'refs/heads/main' : `refs/pull/${PULL}/merge`,
      head_ref: event.pull_request.head.ref,
      base_ref: event.pull_request.base.ref,
      run_id: '4711',
      run_attempt: '1',
      workflow: (parse(workflow) as { name: string }).name,
    },
    secrets: scenario.secrets ?? {
      ACCESS_KEY: clearml.accessKey,
      SECRET_KEY: clearml.secretKey,
    },
    vars: scenario.vars ?? {
      CLEARML_API_HOST: clearml.apiHost,
      CLEARML_WEB_HOST: clearml.webHost,
      CLEARML_FILES_HOST: clearml.filesHost,
    },
    machineEnv: describeMachine(),
    workspace,
    actions: {
      'actions/checkout': ({ inputs }) => {
        repository.git('clone', '--quiet', '.', workspace);
        repository.git('-C', workspace, 'checkout', '--quiet', inputs.ref ?? baseCommit);
        return {};
      },
      'actions/setup-node': ({ inputs }) => {
        expect(inputs['node-version']).toBe('24');
        return {};
      },
    },
    ...(scenario.cancel === undefined ? {} : { cancel: scenario.cancel }),
    ...(scenario.onStep === undefined ? {} : { onStep: scenario.onStep }),
  });
}

/** Runs the workflow while an agent takes the launched task and `train` acts as the training. */
async function runWithAgent(
  sandbox: Sandbox,
  scenario: Scenario,
  train: (driver: ClearmlDriver, id: string) => Promise<unknown>,
): Promise<{ run: WorkflowRun; id: string }> {
  const driver = createClearmlDriver(sandbox.clearml.env);
  let isOver = false;
  const takeTask = async (): Promise<string> => {
    while (!isOver) {
      const queued = (await driver.listTasks()).find((task) => task.status === 'queued');
      if (queued !== undefined) {
        await driver.startTask(queued.id);
        await train(driver, queued.id);
        return queued.id;
      }
      await sleep(50);
    }
    throw new Error('The run ended without a task for the agent.');
  };
  const running = runWorkflow(sandbox, scenario).finally(() => {
    isOver = true;
  });
  const [run, agent] = await Promise.allSettled([running, takeTask()]);
  if (run.status === 'rejected') throw run.reason;
  if (agent.status === 'rejected') throw new Error(transcriptOf(run.value), { cause: agent.reason });
  return { run: run.value, id: agent.value };
}

const conclusionsOf = (run: WorkflowRun): Record<string, string> =>
  Object.fromEntries(run.steps.map((step) => [step.name, step.conclusion]));

function stepOf(run: WorkflowRun, name: string): StepRun {
  const step = run.steps.find((candidate) => candidate.name === name);
  if (step === undefined) throw new Error(`No step is named "${name}".`);
  return step;
}

/** The job summary as GitHub shows it: that of each step, in order. */
const summaryOf = (run: WorkflowRun): string => run.steps.map(({ summary }) => summary).join('\n');

describe('the steps of clearml_ci_cd.yml, run against the sandbox', () => {
  testOnNode24('train a pull request at each push, and keep one comment', async () => {
    const sandbox = await startHere(undefined);
    const driver = createClearmlDriver(sandbox.clearml.env);
    const models: string[] = [];
    const trainTo = (accuracy: number) => async (agent: ClearmlDriver, task: string) => {
      while (!/is running/.test(sandbox.github.comments(PULL)[0]?.body ?? '')) await sleep(50);
      await agent.reportScalars(task, 'test_accuracy', 'accuracy', [accuracy]);
      const { id: model } = await agent.call('models.create', { name: 'final', uri: 'https://files.test/m' });
      await agent.call('tasks.add_or_update_model', { task, name: 'final', model, type: 'output' });
      models.push(model);
      await agent.completeTask(task);
    };
    const { run, id } = await runWithAgent(sandbox, {}, trainTo(0.9375));
    expectConclusion(run, 'success');
    expect(conclusionsOf(run)).toEqual({
      'Say why nothing is trained': 'skipped',
      "Check out the pull request's commit": 'success',
      'Look for the programs': 'success',
      'Set up Node.js': 'success',
      'Install what the programs need': 'success',
      'Launch the training': 'success',
      'Wait for the training': 'success',
      'Report as a comment': 'success',
      'End the training of a cancelled run': 'skipped',
      'Report what became of a cancelled run': 'skipped',
    });
    expect(stepOf(run, 'Launch the training').outputs).toMatchObject({
      'task-id': id,
      'task-ids': id,
      reused: 'false',
    });
    expect(stepOf(run, 'Wait for the training').outputs).toMatchObject({ status: 'completed' });
    const [comment, ...more] = sandbox.github.comments(PULL);
    expect(more).toEqual([]);
    expect(comment?.author).toBe('github-actions[bot]');
    expect(comment?.body).toContain('0.9375');
    expect(stepOf(run, 'Report as a comment').outputs['comment-id']).toBe(String(comment?.id));
    expect(summaryOf(run).match(/^### .*$/gm)).toEqual([expect.stringContaining('**0.9375**')]);
    expect(run.outputs).toEqual({
      'task-ids': id,
      verdict: 'none',
      metrics: expect.stringContaining('"value":0.9375'),
      'model-id': models[0],
      'model-url': expect.stringContaining(`/models/${models[0]}/`),
    });
    const again = await runWorkflow(sandbox);
    expect(stepOf(again, 'Launch the training').outputs.reused).toBe('true');
    expect(summaryOf(again).match(/^### .*$/gm)).toEqual([expect.stringContaining('**0.9375**')]);
    const task = await driver.getTask(id);
    const head = started.repository?.git('rev-parse', 'topic');
    expect(task.script).toMatchObject({
      version_num: head,
      repository: expect.stringMatching(/\/acme\/digits\.git$/),
    });

    started.repository?.commit('Another change', { 'change.txt': 'to be trained again\n' });
    const { run: next } = await runWithAgent(sandbox, {}, trainTo(0.8125));
    expectConclusion(next, 'success');
    expect(sandbox.github.comments(PULL)).toEqual([
      expect.objectContaining({ id: comment?.id, body: expect.stringContaining('0.8125') }),
    ]);
    for (const secret of [sandbox.clearml.secretKey, sandbox.github.token]) {
      expect(transcriptOf(run) + transcriptOf(next)).not.toContain(secret);
    }
  });

  testOnNode24('report a training that failed, and fail', async () => {
    const sandbox = await startHere(undefined);
    const { run } = await runWithAgent(sandbox, {}, async (agent, task) => {
      await agent.logLines(task, ['Traceback (most recent call last):\nValueError: no data']);
      await agent.failTask(task);
    });
    expectConclusion(run, 'failure');
    expect(stepOf(run, 'Wait for the training').exitCode).toBe(3);
    expect(stepOf(run, 'Report as a comment').conclusion).toBe('success');
    expect(stepOf(run, 'End the training of a cancelled run').conclusion).toBe('skipped');
    expect(sandbox.github.comments(PULL)).toHaveLength(1);
  });

  testOnNode24('end the training when the run is cancelled, and say so in the comment', async () => {
    let step = '';
    let requests = 0;
    const sandbox = await startHere(undefined, () => {
      requests += 1;
    });
    const driver = createClearmlDriver(sandbox.clearml.env);
    const cancel = new AbortController();
    const onStep = (name: string): void => {
      step = name;
      requests = 0;
    };
    const scenario = { cancel: cancel.signal, onStep };
    const { run, id } = await runWithAgent(sandbox, scenario, async () => {
      requests = 0;
      // After its first request the program handles signals.
      while (step !== 'Wait for the training' || requests === 0) await sleep(20);
      cancel.abort();
    });
    expectConclusion(run, 'cancelled');
    expect(stepOf(run, 'Wait for the training')).toMatchObject({ conclusion: 'cancelled', exitCode: 130 });
    expect(stepOf(run, 'Report as a comment').conclusion).toBe('skipped');
    expect(stepOf(run, 'End the training of a cancelled run').conclusion).toBe('success');
    expect((await driver.getTask(id)).status).toBe('stopped');
    expect(stepOf(run, 'Report what became of a cancelled run').conclusion).toBe('success');
    expect(sandbox.github.comments(PULL)).toEqual([
      expect.objectContaining({ body: expect.stringMatching(/stopped/) }),
    ]);
  });

  testOnNode24(
    'take the task out of the queue when the run is cancelled before the program can hear of it',
    async () => {
      const sandbox = await startHere(undefined);
      const cancel = new AbortController();
      const onStep = (name: string): void => {
        if (name === 'Wait for the training') cancel.abort();
      };
      const run = await runWorkflow(sandbox, { cancel: cancel.signal, onStep });
      expectConclusion(run, 'cancelled');
      expect(stepOf(run, 'Wait for the training')).toMatchObject({ conclusion: 'cancelled', exitCode: null });
      expect(stepOf(run, 'End the training of a cancelled run').conclusion).toBe('success');
      const tasks = await createClearmlDriver(sandbox.clearml.env).listTasks();
      expect(tasks.map((task) => task.status)).toEqual(['created']);
    },
  );

  testOnNode24(
    'end the unfinished tasks of a pull request that is closed, but not what another one has reused',
    async () => {
      const sandbox = await startHere(undefined);
      const driver = createClearmlDriver(sandbox.clearml.env);
      const launchFor = async (pull: number, commit: string): Promise<string> => {
        const env = { ...sandbox.env, PR_NUMBER: String(pull), GITHUB_RUN_ID: '4000' };
        const args = ['https://github.com/acme/digits.git', 'topic', commit];
        const { exitCode, stdout, stderr } = await runProgramHere(launch, { args, env });
        expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
        return stdout.trim();
      };
      const unfinished = await launchFor(PULL, 'a'.repeat(40));
      const shared = await launchFor(PULL, 'b'.repeat(40));
      expect(await launchFor(PULL + 1, 'b'.repeat(40))).toBe(shared);
      const run = await runWorkflow(sandbox, { job: 'closed' });
      expectConclusion(run, 'success');
      expect((await driver.getTask(unfinished)).status).toBe('created');
      expect((await driver.getTask(shared)).status).toBe('queued');
    },
  );

  /** A training of an earlier commit that the comment says is running. */
  const startReported = async (sandbox: Sandbox): Promise<string> => {
    const env = { ...sandbox.env, PR_NUMBER: String(PULL), GITHUB_RUN_ID: '4000' };
    const args = ['https://github.com/acme/digits.git', 'topic', 'a'.repeat(40)];
    const id = (await runProgramHere(launch, { args, env })).stdout.trim();
    await createClearmlDriver(sandbox.clearml.env).startTask(id);
    expect(await runProgramHere(report, { args: [id], env })).toMatchObject({ exitCode: 0 });
    expect(sandbox.github.comments(PULL)[0]?.body).toContain('is running');
    return id;
  };

  testOnNode24('write the last state into the comment of a pull request that is closed', async () => {
    const sandbox = await startHere(undefined);
    const id = await startReported(sandbox);
    const run = await runWorkflow(sandbox, { job: 'closed' });
    expectConclusion(run, 'success');
    expect(stepOf(run, 'Report what became of the pull request').outcome).toBe('success');
    expect((await createClearmlDriver(sandbox.clearml.env).getTask(id)).status).toBe('stopped');
    expect(sandbox.github.comments(PULL)).toEqual([
      expect.objectContaining({ body: expect.stringMatching(/^### .* stopped/m) }),
    ]);
  });

  testOnNode24('leave a pull request without comment that was closed before it trained', async () => {
    const sandbox = await startHere(undefined);
    const run = await runWorkflow(sandbox, { job: 'closed' });
    expectConclusion(run, 'success');
    expect(stepOf(run, 'Report what became of the pull request').exitCode).toBe(0);
    expect(sandbox.github.comments(PULL)).toEqual([]);
  });

  testOnNode24(
    'write the last state into the comment when a run is cancelled before it launches',
    async () => {
      const sandbox = await startHere(undefined);
      const id = await startReported(sandbox);
      await createClearmlDriver(sandbox.clearml.env).completeTask(id);
      const cancel = new AbortController();
      const onStep = (name: string): void => {
        if (name === 'Launch the training') cancel.abort();
      };
      const run = await runWorkflow(sandbox, { cancel: cancel.signal, onStep });
      expectConclusion(run, 'cancelled');
      expect(stepOf(run, 'Launch the training').outputs).toEqual({});
      expect(stepOf(run, 'Report what became of a cancelled run').outcome).toBe('success');
      expect(sandbox.github.comments(PULL)).toEqual([
        expect.objectContaining({ body: expect.not.stringContaining('is running') }),
      ]);
    },
  );

  testOnNode24('say in the comment that a task was deleted while it was waited for', async () => {
    let step = '';
    let looks = 0;
    const sandbox = await startHere(undefined, ({ endpoint }) => {
      if (step === 'Wait for the training' && endpoint === 'tasks.get_all') looks += 1;
    });
    const onStep = (name: string): void => {
      step = name;
    };
    const { run, id } = await runWithAgent(sandbox, { onStep }, async (agent, task) => {
      // Until now this agent has looked too. The program's second look shows that its first one was answered.
      looks = 0;
      while (looks < 2) await sleep(20);
      await agent.call('tasks.delete', { task, force: true });
    });
    expectConclusion(run, 'failure');
    expect(stepOf(run, 'Wait for the training').exitCode).toBe(4);
    expect(stepOf(run, 'Report as a comment').exitCode).toBe(10);
    expect(sandbox.github.comments(PULL)).toEqual([
      expect.objectContaining({ body: expect.stringContaining(`### ClearML has no task \`${id}\``) }),
    ]);
  });

  testOnNode24(
    "train a fork's pull request that a maintainer starts by hand, with the programs of the base branch",
    async () => {
      const sandbox = await startHere('fork/digits');
      const readCommit = started.repository?.git('rev-parse', 'topic') ?? '';
      const scenario: Scenario = { isByHand: true, readCommit };
      const { run, id } = await runWithAgent(sandbox, scenario, async (agent, task) => {
        await agent.reportScalars(task, 'test_accuracy', 'accuracy', [0.9375]);
        await agent.completeTask(task);
      });
      expectConclusion(run, 'success');
      const task = await createClearmlDriver(sandbox.clearml.env).getTask(id);
      expect(task.script).toMatchObject({
        repository: expect.stringMatching(/\/fork\/digits\.git$/),
        version_num: readCommit,
      });
      expect(task.tags).toContain(`pr:${PULL}`);
      expect(sandbox.github.comments(PULL)).toEqual([
        expect.objectContaining({ body: expect.stringContaining('0.9375') }),
      ]);
    },
  );

  testOnNode24(
    "train nothing where a fork's pull request has moved on since the maintainer has read it",
    async () => {
      const sandbox = await startHere('fork/digits');
      const run = await runWorkflow(sandbox, { isByHand: true, readCommit: 'a'.repeat(40) });
      expectConclusion(run, 'failure');
      expect(stepOf(run, 'Launch the training').exitCode).toBe(2);
      expect(stepOf(run, 'Launch the training').stderr).toContain('as PR_COMMIT says');
      expect(await createClearmlDriver(sandbox.clearml.env).listTasks()).toEqual([]);
    },
  );

  testOnNode24(
    'with detach hold no runner: the collecting workflow reports how the training ends',
    async () => {
      const repository = copyWithTopic();
      started.workspaces.push(repository.directory);
      const settings =
        'detach: true\nmetrics:\n  - { metric: loss/test, goal: minimize, gate: fail, tolerance: 0.1 }\n';
      repository.git('checkout', '--quiet', 'main');
      const base = repository.commit('Detach', { '.github/clearml-ci.yml': settings });
      repository.git('checkout', '--quiet', '-B', 'topic');
      const head = repository.commit('A change', { 'change.txt': 'to be trained\n' });
      const sandbox = await startHere(undefined, undefined, repository);
      const driver = createClearmlDriver(sandbox.clearml.env);
      const statesOf = (sha: string) => sandbox.github.statuses(sha).map(({ state }) => state);
      const finish = async (loss: number) => {
        const { id = '' } = (await driver.listTasks()).find(({ status }) => status === 'queued') ?? {};
        await driver.startTask(id);
        await driver.reportScalars(id, 'loss', 'test', [loss]);
        await driver.completeTask(id);
      };
      const collect = () => runWorkflow(sandbox, { job: 'collect', repository });

      expectConclusion(await runWorkflow(sandbox, { job: 'base', repository }), 'success');
      expect(statesOf(base)).toEqual(['pending']);
      await finish(0.5);
      expectConclusion(await collect(), 'success');
      expect(statesOf(base)).toEqual(['pending', 'success']);

      const launched = await runWorkflow(sandbox, { repository });
      expectConclusion(launched, 'success');
      expect(stepOf(launched, 'Report as a comment').outputs.verdict).toBe('pending');
      expect(summaryOf(launched)).toContain('The collecting workflow reports how this training ends');
      expectConclusion(await collect(), 'success');
      expect(statesOf(head)).toEqual(['pending']);
      await finish(0.9);
      const reported = await collect();
      expectConclusion(reported, 'success');
      expect(statesOf(head)).toEqual(['pending', 'failure']);
      expect(sandbox.github.comments(PULL)).toEqual([
        expect.objectContaining({ body: expect.stringContaining('**Regression**') }),
      ]);
      expect(summaryOf(reported)).toContain(
        `Pull request ${PULL} at \`${head.slice(0, 10)}\`: **Regression**`,
      );

      const idle = await collect();
      expectConclusion(idle, 'success');
      expect(stepOf(idle, 'Report what is due').conclusion).toBe('skipped');
    },
  );

  testOnNode24(
    'with promote move the tag to what was merged: at once, or when the training has ended',
    async () => {
      const repository = copyProject();
      started.workspaces.push(repository.directory);
      repository.git('checkout', '--quiet', 'main');
      const settings = { '.github/clearml-ci.yml': 'promote: { tag: production }\n' };
      repository.commit('Promote', settings);
      const sandbox = await startHere(undefined, undefined, repository);
      const driver = createClearmlDriver(sandbox.clearml.env);
      const finish = async (): Promise<string> => {
        const { id = '' } = (await driver.listTasks()).find(({ status }) => status === 'queued') ?? {};
        await driver.startTask(id);
        const fields = { name: 'final', uri: 'https://files.test/m', task: id };
        const { id: model } = await driver.call('models.create', fields);
        await driver.call('tasks.add_or_update_model', { task: id, name: 'final', model, type: 'output' });
        await driver.completeTask(id);
        return model;
      };
      const findProduction = async () =>
        (await driver.call('models.get_all', { tags: ['production'], only_fields: ['id'] })).models;

      const waiting = await runWorkflow(sandbox, { job: 'base', repository });
      expectConclusion(waiting, 'success');
      expect(stepOf(waiting, 'Report the pushed commit').outputs.promoted).toBe('false');
      const first = await finish();
      expectConclusion(await runWorkflow(sandbox, { job: 'collect', repository }), 'success');
      expect(await findProduction()).toEqual([{ id: first }]);

      // The training is there already, as after a pull request.
      repository.commit('Merge', { 'train_model.py': 'print(7)\n' });
      expectConclusion(await runWorkflow(sandbox, { job: 'base', repository }), 'success');
      const second = await finish();
      const run = await runWorkflow(sandbox, { job: 'base', repository });
      expectConclusion(run, 'success');
      const { outputs } = stepOf(run, 'Report the pushed commit');
      expect(outputs).toMatchObject({ promoted: 'true', 'model-id': second });
      expect(await findProduction()).toEqual([{ id: second }]);
    },
  );

  testOnNode24('launch what was merged, wait for nothing, and do it once', async () => {
    const sandbox = await startHere(undefined);
    const run = await runWorkflow(sandbox, { job: 'base' });
    expectConclusion(run, 'success');
    const again = await runWorkflow(sandbox, { job: 'base' });
    expect(stepOf(again, 'Launch the training').stderr).toContain('Reusing task');
    const tasks = await createClearmlDriver(sandbox.clearml.env).listTasks();
    expect(tasks.map((task) => [task.status, task.script.version_num, task.runtime.ci_event])).toEqual([
      ['queued', started.repository?.git('rev-parse', 'main'), 'push'],
    ]);
  });

  test.each<[string, Scenario]>([
    ['in a fork that has enabled Actions', { isFork: true }],
    ['for a push by Dependabot', { actor: 'dependabot[bot]' }],
  ])('train no base branch without keys %s, and are green', async (_title, scenario) => {
    const sandbox = await startHere(undefined);
    const run = await runWorkflow(sandbox, { ...scenario, job: 'base', secrets: {} });
    expectConclusion(run, 'success');
    const [notice, ...others] = run.steps;
    expect(notice?.annotations).toEqual([expect.objectContaining({ title: 'Nothing was trained' })]);
    expect(new Set(others.map((step) => step.conclusion))).toEqual(new Set(['skipped']));
  });

  testOnNode24('fail for the base branch where the repository has no keys', async () => {
    const sandbox = await startHere(undefined);
    const run = await runWorkflow(sandbox, { job: 'base', secrets: {} });
    expectConclusion(run, 'failure');
    expect(stepOf(run, 'Launch the training').exitCode).toBe(2);
  });

  test('leave the name of the required check to runs that train', async () => {
    const required = 'Train and report';
    const sandbox = await startHere('mallory/digits');
    const names = async (scenario: Scenario): Promise<string> => (await runWorkflow(sandbox, scenario)).name;
    expect(await names({ secrets: {} })).toBe(required);
    const skipped = await names({ action: 'closed' });
    expect(skipped).not.toBe(required);
    // GitHub shows the expression itself. Its value would be another name too.
    const expression = /^\$\{\{(.+)\}\}$/.exec(skipped)?.[1] ?? '';
    const evaluate = (github: object): string =>
      evaluateExpression(expression, { github }, { hasFailed: false, isCancelled: false }).coerceString();
    expect(evaluate({ event_name: 'pull_request', event: { action: 'closed' } })).not.toBe(required);
    expect(evaluate({ event_name: 'push', event: {} })).not.toBe(required);
    expect(evaluate({ event_name: 'pull_request', event: { action: 'synchronize' } })).toBe(required);
    expect(evaluate({ event_name: 'workflow_dispatch', event: {} })).toBe(required);
  });

  const nothingRuns = {
    "Check out the pull request's commit": 'skipped',
    'Look for the programs': 'skipped',
    'Set up Node.js': 'skipped',
    'Install what the programs need': 'skipped',
    'Launch the training': 'skipped',
    'Wait for the training': 'skipped',
    'Report as a comment': 'skipped',
    'End the training of a cancelled run': 'skipped',
    'Report what became of a cancelled run': 'skipped',
  };

  test.each<[string, Scenario, 'success' | 'failure', RegExp]>([
    [
      'a fork',
      { headRepository: 'mallory/digits', secrets: {} },
      'failure',
      /comes from a fork.*Actions > ClearML CI\/CD > Run workflow, with the number of this pull request/,
    ],
    [
      'Dependabot',
      { actor: 'dependabot[bot]', secrets: {} },
      'failure',
      /Dependabot's runs.*as Dependabot secrets/,
    ],
    [
      'a fork where forks may pass',
      { headRepository: 'mallory/digits', secrets: {}, vars: { CLEARML_CI_FORKS: 'pass' } },
      'success',
      /comes from a fork.*CLEARML_CI_FORKS is pass/,
    ],
    [
      'Dependabot where it may pass',
      { actor: 'dependabot[bot]', secrets: {}, vars: { CLEARML_CI_FORKS: 'pass' } },
      'success',
      /Dependabot's runs.*CLEARML_CI_FORKS is pass/,
    ],
    [
      'a fork where the variable holds another word',
      { headRepository: 'mallory/digits', secrets: {}, vars: { CLEARML_CI_FORKS: 'yes' } },
      'failure',
      /comes from a fork/,
    ],
  ])('train nothing for %s, and say why', async (_title, scenario, conclusion, reason) => {
    const sandbox = await startHere(scenario.headRepository);
    const run = await runWorkflow(sandbox, scenario);
    expect(conclusionsOf(run)).toEqual({ 'Say why nothing is trained': conclusion, ...nothingRuns });
    expect(run.conclusion).toBe(conclusion);
    const { annotations, summary } = stepOf(run, 'Say why nothing is trained');
    expect(annotations).toEqual([
      { level: 'notice', title: 'Nothing was trained', message: expect.stringMatching(reason) },
    ]);
    expect(summary).toMatch(/^Nothing was trained\. /);
    expect(summary).toMatch(reason);
  });

  test.each<[string, Record<string, string>]>([
    ['the pipeline', { 'train.py': 'print(1)\n' }],
    ['the lock file of the programs', { 'cli/launch-training-task.ts': '', 'package-lock.json': '{}' }],
  ])(
    'tell a branch from before %s to merge the base branch, and are green once it is closed',
    async (_title, files) => {
      const repository = createScratchRepository();
      started.workspaces.push(repository.directory);
      repository.commit('Before', files);
      repository.git('branch', 'topic');
      const workflow = readFileSync(join(ROOT, '.github/workflows/clearml_ci_cd.yml'), 'utf8');
      repository.commit('The pipeline', { '.github/workflows/clearml_ci_cd.yml': workflow });
      const sandbox = await startHere(undefined, undefined, repository);
      for (const [job, conclusion, level, title] of [
        ['train', 'failure', 'error', 'Merge the base branch into this one'],
        ['closed', 'success', 'notice', 'Nothing was ended'],
      ] as const) {
        const run = await runWorkflow(sandbox, { job, repository });
        expectConclusion(run, conclusion);
        const ran = run.steps.filter((step) => step.conclusion !== 'skipped');
        expect(ran.map(({ name }) => name)).toEqual([
          "Check out the pull request's commit",
          'Look for the programs',
        ]);
        const message = expect.stringContaining('no cli/package-lock.json');
        expect(run.steps.flatMap(({ annotations }) => annotations)).toEqual([{ level, title, message }]);
      }
    },
  );

  testOnNode24('train for Dependabot where it has secrets of its own', async () => {
    const sandbox = await startHere(undefined);
    const { run } = await runWithAgent(sandbox, { actor: 'dependabot[bot]' }, (agent, task) =>
      agent.completeTask(task),
    );
    expectConclusion(run, 'success');
  });

  testOnNode24(
    'fail at the launch where the repository has no keys, and leave no step that claims otherwise',
    async () => {
      const sandbox = await startHere(undefined);
      const run = await runWorkflow(sandbox, { secrets: {} });
      expect(stepOf(run, 'Launch the training').exitCode).toBe(2);
      expect(stepOf(run, 'Wait for the training').conclusion).toBe('skipped');
      expect(stepOf(run, 'Report as a comment').conclusion).toBe('skipped');
      expect(run.conclusion).toBe('failure');
    },
  );
});

/** The shell commands of a section of `.github/WORKFLOW.md`, one text per block. */
function readCommands(heading: string): string[] {
  const page = readFileSync(join(ROOT, '.github/WORKFLOW.md'), 'utf8');
  const section = page.slice(page.indexOf(`\n${heading}\n`)).split(/\n#{2,3} /)[1] ?? '';
  return [...section.matchAll(/^( *)```sh\n([\s\S]*?)\n\1```$/gm)].map(([, indent = '', block = '']) =>
    block.replaceAll(`\n${indent}`, '\n').slice(indent.length),
  );
}

describe('another repository, with the programs copied into it as .github/WORKFLOW.md says,', () => {
  const [copy = ''] = readCommands('## Copy it into your repository');
  const [addPipeline = ''] = readCommands('## Several pipelines in one repository');
  const settings = 'entry-point: train.py\nmetrics:\n  - metric: loss/test\n    goal: minimize\n';
  const reportLoss = (loss: number) => async (driver: ClearmlDriver, task: string) => {
    await driver.reportScalars(task, 'loss', 'test', [loss]);
    await driver.completeTask(task);
  };

  /** Beside a clone of this project, as the commands expect it. */
  function makeRepository(files: Record<string, string>): {
    repository: ScratchRepository;
    runCommands: (commands: string) => void;
  } {
    const parent = mkdtempSync(join(tmpdir(), 'clearml-ci-beside-'));
    started.workspaces.push(parent);
    symlinkSync(started.repository?.directory ?? '', join(parent, 'clearml-ci-cd'));
    const repository = createScratchRepository(parent);
    repository.commit('Our own', { 'train.py': 'print(1)\n', ...files });
    const env = { ...describeMachine(), npm_config_audit: 'false' };
    return {
      repository,
      runCommands(commands) {
        const cwd = repository.directory;
        // npm waits for minutes if the registry can't be reached.
        const options = { cwd, env, stdio: 'pipe', timeout: 600_000 } as const;
        execFileSync('bash', ['-euo', 'pipefail', '-c', commands], options);
      },
    };
  }

  function addPullRequest(repository: ScratchRepository, files: Record<string, string>): void {
    repository.commit('Train on ClearML', files);
    repository.git('checkout', '--quiet', '-b', 'topic');
    repository.commit('A change', { 'train.py': 'print(2)\n' });
  }

  testOnNode24('trains its pull requests, and has got nothing that only we need', async () => {
    const { repository, runCommands } = makeRepository({});
    runCommands(copy);
    addPullRequest(repository, { '.github/clearml-ci.yml': settings });
    const files = repository.git('ls-files').split('\n');
    expect(
      files.filter((path) => /test|dev\/|sandbox|e2e|fixtures|[A-Z]\.md$|node_modules/.test(path)),
    ).toEqual([]);
    expect(files).toEqual(expect.arrayContaining(['templates/comment.md', 'cli/LICENSE']));
    expect(files).not.toContain('package.json');

    const sandbox = await startHere(undefined, undefined, repository);
    const { run } = await runWithAgent(sandbox, { repository }, reportLoss(0.125));
    expectConclusion(run, 'success');
    const [workspace = ''] = started.workspaces.slice(-1);
    expect(existsSync(join(workspace, 'cli/node_modules'))).toBe(true);
    expect(existsSync(join(workspace, 'node_modules'))).toBe(false);
    expect(sandbox.github.comments(PULL)).toEqual([
      expect.objectContaining({ body: expect.stringContaining('0.125') }),
    ]);
  });

  testOnNode24.each<[string, object]>([
    ['', {}],
    [
      ' that has workspaces and admits no npm',
      {
        workspaces: ['*', '!cli'],
        devEngines: { packageManager: { name: 'pnpm', onFail: 'error' } },
      },
    ],
  ])('keeps a package.json%s, and its own versions of what the programs need too', async (_title, more) => {
    const manifest = { name: 'ours', version: '9.9.9', type: 'commonjs', ...more };
    const { repository, runCommands } = makeRepository({
      'package.json': JSON.stringify({ ...manifest, dependencies: { yaml: '^1.10.2', picomatch: '^2.3.1' } }),
      'own.js': `const { dirname } = require('node:path');
        for (const name of ['yaml', 'picomatch'])
          console.log(name, require(dirname(require.resolve(name)) + '/package.json').version);`,
      '.gitignore': '/node_modules',
    });
    runCommands('npm install --force --ignore-scripts --no-audit --no-fund');
    const own = ['package.json', 'package-lock.json', 'node_modules/yaml/package.json'];
    const read = () => own.map((path) => readFileSync(join(repository.directory, path), 'utf8'));
    const before = read();
    runCommands(copy);
    const install = readSource('clearml_ci_cd.yml').steps.find(({ run }) => run?.startsWith('npm ci'))?.run;
    runCommands(install ?? '');
    runCommands('npm ci --force --ignore-scripts --no-audit --no-fund');
    expect(read()).toEqual(before);
    repository.commit('Train on ClearML', {
      '.github/clearml-ci.yml': 'entry-point: train.py\npaths: ["*.py"]\n',
    });
    expect(
      repository
        .git('ls-files')
        .split('\n')
        .filter((path) => path.includes('node_modules')),
    ).toEqual([]);

    const sandbox = await startHere(undefined, undefined, repository);
    const run = async (...args: string[]) => {
      const env = { ...process.env, ...sandbox.env, ...describeMachine(), PR_NUMBER: String(PULL) };
      const done = await runCommand(join(node24 ?? '', 'node'), args, { cwd: repository.directory, env });
      expect(done).toEqual({ exitCode: 0, output: expect.any(String) });
      return done?.output;
    };
    expect(await run('own.js')).toMatch(/^yaml 1\.[\d.]+\npicomatch 2\.[\d.]+\n$/);
    const commit = repository.git('rev-parse', 'HEAD');
    await run('cli/launch-training-task.ts', 'https://github.com/acme/digits.git', 'topic', commit);
    const driver = createClearmlDriver(sandbox.clearml.env);
    const [task] = await driver.listTasks();
    await driver.startTask(task?.id ?? '');
    await reportLoss(0.125)(driver, task?.id ?? '');
    await run('cli/check-task-running.ts', task?.id ?? '');
    await run('cli/create-stats-comment.ts', task?.id ?? '');
    expect(sandbox.github.comments(PULL)).toEqual([
      expect.objectContaining({ body: expect.stringContaining('0.125') }),
    ]);
  });

  testOnNode24('has two pipelines that do not get in the way of each other', async () => {
    const { repository, runCommands } = makeRepository({ 'services/fraud/train.py': 'print(1)\n' });
    runCommands([copy, addPipeline].join('\n'));
    addPullRequest(repository, {
      '.github/clearml-ci.yml': settings,
      '.github/clearml-ci-fraud.yml': `working-dir: services/fraud\n${settings}`,
    });

    const sandbox = await startHere(undefined, undefined, repository);
    const second = { repository, workflowFile: 'clearml_fraud.yml' };
    const { run } = await runWithAgent(sandbox, { repository }, reportLoss(0.125));
    expectConclusion(run, 'success');
    const { run: other, id } = await runWithAgent(sandbox, second, reportLoss(0.375));
    expectConclusion(other, 'success');
    expect([run.name, other.name]).toEqual(['Train and report', 'Train and report fraud']);
    expect((await createClearmlDriver(sandbox.clearml.env).getTask(id)).script).toMatchObject({
      working_dir: 'services/fraud',
    });
    expect(sandbox.github.comments(PULL).map(({ body }) => body)).toEqual([
      expect.stringContaining('0.125'),
      expect.stringContaining('0.375'),
    ]);

    const groups = ['clearml_ci_cd.yml', 'clearml_fraud.yml'].map((name) => {
      const text = readFileSync(join(repository.directory, '.github/workflows', name), 'utf8');
      const { name: workflow, concurrency } = parse(text) as WorkflowSource & { name: string };
      const [, expression = ''] = /^\$\{\{(.*?)\}\}-/.exec(concurrency.group) ?? [];
      const github = { workflow };
      return evaluateExpression(
        expression,
        { github },
        { hasFailed: false, isCancelled: false },
      ).coerceString();
    });
    expect(groups).toEqual(['ClearML CI/CD', 'ClearML fraud']);

    // Closing ends what either has unfinished, and only that.
    const driver = createClearmlDriver(sandbox.clearml.env);
    const launchFor = async (config: string): Promise<string> => {
      const env = { ...sandbox.env, PR_NUMBER: String(PULL), GITHUB_RUN_ID: '4000' };
      const args = ['https://github.com/acme/digits.git', 'topic', 'a'.repeat(40), '--config', config];
      const launched = await runProgramHere(launch, { args, env, cwd: repository.directory });
      expect(launched).toMatchObject({ exitCode: 0 });
      return launched.stdout.trim();
    };
    const unfinished = await launchFor('.github/clearml-ci.yml');
    const unfinishedOther = await launchFor('.github/clearml-ci-fraud.yml');
    expectConclusion(await runWorkflow(sandbox, { ...second, job: 'closed' }), 'success');
    expect((await driver.getTask(unfinishedOther)).status).toBe('created');
    expect((await driver.getTask(unfinished)).status).toBe('queued');
  });
});
