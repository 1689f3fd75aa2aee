#!/usr/bin/env tsx
import type { ExitCode } from './core/exit-code.ts';
import type { World } from './core/world.ts';
import { runEntry } from './io/entry.ts';

/** Runs the program; the exit code is what it gives. */
export async function main(world: World): Promise<ExitCode> {
  // Loaded only now: what runs it as a process has switched the compile cache on.
  const program = await import('./programs/create-stats-comment.ts');
  return program.main(world);
}

await runEntry(import.meta.url, main);
