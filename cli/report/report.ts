import type { GateResult } from '../gate/data.ts';
import { formatRunUrl } from '../github/run-url.ts';
import { EXIT_CODES } from '../shell/failure.ts';
import { replaceBroken } from '../text/quotation.ts';
import { readPodState } from '../training/kubernetes.ts';
import { type Arrival, judgeArrival } from '../training/params/arrival.ts';
import { findSilentFrameworks, type SilentFramework } from '../training/reporting.ts';
import {
  isEnded,
  isSuccess,
  RUNTIME_KEYS,
  readRetries,
  type TaskStatus,
  wasTakenBack,
} from '../training/task.ts';
import { type LostParam, listKnownParams, listLostParams } from './arrived.ts';
import type { ReportSettings } from './base-settings.ts';
import {
  type Baseline,
  type FoundBaseline,
  listBaselineTasks,
  type MissingBaseline,
} from './baseline/baseline.ts';
import {
  compareEnvironments,
  compareParams,
  describeGpu,
  describeLoad,
  describeMachine,
  type EnvironmentDifference,
  type ParamDifference,
} from './comparability.ts';
import { countReportsPerPoint } from './drawing/curve.ts';
import type { Plot } from './drawing/plot.ts';
import type { TaskFailure } from './failure.ts';
import { describeMetrics, type ReportCurve, type ReportMetric } from './metrics.ts';
import type { Acceptance } from './posting/accept.ts';
import type { Promotion } from './promotion/promote.ts';
import type { ReportFamily } from './ranking/families.ts';
import type { Tally } from './ranking/tally.ts';
import type { Artifact, Model, ReportedTask } from './reported-task.ts';
import type { ReportSources } from './sources.ts';
import type { SourceOptions } from './subject.ts';

/** The verdict of the whole run, the first that holds. */
export type Verdict = GateResult['verdict'];

/** The state of the training. */
export type Phase = 'draft' | 'queued' | 'running' | 'completed' | 'failed' | 'stopped';

/** The whole report as data, for `--json` and the templates. Times in ms since 1970; null for what is unknown. */
export interface Report {
  /** Increases when a field changes its meaning or is removed. */
  readonly version: 1;
  readonly verdict: Verdict;
  readonly phase: Phase;
  /** The task's name. */
  readonly name: string;
  readonly pullRequest: ReportPullRequest | null;
  /** What was trained. */
  readonly commit: ReportCommit | null;
  readonly tasks: readonly ReportTask[];
  /** Why the training did not succeed. */
  readonly failure: ReportFailure | null;
  readonly baseline: ReportBaseline;
  /** The gate's further baselines. */
  readonly anchors: readonly ReportBaseline[];
  /** Those that the settings name, in that order; then what moved most; bookkeeping and copies last. */
  readonly metrics: readonly ReportMetric[];
  /** How many of `metrics` the comment leads with. */
  readonly leadingMetrics: number;
  /** Series of one measure that are one row where the comment leads with them. */
  readonly families: readonly ReportFamily[];
  /** How many metrics moved; null without two completed sides. */
  readonly tally: Tally | null;
  /** The gate's judgement; null if nothing is gated. */
  readonly gate: ReportGate | null;
  /** How the settings compare with those of the base branch; null if GitHub was not asked. */
  readonly settings: ReportSettings | null;
  /** Those that are drawn. */
  readonly curves: readonly ReportCurve[];
  /** Params and seeds that did not reach the training. */
  readonly lost: readonly LostParam[];
  /** Params that differ from the baseline's. */
  readonly params: readonly ParamDifference[];
  /** Other differences that make the two hard to compare. */
  readonly environment: readonly EnvironmentDifference[];
  /** Small tables and matrices that the training reported. */
  readonly plots: readonly Plot[];
  /** The training completed without any metric: what in its requirements needs a line to report; null if one arrived. */
  readonly noMetrics: { readonly frameworks: readonly SilentFramework[] } | null;
  /** Metrics with several reports for each iteration, of which ClearML keeps the last; null if there are none. */
  readonly overwritten: ReportOverwritten | null;
  /** What ClearML did not answer in time: `curves`, or `details` (log, queue, tables). */
  readonly unread: ReportSources['unread'];
  /** What became of `--promote`; null without it, or where a service failed. */
  readonly promotion: Promotion | null;
  /** Somebody accepted the pull request's newest commit, whatever the verdict; null if the commit status says nothing of it. */
  readonly accepted: Acceptance | null;
  /** No job waits for the tasks that have not ended: a run of the collecting workflow reports them. */
  readonly isDue: boolean;
  /** Page of the workflow run, with its job summary. */
  readonly runUrl: string | null;
  /** When the report was made. */
  readonly reportedAtMs: number;
}

