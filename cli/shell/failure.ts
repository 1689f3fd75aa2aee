import type { ExitCode } from './exit-code.ts';

/**
 * A failure that is the user's or the world's, not ours: shown as a sentence that says what happened and one that
 * says why it usually does and what to do, without a stack. Anything else that is thrown counts as a bug.
 */
export class Failure extends Error {
  override readonly name = 'Failure';
  /** Why this usually happens and what to do next. */
  readonly remedy: string;
  readonly exitCode: ExitCode;

  constructor(
    message: string,
    options: { readonly remedy: string; readonly exitCode: ExitCode; readonly cause?: unknown },
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.remedy = options.remedy;
    this.exitCode = options.exitCode;
  }
}

/**
 * Makes all the checks, so that whoever has made several mistakes hears of them at once.
 *
 * @throws Failure with the messages and the remedies of those that fail
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
  // Where none has failed each result is what its check gave.
  if (first === undefined) return results as unknown as Results;
  if (failures.length === 1) throw first;
  throw new Failure(failures.map(({ message }) => message).join('; '), {
    exitCode: first.exitCode,
    remedy: [...new Set(failures.map(({ remedy }) => remedy))].join('\n'),
    cause: first,
  });
}

/** What came of something: its value, or the failure that is kept for later. */
export type Settled<T> = { readonly value: T } | { readonly failure: Failure };

/** @throws Failure the one that was kept */
export function takeSettled<T>(settled: Settled<T>): T {
  if ('failure' in settled) throw settled.failure;
  return settled.value;
}

/** Waits for the promise and keeps a failure for later; anything else that goes wrong is thrown at once. */
export async function settle<T>(promise: Promise<T>): Promise<Settled<T>> {
  try {
    return { value: await promise };
  } catch (error) {
    if (error instanceof Failure) return { failure: error };
    throw error;
  }
}
