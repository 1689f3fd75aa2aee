import { formatMarker } from '../github/comments.ts';
import { EXIT_CODES, Failure } from '../shell/failure.ts';
import { formatDuration } from '../text/duration.ts';
import type { MarkdownWriter } from '../text/markdown.ts';
import { formatBytes, formatNumber } from '../text/number-format.ts';
import { joinPhrases, type Phrase, phrase, words } from '../text/phrase.ts';
import { EXECUTION_STARTS } from '../training/cause-table.ts';
import { drawChart } from './drawing/chart.ts';
import type { Downsample } from './drawing/curve.ts';
import type { Plot } from './drawing/plot.ts';
import { composeGateRow, composeGateWords, GATE_COLUMNS, type GateRow, listGateRows } from './gate-table.ts';
import type { ReportCurve, ReportMetric } from './metrics.ts';
import type { Report, ReportTask } from './report.ts';
import type { RenderTemplate, TemplateFunctions, TemplateView } from './template.ts';
import {
  composeBaseline,
  composeCause,
  composeChange,
  composeHeading,
  composeLead,
  composeLegend,
  composeNotices,
  composeSettingsWarning,
  composeValue,
  describeSeed,
  nameBaseline,
  type SettingsWarning,
  STATUS_WORDS,
} from './text.ts';

/** What GitHub takes as a comment, in characters. Counted in UTF-16 units, of which a character may have two. */
export const COMMENT_MAX_LENGTH = 65_536;
/** What GitHub takes as a step's summary is 1 MiB. */
export const SUMMARY_MAX_BYTES = 1_000_000;

/** The names that a template may use. */
export const PLACEHOLDERS = [
  'heading',
  'lead',
  'notices',
  'cause',
  'log',
  'gate',
  'metrics',
  'more-metrics',
  'more-metrics-count',
  'legend',
  'curves',
  'more-curves',
  'more-curves-count',
  'params',
  'environment',
  'differences-count',
  'plots',
  'plots-count',
  'details',
  'left-out',
  'name',
  'status',
  'verdict',
  'commit',
  'branch',
  'task-id',
  'task-url',
  'baseline-name',
] as const;
type Placeholder = (typeof PLACEHOLDERS)[number];

/** Placeholders that take a name: `{{metric: title/series}}`. */
export const PLACEHOLDER_FUNCTIONS = ['metric', 'baseline', 'change', 'param'] as const;

/** How much of each section is shown. */
interface Room {
  readonly leading: number;
  /** Changed settings. */
  readonly settings: number;
  readonly gateRows: number;
  readonly moreMetrics: number;
  readonly curves: number;
  readonly plots: number;
  /** A table that is longer, in characters, is not shown. */
  readonly plotLength: number;
  readonly params: number;
  readonly logLines: number;
  readonly details: boolean;
}

const COMMENT_ROOM: Room = {
  leading: 20,
  settings: 10,
  gateRows: 40,
  moreMetrics: 100,
  curves: 12,
  plots: 4,
  plotLength: 8000,
  params: 60,
  logLines: 30,
  details: true,
};

/** What goes first where there is not enough room, step by step; what tells most goes last. */
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

