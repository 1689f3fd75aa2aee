/** Replaces every secret by `***`, whether plain, in JSON, in base64 or URL-encoded. */
export type Redact = (text: string) => string;

/** Shorter texts may be words: replacing them would garble our messages. */
const SHORTEST_SECRET = 4;
/** Within longer base64 a shorter piece may occur by chance. */
const SHORTEST_PIECE = 8;

/** A shorter part of a token between two dots may be a word, too. */
const SHORTEST_PART = 16;

/** Makes the function that removes the given secrets from any text. */
export function createRedactor(secrets: readonly string[]): Redact {
  const forms = secrets
    .flatMap((secret) => [secret, ...listTokenParts(secret)])
    .filter((secret) => secret.length >= SHORTEST_SECRET)
    .flatMap((secret) => [
      secret,
      encodeURIComponent(secret),
      JSON.stringify(secret).slice(1, -1),
      ...toBase64Forms(secret),
    ]);
  // Longest first: a secret may contain another one.
  const unique = [...new Set(forms)].sort((a, b) => b.length - a.length);
  if (unique.length === 0) return (text) => text;
  const pattern = new RegExp(unique.map(escapeRegExp).join('|'), 'g');
  return (text) => text.replace(pattern, '***');
}

/**
 * The parts of a JWT, which what decodes or wraps it shows one by one. GitHub's tokens of a job are such: `ghs_` and three
 * parts, some 500 letters in all.
 */
function listTokenParts(secret: string): string[] {
  const parts = secret.trim().split('.');
  return parts.length < 3 ? [] : parts.filter((part) => part.length >= SHORTEST_PART);
}

function toBase64Forms(secret: string): string[] {
  const bytes = new TextEncoder().encode(secret);
  const base64 = btoa(String.fromCharCode(...bytes));
  const forms = [base64, base64.replace(/=+$/, ''), ...listBase64Pieces(bytes)];
  return forms.flatMap((form) => [
    form,
    form.replaceAll('+', '-').replaceAll('/', '_'),
    encodeURIComponent(form),
  ]);
}

/**
 * The secret's own letters within the base64 of a longer text. Three bytes make four letters, so there are three forms,
 * by where the secret begins. Letters that share bits with a neighbour are left out.
 */
function listBase64Pieces(bytes: Uint8Array): string[] {
  return [0, 1, 2]
    .map((offset) => {
      const spelled = btoa('\0'.repeat(offset) + String.fromCharCode(...bytes)).replace(/=+$/, '');
      const isEvenEnd = (offset + bytes.length) % 3 === 0;
      return spelled.slice(offset === 0 ? 0 : offset + 1, isEvenEnd ? undefined : -1);
    })
    .filter((piece) => piece.length >= SHORTEST_PIECE);
}

/** Escapes what has a meaning in a regular expression of JavaScript or Python. */
export function escapeRegExp(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
}
