import type { IncomingMessage, ServerResponse } from 'node:http';
import { brotliCompressSync, constants, deflateSync, gzipSync } from 'node:zlib';
import { accountEndpoints } from './clearml-account.ts';
import type { Credentials } from './clearml-auth.ts';
import {
  type ApiVersion,
  compareVersions,
  type Endpoint,
  type Endpoints,
  newestVersion,
} from './clearml-endpoint.ts';
import { taskQueueEndpoints } from './clearml-enqueue.ts';
import { ClearmlApiError, serverTripped } from './clearml-error.ts';
import { eventEndpoints } from './clearml-events.ts';
import { modelEndpoints } from './clearml-models.ts';
import { projectEndpoints } from './clearml-projects.ts';
import { parsePythonJson } from './clearml-python.ts';
import { queueEndpoints } from './clearml-queues.ts';
import { type Data, isObject } from './clearml-request.ts';
import type { RequestGap } from './clearml-steps.ts';
import { createId, type Store, user } from './clearml-store.ts';
import { taskLifecycleEndpoints } from './clearml-task-lifecycle.ts';
import { stopSilentTasks } from './clearml-task-status.ts';
import { taskEndpoints } from './clearml-tasks.ts';
import { workerEndpoints } from './clearml-workers.ts';

/** Every endpoint that the sandbox has; any other is answered as a real server answers a name it does not know (recording 037). */
export const clearmlEndpoints: Endpoints = {
  ...accountEndpoints,
  ...eventEndpoints,
  ...modelEndpoints,
  ...projectEndpoints,
  ...queueEndpoints,
  ...taskEndpoints,
  ...taskLifecycleEndpoints,
  ...taskQueueEndpoints,
  ...workerEndpoints,
};

/** A request that has been received in full. */
export interface ReceivedRequest {
  readonly message: IncomingMessage;
  readonly body: Buffer;
}

/** What a reply's `meta` says of the endpoint. */
interface EndpointInfo {
  name: string;
  requested_version: string | number;
  actual_version: string | number | null;
}

interface Route {
  readonly name: string;
  readonly version: ApiVersion;
  readonly endpoint: Endpoint;
  readonly served: ApiVersion;
}

const badRequestText = 'The browser (or proxy) sent a request that this server could not understand.';

/** Clients of versions below 2.1 are told versions as numbers (recordings 030, 032). */
function versionInfo(version: ApiVersion, requested: ApiVersion): string | number {
  return compareVersions(requested, [2, 1]) < 0 ? Number(version.join('.')) : version.join('.');
}

/** Reads `/v2.34/tasks.create`; the version may be left out (recordings 029-041). */
function parsePath(path: string): { name: string; version: ApiVersion } {
  const match = /^\/(?:v(\d+\.\d+)\/)?([A-Za-z_]+\.[A-Za-z_]+)\/?$/.exec(path);
  if (!match?.[2]) throw new ClearmlApiError(400, 0, `Invalid request path ${path}`);
  const text = match[1];
  if (text === undefined) return { name: match[2], version: newestVersion };
  const [major = '', minor = ''] = text.split('.');
  for (const [part, digits] of Object.entries({ major, minor })) {
    if (/^0\d/.test(digits)) {
      throw new ClearmlApiError(400, 2, 'Request path has invalid version', {
        version: text,
        reason: `Invalid leading zero in ${part}: '${text}'`,
      });
    }
  }
  return { name: match[2], version: [Number(major), Number(minor)] };
}

function findRoute(name: string, version: ApiVersion): Route | undefined {
  const endpoint = Object.hasOwn(clearmlEndpoints, name) ? clearmlEndpoints[name] : undefined;
  const served = endpoint?.versions.filter((candidate) => compareVersions(candidate, version) <= 0).at(-1);
  return endpoint && served ? { name, version, endpoint, served } : undefined;
}

