import * as v from 'valibot';
import type { ClearmlAccess } from '../shell/environment.ts';
import { EXIT_CODES, type ExitCode, Failure } from '../shell/failure.ts';
import { type Http, type HttpResponse, TransportError } from '../shell/http.ts';
import type { Redact } from '../shell/redaction.ts';
import type { Clock } from '../shell/world.ts';
import { toSingleLine } from '../text/single-line.ts';

/** One request's own limit. Past it the server counts as silent, and a request that may be repeated is. */
const ATTEMPT_TIMEOUT_MS = 10_000;

export interface CallOptions {
  /**
   * Whether the request may be sent again when its answer got lost. Reading may; so may a change that is the same
   * however often it is made. What creates may not: look first whether it landed.
   */
  readonly isRepeatable: boolean;
  readonly signal?: AbortSignal | undefined;
  /** For one attempt, where the answer may be large. Default 10 s. */
  readonly timeoutMs?: number;
}

/** ClearML's REST API. */
export interface ClearmlClient {
  /**
   * Calls an endpoint (`tasks.get_all`) and gives its `data`, checked by the schema.
   *
   * @throws ClearmlRefusal when the server says no (4xx); AnswerLost when the answer of a request that is not
   *   repeatable got lost; Failure when the server can't be reached, refuses the credentials or talks nonsense.
   */
  call<T>(
    endpoint: string,
    body: Readonly<Record<string, unknown>>,
    schema: v.GenericSchema<unknown, T>,
    options: CallOptions,
  ): Promise<T>;
  /** The server's API version (`2.34`), known once it has answered a call. */
  readonly apiVersion: string | undefined;
}

/** The server understood and said no. `code` and `subcode` are ClearML's (400/101: no such task). */
export class ClearmlRefusal extends Failure {
  readonly code: number;
  readonly subcode: number;

  constructor(endpoint: string, code: number, subcode: number, message: string) {
    super(`ClearML refused ${endpoint}: ${message} (${code}/${subcode})`, {
      exitCode: EXIT_CODES.unavailable,
      remedy:
        'This usually means a server version that behaves differently from 2.3; please report it with this line.',
    });
    this.code = code;
    this.subcode = subcode;
  }

  /** Whether this is the refusal `code/subcode`. */
  is(code: number, subcode: number): boolean {
    return this.code === code && this.subcode === subcode;
  }
}

/** The request may have been applied, and nobody told us. */
export class AnswerLost extends Failure {
  constructor(endpoint: string, apiHost: string, reason: string, cause: unknown) {
    super(`ClearML's answer to ${endpoint} got lost: ${reason}`, {
      exitCode: EXIT_CODES.unavailable,
      remedy: `Look whether ${apiHost} works, then run this step again: what did land is found again.`,
      cause,
    });
  }
}

export interface ClearmlClientOptions {
  readonly access: Pick<ClearmlAccess, 'apiHost' | 'accessKey' | 'secretKey'>;
  readonly http: Http;
  readonly clock: Clock;
  readonly redact: Redact;
  readonly random: () => number;
  /** When a call that began at the given time must have an answer; both in ms since 1970. */
  readonly giveUpAt: (beganAtMs: number) => number;
  /** Called before each repetition. */
  readonly onRetry?: (reason: string) => void;
}

