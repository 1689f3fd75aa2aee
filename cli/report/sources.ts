import type { CodeHost, ListedCommit, PullRequest } from '../github/client.ts';
import { EXIT_CODES, Failure, settle } from '../shell/failure.ts';
import type { Metric } from '../training/metrics.ts';
import { isEnded, isSuccess, RUNTIME_KEYS } from '../training/task.ts';
import type { QueueState } from '../training/task-life.ts';
import {
  type Baseline,
  type BaselineRule,
  listCodeIds,
  type MissingBaseline,
  selectTagBaseline,
} from './baseline/baseline.ts';
import { type BranchHistory, findBranchBaseline } from './baseline/branch-baseline.ts';
import type { Curves } from './drawing/curve.ts';
import type { Plot } from './drawing/plot.ts';
import type { ReportedTask } from './reported-task.ts';

/** What ClearML finds a metric by. */
export type MetricName = Pick<Metric, 'name' | 'title' | 'series'>;

/** What a report asks of ClearML. */
export interface ReportServer {
  /** The tasks with these ids, those that exist. */
  readTasks(ids: readonly string[]): Promise<ReadonlyMap<string, ReportedTask>>;
  /** The newest 500 tasks of a pipeline by commit or code id that have completed or may yet, with the metrics that are named. */
  findTasksByCode(search: {
    readonly codeIds: readonly string[];
    /** Those of this branch too, whatever their code. */
    readonly branch: string | undefined;
    readonly pipeline: string;
    readonly projectId: string | undefined;
    /** `all` where patterns gate: nobody knows the names. */
    readonly metrics: readonly MetricName[] | 'all';
  }): Promise<readonly ReportedTask[]>;
  /** As far as they may count for a branch, the newest 500 completed tasks of a pipeline on it or by code id; without metrics. */
  findTasksByBranch(search: {
    readonly branch: string;
    readonly codeIds: readonly string[];
    readonly pipeline: string;
    readonly projectId: string | undefined;
  }): Promise<readonly ReportedTask[]>;
  /** The newest completed tasks with the tag, in the project, with the metrics that are named. */
  findTasksByTag(search: {
    readonly tag: string;
    readonly projectId: string;
    readonly metrics: readonly MetricName[] | 'all';
  }): Promise<readonly ReportedTask[]>;
  readCurves(tasks: readonly ReportedTask[], metrics: readonly MetricName[]): Promise<Curves>;
  /** The end of a task's console, oldest line first. */
  readLogEnd(taskId: string): Promise<ConsoleEnd>;
  /** A task's console from its beginning, as far as a report can wait for it. */
  readConsole(taskId: string): Promise<ConsoleEnd>;
  readQueues(ids: readonly string[]): Promise<ReadonlyMap<string, QueueState>>;
  /** The tables and matrices that a task reported. */
  readPlots(taskId: string): Promise<readonly Plot[]>;
}

/** Of the baseline's metrics at most this many are asked for: a task can have thousands. */
export const MAX_COMPARED_METRICS = 300;
/** Curves and sparklines for at most this many metrics. */
export const MAX_CURVES = 40;
/** A task with more metrics than this is a large document; its plots are left to ClearML's own page. */
export const MANY_METRICS = 1000;
/** Consoles are read of at most this many tasks. */
const MAX_CONSOLES = 20;

/** A task's console or a part of it, oldest line first. */
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
  /** Consoles that the gate needs, by task; one that ClearML did not give is not there, and its task's zeros are doubted. */
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

