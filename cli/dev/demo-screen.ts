import { formatDuration } from '../core/duration.ts';
import { stripAnsi } from '../core/single-line.ts';

/** How the demo shows itself: colours and one live line on a terminal, plain lines elsewhere. */
export interface DemoScreen {
  heading(text: string): void;
  say(text: string): void;
  fail(text: string): void;
  /** A program that begins. */
  command(text: string): void;
  /** What it came to. */
  done(text: string): void;
  /** A line of a program's stdout. */
  result(line: string): void;
  /** A line of a program's stderr. */
  talk(line: string): void;
  /** Runs something that takes its time, with what it is doing and how long it has taken. */
  step<T>(title: string, work: (progress: (message: string) => void) => Promise<T>): Promise<T>;
  /** Clears the live line away. */
  end(): void;
}

interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

const REFRESH_MS = 100;
const FRAMES = ['-', '\\', '|', '/'];

/** Draws on a stream. NO_COLOR (no-color.org) turns colours off. */
export function createDemoScreen(
  output: Output,
  env: Readonly<Record<string, string | undefined>>,
): DemoScreen {
  const isTerminal = output.isTTY === true;
  const paint = (code: number, text: string) =>
    isTerminal && !env.NO_COLOR ? `\u001b[${code}m${text}\u001b[0m` : text;
  const bold = (text: string) => paint(1, text);
  const dim = (text: string) => paint(2, text);
  const green = (text: string) => paint(32, text);
  const red = (text: string) => paint(31, text);

  const fold = createFolder((text) => line(dim(`  ${text}`)));

  let live: { title: string; message: string; beganAt: number } | undefined;
  let timer: NodeJS.Timeout | undefined;
  let frame = 0;

  function erase(): void {
    if (isTerminal && live !== undefined) output.write('\r\u001b[K');
  }

  function draw(): void {
    if (!isTerminal || live === undefined) return;
    frame = (frame + 1) % FRAMES.length;
    const elapsed = formatDuration(performance.now() - live.beganAt);
    const text = `${FRAMES[frame]} ${live.title} (${elapsed})${live.message === '' ? '' : `: ${live.message}`}`;
    output.write(`\r\u001b[K${text.slice(0, (output.columns ?? 80) - 1)}`);
  }

  function line(text: string): void {
    erase();
    output.write(`${text}\n`);
    draw();
  }

  function end(): void {
    erase();
    clearInterval(timer);
    live = undefined;
  }

  return {
    heading: (text) => line(`\n${bold(text)}`),
    say: (text) => line(text),
    fail: (text) => line(red(text)),
    command: (text) => line(`\n${bold(`$ ${text}`)}`),
    done: (text) => line(green(`  ${text}`)),
    result: (text) => line(`  ${stripAnsi(text)}`),
    talk: (text) => fold(stripAnsi(text)),
    async step(title, work) {
      live = { title, message: '', beganAt: performance.now() };
      timer = setInterval(draw, REFRESH_MS);
      if (!isTerminal) output.write(`${title} …\n`);
      const { beganAt } = live;
      try {
        const result = await work((message) => {
          if (live !== undefined) live.message = message;
        });
        end();
        line(`${green('ok')} ${title} (${formatDuration(performance.now() - beganAt)})`);
        return result;
      } finally {
        end();
      }
    },
    end,
  };
}

/**
 * Shows lines as the runner's log does: workflow commands are obeyed, not printed. The hundreds of lines in which an
 * agent prints its settings become one.
 */
function createFolder(show: (line: string) => void): (line: string) => void {
  let settings = 0;
  let token: string | undefined;
  return (line) => {
    const command = /^::([\w-]+)(?: [^:]*)?::(.*)$/.exec(line);
    if (token !== undefined && line === `::${token}::`) token = undefined;
    else if (token === undefined && command?.[1] === 'stop-commands') token = command[2];
    else if (token === undefined && command?.[1] === 'endgroup') return;
    else if (token === undefined && command?.[1] === 'group') return;
    else if (/^(?:agent|api|sdk)\.[\w.]+ = /.test(line)) settings += 1;
    else if (line.trim() !== '') {
      if (settings > 0) show(`… ${settings} settings of the agent`);
      settings = 0;
      show(line);
    }
  };
}
