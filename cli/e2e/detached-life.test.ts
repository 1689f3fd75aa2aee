import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type ClearmlAgent, startClearmlAgent } from '../dev/clearml-agent.ts';
import { type ClearmlDriver, createClearmlDriver } from '../dev/clearml-driver.ts';
import { findNodeDirectory } from '../dev/node-release.ts';
import { preparePythonEnvironment } from '../dev/python-environment.ts';
import type { ScratchRepository } from '../dev/scratch-repository.ts';
import type { WorkflowRun } from '../dev/workflow-runner.ts';
import { type Sandbox, startSandbox } from '../sandbox/sandbox.ts';
import {
  copyProject,
  createWorkflowStage,
  expectConclusion,
  transcriptOf,
  type WorkflowStage,
} from './workflow-stage.ts';

// The life of detached pull requests: the shipped workflows, played one after the other, with a real agent that trains.
// Each training waits for a file, so that the test decides when it ends.

const SETTINGS = `task-name: digits
queue: gpu
detach: true
metrics:
  - metric: test_accuracy/accuracy
    goal: maximize
    tolerance: 0.01
    gate: fail
`;

let repository: ScratchRepository;
let sandbox: Sandbox;
let driver: ClearmlDriver;
let agents: ClearmlAgent[] = [];
let stage: WorkflowStage;
let folder: string;
/** To ClearML without those that idle agents make all the time. */
const requests = { clearml: 0, github: 0 };
const node24 = await findNodeDirectory(24);
const testOnNode24 = node24 === undefined ? test.skip : test;

/** A training that makes the file `name.begun`, and reports an accuracy once the file `name` is there. */
function training(name: string, accuracy: number): Record<string, string> {
  return {
    'train_model.py': `import os, time
from clearml import Task
task = Task.init(project_name='digits', task_name='digits', reuse_last_task_id=False)
print('waiting', flush=True)
open(${JSON.stringify(join(folder, `${name}.begun`))}, 'w').close()
while not os.path.exists(${JSON.stringify(join(folder, name))}):
    time.sleep(0.1)
task.get_logger().report_scalar('test_accuracy', 'accuracy', ${accuracy}, 0)
print('trained', flush=True)
`,
    'requirements.txt': '',
  };
}

const end = (name: string) => writeFileSync(join(folder, name), '');

/** Until a training runs. Ended while it fetches its code, an agent leaves a lock in its copy that fails the next one's. */
async function waitUntilBegun(name: string): Promise<void> {
  while (!existsSync(join(folder, `${name}.begun`))) await sleep(100);
}

beforeAll(async () => {
  const { python } = await preparePythonEnvironment();
  folder = mkdtempSync(join(tmpdir(), 'detached-'));
  repository = copyProject();
  repository.commit('Settings', { ...training('base', 0.9), '.github/clearml-ci.yml': SETTINGS });
  sandbox = await startSandbox({
    clearml: {
      onRequest: ({ endpoint }) => {
        if (!/^(?:queues|workers|auth)\./.test(endpoint)) requests.clearml += 1;
      },
    },
    github: {
      gitDir: repository.directory,
      permissions: { contents: 'read', 'pull-requests': 'write', statuses: 'write', issues: 'write' },
      onRequest: () => {
        requests.github += 1;
      },
    },
  });
  driver = createClearmlDriver(sandbox.clearml.env);
  stage = await createWorkflowStage(repository, sandbox);
  const source = pathToFileURL(repository.directory).href;
  const gitConfig = ['acme', 'fork']
    .map((owner) => `[url "${source}"]\n\tinsteadOf = ${sandbox.github.serverUrl}/${owner}/digits.git\n`)
    .join('');
  // Two agents that begin together would both create it, and the server refuses the second.
  await driver.call('queues.create', { name: 'gpu' });
  agents = await Promise.all(
    ['one', 'two'].map((name) =>
      startClearmlAgent({
        server: sandbox.clearml.env,
        python,
        queue: 'gpu',
        workerId: `tests:${name}`,
        packages: 'prepared',
        gitConfig,
      }),
    ),
  );
});

