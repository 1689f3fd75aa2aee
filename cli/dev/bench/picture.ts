import { formatNumber, formatRatio } from '../measurement/statistics.ts';
import { COLORS, drawSvg } from '../measurement/svg.ts';
import { listParts, type Results, sumParts } from './section.ts';

const PART_COLORS = [COLORS.gray, COLORS.blue, COLORS.green, COLORS.orange] as const;
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
      const piece = `<rect x="${x.toFixed(1)}" y="${top}" width="${width.toFixed(1)}" height="22" fill="${PART_COLORS[part]}"><title>${name} ${seconds.toFixed(2)} s</title></rect>`;
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
      `<rect x="${LEFT + part * 110}" y="${bottom - 10}" width="12" height="12" fill="${PART_COLORS[part]}"/><text x="${LEFT + 18 + part * 110}" y="${bottom}">${name}</text>`,
  );
  return drawSvg(WIDTH, bottom + 16, 'Seconds that each way adds to a training', [...rows, ...legend]);
}
