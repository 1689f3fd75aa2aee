import type { Ancestor, ListedCommit } from '../../github/client.ts';
import type { Failure } from '../../shell/failure.ts';
import { listMarkedCommits, listMarks } from '../../training/history-mark.ts';
import { isUsedByPullRequest } from '../../training/ownership.ts';
import { isEnded, isHistoryEvent, isSuccess, isUnderWay, RUNTIME_KEYS } from '../../training/task.ts';
import type { ReportedTask } from '../reported-task.ts';

/** What a report compares with. */
export type Baseline = FoundBaseline | MissingBaseline;

/** The tasks to compare with, if any. */
export function listBaselineTasks(baseline: Baseline): readonly ReportedTask[] {
  return baseline.kind === 'found' ? baseline.tasks : [];
}

/** The commits that a baseline has tasks of, the nearest first; none for one that was not found. */
export function listHistory(baseline: Baseline): readonly CommitTasks[] {
  return baseline.kind === 'found' ? baseline.history : [];
}

/** Tasks to compare with, and their origin. */
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
    /** GitHub lists no commits of it: it does not exist, or the token may not see it. */
    | 'no-such-branch'
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
  /** Nothing was found that any of these commits was ever trained, nor the branch elsewhere, as far as that was looked for. */
  readonly isFirst?: boolean;
  /** Only with the reason `unfinished`. */
  readonly unfinished?: CommitTasks;
  /** GitHub's refusal, if that is the reason. */
  readonly failure?: Failure;
}

/** How many commits of the base branch's history are searched. */
export const MAX_ANCESTORS = 100;

/**
 * Walks along first parents, as far as the listed commits reach.
 *
 * @returns the commits, nearest first, and the next one; undefined at the root
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
 * The nearest ancestor with clean, completed tasks of this pipeline, launched by an event or on the base branch. Trees
 * count too, so a squashed or rebased merge finds the tasks of its own pull request. The ancestor may be the code under
 * test itself: an older one would judge an unchanged pull request by what the base branch did.
 *
 * @param candidates ClearML's answer; every field is checked again
 */
export function selectBranchBaseline(
  ancestors: readonly Ancestor[],
  candidates: readonly ReportedTask[],
  search: BaselineSearch,
): FoundBaseline | undefined {
  const completed = leaveOutTrials(ancestors, candidates, search).filter(({ status }) => isSuccess(status));
  const commits = groupByCommit(ancestors, completed, search);
  const history = commits.map((commit) => ({ ...commit, tasks: selectMostAlike(commit.tasks, search) }));
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
    passedOver: (commits[0]?.tasks.length ?? 0) - nearest.tasks.length,
    isSameTraining: areOfOwnTraining(nearest.tasks, search),
    unfinished:
      unfinished !== undefined && unfinished.commitsBehind <= nearest.commitsBehind ? unfinished : undefined,
    history,
  };
}

/** The nearest ancestor with tasks that count once they complete. */
export function findUnfinished(
  ancestors: readonly Ancestor[],
  candidates: readonly ReportedTask[],
  search: BaselineSearch,
): CommitTasks | undefined {
  const isUnderTest = new Set(search.own.map(({ id }) => id));
  const unfinished = leaveOutTrials(ancestors, candidates, search).filter(
    ({ id, status }) => isUnderWay(status) && !isUnderTest.has(id),
  );
  const [nearest] = groupByCommit(ancestors, unfinished, search);
  return nearest && { ...nearest, tasks: sortNewestFirst(nearest.tasks) };
}

/**
 * Leaves out trials on the branch: launches by hand with settings that are neither the branch's nor those under test. If
 * all tasks of the branch were launched by hand, those with the settings under test count, or all if there are none.
 */
function leaveOutTrials(
  ancestors: readonly Ancestor[],
  candidates: readonly ReportedTask[],
  search: BaselineSearch,
): readonly ReportedTask[] {
  const { branch, own, pullRequest, seedParam } = search;
  const onBranch = new Set(listIds(ancestors));
  const idsOf = (task: ReportedTask) => [...listCodeIds(task), ...listMarkedCommits(task, branch)];
  const isByHand = (task: ReportedTask) =>
    task.runtime[RUNTIME_KEYS.event] === 'launch' && listMarkedCommits(task, branch).length === 0;
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
  // If the branch trained the commit itself, a trial with the settings under test would hide their effect.
  const counts = (task: ReportedTask) =>
    isLike(task, byBranch) || (isLike(task, own) && !idsOf(task).some((id) => trained.has(id)));
  const byHand = candidates.filter((task) => isByHand(task) && mayCount(task, search));
  if (byBranch.length === 0 && !byHand.some(counts)) return candidates;
  return candidates.filter((task) => !isByHand(task) || counts(task));
}

