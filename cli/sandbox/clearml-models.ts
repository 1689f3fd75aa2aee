import { type Endpoints, endpoint } from './clearml-endpoint.ts';
import { ClearmlApiError } from './clearml-error.ts';
import { type Data, flag, optionalText, requiredText } from './clearml-request.ts';
import { company, createId, type ModelDocument, type Store, timeText, user } from './clearml-store.ts';

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
};
