import * as v from 'valibot';
import { EXIT_CODES, Failure } from '../shell/failure.ts';
import type { HttpResponse } from '../shell/http.ts';
import { parseJson } from '../shell/json.ts';
import { askUntilAnswered, type NoAnswer, readRetryAfterMs, type Wire } from '../shell/retry.ts';
import { toSingleLine } from '../text/single-line.ts';

/** For one attempt. */
const ATTEMPT_TIMEOUT_MS = 8_000;
/** Without a hint GitHub asks for a minute's pause. */
const RATE_LIMIT_PAUSE_MS = 60_000;
const SECONDARY_LIMIT = /secondary rate limit|abuse detection/i;

/** How to reach GitHub's API, and for how long. */
export interface GithubWire extends Wire {
  /** No trailing slash. */
  readonly apiUrl: string;
  /** When to give up; ms since 1970. Called before each attempt. */
  readonly giveUpAt: () => number;
  readonly signal?: AbortSignal | undefined;
}

/** GitHub answered with an error status. */
export class GithubRefusal extends Failure {
  readonly status: number;
  /** GitHub's own words. */
  readonly answer: string;

  constructor(
    message: string,
    options: ConstructorParameters<typeof Failure>[1] & { readonly status: number; readonly answer: string },
  ) {
    super(message, options);
    this.status = options.status;
    this.answer = options.answer;
  }
}

/** What Octokit reads of an answer. Node's own `Response` would load its whole fetch: half of an empty program's start. */
interface Answer extends Pick<Response, 'status' | 'url' | 'text' | 'arrayBuffer'> {
  readonly headers: ReadonlyMap<string, string>;
}

/** A `fetch` for Octokit over our own HTTP. A POST creates, so it is not repeated when its answer got lost. */
export function createFetch(wire: GithubWire): (input: string, init?: RequestInit) => Promise<Answer> {
  const { redact, giveUpAt, signal } = wire;
  const apiUrl = redact(wire.apiUrl);
  const isGithubCom = new URL(wire.apiUrl).hostname === 'api.github.com';
  const words = {
    silent: `GitHub at ${apiUrl} did not answer`,
    limited: `GitHub at ${apiUrl} takes no more requests`,
    unreachable: `Check GITHUB_API_URL (${apiUrl})${isGithubCom ? ', the proxy variables and githubstatus.com' : ' and the proxy variables'}.`,
    lost: "GitHub's answer got lost",
    afterLoss: `${isGithubCom ? CHECK_STATUS : 'Run this step again.'} It finds a comment that was created.`,
  };
  return async (input, init) => {
    const method = METHODS.find((known) => known === init?.method) ?? 'GET';
    // Octokit gives an object of strings.
    const headers = { ...(init?.headers as Record<string, string>) };
    const body = typeof init?.body === 'string' ? init.body : undefined;
    return askUntilAnswered(wire, {
      request: { method, url: input, headers, body },
      timeoutMs: ATTEMPT_TIMEOUT_MS,
      isRepeatable: method !== 'POST',
      signal,
      giveUpAt,
      read: (response) => readAnswer(response, wire, isGithubCom),
      words: { ...words, request: `GitHub ${method} ${new URL(input).pathname}` },
    });
  };
}

/** The page tells of github.com only, not of a company's own server. */
const CHECK_STATUS = 'Check githubstatus.com, then run this step again.';

const METHODS = ['GET', 'POST', 'PATCH', 'PUT', 'DELETE'] as const;

/** @throws GithubRefusal for an error status that another attempt does not change */
function readAnswer(
  response: HttpResponse,
  { redact, clock }: Wire,
  isGithubCom: boolean,
): { readonly answer: Answer } | NoAnswer {
  const { status, headers } = response;
  if (status < 300) return { answer: toAnswer(response) };
  // Redacted first: a token that is cut in two is not recognised.
  const answer = toSingleLine(redact(readMessage(response.text))) || `HTTP ${status}`;
  const limitMs = readRateLimitMs(response, clock.now());
  if (limitMs !== undefined) {
    return {
      reason: `${nameLimit(response)} is reached (${answer})`,
      remedy: `Wait ${Math.ceil(limitMs / 60_000)} min, then run this step again.`,
      mayHaveLanded: false,
      isRateLimit: true,
      pauseMs: limitMs,
    };
  }
  if (status >= 500) {
    return {
      reason: `HTTP ${status}${answer.startsWith('HTTP') ? '' : `, ${answer}`}`,
      remedy: isGithubCom
        ? CHECK_STATUS
        : 'Run this step again. If it happens again, ask whoever runs that GitHub server.',
      mayHaveLanded: true,
      pauseMs: readRetryAfterMs(headers, clock.now()),
    };
  }
  if (status < 400) {
    return {
      reason: `a redirect came instead (HTTP ${status})`,
      remedy:
        'The repository was renamed or moved, or GITHUB_API_URL is not the API: correct GITHUB_REPOSITORY or it.',
      mayHaveLanded: false,
      maxAttempts: 1,
    };
  }
  throw refuse(response, answer);
}

