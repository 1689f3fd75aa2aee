import type { Clock } from '../shell/world.ts';

interface Sleeper {
  readonly atMs: number;
  readonly wake: () => void;
}

/**
 * A clock for tests. Its time stands still while there is work to do, then jumps to the next timer. A day passes as fast
 * as the code under test can run.
 *
 * @param waitForQuiet ends when all that is left is waiting; default: after all promises
 */
export function createSimulatedClock(
  startMs = 1_000_000,
  waitForQuiet: () => Promise<unknown> = () => new Promise((resolve) => setImmediate(resolve)),
): Clock & { advance(ms: number): void } {
  let nowMs = startMs;
  let sleepers: Sleeper[] = [];
  let isScheduled = false;

  function schedule(): void {
    if (isScheduled) return;
    isScheduled = true;
    // Whoever still has work to do goes first.
    void waitForQuiet().then(() => {
      isScheduled = false;
      const next = sleepers.reduce<Sleeper | undefined>(
        (first, sleeper) => (first === undefined || sleeper.atMs < first.atMs ? sleeper : first),
        undefined,
      );
      if (next === undefined) return;
      nowMs = Math.max(nowMs, next.atMs);
      sleepers = sleepers.filter((sleeper) => sleeper !== next);
      next.wake();
      if (sleepers.length > 0) schedule();
    });
  }

  return {
    now: () => nowMs,
    advance: (ms) => {
      nowMs += ms;
    },
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted === true) {
          reject(signal.reason as Error);
          return;
        }
        const sleeper: Sleeper = {
          atMs: nowMs + ms,
          wake: () => {
            signal?.removeEventListener('abort', onAbort);
            resolve();
          },
        };
        const onAbort = () => {
          sleepers = sleepers.filter((other) => other !== sleeper);
          reject(signal?.reason as Error);
        };
        signal?.addEventListener('abort', onAbort, { once: true });
        sleepers.push(sleeper);
        schedule();
      }),
  };
}
