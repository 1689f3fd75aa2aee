import type { Clock } from '../core/world.ts';

/**
 * A clock for tests with real connections: its time runs `factor` times as fast as the real one, so that pauses and
 * limits of a minute pass in a second or two, in the same proportion to each other.
 */
export function createHurriedClock(factor: number): Clock {
  const beganMs = Date.now();
  return {
    now: () => beganMs + (Date.now() - beganMs) * factor,
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
        }, ms / factor);
        signal?.addEventListener('abort', onAbort, { once: true });
      }),
  };
}
