import { type Call, type Endpoint, type Endpoints, endpoint } from './clearml-endpoint.ts';
import { ClearmlApiError, invalidRequest, unknownTask, wrongStatus } from './clearml-error.ts';
import { projectCollection, queueCollection, taskCollection } from './clearml-fields.ts';
import { findDocuments, projectDocument, requestedFields, valueAt } from './clearml-query.ts';
import { findQueueByName, getDefaultQueue, isWatched } from './clearml-queues.ts';
import {
  choice,
  type Data,
  flag,
  isObject,
  optionalObject,
  optionalObjects,
  optionalText,
  optionalTexts,
  requiredText,
  requiredTexts,
} from './clearml-request.ts';
import {
  company,
  type Document,
  getQueue,
  getTask,
  getTasks,
  insertQueue,
  type Store,
  type TaskDocument,
  type TaskStatus,
  timeText,
  user,
} from './clearml-store.ts';
import {
  checkTags,
  createTaskDocument,
  newTask,
  readTaskFields,
  type TaskFields,
} from './clearml-task-document.ts';
import {
  changeStatus,
  checkStatusChange,
  dequeueTask,
  removeFromAllQueues,
  type StatusReply,
  stopTask,
  touchProject,
} from './clearml-task-status.ts';

/** What most status endpoints read. */
function readReasons(data: Data) {
  return {
    reason: optionalText(data, 'status_reason'),
    message: optionalText(data, 'status_message'),
    force: flag(data, 'force'),
  };
}

/** tasks.failed and its like; `ends` sets the time of completion (recordings 232, 236, 245; not for `closed`, 249). */
function statusEndpoint(status: TaskStatus, ends: boolean): Endpoint {
  return endpoint([1, 0], ({ store, data }) =>
    changeStatus(store, getTask(store, requiredText(data, 'task')), {
      status,
      ...readReasons(data),
      ...(ends && { fields: { completed: timeText(store) } }),
    }),
  );
}

/** Tasks of which some may fail: failures are listed, not thrown (recordings 269, 270). */
function eachTask(ids: readonly string[], change: (id: string) => Record<string, unknown>) {
  const succeeded: Record<string, unknown>[] = [];
  const failed: Record<string, unknown>[] = [];
  for (const id of ids) {
    try {
      succeeded.push({ id, ...change(id) });
    } catch (error) {
      if (!(error instanceof ClearmlApiError)) throw error;
      const { code, subcode, message, details } = error;
      failed.push({ id, error: { codes: [code, subcode], msg: message, data: details } });
    }
  }
  return { failed, succeeded };
}

/** The queue that a request names; a name that nobody has makes a queue, without a word (recording 115). */
function resolveQueue(store: Store, data: Data): string {
  const id = optionalText(data, 'queue');
  const name = optionalText(data, 'queue_name');
  if (id && name) throw invalidRequest('Either queue id or queue name should be provided');
  if (name) return (findQueueByName(store, name) ?? insertQueue(store, name, [], [])).id;
  return id || getDefaultQueue(store).id;
}

/** Puts a task into a queue, and out of all others. Where that fails the task keeps a trace of the attempt (recording 118). */
function enqueueTask(store: Store, taskId: string, queueId: string, data: Data): StatusReply {
  const task = getTask(store, taskId);
  const before = task.status;
  const reply = changeStatus(store, task, {
    status: 'queued',
    ...readReasons(data),
    fields: { enqueue_status: before },
  });
  try {
    const queue = getQueue(store, queueId);
    if (queue.entries.some((entry) => entry.task === task.id)) {
      throw new ClearmlApiError(400, 706, 'Failed adding task to queue since task is already queued', {
        task: task.id,
      });
    }
    removeFromAllQueues(store, task.id, queue.id);
    queue.entries.push({ task: task.id, added: timeText(store) });
    queue.last_update = timeText(store);
  } catch (error) {
    changeStatus(store, task, {
      status: before,
      reason: 'failed enqueueing',
      force: true,
      fields: { enqueue_status: null },
    });
    throw error;
  }
  task.execution = { ...task.execution, queue: queueId };
  return { updated: reply.updated, fields: { ...reply.fields, 'execution.queue': queueId } };
}

