import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { main as check } from '../check-task-running.ts';
import { type ClearmlAgent, startClearmlAgent } from '../dev/clearml-agent.ts';
import { type ClearmlDriver, createClearmlDriver } from '../dev/clearml-driver.ts';
import { runProgramHere } from '../dev/program-run.ts';
import { preparePythonEnvironment } from '../dev/python-environment.ts';
import { createScratchRepository, type ScratchRepository } from '../dev/scratch-repository.ts';
import { main as launch } from '../launch-training-task.ts';
import { type ClearmlSandbox, startClearmlSandbox } from '../sandbox/clearml-server.ts';

// A training waits while its pull request is merged, amended or closed. The commit that it was launched for is then on no
// branch, and a real agent, which fetches branches, could not find it.

const TRAINING = `from clearml import Task
Task.init(project_name='digits', task_name='train', reuse_last_task_id=False)
print('trained', flush=True)
`;

let sandbox: ClearmlSandbox;
let driver: ClearmlDriver;
let folder: string;
let python: string;
let agent: ClearmlAgent | undefined;
const repositories: ScratchRepository[] = [];

beforeAll(async () => {
  ({ python } = await preparePythonEnvironment());
  folder = await mkdtemp(join(tmpdir(), 'launch-agent-'));
  sandbox = await startClearmlSandbox();
  driver = createClearmlDriver(sandbox.env);
});

afterAll(async () => {
  await agent?.stop();
  await sandbox.close();
  for (const repository of repositories) repository.remove();
  await rm(folder, { recursive: true, force: true });
});

async function startAgent(): Promise<void> {
  agent ??= await startClearmlAgent({
    server: sandbox.env,
    python,
    queue: 'gpu',
    workerId: 'tests:gpu',
    packages: 'prepared',
  });
}

async function waitForEnd(id: string) {
  for (;;) {
    const task = await driver.getTask(id);
    if (!['queued', 'in_progress'].includes(task.status)) return task;
    await sleep(50);
  }
}

/** A repository of its own, whose `topic` holds a commit to train. */
function createCase(name: string) {
  const repository = createScratchRepository();
  repositories.push(repository);
  const { git } = repository;
  repository.commit('Start', { 'README.md': 'digits\n' });
  git('checkout', '--quiet', '-b', 'topic');
  repository.commit('A training', { 'train_model.py': TRAINING, 'requirements.txt': '' });
  const cloneUrl = pathToFileURL(repository.directory).href;
  const head = () => git('rev-parse', 'HEAD');
  let runs = 1000;
  const describe = async (event: string, content: object): Promise<Record<string, string>> => {
    runs += 1;
    const file = join(folder, `${name}-${runs}.json`);
    await writeFile(file, JSON.stringify({ repository: { clone_url: cloneUrl }, ...content }));
    return {
      ...sandbox.env,
      GITHUB_ACTIONS: 'true',
      GITHUB_EVENT_NAME: event,
      GITHUB_EVENT_PATH: file,
      GITHUB_REPOSITORY: `acme/${name}`,
      GITHUB_RUN_ID: String(runs),
      GITHUB_SHA: head(),
    };
  };
  const describePull = (number: number, branch: string) => {
    const pull = {
      number,
      head: { sha: head(), ref: branch, repo: { clone_url: cloneUrl } },
      base: { ref: 'main' },
    };
    return describe('pull_request', { pull_request: pull });
  };
  const run = async (program: typeof launch, args: readonly string[], env: Record<string, string>) => {
    const done = await runProgramHere(program, { args, env, cwd: repository.directory });
    expect(done).toMatchObject({ exitCode: 0 });
    return done.stdout.trim();
  };
  return {
    git,
    add: (files: Record<string, string>) => repository.commit('Another training', files),
    launchByHand: (args: readonly string[]) =>
      run(launch, [cloneUrl, 'topic', head(), ...args], { ...sandbox.env }),
    /** Another commit with the same files on the present branch; the former one is on none. */
    amend: () => git('commit', '--quiet', '--amend', '-m', `${name}, amended`),
    launchPull: async (number: number, branch: string) =>
      run(launch, ['--queue', 'gpu'], await describePull(number, branch)),
    close: async (number: number, branch: string) =>
      run(check, ['--abort'], await describePull(number, branch)),
    async launchPush() {
      const env = await describe('push', { ref: 'refs/heads/main', after: head(), before: '0'.repeat(40) });
      return run(launch, ['--queue', 'gpu'], { ...env, GITHUB_REF: 'refs/heads/main' });
    },
  };
}

