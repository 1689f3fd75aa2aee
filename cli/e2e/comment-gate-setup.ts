import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach } from '@jest/globals';
import { main } from '../create-stats-comment.ts';
import { type ClearmlDriver, createClearmlDriver, type DeclaredParam } from '../dev/clearml-driver.ts';
import { createPatientClock } from '../dev/patient-clock.ts';
import { runProgramHere } from '../dev/program-run.ts';
import { createScratchRepository } from '../dev/scratch-repository.ts';
import { type ClearmlSandbox, startClearmlSandbox } from '../sandbox/clearml-server.ts';
import { type GithubSandbox, startGithubSandbox } from '../sandbox/github-server.ts';
import { formatGivenParams, type GivenParam } from '../training/params/given.ts';
import { hashText } from '../training/pipeline.ts';

export const repository = createScratchRepository();
export const older = repository.commit('Train', { 'train.py': 'a' });
export const base = repository.commit('Train more', { 'train.py': 'b' });
repository.git('checkout', '--quiet', '-b', 'topic');
export const head = repository.commit('Train otherwise', { 'train.py': 'c' });
repository.git('checkout', '--quiet', 'main');
export const later = repository.commit('Go on', { 'train.py': 'd' });
export const treeOf = (commit: string) => repository.git('rev-parse', `${commit}^{tree}`);

export let clearml: ClearmlSandbox;
export let github: GithubSandbox;
export let driver: ClearmlDriver;
export let project: string;
export let pipeline: string;
export let directory: string;

/** To be called once in a file of tests. */
export function setUpGates(): void {
  beforeAll(async () => {
    clearml = await startClearmlSandbox();
    driver = createClearmlDriver(clearml.env);
    project = (await driver.call('projects.create', { name: 'digits', description: '' })).id;
    github = await startGithubSandbox({
      gitDir: repository.directory,
      pulls: [{ number: 7, headSha: head, headRef: 'topic', baseRef: 'main' }],
    });
  });

  afterAll(async () => {
    await Promise.all([clearml.close(), github.close()]);
    repository.remove();
  });

  // Each test has its own pipeline and comment: the tasks of the others are none of its business.
  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'gate-'));
    pipeline = await hashText(directory);
  });

  afterEach(() => rmSync(directory, { recursive: true, force: true }));
}

export interface Training {
  readonly seed?: number;
  readonly tags?: readonly string[];
  /** Default: `test/accuracy`. */
  readonly metric?: readonly [title: string, series: string];
  readonly log?: readonly string[];
  readonly end?: 'completed' | 'failed' | 'none';
  readonly branch?: string;
  readonly event?: string;
  /** What the task says, where that is not the commit trained. */
  readonly commit?: string;
  readonly tree?: string;
  /** Further params of the launch, which then notes what it gave, the seed among it. */
  readonly given?: readonly GivenParam[];
  /** What the training sets by itself. */
  readonly declared?: Readonly<Record<string, DeclaredParam>>;
}

export async function train(
  commit: string,
  values: readonly number[],
  training: Training = {},
): Promise<string> {
  const { seed = 1, tags = [], metric = ['test', 'accuracy'], log = [], end = 'completed' } = training;
  const isOwn = commit === head;
  const params = [{ name: 'Args/seed', value: String(seed) }, ...(training.given ?? [])];
  const task = await driver.createTask({
    name: 'train',
    project,
    tags,
    script: {
      repository: 'https://github.com/acme/digits.git',
      branch: training.branch ?? (isOwn ? 'topic' : 'main'),
      version_num: training.commit ?? commit,
    },
    hyperparams: groupParams(params),
    runtime: {
      ci_key: `${commit} ${seed}`,
      ci_pipeline: pipeline,
      ci_code: training.tree ?? treeOf(commit),
      ci_event: training.event ?? (isOwn ? 'pull_request' : 'push'),
      ci_run: '42',
      ...(training.given === undefined ? {} : { ci_given: formatGivenParams(params) }),
    },
  });
  await driver.call('tasks.enqueue', { task, queue_name: 'default' });
  await driver.startTask(task);
  if (training.declared !== undefined) await driver.setParams(task, training.declared);
  if (values.length > 0) await driver.reportScalars(task, ...metric, values);
  if (log.length > 0) await driver.logLines(task, log);
  if (end === 'failed') await driver.failTask(task);
  if (end === 'completed') await driver.completeTask(task);
  return task;
}

function groupParams(params: readonly GivenParam[]) {
  const sections: Record<string, Record<string, object>> = {};
  for (const { name: path, ...param } of params) {
    const [section = '', ...rest] = path.split('/');
    const name = rest.join('/');
    sections[section] = { ...sections[section], [name]: { section, name, ...param } };
  }
  return sections;
}

/** One run a value, seeds counted from 1. */
export async function trainSeeds(commit: string, results: readonly number[], training: Training = {}) {
  const tasks: string[] = [];
  for (const [index, result] of results.entries())
    tasks.push(await train(commit, [result], { ...training, seed: index + 1 }));
  return tasks.join(' ');
}

export const GATED = 'metrics: [{ metric: test/accuracy, goal: maximize, gate: fail }]';

export function prepareRun(tasks: string, settings: string, flags: readonly string[] = []) {
  writeFileSync(join(directory, 'settings.yml'), settings);
  return {
    args: [tasks, '--config', 'settings.yml', '--comment-key', directory, ...flags],
    env: {
      ...clearml.env,
      ...github.env,
      PR_NUMBER: '7',
      GITHUB_OUTPUT: join(directory, 'output'),
    },
    cwd: directory,
  };
}

/** Runs the program; `body` is the comment, `verdict` and `metrics` are the outputs. */
export async function judge(
  tasks: string,
  settings = GATED,
  flags: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
) {
  const options = prepareRun(tasks, settings, flags);
  rmSync(options.env.GITHUB_OUTPUT, { force: true });
  const run = await runProgramHere(main, {
    ...options,
    env: { ...options.env, ...env },
    clock: createPatientClock(),
  });
  return { ...run, ...readResult() };
}

export function readResult() {
  const outputs = readFileSync(join(directory, 'output'), 'utf8');
  const read = (name: string) => new RegExp(`^${name}<<(\\S+)\\n([\\s\\S]*?)\\n\\1$`, 'm').exec(outputs)?.[2];
  const { body = '' } = github.comments(7).at(-1) ?? {};
  return { body, verdict: read('verdict'), metrics: JSON.parse(read('metrics') ?? '[]') };
}
