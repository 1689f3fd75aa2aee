import { listParts, type Results, sumParts } from './section.ts';
import { formatNumber, formatRatio } from './statistics.ts';

// Colours that can be read on GitHub's white and on its black.
const COLORS = ['#8b949e', '#2f81f7', '#3fb950', '#d1862b'] as const;
const [, SECONDS_COLOR, , MEMORY_COLOR] = COLORS;
const INK = '#7d8590';
const WIDTH = 820;
const LEFT = 12;
const BAR_WIDTH = 640;

/** What each side adds to a training, as bars of the seconds of its parts. */
export function drawChainPicture(sides: Results['sides']): string {
  const bars = sides.map(([{ title }, figures]) => {
    const parts = listParts(figures);
    return { title, parts, total: sumParts(parts) };
  });
  const longest = Math.max(...bars.map(({ total }) => total));
  const rows = bars.map(({ title, parts, total }, index) => {
    const top = 40 + index * 62;
    let x = LEFT;
    const pieces = parts.map(([name, seconds], part) => {
      const width = (seconds / longest) * BAR_WIDTH;
      const piece = `<rect x="${x.toFixed(1)}" y="${top}" width="${width.toFixed(1)}" height="22" fill="${COLORS[part]}"><title>${name} ${seconds.toFixed(2)} s</title></rect>`;
      x += width;
      return piece;
    });
    const ratio = index === 0 ? '' : ` (${formatRatio(total, bars[0]?.total ?? Number.NaN)})`;
    return [
      `<text x="${LEFT}" y="${top - 8}">${title.replaceAll('`', '')}</text>`,
      ...pieces,
      `<text x="${(x + 8).toFixed(1)}" y="${top + 16}" font-weight="600">${formatNumber(total)} s${ratio}</text>`,
    ].join('\n');
  });
  const bottom = 40 + bars.length * 62;
  const legend = (bars[0]?.parts ?? []).map(
    ([name], part) =>
      `<rect x="${LEFT + part * 110}" y="${bottom - 10}" width="12" height="12" fill="${COLORS[part]}"/><text x="${LEFT + 18 + part * 110}" y="${bottom}">${name}</text>`,
  );
  return drawSvg(WIDTH, bottom + 16, 'Seconds that each way adds to a training', [...rows, ...legend]);
}

/** How seconds and memory grow with a size. */
export interface Curve {
  /** What is done: `report`, `wait`. */
  readonly title: string;
  /** What the size counts. */
  readonly unit: string;
  readonly points: ReadonlyArray<{
    readonly size: number;
    readonly seconds: number;
    readonly peakMib: number;
  }>;
}

const PANEL = { width: 165, height: 120, pitch: 200, left: 44 };
const SECONDS = { top: 44, ticks: [0.1, 1, 10] } as const;
const MEMORY = { top: 240, ticks: [50, 100, 200, 400] } as const;

/** Cost curves, all axes logarithmic: seconds above, MiB at the peak below; a dashed line shows linear growth to the same end. */
export function drawScalePicture(curves: readonly Curve[]): string {
  const panels = curves.flatMap(({ title, unit, points }, index) => {
    const left = PANEL.left + index * PANEL.pitch;
    const sizes = points.map(({ size }) => size);
    const [first, last] = [Math.min(...sizes), Math.max(...sizes)];
    const x = (size: number) => left + (Math.log(size / first) / Math.log(last / first)) * PANEL.width;
    const panel = (
      { top, ticks }: typeof SECONDS | typeof MEMORY,
      pick: (point: Curve['points'][number]) => number,
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
        `<text x="${left + PANEL.width / 2}" y="${bottom + 32}" text-anchor="middle">${unit}</text>`,
      ];
    };
    return [
      `<text x="${left}" y="${SECONDS.top - 18}" font-weight="600">${title}</text>`,
      ...panel(SECONDS, ({ seconds }) => seconds, SECONDS_COLOR),
      ...panel(MEMORY, ({ peakMib }) => peakMib, MEMORY_COLOR),
    ];
  });
  const width = PANEL.left + (curves.length - 1) * PANEL.pitch + PANEL.width + 16;
  const height = MEMORY.top + PANEL.height + 64;
  return drawSvg(width, height, 'What a report and a wait cost as they grow', [
    ...panels,
    `<text transform="translate(12 ${SECONDS.top + PANEL.height / 2}) rotate(-90)" text-anchor="middle" fill="${SECONDS_COLOR}">seconds</text>`,
    `<text transform="translate(12 ${MEMORY.top + PANEL.height / 2}) rotate(-90)" text-anchor="middle" fill="${MEMORY_COLOR}">MiB at the peak</text>`,
    `<text x="${PANEL.left}" y="${height - 8}">dashed: linear growth to the same end</text>`,
  ]);
}

function formatSize(size: number): string {
  if (size >= 1e6) return `${size / 1e6}M`;
  return size >= 1000 ? `${size / 1000}k` : String(size);
}

function drawSvg(width: number, height: number, label: string, content: readonly string[]): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="system-ui, sans-serif" font-size="12" fill="${INK}" role="img" aria-label="${label}">
${content.join('\n')}
</svg>
`;
}
