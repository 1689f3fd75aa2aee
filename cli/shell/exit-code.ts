/** The exit codes of all three programs, and what each tells. Fixed by the public contract. */
export const EXIT_CODES = {
  done: 0,
  bug: 1,
  usage: 2,
  failed: 3,
  stopped: 4,
  regression: 5,
  undecided: 6,
  neverStarted: 7,
  refused: 8,
  unavailable: 9,
  notFound: 10,
  timeout: 124,
  interrupted: 130,
  terminated: 143,
} as const;

export type ExitCode = (typeof EXIT_CODES)[keyof typeof EXIT_CODES];

/** One line an exit code, as `--help` and the README show them. */
export const EXIT_CODE_MEANINGS: ReadonlyArray<readonly [ExitCode, string]> = [
  [0, 'done; for check-task-running: every task is completed or published'],
  [1, 'a bug of ours (the stack is shown)'],
  [2, 'usage or configuration, a missing variable included'],
  [3, 'the task failed, or the server stopped it because its worker was lost'],
  [4, 'the task was stopped, aborted, closed, dequeued or reset by someone'],
  [5, 'the gate says no: a metric regressed'],
  [6, 'the gate cannot say'],
  [7, 'never started: queue time-out, or no worker serves the queue'],
  [8, 'ClearML or GitHub refused the credentials or permissions'],
  [9, 'a service did not answer, or answered nonsense, after retries'],
  [10, 'no such task, queue, project, pull request or baseline task'],
  [124, 'the run time-out passed'],
  [130, 'interrupted by SIGINT'],
  [143, 'interrupted by SIGTERM'],
];
