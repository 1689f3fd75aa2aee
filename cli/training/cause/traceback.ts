import { isOutOfMemory } from './out-of-memory.ts';
import {
  type Block,
  type OtherLine,
  type ParsedConsole,
  type Place,
  parseTracebacks,
} from './traceback-parser.ts';
import {
  CHILD_ENDS,
  CHILD_WORDS,
  MOST_LAST_LINES,
  MOST_LINES_BETWEEN,
  MOST_LINES_OF_OTHERS,
  PARALLEL_ENDS,
  SECONDARY,
  SIGNALS,
  WAIT_ENDED,
  WRAPPERS,
} from './traceback-table.ts';

/** Lines of a console by their index, both included. */
export interface LineRange {
  readonly first: number;
  readonly last: number;
}

/** The exception that ended a program, as its console shows it. */
export interface Ending {
  /** In one line: `ValueError: bad learning rate` */
  readonly exception: string;
  /** With the further lines of its message, and the exceptions that it was raised from. */
  readonly text: string;
  /** The innermost frame that lies in the repository. */
  readonly place: Place | undefined;
  /** Where the console shows it. */
  readonly lines: LineRange;
  /** What the exceptions around it say, if they only say that something else failed. */
  readonly wrapper: string | undefined;
  /** Of a process whose own exception is not shown: how it ended. */
  readonly child: ChildEnd | undefined;
}

/** How a process ended that its launcher tells of. */
export interface ChildEnd {
  readonly rank?: number;
  /** A signal's number is negative. */
  readonly exitCode: number;
}

/**
 * The exception that ended a program: not the last one that is shown, if that was ignored, or tells of another process.
 *
 * @param workingDir folder of the repository that the program ran in, the start of relative paths
 */
export function findTraceback(lines: readonly string[], workingDir: string): Ending | undefined {
  const search = prepareSearch(lines, workingDir);
  const [last] = (['main', 'child', 'thread'] as const).flatMap(
    (role) => search.ends.findLast((block) => block.role === role) ?? [],
  );
  if (last === undefined) return undefined;
  const isParallel =
    last.role === 'child' || lines.some((line) => PARALLEL_ENDS.some(({ pattern }) => pattern.test(line)));
  if (!hasEndedBefore(search, lines.length)(last, MOST_LAST_LINES, isParallel)) return undefined;
  const wrappers: Block[] = [];
  let block = last;
  for (let depth = 0; depth < MAX_DEPTH; depth += 1) {
    const inner = unwrap(block, search);
    if (inner === undefined) break;
    wrappers.push(block);
    block = inner;
  }
  return describe(block, wrappers, search);
}

const MAX_DEPTH = 20;

interface Search extends ParsedConsole {
  /** The tracebacks that nothing else was raised from. */
  readonly ends: readonly Block[];
}

function prepareSearch(lines: readonly string[], workingDir: string): Search {
  const { blocks, others } = parseTracebacks(lines, workingDir);
  const origins = new Set(blocks.map(({ origin }) => origin?.block));
  return {
    blocks,
    others,
    ends: blocks.filter((block) => block.group === undefined && !origins.has(block)),
  };
}

/**
 * Tells whether a traceback was the last thing that its process printed before a line.
 *
 * @param mostLines how many lines the process may have printed while it ended
 * @param isParallel others print to the same console, so that progress may be theirs
 */
type HasEnded = (block: Block, mostLines: number, isParallel?: boolean) => boolean;

function hasEndedBefore({ others }: Search, line: number): HasEnded {
  const before = new Map([...others].map(([stream, all]) => [stream, all.filter(({ at }) => at < line)]));
  const lastProgress = new Map([...before].map(([stream, all]) => [stream, findLastProgress(all)]));
  return ({ stream, last }, mostLines, isParallel = false) => {
    const tooMany = before.get(stream)?.at(-1 - mostLines)?.at ?? -1;
    return tooMany <= last && (isParallel || (lastProgress.get(stream) ?? -1) <= last);
  };
}

/** The last line from which on there is progress enough; -1: none. */
function findLastProgress(lines: readonly OtherLine[]): number {
  let weight = 0;
  const found = lines.findLast(({ progress }) => {
    weight += progress;
    return weight >= 2;
  });
  return found?.at ?? -1;
}

/** The traceback that this one only tells of; undefined if it is the one that ended the program. */
function unwrap(block: Block, search: Search): Block | undefined {
  const { origin, group, exception } = block;
  if (origin?.isCause === true && origin.block.isRemote) return origin.block;
  if (/ \(1 sub-exception\)$/.test(exception.trim()))
    return search.blocks.find((part) => part.group === block);
  if (group !== undefined) return undefined;
  return (isWrapper(block) ? findOrigin(block) : undefined) ?? findFailedProcess(block, search);
}

function findWrapper(block: Block): (typeof WRAPPERS)[number] | undefined {
  const text = [composeException(block), ...block.message.slice(0, 2)].join('\n');
  return WRAPPERS.find(({ pattern }) => pattern.test(text));
}

function isWrapper(block: Block): boolean {
  return findWrapper(block) !== undefined;
}

