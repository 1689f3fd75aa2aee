import type { ChildProcess } from 'node:child_process';
import { hearAlone } from './hear-alone.ts';

/** Processes that this one started, until their end has come and their output has been read. */
const underWay = new Set<ChildProcess>();

// Published before the process has an id (Node, doc/api/diagnostics_channel.md, `child_process`).
hearAlone('child_process', (message) => {
  const { process: child } = message as { readonly process: ChildProcess };
  underWay.add(child);
  const end = () => underWay.delete(child);
  child.once('close', end).once('error', end);
});

/** Whether a process that this one started is still at work, or its output on the way. */
export function isProcessUnderWay(): boolean {
  return underWay.size > 0;
}
