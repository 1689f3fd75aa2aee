/** Words of a console, and where they come from: a library with its version, or a document. */
export interface KnownWords {
  readonly source: string;
  readonly pattern: RegExp;
}

/** What launchers put before each line that a process prints. */
export const LINE_PREFIXES: ReadonlyArray<KnownWords & { readonly isTime?: boolean }> = [
  {
    source:
      'docker logs --timestamps; kubectl logs --timestamps; logging of CPython 3.14: each line has another one',
    pattern: /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)? /,
    isTime: true,
  },
  {
    source: 'torch 2.11, distributed_c10d.py _distributed_excepthook; elastic/multiprocessing/tail_log.py',
    pattern: /^\[(?:rank|default|trainer|worker)\d+\]: ?/,
  },
  {
    source: 'lightning 2.5, fabric/utilities/rank_zero.py rank_prefixed_message',
    pattern: /^\[rank: \d+\] /,
  },
  {
    source: 'Open MPI 4 and 5, mpirun --tag-output; horovod 0.28',
    pattern: /^\[[^\]\s]{1,80}\]<std(?:err|out)>:? ?/,
  },
  {
    source: 'ray 2.4, _private/worker.py print_worker_logs; vLLM 0.10',
    pattern: /^\((?:[^()=]{1,80} )?pid=\d+[^()]{0,80}\) ?/,
  },
  {
    source: 'vLLM 0.10, logging_utils/formatter.py NewLineFormatter',
    pattern: /^(?:INFO|WARNING|ERROR|CRITICAL) \d\d-\d\d \d\d:\d\d:\d\d (?:\[[^\]\s]{1,80}\] )?/,
  },
];

/** Whose exception a traceback shows. An `aside` is reported by the interpreter or a library, and ends nothing. */
export type Role = 'main' | 'child' | 'thread' | 'aside';

/** Lines that introduce a traceback, and what they say of it. */
export const INTRODUCTIONS: ReadonlyArray<KnownWords & { readonly role: Exclude<Role, 'main'> }> = [
  {
    source: 'CPython 3.8 to 3.14, errors.c: of __del__, atexit, callbacks',
    pattern: /^Exception ignored (?:in|while|on)\b/,
    role: 'aside',
  },
  {
    source: 'CPython 3.8 to 3.14: sys.rst, atexit',
    pattern: /^Error in (?:atexit\._run_exitfuncs|sys\.\w+):/,
    role: 'aside',
  },
  {
    source: 'CPython 3.11 to 3.14, asyncio',
    pattern:
      /(?:Task|Future) exception was never retrieved|^(?:future|task|handle|transport): <|\bException in callback |unhandled exception during asyncio\.run\(\) shutdown/,
    role: 'aside',
  },
  {
    source: 'CPython 3.11 to 3.14, concurrent/futures/_base.py',
    pattern: /\bexception calling callback for <Future/,
    role: 'aside',
  },
  { source: 'CPython 3.11 to 3.14, logging; loguru 0.7', pattern: /^--- Logging error\b/, role: 'aside' },
  {
    source: 'CPython 3.11 to 3.14, threading.py; wandb 0.18',
    pattern: /^(?:Exception in thread |Thread \w+:$)/,
    role: 'thread',
  },
  {
    source: 'CPython 3.11 to 3.14, multiprocessing',
    pattern: /^Process [^:]{1,200}:$/,
    role: 'child',
  },
  {
    source: 'CPython 3.11 to 3.14, concurrent.futures; multiprocessing/pool.py',
    pattern: /\bException in initializer:$/,
    role: 'child',
  },
];

/** What joins an exception to the one before it (CPython 3.11 to 3.14, traceback.py). */
export const CAUSE_LINK = /^\s*The above exception was the direct cause of the following exception:\s*$/;
export const CONTEXT_LINK = /^\s*During handling of the above exception, another exception occurred:\s*$/;

/** A traceback that travelled from another process inside the exception of this name. */
export const REMOTE_TRACEBACK: KnownWords = {
  source: 'CPython 3.11 to 3.14, multiprocessing/pool.py, concurrent.futures; joblib 1.4; multiprocess 0.70',
  pattern: /RemoteTraceback\b/,
};

