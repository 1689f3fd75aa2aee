import { formatNumber } from '../measurement/statistics.ts';
import { COLORS, drawSvg, INK } from '../measurement/svg.ts';
import type { LoadFigures, MeasuredLoad } from './measurement.ts';

const SECONDS_COLOR = COLORS.blue;
const MEMORY_COLOR = COLORS.orange;

const PANEL = { width: 165, height: 120, pitch: 200, left: 44 };
const SECONDS = { top: 44, ticks: [0.1, 1, 10] } as const;
const MEMORY = { top: 240, ticks: [50, 100, 200, 400] } as const;

/**
 * Cost curves of the loads, all axes logarithmic: seconds of the processor above, MiB at the peak below; a dashed line
 * shows linear growth to the same end.
 */
export function drawGrowthPicture(curves: readonly MeasuredLoad[]): string {
  const panels = curves.flatMap(({ load: { title, unit }, figures: points }, index) => {
    const left = PANEL.left + index * PANEL.pitch;
    const sizes = points.map(({ size }) => size);
    const [first, last] = [Math.min(...sizes), Math.max(...sizes)];
    const x = (size: number) => left + (Math.log(size / first) / Math.log(last / first)) * PANEL.width;
    const panel = (
      { top, ticks }: typeof SECONDS | typeof MEMORY,
      pick: (point: LoadFigures) => number,
      color: string,
    ) => {
      const bottom = top + PANEL.height;
      const [low, high] = [ticks[0], ticks[ticks.length - 1] ?? Number.NaN];
      const y = (value: number) => bottom - (Math.log(value / low) / Math.log(high / low)) * PANEL.height;
      const end = points.find(({ size }) => size === last);
      // Where a line of slope one leaves the panel: at its foot, or at its left.
      const from = end === undefined ? last : Math.max(first, (last * low) / pick(end));
      const linear =
        end === undefined
          ? []
          : [
              `<line x1="${x(from).toFixed(1)}" y1="${y((pick(end) * from) / last).toFixed(1)}" x2="${x(last).toFixed(1)}" y2="${y(pick(end)).toFixed(1)}" stroke="${INK}" stroke-dasharray="3 4"/>`,
            ];
      return [
        ...linear,
        ...ticks.map(
          (value) =>
            `<line x1="${left}" x2="${left + PANEL.width}" y1="${y(value).toFixed(1)}" y2="${y(value).toFixed(1)}" stroke="${INK}" stroke-opacity="0.25"/><text x="${left - 6}" y="${(y(value) + 4).toFixed(1)}" text-anchor="end" font-size="10">${value}</text>`,
        ),
        `<polyline fill="none" stroke="${color}" stroke-width="2" points="${points.map((point) => `${x(point.size).toFixed(1)},${y(pick(point)).toFixed(1)}`).join(' ')}"/>`,
        ...points.map(
          (point) =>
            `<circle cx="${x(point.size).toFixed(1)}" cy="${y(pick(point)).toFixed(1)}" r="3" fill="${color}"><title>${formatSize(point.size)} ${unit}: ${formatNumber(pick(point))}</title></circle>`,
        ),
        ...points.map(
          ({ size }) =>
            `<text x="${x(size).toFixed(1)}" y="${bottom + 16}" text-anchor="middle" font-size="10">${formatSize(size)}</text>`,
        ),
        ...(end === undefined
          ? []
          : [
              `<text x="${x(last).toFixed(1)}" y="${(y(pick(end)) - 8).toFixed(1)}" text-anchor="end" font-weight="600">${formatNumber(pick(end))}</text>`,
            ]),
        `<text x="${left + PANEL.width / 2}" y="${bottom + 32}" text-anchor="middle">${unit}</text>`,
      ];
    };
    return [
      `<text x="${left}" y="${SECONDS.top - 18}" font-weight="600">${title}</text>`,
      ...panel(SECONDS, ({ processorSeconds }) => processorSeconds, SECONDS_COLOR),
      ...panel(MEMORY, ({ peakMib }) => peakMib, MEMORY_COLOR),
    ];
  });
  const width = PANEL.left + (curves.length - 1) * PANEL.pitch + PANEL.width + 16;
  const height = MEMORY.top + PANEL.height + 64;
  return drawSvg(width, height, 'What a report and a wait cost as they grow', [
    ...panels,
    `<text transform="translate(12 ${SECONDS.top + PANEL.height / 2}) rotate(-90)" text-anchor="middle" fill="${SECONDS_COLOR}">seconds of the processor</text>`,
    `<text transform="translate(12 ${MEMORY.top + PANEL.height / 2}) rotate(-90)" text-anchor="middle" fill="${MEMORY_COLOR}">MiB at the peak</text>`,
    `<text x="${PANEL.left}" y="${height - 8}">dashed: linear growth to the same end</text>`,
  ]);
}

function formatSize(size: number): string {
  if (size >= 1e6) return `${size / 1e6}M`;
  return size >= 1000 ? `${size / 1000}k` : String(size);
}
