import { toSingleLine } from '../text/single-line.ts';
import type { EndReason } from './task-life.ts';
import { findTraceback } from './traceback.ts';

export type CauseKind =
  | 'training'
  | 'setup'
  | 'out-of-memory'
  | 'worker-lost'
  | 'stopped'
  | 'never-started'
  | 'timeout'
  | 'unknown';

/** Why a task did not succeed. */
export interface Cause {
  readonly kind: CauseKind;
  /** One line: what happened. */
  readonly message: string;
  /** Where in the repository, relative to its root. */
  readonly file?: string | undefined;
  readonly line?: number | undefined;
  /** What to do next. */
  readonly advice: string;
}

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

/** One way to fail, and how it shows. */
export interface Recogniser {
  /** Also the name of the real log that it was written for: `fixtures/causes/NAME.json`. */
  readonly name: string;
  /** @returns undefined where it was something else */
  readonly recognise: (evidence: Evidence) => Cause | undefined;
}

/** The agent says so right before it runs the program: what comes before is set-up. */
export const EXECUTION_STARTS = 'Starting Task Execution:';

/**
 * How to tell why a task failed: the first that recognises its own wins. To add one, record a log with a real agent,
 * put it beside the others, and write the row above those that are less certain.
 */
export const RECOGNISERS: readonly Recogniser[] = [
  {
    name: 'missing-commit',
    recognise: ({ log }) => {
      const commit = findMatch(log, /fatal: reference is not a tree: (\S+)/);
      return commit === undefined
        ? undefined
        : {
            kind: 'setup',
            message: `the agent did not find commit ${commit} in the repository`,
            advice: 'Push the commit (a branch that was pushed over has lost it), then launch again.',
          };
    },
  },
  {
    name: 'clone-failed',
    recognise: ({ log }) => {
      if (!has(log, /clearml_agent: ERROR: Failed cloning repository|Repository cloning failed:/))
        return undefined;
      // Git's first complaint is the one that tells; what follows is its general advice.
      const reason = log.find((line) => line.startsWith('fatal: '));
      return {
        kind: 'setup',
        message: `the agent could not clone the repository${reason === undefined ? '' : `: ${reason}`}`,
        advice:
          'Look whether the machine of the agent reaches the repository and has credentials for it (agent.git_user and agent.git_pass in its clearml.conf, or an SSH key).',
      };
    },
  },
  {
    name: 'missing-requirement',
    recognise: ({ log }) => {
      if (!has(log, /Could not install task requirements|installing pip requirements failed/))
        return undefined;
      const missing = findMatch(log, /ERROR: No matching distribution found for (\S+)/);
      const reason = missing === undefined ? findMatch(log, /^\s*ERROR: (.+)/) : `there is no ${missing}`;
      return {
        kind: 'setup',
        message: `the agent could not install the requirements${reason === undefined ? '' : `: ${reason}`}`,
        advice:
          'Correct requirements.txt. If the package is on a private index, the agent must know it (agent.package_manager.extra_index_url in its clearml.conf).',
      };
    },
  },
  {
    name: 'missing-entry-point',
    recognise: ({ log }) => {
      const path = findMatch(log, /can't open file '([^']+)': \[Errno 2\]/);
      return path === undefined
        ? undefined
        : {
            kind: 'setup',
            message: `the program ${path.replace(/^.*\/task_repository\/[^/]+\//, '')} is not in the repository`,
            advice:
              'Correct entry-point or working-dir; the entry point is relative to the working directory.',
          };
    },
  },
  {
    name: 'missing-working-dir',
    recognise: ({ log }) => {
      const line = log[log.findIndex((text) => text.includes(EXECUTION_STARTS)) + 2] ?? '';
      const path = /^\[Errno 2\] No such file or directory: '\S*\/task_repository\/[^/]+\/([^']+)'$/.exec(
        line,
      )?.[1];
      return path === undefined
        ? undefined
        : {
            kind: 'setup',
            message: `the folder ${path} is not in the repository`,
            advice: 'Correct working-dir; it is relative to the root of the repository.',
          };
    },
  },
  {
    name: 'bad-diff',
    recognise: ({ log }) => {
      if (!has(log, 'Failed applying git diff')) return undefined;
      const reason = findMatch(log, /error: (patch failed: .+?)(?:\\n|$)/);
      return {
        kind: 'setup',
        message: `the agent could not apply the uncommitted changes${reason === undefined ? '' : `: ${reason}`}`,
        advice: 'Commit and push them instead of sending them along with --diff.',
      };
    },
  },
  {
    name: 'docker-failed',
    recognise: ({ log }) => {
      const reason = findMatch(log, /^docker: (.+)/) ?? findMatch(log, /^(Unable to find image .+)/);
      return reason === undefined || has(log, EXECUTION_STARTS)
        ? undefined
        : {
            kind: 'setup',
            message: `docker could not start the image: ${reason}`,
            advice:
              'Look whether docker-image is spelled right and the machine of the agent may pull it (docker login).',
          };
    },
  },
  {
    name: 'memory-error',
    recognise: (evidence) => {
      const traceback = findTraceback(evidence.log, evidence.workingDir);
      if (traceback === undefined || !isUncaught(evidence)) return undefined;
      if (!/^(?:\S*MemoryError|\S*OutOfMemoryError)\b|CUDA out of memory/.test(traceback.exception))
        return undefined;
      return {
        kind: 'out-of-memory',
        message: traceback.exception,
        ...traceback.place,
        advice: 'Train with a smaller batch or model, or put the task into the queue of a larger machine.',
      };
    },
  },
  {
    name: 'killed',
    recognise: (evidence) => {
      const code = findExitCode(evidence);
      return code !== -9 && code !== 137
        ? undefined
        : {
            kind: 'out-of-memory',
            message: 'the training was killed (SIGKILL), often for lack of memory',
            advice:
              "Look into the machine's kernel log (dmesg) for its out-of-memory killer; then train with a smaller batch or model, or on a larger machine.",
          };
    },
  },
  {
    name: 'exception',
    recognise: (evidence) => {
      const traceback = findTraceback(evidence.log, evidence.workingDir);
      if (traceback === undefined || !isUncaught(evidence)) return undefined;
      const isMissingModule = /^ModuleNotFoundError\b/.test(traceback.exception);
      return {
        kind: 'training',
        message: traceback.exception,
        ...traceback.place,
        advice: isMissingModule
          ? 'Add the package to requirements.txt.'
          : 'Correct the training and push: that trains the new commit.',
      };
    },
  },
  {
    name: 'argument-error',
    recognise: (evidence) => {
      const message = findMatch(evidence.log, /^(\S+: error: .+)/);
      return findExitCode(evidence) !== 2 || message === undefined
        ? undefined
        : {
            kind: 'training',
            message,
            advice: 'Correct params (or --param): the program does not take this argument.',
          };
    },
  },
  {
    name: 'crash',
    recognise: (evidence) => {
      const code = findExitCode(evidence);
      const signal = SIGNALS.find(({ codes }) => codes.some((signalCode) => signalCode === code));
      return (
        signal && {
          kind: 'training',
          message: `the training crashed (${signal.name})`,
          advice: `${signal.advice} Run it on such a machine with python -X faulthandler to see where.`,
        }
      );
    },
  },
  {
    name: 'exit-code',
    recognise: (evidence) => {
      const code = findExitCode(evidence);
      if (code === undefined) return undefined;
      // Of a log that is cut the beginning is missing: then the training was well under way.
      const hasBegun = !evidence.isLogComplete || has(evidence.log, EXECUTION_STARTS);
      if (hasBegun || evidence.log.length === 0) {
        return {
          kind: 'training',
          message: `the training ended itself with exit code ${code}`,
          advice: 'The end of the log may say why; the program chose this code (sys.exit).',
        };
      }
      const reason = findMatch(evidence.log, /clearml_agent: ERROR: (.+)/) ?? `exit code ${code}`;
      return {
        kind: 'setup',
        message: `the agent could not prepare the training: ${reason}`,
        advice: 'The end of the log says what it tried last.',
      };
    },
  },
];

