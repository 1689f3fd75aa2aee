import { connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { createServer as createTlsServer } from 'node:tls';
import { generate } from 'selfsigned';

/** A certificate for localhost with its key, PEM. It is its own authority. */
export interface Certificate {
  readonly key: string;
  readonly cert: string;
}

export async function createCertificate(): Promise<Certificate> {
  const { private: key, cert } = await generate([{ name: 'commonName', value: 'localhost' }], {
    keyType: 'ec',
    extensions: [
      { name: 'basicConstraints', cA: true },
      { name: 'subjectAltName', altNames: [{ type: 2, value: 'localhost' }] },
    ],
  });
  return { key, cert };
}

/** A server on a port of this machine. */
interface Listener {
  readonly port: number;
  close(): Promise<void>;
}

/** Takes TLS, and passes what it holds on to a port of this machine. */
export function startTls(targetPort: number, certificate: Certificate): Promise<Listener> {
  return listen(
    (onConnection) => createTlsServer(certificate, onConnection),
    targetPort,
    (from, to) => {
      from.pipe(to);
    },
  );
}

/**
 * A line to a port of this machine that is `roundTripMs` long: the bytes of each direction arrive half of that later. The
 * system's own handshake of TCP can't be slowed down, so what is sent within its round trip waits for its end.
 *
 * @param onBytes is told of bytes in either direction
 */
export function startLongLine(
  targetPort: number,
  roundTripMs: number,
  { onConnection, onBytes }: { onConnection(): void; onBytes(count: number): void },
): Promise<Listener> {
  return listen(
    (accept) =>
      createServer((socket) => {
        onConnection();
        accept(socket);
      }),
    targetPort,
    (from, to) => {
      if (roundTripMs === 0) {
        from.on('data', (chunk: Buffer) => onBytes(chunk.length)).pipe(to);
        return;
      }
      const connectedAtMs = performance.now() + roundTripMs;
      // One after the other, as timers of unequal length may change places.
      let line: Promise<void> = Promise.resolve();
      const deliver = (action: () => void) => {
        const atMs = Math.max(performance.now(), connectedAtMs) + roundTripMs / 2;
        line = line.then(() => sleep(Math.max(0, atMs - performance.now()))).then(action);
      };
      from.on('data', (chunk: Buffer) => {
        onBytes(chunk.length);
        deliver(() => void to.write(chunk));
      });
      from.on('end', () => deliver(() => void to.end()));
    },
  );
}

/** Connects both ends of whatever comes with a port, each direction by `pass`. */
async function listen(
  create: (onConnection: (socket: Socket) => void) => Server,
  targetPort: number,
  pass: (from: Socket, to: Socket) => void,
): Promise<Listener> {
  const sockets = new Set<Socket>();
  const server = create((client) => {
    const upstream = connect(targetPort, '127.0.0.1').setNoDelay();
    client.setNoDelay();
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.on('error', () => to.destroy());
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
      pass(from, to);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('a TCP server has a port');
  return {
    port: address.port,
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
