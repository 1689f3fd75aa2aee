import { createServer, type Server } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { createHttp, type Http, TransportError } from '../http.ts';
import { systemClock } from '../process.ts';
import { openEarly, takeEarly } from './early-connections.ts';

let server: Server;
let origin: string;
let http: Http;
const sockets: Socket[] = [];

async function listen(): Promise<void> {
  server = createServer((incoming, outgoing) => incoming.resume().on('end', () => outgoing.end('done')));
  server.on('connection', (socket) => sockets.push(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

beforeEach(async () => {
  http = createHttp({}, systemClock);
  await listen();
});

afterEach(async () => {
  await http.close();
  for (const socket of sockets.splice(0)) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
});

const inActions = () => ({ GITHUB_ACTIONS: 'true', CLEARML_API_HOST: origin });

const send = () => http.send({ method: 'POST', url: `${origin}/x`, headers: {}, body: '', timeoutMs: 5000 });

async function waitForConnections(count: number): Promise<void> {
  while (sockets.length < count) await sleep(5);
}

test('the first requests travel on connections that stand already, and need no others', async () => {
  openEarly(inActions(), 'launch-training-task');
  await waitForConnections(4);
  const answers = await Promise.all([send(), send(), send(), send()]);
  expect(answers.map(({ text }) => text)).toEqual(['done', 'done', 'done', 'done']);
  expect(sockets.length).toBe(4);
});

test('a request does not wait for a connection that is under way for longer than for its own', async () => {
  openEarly(inActions(), 'check-task-running');
  expect((await send()).text).toBe('done');
  expect(sockets.length).toBe(1);
});

test('GitHub is connected with for the report only', async () => {
  openEarly({ ...inActions(), GITHUB_API_URL: origin }, 'check-task-running');
  openEarly(
    { GITHUB_ACTIONS: 'true', CLEARML_API_HOST: 'http://127.0.0.1:9', GITHUB_API_URL: `${origin}/api/v3` },
    'create-stats-comment',
  );
  await waitForConnections(1 + 4);
  await sleep(20);
  expect(sockets.length).toBe(1 + 4);
  while (takeEarly(origin) !== undefined);
});

test.each([
  ['outside Actions, where a .env file may name another server', { GITHUB_ACTIONS: undefined }],
  ['where there is a proxy', { HTTPS_PROXY: 'http://127.0.0.1:9' }],
  ['for a host that is no URL', { CLEARML_API_HOST: 'localhost:8008' }],
])('nothing is opened %s', async (_, env) => {
  openEarly({ ...inActions(), ...env }, 'launch-training-task');
  await sleep(50);
  expect(sockets.length).toBe(0);
  expect(takeEarly(origin)).toBeUndefined();
});

test('a connection that the server has closed meanwhile is not used', async () => {
  openEarly(inActions(), 'check-task-running');
  await waitForConnections(1);
  sockets[0]?.destroy();
  await sleep(50);
  expect((await send()).text).toBe('done');
  expect(sockets.length).toBe(2);
});

test('one that nobody asks for is closed in time', async () => {
  openEarly(inActions(), 'check-task-running', 200);
  await waitForConnections(1);
  const [socket] = sockets;
  await new Promise((resolve) => socket?.resume().once('close', resolve));
  await sleep(20);
  expect(takeEarly(origin)).toBeUndefined();
});

test('one that is used lives on', async () => {
  openEarly(inActions(), 'check-task-running', 200);
  await send();
  await sleep(300);
  expect((await send()).text).toBe('done');
  expect(sockets.length).toBe(1);
});

test('where none could be made, the request says why as it would without', async () => {
  const closed = createTcpServer();
  await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve));
  const { port } = closed.address() as AddressInfo;
  await new Promise((resolve) => closed.close(resolve));
  openEarly({ ...inActions(), CLEARML_API_HOST: `http://127.0.0.1:${port}` }, 'check-task-running');
  const lost = http.send({ method: 'GET', url: `http://127.0.0.1:${port}/`, headers: {}, timeoutMs: 5000 });
  await expect(lost).rejects.toEqual(expect.any(TransportError));
  await expect(lost).rejects.toMatchObject({ kind: 'unsent', message: 'the connection was refused' });
});
