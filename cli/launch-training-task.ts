#!/usr/bin/env tsx
import { runEntry } from './shell/entry.ts';
import type { ExitCode } from './shell/failure.ts';
import type { World } from './shell/world.ts';

// Loaded only when it is run: what runs it as a process has decided on the compile cache by then.
const load = () => import('./launch/command.ts');

/** Runs the program; the exit code is what it gives. */
export async function main(world: World): Promise<ExitCode> {
  const program = await load();
  return program.main(world);
}

await runEntry(import.meta.url, load, 'launch-training-task');
