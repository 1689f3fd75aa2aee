import { EXIT_CODES } from '../shell/failure.ts';
import { formatDuration } from '../text/duration.ts';
import { formatChange, formatNumber, formatPair, formatPercentChange } from '../text/number-format.ts';
import { joinPhrases, link, type Phrase, phrase, strong, words } from '../text/phrase.ts';
import { formatPlace } from '../training/cause.ts';
import type { TaskStatus } from '../training/task.ts';
import { findDecisive, judgeEffect, type ReportMetric } from './metrics.ts';
import type { Report, ReportBaseline, ReportTask } from './report.ts';

/** How a status is called in a sentence. */
export const STATUS_WORDS: Readonly<Record<TaskStatus, string>> = {
  created: 'in no queue',
  queued: 'waiting in the queue',
  in_progress: 'running',
  stopped: 'stopped',
  closed: 'closed',
  failed: 'failed',
  completed: 'completed',
  publishing: 'being published',
  published: 'completed',
  unknown: 'in an unknown state',
};

/** The first line: how far it is, and the one number or the one cause that counts. */
export function composeHeading(report: Report): Phrase {
  const name = phrase`${report.name}`;
  const { failure, phase } = report;
  switch (phase) {
    case 'failed':
    case 'stopped': {
      const word = failure?.kind === 'timeout' ? 'timed out' : phase;
      // Of the cause's words some are the training's own, and ours hold names: all of it is quoted.
      return failure === null
        ? phrase`${name} ${words(word)}`
        : phrase`${name} ${words(word)}: ${failure.message}`;
    }
    case 'queued':
      return phrase`${name} is waiting${describePlace(report.tasks)}`;
    case 'running':
      return phrase`${name} is running${describeProgress(report.tasks)}`;
    case 'draft':
      return phrase`${name} is not in a queue yet`;
    case 'completed': {
      const verdict = nameVerdict(report);
      const judged = verdict === '' ? [] : phrase`${strong(verdict)}${describeForce(report)}: `;
      const leading = pickLeading(report);
      if (leading === undefined) return phrase`${judged}${name} completed`;
      return phrase`${judged}${name}: ${leading.metric} ${composeResult(leading, report)}${countFurther(report)}`;
    }
  }
}

/** How the gate's answer is called in the first line; what did not complete says so itself. */
const VERDICT_WORDS: Readonly<Record<Report['verdict'], string>> = {
  regression: 'Regression',
  undecided: 'Undecided',
  pass: 'Pass',
  none: '',
  failed: '',
  pending: '',
};

/** What was to be judged, and could not be for want of a base, says that it was not. */
function nameVerdict({ verdict, gate }: Report): string {
  return verdict === 'none' && gate !== null && gate.metrics.length > 0
    ? 'Not judged'
    : VERDICT_WORDS[verdict];
}

/** A verdict that blocks nothing says so. */
function describeForce({ verdict, gate }: Report): Phrase {
  return gate !== null &&
    gate.exitCode === EXIT_CODES.done &&
    (verdict === 'regression' || verdict === 'undecided')
    ? words(' (a warning only)')
    : [];
}

/** The metric of the first line: the first that the verdict is about, one that blocks before one that only warns. */
function pickLeading({ metrics, verdict, leadingMetrics, gate }: Report): ReportMetric | undefined {
  if (verdict !== 'regression' && verdict !== 'undecided' && verdict !== 'pass')
    return metrics.slice(0, leadingMetrics)[0];
  const blocking = gate?.metrics.find((judged) => judged.verdict === verdict && judged.gate === 'fail');
  return metrics.find(({ metric, verdict: own }) =>
    blocking === undefined ? own === verdict : metric === blocking.metric,
  );
}

function countFurther({ gate, verdict }: Report): Phrase {
  const count = gate === null ? 0 : gate.metrics.filter((metric) => metric.verdict === verdict).length;
  if (count < 2 || (verdict !== 'regression' && verdict !== 'undecided')) return [];
  return words(`, and ${count - 1} more`);
}

