import { formatDuration, formatTime } from '../../text/duration.ts';
import { joinPhrases, link, type Phrase, phrase, strong, words } from '../../text/phrase.ts';
import type { TaskStatus } from '../../training/task.ts';
import type { Acceptance } from '../posting/accept.ts';
import type { Report, ReportBaseline, ReportTask } from '../report.ts';
import { composeGpuHours } from './gpu-hours.ts';

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

/** The baseline's branch or tag. */
export function nameBaseline(baseline: ReportBaseline): Phrase {
  return baseline.by === 'task' || baseline.name === null ? words('the baseline') : phrase`${baseline.name}`;
}
/** The lines below the heading: state and commit, when and where that was reported, then what it is compared with. */
export function composeLead(report: Report): Phrase[] {
  const { commit, tasks } = report;
  const trained = commit === null ? [] : phrase`commit ${nameCommit(commit.id, commit.url)}`;
  return [
    report.accepted === null ? [] : composeAcceptance(report.accepted, commit?.id),
    joinPhrases([describeTasks(tasks), trained, composeGpuHours(tasks)], ' \u00b7 '),
    composeReportedBy(report),
    ...[report.baseline, ...report.anchors].map((baseline) => composeBaselineLine(report, baseline)),
    composeChangedParams(report),
  ].filter((line) => line.length > 0);
}

/** Who accepted a commit, and why; the commit only where the report is about another one. */
export function composeAcceptance({ by, reason, commit }: Acceptance, reported: string | undefined): Phrase {
  const of = commit === reported ? [] : phrase`commit ${commit.slice(0, 10)}`;
  return joinPhrases([phrase`Accepted by ${by}: ${reason}`, of], ' \u00b7 ');
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

/** A commit's short id, with a link. */
export function nameCommit(id: string, url: string | null): Phrase {
  return link(url, phrase`${id.slice(0, 10)}`);
}

/** How fresh the report is, and the run to look at. */
function composeReportedBy({ reportedAtMs, runUrl }: Report): Phrase {
  const run = runUrl === null ? [] : phrase` by this ${link(runUrl, 'workflow run')}`;
  return phrase`${words(`Reported ${formatTime(reportedAtMs)}`)}${run}`;
}

/** What the result is compared with; empty without a baseline. */
function composeBaselineLine(report: Report, baseline: ReportBaseline): Phrase {
  const line = composeBaselineName(report, baseline);
  const { compareUrl } = baseline;
  return joinPhrases(
    [line, line.length === 0 || compareUrl === null ? [] : link(compareUrl, 'side by side in ClearML')],
    ' \u00b7 ',
  );
}

function composeBaselineName({ commit, phase }: Report, baseline: ReportBaseline): Phrase {
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
function capitalize(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
