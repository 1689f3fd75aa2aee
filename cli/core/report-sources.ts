import {
  type Ancestor,
  type Baseline,
  type BaselineRule,
  isBranchTrained,
  type ListedCommit,
  listCodeIds,
  MAX_ANCESTORS,
  selectBranchBaseline,
  selectTagBaseline,
  walkFirstParents,
} from './baseline.ts';
import type { Curves } from './curve.ts';
import { EXIT_CODES } from './exit-code.ts';
import { Failure, settle } from './failure.ts';
import type { Metric } from './metrics.ts';
import type { Plot } from './plot.ts';
import type { ReportedTask } from './reported-task.ts';
import { isEnded, isSuccess, RUNTIME_KEYS } from './task.ts';
import type { QueueState } from './task-life.ts';

/** What ClearML finds a metric by. */
export type MetricName = Pick<Metric, 'name' | 'title' | 'series'>;

/** What a report asks of ClearML. */
export interface ReportServer {
  /** The tasks with these ids, those that exist. */
  readTasks(ids: readonly string[]): Promise<ReadonlyMap<string, ReportedTask>>;
  /** Completed tasks of a pipeline whose commit or code id is one of these, with the metrics that are named. */
  findTasksByCode(search: {
    readonly codeIds: readonly string[];
    readonly pipeline: string;
    readonly projectId: string | undefined;
    /** `all` where patterns gate: nobody knows the names. */
    readonly metrics: readonly MetricName[] | 'all';
  }): Promise<readonly ReportedTask[]>;
  /** The newest completed tasks of a pipeline on a branch, without their metrics. */
  findTasksByBranch(search: {
    readonly branch: string;
    readonly pipeline: string;
    readonly projectId: string | undefined;
  }): Promise<readonly ReportedTask[]>;
  /** Completed tasks with the tag, in the project. */
  findTasksByTag(tag: string, projectId: string): Promise<readonly ReportedTask[]>;
  readCurves(tasks: readonly ReportedTask[], metrics: readonly MetricName[]): Promise<Curves>;
  /** The end of a task's console, oldest line first. */
  readLogEnd(taskId: string): Promise<ConsoleEnd>;
  readQueues(ids: readonly string[]): Promise<ReadonlyMap<string, QueueState>>;
  /** The tables and matrices that a task reported. */
  readPlots(taskId: string): Promise<readonly Plot[]>;
}

export interface PullRequest {
  readonly url: string;
  readonly isOpen: boolean;
  readonly headCommit: string;
  readonly baseBranch: string;
}

/** What a report asks of GitHub. */
export interface CodeHost {
  readPullRequest(number: number): Promise<PullRequest>;
  /** undefined where the commits have no common ancestor, or GitHub does not know one of them. */
  compareCommits(base: string, head: string): Promise<CommitComparison | undefined>;
  /** The newest 100 commits that a branch or commit reaches; empty where GitHub does not know it. */
  listCommits(ref: string): Promise<readonly ListedCommit[]>;
  /** undefined where GitHub does not know the commit. */
  readTree(commit: string): Promise<string | undefined>;
  /** The text of a file on a branch or at a commit; undefined where there is none. */
  readFile(path: string, ref: string): Promise<string | undefined>;
}

/** How two commits lie to each other. */
export interface CommitComparison {
  readonly mergeBase: string;
  readonly head: Ancestor;
}

/** Of the baseline's metrics at most this many are asked for: a task can have thousands. */
export const MAX_COMPARED_METRICS = 300;
/** Curves and sparklines for at most this many metrics. */
export const MAX_CURVES = 40;
/** A task with more metrics than this is a large document; its plots are left to ClearML's own page. */
export const MANY_METRICS = 1000;
/** Consoles are read of at most this many tasks. */
const MAX_CONSOLES = 20;
/** A branch of merge commits has its first parents spread over several pages. */
const MAX_COMMIT_PAGES = 4;

/** The end of a task's console, oldest line first. */
export interface ConsoleEnd {
  readonly lines: readonly string[];
  readonly isWhole: boolean;
}

/** Parts of a report that are left out where ClearML does not answer about them. */
export type Unread = 'curves' | 'details';

