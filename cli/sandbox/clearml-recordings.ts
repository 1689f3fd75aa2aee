import { readFileSync } from 'node:fs';
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { gunzipSync } from 'node:zlib';

/**
 * One exchange with a real clearml-server 2.3.0: a line of `recordings/*.jsonl`, where long logs and package lists are
 * cut. "(recording 037)" in a comment of the sandbox means the line whose name begins with 037.
 */
export interface Recording {
  readonly name: string;
  readonly note?: string;
  readonly request: {
    readonly method: string;
    readonly path: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly body: unknown;
  };
  readonly response: {
    readonly status: number;
    readonly headers: Readonly<Record<string, string>>;
    readonly body: unknown;
  };
}

/** Reads `recordings/NAME.jsonl`. */
export function readRecordings(name: string): Recording[] {
  const text = readFileSync(new URL(`./recordings/${name}.jsonl`, import.meta.url), 'utf8');
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Recording);
}

/** The endpoint that a recorded request was understood to mean, if any. */
export function endpointOf(recording: Recording): string | undefined {
  const { body } = recording.response;
  const meta = (body as { meta?: { endpoint: { name: string } } } | null)?.meta;
  return meta?.endpoint.name || undefined;
}

/** An answer off the wire. */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Parsed where it is JSON. */
  readonly body: unknown;
}

/** Sends one request as it is, bodies of GET included; fetch would refuse those. */
export async function sendRaw(
  url: string,
  options: { method: string; headers: Record<string, string>; body?: string | Buffer | undefined },
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { method, headers, body } = options;
    const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
    const sent = httpRequest(url, { method, headers: { ...headers, ...length } }, (message) => {
      const chunks: Buffer[] = [];
      message.on('data', (chunk: Buffer) => chunks.push(chunk));
      message.on('error', reject);
      message.on('end', () => {
        const raw = Buffer.concat(chunks);
        const text = (message.headers['content-encoding'] === 'gzip' ? gunzipSync(raw) : raw).toString(
          'utf8',
        );
        const json = message.headers['content-type'] === 'application/json';
        resolve({
          status: message.statusCode ?? 0,
          headers: message.headers,
          body: json ? (JSON.parse(text) as unknown) : text,
        });
      });
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

const idPattern = /\b[0-9a-f]{32}\b/g;

/** Which id or token of the sandbox stands for which recorded one; it is learned from answer to answer. */
export class IdMap {
  readonly #known = new Map<string, string>();

  learn(recorded: string, actual: string): void {
    if (!this.#known.has(recorded)) this.#known.set(recorded, actual);
  }

  /** Puts the sandbox's ids in the place of the recorded ones. */
  translate(text: string): string {
    let translated = text.replace(idPattern, (id) => this.#known.get(id) ?? id);
    for (const [recorded, actual] of this.#known) {
      if (recorded.length !== 32) translated = translated.replaceAll(recorded, actual);
    }
    return translated;
  }
}

/** How strictly answers are compared. */
export interface Tolerance {
  /** Fields of which only the type counts, besides times. */
  readonly typeOnly: ReadonlySet<string>;
  /** Whether lists may differ in length and objects in values: only names and types count. */
  readonly shapeOnly: boolean;
}

const timePattern = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)$/;

/** Where an answer differs from the recorded one, in words; empty where it does not. Ids are learned on the way. */
export function findDifferences(
  recorded: unknown,
  actual: unknown,
  ids: IdMap,
  tolerance: Tolerance,
  path = 'body',
): string[] {
  if (typeName(recorded) !== typeName(actual)) {
    return [`${path}: ${show(recorded)} was recorded, ${show(actual)} came`];
  }
  const field = path.split('.').at(-1) ?? '';
  if (Array.isArray(recorded) && Array.isArray(actual)) {
    return compareLists(recorded, actual, ids, tolerance, path);
  }
  if (isRecord(recorded) && isRecord(actual)) {
    const wanted = new Map(Object.entries(recorded).map(([key, value]) => [ids.translate(key), value]));
    const missing = [...wanted.keys()].filter((key) => !Object.hasOwn(actual, key));
    const extra = Object.keys(actual).filter((key) => !wanted.has(key));
    return [
      ...missing.map((key) => `${path}.${key} is missing`),
      ...extra.map((key) => `${path}.${key} was not recorded`),
      ...[...wanted].flatMap(([key, value]) =>
        Object.hasOwn(actual, key)
          ? findDifferences(value, actual[key], ids, tolerance, `${path}.${key}`)
          : [],
      ),
    ];
  }
  if (typeof recorded === 'string' && typeof actual === 'string') {
    if (field === 'scroll_id' || field === 'token') ids.learn(recorded, actual);
    else if (/^[0-9a-f]{32}$/.test(recorded) && /^[0-9a-f]{32}$/.test(actual)) ids.learn(recorded, actual);
    const timeZone = timePattern.exec(recorded)?.[2];
    if (timeZone !== undefined) {
      return timePattern.exec(actual)?.[2] === timeZone
        ? []
        : [`${path}: a time was recorded, ${actual} came`];
    }
  }
  if (tolerance.shapeOnly || tolerance.typeOnly.has(field)) return [];
  const expected = typeof recorded === 'string' ? ids.translate(recorded) : recorded;
  return Object.is(expected, actual) ? [] : [`${path}: ${show(expected)} was recorded, ${show(actual)} came`];
}

function compareLists(
  recorded: readonly unknown[],
  actual: readonly unknown[],
  ids: IdMap,
  tolerance: Tolerance,
  path: string,
): string[] {
  const field = path.split('.').at(-1) ?? '';
  if (tolerance.shapeOnly || tolerance.typeOnly.has(field)) {
    const [sample] = recorded;
    return actual.flatMap((item, index) =>
      recorded.length === 0 ? [] : findDifferences(recorded[index] ?? sample, item, ids, tolerance, path),
    );
  }
  if (recorded.length !== actual.length) {
    return [`${path}: ${recorded.length} elements were recorded, ${actual.length} came`];
  }
  return recorded.flatMap((item, index) =>
    findDifferences(item, actual[index], ids, tolerance, `${path}.${index}`),
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function typeName(value: unknown): string {
  return value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value;
}

function show(value: unknown): string {
  return (JSON.stringify(value) ?? 'nothing').slice(0, 200);
}
