import { randomFill } from 'node:crypto';
import type { Clock } from '../shell/world.ts';
import { isDecompressing } from './decompression-under-way.ts';
import { isHashUnderWay } from './hashes-under-way.ts';
import { isProcessUnderWay } from './processes-under-way.ts';
import { isRequestInMotion, waitForRest } from './requests-under-way.ts';
import { createSimulatedClock } from './simulated-clock.ts';

/** Finite work of the operating system for this process: files and name look-ups. */
const WORK = /^(?:FSReq|GetAddrInfo)/;

/** Time may pass after this many turns of the event loop without news. */
const QUIET_TURNS = 4;

/**
 * A clock for tests with real connections. Its time stands still while a request is under way, a file is read or a
 * process runs. When everything waits, it jumps to the next timer. So a busy machine causes no time-out, and a minute of
 * waiting takes no time.
 *
 * It starts at the real time. Give it to the sandbox as `now`, so that both agree.
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

/** Waits while visible work is under way. Returns whether there was any. */
async function rest(): Promise<boolean> {
  if (isRequestInMotion()) {
    await waitForRest();
    return true;
  }
  if (!isProcessUnderWay() && !isHashUnderWay() && !isDecompressing() && !isWorking()) return false;
  await passMoment();
  return true;
}

function isWorking(): boolean {
  return process.getActiveResourcesInfo().some((resource) => WORK.test(resource));
}

/**
 * Other work of threads is not visible. Threads start work in order, so when this returns, all
 * earlier work has started.
 */
function waitForThreads(): Promise<void> {
  return new Promise((resolve) => {
    randomFill(new Uint8Array(1), () => resolve());
  });
}

/** A millisecond of real time. It does not keep the process alive. */
function passMoment(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, 1).unref();
  });
}
