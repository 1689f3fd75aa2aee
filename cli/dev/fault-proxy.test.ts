import { createServer, type Server } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, expect, test } from '@jest/globals';
import { type FaultProxy, startFaultProxy } from './fault-proxy.ts';

let proxy: FaultProxy | undefined;
let other: Server | undefined;

afterEach(async () => {
  other?.close();
  await proxy?.close();
});

const answer = async () => ({ status: 200, headers: {}, body: Buffer.from('done') });
const ask = async () => (await fetch(proxy?.url ?? '').catch(() => undefined))?.status;

test('a port that somebody else has got while the proxy refused connections is taken again once it is free', async () => {
  let pauses = 0;
  const sleep = async () => {
    pauses += 1;
    await turn();
  };
  // The first pause is a long one: until the other has the port.
  let go = () => {};
  const isTaken = new Promise<void>((resolve) => {
    go = resolve;
  });
  const clock = { now: Date.now, sleep: () => (pauses === 0 ? isTaken.then(sleep) : sleep()) };
  let refusals = 0;
  proxy = await startFaultProxy(answer, () => (refusals++ === 0 ? { kind: 'refuse' } : undefined), { clock });
  expect(await ask()).toBeUndefined();

  const taker = createServer();
  other = taker;
  const { port } = new URL(proxy.url);
  await new Promise<void>((resolve) => taker.listen(Number(port), '127.0.0.1', resolve));
  go();
  while (pauses < 3) await turn();
  taker.close();
  while ((await ask()) === undefined);
  expect(await ask()).toBe(200);
});
