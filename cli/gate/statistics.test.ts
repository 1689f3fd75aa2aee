import { readFile } from 'node:fs/promises';
import { beforeAll, expect, test } from '@jest/globals';
import { correctHolm, criticalT, findDetectableLoss, findPower, tailOfF, tailOfT } from './statistics.ts';

/** What SciPy says; `cli/dev/write-statistics-fixture.py` made it. */
interface Fixture {
  readonly tail: ReadonlyArray<{ readonly t: number; readonly df: number; readonly p: number }>;
  readonly tailOfF: ReadonlyArray<{
    readonly ratio: number;
    readonly df: number;
    readonly baseDf: number;
    readonly p: number;
  }>;
  readonly critical: ReadonlyArray<{ readonly level: number; readonly df: number; readonly t: number }>;
  readonly power: readonly PowerCase[];
  readonly powerWithTolerance: readonly PowerCase[];
  readonly smallestLoss: ReadonlyArray<{
    readonly power: number;
    readonly level: number;
    readonly df: number;
    readonly loss: number;
  }>;
  readonly holm: ReadonlyArray<{ readonly raw: readonly number[]; readonly adjusted: readonly number[] }>;
}

interface PowerCase {
  readonly loss: number;
  readonly tolerance: number;
  readonly level: number;
  readonly df: number;
  readonly power: number;
}

let fixture: Fixture;

beforeAll(async () => {
  fixture = JSON.parse(await readFile(new URL('fixtures/statistics.json', import.meta.url), 'utf8'));
});

test("p-values are SciPy's to seven digits, for whole and broken degrees of freedom", () => {
  expect(fixture.tail.length).toBeGreaterThan(100);
  for (const { t, df, p } of fixture.tail) {
    expect(Math.abs(tailOfT(t, df) / p - 1)).toBeLessThan(1e-7);
  }
});

test("chances of a ratio of variances are SciPy's to seven digits", () => {
  expect(fixture.tailOfF.length).toBe(60);
  for (const { ratio, df, baseDf, p } of fixture.tailOfF) {
    expect(Math.abs(tailOfF(ratio, df, baseDf) / p - 1)).toBeLessThan(1e-7);
  }
  expect(tailOfF(Number.POSITIVE_INFINITY, 2, 2)).toBe(0);
});

test("critical values are SciPy's to seven digits", () => {
  expect(fixture.critical.length).toBeGreaterThan(60);
  for (const { level, df, t } of fixture.critical) {
    expect(Math.abs(criticalT(level, df) / t - 1)).toBeLessThan(1e-7);
  }
});

test("the power of the t-test is that of SciPy's non-central t, to 0.03 percentage points", () => {
  expect(fixture.power.length).toBe(40);
  for (const { loss, tolerance, level, df, power } of fixture.power) {
    const found = findPower(loss, { tolerance, probability: level, degreesOfFreedom: df });
    expect(Math.abs(found - power)).toBeLessThan(3e-4);
  }
});

test('the power with a tolerance is what SciPy integrates, to 0.03 percentage points', () => {
  expect(fixture.powerWithTolerance.length).toBe(27);
  for (const { loss, tolerance, level, df, power } of fixture.powerWithTolerance) {
    const found = findPower(loss, { tolerance, probability: level, degreesOfFreedom: df });
    expect(Math.abs(found - power)).toBeLessThan(3e-4);
  }
});

test("the smallest loss that is seen in 4 of 5 cases is SciPy's to 0.02%", () => {
  expect(fixture.smallestLoss.length).toBe(10);
  for (const { power, level, df, loss } of fixture.smallestLoss) {
    const found = findDetectableLoss(power, { tolerance: 0, probability: level, degreesOfFreedom: df });
    expect(Math.abs(found / loss - 1)).toBeLessThan(2e-4);
  }
});

test('the smallest loss is finite where few degrees of freedom meet a small level', () => {
  const loss = findDetectableLoss(0.8, { tolerance: 0, probability: 0.001, degreesOfFreedom: 1 });
  // 318 is the critical value; SciPy 1.17.1: nct.sf(318.3, 1, 407.9) = 0.8
  expect(loss).toBeGreaterThan(400);
  expect(loss).toBeLessThan(416);
});

test('p-values are corrected as Holm says', () => {
  expect(fixture.holm.length).toBe(3);
  for (const { raw, adjusted } of fixture.holm) {
    const corrected = correctHolm(raw, 0.05).map((result) => result.corrected);
    for (const [index, value] of adjusted.entries()) expect(corrected[index]).toBeCloseTo(value, 12);
  }
});

test('a raw p-value undercuts its level exactly where the corrected one is at most alpha', () => {
  const pValues = [0.2, 0.001, 0.012, 0.02, 0.9, 0.0099];
  for (const [index, { corrected, level }] of correctHolm(pValues, 0.05).entries()) {
    expect((pValues[index] ?? 1) <= level).toBe(corrected <= 0.05);
  }
});
