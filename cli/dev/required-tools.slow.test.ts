import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { checkGit, findPython } from './required-tools.ts';

let bin: string;
beforeEach(() => {
  bin = mkdtempSync(join(tmpdir(), 'clearml-ci-tools-'));
});
afterEach(() => rmSync(bin, { recursive: true }));

/** A PATH that holds nothing but these programs, each a shell script. */
function pathWith(programs: Record<string, string>): { PATH: string } {
  for (const [name, script] of Object.entries(programs)) {
    writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(bin, name), 0o755);
  }
  return { PATH: bin };
}

const pythonOf = (version: string) => `echo /usr/bin/python-${version}; echo ${version}`;

test('finds the Python that is installed', async () => {
  const python = await findPython();
  expect(python.version).toMatch(/^3\.\d+\.\d+$/);
});

test('takes a newer Python where python3 is too old', async () => {
  const env = pathWith({ python3: pythonOf('3.8.10'), 'python3.12': pythonOf('3.12.1') });
  expect(await findPython(env)).toEqual({ executable: '/usr/bin/python-3.12.1', version: '3.12.1' });
});

test('passes over a python3 that does not run', async () => {
  const env = pathWith({ python3: 'echo "command not found" >&2; exit 127', python: pythonOf('3.10.0') });
  expect((await findPython(env)).version).toBe('3.10.0');
});

test.each([
  ['missing', {}, 'Python is not installed'],
  ['too old', { python3: pythonOf('3.9.18') }, 'Python is too old (/usr/bin/python-3.9.18 is 3.9.18)'],
  ['Python 2', { python: pythonOf('2.7.18') }, 'Python is too old (/usr/bin/python-2.7.18 is 2.7.18)'],
])('says what to do where Python is %s', async (_case, programs, message) => {
  await expect(findPython(pathWith(programs))).rejects.toMatchObject({
    message,
    exitCode: 2,
    remedy: expect.stringContaining('needs 3.10 or newer: install it'),
  });
});

test.each([
  ['git version 2.28.0', '2.28.0'],
  ['git version 2.39.5 (Apple Git-154)', '2.39.5'],
  ['git version 3.0.1', '3.0.1'],
])('accepts %s', async (output, version) => {
  expect(await checkGit(pathWith({ git: `echo '${output}'` }))).toBe(version);
});

test.each([
  ['missing', {}, 'git is not installed'],
  ['too old', { git: 'echo git version 2.17.1' }, 'git is too old (2.17.1)'],
  ['only a stand-in', { git: 'echo "xcode-select: install the tools" >&2; exit 1' }, 'git is not installed'],
])('says what to do where git is %s', async (_case, programs, message) => {
  await expect(checkGit(pathWith(programs))).rejects.toMatchObject({
    message,
    exitCode: 2,
    remedy: expect.stringContaining('install it'),
  });
});
