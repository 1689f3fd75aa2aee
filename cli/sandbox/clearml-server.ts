import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type ApiListeners, createClearmlApi } from './clearml-api.ts';
import { createCredentials } from './clearml-auth.ts';
import { createStore } from './clearml-store.ts';
import { renderWebPage } from './clearml-web-page.ts';
import { type AskServer, askDirectly } from './direct-answer.ts';
import { createFilesServer } from './files-server.ts';
import { NO_TIME_LIMITS } from './http-limits.ts';

/** A running ClearML server for tests and demonstrations: API, web page and files server on loopback, state in memory. */
export interface ClearmlSandbox {
  /** `http://127.0.0.1:PORT`, as the two others. */
  readonly apiHost: string;
  /** A small read-only page at `/projects/P/tasks/ID/output/log`, so that links lead somewhere. */
  readonly webHost: string;
  /** Takes bearer tokens only. */
  readonly filesHost: string;
  /** Random at each start, as the secret key is. */
  readonly accessKey: string;
  readonly secretKey: string;
  /** The five CLEARML_… variables that make a client use this server. */
  readonly env: Readonly<Record<string, string>>;
  /** Asks the API without a connection. */
  readonly askApi: AskServer;
  /** Ends at once, open connections included. */
  close(): Promise<void>;
}

async function receive(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function shutDown(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  server.closeAllConnections();
  await closed;
}

/** Serves requests received in full; a client that goes away before that gets no answer. */
function serve(
  answer: (
    request: { message: IncomingMessage; body: Buffer },
    response: ServerResponse,
  ) => void | Promise<void>,
): Server {
  return createServer(NO_TIME_LIMITS, (message, response) => {
    receive(message).then(
      (body) => answer({ message, body }, response),
      () => response.destroy(),
    );
  });
}

export interface ClearmlSandboxOptions extends ApiListeners {
  /** The server's clock, in ms since 1970. */
  readonly now?: () => number;
}

/** Starts the sandbox on free ports. It holds one queue, `default`, as a fresh server does. */
export async function startClearmlSandbox(options: ClearmlSandboxOptions = {}): Promise<ClearmlSandbox> {
  const nowMs = options.now ?? Date.now;
  const store = createStore(nowMs);
  const credentials = createCredentials(nowMs);
  const api = createClearmlApi(store, credentials, options);
  const files = createFilesServer(credentials);
  const apiServer = serve(api.answer);
  const filesServer = serve(files.answer);
  const webServer = serve(({ message }, response) => {
    const { status, html } = renderWebPage(store, (message.url ?? '/').split('?')[0] ?? '/');
    response.writeHead(status, { 'Content-Type': 'text/html; charset=utf-8', Connection: 'close' }).end(html);
  });
  const [apiHost, webHost, filesHost] = await Promise.all([apiServer, webServer, filesServer].map(listen));
  if (apiHost === undefined || webHost === undefined || filesHost === undefined) throw new Error('no port');
  const { accessKey, secretKey } = credentials;
  return {
    apiHost,
    webHost,
    filesHost,
    accessKey,
    secretKey,
    env: {
      CLEARML_API_HOST: apiHost,
      CLEARML_WEB_HOST: webHost,
      CLEARML_FILES_HOST: filesHost,
      CLEARML_API_ACCESS_KEY: accessKey,
      CLEARML_API_SECRET_KEY: secretKey,
    },
    askApi: (request) => askDirectly(apiServer, request),
    async close() {
      await Promise.all([apiServer, webServer, filesServer].map(shutDown));
    },
  };
}
