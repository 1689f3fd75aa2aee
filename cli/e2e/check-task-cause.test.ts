import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type ClearmlDriver, createClearmlDriver } from '../dev/clearml-driver.ts';
import { readFailureConsoles } from '../dev/failure-consoles.ts';
import { runProgramProcess } from '../dev/program-run.ts';
import { type ClearmlSandbox, startClearmlSandbox } from '../sandbox/clearml-server.ts';

// What real agents left behind (training/fixtures/causes), told by the program. How each is recognised: training/cause.test.ts.

const FIXTURES = fileURLToPath(new URL('../training/fixtures/causes/', import.meta.url));

interface Fixture {
  readonly status: 'failed' | 'stopped';
  readonly statusReason: string;
  readonly statusMessage: string;
  readonly log: readonly string[];
}

let sandbox: ClearmlSandbox;
let driver: ClearmlDriver;
let folder: string;

beforeAll(async () => {
  sandbox = await startClearmlSandbox();
  driver = createClearmlDriver(sandbox.env);
  folder = await mkdtemp(join(tmpdir(), 'check-cause-'));
});

afterAll(async () => {
  await sandbox.close();
  await rm(folder, { recursive: true, force: true });
});

/** A task that has ended as the recorded one did. */
async function replay(
  name: string,
  change = (text: string) => text,
): Promise<{ id: string; fixture: Fixture }> {
  const fixture: Fixture = JSON.parse(change(await readFile(join(FIXTURES, `${name}.json`), 'utf8')));
  const id = await driver.createTask({ name, script: { working_dir: '.' } });
  await driver.startTask(id);
  await driver.logLines(id, [`${fixture.log.join('\n')}\n`]);
  await driver.call(`tasks.${fixture.status}`, {
    task: id,
    force: true,
    status_reason: fixture.statusReason,
    status_message: fixture.statusMessage,
  });
  return { id, fixture };
}

function check(args: readonly string[], env: Record<string, string> = {}) {
  return runProgramProcess('check-task-running', { args, cwd: folder, env: { ...sandbox.env, ...env } });
}

test('a key that the training printed stands neither in the log nor in what later steps are handed', async () => {
  const { CLEARML_API_ACCESS_KEY: key = '', CLEARML_API_SECRET_KEY: secret = '' } = sandbox.env;
  const { id } = await replay('exception', (text) =>
    text.replaceAll('bad learning rate', `no access with ${key} and ${btoa(secret)}, rate`),
  );
  const outputs = join(folder, 'outputs');
  await writeFile(outputs, '');
  const run = await check([id], { GITHUB_OUTPUT: outputs });
  const written = await readFile(outputs, 'utf8');
  expect(written).toContain('ValueError: no access with *** and ***, rate 3');
  for (const text of [written, run.stdout, run.stderr]) {
    expect(text).not.toContain(key);
    expect(text).not.toContain(btoa(secret));
  }
});

test('for every way to fail the kind of cause, and the place where there is one, are told', async () => {
  const names = (await readdir(FIXTURES)).map((file) => basename(file, '.json')).sort();
  const tasks = await Promise.all(names.map((name) => replay(name)));
  const run = await check(['--json', '--no-logs', ...tasks.map(({ id }) => id)]);
  expect(run.exitCode).toBe(3);
  const found = JSON.parse(run.stdout).tasks.map(
    ({ cause }: { cause: { kind: string; file: string | null; line: number | null } }, index: number) => [
      names[index],
      cause.kind,
      ...(cause.file === null ? [] : [`${cause.file}:${cause.line}`]),
    ],
  );
  expect(found).toEqual([
    ['abort', 'training'],
    ['agent-shut-down', 'worker-lost'],
    ['argument-error', 'training'],
    ['bad-diff', 'setup'],
    ['chained-exception', 'training', 'chained-exception.py:8'],
    ['clone-failed', 'setup'],
    ['crash', 'training'],
    ['docker-failed', 'setup'],
    ['exception', 'training', 'lib/model.py:3'],
    ['exception-in-library', 'training', 'exception-in-library.py:6'],
    ['exit-after-caught', 'training'],
    ['exit-code', 'training'],
    ['killed', 'out-of-memory'],
    ['kubernetes-image', 'setup'],
    ['kubernetes-pod-deleted', 'worker-lost'],
    ['kubernetes-refused', 'setup'],
    ['memory-error', 'out-of-memory', 'memory-error.py:5'],
    ['missing-commit', 'setup'],
    ['missing-entry-point', 'setup'],
    ['missing-module', 'training', 'missing-module.py:3'],
    ['missing-requirement', 'setup'],
    ['missing-working-dir', 'setup'],
    ['out-of-memory', 'out-of-memory'],
    ['stopped', 'stopped'],
    ['syntax-error', 'training', 'syntax-error.py:3'],
    ['worker-lost', 'worker-lost'],
  ]);
});