/** Editing wants status `created`, with force `in_progress` too (recordings 209, 210). */
function getEditableTask(store: Store, id: string, force: boolean): TaskDocument {
  const task = getTask(store, id);
  if (task.status !== 'created' && !(force && task.status === 'in_progress')) {
    throw wrongStatus({ expected: 'created', status: task.status });
  }
  return task;
}

function markChanged(store: Store, task: TaskDocument): void {
  const now = timeText(store);
  Object.assign(task, { last_update: now, last_change: now, last_changed_by: user.id });
}

/** Changing only these leaves last_update alone (recordings 135, 201-203 against 206, 217). */
const namingFields = ['name', 'comment', 'tags', 'system_tags', 'project'];

function applyFields(store: Store, task: TaskDocument, fields: TaskFields) {
  if (Object.keys(fields).length === 0) return { fields: {}, updated: 0 };
  const now = timeText(store);
  const changes: Record<string, unknown> = { ...fields };
  // Embedded documents are merged (recording 207), maps replaced (217).
  for (const field of ['script', 'execution', 'output', 'models'] as const) {
    if (fields[field]) changes[field] = { ...task[field], ...fields[field] };
  }
  changes.last_change = now;
  changes.last_changed_by = user.id;
  if (Object.keys(fields).some((field) => !namingFields.includes(field))) changes.last_update = now;
  Object.assign(task, changes);
  touchProject(store, task.project);
  return { fields: changes, updated: 1 };
}

function deleteEvents(store: Store, task: TaskDocument): void {
  store.events.delete(task.id);
}

function resetTask(store: Store, task: TaskDocument, force: boolean): StatusReply {
  if (task.status === 'published' && !force) throw wrongStatus({ task_id: task.id, status: task.status });
  if (!force) checkStatusChange(task, 'created');
  removeFromAllQueues(store, task.id);
  deleteEvents(store, task);
  const reply = changeStatus(store, task, { status: 'created', reason: 'reset', message: 'reset', force });
  for (const field of ['started', 'completed', 'published', 'active_duration', 'enqueue_status'])
    delete task[field];
  for (const field of ['last_worker', 'last_worker_report']) delete task[field];
  const { queue: _queue, ...execution } = task.execution;
  const artifacts = Array.isArray(execution.artifacts) ? execution.artifacts : [];
  Object.assign(task, {
    last_iteration: 0,
    last_metrics: {},
    metric_stats: {},
    runtime: {},
    models: { ...task.models, output: [] },
    execution: {
      ...execution,
      artifacts: artifacts.filter((item) => isObject(item) && item.mode === 'input'),
    },
  });
  return reply;
}

function cloneTask(store: Store, data: Data): TaskDocument {
  const id = requiredText(data, 'task');
  const source = store.tasks.get(id);
  if (!source) throw unknownTask({ id });
  const changes = readTaskFields(store, {
    name: data.new_task_name,
    comment: data.new_task_comment,
    parent: data.new_task_parent,
    project: data.new_task_project,
    tags: data.new_task_tags,
    system_tags: data.new_task_system_tags,
    hyperparams: data.new_task_hyperparams,
    configuration: data.new_task_configuration,
    container: data.new_task_container,
    execution: data.execution_overrides,
    script: data.script_overrides,
  });
  const { queue: _queue, ...execution } = source.execution;
  const copied = structuredClone({
    name: source.name,
    type: source.type,
    ...(typeof source.comment === 'string' && { comment: source.comment }),
    ...(source.project !== undefined && { project: source.project }),
    tags: source.tags,
    system_tags: source.system_tags.filter((tag) => tag !== 'development' && tag !== 'archived'),
    hyperparams: source.hyperparams,
    configuration: source.configuration,
    container: source.container,
    models: { input: source.models.input, output: [] },
  });
  return newTask(store, {
    ...copied,
    ...changes,
    parent: changes.parent ?? source.parent ?? source.id,
    execution: { ...structuredClone(execution), ...changes.execution },
    script: { ...structuredClone(source.script), ...changes.script },
  });
}

