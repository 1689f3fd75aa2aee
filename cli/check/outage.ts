import { EXIT_CODES, Failure } from '../shell/failure.ts';
import type { Clock } from '../shell/world.ts';
import { formatDuration } from '../text/duration.ts';

/** A server that has never answered is more likely a wrong address than one that is about to return. */
const FIRST_ANSWER_TIMEOUT_MS = 60_000;
const PAUSE_MS = 2000;
const MAX_PAUSE_MS = 15_000;

/** Bears with a server that does not answer for a while. */
export interface Patience {
  /** When a request that began at the given time must have its answer; ms since 1970. */
  giveUpAt(beganAtMs: number): number;
  /** Hears that a request is tried again, and why. */
  noteTrouble(reason: string): void;
  /** Does some work until it succeeds, or throws its failure once the patience is over. */
  run<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T>;
}

export interface PatienceOptions {
  readonly clock: Clock;
  /** How long the server may stay without an answer, in ms. */
  readonly outageTimeoutMs: number;
  /** Called once an outage, and once when it is over. */
  readonly say: (text: string) => void;
  /** Whether a failure is the server's considered answer: waiting would not change it. */
  readonly isAnswer: (failure: Failure) => boolean;
}

/** A failed look is not a failed task: says once that the server does not answer, and goes on. */
export function createPatience(options: PatienceOptions): Patience {
  const { clock, outageTimeoutMs, say } = options;
  let hasAnswered = false;
  let outageSinceMs: number | undefined;
  let told: { readonly atMs: number; readonly sinceMs: number } | undefined;
  /** When the work that is under way began, of each. */
  const underWay = new Set<{ readonly beganAtMs: number }>();

  const limitMs = () => (hasAnswered ? outageTimeoutMs : Math.min(outageTimeoutMs, FIRST_ANSWER_TIMEOUT_MS));
  const giveUpAt = (beganAtMs: number) => (outageSinceMs ?? beganAtMs) + limitMs();

  function noteTrouble(reason: string): void {
    if (told !== undefined) return;
    const atMs = clock.now();
    told = { atMs, sinceMs: Math.min(atMs, ...[...underWay].map(({ beganAtMs }) => beganAtMs)) };
    say(`ClearML does not answer (${reason}); going on for up to ${formatDuration(limitMs())}`);
  }

  /** It is over when all answers have come that were waited for when it was told: any of them may be the missing one. */
  function noteAnswer(): void {
    hasAnswered = true;
    outageSinceMs = undefined;
    if (told === undefined) return;
    const { atMs, sinceMs } = told;
    if ([...underWay].some(({ beganAtMs }) => beganAtMs <= atMs)) return;
    told = undefined;
    say(`ClearML answers again, after ${formatDuration(clock.now() - sinceMs)}`);
  }

  return {
    giveUpAt,
    noteTrouble,
    async run(work, signal) {
      const own = { beganAtMs: clock.now() };
      underWay.add(own);
      try {
        const result = await tryUntilAnswered(work, own.beganAtMs, signal);
        underWay.delete(own);
        noteAnswer();
        return result;
      } finally {
        underWay.delete(own);
      }
    },
  };

  async function tryUntilAnswered<T>(
    work: () => Promise<T>,
    beganAtMs: number,
    signal: AbortSignal,
  ): Promise<T> {
    for (let pauseMs = PAUSE_MS; ; pauseMs = Math.min(MAX_PAUSE_MS, pauseMs * 2)) {
      try {
        return await work();
      } catch (error) {
        if (!(error instanceof Failure) || error.exitCode !== EXIT_CODES.unavailable) throw error;
        if (!hasAnswered || options.isAnswer(error)) throw error;
        outageSinceMs ??= beganAtMs;
        if (clock.now() + pauseMs >= giveUpAt(beganAtMs)) throw error;
        noteTrouble(error.message);
        await clock.sleep(pauseMs, signal);
      }
    }
  }
}
