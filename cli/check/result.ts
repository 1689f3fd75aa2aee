import { writeOutputs } from '../github/runner-files.ts';
import type { ExitCode } from '../shell/failure.ts';
import type { Session } from '../shell/program.ts';
import { formatDuration } from '../text/duration.ts';
import { toSingleLine } from '../text/single-line.ts';
import type { Cause } from '../training/cause/cause.ts';
import { formatCause, formatPlace } from '../training/cause/cause-words.ts';
import { type Arrival, judgeArrival } from '../training/params/arrival.ts';
import {
  combineEnds,
  type EndReason,
  EXIT_CODE_BY_END,
  measureRunMs,
  type TaskLife,
  type WatchedTask,
} from '../training/task-life.ts';

/** What is reported of a task at the end. */
export interface CheckedTask
  extends Pick<WatchedTask, 'id' | 'name' | 'status' | 'statusReason' | 'statusMessage'> {
  readonly url: string;
  /** How long it ran. */
  readonly durationMs: number;
  /** Undefined where the wait was interrupted before the task had ended. */
  readonly end: EndReason | undefined;
  readonly cause: Cause | undefined;
  /** What became of the params that its launch gave, as far as the task shows. */
  readonly params: readonly Arrival[];
}

/** What is reported of a task: its last known state, how it ended and why. */
export function describeChecked(
  life: TaskLife,
  url: string,
  cause: Cause | undefined,
  nowMs: number,
): CheckedTask {
  const { id, task, end } = life;
  const { name = '', status = 'unknown', statusReason = '', statusMessage = '' } = task ?? {};
  return {
    id,
    name,
    url,
    status: end === 'deleted' ? 'unknown' : status,
    statusReason,
    statusMessage,
    durationMs: measureRunMs(life, nowMs),
    end,
    cause,
    params: judgeParams(life),
  };
}

/** What became of the params that the launch gave. */
export function judgeParams({ task }: TaskLife): Arrival[] {
  if (task === undefined) return [];
  return judgeArrival({ ...task, runtime: task.origin.runtime });
}

/** The exit code of tasks that have all ended: the first of 3, 4, 7, 124, 0 that occurs. */
export function decideExitCode(tasks: readonly CheckedTask[]): ExitCode {
  return combineEnds(tasks.flatMap(({ end }) => end ?? []));
}

/** Prints how the tasks ended on stdout, and passes it to later steps. */
export async function tellResult(
  tasks: readonly CheckedTask[],
  { json }: { readonly json?: boolean },
  session: Session,
): Promise<void> {
  const { voice } = session;
  if (json === true) voice.result(formatJson(tasks));
  else if (tasks.length > 0) voice.result(tasks.map(({ status }) => status).join('\n'));
  await writeOutputs(session, formatOutputs(tasks));
}

/** The outputs for later steps. */
function formatOutputs(tasks: readonly CheckedTask[]): Record<string, string> {
  const statuses = new Set(tasks.map(({ status }) => status));
  const exitCode = decideExitCode(tasks);
  const decisive = tasks.find(
    ({ end, cause }) => cause !== undefined && end !== undefined && EXIT_CODE_BY_END[end] === exitCode,
  );
  return {
    status: statuses.size > 1 ? 'mixed' : ([...statuses][0] ?? ''),
    'duration-seconds': String(Math.max(0, ...tasks.map(({ durationMs }) => toSeconds(durationMs)))),
    cause: decisive?.cause === undefined ? '' : formatCause(decisive.cause),
  };
}

/** The JSON document of `--json`. */
function formatJson(tasks: readonly CheckedTask[]): string {
  return JSON.stringify({
    tasks: tasks.map(({ id, url, status, statusReason, durationMs, cause, params }) => ({
      id,
      url,
      status,
      statusReason,
      durationSeconds: toSeconds(durationMs),
      cause: cause === undefined ? null : toJson(cause),
      // Left out where the task shows nothing.
      ...(params.length === 0 ? {} : { params: params.map(toJsonParam) }),
    })),
  });
}

function toJsonParam({ name, given, value, state }: Arrival) {
  return { name, given, value, state };
}

function toJson({ kind, message, file, line }: Cause) {
  return { kind, message, file: file ?? null, line: line ?? null };
}

function toSeconds(ms: number): number {
  return Math.round(ms / 1000);
}

/** The one line that says how a task ended. */
export function formatHeadline(task: CheckedTask): string {
  const { cause, status, end } = task;
  const name = `task ${task.id}${task.name === '' ? '' : ` "${toSingleLine(task.name, 120)}"`}`;
  if (end === 'succeeded') return `${name} is ${status} after ${formatDuration(task.durationMs)}`;
  const what = end === 'failed' ? 'failed' : 'did not succeed';
  return `${name} ${what}: ${cause === undefined ? status : `${cause.message}${formatPlace(cause)}`}`;
}

/** What follows the headline: ClearML's own words, what to do, and where to look. */
export function formatDetails(task: CheckedTask): string {
  const words = [task.statusReason, task.statusMessage].map((text) => toSingleLine(text));
  const said = words.filter((text) => text !== '').join('; ');
  return [
    ...(said === '' ? [] : [`ClearML says: ${task.status}, ${said}`]),
    ...(task.cause === undefined ? [] : [task.cause.advice]),
    ...(task.cause?.url === undefined ? [] : [task.cause.url]),
    task.url,
  ].join('\n');
}
