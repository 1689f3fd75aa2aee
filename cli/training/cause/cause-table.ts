import { EXECUTION_STARTS, findAttemptBody } from '../attempt.ts';
import { FRONT_END_ADVICE } from '../params/front-end.ts';
import { isOutOfMemory } from './out-of-memory.ts';
import { type Ending, findTraceback, type LineRange } from './traceback.ts';
import { findFaultPlace } from './traceback-parser.ts';
import { type KnownWords, MOST_LAST_LINES, PROGRESS, PROGRESS_BAR } from './traceback-table.ts';

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
  /** Also the name of the real log that the row was written for, where there is one: `fixtures/causes/NAME.json`. */
  readonly name: string;
  /** Whose words it knows: a library with its version, or a document. */
  readonly source: string;
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
  /** The lines of the log that show it. */
  readonly lines?: LineRange | undefined;
}

const RERUN = 'To see where, run it on the same kind of machine with python -X faulthandler.';

const LARGER_MACHINE = 'Use a smaller batch or model, or a queue with a larger machine.';
const WHY_PODS_GO =
  "Look at the cluster's events: a pod goes with its node, or when it needs more than its limits.";
const POD_TEMPLATE =
  "Correct what it says in the glue's pod template or in the cluster: quotas, permissions, limits.";
const KERNEL_LOG =
  "Check the machine's kernel log (dmesg) for the out-of-memory killer. If it acted, use a smaller batch or model, or a larger machine.";
const SHARED_MEMORY =
  'Give the container more shared memory (docker-args: --ipc=host or --shm-size=8g), or use fewer DataLoader workers.';
const FULL_DISK =
  "The disk of the agent's machine is full: free some space there, write less, or use a queue with a larger disk.";
const UNKNOWN_HOST =
  "Add the git server to the known hosts of the agent's user: ssh-keyscan HOST >> ~/.ssh/known_hosts. Or use https.";
const LEFT_LOCK =
  "Git was ended there while it worked, so every task of this repository fails on that agent. On the agent's machine, delete the repository's folder in ~/.clearml/vcs-cache.";
const SUBMODULE =
  "The agent's credentials must cover the submodule too: agent.git_user and agent.git_pass in its clearml.conf, or an SSH key.";
const NO_GPU =
  'The training saw no usable GPU: use a queue whose machines have one. In a container, check the driver and docker-args: --gpus all.';

const SENT_BY_SOMEONE = 'Someone, or a program on the machine, ended it.';

const SIGINT = 2;
const SIGKILL = 9;
const SIGTERM = 15;

/** The agent's, before it sets up the task. */
const SETUP_STARTS = /^Executing task id \[[0-9a-f]{32}\]:/;

