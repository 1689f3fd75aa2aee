import * as v from 'valibot';
import type { ClearmlAccess } from '../shell/environment.ts';
import { EXIT_CODES, Failure } from '../shell/failure.ts';
import { createHttp, type HttpResponse } from '../shell/http.ts';
import { parseJson } from '../shell/json.ts';
import type { Session } from '../shell/program.ts';
import type { Redact } from '../shell/redaction.ts';
import {
  askUntilAnswered,
  type NoAnswer,
  type Question,
  readRetryAfterMs,
  type Wire,
} from '../shell/retry.ts';
import { toSingleLine } from '../text/single-line.ts';

/** For one attempt. A repeatable request is then sent again. */
const ATTEMPT_TIMEOUT_MS = 10_000;

/** How to make one call. */
export interface CallOptions extends Pick<Question<unknown>, 'isRepeatable'> {
  readonly signal?: AbortSignal | undefined;
  /** For one attempt. Default 10 s; more where the answer may be large. */
  readonly timeoutMs?: number;
}

/** ClearML's REST API. */
export interface ClearmlClient {
  /**
   * Calls an endpoint (`tasks.get_all`) and returns its `data`, checked by the schema.
   *
   * @throws ClearmlRefusal when the server refuses (4xx); AnswerLost when the answer to a request that is not repeatable
   *   got lost; Failure when the server does not answer, refuses the credentials or sends something else
   */
  call<T>(
    endpoint: string,
    body: Readonly<Record<string, unknown>>,
    schema: v.GenericSchema<unknown, T>,
    options: CallOptions,
  ): Promise<T>;
  /** The server's API version (`2.34`); undefined before its first answer. */
  readonly apiVersion: string | undefined;
  /**
   * The time by the server's clock, in ms since 1970, as far as its answers tell. What is compared with the server's times,
   * or by a run on another machine, is taken from it: a runner's own clock may be off by hours.
   */
  serverNow(): number;
}

/** The API, as a run asks it until `signal` ends the run. */
export interface ClearmlServer {
  readonly client: ClearmlClient;
  readonly signal?: AbortSignal | undefined;
}

/** The server understood the call and refused it. `code` and `subcode` are ClearML's (400/101: no such task). */
export class ClearmlRefusal extends Failure {
  readonly code: number;
  readonly subcode: number;

  constructor(endpoint: string, code: number, subcode: number, message: string) {
    super(`ClearML refused ${endpoint}: ${message} (${code}/${subcode})`, {
      exitCode: EXIT_CODES.unavailable,
      remedy: 'The server probably behaves differently from version 2.3. Please report this line.',
    });
    this.code = code;
    this.subcode = subcode;
  }
}

/** The refusals that we react to: subcodes of code 400. */
const REFUSALS = {
  'no such task': 101,
  /** The task's status does not allow it: the task runs, or has ended. */
  'wrong status': 110,
  /** Another request changed the status at the same time. */
  overtaken: 121,
  /** Without `force` the server deletes drafts only. */
  'no draft': 123,
  /** Of a model. */
  'published already': 203,
  /** Also the answer to an enqueue that another one overtook. */
  'not in queue': 703,
  'queued already': 706,
  'project exists': 801,
} as const;

/** Whether the server refused for one of these reasons. */
export function isRefusal(
  error: unknown,
  ...reasons: ReadonlyArray<keyof typeof REFUSALS>
): error is ClearmlRefusal {
  return (
    error instanceof ClearmlRefusal &&
    error.code === 400 &&
    reasons.some((reason) => REFUSALS[reason] === error.subcode)
  );
}

/** How to reach ClearML, and for how long. */
export interface ClearmlClientOptions extends Wire {
  readonly access: Pick<ClearmlAccess, 'apiHost' | 'accessKey' | 'secretKey'>;
  /** When a call that began at the given time gives up; both in ms since 1970. */
  readonly giveUpAt: (beganAtMs: number) => number;
}

/** How ClearML is reached, by clients that give up at different times. */
export type Reach = Omit<ClearmlClientOptions, 'giveUpAt' | 'onRetry'> & { readonly access: ClearmlAccess };

/** Opens connections to ClearML, and closes them when the work is done. */
export async function useClearml<T>(
  access: ClearmlAccess,
  { env, clock, redact, random }: Pick<Session, 'env' | 'clock' | 'redact' | 'random'>,
  work: (reach: Reach) => Promise<T>,
): Promise<T> {
  const http = createHttp(env, clock);
  try {
    return await work({ access, http, clock, redact, random });
  } finally {
    await http.close();
  }
}

/** Talks to ClearML with Basic authentication, which every endpoint accepts without a login. */
export function createClearmlClient(options: ClearmlClientOptions): ClearmlClient {
  const { access, clock, redact } = options;
  const { apiHost } = access;
  const authorization = `Basic ${Buffer.from(`${access.accessKey}:${access.secretKey}`).toString('base64')}`;
  const headers = { authorization, 'content-type': 'application/json', accept: 'application/json' };
  let apiVersion: string | undefined;
  let aheadMs = 0;

  return {
    call(endpoint, body, schema, { isRepeatable, signal, timeoutMs = ATTEMPT_TIMEOUT_MS }) {
      const waitedMs = () => options.limitWait?.waitedMs ?? 0;
      const giveUpAtMs = options.giveUpAt(clock.now()) - waitedMs();
      return askUntilAnswered(options, {
        // Without a version in the URL the server uses its newest, and names it in the answer.
        request: { method: 'POST', url: `${apiHost}/${endpoint}`, headers, body: JSON.stringify(body) },
        timeoutMs,
        isRepeatable,
        signal,
        giveUpAt: () => giveUpAtMs + waitedMs(),
        read(response) {
          const envelope = openEnvelope(endpoint, response, options);
          if ('reason' in envelope) return envelope;
          aheadMs = measureAheadMs(response, clock.now(), aheadMs);
          apiVersion ??= envelope.meta.endpoint?.requested_version ?? undefined;
          return readData(endpoint, response.status, envelope, schema, redact);
        },
        words: {
          request: `ClearML ${endpoint}`,
          silent: `ClearML at ${redact(apiHost)} did not answer ${endpoint}`,
          limited: `ClearML at ${redact(apiHost)} takes no more requests (${endpoint})`,
          unreachable: `Check that the server is up, and check CLEARML_API_HOST (${redact(apiHost)}) and the proxy variables.`,
          lost: `ClearML's answer to ${endpoint} got lost`,
          afterLoss: `Check that ${apiHost} works, then run this step again. It finds what was created.`,
        },
      });
    },
    get apiVersion() {
      return apiVersion;
    },
    serverNow: () => clock.now() + aheadMs,
  };
}

