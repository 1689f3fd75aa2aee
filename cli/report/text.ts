import { isChance } from '../gate/comparison.ts';
import { EXIT_CODES } from '../shell/failure.ts';
import { formatDuration } from '../text/duration.ts';
import { formatChange, formatNumber, formatPair, formatPercentChange } from '../text/number-format.ts';
import { joinPhrases, link, type Phrase, phrase, strong, words } from '../text/phrase.ts';
import { formatPlace } from '../training/cause/cause.ts';
import { composeLosses } from '../training/params/arrival-words.ts';
import type { SilentFramework } from '../training/reporting.ts';
import type { TaskStatus } from '../training/task.ts';
import type { LostParam } from './arrived.ts';
import { type DoubtedValue, findDecisive, judgeEffect, type ReportMetric } from './metrics.ts';
import type { Report, ReportBaseline, ReportTask } from './report.ts';

/** The statuses as words in a sentence. */
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

/** The first line: how far the training is, and the number or the cause that matters most. */
export function composeHeading(report: Report): Phrase {
  const name = phrase`${report.name}`;
  const { failure, phase } = report;
  switch (phase) {
    case 'failed':
    case 'stopped': {
      const word = failure?.kind === 'timeout' ? 'timed out' : phase;
      // The message contains the training's own words and names, so all of it is quoted.
      const message = failure === null ? [] : phrase`: ${failure.message}`;
      return phrase`${name} ${words(word)}${message}`;
    }
    case 'queued':
      return phrase`${name} is waiting${describePlace(report.tasks)}`;
    case 'running':
      return phrase`${name} is running${describeProgress(report.tasks)}`;
    case 'draft':
      return phrase`${name} is not in a queue yet`;
    case 'completed': {
      const verdict = nameVerdict(report);
      const judged = verdict === undefined ? [] : phrase`${strong(verdict)}${describeForce(report)}: `;
      const leading = pickLeading(report);
      if (leading === undefined) return phrase`${judged}${name} completed without any metric`;
      return phrase`${judged}${name}: ${leading.metric} ${composeResult(leading, report)}${countFurther(report)}`;
    }
  }
}

/** The verdicts in the first line; a training that did not complete needs none. */
const VERDICT_WORDS: Partial<Record<Report['verdict'], string>> = {
  regression: 'Regression',
  undecided: 'Undecided',
  pass: 'Pass',
};

/** The verdict as a word; gated metrics without a base to compare with were not judged. */
function nameVerdict({ verdict, gate }: Report): string | undefined {
  return verdict === 'none' && gate?.metrics.length ? 'Not judged' : VERDICT_WORDS[verdict];
}

function isObjection(verdict: Report['verdict']): boolean {
  return verdict === 'regression' || verdict === 'undecided';
}

/** An objection that blocks nothing says so. */
function describeForce({ verdict, gate }: Report): Phrase {
  return isObjection(verdict) && gate?.exitCode === EXIT_CODES.done ? words(' (a warning only)') : [];
}

/** The metric of the first line: the first with the report's verdict, one that blocks before one that only warns. */
function pickLeading({ metrics, verdict, leadingMetrics, gate }: Report): ReportMetric | undefined {
  if (!isObjection(verdict) && verdict !== 'pass') return metrics.slice(0, leadingMetrics)[0];
  const blocking = gate?.metrics.find((judged) => judged.verdict === verdict && judged.gate === 'fail');
  return metrics.find(({ metric, verdict: own }) =>
    blocking === undefined ? own === verdict : metric === blocking.metric,
  );
}

function countFurther({ gate, verdict }: Report): Phrase {
  const judged = gate?.metrics.filter((metric) => metric.verdict === verdict) ?? [];
  return isObjection(verdict) && judged.length > 1 ? words(`, and ${judged.length - 1} more`) : [];
}

/** `0.9722, +0.0111 (better) against main`: against the baseline that decides, if there are several. */
function composeResult(metric: ReportMetric, { baseline, gate }: Report): Phrase {
  if (metric.value === null) return words(`was ${explainNoValue(metric)}`);
  const judged = gate?.metrics.find(({ metric: name }) => name === metric.metric);
  const decisive = judged === undefined ? undefined : findDecisive(judged);
  const anchor = decisive === judged?.comparisons[0] ? undefined : decisive;
  const base = anchor === undefined ? metric.baseline : anchor.base;
  const left = words(metric.doubts.length === 0 ? '' : ` (${countSound(metric.values, metric.doubts)})`);
  if (base === null || metric.change === null) return phrase`${strong(formatNumber(metric.value))}${left}`;
  const pair = formatPair(metric.value, base);
  const effect =
    anchor === undefined
      ? metric.effect
      : judgeEffect(metric.value - base, metric.goal ?? undefined, isChance(anchor) === true);
  const told = effect === null || effect === 'same' ? '' : ` (${EFFECT_WORDS[effect]})`;
  const change = effect === 'same' ? 'unchanged' : `${pair.change}${told}`;
  const name = anchor === undefined ? nameBaseline(baseline) : phrase`${anchor.baseline}`;
  return phrase`${strong(pair.value)}${left}, ${words(change)} against ${name}`;
}

