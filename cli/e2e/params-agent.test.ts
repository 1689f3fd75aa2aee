import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { main as check } from '../check-task-running.ts';
import { main as report } from '../create-stats-comment.ts';
import { type ClearmlAgent, startClearmlAgent } from '../dev/clearml-agent.ts';
import { runProgramHere } from '../dev/program-run.ts';
import { preparePythonEnvironment } from '../dev/python-environment.ts';
import { createScratchRepository, type ScratchRepository } from '../dev/scratch-repository.ts';
import { main as launch } from '../launch-training-task.ts';
import { type ClearmlSandbox, startClearmlSandbox } from '../sandbox/clearml-server.ts';

// argparse and `task.connect` of the real SDK, run by a real agent. The seed is connected, where --seeds does not write.

const TRAINING = `import argparse
from clearml import Task

task = Task.init(project_name='digits', task_name='train', reuse_last_task_id=False)
parser = argparse.ArgumentParser()
parser.add_argument('--lr', type=float, default=0.1)
parser.add_argument('--epochs', type=int, default=5)
args = parser.parse_args()
config = {'seed': 42}
task.connect(config)
print('trained with', args.lr, args.epochs, config['seed'], flush=True)
for epoch in range(args.epochs):
    task.get_logger().report_scalar('test', 'accuracy', 0.8 + epoch / 100, epoch)
`;

let sandbox: ClearmlSandbox;
let repository: ScratchRepository;
let agent: ClearmlAgent;

beforeAll(async () => {
  const { python } = await preparePythonEnvironment();
  repository = createScratchRepository();
  sandbox = await startClearmlSandbox();
  agent = await startClearmlAgent({
    server: sandbox.env,
    python,
    queue: 'gpu',
    workerId: 'tests:gpu',
    packages: 'prepared',
  });
});

afterAll(async () => {
  await agent.stop();
  await sandbox.close();
  repository.remove();
});

test('a misspelt param and seeds that nothing reads are told while the tasks run and in the comment', async () => {
  const commit = repository.commit('A training', { 'train_model.py': TRAINING, 'requirements.txt': '' });
  const here = { env: { ...sandbox.env, GITHUB_REPOSITORY: 'acme/digits' }, cwd: repository.directory };
  const params = ['--param', 'lrr=0.5', '--param', 'epochs=3', '--seeds', '2', '--queue', 'gpu'];
  const code = [pathToFileURL(repository.directory).href, 'main', commit];
  const launched = await runProgramHere(launch, { ...here, args: [...code, ...params] });
  expect(launched.exitCode).toBe(0);
  const ids = launched.stdout.trim().split('\n');

  const watched = await runProgramHere(check, { ...here, args: [...ids, '--json'] });
  expect(watched.stderr).toContain('trained with 0.1 3 42');
  expect(JSON.parse(watched.stdout).tasks[1].params).toEqual([
    { name: 'Args/epochs', given: '3', value: '3', state: 'kept' },
    { name: 'Args/lrr', given: '0.5', value: '0.5', state: 'undeclared' },
    { name: 'Args/seed', given: '2', value: '2', state: 'undeclared' },
  ]);
  for (const id of ids)
    expect(watched.stderr).toMatch(new RegExp(`warning: tasks? .*${id}.*lrr did not reach`));
  expect(watched.stderr).toContain(
    'lrr did not reach the training, it seems: the training declares lr. Args/seed did not reach the training, it seems: the training declares General/seed.',
  );

  const commented = await runProgramHere(report, { ...here, args: [...ids, '--pr', '7', '--dry-run'] });
  expect(commented.stdout).toContain(
    '**`lrr` did not reach the training**, it seems: the training declares `lr`.',
  );
  expect(commented.stdout).toContain(
    '**The seeds did not reach the training**, it seems, which declares `General/seed`',
  );
});
