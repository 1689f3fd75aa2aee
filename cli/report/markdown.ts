import { formatMarker } from '../github/comments.ts';
import { EXIT_CODES, Failure } from '../shell/failure.ts';
import {
  writeCodeBlock,
  writeHeading,
  writeLine,
  writeList,
  writeQuotedBlock,
  writeTable,
} from '../text/markdown.ts';
import { formatNumber } from '../text/number-format.ts';
import { joinPhrases, link, type Phrase, phrase, strong, words } from '../text/phrase.ts';
import { EXECUTION_STARTS } from '../training/attempt.ts';
import { chooseExcerpt } from '../training/console-log.ts';
import { drawChart } from './drawing/chart.ts';
import {
  composeGateRow,
  composeGateWords,
  GATE_COLUMNS,
  type GateRow,
  splitFirstRows,
} from './gate-table.ts';
import type { DoubtedValue, ReportCurve, ReportMetric } from './metrics.ts';
import { type MetricParts, partMetrics } from './ranking/families.ts';
import type { Report, ReportFailure } from './report.ts';
import {
  listLeadingRows,
  writeDetails,
  writeEnvironment,
  writeMetrics,
  writeParams,
  writePlot,
} from './tables.ts';
import type { RenderTemplate, TemplateFunctions, TemplateView } from './template.ts';
import { composeChange, composeLegend, explainDoubt } from './words/cells.ts';
import { composeCause, composeHeading } from './words/heading.ts';
import { composeLead, nameBaseline, STATUS_WORDS } from './words/lead.ts';
import { composeNotices, composeSettingsWarning } from './words/notices.ts';
import { markState } from './words/state-mark.ts';

/** GitHub's limit for a comment, in characters. Counted here in UTF-16 units, of which a character may have two. */
export const COMMENT_MAX_LENGTH = 65_536;
/** GitHub's limit for a step's summary is 1 MiB. */
export const SUMMARY_MAX_BYTES = 1_000_000;

/** How much of each section is shown. */
type Room = Readonly<typeof COMMENT_ROOM>;

const COMMENT_ROOM = {
  leading: 20,
  /** Changed settings. */
  settings: 10,
  gateRows: 40,
  moreMetrics: 100,
  curves: 12,
  plots: 4,
  /** In characters: a longer table is not shown. */
  plotLength: 8000,
  params: 60,
  logLines: 30,
  details: true,
};

/** What to cut, step by step, until the comment fits; the most important parts go last. */
const COMMENT_CUTS: ReadonlyArray<Partial<Room>> = [
  { moreMetrics: 30 },
  { plots: 1 },
  { params: 20 },
  { curves: 4 },
  { moreMetrics: 0 },
  { plots: 0 },
  { curves: 2 },
  { logLines: 15 },
  { details: false },
  { params: 5 },
  { curves: 0 },
  { leading: 8, gateRows: 8 },
  { logLines: 5 },
  { params: 0 },
];

/** How many further metrics fit is estimated from their names. */
const SUMMARY_ROOM: Room = {
  ...COMMENT_ROOM,
  settings: 200,
  gateRows: 500,
  plots: 20,
  plotLength: 40_000,
  params: 1000,
  logLines: 60,
};

const SUMMARY_CUTS: ReadonlyArray<Partial<Room>> = [
  { plots: 4, params: 200 },
  { moreMetrics: 12_000 },
  { moreMetrics: 9000 },
  { moreMetrics: 6000 },
  { moreMetrics: 4000 },
  { moreMetrics: 2000 },
  { moreMetrics: 200 },
  { moreMetrics: 0, plots: 0, gateRows: 40 },
];

/** Further charts are folded. */
const LEADING_CURVES = 2;

/**
 * The comment's text, its marker first, shortened section by section until it fits.
 *
 * @param secondLine a further hidden line
 * @throws Failure (usage) if the template alone is too long
 */
export function renderComment(
  report: Report,
  key: string,
  render: RenderTemplate,
  secondLine?: string,
): string {
  const marker = [formatMarker(key), ...(secondLine === undefined ? [] : [secondLine]), ''].join('\n');
  const body = renderWithin(report, render, {
    room: COMMENT_ROOM,
    cuts: COMMENT_CUTS,
    fits: (text) => marker.length + text.length <= COMMENT_MAX_LENGTH,
    isSummary: false,
  });
  if (body === undefined) {
    throw new Failure('the comment is too long for GitHub, even without its optional parts', {
      exitCode: EXIT_CODES.usage,
      remedy: `A comment has at most ${COMMENT_MAX_LENGTH} characters: shorten the template.`,
    });
  }
  return marker + body;
}

