import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach } from '@jest/globals';
import { main } from '../create-stats-comment.ts';
import { type ClearmlDriver, createClearmlDriver } from '../dev/clearml-driver.ts';
import { type FaultProxy, startFaultProxy } from '../dev/fault-proxy.ts';
import { createPatientClock } from '../dev/patient-clock.ts';
import { runProgramHere } from '../dev/program-run.ts';
import { type ClearmlSandbox, startClearmlSandbox } from '../sandbox/clearml-server.ts';
import {
  type GithubSandbox,
  type GithubSandboxOptions,
  startGithubSandbox,
} from '../sandbox/github-server.ts';
import type { Clock } from '../shell/world.ts';
import { type Due, formatDue, keyOfDue } from '../training/due.ts';

export const HEAD = '1'.repeat(40);
const PULL = { number: 7, headSha: HEAD, headRef: 'topic', baseRef: 'main' };

export let clearml: ClearmlSandbox;
export let driver: ClearmlDriver;
export let github: GithubSandbox;
export let directory: string;
const open: Array<{ close(): Promise<void> }> = [];

/** To be called once in a file of tests. */
export function setUpComments(): void {
  beforeAll(async () => {
    clearml = await startClearmlSandbox();
    driver = createClearmlDriver(clearml.env);
  });

  afterAll(() => clearml.close());

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'comment-'));
    github = await startGithub();
  });

  afterEach(async () => {
    await Promise.all(open.splice(0).map((one) => one.close()));
    rmSync(directory, { recursive: true, force: true });
  });
}

/** Lets the programs of this test meet another GitHub. */
export async function replaceGithub(options: GithubSandboxOptions): Promise<void> {
  github = await startGithub(options);
}

async function startGithub(options: GithubSandboxOptions = {}): Promise<GithubSandbox> {
  const sandbox = await startGithubSandbox({ pulls: [PULL], ...options });
  open.push(sandbox);
  return sandbox;
}

export async function startProxy(...options: Parameters<typeof startFaultProxy>): Promise<FaultProxy> {
  const proxy = await startFaultProxy(...options);
  open.push(proxy);
  return proxy;
}

export async function trainTask(
  accuracy = 0.97,
  end: 'completed' | 'failed' | 'in_progress' | 'queued' = 'completed',
  fields: {
    readonly name?: string;
    readonly tags?: readonly string[];
    readonly runtime?: Readonly<Record<string, string>>;
  } = {},
): Promise<string> {
  const id = await driver.createTask({
    name: 'train digits',
    ...fields,
    script: { repository: 'https://github.com/acme/digits.git', branch: 'topic', version_num: HEAD },
  });
  await driver.call('tasks.enqueue', { task: id, queue_name: 'default' });
  if (end === 'queued') return id;
  await driver.startTask(id);
  await driver.reportScalars(id, 'loss', 'train', [2, 1, 0.5]);
  await driver.reportScalars(id, 'test_accuracy', 'accuracy', [accuracy]);
  if (end === 'completed') await driver.completeTask(id);
  if (end === 'failed') await driver.failTask(id);
  return id;
}

/** What a detached launch notes in a task that it creates. */
export function noteDue(fields: Partial<Due> = {}): Record<string, string> {
  const due: Due = {
    to: 7,
    commit: HEAD,
    launch: 'launch',
    count: 1,
    runId: '41',
    base: undefined,
    atMs: Date.UTC(2026, 0, 1),
    timeoutMs: 3_600_000,
    queueTimeoutMs: 1_800_000,
    retries: 0,
    settings: '.github/clearml-ci.yml',
    context: 'ClearML',
    isDetached: true,
    ...fields,
  };
  return { ci_due: 'a'.repeat(32), [keyOfDue(due.to)]: formatDue(due) };
}

export function makeEnv(extra: Readonly<Record<string, string>> = {}): Record<string, string> {
  return {
    ...clearml.env,
    ...github.env,
    PR_NUMBER: '7',
    GITHUB_OUTPUT: join(directory, 'output'),
    GITHUB_STEP_SUMMARY: join(directory, 'summary.md'),
    ...extra,
  };
}

export function run(args: readonly string[], env = makeEnv(), clock: Clock = createPatientClock()) {
  return runProgramHere(main, { args, env, cwd: directory, clock });
}

export function readOutputs(): Record<string, string> {
  const text = readFileSync(join(directory, 'output'), 'utf8');
  return Object.fromEntries(
    [...text.matchAll(/^([\w-]+)<<(\S+)\n([\s\S]*?)\n\2$/gm)].map(([, name, , value]) => [name, value]),
  );
}

export function readSummary(): string {
  return readFileSync(join(directory, 'summary.md'), 'utf8');
}

export function writeSettings(text: string): void {
  writeFileSync(join(directory, 'settings.yml'), text);
}
