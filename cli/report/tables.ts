import { isChance } from '../gate/comparison.ts';
import { formatDuration, formatTime } from '../text/duration.ts';
import { type Column, writeLine, writeTable } from '../text/markdown.ts';
import { formatBytes, formatNumber } from '../text/number-format.ts';
import { joinPhrases, link, type Phrase, phrase, strong, words } from '../text/phrase.ts';
import type { Plot } from './drawing/plot.ts';
import { composeNoise, composeVerdict, type GateRow, listGateRows, NOTHING, nameRow } from './gate-table.ts';
import { judgeEffect, type ReportMetric } from './metrics.ts';
import { listRows, type MetricRow } from './ranking/families.ts';
import type { Report, ReportTask } from './report.ts';
import { composeBaseline, composeChange, composeFamily, composeValue } from './words/cells.ts';
import { composeSetting, nameBaseline } from './words/lead.ts';

/** A row of metrics; `judged` where the gate compared it, with that baseline. */
interface TableRow extends MetricRow {
  readonly judged?: GateRow;
}

/** The rows that a report leads with: what was judged, worst first, then the others that lead. */
export function listLeadingRows(
  report: Report,
  room: { readonly leading: number; readonly gateRows: number },
): TableRow[] {
  const byName = new Map(report.metrics.map((metric) => [metric.metric, metric]));
  const judged = listGateRows(report)
    .slice(0, room.gateRows)
    .flatMap((row) => {
      const metric = byName.get(row.metric.metric);
      return metric === undefined ? [] : [{ metric: showComparison(metric, row), judged: row }];
    });
  const isJudged = new Set(judged.map(({ metric }) => metric.metric));
  const others = listRows(report.metrics.slice(0, report.leadingMetrics), report.families)
    .slice(0, room.leading)
    .filter(({ metric }) => !isJudged.has(metric.metric));
  return [...judged, ...others];
}

/** The numbers of one comparison: a metric has those of the first baseline. One row has one \u00b1, that of the noise. */
function showComparison(metric: ReportMetric, { metric: judgement, comparison }: GateRow): ReportMetric {
  if (comparison === undefined) return metric;
  const isFirst = comparison === judgement.comparisons[0];
  const spreads = comparison.interval === null ? {} : { spread: null, baselineSpread: null };
  if (isFirst) return { ...metric, ...spreads };
  const { base, change } = comparison;
  return {
    ...metric,
    ...spreads,
    baseline: base,
    change,
    effect: judgeEffect(change, judgement.goal, isChance(comparison) === true),
    baselineValues: [],
    baselineDoubts: [],
    baselineSpread: null,
    sparkline: '',
  };
}

/** Metrics in one table: value, base, change, noise, verdict and curve, as far as they say something. */
export function writeMetrics(rows: readonly TableRow[], { baseline, phase }: Report): string {
  // An unfinished training is not compared: it would look worse than it is.
  const isFinal = phase === 'completed';
  const hasOwn = phase !== 'queued' && phase !== 'draft';
  const hasBaseline = baseline.kind === 'found' || rows.some(({ metric }) => metric.baseline !== null);
  if (!hasOwn && !hasBaseline) return '';
  const own = isFinal ? (hasBaseline ? 'This pull request' : 'Value') : 'So far';
  const compared = rows.flatMap(({ judged }) => judged?.comparison ?? []);
  const hasFurther = new Set(compared.map((comparison) => comparison.baseline)).size > 1;
  const judge = (compose: (row: GateRow) => Phrase) => (row: TableRow) =>
    row.judged === undefined ? NOTHING : compose(row.judged);
  const columns: ReadonlyArray<Column & { readonly isShown: boolean; of(row: TableRow): Phrase }> = [
    { title: words('Metric'), isShown: true, of: nameWithPick },
    {
      title: words('Verdict'),
      isShown: compared.some(({ verdict }) => verdict !== 'none') || rows.some(isUndecided),
      of: judge(composeVerdict),
    },
    { title: words(own), align: 'right', isShown: hasOwn, of: ({ metric }) => composeValue(metric) },
    {
      title: hasFurther ? words('Base') : nameBaseline(baseline),
      align: 'right',
      isShown: hasBaseline,
      of: ({ metric }) => composeBaseline(metric),
    },
    { title: words('Change'), isShown: hasBaseline && isFinal, of: ({ metric }) => composeChange(metric) },
    {
      title: words('Noise'),
      align: 'right',
      isShown: compared.some(({ base }) => base !== null),
      of: judge(composeNoise),
    },
    {
      title: words('Curve'),
      isShown: rows.some(({ metric }) => metric.sparkline !== ''),
      of: ({ metric }) => phrase`${metric.sparkline || null}`,
    },
  ];
  const shown = columns.filter(({ isShown }) => isShown);
  return writeTable(
    shown,
    rows.map((row) => shown.map(({ of }) => of(row))),
  );
}

function isUndecided({ judged }: TableRow): boolean {
  return judged !== undefined && judged.metric.reasons.length > 0;
}

