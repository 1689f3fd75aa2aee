import { expect, test } from '@jest/globals';
import { createSimulatedClock } from '../dev/simulated-clock.ts';
import { type HttpResponse, TransportError } from './http.ts';
import {
  askUntilAnswered,
  createLimitWait,
  createRetryTeller,
  formatRetry,
  type LimitWait,
  type NoAnswer,
} from './retry.ts';

/** Asks a service that gives these answers, one after the other and then the last one for ever. */
function play(
  answers: ReadonlyArray<NoAnswer | 'silence' | 'answer'>,
  options: { readonly limitWait?: LimitWait; readonly timeMs?: number; readonly random?: number } = {},
) {
  const clock = createSimulatedClock(1_000_000);
  const { limitWait, timeMs = 40_000, random = 0 } = options;
  const lines: string[] = [];
  const ask = async () => {
    const open = [...answers];
    const giveUpAtMs = clock.now() + timeMs;
    const next = () => (open.length > 1 ? open.shift() : open[0]);
    const send = async (): Promise<HttpResponse> => {
      const answer = open[0];
      if (answer !== 'silence') return { status: 200, headers: {}, text: '' };
      next();
      throw new TransportError('connection refused by hunter2', 'unsent');
    };
    const wire = {
      http: { send, close: async () => undefined },
      clock,
      redact: (text: string) => text.replaceAll('hunter2', '***'),
      random: () => random,
      onRetry: (retry: Parameters<typeof formatRetry>[0]) => void lines.push(formatRetry(retry)),
      limitWait,
    };
    return askUntilAnswered(wire, {
      request: { method: 'GET', url: 'http://service', headers: {} },
      timeoutMs: 8000,
      isRepeatable: true,
      giveUpAt: () => giveUpAtMs + (limitWait?.waitedMs ?? 0),
      read: () => {
        const answer = next();
        return answer === 'answer' || answer === undefined || answer === 'silence'
          ? { answer: 'fine' }
          : answer;
      },
      words: {
        request: 'Service GET /hunter2/thing',
        silent: 'Service did not answer',
        limited: 'Service takes no more requests',
        unreachable: '',
        lost: '',
        afterLoss: '',
      },
    });
  };
  return { ask, lines, passedMs: () => clock.now() - 1_000_000 };
}

const limited = (pauseMs: number | undefined): NoAnswer => ({
  reason: 'the limit is reached',
  remedy: 'Wait.',
  mayHaveLanded: false,
  isRateLimit: true,
  pauseMs,
});

test('each line about a repetition names service, request, reason and which try of how many follows', async () => {
  const { ask, lines } = play(['silence', 'silence', 'answer']);
  await ask();
  expect(lines).toEqual([
    'Service GET /***/thing: connection refused by ***; trying again in 1s (try 2 of 10)',
    'Service GET /***/thing: connection refused by ***; trying again in 1s (try 3 of 10)',
  ]);
});

test('of requests that wait for the same service for the same reason the first speaks, until it is silent', () => {
  let nowMs = 0;
  const lines: string[] = [];
  const tell = createRetryTeller((line) => void lines.push(line), { now: () => nowMs });
  const fail = (request: string, attempt: number, reason = 'no route') =>
    tell({ request, reason, pauseMs: 1000, attempt, attempts: 9 });
  fail('ClearML a', 2);
  fail('ClearML b', 2);
  fail('GitHub a', 2);
  fail('ClearML b', 2, 'HTTP 502');
  nowMs = 11_000;
  fail('ClearML a', 3);
  fail('ClearML b', 3);
  nowMs = 22_500;
  fail('ClearML b', 4);
  fail('ClearML a', 2);
  expect(lines.map((line) => line.replace('trying again in 1s ', ''))).toEqual([
    'ClearML a: no route; (try 2 of 9)',
    'GitHub a: no route; (try 2 of 9)',
    'ClearML b: HTTP 502; (try 2 of 9)',
    'ClearML a: no route; (try 3 of 9)',
    'ClearML b: no route; (try 4 of 9)',
  ]);
});

test('of requests with the same words too the first of each round speaks', () => {
  let nowMs = 0;
  const lines: string[] = [];
  const tell = createRetryTeller((line) => void lines.push(line), { now: () => nowMs });
  const fail = (attempt: number) =>
    tell({ request: 'ClearML tasks.create', reason: 'no route', pauseMs: 1000, attempt, attempts: 9 });
  for (const attempt of [2, 3, 4]) {
    for (let seed = 1; seed <= 8; seed += 1) fail(attempt);
    nowMs += 1500;
  }
  nowMs = 20_000;
  fail(2);
  expect(lines.map((line) => /\(try .*\)/.exec(line)?.[0])).toEqual([
    '(try 2 of 9)',
    '(try 3 of 9)',
    '(try 4 of 9)',
    '(try 2 of 9)',
  ]);
});

test('the number of tries is the service’s own where it has one, and what fits into the time else', async () => {
  const own = play([{ reason: 'HTTP 500', remedy: '', mayHaveLanded: false, maxAttempts: 3 }]);
  await expect(own.ask()).rejects.toThrow('Service did not answer: HTTP 500');
  expect(own.lines.map((line) => /\(try .*\)/.exec(line)?.[0])).toEqual(['(try 2 of 3)', '(try 3 of 3)']);
  const short = play(['silence'], { timeMs: 1200, random: 1 });
  await expect(short.ask()).rejects.toThrow('Service did not answer');
  expect(short.lines.map((line) => /\(try .*\)/.exec(line)?.[0])).toEqual(['(try 2 of 3)', '(try 3 of 3)']);
});

test('a rate limit is waited for once, beyond the time that there is', async () => {
  const { ask, lines, passedMs } = play([limited(60_000), 'silence', 'answer'], {
    limitWait: createLimitWait(),
  });
  expect(await ask()).toBe('fine');
  expect(passedMs()).toBeGreaterThanOrEqual(60_000);
  expect(lines[0]).toBe('Service GET /***/thing: the limit is reached; trying again in 1m (try 2 of 2)');
});

test('requests at the same time wait for it together', async () => {
  const { ask, passedMs } = play([limited(60_000), 'answer'], { limitWait: createLimitWait() });
  expect(await Promise.all([ask(), ask(), ask()])).toEqual(['fine', 'fine', 'fine']);
  expect(passedMs()).toBeLessThan(62_000);
});

test.each([
  [
    'that is there again after the wait',
    [limited(60_000)],
    'Service takes no more requests, also after 1m: the limit',
    60_000,
  ],
  ['of more than 90 s', [limited(91_000)], 'Service takes no more requests: the limit', 0],
])('a rate limit %s ends it', async (_name, answers, message, tookMs) => {
  const { ask, passedMs } = play(answers, { limitWait: createLimitWait() });
  await expect(ask()).rejects.toThrow(message);
  expect(passedMs()).toBe(tookMs);
});

test('a rate limit that fits into the time costs no extra time, and without the extra time is not waited for', async () => {
  const limitWait = createLimitWait();
  await play([limited(3000), limited(5000), 'answer'], { limitWait }).ask();
  expect(limitWait.waitedMs).toBe(0);
  const { ask, passedMs } = play([limited(60_000), 'answer']);
  await expect(ask()).rejects.toThrow('Service takes no more requests: the limit');
  expect(passedMs()).toBe(0);
});
