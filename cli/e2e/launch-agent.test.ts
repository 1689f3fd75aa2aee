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

  const server = sandbox.env;
  agent = await startClearmlAgent({
    server,
    python,
    queue: 'gpu',
    workerId: 'tests:gpu',
    packages: 'prepared',
  });
  const statusOf = async (id: string) => (await driver.getTask(id)).status;
  for (const [name, id] of Object.entries(ids)) {
    while (['queued', 'in_progress'].includes(await statusOf(id))) await sleep(50);
    expect([name, await statusOf(id)]).toEqual([name, 'completed']);
  }
});