function nameWithPick({ metric: shown, judged, family }: TableRow): Phrase {
  if (family !== undefined) return composeFamily(family, shown);
  const { metric, pick } = shown;
  const name = judged === undefined ? phrase`${metric}` : nameRow(judged);
  return pick === 'last' ? name : phrase`${name} (${words(pick)})`;
}

/** The first `count` params that differ from the baseline's. */
export function writeParams({ params, baseline: base }: Report, count: number): string {
  return writeTable(
    nameSides('Param', base),
    params
      .slice(0, count)
      .map(({ param, value, baseline }) => [
        phrase`${param.replace(/^Args\//, '')}`,
        composeSetting(value),
        composeSetting(baseline),
      ]),
  );
}

/** Other conditions that differ from the baseline's. */
export function writeEnvironment({ environment, baseline: base }: Report): string {
  return writeTable(
    nameSides('Conditions', base),
    environment.map(({ aspect, value, baseline }) => [words(aspect), phrase`${value}`, phrase`${baseline}`]),
  );
}

function nameSides(what: string, baseline: Report['baseline']): Column[] {
  return [words(what), words('This pull request'), nameBaseline(baseline)].map((title) => ({ title }));
}

/** A table or matrix that the training reported, with its title. */
export function writePlot(plot: Plot): string {
  const { columnAxis, rowAxis, columns, rowLabels } = plot;
  const axes =
    columnAxis !== null && rowAxis !== null ? phrase`, rows: ${rowAxis}, columns: ${columnAxis}` : [];
  const isMatrix = plot.kind === 'matrix';
  // Numbers need no quotes, because formatNumber wrote them.
  const cell = (text: string): Phrase =>
    /^-?\d+(?:\.\d+)?$/.test(text) ? words(text) : phrase`${text || null}`;
  const table = writeTable(
    [...(isMatrix ? [''] : []), ...columns].map((column) => ({ title: cell(column), align: 'right' })),
    plot.rows.map((row, index) => [
      ...(isMatrix ? [strong(cell(rowLabels[index] ?? ''))] : []),
      ...row.map((text, column) =>
        isMatrix && columns[column] === rowLabels[index] ? strong(cell(text)) : cell(text),
      ),
    ]),
  );
  return `${writeLine(phrase`${strong(phrase`${plot.name}`)}${axes}`)}\n\n${table}`;
}

/** A table of the tasks: where and how they ran, and their models and artifacts. */
export function writeDetails({ tasks }: Report): string {
  const rows = tasks.flatMap((task, index) => {
    const suffix = tasks.length > 1 ? ` (task ${index + 1})` : '';
    return describeRun(task)
      .filter(([, value]) => value.length > 0)
      .map(([label, value]) => [words(`${label}${suffix}`), value]);
  });
  return writeTable([{ title: words('Run') }, { title: [] }], rows);
}

function describeRun(task: ReportTask): ReadonlyArray<readonly [label: string, value: Phrase]> {
  const { durationSeconds, machine } = task;
  const seed = task.seed === null ? [] : phrase` (seed ${task.seed})`;
  return [
    ['Task', phrase`${link(task.url, phrase`${task.id}`)}${seed}`],
    ['Started', task.startedAtMs === null ? [] : words(formatTime(task.startedAtMs))],
    ['Ended', task.endedAtMs === null ? [] : words(formatTime(task.endedAtMs))],
    ['Duration', durationSeconds === null ? [] : words(formatDuration(durationSeconds * 1000))],
    ['Iterations', task.iteration > 0 ? words(String(task.iteration)) : []],
    ['Worker', phrase`${task.worker}`],
    [
      'Machine',
      joinPhrases(
        [
          phrase`${machine.host}`,
          phrase`${machine.hardware}`,
          describeUse('CPU ', machine.cpuPercent, '% used'),
          describeUse('', machine.memoryGb, ' GiB memory'),
          machine.python === null ? [] : phrase`Python ${machine.python}`,
        ],
        ', ',
      ),
    ],
    ['GPU', describeGpuUse(machine)],
    ['Models', listSome(task.outputModels.map(({ name, url }) => link(url, phrase`${name}`)))],
    [
      'Artifacts',
      listSome(
        task.artifacts.map(({ name, sizeBytes }) => {
          const size = sizeBytes === undefined ? '' : ` (${formatBytes(sizeBytes)})`;
          return phrase`${link(task.artifactsUrl, phrase`${name}`)}${words(size)}`;
        }),
      ),
    ],
  ];
}

function describeGpuUse({ gpu, gpuPercent, gpuMemoryGb }: ReportTask['machine']): Phrase {
  if (gpu === null || gpu === 'none') return [];
  return joinPhrases(
    [phrase`${gpu}`, describeUse('', gpuPercent, '% used'), describeUse('', gpuMemoryGb, ' GiB memory')],
    ', ',
  );
}

function describeUse(before: string, value: number | null, after: string): Phrase {
  return value === null ? [] : words(`${before}${formatNumber(value, 2)}${after}`);
}

const MAX_LISTED = 10;

function listSome(items: readonly Phrase[]): Phrase {
  const rest = items.length > MAX_LISTED ? [words(`${items.length - MAX_LISTED} more`)] : [];
  return joinPhrases([...items.slice(0, MAX_LISTED), ...rest], ', ');
}
