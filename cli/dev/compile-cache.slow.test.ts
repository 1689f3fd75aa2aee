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
async function runAndCount(program: string): Promise<number> {
  const run = await runCommand(node, [join(copy, 'cli', `${program}.ts`), '--version'], { env: process.env });
  expect(run).toMatchObject({ exitCode: 0 });
  const entries = readdirSync(join(packages, '.cache'), { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).length;
}

test.each(['launch-training-task', 'check-task-running'])(
  '%s, which a job runs once, keeps what it compiled from its second run on',
  async (program) => {
    expect(await runAndCount(program)).toBe(0);
    expect(await runAndCount(program)).toBeGreaterThan(40);
  },
);

test('the report, which a job runs twice, keeps it from its first', async () => {
  expect(await runAndCount('create-stats-comment')).toBeGreaterThan(40);
});