/** Everything a report is made of. */
export interface ReportSources {
  /** In the order asked for. */
  readonly tasks: readonly ReportedTask[];
  /** undefined where GitHub was not asked, or did not tell. */
  readonly pullRequest: PullRequest | undefined;
  /** Why GitHub did not tell: then it will not take a comment either. */
  readonly failure: Failure | undefined;
  /** The pull request's newest commit holds the code that was trained; undefined where that is not known. */
  readonly isCurrent: boolean | undefined;
  /** What the report compares with: the first baseline asked for. */
  readonly baseline: Baseline;
  /** Why the baseline could not be looked for. */
  readonly baselineFailure: Failure | undefined;
  /** What ClearML did not tell, and a report can do without. */
  readonly unread: readonly Unread[];
  /** The other baselines asked for, in their order. */
  readonly anchors: readonly Baseline[];
  readonly curves: Curves;
  /** The end of a failed task's console. */
  readonly log: ({ readonly taskId: string } & ConsoleEnd) | undefined;
  /** Consoles that the gate needs, by task; one that ClearML did not give is not there. */
  readonly consoles: ReadonlyMap<string, ConsoleEnd>;
  readonly queues: ReadonlyMap<string, QueueState>;
  readonly plots: readonly Plot[];
  /** The settings file as the base branch has it now; undefined where GitHub was not asked. */
  readonly baseSettings: BaseSettings | undefined;
}

/** A file of the base branch; no text where there is no such file. */
export type BaseSettings = { readonly branch: string } & (
  | { readonly text: string | undefined }
  | { readonly failure: Failure }
);

export interface SourceOptions {
  readonly taskIds: readonly string[];
  readonly baselineRules: readonly BaselineRule[];
  readonly seedParam: string;
  /** Base branch and head as the event names them, so that GitHub need not be waited for. */
  readonly expected: { readonly baseBranch: string; readonly headCommit: string } | undefined;
  readonly pullRequest: number | undefined;
  /** The event's own head was launched, and only some files decide: then a tree tells nothing. */
  readonly hasPaths: boolean;
  /** Metrics that the settings name, for a baseline that has some which the tasks have not. */
  readonly missedMetrics: readonly MetricName[];
  /** All metrics in the order of their importance. */
  readonly rankMetrics: (tasks: readonly ReportedTask[]) => readonly MetricName[];
  /** What a gate asks for beyond that; undefined where nothing is gated. */
  readonly gate: GateQuestions | undefined;
  /** The settings file, relative to the repository's root; undefined where it lies outside. */
  readonly settingsPath: string | undefined;
}

export interface GateQuestions {
  /** Some gated metrics are named by patterns: of the base's tasks all metrics are wanted, to miss one that is gone. */
  readonly hasPatterns: boolean;
  /** Whether a task's console must be read to judge it. */
  readonly needsConsole: (task: ReportedTask) => boolean;
}

export interface SourceServers {
  readonly clearml: ReportServer;
  readonly github: Promise<CodeHost> | undefined;
}

/** A history that is under way: started as soon as branch and commit are known. */
interface HistorySearch {
  readonly branch: string;
  readonly head: string;
  readonly history: Promise<{ readonly value: History } | { readonly failure: Failure }>;
}

/** The base branch's commits, as far as they were listed, and how the pull request's head lies to them. */
interface History {
  readonly comparison: CommitComparison | undefined;
  readonly listed: ReadonlyMap<string, ListedCommit>;
}

/**
 * Asks for everything a report needs, independent questions together: tasks, pull request and history; then baseline and
 * details; then the curves of both sides.
 *
 * @throws Failure (not found) naming the tasks that do not exist, the baseline's included
 */
