import type { Clock } from '../shell/world.ts';
import { formatRest } from '../text/duration.ts';
import type { LiveConsole } from './live-console.ts';
import { describeWait } from './progress.ts';
import type { WaitOutput } from './wait-output.ts';

/** How long a wait may be silent, in ms. */
const SILENCE_MS = 5 * 60_000;

interface Ports {
  readonly out: Pick<LiveConsole, 'remind' | 'printedAtMs'>;
  readonly clock: Clock;
  /** Ends it. */
  readonly signal: AbortSignal;
}

/**
 * Says that the wait goes on, and what it waits for, whenever nothing was printed for five minutes.
 *
 * @param describe the line; undefined where there is nothing to wait for
 */
export async function remind(
  describe: () => string | undefined,
  { out, clock, signal }: Ports,
): Promise<void> {
  let lookedAtMs = Number.NEGATIVE_INFINITY;
  while (!signal.aborted) {
    const leftMs = Math.max(out.printedAtMs, lookedAtMs) + SILENCE_MS - clock.now();
    if (leftMs > 0) {
      await clock.sleep(leftMs, signal).catch(() => undefined);
      continue;
    }
    lookedAtMs = clock.now();
    const text = describe();
    if (text !== undefined) out.remind(text);
  }
}

/** What a wait waits for, and when it gives up: an answer of the server, else the tasks that are not being ended. */
export function describeStill({ watch, values, session }: WaitOutput): string | undefined {
  const { outage } = watch.ports.patience;
  const nowMs = session.clock.now();
  if (outage !== undefined)
    return `Still no answer from ClearML; gives up in ${formatRest(outage.giveUpAtMs - nowMs)}`;
  const lives = watch.lives.filter(({ id }) => !watch.ending.has(id));
  return describeWait({ ...watch, lives, values }, watch.settings, nowMs);
}