afterAll(async () => {
  await Promise.all(agents.map((agent) => agent.stop()));
  stage?.close();
  await sandbox?.close();
  repository?.remove();
  rmSync(folder, { recursive: true, force: true });
});

let runs = 1000;
const nextRun = () => {
  runs += 1;
  return String(runs);
};
const tipOf = (branch: string) => repository.git('rev-parse', branch);

/** Branches off main, and commits there. */
function branchOff(name: string, files: Readonly<Record<string, string>>): string {
  repository.git('checkout', '--quiet', '-B', name, 'main');
  return repository.commit(name, files);
}

async function runPull(
  pull: number,
  action: 'opened' | 'synchronize' | 'closed',
  extra: { readonly runId?: string } = {},
): Promise<WorkflowRun> {
  const event = await sandbox.github.pullRequestEvent(pull, action);
  return stage.run({
    file: 'clearml_ci_cd.yml',
    job: action === 'closed' ? 'closed' : 'train',
    eventName: 'pull_request',
    event,
    sha: event.pull_request.head.sha,
    ref: `refs/pull/${pull}/merge`,
    runId: nextRun(),
    ...extra,
  });
}

async function describeRepository() {
  const { repository: document } = await sandbox.github.pullRequestEvent(7, 'opened');
  return { ...document, fork: false };
}

async function runOnMain(
  call: Pick<Parameters<WorkflowStage['run']>[0], 'file' | 'job' | 'eventName'> &
    Partial<Parameters<WorkflowStage['run']>[0]>,
): Promise<WorkflowRun> {
  const event = { repository: await describeRepository() };
  return stage.run({ event, sha: tipOf('main'), ref: 'refs/heads/main', runId: nextRun(), ...call });
}

/** Somebody comments. */
async function say(pull: number, author: string, body: string): Promise<WorkflowRun> {
  const event = await sandbox.github.commentEvent({ pull, author, body });
  return runOnMain({
    file: 'clearml_commands.yml',
    job: 'obey',
    eventName: 'issue_comment',
    event,
    actor: author,
  });
}

const push = () => runOnMain({ file: 'clearml_ci_cd.yml', job: 'base', eventName: 'push' });
const tick = (extra: Pick<Parameters<WorkflowStage['run']>[0], 'cancel' | 'onStep'> = {}) =>
  runOnMain({ file: 'clearml_collect.yml', job: 'collect', eventName: 'schedule', ...extra });

/** A tick that has nothing left to do at its end. */
async function collect(): Promise<WorkflowRun> {
  const run = await tick();
  expectConclusion(run, 'success');
  return run;
}

const outputOf = (run: WorkflowRun, id: string, name: string) =>
  run.steps.find((step) => step.id === id)?.outputs[name] ?? '';
const dueOf = (run: WorkflowRun) => JSON.parse(outputOf(run, 'check', 'due') || 'null');
const idsOf = (run: WorkflowRun) => outputOf(run, 'launch', 'task-ids').split(' ');

/** The statuses of the context ClearML, oldest first. */
const statesOf = (commit: string) =>
  sandbox.github
    .statuses(commit)
    .filter(({ context }) => context === 'ClearML')
    .map(({ state }) => state);
