import { createServer, type IncomingHttpHeaders, request } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { AskServer } from '../sandbox/direct-answer.ts';
import { NO_TIME_LIMITS } from '../sandbox/http-limits.ts';
import { systemClock } from '../shell/process.ts';
import type { Clock } from '../shell/world.ts';
import { noteHungConnection } from './requests-under-way.ts';

/** What goes wrong with one exchange. */
export type Fault =
  /** The connection is reset at once, and for a moment no other is accepted. */
  | { readonly kind: 'refuse' }
  /** The connection is cut before the server gets the request. */
  | { readonly kind: 'cut-before' }
  /** The server applies the request; the connection is cut before the answer. */
  | { readonly kind: 'cut-after' }
  /** The answer is cut in the middle. */
  | { readonly kind: 'cut-within' }
  /** No answer ever comes; `isApplied`: the server got the request. */
  | { readonly kind: 'silence'; readonly isApplied: boolean }
  /** The server applies the request; its answer is changed on the way. */
  | { readonly kind: 'rewrite'; readonly change: (body: string) => string }
  /** Passed on only when something else has happened. */
  | { readonly kind: 'hold'; readonly until: Promise<unknown> }
  /** The answer comes byte by byte, never to the end. */
  | { readonly kind: 'drip' }
  /** The proxy answers itself; the server gets nothing. */
  | {
      readonly kind: 'answer';
      readonly status: number;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body: string;
    };

/** An exchange that passed. */
export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** Which fault it met, if any. */
  fault: Fault['kind'] | undefined;
  /** When it came, ms by the proxy's clock: that of `performance.now()` where it is the wall's. */
  readonly beganAtMs: number;
  /** When its answer was sent; undefined before that. */
  answeredAtMs: number | undefined;
  /** What the server answered, where it was asked: status and body. */
  answer?: string;
}

/** A proxy in front of one server that lets a test break chosen exchanges, and counts them all. */
export interface FaultProxy {
  readonly url: string;
  readonly seen: readonly SeenRequest[];
  close(): Promise<void>;
}

export interface FaultProxyOptions {
  /** Added before each request is passed on; default 0. */
  readonly latencyMs?: number;
  /** Whether a connection may carry a second request, as it may at a real server; default: no. */
  readonly keepsConnections?: boolean;
  /** Whose time passes before a request is passed on, or between two drops; default: the wall's. */
  readonly clock?: Clock;
}

/**
 * Starts a proxy in front of a server.
 *
 * @param target its URL; or where it is in this process, what asks it without a second connection
 * @param chooseFault decides each exchange's fate; `index` counts all exchanges from 0
 */
