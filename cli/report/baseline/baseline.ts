import type { Ancestor, ListedCommit } from '../../github/client.ts';
import type { BaselineRule, Config } from '../../shell/config.ts';
import { EXIT_CODES, Failure } from '../../shell/failure.ts';
import { isHistoryMark, listMarkedCommits } from '../../training/history-mark.ts';
import {
  isHistoryEvent,
  isSuccess,
  isTaskId,
  isUnderWay,
  RUNTIME_KEYS,
  tagPullRequest,
} from '../../training/task.ts';
import type { ReportedTask } from '../reported-task.ts';

type ConfiguredBaseline = NonNullable<Config['baseline']>;

/** The baselines that are asked for: the one that the report shows first, fixed anchors of the gate after it. */
export function listBaselineRules(configured: ConfiguredBaseline): readonly BaselineRule[] {
  if (configured === 'none') return [];
  return Array.isArray(configured) ? configured : [configured];
}

/** What a report compares with. */
export type Baseline = FoundBaseline | MissingBaseline;

/** The tasks to compare with, if there are any. */
export function listBaselineTasks(baseline: Baseline): readonly ReportedTask[] {
  return baseline.kind === 'found' ? baseline.tasks : [];
}

/** Tasks to compare with, and where they come from. */
export interface FoundBaseline {
  readonly kind: 'found';
  readonly by: 'branch' | 'task' | 'tag';
  /** Runs of one commit and one set of params; newest first. */
  readonly tasks: readonly ReportedTask[];
  /** The branch, the tag, or the task's name. */
  readonly name: string;
  /** The commit that the tasks have trained; undefined where a task does not say. */
  readonly commit: string | undefined;
  /** How many commits it lies behind the merge base; undefined for a task or tag. */
  readonly commitsBehind?: number;
  /** Tasks that were found but are not compared with: older ones of the tag, other params on the commit. */
  readonly passedOver: number;
  /** The pull request trained this commit's own code with its own settings, so any difference is chance. */
  readonly isSameTraining: boolean;
  /** A nearer commit whose training has not ended, or this commit where some of its runs have not. */
  readonly unfinished?: CommitTasks | undefined;
  /** Every commit of the branch that has completed tasks, within the search, nearest first; empty for a task or tag. */
  readonly history: readonly CommitTasks[];
}

/** A commit of the base branch with its tasks of one set of params: all completed, or all under way. */
export interface CommitTasks extends Ancestor {
  readonly commitsBehind: number;
  /** Newest first. */
  readonly tasks: readonly ReportedTask[];
}

/** Why there is nothing to compare with. */
export interface MissingBaseline {
  readonly kind: 'missing';
  readonly reason:
    | 'off'
    /** GitHub was not asked, or refused. */
    | 'no-github'
    /** Neither the pull request nor the event names a base branch. */
    | 'no-branch'
    /** launch-training-task did not launch the task, so its pipeline is unknown. */
    | 'no-pipeline'
    /** The commits have no common ancestor, or GitHub does not know the commit. */
    | 'no-ancestor'
    /** None of the commits within reach has a completed task. */
    | 'no-task'
    /** As `no-task`, but one of the commits is being trained. */
    | 'unfinished'
    /** As `no-task`, but the branch was trained elsewhere; only a gate looks for that. */
    | 'unreached';
  readonly branch: string | undefined;
  readonly commitsSearched: number;
  /** Only with the reason `unfinished`. */
  readonly unfinished?: CommitTasks;
  /** GitHub's refusal, where that is the reason. */
  readonly failure?: Failure;
}

/** How many commits of the base branch's history are searched. */
export const MAX_ANCESTORS = 100;

/**
 * What `--baseline` says: an id, `branch:NAME`, `tag:NAME` or `none`.
 *
 * @throws Failure (usage)
 */
export function parseBaseline(text: string): ConfiguredBaseline {
  const value = text.trim();
  if (value === 'none') return 'none';
  if (isTaskId(value)) return { task: value };
  const [, kind, name = ''] = /^(branch|tag):(.*)$/s.exec(value) ?? [];
  if (kind !== undefined && name.trim() !== '') {
    return kind === 'branch' ? { branch: name.trim(), runs: DEFAULT_RUNS } : { tag: name.trim() };
  }
  throw new Failure(`invalid --baseline "${text}": expected a task id, branch:NAME, tag:NAME or none`, {
    exitCode: EXIT_CODES.usage,
    remedy: 'A task id has 32 hexadecimal digits; the task’s page in ClearML shows it.',
  });
}

