import { formatDuration } from '../text/duration.ts';
import { stripAnsi } from '../text/single-line.ts';
import { condenseComment, createCondenser, shortenIds } from './demo-condenser.ts';

/** How the demo shows itself: colours and one live line on a terminal, plain lines elsewhere. */
export interface DemoScreen {
  heading(text: string, note?: string): void;
  say(text: string): void;
  /** What came of something. */
  outcome(text: string, tone: Tone): void;
  fail(text: string): void;
  /** What a commit changes: lines that begin with + or -. */
  changes(lines: readonly string[]): void;
  /** A program that begins. */
  program(name: string, args: readonly string[]): ProgramView;
  /** A pull request's comment, as far as it is seen without unfolding anything. */
  comment(markdown: string): void;
  table(columns: readonly string[], rows: ReadonlyArray<readonly TableCell[]>): void;
  /** Runs something that takes its time, with what it is doing and how long it has taken. */
  step<T>(title: string, work: (progress: (message: string) => void) => Promise<T>): Promise<T>;
  /** Clears the live line away. */
  end(): void;
}

/** One run of a program on the screen. */
export interface ProgramView {
  /** A line of its stderr. */
  talk(line: string): void;
  end(exitCode: number | null): void;
}

export type Tone = 'good' | 'bad' | 'dim';

export interface TableCell {
  readonly text: string;
  readonly tone?: Tone;
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
  const tones = { good: green, bad: red, dim };

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
    output.write(`\r\u001b[K${text.slice(0, (output.columns || 80) - 1)}`);
  }

  function line(text: string): void {
    erase();
    output.write(`${text}\n`);
    draw();
  }

  function begin(title: string): { readonly beganAt: number } {
    live = { title, message: '', beganAt: performance.now() };
    timer = setInterval(draw, REFRESH_MS);
    return live;
  }

  function showBriefly(message: string): void {
    if (live !== undefined) live.message = message;
  }

  function end(): void {
    erase();
    clearInterval(timer);
    live = undefined;
  }

  return {
    heading: (text, note) => line(`\n${bold(text)}${note === undefined ? '' : `\n${note}`}`),
    say: (text) => line(text),
    outcome: (text, tone) => line(`\n${tones[tone](text)}`),
    fail: (text) => line(red(text)),
    changes(lines) {
      for (const text of lines) line(`  ${text.startsWith('-') ? red(text) : green(text)}`);
    },
    program(name, args) {
      // How node and tsx are found on this machine tells nobody anything.
      const shown = args.map((arg) => (/"/.test(arg) ? `'${arg.replace(/^.*\/(\S+)\.ts"/, '$1')}'` : arg));
      line(`\n${bold(`$ ${shortenIds([name, ...shown].join(' '))}`)}`);
      const { beganAt } = begin(name);
      const condense = createCondenser((text) => line(dim(`  ${text}`)), showBriefly);
      return {
        talk: (text) => condense(stripAnsi(text)),
        end(exitCode) {
          end();
          const text = `  exit ${exitCode} after ${formatDuration(performance.now() - beganAt)}`;
          line(exitCode === 0 ? green(text) : red(text));
        },
      };
    },
    comment(markdown) {
      line('');
      for (const text of condenseComment(markdown)) line(`  ${dim('|')} ${text}`);
    },
    table(columns, rows) {
      const widths = columns.map((column, at) =>
        Math.max(column.length, ...rows.map((row) => row[at]?.text.length ?? 0)),
      );
      line('');
      line(dim(`  ${columns.map((column, at) => column.padEnd(widths[at] ?? 0)).join('   ')}`.trimEnd()));
      for (const row of rows) {
        const cells = row.map(({ text, tone }, at) => {
          const padded = text.padEnd(widths[at] ?? 0);
          return tone === undefined ? padded : tones[tone](padded);
        });
        line(`  ${cells.join('   ')}`.trimEnd());
      }
    },
    async step(title, work) {
      const { beganAt } = begin(title);
      if (!isTerminal) output.write(`${title} …\n`);
      try {
        const result = await work(showBriefly);
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
