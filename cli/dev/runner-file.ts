/**
 * Reads what a step wrote to GITHUB_OUTPUT or GITHUB_ENV: lines `name=value`, or `name<<DELIMITER`, the value's lines
 * and the delimiter. Throws, as the runner does, on anything else.
 *
 * Source: actions/runner, src/Runner.Worker/FileCommandManager.cs.
 */
export function parseRunnerFile(text: string): Record<string, string> {
  const values: Record<string, string> = {};
  const lines = text.split(/\r?\n/);
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] ?? '';
    if (line === '') continue;
    const equals = line.indexOf('=');
    const heredoc = line.indexOf('<<');
    if (equals >= 0 && (heredoc < 0 || equals < heredoc)) {
      const name = line.slice(0, equals);
      if (name === '') throw new Error(`Invalid format '${line}'. Name must not be empty`);
      values[name] = line.slice(equals + 1);
    } else if (heredoc >= 0) {
      const name = line.slice(0, heredoc);
      const delimiter = line.slice(heredoc + 2);
      if (name === '' || delimiter === '')
        throw new Error(`Invalid format '${line}'. Name and delimiter must not be empty`);
      const end = lines.indexOf(delimiter, at + 1);
      if (end < 0) throw new Error(`Invalid value. Matching delimiter not found '${delimiter}'`);
      values[name] = lines.slice(at + 1, end).join('\n');
      at = end;
    } else {
      throw new Error(`Invalid format '${line}'`);
    }
  }
  return values;
}

export interface Annotation {
  readonly level: 'error' | 'warning' | 'notice';
  readonly title: string | undefined;
  readonly message: string;
}

function unescapeProperty(text: string): string {
  return text
    .replace(/%2C/gi, ',')
    .replace(/%3A/gi, ':')
    .replace(/%0D/gi, '\r')
    .replace(/%0A/gi, '\n')
    .replace(/%25/g, '%');
}

/** The annotations that the runner would make of a step's output; none between `::stop-commands::TOKEN` and `::TOKEN::`. */
export function parseAnnotations(output: string): Annotation[] {
  const annotations: Annotation[] = [];
  let resume: string | undefined;
  for (const line of output.split(/\r?\n/)) {
    const found = /^\s*::([^\s:]+)(?: ([^:]*(?::(?!:)[^:]*)*))?::(.*)$/.exec(line);
    if (found === null) continue;
    const [, command = '', properties = '', message = ''] = found;
    if (resume !== undefined) {
      if (command === resume) resume = undefined;
    } else if (command === 'stop-commands') {
      resume = message;
    } else if (command === 'error' || command === 'warning' || command === 'notice') {
      const title = /(?:^|,)title=([^,]*)/.exec(properties)?.[1];
      annotations.push({
        level: command,
        title: title === undefined ? undefined : unescapeProperty(title),
        message: message.replace(/%0D/gi, '\r').replace(/%0A/gi, '\n').replace(/%25/g, '%'),
      });
    }
  }
  return annotations;
}
