/** Gives the text back with every secret, plain, in JSON, base64 or URL-encoded, replaced by `***`. */
export type Redact = (text: string) => string;

/** Shorter texts are words, not secrets: replacing them would garble what we say. */
const SHORTEST_SECRET = 4;
/** In the midst of longer base64 a short piece may be there by chance. */
const SHORTEST_PIECE = 8;

/** Makes the function that takes the given secrets out of any text. */
export function createRedactor(secrets: readonly string[]): Redact {
  const forms = secrets
    .filter((secret) => secret.length >= SHORTEST_SECRET)
    .flatMap((secret) => [
      secret,
      encodeURIComponent(secret),
      JSON.stringify(secret).slice(1, -1),
      ...toBase64Forms(secret),
    ]);
  // Longest first, so that a secret that holds another one goes as a whole.
  const unique = [...new Set(forms)].sort((a, b) => b.length - a.length);
  if (unique.length === 0) return (text) => text;
  const pattern = new RegExp(unique.map(escapeRegExp).join('|'), 'g');
  return (text) => text.replace(pattern, '***');
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
 * What is the secret's own where a longer text that holds it is spelled in base64. Three bytes make four letters: there
 * are three ways, by where it begins; letters that hold bits of a neighbour too stay.
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

/** Escapes what has a meaning in a regular expression, JavaScript's or Python's. */
export function escapeRegExp(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
}
