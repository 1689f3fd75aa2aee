/**
 * Foreign text as one short line: control characters (line ends and terminal escapes among them) become blanks, and
 * what is longer than `maxLength` characters is cut.
 */
export function toSingleLine(text: string, maxLength = 300): string {
  const line = text
    .replace(ANSI_ESCAPE, '')
    .replace(/[\p{Cc}\u2028\u2029]+/gu, ' ')
    .trim();
  const characters = [...line];
  return characters.length <= maxLength ? line : `${characters.slice(0, maxLength - 1).join('')}…`;
}

// Colours, cursor movements and hyperlinks of terminals (ECMA-48 control sequences, operating system commands).
const ANSI_ESCAPE =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these characters are what it looks for
  /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[@-Z\\-_])/g;

/** Removes terminal escape sequences and leaves the rest, line ends included. */
export function stripAnsi(text: string): string {
  return text.replace(ANSI_ESCAPE, '');
}
