import { expect, test } from '@jest/globals';
import { computePollIntervalMs } from './poll-schedule.ts';

const HOUR_MS = 3_600_000;
/** What a status request takes on the way. */
const REQUEST_MS = 50;
const DRAWS = Array.from({ length: 100 }, (_, index) => (index + 0.5) / 100);

/** Times of all looks of an hour, or more, in ms since the first one. */
function simulateLooks(draw: number, phase: 'running' | 'queued', untilMs = HOUR_MS): number[] {
  const looks = [0];
  for (let at = 0; at < untilMs; ) {
    at += computePollIntervalMs(phase, at, draw);
    looks.push(at);
  }
  return looks;
}

/** How late a run of each length is seen to end, for each draw. */
function measureLateness(lengthsMs: readonly number[]): number[][] {
  const longestMs = Math.max(...lengthsMs);
  const byDraw = DRAWS.map((draw) => {
    const looks = simulateLooks(draw, 'running', longestMs);
    return lengthsMs.map((lengthMs) => {
      const seenAtMs = looks.find((at) => at >= lengthMs) ?? Number.NaN;
      return seenAtMs + REQUEST_MS - lengthMs;
    });
  });
  return lengthsMs.map((_, index) => byDraw.map((lateness) => lateness[index] ?? Number.NaN));
}

test('a run that ends within 10 s of the first look is seen within 1 s', () => {
  const lengthsMs = Array.from({ length: 400 }, (_, index) => 1 + index * 25);
  for (const lateness of measureLateness(lengthsMs)) expect(Math.max(...lateness)).toBeLessThanOrEqual(1000);
});

test('the end of any longer run is seen within 2% of its length on average, and never more than 20 s late', () => {
  const lengthsMs: number[] = [];
  for (let lengthMs = 25_000; lengthMs < 6 * HOUR_MS; lengthMs *= 1.04) lengthsMs.push(lengthMs);
  expect(lengthsMs.length * DRAWS.length).toBeGreaterThan(10_000);
  measureLateness(lengthsMs).forEach((lateness, index) => {
    expect(Math.max(...lateness)).toBeLessThanOrEqual(20_000);
    const average = lateness.reduce((sum, ms) => sum + ms, 0) / lateness.length;
    expect(average / (lengthsMs[index] ?? 0)).toBeLessThanOrEqual(0.02);
  });
});

test('an hour of running costs at most 270 looks, an hour in the queue too', () => {
  for (const phase of ['running', 'queued'] as const) {
    for (const draw of DRAWS) {
      expect(simulateLooks(draw, phase).filter((at) => at <= HOUR_MS).length).toBeLessThanOrEqual(270);
    }
  }
});

test('the pause never shrinks while a task runs', () => {
  const looks = simulateLooks(0.5, 'running');
  const pauses = looks.slice(1).map((at, index) => at - (looks[index] ?? 0));
  expect(pauses).toEqual([...pauses].sort((a, b) => a - b));
});
