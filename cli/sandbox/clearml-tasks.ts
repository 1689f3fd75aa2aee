import { escapeKey } from './clearml-document-rules.ts';
import { type Call, type Endpoints, endpoint } from './clearml-endpoint.ts';
import { ClearmlApiError, unknownTask, wrongStatus } from './clearml-error.ts';
import { projectCollection, queueCollection, taskCollection } from './clearml-fields.ts';
import { findDocuments, projectDocument, requestedFields, valueAt } from './clearml-query.ts';
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
  getTask,
  getTasks,
  getWritableTasks,
  type Store,
  type TaskDocument,
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
import { markChanged, touchProject } from './clearml-task-status.ts';

/** Editing wants status `created`, with force `queued` and `in_progress` too (recordings 209, 210). */
function getEditableTask(store: Store, id: string, force: boolean): TaskDocument {
  const task = getTask(store, id);
  const running = task.status === 'queued' || task.status === 'in_progress';
  if (task.status !== 'created' && !(force && running)) {
    throw wrongStatus({ expected: 'created', status: task.status });
  }
  return task;
}

/** Changing only these leaves last_update alone (recordings 135, 201-203 against 206, 217); the Kubernetes glue writes the message. */
const namingFields = ['name', 'comment', 'tags', 'system_tags', 'project', 'status_message'];

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

/** What makes, shows and edits tasks. */
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
    const message = optionalText(data, 'status_message');
    const fields = readTaskFields(store, allowed);
    return applyFields(store, task, { ...fields, ...(message !== undefined && { status_message: message }) });
  }),
  'tasks.update_tags': endpoint([1, 0], ({ store, data }) => {
    const tasks = getWritableTasks(store, requiredTexts(data, 'ids'));
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
  // Goes as with force, whatever is asked (recording 216). Keys are escaped as in the database and shown so.
  'tasks.edit_runtime': endpoint([1, 0], ({ store, data }) => {
    const task = getEditableTask(store, requiredText(data, 'task'), true);
    const added = Object.entries(optionalObject(data, 'add_or_update') ?? {});
    const removed = optionalTexts(data, 'remove').map(escapeKey);
    if (added.length + removed.length === 0) return { updated: 0 };
    const kept = Object.entries(task.runtime).filter(([name]) => !removed.includes(name));
    task.runtime = Object.fromEntries([...kept, ...added.map(([name, value]) => [escapeKey(name), value])]);
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
};
