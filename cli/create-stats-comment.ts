#!/usr/bin/env tsx
import type { ExitCode } from './core/exit-code.ts';
import type { World } from './core/world.ts';
import { runEntry } from './io/entry.ts';

// Loaded only when it is run: what runs it as a process has switched the compile cache on by then.
const load = () => import('./programs/create-stats-comment.ts');

/** Runs the program; the exit code is what it gives. */
export async function main(world: World): Promise<ExitCode> {
  const program = await load();
  return program.main(world);
}

await runEntry(import.meta.url, load);