/** What helps, by the words of an exception or of what the agent ran. */
const ADVICE: ReadonlyArray<KnownWords & { readonly advice: string }> = [
  {
    source: 'torch 2.11 (DataLoader.cpp, MapAllocator.cpp), NCCL 2.27 (shmutils.cc)',
    pattern:
      /\bshared memory limit\b|insufficient shared memory|out of shared memory|shared memory segment \/dev\/shm|<\/torch_\d|\/dev\/shm\b|killed by signal: Bus error/,
    advice: SHARED_MEMORY,
  },
  {
    source: 'errno 28 and 122; datasets 4, SQLite 3, torch 2.11 (inline_container.cc)',
    pattern:
      /\bno space left on device\b|\bdisk quota exceeded\b|\bnot enough disk space\b|\bdisk is full\b|\bPytorchStreamWriter failed writing file\b/i,
    advice: FULL_DISK,
  },
  {
    source: 'CUDA 13, torch 2.11, JAX 0.11, Lightning 2.5, XGBoost 3',
    pattern:
      /\bNo (?:CUDA|HIP|XPU) GPUs are available\b|\bFound no NVIDIA driver\b|\bnot compiled with CUDA enabled\b|\bdriver version is insufficient\b|\bno CUDA-capable device\b|\btorch\.cuda\.is_available\(\) is False\b|\binvalid device ordinal\b|\bno kernel image is available\b|\bNo supported gpu backend found\b|\bUnable to initialize backend 'cuda'|\bNo visible GPU is found\b/,
    advice: NO_GPU,
  },
  {
    source: 'CPython 3.11 to 3.14, concurrent.futures; joblib 1.4, loky; ray 2.50; torch 2.11',
    pattern:
      /\b(?:BrokenProcessPool|TerminatedWorkerError|WorkerCrashedError)\b|\bDataLoader worker \(pid\(s\) [\d, ]+\) exited unexpectedly/,
    advice: `A process died without a word, which often means that memory was short. ${KERNEL_LOG}`,
  },
  {
    source: 'CUDA 13, driver types (cudaErrorAssert)',
    pattern: /\bdevice-side assert triggered\b/,
    advice:
      'Usually an index or a label is out of range. CUDA_LAUNCH_BLOCKING=1, or a run without GPU, shows the line.',
  },
  {
    source:
      'CPython 3.14, argparse.py; jsonargparse 4.53, _namespace.py; clearml 2.1.12, args.py and jsonargs_bind.py',
    pattern: /'Namespace' object has no attribute '|\bKey "[^"]+" not found in namespace\b/,
    advice: `Usually an argument was renamed or removed, and the code still reads it. ${FRONT_END_ADVICE.subparsers} ${FRONT_END_ADVICE.jsonargparse}`,
  },
  {
    source: 'CPython 3.11 to 3.14',
    pattern: /^ModuleNotFoundError\b/,
    advice: 'Add the package to requirements.txt.',
  },
  { source: 'CPython 3.11 to 3.14, signal', pattern: /^KeyboardInterrupt\b/, advice: SENT_BY_SOMEONE },
];

/** What helps where a front end refuses its arguments. An agent passes none but those of the entry point. */
const ARGUMENT_ADVICE: ReadonlyArray<KnownWords & { readonly advice: string }> = [
  {
    source: 'click 8.5, core.py; typer 0.29; clearml 2.1.12, click_bind.py',
    pattern: /\bMissing command\b/,
    advice:
      'Name the command in the entry point: --entry-point "train.py COMMAND". Or, with click, as a param: --param COMMAND:click.Command=True.',
  },
  {
    source: 'CPython 3.14, argparse.py',
    pattern: /\barguments are required: /,
    advice:
      'Give each as a param (--param NAME=VALUE), and the command of a parser with commands in the entry point: --entry-point "train.py COMMAND".',
  },
];

/** A frame of click itself. */
const CLICK_FRAME = /^\s*File "[^"]*[\\/]click[\\/]core\.py", line \d+/;

/** Lines that only stand in a log if a process was killed. */
const KILLED_LINES: readonly KnownWords[] = [
  {
    source: 'Linux 6, mm/oom_kill.c',
    pattern:
      /\b[Oo]ut of memory: Kill(?:ed)? process \d|\bKilled process \d+ \(.{1,100}\) total-vm:|\boom-kill:constraint=/,
  },
  { source: 'bash 5, jobs.c', pattern: /: line \d+: +\d+ Killed\b/ },
  { source: 'DeepSpeed 0.18, launcher/launch.py', pattern: /\bexits with return code = (?:-9|137|247)\b/ },
  { source: 'torch 2.11, elastic/multiprocessing/api.py', pattern: /\bfailed \(exitcode: -9\) local_rank\b/ },
  {
    source: 'lightning 2.5, fabric/strategies/launchers/subprocess_script.py',
    pattern: /\bChild process with PID \d+ terminated with code -9\b/,
  },
  { source: 'Open MPI 4 and 5', pattern: /\bexited on signal 9 \(Killed\)/ },
  {
    source: 'Slurm 24, srun and slurmstepd',
    pattern: /^srun: error: \S+: tasks? [\d,-]+: (?:Out Of Memory|Killed)|\bDetected \d+ oom[-_ ]kill event/i,
  },
  { source: 'ray 2.50, the raylet', pattern: /\bkilled due to memory pressure \(OOM\)/ },
];

/** libstdc++, vterminate.cc; the next line may say what(). */
const TERMINATE = /^terminate called after throwing an instance of '([^']{1,300})'/;

