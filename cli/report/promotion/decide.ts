import type { Ancestor } from '../../github/client.ts';
import { listMarkedCommits, listMarks } from '../../training/history-mark.ts';
import { isEnded, isHistoryEvent, isSuccess, RUNTIME_KEYS, wasTakenBack } from '../../training/task.ts';
import { listUses } from '../../training/uses.ts';
import { listCodeIds } from '../baseline/baseline.ts';
import type { ReportedTask } from '../reported-task.ts';

/** A commit that was pushed to a branch. */
export interface PushedCommit {
  readonly branch: string;
  readonly commit: string;
}

/** What a model is marked with. */
export interface PromotionTags {
  readonly tag: string;
  /** What the model before it is marked with: the way back. */
  readonly previous: string;
}

/** Why a model was promoted, or not. */
export type PromotionReason =
  /** Promoted: nothing carried the tag, nothing is gated, the gate passes it, a person says so, or it was the one already. */
  | 'first'
  | 'not-gated'
  | 'passed'
  | 'by-hand'
  | 'unchanged'
  /** Not promoted: the settings have no tag, or `--dry-run`. */
  | 'off'
  | 'dry-run'
  /** The training has not ended, or not completed, or made no model. */
  | 'pending'
  | 'failed'
  | 'no-model'
  /** The tasks are not known to train the pushed commit. */
  | 'other-code'
  | 'regression'
  | 'undecided'
  /** What carries the tag is of a newer commit; the pushed one is not among the branch's newest; a newer one came meanwhile. */
  | 'older'
  | 'not-on-branch'
  | 'overtaken';

/** The tags that belong together. */
export function nameTags(tag: string): PromotionTags {
  return { tag, previous: `${tag}-previous` };
}

type NamedTask = Pick<ReportedTask, 'runtime' | 'tags' | 'script'>;

/** The commits of a branch that a task was launched for by name. */
function listCommits({ runtime, tags, script }: NamedTask, branch: string): string[] {
  const uses = listUses(runtime);
  const pushed = uses.get('branch');
  return [
    script.commit,
    pushed?.branch === branch ? pushed.commit : undefined,
    uses.get('queue')?.commit,
    ...listMarkedCommits({ runtime, tags }, branch),
  ].filter((commit) => commit !== undefined);
}

/**
 * Whether a task trains a pushed commit: by its id, by what the launch noted, or by the tree. With `paths` the code id is no
 * tree, and the launch on the push has marked what it reuses.
 */
export function isTrainedFor(
  task: NamedTask,
  { branch, commit }: PushedCommit,
  tree: string | undefined,
): boolean {
  return (
    listCommits(task, branch).includes(commit) || (tree !== undefined && listCodeIds(task).includes(tree))
  );
}

/** Whether a launch named the commit, rather than one with the same files. */
export function isNamedFor(task: NamedTask, { branch, commit }: PushedCommit): boolean {
  return listCommits(task, branch).includes(commit);
}

/** Whether a task of a pushed commit is the branch's own training, and no trial. */
export function isOfBranch(task: NamedTask, { branch, commit }: PushedCommit): boolean {
  return (
    isHistoryEvent(task.runtime[RUNTIME_KEYS.event]) ||
    listMarkedCommits(task, branch).length > 0 ||
    listUses(task.runtime).get('branch')?.commit === commit
  );
}

/**
 * How many commits lie between a task's newest commit on the branch and the branch's newest one; infinite if none of the
 * listed is its own.
 *
 * @param listed the branch's commits, newest first
 */
export function findPlace(task: NamedTask, listed: readonly Ancestor[], branch: string): number {
  const ids = new Set([...listCommits(task, branch), ...listCodeIds(task)]);
  const index = listed.findIndex(({ commit, tree }) => ids.has(commit) || ids.has(tree));
  return index < 0 ? Number.POSITIVE_INFINITY : index;
}

/**
 * The task of the newest commit; of one commit that of the newest training. Whoever looks at the same tasks picks the same
 * one, so two runs at the same time can't take the tag from each other.
 *
 * @param listed undefined where no branch decides
 */
export function pickNewest(
  tasks: readonly ReportedTask[],
  listed: readonly Ancestor[] | undefined,
  branch: string | undefined,
): ReportedTask | undefined {
  const place = (task: ReportedTask) =>
    listed === undefined || branch === undefined ? 0 : findPlace(task, listed, branch);
  const compare = (a: ReportedTask, b: ReportedTask) => {
    const [own, other] = [place(a), place(b)];
    if (own !== other) return own - other;
    return (b.createdAtMs ?? 0) - (a.createdAtMs ?? 0) || (a.id < b.id ? -1 : 1);
  };
  return [...tasks].sort(compare)[0];
}

