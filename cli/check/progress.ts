import { formatDuration, formatRest } from '../text/duration.ts';
import { formatNumber } from '../text/number-format.ts';
import { matchesPattern } from '../text/pattern.ts';
import { toSingleLine } from '../text/single-line.ts';
import { describeWorkers } from '../training/queue-words.ts';
import { describeSteps } from '../training/steps.ts';
import { findDeadlineMs, type Limits, type QueueState, type TaskLife } from '../training/task-life.ts';

/** What a person sees while tasks run. */
export interface Progress {
  readonly text: string;
  /** Changes whenever anything but the time has changed. */
  readonly facts: string;
}

export interface ProgressSources {
  readonly lives: readonly TaskLife[];
  readonly queues: ReadonlyMap<string, QueueState>;
  /** Values to show, by task: `test_accuracy/accuracy 0.93`. */
  readonly values: ReadonlyMap<string, string>;
}

/** More tasks than this are counted, not listed. */
const MAX_LISTED = 4;

/** One line about all tasks that have not ended; undefined where all have. */
export function describeProgress(sources: ProgressSources, nowMs: number): Progress | undefined {
  const { lives } = sources;
  const waiting = lives.filter((life) => life.end === undefined && life.task !== undefined);
  if (waiting.length === 0) return undefined;
  const parts = waiting.map((life) => describeLife(life, sources, nowMs));
  const facts = parts.map(({ facts: part }) => part).join('; ');
  if (lives.length === 1) return { text: parts[0]?.text ?? '', facts };
  const counts = countPhases(lives);
  if (waiting.length > MAX_LISTED) return { text: counts, facts: counts };
  const listed = waiting.map((life, index) => `${labelTask(life.id)} ${parts[index]?.text ?? ''}`).join('; ');
  return { text: `${counts}: ${listed}`, facts: `${counts}: ${facts}` };
}

/**
 * What a wait without progress still waits for, and when it gives up; undefined where all tasks have ended. Nothing is
 * promised where the clock stands still.
 */
export function describeWait(sources: ProgressSources, limits: Limits, nowMs: number): string | undefined {
  const waiting = sources.lives.filter((life) => life.end === undefined && life.task !== undefined);
  const describe = (life: TaskLife, separator: string) => {
    const limit = describeLimit(life, limits, nowMs);
    return `${describeLife(life, sources, nowMs).facts}${limit === undefined ? '' : `${separator} ${limit}`}`;
  };
  const [first] = waiting;
  if (first === undefined) return undefined;
  if (sources.lives.length === 1) return `Still ${describe(first, ';')}`;
  if (waiting.length <= MAX_LISTED)
    return `Still waiting: ${waiting.map((life) => `${labelTask(life.id)} ${describe(life, ',')}`).join('; ')}`;
  const nextMs = Math.min(...waiting.map((life) => findDeadlineMs(life, limits)));
  const next = Number.isFinite(nextMs) ? `; the first times out in ${formatRest(nextMs - nowMs)}` : '';
  return `Still waiting: ${countPhases(sources.lives)}${next}`;
}

/** `times out in 40m`; undefined where nothing is known. */
export function describeLimit(life: TaskLife, limits: Limits, nowMs: number): string | undefined {
  const leftMs = findDeadlineMs(life, limits) - nowMs;
  if (Number.isFinite(leftMs))
    return `${life.phase === 'running' ? 'times out' : 'gives up'} in ${formatRest(leftMs)}`;
  return life.queueSample === undefined ? undefined : 'no time-out while every worker is busy';
}

function countPhases(lives: readonly TaskLife[]): string {
  const names = lives.map((life) => (life.end === undefined ? life.phase : 'ended'));
  return ['running', 'queued', 'draft', 'ended']
    .map((name) => ({ name, count: names.filter((other) => other === name).length }))
    .filter(({ count }) => count > 0)
    .map(({ name, count }) => `${count} ${name}`)
    .join(', ');
}

function describeLife(life: TaskLife, sources: ProgressSources, nowMs: number): Progress {
  const elapsedMs = nowMs - life.phaseSinceMs;
  const since = elapsedMs < 1000 ? '' : ` for ${formatDuration(elapsedMs)}`;
  if (life.phase === 'draft') return { text: `a draft in no queue${since}`, facts: 'a draft in no queue' };
  if (life.phase === 'queued') {
    const where = describeQueuePlace(life, sources.queues);
    return { text: `queued${since}${where}`, facts: `queued${where}` };
  }
  const { task } = life;
  const worker = task?.worker === undefined ? '' : ` on ${toSingleLine(task.worker, 80)}`;
  const isNamed = task?.machine !== undefined && !task.worker?.startsWith(`${task.machine}:`);
  const machine = isNamed ? ` (machine ${toSingleLine(task.machine ?? '', 80)})` : '';
  const iteration = task !== undefined && task.iteration > 0 ? `, iteration ${task.iteration}` : '';
  const values = sources.values.get(life.id);
  const steps = describeSteps(task?.steps ?? []);
  const shown = `${worker}${machine}${iteration}${steps === '' ? '' : `, ${steps}`}${values === undefined ? '' : `, ${values}`}`;
  return { text: `running${since}${shown}`, facts: `running${shown}` };
}

function describeQueuePlace(life: TaskLife, queues: ReadonlyMap<string, QueueState>): string {
  if (life.pod !== undefined)
    return `, waiting for a Kubernetes pod${life.pod === '' ? '' : `: ${life.pod}`}`;
  const queue = queues.get(life.task?.queueId ?? '');
  if (queue === undefined) return '';
  const ahead = queue.entries.indexOf(life.id);
  const place =
    ahead < 0 ? '' : `, number ${ahead + 1}${ahead === 0 ? '' : ` (${count(ahead, 'task')} ahead)`}`;
  return ` in "${toSingleLine(queue.name, 80)}"${place}, ${queue.workers.length === 0 ? 'which no worker serves' : describeWorkers(queue)}`;
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

/** More values than this do not fit into a line. */
const MAX_VALUES = 3;

/** The last values of the metrics that match the patterns, in the patterns' order: `test_accuracy/accuracy 0.93`. */
export function describeValues(
  metrics: ReadonlyArray<{ readonly name: string; readonly value: number }>,
  patterns: readonly string[],
): string | undefined {
  const named = new Set(
    patterns.flatMap((pattern) => metrics.filter(({ name }) => matchesPattern(pattern, name))),
  );
  const shown = [...named].slice(0, MAX_VALUES);
  if (shown.length === 0) return undefined;
  return shown.map(({ name, value }) => `${toSingleLine(name, 80)} ${formatNumber(value)}`).join(', ');
}

/** A task's short name beside others: the first digits of its id. */
export function labelTask(id: string): string {
  return id.slice(0, 8);
}
