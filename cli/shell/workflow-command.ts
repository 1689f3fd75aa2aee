/**
 * Makes text inert for the runner: it obeys `::command::` after leading blanks (those of .NET: U+0085 is one) and
 * `##[command]` anywhere in a line of either stream. A zero-width space breaks both without a visible trace.
 */
export function neutralizeCommands(text: string): string {
  return text
    .replace(/(^|[\n\r\u2028\u2029])((?:[^\S\n\r]|\u0085)*):(?=:)/g, '$1$2:\u200b')
    .replaceAll('##[', '##\u200b[');
}

/** One annotation: `::error::…`, escaped as `actions/toolkit` does. `file` and `line` tie it to the diff. */
export function formatAnnotation(
  level: 'error' | 'warning' | 'notice',
  message: string,
  place: { readonly file?: string; readonly line?: number; readonly title?: string } = {},
): string {
  const properties = Object.entries(place)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${escapeProperty(String(value))}`)
    .join(',');
  // GitHub cuts a message at 4,096 characters; the cut is made before the escapes so that none is halved.
  const cut = [...message].slice(0, 4000).join('');
  return `::${level}${properties === '' ? '' : ` ${properties}`}::${escapeData(cut)}`;
}

function escapeData(text: string): string {
  return text
    .replaceAll('%', '%25')
    .replaceAll('\r', '%0D')
    .replaceAll('\n', '%0A')
    .replaceAll('##[', '##%5B');
}

function escapeProperty(text: string): string {
  return escapeData(text).replaceAll(':', '%3A').replaceAll(',', '%2C');
}
