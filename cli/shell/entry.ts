import { existsSync, realpathSync } from 'node:fs';
import * as nodeModule from 'node:module';
import { fileURLToPath } from 'node:url';
import type { Program } from './process.ts';

// What a program's entry loads before compiled code can be cached: Node strips the types of these files at every start,
// so there are no others.

/** Runs a program's `main` as the process, where the entry's module is the file that node was told to run. */
export async function runEntry(moduleUrl: string, load: () => Promise<Program>): Promise<void> {
  if (!isEntry(moduleUrl)) return;
  cacheCompiledCode();
  const { runAsProcess } = await import('./process.ts');
  await runAsProcess(load);
}

/** Whether the module is the file that node was told to run (links followed), not one that a test imports. */
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
 * Keeps what Node makes of our files from here on, TypeScript stripped and compiled: the next program on the same
 * runner starts twice as fast. It lies in node_modules, which nobody commits or shares. Node 22.8 and newer can.
 */
function cacheCompiledCode(): void {
  // In a bundle there is no such file, and no node_modules either.
  if (!import.meta.url.endsWith('/shell/entry.ts')) return;
  const packages = fileURLToPath(new URL('../../node_modules', import.meta.url));
  if (!('enableCompileCache' in nodeModule) || !existsSync(packages)) return;
  const enable = nodeModule.enableCompileCache as (directory: string) => unknown;
  enable(`${packages}/.cache/clearml-ci-cd`);
}