/** The body as the server reads it: JSON whatever the content type says, or JSON lines where it says so (recordings 045-053). */
function parseBody(request: ReceivedRequest): { data: Data; lines: Record<string, unknown>[] | undefined } {
  const { message, body } = request;
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch {
    throw new ClearmlApiError(400, 0, badRequestText);
  }
  const parse = (source: string): unknown => {
    try {
      return parsePythonJson(source);
    } catch {
      throw new ClearmlApiError(400, 0, badRequestText);
    }
  };
  const asObject = (value: unknown) => {
    if (!isObject(value)) throw serverTripped('Data should be a dict');
    return value;
  };
  if (message.headers['content-type'] === 'application/json-lines') {
    const lines = text.split('\n').filter((line) => line.trim() !== '');
    return { data: {}, lines: lines.map((line) => asObject(parse(line))) };
  }
  if (text.trim() === '') return { data: parseQuery(message.url ?? ''), lines: undefined };
  const value = parse(text);
  return { data: value === null ? {} : asObject(value), lines: undefined };
}

/** Parameters in the path, where there is no body (recording 042). */
function parseQuery(url: string): Data {
  const data: Record<string, unknown> = {};
  for (const [name, value] of new URL(url, 'http://127.0.0.1').searchParams) {
    const list = name.endsWith('[]') ? name.slice(0, -2) : undefined;
    if (list === undefined) data[name] = queryValue(value);
    else data[list] = [...((data[list] as string[] | undefined) ?? []), value];
  }
  return data;
}

/** Numbers and booleans are recognized in a query. */
function queryValue(text: string): unknown {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text);
  return /^(true|false)$/i.test(text) ? text.toLowerCase() === 'true' : text;
}

const compressedFromBytes = 500;

/** Sends a reply, compressed where the client can read that and it is worth it (recordings 303, 304). */
function send(
  message: IncomingMessage,
  response: ServerResponse,
  status: number,
  type: string,
  text: string,
): void {
  let body: Buffer = Buffer.from(text);
  const accepted = String(message.headers['accept-encoding'] ?? '')
    .split(',')
    .map((item) => item.trim().split(';')[0]);
  if (body.length >= compressedFromBytes) {
    if (accepted.includes('br')) {
      response.setHeader('Content-Encoding', 'br');
      body = brotliCompressSync(body, { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } });
    } else if (accepted.includes('gzip')) {
      response.setHeader('Content-Encoding', 'gzip');
      body = gzipSync(body);
    } else if (accepted.includes('deflate')) {
      response.setHeader('Content-Encoding', 'deflate');
      body = deflateSync(body);
    }
  }
  const origin = message.headers.origin;
  response.setHeader('Vary', origin === undefined ? 'Accept-Encoding' : 'Accept-Encoding, Origin');
  if (origin !== undefined) {
    response.setHeader('Access-Control-Allow-Origin', origin);
    response.setHeader('Access-Control-Allow-Credentials', 'true');
  }
  response.setHeader('Server', 'clearml');
  response.setHeader('Connection', 'close');
  response.setHeader('Content-Type', type);
  response.setHeader('Content-Length', body.length);
  response.statusCode = status;
  response.end(body);
}

/** The API: from a request to its reply. */
export interface ClearmlApi {
  answer(request: ReceivedRequest, response: ServerResponse): Promise<void>;
}

/** The header, or else the cookie that auth.login has set. */
function authorizationOf(message: IncomingMessage): string | undefined {
  const cookie = /(?:^|;\s*)clearml_token_basic=([^;]+)/.exec(message.headers.cookie ?? '')?.[1];
  return message.headers.authorization ?? (cookie === undefined ? undefined : `Bearer ${cookie}`);
}

const watchIntervalMs = 15 * 60 * 1000;

/** What the API tells its owner. */
export interface ApiListeners {
  /** Hears of every request to an endpoint that was understood, before it is carried out. */
  readonly onRequest?: (request: { endpoint: string; body: unknown }) => void;
  /** Asked between the steps of a request; a promise holds it there until it is settled. */
  readonly atGap?: (gap: RequestGap) => Promise<unknown> | undefined;
}

