import { isHistoryEvent, RUNTIME_KEYS } from './task.ts';

/**
 * What a launch without a pull request notes on a task that it reuses, in `runtime` and as a tag: the commit of its
 * branch that has this training. It adds the task to the branch's history: with `paths` the task's own commit and tree do not tell. The pull
 * request that launched the task no longer ends it.
 *
 * `base:BRANCH:COMMIT` marks the first and `base-until:BRANCH:COMMIT` the last of several commits in a row with the same
 * training, so that many pushes add two tags only. A branch name contains no colon.
 */
export interface HistoryMark {
  readonly branch: string;
  readonly commit: string;
  /** The branch's commit before the push; undefined if it is not known. */
  readonly previous: string | undefined;
  /** Whether this commit's tree finds the tasks with the same key: all files decide, not only `paths`. */
  readonly isTreeKnown: boolean;
}

const FIRST = 'base';
const LAST = 'base-until';
const PATTERN = /^(base|base-until):([^:]+):([0-9a-f]{40,64})$/;

/** With more marks the oldest commits would be out of reach anyway. */
const MAX_MARKS = 20;

/**
 * The regular expression that finds tasks by such an id: as a field's whole value, or in a mark.
 *
 * @param ids already escaped, separated by `|`
 */
export function matchMarked(ids: string, branch = '[^:]+'): string {
  return `(^|[ ])base(-until)?:${branch}:(${ids})([ ]|$)`;
}

/** Whether a tag is a history mark, of any branch. */
export function isHistoryMark(tag: string): boolean {
  return PATTERN.test(tag);
}

/** The task's marks, of all branches. The training may have replaced the tags. */
export function listMarks({ runtime, tags }: Pick<MarkedTask, 'runtime' | 'tags'>): string[] {
  const noted = runtime[RUNTIME_KEYS.history]?.split(' ') ?? [];
  return [...new Set([...noted, ...tags])].filter(isHistoryMark);
}

/** The commits of the branch that the task's marks name. */
export function listMarkedCommits(task: Pick<MarkedTask, 'runtime' | 'tags'>, branch: string): string[] {
  return listMarks(task).flatMap((mark) => {
    const [, , ofBranch, commit] = PATTERN.exec(mark) ?? [];
    return ofBranch === branch && commit !== undefined ? [commit] : [];
  });
}

/** The marks that a launch of this commit may put on a task. */
export function listPossibleMarks({ branch, commit }: HistoryMark): string[] {
  return [FIRST, LAST].map((kind) => nameMark(kind, branch, commit));
}

function nameMark(kind: string, branch: string, commit: string): string {
  return `${kind}:${branch}:${commit}`;
}

/** A task that is reused. */
interface MarkedTask {
  readonly commit: string | undefined;
  readonly tags: readonly string[];
  readonly runtime: Readonly<Record<string, string>>;
  /** It has ended or was launched without a pull request, so nobody ends it any more. */
  readonly isSafe: boolean;
}

/** The marks to add to a reused task, those to remove, and all that it then has. */
export function chooseMarks(
  task: MarkedTask,
  mark: HistoryMark,
): { readonly add: readonly string[]; readonly remove: readonly string[]; readonly all: readonly string[] } {
  const { branch, commit, previous } = mark;
  const isFound = mark.isTreeKnown || task.commit === commit;
  const counts = isHistoryEvent(task.runtime[RUNTIME_KEYS.event]);
  const isByPush = task.runtime[RUNTIME_KEYS.event] === 'push';
  const marks = listMarks(task);
  const marked = listMarkedCommits(task, branch);
  if ((isFound && isByPush && task.isSafe) || marked.includes(commit))
    return { add: [], remove: [], all: marks };
  const isContinued =
    previous !== undefined && (marked.includes(previous) || (counts && task.commit === previous));
  const last = isContinued ? marks.filter((mark) => mark === nameMark(LAST, branch, previous)) : [];
  const others = marks.filter((mark) => !last.includes(mark));
  const add = [nameMark(isContinued ? LAST : FIRST, branch, commit)];
  const remove = [...last, ...others.slice(0, Math.max(0, others.length + 1 - MAX_MARKS))];
  return { add, remove, all: [...marks.filter((mark) => !remove.includes(mark)), ...add] };
}
