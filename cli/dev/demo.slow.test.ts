import { spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from '@jest/globals';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const CACHE = join(ROOT, '.cache', 'demo');

/** Everything that the demo puts into a temporary directory goes here, so that what it leaves behind shows. */
let temporary: string;

beforeEach(() => {
  temporary = mkdtempSync(join(tmpdir(), 'demo-test-'));
});

afterEach(() => rmSync(temporary, { recursive: true, force: true }));

interface DemoOptions {
  /** Hears all output so far; `interrupt` does what Ctrl-C does on a terminal: every process of the group hears it. */
  readonly onOutput?: (output: string, interrupt: () => void) => void;
  /** Comes first on the PATH. */
  readonly programs?: string;
}

/** Runs the demo as `npm run demo` does. */
async function runDemo({ onOutput, programs }: DemoOptions = {}) {
  const child = spawn(process.execPath, ['--import', 'tsx', 'cli/dev/demo.ts'], {
    cwd: ROOT,
    env: {
      ...process.env,
      ...(programs === undefined ? {} : { PATH: `${programs}:${process.env.PATH}` }),
      TMPDIR: temporary,
      NODE_OPTIONS: '',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      onOutput?.(output, () => process.kill(-(child.pid ?? 0), 'SIGINT'));
    });
  }
  const exitCode = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { exitCode, output };
}

/** What is left in the temporary directory, but for tsx's own cache. */
function listLeftFiles(): string[] {
  return readdirSync(temporary).filter((name) => !name.startsWith('tsx-'));
}

/** Processes that were started with the demo's temporary directory (Linux only: elsewhere none is found). */
function listLeftProcesses(): string[] {
  if (process.platform !== 'linux') return [];
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const environment = readFileSync(`/proc/${pid}/environ`, 'utf8');
        return environment.includes(temporary) ? [readFileSync(`/proc/${pid}/cmdline`, 'utf8')] : [];
      } catch {
        // It has ended meanwhile.
        return [];
      }
    });
}

/** The final table: a row each commit, by its message. */
function readTable(output: string): Map<string, readonly string[]> {
  const rows = [...output.matchAll(/^ {2}#\d (.*)$/gm)].map(([, row = '']) => row.split(/ {2,}/));
  return new Map(rows.map(([message = '', ...cells]) => [message, cells]));
}

/** What the trainings of each numbered chapter printed, in the order of the seeds. */
function readPrinted(output: string): number[][] {
  return output.split(/^(?=\d\. )/m).map((chapter) => {
    const ids = /^\$ check-task-running (.*)$/m.exec(chapter)?.[1]?.split(' ') ?? [];
    const found = [...chapter.matchAll(/^ {2}(?:\[(\w{8})\] )?test accuracy (\d\.\d{4})$/gm)];
    return found
      .sort(([, a = ''], [, b = '']) => ids.indexOf(a) - ids.indexOf(b))
      .map(([, , accuracy]) => Number(accuracy));
  });
}

/** The numbers of a metric's row in a comment's own table. */
function readCommented(pull: number): number[] {
  const comment = readFileSync(join(CACHE, `comment-${pull}.md`), 'utf8');
  const row = /^\| `test_accuracy\/accuracy` \|(.*)$/m.exec(comment)?.[1] ?? '';
  return row
    .split('|')
    .flatMap((cell) => /\d\.\d+/.exec(cell) ?? [])
    .map(Number);
}

const mean = (numbers: readonly number[]) =>
  numbers.reduce((sum, number) => sum + number, 0) / numbers.length;

test('real agents train five commits: the gate has no history at first, then blocks the worse model and passes the same', async () => {
  const { exitCode, output } = await runDemo();
  expect({ exitCode, output }).toMatchObject({ exitCode: 0 });

  const table = readTable(output);
  expect(Object.fromEntries([...table].map(([message, cells]) => [message, cells.slice(3)]))).toEqual({
    'Gate the test accuracy': ['none', '0', '0'],
    'Train with three seeds': ['none', '0', '0'],
    'Lower the learning rate': ['regression', '0', '5', 'merge blocked'],
    'Describe the main function': ['pass', '0', '0'],
    'Rename a param': ['failed', '3', '6', 'merge blocked'],
  });

  // The trainings' own words, the table and the comments agree.
  const [, single = [], base = [], , worse = [], same = [], broken = []] = readPrinted(output);
  expect([single, base, worse, same, broken].map(({ length }) => length)).toEqual([1, 3, 3, 3, 0]);
  expect(new Set(base).size).toBeGreaterThan(1);
  expect(same).toEqual(base);
  expect(Math.max(...worse)).toBeLessThan(Math.min(...base));
  for (const [message, printed] of [
    ['Gate the test accuracy', single],
    ['Train with three seeds', base],
    ['Lower the learning rate', worse],
    ['Describe the main function', same],
  ] as const) {
    expect(Number(table.get(message)?.[2])).toBeCloseTo(mean(printed), 3);
  }
  for (const [pull, numbers] of [
    [1, [base]],
    [2, [worse, base]],
    [3, [same, base]],
  ] as const) {
    const commented = readCommented(pull);
    for (const [at, printed] of numbers.entries()) expect(commented[at]).toBeCloseTo(mean(printed), 3);
  }

  const [, first = '', , merge = ''] = output.split(/^(?=\d\. )/m);
  expect(first).toMatch(/no history yet.*single run/);
  expect(merge.match(/^ {2}Reusing task /gm)).toHaveLength(3);
  expect(output.match(/^ {2}Posted the comment on pull request \d$/gm)).toHaveLength(4);
  // As often as their trainings change state, and at least once for each of the six runs.
  const updates = output.match(/^ {2}Updated the comment on pull request \d$/gm) ?? [];
  expect(updates.length).toBeGreaterThanOrEqual(6);
  expect(new Set(updates).size).toBe(4);

  const page = readFileSync(join(CACHE, 'index.html'), 'utf8');
  expect(page.match(/<article class="markdown-body">/g)).toHaveLength(4);
  expect(existsSync(join(CACHE, 'mermaid.js'))).toBe(true);
  expect(listLeftFiles()).toEqual([]);
  expect(listLeftProcesses()).toEqual([]);
});

test('Ctrl-C while three agents train leaves no process and no file behind', async () => {
  let isSent = false;
  const { exitCode, output } = await runDemo({
    onOutput: (soFar, interrupt) => {
      if (isSent || !soFar.includes('3 running: ')) return;
      isSent = true;
      interrupt();
    },
  });
  expect(output).toContain('Interrupted: stopping what was started.');
  expect(exitCode).toBe(130);
  expect(output).not.toMatch(/^\s+at /m);
  expect(listLeftFiles()).toEqual([]);
  expect(listLeftProcesses()).toEqual([]);
});

test('Ctrl-C that ends a git command is an interruption, not a failure of git', async () => {
  const programs = mkdtempSync(join(tmpdir(), 'demo-test-programs-'));
  try {
    const git = join(programs, 'git');
    // To its whole process group, as a terminal does; git itself dies of it.
    writeFileSync(
      git,
      `#!/bin/sh\nPATH=\${PATH#*:}\ncase " $* " in *' fetch '*) kill -INT 0 ;; esac\nexec git "$@"\n`,
    );
    chmodSync(git, 0o755);
    const { exitCode, output } = await runDemo({ programs });
    expect(output.trim().split('\n')).toEqual(['Getting ready', 'Interrupted: stopping what was started.']);
    expect(exitCode).toBe(130);
    expect(listLeftFiles()).toEqual([]);
  } finally {
    rmSync(programs, { recursive: true, force: true });
  }
});
