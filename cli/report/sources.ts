import { isReplacementNote } from '../gate/suspicious-value.ts';
import type { PullRequest } from '../github/client.ts';
import type { MetricRule } from '../shell/config.ts';
import { type Failure, settle } from '../shell/failure.ts';
import { listMarkedCommits } from '../training/history-mark.ts';
import type { Metric } from '../training/metrics.ts';
import { isEnded, isSuccess, tagPullRequest, tagTakenFor } from '../training/task.ts';
import type { QueueState } from '../training/task-life.ts';
import { listUses } from '../training/uses.ts';
import { type Baseline, listBaselineTasks, listCodeIds } from './baseline/baseline.ts';
import { type BaselineQuestion, findBaseline } from './baseline/find-baseline.ts';
import type { Curves } from './drawing/curve.ts';
import type { Plot } from './drawing/plot.ts';
import { hasGate, hasGatedPatterns, needsConsoleOf, needsConsoleToShow } from './gate-input.ts';
import { type ConsoleEnd, MANY_METRICS, type MetricName, type SourceServers } from './ports.ts';
import { listNamedMetrics, type RankedMetric, rankMetrics } from './ranking/ranking.ts';
import type { ReportedTask } from './reported-task.ts';
import type { BaseSettings, ExpectedCode, SourceOptions, Subject } from './subject.ts';

/** Limit of the baseline's metrics to read: a task can have thousands. */
const MAX_COMPARED_METRICS = 300;
/** Limit of the metrics with curves and sparklines. */
const MAX_CURVES = 40;
/** Limit of the further curves that show whether a metric leads to its exact 0. */
const MAX_ZERO_CURVES = 60;
/** Limit of the tasks whose consoles are read. */
const MAX_CONSOLES = 20;

/** Everything a report is made of. */
export interface ReportSources {
  /** In the order of the arguments. */
  readonly tasks: readonly ReportedTask[];
  /** Their metrics, most important first. */
  readonly ranked: readonly RankedMetric[];
  /** Whether the base was asked for a metric of this name: else it may have it too. */
  readonly isAskedOf: (name: string) => boolean;
  /** undefined if GitHub was not asked, or did not answer. */
  readonly pullRequest: PullRequest | undefined;
  /** Why GitHub did not answer: then it will not take a comment either. */
  readonly failure: Failure | undefined;
  /** The pull request's newest commit, or the pushed one, holds the code that was trained; undefined if unknown. */
  readonly isCurrent: boolean | undefined;
  /** What the report compares with: the first baseline of the settings. */
  readonly baseline: Baseline;
  /** What ClearML did not answer in time, and a report can do without: `details` are log, queue and plots. */
  readonly unread: ReadonlyArray<'curves' | 'details'>;
  /** The other baselines of the settings, in their order. */
  readonly anchors: readonly Baseline[];
  readonly curves: Curves;
  /** The end of a failed task's console; of a pipeline that of the step that failed. */
  readonly log:
    | ({ readonly taskId: string; readonly step?: ReportedTask['failedStep'] } & ConsoleEnd)
    | undefined;
  /**
   * What the consoles say of replaced numbers, by task: those that tell a number from a NaN. Without its console a task's
   * zeros are doubted.
   */
  readonly consoles: ReadonlyMap<string, ConsoleEnd>;
  readonly queues: ReadonlyMap<string, QueueState>;
  readonly plots: readonly Plot[];
  /** The settings file as the base branch has it now; undefined if GitHub was not asked. */
  readonly baseSettings: BaseSettings | undefined;
}

/**
 * Reads baselines and details, in parallel.
 *
 * @returns sources without curves and consoles
 * @throws Failure (not found) naming the baseline that does not exist
 */
