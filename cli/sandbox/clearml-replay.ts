import { type Answer, findDifferences, type IdMap, type Recording, sendRaw } from './clearml-recordings.ts';
import type { ClearmlSandbox } from './clearml-server.ts';

/** A call that the recordings leave out, in recorded ids; `id` is the recorded id of what it creates. */
export interface Step {
  readonly endpoint: string;
  readonly body: Record<string, unknown> | Record<string, unknown>[];
  readonly id?: string;
}

/** Fields of which only the type counts: they follow from the clock, the machine or the run of the agent. */
const typeOnly = new Set([
  'token',
  'scroll_id',
  'timestamp',
  'last_timestamp',
  'last_update', // of metric_stats, in milliseconds
  'active_duration',
  'running_time',
  'access_key',
  'secret_key',
]);

/** The header of Basic authentication. */
export function basic(key: string, secret: string): string {
  return `Basic ${Buffer.from(`${key}:${secret}`).toString('base64')}`;
}

/** One request to an endpoint of the sandbox, with its credentials; a list is sent as JSON lines. */
export async function callEndpoint(
  sandbox: ClearmlSandbox,
  endpoint: string,
  body: Step['body'],
): Promise<Answer> {
  const lines = Array.isArray(body);
  return sendRaw(`${sandbox.apiHost}/v2.34/${endpoint}`, {
    method: 'POST',
    headers: {
      'content-type': lines ? 'application/json-lines' : 'application/json',
      authorization: basic(sandbox.accessKey, sandbox.secretKey),
    },
    body: lines ? body.map((line) => JSON.stringify(line)).join('\n') : JSON.stringify(body),
  });
}

/** Makes the calls, and learns the ids of what they create. Throws where one is refused. */
export async function performSteps(
  sandbox: ClearmlSandbox,
  steps: readonly Step[],
  ids: IdMap,
): Promise<void> {
  for (const { endpoint, body, id } of steps) {
    const translated = JSON.parse(ids.translate(JSON.stringify(body))) as Step['body'];
    const answer = await callEndpoint(sandbox, endpoint, translated);
    if (answer.status !== 200) throw new Error(`${endpoint}: ${JSON.stringify(answer.body)}`);
    const created = (answer.body as { data: { id?: string } }).data.id;
    if (id !== undefined && created !== undefined) ids.learn(id, created);
  }
}

/** The bytes of a recorded body; JSON was recorded parsed. */
function bodyOf({ name, request }: Recording, ids: IdMap): string | Buffer | undefined {
  const { body, headers } = request;
  const number = name.slice(0, 3);
  if (number === '053' || number === '054') return Buffer.from(String(body), 'latin1');
  if (number === '048') return JSON.stringify(body);
  if (body === null) return headers['content-type'] === undefined ? undefined : 'null';
  return ids.translate(typeof body === 'string' ? body : JSON.stringify(body));
}

/** Sends a recorded request to the sandbox, with `authorization` in the place of what was redacted. */
export async function replayRecording(
  sandbox: ClearmlSandbox,
  recording: Recording,
  ids: IdMap,
  authorization: string | undefined,
): Promise<Answer> {
  return sendRaw(`${sandbox.apiHost}${ids.translate(recording.request.path)}`, {
    method: recording.request.method,
    headers: { ...recording.request.headers, ...(authorization !== undefined && { authorization }) },
    body: bodyOf(recording, ids),
  });
}

/** The parts of an answer that were recorded, without the id of the exchange. */
function comparable(answer: Answer): unknown {
  const { body } = answer;
  if (typeof body !== 'object' || body === null) return body;
  const { meta, data } = body as { meta: Record<string, unknown>; data: unknown };
  const { id, trx, error_stack: _stack, error_data: _data, ...rest } = meta;
  return { meta: { ...rest, ...(trx !== id && { trx }) }, data };
}

/** The result codes, which count in comparisons of shape too. */
function codesOf(body: unknown): string {
  const meta = (body as { meta?: Record<string, unknown> } | null)?.meta;
  return JSON.stringify([meta?.result_code, meta?.result_subcode, meta?.endpoint]);
}

/** Where an answer differs from the recorded one, in words; with `shape`, names, types and codes alone count. */
export function compareAnswer(recording: Recording, answer: Answer, ids: IdMap, shape: boolean): string[] {
  const { status, headers, body } = recording.response;
  const [recorded, came] = [codesOf(body), codesOf(answer.body)];
  const header = (name: string) =>
    answer.headers[name] === headers[name] ? [] : [`header ${name}: ${answer.headers[name]} came`];
  return [
    ...(recorded === came ? [] : [`${recorded} was recorded, ${came} came`]),
    ...(answer.status === status ? [] : [`HTTP ${status} was recorded, ${answer.status} came`]),
    ...Object.keys(headers).flatMap(header),
    ...findDifferences(body, comparable(answer), ids, { typeOnly, shapeOnly: shape }),
  ];
}
