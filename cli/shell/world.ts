/** What a program is given from outside, so that a test can hand it another world. */
export interface World {
  /** Arguments after the program's name. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Absolute path of the working directory. */
  readonly cwd: string;
  readonly stdout: TextStream;
  readonly stderr: TextStream;
  /** Whether a person types: the keyboard is stdin, wherever the output goes. */
  readonly hasKeyboard?: boolean;
  readonly clock: Clock;
  /** A number in [0, 1): jitter, and the tokens that need not be secret. */
  readonly random: () => number;
  /** Calls the listener at each SIGINT or SIGTERM; the function given back ends that. */
  readonly onSignal: (listener: (signal: Signal) => void) => () => void;
}

export type Signal = 'SIGINT' | 'SIGTERM';

export interface TextStream {
  write(text: string): unknown;
  /** Whether a person looks at it. */
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
}

export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Ends after `ms`, or rejects with the signal's reason as soon as it is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}