/** Reports that replaced others of the same iteration. */
export interface ReportOverwritten {
  /** The metrics, as the report ranks them. */
  readonly metrics: readonly string[];
  /** How many reports each iteration has. */
  readonly reports: number;
  /** The entry point starts several processes, as torchrun does. */
  readonly isLaunched: boolean;
}

/** The gate's judgement. Its exit code holds unless there is `--no-gate`. */
export interface ReportGate extends Omit<GateResult, 'verdict'> {
  /** How often the gate may object to a pull request that is no worse. */
  readonly alpha: number;
}

/** The pull request with the report. */
export interface ReportPullRequest {
  readonly repository: string;
  readonly number: number;
  readonly url: string;
  readonly headCommit: string | null;
  readonly baseBranch: string | null;
  /** Merged or not. */
  readonly isClosed: boolean;
}

/** The commit that was trained. */
export interface ReportCommit {
  readonly id: string;
  readonly url: string | null;
  readonly branch: string | null;
  /** Whether the pull request's newest commit holds the same code. */
  readonly isCurrent: boolean | null;
}

/** A task under test. */
export interface ReportTask
  extends Pick<ReportedTask, 'id' | 'status' | 'statusReason' | 'statusMessage' | 'iteration'> {
  readonly url: string;
  /** What became of the params that its launch gave, as far as the task shows. */
  readonly params: ReadonlyArray<Pick<Arrival, 'name' | 'given' | 'value' | 'state'>>;
  /** All params that it holds, by `Section/name`. */
  readonly hyperparams: ReportedTask['params'];
  readonly seed: string | null;
  /** How often it was enqueued again because its worker was lost. */
  readonly retries: number;
  /** An earlier workflow run launched it. */
  readonly isReused: boolean;
  readonly progress: ReportProgress | null;
  readonly queue: ReportQueue | null;
  readonly worker: string | null;
  readonly machine: ReportMachine;
  readonly createdAtMs: number | null;
  readonly startedAtMs: number | null;
  readonly endedAtMs: number | null;
  /** From start to end, or to now. */
  readonly durationSeconds: number | null;
  /** The same times the GPUs that it could use; 0 without one. Null also where a lost worker took time of its own. */
  readonly gpuHours: number | null;
  readonly artifacts: readonly Artifact[];
  readonly artifactsUrl: string;
  readonly outputModels: ReadonlyArray<Model & { readonly url: string | null }>;
}

/** The progress of a running task. */
export interface ReportProgress {
  /** Between 0 and 1. */
  readonly share: number;
  /** The training's own figure, or an estimate from the baseline's length. */
  readonly by: 'training' | 'baseline';
}

/** A waiting task's place in its queue. */
export interface ReportQueue {
  readonly name: string;
  /** 1 is next. */
  readonly position: number | null;
  readonly length: number;
  readonly workers: number;
  /** What Kubernetes says of the pod that it waits for, maybe nothing; null: it waits for a worker. */
  readonly pod: string | null;
}

/** Where a task ran, and the load on the machine. */
export interface ReportMachine {
  readonly host: string | null;
  /** `2 cores, 24 GB, x86_64` */
  readonly hardware: string | null;
  /** `1 × NVIDIA A10`, `none` */
  readonly gpu: string | null;
  readonly python: string | null;
  /** Means over the run, in percent; the largest value of the memory, in GiB, that of the GPUs with all processes. */
  readonly cpuPercent: number | null;
  readonly memoryGb: number | null;
  readonly gpuPercent: number | null;
  readonly gpuMemoryGb: number | null;
}

