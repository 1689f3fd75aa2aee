import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { startClearmlSandbox } from '../sandbox/clearml-server.ts';
import { startClearmlAgent } from './clearml-agent.ts';
import { type ClearmlDriver, createClearmlDriver } from './clearml-driver.ts';
import { runProgramProcess } from './program-run.ts';
import { preparePythonEnvironment } from './python-environment.ts';
import { createScratchRepository } from './scratch-repository.ts';

// Aborts tasks at different times after a real agent took them, and looks whether they stay ended:
//   node --import tsx cli/dev/prove-abort.ts [rounds]

const MOMENTS_S = [0, 0.3, 1, 3, 6, 15];
/** A stop that is undone is undone within 6 s of the agent's start (measured). */
const AFTERMATH_MS = 12_000;
/** The agent's own: it looks after its task every five seconds. */
const AGENT_POLL_MS = 5000;
const AGENTS = 3;

const TRAINING = `from clearml import Task
import time
Task.init(project_name='digits', task_name='train', reuse_last_task_id=False)
for epoch in range(600):
    print('epoch', epoch, flush=True)
    time.sleep(1)
`;

async function prove(rounds: number): Promise<void> {
  const { python } = await preparePythonEnvironment();
  const sandbox = await startClearmlSandbox();
  const driver = createClearmlDriver(sandbox.env);
  const repository = createScratchRepository();
  const commit = repository.commit('A long training', { 'train_model.py': TRAINING, 'requirements.txt': '' });
  const agents = await Promise.all(
    Array.from({ length: AGENTS }, (_, index) =>
      startClearmlAgent({
        server: sandbox.env,
        python,
        queue: `queue-${index}`,
        workerId: `box:${index}`,
        packages: 'prepared',
        pollIntervalMs: AGENT_POLL_MS,
      }),
    ),
  );
  const { id: project } = await driver.call('projects.create', { name: 'digits', description: '' });
  const pending = Array.from({ length: rounds }, () => MOMENTS_S).flat();
  let failures = 0;
  try {
    await Promise.all(
      agents.map(async (_agent, index) => {
        const { queues } = await driver.call('queues.get_all', { name: `^queue-${index}$` });
        for (let momentS = pending.shift(); momentS !== undefined; momentS = pending.shift()) {
          const id = await driver.createTask({
            name: 'train',
            project,
            script: {
              repository: pathToFileURL(repository.directory).href,
              branch: 'main',
              version_num: commit,
              entry_point: 'train_model.py',
              working_dir: '.',
            },
          });
          await driver.call('tasks.enqueue', { task: id, queue: queues[0].id });
          await waitForStatus(driver, id, 'in_progress');
          await sleep(momentS * 1000);
          const beganAtMs = Date.now();
          const run = await runProgramProcess('check-task-running', {
            args: ['--abort', id],
            env: sandbox.env,
          });
          const tookS = (Date.now() - beganAtMs) / 1000;
          const at = await driver.getTask(id);
          await sleep(AFTERMATH_MS);
          const later = await driver.getTask(id);
          const isProven = run.exitCode === 0 && at.status === 'stopped' && later.status === 'stopped';
          if (!isProven) failures += 1;
          process.stdout.write(
            `${isProven ? 'ended' : 'FAILED'}: aborted ${momentS} s after it was taken, exit ${run.exitCode} after ${tookS.toFixed(1)} s, ${at.status}, 12 s later ${later.status} (${later.status_message})\n`,
          );
        }
      }),
    );
  } finally {
    await Promise.all(agents.map((agent) => agent.stop()));
    await sandbox.close();
    repository.remove();
  }
  process.stdout.write(failures === 0 ? 'all ended, and stayed so\n' : `${failures} failed\n`);
  process.exitCode = failures === 0 ? 0 : 1;
}

async function waitForStatus(driver: ClearmlDriver, id: string, status: string): Promise<void> {
  while ((await driver.getTask(id)).status !== status) await sleep(20);
}

await prove(Number(process.argv[2] ?? 1));