type Case = ReturnType<typeof createCase>;

const CASES: Readonly<Record<string, (the: Case) => Promise<readonly [first: string, last: string]>>> = {
  async squashed(the) {
    const first = await the.launchPull(7, 'topic');
    the.git('checkout', '--quiet', 'main');
    the.git('merge', '--quiet', '--squash', 'topic');
    the.git('commit', '--quiet', '-m', 'Squashed');
    the.git('branch', '--quiet', '-D', 'topic');
    return [first, await the.launchPush()];
  },
  async amended(the) {
    const first = await the.launchPull(7, 'topic');
    the.amend();
    return [first, await the.launchPull(7, 'topic')];
  },
  async 'reused-by-another'(the) {
    const first = await the.launchPull(7, 'topic');
    the.git('checkout', '--quiet', '-b', 'second');
    the.amend();
    const last = await the.launchPull(8, 'second');
    the.git('branch', '--quiet', '-D', 'topic');
    return [first, last];
  },
  async 'given-up'(the) {
    const first = await the.launchPull(7, 'topic');
    the.git('checkout', '--quiet', '-b', 'second');
    the.amend();
    const last = await the.launchPull(8, 'second');
    await the.close(8, 'second');
    the.git('checkout', '--quiet', 'topic');
    the.git('branch', '--quiet', '-D', 'second');
    return [first, last];
  },
};

/** Runs the script that is named after its own options, as torch.distributed.run does. */
const LAUNCHER = `import runpy, sys
script = next(index for index, word in enumerate(sys.argv) if word.endswith('.py') and index > 0)
print('processes', sys.argv[script - 1], flush=True)
sys.argv = sys.argv[script:]
runpy.run_path(sys.argv[0], run_name='__main__')
`;

const WITH_COMMANDS = `import argparse
from clearml import Task
Task.init(project_name='digits', task_name='train', reuse_last_task_id=False)
parser = argparse.ArgumentParser()
commands = parser.add_subparsers(dest='command')
fit = commands.add_parser('fit')
fit.add_argument('--lr', type=float, default=0.1)
fit.add_argument('--epochs', type=int, default=3)
fit.add_argument('--data')
print('trained', vars(parser.parse_args()), flush=True)
`;

async function runEntryPoint(the: Case, entryPoint: string, ...args: string[]) {
  const id = await the.launchByHand(['--queue', 'gpu', '--entry-point', entryPoint, ...args]);
  await startAgent();
  const task = await waitForEnd(id);
  const { events } = await driver.call('events.get_task_log', { task: id, batch_size: 1000 });
  return { task, log: events.map(({ msg }: { msg: string }) => msg).join('\n') };
}

test('a waiting task is trained by a real agent after its own commit is gone', async () => {
  const { id: queue } = await driver.call('queues.create', { name: 'gpu' });
  const ids: Record<string, string> = {};
  for (const [name, play] of Object.entries(CASES)) {
    const [first, last] = await play(createCase(name));
    expect(last).toBe(first);
    ids[name] = first;
  }
  const { queue: waiting } = await driver.call('queues.get_by_id', { queue });
  expect(waiting.entries).toHaveLength(Object.keys(CASES).length);

  await startAgent();
  for (const [name, id] of Object.entries(ids)) {
    expect([name, (await waitForEnd(id)).status]).toEqual([name, 'completed']);
  }
});

test('an agent runs a module with a script, and a program with arguments, whose other params keep their defaults', async () => {
  const the = createCase('entry-points');
  the.add({ 'launcher/__init__.py': '', 'launcher/run.py': LAUNCHER, 'src/train.py': WITH_COMMANDS });
  const launched = await runEntryPoint(the, '-m launcher.run --processes 2 src/train.py fit --epochs 5');
  expect(launched.task).toMatchObject({ status: 'completed', name: 'launcher.run' });
  expect(launched.log).toContain('processes 2');
  expect(launched.log).toContain("'lr': 0.1, 'epochs': 5");
  const plain = await runEntryPoint(the, 'src/train.py fit --data /mnt/digits', '--param', 'lr=0.5');
  expect(plain.task).toMatchObject({ status: 'completed', name: 'src/train' });
  expect(plain.log).toContain("{'command': 'fit', 'lr': 0.5, 'epochs': 3, 'data': '/mnt/digits'}");
});
