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

/** The server's silence, as far as it is known; times in ms since 1970. */
interface Outage {
  hasAnswered: boolean;
  sinceMs: number | undefined;
  /** When it was told, and since when requests had been waiting then. */
  told: { readonly atMs: number; readonly sinceMs: number } | undefined;
  /** When the work that is under way began, of each. */
  readonly underWay: Set<{ readonly beganAtMs: number }>;
}

/** A failed look is not a failed task: says once that the server does not answer, and goes on. */
export function createPatience(options: PatienceOptions): Patience {
  const outage: Outage = { hasAnswered: false, sinceMs: undefined, told: undefined, underWay: new Set() };
  return {
    giveUpAt: (beganAtMs) => findGiveUpMs(beganAtMs, outage, options),
    noteTrouble: (reason) => noteTrouble(reason, outage, options),
    async run(work, signal) {
      const own = { beganAtMs: options.clock.now() };
      outage.underWay.add(own);
      try {
        const result = await tryUntilAnswered(work, own.beganAtMs, signal, outage, options);
        outage.underWay.delete(own);
        noteAnswer(outage, options);
        return result;
      } finally {
        outage.underWay.delete(own);
      }
    },
  };
}

function findLimitMs({ hasAnswered }: Outage, { outageTimeoutMs }: PatienceOptions): number {
  return hasAnswered ? outageTimeoutMs : Math.min(outageTimeoutMs, FIRST_ANSWER_TIMEOUT_MS);
}

function findGiveUpMs(beganAtMs: number, outage: Outage, options: PatienceOptions): number {
  return (outage.sinceMs ?? beganAtMs) + findLimitMs(outage, options);
}

function noteTrouble(reason: string, outage: Outage, options: PatienceOptions): void {
  if (outage.told !== undefined) return;
  const atMs = options.clock.now();
  outage.told = { atMs, sinceMs: Math.min(atMs, ...[...outage.underWay].map(({ beganAtMs }) => beganAtMs)) };
  const limit = formatDuration(findLimitMs(outage, options));
  options.say(`ClearML does not answer (${reason}); going on for up to ${limit}`);
}

/** It is over when all answers have come that were waited for when it was told: any of them may be the missing one. */
function noteAnswer(outage: Outage, { clock, say }: PatienceOptions): void {
  outage.hasAnswered = true;
  outage.sinceMs = undefined;
  if (outage.told === undefined) return;
  const { atMs, sinceMs } = outage.told;
  if ([...outage.underWay].some(({ beganAtMs }) => beganAtMs <= atMs)) return;
  outage.told = undefined;
  say(`ClearML answers again, after ${formatDuration(clock.now() - sinceMs)}`);
}

async function tryUntilAnswered<T>(
  work: () => Promise<T>,
  beganAtMs: number,
  signal: AbortSignal,
  outage: Outage,
  options: PatienceOptions,
): Promise<T> {
  for (let pauseMs = PAUSE_MS; ; pauseMs = Math.min(MAX_PAUSE_MS, pauseMs * 2)) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof Failure) || error.exitCode !== EXIT_CODES.unavailable) throw error;
      if (!outage.hasAnswered || options.isAnswer(error)) throw error;
      outage.sinceMs ??= beganAtMs;
      if (options.clock.now() + pauseMs >= findGiveUpMs(beganAtMs, outage, options)) throw error;
      noteTrouble(error.message, outage, options);
      await options.clock.sleep(pauseMs, signal);
    }
  }
}