export async function gatherSources(
  subject: Subject,
  options: SourceOptions,
  servers: SourceServers,
): Promise<ReportSources> {
  const { tasks } = subject;
  const { baselineRules, pullRequest, rules, seedParam } = options;
  const ranked = rankMetrics(tasks, rules);
  const compared = ranked.slice(0, MAX_COMPARED_METRICS).map(({ metric }) => metric);
  // All, so that a metric that is gone is noticed, unless there may be thousands.
  const isWhole =
    hasGatedPatterns(rules) ||
    (ranked.length <= MAX_COMPARED_METRICS && tasks.every(({ status }) => isSuccess(status)));
  const metrics = isWhole ? 'all' : [...compared, ...listNamedMetrics(rules)];
  const asked = new Set(compared.map(({ name }) => name));
  const isGated = hasGate(rules);
  const question: BaselineQuestion = { ...subject, own: tasks, pullRequest, seedParam, metrics, isGated };
  const [[baseline = NO_BASELINE, ...anchors], details, isCurrent, baseSettings] = await Promise.all([
    Promise.all(baselineRules.map((rule) => findBaseline(rule, question, servers))),
    settle(readDetails(tasks, servers)),
    decideCurrent(subject, options, servers),
    subject.baseSettings,
  ]);
  return {
    tasks,
    ranked,
    isAskedOf: (name) => isWhole || asked.has(name),
    pullRequest: subject.pullRequest,
    failure: subject.failure,
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
 * Reads the rest: the curves of both sides, and the consoles that tell a number from a NaN.
 *
 * @returns the whole sources, and what the gathered ones lack. Without consoles (`judgement`) a report would take a NaN for
 *   a 0; without curves it can be shown, but a leap in one may still make a number doubtful.
 */
export function completeSources(
  gathered: ReportSources,
  rules: readonly MetricRule[],
  servers: SourceServers,
): { readonly lack: 'nothing' | 'curves' | 'judgement'; readonly whole: Promise<ReportSources> } {
  const { tasks, baseline } = gathered;
  const metrics = listCurves(gathered, rules);
  const consoles = listConsoles(gathered, rules, gathered.curves);
  const read = async (): Promise<ReportSources> => {
    const [curves, texts] = await Promise.all([
      settle(readCurves([...tasks, ...listBaselineTasks(baseline)], metrics, servers)),
      readConsoles(consoles, servers),
    ]);
    const isRead = 'value' in curves;
    // A leap in a curve is a reason to read the console too.
    const further = isRead ? listConsoles(gathered, rules, curves.value) : [];
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

type Details = Pick<ReportSources, 'log' | 'queues' | 'plots'>;

const NO_DETAILS: Details = { log: undefined, queues: new Map(), plots: [] };

/** One further request, by the tasks' state: the log of a failure, the queues of waiting tasks, or the plots. */
async function readDetails(tasks: readonly ReportedTask[], { clearml }: SourceServers): Promise<Details> {
  const failed = tasks.find(({ status }) => isEnded(status) && !isSuccess(status));
  if (failed !== undefined) {
    const { id, failedStep: step } = failed;
    // A pipeline fails because a step did. The step may be gone since.
    const ofStep = step && (await settle(clearml.readLogEnd(step.taskId)));
    const end = ofStep !== undefined && 'value' in ofStep ? ofStep.value : undefined;
    const log = end === undefined ? await clearml.readLogEnd(id) : { ...end, step };
    return { ...NO_DETAILS, log: { taskId: id, ...log } };
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

/** Whether the pull request's newest commit, or the pushed one, holds the code that was trained: the same commit, or tree. */
async function decideCurrent(
  { tasks: [task], pullRequest, histories }: Subject,
  { expected, hasPaths, pullRequest: number }: SourceOptions,
  { github }: SourceServers,
): Promise<boolean | undefined> {
  const head = number === undefined ? expected?.headCommit : pullRequest?.headCommit;
  if (task === undefined || github === undefined || head === undefined) return undefined;
  if (task.script.commit === head) return true;
  const codeIds = listCodeIds(task);
  // GitHub does not give the hash of `paths`, but a launch found the task by it.
  if (hasPaths && isLaunchedFor(task, number, head, expected)) return true;
  const known = await histories?.findTree(head);
  if (known !== undefined) return codeIds.includes(known);
  const tree = await settle(github.then((host) => host.readTree(head)));
  return 'value' in tree && tree.value !== undefined ? codeIds.includes(tree.value) : undefined;
}

/** Whether a launch for this commit has made or reused the task, by what it noted. */
function isLaunchedFor(
  { runtime, tags }: ReportedTask,
  pullRequest: number | undefined,
  head: string,
  expected: ExpectedCode | undefined,
): boolean {
  const uses = listUses(runtime);
  if (pullRequest === undefined) {
    // Groups that wait at the same time share a task, which names the last one. Their reports name the tasks themselves.
    if (expected?.isQueued === true) return uses.has('queue');
    const marked = listMarkedCommits({ runtime, tags }, expected?.baseBranch ?? '');
    return (
      marked.includes(head) || [uses.get('branch'), uses.get('queue')].some((use) => use?.commit === head)
    );
  }
  // It had ended when it was taken for this commit.
  if (tags.includes(tagTakenFor(pullRequest, head))) return true;
  const use = uses.get(pullRequest);
  if (use !== undefined) return use.commit === head;
  // An older server notes nothing but the tag, which stays when the pull request gets newer commits.
  return expected?.headCommit === head && tags.includes(tagPullRequest(pullRequest));
}

/** Tasks with numbers that only the console can tell from a NaN, those that the gate judges first. */
function listConsoles(
  { tasks, ranked, baseline, anchors }: ReportSources,
  rules: readonly MetricRule[],
  curves: Curves,
): string[] {
  const shown = [...tasks, ...listBaselineTasks(baseline)];
  const judged = [...shown, ...anchors.flatMap(listBaselineTasks)];
  const reported = ranked.filter(({ presence }) => presence !== 'gone');
  const wanted = [
    ...judged.filter((task) => isSuccess(task.status) && needsConsoleOf(task, rules, curves)),
    ...shown.filter((task) => needsConsoleToShow(task, reported, curves)),
  ];
  return [...new Set(wanted.map(({ id }) => id))].slice(0, MAX_CONSOLES);
}

/** Without its console a task's zeros stay doubted. */
async function readConsoles(
  ids: readonly string[],
  { clearml }: SourceServers,
): Promise<ReadonlyMap<string, ConsoleEnd>> {
  const consoles = new Map<string, ConsoleEnd>();
  const read = async (id: string) => {
    const end = await settle(clearml.readConsole(id));
    if ('value' in end) consoles.set(id, { ...end.value, lines: end.value.lines.filter(isReplacementNote) });
  };
  await Promise.all(ids.map(read));
  return consoles;
}

/** The most important metrics that have a curve, and further ones whose curve must lead to a 0. */
function listCurves(
  { tasks, ranked, baseline }: Pick<ReportSources, 'tasks' | 'ranked' | 'baseline'>,
  rules: readonly MetricRule[],
): MetricName[] {
  const hasCurve = ({ count, isSingle }: Metric) => count > 1 && !isSingle;
  const withCurve = listNames(tasks, hasCurve);
  const metrics = ranked.map(({ metric }) => metric).filter(({ name }) => withCurve.has(name));
  const withZero = listNames(
    [...tasks, ...listBaselineTasks(baseline)],
    (metric) => hasCurve(metric) && metric.last === 0 && (metric.min < 0 || metric.max > 0),
  );
  const further = metrics.slice(MAX_CURVES).filter(({ name }) => withZero.has(name));
  const shown = metrics.slice(0, MAX_CURVES);
  const isShown = new Set(shown.map(({ name }) => name));
  const oldNames = new Set(rules.flatMap(({ metric, was }) => (isShown.has(metric) ? (was ?? []) : [])));
  const renamed = new Map(
    listBaselineTasks(baseline).flatMap((task) =>
      task.metrics
        .filter((metric) => oldNames.has(metric.name) && hasCurve(metric))
        .map((metric) => [metric.name, metric] as const),
    ),
  );
  return [...shown, ...further.slice(0, MAX_ZERO_CURVES), ...renamed.values()];
}

function listNames(tasks: readonly ReportedTask[], has: (metric: Metric) => boolean): Set<string> {
  return new Set(tasks.flatMap(({ metrics }) => metrics.filter(has).map(({ name }) => name)));
}

async function readCurves(
  tasks: readonly ReportedTask[],
  metrics: readonly MetricName[],
  { clearml }: SourceServers,
): Promise<Curves> {
  const all = [...new Map(tasks.map((task) => [task.id, task])).values()];
  return metrics.length === 0 ? new Map() : clearml.readCurves(all, metrics);
}
