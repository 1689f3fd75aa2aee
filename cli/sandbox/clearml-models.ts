import { type Endpoints, endpoint } from './clearml-endpoint.ts';
import { ClearmlApiError } from './clearml-error.ts';
import { modelCollection } from './clearml-fields.ts';
import { findDocuments, projectDocument, requestedFields } from './clearml-query.ts';
import {
  type Data,
  flag,
  optionalText,
  optionalTexts,
  requiredText,
  requiredTexts,
} from './clearml-request.ts';
import { company, createId, type ModelDocument, type Store, timeText, user } from './clearml-store.ts';
import { checkTags } from './clearml-task-document.ts';
import { publishTask } from './clearml-task-lifecycle.ts';

function getModel(store: Store, id: string): ModelDocument {
  const model = store.models.get(id);
  if (!model) throw new ClearmlApiError(400, 201, 'Invalid model id', { id, company: company.id });
  return model;
}

const editableFields = [
  'name',
  'tags',
  'system_tags',
  'task',
  'comment',
  'uri',
  'project',
  'framework',
  'design',
  'labels',
  'ready',
  'metadata',
];

function givenFields(data: Data): Record<string, unknown> {
  const given = editableFields.filter((field) => data[field] !== undefined && data[field] !== null);
  return Object.fromEntries(given.map((field) => [field, data[field]]));
}

export const modelEndpoints: Endpoints = {
  'models.create': endpoint([1, 0], ({ store, data }) => {
    const now = timeText(store);
    const model: ModelDocument = {
      id: createId(),
      company: company.id,
      user: user.id,
      created: now,
      tags: [],
      system_tags: [],
      design: {},
      labels: {},
      last_update: now,
      last_change: now,
      last_changed_by: user.id,
      metadata: {},
      last_iteration: 0,
      last_metrics: {},
      ...givenFields(data),
      name: requiredText(data, 'name'),
      uri: requiredText(data, 'uri'),
      ready: flag(data, 'ready', true),
    };
    const task = optionalText(data, 'task');
    if (task !== undefined) model.task = task;
    store.models.set(model.id, model);
    return { created: true, id: model.id };
  }),
  'models.edit': endpoint([1, 0], ({ store, data }) => {
    const model = getModel(store, requiredText(data, 'model'));
    const fields = givenFields(data);
    if (Object.keys(fields).length === 0) return { updated: 0 };
    const now = timeText(store);
    Object.assign(fields, { ui_cache: {}, last_change: now, last_changed_by: user.id, last_update: now });
    Object.assign(model, fields);
    return { fields, updated: 1 };
  }),
  'models.get_by_id': endpoint([1, 0], ({ store, data }) => {
    const { ui_cache: _hidden, ...model } = getModel(store, requiredText(data, 'model'));
    return { model };
  }),
  'models.get_all': endpoint([1, 0], ({ store, data }) => {
    const { documents, scrollId } = findDocuments(
      modelCollection,
      store.models.values(),
      data,
      store.scrollPositions,
    );
    const fields = requestedFields(data);
    return {
      models: documents.map((model) => projectDocument(modelCollection, model, fields)),
      ...(scrollId !== undefined && { scroll_id: scrollId }),
    };
  }),
  // Ids that nobody has are passed over, where tasks.update_tags refuses (services/models.py, bll/organization `edit_entity_tags`).
  'models.update_tags': endpoint([1, 0], ({ store, data }) => {
    const models = requiredTexts(data, 'ids').flatMap((id) => store.models.get(id) ?? []);
    const add = optionalTexts(data, 'add_tags');
    const remove = optionalTexts(data, 'remove_tags');
    checkTags(add, remove);
    for (const model of models) {
      model.tags = [...new Set([...model.tags, ...add])].filter((tag) => !remove.includes(tag)).sort();
      Object.assign(model, { last_change: timeText(store), last_changed_by: user.id });
    }
    return { updated: models.length * (Number(add.length > 0) + Number(remove.length > 0)) };
  }),
  // Publishes the task too, unless told not to (bll/model `publish_model`).
  'models.set_ready': endpoint([1, 0], ({ store, data }) => {
    const model = getModel(store, requiredText(data, 'model'));
    if (model.ready)
      throw new ClearmlApiError(400, 203, 'Model is ready', { company: company.id, model: model.id });
    const task = typeof model.task === 'string' ? store.tasks.get(model.task) : undefined;
    const publishes = flag(data, 'publish_task', true) && task !== undefined && task.status !== 'published';
    const published = publishes
      ? { id: task.id, data: publishTask(store, task, { force: flag(data, 'force_publish_task') }) }
      : undefined;
    const now = timeText(store);
    Object.assign(model, { ready: true, last_update: now, last_change: now, last_changed_by: user.id });
    return { updated: 1, ...(published !== undefined && { published_task: published }) };
  }),
};