/** As many metrics as fit are estimated. */
const SUMMARY_ROOM: Room = {
  leading: 20,
  settings: 200,
  gateRows: 500,
  moreMetrics: 0,
  curves: 12,
  plots: 20,
  plotLength: 40_000,
  params: 1000,
  logLines: 60,
  details: true,
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

/** So many charts are shown at once. */
const LEADING_CURVES = 2;

/** What makes Markdown of a report. */
export interface Renderer {
  readonly writer: MarkdownWriter;
  readonly downsample: Downsample;
}

/**
 * The comment's text, its marker first, shortened by sections until GitHub takes it.
 *
 * @throws Failure (usage) when the template alone is too long
 */
export function renderComment(
  report: Report,
  key: string,
  render: RenderTemplate,
  renderer: Renderer,
): string {
  const marker = `${formatMarker(key)}\n`;
  const body = renderWithin(report, render, renderer, {
    room: COMMENT_ROOM,
    cuts: COMMENT_CUTS,
    fits: (text) => marker.length + text.length <= COMMENT_MAX_LENGTH,
    isWhole: false,
  });
  if (body === undefined) {
    throw new Failure('the comment is too long for GitHub, however much is left out', {
      exitCode: EXIT_CODES.usage,
      remedy: `GitHub takes ${COMMENT_MAX_LENGTH} characters: shorten the template.`,
    });
  }
  return marker + body;
}

/** The job summary's text: everything, as far as GitHub takes it. */
export function renderSummary(report: Report, render: RenderTemplate, renderer: Renderer): string {
  const encoder = new TextEncoder();
  return (
    renderWithin(report, render, renderer, {
      room: { ...SUMMARY_ROOM, moreMetrics: estimateRows(report) },
      cuts: SUMMARY_CUTS,
      fits: (text) => encoder.encode(text).length <= SUMMARY_MAX_BYTES,
      isWhole: true,
    }) ?? ''
  );
}

/** Bytes of a row beside the metric's name: two numbers, their change, the marks between. */
const ROW_BYTES = 45;
const NAME_BYTES = 120;

/** About how many rows of metrics fit: thousands that are written and then cut off take their time. */
function estimateRows({ metrics }: Report): number {
  const names = metrics.reduce((sum, { metric }) => sum + Math.min(metric.length, NAME_BYTES), 0);
  return Math.ceil(SUMMARY_MAX_BYTES / (names / Math.max(1, metrics.length) + ROW_BYTES));
}

function renderWithin(
  report: Report,
  render: RenderTemplate,
  renderer: Renderer,
  limits: {
    readonly room: Room;
    readonly cuts: ReadonlyArray<Partial<Room>>;
    readonly fits: (text: string) => boolean;
    readonly isWhole: boolean;
  },
): string | undefined {
  const functions = createFunctions(report, renderer.writer);
  const writeOthers = createTableCutter(report, limits.room, renderer.writer);
  let room = limits.room;
  for (const cut of [{}, ...limits.cuts]) {
    room = { ...room, ...cut, moreMetrics: Math.min(room.moreMetrics, cut.moreMetrics ?? room.moreMetrics) };
    const text = render(createView(report, room, limits.isWhole, renderer, writeOthers), functions);
    if (limits.fits(text)) return text;
  }
  return undefined;
}

/** Writes the table of the metrics that are not in the lead once, and cuts it to length: thousands of rows take their time. */
function createTableCutter(
  report: Report,
  room: Room,
  writer: MarkdownWriter,
): (start: number, count: number) => string {
  const written = new Map<number, readonly string[]>();
  return (start, count) => {
    if (count === 0) return '';
    const lines =
      written.get(start) ??
      writeMetrics(report.metrics.slice(start, start + room.moreMetrics), report, writer).split('\n');
    written.set(start, lines);
    // A row is a line; the first two are the table's head.
    return lines.slice(0, count + 2).join('\n');
  };
}

function createView(
  report: Report,
  room: Room,
  isWhole: boolean,
  { writer, downsample }: Renderer,
  writeOthers: (start: number, count: number) => string,
): TemplateView & Record<Placeholder, string> {
  const leading = report.metrics.slice(0, Math.min(report.leadingMetrics, room.leading));
  const others = report.metrics.slice(leading.length);
  const shownOthers = others.slice(0, room.moreMetrics);
  const curves = report.curves
    .slice(0, room.curves)
    .map((curve) => writeCurve(curve, report, writer, downsample))
    .filter((text) => text !== '');
  const plots = report.plots
    .map((plot) => writePlot(plot, writer))
    .filter((text) => text.length <= room.plotLength)
    .slice(0, room.plots);
  const params = report.params.slice(0, room.params);
  const differences = report.params.length + report.environment.length;
  const gateRows = listGateRows(report);
  const leftOut = [
    countLeftOut(gateRows.length - room.gateRows, 'judged metric', 'judged metrics'),
    countLeftOut(others.length - shownOthers.length, 'metric', 'metrics'),
    countLeftOut(report.curves.length - Math.min(room.curves, report.curves.length), 'chart', 'charts'),
    countLeftOut(report.params.length - params.length, 'param', 'params'),
    countLeftOut(report.plots.length - plots.length, 'table', 'tables'),
    room.details ? '' : 'the details of the run',
  ].filter((text) => text !== '');
  const [first] = report.tasks;
  return {
    heading: writer.heading(3, composeHeading(report)),
    lead: composeLead(report)
      .map((line) => writer.line(line))
      .join('\\\n'),
    notices: writeNotices(report, room.settings, writer),
    cause: report.failure === null ? '' : writer.line(composeCause(report)),
    log:
      report.failure === null || report.failure.log.length === 0
        ? ''
        : writer.fence(pickLogLines(report.failure.log, room.logLines).join('\n')),
    gate: writeGate(gateRows.slice(0, room.gateRows), writer),
    metrics: writeMetrics(leading, report, writer),
    'more-metrics': writeOthers(leading.length, shownOthers.length),
    'more-metrics-count': shownOthers.length === 0 ? '' : String(shownOthers.length),
    legend: composeLegend(report).length === 0 ? '' : writer.line(composeLegend(report)),
    curves: curves.slice(0, LEADING_CURVES).join('\n\n'),
    'more-curves': curves.slice(LEADING_CURVES).join('\n\n'),
    'more-curves-count': curves.length > LEADING_CURVES ? String(curves.length - LEADING_CURVES) : '',
    params: writeParams({ ...report, params }, writer),
    environment: writeEnvironment(report, writer),
    'differences-count': differences === 0 ? '' : String(differences),
    plots: plots.join('\n\n'),
    'plots-count': plots.length === 0 ? '' : String(plots.length),
    details: room.details ? writeDetails(report, writer) : '',
    'left-out': leftOut.length === 0 ? '' : writer.line(composeLeftOut(leftOut, report, isWhole)),
    name: writer.line(phrase`${report.name}`),
    status: writer.line(
      words([...new Set(report.tasks.map(({ status }) => STATUS_WORDS[status]))].join(', ')),
    ),
    verdict: report.verdict,
    commit: report.commit === null ? '' : writer.line(phrase`${report.commit.id.slice(0, 10)}`),
    branch: report.commit?.branch ? writer.line(phrase`${report.commit.branch}`) : '',
    'task-id': first === undefined ? '' : writer.line(phrase`${first.id}`),
    'task-url': first?.url ?? '',
    'baseline-name': report.baseline.kind === 'found' ? writer.line(nameBaseline(report.baseline)) : '',
  };
}

function createFunctions(
  report: Report,
  writer: MarkdownWriter,
): TemplateFunctions & Record<(typeof PLACEHOLDER_FUNCTIONS)[number], (argument: string) => string> {
  const find = (name: string) => report.metrics.find(({ metric }) => metric === name);
  const number = (value: number | null | undefined) =>
    writer.line(value === null || value === undefined ? words('n/a') : phrase`${formatNumber(value)}`);
  return {
    metric: (name) => number(find(name)?.value),
    baseline: (name) => number(find(name)?.baseline),
    change: (name) => {
      const metric = find(name);
      return writer.line(
        metric === undefined || metric.change === null ? words('n/a') : composeChange(metric),
      );
    },
    param: (name) => {
      const value = report.tasks[0]?.params[name.includes('/') ? name : `Args/${name}`];
      return writer.line(value === undefined ? words('n/a') : phrase`${value}`);
    },
  };
}

function countLeftOut(count: number, one: string, many: string): string {
  return count <= 0 ? '' : `${count} ${count === 1 ? one : many}`;
}

function composeLeftOut(parts: readonly string[], report: Report, isWhole: boolean): Phrase {
  const list = words(`Left out here: ${parts.join(', ')}. The whole is `);
  const [first] = report.tasks;
  const task = first === undefined ? [] : phrase`${{ link: first.url, text: words('in ClearML') }}.`;
  if (isWhole || report.runUrl === null) return phrase`${list}${task}`;
  return phrase`${list}in the ${{ link: report.runUrl, text: words('job summary') }} and ${task}`;
}

/** The last traceback with what the training printed right before it, else the last lines. */
function pickLogLines(lines: readonly string[], count: number): readonly string[] {
  const traceback = lines.findLastIndex((line) => line.includes('Traceback (most recent call last)'));
  const begin = lines.slice(0, Math.max(0, traceback)).lastIndexOf(EXECUTION_STARTS) + 1;
  const start = Math.max(0, traceback - 3, begin, lines.length - count);
  return lines.slice(lines.findIndex((line, index) => index >= start && line.trim() !== ''));
}

/** GitHub shows a quotation that begins so as a warning; the word is ours, so it needs no escape. */
function writeNotices(report: Report, settings: number, writer: MarkdownWriter): string {
  const warning = composeSettingsWarning(report, settings);
  const notices = composeNotices(report).map((notice) => `> [!NOTE]\n> ${writer.line(notice)}`);
  return [...(warning === undefined ? [] : [writeWarning(warning, writer)]), ...notices].join('\n\n');
}

function writeWarning({ title, changes }: SettingsWarning, writer: MarkdownWriter): string {
  const list = changes.length === 0 ? '' : `\n\n${writer.list(changes)}`;
  return `[!WARNING]\n${writer.line(title)}${list}`.replace(/^(?=.)/gm, '> ').replace(/^$/gm, '>');
}

/** What was judged in numbers, then in words. */
function writeGate(rows: readonly GateRow[], writer: MarkdownWriter): string {
  if (rows.length === 0) return '';
  return [writer.table(GATE_COLUMNS, rows.map(composeGateRow)), writer.list(rows.map(composeGateWords))].join(
    '\n\n',
  );
}

/** Metrics with their baseline where any has one, and with their course where any has one. */
function writeMetrics(metrics: readonly ReportMetric[], report: Report, writer: MarkdownWriter): string {
  if (metrics.length === 0) return '';
  const hasBaseline = report.baseline.kind === 'found';
  // What is not finished is not compared: it would look worse than it is.
  const isFinal = report.phase === 'completed';
  // Before it runs there is nothing of its own to show.
  const hasOwn = report.phase !== 'queued' && report.phase !== 'draft';
  if (!hasOwn && !hasBaseline) return '';
  const hasCourse = metrics.some(({ sparkline }) => sparkline !== '');
  const table = writer.table(
    [
      { title: words('Metric') },
      ...(hasOwn
        ? [
            {
              title: words(isFinal ? (hasBaseline ? 'This pull request' : 'Value') : 'So far'),
              align: 'right' as const,
            },
          ]
        : []),
      ...(hasBaseline ? [{ title: nameBaseline(report.baseline), align: 'right' as const }] : []),
      ...(hasBaseline && isFinal ? [{ title: words('Change') }] : []),
      ...(hasCourse ? [{ title: words('Course') }] : []),
    ],
    metrics.map((metric) => [
      nameMetric(metric),
      ...(hasOwn ? [composeValue(metric)] : []),
      ...(hasBaseline ? [composeBaseline(metric)] : []),
      ...(hasBaseline && isFinal ? [composeChange(metric)] : []),
      ...(hasCourse ? [metric.sparkline === '' ? [] : phrase`${metric.sparkline}`] : []),
    ]),
  );
  return table;
}

function nameMetric({ metric, pick }: ReportMetric): Phrase {
  return pick === 'last' ? phrase`${metric}` : phrase`${metric} (${words(pick)})`;
}

const FRONT_COLOR = '#0969DA';
const BACK_COLOR = '#9A6700';

function writeCurve(
  { metric, task, baseline }: ReportCurve,
  report: Report,
  writer: MarkdownWriter,
  downsample: Downsample,
): string {
  const lines = [
    ...(baseline === null ? [] : [{ curve: baseline, color: BACK_COLOR }]),
    { curve: task, color: FRONT_COLOR },
  ];
  const chart = drawChart(lines, 'iteration', downsample);
  if (chart === undefined) return '';
  const isBaselineDrawn = baseline !== null && !chart.omitted.includes(0);
  const ownEnd = task.x.at(-1) ?? chart.to;
  const caption = joinPhrases(
    [
      phrase`${{ strong: phrase`${metric}` }}`,
      // GitHub draws a dot of the colour beside it.
      phrase`${FRONT_COLOR} this pull request`,
      isBaselineDrawn ? phrase`${BACK_COLOR} ${nameBaseline(report.baseline)}` : [],
      chart.exponent === 0 ? [] : words(`values × 1e${chart.exponent}`),
      chart.to < ownEnd
        ? words(`to iteration ${formatNumber(chart.to)} of ${formatNumber(ownEnd)}, where the baseline ends`)
        : [],
      baseline !== null && !isBaselineDrawn ? words('the baseline is too short to be drawn') : [],
    ],
    ' \u00b7 ',
  );
  return `${writer.line(caption)}\n\n${writer.code('mermaid', chart.mermaid)}`;
}

function writeParams(report: Pick<Report, 'params' | 'baseline'>, writer: MarkdownWriter): string {
  if (report.params.length === 0) return '';
  return writer.table(
    [
      { title: words('Param') },
      { title: words('This pull request') },
      { title: nameBaseline(report.baseline) },
    ],
    report.params.map(({ param, value, baseline }) => [
      phrase`${param.replace(/^Args\//, '')}`,
      value === null ? words('not set') : phrase`${value}`,
      baseline === null ? words('not set') : phrase`${baseline}`,
    ]),
  );
}

function writeEnvironment(report: Report, writer: MarkdownWriter): string {
  if (report.environment.length === 0) return '';
  return writer.table(
    [
      { title: words('Conditions') },
      { title: words('This pull request') },
      { title: nameBaseline(report.baseline) },
    ],
    report.environment.map(({ aspect, value, baseline }) => [
      words(aspect),
      phrase`${value}`,
      phrase`${baseline}`,
    ]),
  );
}

function writePlot(plot: Plot, writer: MarkdownWriter): string {
  const axes =
    plot.columnAxis !== null && plot.rowAxis !== null
      ? phrase`, rows: ${plot.rowAxis}, columns: ${plot.columnAxis}`
      : [];
  const title = writer.line(phrase`${{ strong: phrase`${plot.name}` }}${axes}`);
  const isMatrix = plot.kind === 'matrix';
  // Numbers need no quotes: it is us who wrote them.
  const cell = (text: string): Phrase =>
    text === '' ? [] : /^-?\d+(?:\.\d+)?$/.test(text) ? words(text) : phrase`${text}`;
  const table = writer.table(
    [
      ...(isMatrix ? [{ title: [], align: 'right' as const }] : []),
      ...plot.columns.map((column) => ({ title: cell(column), align: 'right' as const })),
    ],
    plot.rows.map((row, index) => [
      ...(isMatrix ? [[{ strong: cell(plot.rowLabels[index] ?? '') }]] : []),
      ...row.map((text, column) =>
        isMatrix && plot.columns[column] === plot.rowLabels[index] ? [{ strong: cell(text) }] : cell(text),
      ),
    ]),
  );
  return `${title}\n\n${table}`;
}

/** A table of the tasks: where and how they ran, and what they left behind. */
function writeDetails(report: Report, writer: MarkdownWriter): string {
  const rows = report.tasks.flatMap((task, index) =>
    describeRun(task, report.tasks.length > 1 ? index + 1 : undefined),
  );
  return rows.length === 0 ? '' : writer.table([{ title: words('Run') }, { title: [] }], rows);
}

const MAX_LISTED = 10;

function describeRun(task: ReportTask, number: number | undefined): Phrase[][] {
  const { machine } = task;
  const label = (text: string) => words(number === undefined ? text : `${text} (task ${number})`);
  const rows: Phrase[][] = [
    [label('Task'), phrase`${{ link: task.url, text: phrase`${task.id}` }}${describeSeed(task.seed)}`],
  ];
  const add = (text: string, value: Phrase) => {
    if (value.length > 0) rows.push([label(text), value]);
  };
  const time = (ms: number | null) =>
    ms === null
      ? []
      : words(
          new Date(ms)
            .toISOString()
            .replace('T', ' ')
            .replace(/\.\d+Z$/, ' UTC'),
        );
  add('Started', time(task.startedAtMs));
  add('Ended', time(task.endedAtMs));
  if (task.durationSeconds !== null) add('Duration', words(formatDuration(task.durationSeconds * 1000)));
  if (task.iteration > 0) add('Iterations', words(String(task.iteration)));
  add('Worker', task.worker === null ? [] : phrase`${task.worker}`);
  add(
    'Machine',
    joinPhrases(
      [
        machine.host === null ? [] : phrase`${machine.host}`,
        machine.hardware === null ? [] : phrase`${machine.hardware}`,
        machine.cpuPercent === null ? [] : words(`CPU ${formatNumber(machine.cpuPercent, 2)}% used`),
        machine.memoryGb === null ? [] : words(`${formatNumber(machine.memoryGb, 2)} GB memory`),
        machine.python === null ? [] : phrase`Python ${machine.python}`,
      ],
      ', ',
    ),
  );
  if (machine.gpu !== null && machine.gpu !== 'none') {
    add(
      'GPU',
      joinPhrases(
        [
          phrase`${machine.gpu}`,
          machine.gpuPercent === null ? [] : words(`${formatNumber(machine.gpuPercent, 2)}% used`),
          machine.gpuMemoryGb === null ? [] : words(`${formatNumber(machine.gpuMemoryGb, 2)} GB memory`),
        ],
        ', ',
      ),
    );
  }
  add(
    'Models',
    listSome(
      task.outputModels.map(({ name, url }) =>
        url === null ? phrase`${name}` : phrase`${{ link: url, text: phrase`${name}` }}`,
      ),
    ),
  );
  add(
    'Artifacts',
    listSome(
      task.artifacts.map(
        ({ name, sizeBytes }) =>
          phrase`${{ link: task.artifactsUrl, text: phrase`${name}` }}${words(sizeBytes === undefined ? '' : ` (${formatBytes(sizeBytes)})`)}`,
      ),
    ),
  );
  return rows;
}

function listSome(items: readonly Phrase[]): Phrase {
  const rest = items.length > MAX_LISTED ? [words(`${items.length - MAX_LISTED} more`)] : [];
  return joinPhrases([...items.slice(0, MAX_LISTED), ...rest], ', ');
}
