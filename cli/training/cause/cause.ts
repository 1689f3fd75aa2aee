import { toSingleLine } from '../../text/single-line.ts';
import { findAttemptBody } from '../attempt.ts';
import { type Ending, explainEnding } from '../ending.ts';
import { formatAgentCommand } from '../task.ts';
import type { EndReason } from '../task-life.ts';
import { CAUSE_TABLE, type CauseKind, type Evidence } from './cause-table.ts';
import type { LineRange } from './traceback.ts';

/** Why a task did not succeed. */
export interface Cause {
  readonly kind: CauseKind;
  /** One line: what happened. */
  readonly message: string;
  /** Where in the repository, relative to its root. */
  readonly file?: string | undefined;
  readonly line?: number | undefined;
  /** What to do next. */
  readonly advice: string;
  /** A page that tells more. */
  readonly url?: string | undefined;
  /** The lines of the log that show it, if some do. */
  readonly lines?: LineRange | undefined;
}

/** No line of a log that matters is longer. */
const MAX_LINE = 8000;

/** The cause of a failure, by the task's status reason and log. */
export function recogniseFailure({ log, ...told }: Evidence): Cause {
  const evidence: Evidence = { ...told, log: log.map((line) => line.slice(0, MAX_LINE)) };
  for (const { kind, recognise, advice } of CAUSE_TABLE) {
    const found = recognise(evidence);
    if (found === undefined) continue;
    const finding = typeof found === 'string' ? { message: found } : found;
    return { kind, advice, ...finding, message: toSingleLine(finding.message) };
  }
  const reason = toSingleLine(evidence.statusReason || evidence.statusMessage);
  return {
    kind: 'unknown',
    message: reason === '' ? 'ClearML gives no reason' : reason,
    advice: 'The end of the log and the page of the task may say more.',
  };
}

/**
 * The cause of a task's end; undefined if it succeeded.
 *
 * @param ending why we ended it, if we did
 */
export function explainEnd(end: EndReason, evidence: Evidence, ending?: Ending): Cause | undefined {
  if (end === 'succeeded') return undefined;
  if (end === 'failed') return recogniseFailure(evidence);
  if (ending?.kind === 'queue-timeout') return explainQueueTimeout(evidence, ending.by);
  if (ending !== undefined && end !== 'deleted') return explainEnding(ending);
  if (end === 'stopped') return explainStop(evidence);
  if (end === 'queue-timeout') return explainQueueTimeout(evidence);
  if (end === 'worker-lost' && isAgentShutDown(evidence)) return AGENT_SHUT_DOWN;
  const reason = toSingleLine(evidence.statusReason);
  if (end === 'dequeued' && reason !== '') {
    return describeStop(`the task was taken out of the queue: ${reason}`);
  }
  return CAUSE_BY_END[end];
}

/**
 * Whether the agent was shut down while it ran the task. It ends the task as a person would (`stopped`, "user abort"); only
 * the console tells the two apart (clearml-agent 3.0.3, worker.py `handle_task_process_termination`).
 */
export function isAgentShutDown({ statusReason, log }: Evidence): boolean {
  const run = log.slice(findAttemptBody(log));
  const has = (pattern: RegExp) => run.some((line) => pattern.test(line));
  return (
    statusReason === 'user abort' &&
    has(/^Process terminated by user\b/) &&
    !has(/^User aborted: stopping task\b/)
  );
}

const AGENT_SHUT_DOWN: Cause = {
  kind: 'worker-lost',
  message: 'the worker was lost: its agent was shut down while it ran the task',
  advice: 'Its machine was stopped or taken back (a spot instance), or the agent restarted. Launch again.',
};

const CAUSE_BY_END: Readonly<
  Record<Exclude<EndReason, 'succeeded' | 'failed' | 'stopped' | 'queue-timeout'>, Cause>
> = {
  'worker-lost': {
    kind: 'worker-lost',
    message: 'the worker was lost: the server did not hear from it for too long and stopped the task',
    advice: 'Check that its machine is up and its agent runs, then launch again.',
  },
  closed: describeStop('the task was closed by somebody'),
  archived: describeStop('the task was archived by somebody'),
  dequeued: describeStop('the task was taken out of the queue by somebody'),
  reset: describeStop('the task was reset by somebody: its results are gone'),
  deleted: describeStop('the task was deleted by somebody'),
  draft: {
    kind: 'never-started',
    message: 'the task never started: it is a draft in no queue',
    advice: 'Put it into a queue (launch-training-task does), then run this step again.',
  },
  timeout: {
    kind: 'timeout',
    message: 'the time-out passed before the training had ended',
    advice: 'Allow more time (--timeout, or timeout in the settings file), or train less.',
  },
};

function explainQueueTimeout({ queue, pod }: Evidence, limit = ''): Cause {
  const passed = `the task never started: the queue time-out${limit === '' ? '' : ` of ${limit}`} passed`;
  if (pod !== undefined) {
    return {
      kind: 'never-started',
      message: `${passed} while it waited for a Kubernetes pod${pod === '' ? '' : `: ${toSingleLine(pod)}`}`,
      advice:
        'Check what keeps the pod waiting (kubectl describe pod, and the log of the ClearML glue). Or allow more time (--queue-timeout).',
    };
  }
  const command = queue === undefined ? '' : `: ${formatAgentCommand(queue)}`;
  return {
    kind: 'never-started',
    message: passed,
    advice: `Check that an agent serves the queue${command}.`,
  };
}

function explainStop({ statusReason, statusMessage }: Evidence): Cause {
  // The server writes `Stopped by NAME` if no worker runs the task. A worker reports its stop without a name.
  const name = toSingleLine(/^Stopped by (.+)/.exec(statusMessage)?.[1] ?? 'somebody');
  const isOnRequest = statusReason === 'task was stopped by tasks.stop';
  const reason = isOnRequest ? '' : toSingleLine(statusReason);
  return describeStop(`the task was stopped by ${name}${reason === '' ? '' : ` (${reason})`}`);
}

function describeStop(message: string): Cause {
  return { kind: 'stopped', message, advice: 'To train this commit all the same, launch again.' };
}
