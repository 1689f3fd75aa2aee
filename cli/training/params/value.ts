/** How the ways to write nothing and a truth value are compared. */
const WORDS: Readonly<Record<string, string>> = {
  none: '',
  null: '',
  true: 'true',
  yes: 'true',
  on: 'true',
  false: 'false',
  no: 'false',
  off: 'false',
};

/** A quoted text, a bracket, a comma or colon, or a word. */
const TOKEN = /"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[()[\]{},:]|[^\s()[\]{},:"']+/g;
const NUMBER = /^[-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:e[-+]?\d+)?$/i;
/** Of any length: the id of a run may have more digits than a double. */
const WHOLE = /^[-+]?\d[\d_]*$/;
/** A float32 written as a double differs by less than this share. */
const FLOAT32_ROUNDING = 1e-7;

/**
 * Whether two texts are the same value of a param. A training that writes its params back writes them in Python's way:
 * `1e-3` as `0.001`, `true` as `True`, `[3,4]` as `[3, 4]`, None as nothing (SDK 2.1.12: task.py `_set_parameters`).
 */
export function isSameValue(a: string, b: string): boolean {
  if (a.trim() === b.trim()) return true;
  const [one, other] = [readTokens(a), readTokens(b)];
  return one.length === other.length && one.every((token, index) => isSameToken(token, other[index] ?? ''));
}

/** The value in parts; lists and tuples, with or without their brackets, are the same. */
function readTokens(text: string): string[] {
  const tokens = (text.match(TOKEN) ?? [])
    .map((token) => {
      if (/^["']/.test(token)) return token.slice(1, -1);
      return token === '(' ? '[' : token === ')' ? ']' : token;
    })
    // `(3,)` is a tuple.
    .filter((token, index, all) => !(token === ',' && /^[\]}]$/.test(all[index + 1] ?? '')));
  const isList = tokens[0] === '[' && tokens.indexOf(']') === tokens.length - 1;
  const parts = isList ? tokens.slice(1, -1) : tokens;
  return parts.length === 0 ? [''] : parts;
}

function isSameToken(a: string, b: string): boolean {
  if (a === b) return true;
  if (WHOLE.test(a) && WHOLE.test(b)) return toWhole(a) === toWhole(b);
  if (NUMBER.test(a) && NUMBER.test(b)) return isSameNumber(toNumber(a), toNumber(b));
  const [one, other] = [toWord(a), toWord(b)];
  return one === other || isSameTruth(one, other) || isSameTruth(other, one);
}

function toWord(token: string): string {
  const word = token.toLowerCase();
  return Object.hasOwn(WORDS, word)
    ? (WORDS[word] ?? '')
    : /^[-+]?(?:nan|inf(?:inity)?)$/.test(word)
      ? word.replace('inity', '')
      : token;
}

/** A number as a truth value: `1` for `True`. */
function isSameTruth(number: string, word: string): boolean {
  if (!NUMBER.test(number)) return false;
  return (word === 'true' && toNumber(number) === 1) || (word === 'false' && toNumber(number) === 0);
}

function toNumber(text: string): number {
  return Number(text.replaceAll('_', ''));
}

function toWhole(text: string): bigint {
  return BigInt(text.replaceAll('_', ''));
}

function isSameNumber(a: number, b: number): boolean {
  if (Number.isInteger(a) && Number.isInteger(b)) return a === b;
  return Math.abs(a - b) <= FLOAT32_ROUNDING * Math.max(Math.abs(a), Math.abs(b));
}
