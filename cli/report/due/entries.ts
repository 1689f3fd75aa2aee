import { failUsage } from '../../shell/failure.ts';
import { isRecord, parseJson } from '../../shell/json.ts';
import { isTaskId } from '../../training/task.ts';

/** The tasks of one launch that are to be reported to a pull request, or for a commit. */
export interface DueEntry {
  /** Undefined for a push and for a merge queue's commit. */
  readonly pullRequest: number | undefined;
  /** What was launched: 40 or 64 hexadecimal digits. */
  readonly commit: string;
  readonly taskIds: readonly string[];
}

/** As `check-task-running --due` saw the tasks. They are read again. */
const STATES: readonly unknown[] = ['running', 'ended', 'timeout'];

/**
 * Reads what `check-task-running --due` prints: `[{"pullRequest", "commit", "taskIds", "state"}]`.
 *
 * @throws Failure (usage) if it is anything else
 */
export function parseDueEntries(text: string): DueEntry[] {
  const value = parseJson(text);
  if (!Array.isArray(value)) throw failEntries('is not a JSON list');
  return value.map((entry: unknown, index) => {
    const read = readEntry(entry);
    if (read !== undefined) return read;
    throw failEntries(`has something else as entry ${index + 1}`);
  });
}

function readEntry(entry: unknown): DueEntry | undefined {
  if (!isRecord(entry)) return undefined;
  const { pullRequest, commit, taskIds, state } = entry;
  const isNumber = Number.isSafeInteger(pullRequest) && Number(pullRequest) > 0;
  if (pullRequest !== null && !isNumber) return undefined;
  if (typeof commit !== 'string' || !/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(commit)) return undefined;
  if (!Array.isArray(taskIds) || taskIds.length === 0 || !STATES.includes(state)) return undefined;
  if (!taskIds.every((id: unknown) => typeof id === 'string' && isTaskId(id))) return undefined;
  return {
    pullRequest: pullRequest === null ? undefined : Number(pullRequest),
    commit,
    taskIds: [...new Set(taskIds as string[])],
  };
}

function failEntries(what: string) {
  return failUsage(
    `--due ${what}`,
    'Give what check-task-running --due prints (its output due): [{"pullRequest", "commit", "taskIds", "state"}].',
  );
}