export async function collectSources(
  options: SourceOptions,
  { clearml, github }: SourceServers,
): Promise<ReportSources> {
  const { baselineRules, expected, pullRequest: number } = options;
  const branchRules = baselineRules.filter(isBranchRule);
  const baselineIds = baselineRules.flatMap((rule) => ('task' in rule ? [rule.task] : []));

  const histories = new Map<string, HistorySearch>();
  const searchHistory = (branch: string | undefined, head: string | undefined): HistorySearch | undefined => {
    if (branch === undefined || head === undefined || github === undefined) return undefined;
    const known = histories.get(branch);
    if (known !== undefined) return known;
    const history = settle(readHistory(github, branch, head));
    // Nobody may come to wait for it, where the tasks can't be had.
    history.catch(() => undefined);
    const search = { branch, head, history };
    histories.set(branch, search);
    return search;
  };
  if (expected !== undefined) {
    for (const rule of branchRules) searchHistory(rule.branch ?? expected.baseBranch, expected.headCommit);
  }
  const askBase = (branch: string | undefined) =>
    github === undefined || branch === undefined || options.settingsPath === undefined
      ? undefined
      : readBaseSettings(github, options.settingsPath, branch);
  const expectedSettings = askBase(expected?.baseBranch);
  // As with the history: an unexpected error is told by whoever waits for it, if anybody does.
  expectedSettings?.catch(() => undefined);
  const pulled =
    github === undefined || number === undefined
      ? undefined
      : settle(github.then((host) => host.readPullRequest(number)));

  const [found, pull] = await Promise.all([
    clearml.readTasks([...new Set([...options.taskIds, ...baselineIds])]),
    pulled,
  ]);
  const tasks = pickTasks(found, options.taskIds, 'task');
  const pullRequest = pull !== undefined && 'value' in pull ? pull.value : undefined;
  const baseBranch = pullRequest?.baseBranch ?? expected?.baseBranch;
  const head = expected?.headCommit ?? pullRequest?.headCommit ?? tasks[0]?.script.commit;

  const metrics = options.rankMetrics(tasks);
  const answer = (rule: BaselineRule) => {
    const branch = isBranchRule(rule) ? (rule.branch ?? baseBranch) : undefined;
    const search = isBranchRule(rule) ? searchHistory(branch, head) : undefined;
    return findBaseline({ rule, branch, search, found, tasks, metrics, options }, { clearml, github });
  };
  const [[first, ...others], details, isCurrent, baseSettings] = await Promise.all([
    Promise.all(baselineRules.map(answer)),
    settle(readDetails(tasks, clearml)),
    decideCurrent(tasks, pullRequest, options, { github, histories: [...histories.values()] }),
    // The event's base branch is not asked for again; a pull request that was given another one meanwhile is.
    baseBranch === expected?.baseBranch ? expectedSettings : askBase(baseBranch),
  ]);
  const { baseline, failure: baselineFailure } = first ?? NO_BASELINE;
  const compared = baseline.kind === 'found' ? baseline.tasks : [];
  const anchors = others.map((other) => other.baseline);
  const judged = [
    ...tasks,
    ...compared,
    ...anchors.flatMap((one) => (one.kind === 'found' ? one.tasks : [])),
  ];
  const [curves, consoles] = await Promise.all([
    settle(readCurves(tasks, compared, metrics, clearml)),
    readConsoles(judged, options.gate, clearml),
  ]);
  return {
    tasks,
    pullRequest,
    failure: pull !== undefined && 'failure' in pull ? pull.failure : undefined,
    isCurrent,
    baseline,
    baselineFailure,
    anchors,
    consoles,
    curves: 'value' in curves ? curves.value : new Map(),
    ...('value' in details ? details.value : NO_DETAILS),
    baseSettings,
    unread: [
      ...('failure' in curves ? ['curves' as const] : []),
      ...('failure' in details ? ['details' as const] : []),
    ],
  };
}

const NO_BASELINE: BaselineAnswer = {
  baseline: { kind: 'missing', reason: 'off', branch: undefined, commitsSearched: 0 },
  failure: undefined,
};

function isBranchRule(
  rule: BaselineRule,
): rule is Exclude<BaselineRule, { readonly task: string } | { readonly tag: string }> {
  return !('task' in rule) && !('tag' in rule);
}

function pickTasks(
  found: ReadonlyMap<string, ReportedTask>,
  ids: readonly string[],
  what: string,
): ReportedTask[] {
  const missing = ids.filter((id) => !found.has(id));
  if (missing.length > 0) {
    throw new Failure(`ClearML has no ${what} ${missing.join(', ')}`, {
      exitCode: EXIT_CODES.notFound,
      remedy:
        'It was deleted, or it is in another workspace or on another server than the credentials (CLEARML_API_HOST) belong to.',
    });
  }
  return ids.flatMap((id) => found.get(id) ?? []);
}

async function readHistory(github: Promise<CodeHost>, branch: string, head: string): Promise<History> {
  const host = await github;
  const [comparison, commits] = await Promise.all([
    host.compareCommits(branch, head),
    host.listCommits(branch),
  ]);
  return { comparison, listed: new Map(commits.map((commit) => [commit.commit, commit])) };
}

