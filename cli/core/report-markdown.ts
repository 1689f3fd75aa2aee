import { formatMarker } from './comment-marker.ts';
import { formatDuration } from './duration.ts';
import type { MarkdownWriter } from './markdown.ts';
import { formatNumber } from './number-format.ts';
import { joinPhrases, type Phrase, phrase, words } from './phrase.ts';
import type { Report, ReportMetric, ReportTask } from './report.ts';
import type { TaskStatus } from './task.ts';
import type { RenderTemplate, TemplateFunctions, TemplateView } from './template.ts';

/** What GitHub takes as a comment, in characters. */
export const COMMENT_MAX_LENGTH = 65_536;

/** The names a template may use. */
export const PLACEHOLDERS = ['heading', 'lead', 'metrics'] as const;
export const PLACEHOLDER_FUNCTIONS = ['metric'] as const;

/** The comment's text, its marker first. */
export function renderComment(
  report: Report,
  key: string,
  render: RenderTemplate,
  writer: MarkdownWriter,
): string {
  return `${formatMarker(key)}\n${render(createView(report, writer), createFunctions(report, writer))}`;
}

/** The job summary's text. */
export function renderSummary(report: Report, render: RenderTemplate, writer: MarkdownWriter): string {
  return render(createView(report, writer), createFunctions(report, writer));
}

function createView(
  report: Report,
  writer: MarkdownWriter,
): TemplateView & Record<(typeof PLACEHOLDERS)[number], string> {
  return {
    heading: writer.heading(3, composeHeading(report)),
    lead: writer.line(composeLead(report)),
    metrics: writeMetrics(report.metrics, writer),
  };
}

function createFunctions(
  report: Report,
  writer: MarkdownWriter,
): TemplateFunctions & Record<(typeof PLACEHOLDER_FUNCTIONS)[number], (argument: string) => string> {
  return {
    metric: (name) => {
      const value = report.metrics.find(({ metric }) => metric === name)?.value;
      return writer.line(
        value === null || value === undefined ? words('n/a') : phrase`${formatNumber(value)}`,
      );
    },
  };
}

const STATUS_WORDS: Readonly<Record<TaskStatus, string>> = {
  created: 'not queued yet',
  queued: 'queued',
  in_progress: 'running',
  stopped: 'stopped',
  closed: 'closed',
  failed: 'failed',
  completed: 'completed',
  publishing: 'being published',
  published: 'completed and published',
  unknown: 'in an unknown state',
};

function composeHeading(report: Report): Phrase {
  const statuses = [...new Set(report.tasks.map(({ status }) => STATUS_WORDS[status]))];
  return phrase`${report.name}: training ${words(statuses.join(', '))}`;
}

function composeLead(report: Report): Phrase {
  const { commit } = report;
  const ofCommit =
    commit === null
      ? []
      : commit.url === null
        ? phrase`Commit ${commit.id.slice(0, 10)}`
        : phrase`Commit ${{ link: commit.url, text: phrase`${commit.id.slice(0, 10)}` }}`;
  const age = commit?.isCurrent === false ? words('not the pull request’s newest commit') : [];
  return joinPhrases([ofCommit, age, ...report.tasks.map((task) => composeTask(task))], ' · ');
}

function composeTask(task: ReportTask): Phrase {
  const seed = task.seed === null ? [] : phrase` (seed ${task.seed})`;
  const duration =
    task.durationSeconds === null ? [] : words(` in ${formatDuration(task.durationSeconds * 1000)}`);
  const worker = task.worker === null ? [] : phrase` on ${task.worker}`;
  return phrase`${{ link: task.url, text: words('task in ClearML') }}${seed} ${words(STATUS_WORDS[task.status])}${duration}${worker}`;
}

function writeMetrics(metrics: readonly ReportMetric[], writer: MarkdownWriter): string {
  if (metrics.length === 0) return writer.line(words('No metrics were reported.'));
  return writer.table(
    [{ title: words('metric') }, { title: words('value'), align: 'right' }],
    metrics.map(({ metric, value }) => [
      phrase`${metric}`,
      value === null ? words('n/a') : phrase`${formatNumber(value)}`,
    ]),
  );
}
