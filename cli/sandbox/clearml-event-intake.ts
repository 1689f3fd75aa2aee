import { ClearmlApiError, invalidRequest, serverTripped } from './clearml-error.ts';
import type { StoredEvent } from './clearml-event-log.ts';
import { type BatchSummary, hashName, summarize, updateLastMetrics } from './clearml-last-metrics.ts';
import { getEvents, type Store } from './clearml-store.ts';
import { updateProgressTime } from './clearml-task-status.ts';

const eventTypes = ['training_stats_scalar', 'training_stats_vector', 'training_debug_image', 'plot', 'log'];
/** The iterations of these are no progress. */
const machineMetrics = [':monitor:machine', ':monitor:gpu'];

/** What a batch does to one task. */
interface TaskChange {
  lastIteration: number | undefined;
  scalars: BatchSummary;
  stats: Map<string, { metric: string; byType: Map<string, number> }>;
}

/**
 * Stores events as events.add and events.add_batch do. What can't be stored is counted by its reason (recordings 149, 150, 254); a task's
 * last metrics, iteration and times follow what was stored.
 */
export function addEvents(store: Store, events: readonly Record<string, unknown>[], worker: string) {
  const errors = new Map<string, number>();
  const changes = new Map<string, TaskChange>();
  let added = 0;
  let unparsable = 0;
  let lastMs = Number.NaN;
  let lastText = '';
  checkLockedFlags(events);
  for (const event of events) {
    const problem = findProblem(store, event);
    if (problem !== undefined) {
      errors.set(problem, (errors.get(problem) ?? 0) + 1);
      continue;
    }
    const nowMs = store.nowMs();
    if (nowMs !== lastMs) {
      lastMs = nowMs;
      lastText = new Date(nowMs).toISOString();
    }
    const stored = toStored(event, worker, nowMs, lastText);
    const taskId = String(stored.task);
    const change = changes.get(taskId) ?? { lastIteration: undefined, scalars: new Map(), stats: new Map() };
    changes.set(taskId, change);
    if (stored.type === 'training_stats_scalar') {
      if (typeof stored.value === 'string')
        throw serverTripped("unsupported operand type(s) for +: 'int' and 'str'");
      summarize(change.scalars, stored, event.x_axis_label);
    }
    noteProgress(change, stored);
    // The search engine knows no NaN and no infinity (recordings 151, 152).
    if (typeof stored.value === 'number' && !Number.isFinite(stored.value)) unparsable += 1;
    else {
      getEvents(store, taskId).add(stored);
      added += 1;
    }
  }
  if (unparsable > 0) {
    const text = `${unparsable} document(s) failed to index.`;
    throw new ClearmlApiError(500, 100, 'General data error', { err: text, extra_info: 'failed to parse' });
  }
  for (const [taskId, change] of changes) applyChange(store, taskId, change);
  const counts = Object.fromEntries(errors);
  if (added === 0) {
    const details = Object.fromEntries([...errors].map(([reason, count]) => [reason, String(count)]));
    throw new ClearmlApiError(400, 131, 'Events not added', details);
  }
  return { added, errors: [...errors.values()].reduce((sum, count) => sum + count, 0), errors_info: counts };
}

function checkLockedFlags(events: readonly Record<string, unknown>[]): void {
  const allowed = new Map<unknown, boolean>();
  for (const { task, allow_locked: flag } of events) {
    if (!task) continue;
    if (allowed.has(task) && allowed.get(task) !== Boolean(flag)) {
      throw invalidRequest(`Inconsistent allow_locked setting in the passed events for ${task}`);
    }
    allowed.set(task, Boolean(flag));
  }
}

function findProblem(store: Store, event: Record<string, unknown>): string | undefined {
  if (event.type === undefined || event.type === null) return "Event must have a 'type' field";
  const type = eventType(event);
  if (!eventTypes.includes(type)) return `Invalid event type ${type}`;
  if (event.model_event && type === 'log') return 'Task log events are not supported for models';
  if (event.task === undefined || event.task === null) return "Event must have a 'task' field";
  const task = store.tasks.get(String(event.task));
  const locked = task?.status === 'published' || task?.status === 'publishing';
  if (event.model_event)
    return store.models.has(String(event.task)) ? undefined : `Invalid model id ${event.task}`;
  return !task || (locked && !event.allow_locked) ? `Invalid task id ${event.task}` : undefined;
}

/** The event as it is kept: a copy, because the request's body is not ours to change. */
function toStored(
  event: Record<string, unknown>,
  worker: string,
  nowMs: number,
  nowText: string,
): StoredEvent {
  const stored: Record<string, unknown> = { ...event };
  if ('x_axis_label' in stored) delete stored.x_axis_label;
  if ('allow_locked' in stored) delete stored.allow_locked;
  if ('values' in stored) {
    stored.value = stored.values;
    delete stored.values;
  }
  if ('ts' in stored) {
    stored.timestamp = stored.ts;
    delete stored.ts;
  }
  if (stored.iter !== undefined && stored.iter !== null) stored.iter = Math.trunc(Number(stored.iter));
  stored.type = eventType(event);
  stored.model_event = Boolean(event.model_event);
  stored['@timestamp'] = nowText;
  stored.timestamp = Number(stored.timestamp ?? nowMs);
  stored.worker ??= worker;
  stored.metric = stored.metric ? String(stored.metric) : '';
  stored.variant = stored.variant ? String(stored.variant) : '';
  if (stored.type === 'plot') {
    stored.plot_len = typeof stored.plot_str === 'string' ? stored.plot_str.length : 0;
  }
  return stored as StoredEvent;
}

/** Spaces in a type count as underscores. */
function eventType(event: Record<string, unknown>): string {
  return String(event.type).replaceAll(' ', '_');
}

function noteProgress(change: TaskChange, event: StoredEvent): void {
  if (typeof event.iter === 'number' && !machineMetrics.includes(event.metric)) {
    change.lastIteration = Math.max(change.lastIteration ?? 0, event.iter);
  }
  const stats = change.stats.get(event.metric) ?? { metric: event.metric, byType: new Map<string, number>() };
  const before = stats.byType.get(event.type);
  if (before === undefined || before < event.timestamp) stats.byType.set(event.type, event.timestamp);
  change.stats.set(event.metric, stats);
}

function applyChange(store: Store, taskId: string, change: TaskChange): void {
  const task = store.tasks.get(taskId);
  if (!task) return;
  updateProgressTime(store, task);
  if (change.lastIteration !== undefined)
    task.last_iteration = Math.max(task.last_iteration, change.lastIteration);
  updateLastMetrics(task, change.scalars);
  // Only the last batch's are kept (recording 225).
  task.metric_stats = Object.fromEntries(
    [...change.stats.values()].map(({ metric, byType }) => [
      hashName(metric),
      {
        metric,
        event_stats_by_type: Object.fromEntries(
          [...byType].map(([type, timestamp]) => [type, { last_update: timestamp }]),
        ),
      },
    ]),
  );
}