/**
 * The settings of the base branch as it is now, not as the pull request found it: they are what will hold after the merge,
 * and a branch off an old commit with a looser gate is to be told too.
 */
async function readBaseSettings(
  github: Promise<CodeHost>,
  path: string,
  branch: string,
): Promise<BaseSettings> {
  const text = await settle(github.then((host) => host.readFile(path, branch)));
  return 'failure' in text ? { branch, failure: text.failure } : { branch, text: text.value };
}

interface BaselineQuestion {
  readonly rule: BaselineRule;
  readonly branch: string | undefined;
  readonly search: HistorySearch | undefined;
  readonly found: ReadonlyMap<string, ReportedTask>;
  readonly tasks: readonly ReportedTask[];
  readonly metrics: readonly MetricName[];
  readonly options: SourceOptions;
}

interface BaselineAnswer {
  readonly baseline: Baseline;
  readonly failure: Failure | undefined;
}

async function findBaseline(
  question: BaselineQuestion,
  { clearml, github }: SourceServers,
): Promise<BaselineAnswer> {
  const { rule, branch, search, found, tasks } = question;
  const missing = (
    reason: (Baseline & { kind: 'missing' })['reason'],
    commitsSearched = 0,
    failure?: Failure,
  ): BaselineAnswer => ({ baseline: { kind: 'missing', reason, branch, commitsSearched }, failure });

  if ('task' in rule) {
    const [task] = pickTasks(found, [rule.task], 'baseline task');
    if (task === undefined) throw new Error('pickTasks left out a task');
    const baseline: Baseline = {
      kind: 'found',
      by: 'task',
      tasks: [task],
      name: task.name,
      commit: task.script.commit,
      commitsBehind: undefined,
      passedOver: 0,
      history: [],
    };
    return { baseline, failure: undefined };
  }
  if ('tag' in rule) {
    const projectId = tasks[0]?.projectId;
    const tagged = projectId === undefined ? [] : await clearml.findTasksByTag(rule.tag, projectId);
    const baseline = selectTagBaseline(rule.tag, tagged, tasks);
    if (baseline !== undefined) return { baseline, failure: undefined };
    throw new Failure(`no completed task of the project carries the tag "${rule.tag}"`, {
      exitCode: EXIT_CODES.notFound,
      remedy: 'Put the tag on the task to compare with, in ClearML’s web page, or name another baseline.',
    });
  }
  if (github === undefined) return missing('no-github');
  const pipeline = tasks[0]?.runtime[RUNTIME_KEYS.pipeline];
  if (pipeline === undefined) return missing('no-pipeline');
  if (branch === undefined || search === undefined) return missing('no-branch');
  const history = await search.history;
  if ('failure' in history) return missing('no-github', 0, history.failure);
  const mergeBase = history.value.comparison?.mergeBase;
  if (mergeBase === undefined) return missing('no-ancestor');

  const { gate, seedParam } = question.options;
  const sought = { pipeline, branch, own: tasks, seedParam };
  let { listed } = history.value;
  let chain: readonly Ancestor[] = [];
  for (let page = 1; page <= MAX_COMMIT_PAGES; page += 1) {
    const walk = walkFirstParents(mergeBase, listed, MAX_ANCESTORS);
    const fresh = walk.chain.slice(chain.length);
    chain = walk.chain;
    if (fresh.length > 0) {
      const candidates = await clearml.findTasksByCode({
        codeIds: [...new Set(fresh.flatMap(({ commit, tree }) => [commit, tree]))],
        pipeline,
        projectId: tasks[0]?.projectId,
        metrics: gate?.hasPatterns
          ? 'all'
          : [...question.metrics.slice(0, MAX_COMPARED_METRICS), ...question.options.missedMetrics],
      });
      const baseline = selectBranchBaseline(chain, candidates, sought);
      if (baseline !== undefined) return { baseline, failure: undefined };
    }
    if (walk.next === undefined || chain.length >= MAX_ANCESTORS || page === MAX_COMMIT_PAGES) break;
    const more = await settle((await github).listCommits(walk.next));
    if ('failure' in more) return missing('no-github', chain.length, more.failure);
    listed = new Map([...listed, ...more.value.map((commit) => [commit.commit, commit] as const)]);
  }
  if (gate === undefined) return missing('no-task', chain.length);
  const onBranch = await clearml.findTasksByBranch({ branch, pipeline, projectId: tasks[0]?.projectId });
  return missing(isBranchTrained(onBranch, sought) ? 'unreached' : 'no-task', chain.length);
}

