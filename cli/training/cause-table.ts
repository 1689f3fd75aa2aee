import { findTraceback, type Traceback } from './traceback.ts';

export type CauseKind =
  | 'training'
  | 'setup'
  | 'out-of-memory'
  | 'worker-lost'
  | 'stopped'
  | 'never-started'
  | 'timeout'
  | 'unknown';

/** What a cause is recognised by. */
export interface Evidence {
  /** ClearML's `status_reason` and `status_message`. */
  readonly statusReason: string;
  readonly statusMessage: string;
  /** The console, or its end. */
  readonly log: readonly string[];
  /** `log` is the whole console. */
  readonly isLogComplete: boolean;
  /** Folder of the repository that the program ran in. */
  readonly workingDir: string;
}

/** One way to fail: how it shows, and what helps. */
export interface CauseRow {
  /** Also the name of the real log that it was written for: `fixtures/causes/NAME.json`. */
  readonly name: string;
  readonly kind: CauseKind;
  /** @returns what happened, in one line; undefined where it was something else */
  readonly recognise: (evidence: Evidence) => string | Finding | undefined;
  /** What to do next. */
  readonly advice: string;
}

/** What happened, and what is known better than in the row. */
interface Finding {
  readonly message: string;
  readonly file?: string | undefined;
  readonly line?: number | undefined;
  readonly kind?: CauseKind;
  readonly advice?: string;
}

/** The agent says so right before it runs the program: what comes before is set-up. */
export const EXECUTION_STARTS = 'Starting Task Execution:';

const RERUN = 'Run it on such a machine with python -X faulthandler to see where.';

const SIGKILL = 9;

/** Signals by their number on Linux (signal(7)) that tell of a crash, and what usually sends them. */
const CRASH_SIGNALS: Readonly<Record<number, { readonly name: string; readonly advice: string }>> = {
  4: { name: 'SIGILL', advice: 'A native library was built for another processor, most likely.' },
  6: { name: 'SIGABRT', advice: 'A native library gave up, most likely.' },
  7: { name: 'SIGBUS', advice: 'In a container, too little shared memory does it (--shm-size).' },
  8: { name: 'SIGFPE', advice: 'A native library divided by zero, most likely.' },
  11: { name: 'SIGSEGV, segmentation fault', advice: 'A native library did it, most likely.' },
  15: { name: 'SIGTERM', advice: 'Somebody or something on its machine ended it.' },
};

/**
 * How to tell why a task failed: the first row that recognises the failure wins, so the more certain ones stand above.
 *
 * To add one: let a real agent fail that way (`cli/dev/record-causes.ts` writes `fixtures/causes/NAME.json`), write its row
 * here, and what it must be recognised as into `EXPECTED` of `cause.test.ts`.
 */
