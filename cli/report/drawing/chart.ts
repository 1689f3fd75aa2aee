import type { Curve } from './curve.ts';
import { resampleCurve } from './resample.ts';

/** A curve of a chart; the last one is in front. */
export interface ChartLine {
  readonly curve: Curve;
  /** For the chart's legend; one that a legend can't hold is replaced. */
  readonly name: string;
  /** `#rrggbb` */
  readonly color: string;
}

export interface Chart {
  /** Text of a `mermaid` block. It contains only numbers, our own words and plain names. */
  readonly mermaid: string;
  /** Values are drawn multiplied by this power of ten: mermaid reads no exponents. */
  readonly exponent: number;
  /** Iterations of the axis. */
  readonly from: number;
  readonly to: number;
  /** Indices of the curves that are too short beside the others to be drawn. */
  readonly omitted: readonly number[];
}

const POINTS = 60;
const WIDTH = 760;
const HEIGHT = 260;
/** A curve shorter than this share of the longest one would cut off too much of the others. */
const SHORTEST_SHARE = 0.5;

/**
 * Draws curves as a mermaid `xychart-beta`. Such a chart spreads each line over the whole axis without gaps. So the axis
 * ends where the shortest line ends, and a line that is much too short is left out.
 *
 * Mermaid (11.3 to 12.3) refuses `NaN`, infinities, exponents, an empty list, and quotes in a title.
 *
 * @returns undefined if the line in front has fewer than two points
 */
export function drawChart(lines: readonly ChartLine[]): Chart | undefined {
  const ends = lines.map(({ curve }) => [curve.x[0] ?? 0, curve.x.at(-1) ?? 0] as const);
  const isDrawable = (index: number) => (lines[index]?.curve.x.length ?? 0) >= 2 && spanOf(ends[index]) > 0;
  const front = lines.length - 1;
  if (!isDrawable(front)) return undefined;
  const longest = Math.max(...ends.map(spanOf));
  // The line in front is always drawn; if it is short, the others are cut to it.
  const least = Math.min(longest, spanOf(ends[front])) * SHORTEST_SHARE;
  const isDrawn = lines.map(
    (_, index) => index === front || (isDrawable(index) && spanOf(ends[index]) >= least),
  );
  const from = Math.max(...ends.filter((_, index) => isDrawn[index]).map(([start]) => start));
  const to = Math.min(...ends.filter((_, index) => isDrawn[index]).map(([, end]) => end));
  if (!(to > from)) {
    // They have no iterations in common.
    const alone = drawChart(lines.slice(front));
    return alone && { ...alone, omitted: [...lines.keys()].slice(0, front) };
  }
  const drawn = lines.filter((_, index) => isDrawn[index]);
  const longestLine = Math.max(...drawn.map(({ curve }) => countWithin(curve, from, to)));
  const count = Math.max(2, Math.min(POINTS, longestLine));
  const series = drawn.map(({ curve }) => resampleCurve(curve, { from, to }, count));
  const exponent = chooseExponent(series.flat());
  const scaled = series.map((values) => values.map((value) => scale(value, exponent)));
  return {
    mermaid: writeMermaid(drawn, scaled, { from, to }),
    exponent,
    from,
    to,
    omitted: [...lines.keys()].filter((index) => !isDrawn[index]),
  };
}

function writeMermaid(
  lines: readonly ChartLine[],
  series: ReadonlyArray<readonly number[]>,
  { from, to }: { readonly from: number; readonly to: number },
): string {
  const { low, high } = chooseRange(series.flat());
  const colors = lines.map(({ color }) => color);
  return [
    '---',
    'config:',
    '  xyChart:',
    `    width: ${WIDTH}`,
    `    height: ${HEIGHT}`,
    '    legendFontSize: 12',
    '    xAxis: { labelFontSize: 12, titleFontSize: 12 }',
    '    yAxis: { labelFontSize: 12 }',
    '  themeVariables:',
    '    xyChart:',
    `      plotColorPalette: "${colors.join(', ')}"`,
    '---',
    'xychart-beta',
    `  x-axis "iteration" ${formatPlain(from)} --> ${formatPlain(to)}`,
    `  y-axis ${formatPlain(low)} --> ${formatPlain(high)}`,
    ...series.map(
      (values, index) =>
        `  line "${nameInLegend(lines[index]?.name ?? '')}" [${values.map(formatPlain).join(', ')}]`,
    ),
  ].join('\n');
}

/** Mermaid draws no legend at all if a name is longer than the chart has room for. */
const LEGEND_LENGTH = 24;

/** A branch may have any name: in a chart it is shown only if it holds nothing that mermaid, or a reader, could mistake. */
function nameInLegend(name: string): string {
  if (!/^[\p{L}\p{N} ._/-]+$/u.test(name)) return 'baseline';
  const characters = [...name];
  return characters.length <= LEGEND_LENGTH
    ? name
    : `${characters.slice(0, LEGEND_LENGTH - 1).join('')}\u2026`;
}

function spanOf(ends: readonly [number, number] | undefined): number {
  return ends === undefined ? 0 : ends[1] - ends[0];
}

function countWithin({ x }: Curve, from: number, to: number): number {
  return x.filter((at) => at >= from && at <= to).length;
}

/** The power of ten that makes the values readable without exponents. */
function chooseExponent(values: readonly number[]): number {
  const size = Math.max(...values.map(Math.abs));
  if (size === 0 || (size >= 0.01 && size < 1e6)) return 0;
  return -3 * Math.floor(Math.floor(Math.log10(size)) / 3);
}

function scale(value: number, exponent: number): number {
  // In two steps, because 10 to a large power overflows.
  const half = Math.trunc(exponent / 2);
  return value * 10 ** half * 10 ** (exponent - half);
}

/** The values' range with a margin; a constant is in the middle. */
function chooseRange(values: readonly number[]): { readonly low: number; readonly high: number } {
  const low = Math.min(...values);
  const high = Math.max(...values);
  const margin = high > low ? (high - low) * 0.05 : Math.max(Math.abs(high) * 0.1, 0.1);
  // A range narrower than the written digits would be empty.
  const least = Math.max(Math.abs(low), Math.abs(high)) * 1e-8;
  const padding = Math.max(margin, least);
  // Values that are never negative need no room below zero.
  const isNatural = low >= 0 && low - padding < 0 && high > low;
  return { low: isNatural ? 0 : low - padding, high: high + padding };
}

/** Ten significant digits without an exponent. */
function formatPlain(value: number): string {
  if (value === 0) return '0';
  const digits = 9 - Math.floor(Math.log10(Math.abs(value)));
  const text = Number(value.toPrecision(10)).toFixed(Math.min(20, Math.max(0, digits)));
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
}
