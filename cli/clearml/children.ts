import type { ClearmlClient } from './client.ts';
import { findTasks } from './tasks.ts';

/** A task that may have started others. */
interface Parent {
  /** ClearML id of the user who created it. */
  readonly user: string | undefined;
  /** ms since 1970, by the server's clock. */
  readonly startedAtMs: number | undefined;
}

/** Unfinished tasks whose parent is one of ours. */
export interface Children {
  /** Steps of a pipeline, trials of a search: the SDK has started them from within the parent. */
  readonly own: readonly string[];
  /** Somebody's own: the web page gives a clone its original as the parent. */
  readonly clones: readonly string[];
}

const UNFINISHED = ['queued', 'in_progress'];

/** Finds the unfinished children of these tasks. */
export async function findChildren(
  client: ClearmlClient,
  parents: ReadonlyMap<string, Parent>,
  signal: AbortSignal,
): Promise<Children> {
  const filter = { parent: [...parents.keys()], status: UNFINISHED };
  const found = await findTasks(client, filter, ['parent', 'status', 'user', 'created', 'runtime'], {
    signal,
  });
  const children = found.filter((task) => parents.has(task.parent ?? '') && UNFINISHED.includes(task.status));
  const isOwn = ({ parent = '', user, created = 0, runtime }: (typeof children)[number]) => {
    const { user: owner, startedAtMs = Number.POSITIVE_INFINITY } = parents.get(parent) ?? {};
    // The SDK sets it on steps and trials (2.1.12); a clone by hand has no runtime of its original.
    return runtime.pipeline_job_hash !== undefined && user === owner && created >= startedAtMs;
  };
  const own = children.filter(isOwn).map(({ id }) => id);
  return { own, clones: children.map(({ id }) => id).filter((id) => !own.includes(id)) };
}
