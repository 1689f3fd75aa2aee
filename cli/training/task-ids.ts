import { EXIT_CODES, Failure } from '../shell/failure.ts';
import { isTaskId } from './task.ts';

/**
 * The task ids among a program's arguments: one argument may hold several, separated by blanks, as `task-ids` of a launch
 * does. Each is named once, in order.
 *
 * @throws Failure when there is none (usage), or one that can be no task's id (not found)
 */
export function readTaskIds(args: readonly string[]): string[] {
  const ids = [...new Set(args.flatMap((arg) => arg.split(/\s+/)).filter((id) => id !== ''))];
  if (ids.length === 0) {
    throw new Failure('no task id was given', {
      exitCode: EXIT_CODES.usage,
      remedy:
        'Give the id that launch-training-task prints (its output task-id, or task-ids); an empty one means that the launch failed or was skipped.',
    });
  }
  const malformed = ids.filter((id) => !isTaskId(id));
  if (malformed.length > 0) {
    throw new Failure(`there is no task ${malformed.map((id) => `"${id}"`).join(', ')}`, {
      exitCode: EXIT_CODES.notFound,
      remedy:
        'A task’s id is 32 hexadecimal digits: launch-training-task prints it, and ClearML’s web page shows it.',
    });
  }
  return ids;
}