/** `0.9722, +0.0111 (better) against main`: against the baseline that the verdict is due to, where there are several. */
function composeResult(metric: ReportMetric, { baseline, gate }: Report): Phrase {
  if (metric.value === null) return words(`was ${explainNoValue(metric)}`);
  const judged = gate?.metrics.find(({ metric: name }) => name === metric.metric);
  const decisive = judged === undefined ? undefined : findDecisive(judged);
  const anchor = decisive === judged?.comparisons[0] ? undefined : decisive;
  const base = anchor === undefined ? metric.baseline : anchor.base;
  if (base === null || metric.change === null) return strong(formatNumber(metric.value));
  const pair = formatPair(metric.value, base);
  const effect = judgeEffect(metric.value - base, metric.goal ?? undefined);
  const isTold = effect === 'better' || effect === 'worse';
  const change = metric.value === base ? 'unchanged' : `${pair.change}${isTold ? ` (${effect})` : ''}`;
  const name = anchor === undefined ? nameBaseline(baseline) : phrase`${anchor.baseline}`;
  return phrase`${strong(pair.value)}, ${words(change)} against ${name}`;
}

/** The baseline in a word: its branch or tag. */
export function nameBaseline(baseline: ReportBaseline): Phrase {
  return baseline.by === 'task' || baseline.name === null ? words('the baseline') : phrase`${baseline.name}`;
}

function describePlace(tasks: readonly ReportTask[]): Phrase {
  const queue = tasks.find((task) => task.queue !== null)?.queue;
  if (queue === undefined || queue === null) return words(' in the queue');
  const place = queue.position === null ? [] : words(`, number ${queue.position} of ${queue.length}`);
  return phrase` in the queue ${queue.name}${place}`;
}

function describeProgress(tasks: readonly ReportTask[]): Phrase {
  const running = tasks.find(({ status }) => status === 'in_progress');
  if (running === undefined) return [];
  const { progress, iteration } = running;
  const at = iteration > 0 ? `, iteration ${iteration}` : '';
  if (progress === null) return words(at);
  const share = `${Math.round(progress.share * 100)}%`;
  return words(
    progress.by === 'training' ? `: ${share} done${at}` : `${at}, about ${share} of the baseline’s length`,
  );
}

/** The lines below the heading: state and commit, then what it is compared with. */
export function composeLead(report: Report): Phrase[] {
  return [
    joinPhrases([describeTasks(report.tasks), nameTrainedCommit(report)], ' \u00b7 '),
    composeBaselineLine(report),
    ...report.anchors.map((baseline) => composeBaselineLine({ ...report, baseline })),
    composeChangedParams(report),
  ].filter((line) => line.length > 0);
}

function describeTasks(tasks: readonly ReportTask[]): Phrase {
  const [first] = tasks;
  if (first === undefined) return [];
  if (tasks.length === 1) {
    return joinPhrases(
      [
        phrase`${strong(capitalize(STATUS_WORDS[first.status]))}${describeDuration(first)}${describeWorker(first)}`,
        link(first.url, 'task in ClearML'),
        first.isReused ? words('launched by an earlier run and reused') : [],
      ],
      ' \u00b7 ',
    );
  }
  const counts = new Map<string, number>();
  for (const { status } of tasks)
    counts.set(STATUS_WORDS[status], (counts.get(STATUS_WORDS[status]) ?? 0) + 1);
  const states =
    counts.size === 1
      ? `${tasks.length} tasks ${[...counts.keys()][0]}`
      : [...counts].map(([word, count]) => `${count} ${word}`).join(', ');
  return phrase`${strong(capitalize(states))}${describeLongest(tasks)}: ${listTasks(tasks)}`;
}

/** More than this many tasks are counted, not listed. */
const MAX_LISTED_TASKS = 10;

/** Links to the tasks, by their seeds where each has one. */
function listTasks(tasks: ReadonlyArray<Pick<ReportTask, 'url' | 'seed'>>): Phrase {
  const seeds = tasks.map(({ seed }) => seed);
  const isSeeded = !seeds.includes(null) && new Set(seeds).size === tasks.length;
  const order = isSeeded
    ? [...tasks].sort((a, b) => (a.seed ?? '').localeCompare(b.seed ?? '', 'en', { numeric: true }))
    : tasks;
  const links = order
    .slice(0, MAX_LISTED_TASKS)
    .map(({ url, seed }, index) => link(url, isSeeded ? phrase`${seed}` : `task ${index + 1}`));
  const rest = tasks.length > links.length ? [words(`${tasks.length - links.length} more`)] : [];
  return phrase`${words(isSeeded ? 'seeds ' : '')}${joinPhrases([...links, ...rest], ', ')}`;
}

