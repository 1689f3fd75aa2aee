import type { Ancestor } from '../../github/client.ts';
import { listMarkedCommits, listMarks } from '../../training/history-mark.ts';
import type { PromotionTags } from '../../training/names.ts';
import { isEnded, isHistoryEvent, isSuccess, RUNTIME_KEYS, wasTakenBack } from '../../training/task.ts';
import { listUses } from '../../training/uses.ts';
import { listCodeIds } from '../baseline/baseline.ts';
import type { Options } from '../options.ts';
import type { ReportedTask } from '../reported-task.ts';

/** A commit that was pushed to a branch. */
export interface PushedCommit {
  readonly branch: string;
  readonly commit: string;
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
  /** The training has not ended, or not completed; the task is archived; it made no model, or that is gone or archived. */
  | 'pending'
  | 'failed'
  | 'archived'
  | 'no-model'
  /** The tasks are not known to train the pushed commit. */
  | 'other-code'
  | 'regression'
  | 'undecided'
  /** What carries the tag is of a newer commit; the pushed one is not among the branch's newest; a newer one came meanwhile. */
  | 'older'
  | 'not-on-branch'
  | 'overtaken';

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

/** The task's last output model; undefined if ClearML does not have it any more, or it is archived: nobody would find it. */
export function findModel(
  task: ReportedTask,
  models: ReadonlyMap<string, FoundModel>,
): FoundModel | undefined {
  const model = models.get(task.outputModels.at(-1)?.id ?? '');
  return model?.isArchived === true ? undefined : model;
}

/** A model as ClearML has it. */
export interface FoundModel {
  readonly id: string;
  readonly tags: readonly string[];
  readonly isPublished: boolean;
  readonly isArchived: boolean;
  /** Which made it. */
  readonly task: string | undefined;
}

/** Those of the task's models that carry a tag. */
function listTagged(
  { id: task, outputModels }: ReportedTask,
  models: ReadonlyMap<string, FoundModel>,
  tag: string,
): string[] {
  const outputs = new Set(outputModels.map(({ id }) => id));
  return [...models.values()]
    .filter((model) => model.tags.includes(tag) && (model.task === task || outputs.has(model.id)))
    .map(({ id }) => id);
}

/**
 * The tasks whose model is the production model: completed ones that carry the tag with their model, as a promotion leaves
 * them. If there are none, people have tagged: the models that carry the tag count, else the tasks alone. Then those of a pull
 * request do not, before the branch has them: its settings or its code could name the tag.
 *
 * @param isOnBranch whether the branch has the task's code
 */
export function listHolders(
  tagged: readonly ReportedTask[],
  models: ReadonlyMap<string, FoundModel>,
  { tag }: PromotionTags,
  isOnBranch: (task: ReportedTask) => boolean,
): ReportedTask[] {
  // Whoever archives a task leaves its model, which goes on to be served.
  const isServed = (task: ReportedTask) =>
    listTagged(task, models, tag).some((id) => models.get(id)?.isArchived === false);
  const own = tagged.filter(
    (task) => isSuccess(task.status) && (!task.isArchived || isServed(task)) && isOwn(task),
  );
  const withModel = own.filter((task) => listTagged(task, models, tag).length > 0);
  const promoted = withModel.filter(({ tags }) => tags.includes(tag));
  if (promoted.length > 0) return promoted;
  const isSettled = (task: ReportedTask) => isOfHistory(task) || isOnBranch(task);
  const byModel = withModel.filter(isSettled);
  return byModel.length > 0 ? byModel : own.filter((task) => task.tags.includes(tag) && isSettled(task));
}

/** Whether a task carries the tag and its model does, or was given up by a run that was interrupted then. */
export function wasProduction(
  task: ReportedTask,
  models: ReadonlyMap<string, FoundModel>,
  { tag, previous }: PromotionTags,
): boolean {
  return task.tags.includes(tag) && [tag, previous].some((one) => listTagged(task, models, one).length > 0);
}

/** Whether our launch made the task. A clone copies tags, but not what the launch noted. */
export function isOwn({ runtime }: Pick<ReportedTask, 'runtime'>): boolean {
  return runtime[RUNTIME_KEYS.key] !== undefined && runtime[RUNTIME_KEYS.pipeline] !== undefined;
}

/** Not of a pull request, or taken over by a branch. */
function isOfHistory(task: ReportedTask): boolean {
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

/** In the order of the settings' seeds: whoever looks takes the same one for the first. */
export function sortBySeed(
  tasks: readonly ReportedTask[],
  { config: { seeds }, sources: { seedParam } }: Pick<Options, 'config' | 'sources'>,
): ReportedTask[] {
  const rank = ({ params }: ReportedTask) => {
    const seed = params[seedParam];
    return Array.isArray(seeds) ? seeds.map(String).indexOf(seed ?? '') : Number(seed) || 0;
  };
  return [...tasks].sort((a, b) => rank(a) - rank(b));
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
 * @param tagged all tasks with one of the tags, themselves or on a model, and the promoted one
 * @param former whose model is the way back from now on; undefined for none
 */
export function planRemoval(
  tagged: readonly ReportedTask[],
  models: ReadonlyMap<string, FoundModel>,
  { tag, previous }: PromotionTags,
  { kept, former }: { readonly kept: ReportedTask; readonly former: string | undefined },
): TagChange[] {
  const shared = new Set(kept.outputModels.map(({ id }) => id));
  const planChange = (task: ReportedTask, of: string): TagChange[] => {
    const own = listTagged(task, models, of);
    if (own.length === 0 && !task.tags.includes(of)) return [];
    const isFormer = of === tag && task.id === former;
    // Of a task that a person has tagged no model carries the tag.
    const last = own.length === 0 && isFormer ? findModel(task, models)?.id : undefined;
    const ids = last === undefined ? own : [last];
    return [
      {
        task: task.id,
        models: ids.filter((id) => !shared.has(id)),
        add: isFormer ? [previous] : [],
        remove: [of],
      },
    ];
  };
  const others = tagged.filter(({ id }) => id !== kept.id);
  const older = former === undefined ? [] : others.filter(({ id }) => id !== former);
  return [
    ...older.flatMap((task) => planChange(task, previous)),
    ...others.flatMap((task) => planChange(task, tag)),
  ];
}
