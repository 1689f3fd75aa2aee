import { spawn } from 'node:child_process';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from '@jest/globals';
import { startClearmlSandbox } from '../sandbox/clearml-server.ts';
import { createClearmlDriver } from './clearml-driver.ts';
import { createPatientClock } from './patient-clock.ts';
import { noteHungConnection } from './requests-under-way.ts';

const YEAR_MS = 365 * 24 * 3600 * 1000;

let server: Server | undefined;

afterEach(() => {
  server?.closeAllConnections();
  server?.close();
  server = undefined;
});

async function serve(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  const made = createServer(answer);
  server = made;
  await new Promise<void>((resolve) => made.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(made.address() as AddressInfo).port}`;
}

test('a year of waiting takes no time when there is nothing else', async () => {
  const clock = createPatientClock();
  const beganAtMs = clock.now();
  await clock.sleep(YEAR_MS);
  expect(clock.now()).toBe(beganAtMs + YEAR_MS);
});

test('no time passes while a request is on its way', async () => {
  const url = await serve((_, response) => setTimeout(() => response.end('an answer'), 50));
  const clock = createPatientClock();
  const order: string[] = [];
  await Promise.all([
    fetch(url)
      .then((answer) => answer.text())
      .then((text) => order.push(text)),
    clock.sleep(1).then(() => order.push('a millisecond')),
  ]);
  expect(order).toEqual(['an answer', 'a millisecond']);
});

test('no time passes until a test has what it asked the sandbox for, however long that is', async () => {
  const sandbox = await startClearmlSandbox();
  try {
    const driver = createClearmlDriver(sandbox.env);
    const id = await driver.createTask({ comment: 'x'.repeat(10_000_000) });
    const clock = createPatientClock();
    const order: string[] = [];
    await Promise.all([
      driver.getTask(id).then(({ comment }) => order.push(`${comment.length} letters`)),
      clock.sleep(1).then(() => order.push('a millisecond')),
    ]);
    expect(order).toEqual(['10000000 letters', 'a millisecond']);
  } finally {
    await sandbox.close();
  }
});

test('a request to which no answer will come is ended by time alone', async () => {
  const url = await serve(({ socket }) => void noteHungConnection(socket));
  const clock = createPatientClock();
  const limit = new AbortController();
  void clock.sleep(YEAR_MS).then(() => limit.abort(new Error('a year is over')));
  await expect(fetch(url, { signal: limit.signal })).rejects.toThrow('a year is over');
});

test('no time passes while a process runs or its output is on the way', async () => {
  const clock = createPatientClock();
  const order: string[] = [];
  const child = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 50)'], { stdio: 'pipe' });
  await Promise.all([
    new Promise((resolve) => child.once('close', resolve)).then(() => order.push('the end')),
    clock.sleep(1).then(() => order.push('a millisecond')),
  ]);
  expect(order).toEqual(['the end', 'a millisecond']);
});

test('no time passes while hash after hash is made', async () => {
  const clock = createPatientClock();
  const order: string[] = [];
  const hash = async () => {
    for (let count = 0; count < 100; count += 1) await crypto.subtle.digest('SHA-256', new Uint8Array(1000));
  };
  await Promise.all([
    hash().then(() => order.push('the hashes')),
    clock.sleep(1).then(() => order.push('a millisecond')),
  ]);
  expect(order).toEqual(['the hashes', 'a millisecond']);
});
