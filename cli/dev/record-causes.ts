import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { startClearmlSandbox } from '../sandbox/clearml-server.ts';
import { splitLogLines } from '../training/console-log.ts';
import { type ClearmlAgent, startClearmlAgent } from './clearml-agent.ts';
import { type ClearmlDriver, createClearmlDriver, type TaskDocument } from './clearml-driver.ts';
import { preparePythonEnvironment } from './python-environment.ts';
import { createScratchRepository, type ScratchRepository } from './scratch-repository.ts';

// Records what a real clearml-agent leaves behind when a training fails, for training/cause-table.ts and its test:
//   node --import tsx cli/dev/record-causes.ts [name…]
// Add a way to fail below, run this with its name, and look at fixtures/causes/NAME.json.

/** One way to fail. */
interface Failing {
  /** Files of the repository beside the others'. */
  readonly files?: Readonly<Record<string, string>>;
  /** Fields of the task's `script` that differ. */
  readonly script?: Readonly<Record<string, unknown>>;
  /** How the agent runs it; default: in an environment that has everything. */
  readonly agent?: 'install' | 'docker';
  /** Something that happens while the training runs. */
  readonly meanwhile?: (driver: ClearmlDriver, id: string, agent: ClearmlAgent) => Promise<unknown>;
}

const INIT = `from clearml import Task
Task.init(project_name='digits', task_name='train', reuse_last_task_id=False)
`;

const LONG = `${INIT}import time
for epoch in range(100):
    print('epoch', epoch, flush=True)
    time.sleep(1)
`;
const CGROUP = '/sys/fs/cgroup/memory/clearml-ci-causes';

const WAYS: Readonly<Record<string, Failing>> = {
  'missing-commit': { script: { version_num: 'f'.repeat(40) } },
  'clone-failed': { script: { repository: 'file:///nowhere/digits.git' } },
  'missing-requirement': {
    agent: 'install',
    script: { requirements: { pip: 'clearml\nno-such-package-of-clearml-ci==9.9\n' } },
  },
  'missing-entry-point': { script: { entry_point: 'nothing.py' } },
  'bad-diff': {
    script: { diff: 'diff --git a/gone.py b/gone.py\n--- a/gone.py\n+++ b/gone.py\n@@ -1 +1 @@\n-a\n+b\n' },
  },
  'missing-working-dir': { script: { working_dir: 'no/such/folder' } },
  exception: {
    files: {
      'lib/model.py': `def fit(rate):\n    if rate > 1:\n        raise ValueError(f'bad learning rate {rate}')\n`,
      'exception.py': `${INIT}from lib.model import fit\nprint('epoch 0')\nfit(3)\n`,
    },
  },
  'exception-in-library': {
    files: {
      'exception-in-library.py': `${INIT}import json\n\ndef load():\n    return json.loads('{"a": ')\n\nload()\n`,
    },
  },
  'chained-exception': {
    files: {
      'chained-exception.py': `${INIT}\ndef load(path):\n    try:\n        open(path)\n    except OSError as error:\n        raise RuntimeError('the data set is missing') from error\n\nload('/nowhere/digits.csv')\n`,
    },
  },
  'missing-module': { files: { 'missing-module.py': `${INIT}import no_such_module\n` } },
  'syntax-error': { files: { 'syntax-error.py': `${INIT}print('a'\nfor\n` } },
  'memory-error': {
    files: { 'memory-error.py': `${INIT}import numpy\nprint('epoch 0')\nnumpy.ones((1 << 28, 1 << 20))\n` },
  },
  // The docker client is there, its daemon is not.
  'docker-failed': { agent: 'docker' },
  // The kernel does it. Needs root and cgroups.
  'out-of-memory': {
    files: {
      'out-of-memory.py': `${INIT}import os\nprint('epoch 0', flush=True)\nwith open('${CGROUP}/cgroup.procs', 'w') as file:\n    file.write(str(os.getpid()))\ndata = []\nwhile True:\n    data.append(bytearray(10 << 20))\n`,
    },
  },
  killed: {
    files: {
      'killed.py': `${INIT}import os, signal, time\nprint('epoch 0')\ntime.sleep(2)\nos.kill(os.getpid(), signal.SIGKILL)\n`,
    },
  },
  'argument-error': {
    files: {
      'argument-error.py': `${INIT}import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('--epochs', type=int)\nparser.parse_args(['--epochs', 'abc'])\n`,
    },
  },
  // Before Task.init: after it a segmentation fault never ends, for the SDK's handler returns to the faulty instruction.
  crash: {
    files: { 'crash.py': `import ctypes\nprint('epoch 0', flush=True)\nctypes.string_at(0)\n${INIT}` },
  },
  abort: { files: { 'abort.py': `${INIT}import os, time\nprint('epoch 0')\ntime.sleep(1)\nos.abort()\n` } },
  'exit-code': { files: { 'exit-code.py': `${INIT}import sys\nprint('epoch 0')\nsys.exit(3)\n` } },
  'exit-after-caught': {
    files: {
      'exit-after-caught.py': `${INIT}import sys, traceback\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n    traceback.print_exc()\nprint('going on')\nsys.exit(4)\n`,
    },
  },
  'worker-lost': {
    files: { 'worker-lost.py': LONG },
    async meanwhile(driver, id, agent) {
      await agent.kill();
      // What the server's watchdog does two hours later.
      const words = 'Forced stop (non-responsive)';
      await driver.call('tasks.stopped', {
        task: id,
        force: true,
        status_reason: words,
        status_message: words,
      });
    },
  },
  // As a spot instance that is taken back.
  'agent-shut-down': {
    files: { 'agent-shut-down.py': LONG },
    meanwhile: (_driver, _id, agent) => agent.stop(),
  },
  stopped: {
    files: { 'stopped.py': LONG },
    meanwhile: (driver, id) => driver.call('tasks.stop', { task: id }),
  },
};