/** The task's last output model; undefined if it has none that ClearML still has. */
export function findModel(
  task: ReportedTask,
  models: ReadonlyMap<string, FoundModel>,
): FoundModel | undefined {
  const id = task.outputModels.at(-1)?.id;
  return id === undefined ? undefined : models.get(id);
}

/** A model as ClearML has it. */
export interface FoundModel {
  readonly id: string;
  readonly tags: readonly string[];
  readonly isPublished: boolean;
}

/**
 * The tasks whose model is the production model: completed ones that carry the tag with their model. If no model does, the
 * tasks alone count, as people tag them; then those of a pull request do not, before the branch has them: its settings
 * could name the tag.
 */
export function listHolders(
  tagged: readonly ReportedTask[],
  models: ReadonlyMap<string, FoundModel>,
  { tag }: PromotionTags,
): ReportedTask[] {
  const holders = tagged.filter(
    (task) => task.tags.includes(tag) && isSuccess(task.status) && !task.isArchived && isOwn(task),
  );
  const withModel = holders.filter(({ outputModels }) =>
    outputModels.some(({ id }) => models.get(id)?.tags.includes(tag) === true),
  );
  return withModel.length > 0 ? withModel : holders.filter(isSettled);
}

/** Whether a task carries the tag and its model does, or was given up by a run that was interrupted then. */
export function wasProduction(
  { tags, outputModels }: ReportedTask,
  models: ReadonlyMap<string, FoundModel>,
  { tag, previous }: PromotionTags,
): boolean {
  const has = ({ tags: own }: Pick<FoundModel, 'tags'>) => own.includes(tag) || own.includes(previous);
  return tags.includes(tag) && outputModels.some(({ id }) => has(models.get(id) ?? { tags: [] }));
}

/** Whether our launch made the task. A clone copies tags, but not what the launch noted. */
export function isOwn({ runtime }: Pick<ReportedTask, 'runtime'>): boolean {
  return runtime[RUNTIME_KEYS.key] !== undefined && runtime[RUNTIME_KEYS.pipeline] !== undefined;
}

function isSettled(task: ReportedTask): boolean {
  const event = task.runtime[RUNTIME_KEYS.event];
  return event === 'push' || event === 'launch' || listMarks(task).length > 0;
}

/** What the tasks' states say. */
export function decideState(
  tasks: ReadonlyArray<Pick<ReportedTask, 'status' | 'statusReason' | 'queueId'>>,
): 'completed' | 'pending' | 'failed' {
  const hasFailed = tasks.some(
    (task) => (isEnded(task.status) && !isSuccess(task.status)) || wasTakenBack(task),
  );
  if (hasFailed) return 'failed';
  return tasks.every(({ status }) => isSuccess(status)) ? 'completed' : 'pending';
}

/** A task or a model whose tags change. */
export interface TagChange {
  readonly task: string;
  /** Its models. */
  readonly models: readonly string[];
  readonly add: readonly string[];
  readonly remove: readonly string[];
}

/**
 * How the tags are taken from all but one task, in order: first the older way back goes, then the former production model
 * becomes the way back. Models of other tasks are left alone, and one that the kept task shares.
 *
 * @param tagged all tasks with one of the tags, and the promoted one
 * @param former whose model is the way back from now on; undefined for none
 */
export function planRemoval(
  tagged: readonly ReportedTask[],
  models: ReadonlyMap<string, FoundModel>,
  { tag, previous }: PromotionTags,
  { kept, former }: { readonly kept: ReportedTask; readonly former: string | undefined },
): TagChange[] {
  const shared = new Set(kept.outputModels.map(({ id }) => id));
  const change = (task: ReportedTask, of: string, add: readonly string[]): TagChange => ({
    task: task.id,
    models: task.outputModels
      .map(({ id }) => id)
      .filter((id) => !shared.has(id) && models.get(id)?.tags.includes(of) === true),
    add,
    remove: [of],
  });
  const others = tagged.filter(({ id }) => id !== kept.id);
  const holders = others.filter(
    ({ tags, outputModels }) =>
      tags.includes(tag) || outputModels.some(({ id }) => models.get(id)?.tags.includes(tag) === true),
  );
  const older =
    former === undefined ? [] : others.filter(({ id, tags }) => id !== former && tags.includes(previous));
  return [
    ...older.map((task) => change(task, previous, [])),
    ...holders.map((task) => change(task, tag, task.id === former ? [previous] : [])),
  ];
}
