import { ClearmlApiError, invalidDocument, invalidField, invalidRequest } from './clearml-error.ts';
import { hyperparamItem, scriptFields } from './clearml-fields.ts';
import { invalidValue } from './clearml-query.ts';
import { type Data, isObject, optionalObject, optionalText, requiredText } from './clearml-request.ts';
import { company, createId, type Store, type TaskDocument, timeText, user } from './clearml-store.ts';

const taskTypes = [
  'training',
  'testing',
  'inference',
  'data_processing',
  'application',
  'monitor',
  'controller',
  'report',
  'optimizer',
  'service',
  'qc',
  'custom',
];

/** The fields of a task that a client may set when it creates or edits it. */
export type TaskFields = Partial<
  Pick<
    TaskDocument,
    | 'name'
    | 'type'
    | 'parent'
    | 'project'
    | 'tags'
    | 'system_tags'
    | 'script'
    | 'execution'
    | 'output'
    | 'hyperparams'
    | 'configuration'
    | 'runtime'
    | 'container'
    | 'models'
  >
> & { comment?: string };

function sortedTags(data: Data, field: 'tags' | 'system_tags'): string[] | undefined {
  const value = data[field];
  if (value === undefined || value === null) return undefined;
  if (!Array.isArray(value))
    throw invalidDocument(field, 'Only lists and tuples may be used in a list field');
  return [...value.map(String)].sort();
}

function checkName(name: string): void {
  if (name.trim().length < 3) throw invalidDocument('name', 'String value is too short');
}

/** Values are texts: a number is refused, not converted (recording 095). */
function checkItems(field: string, sections: Record<string, unknown>): void {
  for (const [section, items] of Object.entries(sections)) {
    if (!isObject(items)) throw invalidDocument(field, `Only dictionaries may be used in a DictField`);
    for (const [name, item] of Object.entries(items)) {
      if (!isObject(item)) throw invalidDocument(field, 'Invalid embedded document instance');
      for (const [key, value] of Object.entries(item)) {
        if (!Object.hasOwn(hyperparamItem, key)) {
          throw new ClearmlApiError(400, 12, 'Validation error', { document: 'ParamsItem', field: key });
        }
        if (value !== null && typeof value !== 'string') {
          const reason = `{'${section}': {'${name}': {'${key}': ValidationError(StringField only accepts string values,)}}}`;
          throw invalidDocument(field, reason);
        }
      }
    }
  }
}

function readScript(data: Data): Record<string, unknown> | undefined {
  const script = optionalObject(data, 'script');
  if (!script) return undefined;
  const fields: Record<string, unknown> = {};
  for (const [field, value] of Object.entries(script)) {
    if (!scriptFields.includes(field)) {
      throw new ClearmlApiError(400, 12, 'Validation error', { document: 'Script', field });
    }
    if (value !== null) fields[field] = typeof value === 'string' && field !== 'diff' ? value.trim() : value;
  }
  return fields;
}

function checkReference(exists: boolean, kind: string, field: string, id: string): void {
  if (!exists) throw invalidValue(`expecting ${kind} id`, { id, field });
}

/**
 * Reads the fields that a client sets. Unknown fields on top are ignored (recording 090), among them `id`: ids can't be chosen.
 * @throws ClearmlApiError as recordings 084-098 show
 */
export function readTaskFields(store: Store, data: Data): TaskFields {
  const fields: TaskFields = {};
  const name = optionalText(data, 'name');
  const type = optionalText(data, 'type');
  if (type !== undefined && !taskTypes.includes(type)) {
    throw invalidField('type', `: value '${type}' is not a valid choice..`);
  }
  if (name !== undefined) fields.name = name;
  if (type !== undefined) fields.type = type;
  const comment = optionalText(data, 'comment');
  if (comment !== undefined) fields.comment = comment;
  const project = optionalText(data, 'project');
  const parent = optionalText(data, 'parent');
  const script = readScript(data);
  if (script) fields.script = script;
  const tags = sortedTags(data, 'tags');
  if (tags) fields.tags = tags;
  const systemTags = sortedTags(data, 'system_tags');
  if (systemTags) fields.system_tags = systemTags;
  if (project) {
    checkReference(store.projects.has(project), 'Project', 'project', project);
    fields.project = project;
  }
  if (parent) {
    checkReference(store.tasks.has(parent), 'Task', 'parent', parent);
    fields.parent = parent;
  }
  if (name !== undefined) checkName(name);
  const hyperparams = optionalObject(data, 'hyperparams');
  if (hyperparams) {
    checkItems('hyperparams', hyperparams);
    fields.hyperparams = hyperparams as TaskFields['hyperparams'] & object;
  }
  const execution = optionalObject(data, 'execution');
  if (execution) fields.execution = execution;
  const outputDestination = optionalText(data, 'output_dest');
  if (outputDestination !== undefined) fields.output = { destination: outputDestination };
  const models = optionalObject(data, 'models');
  if (models) fields.models = models as TaskFields['models'] & object;
  for (const field of ['configuration', 'runtime', 'container'] as const) {
    const value = optionalObject(data, field);
    if (value) fields[field] = value;
  }
  return fields;
}

/** The document of a new task: what the client gave over the server's defaults. */
export function createTaskDocument(store: Store, data: Data): TaskDocument {
  requiredText(data, 'name');
  requiredText(data, 'type');
  const fields = readTaskFields(store, data);
  return newTask(store, fields);
}

/** A new task, status `created`. */
export function newTask(store: Store, fields: TaskFields): TaskDocument {
  const now = timeText(store);
  return {
    id: createId(),
    company: company.id,
    user: user.id,
    name: '',
    type: 'training',
    status: 'created',
    report_assets: [],
    created: now,
    output: {},
    tags: [],
    system_tags: [],
    last_update: now,
    last_change: now,
    last_iteration: 0,
    last_metrics: {},
    metric_stats: {},
    hyperparams: {},
    configuration: {},
    runtime: {},
    container: {},
    last_changed_by: user.id,
    ...fields,
    models: { input: [], output: [], ...fields.models },
    execution: {
      test_split: 0,
      parameters: {},
      model_desc: {},
      model_labels: {},
      artifacts: [],
      ...fields.execution,
    },
    script: { binary: 'python', repository: '', entry_point: '', requirements: {}, ...fields.script },
  };
}

/** Refuses a change of tags that changes none (recording 198). */
export function checkTags(add: readonly string[], remove: readonly string[]): void {
  if (add.length === 0 && remove.length === 0) {
    throw invalidRequest('Either add tags or remove tags should be provided');
  }
}
