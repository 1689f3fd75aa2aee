import { stripAnsi } from '../text/single-line.ts';
import type { LineRange } from './cause/traceback.ts';

/** A part of a task's console, as ClearML keeps it. It may hold many lines. */
export interface LogEvent {
  /** When it was written, by the writer's clock; ms since 1970. */
  readonly timestampMs: number;
  readonly worker: string;
  readonly text: string;
}

export interface LogPage {
  /** Oldest first. */
  readonly events: readonly LogEvent[];
  /** Count of all events of the task. */
  readonly total: number;
}

/** Reads the events after a point in time, oldest first: `batchSize`, and all others of the last one's time. */
export type ReadLogPage = (afterMs: number, batchSize: number) => Promise<LogPage>;

/** Follows one task's console. */
export interface LogReader {
  /** Sends the first request of the next `read` early. */
  ask(): void;
  /** Reads the events that came since the last call, in order of time, each once. */
  read(onEvents: (events: readonly LogEvent[]) => void): Promise<void>;
}

/** How many events to ask for first, of each of several logs at a time. */
const FIRST_BATCH = 100;
const MAX_BATCH = 2000;
/** So many letters of text are to come at once: a page is in memory several times while it is read. */
const PAGE_LETTERS = 512 * 1024;
/** Writers send in batches: events up to this much older than the newest one may still come. */
const OVERLAP_MS = 10_000;
/** How many events to remember, to tell the new ones when all are read again. */
const MAX_REMEMBERED = 50_000;

/**
 * Follows a console. Events may arrive late with an earlier time, so each reading overlaps the one before. If the server
 * then counts more events than were seen, all are read again. Events that were seen are dropped.
 */
export function createLogReader(readPage: ReadLogPage): LogReader {
  const seen = createSeenEvents();
  /** How many events the server counts but does not send. */
  let unexplained = 0;
  /** The page that `ask` requested. */
  let asked: Request | undefined;
  let batchSize = FIRST_BATCH;

  function send(afterMs: number): Request {
    return { afterMs, batchSize, page: readPage(afterMs, batchSize) };
  }

  /** @returns how many events the server counts */
  async function readFrom(startMs: number, onEvents: (events: readonly LogEvent[]) => void): Promise<number> {
    const counts = new Map<string, number>();
    for (let afterMs = startMs; ; ) {
      const request = asked?.afterMs === afterMs ? asked : send(afterMs);
      asked = undefined;
      const page = await request.page;
      batchSize = chooseBatchSize(page);
      // A server that ignores the time would send the older ones endlessly.
      const later = page.events.filter(({ timestampMs }) => timestampMs > afterMs);
      const fresh = seen.takeNew(later, counts);
      if (fresh.length > 0) onEvents(fresh);
      const last = page.events.at(-1);
      if (last === undefined || page.events.length < request.batchSize || last.timestampMs <= afterMs) {
        return page.total;
      }
      afterMs = last.timestampMs;
    }
  }

  return {
    ask() {
      if (asked !== undefined) return;
      asked = send(seen.overlapMs);
      // Awaited by read(); this keeps an early rejection from being reported as unhandled.
      asked.page.catch(() => undefined);
    },

    async read(onEvents) {
      const total = await readFrom(seen.overlapMs, onEvents);
      if (total > seen.total + unexplained && seen.isComplete) {
        unexplained = Math.max(0, (await readFrom(0, onEvents)) - seen.total);
      }
      seen.forgetOldest();
    },
  };
}

/** A page that was asked for. */
interface Request {
  readonly afterMs: number;
  readonly batchSize: number;
  readonly page: Promise<LogPage>;
}

/** An event may hold one line or hundreds, and a task's are much alike. */
function chooseBatchSize({ events }: LogPage): number {
  const letters = events.reduce((sum, { text }) => sum + text.length, 0);
  const fitting = letters === 0 ? MAX_BATCH : Math.floor((PAGE_LETTERS / letters) * events.length);
  return Math.max(1, Math.min(MAX_BATCH, fitting));
}

/** Remembers the events that were seen, and how often: two equal lines of the same time are two lines. */
function createSeenEvents() {
  let seen = new Map<string, number>();
  let total = 0;
  let newestMs = 0;
  let isComplete = true;
  return {
    get total() {
      return total;
    },
    /** Nothing was forgotten, so that all can be read again. */
    get isComplete() {
      return isComplete;
    },
    /** Where the next reading starts. */
    get overlapMs() {
      return Math.max(0, newestMs - OVERLAP_MS);
    },

    /** @param counts how often each event came in this reading; updated here */
    takeNew(events: readonly LogEvent[], counts: Map<string, number>): LogEvent[] {
      return events.filter((event) => {
        const key = identifyEvent(event);
        const nth = (counts.get(key) ?? 0) + 1;
        counts.set(key, nth);
        if (nth <= (seen.get(key) ?? 0)) return false;
        seen.set(key, nth);
        total += 1;
        newestMs = Math.max(newestMs, event.timestampMs);
        return true;
      });
    },

    forgetOldest(): void {
      if (seen.size <= MAX_REMEMBERED) return;
      isComplete = false;
      const oldestMs = newestMs - OVERLAP_MS;
      seen = new Map([...seen].filter(([key]) => Number(key.slice(0, key.indexOf(' '))) > oldestMs));
    },
  };
}

