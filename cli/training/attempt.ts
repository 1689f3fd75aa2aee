/**
 * The first line that an agent, or the Kubernetes glue, writes to the console of a task that it takes (clearml-agent 3.0.3:
 * commands/worker.py, glue/k8s.py). A task that is enqueued again goes on with the same console.
 */
export const ATTEMPT_STARTS = /^task [0-9a-f]{32} pulled from ([0-9a-f]{32}) by worker /;

/** Where a console's last attempt begins; 0 where it shows no beginning. */
export function findAttemptStart(log: readonly string[]): number {
  return Math.max(
    0,
    log.findLastIndex((line) => ATTEMPT_STARTS.test(line)),
  );
}

/** Id of the queue that the console's last attempt was taken from. */
export function readSourceQueue(log: readonly string[]): string | undefined {
  return ATTEMPT_STARTS.exec(log[findAttemptStart(log)] ?? '')?.[1];
}
