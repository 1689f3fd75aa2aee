import type { CodeHost, PullRequest } from '../github/client.ts';
import type { BaselineRule, MetricRule } from '../shell/config.ts';
import { type Failure, type Settled, settle } from '../shell/failure.ts';
import { isEnded, isSuccess, tagPullRequest } from '../training/task.ts';
import type { QueueState } from '../training/task-life.ts';
import { type Baseline, listBaselineTasks, listCodeIds } from './baseline/baseline.ts';
import { type BaselineQuestion, findBaseline } from './baseline/find-baseline.ts';
import { type Histories, openHistories } from './baseline/histories.ts';
import type { Curves } from './drawing/curve.ts';
import type { Plot } from './drawing/plot.ts';
import { hasGate, hasGatedPatterns, needsConsoleOf } from './gate-input.ts';
import { listNamedMetrics, type RankedMetric, rankMetrics } from './metrics.ts';
import { type ConsoleEnd, MANY_METRICS, type MetricName, type SourceServers } from './ports.ts';
import { pickTasks, type ReportedTask } from './reported-task.ts';

/** Of the baseline's metrics at most this many are asked for: a task can have thousands. */
const MAX_COMPARED_METRICS = 300;
/** Curves and sparklines for at most this many metrics. */
const MAX_CURVES = 40;
/** Consoles are read of at most this many tasks. */
const MAX_CONSOLES = 20;

/** Parts of a report that are left out where ClearML does not answer about them. */
type Unread = 'curves' | 'details';

