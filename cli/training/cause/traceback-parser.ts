import {
  AFTERMATH,
  CAUSE_LINK,
  CONTEXT_LINK,
  INTRODUCTIONS,
  LINE_PREFIXES,
  MESSAGE_ENDS,
  PROGRESS,
  PROGRESS_BAR,
  RECOVERY,
  REMOTE_TRACEBACK,
  type Role,
  WRAPPERS,
} from './traceback-table.ts';

/** A place in the repository, relative to its root. */
export interface Place {
  readonly file: string;
  readonly line: number;
}

/** One traceback of a console. */
export interface Block {
  /** The prefix of its lines, such as `[rank0]: `. */
  readonly stream: string;
  readonly role: Role;
  /** It travelled from another process inside an exception. */
  readonly isRemote: boolean;
  /** The traceback before it that it was raised from, or while handling. */
  readonly origin: { readonly block: Block; readonly isCause: boolean } | undefined;
  /** Index of its first line and of the last line of its message. */
  readonly first: number;
  readonly last: number;
  /** The line that names the exception. */
  readonly exception: string;
  /** The lines of the message that follow. */
  readonly message: readonly string[];
  /** The innermost frame that lies in the repository. */
  readonly place: Place | undefined;
  /** The exception group that it is a part of. */
  group: Block | undefined;
}

interface Line {
  readonly at: number;
  readonly text: string;
}

/** A traceback that is being read. */
interface Draft extends Pick<Block, 'stream' | 'role' | 'isRemote' | 'origin' | 'first'> {
  last: number;
  exception: string | undefined;
  readonly message: string[];
  isMessageOver: boolean;
  /** It began with a frame, as only syntax errors do. */
  readonly isHeaderless: boolean;
  place: Place | undefined;
  /** A line where the exception should stand, though it does not look like one. */
  fallback: Line | undefined;
  frameIndent: number | undefined;
  /** Where the message goes on with frames: the innermost of them. */
  inner: { place: Place | undefined } | undefined;
  /** Of a box: the text of the paragraph, undefined where its place is known. */
  box: { paragraph: string | undefined; readonly width: number } | undefined;
  /** The first line of the message that may show that the program went on, and what was before it. */
  progress: { readonly last: number; readonly messageLines: number; readonly weight: number } | undefined;
  /** The two lines before. */
  before: readonly [string, string];
}

/** Longer lines are cut: no line of a traceback is as long. */
const MAX_LINE = 4000;
const MAX_MESSAGE_LINES = 60;
const MAX_PREFIXES = 64;
const MAX_PREFIX = 200;
/** A message has hardly more lines that are not indented: the next ones are something else that is printed. */
const MAX_OUTER_LINES = 30;
/** How far the exception may be from the first line that could have been it. */
const MAX_DUMP_LINES = 60;
/** How far the first frame of another process's traceback may be, where several print at a time. */
const PREFIX_REACH = 40;

