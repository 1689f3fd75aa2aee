import { randomBytes } from 'node:crypto';
import { ClearmlApiError, unknownTask } from './clearml-error.ts';
import { TaskEvents } from './clearml-event-log.ts';
import { formatTime } from './clearml-python.ts';

/** The one company and the one user of the sandbox; the id is that of a fresh real server. */
export const company = { id: 'd1bd92a3b039400cbafc60a7a5b1e52b', name: 'clearml' } as const;
/** `name` is the credentials' name, that stops and workers carry; `displayName` is the person's. */
export const user = { id: '__tests__', name: 'tests', displayName: 'Default User', role: 'user' } as const;

/** A stored document: what the API shows, plus fields that it hides. */
export type Document = { id: string } & Record<string, unknown>;

/** The ten statuses of a task. */
export type TaskStatus =
  | 'created'
  | 'queued'
  | 'in_progress'
  | 'stopped'
  | 'closed'
  | 'failed'
  | 'completed'
  | 'publishing'
  | 'published'
  | 'unknown';

export interface TaskDocument extends Document {
  name: string;
  type: string;
  status: TaskStatus;
  /** What the status was when it was enqueued; hidden. */
  enqueue_status?: TaskStatus | null;
  project?: string;
  parent?: string;
  started?: string;
  completed?: string;
  last_update: string;
  last_worker?: string;
  last_iteration: number;
  tags: string[];
  system_tags: string[];
  script: Record<string, unknown>;
  execution: Record<string, unknown>;
  output: Record<string, unknown>;
  hyperparams: Record<string, Record<string, unknown>>;
  configuration: Record<string, unknown>;
  runtime: Record<string, unknown>;
  container: Record<string, unknown>;
  models: { input: unknown[]; output: unknown[] };
  last_metrics: Record<string, Record<string, LastMetric>>;
  metric_stats: Record<string, unknown>;
}

/** An entry of `last_metrics` (recording 140). */
export interface LastMetric {
  metric: string;
  variant: string;
  value: unknown;
  min_value: number;
  min_value_iteration: number;
  max_value: number;
  max_value_iteration: number;
  first_value: number;
  first_value_iteration: number;
  count: number;
  mean_value: number;
  x_axis_label?: unknown;
}

export interface QueueDocument extends Document {
  name: string;
  tags: string[];
  system_tags: string[];
  entries: { task: string; added: string }[];
  last_update: string;
}

export interface ProjectDocument extends Document {
  name: string;
  basename: string;
  tags: string[];
  system_tags: string[];
  last_update: string;
  parent?: string;
  path: string[];
}

export interface ModelDocument extends Document {
  name: string;
  tags: string[];
  ready: boolean;
}

/** What a worker said last. Real servers keep it in a cache entry that ends by itself. */
export interface WorkerEntry {
  id: string;
  key: string;
  ip: string;
  queues: string[];
  queue: string | undefined;
  task: { id: string; name: string } | undefined;
  project: { id: string; name: string } | undefined;
  tags: string[];
  registeredAtMs: number;
  lastActivityAtMs: number;
  /** The entry ends this long after the worker's last sign of life. */
  timeoutSeconds: number;
}

/** Everything the server knows; gone when it is closed. */
export interface Store {
  readonly nowMs: () => number;
  readonly tasks: Map<string, TaskDocument>;
  readonly queues: Map<string, QueueDocument>;
  readonly projects: Map<string, ProjectDocument>;
  readonly models: Map<string, ModelDocument>;
  readonly workers: Map<string, WorkerEntry>;
  readonly events: Map<string, TaskEvents>;
  /** Positions of open scrolls of get_all. */
  readonly scrollPositions: Map<string, number>;
}

/** An empty store with the queue `default`, as a fresh server has it. */
export function createStore(nowMs: () => number): Store {
  const store: Store = {
    nowMs,
    tasks: new Map(),
    queues: new Map(),
    projects: new Map(),
    models: new Map(),
    workers: new Map(),
    events: new Map(),
    scrollPositions: new Map(),
  };
  insertQueue(store, 'default', [], ['default']);
  return store;
}

/** A fresh id: 32 hexadecimal digits. */
export function createId(): string {
  return randomBytes(16).toString('hex');
}

/** The present time as the API writes it. */
export function timeText(store: Store): string {
  return formatTime(store.nowMs());
}

/** Adds a queue. Names are checked by the callers: enqueueing by name checks none (recording 115). */
export function insertQueue(store: Store, name: string, tags: string[], systemTags: string[]): QueueDocument {
  const now = timeText(store);
  const queue: QueueDocument = {
    id: createId(),
    name,
    company: company.id,
    created: now,
    tags,
    system_tags: systemTags,
    entries: [],
    last_update: now,
    metadata: {},
  };
  store.queues.set(queue.id, queue);
  return queue;
}

/** The task, or 400/101 with the details that most endpoints give (recording 120). */
export function getTask(store: Store, id: string): TaskDocument {
  const task = store.tasks.get(id);
  if (!task) throw unknownTask({ id, company: company.id });
  return task;
}

/** The tasks, or 400/101 with all ids (recordings 102, 167, 197). */
export function getTasks(store: Store, ids: readonly string[]): TaskDocument[] {
  const tasks = ids.map((id) => store.tasks.get(id));
  if (tasks.includes(undefined)) throw unknownTask({ ids: `(${ids.join(', ')})` });
  return tasks as TaskDocument[];
}

/** The tasks, or 400/101 with the ids that nobody has (recording 360). */
export function getWritableTasks(store: Store, ids: readonly string[]): TaskDocument[] {
  const missing = ids.filter((id) => !store.tasks.has(id));
  return getTasks(store, missing.length > 0 ? [...new Set(missing)] : ids);
}

/** The queue, or 400/701 (recording 069). */
export function getQueue(store: Store, id: string): QueueDocument {
  const queue = store.queues.get(id);
  if (!queue) throw new ClearmlApiError(400, 701, 'Invalid queue id', { id, company: company.id });
  return queue;
}

/** The events of a task; made on first use. */
export function getEvents(store: Store, taskId: string): TaskEvents {
  let events = store.events.get(taskId);
  if (!events) {
    events = new TaskEvents();
    store.events.set(taskId, events);
  }
  return events;
}