/** Events have no id, so time, writer and text identify them. A hash stands for the text, which may be long. */
function identifyEvent({ timestampMs, worker, text }: LogEvent): string {
  return `${timestampMs} ${worker} ${text.length} ${cyrb53(text)}`;
}

/** A hash of 53 bits (bryc's cyrb53, public domain), enough to tell the events of one millisecond apart. */
function cyrb53(text: string): number {
  let low = 0xdeadbeef;
  let high = 0x41c6ce57;
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    low = Math.imul(low ^ code, 2654435761);
    high = Math.imul(high ^ code, 1597334677);
  }
  low = Math.imul(low ^ (low >>> 16), 2246822507) ^ Math.imul(high ^ (high >>> 13), 3266489909);
  high = Math.imul(high ^ (high >>> 16), 2246822507) ^ Math.imul(low ^ (low >>> 13), 3266489909);
  return 4294967296 * (2097151 & high) + (low >>> 0);
}

/** A message's lines as a terminal shows them, without control characters and what a carriage return overwrites. */
export function splitLogLines(message: string, keepColors = false): string[] {
  const lines = message.replace(/\r?\n$/, '').split('\n');
  if (!UNCLEAN.test(message)) return lines;
  return lines.map((line) => cleanLine(collapseReturns(line), keepColors));
}

function collapseReturns(line: string): string {
  if (!line.includes('\r')) return line;
  return line.split('\r').findLast((part) => part.trim() !== '') ?? '';
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: these characters are what it looks for
const COLOR = /(\u001b\[[\d;:]*m)/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these characters are what it looks for
const CONTROL = /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u2028\u2029]/g;

/** What a message has none of whose lines are clean as they are: all controls, and colours and cursor movements begin with one. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these characters are what it looks for
const UNCLEAN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029]/;

function cleanLine(line: string, keepColors: boolean): string {
  if (!keepColors) return removeControls(line);
  // Odd parts are colours.
  const parts = line.split(COLOR);
  const cleaned = parts.map((part, index) => (index % 2 === 1 ? part : removeControls(part))).join('');
  // A colour that is left on would colour our own lines.
  return parts.length > 1 ? `${cleaned}\u001b[0m` : cleaned;
}

function removeControls(text: string): string {
  return stripAnsi(text).replace(CONTROL, '');
}

/** How many lines to keep for the end. */
export const TAIL_LINES = 40;
const BUDGET_BYTES = 8 * 1024 * 1024;
/** Longer lines of the tail are cut, as the budget is spent. */
const MAX_TAIL_LINE = 4000;

/** Passes the first 8 MiB of a task's console, and keeps the last lines of the rest. */
export function createLogBudget(budgetBytes = BUDGET_BYTES) {
  let left = budgetBytes;
  let isSpent = false;
  let overflow: readonly string[] = [];
  let droppedLines = 0;
  let droppedBytes = 0;
  let tail: readonly string[] = [];

  /** @returns how many of the lines fit */
  function spend(lines: readonly string[]): number {
    if (isSpent) return 0;
    const first = lines.findIndex((line) => {
      left -= line.length + 1;
      return left < 0;
    });
    isSpent = first >= 0;
    return isSpent ? first : lines.length;
  }

  return {
    /** @returns the lines that fit */
    take(lines: readonly string[]): readonly string[] {
      const count = spend(lines);
      const rest = [...overflow, ...lines.slice(count)];
      for (const { length } of rest.slice(0, -TAIL_LINES)) {
        droppedLines += 1;
        droppedBytes += length + 1;
      }
      overflow = rest.slice(-TAIL_LINES);
      tail = [...tail, ...lines.slice(-TAIL_LINES)].slice(-TAIL_LINES);
      return lines.slice(0, count);
    },
    /** What did not fit: how much was dropped, and the last lines. */
    get rest() {
      return { droppedLines, droppedBytes, tail: overflow.map(cutLine) };
    },
    /** The last lines, printed or not. */
    get tail() {
      return tail.map(cutLine);
    },
  };
}

/** Lines of a log. */
export interface Excerpt {
  readonly lines: readonly string[];
  /** Index of the first one in the log. */
  readonly first: number;
  /** They are its last ones. */
  readonly isEnd: boolean;
}

/** After a cause that only a few lines follow, the end of the log shows the cause, and what came before it. */
const MOST_LINES_AFTER = 5;

/**
 * The lines of a log to show with a failure: from its cause on, not what launchers and the interpreter printed after it.
 * Without a known cause, or where that stands at the very end, they are the last lines.
 *
 * @param cause the lines of `log` that show the cause
 * @param count how many lines to show at most
 */
export function chooseExcerpt(log: readonly string[], cause: LineRange | undefined, count: number): Excerpt {
  const end = log.findLastIndex((line) => line.trim() !== '') + 1;
  const isAtEnd =
    cause === undefined || (cause.first >= end - count && end - 1 - cause.last <= MOST_LINES_AFTER);
  // Of a longer traceback the end says more.
  const first = isAtEnd ? Math.max(0, end - count) : Math.max(cause.first, cause.last + 1 - count);
  return { first, isEnd: isAtEnd, lines: log.slice(first, Math.min(end, first + count)).map(cutLine) };
}

function cutLine(line: string): string {
  return line.length <= MAX_TAIL_LINE ? line : `${line.slice(0, MAX_TAIL_LINE)}…`;
}
