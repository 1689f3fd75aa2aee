import { type Due, listDues } from '../../training/due.ts';
import type { Candidate } from '../../training/newest-tasks.ts';
import { RUNTIME_KEYS, wasTakenBack } from '../../training/task.ts';
import { listUses } from '../../training/uses.ts';
import type { ReportedTask } from '../reported-task.ts';

/** The tasks of one launch, and its note. */
export interface DueGroup {
  readonly tasks: readonly ReportedTask[];
  readonly launched: Due | undefined;
}

/**
 * The note that tasks carry for this pull request or commit, that of the launch they are listed for: its own tasks come
 * last, and seeds that it reused may carry another launch's. Undefined if there is none.
 */
export function findNote(
  tasks: ReadonlyArray<Pick<ReportedTask, 'runtime'>>,
  { to, commit }: Pick<Due, 'to' | 'commit'>,
): Due | undefined {
  return tasks
    .flatMap(({ runtime }) => listDues(runtime))
    .findLast((due) => due.to === to && due.commit === commit);
}

/** Whether one of these launches trains the same commit for the same pull request, and is newer. */
export function isReplacedBy({ tasks, launched }: DueGroup, others: readonly DueGroup[]): boolean {
  const place = nameplace(tasks);
  return others.some(
    (other) =>
      launched !== undefined &&
      other.launched?.to === launched.to &&
      other.launched.commit === launched.commit &&
      other.launched.atMs > launched.atMs &&
      nameplace(other.tasks) === place,
  );
}

/** The same by all tasks that a pull request has: the newer launch may be reported already, or waited for by a job. */
export function isReplacedAmong(
  { tasks, launched }: DueGroup,
  candidates: readonly Candidate[],
  { pullRequest, commit }: { readonly pullRequest: number; readonly commit: string },
): boolean {
  const place = nameplace(tasks);
  // A launch may have reused tasks that are older than itself, and than those of a launch before it.
  const createdMs = tasks.map(({ createdAtMs }) => createdAtMs ?? Number.POSITIVE_INFINITY);
  const newestMs = Math.max(launched?.atMs ?? 0, ...createdMs);
  const isOwn = ({ id, runtime }: Candidate) =>
    tasks.some((task) => task.id === id) ||
    findNote([{ runtime }], { to: pullRequest, commit })?.launch === launched?.launch;
  return candidates.some(
    (task) =>
      !isOwn(task) &&
      (task.status !== 'created' || wasTakenBack(task)) &&
      nameplace([task]) === place &&
      (listUses(task.runtime).get(pullRequest)?.commit ?? task.commit) === commit &&
      (task.createdAtMs ?? 0) > newestMs,
  );
}

/** The pipeline and the leg of a matrix. */
function nameplace(tasks: ReadonlyArray<Pick<ReportedTask, 'runtime'>>): string {
  const { [RUNTIME_KEYS.pipeline]: pipeline = '', [RUNTIME_KEYS.leg]: leg = '' } = tasks[0]?.runtime ?? {};
  return `${pipeline} ${leg}`;
}
