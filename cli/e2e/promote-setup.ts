import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach } from '@jest/globals';
import { main } from '../create-stats-comment.ts';
import { type ClearmlDriver, createClearmlDriver } from '../dev/clearml-driver.ts';
import { createPatientClock } from '../dev/patient-clock.ts';
import { runProgramHere } from '../dev/program-run.ts';
import { createScratchRepository } from '../dev/scratch-repository.ts';
import { type ClearmlSandbox, startClearmlSandbox } from '../sandbox/clearml-server.ts';
import {
  type GithubSandbox,
  type GithubSandboxOptions,
  startGithubSandbox,
} from '../sandbox/github-server.ts';
import { hashPipeline, identifyPipelineRepository } from '../training/pipeline.ts';

export const repository = createScratchRepository();
/** Pushed to main one after the other. */
export const commits = [
  repository.commit('Train', { 'train.py': 'a' }),
  repository.commit('Train more', { 'train.py': 'b' }),
  repository.commit('Train otherwise', { 'train.py': 'c' }),
] as const;
export const treeOf = (commit: string) => repository.git('rev-parse', `${commit}^{tree}`);

export let clearml: ClearmlSandbox;
export let github: GithubSandbox;
export let driver: ClearmlDriver;
export let directory: string;
let project: string;

/** Each test has its own pipeline: the tasks of the others are none of its business. */
export function setUpPromotions(): void {
  beforeAll(async () => {
    clearml = await startClearmlSandbox();
    driver = createClearmlDriver(clearml.env);
  });
  afterAll(async () => {
    await clearml.close();
    repository.remove();
  });
  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'promote-'));
    project = `digits ${directory.slice(-6)}`;
    await replaceGithub();
  });
  afterEach(async () => {
    await github.close();
    rmSync(directory, { recursive: true, force: true });
  });
}

/** Lets the program of this test meet another GitHub. */
export async function replaceGithub(options: GithubSandboxOptions = {}): Promise<void> {
  await github?.close();
  github = await startGithubSandbox({
    gitDir: repository.directory,
    pulls: [{ number: 7, headSha: 'f'.repeat(40), headRef: 'topic', baseRef: 'main' }],
    ...options,
  });
}

export async function hashOwn(taskName = 'train'): Promise<string> {
  const { apiUrl: _, serverUrl } = github;
  return hashPipeline({
    repository: identifyPipelineRepository('acme/digits', serverUrl, undefined),
    project,
    taskName,
  });
}

export interface Training {
  readonly accuracy?: number;
  readonly seed?: number;
  readonly end?: 'completed' | 'failed' | 'none';
  readonly event?: string;
  readonly tags?: readonly string[];
  /** Names of its output models; default one. */
  readonly models?: readonly string[];
  readonly runtime?: Readonly<Record<string, string>>;
}

/** What a launch on the push of a commit leaves once it has ended. */
export async function train(commit: string, training: Training = {}): Promise<string> {
  const { accuracy = 0.9, seed = 1, end = 'completed', event = 'push', models = ['model'] } = training;
  const task = await driver.createTask({
    name: 'train',
    tags: training.tags ?? [],
    script: { repository: 'https://github.com/acme/digits.git', branch: 'main', version_num: commit },
    hyperparams: { Args: { seed: { section: 'Args', name: 'seed', value: String(seed) } } },
    runtime: {
      ci_key: `${commit} ${seed}`,
      ci_pipeline: await hashOwn(),
      ci_code: training.runtime?.ci_code ?? treeOf(commit),
      ci_event: event,
      ci_run: '42',
      ci_launch: `${commit} ${event}`,
      ...training.runtime,
    },
  });
  await driver.call('tasks.enqueue', { task, queue_name: 'default' });
  await driver.startTask(task);
  await driver.reportScalars(task, 'test', 'accuracy', [accuracy]);
  for (const name of models) {
    const fields = { name, uri: `https://files.test/${name}`, task, ready: false };
    const { id: model } = await driver.call('models.create', fields);
    await driver.call('tasks.add_or_update_model', { task, name, model, type: 'output' });
  }
  if (end === 'failed') await driver.failTask(task);
  if (end === 'completed') await driver.completeTask(task);
  return task;
}

