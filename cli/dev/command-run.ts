import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** What came of a command: `exitCode` is null where a signal ended it. */
export interface CommandRun {
  readonly exitCode: number | null;
  /** Both streams, as they came. */
  readonly output: string;
}

export interface CommandOptions {
  readonly cwd?: string;
  /** The whole environment; default: ours. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Hears each line of both streams as it comes. */
  readonly onLine?: (line: string) => void;
  /** Aborting sends the command SIGINT: what it has begun it may clear away. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs a command to its end.
 *
 * @returns undefined where there is no such command
 * @throws the signal's reason, once the command has ended, where it was aborted
 */
export async function runCommand(
  command: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandRun | undefined> {
  options.signal?.throwIfAborted();
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: options.env,
    stdio: ['ignore', 'pipe', 'pipe'],
    windowsHide: true,
  });
  const interrupt = () => void child.kill('SIGINT');
  options.signal?.addEventListener('abort', interrupt, { once: true });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      output += `${line}\n`;
      options.onLine?.(line);
    });
  }
  try {
    const exitCode = await new Promise<number | null | undefined>((resolve, reject) => {
      child.on('error', (error: NodeJS.ErrnoException) =>
        error.code === 'ENOENT' ? resolve(undefined) : reject(error),
      );
      child.on('close', (code) => resolve(code));
    });
    options.signal?.throwIfAborted();
    return exitCode === undefined ? undefined : { exitCode, output };
  } finally {
    options.signal?.removeEventListener('abort', interrupt);
  }
}
