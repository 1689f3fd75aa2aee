import * as v from 'valibot';
import { type ClearmlClient, isRefusal } from '../clearml/client.ts';
import { findQueues } from '../clearml/queues.ts';
import { findTasks, listParams, PAGE_SIZE, type TaskFilter, type TaskOf } from '../clearml/tasks.ts';
import { escapeRegExp } from '../shell/redaction.ts';
import { AnswerLost } from '../shell/retry.ts';
import { isTaskId, RUNTIME_KEYS, tagPullRequest } from '../training/task.ts';
import type { KnownTask, LaunchServer, Queue } from './ports.ts';

const Id = v.pipe(v.string(), v.minLength(1));
const ProjectsSchema = v.object({ projects: v.array(v.object({ id: Id, name: v.string() })) });
const QueuesSchema = v.object({ queues: v.array(v.object({ name: v.string() })) });
const CreatedSchema = v.object({ id: Id });
const EnqueuedSchema = v.object({ queue_watched: v.optional(v.boolean()) });

const TASK_FIELDS = [
  'status',
  'created',
  'project',
  'script',
  'hyperparams',
  'container',
  'execution.queue',
  'tags',
  'system_tags',
  'runtime',
] as const;

/** Whom a launch asks, and until when. */
interface Ask {
  readonly client: ClearmlClient;
  readonly signal: AbortSignal | undefined;
}

/** What a launch asks of ClearML, over its REST API. */
export function createLaunchServer(client: ClearmlClient, signal?: AbortSignal): LaunchServer {
  const ask: Ask = { client, signal };
  return {
    findProject: (name) => findProject(ask, name),
    ensureProject: (name) => ensureProject(ask, name),
    findQueue: (nameOrId) => findQueue(ask, nameOrId),
    listQueueNames: () => listQueueNames(ask),
    findTasksByKey: (keys, pipelineHash) => findTasksByKey(ask, keys, pipelineHash),
    findUnfinished: (pullRequest, pipelineHash) => findUnfinished(ask, pullRequest, pipelineHash),
    createTask: (document, projectId) => createTask(ask, { ...document, project: projectId }),
    enqueueTask: (taskId, queueId) => enqueueTask(ask, taskId, queueId),
    deleteDraft: (taskId) => deleteDraft(ask, taskId),
    changeTags: (taskId, tags) => changeTags(ask, taskId, tags),
  };
}

async function findProject({ client, signal }: Ask, name: string): Promise<string | undefined> {
  const query = { name: matchExactly(name), only_fields: ['id', 'name'], page: 0, page_size: PAGE_SIZE };
  const options = { isRepeatable: true, signal };
  const { projects } = await client.call('projects.get_all', query, ProjectsSchema, options);
  return projects.find((project) => project.name === name)?.id;
}

async function ensureProject(ask: Ask, name: string): Promise<string> {
  const { client, signal } = ask;
  try {
    const body = { name, description: '' };
    const options = { isRepeatable: true, signal };
    return (await client.call('projects.create', body, CreatedSchema, options)).id;
  } catch (error) {
    // Somebody else created it in the meantime, or our own first request landed unanswered.
    const id = isRefusal(error, 'project exists') ? await findProject(ask, name) : undefined;
    if (id === undefined) throw error;
    return id;
  }
}

async function findQueue({ client, signal }: Ask, nameOrId: string): Promise<Queue | undefined> {
  const find = async (filter: Readonly<Record<string, unknown>>): Promise<Queue[]> =>
    (await findQueues(client, filter, { signal })).map(({ id, name, entries, workers }) => ({
      id,
      name,
      taskIds: entries,
      workers: workers.length,
    }));
  const byName = await find({ name: matchExactly(nameOrId) });
  const named = byName.find((queue) => queue.name === nameOrId);
  if (named !== undefined || !isTaskId(nameOrId)) return named;
  return (await find({ id: [nameOrId] })).find((queue) => queue.id === nameOrId);
}

async function listQueueNames({ client, signal }: Ask): Promise<string[]> {
  const query = { only_fields: ['name'], page: 0, page_size: PAGE_SIZE };
  const options = { isRepeatable: true, signal };
  const { queues } = await client.call('queues.get_all', query, QueuesSchema, options);
  return queues.map((queue) => queue.name);
}

