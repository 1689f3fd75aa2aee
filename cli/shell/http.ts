import { createRequire } from 'node:module';
import type * as undici from 'undici';
import type { Environment } from './environment.ts';
import { describeSystemError, EXIT_CODES, Failure, readErrorCode } from './failure.ts';
import { withTimeLimit } from './time-limit.ts';
import type { Clock } from './world.ts';

// Two files of undici instead of all of it: half the start-up of a program was loading its fetch, caches and mocks.
// By require, since an import has Node look through all of a CommonJS package for names, and under tsx asks another
// thread for every file: a tenth of a start there. package.json pins the version: the paths are not undici's API.
const require = createRequire(import.meta.url);

/** A pool of connections a server. */
const Agent = require('undici/lib/dispatcher/agent.js') as typeof undici.Agent;

/** undici's `request`, as a method of the dispatcher that carries it. */
const sendRequest = require('undici/lib/api/api-request.js') as (
  this: undici.Dispatcher,
  options: undici.Dispatcher.RequestOptions & { readonly origin: string },
) => Promise<undici.Dispatcher.ResponseData>;

/** One exchange. Redirects are not followed: they would carry the credentials elsewhere. */
export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | undefined;
  /** For the whole exchange, from the connection to the answer's last byte. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** An answer, whatever its status; names of headers are in lower case. */
export interface HttpResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
}

/**
 * No answer came. `unsent`: the request certainly was not applied (no connection). `lost`: it may have been. With a
 * `remedy` another try won't help: what it says must be done first.
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
  /** @throws TransportError, or the signal's reason; once it is closed an Error, after which it is no use to try again */
  send(request: HttpRequest): Promise<HttpResponse>;
  /** Ends every connection, also those with a request under way: whoever closes it wants no answer any more. */
  close(): Promise<void>;
}

const CONNECT_TIMEOUT_MS = 10_000;

/**
 * HTTP over undici, through the proxy that `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` name.
 *
 * @throws Failure (usage) when a variable names no proxy
 */