/** What a report is to be made of. */
export interface SourceOptions {
  readonly taskIds: readonly string[];
  readonly baselineRules: readonly BaselineRule[];
  readonly seedParam: string;
  /** What the event names, so that GitHub need not be waited for. */
  readonly expected: ExpectedCode | undefined;
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

/** A pull request's base branch and head, as its event names them. */
export interface ExpectedCode {
  readonly baseBranch: string;
  readonly headCommit: string;
  /** Where the head is a branch of the same repository: undefined for a fork's. */
  readonly headBranch: string | undefined;
}

/** What the gate asks for beyond what the report does. */
export interface GateQuestions {
  /** Some gated metrics are named by patterns: of the base's tasks all metrics are wanted, to miss one that is gone. */
  readonly hasPatterns: boolean;
  /** Whether a task's console must be read to judge it. */
  readonly needsConsole: (task: ReportedTask, curves: Curves) => boolean;
}

/** Whom is asked; GitHub only where there is a token. */
export interface SourceServers {
  readonly clearml: ReportServer;
  readonly github: Promise<CodeHost> | undefined;
}

type Settled<T> = { readonly value: T } | { readonly failure: Failure };

/** What GitHub knows of branches; each question is asked once. */
interface Histories {
  /** Asks already for what will be searched. */
  begin(branches: readonly string[], head: string): void;
  /** @param head a branch or a commit */
  search(branch: string, head: string): Promise<Settled<BranchHistory>>;
  /** The tree of a commit that was compared with a branch. */
  findTree(commit: string): Promise<string | undefined>;
}

function openHistories(github: Promise<CodeHost>): Histories {
  const lists = new Map<string, Promise<readonly ListedCommit[]>>();
  const searches = new Map<string, Promise<Settled<BranchHistory>>>();
  const listCommits = (branch: string) => {
    const list = lists.get(branch) ?? github.then((host) => host.listCommits(branch));
    lists.set(branch, list);
    return list;
  };
  const read = async (branch: string, head: string): Promise<BranchHistory> => {
    const [comparison, commits] = await Promise.all([
      github.then((host) => host.compareCommits(branch, head)),
      listCommits(branch),
    ]);
    return { comparison, listed: new Map(commits.map((commit) => [commit.commit, commit])) };
  };
  const search = (branch: string, head: string) => {
    const key = JSON.stringify([branch, head]);
    const begun = searches.get(key) ?? settle(read(branch, head));
    searches.set(key, begun);
    return begun;
  };
  return {
    search,
    begin(branches, head) {
      // Nobody may come to wait for it, where the tasks can't be had.
      for (const branch of branches) search(branch, head).catch(() => undefined);
    },
    async findTree(commit) {
      for (const search of searches.values()) {
        const found = await search;
        const compared = 'value' in found ? found.value.comparison?.head : undefined;
        if (compared?.commit === commit) return compared.tree;
      }
      return undefined;
    },
  };
}

/**
 * Asks for everything a report needs but what `completeSources` does, independent questions together: tasks, pull request
 * and history; then baseline and details.
 *
 * @returns sources without curves and consoles
 * @throws Failure (not found) naming the tasks that do not exist, the baseline's included
 */
export async function gatherSources(
  options: SourceOptions,
  { clearml, github }: SourceServers,
): Promise<ReportSources> {
  const { baselineRules, expected } = options;
  const branchRules = baselineRules.filter(isBranchRule);
  const baselineIds = baselineRules.flatMap((rule) => ('task' in rule ? [rule.task] : []));

  const histories = github === undefined ? undefined : openHistories(github);
  const branches =
    expected === undefined ? [] : branchRules.map((rule) => rule.branch ?? expected.baseBranch);
  if (expected !== undefined) histories?.begin(branches, expected.headBranch ?? expected.headCommit);
  const askBase = (branch: string | undefined) =>
    github === undefined || branch === undefined || options.settingsPath === undefined
      ? undefined
      : readBaseSettings(github, options.settingsPath, branch);
  const expectedSettings = askBase(expected?.baseBranch);
  // As with the history: an unexpected error is told by whoever waits for it, if anybody does.
  expectedSettings?.catch(() => undefined);

  const [found, { pull, head: comparedHead }] = await Promise.all([
    clearml.readTasks([...new Set([...options.taskIds, ...baselineIds])]),
    readPullRequest(options, { github, histories, branches }),
  ]);
  const tasks = pickTasks(found, options.taskIds, 'task');
  const pullRequest = pull !== undefined && 'value' in pull ? pull.value : undefined;
  const baseBranch = pullRequest?.baseBranch ?? expected?.baseBranch;
  const head = comparedHead ?? pullRequest?.headCommit ?? tasks[0]?.script.commit;

  const metrics = options.rankMetrics(tasks);
  const answer = (rule: BaselineRule) => {
    const branch = isBranchRule(rule) ? (rule.branch ?? baseBranch) : undefined;
    const search =
      branch === undefined || head === undefined ? undefined : () => histories?.search(branch, head);
    return findBaseline(
      { rule, branch, baseBranch, search, found, tasks, metrics, options },
      { clearml, github },
    );
  };
  const [[first, ...others], details, isCurrent, baseSettings] = await Promise.all([
    Promise.all(baselineRules.map(answer)),
    settle(readDetails(tasks, clearml)),
    decideCurrent(tasks, pullRequest, options, { github, histories }),
    // The event's base branch is not asked for again; a pull request that was given another one meanwhile is.
    baseBranch === expected?.baseBranch ? expectedSettings : askBase(baseBranch),
  ]);
  const { baseline, failure: baselineFailure } = first ?? NO_BASELINE;
  return {
    tasks,
    pullRequest,
    failure: pull !== undefined && 'failure' in pull ? pull.failure : undefined,
    isCurrent,
    baseline,
    baselineFailure,
    anchors: others.map((other) => other.baseline),
    consoles: new Map(),
    curves: new Map(),
    ...('value' in details ? details.value : NO_DETAILS),
    baseSettings,
    unread: 'failure' in details ? ['details'] : [],
  };
}

/**
 * Asks for the rest: the curves of both sides, and the consoles without which a gated number can't be told from a NaN.
 *
 * @returns the whole sources, and what the gathered ones lack: without the judgement nothing can be said of the gate yet;
 *   without the curves all can, but that a leap in one may still make its number undecided
 */
export function completeSources(
  gathered: ReportSources,
  options: Pick<SourceOptions, 'rankMetrics' | 'gate'>,
  clearml: ReportServer,
): { readonly lack: 'nothing' | 'curves' | 'judgement'; readonly whole: Promise<ReportSources> } {
  const { tasks, baseline, anchors } = gathered;
  const tasksOf = (one: Baseline) => (one.kind === 'found' ? one.tasks : []);
  const metrics = listCurves(tasks, options.rankMetrics(tasks));
  const judged = [...tasks, ...[baseline, ...anchors].flatMap(tasksOf)];
  const consoles = listConsoles(judged, options.gate, gathered.curves);
  const read = async (): Promise<ReportSources> => {
    const [curves, texts] = await Promise.all([
      settle(readCurves([...tasks, ...tasksOf(baseline)], metrics, clearml)),
      readConsoles(consoles, clearml),
    ]);
    const isRead = 'value' in curves;
    // A curve can cast a doubt on a number that nothing else speaks against.
    const further = isRead ? listConsoles(judged, options.gate, curves.value) : [];
    const more = await readConsoles(
      further.filter((id) => !consoles.includes(id)),
      clearml,
    );
    return {
      ...gathered,
      consoles: new Map([...texts, ...more]),
      curves: isRead ? curves.value : gathered.curves,
      unread: isRead ? gathered.unread : ['curves', ...gathered.unread],
    };
  };
  const lack = consoles.length > 0 ? 'judgement' : metrics.length > 0 ? 'curves' : 'nothing';
  return { lack, whole: read() };
}

/** Everything a report needs. */
export async function collectSources(options: SourceOptions, servers: SourceServers): Promise<ReportSources> {
  return completeSources(await gatherSources(options, servers), options, servers.clearml).whole;
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

/**
 * The pull request as it is now; undefined where nobody can be asked. Where the comparison of the two branches shows that
 * the head still is the event's, that is all there is to know, and GitHub is not asked a second time.
 *
 * @returns also what is to be compared with the base branch: undefined where no event says
 */
async function readPullRequest(
  { expected, pullRequest: number }: SourceOptions,
  {
    github,
    histories,
    branches,
  }: {
    readonly github: Promise<CodeHost> | undefined;
    readonly histories: Histories | undefined;
    readonly branches: readonly string[];
  },
): Promise<{ readonly pull: Settled<PullRequest> | undefined; readonly head: string | undefined }> {
  const head = expected?.headCommit;
  if (github === undefined || number === undefined) return { pull: undefined, head };
  const [branch] = branches;
  if (expected?.headBranch !== undefined && branch !== undefined && histories !== undefined) {
    const { headBranch, headCommit, baseBranch } = expected;
    const found = await histories.search(branch, headBranch);
    if ('value' in found && found.value.comparison?.head.commit === headCommit) {
      return { pull: { value: { headCommit, baseBranch } }, head: headBranch };
    }
    // The branch has moved on, or is gone: what was compared is not what was trained.
    histories.begin(branches, headCommit);
  }
  return { pull: await settle(github.then((host) => host.readPullRequest(number))), head };
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
  /** What the pull request is to be merged into. */
  readonly baseBranch: string | undefined;
  /** Asks for the branch's history: only whoever waits for the answer calls it. */
  readonly search: (() => Promise<Settled<BranchHistory>> | undefined) | undefined;
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
  const { rule, found, tasks } = question;
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
      isSameTraining: false,
      unfinished: undefined,
      history: [],
    };
    return { baseline, failure: undefined };
  }
  if ('tag' in rule) {
    const projectId = tasks[0]?.projectId;
    const tagged =
      projectId === undefined
        ? []
        : await clearml.findTasksByTag({ tag: rule.tag, projectId, metrics: listCompared(question) });
    const { pullRequest, seedParam } = question.options;
    const baseline = selectTagBaseline(tagged, {
      tag: rule.tag,
      own: tasks,
      pullRequest,
      branch: question.baseBranch,
      seedParam,
    });
    if (baseline !== undefined) return { baseline, failure: undefined };
    throw new Failure(
      `no completed task of the project that could be the baseline carries the tag "${rule.tag}"`,
      {
        exitCode: EXIT_CODES.notFound,
        remedy: `${
          tagged.length === 0
            ? ''
            : 'Those with uncommitted changes, of another pipeline, by workflow_dispatch, or of a pull request that no push to the base branch has found merged do not count. '
        }Put the tag on the task to compare with, in ClearML’s web page, or name another baseline.`,
      },
    );
  }
  return searchBranch(question, { clearml, github });
}

