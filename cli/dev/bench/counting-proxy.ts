import { connect, createServer, type Socket } from 'node:net';
import { type FaultProxy, type SeenRequest, startFaultProxy } from '../fault-proxy.ts';

/** What has passed between a program and a server. */
export interface Traffic {
  readonly requests: number;
  readonly connections: number;
  /** Both ways, headers included. */
  readonly bytes: number;
  /** When the first request came, ms of `performance.now()`. */
  readonly firstRequestAtMs: number | undefined;
}

export interface CountingProxy {
  readonly url: string;
  /** All requests, from the start. */
  readonly seen: readonly SeenRequest[];
  /** What has passed since the last call. */
  take(): Traffic;
  close(): Promise<void>;
}

/** Starts a proxy in front of a server that counts what passes. */
export async function startCountingProxy(target: string, latencyMs = 0): Promise<CountingProxy> {
  const inner: FaultProxy = await startFaultProxy(target, () => undefined, {
    latencyMs,
    keepsConnections: true,
  });
  const sockets = new Set<Socket>();
  let connections = 0;
  let bytes = 0;
  let seen = 0;
  const server = createServer((client) => {
    connections += 1;
    const upstream = connect(Number(new URL(inner.url).port), '127.0.0.1');
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.on('data', (chunk) => {
        bytes += chunk.length;
      });
      from.on('error', () => to.destroy());
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
      from.pipe(to);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('a TCP server has a port');
  return {
    url: `http://127.0.0.1:${address.port}`,
    seen: inner.seen,
    take() {
      const requests = inner.seen.slice(seen);
      const traffic = {
        requests: requests.length,
        connections,
        bytes,
        firstRequestAtMs: requests[0]?.beganAtMs,
      };
      seen = inner.seen.length;
      connections = 0;
      bytes = 0;
      return traffic;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
      await inner.close();
    },
  };
}