const EFFECT_WORDS = { better: 'better', worse: 'worse', noise: 'within noise' } as const;

/** The baseline's branch or tag. */
export function nameBaseline(baseline: ReportBaseline): Phrase {
  return baseline.by === 'task' || baseline.name === null ? words('the baseline') : phrase`${baseline.name}`;
}

function describePlace(tasks: readonly ReportTask[]): Phrase {
  const [queue] = tasks.flatMap((task) => task.queue ?? []);
  if (queue === undefined) return words(' in the queue');
  if (queue.pod !== null)
    return phrase` for a Kubernetes pod${queue.pod === '' ? [] : phrase`: ${queue.pod}`}`;
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
  const { commit, tasks } = report;
  const trained = commit === null ? [] : phrase`commit ${nameCommit(commit.id, commit.url)}`;
  return [
    joinPhrases([describeTasks(tasks), trained], ' \u00b7 '),
    ...[report.baseline, ...report.anchors].map((baseline) => composeBaselineLine(report, baseline)),
    composeChangedParams(report),
  ].filter((line) => line.length > 0);
}

function describeTasks(tasks: readonly ReportTask[]): Phrase {
  const [first] = tasks;
  if (first === undefined) return [];
  if (tasks.length === 1) {
    return joinPhrases(
      [
        phrase`${strong(capitalize(STATUS_WORDS[first.status]))}${describeDuration(first)}${first.worker === null ? [] : phrase` on ${first.worker}`}`,
        link(first.url, 'task in ClearML'),
        first.isReused ? words('reused from an earlier run') : [],
      ],
      ' \u00b7 ',
    );
  }
  const states = tasks.map(({ status }) => STATUS_WORDS[status]);
  const distinct = [...new Set(states)];
  const counts = distinct.map((word) => `${states.filter((state) => state === word).length} ${word}`);
  const summary = distinct.length === 1 ? `${tasks.length} tasks ${distinct[0]}` : counts.join(', ');
  return phrase`${strong(capitalize(summary))}${describeDurations(tasks)}: ${listTasks(tasks)}`;
}

/** Further tasks are counted, not listed. */
const MAX_LISTED_TASKS = 10;

/** Links to the tasks, named by their seeds if each has its own. */
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

function describeDurations(tasks: readonly ReportTask[]): Phrase {
  const seconds = tasks.flatMap(({ durationSeconds }) => durationSeconds ?? []);
  if (seconds.length === 0) return [];
  const shortest = formatDuration(Math.min(...seconds) * 1000);
  const longest = formatDuration(Math.max(...seconds) * 1000);
  return words(shortest === longest ? ` after ${longest}` : ` after ${shortest} to ${longest}`);
}

function nameCommit(id: string, url: string | null): Phrase {
  return link(url, phrase`${id.slice(0, 10)}`);
}

/** What the result is compared with; empty without a baseline. */
function composeBaselineLine({ commit, phase }: Report, baseline: ReportBaseline): Phrase {
  const [first] = baseline.tasks;
  if (baseline.kind === 'missing' || first === undefined) return [];
  const tasks = baseline.tasks.length === 1 ? link(first.url, 'its task') : listTasks(baseline.tasks);
  const isDue = phase === 'draft' || phase === 'queued' || phase === 'running';
  const compared = words(isDue ? 'Will be compared with' : 'Compared with');
  const linked = nameCommit(baseline.commit ?? '', baseline.commitUrl);
  const name = phrase`${baseline.name ?? ''}`;
  const relation = baseline.isSameTraining ? words('The same code and settings as') : compared;
  if (baseline.by === 'task') return phrase`${relation} the task ${link(first.url, name)}`;
  if (baseline.by === 'tag') {
    const { passedOver } = baseline;
    const others = `, the newest with this tag (${passedOver} older)`;
    const at = baseline.commit === null ? [] : phrase` at ${linked}`;
    return phrase`${relation} the tag ${name}${at}${describeLaunch(baseline)}: ${tasks}${words(passedOver === 0 ? '' : others)}`;
  }
  const behind = baseline.commitsBehind ?? 0;
  const where =
    behind === 0
      ? words(commit === null ? '' : ', where the pull request branched off')
      : words(`, ${behind} ${behind === 1 ? 'commit' : 'commits'} before the pull request branched off`);
  return phrase`${relation} ${name} at ${linked}${where}: ${tasks}`;
}

