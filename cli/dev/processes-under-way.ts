import type { ChildProcess } from 'node:child_process';
import { subscribe } from 'node:diagnostics_channel';

/** Processes that this one started, until their end has come and their output has been read. */
const underWay = new Set<ChildProcess>();

/** Those that nobody in this process waits for before time may pass. */
const independent = new Set<number>();

// Published before the process has an id (Node, doc/api/diagnostics_channel.md, `child_process`).
subscribe('child_process', (message) => {
  const { process: child } = message as { readonly process: ChildProcess };
  underWay.add(child);
  const end = () => {
    underWay.delete(child);
    if (child.pid !== undefined) independent.delete(child.pid);
  };
  child.once('close', end).once('error', end);
});

/** Whether a process that this one started is still at work, or its output on the way. */
export function isProcessUnderWay(): boolean {
  for (const { pid } of underWay) if (pid === undefined || !independent.has(pid)) return true;
  return false;
}

/** Notes that a process lives by the wall's time, beside whatever happens in this one. */
export function noteIndependentProcess(pid: number): void {
  independent.add(pid);
}
