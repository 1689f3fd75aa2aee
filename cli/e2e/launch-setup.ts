import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect } from '@jest/globals';
import { type ClearmlDriver, createClearmlDriver, type TaskDocument } from '../dev/clearml-driver.ts';
import { type Fault, type FaultProxy, type SeenRequest, startFaultProxy } from '../dev/fault-proxy.ts';
import { createPatientClock } from '../dev/patient-clock.ts';
import { type RunOptions, runProgramHere } from '../dev/program-run.ts';
import { createScratchRepository, type ScratchRepository } from '../dev/scratch-repository.ts';
import { main } from '../launch-training-task.ts';
import { type ClearmlSandbox, startClearmlSandbox } from '../sandbox/clearml-server.ts';
import type { Clock } from '../shell/world.ts';

export const CLONE_URL = 'https://github.com/acme/digits.git';

/** All that a test's world consists of, made anew for each: the sandbox is up in a few milliseconds. */
export let sandbox: ClearmlSandbox;
export let driver: ClearmlDriver;
export let repository: ScratchRepository;
export let folder: string;
export let proxies: FaultProxy[];

/** To be called once in a file of tests. */
export function setUpLaunches(): void {
  beforeEach(async () => {
    clock = createPatientClock();
    sandbox = await startClearmlSandbox({ now: clock.now });
    driver = createClearmlDriver(sandbox.env);
    repository = createScratchRepository();
    repository.commit('Start', { 'train_model.py': 'print(1)\n', 'docs/guide.md': 'read me\n' });
    repository.git('remote', 'add', 'origin', 'https://octocat:ghp_inTheUrl@github.com/acme/digits.git');
    publish();
    folder = await mkdtemp(join(tmpdir(), 'launch-'));
    proxies = [];
  });

  afterEach(async () => {
    await Promise.all(proxies.map((proxy) => proxy.close()));
    await sandbox.close();
    repository.remove();
    await rm(folder, { recursive: true, force: true });
  });
}

/** What a push leaves behind in the checkout. */
export function publish(branch = 'main'): void {
  repository.git('update-ref', `refs/remotes/origin/${branch}`, 'HEAD');
}

/** One for all launches of a test, since some run side by side. */
export let clock: Clock;

type LaunchRunOptions = Pick<Partial<RunOptions>, 'cwd' | 'env'> & { readonly clock?: Clock };

/** Runs the program in this process, in the scratch checkout. */
export function launch(args: readonly string[] = [], options: LaunchRunOptions = {}) {
  return runProgramHere(main, {
    cwd: repository.directory,
    clock,
    ...options,
    args,
    env: { ...sandbox.env, ...options.env },
  });
}

/** Runs it and gives the one task it names. */
export async function launchTask(
  args: readonly string[] = [],
  env: Record<string, string> = {},
): Promise<TaskDocument> {
  const run = await launch(args, { env });
  expect(run).toMatchObject({ exitCode: 0 });
  return driver.getTask(run.stdout.trim());
}

/** The variables of a pull request's run; the event file says where its code is. */
export async function describePullRequest(
  number: number,
  run: { id?: string; head?: string; cloneUrl?: string; branch?: string; attempt?: string } = {},
): Promise<Record<string, string>> {
  const file = join(folder, `event-${number}-${Math.random()}.json`);
  const head = {
    sha: run.head ?? repository.git('rev-parse', 'HEAD'),
    ref: run.branch ?? 'feature',
    repo: { clone_url: run.cloneUrl ?? CLONE_URL, default_branch: 'main' },
  };
  const event = {
    pull_request: { number, head, base: { ref: 'main' } },
    repository: { clone_url: CLONE_URL, default_branch: 'main' },
  };
  await writeFile(file, JSON.stringify(event));
  return {
    GITHUB_ACTIONS: 'true',
    GITHUB_EVENT_NAME: 'pull_request',
    GITHUB_EVENT_PATH: file,
    GITHUB_REPOSITORY: 'acme/digits',
    GITHUB_RUN_ID: run.id ?? '1000',
    GITHUB_RUN_ATTEMPT: run.attempt ?? '1',
    GITHUB_SHA: 'f'.repeat(40),
    GITHUB_ACTOR: 'octocat',
  };
}

/** A proxy before the sandbox that lets the n-th request to an endpoint meet a fault. */
export async function breakRequests(
  choose: (endpoint: string, nth: number, request: Pick<SeenRequest, 'body'>) => Fault | undefined,
): Promise<Record<string, string>> {
  const counts = new Map<string, number>();
  const proxy = await startFaultProxy(sandbox.apiHost, (request) => {
    const endpoint = request.path.split('/').at(-1) ?? '';
    const nth = (counts.get(endpoint) ?? 0) + 1;
    counts.set(endpoint, nth);
    return choose(endpoint, nth, request);
  });
  proxies.push(proxy);
  return { CLEARML_API_HOST: proxy.url };
}

export async function setSettings(text: string): Promise<void> {
  repository.commit('Settings', { '.github/clearml-ci.yml': text });
  publish();
}