function describeLaunch({ event }: ReportBaseline): Phrase {
  if (event === null) return words(', created by hand');
  return event === 'launch' ? words(', launched by a person') : phrase`, launched on ${event}`;
}

/** More params than this become a table. */
const PARAMS_IN_LEAD = 3;

/** The changed params, if they are few. */
function composeChangedParams({ params, phase }: Report): Phrase {
  if (params.length === 0 || params.length > PARAMS_IN_LEAD || phase === 'queued' || phase === 'draft')
    return [];
  const changes = params.map(
    ({ param, value, baseline }) =>
      phrase`${param.replace(/^Args\//, '')} ${composeSetting(baseline)} \u2192 ${composeSetting(value)}`,
  );
  return phrase`Changed: ${joinPhrases(changes, ', ')}`;
}

/** A setting's value, quoted. */
export function composeSetting(value: string | null): Phrase {
  return value === null ? words('not set') : phrase`${value}`;
}

/**
 * Says that a pull request changes the settings that judge it, with their old and new values.
 *
 * @param limit how many settings to list
 */
export function composeSettingsWarning(
  { settings }: Pick<Report, 'settings'>,
  limit: number,
): { readonly title: Phrase; readonly changes: readonly Phrase[] } | undefined {
  if (settings === null || settings.kind === 'same') return undefined;
  const { branch, kind, changes, isGated, problem } = settings;
  if (kind === 'unknown') {
    if (!isGated) return undefined;
    const what = 'It is unknown whether this pull request changes the settings that judge it:';
    return { title: phrase`${strong(what)} ${problem ?? ''}.`, changes: [] };
  }
  const title =
    kind === 'new'
      ? phrase`This pull request adds the gate: ${branch} has no settings file.`
      : isGated
        ? phrase`This pull request changes the settings that judge it: they differ from those of ${branch}.`
        : phrase`This pull request has another project or task name than ${branch}.`;
  const shown = changes.slice(0, limit).map(({ metric, setting, base, value }) => {
    const of = metric === null ? [] : phrase`${metric} `;
    return phrase`${of}${words(setting)}: ${composeSetting(base)} \u2192 ${composeSetting(value)}`;
  });
  const rest = changes.length - shown.length;
  return { title: strong(title), changes: rest > 0 ? [...shown, words(`${rest} more`)] : shown };
}

/** What a reader must know before trusting the numbers, most important first. */
export function composeNotices(report: Report): Phrase[] {
  const { commit, pullRequest, environment, params, phase, tasks, unread } = report;
  const head = pullRequest?.headCommit ?? '';
  const aspects = environment.map(({ aspect }) => aspect).join(', ');
  const also = params.length === 0 ? '' : ', and params';
  const [idle] = tasks.flatMap(({ queue }) => (queue?.workers === 0 && queue.pod === null ? [queue] : []));
  const retries = tasks.reduce((sum, task) => sum + task.retries, 0);
  const parts = unread.map((part) => UNREAD_WORDS[part]).join(' and ');
  const isUnderWay = phase === 'draft' || phase === 'queued' || phase === 'running';
  const notices = [
    pullRequest?.isClosed === true &&
      isUnderWay &&
      phrase`${strong('The pull request is closed, so nothing updates this comment any more.')} The training has not ended: see its page in ClearML.`,
    commit?.isCurrent === false &&
      phrase`${strong('This report is about an older commit.')} The pull request is now at ${head.slice(0, 10)}.`,
    ...composeLostParams(report),
    explainSilence(report),
    explainOverwritten(report),
    environment.length > 0 &&
      phrase`${strong('The two trainings are not fully comparable.')} They differ in: ${words(aspects + also)}. See the details below.`,
    retries > 0 &&
      words(
        `A worker was lost. The training was enqueued again ${retries === 1 ? 'once' : `${retries} times`}.`,
      ),
    idle && phrase`${strong('No worker serves the queue')} ${idle.name}: nothing starts until one does.`,
    explainUnlikeGpus(
      words('The runs of this training'),
      tasks.map(({ machine }) => machine.gpu),
    ),
    explainUnlikeGpus(
      phrase`The runs of ${nameBaseline(report.baseline)}`,
      report.baseline.tasks.map(({ gpu }) => gpu),
    ),
    explainMissingBaseline(report),
    explainUnfinished(report),
    parts !== '' && words(`ClearML did not answer in time, so this report lacks ${parts}.`),
  ];
  return notices.filter((notice) => notice !== undefined && notice !== false);
}