/** The job summary's text: everything that fits. */
export function renderSummary(report: Report, render: RenderTemplate): string {
  const body = renderWithin(report, render, {
    room: { ...SUMMARY_ROOM, moreMetrics: estimateRows(report) },
    cuts: SUMMARY_CUTS,
    fits: (text) => new TextEncoder().encode(text).length <= SUMMARY_MAX_BYTES,
    isSummary: true,
  });
  return body ?? '';
}

/** Bytes of a row without the metric's name. */
const ROW_BYTES = 45;
const NAME_BYTES = 120;

/** About how many rows of metrics fit: writing thousands only to cut them off is slow. */
function estimateRows({ metrics }: Report): number {
  const names = metrics.reduce((sum, { metric }) => sum + Math.min(metric.length, NAME_BYTES), 0);
  return Math.ceil(SUMMARY_MAX_BYTES / (names / Math.max(1, metrics.length) + ROW_BYTES));
}

/** @param isSummary nothing else shows more than this text */
function renderWithin(
  report: Report,
  render: RenderTemplate,
  limit: { room: Room; cuts: ReadonlyArray<Partial<Room>>; fits(text: string): boolean; isSummary: boolean },
): string | undefined {
  const functions = createFunctions(report);
  const writeOthers = createTableCutter(report, limit.room);
  const parts = partMetrics(report);
  let { room } = limit;
  for (const cut of [{}, ...limit.cuts]) {
    room = { ...room, ...cut, moreMetrics: Math.min(room.moreMetrics, cut.moreMetrics ?? room.moreMetrics) };
    const text = render(
      createView({ report, parts, room, isSummary: limit.isSummary, writeOthers }),
      functions,
    );
    if (limit.fits(text)) return text;
  }
  return undefined;
}

/** Writes each table of further metrics once and cuts it to length, because thousands of rows are slow. */
function createTableCutter(
  report: Report,
  room: Room,
): (metrics: readonly ReportMetric[], count: number) => string {
  const written = new Map<string, readonly string[]>();
  return (metrics, count) => {
    if (count === 0) return '';
    const key = JSON.stringify([metrics.length, metrics[0]?.metric]);
    const lines =
      written.get(key) ??
      writeMetrics(
        metrics.slice(0, room.moreMetrics).map((metric) => ({ metric })),
        report,
      ).split('\n');
    written.set(key, lines);
    // The first two lines are the table's head.
    return lines.slice(0, count + 2).join('\n');
  };
}

function createView({
  report,
  parts,
  room,
  isSummary,
  writeOthers,
}: {
  report: Report;
  parts: MetricParts;
  room: Room;
  isSummary: boolean;
  writeOthers: ReturnType<typeof createTableCutter>;
}): TemplateView {
  const { params, failure } = report;
  const leading = listLeadingRows(report, room);
  const rest = listRest(parts, leading);
  const others = Math.min(rest.length, room.moreMetrics);
  const training = Math.min(parts.training.length, room.moreMetrics);
  const { rows: gateRows } = splitFirstRows(report);
  const judgement = writeList(gateRows.slice(0, room.gateRows).map(composeGateWords));
  const curves = report.curves
    .slice(0, room.curves)
    .map((curve) => writeCurve(curve, report))
    .filter((text) => text !== '');
  const plots = report.plots
    .map(writePlot)
    .filter((text) => text.length <= room.plotLength)
    .slice(0, room.plots);
  const leftOut = [
    ...countLeftOut('judged metric', gateRows.length, room.gateRows),
    ...countLeftOut('metric', countUntold(rest.slice(others), leading) + parts.training.length, training),
    ...countLeftOut('chart', report.curves.length, room.curves),
    ...countLeftOut('param', params.length, room.params),
    ...countLeftOut('table', report.plots.length, plots.length),
    ...(room.details ? [] : ['the details of the run']),
  ];
  return {
    ...viewNames(report),
    heading: writeHeading(3, phrase`${words(`${markState(report)} `)}${composeHeading(report)}`),
    lead: composeLead(report).map(writeLine).join('\\\n'),
    notices: writeNotices(report, room.settings),
    cause: writeLine(composeCause(report)),
    log: failure === null ? '' : writeLog(failure, room.logLines),
    gate: writeGate(gateRows.slice(0, room.gateRows), judgement),
    judgement,
    metrics: writeMetrics(leading, report),
    'more-metrics': writeOthers(rest, others),
    'more-metrics-count': countOthers(rest, others, leading),
    training: writeOthers(parts.training, training),
    'training-count': formatCount(training),
    legend: writeLine(composeLegend(report)),
    curves: curves.slice(0, LEADING_CURVES).join('\n\n'),
    'more-curves': curves.slice(LEADING_CURVES).join('\n\n'),
    'more-curves-count': formatCount(curves.length - LEADING_CURVES),
    params: writeParams(report, room.params),
    environment: writeEnvironment(report),
    'differences-count': formatCount(params.length + report.environment.length),
    plots: plots.join('\n\n'),
    'plots-count': formatCount(plots.length),
    details: room.details ? writeDetails(report) : '',
    'left-out': writeLine(composeLeftOut(leftOut, report, isSummary)),
  };
}

