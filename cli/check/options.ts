import type { Config } from '../shell/config.ts';
import { checkAll, failUsage } from '../shell/failure.ts';
import { parseDurationMs } from '../text/duration.ts';
import { resolveLimits } from '../training/limits.ts';

/** The options of `check-task-running`, as they were given. */
export interface CheckFlags {
  readonly timeout?: string;
  readonly queueTimeout?: string;
  readonly pollInterval?: string;
  readonly onTimeout?: 'abort' | 'leave';
  readonly onInterrupt?: 'abort' | 'leave';
  readonly onChange?: string;
  readonly log?: LogChoice;
  readonly logs?: boolean;
  readonly outageTimeout?: string;
  readonly abort?: boolean;
  readonly detach?: boolean;
  readonly due?: boolean;
  readonly project?: string;
  readonly taskName?: string;
  readonly json?: boolean;
  readonly config?: string;
}

/**
 * What is shown of the consoles: all, without what agents print before the training, or nothing but the last lines of a
 * task that failed.
 */
export type LogChoice = 'training' | 'all' | 'none';

export interface CheckOptions {
  readonly timeoutMs: number;
  readonly queueTimeoutMs: number;
  /** Undefined: adaptive. */
  readonly pollIntervalMs: number | undefined;
  readonly outageTimeoutMs: number;
  readonly onTimeout: 'abort' | 'leave';
  /** Undefined where it was not given: Ctrl-C at a terminal then only stops watching. */
  readonly onInterrupt: 'abort' | 'leave' | undefined;
  readonly log: LogChoice;
  /** How often a task whose worker was lost is enqueued again. */
  readonly retries: number;
  /** Patterns of the metrics whose last values are shown while a task runs. */
  readonly metrics: readonly string[];
}

const DEFAULT_OUTAGE_TIMEOUT_MS = 10 * 60_000;
const MIN_POLL_INTERVAL_MS = 100;

/** @throws Failure (usage) naming each duration that is malformed */
export function resolveCheckOptions(flags: CheckFlags, config: Config): CheckOptions {
  const [timeoutMs, queueTimeoutMs, pollIntervalMs, outageTimeoutMs, log] = checkAll(
    () => readDurationMs('--timeout', flags.timeout),
    () => readDurationMs('--queue-timeout', flags.queueTimeout),
    () => readPollIntervalMs(flags.pollInterval),
    () => readDurationMs('--outage-timeout', flags.outageTimeout),
    () => chooseLog(flags),
  );
  const limits = resolveLimits(config);
  return {
    timeoutMs: timeoutMs ?? limits.timeoutMs,
    queueTimeoutMs: queueTimeoutMs ?? limits.queueTimeoutMs,
    pollIntervalMs,
    outageTimeoutMs: outageTimeoutMs ?? DEFAULT_OUTAGE_TIMEOUT_MS,
    onTimeout: flags.onTimeout ?? 'abort',
    onInterrupt: flags.onInterrupt,
    log: log ?? 'training',
    retries: limits.retries,
    metrics: (config.metrics ?? []).map(({ metric }) => metric),
  };
}

/** `--logs` and `--no-logs` are other names of two choices. */
function chooseLog({ log, logs }: CheckFlags): LogChoice | undefined {
  if (logs === undefined) return log;
  const named = logs ? 'all' : 'none';
  if (log === undefined || log === named) return named;
  throw failUsage(
    `--log ${log} and --${logs ? 'logs' : 'no-logs'} contradict each other`,
    '--logs is --log all, and --no-logs is --log none.',
  );
}

function readPollIntervalMs(text: string | undefined): number | undefined {
  const ms = readDurationMs('--poll-interval', text);
  if (ms === undefined || ms >= MIN_POLL_INTERVAL_MS) return ms;
  throw failUsage(
    `--poll-interval ${text} is too short`,
    `Give at least ${MIN_POLL_INTERVAL_MS}ms, or leave it out: the pause then adapts.`,
  );
}

function readDurationMs(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const ms = parseDurationMs(text.trim());
  if (ms !== undefined && ms > 0) return ms;
  throw failUsage(
    `invalid ${option} "${text}": expected a positive duration`,
    'For example 250ms, 30s, 90m, 2h or 1h30m.',
  );
}

/** The options that say how to wait, as far as they were given: `--abort` does not wait. */
export function listWaitingOptions(flags: CheckFlags): string[] {
  return listGiven({
    '--timeout': flags.timeout,
    '--queue-timeout': flags.queueTimeout,
    '--poll-interval': flags.pollInterval,
    '--on-timeout': flags.onTimeout,
    '--on-interrupt': flags.onInterrupt,
    '--outage-timeout': flags.outageTimeout,
    '--on-change': flags.onChange,
    '--log': flags.log,
    [flags.logs === false ? '--no-logs' : '--logs']: flags.logs,
  });
}

/** The same for `--due`, which takes one look, and reads no settings. */
export function listIdleForDue(flags: CheckFlags): string[] {
  const isIdle = (option: string) => option !== '--outage-timeout';
  return [...listWaitingOptions(flags).filter(isIdle), ...listGiven({ '--config': flags.config })];
}

/** The same for `--detach`, which reports what has ended by its first look. */
export function listIdleForDetach(flags: CheckFlags): string[] {
  const isIdle = (option: string) => !/^--(?:outage-timeout|(?:no-)?logs?)$/.test(option);
  return listWaitingOptions(flags).filter(isIdle);
}

function listGiven(options: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(options).flatMap(([option, value]) => (value === undefined ? [] : [option]));
}

/** @throws Failure (usage) where an option would have no effect */
export function rejectIdleOptions(flags: CheckFlags, ids: readonly string[]): void {
  const wait = flags.detach === undefined ? [] : [flags.detach ? '--detach' : '--no-detach'];
  const [first, second] = [
    ...wait,
    ...(flags.abort === true ? ['--abort'] : []),
    ...(flags.due === true ? ['--due'] : []),
  ];
  if (first !== undefined && second !== undefined)
    throw failUsage(`${first} and ${second} contradict each other`, 'Give one of them.');
  if (flags.due === true && ids.length > 0)
    throw failUsage(
      '--due takes no task ids',
      'It finds all trainings of the repository that nobody waits for. Without --due the program waits for the tasks.',
    );
  const findsTasks = flags.abort === true && ids.length === 0;
  const idle = flags.project !== undefined ? '--project' : flags.taskName !== undefined ? '--task-name' : '';
  if (idle === '' || findsTasks) return;
  throw failUsage(
    `${idle} has no effect here`,
    'It names the pipeline whose tasks --abort ends when no task ids are given.',
  );
}
