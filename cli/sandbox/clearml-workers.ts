import { type Endpoints, endpoint } from './clearml-endpoint.ts';
import { ClearmlApiError, unknownTask } from './clearml-error.ts';
import { formatTime } from './clearml-python.ts';
import { optionalText, optionalTexts, requiredText, wholeNumber } from './clearml-request.ts';
import { company, type Store, user, type WorkerEntry } from './clearml-store.ts';

const defaultTimeoutSeconds = 600;

/** The workers whose entry has not run out. */
export function liveWorkers(store: Store): WorkerEntry[] {
  const now = store.nowMs();
  for (const worker of store.workers.values()) {
    if (now - worker.lastActivityAtMs > worker.timeoutSeconds * 1000) store.workers.delete(worker.id);
  }
  return [...store.workers.values()];
}

function registerWorker(
  store: Store,
  id: string,
  details: { ip: string; queues: string[]; timeoutSeconds: number; tags: string[] },
): WorkerEntry {
  const missing = details.queues.filter((queue) => !store.queues.has(queue));
  if (missing.length > 0) {
    throw new ClearmlApiError(400, 701, 'Invalid queue id', { ids: `(${missing.join(', ')})` });
  }
  const worker: WorkerEntry = {
    id,
    key: `worker_${company.id}_${user.id}_${id}`,
    ip: details.ip,
    queues: details.queues,
    queue: undefined,
    task: undefined,
    project: undefined,
    tags: details.tags,
    registeredAtMs: store.nowMs(),
    lastActivityAtMs: store.nowMs(),
    timeoutSeconds: details.timeoutSeconds,
  };
  store.workers.set(id, worker);
  return worker;
}

function nameAndNumber(store: Store, queueId: string): Record<string, unknown> {
  const queue = store.queues.get(queueId);
  if (!queue) return { id: queueId };
  const next = queue.entries[0]?.task;
  const name = next === undefined ? undefined : store.tasks.get(next)?.name;
  return {
    id: queueId,
    name: queue.name,
    num_tasks: queue.entries.length,
    ...(next !== undefined && { next_task: { id: next, name: name ?? null } }),
  };
}

/** A worker as workers.get_all shows it (recordings 071, 310). */
function workerInfo(store: Store, worker: WorkerEntry): Record<string, unknown> {
  const task = worker.task && store.tasks.get(worker.task.id);
  return {
    company,
    id: worker.id,
    ip: worker.ip,
    key: worker.key,
    last_activity_time: formatTime(worker.lastActivityAtMs),
    last_report_time: formatTime(worker.lastActivityAtMs),
    ...(worker.project && { project: worker.project }),
    ...(worker.queue !== undefined && { queue: nameAndNumber(store, worker.queue) }),
    queues: worker.queues.map((queue) => nameAndNumber(store, queue)),
    register_time: formatTime(worker.registeredAtMs),
    register_timeout: worker.timeoutSeconds,
    system_tags: [],
    tags: worker.tags,
    ...(worker.task && {
      task: {
        ...worker.task,
        ...(task && {
          last_iteration: task.last_iteration,
          running_time: task.started === undefined ? 0 : store.nowMs() - Date.parse(task.started),
        }),
      },
    }),
    user: { id: user.id, name: user.name },
  };
}

export const workerEndpoints: Endpoints = {
  'workers.register': endpoint([2, 4], ({ store, data, remoteAddress }) => {
    registerWorker(store, requiredText(data, 'worker'), {
      ip: remoteAddress,
      queues: optionalTexts(data, 'queues'),
      timeoutSeconds: wholeNumber(data, 'timeout', 0) || defaultTimeoutSeconds,
      tags: optionalTexts(data, 'tags'),
    });
    return {};
  }),
  // An agent that ends says so twice; the second time is no error (clients/trace-agent-abort.txt).
  'workers.unregister': endpoint([2, 4], ({ store, data }) => {
    store.workers.delete(requiredText(data, 'worker'));
    return {};
  }),
  'workers.status_report': endpoint([2, 4], ({ store, data, remoteAddress }) => {
    const id = requiredText(data, 'worker');
    const worker =
      liveWorkers(store).find((entry) => entry.id === id) ??
      registerWorker(store, id, { ip: '', queues: [], timeoutSeconds: defaultTimeoutSeconds, tags: [] });
    const now = formatTime(store.nowMs());
    worker.ip = remoteAddress;
    worker.lastActivityAtMs = store.nowMs();
    worker.queue = optionalText(data, 'queue');
    worker.task = undefined;
    worker.project = undefined;
    if (Array.isArray(data.tags)) worker.tags = optionalTexts(data, 'tags');
    const queues = optionalTexts(data, 'queues');
    if (queues.length > 0) worker.queues = queues;
    const taskId = optionalText(data, 'task');
    if (taskId) {
      const task = store.tasks.get(taskId);
      if (!task) throw unknownTask({ id: taskId, company: company.id });
      Object.assign(task, { last_worker: id, last_worker_report: now, last_update: now });
      worker.task = { id: task.id, name: task.name };
      const project = task.project === undefined ? undefined : store.projects.get(task.project);
      worker.project = project && { id: project.id, name: project.name };
    }
    return {};
  }),
  'workers.get_all': endpoint([2, 4], ({ store, data }) => {
    const lastSeenSeconds = wholeNumber(data, 'last_seen', 3600);
    const since = store.nowMs() - Math.max(1, lastSeenSeconds) * 1000;
    const workers = liveWorkers(store).filter(
      (entry) => lastSeenSeconds === 0 || entry.lastActivityAtMs >= since,
    );
    return { workers: workers.map((worker) => workerInfo(store, worker)) };
  }),
};