/** What a wrapper was raised from. */
function findOrigin({ origin }: Block): Block | undefined {
  for (let next = origin; next !== undefined; next = next.block.origin)
    if (!isWrapper(next.block) && !WAIT_ENDED.test(next.block.exception)) return next.block;
  return undefined;
}

/** The traceback of the process whose failure this one followed. */
function findFailedProcess(block: Block, search: Search): Block | undefined {
  const { rank, exitCode } = readChildEnd(block) ?? {};
  // A process that was killed has shown nothing.
  if (exitCode === -9) return undefined;
  const wrapper = findWrapper(block);
  const isChildTold = block.origin === undefined && tellsOfChild(block);
  const hasEnded = hasEndedBefore(search, block.first);
  const others = search.ends.filter((other) => {
    if (other.first >= block.first || other.role === 'aside') return false;
    if (wrapper !== undefined && hasEnded(other, MOST_LAST_LINES, wrapper.isParallel)) return true;
    if (isChildTold && hasEnded(other, MOST_LINES_BETWEEN)) return true;
    if (other.role === 'child') return block.role === 'main' && hasEnded(other, MOST_LINES_OF_OTHERS, true);
    return other.stream !== block.stream && isSecondary(block) && hasEnded(other, MOST_LINES_OF_OTHERS);
  });
  const own = others.findLast(({ stream }) => rank !== undefined && stream.includes(`[rank${rank}]`));
  return own ?? others.findLast((other) => !isSecondary(other)) ?? (wrapper && others.at(-1));
}

function isSecondary(block: Block): boolean {
  const text = joinText(block);
  return SECONDARY.pattern.test(text) && !isOutOfMemory(text);
}

/** Whether a program's own words for an exception tell of another process. */
function tellsOfChild(block: Block): boolean {
  const [, ...words] = composeException(block).split(': ');
  return CHILD_WORDS.test(words.join(': '));
}

/** How the process ended that an exception tells of. */
function readChildEnd(block: Block): ChildEnd | undefined {
  if (!isWrapper(block) && !tellsOfChild(block) && !/\bCalledProcessError\b/.test(block.exception))
    return undefined;
  const root = readRootProcess(block);
  if (root !== undefined) return root;
  const text = [composeException(block), ...block.message.slice(0, 4)].join('\n').slice(0, 4000);
  for (const { pattern } of CHILD_ENDS) {
    const found = pattern.exec(text)?.[1];
    if (found === undefined) continue;
    const exitCode = SIGNALS[found] === undefined ? Number(found) : -SIGNALS[found];
    return { exitCode: exitCode > 128 && exitCode < 160 ? 128 - exitCode : exitCode };
  }
  return undefined;
}

/** Which process torchrun says has failed first (torch 2.11, distributed/elastic/multiprocessing/errors). */
function readRootProcess({ exception, message }: Block): ChildEnd | undefined {
  if (!/\bChildFailedError\b/.test(exception)) return undefined;
  const root = message.slice(message.findLastIndex((line) => line.startsWith('Root Cause')) + 1);
  const find = (pattern: RegExp) =>
    Number(root.map((line) => pattern.exec(line)?.[1]).find((found) => found !== undefined));
  const rank = find(/^\s*rank\s*: (\d+)/);
  const exitCode = find(/^\s*exitcode\s*: (-?\d+)/);
  return Number.isNaN(rank) || Number.isNaN(exitCode) ? undefined : { rank, exitCode };
}

function joinText({ exception, message }: Block): string {
  return [exception, ...message].join('\n');
}

function describe(block: Block, wrappers: readonly Block[], search: Search): Ending {
  const causes: Block[] = [];
  for (let next = block.origin; next?.isCause === true && causes.length < MAX_DEPTH; next = next.block.origin)
    causes.push(next.block);
  const parts = search.blocks.filter(({ group }) => group === block);
  const around = isWrapper(block) ? [...wrappers, block] : wrappers;
  return {
    exception: composeException(block, parts[0]),
    text: [block, ...causes, ...parts].map(joinText).join('\n'),
    place:
      block.place ?? parts.find(({ place }) => place !== undefined)?.place ?? findCallPlace(block, wrappers),
    lines: { first: block.first, last: block.last },
    wrapper: around.length === 0 ? undefined : around.map(joinText).join('\n'),
    child: readChildEnd(block),
  };
}

/** Where the repository called the library that only its own frames show: in what was raised from the exception. */
function findCallPlace(block: Block, wrappers: readonly Block[]): Place | undefined {
  const wrapper = wrappers.at(-1);
  for (let next = wrapper?.origin?.block; next !== undefined; next = next.origin?.block)
    if (next === block) return wrapper?.place;
  return undefined;
}

/** In one line: with the beginning of the message, and the first exception of a group. */
function composeException(block: Block, part?: Block): string {
  const exception = block.exception.trim();
  if (part !== undefined) return `${exception}: ${composeException(part)}`;
  if (!exception.endsWith(':')) return exception;
  const next = block.message.find((line) => /[\p{L}\p{N}]/u.test(line));
  return next === undefined ? exception : `${exception} ${next.trim()}`;
}
