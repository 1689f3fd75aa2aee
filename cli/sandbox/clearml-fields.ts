import type { Collection, FieldTree } from './clearml-query.ts';

// The fields of each collection, as far as `only_fields`, `order_by` and `_any_` may name them: true is a plain field, 'any' one below
// which everything may be named. A field that is not here is 400/14 (recordings 290, 291), `project.name` among them.

const item: FieldTree = { section: true, name: true, value: true, type: true, description: true };

const modelItem: FieldTree = { name: true, model: true, updated: true };

const taskFields: FieldTree = {
  id: true,
  company: true,
  user: true,
  name: true,
  type: true,
  status: true,
  status_reason: true,
  status_message: true,
  status_changed: true,
  comment: true,
  report: true,
  report_assets: true,
  created: true,
  started: true,
  completed: true,
  published: true,
  active_duration: true,
  parent: true,
  project: true,
  output: { destination: true, model: true, error: true, result: true, view: 'any' },
  execution: {
    test_split: true,
    parameters: 'any',
    model_desc: 'any',
    model_labels: 'any',
    framework: true,
    artifacts: 'any',
    queue: true,
  },
  tags: true,
  system_tags: true,
  script: {
    binary: true,
    repository: true,
    tag: true,
    branch: true,
    version_num: true,
    entry_point: true,
    working_dir: true,
    requirements: 'any',
    diff: true,
  },
  last_worker: true,
  last_worker_report: true,
  last_update: true,
  last_change: true,
  last_iteration: true,
  last_metrics: 'any',
  unique_metrics: true,
  metric_stats: 'any',
  company_origin: true,
  duration: true,
  hyperparams: 'any',
  configuration: 'any',
  runtime: 'any',
  models: { input: modelItem, output: modelItem },
  container: 'any',
  enqueue_status: true,
  last_changed_by: true,
};

/** Filters that work are those listed here; all others are ignored without a word (recording 296 and the facts). */
export const taskCollection: Collection = {
  fields: taskFields,
  hidden: ['unique_metrics', 'enqueue_status', 'company_origin'],
  patterns: ['name', 'comment', 'report'],
  lists: [
    'id',
    'user',
    'tags',
    'system_tags',
    'type',
    'status',
    'project',
    'parent',
    'hyperparams.*',
    'execution.queue',
    'models.input.model',
  ],
  ranges: ['created', 'started', 'active_duration', 'last_metrics.*', 'last_iteration'],
  values: ['runtime.*'],
  times: ['status_changed', 'last_update', 'last_change'],
  numericOrder: ['execution.parameters.', 'last_metrics.', 'hyperparams.'],
};

export const queueCollection: Collection = {
  fields: {
    id: true,
    name: true,
    display_name: true,
    company: true,
    created: true,
    tags: true,
    system_tags: true,
    entries: { task: true, added: true },
    last_update: true,
    metadata: 'any',
  },
  hidden: [],
  patterns: ['name'],
  lists: ['tags', 'system_tags', 'id'],
  ranges: [],
  values: [],
  times: [],
  numericOrder: [],
};

export const projectCollection: Collection = {
  fields: {
    id: true,
    company: true,
    user: true,
    name: true,
    basename: true,
    description: true,
    created: true,
    tags: true,
    system_tags: true,
    default_output_destination: true,
    last_update: true,
    featured: true,
    parent: true,
    path: true,
  },
  hidden: ['path'],
  patterns: ['name', 'basename', 'description'],
  lists: ['tags', 'system_tags', 'id', 'parent', 'path'],
  ranges: ['last_update'],
  values: [],
  times: [],
  numericOrder: [],
};

/** The fields and filters of models (apiserver/database/model/model.py, `get_all_query_options`). */
export const modelCollection: Collection = {
  fields: {
    id: true,
    company: true,
    user: true,
    name: true,
    parent: true,
    project: true,
    created: true,
    task: true,
    comment: true,
    tags: true,
    system_tags: true,
    uri: true,
    framework: true,
    design: 'any',
    labels: 'any',
    ready: true,
    last_update: true,
    last_change: true,
    last_changed_by: true,
    ui_cache: 'any',
    company_origin: true,
    metadata: 'any',
    last_iteration: true,
    last_metrics: 'any',
    unique_metrics: true,
  },
  hidden: ['ui_cache', 'company_origin', 'unique_metrics'],
  patterns: ['name', 'comment'],
  lists: ['tags', 'system_tags', 'framework', 'uri', 'id', 'user', 'project', 'task', 'parent', 'metadata.*'],
  ranges: ['created', 'last_metrics.*', 'last_iteration'],
  values: ['ready'],
  times: ['last_update', 'last_change'],
  numericOrder: ['metadata.', 'last_metrics.'],
};

/** The names a hyperparameter item may have (recording 095 checks their types). */
export const hyperparamItem = item;

/** The names in a task's script; others are 400/12 (recording 091). */
export const scriptFields = Object.keys(taskFields.script as FieldTree);
