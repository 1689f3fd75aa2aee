import { EXIT_CODES, Failure, failUsage } from '../shell/failure.ts';
import { isTaskId } from './task.ts';

/**
 * The task ids among a program's arguments. One argument may hold several, separated by spaces, as the output `task-ids`
 * of a launch does. Duplicates are dropped.
 *
 * @throws Failure (not found) naming each that is not a task id
 */
export function readTaskIds(args: readonly string[]): string[] {
  const ids = [...new Set(args.flatMap((arg) => arg.split(/\s+/)).filter((id) => id !== ''))];
  const malformed = ids.filter((id) => !isTaskId(id)).map((id) => `"${id}"`);
  if (malformed.length === 0) return ids;
  throw new Failure(
    `${malformed.join(', ')} ${malformed.length === 1 ? 'is not a task id' : 'are not task ids'}`,
    {
      exitCode: EXIT_CODES.notFound,
      remedy:
        'A task id has 32 hexadecimal digits: launch-training-task prints it, and ClearML shows it on the task’s page.',
    },
  );
}

/** @throws Failure (usage) where no task is given */
export function requireTaskIds(ids: readonly string[]): void {
  if (ids.length > 0) return;
  throw failUsage(
    'no task id given',
    'Give the ids that launch-training-task prints (its output task-ids). In a workflow, an empty output means that the launch step failed or was skipped.',
  );
}