const DEFAULT_RUNS = 10;

/** The default: the pull request's base branch. */
export const DEFAULT_BASELINE: BaselineRule = { runs: DEFAULT_RUNS };

/**
 * Walks along first parents, as far as the listed commits reach.
 *
 * @returns the commits walked, the nearest first, and where the walk would go on; undefined at the root
 */
export function walkFirstParents(
  from: string,
  listed: ReadonlyMap<string, ListedCommit>,
  limit: number,
): { readonly chain: readonly Ancestor[]; readonly next: string | undefined } {
  const chain: Ancestor[] = [];
  let next: string | undefined = from;
  while (next !== undefined && chain.length < limit) {
    const commit: ListedCommit | undefined = listed.get(next);
    if (commit === undefined) break;
    chain.push({ commit: commit.commit, tree: commit.tree });
    next = commit.parents[0];
  }
  return { chain, next };
}

/** What is under test. */
interface TestedCode {
  /** Its tasks. */
  readonly own: readonly ReportedTask[];
  readonly pullRequest: number | undefined;
  readonly seedParam: string;
}

/** How to search a branch for a baseline. */
export interface BaselineSearch extends TestedCode {
  readonly pipeline: string;
  readonly branch: string;
  /** The pull request's newest commit; undefined if unknown. */
  readonly head: string | undefined;
}

/**
 * The nearest ancestor that clean, completed tasks of this pipeline carry, launched by an event or on the base branch. A
 * tree identifies the code too: so a squashed or rebased merge finds the tasks of its own pull request. Where the nearest
 * such ancestor is the code under test itself, that is the answer: with an older one in its place, a pull request that
 * changes nothing would be judged by what the base branch did.
 *
 * @param candidates whatever ClearML answered: every field is looked at again
 */
export function selectBranchBaseline(
  ancestors: readonly Ancestor[],
  candidates: readonly ReportedTask[],
  search: BaselineSearch,
): FoundBaseline | undefined {
  const completed = leaveOutTrials(ancestors, candidates, search).filter(({ status }) => isSuccess(status));
  const byPosition = groupByPosition(ancestors, completed, search);
  const history = [...byPosition].flatMap(([position, tasks]): CommitTasks[] => {
    const ancestor = ancestors[position];
    return ancestor === undefined
      ? []
      : [{ ...ancestor, commitsBehind: position, tasks: selectMostAlike(tasks, search) }];
  });
  const [nearest] = history;
  if (nearest === undefined) return undefined;
  const unfinished = findUnfinished(ancestors, candidates, search);
  return {
    kind: 'found',
    by: 'branch',
    tasks: nearest.tasks,
    name: search.branch,
    commit: nearest.commit,
    commitsBehind: nearest.commitsBehind,
    passedOver: (byPosition.get(nearest.commitsBehind)?.length ?? 0) - nearest.tasks.length,
    isSameTraining: areOfOwnTraining(nearest.tasks, search),
    unfinished:
      unfinished !== undefined && unfinished.commitsBehind <= nearest.commitsBehind ? unfinished : undefined,
    history,
  };
}

/** The nearest ancestor with tasks that will count once they have ended well. */
export function findUnfinished(
  ancestors: readonly Ancestor[],
  candidates: readonly ReportedTask[],
  search: BaselineSearch,
): CommitTasks | undefined {
  const isUnderTest = new Set(search.own.map(({ id }) => id));
  const unfinished = leaveOutTrials(ancestors, candidates, search).filter(
    ({ id, status }) => isUnderWay(status) && !isUnderTest.has(id),
  );
  const [nearest] = groupByPosition(ancestors, unfinished, search);
  const ancestor = nearest === undefined ? undefined : ancestors[nearest[0]];
  if (nearest === undefined || ancestor === undefined) return undefined;
  return { ...ancestor, commitsBehind: nearest[0], tasks: sortNewestFirst(nearest[1]) };
}

/**
 * Leaves out launches by hand with settings that are neither the branch's nor those under test: somebody's trial on the
 * branch. Where all of the branch was launched by hand, those that are trained as the code under test is count alone, or
 * all if there are none.
 */