/** What native libraries print right before they end the process for lack of memory. */
const NATIVE_MEMORY_ERRORS: readonly KnownWords[] = [
  { source: 'libstdc++', pattern: TERMINATE },
  { source: 'Rust 1.90, library/std/src/alloc.rs', pattern: /^memory allocation of \d+ bytes failed/ },
  { source: 'GCC 15, libgomp/alloc.c', pattern: /^libgomp: Out of memory allocating \d+ bytes/ },
  { source: 'bitsandbytes 0.48, csrc', pattern: /^Error out of memory at line \d+ in file / },
  {
    source: 'CUDA samples, helper_cuda.h',
    pattern: /^CUDA error at .{1,300} code=2\(cudaErrorMemoryAllocation\)/,
  },
  {
    source: 'OpenJDK 21',
    pattern:
      /^Exception in thread "[^"]{1,100}" java\.lang\.OutOfMemoryError|^# There is insufficient memory for the Java Runtime/,
  },
  { source: 'bash 5', pattern: /\bfork: Cannot allocate memory$/ },
  {
    source: 'glog and Abseil, in TensorFlow 2.20 and JAX 0.11: fatal',
    pattern:
      /^(?:F\d{4}|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: F) .{0,300}(?:RESOURCE_EXHAUSTED|[Oo]ut of memory)/,
  },
];

/** lightning 2.5, fabric/strategies/launchers/subprocess_script.py: it then kills its own process. */
const LIGHTNING_ENDS = /\bForcefully terminating all other processes to avoid zombies\b/;
/** torch 2.11, csrc/DataLoader.cpp */
const BUS_ERROR = /(Unexpected bus error encountered in worker\. .{0,200})/;
/** hydra 1.3, _internal/utils.py */
const HYDRA_ERROR = 'Error executing job with overrides';
const HYDRA_HINT = 'Set the environment variable HYDRA_FULL_ERROR=1';

/** Lines after the last one of a program. */
const CLOSING_LINES: readonly KnownWords[] = [
  {
    source: 'clearml-agent 3.0.3',
    pattern: /^Process (?:failed|completed|aborted|terminated)\b|^User aborted: /,
  },
  { source: 'clearml 2.1.12', pattern: /^ClearML |^\d{4}-\d\d-\d\d [\d:,]+ - clearml\b/ },
  { source: 'CPython 3.14, resource_tracker.py', pattern: /\bresource_tracker\b/ },
  { source: 'hydra 1.3', pattern: /^Set the environment variable HYDRA_FULL_ERROR=1/ },
  { source: 'absl 2.3, app.py', pattern: /^Pass --helpshort or --helpfull to see help on flags/ },
  { source: 'wandb 0.22', pattern: /^wandb: / },
];

/** Signals of a crash by their number on Linux (signal(7)), and what usually sends them. */
const CRASH_SIGNALS: Readonly<Record<number, { readonly name: string; readonly advice: string }>> = {
  4: { name: 'SIGILL', advice: 'Usually a native library was built for another processor.' },
  6: { name: 'SIGABRT', advice: 'Usually a native library called abort().' },
  7: { name: 'SIGBUS', advice: 'In a container the usual cause is too little shared memory (--shm-size).' },
  8: { name: 'SIGFPE', advice: 'Usually a native library divided by zero.' },
  11: { name: 'SIGSEGV, segmentation fault', advice: 'Usually a native library causes this.' },
  15: { name: 'SIGTERM', advice: SENT_BY_SOMEONE },
};

/** Further signals that end a program, none of them a crash. */
const OTHER_SIGNALS: Readonly<Record<number, string>> = {
  1: 'SIGHUP',
  2: 'SIGINT',
  10: 'SIGUSR1',
  12: 'SIGUSR2',
  13: 'SIGPIPE',
  14: 'SIGALRM',
  15: 'SIGTERM',
  24: 'SIGXCPU',
  25: 'SIGXFSZ',
};

/**
 * The ways in which a task fails. The first row that recognises the failure wins, so the more certain ones come first.
 *
 * To add one: let a real agent fail that way (`cli/dev/record-causes.ts` writes `fixtures/causes/NAME.json`), add a row
 * here, and the expected cause to `EXPECTED` in `cause.test.ts`.
 */