export async function lastModelOf(task: string): Promise<string> {
  return (await driver.getTask(task)).models.output.at(-1).model;
}

/** The tags that a promotion may set, of a task and of its last model. */
export async function tagsOf(task: string) {
  const isOurs = (tag: string) => tag.startsWith('production');
  const { model } = await driver.call('models.get_by_id', { model: await lastModelOf(task) });
  return [(await driver.getTask(task)).tags.filter(isOurs), model.tags.filter(isOurs)];
}

/** Marks a task and its last model as a promotion leaves them. */
export async function mark(task: string, tag = 'production'): Promise<string> {
  await driver.call('tasks.update_tags', { ids: [task], add_tags: [tag] });
  await driver.call('models.update_tags', { ids: [await lastModelOf(task)], add_tags: [tag] });
  return task;
}

export const PRODUCTION = [['production'], ['production']];
export const PREVIOUS = [['production-previous'], ['production-previous']];
export const NEITHER = [[], []];

export const GATED = 'metrics: [{ metric: test/accuracy, goal: maximize, gate: fail, tolerance: 0.01 }]\n';

/** What main was before the push. */
function findParent(commit: string | undefined): string {
  const log = repository.git('log', '--format=%H %P', 'main').split('\n');
  return log.find((line) => line.startsWith(`${commit} `))?.split(' ')[1] || '0'.repeat(40);
}

/** The environment and settings of a run on the push of a commit; without one, of a run by hand. */
export function prepare(commit: string | undefined, settings = GATED, promote = '{ tag: production }') {
  writeFileSync(
    join(directory, 'settings.yml'),
    `project: ${project}\ntask-name: train\n${settings}${promote === '' ? '' : `promote: ${promote}\n`}`,
  );
  const event = join(directory, 'event.json');
  const clone = { clone_url: 'https://github.com/acme/digits.git' };
  writeFileSync(event, JSON.stringify({ before: findParent(commit), repository: clone }));
  const push =
    commit === undefined
      ? {}
      : {
          GITHUB_EVENT_NAME: 'push',
          GITHUB_EVENT_PATH: event,
          GITHUB_REF: 'refs/heads/main',
          GITHUB_SHA: commit,
        };
  return {
    ...clearml.env,
    ...github.env,
    ...push,
    GITHUB_OUTPUT: join(directory, 'output'),
    GITHUB_STEP_SUMMARY: join(directory, 'summary.md'),
  };
}

/** Runs `create-stats-comment … --promote`. */
export async function promote(
  commit: string | undefined,
  args: readonly string[] = [],
  options: {
    readonly settings?: string;
    readonly setting?: string;
    readonly env?: Readonly<Record<string, string>>;
    /** Keeps the outputs of what ran before. */
    readonly isBeside?: boolean;
  } = {},
) {
  const env = { ...prepare(commit, options.settings, options.setting), ...options.env };
  const files = options.isBeside === true ? [] : ['output', 'summary.md'];
  for (const file of files) rmSync(join(directory, file), { force: true });
  const run = await runProgramHere(main, {
    args: [...args, '--promote', '--config', 'settings.yml'],
    env,
    cwd: directory,
    clock: createPatientClock(),
  });
  return { ...run, promoted: readOutput('promoted'), summary: readFile('summary.md') };
}

export function readOutput(name: string): string | undefined {
  return new RegExp(`^${name}<<(\\S+)\\n([\\s\\S]*?)\\n\\1$`, 'm').exec(readFile('output'))?.[2];
}

export const readSummary = () => readFile('summary.md');

function readFile(name: string): string {
  try {
    return readFileSync(join(directory, name), 'utf8');
  } catch {
    return '';
  }
}
