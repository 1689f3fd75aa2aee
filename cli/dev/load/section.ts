import { formatTable, locatePicture } from '../measurement/readme-part.ts';
import { formatNumber } from '../measurement/statistics.ts';
import { format, formatBytes } from './loads.ts';
import type { LoadFigures, MeasuredLoad, TurnFigures } from './measurement.ts';

/** All that was measured, and with what. */
export interface LoadResults {
  readonly loads: readonly MeasuredLoad[];
  readonly repeats: number;
  /** Machine and versions, one phrase. */
  readonly conditions: string;
}

/** Those that were measured in several sizes. */
export function listCurves(loads: readonly MeasuredLoad[]): MeasuredLoad[] {
  return loads.filter(({ figures }) => figures.length > 1);
}

/** The part of `cli/README.md` between its marks: each load at its largest, and how the cost grows up to there. */
export function formatLoadSection({ loads, repeats, conditions }: LoadResults): string {
  return [
    `Medians of ${repeats} runs of a release's programs against the sandbox on the same machine: ${conditions}. Seconds run from the start to the end, with the sandbox's own work and the pauses between two looks. Processor seconds are the program's own, with all its threads. \`npm run load\` repeats it, and fails if a program does not do what the last column says with exit code 0.`,
    '',
    ...formatTable(
      [
        ['', 'seconds', 'processor seconds', 'peak memory', 'requests', 'result'],
        ...loads.flatMap(formatRow),
      ],
      (column) => column > 0 && column < 5,
    ),
    '',
    'How it grows:',
    '',
    ...listCurves(loads).flatMap(describeGrowth),
    '',
    `![Seconds of the processor and memory of a wait by its tasks and by the lines of the log, of a report by its metrics and by the points of a curve](${locatePicture('load.svg')})`,
  ].join('\n');
}

/** One line for whoever waits for the measurement; with the shares of what was measured beside it. */
export function describeFigures(unit: string, { size, outcome, before, ...figures }: LoadFigures): string {
  const tell = ({ seconds, processorSeconds, peakMib, requests }: Omit<TurnFigures, 'outcome'>) =>
    `${seconds.toFixed(2)} s, processor ${processorSeconds.toFixed(2)} s, ${peakMib.toFixed(0)} MiB, ${requests} requests`;
  const own = `${size} ${unit}: ${tell(figures)}`;
  if (before === undefined) return `${own}; ${outcome}`;
  const share = (pick: (of: TurnFigures) => number) =>
    (pick({ ...figures, outcome }) / pick(before)).toFixed(2);
  const shares = [
    share(({ seconds }) => seconds),
    share(({ processorSeconds }) => processorSeconds),
    share(({ peakMib }) => peakMib),
    share(({ requests }) => requests),
  ];
  return `${own}; against ${tell(before)}: ${shares.join(', ')} of it`;
}

function formatRow({ load, figures }: MeasuredLoad): string[][] {
  const last = figures.at(-1);
  if (last === undefined) return [];
  const { size, bytes, seconds, processorSeconds, peakMib, requests, outcome } = last;
  return [
    [
      load.describe(format(size), bytes === undefined ? '' : formatBytes(bytes)),
      formatNumber(seconds),
      formatNumber(processorSeconds),
      `${formatNumber(peakMib)} MiB`,
      format(requests),
      outcome,
    ],
  ];
}

function describeGrowth({ load: { unit }, figures }: MeasuredLoad): string[] {
  const [before, last] = figures.slice(-2);
  if (before === undefined || last === undefined) return [];
  const times = (pick: (of: LoadFigures) => number) => formatNumber(pick(last) / pick(before));
  return [
    `- ${formatNumber(last.size / before.size)} times as many ${unit}, ${format(last.size)} of them, take ${times(({ processorSeconds }) => processorSeconds)} times the work and ${times(({ peakMib }) => peakMib)} times the memory`,
  ];
}
