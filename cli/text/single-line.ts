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

// The escape sequences of terminals (ECMA-48, ISO 2022): control sequences, operating system commands, and the short ones.
// Not node:util's stripVTControlCharacters: of a title that holds blanks it leaves the end, of a colour with colons the
// parameters, and after a saved cursor (ESC 7) it takes a letter of the text (Node 20; the test has these cases).
const ESCAPE_SEQUENCE =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these characters are what it looks for
  /(?:\u001b\[|\u009b)[0-?]*[ -/]*[@-~]|\u001b(?:\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[ -/]+[0-~]|[0-Z\\-_c])/g;

/** Removes terminal escape sequences and leaves the rest, line ends included. */
export function stripAnsi(text: string): string {
  return text.replace(ESCAPE_SEQUENCE, '');
}
