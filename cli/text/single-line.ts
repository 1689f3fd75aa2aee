/** Foreign text as one line of at most `maxLength` characters, without terminal escapes. Control characters are blanks. */
export function toSingleLine(text: string, maxLength = 300): string {
  const line = stripAnsi(text)
    .replace(/[\p{Cc}\u2028\u2029]+/gu, ' ')
    .trim();
  const characters = [...line];
  return characters.length <= maxLength ? line : `${characters.slice(0, maxLength - 1).join('')}…`;
}

// Terminal escape sequences (ECMA-48, ISO 2022): control sequences, operating system commands, and short ones. Node 20.20's
// stripVTControlCharacters leaves parts of titles, links and colours; 24.21's still takes the letter after ESC 7.
const ESCAPE_SEQUENCE =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these characters are what it looks for
  /(?:\u001b\[|\u009b)[0-?]*[ -/]*[@-~]|\u001b(?:\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[ -/]+[0-~]|[0-Z\\-_c])/g;

/** Removes terminal escape sequences and keeps the rest, with its line ends. */
export function stripAnsi(text: string): string {
  return text.replace(ESCAPE_SEQUENCE, '');
}