function describeDuration({ durationSeconds, status }: ReportTask): Phrase {
  if (durationSeconds === null) return [];
  const text = formatDuration(durationSeconds * 1000);
  return words(status === 'in_progress' ? ` for ${text}` : ` after ${text}`);
}

function describeLongest(tasks: readonly ReportTask[]): Phrase {
  const seconds = tasks.flatMap(({ durationSeconds }) => durationSeconds ?? []);
  if (seconds.length === 0) return [];
  const [shortest, longest] = [Math.min(...seconds), Math.max(...seconds)].map((one) =>
    formatDuration(one * 1000),
  );
  return words(shortest === longest ? ` after ${longest}` : ` after ${shortest} to ${longest}`);
}

function describeWorker({ worker }: ReportTask): Phrase {
  return worker === null ? [] : phrase` on ${worker}`;
}

function nameTrainedCommit({ commit }: Report): Phrase {
  return commit === null ? [] : phrase`commit ${nameCommit(commit.id, commit.url)}`;
}

function nameCommit(id: string, url: string | null): Phrase {
  return link(url, phrase`${id.slice(0, 10)}`);
}

/** What the result is compared with; empty where nothing is and nobody asked for it. */
function composeBaselineLine({
  baseline,
  commit,
  phase,
}: Pick<Report, 'baseline' | 'commit' | 'phase'>): Phrase {
  const [first] = baseline.tasks;
  if (baseline.kind === 'missing' || first === undefined) return [];
  const tasks = baseline.tasks.length === 1 ? link(first.url, 'its task') : listTasks(baseline.tasks);
  const isDue = phase === 'draft' || phase === 'queued' || phase === 'running';
  const compared = words(isDue ? 'To be compared with' : 'Compared with');
  const linked = nameCommit(baseline.commit ?? '', baseline.commitUrl);
  const name = phrase`${baseline.name ?? ''}`;
  if (baseline.by === 'task') return phrase`${compared} the task ${link(first.url, name)}`;
  if (baseline.by === 'tag') {
    const { passedOver } = baseline;
    const others = `, the newest with it (${passedOver} more ${passedOver === 1 ? 'carries' : 'carry'} it)`;
    const at = baseline.commit === null ? [] : phrase` at ${linked}`;
    return phrase`${compared} the tag ${name}${at}${describeLaunch(baseline)}: ${tasks}${words(passedOver === 0 ? '' : others)}`;
  }
  const behind = baseline.commitsBehind ?? 0;
  const where =
    behind === 0
      ? words(commit === null ? '' : ', where the pull request branched off')
      : words(`, ${behind} ${behind === 1 ? 'commit' : 'commits'} before the pull request branched off`);
  const relation = baseline.isSameTraining ? words('The same code and settings as') : compared;
  return phrase`${relation} ${name} at ${linked}${where}: ${tasks}`;
}

function describeLaunch({ event }: ReportBaseline): Phrase {
  if (event === null) return words(', made by hand');
  return event === 'launch' ? words(', launched by a person') : phrase`, launched on ${event}`;
}

/** More than this many are a table, not a line. */
const PARAMS_IN_LEAD = 3;

/** What was changed, where that is few params. */
function composeChangedParams({ params, phase }: Report): Phrase {
  if (params.length === 0 || params.length > PARAMS_IN_LEAD || phase === 'queued' || phase === 'draft')
    return [];
  const changes = params.map(
    ({ param, value, baseline }) =>
      phrase`${param.replace(/^Args\//, '')} ${composeSetting(baseline)} \u2192 ${composeSetting(value)}`,
  );
  return phrase`Changed: ${joinPhrases(changes, ', ')}`;
}

/** A value that somebody sets, quoted. */
export function composeSetting(value: string | null): Phrase {
  return value === null ? words('not set') : phrase`${value}`;
}

/** A warning with the changes that it is about. */
export interface SettingsWarning {
  readonly title: Phrase;
  readonly changes: readonly Phrase[];
}

/**
 * That a pull request changes what it is judged by, with the old and the new value of each setting.
 *
 * @param limit of how many
 */