/** Why the first failed task failed, with the end of its console. */
export interface ReportFailure extends TaskFailure {
  /** Page of the file at the commit. */
  readonly placeUrl: string | null;
}

/** What the report compares with, or why there is no baseline. */
export interface ReportBaseline {
  readonly kind: Baseline['kind'];
  /** Its origin, if there is one. */
  readonly by: FoundBaseline['by'] | null;
  /** Why it is missing. */
  readonly reason: MissingBaseline['reason'] | null;
  /** GitHub's refusal, if that is the reason. */
  readonly problem: string | null;
  /** GitHub refuses the token. */
  readonly isRefused: boolean;
  /** Branch or tag. */
  readonly name: string | null;
  readonly commit: string | null;
  readonly commitUrl: string | null;
  /** What launched the tasks: a GitHub event, or `launch` for a person; null without launch-training-task. */
  readonly event: string | null;
  readonly commitsBehind: number | null;
  readonly commitsSearched: number | null;
  /** There is none because nothing was ever trained there, as far as was searched. */
  readonly isFirst: boolean;
  readonly passedOver: number;
  /** The code and settings under test are this commit's own. */
  readonly isSameTraining: boolean;
  /** ClearML's page that shows its tasks and those under test together. */
  readonly compareUrl: string | null;
  /** A nearer commit that is still being trained, or this commit if some of its runs are. */
  readonly unfinished: {
    readonly commit: string;
    readonly commitUrl: string | null;
    readonly commitsBehind: number;
    readonly tasks: ReadonlyArray<{ readonly id: string; readonly url: string }>;
  } | null;
  readonly tasks: ReadonlyArray<{
    readonly id: string;
    readonly url: string;
    readonly seed: string | null;
    readonly durationSeconds: number | null;
    /** `1 × NVIDIA A10`, `none` */
    readonly gpu: string | null;
  }>;
}

/** What a report is made with, besides its sources. Addresses have no trailing slash. */
export interface ReportContext extends Pick<SourceOptions, 'rules' | 'seedParam'> {
  /** What the gate says; undefined if nothing is gated. */
  readonly gate: (GateResult & ReportGate) | undefined;
  readonly settings: ReportSettings | undefined;
  readonly pullRequest: { readonly repository: string; readonly number: number } | undefined;
  /** Default: the pull request's. */
  readonly repository?: string | undefined;
  readonly isClosed?: boolean;
  readonly accepted?: Acceptance | undefined;
  /** Of the first failed task. */
  readonly failure: TaskFailure | undefined;
  /** Whether no job waits for the tasks that have not ended; default: no. */
  readonly isDue?: boolean;
  readonly githubUrl: string;
  /** GITHUB_RUN_ID. */
  readonly runId: string | undefined;
  /** That of the run that launched the tasks, if it is another. */
  readonly launchRunId?: string | undefined;
  readonly urlOf: (task: Pick<ReportedTask, 'id' | 'projectId'>) => string;
  /** ClearML's page that compares tasks of two sides; undefined if one has none. */
  readonly compareUrlOf: (
    own: readonly ReportedTask[],
    others: readonly ReportedTask[],
  ) => string | undefined;
  /** ClearML's web page. */
  readonly webHost: string;
  readonly nowMs: number;
}

