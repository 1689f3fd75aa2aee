import { mkdirSync, writeFileSync } from 'node:fs';
import { computePollIntervalMs } from '../check/poll-schedule.ts';
import { isEntry } from '../shell/entry.ts';

// Draws how late a run's end is seen, and how often is looked for it, into .github/assets/watch-curve.svg:
//   node --import tsx cli/dev/draw-watch-curve.ts

/** Where `cli/check/README.md` shows it from. */
export const WATCH_CURVE = new URL('../../.github/assets/watch-curve.svg', import.meta.url);

const SHORTEST_S = 5;
const LONGEST_S = 6 * 3600;
const DRAWS = Array.from({ length: 200 }, (_, index) => (index + 0.5) / 200);
/** The scripts that this replaces sleep so long between two looks. */
const ORIGINAL_PAUSE_S = 30;

interface Point {
  readonly lengthS: number;
  readonly value: number;
}

/** For runs of many lengths: average and worst lateness in seconds, and how many looks it took. */
function simulate(): { average: Point[]; worst: Point[]; looks: Point[] } {
  const lengths: number[] = [];
  for (let lengthS = SHORTEST_S; lengthS <= LONGEST_S; lengthS *= 1.05) lengths.push(lengthS);
  const runs = DRAWS.map((draw) => {
    const looks = [0];
    for (let at = 0; at < LONGEST_S * 1000; ) {
      at += computePollIntervalMs('running', at, draw);
      looks.push(at);
    }
    return lengths.map((lengthS) => {
      const index = looks.findIndex((at) => at >= lengthS * 1000);
      return { lateS: (looks[index] ?? 0) / 1000 - lengthS, looks: index + 1 };
    });
  });
  const of = (pick: (index: number) => number) =>
    lengths.map((lengthS, index) => ({ lengthS, value: pick(index) }));
  const average = (values: readonly number[]) =>
    values.reduce((sum, value) => sum + value, 0) / values.length;
  return {
    average: of((index) => average(runs.map((run) => run[index]?.lateS ?? 0))),
    worst: of((index) => Math.max(...runs.map((run) => run[index]?.lateS ?? 0))),
    looks: of((index) => average(runs.map((run) => run[index]?.looks ?? 0))),
  };
}

const WIDTH = 820;
const HEIGHT = 300;
const PANEL = { width: 330, height: 200, top: 50 };
const LEFT = [60, 470] as const;
const OURS = '#2f81f7';
const ORIGINAL = '#d1862b';
const INK = '#7d8590';

const TICKS_S: ReadonlyArray<readonly [number, string]> = [
  [10, '10 s'],
  [60, '1 min'],
  [600, '10 min'],
  [3600, '1 h'],
  [21_600, '6 h'],
];

function scaleX(lengthS: number, panel: 0 | 1): number {
  const share = Math.log(lengthS / SHORTEST_S) / Math.log(LONGEST_S / SHORTEST_S);
  return LEFT[panel] + share * PANEL.width;
}

function drawPanel(
  panel: 0 | 1,
  title: string,
  highest: number,
  step: number,
  lines: ReadonlyArray<{
    points: readonly Point[];
    color: string;
    dashed?: boolean;
    label: string;
    labelAt: readonly [lengthS: number, value: number];
  }>,
): string {
  const bottom = PANEL.top + PANEL.height;
  const scaleY = (value: number) => bottom - (Math.min(value, highest) / highest) * PANEL.height;
  const parts = [`<text x="${LEFT[panel]}" y="${PANEL.top - 20}" font-weight="600">${title}</text>`];
  for (let value = 0; value <= highest; value += step) {
    parts.push(
      `<line x1="${LEFT[panel]}" x2="${LEFT[panel] + PANEL.width}" y1="${scaleY(value)}" y2="${scaleY(value)}" stroke="${INK}" stroke-opacity="0.25"/>`,
      `<text x="${LEFT[panel] - 8}" y="${scaleY(value) + 4}" text-anchor="end">${value}</text>`,
    );
  }
  for (const [lengthS, label] of TICKS_S) {
    parts.push(
      `<text x="${scaleX(lengthS, panel).toFixed(1)}" y="${bottom + 18}" text-anchor="middle">${label}</text>`,
    );
  }
  for (const { points, color, dashed, label, labelAt } of lines) {
    const path = points
      .filter(({ value }) => value <= highest)
      .map(({ lengthS, value }) => `${scaleX(lengthS, panel).toFixed(1)},${scaleY(value).toFixed(1)}`)
      .join(' ');
    const dash = dashed === true ? ' stroke-dasharray="4 4"' : '';
    parts.push(
      `<polyline points="${path}" fill="none" stroke="${color}" stroke-width="2"${dash}/>`,
      `<text x="${scaleX(labelAt[0], panel).toFixed(1)}" y="${scaleY(labelAt[1]).toFixed(1)}" text-anchor="end" fill="${color}">${label}</text>`,
    );
  }
  return parts.join('\n');
}

/** The picture, as SVG. */
export function drawWatchCurve(): string {
  const { average, worst, looks } = simulate();
  const constant = (value: number) => average.map(({ lengthS }) => ({ lengthS, value }));
  const originalLooks = average.map(({ lengthS }) => ({
    lengthS,
    value: 1 + Math.ceil(lengthS / ORIGINAL_PAUSE_S),
  }));
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" font-family="system-ui, sans-serif" font-size="12" fill="${INK}" role="img" aria-label="How late the end of a run is seen, and how often is looked for it, by the run's length">
${drawPanel(0, 'Seconds until the end of a run is seen', 30, 10, [
  {
    points: constant(ORIGINAL_PAUSE_S),
    color: ORIGINAL,
    dashed: true,
    label: 'every 30 s, worst',
    labelAt: [20_000, 27],
  },
  {
    points: constant(ORIGINAL_PAUSE_S / 2),
    color: ORIGINAL,
    label: 'every 30 s, average',
    labelAt: [20_000, 16],
  },
  { points: worst, color: OURS, dashed: true, label: 'here, worst', labelAt: [20_000, 21] },
  { points: average, color: OURS, label: 'here, average', labelAt: [20_000, 6.5] },
])}
${drawPanel(1, 'Looks', 1200, 300, [
  { points: originalLooks, color: ORIGINAL, label: 'every 30 s', labelAt: [20_000, 30] },
  { points: looks, color: OURS, label: 'here', labelAt: [9_000, 900] },
])}
<text x="${LEFT[0]}" y="${HEIGHT - 8}">Length of the run</text>
<text x="${LEFT[1]}" y="${HEIGHT - 8}">Length of the run</text>
</svg>
`;
}

if (isEntry(import.meta.url)) {
  mkdirSync(new URL('.', WATCH_CURVE), { recursive: true });
  writeFileSync(WATCH_CURVE, drawWatchCurve());
}
