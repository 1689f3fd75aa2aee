import { stripAnsi } from '../text/single-line.ts';

/** A piece of a task's console, as ClearML keeps it. One may hold many lines. */
export interface LogEvent {
  /** When it was written, by its writer's clock; ms since 1970. */
  readonly timestampMs: number;
  readonly worker: string;
  readonly text: string;
}

export interface LogPage {
  /** Oldest first. */
  readonly events: readonly LogEvent[];
  /** How many the task has in all. */
  readonly total: number;
}

/**
 * Reads the events after a point in time, oldest first, at most `batchSize` of them. All that share the last one's time
 * are in, though it be more (recording 155).
 */
export type ReadLogPage = (afterMs: number, batchSize: number) => Promise<LogPage>;

/** Follows one task's console. */
export interface LogReader {
  /** Asks already for what `read` begins with: it is to be called soon. */
  ask(): void;
  /** Everything that has come since the last call, in the order of its time; nothing twice. */
  read(onEvents: (events: readonly LogEvent[]) => void): Promise<void>;
}

const BATCH_SIZE = 2000;
/** Writers send in batches: what is older than the newest known by this much may still come. */
const OVERLAP_MS = 10_000;
/** How many events are remembered to tell what is new when all must be read again. */
const MAX_REMEMBERED = 50_000;

/**
 * Forward reading by an exclusive time loses what comes late with an earlier time. So each reading overlaps the one
 * before, and where the server says it has more than was seen, all is read again; what was seen is dropped.
 */
export function createLogReader(readPage: ReadLogPage): LogReader {
  /** How often each event has been seen: two equal lines of the same time are two lines. */
  let seen = new Map<string, number>();
  let seenTotal = 0;
  let newestMs = 0;
  /** Nothing has been forgotten: reading all again is possible. */
  let isComplete = true;
  /** How many the server counts that it does not give. */
  let unexplained = 0;
  /** A page that was asked for before it is read. */
  let asked: { readonly afterMs: number; readonly page: Promise<LogPage> } | undefined;

  const findStartMs = () => Math.max(0, newestMs - OVERLAP_MS);

  function readOrTakePage(afterMs: number): Promise<LogPage> {
    const page = asked?.afterMs === afterMs ? asked.page : readPage(afterMs, BATCH_SIZE);
    asked = undefined;
    return page;
  }

  async function readFrom(startMs: number, onEvents: (events: readonly LogEvent[]) => void): Promise<number> {
    const inThisReading = new Map<string, number>();
    let afterMs = startMs;
    let total = 0;
    for (;;) {
      const page = await readOrTakePage(afterMs);
      total = page.total;
      const fresh: LogEvent[] = [];
      for (const event of page.events) {
        // From a server that ignores the time they would come for ever.
        if (event.timestampMs <= afterMs) continue;
        const key = identifyEvent(event);
        const nth = (inThisReading.get(key) ?? 0) + 1;
        inThisReading.set(key, nth);
        if (nth <= (seen.get(key) ?? 0)) continue;
        seen.set(key, nth);
        seenTotal += 1;
        newestMs = Math.max(newestMs, event.timestampMs);
        fresh.push(event);
      }
      if (fresh.length > 0) onEvents(fresh);
      const last = page.events.at(-1);
      if (last === undefined || page.events.length < BATCH_SIZE || last.timestampMs <= afterMs) return total;
      afterMs = last.timestampMs;
    }
  }

  function forgetOldest(): void {
    if (seen.size <= MAX_REMEMBERED) return;
    isComplete = false;
    const oldestMs = newestMs - OVERLAP_MS;
    seen = new Map([...seen].filter(([key]) => Number(key.slice(0, key.indexOf(' '))) > oldestMs));
  }

  return {
    ask() {
      if (asked !== undefined) return;
      const afterMs = findStartMs();
      const page = readPage(afterMs, BATCH_SIZE);
      // Whoever reads it hears of it.
      page.catch(() => undefined);
      asked = { afterMs, page };
    },

    async read(onEvents) {
      const total = await readFrom(findStartMs(), onEvents);
      if (total > seenTotal + unexplained && isComplete) {
        unexplained = Math.max(0, (await readFrom(0, onEvents)) - seenTotal);
      }
      forgetOldest();
    },
  };
}

