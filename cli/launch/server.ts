import * as v from 'valibot';
import { AnswerLost, type ClearmlClient, ClearmlRefusal } from '../clearml/client.ts';
import { StatusSchema } from '../clearml/fields.ts';
import { escapeRegExp } from '../shell/redaction.ts';
import { isTaskId, RUNTIME_KEYS, tagPullRequest } from '../training/task.ts';
import type { KnownTask, LaunchServer, Queue } from './ports.ts';

/** A page of `get_all`; the server caps larger ones silently (recordings 324-326). */
const PAGE_SIZE = 500;

const Id = v.pipe(v.string(), v.minLength(1));

const ProjectsSchema = v.object({ projects: v.array(v.object({ id: Id, name: v.string() })) });

const QueuesSchema = v.object({ queues: v.array(v.object({ name: v.string() })) });

const QueueDetailsSchema = v.object({
  queues: v.array(
    v.object({
      id: Id,
      name: v.string(),
      entries: v.optional(v.array(v.object({ task: v.union([Id, v.object({ id: Id })]) })), []),
      workers: v.optional(v.array(v.unknown()), []),
    }),
  ),
});

const Texts = v.pipe(
  v.record(v.string(), v.unknown()),
  v.transform((map) =>
    Object.fromEntries(
      Object.entries(map).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
    ),
  ),
);

const Text = v.optional(v.nullable(v.string()));

const TasksSchema = v.object({
  tasks: v.array(
    v.object({
      id: Id,
      status: StatusSchema,
      created: v.string(),
      project: v.optional(v.nullable(v.string())),
      script: v.optional(
        v.object({
          version_num: Text,
          entry_point: Text,
          working_dir: Text,
          diff: Text,
          requirements: v.nullish(v.object({ pip: v.nullish(v.union([v.string(), v.array(v.string())])) })),
        }),
      ),
      hyperparams: v.nullish(v.record(v.string(), v.record(v.string(), v.object({ value: Text }))), {}),
      container: v.nullish(v.object({ image: Text, arguments: Text }), {}),
      execution: v.nullish(v.object({ queue: Text }), {}),
      tags: v.optional(v.array(v.string()), []),
      system_tags: v.optional(v.array(v.string()), []),
      runtime: v.optional(Texts, {}),
    }),
  ),
});

const TASK_FIELDS = [
  'id',
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
];

const CreatedSchema = v.object({ id: Id });
const EnqueuedSchema = v.object({ queue_watched: v.optional(v.boolean()) });
const AnythingSchema = v.unknown();

