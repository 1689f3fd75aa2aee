import { formatDuration } from '../text/duration.ts';
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
  readonly onRetry?: ((retry: Retry) => void) | undefined;
  /** Waits for a rate limit beyond the time that there is; default: no. */
  readonly limitWait?: LimitWait | undefined;
}

/** A request that is sent again. */
export interface Retry {
  /** `GitHub GET /repos/acme/digits/pulls/7` */
  readonly request: string;
  /** Why it has no answer. */
  readonly reason: string;
  readonly pauseMs: number;
  /** Which try follows: 2 is the first repetition. */
  readonly attempt: number;
  /** How many fit into the time that there is. */
  readonly attempts: number;
}

/** The line about a repetition: service, request, reason, and which try of how many follows. */
export function formatRetry({ request, reason, pauseMs, attempt, attempts }: Retry): string {
  const pause = formatDuration(Math.ceil(pauseMs / 1000) * 1000);
  return `${request}: ${reason}; trying again in ${pause} (try ${attempt} of ${attempts})`;
}

/** A request that is silent for longer than its pause and one attempt has got its answer, or given up. */
const LONGEST_ATTEMPT_MS = 10_000;

/**
 * Tells of repetitions. Of requests that one service leaves without an answer for the same reason, the first speaks for all,
 * and of several with the same words the first of each round.
 */
export function createRetryTeller(
  say: (line: string) => void,
  clock: Pick<Clock, 'now'>,
): (retry: Retry) => void {
  const speakers = new Map<string, Pick<Retry, 'request' | 'attempt'> & { readonly untilMs: number }>();
  return (retry) => {
    const { request, reason, pauseMs, attempt } = retry;
    const [service] = request.split(' ', 1);
    const trouble = `${service}: ${reason}`;
    const speaker = speakers.get(trouble);
    const nowMs = clock.now();
    const isFresh = speaker !== undefined && nowMs < speaker.untilMs;
    if (isFresh && (speaker.request !== request || attempt <= speaker.attempt)) return;
    speakers.set(trouble, { request, attempt, untilMs: nowMs + pauseMs + LONGEST_ATTEMPT_MS });
    say(formatRetry(retry));
  };
}

/** The one wait for a rate limit that a program allows itself. All its requests share it, and its deadlines move with it. */
export interface LimitWait {
  /** In ms; 0 before it. */
  waitedMs: number;
  /** In ms since 1970. */
  untilMs: number;
}

/** No wait so far. */
export function createLimitWait(): LimitWait {
  return { waitedMs: 0, untilMs: 0 };
}

/** A longer one is for the user to decide. */
const MAX_LIMIT_WAIT_MS = 90_000;

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
  /** The service answers, and wants fewer requests. */
  readonly isRateLimit?: boolean;
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
    /** `GitHub GET /user` */
    readonly request: string;
    /** `GitHub at https://… did not answer` */
    readonly silent: string;
    /** `GitHub at https://… takes no more requests` */
    readonly limited: string;
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

/** How often a write is tried whose answers get lost. */
export const WRITE_ATTEMPTS = 5;
const PAUSE_AFTER_LOST_MS = 1500;

/** What was written although its answer got lost may show late: waits before one looks for it. */
export function waitAfterLost(
  attempt: number,
  { clock, signal }: { readonly clock: Clock; readonly signal?: AbortSignal | undefined },
): Promise<void> {
  return clock.sleep(PAUSE_AFTER_LOST_MS * Math.min(attempt, 3), signal);
}

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
  let attempts = 0;
  for (let attempt = 1; ; attempt += 1) {
    const outcome = await askOnce(wire, question);
    if ('answer' in outcome) return outcome.answer;
    const { reason, remedy, cause, maxAttempts = Number.POSITIVE_INFINITY } = outcome;
    const exitCode = EXIT_CODES.unavailable;
    if (!question.isRepeatable && outcome.mayHaveLanded) {
      throw new AnswerLost(`${words.lost}: ${reason}`, { exitCode, remedy: words.afterLoss, cause });
    }
    const pauseMs = Math.max(outcome.pauseMs ?? 0, computeBackoffMs(attempt, wire.random()));
    const leftMs = giveUpAt() - clock.now();
    const limitMs = pauseMs < leftMs ? undefined : beginLimitWait(wire, outcome);
    if (attempt >= maxAttempts || (pauseMs >= leftMs && limitMs === undefined)) {
      throw new Failure(`${describeFailure(wire, question, outcome)}: ${reason}`, {
        exitCode,
        remedy,
        cause,
      });
    }
    const next = attempt + 1;
    if (limitMs === undefined)
      attempts = Math.max(attempts || countAttempts(attempt, maxAttempts, leftMs), next);
    wire.onRetry?.({
      request: wire.redact(words.request),
      reason,
      pauseMs: limitMs ?? pauseMs,
      attempt: next,
      attempts: limitMs === undefined ? attempts : next,
    });
    await clock.sleep(limitMs ?? pauseMs, question.signal);
  }
}

/** How long to wait for the rate limit, beyond the time that there is; undefined where there is no such wait, or it is over. */
function beginLimitWait({ limitWait, clock }: Wire, { isRateLimit, pauseMs }: NoAnswer): number | undefined {
  if (limitWait === undefined || isRateLimit !== true || pauseMs === undefined) return undefined;
  const nowMs = clock.now();
  if (limitWait.waitedMs === 0 && pauseMs <= MAX_LIMIT_WAIT_MS)
    Object.assign(limitWait, { waitedMs: pauseMs, untilMs: nowMs + pauseMs });
  return nowMs < limitWait.untilMs ? limitWait.untilMs - nowMs : undefined;
}

function describeFailure<T>({ limitWait }: Wire, { words }: Question<T>, { isRateLimit }: NoAnswer): string {
  if (isRateLimit !== true) return words.silent;
  const waitedMs = limitWait?.waitedMs ?? 0;
  return waitedMs === 0 ? words.limited : `${words.limited}, also after ${formatDuration(waitedMs)}`;
}

/** How many tries fit into the time, with average pauses. */
function countAttempts(attempt: number, maxAttempts: number, leftMs: number): number {
  let count = attempt;
  for (let ms = leftMs; count < maxAttempts; count += 1) {
    ms -= computeBackoffMs(count, 0.5);
    if (ms <= 0) break;
  }
  return count;
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
