import { EXIT_CODES, Failure } from './failure.ts';
import { type Http, type HttpRequest, type HttpResponse, TransportError } from './http.ts';
import type { Redact } from './redaction.ts';
import type { Clock } from './world.ts';

/** How a service is reached, and for how long. */
export interface Wire {
  readonly http: Http;
  readonly clock: Clock;
  readonly redact: Redact;
  readonly random: () => number;
  /** Called before each repetition. */
  readonly onRetry?: ((reason: string) => void) | undefined;
}

/** Why a request has no usable answer, and what can be done about it. */
export interface NoAnswer {
  readonly reason: string;
  readonly remedy: string;
  /** Whether the request may have been applied all the same. */
  readonly mayHaveLanded: boolean;
  /** How often the request may be sent in all. Default: until the time is up. */
  readonly maxAttempts?: number;
  /** How long the service asks us to wait. */
  readonly pauseMs?: number | undefined;
  readonly cause?: unknown;
}

/** A request, with the rules of its service. */
export interface Question<T> {
  readonly request: Omit<HttpRequest, 'timeoutMs' | 'signal'>;
  /** For one attempt. Past it the service counts as silent. */
  readonly timeoutMs: number;
  /** Whether to send it again when its answer got lost: not what creates. Its caller looks first whether it landed. */
  readonly isRepeatable: boolean;
  readonly signal?: AbortSignal | undefined;
  /** When there must be an answer; ms since 1970. Called before each attempt. */
  readonly giveUpAt: () => number;
  /** Reads the response. Throws where the service refuses. */
  readonly read: (response: HttpResponse) => { readonly answer: T } | NoAnswer;
  readonly words: {
    /** `GitHub at https://… did not answer` */
    readonly silent: string;
    /** What to do where no connection was made. */
    readonly unreachable: string;
    /** `GitHub's answer got lost` */
    readonly lost: string;
    /** What to do then. */
    readonly afterLoss: string;
  };
}

/** The answer got lost: the request may have been applied. */
export class AnswerLost extends Failure {}

/** Each attempt gets at least this long, even near the end. */
const SHORTEST_ATTEMPT_MS = 1000;

/**
 * Sends a request until it is answered, with growing pauses between the attempts.
 *
 * @throws AnswerLost when the answer to a request that is not repeatable got lost; Failure when the service does not
 *   answer; what `read` throws; the signal's reason
 */
export async function askUntilAnswered<T>(wire: Wire, question: Question<T>): Promise<T> {
  const { clock } = wire;
  const { giveUpAt, words } = question;
  for (let attempt = 1; ; attempt += 1) {
    const outcome = await askOnce(wire, question);
    if ('answer' in outcome) return outcome.answer;
    const { reason, remedy, cause, maxAttempts = Number.POSITIVE_INFINITY } = outcome;
    const exitCode = EXIT_CODES.unavailable;
    if (!question.isRepeatable && outcome.mayHaveLanded) {
      throw new AnswerLost(`${words.lost}: ${reason}`, { exitCode, remedy: words.afterLoss, cause });
    }
    const pauseMs = Math.max(outcome.pauseMs ?? 0, computeBackoffMs(attempt, wire.random()));
    if (attempt >= maxAttempts || clock.now() + pauseMs >= giveUpAt()) {
      throw new Failure(`${words.silent}: ${reason}`, { exitCode, remedy, cause });
    }
    wire.onRetry?.(reason);
    await clock.sleep(pauseMs, question.signal);
  }
}

async function askOnce<T>(
  { http, clock, redact }: Wire,
  { request, timeoutMs, signal, giveUpAt, read, words }: Question<T>,
): Promise<{ readonly answer: T } | NoAnswer> {
  let response: HttpResponse;
  try {
    response = await http.send({
      ...request,
      timeoutMs: Math.max(SHORTEST_ATTEMPT_MS, Math.min(timeoutMs, giveUpAt() - clock.now())),
      signal,
    });
  } catch (error) {
    if (!(error instanceof TransportError)) throw error;
    return {
      reason: redact(error.message),
      remedy: error.remedy ?? words.unreachable,
      mayHaveLanded: error.kind === 'lost',
      // Another attempt fails too, until the user has followed the remedy.
      maxAttempts: error.remedy === undefined ? Number.POSITIVE_INFINITY : 1,
      cause: error,
    };
  }
  return read(response);
}

/** Half a second, doubled up to 8 s, less a random half: many clients should not return together. */
function computeBackoffMs(attempt: number, random: number): number {
  return Math.min(8000, 500 * 2 ** (attempt - 1)) * (1 - random / 2);
}

/** `Retry-After` in ms from now; undefined where it is neither seconds nor a date (RFC 9110, 10.2.3). */
export function readRetryAfterMs(headers: HttpResponse['headers'], nowMs: number): number | undefined {
  const header = headers['retry-after'];
  if (header === undefined) return undefined;
  const seconds = Number(header);
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1000);
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, date - nowMs);
}
