import { setTimeout as sleep } from 'node:timers/promises';
import { isatty } from 'node:tty';
import { openEarly, type ProgramName } from './connections/early-connections.ts';
import { EXIT_CODES, type ExitCode } from './failure.ts';
import type { Clock, Signal, World } from './world.ts';

/** A program, as an entry loads it. */
export interface Program {
  main(world: World): Promise<number>;
}

/** Loads a program (`name`: while its first connections are opened), runs its `main` in this process and takes over its exit code. */
export async function runAsProcess(load: () => Promise<Program>, name?: ProgramName): Promise<void> {
  if (name !== undefined) openEarly(process.env, name);
  let program: Program;
  try {
    program = await load();
  } catch (error) {
    explainMissingPackage(error);
    return;
  }
  // A small place for new objects: large answers become garbage at once, and would else fill a third of the memory first.
  // Set only now, as loading makes little garbage.
  const { setFlagsFromString } = process.getBuiltinModule('node:v8');
  setFlagsFromString('--semi-space-growth-factor=1');
  // Garbage may become as much as what is in use. By default it is collected when it is three times that.
  setFlagsFromString('--heap-growing-percent=100');
  const output = watchOutput();
  const exitCode = await program.main(createWorld());
  // Errors of a stream arrive after the write.
  await new Promise((resolve) => setImmediate(resolve));
  process.exitCode = exitCode === EXIT_CODES.done ? output.exitCode : exitCode;
  // Ends the process even if something still holds it, such as the socket of an interrupted request.
  setTimeout(() => process.exit(process.exitCode), 500).unref();
}

/**
 * Reports a package that is not installed. Nothing of the program is loaded yet that could.
 *
 * @throws the error if it is another one
 */
function explainMissingPackage(error: unknown): void {
  // An import says "package", a require says "module".
  const [, name] = /^Cannot find (?:package|module) '([^']+)'/.exec(String((error as Error)?.message)) ?? [];
  if (name === undefined || /^[./]|^file:/.test(name)) throw error;
  process.stderr.write(
    `error: the package ${name} is not installed\nRun npm ci --prefix cli in the folder that holds cli, then this again.\n`,
  );
  process.exitCode = EXIT_CODES.usage;
}

/** Reports output that can't be written. The exit code tells whether that happened. */
function watchOutput(): { readonly exitCode: ExitCode } {
  const output: { exitCode: ExitCode } = { exitCode: EXIT_CODES.done };
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      // A reader may close the pipe early (`| head -1`). That is not a failure.
      if (error.code === 'EPIPE') return;
      if (stream === process.stdout) {
        process.stderr.write(
          `error: stdout cannot be written (${error.code ?? error.message})\nCheck where stdout goes: is the disk full? The lines above say what was done.\n`,
        );
      }
      output.exitCode = EXIT_CODES.usage;
    });
  }
  return output;
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
  async sleep(ms, signal) {
    try {
      await sleep(ms, undefined, { signal });
    } catch (error) {
      // Node throws an error of its own, whose cause is the signal's reason.
      throw signal?.reason ?? error;
    }
  },
};
