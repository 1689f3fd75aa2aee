import type { Clock } from './world.ts';

/** How long some work may take. */
interface TimeLimit {
  readonly clock: Clock;
  readonly timeoutMs: number;
  /** The reason of the work's signal when the time is up. */
  readonly reason: Error;
  /** Ends the work early, with its own reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Runs work with a signal that is aborted when the time is up or the caller's signal is. Leaves no timer or listener. */
export async function withTimeLimit<T>(
  { clock, timeoutMs, reason, signal }: TimeLimit,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const limit = new AbortController();
  const timeUp = clock.sleep(timeoutMs, limit.signal).then(
    () => limit.abort(reason),
    () => undefined,
  );
  // Not AbortSignal.any: on Node 20 each such signal stays in memory as long as the caller's.
  const forward = () => limit.abort(signal?.reason);
  if (signal?.aborted === true) forward();
  signal?.addEventListener('abort', forward, { once: true });
  try {
    return await work(limit.signal);
  } finally {
    signal?.removeEventListener('abort', forward);
    limit.abort();
    await timeUp;
  }
}