/** Params, and then seeds, that did not reach the training. */
function composeLostParams({ lost }: Report): Phrase[] {
  // One run alone repeats no other.
  const isOfSeeds = (param: LostParam) => param.isSeed && param.tasks > 1;
  const params = composeLosses(lost.filter((param) => !isOfSeeds(param)));
  const seeds = lost.filter(isOfSeeds).map(composeLostSeeds);
  return [...(params.length === 0 ? [] : [params]), ...seeds];
}

function composeLostSeeds({ name, state, near, tasks }: LostParam): Phrase {
  const runs = words(`The ${tasks} runs may be the same training.`);
  if (state === 'overwritten')
    return phrase`${strong('The training overwrote its seeds')} in ${name}. ${runs}`;
  const remedy = phrase`${runs} Set ${'seed-param'} to what the training reads.`;
  if (near !== undefined)
    return phrase`${strong('The seeds did not reach the training')}, it seems, which declares ${near} and not ${name}. ${remedy}`;
  return phrase`${strong('Nothing shows that the seeds reached the training')}: nothing in its tasks declared ${name}. ${remedy}`;
}

/** Seeds are compared as if only chance told them apart. */
function explainUnlikeGpus(runs: Phrase, gpus: ReadonlyArray<string | null>): Phrase | undefined {
  const known = gpus.filter((gpu) => gpu !== null);
  const kinds = [...new Set(known)].sort();
  if (kinds.length < 2) return undefined;
  const counts = kinds.map((kind) => {
    const count = known.filter((gpu) => gpu === kind).length;
    return phrase`${kind} (${words(`${count} ${count === 1 ? 'run' : 'runs'}`)})`;
  });
  return phrase`${strong(phrase`${runs} used different GPUs:`)} ${joinPhrases(counts, ', ')}. Chance alone may not explain how much they differ.`;
}

/** Says that a training reported nothing, and the line that would make it. */
function explainSilence({ noMetrics }: Report): Phrase | undefined {
  if (noMetrics === null) return undefined;
  const lines = noMetrics.frameworks.map((framework) => REPORTING_LINES[framework]);
  const advice = lines.length > 0 ? joinPhrases(lines, ' ') : ANY_REPORTING_LINE;
  return phrase`${strong('No metric arrived in ClearML,')} so there is nothing to compare. ${advice} See ${'templates/FRAMEWORKS.md'} of clearml-ci-cd.`;
}

/** How many metrics a sentence lists. */
const MAX_NAMED_METRICS = 3;

/** Says that only the last of several reports counts. */
function explainOverwritten({ overwritten }: Report): Phrase | undefined {
  if (overwritten === null) return undefined;
  const { metrics, reports, isLaunched } = overwritten;
  const named = metrics.slice(0, MAX_NAMED_METRICS).map((metric) => phrase`${metric}`);
  const rest = metrics.length - named.length;
  const list = joinPhrases(rest > 0 ? [...named, words(`${rest} more`)] : named, ', ');
  const who = isLaunched
    ? 'Several processes seem to report to this task, and the last writer won'
    : 'The last writer won';
  const advice = isLaunched
    ? 'Let one process report, or each its own series.'
    : 'If several processes call Task.init (torchrun), let one of them report.';
  return phrase`${strong(`${who}:`)} ${list} ${words(metrics.length === 1 ? 'has' : 'have')} ${words(`${reports} reports for each iteration, and ClearML keeps one. ${advice}`)}`;
}

const REPORTING_LINES: Readonly<Record<SilentFramework, Phrase>> = {
  transformers: phrase`Transformers 5 reports nothing by default: give ${"TrainingArguments(report_to=['clearml'])"}.`,
  lightning: phrase`Lightning’s ${'CSVLogger'} stays local: give ${"Trainer(logger=TensorBoardLogger('out'))"}.`,
  keras: phrase`Keras needs its callback: give ${"model.fit(…, callbacks=[keras.callbacks.TensorBoard('out')])"}, with tensorflow installed.`,
};