export const CAUSE_TABLE: readonly CauseRow[] = [
  {
    // The pod's own reason follows.
    name: 'kubernetes-image',
    source:
      'clearml-agent 3.0.3, glue/pending_pods_daemon.py: the reasons of Kubernetes 1.34 (images/types.go)',
    kind: 'setup',
    recognise({ statusReason, statusMessage }) {
      const [, said] = /^K8S glue\b[^:]*: *(.+)/s.exec(statusReason) ?? [];
      if (said === undefined) return undefined;
      const more = /^(?:Changed by .*)?$/.test(statusMessage) ? '' : `; ${statusMessage}`;
      const message = `Kubernetes could not run the pod: ${said}${more}`;
      if (/\bOOMKilled\b/.test(message)) return { message, kind: 'out-of-memory', advice: LARGER_MACHINE };
      const isLost = /\b(?:Evicted|Preempt\w*|NodeLost|NodeShutdown)\b/.test(message);
      if (isLost) return { message, kind: 'worker-lost', advice: WHY_PODS_GO };
      // The glue's settings say which reasons it takes for a failure.
      return /image|registry|pull/i.test(said) ? message : { message, advice: POD_TEMPLATE };
    },
    advice:
      "Check docker-image and its registry: the cluster's nodes must reach it and may need an image pull secret.",
  },
  {
    // Only the console has the words.
    name: 'kubernetes-refused',
    source: 'clearml-agent 3.0.3, glue/k8s.py (_set_task_failed_while_applying)',
    kind: 'setup',
    recognise({ log }) {
      if (has(log, EXECUTION_STARTS)) return undefined;
      const said = findMatch(log, /^(?:Running kubectl encountered an error: )+(.+)/);
      return said && `Kubernetes refused the pod: ${said}`;
    },
    advice: POD_TEMPLATE,
  },
  {
    name: 'kubernetes-pod-deleted',
    source: 'clearml-agent 3.0.3, glue/k8s.py (_cleanup_old_pods)',
    kind: 'worker-lost',
    recognise: ({ statusReason, statusMessage }) =>
      [statusReason, statusMessage].find((words) => /^(?:pod|job) deleted\b/i.test(words)),
    advice: WHY_PODS_GO,
  },
  {
    name: 'missing-commit',
    source: 'git 2.51, clearml-agent 3.0.3',
    kind: 'setup',
    recognise(evidence) {
      const commit = findMatch(readSetup(evidence), /fatal: reference is not a tree: (\S+)/);
      return commit && `the agent did not find commit ${commit} in the repository`;
    },
    advice: 'Push the commit, then launch again. A force push removes commits from a branch.',
  },
  {
    name: 'clone-failed',
    source: 'git 2.51, OpenSSH 10, clearml-agent 3.0.3',
    kind: 'setup',
    recognise(evidence) {
      const log = readSetup(evidence);
      if (!has(log, /clearml_agent: ERROR: Failed cloning repository|Repository cloning failed:/))
        return undefined;
      const submodule = findMatch(log, /^fatal: clone of '([^']+)' into submodule path /);
      const what = submodule === undefined ? 'the repository' : `the submodule ${submodule}`;
      const reason = findGitReason(log);
      const message = addReason(`the agent could not clone ${what}`, reason);
      if (reason !== undefined && /^Host key verification failed/.test(reason))
        return { message, advice: UNKNOWN_HOST };
      // The agent's copy of the repository, and each copy of that, keeps the lock of a git that was killed.
      if (reason !== undefined && /\.lock'?: File exists/.test(reason)) return { message, advice: LEFT_LOCK };
      return submodule === undefined ? message : { message, advice: SUBMODULE };
    },
    advice:
      "Check that the agent's machine can reach the repository and has credentials for it: agent.git_user and agent.git_pass in its clearml.conf, or an SSH key.",
  },
  {
    name: 'missing-requirement',
    source: 'pip 25, clearml-agent 3.0.3',
    kind: 'setup',
    recognise(evidence) {
      const log = readSetup(evidence);
      if (!has(log, /Could not install task requirements|installing pip requirements failed/))
        return undefined;
      const missing = findMatch(log, /ERROR: No matching distribution found for (\S+)/);
      // What follows a conflict says only where to read more.
      const said = findMatch(log, /^\s*ERROR: (?!ResolutionImpossible: for help)(.+)/);
      const reason = missing === undefined ? said : `no package matches ${missing}`;
      const message = addReason('the agent could not install the requirements', reason);
      const advice = adviseFor(message);
      return advice === undefined ? message : { message, advice };
    },
    advice:
      "Correct requirements.txt. For a package on a private index, set agent.package_manager.extra_index_url in the agent's clearml.conf.",
  },
  {
    name: 'missing-entry-point',
    source: 'CPython 3.14, Modules/main.c, runpy.py',
    kind: 'setup',
    recognise(evidence) {
      // A program that the training starts may be missing too. Python itself exits with 2.
      const module = findMissingModule(evidence);
      if (module !== undefined) {
        return {
          message: `the module ${module} is neither in the repository nor installed`,
          advice: 'Correct entry-point or working-dir, or add its package to requirements.txt.',
        };
      }
      if (findExitCode(evidence) !== 2) return undefined;
      const path = findMatch(evidence.log, /can't open file '([^']+)': \[Errno 2\]/);
      return (
        path && `the program ${path.replace(/^.*\/task_repository\/[^/]+\//, '')} is not in the repository`
      );
    },
    advice: 'Correct entry-point or working-dir. The entry point is relative to the working directory.',
  },
  {
    name: 'missing-working-dir',
    source: 'CPython 3.14, subprocess; clearml-agent 3.0.3',
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
    source: 'git 2.51, clearml-agent 3.0.3',
    kind: 'setup',
    recognise(evidence) {
      const log = readSetup(evidence);
      if (!has(log, 'Failed applying git diff')) return undefined;
      const reason = findMatch(log, /error: (patch failed: .+?)(?:\\n|$)/);
      return addReason('the agent could not apply the uncommitted changes', reason);
    },
    advice: 'Commit and push the changes instead of sending them with --diff.',
  },
  {
    name: 'docker-failed',
    source: 'Docker 28, clearml-agent 3.0.3',
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
    source: 'the table in out-of-memory.ts',
    kind: 'out-of-memory',
    recognise(evidence) {
      const ending = findUncaught(evidence);
      return ending !== undefined && isOutOfMemory(ending.text) ? describeEnding(ending) : undefined;
    },
    advice: LARGER_MACHINE,
  },
  {
    name: 'killed-process',
    source: 'traceback-table.ts; torch 2.11, csrc/DataLoader.cpp',
    kind: 'out-of-memory',
    recognise(evidence) {
      const ending = findUncaught(evidence);
      if (ending?.child?.exitCode !== -SIGKILL) return undefined;
      const isTold = /\b(?:SIGKILL|Killed)\b/.test(ending.exception);
      const message =
        ending.child.rank === undefined
          ? `${ending.exception}${isTold ? '' : ' (SIGKILL, often for lack of memory)'}`
          : `rank ${ending.child.rank} of the training was killed (SIGKILL), often for lack of memory`;
      return { ...describeEnding(ending), message };
    },
    advice: KERNEL_LOG,
  },
  {
    name: 'killed-by-name',
    source: 'the table KILLED_LINES',
    kind: 'out-of-memory',
    recognise(evidence) {
      const { lines, first } = readTraining(evidence);
      if (findExitCode(evidence) === undefined && !isPodKilled(evidence)) return undefined;
      const after = (findUncaught(evidence)?.lines.last ?? -1) - first;
      const at = lines.findLastIndex((text) => KILLED_LINES.some(({ pattern }) => pattern.test(text)));
      // A training may do without a process that was killed.
      const goesOn =
        lines.length - at > MOST_LAST_LINES ||
        lines.slice(at + 1).filter((text) => PROGRESS.test(text)).length > 1;
      const line = at > after && !goesOn ? lines[at] : undefined;
      if (line !== undefined)
        return {
          message: `a process of the training was killed, often for lack of memory: ${line.trim()}`,
          lines: { first: first + at, last: first + at },
        };
      return isPodKilled(evidence) ? 'Kubernetes killed the pod for lack of memory (OOMKilled)' : undefined;
    },
    advice: KERNEL_LOG,
  },
  {
    name: 'killed',
    source: 'signal(7); clearml-agent 3.0.3, worker.py',
    kind: 'out-of-memory',
    recognise: (evidence) =>
      findSignal(evidence) === SIGKILL && !has(evidence.log, LIGHTNING_ENDS)
        ? 'the training was killed (SIGKILL), often for lack of memory'
        : undefined,
    advice: KERNEL_LOG,
  },
  {
    name: 'native-memory-error',
    source: 'the table NATIVE_MEMORY_ERRORS',
    kind: 'out-of-memory',
    recognise(evidence) {
      if (findExitCode(evidence) === undefined || findUncaught(evidence) !== undefined) return undefined;
      const { lines, first } = readTraining(evidence);
      const at = lines.findLastIndex((line) =>
        NATIVE_MEMORY_ERRORS.some(({ pattern }) => pattern.test(line)),
      );
      const message = lines[at];
      const said = findTermination(evidence);
      if (message === undefined || said?.lines.first !== first + at)
        return message && { message, lines: { first: first + at, last: first + at } };
      const isMemory = /bad_alloc|out_?of_?memory/i.test(said.error) || isOutOfMemory(said.what);
      return isMemory ? { message: said.message, lines: said.lines } : undefined;
    },
    advice: LARGER_MACHINE,
  },
  {
    name: 'argument-error',
    source: 'CPython 3.14, argparse.py; click 8, exceptions.py; typer 0.16; jsonargparse 4; fire 0.7',
    kind: 'training',
    // They exit with 2, and print the usage first.
    recognise(evidence) {
      const isRefused = findExitCode(evidence) === 2 || findUncaught(evidence)?.child?.exitCode === 2;
      const { lines } = readTraining(evidence);
      if (!isRefused || !has(lines, /^usage: /i)) return undefined;
      // typer and rich-click put it into a box.
      const boxed = /^[\u2502|] +(\S.*?) +[\u2502|]$/;
      const message = findMatch(lines, /^((?:\S+: )?error: .+)/i) ?? findMatch(lines, boxed);
      if (message === undefined) return undefined;
      const advice = ARGUMENT_ADVICE.find(({ pattern }) => pattern.test(message))?.advice;
      return { message, ...(advice === undefined ? {} : { advice }) };
    },
    advice: 'Correct params (or --param): the program does not take this argument.',
  },
  {
    name: 'crashed-process',
    source: 'traceback-table.ts; signal(7)',
    kind: 'training',
    recognise(evidence) {
      const { child, exception, place } = findUncaught(evidence) ?? {};
      if (child === undefined || exception === undefined) return undefined;
      const signal = CRASH_SIGNALS[-child.exitCode];
      // Its own words say more, where they say it.
      if (signal === undefined && child.rank === undefined) return undefined;
      const how =
        signal === undefined ? `ended with exit code ${child.exitCode}` : `crashed (${signal.name})`;
      const said = signal === undefined ? undefined : findTermination(evidence);
      const message =
        child.rank === undefined
          ? exception
          : addReason(`rank ${child.rank} of the training ${how}`, said?.message);
      const advice = signal === undefined ? {} : { advice: `${signal.advice} ${RERUN}` };
      return { message, ...place, ...advice, lines: said?.lines };
    },
    advice: 'The log may show above why that process ended.',
  },
  {
    name: 'click-without-defaults',
    source: 'clearml 2.1.12, click_bind.py; click 8.5, core.py',
    kind: 'training',
    recognise(evidence) {
      const ending = findUncaught(evidence);
      if (ending === undefined || !/\bNone(?:Type)?\b/.test(ending.text)) return undefined;
      const shown = evidence.log.slice(ending.lines.first, ending.lines.last + 1);
      return has(shown, CLICK_FRAME) ? describeEnding(ending) : undefined;
    },
    advice: FRONT_END_ADVICE.click,
  },
  {
    name: 'exception',
    source: 'CPython 3.11 to 3.14, traceback.py; traceback-table.ts; the table ADVICE',
    kind: 'training',
    recognise(evidence) {
      const ending = findUncaught(evidence);
      if (ending === undefined) return undefined;
      const { lines } = readTraining(evidence);
      // The process that died of it has said so itself; its exception has not.
      const isBusError = ending.wrapper?.includes('DataLoader worker') === true && has(lines, BUS_ERROR);
      const found = describeEnding(ending);
      return isBusError
        ? { ...found, message: `${found.message} (${findMatch(lines, BUS_ERROR)})`, advice: SHARED_MEMORY }
        : found;
    },
    advice: 'Correct the training and push. The push trains the new commit.',
  },
  {
    name: 'crash',
    source: 'signal(7); CPython 3.11 to 3.14, faulthandler.c',
    kind: 'training',
    recognise(evidence) {
      const number = findSignal(evidence) ?? 0;
      const signal = CRASH_SIGNALS[number];
      if (signal === undefined || number === SIGTERM) return undefined;
      const { lines } = readTraining(evidence);
      const stack = lines.slice(lines.findLastIndex((line) => line.startsWith('Fatal Python error: ')) + 1);
      const place = stack.length === lines.length ? undefined : findFaultPlace(stack, evidence.workingDir);
      const said = findTermination(evidence);
      return {
        message: addReason(`the training crashed (${signal.name})`, said?.message),
        ...place,
        lines: said?.lines,
        advice: `${signal.advice}${place === undefined ? ` ${RERUN}` : ''}`,
      };
    },
    advice: RERUN,
  },
  {
    name: 'signal',
    source: 'signal(7); clearml-agent 3.0.3, worker.py',
    kind: 'training',
    recognise(evidence) {
      const code = findExitCode(evidence) ?? 0;
      const name = code > 192 ? undefined : OTHER_SIGNALS[findSignal(evidence) ?? 0];
      return name && `the training was ended by a signal (${name})`;
    },
    advice: SENT_BY_SOMEONE,
  },
  {
    name: 'exit-code',
    source: 'clearml-agent 3.0.3, worker.py; CPython 3.14: sys.exit of a text prints it and exits with 1',
    kind: 'training',
    recognise(evidence) {
      const { log } = evidence;
      const code = findExitCode(evidence);
      if (code === undefined) return undefined;
      // Only a long log lacks its beginning, so the training had started.
      if (!evidence.isLogComplete || log.length === 0 || has(log, EXECUTION_STARTS)) {
        const lastWords = code === 1 ? describeLastWords(readTraining(evidence).lines) : '';
        return `the training ended with exit code ${code}${lastWords}`;
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

/**
 * Why git failed: its first `fatal:` line, or what it or ssh said before, where that line is the advice that follows every
 * failure of a remote (git 2.51, connect.c).
 */
function findGitReason(log: readonly string[]): string | undefined {
  const at = log.findIndex((line) => line.startsWith('fatal: '));
  const fatal = log[at];
  if (fatal === undefined || !/^fatal: Could not read from remote repository/.test(fatal)) return fatal;
  const before = log.slice(0, at).findLast((line) => line.trim() !== '');
  return before === undefined || /^(?:cloning|Cloning into|pulling)\b/.test(before) ? fatal : before.trim();
}

function adviseFor(text: string): string | undefined {
  return ADVICE.find(({ pattern }) => pattern.test(text))?.advice;
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

/** The signal that ended the program: Python gives -n for signal n, a shell 128 + n; a launcher in Python that exits with its child's -n, 256 - n. */
function findSignal(evidence: Evidence): number | undefined {
  const code = findExitCode(evidence) ?? 0;
  if (code < 0) return -code;
  return code > 192 ? 256 - code : code > 128 ? code - 128 : undefined;
}

/**
 * The exception that ended the program. Python then exits with 1, or is ended by a library that aborts after it; any other
 * code the program chose.
 */
function findUncaught(evidence: Evidence): Ending | undefined {
  const known = endings.get(evidence);
  if (known !== undefined) return known.ending;
  const { lines, first } = readTraining(evidence);
  const signal = findSignal(evidence) ?? 0;
  const isPossible =
    (findExitCode(evidence) ?? 1) === 1 ||
    signal === SIGINT ||
    (signal in CRASH_SIGNALS && signal !== SIGTERM);
  const found =
    isPossible || has(lines, LIGHTNING_ENDS) ? findTraceback(lines, evidence.workingDir) : undefined;
  const ending = found && {
    ...found,
    lines: { first: found.lines.first + first, last: found.lines.last + first },
  };
  endings.set(evidence, { ending });
  return ending;
}

/** Several rows ask for it. */
const endings = new WeakMap<Evidence, { readonly ending: Ending | undefined }>();

function describeEnding({ exception, text, place, lines }: Ending): Finding {
  const advice = adviseFor(text);
  return { message: exception, ...place, lines, ...(advice === undefined ? {} : { advice }) };
}

/** What the program printed, and where it begins in the log: a task that was enqueued again has the logs of all its runs. */
function readTraining({ log }: Evidence): { readonly lines: readonly string[]; readonly first: number } {
  const run = findAttemptBody(log);
  const start = log.slice(run).findIndex((line) => line.includes(EXECUTION_STARTS)) + 1;
  // Set-up failed: a traceback in it is the agent's own.
  if (start === 0 && log.slice(run).some((line) => SETUP_STARTS.test(line)))
    return { lines: [], first: log.length };
  return { lines: log.slice(run + start), first: run + start };
}

/** What the agent printed before it started the program. */
function readSetup({ log }: Evidence): readonly string[] {
  const run = log.slice(findAttemptBody(log));
  const start = run.findIndex((line) => line.includes(EXECUTION_STARTS));
  return start < 0 ? run : run.slice(0, start);
}

/** What `python -m` was to run. It says so first, so nothing that the training started itself can be meant. */
function findMissingModule(evidence: Evidence): string | undefined {
  if (findExitCode(evidence) !== 1) return undefined;
  const first = readTraining(evidence).lines.find((line) => line.trim() !== '') ?? '';
  const [, name, other] =
    /^\S*python[\d.]*(?:\.exe)?: (?:No module named ([\w.]+)|Error while finding module specification for '([^']+)')/.exec(
      first,
    ) ?? [];
  return name ?? other;
}

/** The exception of C++ that ended a process. */
function findTermination(evidence: Evidence) {
  const { lines, first } = readTraining(evidence);
  const at = lines.findLastIndex((line) => TERMINATE.test(line));
  const error = TERMINATE.exec(lines[at] ?? '')?.[1];
  if (error === undefined) return undefined;
  const what = /^\s*what\(\):\s*(.*)/.exec(lines[at + 1] ?? '')?.[1] ?? '';
  return {
    error,
    what,
    message: what === '' || what === error ? error : `${error}: ${what}`,
    lines: { first: first + at, last: first + at + 1 },
  };
}

/** What the program itself printed last. */
function describeLastWords(lines: readonly string[]): string {
  const isOwn = (line: string) =>
    /[\p{L}\p{N}]/u.test(line) &&
    !PROGRESS_BAR.test(line) &&
    !CLOSING_LINES.some(({ pattern }) => pattern.test(line));
  const last = lines.findLast(isOwn);
  // Of its own errors hydra prints the message alone.
  const end = lines.findLastIndex((line) => line.startsWith(HYDRA_HINT));
  const before = lines.slice(0, Math.max(0, end));
  const begin = before.findLastIndex((line) => line.startsWith(HYDRA_ERROR));
  const paragraph = before.slice(0, before.findLastIndex(isOwn)).findLastIndex((line) => line.trim() === '');
  if (end >= 0)
    return `: ${lines
      .slice((begin < 0 ? paragraph : begin) + 1, end)
      .filter(isOwn)
      .slice(0, 3)
      .join('; ')}`;
  return last === undefined ? '' : `; its last line: ${last.trim()}`;
}

function isPodKilled({
  statusReason,
  statusMessage,
}: Pick<Evidence, 'statusReason' | 'statusMessage'>): boolean {
  return /\bOOMKilled\b/.test(`${statusReason} ${statusMessage}`);
}
