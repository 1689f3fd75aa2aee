import { type IncomingHttpHeaders, type IncomingMessage, type Server, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';

/** A request as a server receives it. */
export interface DirectRequest {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  /** Names in lower case. */
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface DirectAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** Brings a request to a server, and its answer back. */
export type AskServer = (request: DirectRequest) => Promise<DirectAnswer>;

/**
 * Asks a server of this process without a connection: the same answer for a third of the work. What is between client and
 * server is then none of the test's matter, or happens elsewhere.
 */
export function askDirectly(server: Server, request: DirectRequest): Promise<DirectAnswer> {
  const { method, path, headers, body } = request;
  const message = Object.assign(Readable.from(body.length === 0 ? [] : [body]), {
    method,
    url: path,
    headers,
    socket: { remoteAddress: '127.0.0.1' },
  }) as unknown as IncomingMessage;
  return new Promise((resolve) => {
    const response = new ServerResponse(message);
    Object.assign(response, {
      writeHead(status: number, fields: Readonly<Record<string, string>> = {}) {
        response.statusCode = status;
        for (const [name, value] of Object.entries(fields)) response.setHeader(name, value);
        return response;
      },
      end(text: string | Buffer = '') {
        const answered = response.getHeaders() as IncomingHttpHeaders;
        resolve({ status: response.statusCode, headers: answered, body: Buffer.from(text) });
        return response;
      },
    });
    server.emit('request', message, response);
  });
}