/** Exceptions that only say that something else failed: a child process, or what they were raised from. */
export const WRAPPERS: ReadonlyArray<KnownWords & { readonly isParallel?: boolean }> = [
  {
    source: 'torch 2.11, distributed/elastic/multiprocessing/errors; accelerate 1.10 launches with it',
    pattern: /\bChildFailedError\b/,
    isParallel: true,
  },
  {
    source: 'torch 2.11, multiprocessing/spawn.py',
    pattern: /\bProcess(?:Raised|Exited)Exception\b/,
    isParallel: true,
  },
  {
    source: 'CPython 3.11 to 3.14, subprocess.py: for a command that may run Python',
    pattern:
      /\bCalledProcessError: Command .*(?:python|\.py\b|\bsh\b|\.sh\b|torchrun|accelerate|deepspeed|mpirun|srun|make\b)/i,
  },
  {
    source: 'torch 2.11, utils/data/dataloader.py',
    pattern:
      /^RuntimeError: (?:DataLoader worker \(pid\(s\) [\d, ]+\)|Pin memory thread) exited unexpectedly/,
  },
  {
    source: 'CPython 3.11 to 3.14, concurrent.futures; joblib 1.4, loky',
    pattern: /\b(?:BrokenProcessPool|TerminatedWorkerError)\b/,
  },
  {
    source: 'ray 2.4 to 2.50, exceptions.py, train and tune',
    pattern: /\b(?:RayTaskError|TrainingFailedError|WorkerGroupError|TuneError)\b/,
    isParallel: true,
  },
  { source: 'hydra 1.3, errors.py', pattern: /\bInstantiationException\b/ },
  { source: 'tenacity 9, __init__.py', pattern: /\bRetryError: RetryError\[/ },
  {
    source: 'horovod 0.28, runner/gloo_run.py',
    pattern: /\bHorovod detected that one or more processes exited/,
    isParallel: true,
  },
  {
    source: 'vLLM 0.6 to 0.10, v1/engine, v1/executor',
    pattern: /\bSee (?:root cause above|stack trace for (?:the )?root cause)/,
  },
];

/** A program's own words for the failure of a process that it had started. */
export const CHILD_WORDS =
  /\b(?:worker|process|child|rank|subprocess|trial|actor|job|launcher|training|script)s?\b.{0,80}\b(?:exit(?:ed|s|code)?|ended|died|terminated|failed|crashed|killed|returned|non-?zero)\b/i;

/** Signals by their names and as strsignal(3) describes them. */
export const SIGNALS: Readonly<Record<string, number>> = {
  SIGILL: 4,
  'Illegal instruction': 4,
  SIGABRT: 6,
  Aborted: 6,
  SIGBUS: 7,
  'Bus error': 7,
  SIGFPE: 8,
  'Floating point exception': 8,
  SIGKILL: 9,
  Killed: 9,
  SIGSEGV: 11,
  'Segmentation fault': 11,
  SIGTERM: 15,
  Terminated: 15,
};

/** How a launcher says that a process ended: by a signal's name or an exit code. */
export const CHILD_ENDS: readonly KnownWords[] = [
  { source: 'torch 2.11, multiprocessing/spawn.py', pattern: /\bterminated with signal (SIG[A-Z]+)/ },
  { source: 'CPython 3.11 to 3.14, subprocess.py', pattern: /\bdied with <Signals\.(SIG[A-Z]+)/ },
  {
    source: 'torch 2.11, csrc/DataLoader.cpp',
    pattern: /\bkilled by signal: ((?:Illegal|Bus|Segmentation|Floating point)? ?\w+)/,
  },
  { source: 'joblib 1.4, loky', pattern: /\b(SIG[A-Z]+)\(-\d+\)/ },
  {
    source: 'torch 2.11, spawn.py; CPython 3.11 to 3.14, subprocess.py; horovod 0.28',
    pattern: /\b(?:exit|return)(?:ed)? ?(?:status|code|with(?: code)?)[\s:=]{0,3}(-?\d{1,3})\b/i,
  },
  {
    source: 'programs that say it in words of their own',
    pattern:
      /\b(?:exit(?:ed|s)?|ended|failed|terminated|died|crashed|returned)(?: with)?(?: (?:status|code))?[\s:=(]{0,3}(-?\d{1,3})\W{0,3}$/im,
  },
];

/** Raised because another process of the same training has failed. */
export const SECONDARY: KnownWords = {
  source: 'torch 2.11, c10d (NCCL, Gloo) and elastic; CPython 3.11 to 3.14; vLLM 0.10',
  pattern:
    /\b(?:DistBackendError|DistNetworkError|DistStoreError|SignalException|EngineDeadError)\b|^(?:BrokenPipeError|Connection\w*Error|EOFError|KeyboardInterrupt)\b|\bConnection (?:closed|reset) by (?:remote )?peer\b|\bncclRemoteError\b|\bWatchdog caught collective\b/,
};

/** Raised where an answer was waited for: it says nothing of the failure (torch 2.11, utils/data/dataloader.py). */
export const WAIT_ENDED = /^_?queue\.Empty\b/;

/** What follows an exception and is no part of its message. */
export const MESSAGE_ENDS: readonly KnownWords[] = [
  {
    source: 'clearml-agent 3.0.3, worker.py',
    pattern: /^Process (?:failed, exit code|completed|aborted|terminated) /,
  },
  { source: 'clearml 2.1.12', pattern: /^ClearML / },
  {
    source: 'libstdc++, vterminate.cc; glibc; bash',
    pattern: /^terminate called |core dumped\)?$|^Aborted$|^Segmentation fault/,
  },
  { source: 'CPython 3.11 to 3.14, pylifecycle.c', pattern: /^Fatal Python error: / },
];

/**
 * The words of a program that goes on: after some of them the exception before was not what ended it. One may be a note of
 * the exception (CPython 3.11, add_note).
 */
export const PROGRESS = /^(?:[^\s\w]{1,4}\s?)?(?:epoch|step|iter(?:ation)?|batch|round|trial|fold)\b/i;
export const RECOVERY =
  /^(?:[^\s\w]{1,4}\s?)?(?:retry(?:ing)?|trying again|falling back|continuing|resuming|skipping)\b/i;

/** What launchers print when they end the other processes of a training, which may have gone on until then. */
export const PARALLEL_ENDS: readonly KnownWords[] = [
  { source: 'DeepSpeed 0.18, launcher/launch.py', pattern: /\blaunch\.py:\d+:sigkill_handler\]/ },
  { source: 'torch 2.11, elastic/multiprocessing/api.py', pattern: /\bSending process \d+ closing signal\b/ },
  {
    source: 'lightning 2.5, fabric/strategies/launchers/subprocess_script.py',
    pattern: /\bForcefully terminating all other processes to avoid zombies\b/,
  },
  { source: 'Open MPI 4 and 5', pattern: /^(?:mpirun|prterun) (?:detected|noticed) that / },
  { source: 'Slurm 24, srun', pattern: /^srun: error: \S+: tasks? / },
];

