import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { expect, test } from '@jest/globals';
import { startClearmlSandbox } from '../../sandbox/clearml-server.ts';
import { startClearmlAgent } from '../clearml-agent.ts';
import { createClearmlDriver, type TaskDocument } from '../clearml-driver.ts';
import { createScratchRepository } from '../scratch-repository.ts';
import { prepareEnvironment } from './environments.ts';
import { readFixture } from './fixture-file.ts';
import { FRONT_ENDS } from './front-ends.ts';
import { groupParams, readTrainedWith } from './recorder.ts';

// The recordings are made without an agent. Here a real one runs a few of them: it makes no difference.

const FOLDER = fileURLToPath(new URL('front-ends/', import.meta.url));
const CASES = [
  ['argparse-plain', 'one'],
  ['click-command', 'one'],
  ['hydra-plain', 'hydra'],
] as const;

test('an agent leaves what the recordings say', async () => {
  const { python } = await prepareEnvironment('front-ends');
  const repository = createScratchRepository();
  const files = readdirSync(FOLDER, { recursive: true, encoding: 'utf8' }).filter((name) =>
    /\.(?:py|yaml)$/.test(name),
  );
  const commit = repository.commit(
    'Front ends',
    Object.fromEntries(files.map((name) => [name, readFileSync(`${FOLDER}${name}`, 'utf8')])),
  );
  const sandbox = await startClearmlSandbox();
  const clearml = createClearmlDriver(sandbox.env);
  const agent = await startClearmlAgent({
    server: sandbox.env,
    python,
    queue: 'default',
    workerId: 'tests:prepared',
    packages: 'prepared',
  });
  try {
    for (const [frontEnd, name] of CASES) {
      const id = await clearml.createTask({
        script: {
          repository: pathToFileURL(repository.directory).href,
          branch: 'main',
          version_num: commit,
          entry_point: `${frontEnd}.py`,
          working_dir: '.',
        },
        hyperparams: groupParams(FRONT_ENDS[frontEnd]?.[name] ?? []),
      });
      await clearml.call('tasks.enqueue', { task: id, queue_name: 'default' });
      let task: TaskDocument = {};
      do {
        await sleep(500);
        task = await clearml.getTask(id);
      } while (['created', 'queued', 'in_progress'].includes(task.status));
      const { events } = await clearml.call('events.get_task_log', {
        task: id,
        batch_size: 5000,
        order: 'asc',
      });
      const log = events.map(({ msg }: TaskDocument) => msg).join('\n');
      const { recordings } = readFixture(`frontends/${frontEnd}`) as { recordings: TaskDocument[] };
      const recording = recordings.find((one) => one.case === name);
      const { status, hyperparams } = task;
      expect({ status, hyperparams, ...readTrainedWith(log) }).toEqual({
        status: 'completed',
        hyperparams: recording?.hyperparams,
        trainedWith: recording?.trainedWith,
      });
    }
  } finally {
    await agent.stop();
    await sandbox.close();
    repository.remove();
  }
});
