import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** How a process ran. */
export interface MeasuredProcess {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** `performance.now()` at its start and end. */
  readonly beganAtMs: number;
  readonly endedAtMs: number;
  /** Highest resident memory, in MiB; 0 where the system does not tell (only Linux does). */
  readonly peakMib: number;
  /** What its threads have worked together, as last seen; 0 where the system does not tell. */
  readonly processorSeconds: number;
}

/** Linux counts the time of processes in hundredths of a second, whatever the machine (proc(5), USER_HZ). */
const TICKS_PER_SECOND = 100;

/** Runs a command, and looks every few milliseconds how much memory it holds and how long it has worked. */
export async function measureProcess(
  command: string,
  args: readonly string[],
  options: { readonly cwd: string; readonly env: Readonly<Record<string, string | undefined>> },
): Promise<MeasuredProcess> {
  const beganAtMs = performance.now();
  const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  let peakMib = 0;
  let processorSeconds = 0;
  const timer = setInterval(() => {
    try {
      const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
      peakMib = Math.max(peakMib, Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0) / 1024);
      // Behind the name, which may hold blanks and brackets: utime and stime are the 14th and the 15th field.
      const [utime = 0, stime = 0] = readFileSync(`/proc/${child.pid}/stat`, 'utf8')
        .replace(/^.*\) /s, '')
        .split(' ')
        .slice(11, 13)
        .map(Number);
      processorSeconds = Math.max(processorSeconds, (utime + stime) / TICKS_PER_SECOND);
    } catch {
      // Gone already, or no Linux.
    }
  }, 5);
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  try {
    const exitCode = await new Promise<number | null>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', resolve);
    });
    return { exitCode, stdout, stderr, beganAtMs, endedAtMs: performance.now(), peakMib, processorSeconds };
  } finally {
    clearInterval(timer);
  }
}
