import { type FaultProxy, type SeenRequest, startFaultProxy } from '../fault-proxy.ts';
import { type Certificate, startLongLine, startTls } from './long-line.ts';

/** What has passed between a program and a server. */
export interface Traffic {
  readonly requests: number;
  readonly connections: number;
  /** Both ways, headers and handshakes included. */
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

/** How far away a server is, and how it is spoken to. */
export interface Distance {
  /** Each request sets out so much later. */
  readonly latencyMs?: number;
  /** Over TLS instead, on a line with this round trip for handshakes and requests. */
  readonly tls?: { readonly roundTripMs: number; readonly certificate: Certificate };
}

/** Starts a proxy in front of a server that counts what passes. */
export async function startCountingProxy(
  target: string,
  { latencyMs = 0, tls }: Distance = {},
): Promise<CountingProxy> {
  const inner: FaultProxy = await startFaultProxy(target, () => undefined, {
    latencyMs,
    keepsConnections: true,
  });
  let connections = 0;
  let bytes = 0;
  let seen = 0;
  const innerPort = Number(new URL(inner.url).port);
  const unwrapped = tls === undefined ? undefined : await startTls(innerPort, tls.certificate);
  const line = await startLongLine(unwrapped?.port ?? innerPort, tls?.roundTripMs ?? 0, {
    onConnection: () => {
      connections += 1;
    },
    onBytes: (count) => {
      bytes += count;
    },
  });
  return {
    // A name is looked up, as a real server's is.
    url: tls === undefined ? `http://127.0.0.1:${line.port}` : `https://localhost:${line.port}`,
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
      for (const part of [line, unwrapped, inner]) await part?.close();
    },
  };
}
