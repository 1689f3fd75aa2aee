import { type Endpoints, endpoint, steppedEndpoint } from './clearml-endpoint.ts';
import { ClearmlApiError, invalidRequest, serverTripped } from './clearml-error.ts';
import { projectCollection } from './clearml-fields.ts';
import { findDocuments, projectDocument, requestedFields } from './clearml-query.ts';
import { type Data, flag, optionalText, optionalTexts, requiredText } from './clearml-request.ts';
import type { Steps } from './clearml-steps.ts';
import {
  company,
  createId,
  type ProjectDocument,
  type Store,
  type TaskDocument,
  timeText,
  user,
} from './clearml-store.ts';

function findProjectByName(store: Store, name: string): ProjectDocument | undefined {
  for (const project of store.projects.values()) if (project.name === name) return project;
  return undefined;
}

const depthLimit = 10;
const partMinimum = 3;

/** The name as the server keeps and compares it: parts trimmed, empty ones dropped (recordings 346-350); blank ones are not empty. */
function readProjectName(text: string): string {
  const parts = text.split('/').filter((part) => part !== '');
  if (parts.length > depthLimit) {
    throw new ClearmlApiError(400, 409, 'Project path exceed the maximum allowed depth', {
      max_depth: String(depthLimit),
    });
  }
  return parts.map((part) => part.trim()).join('/');
}

/**
 * A project and the ones it is in: `a/b/c` lies in `a/b`, which lies in `a`. A part that is new has three characters (351, 352). Where
 * another request creates one of them meanwhile, the answer is 400/801 and names that one (clearml-server 2.3.0 in four processes).
 */
function* ensureProject(
  store: Store,
  name: string,
  fields: Record<string, unknown> = {},
): Steps<ProjectDocument> {
  const existing = findProjectByName(store, name);
  if (existing) return existing;
  const parts = name.split('/');
  if ((parts.at(-1) ?? '').length < partMinimum) throw invalidRequest('Project name cannot be blank');
  const location = parts.slice(0, -1).join('/');
  const parent = parts.length > 1 ? yield* ensureProject(store, readProjectName(location)) : undefined;
  if (parent && parent.name !== location) {
    throw serverTripped(`Project location ${location} does not match parent name ${parent.name}`);
  }
  yield { done: 'project looked for' };
  if (findProjectByName(store, name)) {
    throw nameTaken('Value combination already exists (unique field already contains this value)', name);
  }
  const now = timeText(store);
  if (parent) parent.last_update = now;
  const project: ProjectDocument = {
    id: createId(),
    company: company.id,
    user: user.id,
    name,
    basename: parts.at(-1) ?? name,
    description: '',
    created: now,
    tags: [],
    system_tags: [],
    last_update: now,
    featured: 9999,
    ...(parent && { parent: parent.id }),
    path: parent ? [...parent.path, parent.id] : [],
    ...fields,
  };
  store.projects.set(project.id, project);
  return project;
}

function nameTaken(message: string, name: string): ClearmlApiError {
  return new ClearmlApiError(400, 801, message, { name, company: company.id });
}

/** The project, or 400/401 (recording 079). */
function getProject(store: Store, id: string): ProjectDocument {
  const project = store.projects.get(id);
  if (!project) throw new ClearmlApiError(400, 401, 'Invalid project id', { id });
  return project;
}

function childrenOf(store: Store, project: ProjectDocument): ProjectDocument[] {
  return [...store.projects.values()].filter((child) => child.path.includes(project.id));
}

function tasksIn(store: Store, projects: readonly ProjectDocument[]): TaskDocument[] {
  const ids = new Set(projects.map((project) => project.id));
  return [...store.tasks.values()].filter((task) => task.project !== undefined && ids.has(task.project));
}

const statuses = [
  'closed',
  'completed',
  'created',
  'failed',
  'in_progress',
  'published',
  'publishing',
  'queued',
  'stopped',
  'unknown',
];

