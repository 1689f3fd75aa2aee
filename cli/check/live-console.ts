import cutToWidth from 'fast-string-truncated-width';
import { isActions } from '../shell/environment.ts';
import type { Session, Voice } from '../shell/program.ts';
import type { Progress } from './progress.ts';

/** The voice of a wait: a live line on a terminal, sparse lines elsewhere, and a log that can't command the runner. */
export interface LiveConsole {
  say(text: string): void;
  warn(text: string): void;
  annotate: Voice['annotate'];
  /**
   * Lines of a task's console, unchanged. In Actions they come in a group that folds: at once where there is one task,
   * else when its log ends, so that the groups of several do not take turns.
   */
  printLog(title: string, lines: readonly string[]): void;
  /** Nothing more comes for a while: closes its group. */
  endLog(title: string): void;
  /** The same without a group, so that they are seen at once. */
  printTail(lines: readonly string[]): void;
  /** What another program has printed. The runner obeys its commands. */
  relay(text: string): void;
  /** Shows the progress: redrawn in place on a terminal, else a line per change, at most one every 30 s. */
  showProgress(progress: Progress | undefined): void;
  /** A line that says that the wait goes on, where the progress is shown. */
  remind(text: string): void;
  /** When something was last printed or drawn, in ms since 1970; at first, when the wait began. */
  readonly printedAtMs: number;
  /** Whether there is a live line to redraw. */
  readonly isLive: boolean;
  /** Leaves the terminal and the runner as they were. */
  close(): void;
}

const PROGRESS_PAUSE_MS = 30_000;
/** Characters of logs that wait for their end. */
const MAX_HELD = 16 * 1024 * 1024;
const CLEAR_LINE = '\r\u001b[2K';

type Surroundings = Pick<Session, 'voice' | 'env' | 'clock'>;

/** What the screen shows. */
interface Screen {
  readonly voice: Voice;
  /** Empty where there is none. */
  liveLine: string;
  /** The group that is open. Inside it the runner obeys no commands. */
  openGroup: { readonly title: string; readonly token: string } | undefined;
  /** Logs that wait for their end, by title, and how many characters they have. Text takes a third of its lines' memory. */
  readonly held: Map<string, string[]>;
  heldSize: number;
}

/** @param taskCount how many tasks are watched */
export function createLiveConsole(surroundings: Surroundings, taskCount: number): LiveConsole {
  const { env, clock } = surroundings;
  const inActions = isActions(env);
  let printedAtMs = clock.now();
  const voice = listen(surroundings.voice, () => {
    printedAtMs = clock.now();
  });
  const screen: Screen = { voice, liveLine: '', openGroup: undefined, held: new Map(), heldSize: 0 };
  let told: { readonly facts: string; readonly atMs: number } | undefined;
  return {
    isLive: voice.isTerminal,
    say: (text) => writeOutside(screen, () => voice.say(text)),
    warn: (text) => writeOutside(screen, () => voice.warn(text)),
    annotate: (...annotation) => writeOutside(screen, () => voice.annotate(...annotation)),

    printLog(title, lines) {
      if (lines.length === 0) return;
      if (inActions && taskCount > 1) {
        holdLines(screen, title, lines);
        if (screen.heldSize > MAX_HELD) {
          drawHeld(screen);
          closeGroup(screen);
        }
      } else if (inActions) {
        openGroup(screen, title);
        drawLines(voice, lines);
      } else writeOutside(screen, () => drawLines(voice, lines));
    },

    endLog(title) {
      drawHeld(screen, title);
      closeGroup(screen);
    },

    printTail(lines) {
      if (lines.length === 0) return;
      writeOutside(screen, () => {
        const token = crypto.randomUUID();
        if (inActions) voice.draw(`::stop-commands::${token}\n`);
        drawLines(voice, lines);
        if (inActions) voice.draw(`::${token}::\n`);
      });
    },

    relay(text) {
      const whole = text.endsWith('\n') ? text : `${text}\n`;
      const { openGroup: group } = screen;
      // A task's log stays one group; for the moment the runner obeys.
      if (group !== undefined) voice.draw(`::${group.token}::\n${whole}::stop-commands::${group.token}\n`);
      else writeOutside(screen, () => voice.draw(whole));
    },

    showProgress(progress) {
      if (voice.isTerminal) {
        clearLine(screen);
        screen.liveLine = cutLine(progress?.text ?? '', voice.columns - 1);
        redrawLine(screen);
        return;
      }
      if (progress === undefined || progress.facts === told?.facts) return;
      if (told !== undefined && clock.now() - told.atMs < PROGRESS_PAUSE_MS) return;
      told = { facts: progress.facts, atMs: clock.now() };
      // Within the log's group: to leave it would make a new group of what follows.
      voice.say(progress.text);
    },

    remind(text) {
      if (voice.isTerminal) writeOutside(screen, () => voice.say(text));
      else voice.say(text);
    },

    get printedAtMs() {
      return printedAtMs;
    },

    close() {
      drawHeld(screen);
      closeGroup(screen);
      clearLine(screen);
      screen.liveLine = '';
    },
  };
}

/** The same voice; whatever it prints is noted first. */
function listen(voice: Voice, note: () => void): Voice {
  const noted =
    <Args extends unknown[]>(print: (...args: Args) => void) =>
    (...args: Args) => {
      note();
      print(...args);
    };
  return {
    ...voice,
    say: noted(voice.say),
    warn: noted(voice.warn),
    annotate: noted(voice.annotate),
    draw: noted(voice.draw),
  };
}

function clearLine({ voice, liveLine }: Screen): void {
  if (liveLine !== '') voice.draw(CLEAR_LINE);
}

function redrawLine({ voice, liveLine }: Screen): void {
  if (liveLine !== '') voice.draw(liveLine);
}

/** Writes what is not the log outside the log's group, where commands work. */
function writeOutside(screen: Screen, write: () => void): void {
  closeGroup(screen);
  clearLine(screen);
  write();
  redrawLine(screen);
}

function openGroup(screen: Screen, title: string): void {
  if (screen.openGroup?.title === title) return;
  closeGroup(screen);
  screen.openGroup = { title, token: crypto.randomUUID() };
  screen.voice.draw(`::group::${title}\n::stop-commands::${screen.openGroup.token}\n`);
}

function closeGroup(screen: Screen): void {
  if (screen.openGroup === undefined) return;
  screen.voice.draw(`::${screen.openGroup.token}::\n::endgroup::\n`);
  screen.openGroup = undefined;
}

function holdLines(screen: Screen, title: string, lines: readonly string[]): void {
  const text = lines.join('\n');
  const texts = screen.held.get(title) ?? [];
  texts.push(text);
  screen.held.set(title, texts);
  screen.heldSize += text.length;
}

/** Draws the log that waits under this title; by default all. */
function drawHeld(screen: Screen, title?: string): void {
  for (const [name, texts] of screen.held) {
    if (title !== undefined && name !== title) continue;
    openGroup(screen, name);
    for (const text of texts) screen.voice.draw(`${text}\n`);
    screen.held.delete(name);
    screen.heldSize -= texts.reduce((sum, text) => sum + text.length, 0);
  }
}

function drawLines(voice: Voice, lines: readonly string[]): void {
  voice.draw(`${lines.join('\n')}\n`);
}

/** As much of a line as fits: a wide character (Chinese, an emoji) takes two columns. */
function cutLine(line: string, columns: number): string {
  return line.slice(0, cutToWidth(line, { limit: columns }).index);
}
