import { connect, isIP, type Socket } from 'node:net';
import type { ConnectionOptions, TLSSocket } from 'node:tls';

// A connection over TLS takes two round trips before its first request. Those of the first requests are opened while
// the program is still being loaded.

/** How many requests each program sends at once, before it knows more: each needs a connection of its own. */
const WANTED = {
  'launch-training-task': { clearml: 4, github: 0 },
  'check-task-running': { clearml: 1, github: 0 },
  'create-stats-comment': { clearml: 2, github: 4 },
} as const;

/** A program of ours that runs as a process. */
export type ProgramName = keyof typeof WANTED;

/** So long one may take to be made, or wait for its request: servers close an idle one after a minute or so. */
const LIFE_MS = 10_000;

/** ClearML's hosted service. */
export const HOSTED_CLEARML = 'https://api.clear.ml';

/** A connection under way, or there already. */
interface EarlyConnection {
  readonly ready: Promise<Socket>;
  isOver: boolean;
  /** Lets it hold the process, as any connection does; until then it does not. */
  take(): void;
}

/** By origin. They belong to the process, which has one program. */
const waiting = new Map<string, EarlyConnection[]>();

/**
 * Opens connections to the servers that a program asks first. In Actions only, as a `.env` file may name others
 * elsewhere; not where there is a proxy. Nothing fails here: whoever needs a connection that did not come opens one.
 */
export function openEarly(
  env: Readonly<Record<string, string | undefined>>,
  program: ProgramName,
  lifeMs = LIFE_MS,
): void {
  const isProxied = ['http_proxy', 'HTTP_PROXY', 'https_proxy', 'HTTPS_PROXY'].some((name) => env[name]);
  if (env.GITHUB_ACTIONS !== 'true' || isProxied) return;
  const { clearml, github } = WANTED[program];
  open(env.CLEARML_API_HOST?.trim() || HOSTED_CLEARML, clearml, lifeMs);
  open(env.GITHUB_API_URL?.trim() ?? '', github, lifeMs);
}

function open(address: string, count: number, lifeMs: number): void {
  const url = count > 0 && URL.canParse(address) ? new URL(address) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) return;
  waiting.set(
    url.origin,
    Array.from({ length: count }, () => begin(url, lifeMs)),
  );
  // Loading it takes about as long as the way to the server and back.
  if (url.protocol === 'https:') setImmediate(() => process.getBuiltinModule('node:tls'));
}

function begin({ protocol, hostname, port }: URL, lifeMs: number): EarlyConnection {
  const isSecure = protocol === 'https:';
  const host = hostname.replace(/^\[(.*)\]$/, '$1');
  let isTaken = false;
  let socket: Socket = connect({
    host,
    port: Number(port) || (isSecure ? 443 : 80),
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: 60_000,
  });
  socket.unref();
  const timer = setTimeout(() => socket.destroy(), lifeMs).unref();
  const ready = new Promise<Socket>((resolve, reject) => {
    const watch = (one: Socket) =>
      one.once('error', reject).once('close', () => {
        early.isOver = true;
        reject(new Error('the connection was closed'));
      });
    watch(socket).once('connect', () => {
      if (!isSecure) return resolve(socket);
      socket = secure(socket, host);
      if (!isTaken) socket.unref();
      watch(socket).once('secureConnect', () => resolve(socket));
    });
  });
  const early: EarlyConnection = {
    ready,
    isOver: false,
    take() {
      isTaken = true;
      socket.ref();
      void ready.then(() => clearTimeout(timer)).catch(() => undefined);
    },
  };
  // Nobody may ask for it.
  ready.catch(() => undefined);
  return early;
}

/** As undici's own connections are made (its `core/connect.js`). */
function secure(socket: Socket, host: string): TLSSocket {
  const options: ConnectionOptions = {
    socket,
    host,
    ALPNProtocols: ['http/1.1'],
    ...(isIP(host) === 0 ? { servername: host } : {}),
  };
  return process.getBuiltinModule('node:tls').connect(options);
}

/** A connection to an origin that was opened early, if one is left. It may fail: then another one is to be opened. */
export function takeEarly(origin: string): Promise<Socket> | undefined {
  const those = waiting.get(origin) ?? [];
  for (let early = those.shift(); early !== undefined; early = those.shift()) {
    if (early.isOver) continue;
    early.take();
    return early.ready;
  }
  return undefined;
}
