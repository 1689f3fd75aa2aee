import type { Config } from '../shell/config.ts';
import type { Limits } from './task-life.ts';

const DEFAULT_TIMEOUT_MS = 60 * 60_000;
const DEFAULT_QUEUE_TIMEOUT_MS = 30 * 60_000;

/** How long a task may run and wait, and how often one whose worker was lost is enqueued again, as the settings say. */
export function resolveLimits(config: Config): Limits & { readonly retries: number } {
  return {
    timeoutMs: config.timeout ?? DEFAULT_TIMEOUT_MS,
    queueTimeoutMs: config['queue-timeout'] ?? DEFAULT_QUEUE_TIMEOUT_MS,
    retries: config.retries ?? 0,
  };
}
