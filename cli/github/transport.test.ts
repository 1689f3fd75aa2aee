import { expect, test } from '@jest/globals';
import { createPatientClock } from '../dev/patient-clock.ts';
import { Failure } from '../shell/failure.ts';
import { type HttpResponse, TransportError } from '../shell/http.ts';
import { createRedactor } from '../shell/redaction.ts';
import { createFetch } from './transport.ts';

const answers: ReadonlyArray<readonly [string, 'GET' | 'POST', () => Promise<HttpResponse>]> = [
  ['an error of the server', 'GET', async () => ({ status: 502, headers: {}, text: '' })],
  ['no connection', 'GET', async () => Promise.reject(new TransportError('refused', 'unsent'))],
  ['a lost answer', 'POST', async () => Promise.reject(new TransportError('cut', 'lost'))],
];

/** How it ends where GitHub at this address does not do what we ask. */
async function readFailure(
  apiUrl: string,
  method: string,
  send: () => Promise<HttpResponse>,
  redact = (text: string) => text,
): Promise<Failure> {
  const clock = createPatientClock();
  const giveUpAtMs = clock.now() + 5000;
  const ask = createFetch({
    http: { send, close: async () => undefined },
    clock,
    random: () => 0.5,
    redact,
    apiUrl,
    giveUpAt: () => giveUpAtMs,
  });
  try {
    await ask(`${apiUrl}/repos/acme/digits`, { method });
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
  throw new Error('it was answered');
}

test.each(answers)('after %s, githubstatus.com is named for github.com only', async (_, method, send) => {
  expect((await readFailure('https://api.github.com', method, send)).remedy).toContain('githubstatus.com');
  for (const own of ['https://github.example.com/api/v3', 'https://api.acme.ghe.com', 'http://127.0.0.1:1']) {
    expect((await readFailure(own, method, send)).remedy).not.toContain('githubstatus.com');
  }
});

test('a token that a long answer repeats is shown nowhere, not even its beginning', async () => {
  const token = `ghs_${'header'.repeat(10)}.${'claims'.repeat(30)}.${'sign'.repeat(70)}`;
  const text = JSON.stringify({ message: `Bad credentials: ${'x'.repeat(60)} ${token}` });
  const send = async () => ({ status: 401, headers: {}, text });
  const { message } = await readFailure('https://api.github.com', 'GET', send, createRedactor([token]));
  expect(message).toMatch(/x \*\*\*$/);
});
