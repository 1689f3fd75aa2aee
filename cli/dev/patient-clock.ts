import { randomFill } from 'node:crypto';
import type { Clock } from '../shell/world.ts';
import { isHashUnderWay } from './hashes-under-way.ts';
import { isProcessUnderWay } from './processes-under-way.ts';
import { isRequestInMotion, waitForRest } from './requests-under-way.ts';
import { createSimulatedClock } from './simulated-clock.ts';

/** Work that the operating system does for this process and that has an end: files, names. */
const WORK = /^(?:FSReq|GetAddrInfo)/;

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
  return createSimulatedClock(Date.now(), waitForQuiet);
}

async function waitForQuiet(): Promise<void> {
  for (let turns = 0; turns < QUIET_TURNS; turns += 1) {
    await new Promise((resolve) => setImmediate(resolve));
    if (turns === QUIET_TURNS - 1) await waitForThreads();
    if (await rest()) turns = -1;
  }
}

/** Waits while anything is to be seen that goes on; gives whether there was. */
async function rest(): Promise<boolean> {
  if (isRequestInMotion()) {
    await waitForRest();
    return true;
  }
  if (!isProcessUnderWay() && !isHashUnderWay() && !isWorking()) return false;
  await passMoment();
  return true;
}

function isWorking(): boolean {
  return process.getActiveResourcesInfo().some((resource) => WORK.test(resource));
}

/**
 * What else threads do (decompression) is not to be seen. They take their work in the order in which it was given:
 * when this has come back, all that was given before has been begun.
 */
function waitForThreads(): Promise<void> {
  return new Promise((resolve) => {
    randomFill(new Uint8Array(1), () => resolve());
  });
}

/** A millisecond of the wall's time, for which no process is kept alive. */
function passMoment(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, 1).unref();
  });
}