/** What a launch asks of ClearML, over its REST API. */
export function createLaunchServer(client: ClearmlClient, signal?: AbortSignal): LaunchServer {
  const read = { isRepeatable: true, signal };

  async function findTasks(filter: Readonly<Record<string, unknown>>): Promise<KnownTask[]> {
    const tasks: KnownTask[] = [];
    for (let page = 0; ; page += 1) {
      const answer = await client.call(
        'tasks.get_all',
        { ...filter, only_fields: TASK_FIELDS, order_by: ['created'], page, page_size: PAGE_SIZE },
        TasksSchema,
        read,
      );
      tasks.push(...answer.tasks.map(toKnownTask));
      if (answer.tasks.length < PAGE_SIZE) return tasks;
    }
  }

  async function findProject(name: string): Promise<string | undefined> {
    const { projects } = await client.call(
      'projects.get_all',
      { name: matchExactly(name), only_fields: ['id', 'name'], page: 0, page_size: PAGE_SIZE },
      ProjectsSchema,
      read,
    );
    return projects.find((project) => project.name === name)?.id;
  }

  async function findQueueBy(filter: Readonly<Record<string, unknown>>): Promise<Queue[]> {
    const { queues } = await client.call('queues.get_all_ex', filter, QueueDetailsSchema, read);
    return queues.map((queue) => ({
      id: queue.id,
      name: queue.name,
      taskIds: queue.entries.map(({ task }) => (typeof task === 'string' ? task : task.id)),
      workers: queue.workers.length,
    }));
  }

  return {
    findProject,

    async ensureProject(name) {
      try {
        const { id } = await client.call('projects.create', { name, description: '' }, CreatedSchema, {
          isRepeatable: true,
          signal,
        });
        return id;
      } catch (error) {
        // Somebody else created it in the meantime, or our own first request landed unanswered (recording 073).
        const exists = error instanceof ClearmlRefusal && error.is(400, 801);
        const id = exists ? await findProject(name) : undefined;
        if (id === undefined) throw error;
        return id;
      }
    },

    async findQueue(nameOrId) {
      const byName = await findQueueBy({ name: matchExactly(nameOrId) });
      const named = byName.find((queue) => queue.name === nameOrId);
      if (named !== undefined || !isTaskId(nameOrId)) return named;
      return (await findQueueBy({ id: [nameOrId] })).find((queue) => queue.id === nameOrId);
    },

    async listQueueNames() {
      const { queues } = await client.call(
        'queues.get_all',
        { only_fields: ['name'], page: 0, page_size: PAGE_SIZE },
        QueuesSchema,
        read,
      );
      return queues.map((queue) => queue.name);
    },

    async findTasksByKey(keys, pipelineHash) {
      if (keys.length === 0) return [];
      const tasks = await findTasks({
        _any_: {
          fields: [`runtime.${RUNTIME_KEYS.key}`],
          pattern: `^(${keys.map(escapeRegExp).join('|')})$`,
        },
      });
      return tasks.filter(
        ({ runtime }) =>
          keys.includes(runtime[RUNTIME_KEYS.key] ?? '') && runtime[RUNTIME_KEYS.pipeline] === pipelineHash,
      );
    },

    async findUnfinished(pullRequest, pipelineHash) {
      const tasks = await findTasks({
        status: ['queued', 'in_progress'],
        [`runtime.${RUNTIME_KEYS.pipeline}`]: pipelineHash,
        tags: [tagPullRequest(pullRequest)],
      });
      return tasks.filter(
        ({ status, runtime, tags }) =>
          (status === 'queued' || status === 'in_progress') &&
          runtime[RUNTIME_KEYS.pipeline] === pipelineHash &&
          tags.includes(tagPullRequest(pullRequest)),
      );
    },

    async createTask(document, projectId) {
      try {
        const body = { ...document, project: projectId };
        return await client.call('tasks.create', body, CreatedSchema, { isRepeatable: false, signal });
      } catch (error) {
        if (error instanceof AnswerLost) return { lost: error };
        throw error;
      }
    },

    async enqueueTask(taskId, queueId) {
      try {
        const { queue_watched: isWatched } = await client.call(
          'tasks.enqueue',
          { task: taskId, queue: queueId, verify_watched_queue: true },
          EnqueuedSchema,
          { isRepeatable: false, signal },
        );
        return { isWatched };
      } catch (error) {
        if (error instanceof AnswerLost) return { lost: error };
        if (!(error instanceof ClearmlRefusal)) throw error;
        // In that queue already (recording 111): somebody, or our own lost request, was faster.
        if (error.is(400, 706)) return { isWatched: undefined };
        // Running or ended already (recording 133), or deleted (recording 120).
        if (error.is(400, 110) || error.is(400, 101)) return { moved: error };
        throw error;
      }
    },

    async deleteDraft(taskId) {
      try {
        // Without `force` the server deletes drafts only (recording 136).
        await client.call('tasks.delete', { task: taskId }, AnythingSchema, { isRepeatable: true, signal });
      } catch (error) {
        if (error instanceof ClearmlRefusal && (error.is(400, 123) || error.is(400, 101))) return;
        throw error;
      }
    },

    async changeTags(taskId, { add, remove = [] }) {
      // An empty list does no harm (recording 196 has both), but says nothing.
      const body = {
        ids: [taskId],
        ...(add.length === 0 ? {} : { add_tags: add }),
        ...(remove.length === 0 ? {} : { remove_tags: remove }),
      };
      await client.call('tasks.update_tags', body, AnythingSchema, { isRepeatable: true, signal });
    },
  };
}

/** A filter for exactly this name: ClearML takes names for Python regular expressions, unanchored (recording 062). */
function matchExactly(name: string): string {
  return `^${escapeRegExp(name)}$`;
}

function toKnownTask(task: v.InferOutput<typeof TasksSchema>['tasks'][number]): KnownTask {
  const { script, container } = task;
  const pip = script?.requirements?.pip ?? '';
  const params = Object.entries(task.hyperparams ?? {}).flatMap(([section, entries]) =>
    Object.entries(entries).map(([name, { value }]): [string, string] => [`${section}/${name}`, value ?? '']),
  );
  return {
    id: task.id,
    projectId: task.project ?? undefined,
    queueId: task.execution?.queue ?? undefined,
    status: task.status,
    createdMs: Date.parse(task.created),
    commit: script?.version_num ?? undefined,
    tags: task.tags,
    isArchived: task.system_tags.includes('archived'),
    runtime: task.runtime,
    content: {
      entryPoint: script?.entry_point ?? '',
      workingDir: script?.working_dir ?? '',
      diff: script?.diff ?? '',
      requirements: typeof pip === 'string' ? pip : pip.join('\n'),
      image: container?.image ?? '',
      imageArguments: container?.arguments ?? '',
      params: Object.fromEntries(params),
    },
  };
}
