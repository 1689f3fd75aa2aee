import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { runCommand } from './command-run.ts';
import { preparePythonEnvironment } from './python-environment.ts';

// train_model.py without any server; sandbox/real-clients.slow.test.ts has it report to one.

const SCRIPT = fileURLToPath(new URL('../../train_model.py', import.meta.url));
/** Three of them take turns, on a busy machine. */
const HANG_SECONDS = 600;

let python: string;
let folder: string;

beforeAll(async () => {
  ({ python } = await preparePythonEnvironment());
  folder = mkdtempSync(join(tmpdir(), 'clearml-ci-training-'));
  // A run that hangs says where each of its threads is, and ends.
  writeFileSync(
    join(folder, 'sitecustomize.py'),
    `import faulthandler\nfaulthandler.dump_traceback_later(${HANG_SECONDS}, exit=True)\n`,
  );
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs it offline, with `threads` for the linear algebra. */
async function train(args: readonly string[], threads = 1) {
  const run = await runCommand(python, [SCRIPT, ...args], {
    cwd: folder,
    env: {
      PATH: process.env.PATH,
      HOME: folder,
      PYTHONPATH: folder,
      CLEARML_OFFLINE_MODE: '1',
      OPENBLAS_NUM_THREADS: String(threads),
    },
  });
  return { exitCode: run?.exitCode, output: run?.output ?? '' };
}

const listNumbers = (output: string) => output.split('\n').filter((line) => /^(epoch|test)/.test(line));

test('the same seed gives the same numbers, whatever the number of threads; another seed gives others', async () => {
  const first = await train(['--epochs', '3', '--seed', '5'], 1);
  const second = await train(['--epochs', '3', '--seed', '5'], 2);
  const other = await train(['--epochs', '3', '--seed', '6']);
  expect([first, second, other]).toMatchObject([{ exitCode: 0 }, { exitCode: 0 }, { exitCode: 0 }]);
  expect(listNumbers(first.output)).toHaveLength(4);
  expect(listNumbers(second.output)).toEqual(listNumbers(first.output));
  expect(listNumbers(other.output)).not.toEqual(listNumbers(first.output));
});

test('a value that makes no sense is refused with exit code 2', async () => {
  const cases = [
    ['--learning_rate', 'nan', 'nan is not above 0'],
    ['--epochs', '2.5', "invalid int value: '2.5'"],
    ['--seed', '4294967296', '4294967296 is not from 0 to 4294967295'],
  ] as const;
  await Promise.all(
    cases.map(async ([option, value, message]) => {
      const run = await train([option, value]);
      expect(run.output).toContain(`argument ${option}: ${message}`);
      expect(run.exitCode).toBe(2);
      // What the SDK says when it has killed a thread of its own, which can leave the script hanging.
      expect(run.output).not.toContain('Failed auto-detecting task repository');
    }),
  );
});
