/** What becomes an annotation in Actions. */
export interface Note {
  readonly message: string;
  /** Where the mistake is: relative to the working directory, or absolute. */
  readonly file?: string | undefined;
  readonly line?: number | undefined;
}

/** A failure of the user's or the world's, shown without a stack. Anything else that is thrown counts as our bug. */
export class Failure extends Error {
  override readonly name = 'Failure';
  /** Why this usually happens and what to do next. */
  readonly remedy: string;
  readonly exitCode: ExitCode;
  /** By default the message and the remedy. */
  readonly notes: readonly Note[];

  constructor(
    message: string,
    options: {
      readonly remedy: string;
      readonly exitCode: ExitCode;
      readonly cause?: unknown;
      readonly notes?: readonly Note[];
    },
  ) {
    super(message, options);
    this.remedy = options.remedy;
    this.exitCode = options.exitCode;
    this.notes = options.notes ?? [{ message: `${message}\n${options.remedy}` }];
  }
}

/** A mistake in the usage or the configuration. */
export function failUsage(message: string, remedy: string, cause?: unknown): Failure {
  return new Failure(message, { exitCode: EXIT_CODES.usage, remedy, cause });
}

/**
 * Makes all checks, so that several mistakes are reported together.
 *
 * @throws Failure with the messages and remedies of all checks that fail
 */
export function checkAll<Results extends readonly unknown[]>(
  ...checks: { readonly [Index in keyof Results]: () => Results[Index] }
): Results {
  const failures: Failure[] = [];
  const results = checks.map((check) => {
    try {
      return check();
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      failures.push(error);
      return undefined;
    }
  });
  const [first] = failures;
  // No check has failed, so every result is there.
  if (first === undefined) return results as unknown as Results;
  if (failures.length === 1) throw first;
  const placed = failures.filter(({ notes }) => notes.some(({ file }) => file !== undefined));
  const others = failures.filter((failure) => !placed.includes(failure));
  const [message, remedy] = joinFailures(failures);
  throw new Failure(message, {
    exitCode: first.exitCode,
    remedy,
    cause: first,
    notes: [
      ...(others.length === 0 ? [] : [{ message: joinFailures(others).join('\n') }]),
      ...placed.flatMap(({ notes }) => notes),
    ],
  });
}

function joinFailures(failures: readonly Failure[]): [message: string, remedy: string] {
  const remedies = new Set(failures.map(({ remedy }) => remedy));
  return [failures.map(({ message }) => message).join('; '), [...remedies].join('\n')];
}

/** The value of some work, or its failure, kept for later. */
export type Settled<T> = { readonly value: T } | { readonly failure: Failure };

/** @throws Failure if one was kept */
export function takeSettled<T>(settled: Settled<T>): T {
  if ('failure' in settled) throw settled.failure;
  return settled.value;
}

/** Waits for the promise and keeps a Failure for later. Any other error is thrown at once. */
export async function settle<T>(promise: Promise<T>): Promise<Settled<T>> {
  try {
    return { value: await promise };
  } catch (error) {
    if (error instanceof Failure) return { failure: error };
    throw error;
  }
}

/** The exit codes of all three programs. The public contract fixes them. */
export const EXIT_CODES = {
  done: 0,
  bug: 1,
  usage: 2,
  failed: 3,
  stopped: 4,
  regression: 5,
  undecided: 6,
  neverStarted: 7,
  refused: 8,
  unavailable: 9,
  notFound: 10,
  timeout: 124,
  interrupted: 130,
  terminated: 143,
} as const;

export type ExitCode = (typeof EXIT_CODES)[keyof typeof EXIT_CODES];

/** The meaning of each exit code, as `--help` and the README show it. */
export const EXIT_CODE_MEANINGS: ReadonlyArray<readonly [ExitCode, string]> = [
  [0, 'done; for check-task-running: every task is completed or published'],
  [1, 'a bug of ours (the stack is shown)'],
  [2, 'usage or configuration, a missing variable included'],
  [3, 'the task failed, or the server stopped it because its worker was lost'],
  [4, 'the task was stopped, aborted, closed, dequeued or reset by someone'],
  [5, 'the gate says no: a metric regressed'],
  [6, 'the gate cannot say'],
  [7, 'never started: queue time-out, or no worker serves the queue'],
  [8, 'ClearML or GitHub refused the credentials or permissions'],
  [9, 'a service did not answer, or answered nonsense, after retries'],
  [10, 'no such task, queue, project, pull request or baseline task'],
  [124, 'the run time-out passed'],
  [130, 'interrupted by SIGINT'],
  [143, 'interrupted by SIGTERM'],
];

/** The system's code of an error (`ENOENT`), else its message. In a test runner Node's errors are no `instanceof Error`. */
export function describeSystemError(error: unknown): string {
  const { message } = (error ?? {}) as { readonly message?: unknown };
  return readErrorCode(error) ?? (typeof message === 'string' ? message : String(error));
}

/** Why a file could not be read: the end of a sentence that begins with its name. */
export function describeReadError(error: unknown): string {
  switch (readErrorCode(error)) {
    case 'ENOENT':
    case 'ENOTDIR':
      return 'does not exist';
    case 'EISDIR':
      return 'is a folder, not a file';
    case 'EACCES':
    case 'EPERM':
      return 'may not be read by this user';
    default:
      return `cannot be read (${describeSystemError(error)})`;
  }
}

/** The `code` that Node and its libraries put on errors. */
export function readErrorCode(error: unknown): string | undefined {
  const { code } = (error ?? {}) as { readonly code?: unknown };
  return typeof code === 'string' ? code : undefined;
}