const HEADER = /^(.*?)Traceback \(most recent call last\):?\s*$/;
const BOX_LINE = /^\s*[\u2502|](.*)[\u2502|]\s*$/;
const BOX_PATH = /^(?:[/~<]|[a-z]:[\\/]|(?!\d+ )[\w.-]+[\\/.])/i;
const BOX_PLACE = /^((?:[a-z]:)?[^:]+):(\d+)\s*(?:in\b|$)/i;
/** CPython's frames; loguru 0.7 puts `>` before one of them. */
const FRAME = /^(\s*|> )File "([^"]+)", line (\d+)(?:, in [\s\S]*)?\s*$/;
/** IPython 8, ultratb.py: in the output of notebooks that papermill and nbclient run. */
const NOTEBOOK_FRAME = /^File (\S+?):(\d+)(?:, in .*)?$/;
const SYNTAX_ERROR = /^(?:SyntaxError|IndentationError|TabError): /;
/** `package.Name: message`, `Name`, `Name(Other): message` */
const EXCEPTION = /^([\p{L}\p{N}_.<>]{1,200})(?:\([\p{L}\p{N}_.]{1,200}\))?(?::\s|:?\s*$)/u;
/** The name of nothing but an exception. */
const EXCEPTION_NAME =
  /^[^\s:(]*(?:Error|Exception|Interrupt|Exit|Group|Warning|Timeout|Expired|Failure|Fault|Empty|Full)\b/;
/** The lead of a header that is no prefix: of exception groups, of torch 2.11 (_utils.py, elastic) and of IPython. */
const HEADER_LEAD = /^(?:\s*|Exception Group |Original |\s*traceback : |[\w.]+ {2,})$/;
const GROUP_MARGIN = /^( {2,})(?:\|(?: |$)|\+ (?=Exception Group Traceback))/;
const GROUP_RULE = /^ {2,}\+-[-+]/;

/** What a console shows of failures. */
export interface ParsedConsole {
  /** In the order of their first lines. */
  readonly blocks: readonly Block[];
  /** The lines that are part of none, by stream. */
  readonly others: ReadonlyMap<string, readonly OtherLine[]>;
}

export interface OtherLine {
  readonly at: number;
  /** How far it shows that the program went on: two are enough. */
  readonly progress: number;
}

/** The tracebacks of a console; `workingDir` is where relative paths start. Takes a time that grows with its length only. */
export function parseTracebacks(lines: readonly string[], workingDir: string): ParsedConsole {
  const streams = separateStreams(lines);
  const blocks: Block[] = [];
  const others = new Map<string, OtherLine[]>();
  for (const [stream, own] of streams) {
    const found = readStream(own, stream, workingDir);
    blocks.push(...found);
    others.set(stream, listOthers(own, found));
  }
  blocks.sort((a, b) => a.first - b.first);
  assignGroups(blocks);
  return { blocks, others };
}

/** The lines of a stream outside its tracebacks, without those that say nothing. */
function listOthers(lines: readonly Line[], blocks: readonly Block[]): OtherLine[] {
  const ordered = [...blocks].sort((a, b) => a.first - b.first);
  let next = 0;
  let coveredTo = -1;
  return lines
    .filter(({ at, text }) => {
      for (let block = ordered[next]; block !== undefined && block.first <= at; block = ordered[++next])
        coveredTo = Math.max(coveredTo, block.last);
      return at > coveredTo && text.trim() !== '';
    })
    .filter(({ text }) => !PROGRESS_BAR.test(text) && !AFTERMATH.some(({ pattern }) => pattern.test(text)))
    .map(({ at, text }) => ({ at, progress: weighProgress(text) }));
}

function weighProgress(text: string): number {
  if (RECOVERY.test(text)) return 2;
  return PROGRESS.test(text) && !PROGRESS_BAR.test(text) ? 1 : 0;
}

/** The lines of each process, by the prefix that its launcher gives them. */
function separateStreams(lines: readonly string[]): Map<string, Line[]> {
  const learned: string[] = [];
  const streams = new Map<string, Line[]>();
  for (const [at, line] of lines.entries()) {
    const { prefix, text } = cutPrefix(line, learned);
    const lead = HEADER.exec(text)?.[1] ?? '';
    if (
      lead !== '' &&
      !HEADER_LEAD.test(lead) &&
      isPrefix(lead, lines.slice(at + 1, at + PREFIX_REACH), learned)
    )
      learned.push(lead);
    const cut = learned.at(-1) === lead && lead !== '' ? cutPrefix(line, learned) : { prefix, text };
    const own = streams.get(cut.prefix);
    if (own === undefined) streams.set(cut.prefix, [{ at, text: cut.text }]);
    else own.push({ at, text: cut.text });
  }
  return streams;
}

/** Whether a frame that follows has the same text before it. */
function isPrefix(lead: string, next: readonly string[], learned: readonly string[]): boolean {
  if (learned.length >= MAX_PREFIXES || lead.length > MAX_PREFIX) return false;
  return next.some((line) => {
    const { text } = cutPrefix(line, learned);
    return text.startsWith(lead) && FRAME.test(text.slice(lead.length));
  });
}

function cutPrefix(line: string, learned: readonly string[]): { prefix: string; text: string } {
  let text = line.slice(0, MAX_LINE);
  let prefix = '';
  for (let depth = 0; depth < 4; depth += 1) {
    const known = LINE_PREFIXES.find(({ pattern }) => pattern.test(text));
    const found =
      known === undefined ? learned.find((lead) => text.startsWith(lead)) : known.pattern.exec(text)?.[0];
    if (found === undefined) break;
    // Some launchers put a blank behind it, which may also be the first one of an indentation.
    if (known?.isTime !== true) prefix += found.trimEnd();
    text = text.slice(found.length);
  }
  const [margin, indent] = GROUP_MARGIN.exec(text) ?? [];
  if (margin === undefined) return { prefix, text: GROUP_RULE.test(text) ? '' : text };
  return { prefix: `${prefix}${indent}|`, text: text.slice(margin.length) };
}

function readStream(lines: readonly Line[], stream: string, workingDir: string): Block[] {
  const blocks: Block[] = [];
  /** Interrupted by the traceback of another thread. */
  const interrupted: Draft[] = [];
  let open: Draft | undefined;
  /** The last lines that are not blank. */
  let before: string[] = [];
  const close = () => {
    const block = open && finish(open);
    if (block !== undefined) blocks.push(block);
    open = undefined;
  };
  for (const line of lines) {
    if (HEADER.test(line.text) || isBoxHeader(line.text)) {
      if (open !== undefined && (open.exception ?? open.fallback) === undefined) interrupted.push(open);
      else close();
      open = begin(line, stream, before, blocks.at(-1));
      before = [];
      continue;
    }
    if (line.text.trim() !== '') before = [...before.slice(-2), line.text];
    if (open?.exception !== undefined && interrupted.length > 0 && FRAME.test(line.text)) {
      close();
      open = interrupted.pop();
    }
    if (open === undefined) {
      // A syntax error of the program itself has frames but no header.
      if (!FRAME.test(line.text)) continue;
      open = { ...begin(line, stream, [], undefined), isHeaderless: true };
    }
    if (!readLine(open, line, workingDir)) close();
  }
  close();
  return blocks;
}

function begin(
  { at, text }: Line,
  stream: string,
  before: readonly string[],
  last: Block | undefined,
): Draft {
  const link = before.findLast((line) => CAUSE_LINK.test(line) || CONTEXT_LINK.test(line));
  const origin =
    link !== undefined && last !== undefined ? { block: last, isCause: CAUSE_LINK.test(link) } : undefined;
  const role = INTRODUCTIONS.find(({ pattern }) => before.some((line) => pattern.test(line)))?.role;
  return {
    stream,
    role: origin?.block.role ?? role ?? 'main',
    isRemote: before.some((line) => REMOTE_TRACEBACK.pattern.test(line)) && origin === undefined,
    origin,
    first: at,
    last: at,
    exception: undefined,
    message: [],
    isMessageOver: false,
    isHeaderless: false,
    place: undefined,
    fallback: undefined,
    frameIndent: undefined,
    inner: undefined,
    box: isBoxHeader(text) ? { paragraph: '', width: text.trim().length } : undefined,
    progress: undefined,
    before: ['', ''],
  };
}

/** @returns whether the traceback may go on after this line */
function readLine(draft: Draft, line: Line, workingDir: string): boolean {
  const { text } = line;
  const [second, first] = draft.before;
  draft.before = [first, text];
  const boxed = draft.box === undefined || draft.exception !== undefined ? null : BOX_LINE.exec(text);
  if (boxed !== null) {
    readBoxLine(draft, boxed[1] ?? '', workingDir);
    return true;
  }
  if (readFrame(draft, line, workingDir)) return true;
  if (text.trim() === '') {
    draft.isMessageOver ||= draft.exception !== undefined && !hasMoreParagraphs(draft.exception);
    return true;
  }
  // A frame's code, whose indentation the agent sent as a line of its own.
  const isCode = first.trim() === '' && FRAME.test(second);
  const isInner = isCode || text.search(/\S/) > Math.max(0, (draft.frameIndent ?? 0) - 2);
  if (!isInner && endsMessage(text) && (draft.exception ?? draft.fallback) !== undefined) return false;
  if (draft.exception !== undefined) {
    if (!isInner && goesOn(draft, text)) return false;
    readMessage(draft, line, first, isInner);
  } else if (!isInner) return readException(draft, { at: line.at, text: text.trimStart() });
  return true;
}

/** The top of the box that rich 14 (traceback.py) draws; typer 0.16 and Lightning draw it with rich. */
function isBoxHeader(text: string): boolean {
  return (
    text.includes('Traceback (most recent call last)') &&
    /^\s*[\u256d\u250c+][\u2500-]/.test(text) &&
    /[\u256e\u2510+]\s*$/.test(text)
  );
}

/** A name in lower case is an exception's only with its package: `socket.gaierror`. */
function namesException(text: string): boolean {
  const name = EXCEPTION.exec(text)?.[1] ?? '';
  if (name.endsWith('.')) return false;
  return name.includes('.') || /^\p{Lu}/u.test(name);
}

/** Whether a blank line is part of the exception's message: it has not begun, or a launcher lists what it knows. */
function hasMoreParagraphs(exception: string): boolean {
  return exception.trim().endsWith(':') || WRAPPERS.some(({ pattern }) => pattern.test(exception));
}

function endsMessage(text: string): boolean {
  const matches = ({ pattern }: { readonly pattern: RegExp }) => pattern.test(text);
  return (
    CAUSE_LINK.test(text) ||
    CONTEXT_LINK.test(text) ||
    INTRODUCTIONS.some(matches) ||
    MESSAGE_ENDS.some(matches)
  );
}

/** @returns whether the line is a frame */
function readFrame(draft: Draft, { at, text }: Line, workingDir: string): boolean {
  const notebook = NOTEBOOK_FRAME.exec(text);
  const [, indent = '', path = '', line = ''] =
    FRAME.exec(text) ?? (notebook === null ? [] : ['', '', ...notebook.slice(1)]);
  if (path === '') return false;
  const file = locateInRepository(path, workingDir);
  const place = file === undefined ? undefined : { file, line: Number(line) };
  if (draft.exception === undefined) {
    draft.frameIndent ??= indent.length;
    // Deeper ones stand in a text that is shown, such as the value of a variable.
    if (indent.length <= draft.frameIndent) draft.place = place ?? draft.place;
  } else if (!draft.isMessageOver && indent.length === draft.frameIndent) {
    draft.inner = { place: place ?? draft.inner?.place };
    draft.last = at;
  }
  return true;
}

/** The place is a paragraph's first line, which may be broken anywhere. */
function readBoxLine(draft: Draft, content: string, workingDir: string): void {
  const { box } = draft;
  const text = content.trim();
  if (box === undefined) return;
  if (text === '') {
    box.paragraph = '';
    return;
  }
  // Other paragraphs are source code and the values of variables.
  if (box.paragraph === '' && !BOX_PATH.test(text)) box.paragraph = undefined;
  if (box.paragraph === undefined) return;
  box.paragraph += text;
  const [, path, line] = BOX_PLACE.exec(box.paragraph) ?? [];
  if (path !== undefined) {
    const file = locateInRepository(path, workingDir);
    draft.place = file === undefined ? draft.place : { file, line: Number(line) };
  }
  if (path !== undefined || box.paragraph.length > MAX_LINE) box.paragraph = undefined;
}

/** Reads a line where the exception may stand. @returns whether the traceback may go on after it */
function readException(draft: Draft, { at, text }: Line): boolean {
  const { fallback } = draft;
  if (draft.isHeaderless && !SYNTAX_ERROR.test(text)) return false;
  // Python writes the line in pieces, and the agent may send each as a line of its own (clearml_agent 3.0.3: worker.py
  // `_print_file`, console.py `decode_binary_lines`).
  const isCut = fallback?.at === at - 1 && (fallback.text.endsWith('.') || /^[.:]/.test(text));
  const whole = isCut ? `${fallback.text}${text}` : text;
  if (namesException(whole)) {
    draft.exception = whole;
    draft.last = at;
    return true;
  }
  if (isCut) draft.fallback = { at, text: whole };
  if (/[\p{L}\p{N}]/u.test(text) && !endsMessage(text)) draft.fallback ??= { at, text };
  return fallback === undefined || at - fallback.at < MAX_DUMP_LINES;
}

/** Whether the program went on, as lines show that looked like the exception's message. */
function goesOn(draft: Draft, text: string): boolean {
  const { last, message, progress } = draft;
  const weight = weighProgress(text);
  if (weight === 0 || draft.isMessageOver) return false;
  draft.progress = {
    last,
    messageLines: message.length,
    ...progress,
    weight: weight + (progress?.weight ?? 0),
  };
  if (draft.progress.weight < 2) return false;
  draft.last = draft.progress.last;
  message.length = draft.progress.messageLines;
  return true;
}

/** Reads a line after the exception's first. */
function readMessage(draft: Draft, { at, text }: Line, previous: string, isInner: boolean): void {
  const { exception = '', message, inner } = draft;
  if (!isInner && inner !== undefined && EXCEPTION_NAME.test(text) && namesException(text)) {
    draft.exception = text;
    draft.place = inner.place ?? draft.place;
    draft.inner = undefined;
    message.length = 0;
  } else if (draft.isMessageOver) return;
  else if (!isInner && message.filter((line) => !/^\s/.test(line)).length >= MAX_OUTER_LINES)
    draft.isMessageOver = true;
  else if (message.length >= MAX_MESSAGE_LINES) draft.last = at;
  else if (message.length === 0 && text.startsWith(': ') && !exception.includes(':'))
    draft.exception = `${exception}${text}`;
  else if (message.length === 0 && isBroken(draft, previous, text))
    draft.exception = `${exception.trimEnd()} ${text}`;
  else message.push(text);
  if (!draft.isMessageOver) draft.last = at;
}

/** rich breaks a line where the next word would be too much. */
function isBroken({ box }: Draft, previous: string, text: string): boolean {
  const word = /^\S*/.exec(text)?.[0].length ?? 0;
  return box !== undefined && previous.trimEnd().length + 1 + word > box.width;
}

function finish(draft: Draft): Block | undefined {
  const { stream, role, isRemote, origin, first, last, message, place, fallback } = draft;
  const exception = draft.exception ?? (draft.isHeaderless ? undefined : fallback?.text);
  if (exception === undefined) return undefined;
  return { stream, role, isRemote, origin, first, last, exception, message, place, group: undefined };
}

/** Marks the exceptions of exception groups: their margin is two columns deeper. */
function assignGroups(blocks: readonly Block[]): void {
  const groups = new Map<string, Block>();
  for (const block of blocks) {
    if (!block.stream.endsWith('|')) continue;
    block.group = groups.get(block.stream.replace(/ {2}\|$/, '|'));
    if (/\(\d+ sub-exceptions?\)$/.test(block.exception.trim())) groups.set(block.stream, block);
  }
}

/** Where a stack is in the repository that faulthandler has printed, the innermost frame first (CPython 3.14, traceback.c). */
export function findFaultPlace(lines: readonly string[], workingDir: string): Place | undefined {
  for (const text of lines.slice(0, MAX_DUMP_LINES)) {
    const [, path, line] = /^ {2}File "(.+?)", line (\d+) in /.exec(text) ?? [];
    const file = path === undefined ? undefined : locateInRepository(path, workingDir);
    if (file !== undefined) return { file, line: Number(line) };
  }
  return undefined;
}

/** A traceback's path in the repository; undefined for a library's. The agent checks out to `…/task_repository/NAME/`. */
function locateInRepository(path: string, workingDir: string): string | undefined {
  const normalized = path.replaceAll('\\', '/');
  if (/\/(?:site|dist)-packages\//.test(normalized) || normalized.startsWith('<')) return undefined;
  const inside = /\/task_repository\/[^/]+\/(.+)$/.exec(normalized)?.[1];
  if (inside !== undefined) return inside;
  if (/^(?:[/~]|[a-z]:)/i.test(normalized)) return undefined;
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