/** So many lines after an exception show that it did not end its process; fewer may be what its process printed while it ended. */
export const MOST_LAST_LINES = 100;
/** The same between the exception of a child and what its parent says of it; or says in words of its own. */
export const MOST_LINES_OF_OTHERS = 40;
export const MOST_LINES_BETWEEN = 5;

/** Lines that say nothing of a program's progress, however many. */
export const AFTERMATH: readonly KnownWords[] = [
  { source: 'torch 2.11, CUDA kernels', pattern: /\bAssertion `.{1,200}` failed\.?$/ },
  { source: 'torch 2.11, c10/util/Backtrace.cpp', pattern: /^frame #\d+: / },
  {
    source: 'glog; torch 2.11, elastic and c10d; DeepSpeed 0.18',
    pattern: /^(?:\[?[WEIF]\d{4} |\[[\d:, -]{19,}\] \[(?:INFO|ERROR|WARNING)\])/,
  },
  { source: 'wandb 0.22; clearml 2.1.12', pattern: /^(?:wandb: |ClearML )/ },
];

/** A progress bar is left over when an exception ends its loop (tqdm 4.67, std.py format_meter; rich 14). */
export const PROGRESS_BAR = /\d+%\s?\||\d(?:it|s|batch)\/(?:s|it|batch)\b|[\u2501\u2588]{3}/;
