import { expect, test } from '@jest/globals';
import { createPatientClock } from '../dev/patient-clock.ts';
import { Failure } from '../shell/failure.ts';
import { type HttpResponse, TransportError } from '../shell/http.ts';
import { createFetch } from './transport.ts';

const answers: ReadonlyArray<readonly [string, 'GET' | 'POST', () => Promise<HttpResponse>]> = [
  ['an error of the server', 'GET', async () => ({ status: 502, headers: {}, text: '' })],
  ['no connection', 'GET', async () => Promise.reject(new TransportError('refused', 'unsent'))],
  ['a lost answer', 'POST', async () => Promise.reject(new TransportError('cut', 'lost'))],
];

/** What is advised where GitHub at this address gives up on us. */
async function readAdvice(
  apiUrl: string,
  method: string,
  send: () => Promise<HttpResponse>,
): Promise<string> {
  const clock = createPatientClock();
  const giveUpAtMs = clock.now() + 5000;
  const ask = createFetch({
    http: { send, close: async () => undefined },
    clock,
    random: () => 0.5,
    redact: (text) => text,
    apiUrl,
    giveUpAt: () => giveUpAtMs,
  });
  try {
    await ask(`${apiUrl}/repos/acme/digits`, { method });
  } catch (error) {
    if (error instanceof Failure) return error.remedy;
    throw error;
  }
  throw new Error('it was answered');
}

test.each(answers)('after %s, githubstatus.com is named for github.com only', async (_, method, send) => {
  expect(await readAdvice('https://api.github.com', method, send)).toContain('githubstatus.com');
  for (const own of ['https://github.example.com/api/v3', 'https://api.acme.ghe.com', 'http://127.0.0.1:1']) {
    expect(await readAdvice(own, method, send)).not.toContain('githubstatus.com');
  }
});
