import type { Side } from './sides.ts';

export interface Bar {
  readonly side: Side;
  /** Seconds of each part, in order. */
  readonly parts: ReadonlyArray<readonly [name: string, seconds: number]>;
}

const COLORS = ['#8b949e', '#2f81f7', '#3fb950', '#d29922'];
const INK = '#7d8590';
const WIDTH = 820;
const LEFT = 12;
const BAR_WIDTH = 700;

/** What each side adds to a training, as bars of the seconds of its parts. */
export function drawChainPicture(bars: readonly Bar[]): string {
  const longest = Math.max(...bars.map(sumParts));
  const rows = bars.map((bar, index) => {
    const top = 40 + index * 62;
    let x = LEFT;
    const pieces = bar.parts.map(([name, seconds], part) => {
      const width = (seconds / longest) * BAR_WIDTH;
      const piece = `<rect x="${x.toFixed(1)}" y="${top}" width="${Math.max(width, 0.5).toFixed(1)}" height="22" fill="${COLORS[part]}"><title>${name} ${seconds.toFixed(2)} s</title></rect>`;
      x += width;
      return piece;
    });
    return [
      `<text x="${LEFT}" y="${top - 8}">${bar.side.title.replaceAll('`', '')}</text>`,
      ...pieces,
      `<text x="${(x + 8).toFixed(1)}" y="${top + 16}" font-weight="600">${sumParts(bar).toFixed(1)} s</text>`,
    ].join('\n');
  });
  const bottom = 40 + bars.length * 62;
  const legend = (bars[0]?.parts ?? []).map(
    ([name], part) =>
      `<rect x="${LEFT + part * 110}" y="${bottom - 8}" width="12" height="12" fill="${COLORS[part]}"/><text x="${LEFT + 18 + part * 110}" y="${bottom + 2}">${name}</text>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${bottom + 16}" width="${WIDTH}" height="${bottom + 16}" font-family="system-ui, sans-serif" font-size="12" fill="${INK}" role="img" aria-label="Seconds that each way adds to a training">
${rows.join('\n')}
${legend.join('\n')}
</svg>
`;
}

export function sumParts({ parts }: Pick<Bar, 'parts'>): number {
  return parts.reduce((sum, [, seconds]) => sum + seconds, 0);
}

export interface Curve {
  readonly title: string;
  readonly points: ReadonlyArray<{
    readonly size: number;
    readonly seconds: number;
    readonly peakMib: number;
  }>;
}

const PANEL = { width: 170, height: 130, gap: 35, top: 44 };

/** Cost curves, both axes logarithmic: seconds (solid) and MiB at the peak (dashed). */
export function drawScalePicture(curves: readonly Curve[]): string {
  const height = PANEL.top + PANEL.height + 56;
  const panels = curves.map(({ title, points }, index) => {
    const left = 30 + index * (PANEL.width + PANEL.gap);
    const bottom = PANEL.top + PANEL.height;
    const sizes = points.map(({ size }) => size);
    const [first, last] = [Math.min(...sizes), Math.max(...sizes)];
    const x = (size: number) => left + (Math.log(size / first) / Math.log(last / first)) * PANEL.width;
    // From 0.1 to 1000 on one axis: seconds and MiB both lie in it.
    const y = (value: number) => bottom - (Math.log10(Math.max(value, 0.1) / 0.1) / 4) * PANEL.height;
    const line = (pick: (point: Curve['points'][number]) => number, color: string, dash: string) =>
      `<polyline fill="none" stroke="${color}" stroke-width="2"${dash} points="${points.map((point) => `${x(point.size).toFixed(1)},${y(pick(point)).toFixed(1)}`).join(' ')}"/>`;
    const ticks = [0.1, 1, 10, 100, 1000].map(
      (value) =>
        `<line x1="${left}" x2="${left + PANEL.width}" y1="${y(value)}" y2="${y(value)}" stroke="${INK}" stroke-opacity="0.25"/><text x="${left - 4}" y="${y(value) + 4}" text-anchor="end" font-size="10">${value}</text>`,
    );
    const labels = points.map(
      ({ size }) =>
        `<text x="${x(size).toFixed(1)}" y="${bottom + 16}" text-anchor="middle" font-size="10">${size >= 1e6 ? `${size / 1e6}M` : size >= 1000 ? `${size / 1000}k` : size}</text>`,
    );
    return [
      `<text x="${left}" y="${PANEL.top - 16}" font-weight="600" font-size="11">${title}</text>`,
      ...ticks,
      ...labels,
      line(({ seconds }) => seconds, '#2f81f7', ''),
      line(({ peakMib }) => peakMib, '#d29922', ' stroke-dasharray="4 4"'),
    ].join('\n');
  });
  const width = 30 + curves.length * (PANEL.width + PANEL.gap);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="system-ui, sans-serif" font-size="12" fill="${INK}" role="img" aria-label="What a report and a wait cost as they grow">
${panels.join('\n')}
<text x="30" y="${height - 8}" fill="#2f81f7">seconds</text>
<text x="100" y="${height - 8}" fill="#d29922">MiB at the peak (dashed)</text>
</svg>
`;
}
