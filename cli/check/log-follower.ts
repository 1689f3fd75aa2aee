import { isSetByAgent } from '../clearml/abort.ts';
import type { Clock } from '../shell/world.ts';
import { ATTEMPT_STARTS, createSetUpFilter, findAttemptStart } from '../training/attempt.ts';
import {
  createLogBudget,
  createLogReader,
  type LogPage,
  type ReadLogPage,
  splitLogLines,
  TAIL_LINES,
} from '../training/console-log.ts';
import type { TaskLife } from '../training/task-life.ts';

/** Follows the console of one task, for the reader of our log and for finding the cause of a failure. */
export interface LogFollower {
  /** Sends the first request of the `follow` or `finish` that comes next. */
  ask(life: TaskLife): void;
  /** Reads what is new, if the task has reported something. */
  follow(life: TaskLife): Promise<void>;
  /** Reads to the end of a task that has ended: its last lines may arrive after its status. */
  finish(life: TaskLife): Promise<void>;
  /** The task was enqueued again: what was read so far says nothing of its next end. */
  beginAgain(): void;
  readonly log: ReadLog;
  readonly shown: Pick<ReturnType<typeof createLogBudget>, 'tail' | 'rest'>;
}

/** Lines in which a cause is looked for: an agent lists some hundred packages before it starts the program. */
const MAX_RECENT_LINES = 3000;
/** Messages to read of a console's end; each may hold many lines. */
const TAIL_BATCH_SIZE = 500;
/** How long the last words of an agent may take. */
const LAST_WORDS_TIMEOUT_MS = 8000;
const LAST_WORDS_PAUSE_MS = 700;
/** An agent whose task has had its status for longer than this has said its last words. */
const RECENT_END_MS = 30_000;

/** The agent's last line, or the one of its process that prepares the training. */
const LAST_WORDS =
  /^(?:Process (?:completed successfully|failed, exit code|aborted by user|terminated by user)|clearml_agent: ERROR: )/;

/**
 * Whether the task and its agent had finished before our first look.
 *
 * @param aheadMs how far the server's clock is ahead of ours
 */
export function isLongOver({ task, end, phaseSinceMs }: TaskLife, aheadMs: number): boolean {
  const { statusChangedAtMs } = task ?? {};
  if (end === undefined || statusChangedAtMs === undefined) return false;
  return phaseSinceMs + aheadMs - statusChangedAtMs >= RECENT_END_MS;
}

/** The end of a console, as far as it was read. */
interface ReadLog {
  /** The newest lines, for finding a cause. */
  readonly recent: readonly string[];
  /** `recent` is all there is. */
  readonly isComplete: boolean;
}

interface FollowOptions {
  readonly readPage: ReadLogPage;
  /** The server's. */
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly keepColors: boolean;
  /** Of the agent's set-up one line is shown, unless it fails. */
  readonly isShortened: boolean;
  /** Prints lines that fit into the budget. */
  readonly print: (lines: readonly string[]) => void;
}

export function createLogFollower(options: FollowOptions): LogFollower {
  const reader = createLogReader(options.readPage);
  const budget = createLogBudget();
  const setUp = createSetUpFilter();
  const log = createRecentLines();
  let readUpdate: string | undefined;
  let hasLastWords = false;
  /** Whether the request that is under way was sent before the task's end. */
  let isAskedEarly = false;

  const hasNews = ({ task }: TaskLife) => task !== undefined && task.lastUpdate !== readUpdate;
  const read = () =>
    reader.read((events) => {
      const shown: string[] = [];
      // One after the other: of a line that is not shown, nothing is left when the next ones are made.
      for (const { text } of events) {
        const lines = splitLogLines(text, options.keepColors);
        hasLastWords ||= saysLastWords(lines);
        log.add(options.keepColors ? splitLogLines(text) : lines);
        for (const line of budget.take(lines)) shown.push(line);
      }
      options.print(options.isShortened ? setUp.take(shown) : shown);
    });

  return {
    log,
    shown: budget,

    ask(life) {
      if (life.end === undefined && !hasNews(life)) return;
      isAskedEarly ||= life.end === undefined;
      reader.ask();
    },

    async follow(life) {
      if (!hasNews(life)) return;
      isAskedEarly = false;
      await read();
      readUpdate = life.task?.lastUpdate;
    },

    beginAgain() {
      log.clear();
      hasLastWords = false;
    },

    async finish(life) {
      await read();
      if (isAskedEarly) await read();
      await waitForLastWords(life, options, () => hasLastWords, read);
      options.print(setUp.flush());
    },
  };
}

