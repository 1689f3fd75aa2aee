import { isRecord, parseJson } from '../shell/json.ts';
import { toSingleLine } from '../text/single-line.ts';
import type { Cause } from './cause/cause.ts';
import { RUNTIME_KEYS } from './task.ts';

/** Why we end a task. */
export type EndingKind =
  /** Its run time-out passed; `by` is the time-out. */
  | 'timeout'
  /** It waited in the queue for longer than `by`. */
  | 'queue-timeout'
  /** Its pull request has a newer commit, `by`. */
  | 'superseded'
  /** The workflow run that launched it or waited for it, `by`, was cancelled or interrupted. */
  | 'cancelled'
  /** Its pull request, number `by`, was closed. */
  | 'closed'
  /** Somebody asked for it; `by` says who, if not a person at a keyboard. */
  | 'aborted'
  /** The launch that created it did not succeed. */
  | 'withdrawn';

/**
 * Why we ended a task. It is noted in `runtime` before the task is stopped: the agent overwrites the status reason with
 * its own words.
 */
export interface Ending {
  readonly kind: EndingKind;
  readonly by: string;
  /** Page of the workflow run that was cancelled, or that ended it. */
  readonly url?: string | undefined;
}

/**
 * A task that began to run this much later was launched again since. Clocks that differ by less than a minute count as
 * equal.
 */
const LATER_MS = 10 * 60_000;

/** The notes for a task that is about to be ended at this time, in ms since 1970. */
export function noteEnding({ kind, by, url }: Ending, nowMs: number): Record<string, string> {
  return { [RUNTIME_KEYS.ended]: JSON.stringify({ kind, by, url, atMs: nowMs }) };
}

/** Why we ended the task; undefined where we did not, or where it was launched again since. */
export function readEnding(
  runtime: Readonly<Record<string, string>>,
  startedAtMs: number | undefined,
): Ending | undefined {
  const noted = parseJson(runtime[RUNTIME_KEYS.ended] ?? '');
  if (!isRecord(noted)) return undefined;
  const { kind, by, url, atMs } = noted;
  if (typeof kind !== 'string' || !Object.hasOwn(EXPLANATIONS, kind) || typeof atMs !== 'number')
    return undefined;
  if (startedAtMs !== undefined && startedAtMs > atMs + LATER_MS) return undefined;
  return {
    kind: kind as EndingKind,
    by: typeof by === 'string' ? toSingleLine(by, 200) : '',
    url: typeof url === 'string' && /^https?:\/\/[^\s<>()"]+$/.test(url) ? url : undefined,
  };
}

/** So long is a note a sign that somebody is ending the task: `--abort` tries for 2 minutes. */
const UNDER_WAY_MS = 150_000;

/** Whether somebody is ending the task just now, as far as the note tells; `nowMs` in ms since 1970. */
export function isBeingEnded(runtime: Readonly<Record<string, string>>, nowMs: number): boolean {
  const noted = parseJson(runtime[RUNTIME_KEYS.ended] ?? '');
  return isRecord(noted) && typeof noted.atMs === 'number' && Math.abs(nowMs - noted.atMs) < UNDER_WAY_MS;
}

/** The cause that check, comment and summary tell. */
export function explainEnding({ kind, by, url }: Ending): Cause {
  return { kind: 'stopped', ...EXPLANATIONS[kind](by), url };
}

type Explanation = Pick<Cause, 'message' | 'advice'> & Partial<Pick<Cause, 'kind'>>;

const EXPLANATIONS: Readonly<Record<EndingKind, (by: string) => Explanation>> = {
  timeout: (limit) => ({
    kind: 'timeout',
    message: `the time-out${of(limit)} passed before the training had ended`,
    advice: 'Allow more time (--timeout, or timeout in the settings file), or train less.',
  }),
  'queue-timeout': (limit) => ({
    kind: 'never-started',
    message: `the task never started: the queue time-out${of(limit)} passed`,
    advice: 'Check that an agent serves the queue, then launch again.',
  }),
  superseded: (commit) => ({
    message: `the task was superseded by ${commit === '' ? 'a newer commit' : `commit ${commit.slice(0, 10)}`}`,
    advice: 'The newer commit is trained instead.',
  }),
  cancelled: (run) => ({
    message: `the task was cancelled with ${run === '' ? 'the run that waited for it' : `workflow run ${run}`}`,
    advice: 'To train this commit all the same, run the workflow again.',
  }),
  closed: (pull) => ({
    message: `the task was ended with ${pull === '' ? 'its pull request' : `pull request ${pull}`}, which was closed`,
    advice: 'To train this commit all the same, reopen the pull request.',
  }),
  aborted: (who) => ({
    message: `the task was aborted by ${who === '' ? 'check-task-running --abort' : who}`,
    advice: 'To train this commit all the same, launch again.',
  }),
  withdrawn: () => ({
    message: 'the task was taken back, because its launch did not succeed',
    advice: 'To train this commit all the same, launch again.',
  }),
};

function of(limit: string): string {
  return limit === '' ? '' : ` of ${limit}`;
}
