import { joinPhrases, link, type Phrase, phrase, strong, words } from '../../text/phrase.ts';
import { composeLosses } from '../../training/params/arrival-words.ts';
import type { SilentFramework } from '../../training/reporting.ts';
import type { LostParam } from '../arrived.ts';
import type { ReportSettings } from '../base-settings.ts';
import { splitFirstRows } from '../gate-table.ts';
import type { Report, ReportBaseline } from '../report.ts';
import { composeSetting, nameBaseline, nameCommit } from './lead.ts';

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
      : composeChange(settings);
  const shown = changes.slice(0, limit).map(({ metric, setting, base, value }) => {
    const of = metric === null ? [] : phrase`${metric} `;
    return phrase`${of}${words(setting)}: ${composeSetting(base)} \u2192 ${composeSetting(value)}`;
  });
  const rest = changes.length - shown.length;
  return { title: strong(title), changes: rest > 0 ? [...shown, words(`${rest} more`)] : shown };
}

/** What differs in the settings, by what it touches. */
function composeChange({ branch, changes, isGated }: ReportSettings): Phrase {
  const names = new Set(changes.map(({ setting }) => setting));
  if (names.size === 1 && names.has('promote'))
    return phrase`This pull request changes what the merge promotes: its settings differ from those of ${branch}.`;
  if (isGated)
    return phrase`This pull request changes the settings that judge it: they differ from those of ${branch}.`;
  if (names.has('project') || names.has('task-name'))
    return phrase`This pull request has another project or task name than ${branch}.`;
  return phrase`This pull request changes how it is reported: its settings differ from those of ${branch}.`;
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
    report.isDue && words('The collecting workflow reports how this training ends: no job waits for it.'),
    pullRequest?.isClosed === true &&
      isUnderWay &&
      !report.isDue &&
      phrase`${strong('The pull request is closed, so nothing updates this comment any more.')} The training has not ended: see its page in ClearML.`,
    pullRequest !== null &&
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

/** The first day is no mistake of anybody's. */
function explainFirst(report: Report, branch: string): Phrase {
  const { pullRequest } = report;
  const isOpen = pullRequest !== null && !pullRequest.isClosed;
  const next = isOpen ? ['Merging this pull request gives the next one its baseline.'] : [];
  const sentences = [...splitFirstRows(report).same, ...next].join(' ');
  return phrase`${strong('This is the first result:')} no earlier training of ${branch} was found. ${words(sentences)}`;
}

function explainMissingBaseline(report: Report): Phrase | undefined {
  const { baseline, phase, pullRequest } = report;
  const branch = baseline.name ?? 'the base branch';
  if (baseline.isFirst && phase === 'completed') return explainFirst(report, branch);
  switch (phase === 'completed' || baseline.reason === 'no-such-branch' ? baseline.reason : null) {
    case 'no-such-branch':
      return phrase`No baseline: ${explainUnknownBranch(branch, pullRequest?.baseBranch ?? null)}`;
    case 'no-task':
      return phrase`No baseline: ${describeSearch(baseline, branch)}. If ${branch} was trained since, merge it into the pull request or rebase. Otherwise run the workflow on pushes to ${branch} too, launch it there once, or name a task: ${'--baseline'} with a task id or ${'tag:NAME'}.`;
    case 'unreached':
      return phrase`No baseline: ${describeSearch(baseline, branch)}, but other commits of ${branch} have one. Merge ${branch} into this pull request or rebase onto it.`;
    case 'no-github':
      return baseline.problem === null
        ? words('The baseline is unknown: GitHub was not asked, because no token is set.')
        : phrase`The baseline is unknown: ${baseline.problem}.${baseline.isRefused ? phrase` The token needs the permission ${'contents: read'}.` : []}`;
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

/** A branch that the settings or `--baseline` name. */
export function explainUnknownBranch(branch: string, baseBranch: string | null): Phrase {
  const base =
    baseBranch === null || baseBranch === branch
      ? []
      : phrase` The pull request’s base branch is ${baseBranch}.`;
  return phrase`GitHub knows no branch ${branch} in this repository.${base}`;
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