/** Single values, for templates of one's own. */
function viewNames({ name, tasks, verdict, commit, baseline }: Report) {
  const states = new Set(tasks.map(({ status }) => STATUS_WORDS[status]));
  return {
    name: writeLine(phrase`${name}`),
    status: writeLine(words([...states].join(', '))),
    verdict,
    commit: writeLine(phrase`${commit?.id.slice(0, 10)}`),
    branch: writeLine(phrase`${commit?.branch || null}`),
    'task-id': writeLine(phrase`${tasks[0]?.id}`),
    'task-url': tasks[0]?.url ?? '',
    'baseline-name': baseline.kind === 'found' ? writeLine(nameBaseline(baseline)) : '',
  };
}

function createFunctions(report: Report): TemplateFunctions {
  const find = (name: string) => report.metrics.find(({ metric }) => metric === name);
  const write = (text: string | undefined) => writeLine(text === undefined ? words('n/a') : phrase`${text}`);
  const writeNumber = (value: number | null = null, [doubt]: readonly DoubtedValue[] = []) =>
    value === null && doubt !== undefined
      ? writeLine(words(explainDoubt(doubt)))
      : write(value === null ? undefined : formatNumber(value));
  return {
    metric: (name) => writeNumber(find(name)?.value, find(name)?.doubts),
    baseline: (name) => writeNumber(find(name)?.baseline, find(name)?.baselineDoubts),
    change: (name) => {
      const metric = find(name);
      return metric === undefined || metric.change === null
        ? write(undefined)
        : writeLine(composeChange(metric));
    },
    param: (name) => {
      const path = name.includes('/') ? name : `Args/${name}`;
      const value = report.tasks[0]?.hyperparams[path];
      const isLost = report.lost.some((param) => param.name === path && param.state === 'undeclared');
      return isLost ? writeLine(phrase`${value} (did not reach the training, it seems)`) : write(value);
    },
  };
}

/** What no leading row tells: each series of a family is one of them. */
function listRest(parts: MetricParts, leading: ReturnType<typeof listLeadingRows>): ReportMetric[] {
  const told = new Set(leading.flatMap(({ metric, family }) => (family === undefined ? metric.metric : [])));
  const cut = parts.leading.flatMap((row) => (row.length === 1 ? row : []));
  return [...cut, ...parts.others].filter(({ metric }) => !told.has(metric));
}

/** The worst of a family stands in its row. */
function countUntold(metrics: readonly ReportMetric[], leading: ReturnType<typeof listLeadingRows>): number {
  const told = new Set(leading.map(({ metric }) => metric.metric));
  return metrics.filter(({ metric }) => !told.has(metric)).length;
}

/** `40, 1 worse`: what is folded must not hide a collapse. */
function countOthers(
  rest: readonly ReportMetric[],
  shown: number,
  leading: ReturnType<typeof listLeadingRows>,
): string {
  const worse = countUntold(
    rest.filter(({ effect }) => effect === 'worse'),
    leading,
  );
  return shown > 0 && worse > 0 ? `${shown}, ${worse} worse` : formatCount(shown);
}

function formatCount(count: number): string {
  return count <= 0 ? '' : String(count);
}

function countLeftOut(what: string, count: number, shown: number): string[] {
  const rest = count - shown;
  return rest <= 0 ? [] : [`${rest} ${what}${rest === 1 ? '' : 's'}`];
}

