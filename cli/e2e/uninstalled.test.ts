import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from '@jest/globals';
import { runCommand } from '../dev/command-run.ts';

// The programs as copied, before npm ci.

const CLI = fileURLToPath(new URL('..', import.meta.url));

test('without its packages a program says which one is missing and how it gets there', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'clearml-ci-uninstalled-'));
  try {
    cpSync(CLI, join(folder, 'cli'), {
      recursive: true,
      filter: (path) => !/\/(?:dev|sandbox|e2e|fixtures|node_modules)$|\.test\.ts$/.test(path),
    });
    const programs = ['launch-training-task', 'check-task-running', 'create-stats-comment'];
    const runs = await Promise.all(
      programs.map((program) =>
        runCommand(process.execPath, [
          '--import',
          import.meta.resolve('tsx'),
          join(folder, 'cli', `${program}.ts`),
          '--help',
        ]),
      ),
    );
    for (const run of runs) {
      expect(run?.output).toMatch(
        /^error: the package \w+ is not installed\nRun npm ci --prefix cli in the folder [^\n]*\n$/,
      );
      expect(run?.exitCode).toBe(2);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
