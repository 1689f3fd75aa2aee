import { isHistoryEvent, RUNTIME_KEYS } from './task.ts';

/**
 * What a launch without a pull request puts on a task that it reuses: the commit of its branch whose training the task
 * is too. With `paths` neither the commit nor the tree tells; a task that was somebody's trial counts from then on; the
 * pull request that it was launched for must not end it any more; and where it is named by a tag, this says that it is
 * no open pull request's.
 *
 * `base:BRANCH:COMMIT` marks the first of commits in a row that have the same training, `base-until:BRANCH:COMMIT` the
 * last: however often the branch is pushed to, a task has two tags for each time that its code became the branch's.
 * A branch's name holds no colon.
 */
export interface HistoryMark {
  readonly branch: string;
  readonly commit: string;
  /** The branch's commit before the push; undefined where nobody knows it. */
  readonly previous: string | undefined;
  /** Whether tasks with the same key are found by this commit's tree anyway: all files decide. */
  readonly isTreeKnown: boolean;
}

const FIRST = 'base';
const LAST = 'base-until';
const PATTERN = /^(base|base-until):([^:]+):([0-9a-f]{40,64})$/;

/** More marks than this are of no use: the oldest commits are out of reach. */
const MAX_MARKS = 20;

/** What ClearML finds the tags by: this before an id, in a regular expression. */
export const MARK_PREFIX_PATTERN = '(?:base(?:-until)?:[^:]+:)?';

/** Whether a tag is such a mark, of whatever branch. */
export function isHistoryMark(tag: string): boolean {
  return PATTERN.test(tag);
}

/** The commits of the branch that the tags name. */
export function listMarkedCommits(tags: readonly string[], branch: string): string[] {
  return tags.flatMap((tag) => {
    const [, , ofBranch, commit] = PATTERN.exec(tag) ?? [];
    return ofBranch === branch && commit !== undefined ? [commit] : [];
  });
}

/** The tags that a launch of this commit may put on a task. */
export function listPossibleMarks({ branch, commit }: HistoryMark): string[] {
  return [FIRST, LAST].map((kind) => nameMark(kind, branch, commit));
}

function nameMark(kind: string, branch: string, commit: string): string {
  return `${kind}:${branch}:${commit}`;
}

/** What is known of a task that is reused. */
interface MarkedTask {
  readonly commit: string | undefined;
  readonly tags: readonly string[];
  readonly runtime: Readonly<Record<string, string>>;
  /** Nobody ends it any more: it has ended, or was not launched for a pull request. */
  readonly isSafe: boolean;
}

/** The tags to put on a reused task, and those that they make superfluous. */
export function chooseMarks(
  task: MarkedTask,
  mark: HistoryMark,
): { readonly add: readonly string[]; readonly remove: readonly string[] } {
  const { branch, commit, previous } = mark;
  const isFound = mark.isTreeKnown || task.commit === commit;
  const counts = isHistoryEvent(task.runtime[RUNTIME_KEYS.event]);
  const isByPush = task.runtime[RUNTIME_KEYS.event] === 'push';
  const marked = listMarkedCommits(task.tags, branch);
  if ((isFound && isByPush && task.isSafe) || marked.includes(commit)) return { add: [], remove: [] };
  const isContinued =
    previous !== undefined && (marked.includes(previous) || (counts && task.commit === previous));
  const last = isContinued ? task.tags.filter((tag) => tag === nameMark(LAST, branch, previous)) : [];
  const others = task.tags.filter((tag) => isHistoryMark(tag) && !last.includes(tag));
  return {
    add: [nameMark(isContinued ? LAST : FIRST, branch, commit)],
    remove: [...last, ...others.slice(0, Math.max(0, others.length + 1 - MAX_MARKS))],
  };
}
