import { stripVTControlCharacters } from 'node:util';

/**
 * Foreign text as one short line: control characters (line ends and terminal escapes among them) become blanks, and
 * what is longer than `maxLength` characters is cut.
 */
export function toSingleLine(text: string, maxLength = 300): string {
  const line = stripAnsi(text)
    .replace(/[\p{Cc}\u2028\u2029]+/gu, ' ')
    .trim();
  const characters = [...line];
  return characters.length <= maxLength ? line : `${characters.slice(0, maxLength - 1).join('')}…`;
}

// ECMA-48 sequences of which stripVTControlCharacters leaves a part (Node 20 to 24): titles and links that hold blanks,
// parameters after a colon or of five digits, string terminators.
const LEFT_BY_NODE =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these characters are what it looks for
  /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[@-Z\\-_])/g;

/** Removes terminal escape sequences and leaves the rest, line ends included. */
export function stripAnsi(text: string): string {
  return stripVTControlCharacters(text.replace(LEFT_BY_NODE, ''));
}