/** A header has whole seconds, and an answer may be on its way for some: a smaller difference is none. */
const MIN_DIFFERENCE_MS = 60_000;

/** How far the server's clock is ahead of ours. Each answer of the real server has the header (all recordings). */
function measureAheadMs({ headers }: HttpResponse, nowMs: number, knownMs: number): number {
  const aheadMs = Date.parse(headers.date ?? '') - nowMs;
  return Math.abs(aheadMs - knownMs) >= MIN_DIFFERENCE_MS ? aheadMs : knownMs;
}

/** @throws Failure when the server refuses the credentials or a permission is missing */
function openEnvelope(
  endpoint: string,
  response: HttpResponse,
  { redact, clock }: Wire,
): Envelope | NoAnswer {
  const { status, headers } = response;
  const envelope = parseEnvelope(response.text);
  const serverMessage = toSingleLine(redact(envelope?.meta.result_msg ?? ''));
  if (status === 429) {
    return {
      reason: 'the rate limit of the server is reached (429)',
      remedy: 'Run this step again later. Hosted plans limit API calls.',
      mayHaveLanded: false,
      isRateLimit: true,
      pauseMs: readRetryAfterMs(headers, clock.now()),
    };
  }
  if (status >= 500) {
    return {
      reason: `HTTP ${status}${serverMessage === '' ? '' : `, ${serverMessage}`}`,
      remedy: 'The server is overloaded, restarting or broken. Check its health, then run this step again.',
      mayHaveLanded: true,
      // ClearML's own answer is unlikely to change. A gateway's page usually passes.
      maxAttempts: envelope !== undefined && status === 500 ? 3 : Number.POSITIVE_INFINITY,
      pauseMs: readRetryAfterMs(headers, clock.now()),
    };
  }
  if (status === 401 || status === 403) throw refuseCredentials(endpoint, status, serverMessage);
  return envelope ?? describeNonsense(response);
}

/** @throws ClearmlRefusal */
function readData<T>(
  endpoint: string,
  status: number,
  { meta, data }: Envelope,
  schema: v.GenericSchema<unknown, T>,
  redact: Redact,
): { readonly answer: T } | NoAnswer {
  const { result_code: code, result_subcode: subcode, result_msg: message } = meta;
  if (status >= 400 || code >= 400) {
    throw new ClearmlRefusal(endpoint, code, subcode, toSingleLine(redact(message)));
  }
  const parsed = v.safeParse(schema, data);
  if (parsed.success) return { answer: parsed.output };
  const issue = parsed.issues[0];
  return {
    reason: `something of another shape came instead (${v.getDotPath(issue) ?? 'data'}: ${toSingleLine(redact(issue.message))})`,
    remedy: 'The server is older or newer than API 2.34, or something in between changes its answers.',
    mayHaveLanded: true,
    maxAttempts: 3,
  };
}

function refuseCredentials(endpoint: string, status: number, serverMessage: string): Failure {
  return new Failure(
    `ClearML refused ${status === 401 ? 'the credentials' : endpoint}: ${serverMessage || `HTTP ${status}`}`,
    {
      exitCode: EXIT_CODES.refused,
      remedy:
        status === 401
          ? 'CLEARML_API_ACCESS_KEY and CLEARML_API_SECRET_KEY (the secrets ACCESS_KEY and SECRET_KEY) must be a pair that is not revoked, from the server at CLEARML_API_HOST.'
          : 'The user of these credentials lacks the permission: ask an administrator of the ClearML workspace.',
    },
  );
}

const EnvelopeSchema = v.object({
  meta: v.object({
    result_code: v.number(),
    result_subcode: v.number(),
    result_msg: v.string(),
    endpoint: v.optional(v.object({ requested_version: v.nullish(v.string()) })),
  }),
  data: v.unknown(),
});

type Envelope = v.InferOutput<typeof EnvelopeSchema>;

function parseEnvelope(text: string): Envelope | undefined {
  const parsed = v.safeParse(EnvelopeSchema, parseJson(text));
  return parsed.success ? parsed.output : undefined;
}

function describeNonsense(response: HttpResponse): NoAnswer {
  const { status, text } = response;
  const isRedirect = status >= 300 && status < 400;
  const what = isRedirect
    ? 'a redirect'
    : /^\s*</.test(text)
      ? 'a web page'
      : parseJson(text) === undefined
        ? 'something that is not JSON'
        : "JSON that is not ClearML's";
  return {
    reason: `${what} came instead (HTTP ${status})`,
    remedy:
      'CLEARML_API_HOST must name the API server (https://api.…, port 8008), not the web page (https://app.…, port 8080). A login page or a proxy in between may also answer so.',
    mayHaveLanded: true,
    maxAttempts: isRedirect || status >= 400 ? 1 : 4,
  };
}
