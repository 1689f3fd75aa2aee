import { subscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';

/** What undici's request channels publish (undici, docs/docs/api/DiagnosticsChannel.md); the socket on sendHeaders only. */
interface RequestMessage {
  readonly request: object;
  readonly socket?: Socket;
}

/** Requests of this process that have begun and not ended, with the local port of their connection once they have one. */
const underWay = new Map<object, number | undefined>();

/** Local ports of connections on which nothing will come any more, whatever time passes. */
const hung = new Set<number>();

/** How long something was in motion so far, and since when it is now; ms of a monotonic clock. */
let motionMs = 0;
let movingSinceMs: number | undefined;

/** To be called after each change of the two above. */
function keepTime(): void {
  const isMoving = isRequestInMotion();
  if (isMoving && movingSinceMs === undefined) movingSinceMs = performance.now();
  if (isMoving || movingSinceMs === undefined) return;
  motionMs += performance.now() - movingSinceMs;
  movingSinceMs = undefined;
}

function hear(channel: string, act: (message: RequestMessage) => void): void {
  subscribe(channel, (message) => {
    act(message as RequestMessage);
    keepTime();
  });
}

hear('undici:request:create', ({ request }) => underWay.set(request, undefined));
hear('undici:client:sendHeaders', ({ request, socket }) => {
  if (underWay.has(request)) underWay.set(request, socket?.localPort);
});
hear('undici:request:trailers', ({ request }) => underWay.delete(request));
hear('undici:request:error', ({ request }) => underWay.delete(request));

/**
 * Whether a request of this process is between its sender and its answer. One that a fault lets hang is not: only time
 * can end it.
 */
export function isRequestInMotion(): boolean {
  for (const port of underWay.values()) if (port === undefined || !hung.has(port)) return true;
  return false;
}

/** Notes that whoever sent from this port waits in vain, until the function given back is called. */
export function noteHungConnection(port: number | undefined): () => void {
  if (port === undefined) return () => undefined;
  hung.add(port);
  keepTime();
  return () => {
    hung.delete(port);
    keepTime();
  };
}

/** For how many milliseconds in all a request of this process has been in motion. */
export function readMotionMs(): number {
  return motionMs + (movingSinceMs === undefined ? 0 : performance.now() - movingSinceMs);
}
