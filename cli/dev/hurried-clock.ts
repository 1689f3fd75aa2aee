import { systemClock } from '../shell/process.ts';
import type { Clock } from '../shell/world.ts';
import { readMotionMs } from './requests-under-way.ts';

/**
 * A clock for tests with real connections, in which other things happen by the wall's clock: its time runs `factor`
 * times as fast as the real one, so that pauses and limits of a minute pass in a second or two, in the same proportion to
 * each other; but not faster while a request is on its way, so that no answer comes too late because the machine is busy.
 * Where nothing depends on the wall's clock, `createPatientClock` is the better one.
 */
export function createHurriedClock(factor: number): Clock {
  const beganMs = Date.now();
  const beganMotionMs = readMotionMs();
  const now = () => {
    const slowMs = readMotionMs() - beganMotionMs;
    return beganMs + (Date.now() - beganMs - slowMs) * factor + slowMs;
  };
  return {
    now,
    async sleep(ms, signal) {
      const untilMs = now() + ms;
      for (let leftMs = ms; leftMs > 0; leftMs = untilMs - now()) {
        await systemClock.sleep(leftMs / factor, signal);
      }
    },
  };
}