function refuse({ status, headers }: HttpResponse, answer: string): GithubRefusal {
  return new GithubRefusal(
    status === 401 ? `GitHub refuses the token: ${answer}` : `GitHub refuses: ${answer} (HTTP ${status})`,
    {
      exitCode: status === 401 || status === 403 ? EXIT_CODES.refused : EXIT_CODES.unavailable,
      remedy:
        status === 401
          ? 'GH_TOKEN (or GITHUB_TOKEN) has expired, was revoked, or belongs to another server than GITHUB_API_URL.'
          : status === 403
            ? `The token lacks a permission${describePermission(headers['x-accepted-github-permissions'])}: add it under \`permissions\` of the workflow's job.`
            : 'If this happens again, please report it with this line.',
      status,
      answer,
    },
  );
}

function toAnswer({ status, headers, text }: HttpResponse): Answer {
  return {
    status,
    url: '',
    headers: new Map(Object.entries(headers)),
    text: async () => text,
    arrayBuffer: async () => new TextEncoder().encode(text).buffer,
  };
}

/** The message of GitHub's error and of each error in it. */
function readMessage(text: string): string {
  const ErrorSchema = v.object({
    message: v.string(),
    errors: v.fallback(v.optional(v.array(v.object({ message: v.optional(v.string()) })), []), []),
  });
  const { success, output } = v.safeParse(ErrorSchema, parseJson(text));
  return success ? [output.message, ...output.errors.flatMap(({ message }) => message ?? [])].join(': ') : '';
}

/**
 * How long to wait if the answer is a rate limit: `retry-after`, else until the reset, else a minute (docs.github.com,
 * "Rate limits for the REST API").
 */
function readRateLimitMs(response: HttpResponse, nowMs: number): number | undefined {
  const { status, headers, text } = response;
  if (status !== 403 && status !== 429) return undefined;
  const afterMs = readRetryAfterMs(headers, nowMs);
  if (afterMs !== undefined) return afterMs;
  if (headers['x-ratelimit-remaining'] === '0') {
    const resetMs = Number(headers['x-ratelimit-reset']) * 1000;
    return Number.isFinite(resetMs) && resetMs > 0 ? Math.max(1000, resetMs - nowMs) : RATE_LIMIT_PAUSE_MS;
  }
  return status === 429 || SECONDARY_LIMIT.test(text) ? RATE_LIMIT_PAUSE_MS : undefined;
}

function nameLimit({ headers, text }: HttpResponse): string {
  if (SECONDARY_LIMIT.test(text)) return 'the secondary rate limit';
  const hourly = headers['x-ratelimit-limit'] ?? '';
  const isHourly = headers['x-ratelimit-remaining'] === '0' && /^\d{1,9}$/.test(hourly);
  return isHourly ? `the rate limit of ${hourly} requests an hour` : 'a rate limit';
}

/** ` (pull-requests: read)` of `pull_requests=read`, as a workflow writes it. */
function describePermission(header: string | undefined): string {
  if (header === undefined || header === '') return '';
  const sets = header
    .split(';')
    .map((set) => set.trim().replaceAll('_', '-').replaceAll('=', ': ').replaceAll(',', ', '));
  return ` (${toSingleLine(sets.join(' or '), 100)})`;
}

/** Those of an answer's headers that are read. */
interface AnswerHeaders {
  readonly link?: string | undefined;
  readonly 'x-oauth-scopes'?: string | undefined;
}

/** Awaits Octokit, checks the answer, and throws our own failures instead of Octokit's errors. */
export async function ask<T>(
  request: Promise<{ readonly data: unknown; readonly headers: AnswerHeaders }>,
  schema: v.GenericSchema<unknown, T>,
  subject: string,
): Promise<{ readonly data: T; readonly headers: AnswerHeaders }> {
  let answer: Awaited<typeof request>;
  try {
    answer = await request;
  } catch (error) {
    // Octokit wraps what its fetch threw.
    const cause = error instanceof Error ? error.cause : undefined;
    if (cause instanceof Failure) throw explainNotFound(cause, subject);
    // For an interruption or a bug the cause tells more than Octokit's error.
    throw cause instanceof Error ? cause : error;
  }
  const parsed = v.safeParse(schema, answer.data);
  if (parsed.success) return { data: parsed.output, headers: answer.headers };
  const where = v.getDotPath(parsed.issues[0]) ?? 'root';
  throw new Failure(
    isGithub(answer.headers)
      ? `GitHub's answer about ${subject} has another shape than expected (${where})`
      : `the server that GITHUB_API_URL names is not GitHub: its answer about ${subject} has another shape (${where})`,
    {
      exitCode: EXIT_CODES.unavailable,
      remedy:
        'Only GitHub and GitHub Enterprise Server are served; Gitea and Forgejo answer otherwise. GITHUB_API_URL must name the API (https://api.github.com, or https://HOST/api/v3), not the web page.',
    },
  );
}

/** Each answer of GitHub's has the id of its request. Other servers with a similar API, such as Gitea, have no such header. */
function isGithub(headers: object): boolean {
  return 'x-github-request-id' in headers;
}

function explainNotFound(failure: Failure, subject: string): Failure {
  if (!(failure instanceof GithubRefusal) || failure.status !== 404) return failure;
  return new GithubRefusal(`GitHub did not find ${subject.replace(/^the comments of /, '')}`, {
    exitCode: EXIT_CODES.notFound,
    remedy:
      'Check GITHUB_REPOSITORY and PR_NUMBER (--repo, --pr). GitHub says the same if the token may not read a private repository.',
    status: failure.status,
    answer: failure.answer,
    cause: failure,
  });
}