async function findTasksByKey(ask: Ask, keys: readonly string[], pipelineHash: string): Promise<KnownTask[]> {
  if (keys.length === 0) return [];
  const pattern = `^(${keys.map(escapeRegExp).join('|')})$`;
  const tasks = await findKnownTasks(ask, { _any_: { fields: [`runtime.${RUNTIME_KEYS.key}`], pattern } });
  return tasks.filter(
    ({ runtime }) =>
      keys.includes(runtime[RUNTIME_KEYS.key] ?? '') && runtime[RUNTIME_KEYS.pipeline] === pipelineHash,
  );
}

async function findUnfinished(ask: Ask, pullRequest: number, pipelineHash: string): Promise<KnownTask[]> {
  const tag = tagPullRequest(pullRequest);
  const tasks = await findKnownTasks(ask, {
    status: ['queued', 'in_progress'],
    [`runtime.${RUNTIME_KEYS.pipeline}`]: pipelineHash,
    tags: [tag],
  });
  return tasks.filter(
    ({ status, runtime, tags }) =>
      (status === 'queued' || status === 'in_progress') &&
      runtime[RUNTIME_KEYS.pipeline] === pipelineHash &&
      tags.includes(tag),
  );
}

/** All that the filter finds, oldest first. */
async function findKnownTasks({ client, signal }: Ask, filter: TaskFilter): Promise<KnownTask[]> {
  const oldestFirst = { ...filter, order_by: ['created'] };
  return (await findTasks(client, oldestFirst, TASK_FIELDS, { signal })).map(toKnownTask);
}

async function createTask(
  { client, signal }: Ask,
  document: Readonly<Record<string, unknown>>,
): ReturnType<LaunchServer['createTask']> {
  try {
    return await client.call('tasks.create', document, CreatedSchema, { isRepeatable: false, signal });
  } catch (error) {
    if (error instanceof AnswerLost) return { lost: error };
    throw error;
  }
}

async function enqueueTask(
  { client, signal }: Ask,
  taskId: string,
  queueId: string,
): ReturnType<LaunchServer['enqueueTask']> {
  try {
    const body = { task: taskId, queue: queueId, verify_watched_queue: true };
    const options = { isRepeatable: false, signal };
    const { queue_watched: isWatched } = await client.call('tasks.enqueue', body, EnqueuedSchema, options);
    return { isWatched };
  } catch (error) {
    if (error instanceof AnswerLost) return { lost: error };
    // Somebody, or our own lost request, was faster.
    if (isRefusal(error, 'queued already')) return { isWatched: undefined };
    // Running or ended already, or deleted.
    if (isRefusal(error, 'wrong status', 'no such task')) return { moved: error };
    throw error;
  }
}

async function deleteDraft({ client, signal }: Ask, taskId: string): Promise<void> {
  try {
    await client.call('tasks.delete', { task: taskId }, v.unknown(), { isRepeatable: true, signal });
  } catch (error) {
    if (!isRefusal(error, 'no draft', 'no such task')) throw error;
  }
}

async function changeTags(
  { client, signal }: Ask,
  taskId: string,
  { add, remove = [] }: Parameters<LaunchServer['changeTags']>[1],
): Promise<void> {
  const body = {
    ids: [taskId],
    ...(add.length === 0 ? {} : { add_tags: add }),
    ...(remove.length === 0 ? {} : { remove_tags: remove }),
  };
  await client.call('tasks.update_tags', body, v.unknown(), { isRepeatable: true, signal });
}

/** A filter for exactly this name: ClearML takes names for Python regular expressions, unanchored. */
function matchExactly(name: string): string {
  return `^${escapeRegExp(name)}$`;
}

function toKnownTask(task: TaskOf<(typeof TASK_FIELDS)[number]>): KnownTask {
  const { script, container, hyperparams } = task;
  const { pip = '' } = script.requirements;
  return {
    id: task.id,
    projectId: task.project,
    queueId: task.execution.queue,
    status: task.status,
    createdMs: task.created ?? Number.NaN,
    commit: script.version_num,
    tags: task.tags,
    isArchived: task.system_tags.includes('archived'),
    runtime: task.runtime,
    content: {
      entryPoint: script.entry_point ?? '',
      workingDir: script.working_dir ?? '',
      diff: script.diff,
      requirements: Array.isArray(pip) ? pip.join('\n') : typeof pip === 'string' ? pip : '',
      image: container.image ?? '',
      imageArguments: container.arguments ?? '',
      params: Object.fromEntries(listParams(hyperparams).map(([name, value]) => [name, value ?? ''])),
    },
  };
}
