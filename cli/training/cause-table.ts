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

/** What shows the cause of a failure. */
export interface Evidence {
  /** ClearML's `status_reason` and `status_message`. */
  readonly statusReason: string;
  readonly statusMessage: string;
  /** The console, or its end. */
  readonly log: readonly string[];
  /** Whether `log` is the whole console. */
  readonly isLogComplete: boolean;
  /** Folder of the repository that the program ran in. */
  readonly workingDir: string;
  /** Name or id of the queue that it waited in, as far as that is known. */
  readonly queue?: string | undefined;
  /** What Kubernetes said last of the pod that it waited for, maybe nothing. */
  readonly pod?: string | undefined;
}

/** One way to fail: how to recognise it, and what helps. */
export interface CauseRow {
  /** Also the name of the real log that the row was written for: `fixtures/causes/NAME.json`. */
  readonly name: string;
  readonly kind: CauseKind;
  /** @returns what happened, in one line; undefined if it was something else */
  readonly recognise: (evidence: Evidence) => string | Finding | undefined;
  /** What to do next. */
  readonly advice: string;
}

/** What happened, with what is more precise than the row. */
interface Finding {
  readonly message: string;
  readonly file?: string | undefined;
  readonly line?: number | undefined;
  readonly kind?: CauseKind;
  readonly advice?: string;
}

/** The agent prints it right before it runs the program. What comes before is set-up. */
export const EXECUTION_STARTS = 'Starting Task Execution:';

const RERUN = 'To see where, run it on the same kind of machine with python -X faulthandler.';

const LARGER_MACHINE = 'Use a smaller batch or model, or a queue with a larger machine.';
const WHY_PODS_GO =
  "Look at the cluster's events: a pod goes with its node, or when it needs more than its limits.";

const SIGKILL = 9;

/** Signals of a crash by their number on Linux (signal(7)), and what usually sends them. */
const CRASH_SIGNALS: Readonly<Record<number, { readonly name: string; readonly advice: string }>> = {
  4: { name: 'SIGILL', advice: 'Usually a native library was built for another processor.' },
  6: { name: 'SIGABRT', advice: 'Usually a native library called abort().' },
  7: { name: 'SIGBUS', advice: 'In a container the usual cause is too little shared memory (--shm-size).' },
  8: { name: 'SIGFPE', advice: 'Usually a native library divided by zero.' },
  11: { name: 'SIGSEGV, segmentation fault', advice: 'Usually a native library causes this.' },
  15: { name: 'SIGTERM', advice: 'Someone, or a program on the machine, ended it.' },
};

/**
 * The ways in which a task fails. The first row that recognises the failure wins, so the more certain ones come first.
 *
 * To add one: let a real agent fail that way (`cli/dev/record-causes.ts` writes `fixtures/causes/NAME.json`), add a row
 * here, and the expected cause to `EXPECTED` in `cause.test.ts`.
 */