export function composeSettingsWarning(
  { settings }: Pick<Report, 'settings'>,
  limit: number,
): SettingsWarning | undefined {
  if (settings === null || settings.kind === 'same') return undefined;
  const { branch, kind, changes, isGated, problem } = settings;
  if (kind === 'unknown') {
    if (!isGated) return undefined;
    const what = 'Whether this pull request changes what it is judged by is not known:';
    return { title: phrase`${strong(what)} ${problem ?? ''}.`, changes: [] };
  }
  const title =
    kind === 'new'
      ? phrase`This pull request brings the gate: ${branch} has no settings file.`
      : isGated
        ? phrase`This pull request is judged by other settings than ${branch} has.`
        : phrase`This pull request has another project or task name than ${branch}.`;
  const shown = changes.slice(0, limit).map(({ metric, setting, base, value }) => {
    const of = metric === null ? [] : phrase`${metric} `;
    return phrase`${of}${words(setting)}: ${composeSetting(base)} \u2192 ${composeSetting(value)}`;
  });
  const rest = changes.length - shown.length;
  return { title: strong(title), changes: rest > 0 ? [...shown, words(`${rest} more`)] : shown };
}

/** What a reader must know before trusting the numbers. The most important first. */
export function composeNotices(report: Report): Phrase[] {
  const { commit, pullRequest, environment, params, unread } = report;
  const notices: Phrase[] = [];
  if (commit?.isCurrent === false) {
    const head = pullRequest?.headCommit;
    notices.push(
      phrase`${strong('This is about an older commit.')} The pull request is at ${(head ?? '').slice(0, 10)} by now.`,
    );
  }
  if (environment.length > 0) {
    const aspects = environment.map(({ aspect }) => aspect).join(', ');
    const also = params.length === 0 ? '' : ', and params';
    notices.push(
      phrase`${strong('The two are not quite comparable.')} Different: ${words(aspects + also)}. Details below.`,
    );
  }
  const idle = report.tasks.find(({ queue }) => queue?.workers === 0)?.queue;
  if (idle !== undefined && idle !== null) {
    notices.push(
      phrase`${strong('No worker serves the queue')} ${idle.name}: nothing starts before one does.`,
    );
  }
  notices.push(...explainMissingBaseline(report), ...explainUnfinished(report));
  if (unread.length > 0) {
    const parts = unread.map((part) => UNREAD_WORDS[part]).join(' and ');
    notices.push(words(`ClearML did not answer in time about ${parts}: missing here.`));
  }
  return notices;
}

const UNREAD_WORDS = { curves: 'the curves', details: 'log, queue or tables' } as const;

function explainMissingBaseline({ baseline, phase }: Report): Phrase[] {
  const branch = baseline.name ?? 'the base branch';
  switch (phase === 'completed' ? baseline.reason : null) {
    case 'no-task':
      return [
        phrase`No baseline: ${describeSearch(baseline, branch)}. To get one, merge ${branch} into the pull request, or rebase it, if ${branch} was trained since it branched off; else run the workflow on pushes to ${branch} too, launch it there once, or name a task: ${'--baseline'} with a task’s id or ${'tag:NAME'}.`,
      ];
    case 'unreached':
      return [
        phrase`No baseline: ${describeSearch(baseline, branch)}, but others of ${branch} have. Merge ${branch} into this pull request or rebase onto it.`,
      ];
    case 'no-github':
      return [
        baseline.problem === null
          ? words('The baseline is not known: without a token GitHub was not asked.')
          : phrase`The baseline is not known: ${baseline.problem}. It needs the permission ${'contents: read'}.`,
      ];
    case 'no-pipeline':
      return [
        phrase`No baseline: this task was not launched by ${'launch-training-task'}, so nothing says which tasks belong with it. Name one: ${'--baseline'} with a task’s id or ${'tag:NAME'}.`,
      ];
    case 'no-branch':
      return [phrase`No baseline: no base branch is known. Name one: ${'--baseline branch:NAME'}.`];
    case 'no-ancestor':
      return [phrase`No baseline: this commit and ${branch} have no common ancestor that GitHub knows.`];
    default:
      return [];
  }
}

function describeSearch({ commitsSearched }: ReportBaseline, branch: string): Phrase {
  if (commitsSearched === 1)
    return phrase`the only commit of ${branch} that lies before this pull request has no completed training`;
  const count = commitsSearched === null || commitsSearched === 0 ? '' : `${commitsSearched} `;
  return phrase`none of the ${words(count)}commits of ${branch} that lie before this pull request has a completed training`;
}