/** Talks to ClearML with Basic authentication, which every endpoint takes (recording 017): no login is needed. */
export function createClearmlClient(options: ClearmlClientOptions): ClearmlClient {
  const { access, http, clock, redact } = options;
  const authorization = `Basic ${Buffer.from(`${access.accessKey}:${access.secretKey}`).toString('base64')}`;

  let apiVersion: string | undefined;

  async function call<T>(
    endpoint: string,
    body: Readonly<Record<string, unknown>>,
    schema: v.GenericSchema<unknown, T>,
    callOptions: CallOptions,
  ): Promise<T> {
    const beganAtMs = clock.now();
    const giveUpAtMs = options.giveUpAt(beganAtMs);
    for (let attempt = 1; ; attempt += 1) {
      const outcome = await tryOnce(endpoint, body, schema, callOptions, giveUpAtMs - clock.now());
      if ('data' in outcome) return outcome.data;
      if (!callOptions.isRepeatable && outcome.mayHaveLanded) {
        throw new AnswerLost(endpoint, access.apiHost, outcome.reason, outcome.cause);
      }
      const pauseMs = Math.max(outcome.retryAfterMs ?? 0, computeBackoffMs(attempt, options.random()));
      if (attempt >= outcome.maxAttempts || clock.now() + pauseMs >= giveUpAtMs) {
        throw new Failure(
          `ClearML at ${redact(access.apiHost)} did not answer ${endpoint}: ${outcome.reason}`,
          {
            exitCode: EXIT_CODES.unavailable,
            remedy: outcome.remedy,
            cause: outcome.cause,
          },
        );
      }
      options.onRetry?.(outcome.reason);
      await clock.sleep(pauseMs, callOptions.signal);
    }
  }

  async function tryOnce<T>(
    endpoint: string,
    body: Readonly<Record<string, unknown>>,
    schema: v.GenericSchema<unknown, T>,
    { signal, timeoutMs = ATTEMPT_TIMEOUT_MS }: CallOptions,
    remainingMs: number,
  ): Promise<{ data: T } | NoAnswer> {
    let response: HttpResponse;
    try {
      response = await http.send({
        method: 'POST',
        // Without a version the server serves its newest, and says in each answer which that is (recording 033).
        url: `${access.apiHost}/${endpoint}`,
        headers: { authorization, 'content-type': 'application/json', accept: 'application/json' },
        body: JSON.stringify(body),
        timeoutMs: Math.max(1000, Math.min(timeoutMs, remainingMs)),
        ...(signal === undefined ? {} : { signal }),
      });
    } catch (error) {
      if (!(error instanceof TransportError)) throw error;
      return {
        reason: redact(error.message),
        remedy:
          error.remedy ??
          `Look whether the server is up and CLEARML_API_HOST (${redact(access.apiHost)}) and the proxy variables are right.`,
        mayHaveLanded: error.kind === 'lost',
        maxAttempts: error.remedy === undefined ? Number.POSITIVE_INFINITY : 1,
        cause: error,
      };
    }
    return readAnswer(endpoint, response, schema);
  }

  function readAnswer<T>(
    endpoint: string,
    response: HttpResponse,
    schema: v.GenericSchema<unknown, T>,
  ): { data: T } | NoAnswer {
    const { status } = response;
    const envelope = parseEnvelope(response.text);
    const serverMessage = redact(toSingleLine(envelope?.meta.result_msg ?? ''));
    if (status === 429) {
      return {
        reason: 'the server limits the rate of requests (429)',
        remedy: 'Run this step again later; a hosted plan counts API calls.',
        mayHaveLanded: false,
        maxAttempts: Number.POSITIVE_INFINITY,
        retryAfterMs: readRetryAfterMs(response.headers['retry-after'], clock.now()),
      };
    }
    if (status >= 500) {
      // An answer in ClearML's own form is its considered opinion; a gateway's page is a passing state.
      return {
        reason: `HTTP ${status}${serverMessage === '' ? '' : `, ${serverMessage}`}`,
        remedy:
          'The server is overloaded, restarting or broken: look at its health, then run this step again.',
        mayHaveLanded: true,
        maxAttempts: envelope !== undefined && status === 500 ? 3 : Number.POSITIVE_INFINITY,
        retryAfterMs: readRetryAfterMs(response.headers['retry-after'], clock.now()),
      };
    }
    if (status === 401 || status === 403) throw refuseCredentials(endpoint, status, serverMessage);
    if (envelope === undefined) return describeNonsense(response);
    apiVersion ??= envelope.meta.endpoint?.requested_version ?? undefined;
    if (status >= 400 || envelope.meta.result_code >= 400) {
      throw new ClearmlRefusal(
        endpoint,
        envelope.meta.result_code,
        envelope.meta.result_subcode,
        serverMessage,
      );
    }
    const parsed = v.safeParse(schema, envelope.data);
    if (parsed.success) return { data: parsed.output };
    const issue = parsed.issues[0];
    return {
      reason: `its answer has another shape than expected (${v.getDotPath(issue) ?? 'data'}: ${redact(toSingleLine(issue.message))})`,
      remedy:
        'The server is older or newer than these programs know (API 2.34), or something in between changes its answers.',
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
            ? 'CLEARML_API_ACCESS_KEY and CLEARML_API_SECRET_KEY (the secrets ACCESS_KEY and SECRET_KEY) must belong together, not be revoked, and be from the server that CLEARML_API_HOST names.'
            : 'The user whose credentials these are may not do this: ask an administrator of the ClearML workspace.',
      },
    );
  }

  return {
    call,
    get apiVersion() {
      return apiVersion;
    },
  };
}

interface NoAnswer {
  readonly reason: string;
  readonly remedy: string;
  readonly mayHaveLanded: boolean;
  readonly maxAttempts: number;
  readonly retryAfterMs?: number | undefined;
  readonly cause?: unknown;
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

function parseEnvelope(text: string): v.InferOutput<typeof EnvelopeSchema> | undefined {
  try {
    const parsed = v.safeParse(EnvelopeSchema, JSON.parse(text));
    return parsed.success ? parsed.output : undefined;
  } catch {
    return undefined;
  }
}

function describeNonsense(response: HttpResponse): NoAnswer {
  const isRedirect = response.status >= 300 && response.status < 400;
  const isPage = /^\s*</.test(response.text);
  const what = isRedirect
    ? `a redirection (HTTP ${response.status})`
    : isPage
      ? `a web page (HTTP ${response.status})`
      : isJson(response.text)
        ? `JSON that is not ClearML's (HTTP ${response.status})`
        : `something that is no JSON (HTTP ${response.status})`;
  return {
    reason: `it answered with ${what}`,
    remedy:
      'CLEARML_API_HOST must name the API server (https://api.…, port 8008), not the web page (https://app.…, port 8080); a login page or a proxy in between looks like this too.',
    mayHaveLanded: true,
    maxAttempts: isRedirect || response.status >= 400 ? 1 : 4,
  };
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Half a second, doubled up to 8 s, of which a random half is taken off so that many clients don't return together. */
function computeBackoffMs(attempt: number, random: number): number {
  return Math.min(8000, 500 * 2 ** (attempt - 1)) * (1 - random / 2);
}

/** `Retry-After` in seconds or as a date; in ms. */
function readRetryAfterMs(header: string | undefined, nowMs: number): number | undefined {
  if (header === undefined) return undefined;
  const seconds = Number(header);
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1000);
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, date - nowMs);
}

/** A refusal as the failure that the user understands better than the server's words. */
export function failAs(
  error: unknown,
  code: number,
  subcode: number,
  failure: { readonly message: string; readonly remedy: string; readonly exitCode: ExitCode },
): never {
  if (error instanceof ClearmlRefusal && error.is(code, subcode)) {
    throw new Failure(failure.message, { remedy: failure.remedy, exitCode: failure.exitCode, cause: error });
  }
  throw error;
}
