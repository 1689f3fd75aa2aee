import { createRequire } from 'node:module';
import type * as undici from 'undici';
import { takeEarly } from './connections/early-connections.ts';
import type { Environment } from './environment.ts';
import { describeSystemError, failUsage, readErrorCode } from './failure.ts';
import './late-http2.ts';
import { readNoProxy } from './connections/no-proxy.ts';
import { withTimeLimit } from './time-limit.ts';
import type { Clock } from './world.ts';

// Two files of undici: its fetch, caches and mocks took half of a program's start. By require: an import searches a
// CommonJS package for names, a tenth of a start under tsx. The paths are not undici's API, so package.json pins it.
const require = createRequire(import.meta.url);

/** Keeps a pool of connections for each server. */
const Agent = require('undici/lib/dispatcher/agent.js') as typeof undici.Agent;

/** Opens a connection as undici does. */
const buildConnector = require('undici/lib/core/connect.js') as typeof undici.buildConnector;

/** undici's `request`, as a method of the dispatcher that carries it. */
const sendRequest = require('undici/lib/api/api-request.js') as (
  this: undici.Dispatcher,
  options: undici.Dispatcher.RequestOptions & { readonly origin: string },
) => Promise<undici.Dispatcher.ResponseData>;

/** One exchange. Redirects are not followed: they could send the credentials elsewhere. */
export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | undefined;
  /** For the whole exchange, from the connection to the last byte of the answer. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** An answer of any status. Header names are in lower case. */
export interface HttpResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
}

/**
 * No answer came. `unsent`: the request was not applied, as there was no connection. `lost`: it may have been applied.
 * With a `remedy` another attempt fails too, until the user has followed it.
 */
export class TransportError extends Error {
  override readonly name = 'TransportError';
  readonly kind: 'unsent' | 'lost';
  readonly remedy: string | undefined;

  constructor(message: string, kind: 'unsent' | 'lost', options: { cause?: unknown; remedy?: string } = {}) {
    super(message, { cause: options.cause });
    this.kind = kind;
    this.remedy = options.remedy;
  }
}

/** Connections to servers. */
export interface Http {
  /** @throws TransportError, the signal's reason, or once it is closed a plain Error */
  send(request: HttpRequest): Promise<HttpResponse>;
  /** Ends every connection, with the requests that are under way. */
  close(): Promise<void>;
}

const CONNECT_TIMEOUT_MS = 10_000;

/**
 * HTTP over undici, through the proxies that `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` name.
 *
 * @throws Failure (usage) when a variable is not a proxy URL
 */
export function createHttp(env: Environment, clock: Clock): Http {
  const proxies = readProxies(env);
  let direct: undici.Dispatcher | undefined;
  let proxied: undici.Dispatcher | undefined;
  let isClosed = false;

  function chooseDispatcher(url: string): undici.Dispatcher {
    if (proxies === undefined || proxies.isBypassed(new URL(url))) {
      direct ??= new Agent({ ...DISPATCHER_OPTIONS, connect: createConnector() });
      return direct;
    }
    proxied ??= createProxyAgent(proxies);
    return proxied;
  }

  async function send(request: HttpRequest): Promise<HttpResponse> {
    const { timeoutMs } = request;
    const reason = new TransportError(`no answer within ${timeoutMs / 1000} s`, 'lost');
    return withTimeLimit({ clock, timeoutMs, reason, signal: request.signal }, async (signal) => {
      try {
        if (isClosed) throw new Error('the connections are closed');
        return await exchange(chooseDispatcher(request.url), request, signal);
      } catch (error) {
        if (signal.aborted) throw signal.reason;
        throw isClosed ? error : toTransportError(error);
      }
    });
  }

  return {
    send,
    async close() {
      isClosed = true;
      await Promise.all([direct?.destroy(), proxied?.destroy()]);
    },
  };
}

async function exchange(
  dispatcher: undici.Dispatcher,
  { method, url, headers, body }: HttpRequest,
  signal: AbortSignal,
): Promise<HttpResponse> {
  const { origin, pathname, search } = new URL(url);
  const answer = await sendRequest.call(dispatcher, {
    origin,
    path: `${pathname}${search}`,
    method,
    headers: { 'accept-encoding': 'gzip', ...headers },
    body: body ?? null,
    signal,
  });
  const received = flattenHeaders(answer.headers);
  const bytes = Buffer.from(await answer.body.arrayBuffer());
  return {
    status: answer.statusCode,
    headers: received,
    text: await decodeBody(bytes, received['content-encoding']),
  };
}

interface Proxies {
  readonly httpProxy: string;
  readonly httpsProxy: string;
  readonly isBypassed: (url: URL) => boolean;
}

/** undefined without a proxy. A lower-case variable wins, as in curl. */
function readProxies(env: Environment): Proxies | undefined {
  const httpProxy = readProxy(env, 'http_proxy', 'HTTP_PROXY');
  const httpsProxy = readProxy(env, 'https_proxy', 'HTTPS_PROXY');
  if (httpProxy === undefined && httpsProxy === undefined) return undefined;
  return {
    httpProxy: httpProxy ?? '',
    httpsProxy: httpsProxy ?? '',
    isBypassed: readNoProxy(env.no_proxy ?? env.NO_PROXY ?? ''),
  };
}

