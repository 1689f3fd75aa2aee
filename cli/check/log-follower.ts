import { isSetByAgent } from '../clearml/abort.ts';
import type { Clock } from '../shell/world.ts';
import {
  createLogBudget,
  createLogReader,
  type LogPage,
  type ReadLogPage,
  splitLogLines,
  TAIL_LINES,
} from '../training/console-log.ts';
import type { TaskLife } from '../training/task-life.ts';

/** Follows the console of one task, for a reader of our log and for whoever looks for the cause of a failure. */
export interface LogFollower {
  /** Asks already for what `follow` or, of a task that has ended, `finish` reads first: one of them is to be called soon. */
  ask(life: TaskLife): void;
  /** Reads what is new, if the task says that there is something. */
  follow(life: TaskLife): Promise<void>;
  /** Reads to the end of a task that has ended: its last words may come a little later than its status. */
  finish(life: TaskLife): Promise<void>;
  /** The newest lines, for finding a cause. */
  readonly recent: readonly string[];
  /** `recent` is all there is. */
  readonly isComplete: boolean;
  /** The last lines, for a person. */
  readonly tail: readonly string[];
  /** What did not fit into the budget. */
  readonly rest: ReturnType<typeof createLogBudget>['rest'];
}

/** Lines in which a cause is looked for: an agent lists some hundred packages before it starts the program. */
const MAX_RECENT_LINES = 3000;
/** Messages that hold a console's end; each may hold many lines. */
const TAIL_BATCH_SIZE = 500;
/** How long the last words of an agent may take. */
const LAST_WORDS_TIMEOUT_MS = 8000;
const LAST_WORDS_PAUSE_MS = 700;
/** Whose status is older than this has said its last words. */
const RECENT_END_MS = 30_000;

/** The agent's last line, or the one of its process that prepares the training. */
const LAST_WORDS =
  /^(?:Process (?:completed successfully|failed, exit code|aborted by user|terminated by user)|clearml_agent: ERROR: )/;

/** It had ended, and its agent had said its last words, before it was looked at for the first time. */
export function isLongOver({ task, end, phaseSinceMs }: TaskLife): boolean {
  const { statusChangedAtMs } = task ?? {};
  return (
    end !== undefined && statusChangedAtMs !== undefined && phaseSinceMs - statusChangedAtMs >= RECENT_END_MS
  );
}

/** The end of a console, as far as it was read. */
interface ReadLog {
  recent: readonly string[];
  isComplete: boolean;
}

interface FollowOptions {
  readonly readPage: ReadLogPage;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly keepColors: boolean;
  /** Prints lines that fit into the budget. */
  readonly print: (lines: readonly string[]) => void;
}

export function createLogFollower(options: FollowOptions): LogFollower {
  const reader = createLogReader(options.readPage);
  const budget = createLogBudget();
  const log: ReadLog = { recent: [], isComplete: true };
  let readUpdate: string | undefined;
  let hasLastWords = false;
  /** What was asked for already was so before the task's end. */
  let isAskedEarly = false;

  const hasNews = ({ task }: TaskLife) => task !== undefined && task.lastUpdate !== readUpdate;
  const read = () =>
    reader.read((events) => {
      const lines = events.flatMap(({ text }) => splitLogLines(text, options.keepColors));
      hasLastWords ||= saysLastWords(lines);
      keepRecent(log, options.keepColors ? events.flatMap(({ text }) => splitLogLines(text)) : lines);
      options.print(budget.take(lines));
    });

  return {
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

    async finish(life) {
      await read();
      if (isAskedEarly) await read();
      await waitForLastWords(life, options, () => hasLastWords, read);
    },

    get recent() {
      return log.recent;
    },
    get isComplete() {
      return log.isComplete;
    },
    get tail() {
      return budget.tail;
    },
    get rest() {
      return budget.rest;
    },
  };
}

function keepRecent(log: ReadLog, lines: readonly string[]): void {
  // Not pushed one by one: a page may hold more lines than a call may have arguments.
  const all = log.recent.concat(lines);
  log.isComplete &&= all.length <= MAX_RECENT_LINES;
  log.recent = all.slice(-MAX_RECENT_LINES);
}

function saysLastWords(lines: readonly string[]): boolean {
  return lines.some((line) => LAST_WORDS.test(line));
}

/** Reads only the end of a console, and only of a task that did not succeed: for whoever wants no log. */
export function createTailReader(options: {
  /** Reads the newest messages, oldest first. */
  readonly readEnd: (batchSize: number) => Promise<LogPage>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}): LogFollower {
  let log: ReadLog = { recent: [], isComplete: true };
  let asked: Promise<LogPage> | undefined;

  async function read(): Promise<void> {
    const page = await (asked ?? options.readEnd(TAIL_BATCH_SIZE));
    asked = undefined;
    const recent = page.events.flatMap(({ text }) => splitLogLines(text)).slice(-MAX_RECENT_LINES);
    log = { recent, isComplete: page.total <= page.events.length && recent.length < MAX_RECENT_LINES };
  }

  return {
    ask({ end }) {
      if (end === undefined || end === 'succeeded') return;
      asked ??= options.readEnd(TAIL_BATCH_SIZE);
      // Whoever reads it hears of it.
      asked.catch(() => undefined);
    },
    follow: async () => undefined,
    async finish(life) {
      if (life.end === 'succeeded') return;
      await read();
      await waitForLastWords(life, options, () => saysLastWords(log.recent), read);
    },
    get recent() {
      return log.recent;
    },
    get isComplete() {
      return log.isComplete;
    },
    get tail() {
      return log.recent.slice(-TAIL_LINES);
    },
    rest: { droppedLines: 0, droppedBytes: 0, tail: [] },
  };
}

/** An agent sets the status first and sends the end of the log afterwards, some seconds later where set-up failed. */
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
