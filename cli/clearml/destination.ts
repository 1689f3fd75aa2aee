import * as v from 'valibot';
import { escapeRegExp } from '../shell/redaction.ts';
import { isTaskId } from '../training/task.ts';
import type { QueueState } from '../training/task-life.ts';
import { type ClearmlServer, isRefusal } from './client.ts';
import { CreatedSchema, PAGE_SIZE } from './fields.ts';
import { findQueues } from './queues.ts';

// Where a training goes: its project and its queue, by the names that people give.

const ProjectsSchema = v.object({
  projects: v.array(v.object({ id: v.pipe(v.string(), v.minLength(1)), name: v.string() })),
});
const QueuesSchema = v.object({ queues: v.array(v.object({ name: v.string() })) });

/** The id of the project of exactly this name. */
export async function findProject(
  { client, signal }: ClearmlServer,
  name: string,
): Promise<string | undefined> {
  const query = { name: matchExactly(name), only_fields: ['id', 'name'], page: 0, page_size: PAGE_SIZE };
  const options = { isRepeatable: true, signal };
  const { projects } = await client.call('projects.get_all', query, ProjectsSchema, options);
  return projects.find((project) => project.name === name)?.id;
}

/** Creates the project, or gives the id of the one that somebody else has just created. */
export async function ensureProject(server: ClearmlServer, name: string): Promise<string> {
  const { client, signal } = server;
  const body = { name, description: '' };
  for (let projectsLeft = name.split('/').length; ; projectsLeft -= 1) {
    try {
      const options = { isRepeatable: true, signal };
      return (await client.call('projects.create', body, CreatedSchema, options)).id;
    } catch (error) {
      if (!isRefusal(error, 'project exists')) throw error;
      // Somebody else created it in the meantime, or our own first request landed unanswered.
      const id = await findProject(server, name);
      if (id !== undefined) return id;
      // Or somebody has created just now one of those that it lies in: the server refuses that too.
      if (projectsLeft <= 1) throw error;
    }
  }
}

/** The queue of exactly this name or id. */
export async function findQueue(
  { client, signal }: ClearmlServer,
  nameOrId: string,
): Promise<QueueState | undefined> {
  const byName = await findQueues(client, { name: matchExactly(nameOrId) }, { signal });
  const named = byName.find((queue) => queue.name === nameOrId);
  if (named !== undefined || !isTaskId(nameOrId)) return named;
  const byId = await findQueues(client, { id: [nameOrId] }, { signal });
  return byId.find((queue) => queue.id === nameOrId);
}

/** The names of projects, 500 at most. */
export async function listProjectNames({ client, signal }: ClearmlServer): Promise<string[]> {
  const query = { only_fields: ['id', 'name'], page: 0, page_size: PAGE_SIZE };
  const options = { isRepeatable: true, signal };
  const { projects } = await client.call('projects.get_all', query, ProjectsSchema, options);
  return projects.map((project) => project.name);
}

/** The names of all queues. */
export async function listQueueNames({ client, signal }: ClearmlServer): Promise<string[]> {
  const query = { only_fields: ['name'], page: 0, page_size: PAGE_SIZE };
  const options = { isRepeatable: true, signal };
  const { queues } = await client.call('queues.get_all', query, QueuesSchema, options);
  return queues.map((queue) => queue.name);
}

/** A filter for exactly this name: ClearML takes names for Python regular expressions, unanchored. */
function matchExactly(name: string): string {
  return `^${escapeRegExp(name)}$`;
}