const SIGNALS = [
  { codes: [-11, 139], name: 'SIGSEGV, segmentation fault', advice: 'A native library did it, most likely.' },
  { codes: [-6, 134], name: 'SIGABRT', advice: 'A native library gave up, most likely.' },
  {
    codes: [-7, 135],
    name: 'SIGBUS',
    advice: 'In a container, too little shared memory does it (--shm-size).',
  },
  { codes: [-8, 136], name: 'SIGFPE', advice: 'A native library divided by zero, most likely.' },
  {
    codes: [-4, 132],
    name: 'SIGILL',
    advice: 'A native library was built for another processor, most likely.',
  },
  { codes: [-15, 143], name: 'SIGTERM', advice: 'Somebody or something on its machine ended it.' },
] as const;

/** Why a task failed, by its reason and its log. */
export function recogniseFailure(evidence: Evidence): Cause {
  for (const { recognise } of RECOGNISERS) {
    const cause = recognise(evidence);
    if (cause !== undefined) return { ...cause, message: toSingleLine(cause.message) };
  }
  const reason = toSingleLine(evidence.statusReason || evidence.statusMessage);
  return {
    kind: 'unknown',
    message: reason === '' ? 'ClearML gives no reason' : reason,
    advice: 'The end of the log, and the page of the task, may say more.',
  };
}

