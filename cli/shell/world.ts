/** What a program gets from outside, so that a test can give it something else. */
export interface World {
  /** Arguments after the program's name. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Absolute path of the working directory. */
  readonly cwd: string;
  readonly stdout: TextStream;
  readonly stderr: TextStream;
  /** Whether stdin is a keyboard, wherever the output goes. */
  readonly hasKeyboard?: boolean;
  readonly clock: Clock;
  /** A number in [0, 1), for jitter and for tokens that need not be secret. */
  readonly random: () => number;
  /** Calls the listener at each SIGINT and SIGTERM. The returned function unsubscribes it. */
  readonly onSignal: (listener: (signal: Signal) => void) => () => void;
}

export type Signal = 'SIGINT' | 'SIGTERM';

export interface TextStream {
  write(text: string): unknown;
  /** Whether it is a terminal. */
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
}

export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Ends after `ms`, or rejects with the signal's reason as soon as it is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}
