import type { Socket } from 'node:net';
import { hearAlone } from './hear-alone.ts';

/** What undici's request channels publish (undici, docs/docs/api/DiagnosticsChannel.md); the socket on sendHeaders only. */
interface RequestMessage {
  readonly request: object;
  readonly socket?: Socket;
}

/** Requests of this process that have begun and not ended, each with its connection once it has one. */
const underWay = new Map<object, string | undefined>();

/** Connections that will never receive anything again. */
const hung = new Set<string>();

/** Callbacks for when no request is in motion. */
let restListeners: Array<() => void> = [];

/** Calls them after a change of the two above. */
function tellOfRest(): void {
  if (isRequestInMotion()) return;
  for (const listener of restListeners) listener();
  restListeners = [];
}

/** By both ports: the system may give a client's port to two connections that lead elsewhere. */
function nameConnection(clientPort: number | undefined, serverPort: number | undefined): string {
  return `${clientPort} to ${serverPort}`;
}

function hear(channel: string, act: (message: RequestMessage) => void): void {
  hearAlone(channel, (message) => {
    act(message as RequestMessage);
    tellOfRest();
  });
}

hear('undici:request:create', ({ request }) => underWay.set(request, undefined));
hear('undici:client:sendHeaders', ({ request, socket }) => {
  if (underWay.has(request)) underWay.set(request, nameConnection(socket?.localPort, socket?.remotePort));
});
hear('undici:request:trailers', ({ request }) => underWay.delete(request));
hear('undici:request:error', ({ request }) => underWay.delete(request));

/**
 * Whether a request of this process waits for its answer. One that a fault leaves hanging does not count: only time can
 * end it.
 */
export function isRequestInMotion(): boolean {
  for (const connection of underWay.values())
    if (connection === undefined || !hung.has(connection)) return true;
  return false;
}

/** Resolves when no request of this process is in motion. */
export function waitForRest(): Promise<void> {
  return new Promise((resolve) => {
    if (isRequestInMotion()) restListeners.push(resolve);
    else resolve();
  });
}

/**
 * Notes that the client of this connection gets no answer, until the returned function is called.
 *
 * @param socket the server's end of it
 */
export function noteHungConnection({ destroyed, remotePort, localPort }: Socket): () => void {
  if (destroyed) return () => undefined;
  const connection = nameConnection(remotePort, localPort);
  hung.add(connection);
  tellOfRest();
  return () => {
    hung.delete(connection);
    tellOfRest();
  };
}
