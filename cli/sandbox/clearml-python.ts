import { ClearmlApiError, serverTripped } from './clearml-error.ts';

/** A value as Python's repr() would show it, for the error texts that quote it. */
export function pythonRepr(value: unknown): string {
  if (value === null || value === undefined) return 'None';
  if (value === true) return 'True';
  if (value === false) return 'False';
  if (typeof value === 'string') return value.includes("'") ? JSON.stringify(value) : `'${value}'`;
  if (Array.isArray(value)) return `[${value.map(pythonRepr).join(', ')}]`;
  if (typeof value === 'object') {
    const entries = Object.entries(value).map(([key, item]) => `${pythonRepr(key)}: ${pythonRepr(item)}`);
    return `{${entries.join(', ')}}`;
  }
  return String(value);
}

/**
 * Parses JSON as Python's json module does: NaN, Infinity and -Infinity are numbers (recordings 052, 151, 152).
 * @throws SyntaxError
 */
export function parsePythonJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (!/NaN|Infinity/.test(text)) throw error;
  }
  const marker = '\u0000number:';
  const marked = text.replace(/"(?:[^"\\]|\\.)*"|-?Infinity|NaN/g, (token) =>
    token.startsWith('"') ? token : JSON.stringify(marker + token),
  );
  return JSON.parse(marked, (_, value: unknown) =>
    typeof value === 'string' && value.startsWith(marker) ? Number(value.slice(marker.length)) : value,
  );
}

/**
 * Compiles a Python regular expression, as the name filters are (recordings 061-065): unanchored, case-sensitive.
 * @throws ClearmlApiError 400/21 where it is malformed, 500/0 where it is no string
 */
export function compilePythonRegex(pattern: unknown, ignoreCase = false): RegExp {
  if (typeof pattern !== 'string') throw serverTripped('first argument must be string or compiled pattern');
  let flags = ignoreCase ? 'i' : '';
  let source = pattern;
  const inlineFlags = /^\(\?([aiLmsux]+)\)/.exec(source);
  if (inlineFlags?.[1] !== undefined) {
    source = source.slice(inlineFlags[0].length);
    for (const flag of inlineFlags[1]) if ('ims'.includes(flag) && !flags.includes(flag)) flags += flag;
  }
  source = source
    .replaceAll('(?P<', '(?<')
    .replace(/\(\?P=(\w+)\)/g, '\\k<$1>')
    .replace(/\\A/g, '^')
    .replace(/\\Z/g, '$');
  try {
    return new RegExp(source, flags);
  } catch (error) {
    const unclosed = /Unterminated group/.test(String(error));
    throw new ClearmlApiError(400, 21, 'Malformed regular expression', {
      err: unclosed
        ? `missing ), unterminated subpattern at position ${Math.max(0, pattern.lastIndexOf('('))}`
        : String(error instanceof Error ? error.message : error),
      extra_info: 'None',
    });
  }
}

/** Rounds to two decimals, ties to even, as MongoDB's $round does for `mean_value` (recording 140). */
export function roundToHundredths(value: number): number {
  const scaled = value * 100;
  const floor = Math.floor(scaled);
  const rest = scaled - floor;
  const rounded = rest === 0.5 ? (floor % 2 === 0 ? floor : floor + 1) : Math.round(scaled);
  return rounded / 100;
}

/** A moment (ms since 1970) as the API writes it: `2026-11-24T06:37:42.594000+00:00`, without fraction on a full second. */
export function formatTime(timeMs: number): string {
  const text = new Date(timeMs).toISOString();
  return timeMs % 1000 === 0 ? text.replace('.000Z', '+00:00') : text.replace('Z', '000+00:00');
}