async function searchBranch(
  { branch, search, tasks, ...question }: BaselineQuestion,
  { clearml, github }: SourceServers,
): Promise<BaselineAnswer> {
  const missing = (reason: MissingBaseline['reason'], failure?: Failure): BaselineAnswer => ({
    baseline: { kind: 'missing', reason, branch, commitsSearched: 0 },
    failure,
  });
  if (github === undefined) return missing('no-github');
  const pipeline = tasks[0]?.runtime[RUNTIME_KEYS.pipeline];
  if (pipeline === undefined) return missing('no-pipeline');
  const history = await search?.();
  if (branch === undefined || history === undefined) return missing('no-branch');
  if ('failure' in history) return missing('no-github', history.failure);
  const { gate, pullRequest, seedParam } = question.options;
  return findBranchBaseline(
    {
      branch,
      pipeline,
      history: history.value,
      tasks,
      pullRequest,
      seedParam,
      metrics: listCompared(question),
      isGated: gate !== undefined,
    },
    clearml,
    github,
  );
}

/** The metrics that a baseline is asked for. */
function listCompared({
  metrics,
  options,
}: Pick<BaselineQuestion, 'metrics' | 'options'>): readonly MetricName[] | 'all' {
  if (options.gate?.hasPatterns === true) return 'all';
  return [...metrics.slice(0, MAX_COMPARED_METRICS), ...options.missedMetrics];
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
  }: { readonly github: Promise<CodeHost> | undefined; readonly histories: Histories | undefined },
): Promise<boolean | undefined> {
  const [task] = tasks;
  if (task === undefined || pullRequest === undefined || github === undefined) return undefined;
  const head = pullRequest.headCommit;
  if (task.script.commit === head) return true;
  const codeIds = listCodeIds(task);
  // Where only some files decide, their hash can't be made from what GitHub tells; but the event's own launch found the
  // task by that hash.
  if (hasPaths && expected?.headCommit === head && task.tags.includes(`pr:${number}`)) return true;
  const known = await histories?.findTree(head);
  if (known !== undefined) return codeIds.includes(known);
  const tree = await settle(github.then((host) => host.readTree(head)));
  return 'value' in tree && tree.value !== undefined ? codeIds.includes(tree.value) : undefined;
}