/** Counts over the project and what lies in it (recording 081). */
function projectStats(store: Store, project: ProjectDocument) {
  const tasks = tasksIn(store, [project, ...childrenOf(store, project)]).filter(
    (task) => !task.system_tags.includes('archived'),
  );
  const count = (status: string) => tasks.filter((task) => task.status === status).length;
  const dayAgoMs = store.nowMs() - 24 * 60 * 60 * 1000;
  const ended = tasks.filter((task) => task.completed !== undefined && task.started !== undefined);
  const seconds = (task: TaskDocument) =>
    (Date.parse(task.completed ?? '') - Date.parse(task.started ?? '')) / 1000;
  const starts = tasks.flatMap((task) => task.started ?? []).sort();
  return {
    active: {
      status_count: Object.fromEntries(statuses.map((status) => [status, count(status)])),
      total_tasks: tasks.length,
      total_runtime: Math.floor(ended.reduce((sum, task) => sum + Math.max(0, seconds(task)), 0)),
      completed_tasks_24h: ended.filter((task) => Date.parse(task.completed ?? '') > dayAgoMs).length,
      last_task_run: starts.at(-1) ?? null,
    },
  };
}

function findProjects(store: Store, data: Data) {
  return findDocuments(projectCollection, store.projects.values(), data, store.scrollPositions);
}

export const projectEndpoints: Endpoints = {
  'projects.create': steppedEndpoint([1, 0], function* ({ store, data }) {
    if (data.name === undefined || data.name === null) {
      throw new ClearmlApiError(400, 11, 'Missing required fields', { missing: '(name)' });
    }
    const given = requiredText(data, 'name');
    const name = readProjectName(given);
    if (given.split('/').every((part) => part === '')) {
      throw new ClearmlApiError(400, 407, 'Invalid project name', { name: given });
    }
    if (findProjectByName(store, name)) throw nameTaken('Project with the same name already exists', name);
    const destination = optionalText(data, 'default_output_destination');
    const project = yield* ensureProject(store, name, {
      description: optionalText(data, 'description') ?? '',
      tags: optionalTexts(data, 'tags').sort(),
      system_tags: optionalTexts(data, 'system_tags').sort(),
      ...(destination !== undefined && { default_output_destination: destination }),
    });
    return { id: project.id };
  }),
  'projects.get_all': endpoint([1, 0], ({ store, data }) => {
    const { documents, scrollId } = findProjects(store, data);
    const fields = requestedFields(data);
    const projects = documents.map((project) => projectDocument(projectCollection, project, fields));
    return { projects, ...(scrollId !== undefined && { scroll_id: scrollId }) };
  }),
  'projects.get_all_ex': endpoint([1, 0], ({ store, data }) => {
    const { documents, scrollId } = findProjects(store, data);
    const projects = documents.map((document) => {
      const project = document as ProjectDocument;
      return {
        ...projectDocument(projectCollection, project, []),
        company: { id: company.id },
        user: { id: user.id },
        ...(project.parent !== undefined && { parent: { id: project.parent } }),
        ...(flag(data, 'include_stats') && {
          stats: projectStats(store, project),
          sub_projects: childrenOf(store, project).map(({ id, name }) => ({ id, name })),
        }),
      };
    });
    return { projects, ...(scrollId !== undefined && { scroll_id: scrollId }) };
  }),
  'projects.get_by_id': endpoint([1, 0], ({ store, data }) => ({
    project: getProject(store, requiredText(data, 'project')),
  })),
  'projects.validate_delete': endpoint([1, 0], ({ store, data }) => {
    const project = getProject(store, requiredText(data, 'project'));
    const projects = [project, ...childrenOf(store, project)];
    const ids = new Set(projects.map(({ id }) => id));
    const tasks = tasksIn(store, projects);
    const models = [...store.models.values()].filter((model) => ids.has(String(model.project)));
    return {
      pipelines: 0,
      datasets: 0,
      tasks: tasks.length,
      non_archived_tasks: tasks.filter((task) => !task.system_tags.includes('archived')).length,
      models: models.length,
      non_archived_models: models.length,
      reports: 0,
      non_archived_reports: 0,
    };
  }),
};