/** Which fields refer to other documents, for the endpoints that end in `_ex`. */
function referenced(store: Store, field: string, id: string): Document | undefined {
  if (field === 'project') return store.projects.get(id);
  if (field === 'execution.queue') return store.queues.get(id);
  if (field === 'parent') return store.tasks.get(id);
  if (field === 'user') return { id: user.id, name: user.displayName };
  return { ...company };
}

const references = ['company', 'user', 'project', 'parent', 'execution.queue'];

/** A task whose references are `{id, …}` with the fields asked for of each (recordings 106, 300). */
function expandedTask(store: Store, task: Document, fields: readonly string[]): Record<string, unknown> {
  const own = fields.map((field) => references.find((name) => field.startsWith(`${name}.`)) ?? field);
  const view = structuredClone(projectDocument(taskCollection, task, [...new Set(own)]));
  for (const name of references) {
    const id = valueAt(view, name);
    if (typeof id !== 'string') continue;
    const wanted = fields
      .filter((field) => field.startsWith(`${name}.`))
      .map((field) => field.slice(name.length + 1));
    const document = referenced(store, name, id);
    const expanded = { id, ...(document && projectReference(name, document, wanted)) };
    if (name === 'execution.queue') (view.execution as Record<string, unknown>).queue = expanded;
    else view[name] = expanded;
  }
  return view;
}

function projectReference(
  name: string,
  document: Document,
  wanted: readonly string[],
): Record<string, unknown> {
  if (wanted.length === 0) return {};
  const collection =
    name === 'project' ? projectCollection : name === 'execution.queue' ? queueCollection : taskCollection;
  return projectDocument(collection, document, wanted);
}

function findTasks({ store, data }: Call) {
  let filters = data;
  const projects = data.project;
  if (data.include_subprojects && projects) {
    const ids = new Set(Array.isArray(projects) ? projects : [projects]);
    for (const project of store.projects.values()) {
      if (project.path.some((ancestor) => ids.has(ancestor))) ids.add(project.id);
    }
    filters = { ...data, project: [...ids] };
  }
  return findDocuments(taskCollection, store.tasks.values(), filters, store.scrollPositions);
}

function getHyperParams(task: TaskDocument): unknown[] {
  return Object.keys(task.hyperparams)
    .sort()
    .flatMap((section) => {
      const items = task.hyperparams[section] ?? {};
      return Object.keys(items)
        .sort()
        .map((name) => items[name]);
    });
}