/** Builds the report. */
export function buildReport(sources: ReportSources, context: ReportContext): Report {
  const { tasks, baseline } = sources;
  const { gate, runId } = context;
  const [first] = tasks;
  const [other] = listBaselineTasks(baseline);
  const known = listKnownParams(sources);
  const described = describeMetrics(sources, context.rules, gate?.metrics ?? []);
  return {
    version: 1,
    verdict: gate?.verdict ?? decideVerdict(tasks),
    phase: decidePhase(tasks),
    name: first?.name ?? '',
    pullRequest: describePullRequest(sources, context),
    commit: describeCommit(sources, context),
    tasks: tasks.map((task) => ({
      ...describeTask(task, sources, context),
      params: judgeArrival(task, known).map(({ name, given, value, state }) => ({
        name,
        given,
        value,
        state,
      })),
    })),
    failure: describeFailure(tasks, context),
    baseline: describeBaseline(sources.baseline, sources, context),
    anchors: sources.anchors.map((anchor) => ({
      ...describeBaseline(anchor, sources, context),
      problem: null,
    })),
    ...described,
    gate: gate === undefined ? null : { alpha: gate.alpha, exitCode: gate.exitCode, metrics: gate.metrics },
    settings: context.settings ?? null,
    lost: listLostParams(tasks, known, context.seedParam),
    params: first && other ? compareParams(first, other, context.seedParam, known) : [],
    environment: first && other && isSuccess(first.status) ? compareEnvironments(first, other) : [],
    plots: sources.plots,
    noMetrics: describeSilence(tasks),
    overwritten: describeOverwritten(sources),
    unread: sources.unread,
    promotion: null,
    accepted: context.accepted ?? null,
    isDue: context.isDue === true,
    runUrl:
      formatRunUrl({
        runId,
        repository: readRepository(context),
        serverUrl: context.githubUrl,
      }) ?? null,
    reportedAtMs: context.nowMs,
  };
}

/** Whether every task completed without any metric of its own. */
function describeSilence(tasks: readonly ReportedTask[]): Report['noMetrics'] {
  const isSilent = ({ status, metrics }: ReportedTask) => isSuccess(status) && metrics.length === 0;
  if (tasks.length === 0 || !tasks.every(isSilent)) return null;
  return { frameworks: findSilentFrameworks(tasks.flatMap(({ script }) => script.packages)) };
}

/** What starts several processes of a training: `-m torch.distributed.run --nproc-per-node 2 train.py`. */
const LAUNCHERS =
  /\b(?:torch\.distributed\.(?:run|launch)|torchrun|accelerate|deepspeed|horovodrun|mpirun)\b/;

/** Points of the curves that stand for several reports each: two processes wrote one task, or a training reports twice. */
function describeOverwritten({ tasks, ranked, curves }: ReportSources): Report['overwritten'] {
  const found = tasks
    // An attempt that was repeated reports again.
    .filter(({ runtime }) => readRetries(runtime) === 0)
    .flatMap((task) => {
      const counts = new Map(task.metrics.map(({ name, count }) => [name, count]));
      return ranked.flatMap(({ metric: { name } }) => {
        const curve = curves.get(task.id)?.get(name);
        // Without an iteration the SDK's TensorBoard binding reports every point at 0.
        if (curve === undefined || curve.x.length < 2) return [];
        const reports = countReportsPerPoint(curve, counts.get(name) ?? 0) ?? 1;
        return reports > 1 ? [{ name, reports, entryPoint: task.script.entryPoint ?? '' }] : [];
      });
    });
  const [first] = found;
  if (first === undefined) return null;
  const alike = found.filter(({ reports }) => reports === first.reports);
  return {
    metrics: [...new Set(alike.map(({ name }) => name))],
    reports: first.reports,
    isLaunched: LAUNCHERS.test(first.entryPoint),
  };
}

/** The verdict without a gate. */
function decideVerdict(tasks: readonly TaskState[]): Verdict {
  if (tasks.some(hasFailed)) return 'failed';
  if (tasks.some(({ status }) => !isSuccess(status))) return 'pending';
  return 'none';
}

type TaskState = Pick<ReportedTask, 'status' | 'statusReason' | 'queueId'>;

/** The task has ended without success, or someone has taken it out of its queue. */
export function hasFailed(task: TaskState): boolean {
  return (isEnded(task.status) && !isSuccess(task.status)) || wasTakenBack(task);
}

function decidePhase(tasks: readonly TaskState[]): Phase {
  const has = (...statuses: TaskStatus[]) => tasks.some(({ status }) => statuses.includes(status));
  if (has('failed')) return 'failed';
  if (has('stopped', 'closed') || tasks.some(wasTakenBack)) return 'stopped';
  if (has('in_progress', 'publishing', 'unknown')) return 'running';
  if (has('queued')) return 'queued';
  return has('created') ? 'draft' : 'completed';
}

