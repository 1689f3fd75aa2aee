import type { QueueState } from './task-life.ts';

/** Who serves a queue: `2 workers, 1 busy`. */
export function describeWorkers({ workers }: Pick<QueueState, 'workers'>): string {
  if (workers.length === 0) return 'no worker';
  const busy = workers.filter((worker) => worker.taskId !== undefined).length;
  if (workers.length === 1) return `1 worker, ${busy === 1 ? 'busy' : 'idle'}`;
  const state = busy === workers.length ? 'all busy' : busy === 0 ? 'all idle' : `${busy} busy`;
  return `${workers.length} workers, ${state}`;
}
