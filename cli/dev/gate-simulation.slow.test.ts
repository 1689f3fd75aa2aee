import { readFile } from 'node:fs/promises';
import { beforeAll, describe, expect, test } from '@jest/globals';
import {
  formatTable,
  listBrokenClaims,
  type Row,
  simulateCollapse,
  simulateGate,
  widenBound,
} from './gate-simulation.ts';

const DRAWS = 200;
/** So many that a test at twice its level would be seen. */
const CLAIMED_DRAWS = 1000;
const COUNTS = { draws: DRAWS, claimedDraws: CLAIMED_DRAWS };
let rows: readonly Row[];

beforeAll(() => {
  rows = simulateGate({ ...COUNTS, seed: 11 });
});

/** Five binomial standard errors of a measured share: among the 120 cells a sound one leaves it once in 10,000 tests. */
function errorOf(share: number, draws = DRAWS): number {
  return 5 * Math.sqrt((Math.max(share, 0.01) * (1 - Math.min(share, 0.99))) / draws);
}

function find(rule: RegExp, design: Partial<Row['design']> = {}): Row {
  const [row] = rows.filter(
    (each) =>
      rule.test(each.rule) &&
      Object.entries(design).every(([key, value]) => each.design[key as keyof Row['design']] === value),
  );
  if (row === undefined) throw new Error(`no row ${rule.source}`);
  return row;
}

test('with as many seeds on both sides false alarms stay at what is claimed, whatever the noise', () => {
  const claimed = rows.filter(({ isClaimed }) => isClaimed);
  expect(claimed.length).toBe(7);
  expect(Math.max(...claimed.map(({ design }) => design.metrics))).toBe(5);
  for (const { falseAlarms } of claimed) {
    for (const [noise, rate] of Object.entries(falseAlarms)) {
      const bound = noise === 'normal' ? 0.05 : 0.07;
      expect(rate).toBeLessThanOrEqual(bound + errorOf(bound, CLAIMED_DRAWS));
    }
  }
});

test('a gate whose p-values are half of what they should be would not stay there', () => {
  // Half of p is at most alpha where p is at most twice alpha.
  const [claimed] = simulateGate({ draws: 1, claimedDraws: CLAIMED_DRAWS, seed: 11, gateAlpha: 0.1 });
  expect(claimed?.isClaimed).toBe(true);
  expect(claimed?.falseAlarms.normal).toBeGreaterThan(0.05 + errorOf(0.05, CLAIMED_DRAWS));
});

test('with 10 commits of 3 seeds it finds a loss of 2 sigma in three of four cases, on a moving base too', () => {
  const { power } = find(/this gate/, { commits: 10, runs: 3, seeds: 3, metrics: 1, anchor: 0 });
  for (const [noise, floor] of [
    ['normal', 0.77],
    ['drifting base', 0.76],
    ['improving base', 0.77],
  ] as const) {
    expect(power[noise]).toBeGreaterThan(floor - errorOf(floor));
    expect(power[noise]).toBeLessThan(floor + errorOf(floor));
  }
});

test.each([
  { runs: 2, metrics: 1, from: 0.1, to: 0.26 },
  { runs: 3, metrics: 1, from: 0, to: 0.02 },
  { runs: 3, metrics: 5, from: 0, to: 0.02 },
])(
  'of $runs seeds against one base commit’s, one that collapsed by 40 sigma passes in $from to $to of cases ($metrics metrics)',
  ({ runs, metrics, from, to }) => {
    const design = { commits: 1, runs, seeds: runs, metrics, anchor: 0 };
    const share = simulateCollapse({ design, collapsedBy: 40, draws: 500, seed: 11 });
    expect(share).toBeGreaterThanOrEqual(from);
    expect(share).toBeLessThanOrEqual(to);
  },
);

