import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
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
  const urls = [...new Set(readFileSync(file, 'utf8').split('\n'))];
  const files = urls
    .map((url) => url.replace(/^.*\/(?=node_modules\/|cli\/)/, ''))
    .filter((url) => url !== '');
  const isRunner = /^node_modules\/(?:tsx|esbuild|@esbuild|get-tsconfig|resolve-pkg-maps)\//;
  const inPackages = files.filter((path) => path.startsWith('node_modules/') && !isRunner.test(path));
  return {
    exitCode: run.exitCode,
    stdout: run.stdout,
    inPackages,
    packages: [
      ...new Set(inPackages.map((path) => /^node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1])),
    ].sort(),
    /** Those of Node itself that take long. */
    builtins: ['http2', 'tls', 'sqlite', 'internal/deps/undici/undici'].filter((name) =>
      files.includes(`builtin:${name}`),
    ),
    own: files.filter((path) => path.startsWith('cli/') && !path.startsWith('cli/dev/')),
  };
}

/** What of undici carries no request of ours: fetch and its like, caches, mocks, and what goes through proxies. */
const NEEDLESS_UNDICI = /undici\/(?:index|lib\/(?:web|mock|cache|interceptor|.*proxy))/;

/** What a report of a training that has completed does without. */
const UNUSUAL = /cause-table|traceback|promotion\/promote|due\/run|posting\/(?:gone|untrained)|github\/reply/;

test('launch loads what talks to ClearML, and no GitHub client or settings schema', async () => {
  const args = ['https://github.com/acme/digits.git', 'main', 'a'.repeat(40)];
  const { exitCode, packages, inPackages, own, builtins } = await listLoadedPackages(
    'launch-training-task',
    args,
  );
  expect(exitCode).toBe(0);
  expect(builtins).toEqual([]);
  expect(packages).toEqual(['commander', 'fastest-levenshtein', 'undici', 'valibot']);
  expect(inPackages).toContain('node_modules/undici/lib/dispatcher/agent.js');
  expect(inPackages.filter((path) => NEEDLESS_UNDICI.test(path))).toEqual([]);
  expect(own).toContain('cli/launch/create-and-enqueue.ts');
  expect(own.filter((path) => /config\.ts|github\/client|launch\/paths/.test(path))).toEqual([]);
});

test('the proxy agent is loaded only behind a proxy, the settings schema only where there are settings', async () => {
  writeFileSync(join(folder, 'settings.yml'), 'queue: default\n');
  const args = ['https://github.com/acme/digits.git', 'main', 'b'.repeat(40), '--config', 'settings.yml'];
  const run = await listLoadedPackages('launch-training-task', args, {
    HTTPS_PROXY: 'http://127.0.0.1:9',
    NO_PROXY: '127.0.0.1,localhost',
  });
  expect(run.exitCode).toBe(0);
  // Every request here goes around the proxy. That it is used elsewhere: e2e/network.test.ts.
  expect(run.inPackages).not.toContain('node_modules/undici/lib/dispatcher/env-http-proxy-agent.js');
  expect(run.packages).toEqual(['commander', 'fastest-levenshtein', 'undici', 'valibot', 'yaml']);
  expect(run.own).toContain('cli/shell/config.ts');
});