/** Whether two tasks have the same settings; a task under way may still report further ones. */
function isTrainedAlike(task: ReportedTask, other: ReportedTask, seedParam: string): boolean {
  if (!isUnderWay(task.status)) return haveSameSettings(task, other, seedParam);
  const others = listSettings(other, seedParam);
  return [...listSettings(task, seedParam)].every(([name, value]) => others.get(name) === value);
}

/** The ancestors that tasks belong to, with their tasks; nearest first. */
function groupByCommit(
  ancestors: readonly Ancestor[],
  candidates: readonly ReportedTask[],
  search: BaselineSearch,
): CommitTasks[] {
  const positions = new Map<string, number>();
  for (const [index, { commit, tree }] of ancestors.entries()) {
    for (const id of [commit, tree]) if (!positions.has(id)) positions.set(id, index);
  }
  const byPosition = new Map<number, ReportedTask[]>();
  for (const task of candidates) {
    if (!mayCount(task, search)) continue;
    const ids = [...listCodeIds(task), ...listMarkedCommits(task, search.branch)];
    const found = ids.flatMap((id) => positions.get(id) ?? []);
    if (found.length === 0) continue;
    const position = Math.min(...found);
    byPosition.set(position, [...(byPosition.get(position) ?? []), task]);
  }
  const commits = ancestors.map((ancestor, commitsBehind) => {
    return { ...ancestor, commitsBehind, tasks: byPosition.get(commitsBehind) ?? [] };
  });
  const trained = commits.filter(({ tasks }) => tasks.length > 0);
  const isMerged = search.head !== undefined && ancestors[0]?.commit === search.head;
  const isOwn = createOwnTest(search.own);
  const counted = trained.map((commit, index) => {
    if (index > 0 || isMerged) return { ...commit, tasks: commit.tasks.filter((task) => !isOwn(task)) };
    const older = trained.slice(1).flatMap(({ tasks }) => tasks);
    return { ...commit, tasks: selectNearest(commit.tasks, older, isOwn, search) };
  });
  return counted.filter(({ tasks }) => tasks.length > 0);
}

/**
 * The nearest commit may be the code under test itself. Then its tasks are the base, except those that this pull request
 * trained: they would be compared with themselves. If there are only those, they count with the base branch's settings.
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

/** Whether the pull request created the task, rather than reused it. */
function isTrainedFor({ runtime }: ReportedTask, pullRequest: number | undefined): boolean {
  return pullRequest !== undefined && runtime[RUNTIME_KEYS.pullRequest] === String(pullRequest);
}

/** Whether a task is under test, or has the same code. */
function createOwnTest(own: readonly ReportedTask[]): (task: ReportedTask) => boolean {
  const ids = new Set(own.map(({ id }) => id));
  const code = new Set(own.flatMap(listCodeIds));
  return (task) => ids.has(task.id) || listCodeIds(task).some((id) => code.has(id));
}

/** Whether all tasks under test are the same training as these, but for the seed. */
export function areOfOwnTraining(tasks: readonly ReportedTask[], { own, seedParam }: TestedCode): boolean {
  const ids = new Set(tasks.map(({ id }) => id));
  const keys = new Set(tasks.flatMap(({ runtime }) => runtime[RUNTIME_KEYS.key] ?? []));
  const isKnown = ({ id, runtime }: ReportedTask) => ids.has(id) || keys.has(runtime[RUNTIME_KEYS.key] ?? '');
  const [first] = own;
  return (
    first !== undefined && own.some(isKnown) && own.every((task) => haveSameSettings(task, first, seedParam))
  );
}

/** Whether a task belongs to the branch's history once it completes. */
function mayCount(task: ReportedTask, { pipeline, branch }: BaselineSearch): boolean {
  const { runtime, script, status } = task;
  if (task.isArchived || script.hasDiff || (isEnded(status) && !isSuccess(status))) return false;
  if (runtime[RUNTIME_KEYS.pipeline] !== pipeline || runtime[RUNTIME_KEYS.key] === undefined) return false;
  const event = runtime[RUNTIME_KEYS.event];
  return (
    isHistoryEvent(event) ||
    (event === 'launch' && script.branch === branch) ||
    listMarkedCommits(task, branch).length > 0
  );
}

