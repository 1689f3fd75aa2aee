import { existsSync, realpathSync } from 'node:fs';
import * as nodeModule from 'node:module';
import { fileURLToPath } from 'node:url';
import type { ProgramName } from './connections/early-connections.ts';
import type { Program } from './process.ts';

// A program's entry loads only this file before the compile cache is on: Node strips its types at every start.

/** Runs a program's `main` as the process, if the module is the file that node was told to run. */
export async function runEntry(
  moduleUrl: string,
  load: () => Promise<Program>,
  name: ProgramName,
): Promise<void> {
  if (!isEntry(moduleUrl)) return;
  cacheCompiledCode();
  const { runAsProcess } = await import('./process.ts');
  await runAsProcess(load, name);
}

/** Whether the module is the file that node was told to run (links followed), not a test's import. */
export function isEntry(moduleUrl: string): boolean {
  const script = process.argv[1];
  if (script === undefined) return false;
  try {
    return realpathSync(script) === fileURLToPath(moduleUrl);
  } catch {
    return false;
  }
}

/**
 * Caches the compiled code of all files loaded from here on: the next run on this machine starts twice as fast. To write it
 * takes as long as it saves. A fresh runner, where each program runs once or twice, is left without.
 *
 * The cache is in node_modules, which is neither committed nor shared: that of `cli` in a copy, that of its parent in a clone.
 * Needs Node 22.8.
 */
function cacheCompiledCode(): void {
  // A bundle has neither this file nor node_modules.
  if (!import.meta.url.endsWith('/shell/entry.ts')) return;
  if (process.env.GITHUB_ACTIONS === 'true' || !('enableCompileCache' in nodeModule)) return;
  const packages = ['../node_modules', '../../node_modules']
    .map((path) => fileURLToPath(new URL(path, import.meta.url)))
    .find((path) => existsSync(path));
  if (packages === undefined) return;
  const enable = nodeModule.enableCompileCache as (directory: string) => unknown;
  enable(`${packages}/.cache/clearml-ci-cd`);
}