/** An API over a store. */
export function createClearmlApi(
  store: Store,
  credentials: Credentials,
  { onRequest, atGap }: ApiListeners,
): ClearmlApi {
  let watchedAtMs = store.nowMs();

  const carryOut = (request: ReceivedRequest, info: EndpointInfo, response: ServerResponse): unknown => {
    const { message } = request;
    const path = (message.url ?? '/').split('?')[0] ?? '/';
    const { name, version } = parsePath(path);
    info.name = name;
    info.requested_version = versionInfo(version, version);
    const route = findRoute(name, version);
    if (!route) {
      throw new ClearmlApiError(
        404,
        0,
        `Unable to find endpoint for name ${name} and version ${version.join('.')}`,
      );
    }
    const { endpoint, served } = route;
    info.actual_version = versionInfo(served, version);
    const token = endpoint.open ? undefined : credentials.check(authorizationOf(message));
    if (endpoint.roles !== undefined) {
      throw new ClearmlApiError(
        403,
        20,
        `Forbidden (not allowed for role): role=${user.role}, allowed=(${endpoint.roles})`,
      );
    }
    const { data, lines } = parseBody(request);
    onRequest?.({ endpoint: name, body: lines ?? data });
    if (store.nowMs() - watchedAtMs >= watchIntervalMs) {
      watchedAtMs = store.nowMs();
      stopSilentTasks(store);
    }
    const worker = message.headers['x-clearml-worker'];
    const result = endpoint.handle({
      store,
      data,
      lines,
      version,
      served,
      worker: typeof worker === 'string' ? worker : undefined,
      remoteAddress: message.socket.remoteAddress ?? '',
      token,
      createToken: credentials.createToken,
      revokeToken: credentials.revokeToken,
      atGap: (gap) => atGap?.({ ...gap, endpoint: name }),
    });
    if (name === 'auth.login') setCookie(response, (result as { token: string }).token);
    if (name === 'auth.logout') setCookie(response, '');
    return result;
  };

  return {
    async answer(request, response) {
      const { message } = request;
      // As all times of the server.
      response.setHeader('Date', new Date(store.nowMs()).toUTCString());
      const encoding = message.headers['content-encoding'];
      if (encoding) {
        // Recording 054.
        send(
          message,
          response,
          415,
          'text/html; charset=utf-8',
          `Content encoding is not supported (${encoding})`,
        );
        return;
      }
      if (message.method === 'OPTIONS') {
        const headers = message.headers['access-control-request-headers'];
        if (headers) {
          response.setHeader('Access-Control-Allow-Headers', headers.split(/\s*,\s*/).join(', '));
          response.setHeader('Access-Control-Allow-Methods', 'DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT');
        }
        send(message, response, 200, 'text/html; charset=utf-8', '');
        return;
      }
      const id = createId();
      const info: EndpointInfo = { name: '', requested_version: 1, actual_version: null };
      let status = 200;
      let subcode = 0;
      let text = 'OK';
      let data: unknown = {};
      try {
        const result = carryOut(request, info, response);
        // Awaited only where it must be: until then nothing comes in between.
        data = result instanceof Promise ? await result : result;
      } catch (error) {
        const refusal = error instanceof ClearmlApiError ? error : serverTripped(String(error));
        status = refusal.code;
        subcode = refusal.subcode;
        text = refusal.message;
      }
      const meta = {
        id,
        trx: message.headers['x-clearml-trx'] ?? id,
        endpoint: info,
        result_code: status,
        result_subcode: subcode,
        result_msg: text,
        error_stack: null,
        error_data: {},
      };
      send(message, response, status, 'application/json', JSON.stringify({ meta, data }));
    },
  };
}

function setCookie(response: ServerResponse, token: string): void {
  const lifetime = token ? 'Max-Age=99999999999' : 'Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0';
  response.setHeader(
    'Set-Cookie',
    `clearml_token_basic=${token}; ${lifetime}; HttpOnly; Path=/; SameSite=Lax`,
  );
}