/** The reports. What people say and what they are answered is left out. */
const commentsOf = (pull: number) =>
  sandbox.github
    .comments(pull)
    .map(({ body }) => body)
    .filter((body) => /^### /m.test(body));
const headingOf = (pull: number) => /^### .*$/m.exec(commentsOf(pull)[0] ?? '')?.[0] ?? '';

async function waitFor(id: string, ...statuses: readonly string[]): Promise<void> {
  for (;;) {
    const { status } = await driver.getTask(id);
    if (statuses.includes(status)) return;
    if (['failed', 'stopped', 'completed'].includes(status)) throw new Error(`${id} is ${status}`);
    await sleep(100);
  }
}

/** A pull request that is launched: its job ends at once, with a comment and a pending status. */
async function open(
  pull: number,
  branch: string,
  action: 'opened' | 'synchronize' = 'opened',
): Promise<string> {
  const run = await runPull(pull, action);
  expectConclusion(run, 'success');
  const [id = ''] = idsOf(run);
  expect(['queued', 'in_progress']).toContain((await driver.getTask(id)).status);
  expect(statesOf(tipOf(branch))).toEqual(['pending']);
  expect(commentsOf(pull)).toHaveLength(1);
  return id;
}

describe('a detached pull request', () => {
  testOnNode24('is judged against what the base branch has trained, which a tick reports too', async () => {
    sandbox.github.addPull({ number: 7, headRef: 'main', baseRef: 'main' });
    const run = await push();
    expectConclusion(run, 'success');
    const [id = ''] = idsOf(run);
    expect(statesOf(tipOf('main'))).toEqual(['pending']);
    end('base');
    await waitFor(id, 'completed');
    expect(dueOf(await collect())).toEqual([
      { pullRequest: null, commit: tipOf('main'), taskIds: [id], state: 'ended' },
    ]);
    expect(statesOf(tipOf('main'))).toEqual(['pending', 'success']);
  });

  testOnNode24('lives from its first push to its merge, and each tick tells what is so', async () => {
    const first = branchOff('topic', training('first', 0.95));
    sandbox.github.addPull({ number: 8, headRef: 'topic', baseRef: 'main', author: 'ada' });
    const firstId = await open(8, 'topic');
    await waitUntilBegun('first');

    repository.git('checkout', '--quiet', 'topic');
    const second = repository.commit('Worse', training('second', 0.5));
    const secondId = await open(8, 'topic', 'synchronize');
    await waitFor(firstId, 'stopped').catch(() => undefined);
    expect((await driver.getTask(firstId)).status).toBe('stopped');
    await waitFor(secondId, 'in_progress');

    // The commit that nobody trains any more gets its end, and the comment stays the newer one's.
    expect(dueOf(await collect())).toEqual(
      expect.arrayContaining([
        { pullRequest: 8, commit: first, taskIds: [firstId], state: 'ended' },
        { pullRequest: 8, commit: second, taskIds: [secondId], state: 'running' },
      ]),
    );
    expect(statesOf(first).at(-1)).not.toBe('pending');
    expect(statesOf(second)).toEqual(['pending']);
    expect(headingOf(8)).toMatch(/is running/);

    end('second');
    await waitFor(secondId, 'completed');
    const cancel = new AbortController();
    const killed = await tick({
      cancel: cancel.signal,
      onStep: (name) => {
        if (/report/i.test(name)) cancel.abort();
      },
    });
    expectConclusion(killed, 'cancelled');

    expect(dueOf(await collect())).toEqual([
      { pullRequest: 8, commit: second, taskIds: [secondId], state: 'ended' },
    ]);
    expect(statesOf(second)).toEqual(['pending', 'failure']);
    expect(headingOf(8)).toMatch(/[Rr]egression/);
    expect(commentsOf(8)).toHaveLength(1);

    // The author may not accept it. Somebody else who may push does, and a tick leaves it so.
    sandbox.github.addUser('ada', 'write');
    sandbox.github.addUser('bob', 'write');
    expectConclusion(await say(8, 'ada', '/accept it is faster'), 'failure');
    expectConclusion(await say(8, 'bob', '/accept it is faster'), 'success');
    expect(statesOf(second)).toEqual(['pending', 'failure', 'success']);
    expect(commentsOf(8)[0]).toContain('it is faster');

    const before = { ...requests };
    expect(dueOf(await collect())).toEqual([]);
    expect(requests).toEqual({ clearml: before.clearml + 1, github: before.github });

    repository.git('checkout', '--quiet', 'main');
    repository.git('merge', '--quiet', '--no-ff', '-m', 'Merge', 'topic');
    sandbox.github.closePull(8);
    expectConclusion(await runPull(8, 'closed'), 'success');
    const merged = await push();
    expectConclusion(merged, 'success');
    expect(idsOf(merged)).toEqual([secondId]);
    expect(statesOf(tipOf('main')).at(-1)).not.toBe('pending');
    expect(dueOf(await collect())).toEqual([]);
  });

  testOnNode24('whose time-out has passed is ended by the tick, and fails', async () => {
    const commit = branchOff('slow', {
      ...training('never', 0.9),
      '.github/clearml-ci.yml': `${SETTINGS}timeout: 1s\n`,
    });
    sandbox.github.addPull({ number: 9, headRef: 'slow', baseRef: 'main' });
    const id = await open(9, 'slow');
    await waitUntilBegun('never');
    await sleep(1000);
    expect(dueOf(await collect())).toEqual([{ pullRequest: 9, commit, taskIds: [id], state: 'timeout' }]);
    expect((await driver.getTask(id)).status).toBe('stopped');
    expect(statesOf(commit)).toEqual(['pending', 'failure']);
    expect(headingOf(9)).toMatch(/time-?out/i);
  });

  testOnNode24('shares a training with another, and both get its result', async () => {
    const commit = branchOff('shared', training('shared', 0.97));
    repository.git('branch', '-f', 'twin', 'shared');
    for (const [number, headRef] of [
      [10, 'shared'],
      [11, 'twin'],
    ] as const)
      sandbox.github.addPull({ number, headRef, baseRef: 'main' });
    const id = await open(10, 'shared');
    const again = await runPull(11, 'opened');
    expectConclusion(again, 'success');
    expect(idsOf(again)).toEqual([id]);
    end('shared');
    await waitFor(id, 'completed');
    const due = dueOf(await collect()) as Array<{ pullRequest: number }>;
    expect(due.map(({ pullRequest }) => pullRequest).sort()).toEqual([10, 11]);
    expect(statesOf(commit).at(-1)).toBe('success');
    for (const pull of [10, 11]) expect(headingOf(pull)).toContain('0.97');
    expect(dueOf(await collect())).toEqual([]);
  });

  testOnNode24('of a fork is trained by hand, and its own commit gets the verdict', async () => {
    const commit = branchOff('forked', training('forked', 0.92));
    sandbox.github.addPull({
      number: 12,
      headRef: 'forked',
      baseRef: 'main',
      headRepository: 'fork/digits',
    });
    const run = await runOnMain({
      file: 'clearml_ci_cd.yml',
      job: 'train',
      eventName: 'workflow_dispatch',
      inputs: { 'pull-request': 12, commit },
    });
    expectConclusion(run, 'success');
    const [id = ''] = idsOf(run);
    expect(statesOf(commit)).toEqual(['pending']);
    end('forked');
    await waitFor(id, 'completed');
    await collect();
    expect(statesOf(commit)).toEqual(['pending', 'success']);
    expect(headingOf(12)).toContain('0.92');
  });

  testOnNode24('that is closed is ended and told at once, and is due no more', async () => {
    const commit = branchOff('given-up', training('never', 0.93));
    sandbox.github.addPull({ number: 13, headRef: 'given-up', baseRef: 'main' });
    const id = await open(13, 'given-up');
    sandbox.github.closePull(13);
    const run = await runPull(13, 'closed');
    expectConclusion(run, 'success');
    expect(['stopped', 'created']).toContain((await driver.getTask(id)).status);
    expect(statesOf(commit).at(-1)).not.toBe('pending');
    expect(dueOf(await collect())).toEqual([]);
    expect(transcriptOf(run)).not.toContain(sandbox.clearml.secretKey);
    expect(existsSync(join(folder, 'never'))).toBe(false);
  });
});
