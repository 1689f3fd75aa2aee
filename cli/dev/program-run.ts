import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../shell/process.ts';
import type { Clock, Signal, World } from '../shell/world.ts';
import { loadLazyModules } from './lazy-modules.ts';

/** The three programs. */
export type ProgramName = 'launch-training-task' | 'check-task-running' | 'create-stats-comment';

/** The file below `cli/` that holds each program's options and its `main`. */
export const COMMANDS: Readonly<Record<ProgramName, string>> = {
  'launch-training-task': 'launch/command.ts',
  'check-task-running': 'check/command.ts',
  'create-stats-comment': 'report/command.ts',
};

/** What came of a run. `signal` is the one that killed it; then there is no exit code. */
export interface ProgramRun {
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly args?: readonly string[];
  /** The whole environment but PATH and HOME: nothing of ours leaks into a test. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** Folder of the bundle to run; default: the source, or with TEST_BUNDLES set what `npm run build` has made. */
  readonly bundles?: string;
  /** Node binary; default: the one that runs us. */
  readonly node?: string;
  /** Called once the process runs. */
  readonly onStart?: (process: { kill(signal: NodeJS.Signals): void; readonly pid: number }) => void;
  /** Called with each piece of stderr as it comes. */
  readonly onStderr?: (text: string) => void;
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Where `npm run build` puts the bundled programs. */
export const BUNDLES = `${ROOT}dist`;

/** The one file that the build makes of a program: it needs Node and nothing else. */
export function locateBundle(program: ProgramName, directory = BUNDLES): string {
  return join(directory, `${program}.mjs`);
}

/**
 * Runs a program as a process, as a user does: `node --import tsx cli/PROGRAM.ts …`; with TEST_BUNDLES set
 * (`npm run test:bundle`) what the build made of it: the same tests, the same behaviour.
 */
export async function runProgramProcess(program: ProgramName, options: RunOptions): Promise<ProgramRun> {
  const bundles = options.bundles ?? (process.env.TEST_BUNDLES ? BUNDLES : undefined);
  const child = spawn(
    options.node ?? process.execPath,
    [
      ...(bundles === undefined
        ? ['--import', import.meta.resolve('tsx'), `${ROOT}cli/${program}.ts`]
        : [locateBundle(program, bundles)]),
      ...(options.args ?? []),
    ],
    {
      cwd: options.cwd ?? ROOT,
      env: { PATH: process.env.PATH, HOME: process.env.HOME, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  options.onStart?.({ kill: (signal) => child.kill(signal), pid: child.pid ?? -1 });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
    options.onStderr?.(text);
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (exitCode, signal) => resolve({ exitCode, signal, stdout, stderr }));
  });
}

/** Runs a program's `main` in this process: faster, and with another clock where a wait is long. */
export async function runProgramHere(
  main: (world: World) => Promise<number>,
  options: Pick<RunOptions, 'args' | 'env' | 'cwd'> & {
    readonly clock?: Clock;
    readonly random?: () => number;
    readonly onStart?: (send: (signal: Signal) => void) => void;
    readonly onStderr?: (text: string) => void;
    /** A person looks at stderr. */
    readonly isTerminal?: boolean;
    /** A person types, wherever stderr goes. */
    readonly hasKeyboard?: boolean;
  },
): Promise<Omit<ProgramRun, 'signal'>> {
  await loadLazyModules();
  let stdout = '';
  let stderr = '';
  const listeners = new Set<(signal: Signal) => void>();
  options.onStart?.((signal) => {
    for (const listener of listeners) listener(signal);
  });
  const exitCode = await main({
    argv: options.args ?? [],
    env: options.env,
    cwd: options.cwd ?? ROOT,
    stdout: {
      write: (text) => {
        stdout += text;
      },
    },
    stderr: {
      write: (text) => {
        stderr += text;
        options.onStderr?.(text);
      },
      ...(options.isTerminal === true ? { isTTY: true, columns: 60 } : {}),
    },
    hasKeyboard: options.hasKeyboard ?? false,
    clock: options.clock ?? systemClock,
    random: options.random ?? (() => 0.5),
    onSignal: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  });
  return { exitCode, stdout, stderr };
}