const ANY_REPORTING_LINE = phrase`Report one in the training, after ${'Task.init'}: ${'Logger.current_logger().report_scalar(title, series, value, iteration)'}.`;

const UNREAD_WORDS = { curves: 'the curves', details: 'the log, queue or tables' } as const;

function explainMissingBaseline({ baseline, phase }: Report): Phrase | undefined {
  const branch = baseline.name ?? 'the base branch';
  switch (phase === 'completed' ? baseline.reason : null) {
    case 'no-task':
      return phrase`No baseline: ${describeSearch(baseline, branch)}. If ${branch} was trained since, merge it into the pull request or rebase. Otherwise run the workflow on pushes to ${branch} too, launch it there once, or name a task: ${'--baseline'} with a task id or ${'tag:NAME'}.`;
    case 'unreached':
      return phrase`No baseline: ${describeSearch(baseline, branch)}, but other commits of ${branch} have one. Merge ${branch} into this pull request or rebase onto it.`;
    case 'no-github':
      return baseline.problem === null
        ? words('The baseline is unknown: GitHub was not asked, because no token is set.')
        : phrase`The baseline is unknown: ${baseline.problem}. The token needs the permission ${'contents: read'}.`;
    case 'no-pipeline':
      return phrase`No baseline: ${'launch-training-task'} did not launch this task, so its pipeline is unknown. Name a task: ${'--baseline'} with a task id or ${'tag:NAME'}.`;
    case 'no-branch':
      return phrase`No baseline: the base branch is unknown. Name it: ${'--baseline branch:NAME'}.`;
    case 'no-ancestor':
      return phrase`No baseline: GitHub knows no common ancestor of this commit and ${branch}.`;
    default:
      return undefined;
  }
}

function describeSearch({ commitsSearched }: ReportBaseline, branch: string): Phrase {
  if (commitsSearched === 1)
    return phrase`the only commit of ${branch} before this pull request has no completed training`;
  const count = commitsSearched === null || commitsSearched === 0 ? '' : `${commitsSearched} `;
  return phrase`none of the ${words(count)}commits of ${branch} before this pull request has a completed training`;
}

/** Says that the training of the base commit, or a nearer one, has not ended. */
function explainUnfinished({ baseline, phase }: Report): Phrase | undefined {
  const { unfinished, commitsBehind } = baseline;
  const [task] = unfinished?.tasks ?? [];
  if (unfinished === null || task === undefined || phase !== 'completed') return undefined;
  const commit = nameCommit(unfinished.commit, unfinished.commitUrl);
  const name = phrase`${baseline.name ?? 'the base branch'}`;
  const running = link(task.url, 'task');
  const what =
    baseline.kind === 'missing'
      ? phrase`${strong('No baseline yet.')} ${name} at ${commit} is still being trained: ${running}.`
      : commitsBehind === unfinished.commitsBehind
        ? phrase`${strong('The base commit has unfinished runs.')} Further runs of ${commit} are under way: ${running}.`
        : phrase`${strong('A base commit is still being trained.')} ${name} at ${commit} is nearer than the commit compared with: ${running}.`;
  return phrase`${what} Run this job again when that training has ended.`;
}

/** A number that was reported may still not be a measurement, such as a NaN that arrived as 0. */
function explainNoValue({ values, doubts }: Pick<ReportMetric, 'values' | 'doubts'>): string {
  const [doubt] = doubts;
  if (doubt !== undefined) return explainDoubt(doubt);
  return values.some((value) => value !== null) ? 'not measured' : 'not reported';
}

/** `not a number (reported as 0)`, or only possibly; `0, perhaps not measured` if nothing was replaced for certain. */
export function explainDoubt({ kind, reported, isCertain }: DoubtedValue): string {
  if (kind === 'unmeasured') return `${formatNumber(reported)}, perhaps not measured`;
  if (kind === 'not-a-number') return 'not a number';
  if (kind === 'infinite') return 'infinite';
  return `${isCertain ? '' : 'possibly '}not a number (reported as ${formatNumber(reported)})`;
}

/** A metric's own cell. */
export function composeValue(metric: ReportMetric): Phrase {
  if (metric.value === null) return words(explainNoValue(metric));
  const text =
    metric.baseline === null ? formatNumber(metric.value) : formatPair(metric.value, metric.baseline).value;
  return phrase`${strong(text)}${describeSpread(metric.spread, metric.values, metric.doubts)}`;
}

