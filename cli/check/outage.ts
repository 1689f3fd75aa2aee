import { EXIT_CODES, Failure } from '../shell/failure.ts';
import type { Clock } from '../shell/world.ts';
import { formatDuration } from '../text/duration.ts';

/** A server that has never answered is more likely a wrong address than one that is about to return. */
const FIRST_ANSWER_TIMEOUT_MS = 60_000;
const PAUSE_MS = 2000;
const MAX_PAUSE_MS = 15_000;

/** Keeps trying while a server does not answer for a while. */
export interface Patience {
  /** When a request that began at the given time must have its answer; ms since 1970. */
  giveUpAt(beganAtMs: number): number;
  /** Notes that a request is repeated, and why. */
  noteTrouble(reason: string): void;
  /** Repeats the work until it succeeds. Throws its failure once the time is up. */
  run<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T>;
  /** The outage that was reported and is not over, with the time of giving up in ms since 1970. */
  readonly outage: { readonly giveUpAtMs: number } | undefined;
}

export interface PatienceOptions {
  readonly clock: Clock;
  /** How long the server may stay without an answer, in ms. */
  readonly outageTimeoutMs: number;
  /** Called twice per outage: when it is noticed and when it is over. */
  readonly say: (text: string) => void;
  /** Whether a failure is the server's considered answer: waiting would not change it. */
  readonly isAnswer: (failure: Failure) => boolean;
}

/** A failed look is not a failed task: says once that the server does not answer, and keeps trying. */
export function createPatience({ clock, outageTimeoutMs, say, isAnswer }: PatienceOptions): Patience {
  let hasAnswered = false;
  /** Since when the server has been silent, as far as that is known; ms since 1970. */
  let silentSinceMs: number | undefined;
  /** When the outage was reported, and since when requests had been waiting then. */
  let told: { readonly atMs: number; readonly sinceMs: number } | undefined;
  /** When each piece of work that is under way began. */
  const underWay = new Set<{ readonly beganAtMs: number }>();

  const findLimitMs = () =>
    hasAnswered ? outageTimeoutMs : Math.min(outageTimeoutMs, FIRST_ANSWER_TIMEOUT_MS);
  const giveUpAt = (beganAtMs: number) => (silentSinceMs ?? beganAtMs) + findLimitMs();

  function noteTrouble(reason: string): void {
    if (told !== undefined) return;
    const atMs = clock.now();
    told = { atMs, sinceMs: Math.min(atMs, ...[...underWay].map(({ beganAtMs }) => beganAtMs)) };
    say(`ClearML does not answer (${reason}); retrying for up to ${formatDuration(findLimitMs())}`);
  }

  /** Any request of that time may be the unanswered one: the outage is over when all of them have their answers. */
  function noteAnswer(): void {
    hasAnswered = true;
    silentSinceMs = undefined;
    const outage = told;
    if (outage === undefined || [...underWay].some(({ beganAtMs }) => beganAtMs <= outage.atMs)) return;
    told = undefined;
    say(`ClearML answers again, after ${formatDuration(clock.now() - outage.sinceMs)}`);
  }

  async function tryUntilAnswered<T>(work: () => Promise<T>, beganAtMs: number, signal: AbortSignal) {
    for (let pauseMs = PAUSE_MS; ; pauseMs = Math.min(MAX_PAUSE_MS, pauseMs * 2)) {
      try {
        return await work();
      } catch (error) {
        if (!(error instanceof Failure) || error.exitCode !== EXIT_CODES.unavailable) throw error;
        if (!hasAnswered || isAnswer(error)) throw error;
        silentSinceMs ??= beganAtMs;
        if (clock.now() + pauseMs >= giveUpAt(beganAtMs)) throw error;
        noteTrouble(error.message);
        await clock.sleep(pauseMs, signal);
      }
    }
  }

  return {
    giveUpAt,
    noteTrouble,
    get outage() {
      return told === undefined ? undefined : { giveUpAtMs: giveUpAt(told.sinceMs) };
    },
    async run(work, signal) {
      const own = { beganAtMs: clock.now() };
      underWay.add(own);
      const working = tryUntilAnswered(work, own.beganAtMs, signal);
      const result = await working.finally(() => underWay.delete(own));
      noteAnswer();
      return result;
    },
  };
}