/** Why a task came to its end; undefined where it succeeded. */
export function explainEnd(end: EndReason, evidence: Evidence): Cause | undefined {
  if (end === 'succeeded') return undefined;
  if (end === 'failed') return recogniseFailure(evidence);
  if (end === 'stopped') return explainStop(evidence);
  const reason = toSingleLine(evidence.statusReason);
  if (end === 'dequeued' && reason !== '') {
    return { ...CAUSE_BY_END.dequeued, message: `the task was taken out of the queue: ${reason}` };
  }
  return CAUSE_BY_END[end];
}

const CAUSE_BY_END: Readonly<Record<Exclude<EndReason, 'succeeded' | 'failed' | 'stopped'>, Cause>> = {
  'worker-lost': {
    kind: 'worker-lost',
    message: 'the worker was lost: the server heard nothing of it for too long and stopped the task',
    advice: 'Look whether its machine is up and the agent runs, then launch again.',
  },
  closed: {
    kind: 'stopped',
    message: 'the task was closed by somebody',
    advice: 'Launch again to train this commit after all.',
  },
  dequeued: {
    kind: 'stopped',
    message: 'the task was taken out of the queue by somebody',
    advice: 'Launch again to train this commit after all.',
  },
  reset: {
    kind: 'stopped',
    message: 'the task was reset by somebody: its results are gone',
    advice: 'Launch again to train this commit after all.',
  },
  deleted: {
    kind: 'stopped',
    message: 'the task was deleted by somebody',
    advice: 'Launch again to train this commit after all.',
  },
  draft: {
    kind: 'never-started',
    message: 'the task never started: it is a draft in no queue',
    advice: 'Put it into a queue (launch-training-task does), then run this step again.',
  },
  'queue-timeout': {
    kind: 'never-started',
    message: 'the task never started: the queue time-out passed',
    advice: 'Look whether an agent serves the queue: clearml-agent daemon --queue NAME.',
  },
  timeout: {
    kind: 'timeout',
    message: 'the time-out passed before the training had ended',
    advice: 'Give it more time (--timeout, or timeout in the settings file), or train less.',
  },
};

function explainStop({ statusReason, statusMessage }: Evidence): Cause {
  // The server writes `Stopped by NAME` where no worker runs the task (recording 225); else the worker reports the
  // stop, and nobody's name (recording 317).
  const name = /^Stopped by (.+)/.exec(statusMessage)?.[1];
  const isOnRequest = statusReason === 'task was stopped by tasks.stop';
  const reason = isOnRequest ? '' : toSingleLine(statusReason);
  return {
    kind: 'stopped',
    message: `the task was stopped by ${name === undefined ? 'somebody' : toSingleLine(name)}${reason === '' ? '' : ` (${reason})`}`,
    advice: 'Launch again to train this commit after all.',
  };
}

/** `training: ValueError: bad learning rate (train_model.py:13)`: the cause in one line. */
export function formatCause(cause: Cause): string {
  return `${cause.kind}: ${cause.message}${formatPlace(cause)}`;
}

/** ` (train_model.py:13)`, or nothing. */
export function formatPlace({ file, line }: Pick<Cause, 'file' | 'line'>): string {
  return file === undefined ? '' : ` (${file}${line === undefined ? '' : `:${line}`})`;
}

function has(log: readonly string[], pattern: RegExp | string): boolean {
  return log.some((line) => (typeof pattern === 'string' ? line.includes(pattern) : pattern.test(line)));
}

/** What the pattern's group caught in the last line that matches. */
function findMatch(log: readonly string[], pattern: RegExp): string | undefined {
  for (let index = log.length - 1; index >= 0; index -= 1) {
    const match = pattern.exec(log[index] ?? '');
    if (match !== null) return match[1];
  }
  return undefined;
}

/** The program's exit code, as the agent reports it; negative where a signal ended it. */
function findExitCode({ statusReason, log }: Evidence): number | undefined {
  const text =
    /^worker execution exit code (-?\d+)/.exec(statusReason)?.[1] ??
    findMatch(log, /^Process failed, exit code (-?\d+)/);
  return text === undefined ? undefined : Number(text);
}

/** Python ends with 1 after an exception that nobody caught; other codes are the program's own choice. */
function isUncaught(evidence: Evidence): boolean {
  const code = findExitCode(evidence);
  return code === undefined || code === 1;
}
