import * as v from 'valibot';
import { type ClearmlServer, isRefusal } from '../clearml/client.ts';
import { CreatedSchema, TextSchema } from '../clearml/fields.ts';
import { noteInRuntime } from '../clearml/notes.ts';
import { findNewestTasks, findTasks, readParams, type TaskFilter, type TaskOf } from '../clearml/tasks.ts';
import { findUnfinished } from '../clearml/unfinished.ts';
import type { Failure } from '../shell/failure.ts';
import { escapeRegExp } from '../shell/redaction.ts';
import { AnswerLost } from '../shell/retry.ts';
import type { PullRequestTasks } from '../training/ownership.ts';
import type { ShownParams } from '../training/params/front-end.ts';
import { formatGivenParams } from '../training/params/given.ts';
import { isEnded, RUNTIME_KEYS, TASK_STATUSES, type TaskStatus } from '../training/task.ts';
import type { ScriptCode } from '../training/uses.ts';
import type { TaskContent, TaskDocument } from './plan.ts';

const AccountSchema = v.object({
  user: v.object({
    name: TextSchema,
    company: v.fallback(v.nullish(v.object({ name: TextSchema })), undefined),
  }),
});

// ClearML as a launch asks it. Each query checks what it finds: the server silently ignores filters it does not know.

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

/** A task that exists already. */
export interface KnownTask {
  readonly id: string;
  readonly projectId: string | undefined;
  /** The queue that it waits, or waited, in. */
  readonly queueId: string | undefined;
  readonly status: TaskStatus;
  /** ms since 1970, by the server's clock. */
  readonly createdMs: number;
  readonly commit: string | undefined;
  /** What an agent would fetch. */
  readonly code: ScriptCode;
  readonly script: TaskOf<'script'>['script'];
  readonly tags: readonly string[];
  readonly isArchived: boolean;
  readonly runtime: Readonly<Record<string, string>>;
  /** What it would train. An agent and the SDK add to it once it runs. */
  readonly content: TaskContent;
}

/** Whose the credentials are; names are empty where the server does not tell them. */
export async function readAccount({
  client,
  signal,
}: ClearmlServer): Promise<{ user: string; company: string }> {
  const options = { isRepeatable: true, signal };
  const { user } = await client.call('users.get_current_user', {}, AccountSchema, options);
  return { user: user.name, company: user.company?.name ?? '' };
}

/** The tasks of this pipeline with one of these keys. */
export async function findTasksByKey(
  server: ClearmlServer,
  keys: readonly string[],
  pipelineHash: string,
): Promise<KnownTask[]> {
  if (keys.length === 0) return [];
  const pattern = `^(${keys.map(escapeRegExp).join('|')})$`;
  const filter = { _any_: { fields: [`runtime.${RUNTIME_KEYS.key}`], pattern } };
  const tasks = await findKnownTasks(server, filter);
  return tasks.filter(
    ({ runtime }) =>
      keys.includes(runtime[RUNTIME_KEYS.key] ?? '') && runtime[RUNTIME_KEYS.pipeline] === pipelineHash,
  );
}

/** Drafts, queued and running tasks of this pipeline that the pull request uses. */
export async function readUnfinished(
  { client, signal }: ClearmlServer,
  of: PullRequestTasks,
): Promise<KnownTask[]> {
  return (await findUnfinished(client, of, TASK_FIELDS, { signal })).map(toKnownTask);
}

/** How many tasks are looked at for the front end: those that an agent ran show little of it. */
const SHOWN_TASKS = 10;

/** What the newest ended tasks of the pipeline show of the training's params, and those that were run by hand under its name. */
export async function findShownParams(
  { client, signal }: ClearmlServer,
  projectId: string,
  { pipelineHash, taskName }: { readonly pipelineHash: string; readonly taskName: string },
): Promise<Array<ShownParams & { readonly id: string }>> {
  const fields = [`runtime.${RUNTIME_KEYS.pipeline}`, 'name'];
  const pattern = `^(${pipelineHash}|${escapeRegExp(taskName)})$`;
  const filter = { status: TASK_STATUSES.filter(isEnded), project: [projectId], _any_: { fields, pattern } };
  const wanted = ['status', 'name', 'project', 'runtime', 'hyperparams'] as const;
  const tasks = await findNewestTasks(client, filter, wanted, SHOWN_TASKS, { signal });
  return tasks
    .filter(({ status, project }) => isEnded(status) && project === projectId)
    .filter(({ name, runtime }) =>
      runtime[RUNTIME_KEYS.key] === undefined && runtime[RUNTIME_KEYS.pipeline] === undefined
        ? name === taskName
        : runtime[RUNTIME_KEYS.pipeline] === pipelineHash,
    )
    .map(({ id, runtime, hyperparams }) => ({ id, runtime, params: readParams(hyperparams) }));
}

/** All that the filter finds, oldest first. */
async function findKnownTasks({ client, signal }: ClearmlServer, filter: TaskFilter): Promise<KnownTask[]> {
  const oldestFirst = { ...filter, order_by: ['created'] };
  return (await findTasks(client, oldestFirst, TASK_FIELDS, { signal })).map(toKnownTask);
}

/** Creates a task. `lost`: it is unknown whether it was created. */
export async function createTask(
  { client, signal }: ClearmlServer,
  task: TaskDocument,
  projectId: string,
): Promise<{ readonly id: string } | { readonly lost: Failure }> {
  try {
    const document = { ...task, project: projectId };
    return await client.call('tasks.create', document, CreatedSchema, { isRepeatable: false, signal });
  } catch (error) {
    if (error instanceof AnswerLost) return { lost: error };
    throw error;
  }
}

/** Deletes a draft. A task that is not a draft any more, or gone, is left alone. */
export async function deleteDraft({ client, signal }: ClearmlServer, taskId: string): Promise<void> {
  try {
    await client.call('tasks.delete', { task: taskId }, v.unknown(), { isRepeatable: true, signal });
  } catch (error) {
    if (!isRefusal(error, 'no draft', 'no such task')) throw error;
  }
}

/** Notes on a task of another launch that the launch with this token hands it out too. */
export async function markShared(
  { client, signal }: ClearmlServer,
  known: Pick<KnownTask, 'id' | 'runtime'>,
  token: string,
): Promise<void> {
  const set = { [RUNTIME_KEYS.shared]: token };
  await noteInRuntime(client, known.id, { set, before: known.runtime }, { signal });
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
    code: { commit: script.version_num, branch: script.branch, cloneUrl: script.repository },
    script,
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
      params: formatGivenParams(
        readParams(hyperparams)
          .map(({ value = '', type, name }) => ({ name, value, type: type || undefined }))
          .sort((a, b) => (a.name < b.name ? -1 : 1)),
      ),
    },
  };
}
