import { formatDuration } from './duration.ts';
import { EXIT_CODES } from './exit-code.ts';
import { Failure } from './failure.ts';
import type { Clock } from './world.ts';

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
  let isTold = false;

  const limitMs = () => (hasAnswered ? outageTimeoutMs : Math.min(outageTimeoutMs, FIRST_ANSWER_TIMEOUT_MS));
  const giveUpAt = (beganAtMs: number) => (outageSinceMs ?? beganAtMs) + limitMs();

  function noteTrouble(reason: string): void {
    if (isTold) return;
    isTold = true;
    say(`ClearML does not answer (${reason}); going on for up to ${formatDuration(limitMs())}`);
  }

  return {
    giveUpAt,
    noteTrouble,
    async run(work, signal) {
      const beganAtMs = clock.now();
      for (let pauseMs = PAUSE_MS; ; pauseMs = Math.min(MAX_PAUSE_MS, pauseMs * 2)) {
        try {
          const result = await work();
          if (isTold)
            say(`ClearML answers again, after ${formatDuration(clock.now() - (outageSinceMs ?? beganAtMs))}`);
          hasAnswered = true;
          isTold = false;
          outageSinceMs = undefined;
          return result;
        } catch (error) {
          if (!(error instanceof Failure) || error.exitCode !== EXIT_CODES.unavailable) throw error;
          if (!hasAnswered || options.isAnswer(error)) throw error;
          outageSinceMs ??= beganAtMs;
          if (clock.now() + pauseMs >= giveUpAt(beganAtMs)) throw error;
          noteTrouble(error.message);
          await clock.sleep(pauseMs, signal);
        }
      }
    },
  };
}