const DISPATCHER_OPTIONS = {
  connect: { timeout: CONNECT_TIMEOUT_MS },
  // Our own time limit covers the whole exchange. undici's would let a slow drip pass.
  headersTimeout: 0,
  bodyTimeout: 0,
};

/** Takes the connections that were opened early, while there are any. */
function createConnector(): undici.buildConnector.connector {
  const connect = buildConnector(DISPATCHER_OPTIONS.connect);
  return (options, callback) => {
    const early = takeEarly(`${options.protocol}//${options.host}`);
    const connectNow = () => connect(options, callback);
    if (early === undefined) connectNow();
    else early.then((socket) => callback(null, socket), connectNow);
  };
}

function createProxyAgent({ httpProxy, httpsProxy }: Proxies): undici.Dispatcher {
  // The tunnels of the proxy agent call a method that only undici's index adds to the dispatchers.
  const connect = require('undici/lib/api/api-connect.js') as undici.Dispatcher['connect'];
  const { prototype } = require('undici/lib/dispatcher/dispatcher.js') as typeof undici.Dispatcher;
  Object.assign(prototype, { connect });
  const ProxyAgent =
    require('undici/lib/dispatcher/env-http-proxy-agent.js') as typeof undici.EnvHttpProxyAgent;
  // undici knows neither blocks of addresses nor `host:*` in NO_PROXY, and would read it from the process.
  return new ProxyAgent({ httpProxy, httpsProxy, noProxy: '', ...DISPATCHER_OPTIONS });
}

/** A proxy's URL. Without a scheme it is http, as in curl. */
function readProxy(env: Environment, ...names: readonly string[]): string | undefined {
  const name = names.find((candidate) => env[candidate] !== undefined);
  if (name === undefined) return undefined;
  const text = env[name]?.trim() ?? '';
  const url = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`;
  if (URL.canParse(url) && /^https?:/i.test(url)) return url;
  throw failUsage(`${name} is not the URL of a proxy`, 'Give it as in http://proxy.example.com:3128.');
}

function flattenHeaders(
  headers: Readonly<Record<string, string | string[] | undefined>>,
): Record<string, string> {
  const entries = Object.entries(headers);
  return Object.fromEntries(entries.map(([name, value]) => [name.toLowerCase(), [value].flat().join(', ')]));
}

async function decodeBody(body: Buffer, encoding: string | undefined): Promise<string> {
  if (encoding !== 'gzip') return body.toString('utf8');
  // Loaded only when needed: most answers are small and not compressed.
  const { gunzip } = process.getBuiltinModule('node:zlib');
  return new Promise((resolve, reject) => {
    gunzip(body, (error, text) => (error === null ? resolve(text.toString('utf8')) : reject(error)));
  });
}

const CERTIFICATE_ERROR = /^(?:CERT_|DEPTH_ZERO_|SELF_SIGNED|UNABLE_TO_|ERR_TLS_CERT)/;

/** Codes of connections that were never made, so that the request was not sent. */
const UNSENT: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'the connection was refused',
  ENOTFOUND: 'the host name is unknown (DNS)',
  EAI_AGAIN: 'the name server did not answer (DNS)',
  EHOSTUNREACH: 'the host cannot be reached',
  ENETUNREACH: 'the network cannot be reached',
  EADDRNOTAVAIL: 'no local address is available',
  UND_ERR_CONNECT_TIMEOUT: 'no connection was made in time',
  UND_ERR_PRX_TLS: 'the TLS connection to the proxy failed',
};

function toTransportError(cause: unknown): TransportError {
  const code = findCode(cause);
  if (CERTIFICATE_ERROR.test(code)) {
    const remedy =
      'Set NODE_EXTRA_CA_CERTS to the file of your certificate authority, in the environment and not in .env: Node reads it when it starts.';
    return new TransportError(`the server's certificate is not trusted (${code})`, 'unsent', {
      cause,
      remedy,
    });
  }
  // The proxy itself answered CONNECT, so the request was not sent.
  const refusal = /Proxy response \((\d+)\)/.exec(String(cause))?.[1];
  if (refusal === '407' || refusal === '403') {
    const remedy =
      'Check HTTPS_PROXY and HTTP_PROXY: the URL holds user name and password, URL-encoded. NO_PROXY lists the hosts to reach without the proxy.';
    return new TransportError(`the proxy refused to connect (${refusal})`, 'unsent', { cause, remedy });
  }
  const unsent = UNSENT[code];
  if (unsent !== undefined || refusal !== undefined) {
    return new TransportError(unsent ?? describeSystemError(cause), 'unsent', { cause });
  }
  const isCut = code === 'ECONNRESET' || code === 'UND_ERR_SOCKET';
  return new TransportError(isCut ? 'the connection was cut' : describeSystemError(cause), 'lost', { cause });
}

/** The system's code, which stands on the error, on its cause, or (happy eyeballs) on the first of its errors. */
function findCode(error: unknown): string {
  const code = readErrorCode(error);
  if (code !== undefined || typeof error !== 'object' || error === null) return code ?? '';
  if ('errors' in error && Array.isArray(error.errors)) return findCode(error.errors[0]);
  return 'cause' in error ? findCode(error.cause) : '';
}