/** That the commit to compare with has no result yet, or not all of them. */
function explainUnfinished({ baseline, phase }: Report): Phrase[] {
  const { unfinished, commitsBehind } = baseline;
  const [task] = unfinished?.tasks ?? [];
  if (unfinished === null || task === undefined || phase !== 'completed') return [];
  const commit = nameCommit(unfinished.commit, unfinished.commitUrl);
  const name = phrase`${baseline.name ?? 'the base branch'}`;
  const running = link(task.url, 'task');
  const what =
    baseline.kind === 'missing'
      ? phrase`${strong('No baseline yet.')} ${name} at ${commit} is still being trained: ${running}.`
      : commitsBehind === unfinished.commitsBehind
        ? phrase`${strong('The base commit is not trained to the end.')} Further runs of ${commit} are under way: ${running}.`
        : phrase`${strong('A base commit is still being trained.')} ${name} at ${commit} lies nearer than what this is compared with: ${running}.`;
  return [phrase`${what} Run this job again when that has ended.`];
}

/** A number was reported, but it is no measurement: a NaN that arrived as 0, say. */
function explainNoValue({ values }: ReportMetric): string {
  return values.some((value) => value !== null) ? 'not measured' : 'not reported';
}

/** A metric's own cell. */
export function composeValue(metric: ReportMetric): Phrase {
  if (metric.value === null) return words(explainNoValue(metric));
  const text =
    metric.baseline === null ? formatNumber(metric.value) : formatPair(metric.value, metric.baseline).value;
  return phrase`${strong(text)}${describeSpread(metric.spread, metric.values)}`;
}

/** The baseline’s cell. */
export function composeBaseline(metric: ReportMetric): Phrase {
  if (metric.baseline === null) return words('\u2013');
  const text =
    metric.value === null ? formatNumber(metric.baseline) : formatPair(metric.value, metric.baseline).base;
  return phrase`${words(text)}${describeSpread(metric.baselineSpread, metric.baselineValues)}`;
}

/** Mean and spread over several tasks: ` ± 0.003`; how many they are only where it is not all of them. */
function describeSpread(spread: number | null, values: ReadonlyArray<number | null>): Phrase {
  const count = values.filter((value) => value !== null).length;
  const of = count === values.length || count === 0 ? '' : ` (${count} of ${values.length})`;
  return words(`${spread === null ? '' : `\u00a0\u00b1\u00a0${formatNumber(spread, 2)}`}${of}`);
}

// Not broken across lines.
const MARKS = { better: '\u25b2\u00a0better', worse: '\u25bc\u00a0worse', same: '' } as const;

/** `+0.0111 (+1.2%) ▲ better`: the mark says what it means for the goal, not which way the number went. */
export function composeChange(metric: ReportMetric): Phrase {
  if (metric.change === null || metric.baseline === null) return words('\u2013');
  if (metric.change === 0) return words('unchanged');
  const percent = formatPercentChange(metric.change, metric.baseline);
  const mark = metric.effect === null ? '' : MARKS[metric.effect];
  const text = `${formatChange(metric.change)}${percent === undefined ? '' : ` (${percent})`}`;
  if (mark === '') return words(text);
  return phrase`${words(text)} ${metric.effect === 'worse' ? strong(mark) : words(mark)}`;
}

/** What the heading does not say: where it happened, and what to do next. */
export function composeCause({ failure }: Report): Phrase {
  if (failure === null) return [];
  const place = formatPlace(failure)
    .trim()
    .replace(/^\(|\)$/g, '');
  const where = place === '' ? [] : phrase` in ${link(failure.placeUrl, phrase`${place}`)}`;
  return phrase`${strong(KIND_WORDS[failure.kind])}${where}. ${words(failure.advice)}`;
}

const KIND_WORDS = {
  training: 'The training failed',
  setup: 'Setting up failed',
  'out-of-memory': 'Out of memory',
  'worker-lost': 'The worker was lost',
  stopped: 'Stopped',
  'never-started': 'Never started',
  timeout: 'Timed out',
  unknown: 'Failed',
} as const;

/** Where better and worse come from, if nobody has said it. */
export function composeLegend(report: Report): Phrase {
  const isGuessed = report.metrics
    .slice(0, report.leadingMetrics)
    .some(({ isGoalGuessed, effect }) => isGoalGuessed && (effect === 'better' || effect === 'worse'));
  return isGuessed && report.phase === 'completed'
    ? phrase`Better and worse are read from the names; ${'goal'} in the settings says it for certain.`
    : [];
}

function capitalize(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