export const taskEndpoints: Endpoints = {
  'tasks.create': endpoint([1, 0], ({ store, data }) => {
    const task = createTaskDocument(store, data);
    store.tasks.set(task.id, task);
    touchProject(store, task.project);
    return { id: task.id };
  }),
  'tasks.validate': endpoint([1, 0], ({ store, data }) => {
    createTaskDocument(store, data);
    return {};
  }),
  'tasks.get_types': endpoint([1, 0], ({ store, data }) => {
    const projects = optionalTexts(data, 'projects');
    const types = [...store.tasks.values()]
      .filter((task) => projects.length === 0 || projects.includes(task.project ?? ''))
      .map((task) => task.type);
    return { types: [...new Set(types)].sort() };
  }),
  'tasks.get_by_id': endpoint([1, 0], ({ store, data }) => {
    const [task] = getTasks(store, [requiredText(data, 'task')]);
    return { task: task && { ...projectDocument(taskCollection, task, []), unique_metrics: [] } };
  }),
  'tasks.get_by_id_ex': endpoint([1, 0], ({ store, data }) => {
    const ids = requiredTexts(data, 'id');
    const tasks = ids.flatMap((id) => store.tasks.get(id) ?? []);
    return { tasks: tasks.map((task) => expandedTask(store, task, requestedFields(data))) };
  }),
  'tasks.get_all': endpoint([1, 0], (call) => {
    const { documents, scrollId } = findTasks(call);
    const fields = requestedFields(call.data);
    // An unknown field is refused even where nothing matches.
    if (documents.length === 0) projectDocument(taskCollection, { id: '' }, fields);
    const tasks = documents.map((task) => projectDocument(taskCollection, task, fields));
    return { tasks, ...(scrollId !== undefined && { scroll_id: scrollId }) };
  }),
  'tasks.get_all_ex': endpoint([1, 0], (call) => {
    const { documents, scrollId } = findTasks(call);
    const fields = requestedFields(call.data);
    const tasks = documents.map((task) => expandedTask(call.store, task, fields));
    return { tasks, ...(scrollId !== undefined && { scroll_id: scrollId }) };
  }),

  'tasks.edit': endpoint([1, 0], ({ store, data }) => {
    const id = requiredText(data, 'task');
    const task = store.tasks.get(id);
    if (!task) throw unknownTask({ id });
    if (!flag(data, 'force') && task.status !== 'created') {
      throw wrongStatus({ expected: 'created', status: task.status });
    }
    return applyFields(store, task, readTaskFields(store, data));
  }),
  // Works in every status, but on few fields (recordings 202, 241).
  'tasks.update': endpoint([1, 0], ({ store, data }) => {
    const id = requiredText(data, 'task');
    const task = store.tasks.get(id);
    if (!task) throw unknownTask({ id });
    const allowed = Object.fromEntries(namingFields.map((field) => [field, data[field]]));
    return applyFields(store, task, readTaskFields(store, allowed));
  }),
  'tasks.update_tags': endpoint([1, 0], ({ store, data }) => {
    const tasks = getTasks(store, requiredTexts(data, 'ids'));
    const add = optionalTexts(data, 'add_tags');
    const remove = optionalTexts(data, 'remove_tags');
    checkTags(add, remove);
    for (const task of tasks) {
      task.tags = [...new Set([...task.tags, ...add])].filter((tag) => !remove.includes(tag)).sort();
      Object.assign(task, { last_change: timeText(store), last_changed_by: user.id });
    }
    // Adding and removing count as one update each (recording 196).
    return { updated: tasks.length * (Number(add.length > 0) + Number(remove.length > 0)) };
  }),
  'tasks.edit_hyper_params': endpoint([1, 0], ({ store, data }) => {
    const task = getEditableTask(store, requiredText(data, 'task'), flag(data, 'force'));
    const given: Record<string, Record<string, unknown>> = {};
    for (const item of optionalObjects(data, 'hyperparams')) {
      const section = requiredText(item, 'section');
      given[section] = { ...given[section], [requiredText(item, 'name')]: item };
    }
    readTaskFields(store, { hyperparams: given });
    const replaced = choice(
      data,
      'replace_hyperparams',
      ['none', 'section', 'all'],
      'replacehyperparams',
      'none',
    );
    const merged = replaced === 'all' ? {} : { ...task.hyperparams };
    for (const [section, items] of Object.entries(given)) {
      merged[section] = replaced === 'none' ? { ...merged[section], ...items } : items;
    }
    task.hyperparams = merged;
    markChanged(store, task);
    return { updated: 1 };
  }),
  'tasks.get_hyper_params': endpoint([1, 0], ({ store, data }) => ({
    params: getTasks(store, requiredTexts(data, 'tasks')).map((task) => ({
      task: task.id,
      hyperparams: getHyperParams(task),
    })),
  })),
  'tasks.edit_configuration': endpoint([1, 0], ({ store, data }) => {
    const task = getEditableTask(store, requiredText(data, 'task'), flag(data, 'force'));
    const items = optionalObjects(data, 'configuration').map((item) => [requiredText(item, 'name'), item]);
    const given: Record<string, unknown> = Object.fromEntries(items);
    task.configuration = flag(data, 'replace_configuration') ? given : { ...task.configuration, ...given };
    markChanged(store, task);
    return { updated: 1 };
  }),
  'tasks.get_configurations': endpoint([1, 0], ({ store, data }) => {
    const names = optionalTexts(data, 'names');
    return {
      configurations: getTasks(store, requiredTexts(data, 'tasks')).map((task) => ({
        task: task.id,
        configuration: Object.keys(task.configuration)
          .filter((name) => names.length === 0 || names.includes(name))
          .sort()
          .map((name) => task.configuration[name]),
      })),
    };
  }),
  'tasks.set_requirements': endpoint([1, 0], ({ store, data }) => {
    const task = getTask(store, requiredText(data, 'task'));
    task.script = { ...task.script, requirements: optionalObject(data, 'requirements') ?? {} };
    markChanged(store, task);
    return { fields: {}, updated: 1 };
  }),
  // Runs on a running task without force (recording 216).
  'tasks.edit_runtime': endpoint([1, 0], ({ store, data }) => {
    const task = getEditableTask(store, requiredText(data, 'task'), flag(data, 'force', true));
    const runtime = { ...task.runtime, ...optionalObject(data, 'add_or_update') };
    for (const name of optionalTexts(data, 'remove')) delete runtime[name];
    task.runtime = runtime;
    markChanged(store, task);
    return { updated: 1 };
  }),
  'tasks.clone': endpoint([1, 0], ({ store, data }) => {
    const task = cloneTask(store, data);
    store.tasks.set(task.id, task);
    touchProject(store, task.project);
    return { id: task.id };
  }),
  'tasks.add_or_update_artifacts': endpoint([2, 10], ({ store, data }) => {
    const task = getEditableTask(store, requiredText(data, 'task'), flag(data, 'force'));
    const keyOf = (item: unknown) => (isObject(item) ? JSON.stringify([item.key, item.mode]) : '');
    const artifacts = new Map<string, unknown>();
    const before = Array.isArray(task.execution.artifacts) ? task.execution.artifacts : [];
    const given = optionalObjects(data, 'artifacts').map((item) => {
      requiredText(item, 'key');
      requiredText(item, 'type');
      return { mode: 'output', display_data: [], ...item };
    });
    for (const item of [...before, ...given]) artifacts.set(keyOf(item), item);
    task.execution = { ...task.execution, artifacts: [...artifacts.values()] };
    markChanged(store, task);
    return { updated: 1 };
  }),
  'tasks.add_or_update_model': endpoint([2, 13], ({ store, data }) => {
    const task = getTask(store, requiredText(data, 'task'));
    const name = requiredText(data, 'name');
    const model = requiredText(data, 'model');
    const type = choice(data, 'type', ['input', 'output'], 'taskmodeltypes', 'output');
    if (!store.models.has(model)) throw new ClearmlApiError(400, 201, 'Invalid model id', { model });
    const others = task.models[type].filter((item) => !isObject(item) || item.name !== name);
    task.models = { ...task.models, [type]: [...others, { name, model, updated: timeText(store) }] };
    markChanged(store, task);
    return { updated: 1 };
  }),

  'tasks.enqueue': endpoint([1, 0], ({ store, data }) => {
    const taskId = requiredText(data, 'task');
    const queueId = resolveQueue(store, data);
    const { updated, fields } = enqueueTask(store, taskId, queueId, data);
    return {
      fields,
      ...(flag(data, 'verify_watched_queue') && { queue_watched: isWatched(store, queueId) }),
      queued: 1,
      updated,
    };
  }),
  'tasks.enqueue_many': endpoint([1, 0], ({ store, data }) => {
    const ids = requiredTexts(data, 'ids');
    const queueId = resolveQueue(store, data);
    const reply = eachTask(ids, (id) => ({ ...enqueueTask(store, id, queueId, data), queued: true }));
    return {
      ...reply,
      ...(flag(data, 'verify_watched_queue') && { queue_watched: isWatched(store, queueId) }),
    };
  }),
  'tasks.dequeue': endpoint([1, 0], ({ store, data }) => {
    const task = getTask(store, requiredText(data, 'task'));
    // The agent takes a task out of its queue this way and keeps it running (clients/agent/tasks.dequeue.json).
    const status = optionalText(data, 'new_status') as TaskStatus | undefined;
    return { dequeued: 1, ...dequeueTask(store, task, { status, ...readReasons(data) }) };
  }),
  'tasks.dequeue_many': endpoint([1, 0], ({ store, data }) =>
    eachTask(requiredTexts(data, 'ids'), (id) => {
      const task = store.tasks.get(id);
      // An unknown id counts as dequeued (recording 270).
      const reply = task ? dequeueTask(store, task, readReasons(data)) : { updated: 0, fields: {} };
      return { dequeued: true, ...reply };
    }),
  ),
  'tasks.started': endpoint([1, 0], ({ store, data }) => {
    const task = getTask(store, requiredText(data, 'task'));
    const reply = changeStatus(store, task, {
      status: 'in_progress',
      ...readReasons(data),
      ...(task.started === undefined && { fields: { started: timeText(store) } }),
    });
    return { ...reply, started: reply.updated };
  }),
  'tasks.ping': endpoint([1, 0], ({ store, data }) => {
    const task = getTask(store, requiredText(data, 'task'));
    updateProgressTime(store, task);
    return {};
  }),
  'tasks.stop': endpoint([1, 0], ({ store, data }) =>
    stopTask(store, getTask(store, requiredText(data, 'task')), readReasons(data)),
  ),
  'tasks.stop_many': endpoint([1, 0], ({ store, data }) =>
    eachTask(requiredTexts(data, 'ids'), (id) => ({
      ...stopTask(store, getTask(store, id), readReasons(data)),
      stopped: true,
    })),
  ),
  'tasks.stopped': statusEndpoint('stopped', true),
  'tasks.failed': statusEndpoint('failed', true),
  'tasks.close': statusEndpoint('closed', false),
  'tasks.completed': endpoint([2, 2], ({ store, data }) => {
    const task = getTask(store, requiredText(data, 'task'));
    const change = readReasons(data);
    const publish = flag(data, 'publish');
    const completed = timeText(store);
    const reply = changeStatus(store, task, { status: 'completed', ...change, fields: { completed } });
    if (!publish) return { ...reply, published: 0 };
    publishTask(store, task, { force: true });
    return { fields: { ...reply.fields, status: 'published' }, published: 1, updated: 1 };
  }),
  'tasks.publish': endpoint([1, 0], ({ store, data }) =>
    publishTask(store, getTask(store, requiredText(data, 'task')), readReasons(data)),
  ),
  'tasks.reset': endpoint([1, 0], ({ store, data }) => {
    const task = getTask(store, requiredText(data, 'task'));
    const { fields, updated } = resetTask(store, task, flag(data, 'force'));
    return { deleted_models: 0, dequeued: {}, events: {}, fields, updated, urls: {} };
  }),
  'tasks.delete': endpoint([1, 0], ({ store, data }) => {
    const task = getTask(store, requiredText(data, 'task'));
    if (task.status !== 'created' && !task.system_tags.includes('archived') && !flag(data, 'force')) {
      throw new ClearmlApiError(400, 123, 'Task cannot be deleted (due to status, use force=True)', {
        task: task.id,
        expected: 'created',
        current: task.status,
      });
    }
    removeFromAllQueues(store, task.id);
    deleteEvents(store, task);
    store.tasks.delete(task.id);
    touchProject(store, task.project);
    return { deleted: true, updated_children: 0, updated_models: 0, deleted_models: 0, urls: null };
  }),
  'tasks.archive': endpoint([1, 0], ({ store, data }) => {
    const tasks = getTasks(store, requiredTexts(data, 'tasks'));
    for (const task of tasks) {
      const { reason, message } = readReasons(data);
      dequeueTask(store, task, { reason, message });
      Object.assign(task, {
        status_message: message ?? '',
        status_reason: reason ?? '',
        system_tags: [...new Set([...task.system_tags, 'archived'])].sort(),
        last_change: timeText(store),
        last_changed_by: user.id,
      });
    }
    return { archived: tasks.length };
  }),
};

function publishTask(
  store: Store,
  task: TaskDocument,
  options: { reason?: string | undefined; message?: string | undefined; force: boolean },
): StatusReply {
  return changeStatus(store, task, {
    status: 'published',
    ...options,
    fields: { published: timeText(store), output: task.output },
  });
}

/** Notes a sign of life; a running task's active duration (whole seconds) grows with it. */
export function updateProgressTime(store: Store, task: TaskDocument): void {
  markChanged(store, task);
  if (task.status === 'in_progress' && task.started !== undefined) {
    task.active_duration = Math.floor((store.nowMs() - Date.parse(task.started)) / 1000);
  }
}