export const CAUSE_TABLE: readonly CauseRow[] = [
  {
    // clearml_agent/glue/pending_pods_daemon.py: the pod's own reason follows.
    name: 'kubernetes-image',
    kind: 'setup',
    recognise({ statusReason, statusMessage }) {
      const [, said] = /^K8S glue\b[^:]*: *(.+)/s.exec(statusReason) ?? [];
      if (said === undefined) return undefined;
      const more = /^(?:Changed by .*)?$/.test(statusMessage) ? '' : `; ${statusMessage}`;
      const message = `Kubernetes could not run the pod: ${said}${more}`;
      if (/\bOOMKilled\b/.test(message)) return { message, kind: 'out-of-memory', advice: LARGER_MACHINE };
      const isLost = /\b(?:Evicted|Preempt\w*|NodeLost|NodeShutdown)\b/.test(message);
      return isLost ? { message, kind: 'worker-lost', advice: WHY_PODS_GO } : message;
    },
    advice:
      "Check docker-image and its registry: the cluster's nodes must reach it and may need an image pull secret.",
  },
  {
    // clearml_agent/glue/k8s.py, _set_task_failed_while_applying: only the console has the words.
    name: 'kubernetes-refused',
    kind: 'setup',
    recognise({ log }) {
      if (has(log, EXECUTION_STARTS)) return undefined;
      const said = findMatch(log, /^(?:Running kubectl encountered an error: )+(.+)/);
      return said && `Kubernetes refused the pod: ${said}`;
    },
    advice: "Correct what it says in the glue's pod template or in the cluster: quotas, permissions, limits.",
  },
  {
    // clearml_agent/glue/k8s.py, _cleanup_old_pods.
    name: 'kubernetes-pod-deleted',
    kind: 'worker-lost',
    recognise: ({ statusReason, statusMessage }) =>
      [statusReason, statusMessage].find((words) => /^(?:pod|job) deleted\b/i.test(words)),
    advice: WHY_PODS_GO,
  },
  {
    name: 'missing-commit',
    kind: 'setup',
    recognise({ log }) {
      const commit = findMatch(log, /fatal: reference is not a tree: (\S+)/);
      return commit && `the agent did not find commit ${commit} in the repository`;
    },
    advice: 'Push the commit, then launch again. A force push removes commits from a branch.',
  },
  {
    name: 'clone-failed',
    kind: 'setup',
    recognise({ log }) {
      if (!has(log, /clearml_agent: ERROR: Failed cloning repository|Repository cloning failed:/))
        return undefined;
      // The first complaint of git tells the reason. The others are general advice.
      const reason = log.find((line) => line.startsWith('fatal: '));
      return addReason('the agent could not clone the repository', reason);
    },
    advice:
      "Check that the agent's machine can reach the repository and has credentials for it: agent.git_user and agent.git_pass in its clearml.conf, or an SSH key.",
  },
  {
    name: 'missing-requirement',
    kind: 'setup',
    recognise({ log }) {
      if (!has(log, /Could not install task requirements|installing pip requirements failed/))
        return undefined;
      const missing = findMatch(log, /ERROR: No matching distribution found for (\S+)/);
      const reason =
        missing === undefined ? findMatch(log, /^\s*ERROR: (.+)/) : `no package matches ${missing}`;
      return addReason('the agent could not install the requirements', reason);
    },
    advice:
      "Correct requirements.txt. For a package on a private index, set agent.package_manager.extra_index_url in the agent's clearml.conf.",
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
    advice: 'Correct entry-point or working-dir. The entry point is relative to the working directory.',
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
    advice: 'Correct working-dir. It is relative to the root of the repository.',
  },
  {
    name: 'bad-diff',
    kind: 'setup',
    recognise({ log }) {
      if (!has(log, 'Failed applying git diff')) return undefined;
      const reason = findMatch(log, /error: (patch failed: .+?)(?:\\n|$)/);
      return addReason('the agent could not apply the uncommitted changes', reason);
    },
    advice: 'Commit and push the changes instead of sending them with --diff.',
  },
  {
    name: 'docker-failed',
    kind: 'setup',
    recognise({ log }) {
      if (has(log, EXECUTION_STARTS)) return undefined;
      const reason = findMatch(log, /^docker: (.+)/) ?? findMatch(log, /^(Unable to find image .+)/);
      return reason && `docker could not start the image: ${reason}`;
    },
    advice: "Check the spelling of docker-image, and that the agent's machine may pull it (docker login).",
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
    advice: LARGER_MACHINE,
  },
  {
    name: 'killed',
    kind: 'out-of-memory',
    recognise: (evidence) =>
      findSignal(evidence) === SIGKILL
        ? 'the training was killed (SIGKILL), often for lack of memory'
        : undefined,
    advice:
      "Check the machine's kernel log (dmesg) for the out-of-memory killer. If it acted, use a smaller batch or model, or a larger machine.",
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
    advice: 'Correct the training and push. The push trains the new commit.',
  },
  {
    name: 'argument-error',
    kind: 'training',
    // argparse exits with 2.
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
      // Only a long log lacks its beginning, so the training had started.
      if (!evidence.isLogComplete || log.length === 0 || has(log, EXECUTION_STARTS)) {
        return `the training ended with exit code ${code}`;
      }
      const reason = findMatch(log, /clearml_agent: ERROR: (.+)/) ?? `exit code ${code}`;
      return {
        kind: 'setup',
        message: `the agent could not prepare the training: ${reason}`,
        advice: 'The end of the log shows what the agent tried last.',
      };
    },
    advice: 'The program chose this code (sys.exit). The end of the log may say why.',
  },
];

function has(log: readonly string[], pattern: RegExp | string): boolean {
  return log.some((line) => (typeof pattern === 'string' ? line.includes(pattern) : pattern.test(line)));
}

/** The pattern's group in the last line that matches. */
function findMatch(log: readonly string[], pattern: RegExp): string | undefined {
  return pattern.exec(log.findLast((line) => pattern.test(line)) ?? '')?.[1];
}

function addReason(what: string, reason: string | undefined): string {
  return reason === undefined ? what : `${what}: ${reason}`;
}

/** The program's exit code, as the agent reports it. A signal's is negative. */
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

/** The exception that ended the program. Python then exits with 1; the program chose any other code. */
function findUncaught(evidence: Evidence): Traceback | undefined {
  const code = findExitCode(evidence) ?? 1;
  return code === 1 ? findTraceback(evidence.log, evidence.workingDir) : undefined;
}
