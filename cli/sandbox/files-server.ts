import type { ServerResponse } from 'node:http';
import type { ReceivedRequest } from './clearml-api.ts';
import type { Credentials } from './clearml-auth.ts';
import { ClearmlApiError } from './clearml-error.ts';

interface StoredFile {
  readonly content: Buffer;
  readonly type: string;
}

/** The files that clients upload: models, artifacts, images; kept in memory. */
export interface FilesServer {
  answer(request: ReceivedRequest, response: ServerResponse): void;
}

/** The parts of a multipart body that are files, by the name of their field: clients name it after the path to store it at. */
function parseUpload(body: Buffer, contentType: string): Map<string, StoredFile> {
  const files = new Map<string, StoredFile>();
  const boundary = /boundary="?([^";]+)"?/i.exec(contentType)?.[1];
  if (boundary === undefined) return files;
  const delimiter = Buffer.from(`--${boundary}`);
  let start = body.indexOf(delimiter);
  while (start !== -1) {
    const partStart = start + delimiter.length;
    const next = body.indexOf(delimiter, partStart);
    if (next === -1) break;
    // A part lies between the line break after its delimiter and the one before the next.
    const part = body.subarray(partStart + 2, next - 2);
    const headerEnd = part.indexOf('\r\n\r\n');
    if (headerEnd !== -1) {
      const head = part.subarray(0, headerEnd).toString('utf8');
      const name = /name="([^"]*)"/i.exec(head)?.[1];
      if (name && /filename/i.test(head)) {
        const type = /content-type:\s*(\S+)/i.exec(head)?.[1] ?? 'application/octet-stream';
        files.set(name.replace(/^\/+/, ''), { content: Buffer.from(part.subarray(headerEnd + 4)), type });
      }
    }
    start = next;
  }
  return files;
}

function send(response: ServerResponse, status: number, type: string, body: string | Buffer): void {
  response.setHeader('Server', 'clearml');
  response.setHeader('Connection', 'close');
  response.setHeader('Content-Type', type);
  response.setHeader('Content-Length', Buffer.byteLength(body));
  response.statusCode = status;
  response.end(body);
}

/** A files server; it takes bearer tokens only (Basic is 401), `GET /` alone needs none. */
export function createFilesServer(credentials: Credentials): FilesServer {
  const files = new Map<string, StoredFile>();

  const isAllowed = (authorization: string | undefined): boolean => {
    if (!authorization?.startsWith('Bearer ')) return false;
    try {
      credentials.check(authorization);
      return true;
    } catch (error) {
      if (error instanceof ClearmlApiError) return false;
      throw error;
    }
  };

  return {
    answer({ message, body }, response) {
      const { method, headers } = message;
      const path = decodePath(message.url ?? '/');
      if (headers['content-encoding']) {
        send(
          response,
          415,
          'text/html',
          `Content encoding is not supported (${headers['content-encoding']})`,
        );
      } else if (path === '' && (method === 'GET' || method === 'HEAD') && !headers.authorization) {
        send(response, 200, 'text/html; charset=utf-8', 'OK');
      } else if (!isAllowed(headers.authorization)) {
        send(response, 401, 'text/html; charset=utf-8', 'Unauthorized');
      } else if (path === '' && method === 'POST') {
        const uploaded = parseUpload(body, headers['content-type'] ?? '');
        for (const [name, file] of uploaded) files.set(name, file);
        send(response, 200, 'text/html; charset=utf-8', JSON.stringify([...uploaded.keys()]));
      } else if (path === '' && method !== 'DELETE') {
        send(response, 200, 'text/html; charset=utf-8', 'OK');
      } else {
        answerFile(files, path, method, response);
      }
    },
  };
}

function answerFile(
  files: Map<string, StoredFile>,
  path: string,
  method: string | undefined,
  response: ServerResponse,
): void {
  const file = files.get(path);
  if (method === 'DELETE') {
    if (files.delete(path)) send(response, 200, 'text/html; charset=utf-8', JSON.stringify(path));
    else send(response, 404, 'text/html; charset=utf-8', `File ${path} not found`);
  } else if (method !== 'GET' && method !== 'HEAD') {
    send(response, 405, 'text/html; charset=utf-8', 'Method Not Allowed');
  } else if (file) send(response, 200, file.type, file.content);
  else send(response, 404, 'text/html; charset=utf-8', 'Not Found');
}

function decodePath(url: string): string {
  const path = (url.split('?')[0] ?? '').replace(/^\/+/, '');
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
