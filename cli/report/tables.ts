import { formatDuration } from '../text/duration.ts';
import { type Column, writeLine, writeTable } from '../text/markdown.ts';
import { formatBytes, formatNumber } from '../text/number-format.ts';
import { joinPhrases, link, type Phrase, phrase, strong, words } from '../text/phrase.ts';
import type { Plot } from './drawing/plot.ts';
import type { ReportMetric } from './metrics.ts';
import { listRows } from './ranking/families.ts';
import type { Report, ReportTask } from './report.ts';
import { composeBaseline, composeChange, composeFamily, composeValue } from './words/cells.ts';
import { composeSetting, nameBaseline } from './words/lead.ts';

/** Metrics with their baseline and their curve, if any metric has one. */
export function writeMetrics(
  metrics: readonly ReportMetric[],
  { baseline, phase, families }: Pick<Report, 'baseline' | 'phase' | 'families'>,
): string {
  const hasBaseline = baseline.kind === 'found';
  // An unfinished training is not compared: it would look worse than it is.
  const isFinal = phase === 'completed';
  const hasOwn = phase !== 'queued' && phase !== 'draft';
  if (!hasOwn && !hasBaseline) return '';
  const own = isFinal ? (hasBaseline ? 'This pull request' : 'Value') : 'So far';
  const columns: ReadonlyArray<Column & { readonly isShown: boolean; of(metric: ReportMetric): Phrase }> = [
    { title: words('Metric'), isShown: true, of: nameWithPick },
    { title: words(own), align: 'right', isShown: hasOwn, of: composeValue },
    { title: nameBaseline(baseline), align: 'right', isShown: hasBaseline, of: composeBaseline },
    { title: words('Change'), isShown: hasBaseline && isFinal, of: composeChange },
    {
      title: words('Curve'),
      isShown: metrics.some(({ sparkline }) => sparkline !== ''),
      of: ({ sparkline }) => phrase`${sparkline || null}`,
    },
  ];
  const shown = columns.filter(({ isShown }) => isShown);
  return writeTable(
    shown,
    listRows(metrics, families).map(({ metric, family }) =>
      shown.map(({ of }) =>
        of === nameWithPick && family !== undefined ? composeFamily(family, metric) : of(metric),
      ),
    ),
  );
}

function nameWithPick({ metric, pick }: ReportMetric): Phrase {
  return pick === 'last' ? phrase`${metric}` : phrase`${metric} (${words(pick)})`;
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
    ['Started', describeTime(task.startedAtMs)],
    ['Ended', describeTime(task.endedAtMs)],
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

function describeTime(ms: number | null): Phrase {
  if (ms === null) return [];
  const text = new Date(ms).toISOString().replace('T', ' ');
  return words(text.replace(/\.\d+Z$/, ' UTC'));
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