/** Events have no id: time, writer and text tell them apart. Long texts are not kept for it. */
function identifyEvent({ timestampMs, worker, text }: LogEvent): string {
  return `${timestampMs} ${worker} ${text.length} ${hashText(text)}`;
}

/** 53 bits of a text (cyrb53, public domain): enough to tell the events of one millisecond apart. */
function hashText(text: string): number {
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

/**
 * The lines of a message as a person would see them in the end: what a carriage return was to overwrite (a progress
 * bar) is left out, and so is what controls a terminal.
 *
 * @param keepColors leaves colours in
 */
export function splitLogLines(message: string, keepColors = false): string[] {
  const lines = message.replace(/\r?\n$/, '').split('\n');
  return lines.map((line) => cleanLine(collapseReturns(line), keepColors));
}

function collapseReturns(line: string): string {
  if (!line.includes('\r')) return line;
  return line.split('\r').findLast((part) => part.trim() !== '') ?? '';
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: these characters are what it looks for
const COLOR = /\u001b\[[\d;:]*m/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these characters are what it looks for
const CONTROL = /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u2028\u2029]/g;

function cleanLine(line: string, keepColors: boolean): string {
  if (!keepColors) return stripAnsi(line).replace(CONTROL, '');
  let hasColor = false;
  let result = '';
  let end = 0;
  for (const match of line.matchAll(COLOR)) {
    result += stripAnsi(line.slice(end, match.index)).replace(CONTROL, '') + match[0];
    end = match.index + match[0].length;
    hasColor = true;
  }
  result += stripAnsi(line.slice(end)).replace(CONTROL, '');
  // A line that leaves its colour on would colour ours.
  return hasColor ? `${result}\u001b[0m` : result;
}

/** Lines kept back so that they can always be shown at the end. */
export const TAIL_LINES = 40;
const BUDGET_BYTES = 8 * 1024 * 1024;
/** A line of the tail that is longer is cut: it comes after the budget is spent. */
const MAX_TAIL_LINE = 4000;

/** What to print of the console of one task. */
export interface LogBudget {
  /** @returns the lines that fit */
  take(lines: readonly string[]): readonly string[];
  /** What did not fit: how much was dropped, and the last lines, which never are. */
  readonly rest: {
    readonly droppedLines: number;
    readonly droppedBytes: number;
    readonly tail: readonly string[];
  };
  /** The last lines, printed or not. */
  readonly tail: readonly string[];
}

/** Lets the first 8 MiB through, and keeps the last lines of what comes after. */
export function createLogBudget(budgetBytes = BUDGET_BYTES): LogBudget {
  let left = budgetBytes;
  let isSpent = false;
  const overflow: string[] = [];
  let droppedLines = 0;
  let droppedBytes = 0;
  let tail: string[] = [];

  return {
    take(lines) {
      const fitting: string[] = [];
      for (const line of lines) {
        const bytes = line.length + 1;
        if (!isSpent && bytes <= left) {
          left -= bytes;
          fitting.push(line);
          continue;
        }
        isSpent = true;
        overflow.push(line);
        if (overflow.length > TAIL_LINES) {
          droppedLines += 1;
          droppedBytes += (overflow.shift()?.length ?? 0) + 1;
        }
      }
      tail = [...tail, ...lines.slice(-TAIL_LINES)].slice(-TAIL_LINES);
      return fitting;
    },
    get rest() {
      return { droppedLines, droppedBytes, tail: overflow.map(cutLine) };
    },
    get tail() {
      return tail.map(cutLine);
    },
  };
}

function cutLine(line: string): string {
  return line.length <= MAX_TAIL_LINE ? line : `${line.slice(0, MAX_TAIL_LINE)}…`;
}
