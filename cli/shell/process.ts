import { isatty } from 'node:tty';
import { EXIT_CODES, type ExitCode } from './failure.ts';
import type { Clock, Signal, World } from './world.ts';

/** What an entry loads. */
export interface Program {
  main(world: World): Promise<number>;
}

/** Loads a program, runs its `main` in this process and lets its exit code be the process's. */
export async function runAsProcess(load: () => Promise<Program>): Promise<void> {
  let program: Program;
  try {
    program = await load();
  } catch (error) {
    explainMissingPackage(error);
    return;
  }
  const output = watchOutput();
  const exitCode = await program.main(createWorld());
  // A stream's error comes after the write: let it.
  await new Promise((resolve) => setImmediate(resolve));
  process.exitCode = exitCode === EXIT_CODES.done ? output.exitCode : exitCode;
  endEvenIfBusy(process.exitCode);
}

/**
 * Tells that a package is not installed, and how it gets there: packages are loaded before there is anybody else to tell
 * it.
 *
 * @throws the error where it is another one
 */
function explainMissingPackage(error: unknown): void {
  // Of an import, and of a require.
  const [, name] = /^Cannot find (?:package|module) '([^']+)'/.exec(String((error as Error)?.message)) ?? [];
  if (name === undefined || /^[./]|^file:/.test(name)) throw error;
  process.stderr.write(
    `error: the package ${name} is not installed\nRun npm ci in the folder that holds package.json, then this again.\n`,
  );
  process.exitCode = EXIT_CODES.usage;
}

/** Hears of output that can't be written; the exit code tells whether that happened. */
function watchOutput(): { readonly exitCode: ExitCode } {
  let exitCode: ExitCode = EXIT_CODES.done;
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      // Whoever reads us may close the pipe early (`| head -1`); that is no failure of ours.
      if (error.code === 'EPIPE') return;
      if (stream === process.stdout) {
        process.stderr.write(
          `error: stdout cannot be written (${error.code ?? error.message})\nLook where it leads to (a full disk?); what was done is said above.\n`,
        );
      }
      exitCode = EXIT_CODES.usage;
    });
  }
  return {
    get exitCode() {
      return exitCode;
    },
  };
}

/**
 * Ends the process though something still holds it: a socket of an interrupted request, say. The timer does not hold
 * it itself, and output still under way has its time.
 */
function endEvenIfBusy(exitCode: number): void {
  setTimeout(() => process.exit(exitCode), 500).unref();
}

function createWorld(): World {
  return {
    argv: process.argv.slice(2),
    env: process.env,
    cwd: process.cwd(),
    stdout: process.stdout,
    stderr: process.stderr,
    hasKeyboard: isatty(0),
    clock: systemClock,
    random: Math.random,
    onSignal: (listener) => {
      const signals: Signal[] = ['SIGINT', 'SIGTERM'];
      const forward = (signal: NodeJS.Signals) => listener(signal as Signal);
      for (const signal of signals) process.on(signal, forward);
      return () => {
        for (const signal of signals) process.off(signal, forward);
      };
    },
  };
}

/** The machine's clock and its timers. */
export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(signal.reason as Error);
        return;
      }
      const onAbort = () => {
        clearTimeout(timer);
        reject(signal?.reason as Error);
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      }, ms);
      signal?.addEventListener('abort', onAbort, { once: true });
    }),
};