function leaveOutTrials(
  ancestors: readonly Ancestor[],
  candidates: readonly ReportedTask[],
  search: BaselineSearch,
): readonly ReportedTask[] {
  const { branch, own, pullRequest, seedParam } = search;
  const onBranch = new Set(listIds(ancestors));
  const idsOf = (task: ReportedTask) => [...listCodeIds(task), ...listMarkedCommits(task.tags, branch)];
  const isByHand = (task: ReportedTask) =>
    task.runtime[RUNTIME_KEYS.event] === 'launch' && listMarkedCommits(task.tags, branch).length === 0;
  const isOwn = createOwnTest(own);
  const byBranch = candidates.filter(
    (task) =>
      !isByHand(task) &&
      !(isOwn(task) && isTrainedFor(task, pullRequest)) &&
      mayCount(task, search) &&
      idsOf(task).some((id) => onBranch.has(id)),
  );
  const trained = new Set(byBranch.flatMap(idsOf));
  const isLike = (task: ReportedTask, others: readonly ReportedTask[]) =>
    others.some((other) => isTrainedAlike(task, other, seedParam));
  // Of a commit that the branch itself has trained, a trial with the settings under test is no base either: it would
  // hide what the settings do.
  const counts = (task: ReportedTask) =>
    isLike(task, byBranch) || (isLike(task, own) && !idsOf(task).some((id) => trained.has(id)));
  const byHand = candidates.filter((task) => isByHand(task) && mayCount(task, search));
  if (byBranch.length === 0 && !byHand.some(counts)) return candidates;
  return candidates.filter((task) => !isByHand(task) || counts(task));
}

/** Whether a task has another's settings; what its training has not said yet, as long as it is under way, may be anything. */
function isTrainedAlike(task: ReportedTask, other: ReportedTask, seedParam: string): boolean {
  if (!isUnderWay(task.status)) return haveSameSettings(task, other, seedParam);
  const others = listSettings(other, seedParam);
  return [...listSettings(task, seedParam)].every(([name, value]) => others.get(name) === value);
}

/** The tasks that belong to a commit, by how far behind the first ancestor it lies; the nearest first. */
function groupByPosition(
  ancestors: readonly Ancestor[],
  candidates: readonly ReportedTask[],
  search: BaselineSearch,
): Map<number, readonly ReportedTask[]> {
  const positions = new Map<string, number>();
  for (const [index, { commit, tree }] of ancestors.entries()) {
    for (const id of [commit, tree]) if (!positions.has(id)) positions.set(id, index);
  }
  const byPosition = new Map<number, ReportedTask[]>();
  for (const task of candidates) {
    if (!mayCount(task, search)) continue;
    const ids = [...listCodeIds(task), ...listMarkedCommits(task.tags, search.branch)];
    const found = ids.flatMap((id) => positions.get(id) ?? []);
    if (found.length === 0) continue;
    const position = Math.min(...found);
    byPosition.set(position, [...(byPosition.get(position) ?? []), task]);
  }
  const nearestFirst = [...byPosition].sort(([a], [b]) => a - b);
  const isMerged = search.head !== undefined && ancestors[0]?.commit === search.head;
  const isOwn = createOwnTest(search.own);
  return new Map(
    nearestFirst.flatMap(([position, tasks], index) => {
      const older = nearestFirst.slice(index + 1).flatMap(([, others]) => others);
      const counted =
        index === 0 && !isMerged
          ? selectNearest(tasks, older, isOwn, search)
          : tasks.filter((task) => !isOwn(task));
      return counted.length === 0 ? [] : [[position, counted] as const];
    }),
  );
}

/**
 * The nearest commit may be the code under test itself. Its tasks are the base then, but for those that this pull request
 * has trained: with params from elsewhere (a repository variable, an option) they would be their own measure. Where only
 * the pull request has trained it, it did so as the base branch is trained, or it does not count.
 */
function selectNearest(
  tasks: readonly ReportedTask[],
  older: readonly ReportedTask[],
  isOwn: (task: ReportedTask) => boolean,
  { pullRequest, seedParam }: BaselineSearch,
): readonly ReportedTask[] {
  const base = tasks.filter((task) => !(isOwn(task) && isTrainedFor(task, pullRequest)));
  if (base.length > 0) return base;
  const isAsUsual = (task: ReportedTask) =>
    older.some((other) => !isOwn(other) && haveSameSettings(task, other, seedParam));
  return tasks.every(isAsUsual) ? tasks : [];
}

