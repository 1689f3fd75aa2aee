import * as v from 'valibot';
import type { ClearmlAccess } from '../shell/environment.ts';
import { EXIT_CODES, Failure } from '../shell/failure.ts';
import { createHttp, type HttpResponse } from '../shell/http.ts';
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

/** One request's own limit. Past it the server counts as silent, and a request that may be repeated is. */
const ATTEMPT_TIMEOUT_MS = 10_000;

/** How one call is made. */
export interface CallOptions extends Pick<Question<unknown>, 'isRepeatable'> {
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
}

/** ClearML's refusals that mean something to us, by what they mean: the subcodes of code 400. */
const REFUSALS = {
  /** The task does not exist, or was deleted. */
  'no such task': 101,
  /** The task's status does not allow that: it runs, or has ended, already. */
  'wrong status': 110,
  /** Without `force` the server deletes drafts only. */
  'no draft': 123,
  /** The task is in that queue already. */
  'queued already': 706,
  /** A project of that name exists. */
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

/** Where ClearML is and for how long it is asked. */
export interface ClearmlClientOptions extends Wire {
  readonly access: Pick<ClearmlAccess, 'apiHost' | 'accessKey' | 'secretKey'>;
  /** When a call that began at the given time must have an answer; both in ms since 1970. */
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

/** Talks to ClearML with Basic authentication, which every endpoint takes: no login is needed. */
export function createClearmlClient(options: ClearmlClientOptions): ClearmlClient {
  const { access, clock, redact } = options;
  const { apiHost } = access;
  const authorization = `Basic ${Buffer.from(`${access.accessKey}:${access.secretKey}`).toString('base64')}`;
  const headers = { authorization, 'content-type': 'application/json', accept: 'application/json' };
  let apiVersion: string | undefined;

  return {
    call(endpoint, body, schema, { isRepeatable, signal, timeoutMs = ATTEMPT_TIMEOUT_MS }) {
      const giveUpAtMs = options.giveUpAt(clock.now());
      return askUntilAnswered(options, {
        // Without a version the server serves its newest, and says in each answer which that is.
        request: { method: 'POST', url: `${apiHost}/${endpoint}`, headers, body: JSON.stringify(body) },
        timeoutMs,
        isRepeatable,
        signal,
        giveUpAt: () => giveUpAtMs,
        read(response) {
          const envelope = openEnvelope(endpoint, response, options);
          if ('reason' in envelope) return envelope;
          apiVersion ??= envelope.meta.endpoint?.requested_version ?? undefined;
          return readData(endpoint, response.status, envelope, schema, redact);
        },
        words: {
          silent: `ClearML at ${redact(apiHost)} did not answer ${endpoint}`,
          unreachable: `Look whether the server is up and CLEARML_API_HOST (${redact(apiHost)}) and the proxy variables are right.`,
          lost: `ClearML's answer to ${endpoint} got lost`,
          afterLoss: `Look whether ${apiHost} works, then run this step again: what did land is found again.`,
        },
      });
    },
    get apiVersion() {
      return apiVersion;
    },
  };
}

/** @throws Failure when the credentials or the permission do not do */
function openEnvelope(
  endpoint: string,
  response: HttpResponse,
  { redact, clock }: Wire,
): Envelope | NoAnswer {
  const { status, headers } = response;
  const envelope = parseEnvelope(response.text);
  const serverMessage = redact(toSingleLine(envelope?.meta.result_msg ?? ''));
  if (status === 429) {
    return {
      reason: 'the server limits the rate of requests (429)',
      remedy: 'Run this step again later; a hosted plan counts API calls.',
      mayHaveLanded: false,
      pauseMs: readRetryAfterMs(headers, clock.now()),
    };
  }
  if (status >= 500) {
    return {
      reason: `HTTP ${status}${serverMessage === '' ? '' : `, ${serverMessage}`}`,
      remedy: 'The server is overloaded, restarting or broken: look at its health, then run this step again.',
      mayHaveLanded: true,
      // An answer in ClearML's own form is its considered opinion; a gateway's page is a passing state.
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
    throw new ClearmlRefusal(endpoint, code, subcode, redact(toSingleLine(message)));
  }
  const parsed = v.safeParse(schema, data);
  if (parsed.success) return { answer: parsed.output };
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
  try {
    const parsed = v.safeParse(EnvelopeSchema, JSON.parse(text));
    return parsed.success ? parsed.output : undefined;
  } catch {
    return undefined;
  }
}

function describeNonsense(response: HttpResponse): NoAnswer {
  const isRedirect = response.status >= 300 && response.status < 400;
  const what = isRedirect
    ? `a redirection (HTTP ${response.status})`
    : /^\s*</.test(response.text)
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
