/** The result of a Python traceback. */
export interface Traceback {
  /** `ValueError: bad learning rate` */
  readonly exception: string;
  /** The innermost frame that lies in the repository. */
  readonly place: { readonly file: string; readonly line: number } | undefined;
}

const HEADER = 'Traceback (most recent call last):';
const FRAME = /^\s+File "([^"]+)", line (\d+)/;
/** The margin of exception groups. */
const MARGIN = /^\s*[|+] /;

/**
 * The last traceback of a log.
 *
 * @param workingDir folder of the repository that the program ran in, the start of relative paths
 */
export function findTraceback(lines: readonly string[], workingDir: string): Traceback | undefined {
  const start = lines.findLastIndex((line) => line.includes(HEADER));
  if (start < 0) return findSyntaxError(lines, workingDir);
  const rest = lines.slice(start + 1).map((line) => line.replace(MARGIN, ''));
  let place: Traceback['place'];
  for (const [at, line] of rest.entries()) {
    if (FRAME.test(line)) place = readPlace(line, workingDir) ?? place;
    else if (line.trim() !== '' && !/^\s/.test(line) && !isCutFromIndentation(rest, at))
      return { exception: joinException(line, rest[at + 1]), place };
  }
  return undefined;
}

// Python writes a traceback's line in pieces, and the agent may send each piece as a line of its own (clearml_agent 3.0.3:
// worker.py `_print_file`, console.py `decode_binary_lines`).

/** Whether a line is a frame's code, whose indentation was sent as a line of its own. */
function isCutFromIndentation(lines: readonly string[], at: number): boolean {
  return lines[at - 1]?.trim() === '' && FRAME.test(lines[at - 2] ?? '');
}

/** `ValueError` and `: message`, or `ValueError: ` and `message`, are one line. */
function joinException(line: string, next = ''): string {
  const isCut = /^[\p{L}\p{N}_.<>]+$/u.test(line)
    ? next.startsWith(': ')
    : /^[\p{L}\p{N}_.<>]+: $/u.test(line);
  return (isCut ? `${line}${next}` : line).trim();
}

/** A syntax error has no traceback. The place is in the lines before the error. */
function findSyntaxError(lines: readonly string[], workingDir: string): Traceback | undefined {
  const end = lines.findLastIndex((line) => /^(?:SyntaxError|IndentationError|TabError): /.test(line));
  if (end < 0) return undefined;
  const frame = lines.slice(Math.max(0, end - 4), end).findLast((line) => FRAME.test(line));
  return { exception: lines[end] ?? '', place: readPlace(frame ?? '', workingDir) };
}

/** A frame's place; undefined outside the repository. */
function readPlace(frame: string, workingDir: string): Traceback['place'] {
  const [, path = '', line] = FRAME.exec(frame) ?? [];
  const file = line === undefined ? undefined : locateInRepository(path, workingDir);
  return file === undefined ? undefined : { file, line: Number(line) };
}

/** A traceback's path in the repository; undefined for a library's. The agent checks out to `…/task_repository/NAME/`. */
function locateInRepository(path: string, workingDir: string): string | undefined {
  const normalized = path.replaceAll('\\', '/');
  if (/\/(?:site|dist)-packages\//.test(normalized) || normalized.startsWith('<')) return undefined;
  const inside = /\/task_repository\/[^/]+\/(.+)$/.exec(normalized)?.[1];
  if (inside !== undefined) return inside;
  if (/^(?:\/|[a-z]:)/i.test(normalized)) return undefined;
  return joinPath(workingDir, normalized);
}

/** @returns undefined if it leads out of the repository */
function joinPath(folder: string, path: string): string | undefined {
  const parts: string[] = [];
  for (const part of `${folder}/${path}`.split('/')) {
    if (part === '..') {
      if (parts.pop() === undefined) return undefined;
    } else if (part !== '.' && part !== '') parts.push(part);
  }
  return parts.length === 0 ? undefined : parts.join('/');
}