describe('the rules of the peers', () => {
  test('that compare one run with the best of ten are wrong in ten of eleven cases', () => {
    const { falseAlarms } = find(/best ever/);
    expect(Math.abs(falseAlarms.normal - 10 / 11)).toBeLessThan(errorOf(10 / 11));
  });

  test('that allow a fixed loss of one sigma are wrong in a quarter: P(N(0, 2) > 1) = 0.24', () => {
    const { falseAlarms } = find(/tolerance of 1 sigma/);
    expect(Math.abs(falseAlarms.normal - 0.2398)).toBeLessThan(errorOf(0.24));
  });

  test('that test five metrics without a correction are wrong in 1 - 0.95^5 = 23%', () => {
    const { falseAlarms } = find(/uncorrected/);
    expect(Math.abs(falseAlarms.normal - 0.2262)).toBeLessThan(errorOf(0.2262));
  });

  test('that take the history for one sample are right on a steady base, wrong on a drifting, blind on an improving', () => {
    const { falseAlarms, power } = find(/one sample/, { runs: 3 });
    expect(Math.abs(falseAlarms.normal - 0.05)).toBeLessThan(errorOf(0.05));
    expect(falseAlarms['drifting base']).toBeGreaterThan(widenBound(0.05, DRAWS));
    expect(power['improving base']).toBeLessThan(power.normal / 3);
  });
});

describe('the table in cli/gate/README.md', () => {
  let lines: string[];

  beforeAll(async () => {
    const readme = await readFile(new URL('../gate/README.md', import.meta.url), 'utf8');
    const [, table = ''] =
      /<!-- npm run simulate-gate -- --write -->(.*?)<!-- end of simulate-gate -->/s.exec(readme) ?? [];
    lines = table.trim().split('\n');
  });

  const cellsOf = (line = '') => line.split('|').map((cell) => cell.trim());

  test('has the rows and columns that the simulation prints', () => {
    const printed = formatTable(rows).split('\n');
    expect(lines.slice(0, 2)).toEqual(printed.slice(0, 2));
    expect(lines.map((line) => cellsOf(line).slice(0, 4))).toEqual(
      printed.map((line) => cellsOf(line).slice(0, 4)),
    );
  });

  test('holds rates that a simulation with fewer draws comes to, within its binomial error', () => {
    expect(lines.length).toBe(rows.length + 2);
    for (const [index, { falseAlarms, undecided, power }] of rows.entries()) {
      const cells = cellsOf(lines[index + 2]).slice(4);
      const shown = cells.slice(0, 7).flatMap((cell) => cell.split('/').map((rate) => Number(rate) / 100));
      const measured = [falseAlarms, undecided, power].flatMap((rates) => Object.values<number>(rates));
      expect(shown.length).toBe(measured.length);
      for (const [at, rate] of measured.entries()) {
        expect(Math.abs((shown[at] ?? Number.NaN) - rate)).toBeLessThan(errorOf(shown[at] ?? 0) + 0.01);
      }
    }
  });
});

test('a rate above what is claimed, or a power below the floor, is called broken', () => {
  const row = find(/this gate/, { commits: 10, runs: 3, seeds: 3, metrics: 1, anchor: 0 });
  const good = { ...row, falseAlarms: { ...row.falseAlarms, normal: 0.05, skewed: 0.07 } };
  const others = { 'heavy tails': 0.05, coarse: 0.05, 'drifting base': 0.05 };
  const power = { normal: 0.77, 'drifting base': 0.76, 'improving base': 0.77 };
  const sound = { ...good, falseAlarms: { ...good.falseAlarms, ...others }, power };
  const counts = { draws: 3000, claimedDraws: 3000 };
  expect(listBrokenClaims([sound], counts)).toEqual([]);
  expect(
    listBrokenClaims(
      [{ ...sound, falseAlarms: { ...sound.falseAlarms, normal: 0.0625, skewed: 0.071 } }],
      counts,
    ),
  ).toEqual([expect.stringMatching(/normal: 6\.3 false alarms/), expect.stringMatching(/skewed: 7\.1/)]);
  expect(listBrokenClaims([{ ...sound, power: { ...power, normal: 0.7 } }], counts)).toEqual([
    expect.stringMatching(/power 70\.0/),
  ]);
  expect(listBrokenClaims([{ ...sound, isClaimed: false, power: { ...power, normal: 0 } }], counts)).toEqual(
    [],
  );
});