test('in Actions the exception stands on its line of the diff, with the reason, the log, the link and what to do', async () => {
  const { id, fixture } = await replay('exception');
  const run = await check([id], { GITHUB_ACTIONS: 'true' });
  expect(run).toMatchObject({ exitCode: 3, stdout: 'failed\n' });
  const url = `${sandbox.webHost}/projects/*/tasks/${id}/output/log`;
  const headline = `task ${id} "exception" failed: ValueError: bad learning rate 3 (lib/model.py:3)`;
  expect(run.stderr).toContain(`error: ${headline}\n`);
  expect(run.stderr).toContain(
    'ClearML says: failed, worker execution exit code 1; Changed by clearml-agent gpu-box:0\n',
  );
  expect(run.stderr).toContain(`${fixture.log.slice(-40).join('\n')}\n`);
  expect(run.stderr).toContain(`Correct the training and push. The push trains the new commit.\n${url}\n`);
  expect(run.stderr.match(/^::error .*$/gm)).toEqual([
    `::error file=lib/model.py,line=3::${headline}%0ACorrect the training and push. The push trains the new commit.%0A${url}`,
  ]);
});

test('a task that has ended long ago is told at once, and again the same', async () => {
  const { id } = await replay('clone-failed');
  const first = await check([id]);
  const again = await check([id]);
  expect(again).toEqual(first);
  expect(first.exitCode).toBe(3);
});

test('an agent that was shut down is a lost worker, with its exit code, whether the log is shown or not', async () => {
  const { id } = await replay('agent-shut-down');
  for (const flags of [[], ['--no-logs']]) {
    const run = await check([...flags, id]);
    expect(run).toMatchObject({ exitCode: 3, stdout: 'stopped\n' });
    expect(run.stderr).toContain('the worker was lost: its agent was shut down while it ran the task\n');
  }
});

test('the log that is shown with a failure begins with the cause, where a launcher has gone on printing', async () => {
  const found = readFailureConsoles().find(({ name }) => name === 'torchrun rank OOM');
  const log = [
    ...(found?.log.slice(0, -1) ?? []),
    ...Array.from({ length: 60 }, (_, index) => `E1128 frame ${index}`),
  ];
  const id = await driver.createTask({ name: 'launched', script: { working_dir: '.' } });
  await driver.startTask(id);
  await driver.logLines(id, [`${log.join('\n')}\n`, 'Process failed, exit code 1']);
  await driver.failTask(id);
  const run = await check([id], { GITHUB_ACTIONS: 'true' });
  const [, excerpt = ''] = run.stderr.split('\n40 lines of its log, from the cause on:\n');
  expect(excerpt.split('\n').slice(1, 3)).toEqual(log.slice(2, 4));
  expect(excerpt).toContain('\n[rank1]: torch.OutOfMemoryError: CUDA out of memory.');
  expect(run.stderr).toContain('failed: torch.OutOfMemoryError: CUDA out of memory.');
});