function composeLeftOut(parts: readonly string[], { tasks, runUrl }: Report, isSummary: boolean): Phrase {
  if (parts.length === 0) return [];
  const summary = isSummary || runUrl === null ? [] : phrase`in the ${link(runUrl, 'job summary')} and `;
  const task = tasks[0] === undefined ? [] : phrase`${link(tasks[0].url, 'in ClearML')}.`;
  return phrase`${words(`Left out here: ${parts.join(', ')}. The whole report is `)}${summary}${task}`;
}

/** How many lines before the cause are shown with it. */
const LINES_BEFORE = 3;

/** The lines that show the cause with a few before and what follows, else the last lines. */
function writeLog({ log, lines: cause }: ReportFailure, count: number): string {
  if (log.length === 0) return '';
  const begin = cause === undefined ? 0 : log.slice(0, cause.first).lastIndexOf(EXECUTION_STARTS) + 1;
  const from = cause === undefined ? 0 : Math.max(begin, cause.first - LINES_BEFORE);
  const near = log.slice(from);
  const { lines } = chooseExcerpt(
    near,
    cause && { first: cause.first - from, last: cause.last - from },
    count,
  );
  const shown = lines.slice(lines.findIndex((line) => line.trim() !== ''));
  return writeQuotedBlock(shown.join('\n'));
}

/** Quotations that GitHub shows as alerts. */
function writeNotices(report: Report, settings: number): string {
  const warning = composeSettingsWarning(report, settings);
  const notices = composeNotices(report).map((notice) => writeAlert('NOTE', writeLine(notice)));
  if (warning === undefined) return notices.join('\n\n');
  const list = warning.changes.length === 0 ? '' : `\n\n${writeList(warning.changes)}`;
  return [writeAlert('WARNING', `${writeLine(warning.title)}${list}`), ...notices].join('\n\n');
}

function writeAlert(kind: 'NOTE' | 'WARNING', text: string): string {
  return `[!${kind}]\n${text}`.replace(/^(?=.)/gm, '> ').replace(/^$/gm, '>');
}

/** The judgement in numbers, then in words: for a template that shows it apart from the metrics. */
function writeGate(rows: readonly GateRow[], judgement: string): string {
  return rows.length === 0 ? '' : `${writeTable(GATE_COLUMNS, rows.map(composeGateRow))}\n\n${judgement}`;
}

/** The lines of a chart, with the colours in words: `#0969DA` tells a reader nothing. */
const FRONT = { color: '#0969DA', shade: 'blue', name: 'this PR' };
const BACK = { color: '#9A6700', shade: 'brown' };

function writeCurve({ metric, task, baseline, leftOut, runs }: ReportCurve, report: Report): string {
  const base = report.baseline.by === 'task' ? null : report.baseline.name;
  const back = baseline === null ? [] : [{ ...BACK, curve: baseline, name: base ?? 'baseline' }];
  const chart = drawChart([...back, { ...FRONT, curve: task }]);
  if (chart === undefined) return '';
  const isBaselineDrawn = baseline !== null && !chart.omitted.includes(0);
  const ownEnd = task.x.at(-1) ?? chart.to;
  const caption = joinPhrases(
    [
      strong(phrase`${metric}`),
      words(`${FRONT.shade}: this pull request${describeMean(runs.task)}`),
      isBaselineDrawn
        ? phrase`${words(`${BACK.shade}: `)}${nameBaseline(report.baseline)}${words(describeMean(runs.baseline))}`
        : [],
      chart.exponent === 0 ? [] : words(`in units of 1e${-chart.exponent}`),
      chart.to < ownEnd
        ? words(`to iteration ${formatNumber(chart.to)} of ${formatNumber(ownEnd)}, where the baseline ends`)
        : [],
      baseline !== null && !isBaselineDrawn ? words('the baseline is too short to be drawn') : [],
      leftOut === 0 ? [] : words(`without ${leftOut} ${leftOut === 1 ? 'point' : 'points'} that may be NaN`),
    ],
    ' \u00b7 ',
  );
  return `${writeLine(caption)}\n\n${writeCodeBlock('mermaid', chart.mermaid)}`;
}

/** A mean curve hides how much its runs differ. */
function describeMean(runs: number): string {
  return runs > 1 ? `, mean of ${runs} runs` : '';
}
