import { markReported } from '../../clearml/due.ts';
import { type Due, type DueTo, listOpenDues, tagReported } from '../../training/due.ts';
import { isEnded, wasTakenBack } from '../../training/task.ts';
import type { Wires } from '../connection.ts';
import type { Options } from '../options.ts';
import type { ReportedTask } from '../reported-task.ts';

type DueTask = Pick<ReportedTask, 'id' | 'status' | 'statusReason' | 'queueId' | 'runtime' | 'tags'>;

/** Whether nothing more will become of a task by itself. */
export function isOver(task: DueTask): boolean {
  return isEnded(task.status) || wasTakenBack(task);
}

/** What is due of a task to the pull request, or the commit, that is reported, and was not reported yet. */
export function findOwed(task: DueTask, { sources, target }: Options): Due | undefined {
  const { expected, pullRequest } = sources;
  const to = pullRequest ?? expected?.headCommit;
  const commit = expected?.headCommit ?? target.commit;
  return listOpenDues(task).find((due) => due.to === to && (commit ?? due.commit) === due.commit);
}

/** The notes of the tasks that have not ended; undefined unless each has one: a run of the collecting workflow reports them. */
export function findAwaited(tasks: readonly DueTask[], options: Options): readonly Due[] | undefined {
  const open = tasks.filter((task) => !isOver(task));
  const owed = open.flatMap((task) => findOwed(task, options) ?? []);
  return open.length > 0 && owed.length === open.length ? owed : undefined;
}

/**
 * Notes that the final state of a task was reported there, so that no tick reports it again. An ended task gets a tag; of
 * one that was taken out of its queue, and may be launched again, the note is removed.
 */
export async function closeDue(
  task: DueTask,
  to: DueTo,
  { clearml, marked, signal }: Pick<Wires, 'clearml' | 'marked' | 'signal'>,
): Promise<void> {
  await markReported(clearml, task, [to], { signal });
  if (!isEnded(task.status)) return;
  marked.set(task.id, [...(marked.get(task.id) ?? []), tagReported(to)]);
}
