import {
  checkContainer,
  checkKeys,
  readConfiguration,
  readHyperparams,
  readMap,
  readScript,
  readTags,
} from './clearml-document-rules.ts';
import { invalidDocument, invalidField, invalidRequest } from './clearml-error.ts';
import { invalidValue } from './clearml-query.ts';
import { type Data, optionalObject, optionalText, requiredText } from './clearml-request.ts';
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

function checkName(name: string): void {
  if (name.trim().length < 3) throw invalidDocument('name', 'String value is too short');
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
  if (name !== undefined) fields.name = name.trim();
  if (type !== undefined) fields.type = type;
  const comment = optionalText(data, 'comment');
  if (comment !== undefined) fields.comment = comment;
  const project = optionalText(data, 'project');
  const parent = optionalText(data, 'parent');
  const script = optionalObject(data, 'script');
  if (script) fields.script = readScript(script);
  const tags = readTags(data, 'tags');
  if (tags) fields.tags = tags;
  const systemTags = readTags(data, 'system_tags');
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
  const hyperparams = readMap(data, 'hyperparams');
  if (hyperparams) fields.hyperparams = readHyperparams(hyperparams);
  const configuration = readMap(data, 'configuration');
  if (configuration) fields.configuration = readConfiguration(configuration);
  const execution = optionalObject(data, 'execution');
  if (execution) fields.execution = execution;
  const outputDestination = optionalText(data, 'output_dest');
  if (outputDestination !== undefined) fields.output = { destination: outputDestination };
  const models = optionalObject(data, 'models');
  if (models) fields.models = models as TaskFields['models'] & object;
  const container = readMap(data, 'container');
  if (container) {
    checkContainer(container);
    fields.container = container;
  }
  const runtime = readMap(data, 'runtime');
  if (runtime) {
    checkKeys('runtime', runtime);
    fields.runtime = runtime;
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