export function createHttp(env: Environment, clock: Clock): Http {
  const proxies = readProxies(env);
  let dispatcher: undici.Dispatcher | undefined;
  let isClosed = false;

  async function send(request: HttpRequest): Promise<HttpResponse> {
    const { timeoutMs } = request;
    const reason = new TransportError(`no answer within ${timeoutMs / 1000} s`, 'lost');
    return withTimeLimit({ clock, timeoutMs, reason, signal: request.signal }, async (signal) => {
      try {
        if (isClosed) throw new Error('the connections are closed');
        dispatcher ??= createDispatcher(proxies);
        return await exchange(dispatcher, request, signal);
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
      await dispatcher?.destroy();
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
  readonly noProxy: string;
}

/** undefined where no proxy is named. Lower case wins where both are set, as in curl. */
function readProxies(env: Environment): Proxies | undefined {
  const httpProxy = readProxy(env, 'http_proxy', 'HTTP_PROXY');
  const httpsProxy = readProxy(env, 'https_proxy', 'HTTPS_PROXY');
  if (httpProxy === undefined && httpsProxy === undefined) return undefined;
  return {
    httpProxy: httpProxy ?? '',
    httpsProxy: httpsProxy ?? '',
    noProxy: env.no_proxy ?? env.NO_PROXY ?? '',
  };
}

function createDispatcher(proxies: Proxies | undefined): undici.Dispatcher {
  const options = {
    connect: { timeout: CONNECT_TIMEOUT_MS },
    // The time limit is ours, for the whole exchange: a slow drip would pass undici's.
    headersTimeout: 0,
    bodyTimeout: 0,
  };
  if (proxies === undefined) return new Agent(options);
  const EnvHttpProxyAgent = loadProxyAgent();
  return new EnvHttpProxyAgent({ ...proxies, ...options });
}

/** The agent that goes through proxies, loaded only where there is one. */
function loadProxyAgent(): typeof undici.EnvHttpProxyAgent {
  // Its tunnels call a method that else only undici's index puts on the dispatchers.
  const connect = require('undici/lib/api/api-connect.js') as undici.Dispatcher['connect'];
  const { prototype } = require('undici/lib/dispatcher/dispatcher.js') as typeof undici.Dispatcher;
  Object.assign(prototype, { connect });
  return require('undici/lib/dispatcher/env-http-proxy-agent.js') as typeof undici.EnvHttpProxyAgent;
}

/** A proxy's URL; as for curl, one without a scheme is http. */
function readProxy(env: Environment, ...names: readonly string[]): string | undefined {
  const name = names.find((candidate) => env[candidate] !== undefined);
  if (name === undefined) return undefined;
  const text = env[name]?.trim() ?? '';
  const url = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`;
  if (URL.canParse(url) && /^https?:/i.test(url)) return url;
  throw new Failure(`${name} is no URL of a proxy`, {
    exitCode: EXIT_CODES.usage,
    remedy: 'Give it as in http://proxy.example.com:3128.',
  });
}

function flattenHeaders(
  headers: Readonly<Record<string, string | string[] | undefined>>,
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [
      name.toLowerCase(),
      Array.isArray(value) ? value.join(', ') : (value ?? ''),
    ]),
  );
}

async function decodeBody(body: Buffer, encoding: string | undefined): Promise<string> {
  if (encoding !== 'gzip') return body.toString('utf8');
  // Not imported: most answers are small and not compressed.
  const { gunzip } = process.getBuiltinModule('node:zlib');
  return new Promise((resolve, reject) => {
    gunzip(body, (error, text) => (error === null ? resolve(text.toString('utf8')) : reject(error)));
  });
}

const CERTIFICATE_ERROR = /^(?:CERT_|DEPTH_ZERO_|SELF_SIGNED|UNABLE_TO_|ERR_TLS_CERT)/;

const UNSENT_CODES = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EADDRNOTAVAIL',
  'UND_ERR_CONNECT_TIMEOUT',
  // What the proxy answers to CONNECT: the request itself was never sent.
  'UND_ERR_PRX_TLS',
]);

function toTransportError(cause: unknown): TransportError {
  const code = findCode(cause);
  const message = describeTransportError(cause, code);
  if (CERTIFICATE_ERROR.test(code)) {
    const remedy =
      'Let NODE_EXTRA_CA_CERTS name the file with your certificate authority, in the environment (Node reads it at start, so not in .env).';
    return new TransportError(message, 'unsent', { cause, remedy });
  }
  // The proxy answered CONNECT itself: the request was never sent.
  const refusal = /Proxy response \((\d+)\)/.exec(String(cause))?.[1];
  if (refusal === '407' || refusal === '403') {
    const remedy =
      'Look at HTTPS_PROXY and HTTP_PROXY: name and password stand in the URL (special characters URL-encoded), and NO_PROXY lists the hosts that are reached without it.';
    return new TransportError(`the proxy refused to connect (${refusal})`, 'unsent', { cause, remedy });
  }
  const isUnsent = UNSENT_CODES.has(code) || refusal !== undefined;
  return new TransportError(message, isUnsent ? 'unsent' : 'lost', { cause });
}

function describeTransportError(error: unknown, code: string): string {
  if (code === 'ECONNREFUSED') return 'the connection was refused';
  if (code === 'ENOTFOUND') return 'the host name is unknown (DNS)';
  if (code === 'EAI_AGAIN') return 'the name server did not answer (DNS)';
  if (code === 'UND_ERR_CONNECT_TIMEOUT') return 'no connection was made in time';
  if (code === 'ECONNRESET' || code === 'UND_ERR_SOCKET') return 'the connection was cut';
  if (CERTIFICATE_ERROR.test(code)) return `the server's certificate is not trusted (${code})`;
  return describeSystemError(error);
}

/** The system's code, which undici and Node put on the error, on its cause, or (happy eyeballs) on the first of many. */
function findCode(error: unknown): string {
  const code = readErrorCode(error);
  if (code !== undefined || typeof error !== 'object' || error === null) return code ?? '';
  if ('errors' in error && Array.isArray(error.errors)) return findCode(error.errors[0]);
  return 'cause' in error ? findCode(error.cause) : '';
}
