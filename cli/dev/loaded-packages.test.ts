import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type Sandbox, startSandbox } from '../sandbox/sandbox.ts';
import { createClearmlDriver } from './clearml-driver.ts';
import { type ProgramName, runProgramProcess } from './program-run.ts';

let sandbox: Sandbox;
let folder: string;

beforeAll(async () => {
  sandbox = await startSandbox({
    github: { pulls: [{ number: 7, headRef: 'feature', headSha: 'a'.repeat(40), baseRef: 'main' }] },
  });
  folder = mkdtempSync(join(tmpdir(), 'loaded-packages-'));
});

afterAll(async () => {
  await sandbox.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Runs a program as a process; gives its exit code and the packages of node_modules that it loaded. */
async function listLoadedPackages(
  program: ProgramName,
  args: readonly string[],
  env: Record<string, string> = {},
) {
  const file = join(folder, `${program}-${Math.random()}`);
  const run = await runProgramProcess(program, {
    args,
    // No settings file here: with one, yaml is loaded too.
    cwd: folder,
    env: {
      ...sandbox.clearml.env,
      ...env,
      LOADED_MODULES: file,
      NODE_OPTIONS: `--import ${new URL('load-recorder.mjs', import.meta.url).href}`,
    },
  });
  const urls = readFileSync(file, 'utf8').split('\n');
  const names = urls.map((url) => /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1]);
  const isRunner = (name: string) => /^(?:tsx|esbuild|@esbuild|get-tsconfig|resolve-pkg-maps)/.test(name);
  return {
    exitCode: run.exitCode,
    stdout: run.stdout,
    packages: [...new Set(names)].filter((name) => name !== undefined && !isRunner(name)).sort(),
  };
}

const ALWAYS = ['commander', 'dotenv', 'undici', 'valibot'];

test('launch loads what talks to ClearML, and no GitHub client', async () => {
  const args = ['https://github.com/acme/digits.git', 'main', 'a'.repeat(40)];
  const { exitCode, packages } = await listLoadedPackages('launch-training-task', args);
  expect(exitCode).toBe(0);
  expect(packages.filter((name) => !ALWAYS.includes(name ?? ''))).toEqual(
    ['parse-duration', 'pretty-ms', 'parse-ms'].sort(),
  );
});

test('check never loads a GitHub client, nor does a comment that is only printed', async () => {
  const driver = createClearmlDriver(sandbox.clearml.env);
  const id = await driver.createTask();
  await driver.call('tasks.enqueue', { task: id, queue: (await driver.call('queues.get_default')).id });
  await driver.startTask(id);
  await driver.completeTask(id);
  const check = await listLoadedPackages('check-task-running', [id]);
  expect(check).toMatchObject({ exitCode: 0, stdout: 'completed\n' });
  expect(check.packages.filter((name) => /octokit|mdast|micromark|mustache|yaml/.test(name ?? ''))).toEqual(
    [],
  );
  const printed = await listLoadedPackages('create-stats-comment', [id, '--dry-run']);
  expect(printed.exitCode).toBe(0);
  expect(printed.packages.filter((name) => /octokit|yaml/.test(name ?? ''))).toEqual([]);
  const posted = await listLoadedPackages('create-stats-comment', [id, '--pr', '7'], sandbox.github.env);
  expect(posted.exitCode).toBe(0);
  expect(posted.packages).toContain('@octokit/rest');
});
