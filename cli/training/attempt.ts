/**
 * The first line that an agent, or the Kubernetes glue, writes to the console of a task that it takes (clearml-agent 3.0.3:
 * commands/worker.py, glue/k8s.py). A task that is enqueued again goes on with the same console.
 */
export const ATTEMPT_STARTS = /^task [0-9a-f]{32} pulled from ([0-9a-f]{32}) by worker /;

/** The agent prints it right before it runs the program. What comes before is set-up. */
export const EXECUTION_STARTS = 'Starting Task Execution:';

/** Shortens what an agent prints before the training. */
export interface SetUpFilter {
  /** @returns the lines to print now */
  take(lines: readonly string[]): readonly string[];
  /** Lines of a set-up that is not over: nothing follows, or so much that it is none. */
  flush(): readonly string[];
}

/** An agent's set-up has a few hundred lines. */
const MAX_HELD_LINES = 20_000;

/**
 * Makes one line of the set-up of each attempt: settings, clone, environment. Holds its lines until the training starts,
 * since they tell why one that failed did. A console without an agent is left as it is.
 */
export function createSetUpFilter(): SetUpFilter {
  let held: string[] | undefined;
  const flush = () => {
    const lines = held ?? [];
    held = undefined;
    return lines;
  };
  return {
    flush,
    take(lines) {
      const shown: string[] = [];
      for (const line of lines) {
        if (ATTEMPT_STARTS.test(line)) {
          for (const left of flush()) shown.push(left);
          held = [line];
        } else if (held === undefined) shown.push(line);
        else if (line.includes(EXECUTION_STARTS)) {
          const count = flush().length;
          shown.push(
            `… ${count} ${count === 1 ? 'line' : 'lines'} of the agent: settings, clone, environment`,
          );
        } else {
          held.push(line);
          if (held.length > MAX_HELD_LINES) for (const left of flush()) shown.push(left);
        }
      }
      return shown;
    },
  };
}

/** Where a console's last attempt begins; 0 where it shows no beginning. */
export function findAttemptStart(log: readonly string[]): number {
  return Math.max(0, findAttemptBody(log) - 1);
}

/** The same after the line that says so. */
export function findAttemptBody(log: readonly string[]): number {
  return log.findLastIndex((line) => ATTEMPT_STARTS.test(line)) + 1;
}

/** Id of the queue that the console's last attempt was taken from. */
export function readSourceQueue(log: readonly string[]): string | undefined {
  return ATTEMPT_STARTS.exec(log[findAttemptStart(log)] ?? '')?.[1];
}
