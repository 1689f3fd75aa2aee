import type { WaitingPhase } from '../training/task-life.ts';

/** How the pause between two looks grows: in proportion to the time watched so far, within bounds. All in ms. */
interface Growth {
  readonly floorMs: number;
  /** Part of the time so far, less `graceMs`. */
  readonly share: number;
  readonly graceMs: number;
  readonly ceilingMs: number;
}

/**
 * While a task runs. An end comes at a random moment of a pause, so it is seen half a pause late on average: less than
 * 2% of the time so far, a request of 50 ms included. The ceiling leaves 0.3 s for the request: never more than 20 s
 * late. Makes at most 269 looks in the first hour.
 */
const RUNNING: Growth = { floorMs: 880, share: 0.0395, graceMs: 4500, ceilingMs: 19_700 };

/** While it waits in a queue, where only the log can be late. Makes at most 269 looks in an hour. */
const QUEUED: Growth = { floorMs: 2000, share: 0.05, graceMs: 0, ceilingMs: 16_000 };

/**
 * How long to wait, in ms, until the next look at a task.
 *
 * @param elapsedMs since our first look at the task in this phase. The pause after that first look is random:
 *   otherwise all runs of one length would be seen late by the same amount, some by a whole pause.
 * @param draw a number in [0, 1)
 */
export function computePollIntervalMs(phase: WaitingPhase, elapsedMs: number, draw: number): number {
  const { floorMs, share, graceMs, ceilingMs } = phase === 'running' ? RUNNING : QUEUED;
  if (elapsedMs <= 0) return Math.round(floorMs * draw);
  return Math.round(Math.min(ceilingMs, Math.max(floorMs, (elapsedMs - graceMs) * share)));
}
