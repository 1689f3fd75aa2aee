import { type ChildProcess, spawn } from 'node:child_process';
import type { Session } from '../shell/program.ts';
import { withTimeLimit } from '../shell/time-limit.ts';
import { countEndedSteps } from '../training/steps.ts';
import type { TaskLife } from '../training/task-life.ts';
import type { LiveConsole } from './live-console.ts';

/** A command of the user's that runs whenever the state of the tasks changes. */
export interface ChangeCommand {
  /** Runs it where this look shows another state than the last one. Does not wait for it. */
  look(lives: readonly TaskLife[]): void;
  /** Starts it no more, and waits until it has ended. */
  finish(): Promise<void>;
}

export interface ChangeTools {
  readonly session: Pick<Session, 'env' | 'cwd' | 'clock' | 'interruption'>;
  readonly out: Pick<LiveConsole, 'warn' | 'relay'>;
}

const TIMEOUT_MS = 60_000;
/** Characters that are passed on of one run. */
const MAX_OUTPUT = 64 * 1024;
/** They are this step's: the last report's outputs and summary count. */
const WITHHELD = ['GITHUB_OUTPUT', 'GITHUB_STEP_SUMMARY'];

/**
 * Makes the command of `--on-change`. The shell runs it, with the ids in `TASK_IDS`, once at a time: changes meanwhile are
 * told by one more run. What it prints goes to stderr. It has a minute, and a signal ends it. Its failure is a warning.
 */
export function createChangeCommand(
  command: string,
  ids: readonly string[],
  { session, out }: ChangeTools,
): ChangeCommand {
  const given = Object.entries(session.env).filter(([name]) => !WITHHELD.includes(name));
  const env = { ...Object.fromEntries(given), TASK_IDS: ids.join(' ') };
  let told = '';
  let isDue = false;
  let isOver = false;
  let running: Promise<void> | undefined;

  async function runWhileDue(): Promise<void> {
    while (isDue && !isOver) {
      isDue = false;
      const { output, problem } = await runCommand(command, env, session);
      if (output !== '') out.relay(output);
      if (problem !== undefined) out.warn(`the command of --on-change ${problem}`);
    }
    running = undefined;
  }

  return {
    look(lives) {
      const state = lives.map(describeState).join();
      // Whoever waits for the end is told by the end.
      if (state === told || lives.every(({ end }) => end !== undefined)) return;
      told = state;
      isDue = true;
      running ??= runWhileDue();
    },
    async finish() {
      isOver = true;
      await running;
    },
  };
}

function describeState({ end, phase, retries, task }: TaskLife): string {
  return `${end ?? phase} ${retries} ${countEndedSteps(task?.steps ?? [])}`;
}

/** @returns what it printed, and what went wrong */
async function runCommand(
  command: string,
  env: Readonly<Record<string, string | undefined>>,
  { cwd, clock, interruption: signal }: ChangeTools['session'],
): Promise<{ readonly output: string; readonly problem: string | undefined }> {
  const isGroup = process.platform !== 'win32';
  const child = spawn(command, {
    shell: true,
    cwd,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    // Ending the group ends all that the shell has started.
    detached: isGroup,
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      if (output.length < MAX_OUTPUT) output += text.slice(0, MAX_OUTPUT - output.length);
    });
  }
  const ended = new Promise<string | undefined>((resolve) => {
    child.on('error', ({ message }) => resolve(`could not be run: ${message}`));
    child.on('close', (code, killed) => {
      if (code === 0) resolve(undefined);
      else resolve(code === null ? `was ended by ${killed}` : `exited with code ${code}`);
    });
  });
  const reason = new Error('took longer than a minute and was ended');
  const problem = await withTimeLimit({ clock, timeoutMs: TIMEOUT_MS, reason, signal }, async (limit) => {
    const kill = () => killAll(child, isGroup);
    limit.addEventListener('abort', kill, { once: true });
    if (limit.aborted) kill();
    const found = await ended;
    if (signal.aborted) return undefined;
    return limit.aborted ? reason.message : found;
  });
  return { output, problem };
}

function killAll(child: ChildProcess, isGroup: boolean): void {
  try {
    if (isGroup && child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    else child.kill('SIGKILL');
  } catch {
    // It has just ended.
  }
  // A process that left the group may hold them.
  child.stdout?.destroy();
  child.stderr?.destroy();
}
