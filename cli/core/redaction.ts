/** Gives the text back with every secret, plain, base64 or URL-encoded, replaced by `***`. */
export type Redact = (text: string) => string;

/** Shorter texts are words, not secrets: replacing them would garble what we say. */
const SHORTEST_SECRET = 4;

/** Makes the function that takes the given secrets out of any text. */
export function createRedactor(secrets: readonly string[]): Redact {
  const forms = secrets
    .filter((secret) => secret.length >= SHORTEST_SECRET)
    .flatMap((secret) => [secret, encodeURIComponent(secret), ...toBase64Forms(secret)]);
  // Longest first, so that a secret that holds another one goes as a whole.
  const unique = [...new Set(forms)].sort((a, b) => b.length - a.length);
  if (unique.length === 0) return (text) => text;
  const pattern = new RegExp(unique.map(escapeRegExp).join('|'), 'g');
  return (text) => text.replace(pattern, '***');
}

function toBase64Forms(secret: string): string[] {
  const base64 = btoa(String.fromCharCode(...new TextEncoder().encode(secret)));
  const withoutPadding = base64.replace(/=+$/, '');
  return [
    base64,
    withoutPadding,
    withoutPadding.replaceAll('+', '-').replaceAll('/', '_'),
    encodeURIComponent(base64),
  ];
}

/** Escapes what has a meaning in a regular expression, JavaScript's or Python's. */
export function escapeRegExp(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
}