const FIXTURES = new URL('../training/fixtures/causes/', import.meta.url);
/** Until the training has begun, however slow the machine. */
const MEANWHILE_MS = 15_000;
const TIMEOUT_MS = 120_000;
/** As a container of this size would have it. */
const MEMORY_LIMIT = '200M';
const PARALLEL = 2;

async function record(names: readonly string[]): Promise<void> {
  const { python } = await preparePythonEnvironment({
    onProgress: (message) => process.stderr.write(`${message}\n`),
  });
  const repository = createScratchRepository();
  const commit = repository.commit('All ways to fail', {
    'train_model.py': INIT,
    'requirements.txt': 'clearml\n',
    ...Object.assign({}, ...Object.values(WAYS).map(({ files }) => files)),
  });
  if (names.includes('out-of-memory')) {
    mkdirSync(CGROUP, { recursive: true });
    writeFileSync(`${CGROUP}/memory.limit_in_bytes`, MEMORY_LIMIT);
  }
  mkdirSync(fileURLToPath(FIXTURES), { recursive: true });
  const queue = [...names];
  const work = async () => {
    for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
      const way = WAYS[name];
      if (way === undefined) throw new Error(`no such way to fail: ${name}`);
      const fixture = await recordWay(name, way, { python, repository, commit });
      writeFileSync(new URL(`${name}.json`, FIXTURES), `${JSON.stringify(fixture, undefined, 1)}\n`);
      process.stderr.write(`${name}: ${fixture.status}, ${fixture.statusReason}\n`);
    }
  };
  try {
    await Promise.all(Array.from({ length: PARALLEL }, work));
  } finally {
    repository.remove();
    if (existsSync(CGROUP)) rmdirSync(CGROUP);
  }
}

/** Lets a real agent run into it, and gives what it leaves behind. */
async function recordWay(
  name: string,
  way: Failing,
  tools: { readonly python: string; readonly repository: ScratchRepository; readonly commit: string },
) {
  const { directory } = tools.repository;
  const sandbox = await startClearmlSandbox();
  const driver = createClearmlDriver(sandbox.env);
  const agent = await startClearmlAgent({
    server: sandbox.env,
    python: tools.python,
    queue: 'default',
    workerId: 'gpu-box:0',
    packages: way.agent === 'install' ? 'install' : 'prepared',
    ...(way.agent === 'docker' ? { dockerImage: 'python:3.11' } : {}),
  });
  try {
    const { id: project } = await driver.call('projects.create', { name: 'digits', description: '' });
    const { queues } = await driver.call('queues.get_all', { name: '^default$' });
    const id = await driver.createTask({
      name: 'train',
      project,
      script: {
        repository: pathToFileURL(directory).href,
        branch: 'main',
        version_num: tools.commit,
        entry_point: way.files === undefined ? 'train_model.py' : `${name}.py`,
        working_dir: '.',
        ...way.script,
      },
    });
    await driver.call('tasks.enqueue', { task: id, queue: queues[0].id });
    if (way.meanwhile !== undefined) {
      await sleep(MEANWHILE_MS);
      await way.meanwhile(driver, id, agent);
    }
    const task = await waitForEnd(driver, id);
    const page = await driver.call('events.get_task_log', {
      task: id,
      batch_size: 5000,
      order: 'asc',
      navigate_earlier: false,
      from_timestamp: 0,
    });
    const log: string[] = page.events.flatMap(({ msg }: { msg: string }) => splitLogLines(msg));
    return {
      status: task.status,
      statusReason: task.status_reason,
      statusMessage: task.status_message,
      log: cleanLog(log, directory),
    };
  } catch (error) {
    throw new Error(`${name}: ${agent.log().slice(-4000)}`, { cause: error });
  } finally {
    await agent.stop();
    await sandbox.close();
  }
}

/** The task once it has ended and its agent has said its last word. */
async function waitForEnd(driver: ClearmlDriver, id: string): Promise<TaskDocument> {
  for (const endMs = Date.now() + TIMEOUT_MS; Date.now() < endMs; ) {
    await sleep(500);
    const task = await driver.getTask(id);
    if (!['failed', 'completed', 'stopped'].includes(task.status)) continue;
    await sleep(7000);
    return driver.getTask(id);
  }
  throw new Error(`task ${id} has not ended`);
}

/** Without the agent's configuration, the list of what is installed, and the folders of the machine it ran on. */
function cleanLog(log: readonly string[], repository: string): string[] {
  const begin = log.findIndex((line) => line.startsWith('Using custom configuration file'));
  const end = log.findIndex((line) => line.startsWith('Executing task id'));
  return log
    .filter((line, index) => begin < 0 || index < begin || index >= end || line.startsWith('Process '))
    .filter((line) => !/^- \S+(?:==| @ )/.test(line) && !/^Looking in (?:indexes|links)/.test(line))
    .map((line) =>
      line
        .replaceAll(repository, '/srv/digits')
        .replaceAll(/clearml-ci-repository-\w+/g, 'digits')
        .replaceAll(/\/tmp\/clearml-ci-agent-\w+/g, '/home/agent')
        .replaceAll(/[^\s"']*\/python-[0-9a-f]{12}(?:-[0-9a-f]{8})?\//g, '/opt/python/')
        .replaceAll(homedir(), '/home/user')
        .replaceAll(/http:\/\/127\.0\.0\.1:\d+/g, 'http://clearml.example'),
    );
}

await record(process.argv.length > 2 ? process.argv.slice(2) : Object.keys(WAYS));