/** Everything a report is made of. */
export interface ReportSources {
  /** In the order asked for. */
  readonly tasks: readonly ReportedTask[];
  /** Their metrics, in the order of their importance. */
  readonly ranked: readonly RankedMetric[];
  /** undefined where GitHub was not asked, or did not tell. */
  readonly pullRequest: PullRequest | undefined;
  /** Why GitHub did not tell: then it will not take a comment either. */
  readonly failure: Failure | undefined;
  /** The pull request's newest commit holds the code that was trained; undefined where that is not known. */
  readonly isCurrent: boolean | undefined;
  /** What the report compares with: the first baseline asked for. */
  readonly baseline: Baseline;
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
  /** How metrics count. */
  readonly rules: readonly MetricRule[];
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

/** What the first answers told: which tasks, and which pull request. */
export interface Subject {
  readonly tasks: readonly ReportedTask[];
  /** With those that baselines name, by id. */
  readonly found: ReadonlyMap<string, ReportedTask>;
  /** undefined where nobody could be asked. */
  readonly pull: Settled<PullRequest> | undefined;
  /** What is to be compared with the base branch, a branch or a commit; undefined where nobody knows it. */
  readonly head: string | undefined;
  readonly baseBranch: string | undefined;
  readonly histories: Histories | undefined;
  readonly baseSettings: Promise<BaseSettings> | undefined;
}

/**
 * Asks for the tasks, for those that baselines name, and for the pull request; where an event names its base branch, for
 * that branch's history and settings at the same time.
 *
 * @throws Failure (not found) naming the tasks that do not exist
 */
export async function readSubject(options: SourceOptions, servers: SourceServers): Promise<Subject> {
  const { baselineRules, expected, taskIds } = options;
  const { clearml, github } = servers;
  const histories = github === undefined ? undefined : openHistories(github);
  const branches =
    expected === undefined
      ? []
      : baselineRules.filter(isBranchRule).map((rule) => rule.branch ?? expected.baseBranch);
  if (expected !== undefined) beginSearches(histories, branches, expected.headBranch ?? expected.headCommit);
  const expectedSettings = readBaseSettings(options, servers, expected?.baseBranch);

  const baselineIds = baselineRules.flatMap((rule) => ('task' in rule ? [rule.task] : []));
  const [found, { pull, head }] = await Promise.all([
    clearml.readTasks([...new Set([...taskIds, ...baselineIds])]),
    readPullRequest(options, github, histories, branches),
  ]);
  const tasks = pickTasks(found, taskIds, 'task');
  const pullRequest = pull !== undefined && 'value' in pull ? pull.value : undefined;
  const baseBranch = pullRequest?.baseBranch ?? expected?.baseBranch;
  return {
    tasks,
    found,
    pull,
    head: head ?? pullRequest?.headCommit ?? tasks[0]?.script.commit,
    baseBranch,
    histories,
    // The event's base branch is not asked for again; a pull request that was given another one meanwhile is.
    baseSettings:
      baseBranch === expected?.baseBranch ? expectedSettings : readBaseSettings(options, servers, baseBranch),
  };
}

/**
 * Asks for everything else a report needs but what `completeSources` does, independent questions together: baselines and
 * details.
 *
 * @returns sources without curves and consoles
 * @throws Failure (not found) naming the baseline that does not exist
 */
export async function gatherSources(
  subject: Subject,
  options: SourceOptions,
  servers: SourceServers,
): Promise<ReportSources> {
  const { tasks, found, pull, head, baseBranch, histories } = subject;
  const { baselineRules, pullRequest, rules, seedParam } = options;
  const ranked = rankMetrics(tasks, rules);
  const compared = ranked.slice(0, MAX_COMPARED_METRICS).map(({ metric }) => metric);
  const metrics = hasGatedPatterns(rules) ? 'all' : [...compared, ...listNamedMetrics(rules)];
  const question: BaselineQuestion = {
    own: tasks,
    found,
    pullRequest,
    seedParam,
    baseBranch,
    head,
    histories,
    metrics,
    isGated: hasGate(rules),
  };
  const [[baseline = NO_BASELINE, ...anchors], details, isCurrent, baseSettings] = await Promise.all([
    Promise.all(baselineRules.map((rule) => findBaseline(rule, question, servers))),
    settle(readDetails(tasks, servers)),
    decideCurrent(subject, options, servers),
    subject.baseSettings,
  ]);
  return {
    tasks,
    ranked,
    pullRequest: pull !== undefined && 'value' in pull ? pull.value : undefined,
    failure: pull !== undefined && 'failure' in pull ? pull.failure : undefined,
    isCurrent,
    baseline,
    anchors,
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
  rules: readonly MetricRule[],
  servers: SourceServers,
): { readonly lack: 'nothing' | 'curves' | 'judgement'; readonly whole: Promise<ReportSources> } {
  const { tasks, baseline, anchors } = gathered;
  const metrics = listCurves(gathered);
  const judged = [...tasks, ...[baseline, ...anchors].flatMap(listBaselineTasks)];
  const consoles = listConsoles(judged, rules, gathered.curves);
  const read = async (): Promise<ReportSources> => {
    const [curves, texts] = await Promise.all([
      settle(readCurves([...tasks, ...listBaselineTasks(baseline)], metrics, servers)),
      readConsoles(consoles, servers),
    ]);
    const isRead = 'value' in curves;
    // A curve can cast a doubt on a number that nothing else speaks against.
    const further = isRead ? listConsoles(judged, rules, curves.value) : [];
    const more = await readConsoles(
      further.filter((id) => !consoles.includes(id)),
      servers,
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

const NO_BASELINE: Baseline = { kind: 'missing', reason: 'off', branch: undefined, commitsSearched: 0 };

function isBranchRule(
  rule: BaselineRule,
): rule is Exclude<BaselineRule, { readonly task: string } | { readonly tag: string }> {
  return !('task' in rule) && !('tag' in rule);
}

/** Asks already for what will be searched. */
function beginSearches(histories: Histories | undefined, branches: readonly string[], head: string): void {
  for (const branch of branches)
    if (histories !== undefined) void keepForLater(histories.search(branch, head));
}

/** For an answer that is awaited later, unless another one ends the program before. */
function keepForLater<T>(promise: Promise<T>): Promise<T> {
  // Awaited below; this keeps an early rejection from being reported as unhandled.
  promise.catch(() => undefined);
  return promise;
}

/**
 * The pull request as it is now; undefined where nobody can be asked. Where the comparison of the two branches shows that
 * the head still is the event's, that is all there is to know, and GitHub is not asked a second time.
 *
 * @returns also what is to be compared with the base branch: undefined where no event says
 */
async function readPullRequest(
  { expected, pullRequest: number }: SourceOptions,
  github: Promise<CodeHost> | undefined,
  histories: Histories | undefined,
  branches: readonly string[],
): Promise<Pick<Subject, 'pull' | 'head'>> {
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
    beginSearches(histories, branches, headCommit);
  }
  return { pull: await settle(github.then((host) => host.readPullRequest(number))), head };
}

/**
 * The settings of the base branch as it is now, not as the pull request found it: they are what will hold after the merge,
 * and a branch off an old commit with a looser gate is to be told too.
 */
function readBaseSettings(
  { settingsPath: path }: SourceOptions,
  { github }: SourceServers,
  branch: string | undefined,
): Promise<BaseSettings> | undefined {
  if (github === undefined || branch === undefined || path === undefined) return undefined;
  const read = async (): Promise<BaseSettings> => {
    const text = await settle(github.then((host) => host.readFile(path, branch)));
    return 'failure' in text ? { branch, failure: text.failure } : { branch, text: text.value };
  };
  return keepForLater(read());
}

const NO_DETAILS: Pick<ReportSources, 'log' | 'queues' | 'plots'> = {
  log: undefined,
  queues: new Map(),
  plots: [],
};

/** One question more, by what a reader wants to know of tasks in this state. */
async function readDetails(
  tasks: readonly ReportedTask[],
  { clearml }: SourceServers,
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
  { tasks: [task], pull, histories }: Subject,
  { expected, hasPaths, pullRequest: number }: SourceOptions,
  { github }: SourceServers,
): Promise<boolean | undefined> {
  if (task === undefined || github === undefined || number === undefined) return undefined;
  if (pull === undefined || 'failure' in pull) return undefined;
  const head = pull.value.headCommit;
  if (task.script.commit === head) return true;
  const codeIds = listCodeIds(task);
  // Where only some files decide, their hash can't be made from what GitHub tells; but the event's own launch found the
  // task by that hash.
  if (hasPaths && expected?.headCommit === head && task.tags.includes(tagPullRequest(number))) return true;
  const known = await histories?.findTree(head);
  if (known !== undefined) return codeIds.includes(known);
  const tree = await settle(github.then((host) => host.readTree(head)));
  return 'value' in tree && tree.value !== undefined ? codeIds.includes(tree.value) : undefined;
}

/** Tasks with numbers that only the console can tell from a NaN. */
function listConsoles(
  tasks: readonly ReportedTask[],
  rules: readonly MetricRule[],
  curves: Curves,
): string[] {
  const wanted = tasks.filter((task) => isSuccess(task.status) && needsConsoleOf(task, rules, curves));
  return [...new Set(wanted.map(({ id }) => id))].slice(0, MAX_CONSOLES);
}

/** A console that can't be had leaves its task's zeros doubted. */
async function readConsoles(
  ids: readonly string[],
  { clearml }: SourceServers,
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
function listCurves({ tasks, ranked }: Pick<ReportSources, 'tasks' | 'ranked'>): MetricName[] {
  const withCurve = new Set(
    tasks.flatMap((task) =>
      task.metrics.filter(({ count, isSingle }) => count > 1 && !isSingle).map(({ name }) => name),
    ),
  );
  const metrics = ranked.map(({ metric }) => metric);
  return metrics.filter(({ name }) => withCurve.has(name)).slice(0, MAX_CURVES);
}

async function readCurves(
  tasks: readonly ReportedTask[],
  metrics: readonly MetricName[],
  { clearml }: SourceServers,
): Promise<Curves> {
  const all = [...new Map(tasks.map((task) => [task.id, task])).values()];
  return metrics.length === 0 ? new Map() : clearml.readCurves(all, metrics);
}