/**
 * Whether the base branch was ever trained, also at commits out of reach: by a launch of its own, or in a pull request that
 * was merged since.
 *
 * @param later its commits since the pull request branched off
 * @param candidates ClearML's answer; every field is checked again
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
    // A fork's branch may have the same name.
    const isByPullRequest = task.runtime[RUNTIME_KEYS.event]?.startsWith('pull_request') === true;
    return (
      (task.script.branch === search.branch && !isByPullRequest) ||
      listMarkedCommits(task, search.branch).length > 0 ||
      listCodeIds(task).some((id) => ids.has(id))
    );
  });
}

/** Whether any task but those under test trained one of these commits, whatever came of it, or carries its mark. */
export function isAnyTrained(
  ancestors: readonly Ancestor[],
  candidates: readonly ReportedTask[],
  { own, branch }: BaselineSearch,
): boolean {
  const isUnderTest = new Set(own.map(({ id }) => id));
  const ids = new Set(listIds(ancestors));
  return candidates.some(
    (task) =>
      !isUnderTest.has(task.id) &&
      [...listCodeIds(task), ...listMarkedCommits(task, branch)].some((id) => ids.has(id)),
  );
}

/** The ids of these commits and of their trees. */
export function listIds(commits: readonly Ancestor[]): string[] {
  return [...new Set(commits.flatMap(({ commit, tree }) => [commit, tree]))];
}

/** The ids of a task's code: its tree (or the hash of `paths`) and its commit. */
export function listCodeIds(task: Pick<ReportedTask, 'runtime' | 'script'>): string[] {
  return [task.runtime[RUNTIME_KEYS.code], task.script.commit].filter((id) => id !== undefined);
}

/** The tasks with the params and image most like those under test: a mean over different settings is meaningless. */
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
 * The newest successful task with the tag in the project, with all tagged seeds of the same code and params. Tasks with
 * uncommitted changes do not count, nor do those of a pull request before the base branch has marked them: the settings
 * could tag any of them. A reused task under test counts, because nothing has changed.
 *
 * @param candidates ClearML's answer; every field is checked again
 */
export function selectTagBaseline(
  candidates: readonly ReportedTask[],
  search: TagSearch,
): FoundBaseline | undefined {
  const { tag, own, pullRequest, branch, seedParam } = search;
  const [first] = own;
  const pipeline = first?.runtime[RUNTIME_KEYS.pipeline];
  const isUnderTest = (task: ReportedTask) => own.some(({ id }) => id === task.id);
  const isReused = (task: ReportedTask) =>
    pullRequest !== undefined && isUsedByPullRequest(task, pullRequest);
  // A clone made in the web page copies the tags.
  const isCopy = ({ parent, runtime }: ReportedTask) =>
    runtime[RUNTIME_KEYS.pipeline] === undefined && candidates.some(({ id }) => id === parent);
  const tagged = sortNewestFirst(
    candidates.filter(
      (task) =>
        isSuccess(task.status) &&
        !task.isArchived &&
        !task.script.hasDiff &&
        task.tags.includes(tag) &&
        !isCopy(task) &&
        task.projectId === first?.projectId &&
        // A task of another pipeline is another training; one launched by hand has no pipeline.
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

/** Events that opening a pull request does not trigger; undefined is a task by hand. */
const ANCHOR_EVENTS: readonly (string | undefined)[] = ['push', 'launch', undefined];

/** Whether a task is not a trial, or became part of the base branch since. */
function isSettled(task: ReportedTask, branch: string | undefined): boolean {
  if (ANCHOR_EVENTS.includes(task.runtime[RUNTIME_KEYS.event])) return true;
  return (branch === undefined ? listMarks(task) : listMarkedCommits(task, branch)).length > 0;
}

/** Whether two tasks differ only in their seed, by what they were launched with. */
export function differOnlyInSeed(a: ReportedTask, b: ReportedTask, seedParam: string): boolean {
  const codeIds = listCodeIds(b);
  return (
    listCodeIds(a).some((id) => codeIds.includes(id)) &&
    a.runtime[RUNTIME_KEYS.pipeline] === b.runtime[RUNTIME_KEYS.pipeline] &&
    haveSameSettings(a, b, seedParam)
  );
}

function sortNewestFirst(tasks: readonly ReportedTask[]): ReportedTask[] {
  return [...tasks].sort((a, b) => (b.createdAtMs ?? 0) - (a.createdAtMs ?? 0) || (a.id < b.id ? -1 : 1));
}