/** Whether a task was created for the pull request, not only reused by it. */
function isTrainedFor({ runtime }: ReportedTask, pullRequest: number | undefined): boolean {
  return pullRequest !== undefined && runtime[RUNTIME_KEYS.pullRequest] === String(pullRequest);
}

/** Whether a task is one of those under test, or of their code. */
function createOwnTest(own: readonly ReportedTask[]): (task: ReportedTask) => boolean {
  const ids = new Set(own.map(({ id }) => id));
  const code = new Set(own.flatMap(listCodeIds));
  return (task) => ids.has(task.id) || listCodeIds(task).some((id) => code.has(id));
}

/** Whether all tasks under test are the same training as these, but for the seed. */
function areOfOwnTraining(tasks: readonly ReportedTask[], { own, seedParam }: TestedCode): boolean {
  const ids = new Set(tasks.map(({ id }) => id));
  const keys = new Set(tasks.flatMap(({ runtime }) => runtime[RUNTIME_KEYS.key] ?? []));
  const isKnown = ({ id, runtime }: ReportedTask) => ids.has(id) || keys.has(runtime[RUNTIME_KEYS.key] ?? '');
  const [first] = own;
  return (
    first !== undefined && own.some(isKnown) && own.every((task) => haveSameSettings(task, first, seedParam))
  );
}

/** Whether a task belongs to the branch's history, if it ends well. */
function mayCount(task: ReportedTask, { pipeline, branch }: BaselineSearch): boolean {
  const { runtime, script } = task;
  if (task.isArchived || script.hasDiff) return false;
  if (runtime[RUNTIME_KEYS.pipeline] !== pipeline || runtime[RUNTIME_KEYS.key] === undefined) return false;
  const event = runtime[RUNTIME_KEYS.event];
  return (
    isHistoryEvent(event) ||
    (event === 'launch' && script.branch === branch) ||
    listMarkedCommits(task.tags, branch).length > 0
  );
}

/**
 * Whether the base branch itself was ever trained, be it at commits that the look-up does not reach: by a launch of its
 * own, or in a pull request that was merged since.
 *
 * @param later its commits since the pull request branched off
 * @param candidates whatever ClearML answered: every field is looked at again
 */
export function isBranchTrained(
  later: readonly Ancestor[],
  candidates: readonly ReportedTask[],
  search: BaselineSearch,
): boolean {
  const isOwn = createOwnTest(search.own);
  const ids = new Set(listIds(later));
  return candidates.some((task) => {
    if (!isSuccess(task.status) || !mayCount(task, search) || isOwn(task)) return false;
    // A pull request's branch may have the same name, in a fork.
    const isByPullRequest = task.runtime[RUNTIME_KEYS.event]?.startsWith('pull_request') === true;
    return (
      (task.script.branch === search.branch && !isByPullRequest) ||
      listMarkedCommits(task.tags, search.branch).length > 0 ||
      listCodeIds(task).some((id) => ids.has(id))
    );
  });
}

/** The ids of these commits and of their trees. */
export function listIds(commits: readonly Ancestor[]): string[] {
  return [...new Set(commits.flatMap(({ commit, tree }) => [commit, tree]))];
}

/** What identifies the code of a task: its tree (or the hash of `paths`), and its commit. */
export function listCodeIds(task: Pick<ReportedTask, 'runtime' | 'script'>): string[] {
  return [task.runtime[RUNTIME_KEYS.code], task.script.commit].filter((id) => id !== undefined);
}

/** Of tasks with different params or images those that are most like the code under test: a mean over all says nothing. */
function selectMostAlike(tasks: readonly ReportedTask[], { own, seedParam }: BaselineSearch): ReportedTask[] {
  const groups = new Map<string, ReportedTask[]>();
  for (const task of tasks) {
    const settings = listSettings(task, seedParam);
    const id = JSON.stringify([...settings].sort(([a], [b]) => (a < b ? -1 : 1)));
    groups.set(id, [...(groups.get(id) ?? []), task]);
  }
  const ownSettings = own[0] === undefined ? new Map<string, string>() : listSettings(own[0], seedParam);
  const rate = ([first]: readonly ReportedTask[]) =>
    first === undefined ? 0 : countDifferences(listSettings(first, seedParam), ownSettings);
  const newest = (group: readonly ReportedTask[]) => Math.max(...group.map((task) => task.createdAtMs ?? 0));
  const [best = []] = [...groups.values()].sort((a, b) => rate(a) - rate(b) || newest(b) - newest(a));
  return sortNewestFirst(best);
}

