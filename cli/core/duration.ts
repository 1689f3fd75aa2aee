import parseDuration from 'parse-duration';
import prettyMilliseconds from 'pretty-ms';

/** `250ms`, `30s`, `90m`, `2h`, `1h30m`. */
export const DURATION = /^(?=\d)(?:\d+(?:\.\d+)?h)?(?:\d+(?:\.\d+)?m)?(?:\d+(?:\.\d+)?s)?(?:\d+ms)?$/;

/** Milliseconds of `250ms`, `30s`, `90m`, `2h`, `1h30m`; undefined for anything else. */
export function parseDurationMs(text: string): number | undefined {
  if (!DURATION.test(text)) return undefined;
  const ms = parseDuration(text);
  return ms === null || !Number.isFinite(ms) ? undefined : ms;
}

/** `1h 2m 3s`: whole seconds, for people. */
export function formatDuration(ms: number): string {
  return ms < 1000 ? `${Math.max(0, Math.round(ms))}ms` : prettyMilliseconds(ms, { secondsDecimalDigits: 0 });
}
