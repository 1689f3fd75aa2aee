// Preloaded into a program (node --import): its time runs 20 times as fast, so that a test need not wait for minutes; but
// not faster while a request is on its way, so that no answer comes too late because the machine is busy.
import { subscribe } from 'node:diagnostics_channel';

const FACTOR = 20;
const { now } = Date;
const { setTimeout: setRealTimeout } = globalThis;
const beganMs = now();

const underWay = new Set();
let motionMs = 0;
let movingSinceMs;

function keepTime() {
  if (movingSinceMs !== undefined) motionMs += now() - movingSinceMs;
  movingSinceMs = underWay.size > 0 ? now() : undefined;
}

subscribe('undici:request:create', ({ request }) => {
  underWay.add(request);
  keepTime();
});
for (const end of ['trailers', 'error']) {
  subscribe(`undici:request:${end}`, ({ request }) => {
    underWay.delete(request);
    keepTime();
  });
}

function readHurriedMs() {
  keepTime();
  return beganMs + (now() - beganMs - motionMs) * FACTOR + motionMs;
}

Date.now = () => Math.round(readHurriedMs());

globalThis.setTimeout = (callback, ms = 0, ...rest) => {
  const untilMs = readHurriedMs() + ms;
  const timer = setRealTimeout(() => {
    // Time went slower meanwhile.
    if (readHurriedMs() < untilMs - FACTOR) timer.refresh();
    else callback(...rest);
  }, ms / FACTOR);
  return timer;
};