function describePullRequest(
  { pullRequest }: ReportSources,
  context: ReportContext,
): ReportPullRequest | null {
  if (context.pullRequest === undefined) return null;
  const { repository, number } = context.pullRequest;
  return {
    repository,
    number,
    url: `${context.githubUrl}/${repository}/pull/${number}`,
    headCommit: pullRequest?.headCommit ?? null,
    baseBranch: pullRequest?.baseBranch ?? null,
    isClosed: context.isClosed === true,
  };
}

function describeCommit({ tasks, isCurrent }: ReportSources, context: ReportContext): ReportCommit | null {
  const script = tasks[0]?.script;
  if (script?.commit === undefined) return null;
  return {
    id: script.commit,
    url: formatCommitUrl(script.commit, context),
    branch: script.branch ?? null,
    isCurrent: isCurrent ?? null,
  };
}

/** A page of the repository; null if nothing names the repository. */
function formatGithubUrl(path: string, context: ReportContext): string | null {
  const repository = readRepository(context);
  return repository === undefined ? null : `${context.githubUrl}/${repository}/${path}`;
}

function readRepository({ repository, pullRequest }: ReportContext): string | undefined {
  return repository ?? pullRequest?.repository;
}

/** Whether this is certainly a commit id: nothing else becomes part of an address. */
function isCommitId(commit: string | undefined): commit is string {
  return commit !== undefined && /^[0-9a-f]{40,64}$/.test(commit);
}

function formatCommitUrl(commit: string | undefined, context: ReportContext): string | null {
  return isCommitId(commit) ? formatGithubUrl(`commit/${commit}`, context) : null;
}

function describeTask(
  task: ReportedTask,
  sources: ReportSources,
  context: ReportContext,
): Omit<ReportTask, 'params'> {
  const { status } = task;
  const url = context.urlOf(task);
  const run = task.runtime[RUNTIME_KEYS.run];
  const launchRun = context.launchRunId ?? context.runId;
  return {
    id: task.id,
    url,
    status,
    statusReason: task.statusReason,
    statusMessage: task.statusMessage,
    seed: task.params[context.seedParam] ?? null,
    retries: readRetries(task.runtime),
    isReused: launchRun !== undefined && run !== undefined && run !== launchRun,
    iteration: task.iteration,
    progress: measureProgress(task, sources.baseline),
    queue: describeQueue(task, sources),
    worker: task.worker ?? null,
    machine: describeReportMachine(task),
    createdAtMs: task.createdAtMs ?? null,
    startedAtMs: task.startedAtMs ?? null,
    endedAtMs: (isEnded(status) ? task.endedAtMs : null) ?? null,
    durationSeconds: measureSeconds(task, context.nowMs),
    gpuHours: measureGpuHours(task, context.nowMs),
    hyperparams: task.params,
    artifacts: task.artifacts,
    artifactsUrl: url.replace(/\/output\/log$/, '/artifacts'),
    outputModels: task.outputModels.map((model) => ({
      ...model,
      url: /^[0-9a-f]{32}$/.test(model.id)
        ? `${context.webHost}/projects/${task.projectId ?? '*'}/models/${model.id}/general`
        : null,
    })),
  };
}

function measureSeconds(task: ReportedTask, nowMs: number): number | null {
  const { startedAtMs, endedAtMs, status } = task;
  const untilMs = isEnded(status) ? endedAtMs : nowMs;
  if (startedAtMs === undefined || untilMs === undefined || status === 'queued' || status === 'created')
    return null;
  return Math.max(0, (untilMs - startedAtMs) / 1000);
}

/** The SDK tells the number of GPUs when the training begins; the start is that of the last attempt. */
function measureGpuHours(task: ReportedTask, nowMs: number): number | null {
  const { gpu_count: gpus = '' } = task.runtime;
  const seconds = measureSeconds(task, nowMs);
  if (seconds === null || !/^\d{1,4}$/.test(gpus) || readRetries(task.runtime) > 0) return null;
  return (Number(gpus) * seconds) / 3600;
}