function listSettings(task: ReportedTask, seedParam: string): Map<string, string> {
  const settings = new Map(Object.entries(task.params).filter(([name]) => name !== seedParam));
  settings.set('image', task.image ?? '');
  return settings;
}

function haveSameSettings(a: ReportedTask, b: ReportedTask, seedParam: string): boolean {
  return countDifferences(listSettings(a, seedParam), listSettings(b, seedParam)) === 0;
}

function countDifferences(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): number {
  return [...new Set([...a.keys(), ...b.keys()])].filter((name) => a.get(name) !== b.get(name)).length;
}

/** How to search for a tagged baseline. */
interface TagSearch extends TestedCode {
  readonly tag: string;
  /** The base branch; undefined if unknown: then any branch's mark counts. */
  readonly branch: string | undefined;
}

/**
 * The newest successful task with the tag, in the project of the code under test, with all seeds of the same code and
 * params that carry it too. Never one with uncommitted changes, or one that a pull request has trained, this or another,
 * until the base branch has marked it as its own: by the settings each could tag its own. Where that task is the code
 * under test, reused, nothing has changed.
 *
 * @param candidates whatever ClearML answered: every field is looked at again
 */
export function selectTagBaseline(
  candidates: readonly ReportedTask[],
  search: TagSearch,
): FoundBaseline | undefined {
  const { tag, own, pullRequest, branch, seedParam } = search;
  const [first] = own;
  const pipeline = first?.runtime[RUNTIME_KEYS.pipeline];
  const isUnderTest = (task: ReportedTask) => own.some(({ id }) => id === task.id);
  const isReused = ({ tags }: ReportedTask) =>
    pullRequest !== undefined && tags.includes(tagPullRequest(pullRequest));
  const tagged = sortNewestFirst(
    candidates.filter(
      (task) =>
        isSuccess(task.status) &&
        !task.isArchived &&
        !task.script.hasDiff &&
        task.tags.includes(tag) &&
        task.projectId === first?.projectId &&
        // A task by hand may carry the tag; one of another pipeline is another training.
        [undefined, pipeline].includes(task.runtime[RUNTIME_KEYS.pipeline]) &&
        !isTrainedFor(task, pullRequest) &&
        isSettled(task, branch) &&
        (!isUnderTest(task) || isReused(task)),
    ),
  );
  const [newest] = tagged;
  if (newest === undefined) return undefined;
  const tasks = tagged.filter((task) => task === newest || differOnlyInSeed(task, newest, seedParam));
  return {
    kind: 'found',
    by: 'tag',
    tasks,
    name: tag,
    commit: newest.script.commit,
    passedOver: tagged.length - tasks.length,
    isSameTraining: areOfOwnTraining(tasks, search),
    history: [],
  };
}

/** Events that nobody who has only opened a pull request sets off; undefined is a task by hand. */
const ANCHOR_EVENTS: readonly (string | undefined)[] = ['push', 'launch', undefined];

/** Whether a task is not the trial of a pull request or a person, or has become the base branch's since. */
function isSettled({ runtime, tags }: ReportedTask, branch: string | undefined): boolean {
  if (ANCHOR_EVENTS.includes(runtime[RUNTIME_KEYS.event])) return true;
  return branch === undefined ? tags.some(isHistoryMark) : listMarkedCommits(tags, branch).length > 0;
}

/** Whether two tasks differ in nothing but their seed, as far as what they were launched with tells. */
function differOnlyInSeed(a: ReportedTask, b: ReportedTask, seedParam: string): boolean {
  const codeIds = listCodeIds(b);
  return (
    listCodeIds(a).some((id) => codeIds.includes(id)) &&
    a.runtime[RUNTIME_KEYS.pipeline] === b.runtime[RUNTIME_KEYS.pipeline] &&
    !a.script.hasDiff &&
    !b.script.hasDiff &&
    haveSameSettings(a, b, seedParam)
  );
}

function sortNewestFirst(tasks: readonly ReportedTask[]): ReportedTask[] {
  return [...tasks].sort((a, b) => (b.createdAtMs ?? 0) - (a.createdAtMs ?? 0) || (a.id < b.id ? -1 : 1));
}
