import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from '@jest/globals';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Everything that the demo puts into a temporary directory goes here, so that what it leaves behind shows. */
let temporary: string;

beforeEach(() => {
  temporary = mkdtempSync(join(tmpdir(), 'demo-test-'));
});

afterEach(() => rmSync(temporary, { recursive: true, force: true }));

/** Runs the demo as `npm run demo` does. */
async function runDemo(onOutput: (output: string, kill: () => void) => void = () => undefined) {
  const child = spawn(process.execPath, ['--import', 'tsx', 'cli/dev/demo.ts'], {
    cwd: ROOT,
    env: { ...process.env, TMPDIR: temporary, NODE_OPTIONS: '' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      onOutput(output, () => child.kill('SIGINT'));
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

test('a real agent trains three commits; one comment carries first the one accuracy, then the other', async () => {
  const { exitCode, output } = await runDemo();
  expect({ exitCode, output }).toMatchObject({ exitCode: 0 });
  const trained = [...output.matchAll(/^ +test accuracy (\d\.\d{4})$/gm)].map(([, accuracy]) => accuracy);
  const commented = [...output.matchAll(/now says test accuracy (\d\.\d{4})/g)].map(
    ([, accuracy]) => accuracy,
  );
  expect(trained).toHaveLength(3);
  expect(commented).toEqual(trained.slice(1));
  expect(Number(commented[1])).toBeLessThan(Number(commented[0]) - 0.1);
  expect(output).toContain('Posted the comment on pull request 7');
  expect(output).toContain('Updated the comment on pull request 7');
  const page = readFileSync(join(ROOT, '.cache/demo/comment.html'), 'utf8');
  expect(page).toContain('test_accuracy/accuracy');
  expect(listLeftFiles()).toEqual([]);
  expect(listLeftProcesses()).toEqual([]);
}, 300_000);

test('Ctrl-C in the middle of a training leaves no process and no file behind', async () => {
  let isSent = false;
  const { exitCode, output } = await runDemo((soFar, kill) => {
    if (isSent || !soFar.includes('running on demo-worker')) return;
    isSent = true;
    kill();
  });
  expect(output).toContain('Interrupted: stopping what was started.');
  expect(exitCode).toBe(130);
  expect(listLeftFiles()).toEqual([]);
  expect(listLeftProcesses()).toEqual([]);
}, 300_000);