test('check never loads a GitHub client, nor does a comment that is only printed', async () => {
  const driver = createClearmlDriver(sandbox.clearml.env);
  const id = await driver.createTask();
  await driver.call('tasks.enqueue', { task: id, queue: (await driver.call('queues.get_default')).id });
  await driver.startTask(id);
  await driver.completeTask(id);
  const check = await listLoadedPackages('check-task-running', [id]);
  expect(check).toMatchObject({ exitCode: 0, stdout: 'completed\n' });
  expect(check.packages).toEqual([
    'commander',
    'fast-string-truncated-width',
    'fastest-levenshtein',
    'undici',
    'valibot',
  ]);
  expect(check.own).toContain('cli/check/watch.ts');
  expect(
    check.own.filter((path) => /config\.ts|github\/git|check\/abort|launch|cause-table/.test(path)),
  ).toEqual([]);
  const printed = await listLoadedPackages('create-stats-comment', [id, '--dry-run']);
  expect(printed.exitCode).toBe(0);
  expect(printed.packages.filter((name) => /octokit|yaml/.test(name ?? ''))).toEqual([]);
  const posted = await listLoadedPackages('create-stats-comment', [id, '--pr', '7'], sandbox.github.env);
  expect(posted.exitCode).toBe(0);
  expect(posted.packages).toContain('@octokit/rest');
  // Neither Node's own fetch, nor what only failures, promotions and the collecting workflow need.
  expect(posted.builtins).toEqual([]);
  expect(posted.own.filter((path) => UNUSUAL.test(path))).toEqual([]);
});

test('what writes a comment is loaded while the answers are under way', async () => {
  const { own } = await listLoadedPackages('create-stats-comment', ['--version']);
  expect(own).toContain('cli/report/subject.ts');
  expect(own.filter((path) => /\/gate\/|report\/(?:report|markdown|sources)|chart/.test(path))).toEqual([]);
});

/** How many of our own files are loaded, and their kilobytes: Node strips the types of each anew on a fresh runner. */
function weigh(own: readonly string[]) {
  const sizes = own.map((path) => statSync(new URL(`../../${path}`, import.meta.url)).size);
  return { files: own.length, kilobytes: sizes.reduce((all, size) => all + size, 0) / 1000 };
}

test.each([
  // As far as the first request; --version ends there.
  { program: 'launch-training-task', isWhole: false, files: 37, kilobytes: 175 },
  { program: 'check-task-running', isWhole: false, files: 40, kilobytes: 182 },
  { program: 'create-stats-comment', isWhole: false, files: 63, kilobytes: 310 },
  { program: 'launch-training-task', isWhole: true, files: 69, kilobytes: 330 },
  { program: 'check-task-running', isWhole: true, files: 72, kilobytes: 340 },
  { program: 'create-stats-comment', isWhole: true, files: 127, kilobytes: 740 },
] as const)('$program loads at most $files files, $kilobytes kB (to the end: $isWhole)', async (budget) => {
  const { program, isWhole } = budget;
  const driver = createClearmlDriver(sandbox.clearml.env);
  const id = await driver.createTask();
  await driver.startTask(id);
  await driver.completeTask(id);
  const args = {
    'launch-training-task': ['https://github.com/acme/digits.git', 'main', 'c'.repeat(40)],
    'check-task-running': [id],
    'create-stats-comment': [id, '--pr', '7'],
  }[program];
  // Without a token a launch does not ask GitHub for the tree of a commit that is not checked out.
  const env = program === 'launch-training-task' ? {} : sandbox.github.env;
  const run = await listLoadedPackages(program, isWhole ? args : ['--version'], env);
  expect(run.exitCode).toBe(0);
  const { files, kilobytes } = weigh(run.own);
  expect(files).toBeLessThanOrEqual(budget.files);
  expect(kilobytes).toBeLessThanOrEqual(budget.kilobytes);
});

test('an install of the programs alone brings no compiler, and the types of GitHub only once', () => {
  const lock = JSON.parse(readFileSync(new URL('../package-lock.json', import.meta.url), 'utf8')) as {
    packages: Record<string, { dev?: boolean; optional?: boolean }>;
  };
  const installed = Object.entries(lock.packages).flatMap(([path, { dev }]) => (dev ? [] : path));
  // An optional peer of valibot: under its own name it would count as one of the product's (31 MB).
  expect(installed.filter((path) => /typescript|esbuild|tsx/.test(path))).toEqual([]);
  expect(installed.filter((path) => path.endsWith('/openapi-types'))).toHaveLength(1);
});