export const CAUSE_TABLE: readonly CauseRow[] = [
  {
    name: 'missing-commit',
    kind: 'setup',
    recognise({ log }) {
      const commit = findMatch(log, /fatal: reference is not a tree: (\S+)/);
      return commit && `the agent did not find commit ${commit} in the repository`;
    },
    advice: 'Push the commit (a branch that was pushed over has lost it), then launch again.',
  },
  {
    name: 'clone-failed',
    kind: 'setup',
    recognise({ log }) {
      if (!has(log, /clearml_agent: ERROR: Failed cloning repository|Repository cloning failed:/))
        return undefined;
      // Git's first complaint is the one that tells; what follows is its general advice.
      const reason = log.find((line) => line.startsWith('fatal: '));
      return addReason('the agent could not clone the repository', reason);
    },
    advice:
      'Look whether the machine of the agent reaches the repository and has credentials for it (agent.git_user and agent.git_pass in its clearml.conf, or an SSH key).',
  },
  {
    name: 'missing-requirement',
    kind: 'setup',
    recognise({ log }) {
      if (!has(log, /Could not install task requirements|installing pip requirements failed/))
        return undefined;
      const missing = findMatch(log, /ERROR: No matching distribution found for (\S+)/);
      const reason = missing === undefined ? findMatch(log, /^\s*ERROR: (.+)/) : `there is no ${missing}`;
      return addReason('the agent could not install the requirements', reason);
    },
    advice:
      'Correct requirements.txt. If the package is on a private index, the agent must know it (agent.package_manager.extra_index_url in its clearml.conf).',
  },
  {
    name: 'missing-entry-point',
    kind: 'setup',
    recognise({ log }) {
      const path = findMatch(log, /can't open file '([^']+)': \[Errno 2\]/);
      return (
        path && `the program ${path.replace(/^.*\/task_repository\/[^/]+\//, '')} is not in the repository`
      );
    },
    advice: 'Correct entry-point or working-dir; the entry point is relative to the working directory.',
  },
  {
    name: 'missing-working-dir',
    kind: 'setup',
    recognise({ log }) {
      const line = log[log.findIndex((text) => text.includes(EXECUTION_STARTS)) + 2] ?? '';
      const path = findMatch(
        [line],
        /^\[Errno 2\] No such file or directory: '\S*\/task_repository\/[^/]+\/([^']+)'$/,
      );
      return path && `the folder ${path} is not in the repository`;
    },
    advice: 'Correct working-dir; it is relative to the root of the repository.',
  },
  {
    name: 'bad-diff',
    kind: 'setup',
    recognise({ log }) {
      if (!has(log, 'Failed applying git diff')) return undefined;
      const reason = findMatch(log, /error: (patch failed: .+?)(?:\\n|$)/);
      return addReason('the agent could not apply the uncommitted changes', reason);
    },
    advice: 'Commit and push them instead of sending them along with --diff.',
  },
  {
    name: 'docker-failed',
    kind: 'setup',
    recognise({ log }) {
      if (has(log, EXECUTION_STARTS)) return undefined;
      const reason = findMatch(log, /^docker: (.+)/) ?? findMatch(log, /^(Unable to find image .+)/);
      return reason && `docker could not start the image: ${reason}`;
    },
    advice:
      'Look whether docker-image is spelled right and the machine of the agent may pull it (docker login).',
  },
  {
    name: 'memory-error',
    kind: 'out-of-memory',
    recognise(evidence) {
      const traceback = findUncaught(evidence);
      return traceback &&
        /^(?:\S*MemoryError|\S*OutOfMemoryError)\b|CUDA out of memory/.test(traceback.exception)
        ? { message: traceback.exception, ...traceback.place }
        : undefined;
    },
    advice: 'Train with a smaller batch or model, or put the task into the queue of a larger machine.',
  },
  {
    name: 'killed',
    kind: 'out-of-memory',
    recognise: (evidence) =>
      findSignal(evidence) === SIGKILL
        ? 'the training was killed (SIGKILL), often for lack of memory'
        : undefined,
    advice:
      "Look into the machine's kernel log (dmesg) for its out-of-memory killer; then train with a smaller batch or model, or on a larger machine.",
  },
  {
    name: 'exception',
    kind: 'training',
    recognise(evidence) {
      const traceback = findUncaught(evidence);
      if (traceback === undefined) return undefined;
      const found = { message: traceback.exception, ...traceback.place };
      return /^ModuleNotFoundError\b/.test(traceback.exception)
        ? { ...found, advice: 'Add the package to requirements.txt.' }
        : found;
    },
    advice: 'Correct the training and push: that trains the new commit.',
  },
  {
    name: 'argument-error',
    kind: 'training',
    // argparse ends with 2.
    recognise: (evidence) =>
      findExitCode(evidence) === 2 ? findMatch(evidence.log, /^(\S+: error: .+)/) : undefined,
    advice: 'Correct params (or --param): the program does not take this argument.',
  },
  {
    name: 'crash',
    kind: 'training',
    recognise(evidence) {
      const signal = CRASH_SIGNALS[findSignal(evidence) ?? 0];
      return (
        signal && { message: `the training crashed (${signal.name})`, advice: `${signal.advice} ${RERUN}` }
      );
    },
    advice: RERUN,
  },
  {
    name: 'exit-code',
    kind: 'training',
    recognise(evidence) {
      const { log } = evidence;
      const code = findExitCode(evidence);
      if (code === undefined) return undefined;
      // A log that is cut lacks its beginning: then the training was well under way.
      if (!evidence.isLogComplete || log.length === 0 || has(log, EXECUTION_STARTS)) {
        return `the training ended itself with exit code ${code}`;
      }
      const reason = findMatch(log, /clearml_agent: ERROR: (.+)/) ?? `exit code ${code}`;
      return {
        kind: 'setup',
        message: `the agent could not prepare the training: ${reason}`,
        advice: 'The end of the log says what it tried last.',
      };
    },
    advice: 'The end of the log may say why; the program chose this code (sys.exit).',
  },
];

function has(log: readonly string[], pattern: RegExp | string): boolean {
  return log.some((line) => (typeof pattern === 'string' ? line.includes(pattern) : pattern.test(line)));
}

/** What the pattern's group caught in the last line that matches. */
function findMatch(log: readonly string[], pattern: RegExp): string | undefined {
  return pattern.exec(log.findLast((line) => pattern.test(line)) ?? '')?.[1];
}

function addReason(what: string, reason: string | undefined): string {
  return reason === undefined ? what : `${what}: ${reason}`;
}

/** The program's exit code, as the agent reports it; negative where a signal ended it. */
function findExitCode({ statusReason, log }: Evidence): number | undefined {
  const text =
    /^worker execution exit code (-?\d+)/.exec(statusReason)?.[1] ??
    findMatch(log, /^Process failed, exit code (-?\d+)/);
  return text === undefined ? undefined : Number(text);
}

/** The signal that ended the program: Python gives -n for signal n, a shell 128 + n. */
function findSignal(evidence: Evidence): number | undefined {
  const code = findExitCode(evidence) ?? 0;
  return code < 0 ? -code : code > 128 ? code - 128 : undefined;
}

/** The exception that ended the program. Python then ends with 1; other codes are the program's own choice. */
function findUncaught(evidence: Evidence): Traceback | undefined {
  const code = findExitCode(evidence) ?? 1;
  return code === 1 ? findTraceback(evidence.log, evidence.workingDir) : undefined;
}