export async function startFaultProxy(
  target: string | AskServer,
  chooseFault: (request: SeenRequest, index: number) => Fault | undefined | Promise<Fault | undefined> = () =>
    undefined,
  { latencyMs = 0, keepsConnections = false, clock = systemClock }: FaultProxyOptions = {},
): Promise<FaultProxy> {
  const now = clock === systemClock ? () => performance.now() : clock.now;
  const seen: SeenRequest[] = [];
  const sockets = new Set<Socket>();
  const closing = new AbortController();
  const ask = typeof target === 'string' ? connectTo(target) : target;

  const server = createServer(NO_TIME_LIMITS, (incoming, outgoing) => {
    const chunks: Buffer[] = [];
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
    incoming.on('end', async () => {
      const body = Buffer.concat(chunks);
      const about = { method: incoming.method ?? '', path: incoming.url ?? '', body: body.toString('utf8') };
      const index = seen.length;
      const record: SeenRequest = {
        ...about,
        headers: incoming.headers,
        fault: undefined,
        beganAtMs: now(),
        answeredAtMs: undefined,
      };
      seen.push(record);
      const choice = chooseFault(record, index);
      const fault = choice instanceof Promise ? await choice : choice;
      record.fault = fault?.kind;
      const { socket } = incoming;
      /** Nothing more will come on this connection: only time can end it. */
      const hang = () => {
        const release = noteHungConnection(socket);
        socket.once('close', release);
        return release;
      };
      if (fault?.kind === 'cut-before') {
        incoming.socket.destroy();
        return;
      }
      if (fault?.kind === 'refuse') {
        incoming.socket.resetAndDestroy();
        refuse();
        return;
      }
      if (fault?.kind === 'answer') {
        record.answeredAtMs = now();
        outgoing.writeHead(fault.status, { 'content-type': 'text/html', ...fault.headers }).end(fault.body);
        return;
      }
      if (fault?.kind === 'silence' && !fault.isApplied) {
        hang();
        return;
      }
      const forward = () => {
        const headers = {
          ...incoming.headers,
          // A test's clock can't see who decompresses.
          ...(clock === systemClock ? {} : { 'accept-encoding': 'identity' }),
        };
        ask({ method: about.method, path: about.path, headers, body }).then(
          (answer) => {
            record.answer = `${answer.status} ${answer.body.toString('utf8')}`;
            const { connection: _, ...kept } = answer.headers;
            const passed = keepsConnections ? kept : { ...kept, connection: 'close' };
            deliver(fault, answer.status, passed, answer.body);
          },
          () => socket.destroy(),
        );
      };
      if (fault?.kind === 'hold' || latencyMs > 0) {
        const release = hang();
        const goOn = () => {
          release();
          forward();
        };
        if (fault?.kind === 'hold') void fault.until.then(goOn, goOn);
        else later(latencyMs, goOn);
      } else forward();

      function deliver(
        how: Fault | undefined,
        status: number,
        headers: IncomingHttpHeaders,
        answer: Buffer,
      ): void {
        record.answeredAtMs = now();
        if (how?.kind === 'cut-after') incoming.socket.destroy();
        else if (how?.kind === 'cut-within') {
          outgoing.writeHead(status, { ...headers, 'content-length': answer.length });
          outgoing.write(answer.subarray(0, Math.floor(answer.length / 2)), () => incoming.socket.destroy());
        } else if (how?.kind === 'drip') {
          outgoing.writeHead(status, { ...headers, 'content-length': answer.length });
          let sent = 0;
          hang();
          const drip = () => {
            if (outgoing.destroyed || sent >= answer.length - 1) return;
            outgoing.write(answer.subarray(sent, sent + 1));
            sent += 1;
            later(200, drip);
          };
          drip();
        } else if (how?.kind === 'rewrite') {
          const { 'content-length': _, 'content-encoding': __, ...rest } = headers;
          outgoing.writeHead(status, rest).end(how.change(answer.toString('utf8')));
        } else if (how?.kind === 'silence') hang();
        else if (how === undefined || how.kind === 'hold') outgoing.writeHead(status, headers).end(answer);
      }
    });
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });

  /** Accepts no connection for a moment: the system refuses an immediate second attempt. */
  function refuse(): void {
    if (!server.listening) return;
    server.close();
    later(60, open);
  }

  function open(): void {
    if (!isClosed) server.listen(port, '127.0.0.1');
  }
  // Another process may have got the port meanwhile: until it is free again.
  server.on('error', () => later(60, open));

  function later(ms: number, action: () => void): void {
    void clock.sleep(ms, closing.signal).then(action, () => undefined);
  }

  let isClosed = false;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    seen,
    close: async () => {
      isClosed = true;
      closing.abort();
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Asks a server by HTTP, each time on a connection of its own. */
function connectTo(target: string): AskServer {
  const base = new URL(target);
  return ({ method, path, headers, body }) =>
    new Promise((resolve, reject) => {
      const upstream = request(
        {
          host: base.hostname,
          port: base.port,
          method,
          path: `${base.pathname.replace(/\/$/, '')}${path}`,
          headers: { ...headers, host: base.host },
          agent: false,
        },
        (answer) => {
          const parts: Buffer[] = [];
          answer.on('data', (part: Buffer) => parts.push(part));
          answer.on('end', () =>
            resolve({
              status: answer.statusCode ?? 502,
              headers: answer.headers,
              body: Buffer.concat(parts),
            }),
          );
          answer.on('error', reject);
        },
      );
      upstream.on('error', reject);
      upstream.end(body);
    });
}
