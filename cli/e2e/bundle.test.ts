import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Command } from 'commander';
import { parse } from 'yaml';
import { buildBundles, PROGRAM_NAMES } from '../dev/bundle.ts';
import { type ClearmlDriver, createClearmlDriver } from '../dev/clearml-driver.ts';
import { COMMANDS, locateBundle, type ProgramName } from '../dev/program-run.ts';
import { parseRunnerFile } from '../dev/runner-file.ts';
import { listActionInputs, toArguments } from '../github/action.ts';
import { type Sandbox, startSandbox } from '../sandbox/sandbox.ts';

/** Outside the checkout, without node_modules, templates and package.json above it. */
let folder: string;
let sandbox: Sandbox;
let driver: ClearmlDriver;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'bundles-'));
  await buildBundles(folder);
  sandbox = await startSandbox({
    github: { pulls: [{ number: 7, headRef: 'feature', headSha: 'a'.repeat(40), baseRef: 'main' }] },
  });
  driver = createClearmlDriver(sandbox.clearml.env);
});

afterAll(async () => {
  await sandbox.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Run {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly outputs: Readonly<Record<string, string>>;
}

/** Runs a file as the runner runs an action: no arguments, inputs in the environment. */
async function runFile(
  file: string,
  { args = [], inputs = {}, env = {}, onStderr = (_: string, __: () => void): void => undefined } = {} as {
    args?: readonly string[];
    inputs?: Readonly<Record<string, string>>;
    env?: Readonly<Record<string, string>>;
    onStderr?: (text: string, interrupt: () => void) => void;
  },
): Promise<Run> {
  const outputFile = join(folder, `output-${Math.random()}`);
  writeFileSync(outputFile, '');
  const child = spawn(process.execPath, [file, ...args], {
    cwd: folder,
    env: {
      PATH: process.env.PATH,
      ...sandbox.env,
      GITHUB_OUTPUT: outputFile,
      ...Object.fromEntries(
        Object.entries(inputs).map(([name, value]) => [`INPUT_${name.toUpperCase()}`, value]),
      ),
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
    onStderr(text, () => child.kill('SIGINT'));
  });
  const exitCode = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { exitCode, stdout, stderr, outputs: parseRunnerFile(readFileSync(outputFile, 'utf8')) };
}

const actionOf = (program: ProgramName) => join(folder, program, 'index.mjs');

test.each([...PROGRAM_NAMES])(
  '%s is one file that tells its version and its options anywhere',
  async (program) => {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
    const file = locateBundle(program, folder);
    expect(await runFile(file, { args: ['--version'] })).toMatchObject({
      exitCode: 0,
      stdout: `${version}\n`,
    });
    expect((await runFile(file, { args: ['--help'] })).stdout).toContain('Exit codes:');
  },
);

test('three actions, one after the other, launch, watch and report', async () => {
  const launch = await runFile(actionOf('launch-training-task'), {
    inputs: {
      'repo-url': 'https://github.com/acme/digits.git',
      branch: 'feature',
      commit: 'a'.repeat(40),
      param: 'epochs=3\nlearning_rate=0.1\n',
      reuse: 'false',
      json: '',
    },
  });
  expect(launch).toMatchObject({ exitCode: 0, outputs: { reused: 'false' } });
  const id = launch.outputs['task-id'] ?? '';
  expect(launch.stdout).toBe(`${id}\n`);
  expect((await driver.getTask(id)).hyperparams).toMatchObject({
    Args: { epochs: { value: '3' }, learning_rate: { value: '0.1' } },
  });

  await driver.startTask(id);
  await driver.completeTask(id);
  const check = await runFile(actionOf('check-task-running'), {
    inputs: { 'task-ids': launch.outputs['task-ids'] ?? '', logs: 'false' },
  });
  expect(check).toMatchObject({ exitCode: 0, outputs: { status: 'completed' } });

  const { GH_TOKEN: token, GITHUB_TOKEN: _, ...withoutToken } = sandbox.env as Record<string, string>;
  const comment = await runFile(actionOf('create-stats-comment'), {
    inputs: { 'task-ids': id, pr: '7', gate: 'false', 'github-token': token ?? '' },
    env: { ...withoutToken, GH_TOKEN: '' },
  });
  expect(comment).toMatchObject({ exitCode: 0, stdout: `${comment.outputs['comment-url']}\n` });
  expect(sandbox.github.comments(7)).toHaveLength(1);
});

test('a flag that is neither true nor false is a usage error', async () => {
  const run = await runFile(actionOf('check-task-running'), {
    inputs: { 'task-ids': 'b'.repeat(32), json: 'yes' },
  });
  expect(run.exitCode).toBe(2);
  expect(run.stderr).toContain('--json');
});

test("the runner's signal reaches an action, which ends what it waits for", async () => {
  const launch = await runFile(actionOf('launch-training-task'), {
    inputs: { 'repo-url': 'https://github.com/acme/digits.git', branch: 'main', commit: 'c'.repeat(40) },
    env: { GITHUB_RUN_ID: '41' },
  });
  const id = launch.outputs['task-id'] ?? '';
  let isSent = false;
  const check = await runFile(actionOf('check-task-running'), {
    inputs: { 'task-ids': id },
    env: { GITHUB_RUN_ID: '41' },
    onStderr: (text, interrupt) => {
      // Once: a second signal ends the program at once, and the task stays.
      if (isSent || !/queue/i.test(text)) return;
      isSent = true;
      interrupt();
    },
  });
  expect(check.exitCode).toBe(130);
  expect((await driver.getTask(id)).status).not.toBe('queued');
});

/** The page of a program, in its room. */
function readPage(program: (typeof PROGRAM_NAMES)[number]): string {
  return readFileSync(new URL('README.md', new URL(`../${COMMANDS[program]}`, import.meta.url)), 'utf8');
}

describe("an action's description", () => {
  test.each([...PROGRAM_NAMES])('of %s has the outputs of its page’s table', (program) => {
    const section =
      readPage(program)
        .split(/\n## /)
        .find((text) => text.startsWith('Outputs\n')) ?? '';
    const rows = section.split('\n').filter((line) => line.startsWith('| `'));
    const named = rows.flatMap((row) =>
      [...(row.split('|')[1] ?? '').matchAll(/`([a-z-]+)`/g)].map(([, name]) => name),
    );
    const action = parse(readFileSync(join(folder, program, 'action.yml'), 'utf8'));
    expect(named.length).toBeGreaterThan(2);
    expect(Object.keys(action.outputs)).toEqual(named);
    expect(action.runs).toEqual({ using: 'node24', main: 'index.mjs' });
  });
});

describe('the inputs of', () => {
  test.each([...PROGRAM_NAMES])('%s are the arguments and options of its page’s table', (program) => {
    const page = readPage(program);
    const options = page.split('\n').flatMap((line) => {
      const cell = /^\| (`--[^|]*(?:\\\|[^|]*)*) \|/.exec(line)?.[1] ?? '';
      return [...cell.matchAll(/`--(?:no-)?([a-z-]+)/g)].map(([, name]) => name ?? '');
    });
    const usage = /^`[a-z-]+ ([^`]*)`$/m.exec(page)?.[1] ?? '';
    const positional = [...usage.matchAll(/[[<]([a-z-]+)(…?)/g)].map(([, name, more]) =>
      more === '' ? name : `${name}s`,
    );
    const action = parse(readFileSync(join(folder, program, 'action.yml'), 'utf8'));
    const inputs = Object.keys(action.inputs).filter((name) => !['github-token', 'comment'].includes(name));
    expect(positional.length).toBeGreaterThan(0);
    expect(inputs.sort()).toEqual([...new Set([...positional, ...options])].sort());
  });

  test.each([...PROGRAM_NAMES])('%s reach the program, one by one', async (program) => {
    const { createCommand } = (await import(`../${COMMANDS[program]}`)) as { createCommand(): Command };
    const inputs = listActionInputs(createCommand());
    expect(inputs.length).toBeGreaterThan(8);
    for (const { name, kind, isOn, isOff } of inputs) {
      const key = name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
      const option = createCommand().options.find(({ long }) => long === `--${name}`);
      const text = option?.argChoices?.[0] ?? '7';
      const cases: Array<[value: string, given: unknown]> =
        kind === 'flag'
          ? [...(isOn ? [['true', true] as const] : []), ...(isOff ? [['false', false] as const] : [])].map(
              ([value, given]) => [value, given],
            )
          : [[text, kind === 'list' ? [text] : text]];
      expect(cases.length).toBeGreaterThan(0);
      for (const [value, given] of cases) {
        const env = { 'INPUT_TASK-IDS': 'a', [`INPUT_${name.toUpperCase()}`]: value };
        const command = createCommand().exitOverride();
        command.parse(toArguments(inputs, env), { from: 'user' });
        if (kind === 'argument') expect(command.args).toContain(value);
        else {
          expect([name, command.getOptionValueSource(key)]).toEqual([name, 'cli']);
          expect([name, command.getOptionValue(key)]).toEqual([name, given]);
        }
      }
    }
  });
});

describe('inputs as a command line', () => {
  const command = new Command()
    .argument('[first]')
    .argument('[second]')
    .option('--name <text>')
    .option('--item <text>', 'repeatable', (value: string, earlier: string[] = []) => [...earlier, value])
    .option('--reuse')
    .option('--no-reuse')
    .option('--no-gate')
    .option('--json');
  const toLine = (inputs: Record<string, string>) =>
    toArguments(
      listActionInputs(command),
      Object.fromEntries(
        Object.entries(inputs).map(([name, value]) => [`INPUT_${name.toUpperCase()}`, value]),
      ),
    );

  test.each<[string, Record<string, string>, string[]]>([
    ['nothing', {}, ['--']],
    ['arguments', { first: 'a', second: 'b' }, ['--', 'a', 'b']],
    ['a later argument alone', { second: 'b' }, ['--', '', 'b']],
    ['an option that looks like another', { name: '--json' }, ['--name=--json', '--']],
    ['a list, one item a line', { item: 'a b\r\n\nc' }, ['--item=a b', '--item=c', '--']],
    ['flags that are on', { reuse: 'true', gate: 'true', json: 'true' }, ['--reuse', '--json', '--']],
    [
      'flags that are off',
      { reuse: 'false', gate: 'false', json: 'false' },
      ['--no-reuse', '--no-gate', '--'],
    ],
    ['a flag that is neither', { json: 'yes' }, ['--json=yes', '--']],
    ['an argument that looks like an option', { first: '--json' }, ['--', '--json']],
  ])('%s', (_, inputs, line) => {
    expect(toLine(inputs)).toEqual(line);
  });
});
