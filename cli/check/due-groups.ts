import type { ClearmlClient } from '../clearml/client.ts';
import { findTasks, type TaskOf } from '../clearml/tasks.ts';
import { type Due, listDues, SEEDS_TAG } from '../training/due.ts';
import { isSuccess, RUNTIME_KEYS } from '../training/task.ts';
import { findEnding } from '../training/task-life.ts';
import type { DueTask } from './due-clock.ts';

/** What is due of one launch: its tasks are reported together. */
export interface DueGroup {
  readonly due: Due;
  /** Those that carry its note, oldest first. */
  readonly tasks: readonly DueTask[];
}

/** One entry of the output `due`. */
export interface DueEntry {
  /** Null for a push or a merge group. */
  readonly pullRequest: number | null;
  readonly commit: string;
  readonly taskIds: readonly string[];
  /** `timeout`: all have ended, one of them because its time-out had passed. */
  readonly state: 'running' | 'ended' | 'timeout';
}

/** The launches that something is due of, in their order. Tasks that were reported already belong to theirs too. */
export function groupDues(found: readonly DueTask[]): DueGroup[] {
  const groups = new Map<string, { due: Due; tasks: DueTask[] }>();
  const nameGroup = ({ task }: DueTask, { to, commit, launch }: Due) =>
    JSON.stringify([task.origin.runtime[RUNTIME_KEYS.pipeline], to, commit, launch]);
  for (const one of found) for (const due of one.dues) groups.set(nameGroup(one, due), { due, tasks: [] });
  for (const one of found)
    for (const due of listDues(one.task.origin.runtime)) groups.get(nameGroup(one, due))?.tasks.push(one);
  return [...groups.values()].sort((a, b) => a.due.atMs - b.due.atMs);
}

/** A task of a launch that does not carry its note. */
export type Further = TaskOf<'status'>;

/** @param further had ended before the launch, or another launch has left its own note on them since */
export function describeGroup({ due, tasks }: DueGroup, further: readonly Further[]): DueEntry {
  const isOver =
    tasks.every(({ life }) => life.end !== undefined) &&
    further.every(({ status }) => status !== 'queued' && status !== 'in_progress');
  return {
    pullRequest: typeof due.to === 'number' ? due.to : null,
    commit: due.commit,
    taskIds: [...further.map(({ id }) => id), ...tasks.map(({ task }) => task.id)],
    state: !isOver ? 'running' : tasks.some(hasTimedOut) ? 'timeout' : 'ended',
  };
}

/** Linux gives a program no longer variable and no longer argument: 128 KiB, with its name and all that a shell adds. */
const MAX_TOLD_BYTES = 120_000;

/**
 * The entries that the next step can take as one text, first those that are over: GitHub takes only so many requests an
 * hour. What is left out is due still.
 */
export function chooseTold(entries: readonly DueEntry[]): DueEntry[] {
  const isRunning = ({ state }: DueEntry) => state === 'running';
  const told: DueEntry[] = [];
  let bytes = 2;
  for (const entry of [...entries.filter((one) => !isRunning(one)), ...entries.filter(isRunning)]) {
    bytes += JSON.stringify(entry).length + 1;
    // One launch of very many seeds is told all the same.
    if (bytes > MAX_TOLD_BYTES && told.length > 0) break;
    told.push(entry);
  }
  return told;
}

function hasTimedOut({ task, life }: DueTask): boolean {
  const ends = [life.end, findEnding(task)?.kind];
  return ends.includes('timeout') || ends.includes('queue-timeout');
}

/**
 * The trainings of a launch of several seeds that do not carry its note: most had ended before, and were reused. One
 * request.
 */
export async function completeSeeds(
  { due, tasks }: DueGroup,
  client: ClearmlClient,
  signal: AbortSignal,
): Promise<readonly Further[]> {
  const origins = tasks.map(({ task }) => task.origin);
  const pipeline = origins[0]?.runtime[RUNTIME_KEYS.pipeline];
  // A launch by an older version did not note it.
  const tag = due.seedsTag ?? origins.flatMap(({ tags }) => tags).find((one) => SEEDS_TAG.test(one));
  if (tag === undefined || pipeline === undefined) return [];
  const filter = { tags: [tag], [`runtime.${RUNTIME_KEYS.pipeline}`]: pipeline, order_by: ['created'] };
  const found = await findTasks(client, filter, ['status', 'tags', 'system_tags', 'runtime'], { signal });
  const known = new Set(origins.map(({ runtime }) => runtime[RUNTIME_KEYS.key]));
  const ranked = found.flatMap(({ id, status, tags, system_tags: systemTags, runtime }) => {
    const key = runtime[RUNTIME_KEYS.key];
    const isOurs = tags.includes(tag) && runtime[RUNTIME_KEYS.pipeline] === pipeline;
    if (key === undefined || known.has(key) || !isOurs) return [];
    const notes = listDues(runtime).filter(({ to }) => to === due.to);
    // The first that holds counts most.
    const signs = [
      due.reused?.includes(id) === true,
      notes.some(({ launch }) => launch === due.launch),
      isSuccess(status) && !systemTags.includes('archived'),
      // Of two launches at the same time, each may have left its note on some.
      notes.some(({ commit }) => commit === due.commit),
    ];
    return signs.includes(true) ? [{ id, status, key, rank: signs.indexOf(true) }] : [];
  });
  const chosen = new Map<string, Further>();
  for (const { id, status, key } of ranked.sort((a, b) => a.rank - b.rank))
    if (!chosen.has(key)) chosen.set(key, { id, status });
  return [...chosen.values()].slice(0, due.count - tasks.length);
}