const NO_DETAILS: Pick<ReportSources, 'log' | 'queues' | 'plots'> = {
  log: undefined,
  queues: new Map(),
  plots: [],
};

/** One question more, by what a reader wants to know of tasks in this state. */
async function readDetails(
  tasks: readonly ReportedTask[],
  clearml: ReportServer,
): Promise<Pick<ReportSources, 'log' | 'queues' | 'plots'>> {
  const failed = tasks.find(({ status }) => isEnded(status) && !isSuccess(status));
  if (failed !== undefined) {
    return { ...NO_DETAILS, log: { taskId: failed.id, ...(await clearml.readLogEnd(failed.id)) } };
  }
  const queueIds = [
    ...new Set(tasks.flatMap(({ status, queueId }) => (status === 'queued' && queueId ? [queueId] : []))),
  ];
  if (queueIds.length > 0) return { ...NO_DETAILS, queues: await clearml.readQueues(queueIds) };
  const [first] = tasks;
  if (first === undefined || !tasks.every(({ status }) => isSuccess(status))) return NO_DETAILS;
  if (first.metrics.length > MANY_METRICS) return NO_DETAILS;
  return { ...NO_DETAILS, plots: await clearml.readPlots(first.id) };
}

/** Whether the pull request's newest commit holds the code that was trained: the same commit, or the same tree. */
async function decideCurrent(
  tasks: readonly ReportedTask[],
  pullRequest: PullRequest | undefined,
  { expected, hasPaths, pullRequest: number }: SourceOptions,
  {
    github,
    histories,
  }: { readonly github: Promise<CodeHost> | undefined; readonly histories: readonly HistorySearch[] },
): Promise<boolean | undefined> {
  const [task] = tasks;
  if (task === undefined || pullRequest === undefined || github === undefined) return undefined;
  const head = pullRequest.headCommit;
  if (task.script.commit === head) return true;
  const codeIds = listCodeIds(task);
  // Where only some files decide, their hash can't be made from what GitHub tells; but the event's own launch found the
  // task by that hash.
  if (hasPaths && expected?.headCommit === head && task.tags.includes(`pr:${number}`)) return true;
  for (const search of histories) {
    // Whoever compared the head with a branch was told its tree.
    const found = await search.history;
    const compared = 'value' in found ? found.value.comparison?.head : undefined;
    if (compared?.commit === head) return codeIds.includes(compared.tree);
  }
  const tree = await settle(github.then((host) => host.readTree(head)));
  return 'value' in tree && tree.value !== undefined ? codeIds.includes(tree.value) : undefined;
}

/** Consoles of the tasks with numbers that only they can tell from a NaN. One that can't be had leaves its task doubted. */
async function readConsoles(
  tasks: readonly ReportedTask[],
  gate: GateQuestions | undefined,
  clearml: ReportServer,
): Promise<ReadonlyMap<string, ConsoleEnd>> {
  if (gate === undefined) return new Map();
  const wanted = tasks
    .filter((task) => isSuccess(task.status) && gate.needsConsole(task))
    .map(({ id }) => id);
  const consoles = await Promise.all(
    [...new Set(wanted)].slice(0, MAX_CONSOLES).map(async (id) => {
      const end = await settle(clearml.readLogEnd(id));
      return 'value' in end ? [[id, end.value] as const] : [];
    }),
  );
  return new Map(consoles.flat());
}

async function readCurves(
  tasks: readonly ReportedTask[],
  compared: readonly ReportedTask[],
  metrics: readonly MetricName[],
  clearml: ReportServer,
): Promise<Curves> {
  const withCurve = new Set(
    tasks.flatMap((task) =>
      task.metrics.filter(({ count, isSingle }) => count > 1 && !isSingle).map(({ name }) => name),
    ),
  );
  const wanted = metrics.filter(({ name }) => withCurve.has(name)).slice(0, MAX_CURVES);
  const all = [...new Map([...tasks, ...compared].map((task) => [task.id, task])).values()];
  return wanted.length === 0 ? new Map() : clearml.readCurves(all, wanted);
}
