import { isActions } from '../shell/environment.ts';
import type { Session, Voice } from '../shell/program.ts';
import type { Progress } from './progress.ts';

/** The voice of a wait: a live line on a terminal, sparse lines elsewhere, and a log that can't command the runner. */
export interface WatchConsole {
  say(text: string): void;
  warn(text: string): void;
  annotate: Voice['annotate'];
  /** Lines of a task's console, as they are. In Actions they come in a group that can be folded. */
  printLog(title: string, lines: readonly string[]): void;
  /** The same without a group: to be seen at once. */
  printTail(lines: readonly string[]): void;
  /** What is going on: drawn over on a terminal, else a line when something has changed, at most one every 30 s. */
  showProgress(progress: Progress | undefined): void;
  /** There is a live line to be kept up to date. */
  readonly isLive: boolean;
  /** Leaves the terminal and the runner as they were. */
  close(): void;
}

const PROGRESS_PAUSE_MS = 30_000;
const CLEAR_LINE = '\r\u001b[2K';

export function createWatchConsole({ voice, env, clock }: Session): WatchConsole {
  const inActions = isActions(env);
  const isLive = voice.isTerminal;
  let openGroup: { readonly title: string; readonly token: string } | undefined;
  let liveLine = '';
  let told: { readonly facts: string; readonly atMs: number } | undefined;

  function clearLine(): void {
    if (liveLine !== '') voice.draw(CLEAR_LINE);
  }

  function redrawLine(): void {
    if (liveLine !== '') voice.draw(liveLine);
  }

  function closeGroup(): void {
    if (openGroup === undefined) return;
    voice.draw(`::${openGroup.token}::\n::endgroup::\n`);
    openGroup = undefined;
  }

  /** Everything that is not the log comes outside its group, where commands work. */
  function outside(work: () => void): void {
    closeGroup();
    clearLine();
    work();
    redrawLine();
  }

  function drawLines(lines: readonly string[]): void {
    voice.draw(`${lines.join('\n')}\n`);
  }

  return {
    isLive,
    say: (text) => outside(() => voice.say(text)),
    warn: (text) => outside(() => voice.warn(text)),
    annotate: (...annotation) => outside(() => voice.annotate(...annotation)),

    printLog(title, lines) {
      if (lines.length === 0) return;
      if (!inActions) {
        clearLine();
        drawLines(lines);
        redrawLine();
        return;
      }
      if (openGroup?.title !== title) {
        closeGroup();
        // Between the two the runner obeys nothing, whatever the training prints.
        openGroup = { title, token: crypto.randomUUID() };
        voice.draw(`::group::${title}\n::stop-commands::${openGroup.token}\n`);
      }
      drawLines(lines);
    },

    printTail(lines) {
      if (lines.length === 0) return;
      outside(() => {
        const token = crypto.randomUUID();
        if (inActions) voice.draw(`::stop-commands::${token}\n`);
        drawLines(lines);
        if (inActions) voice.draw(`::${token}::\n`);
      });
    },

    showProgress(progress) {
      if (isLive) {
        clearLine();
        liveLine = progress === undefined ? '' : [...progress.text].slice(0, voice.columns - 1).join('');
        redrawLine();
        return;
      }
      if (progress === undefined || progress.facts === told?.facts) return;
      if (told !== undefined && clock.now() - told.atMs < PROGRESS_PAUSE_MS) return;
      told = { facts: progress.facts, atMs: clock.now() };
      outside(() => voice.say(progress.text));
    },

    close() {
      closeGroup();
      clearLine();
      liveLine = '';
    },
  };
}