/** The baseline’s cell. */
export function composeBaseline(metric: ReportMetric): Phrase {
  const { baseline, baselineValues: values, baselineDoubts: doubts } = metric;
  if (baseline === null) return words(doubts.length > 0 ? explainNoValue({ values, doubts }) : '\u2013');
  const text = metric.value === null ? formatNumber(baseline) : formatPair(metric.value, baseline).base;
  return phrase`${words(text)}${describeSpread(metric.baselineSpread, values, doubts)}`;
}

/** The spread over several tasks: ` ± 0.003`, with their number unless it is all of them. */
function describeSpread(
  spread: number | null,
  values: ReadonlyArray<number | null>,
  doubts: readonly DoubtedValue[],
): Phrase {
  const count = values.filter((value) => value !== null).length;
  const of = count === values.length || count === 0 ? '' : ` (${countSound(values, doubts)})`;
  return words(`${spread === null ? '' : `\u00a0\u00b1\u00a0${formatNumber(spread, 2)}`}${of}`);
}

/** `2 of 3`, and why others do not count: `2 of 3; 1 not a number`. */
function countSound(values: ReadonlyArray<number | null>, doubts: readonly DoubtedValue[]): string {
  const count = values.filter((value) => value !== null).length;
  const isSure = doubts.every(({ isCertain }) => isCertain);
  const what = doubts.every(({ kind }) => kind === 'unmeasured')
    ? 'perhaps not measured'
    : `${isSure ? '' : 'possibly '}not a number`;
  const left = doubts.length === 0 ? '' : `; ${doubts.length} ${what}`;
  return `${count} of ${values.length}${left}`;
}

// With non-breaking spaces.
const MARKS = {
  better: '\u25b2\u00a0better',
  worse: '\u25bc\u00a0worse',
  noise: 'within\u00a0noise',
  same: '',
} as const;

/** `+0.0111 (+1.2%) ▲ better`: the mark says what the change means for the goal, not its direction. */
export function composeChange(metric: ReportMetric): Phrase {
  if (metric.change === null || metric.baseline === null) return words('\u2013');
  if (metric.effect === 'same' || metric.change === 0) return words('unchanged');
  const percent = formatPercentChange(metric.change, metric.baseline);
  const mark = metric.effect === null ? '' : MARKS[metric.effect];
  const text = `${formatChange(metric.change)}${percent === undefined ? '' : ` (${percent})`}`;
  if (mark === '') return words(text);
  return phrase`${words(text)} ${metric.effect === 'worse' ? strong(mark) : words(mark)}`;
}

/** What the heading leaves out: where the failure happened, and what to do next. */
export function composeCause({ failure }: Report): Phrase {
  if (failure === null) return [];
  const place = formatPlace(failure)
    .trim()
    .replace(/^\(|\)$/g, '');
  const where = place === '' ? [] : phrase` in ${link(failure.placeUrl, phrase`${place}`)}`;
  // The run that was cancelled.
  const kind = link(failure.url ?? null, strong(KIND_WORDS[failure.kind]));
  return phrase`${kind}${where}. ${words(failure.advice)}`;
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

/** Says that better and worse are guesses, unless the settings have the goals, and why numbers are not trusted. */
export function composeLegend(report: Report): Phrase {
  const leading = report.metrics.slice(0, report.leadingMetrics);
  const isGuessed =
    report.phase === 'completed' &&
    leading.some(({ isGoalGuessed, effect }) => isGoalGuessed && (effect === 'better' || effect === 'worse'));
  const guess = isGuessed
    ? phrase`Better and worse are guessed from the metrics’ names; set ${'goal'} in the settings to be certain.`
    : [];
  const kinds = new Set(
    leading.flatMap(({ doubts, baselineDoubts }) => [...doubts, ...baselineDoubts]).map(({ kind }) => kind),
  );
  const why = DOUBT_WORDS.filter(([kind]) => kinds.has(kind)).map(([, text]) => words(text));
  const note =
    why.length === 0
      ? []
      : words('ClearML’s SDK reports NaN and infinities as 0, or as a number that the training sets.');
  return joinPhrases([guess, note, ...why], ' ');
}

const DOUBT_WORDS = [
  ['replaced', 'The console says that it did, but not for which metric.'],
  ['unexpected-zero', 'The console does not say so, but neither curve nor baseline leads to the 0.'],
  [
    'unmeasured',
    'Nothing speaks for such a number: no curve leads to it, and the other side’s runs do not confirm it.',
  ],
  ['unverified-zero', 'Only the console tells the two apart, and it could not be read completely.'],
] as const;

function capitalize(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
