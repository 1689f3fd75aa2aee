import { stripAnsi, toSingleLine } from './single-line.ts';

// Marks that change the text's direction, and characters without width: a name could look like another.
const INVISIBLE = /[\p{Cf}\u115f\u1160]/gu;
const MAX_NAME_LENGTH = 120;
const PLAIN = /^[!-~]+(?: [!-~]+)*$/;

/** Foreign text for a code span: one line, nothing invisible, never empty. */
export function toQuotation(text: string, maxLength = MAX_NAME_LENGTH): string {
  // The fast path for nearly all names, of which there may be thousands.
  if (PLAIN.test(text)) return text.length <= maxLength ? text : shorten(text, maxLength);
  const line = toSingleLine(replaceBroken(text).replace(INVISIBLE, ''), Number.POSITIVE_INFINITY);
  const characters = [...line];
  if (characters.length === 0) return text === '' ? '(empty)' : '(blank)';
  if (characters.length <= maxLength) return line;
  return shorten(characters, maxLength);
}

/** What is visible of a foreign text, as one line of at most 300 characters; may be empty. */
export function toVisibleLine(text: string): string {
  return toSingleLine(replaceBroken(text).replace(INVISIBLE, ''));
}

/** Keeps both ends of a long name. */
function shorten(characters: string | readonly string[], maxLength: number): string {
  const half = Math.floor((maxLength - 1) / 2);
  const take = (from: number, to?: number) => [...characters.slice(from, to)].join('');
  return `${take(0, maxLength - 1 - half)}…${take(-half)}`;
}

/** Foreign text for a fenced block: its lines, each cut to a readable length. */
export function toQuotedLines(text: string, maxLineLength = 400): string[] {
  return stripAnsi(replaceBroken(text))
    .replace(INVISIBLE, '')
    .split(/\r\n|[\n\u2028\u2029]/)
    .map((line) => {
      // A terminal shows only the text after the last carriage return, as with a progress bar.
      const shown = line
        .slice(line.lastIndexOf('\r') + 1)
        .replace(/[^\P{Cc}\t]/gu, '')
        .trimEnd();
      const characters = [...shown];
      return characters.length <= maxLineLength
        ? shown
        : `${characters.slice(0, maxLineLength - 1).join('')}…`;
    });
}

/** Replaces halves of characters, which cannot be sent. */
export function replaceBroken(text: string): string {
  return text.replace(/\p{Cs}/gu, '\ufffd');
}