/** The SDK's figure (`set_progress`), else the share of the baseline's iterations. */
function measureProgress(task: ReportedTask, baseline: Baseline): ReportProgress | null {
  if (task.status !== 'in_progress') return null;
  const percent = Number(task.runtime.progress);
  if (percent > 0 && percent <= 100) return { share: percent / 100, by: 'training' };
  const length = listBaselineTasks(baseline)[0]?.iteration ?? 0;
  return length > 0 ? { share: Math.min(1, task.iteration / length), by: 'baseline' } : null;
}

function describeQueue(task: ReportedTask, { queues }: ReportSources): ReportQueue | null {
  const queue = task.status === 'queued' && task.queueId !== undefined ? queues.get(task.queueId) : undefined;
  if (queue === undefined) return null;
  const index = queue.entries.indexOf(task.id);
  return {
    name: queue.name,
    position: index < 0 ? null : index + 1,
    length: queue.entries.length,
    workers: queue.workers.length,
    pod: readPodState(task) ?? (queue.isForPods === true ? '' : null),
  };
}

function describeReportMachine(task: ReportedTask): ReportMachine {
  const { runtime } = task;
  return {
    host: runtime.hostname ?? null,
    hardware: describeMachine(task) ?? null,
    gpu: describeGpu(task) ?? null,
    python: runtime.python_version ?? null,
    ...describeLoad(task),
  };
}

function describeFailure(tasks: readonly ReportedTask[], context: ReportContext): ReportFailure | null {
  const { failure } = context;
  if (failure === undefined) return null;
  const task = tasks.find(({ id }) => id === failure.taskId);
  return { ...failure, placeUrl: formatPlaceUrl(failure, task?.script.commit, context) };
}

function formatPlaceUrl(
  { file, line: number }: TaskFailure,
  commit: string | undefined,
  context: ReportContext,
): string | null {
  if (file === undefined || !isCommitId(commit)) return null;
  const path = replaceBroken(file).split('/').map(encodeURIComponent).join('/');
  const line = number === undefined ? '' : `#L${number}`;
  return formatGithubUrl(`blob/${commit}/${path}${line}`, context);
}

function describeUnfinished({ unfinished }: Baseline, context: ReportContext): ReportBaseline['unfinished'] {
  if (unfinished === undefined) return null;
  const { commit, commitsBehind, tasks } = unfinished;
  return {
    commit,
    commitUrl: formatCommitUrl(commit, context),
    commitsBehind,
    tasks: tasks.map((task) => ({ id: task.id, url: context.urlOf(task) })),
  };
}

function describeBaseline(
  baseline: Baseline,
  sources: ReportSources,
  context: ReportContext,
): ReportBaseline {
  const found = baseline.kind === 'found' ? baseline : undefined;
  const missing = baseline.kind === 'missing' ? baseline : undefined;
  const tasks = listBaselineTasks(baseline);
  return {
    kind: baseline.kind,
    by: found?.by ?? null,
    reason: missing?.reason ?? null,
    problem: missing?.failure?.message ?? null,
    isRefused: missing?.failure?.exitCode === EXIT_CODES.refused,
    name: found?.name ?? missing?.branch ?? null,
    commit: found?.commit ?? null,
    commitUrl: formatCommitUrl(found?.commit, context),
    event: tasks[0]?.runtime[RUNTIME_KEYS.event] ?? null,
    commitsBehind: found?.commitsBehind ?? null,
    commitsSearched: missing?.commitsSearched ?? null,
    isFirst: missing?.isFirst ?? false,
    passedOver: found?.passedOver ?? 0,
    isSameTraining: found?.isSameTraining ?? false,
    compareUrl: context.compareUrlOf(sources.tasks, tasks) ?? null,
    unfinished: describeUnfinished(baseline, context),
    tasks: tasks.map((task) => ({
      id: task.id,
      url: context.urlOf(task),
      seed: task.params[context.seedParam] ?? null,
      durationSeconds: measureSeconds(task, context.nowMs),
      gpu: describeGpu(task) ?? null,
    })),
  };
}
