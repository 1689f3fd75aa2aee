import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { runCommand } from './command-run.ts';
import { findNodeDirectory } from './node-release.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const node = join((await findNodeDirectory(24)) ?? '', 'node');

let copy: string;
let packages: string;

beforeEach(() => {
  copy = mkdtempSync(join(tmpdir(), 'compile-cache-'));
  cpSync(join(ROOT, 'cli'), join(copy, 'cli'), {
    recursive: true,
    filter: (from) => !/[\\/]cli[\\/](?:dev|e2e|sandbox|node_modules)$|\.test\.ts$/.test(from),
  });
  packages = join(copy, 'cli', 'node_modules');
  mkdirSync(packages);
  for (const name of readdirSync(join(ROOT, 'node_modules')).filter((entry) => !entry.startsWith('.')))
    symlinkSync(join(ROOT, 'node_modules', name), join(packages, name));
});

afterEach(() => rmSync(copy, { recursive: true, force: true }));

/** Runs a program, and counts the files in the cache afterwards. */
async function runAndCount(env: Record<string, string>): Promise<number> {
  const script = join(copy, 'cli', 'create-stats-comment.ts');
  const { GITHUB_ACTIONS: _, ...own } = process.env;
  const run = await runCommand(node, [script, '--version'], { env: { ...own, ...env } });
  expect(run).toMatchObject({ exitCode: 0 });
  const entries = readdirSync(packages, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).length;
}

test('a program keeps what it compiled for its next run', async () => {
  expect(await runAndCount({})).toBeGreaterThan(40);
});

test('on a runner, which is thrown away after the job, a program writes nothing for a next run', async () => {
  expect(await runAndCount({ GITHUB_ACTIONS: 'true' })).toBe(0);
});
