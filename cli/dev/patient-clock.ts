import type { Clock } from '../core/world.ts';
import { isRequestInMotion } from './requests-under-way.ts';
import { createSimulatedClock } from './simulated-clock.ts';

/** Work that the operating system does for this process and that has an end: files, processes, names. */
const WORK = /^(?:FSReq|ProcessWrap|GetAddrInfo)/;

/** So many turns of the event loop must bring nothing new. */
const QUIET_TURNS = 4;

/**
 * A clock for tests with real connections: its time stands still while a request is under way, a file is read or a
 * process runs, and jumps to the next one who is to be woken when nothing but waiting is left. So no time limit passes
 * because the machine is busy, and a minute of waiting takes no time.
 *
 * Where it begins is the wall's time: give it to the sandbox as `now`, so that both agree.
 */
export function createPatientClock(): Clock {
  const pipes = countPipes();
  const isQuiet = () => !isRequestInMotion() && !isWorking() && countPipes() <= pipes;
  return createSimulatedClock(Date.now(), () => waitForQuiet(isQuiet));
}

async function waitForQuiet(isQuiet: () => boolean): Promise<void> {
  for (let turns = 0; turns < QUIET_TURNS; ) {
    await new Promise((resolve) => setImmediate(resolve));
    // What threads do (decompression) is not to be seen: it has a moment of real time.
    if (turns === QUIET_TURNS - 1) await passMoment();
    if (isQuiet()) turns += 1;
    else {
      turns = 0;
      await passMoment();
    }
  }
}

function isWorking(): boolean {
  return process.getActiveResourcesInfo().some((resource) => WORK.test(resource));
}

/** Pipes to other processes: a child's output may come after its end. */
function countPipes(): number {
  return process.getActiveResourcesInfo().filter((resource) => resource === 'PipeWrap').length;
}

/** A millisecond of the wall's time, for which no process is kept alive. */
function passMoment(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, 1).unref();
  });
}
