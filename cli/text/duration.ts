/** `250ms`, `30s`, `90m`, `2h`, `1h30m`. */
export const DURATION = /^(?=\d)(?:\d+(?:\.\d+)?h)?(?:\d+(?:\.\d+)?m)?(?:\d+(?:\.\d+)?s)?(?:\d+ms)?$/;

// Not a package: the grammar is our own, and every start would load four more files.

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Milliseconds of `250ms`, `30s`, `90m`, `2h`, `1h30m`; undefined for anything else. */
export function parseDurationMs(text: string): number | undefined {
  if (!DURATION.test(text)) return undefined;
  const parts = [...text.matchAll(/([\d.]+)(ms|[hms])/g)];
  const ms = parts.reduce(
    (sum, [, count, unit = '']) => sum + Number(count) * (UNIT_MS[unit] ?? Number.NaN),
    0,
  );
  return Number.isFinite(ms) ? ms : undefined;
}

/** `1d 1h 2m 3s`, in whole seconds. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))}ms`;
  const seconds = Math.floor(ms / 1000);
  const parts: Array<readonly [number, string]> = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'm'],
    [seconds % 60, 's'],
  ];
  return parts
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count}${unit}`)
    .join(' ');
}

/** The time that is left until something happens: whole minutes, in the last one seconds. Never less than that. */
export function formatRest(ms: number): string {
  const unitMs = ms > 60_000 ? 60_000 : 1000;
  return formatDuration(Math.max(1, Math.ceil(ms / unitMs)) * unitMs);
}

/** `2026-01-31 13:05:09 UTC`, of ms since 1970. */
export function formatTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}