/** The newest lines of a console, from the start of its last attempt on. */
function createRecentLines() {
  let lines: string[] = [];
  let isCut = false;
  const clear = () => {
    lines = [];
    isCut = false;
  };
  return {
    clear,
    add(more: readonly string[]): void {
      for (const line of more) {
        if (ATTEMPT_STARTS.test(line)) clear();
        lines.push(line);
      }
      // Not with each line: that would copy them all each time.
      if (lines.length <= 2 * MAX_RECENT_LINES) return;
      lines = lines.slice(-MAX_RECENT_LINES);
      isCut = true;
    },
    get recent() {
      return lines.slice(-MAX_RECENT_LINES);
    },
    get isComplete() {
      return !isCut && lines.length <= MAX_RECENT_LINES;
    },
  };
}

function saysLastWords(lines: readonly string[]): boolean {
  return lines.some((line) => LAST_WORDS.test(line));
}

/** Reads only the end of a console, and only of a task that did not succeed: for `--log none`. */
export function createTailReader(options: {
  /** Reads the newest messages, oldest first. */
  readonly readEnd: (batchSize: number) => Promise<LogPage>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}): LogFollower {
  const log = { recent: [] as readonly string[], isComplete: true };
  let asked: Promise<LogPage> | undefined;

  async function read(): Promise<void> {
    const page = await (asked ?? options.readEnd(TAIL_BATCH_SIZE));
    asked = undefined;
    const lines = page.events.flatMap(({ text }) => splitLogLines(text));
    const start = findAttemptStart(lines);
    log.recent = lines.slice(start).slice(-MAX_RECENT_LINES);
    const isWhole = start > 0 || page.total <= page.events.length;
    log.isComplete = isWhole && log.recent.length < MAX_RECENT_LINES;
  }

  return {
    log,
    shown: {
      get tail() {
        return log.recent.slice(-TAIL_LINES);
      },
      rest: { droppedLines: 0, droppedBytes: 0, tail: [] },
    },

    ask({ end }) {
      if (end === undefined || end === 'succeeded') return;
      asked ??= options.readEnd(TAIL_BATCH_SIZE);
      // Awaited by read(); this keeps an early rejection from being reported as unhandled.
      asked.catch(() => undefined);
    },
    follow: async () => undefined,
    beginAgain: () => undefined,
    async finish(life) {
      if (life.end === 'succeeded') return;
      await read();
      await waitForLastWords(life, options, () => saysLastWords(log.recent), read);
    },
  };
}

/** An agent sets the status first and sends the end of the log afterwards: seconds later where set-up failed. */
async function waitForLastWords(
  { task, end }: TaskLife,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
  hasLastWords: () => boolean,
  read: () => Promise<void>,
): Promise<void> {
  if (task === undefined || end === 'deleted' || !isSetByAgent(task.statusMessage)) return;
  const endedAtMs = task.statusChangedAtMs ?? 0;
  const untilMs = clock.now() + LAST_WORDS_TIMEOUT_MS;
  while (!hasLastWords() && clock.now() < untilMs && clock.now() - endedAtMs < RECENT_END_MS) {
    await clock.sleep(LAST_WORDS_PAUSE_MS, signal);
    await read();
  }
}
