import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { preparePythonEnvironment } from './python-environment.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'clearml-ci-python-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** Options for an environment in a directory of the test's own, with no packages but those given. */
function withRequirements(requirements: string) {
  const requirementsFile = join(directory, 'requirements.txt');
  writeFileSync(requirementsFile, requirements);
  return { requirementsFile, tools: [], cacheDirectory: join(directory, 'cache') };
}

/** The environments, complete or not, without the links to them. */
const listEnvironments = () => readdirSync(join(directory, 'cache')).filter((name) => /-.*-/.test(name));

test('two callers at once share one environment, the next finds it, and a removed one is made again', async () => {
  const options = withRequirements('# nothing');
  const heard: string[] = [];
  const onProgress = (message: string) => void heard.push(message);
  const [first, second] = await Promise.all([
    preparePythonEnvironment({ ...options, onProgress }),
    preparePythonEnvironment(options),
  ]);
  expect(first.python).toBe(second.python);
  expect(listEnvironments()).toHaveLength(1);
  expect(heard[0]).toMatch(/^Making a Python 3/);
  const prefix = execFileSync(first.python, ['-c', 'import sys, pip; print(sys.prefix)'], {
    encoding: 'utf8',
  });
  expect(first.python.startsWith(prefix.trim())).toBe(true);

  heard.length = 0;
  const third = await preparePythonEnvironment({ ...options, onProgress });
  expect(third).toEqual({ python: first.python, isReused: true });
  expect(heard).toEqual([]);

  for (const name of listEnvironments()) rmSync(join(directory, 'cache', name), { recursive: true });
  const fourth = await preparePythonEnvironment(options);
  expect(fourth).toEqual({ python: first.python, isReused: false });
  execFileSync(fourth.python, ['--version']);
});

test('where pip fails, its last lines are shown and nothing stays behind', async () => {
  const options = withRequirements(`missing @ file://${directory}/missing.whl`);
  await expect(preparePythonEnvironment(options)).rejects.toMatchObject({
    message: expect.stringMatching(/^pip could not install what the training needs:[\s\S]*missing\.whl/),
    exitCode: 9,
    remedy: expect.stringContaining('package index'),
  });
  expect(readdirSync(join(directory, 'cache'))).toEqual([]);
});

test('an aborted preparation ends and leaves nothing behind', async () => {
  const abort = new AbortController();
  const reason = new Error('enough');
  const preparing = preparePythonEnvironment({
    ...withRequirements('# nothing'),
    signal: abort.signal,
    onProgress: () => abort.abort(reason),
  });
  await expect(preparing).rejects.toBe(reason);
  expect(readdirSync(join(directory, 'cache'))).toEqual([]);
});