/** Tasks with numbers that only the console can tell from a NaN. */
function listConsoles(
  tasks: readonly ReportedTask[],
  gate: GateQuestions | undefined,
  curves: Curves,
): string[] {
  if (gate === undefined) return [];
  const wanted = tasks.filter((task) => isSuccess(task.status) && gate.needsConsole(task, curves));
  return [...new Set(wanted.map(({ id }) => id))].slice(0, MAX_CONSOLES);
}

/** A console that can't be had leaves its task's zeros doubted. */
async function readConsoles(
  ids: readonly string[],
  clearml: ReportServer,
): Promise<ReadonlyMap<string, ConsoleEnd>> {
  const consoles = await Promise.all(
    ids.map(async (id) => {
      const end = await settle(clearml.readConsole(id));
      return 'value' in end ? [[id, end.value] as const] : [];
    }),
  );
  return new Map(consoles.flat());
}

/** The metrics that have a curve, the most important. */
function listCurves(tasks: readonly ReportedTask[], metrics: readonly MetricName[]): MetricName[] {
  const withCurve = new Set(
    tasks.flatMap((task) =>
      task.metrics.filter(({ count, isSingle }) => count > 1 && !isSingle).map(({ name }) => name),
    ),
  );
  return metrics.filter(({ name }) => withCurve.has(name)).slice(0, MAX_CURVES);
}

async function readCurves(
  tasks: readonly ReportedTask[],
  metrics: readonly MetricName[],
  clearml: ReportServer,
): Promise<Curves> {
  const all = [...new Map(tasks.map((task) => [task.id, task])).values()];
  return metrics.length === 0 ? new Map() : clearml.readCurves(all, metrics);
}
