import { readFile } from 'node:fs/promises';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { composeGateRow } from '../report/gate-table.ts';
import type { MetricRule } from '../shell/config.ts';
import type {
  BaselineAbsence,
  Comparison,
  GateBaseline,
  GateResult,
  GateRun,
  GateValue,
  MetricJudgement,
} from './data.ts';
import { judgeGate } from './judge.ts';
import { explainComparison, explainRule } from './words.ts';

type Values = Readonly<Record<string, number | GateValue>>;

function rule(more: Partial<MetricRule> = {}): MetricRule {
  return { metric: 'test/acc', goal: 'maximize', value: 'last', tolerance: 0, gate: 'fail', ...more };
}

function run(values: Values | number, index: number, more: Partial<GateRun> = {}): GateRun {
  const byName: Values = typeof values === 'number' ? { 'test/acc': values } : values;
  return {
    task: `task-${index + 1}`,
    seed: `${index + 1}`,
    status: 'completed',
    iterations: 100,
    values: new Map(
      Object.entries(byName).map(([name, value]) => [name, typeof value === 'number' ? { value } : value]),
    ),
    ...more,
  };
}

function runs(...values: ReadonlyArray<Values | number>): GateRun[] {
  return values.map((value, index) => run(value, index));
}

let branches = 0;

/** A branch whose commits have these runs, nearest first; each task is there once. */
function branch(...commits: ReadonlyArray<readonly GateRun[]>): GateBaseline {
  branches += 1;
  const [nearest, ...older] = commits.map((found, index) => ({
    commit: `commit-${index + 1}`,
    runs: found.map((each) => ({ ...each, task: `${branches}/${index}/${each.task}` })),
  }));
  if (nearest === undefined) throw new Error('a history has at least one commit');
  return { name: 'main', history: [nearest, ...older] };
}

function judge(
  pullRequest: readonly GateRun[],
  baselines: GateBaseline | readonly GateBaseline[],
  rules: MetricRule | readonly MetricRule[] = rule(),
  alpha = 0.05,
): GateResult {
  return judgeGate({ rules: [rules].flat(), alpha, pullRequest, baselines: [baselines].flat() });
}

function only(result: GateResult): MetricJudgement & { readonly comparison: Comparison } {
  const [metric, ...others] = result.metrics;
  const [comparison] = metric?.comparisons ?? [];
  if (metric === undefined || comparison === undefined || others.length > 0)
    throw new Error('not one metric');
  return { ...metric, comparison };
}

/** Three seeds of a base commit with a spread of 0.01. */
const BASE = [0.91, 0.9, 0.92] as const;

describe('the same training on both sides', () => {
  const same = (...values: readonly number[]): GateBaseline => ({
    ...branch(runs(...values)),
    isSameTraining: true,
  });

  test('passes without a test, however the numbers turned out', () => {
    const found = only(judge(runs(0.1, 0.2), same(0.9, 0.91)));
    expect(found.comparison).toMatchObject({ verdict: 'pass', rule: 'same-training', pValue: null });
    expect(explainComparison(found, found.comparison)).toEqual([
      'The same code and settings as the base: the numbers differ by chance.',
    ]);
    const equal = only(judge(runs(0.9), same(0.9)));
    expect(explainComparison(equal, equal.comparison)).toEqual([
      'The same code and settings as the base: nothing has changed.',
    ]);
  });

  test('counts for nothing in the correction, and excuses no other baseline', () => {
    const anchor = branch(runs(...BASE));
    const result = judge(runs(0.8, 0.81), [same(0.8, 0.81), anchor]);
    expect(result.metrics[0]?.comparisons.map(({ verdict }) => verdict)).toEqual(['pass', 'regression']);
    const [, tested] = result.metrics[0]?.comparisons ?? [];
    expect(tested?.pValue).toBeGreaterThan(0);
    expect(tested?.correctedPValue).toBe(tested?.pValue);
  });

  test('what was not measured is undecided all the same', () => {
    const missing = judge([run({ other: 1 }, 0)], same(0.9));
    expect(missing).toMatchObject({ verdict: 'undecided', exitCode: 6 });
    const failed = judge([run(0.9, 0, { status: 'failed' })], same(0.9));
    expect(failed).toMatchObject({ verdict: 'failed', exitCode: 6 });
  });
});

test('a nearer commit that is still being trained leaves it undecided, whatever the numbers say', () => {
  const base: GateBaseline = { ...branch(runs(...BASE)), hasUnfinished: true };
  for (const value of [0.5, 0.95]) {
    const found = only(judge(runs(value, value + 0.01), base));
    expect(found).toMatchObject({ verdict: 'undecided', comparison: { base: 0.91, pValue: null } });
    expect(explainComparison(found, found.comparison)[0]).toContain('Run this job again');
  }
  expect(judge(runs(0.95), { name: 'main', absence: 'unfinished' }).exitCode).toBe(6);
});

describe('the rule', () => {
  interface Case {
    readonly pullRequest: readonly number[];
    readonly history: ReadonlyArray<readonly number[]>;
    readonly df: number;
    readonly sd?: number;
    readonly t: number;
    readonly p: number;
  }

  test('gives the p-value of the textbook test, as SciPy computes it', async () => {
    const fixture: { readonly twoSample: readonly Case[]; readonly pooled: readonly Case[] } = JSON.parse(
      await readFile(new URL('fixtures/statistics.json', import.meta.url), 'utf8'),
    );
    const cases = [...fixture.twoSample, ...fixture.pooled];
    expect(cases.length).toBe(7);
    for (const { pullRequest, history, df, sd, p } of cases) {
      const { comparison } = only(
        judge(runs(...pullRequest), branch(...history.map((values) => runs(...values)))),
      );
      expect(comparison.rule).toBe('pooled');
      expect(comparison.noise?.degreesOfFreedom).toBe(df);
      if (sd !== undefined) expect(comparison.noise?.standardDeviation).toBeCloseTo(sd, 12);
      expect(Math.abs((comparison.pValue ?? Number.NaN) / p - 1)).toBeLessThan(1e-6);
    }
  });

  test('blocks a loss that chance does not explain, and says how it knows', () => {
    const result = judge(runs(0.85, 0.86, 0.84), branch(runs(...BASE)));
    expect(result).toMatchObject({ verdict: 'regression', exitCode: 5 });
    const metric = only(result);
    expect(metric.comparison).toMatchObject({
      rule: 'pooled',
      commit: 'commit-1',
      runs: { pullRequest: 3, base: 3 },
      notes: [],
    });
    expect(metric.value).toBeCloseTo(0.85, 12);
    expect(metric.comparison.base).toBeCloseTo(0.91, 12);
    expect(metric.comparison.change).toBeCloseTo(-0.06, 12);
    expect(explainComparison(metric, metric.comparison)).toEqual([
      'Worse by 0.06. Chance alone makes fewer than 0.1% of unchanged pull requests look this bad.',
    ]);
    expect(explainRule(metric.comparison)).toBe(
      't-test, 3 runs against 3 runs; the standard deviation between runs of the same code is 0.01.',
    );
  });

  test('passes a loss that chance explains, and says what it could have missed', () => {
    const result = judge(runs(0.905, 0.895, 0.915), branch(runs(...BASE)));
    expect(result).toMatchObject({ verdict: 'pass', exitCode: 0 });
    const metric = only(result);
    // SciPy 1.17.1: 0.01 * sqrt(2/3) * brentq(nct.sf(t.isf(0.05, 4), 4, x) - 0.8) = 0.02482
    expect(metric.comparison.missable).toBeCloseTo(0.02482, 4);
    expect(explainComparison(metric, metric.comparison)).toEqual([
      'Worse by 0.005, which chance can explain: it makes up to 29% of unchanged pull requests look this bad.',
      'These runs detect a loss of 0.025 in 4 of 5 cases; a smaller one can slip through.',
    ]);
  });

  test('takes a larger value for worse where the goal is to minimize', () => {
    const loss = (...values: readonly number[]) => runs(...values.map((value) => ({ 'test/loss': value })));
    const minimize = rule({ metric: 'test/loss', goal: 'minimize' });
    expect(judge(loss(0.5, 0.51, 0.52), branch(loss(0.3, 0.31, 0.32)), minimize).verdict).toBe('regression');
    expect(judge(loss(0.1, 0.11, 0.12), branch(loss(0.3, 0.31, 0.32)), minimize).verdict).toBe('pass');
  });

  test('compares with the nearest commit only, whatever the older ones were', () => {
    const base = branch(runs(...BASE), runs(0.5, 0.51, 0.52), runs(0.99, 0.98, 0.97));
    const { comparison } = only(judge(runs(0.9, 0.91, 0.92), base));
    expect(comparison).toMatchObject({ verdict: 'pass', commit: 'commit-1' });
    expect(comparison.noise?.degreesOfFreedom).toBe(8);
    expect(comparison.noise?.standardDeviation).toBeCloseTo(0.01, 12);
    expect(comparison.history.map((mean) => mean.toFixed(3))).toEqual(['0.910', '0.510', '0.980']);
  });

  test('takes the noise from successive differences where the base has one run a commit', () => {
    const base = branch(...[0.9, 0.92, 0.91, 0.93].map((value) => runs(value)));
    const { comparison } = only(judge(runs(0.9), base));
    expect(comparison.rule).toBe('successive-differences');
    // Squared differences 4, 1, 4 (in 1e-4), halved and averaged over 3; 2 * 3² / (3 * 4 - 4) degrees of freedom.
    expect(comparison.noise?.standardDeviation).toBeCloseTo(Math.sqrt((9e-4 / 3) * 0.5), 12);
    expect(comparison.noise?.degreesOfFreedom).toBeCloseTo(18 / 8, 12);
    expect(comparison.notes).toEqual([{ kind: 'uneven-runs', pullRequest: 1, base: 1 }]);
  });

  test('adds what the seeds of the pull request tell to the successive differences', () => {
    const base = branch(...[0.9, 0.92, 0.91, 0.93].map((value) => runs(value)));
    const { comparison } = only(judge(runs(0.9, 0.92), base));
    expect(comparison.noise?.degreesOfFreedom).toBeCloseTo(18 / 8 + 1, 12);
  });

  test('lets a loss within the tolerance pass, however significant', () => {
    const metric = only(
      judge(runs(0.89, 0.8901, 0.8899), branch(runs(0.9, 0.9001, 0.8999)), rule({ tolerance: 0.02 })),
    );
    expect(metric.comparison.pValue).toBeLessThan(1e-4);
    expect(metric.verdict).toBe('pass');
    expect(explainComparison(metric, metric.comparison)[0]).toBe(
      'Worse by 0.01, within the tolerance of 0.02.',
    );
  });

  test('takes a percentage of the magnitude of the baseline for a tolerance', () => {
    const values = (value: number) => runs({ 'test/acc': value });
    const within = only(judge(values(-202), branch(values(-200)), rule({ tolerance: '1%' })));
    expect(within).toMatchObject({ verdict: 'pass', comparison: { rule: 'tolerance', tolerance: 2 } });
    expect(judge(values(-202.1), branch(values(-200)), rule({ tolerance: '1%' })).verdict).toBe('regression');
  });

  test('corrects for the number of gated metrics', () => {
    const values = (a: readonly number[], others: readonly number[]) =>
      a.map((value, index) => ({ 'm/1': value, 'm/2': others[index] ?? 0, 'm/3': others[index] ?? 0 }));
    const own = values([0.89, 0.895, 0.885], [0.91, 0.9, 0.92]);
    const base = branch(runs(...values(BASE, BASE)));
    const one = judge(runs(...own), base, rule({ metric: 'm/1' }));
    expect(one.metrics[0]?.comparisons[0]?.correctedPValue).toBeLessThan(0.05);
    expect(one.verdict).toBe('regression');
    const three = judge(runs(...own), base, rule({ metric: 'm/*' }));
    expect(three.metrics.map(({ metric }) => metric)).toEqual(['m/1', 'm/2', 'm/3']);
    expect(three.metrics[0]?.comparisons[0]?.correctedPValue).toBeCloseTo(
      3 * (one.metrics[0]?.comparisons[0]?.pValue ?? 0),
      12,
    );
    expect(three.verdict).toBe('pass');
  });

  test('obeys the alpha of the settings', () => {
    const own = runs(0.89, 0.895, 0.885);
    expect(judge(own, branch(runs(...BASE)), rule(), 0.05).verdict).toBe('regression');
    expect(judge(own, branch(runs(...BASE)), rule(), 0.001).verdict).toBe('pass');
  });
});

describe('noise that is not known', () => {
  test('leaves the decision to the tolerance', () => {
    const tolerant = rule({ tolerance: 0.01 });
    const worse = only(judge(runs(0.88), branch(runs(0.9)), tolerant));
    expect(worse).toMatchObject({ verdict: 'regression', comparison: { rule: 'tolerance', pValue: null } });
    const pass = only(judge(runs(0.895), branch(runs(0.9)), tolerant));
    expect(pass).toMatchObject({ verdict: 'pass', comparison: { missable: null } });
    expect(explainComparison(pass, pass.comparison)).toEqual([
      'Worse by 0.005, within the tolerance of 0.01.',
      'The smallest loss that these runs can detect is unknown; more seeds would show it.',
    ]);
  });

  test('is undecided without a tolerance', () => {
    const result = judge(runs(0.9), branch(runs(0.9)));
    expect(result).toMatchObject({ verdict: 'undecided', exitCode: 6 });
    expect(only(result).comparison.reasons).toEqual([
      { kind: 'noise-unknown', because: 'single-runs', baseRuns: 1, neededRuns: null },
    ]);
  });

  test('lets a loss of exactly the tolerance pass, although 0.95 - 0.945 is more than 0.005 in binary', () => {
    expect(0.95 - 0.945).toBeGreaterThan(0.005);
    expect(judge(runs(0.945), branch(runs(0.95)), rule({ tolerance: 0.005 })).verdict).toBe('pass');
  });
});

describe('zero variance', () => {
  const constant = branch(...Array.from({ length: 7 }, () => runs(0.9)));

  test('makes any drop of a deterministic metric a regression', () => {
    const metric = only(judge(runs(0.8999), constant));
    expect(metric).toMatchObject({
      verdict: 'regression',
      comparison: { rule: 'deterministic', pValue: null },
    });
    expect(explainComparison(metric, metric.comparison)[0]).toBe(
      'Worse by 0.0001, and the base’s runs have never differed by chance.',
    );
  });

  test('lets the same value pass, and says that any loss would have been detected', () => {
    const metric = only(judge(runs(0.9), constant));
    expect(metric).toMatchObject({ verdict: 'pass', comparison: { missable: 0 } });
    expect(explainComparison(metric, metric.comparison)).toEqual([
      'The same as the base.',
      'Any loss would have been detected.',
    ]);
  });

  test('of fewer than seven base runs for each of the pull request is no evidence: coarse metrics agree by chance', () => {
    const six = branch(...Array.from({ length: 6 }, () => runs(0.9)));
    const metric = only(judge(runs(0.8), six));
    expect(metric).toMatchObject({ verdict: 'undecided', comparison: { rule: 'tolerance' } });
    expect(explainComparison(metric, metric.comparison)[0]).toBe(
      'The 6 runs of the base agree, but they are too few to rule out chance, and no tolerance is set: 1 more base run (a further commit, or seed) would decide, or set a tolerance.',
    );
    expect(judge(runs(0.8), six, rule({ tolerance: 0.01 })).verdict).toBe('regression');
    const three = [0, 1, 2].map((index) => run(index === 0 ? 0.8 : 0.9, index, { fingerprint: `${index}` }));
    const seeds = (commits: number) =>
      branch(
        ...Array.from({ length: commits }, () =>
          [0, 1, 2].map((index) => run(0.9, index, { fingerprint: `${index}` })),
        ),
      );
    expect(judge(three, seeds(6)).verdict).toBe('undecided');
    expect(judge(three, seeds(7)).verdict).toBe('regression');
  });

  test.each([0.9, 0.91])('of two base runs lets %d, no worse than they are, pass', (value) => {
    const metric = only(judge(runs(value), branch(runs(0.9), runs(0.9))));
    expect(metric).toMatchObject({
      verdict: 'pass',
      comparison: { missable: null, notes: [{ kind: 'few-agree', baseRuns: 2, neededRuns: 5 }] },
    });
    expect(explainComparison(metric, metric.comparison)[1]).toBe(
      'The 2 runs of the base agree, but they are too few to tell a drop from chance: 5 more base runs (further commits, or seeds) would decide.',
    );
    const row = composeGateRow({ metric, comparison: metric.comparison });
    expect(row.at(-1)).toEqual(['direct, 1\u00a0run\u00a0against\u00a01']);
  });

  test('is not shown by a single run of an anchor that has another value', () => {
    const base = branch(...Array.from({ length: 6 }, () => runs(0.9)));
    const anchor = (value: number): GateBaseline => ({ ...branch(runs(value)), name: 'anchor' });
    const [main, fixed] = judge(runs(0.9), [base, anchor(0.95)]).metrics[0]?.comparisons ?? [];
    expect(main).toMatchObject({
      verdict: 'pass',
      notes: [{ kind: 'few-agree', baseRuns: 6, neededRuns: 1 }],
    });
    expect(fixed).toMatchObject({
      verdict: 'undecided',
      reasons: [{ because: 'too-few-agree', baseRuns: 6 }],
    });
    const [same] = judge(runs(0.89), [base, anchor(0.9)]).metrics[0]?.comparisons ?? [];
    expect(same).toMatchObject({ verdict: 'regression', rule: 'deterministic' });
  });

  test('of two base runs leaves it undecided where any run is worse, and says how many more would decide', () => {
    const base = branch(runs(0.9), runs(0.9));
    const metric = only(judge(runs(0.89), base));
    expect(metric.comparison).toMatchObject({
      verdict: 'undecided',
      reasons: [{ kind: 'noise-unknown', because: 'too-few-agree', neededRuns: 5 }],
    });
    const row = composeGateRow({ metric, comparison: metric.comparison });
    expect(row.at(-1)).toEqual(['\u2013, 1\u00a0run\u00a0against\u00a01']);
    const loss = rule({ metric: 'test/loss', goal: 'minimize' });
    const lossOf = (...values: readonly number[]) => runs(...values.map((value) => ({ 'test/loss': value })));
    const agreeing = branch(lossOf(0.9), lossOf(0.9));
    expect(judge(lossOf(0.89), agreeing, loss).verdict).toBe('pass');
    expect(judge(lossOf(0.89, 0.91), agreeing, loss).verdict).toBe('undecided');
    expect(judge(runs(0.99, 0.89), base).verdict).toBe('undecided');
    expect(judge(runs(0.91), base, rule({ detect: 0.1 })).verdict).toBe('undecided');
  });

  test('of one metric among others takes its share of alpha, of all of them the whole', () => {
    const values = (a: number, b: number) => ({ 'm/1': a, 'm/2': b });
    const rules = rule({ metric: 'm/*' });
    const all = branch(...Array.from({ length: 7 }, () => runs(values(0.9, 0.8))));
    expect(judge(runs(values(0.8, 0.8)), all, rules).verdict).toBe('regression');
    const some = (commits: number) =>
      branch(...Array.from({ length: commits }, (_, index) => runs(values(0.9, 0.8 + 0.001 * (index % 3)))));
    expect(judge(runs(values(0.8, 0.8)), some(7), rules).metrics[0]?.verdict).toBe('undecided');
    const many = judge(runs(values(0.8, 0.8)), some(15), rules);
    expect(many.metrics[0]).toMatchObject({ verdict: 'regression', comparisons: [{ pValue: null }] });
    const [, tested] = many.metrics.map(({ comparisons }) => comparisons[0]);
    expect(tested?.correctedPValue).toBeCloseTo(Math.min(1, 2 * (tested?.pValue ?? 0)), 12);
  });

  test('within commits that differ among each other leaves the noise to their differences', () => {
    const base = branch(
      ...[0.9, 0.9, 0.93, 0.9, 0.9, 0.93, 0.9].map((value) =>
        [0, 1].map((index) => run(value, index, { fingerprint: `${index}` })),
      ),
    );
    expect(only(judge(runs(0.9, 0.87), base)).comparison).toMatchObject({
      rule: 'successive-differences',
      verdict: 'pass',
    });
  });

  test('over different seeds means that the seed is not used: said, and no significance is drawn from it', () => {
    const metric = only(judge(runs(0.8, 0.8, 0.8), branch(runs(0.9, 0.9, 0.9))));
    expect(metric).toMatchObject({
      verdict: 'undecided',
      comparison: {
        pValue: null,
        runs: { pullRequest: 1, base: 1 },
        reasons: [{ kind: 'noise-unknown' }],
        notes: [
          { kind: 'seed-not-used', side: 'pull-request', runs: 3 },
          { kind: 'seed-not-used', side: 'base', runs: 3 },
        ],
      },
    });
    expect(explainComparison(metric, metric.comparison)).toContain(
      '3 seeds gave bit-identical results in every metric here. The training does not seem to use its seed, so they count as one run.',
    );
    expect(explainComparison(metric, metric.comparison)[0]).toBe(
      'How much runs differ by chance is unknown, and no tolerance is set: make the training use its seed, or set a tolerance.',
    );
  });

  test('whose seeds did not reach the training are told, of several runs only', () => {
    const lost = (...values: number[]) => runs(...values).map((one) => ({ ...one, isSeedLost: true }));
    const base = branch(lost(0.9, 0.91, 0.9));
    const metric = only(judge(lost(0.9, 0.89, 0.9), base));
    expect(metric.comparison.notes).toEqual(
      expect.arrayContaining([
        { kind: 'seed-lost', side: 'pull-request', runs: 3 },
        { kind: 'seed-lost', side: 'base', runs: 3 },
      ]),
    );
    expect(explainComparison(metric, metric.comparison)).toContain(
      'Nothing shows that the seeds of 3 runs on the base reached the training: these runs may be the same training.',
    );
    const one = runs(0.9, 0.89).map((run, index) => ({ ...run, isSeedLost: index === 0 }));
    const { comparison } = only(judge(one, base));
    expect(explainComparison(metric, comparison)).toContain(
      'Nothing shows that the seed of 1 run here reached the training.',
    );
    expect(only(judge(lost(0.9), base)).comparison.notes).not.toContainEqual(
      expect.objectContaining({ kind: 'seed-lost', side: 'pull-request' }),
    );
  });

  test('over different seeds is judged by how the commits differ, as single runs are', () => {
    const base = branch(...[0.9, 0.92, 0.91, 0.93].map((value) => runs(value, value, value)));
    expect(only(judge(runs(0.9, 0.9, 0.9), base)).comparison).toMatchObject({
      rule: 'successive-differences',
      runs: { pullRequest: 1, base: 1 },
    });
  });

  test('of one coarse metric does not mean that the seed is not used where another metric varies', () => {
    const values = (a: number, b: number) => ({ 'm/coarse': a, 'm/fine': b });
    const base = branch(runs(values(0.9, 0.31), values(0.9, 0.32), values(0.9, 0.33)));
    const [coarse] = judge(
      runs(values(0.9, 0.31), values(0.9, 0.32), values(0.8, 0.33)),
      base,
      rule({ metric: 'm/*' }),
    ).metrics;
    expect(coarse?.comparisons[0]).toMatchObject({ runs: { pullRequest: 3, base: 3 }, notes: [] });
  });

  test('of all gated metrics does not mean so either where anything else differs between the runs', () => {
    const seeds = (...fingerprints: readonly string[]) =>
      fingerprints.map((fingerprint, index) => run(0.9, index, { fingerprint }));
    const differing = only(judge(seeds('a', 'b', 'c'), branch(seeds('d', 'e', 'f'))));
    expect(differing.comparison.runs).toEqual({ pullRequest: 3, base: 3 });
    expect(differing.comparison.notes.map(({ kind }) => kind)).toEqual(['few-agree']);
    const same = only(judge(seeds('a', 'a', 'a'), branch(seeds('d', 'd', 'd'))));
    expect(same.comparison.runs).toEqual({ pullRequest: 1, base: 1 });
  });

  test('never hides a run whose number is doubted', () => {
    const zero = (index: number, doubt?: GateValue['doubt']) =>
      run({ 'test/loss': { value: 0, doubt } }, index, { fingerprint: 'same' });
    const result = judge(
      [zero(0), zero(1, 'replaced'), zero(2, 'replaced')],
      branch(runs({ 'test/loss': 0.5 })),
      rule({ metric: 'test/loss', goal: 'minimize', tolerance: 0.1 }),
    );
    expect(result).toMatchObject({ verdict: 'undecided', exitCode: 6 });
    expect(only(result).reasons).toEqual([{ kind: 'replaced', tasks: ['task-2', 'task-3'] }]);
  });

  test('of a seed that was run twice counts once', () => {
    const twice = [run(0.9, 0), run(0.9, 1, { seed: '1' }), run(0.92, 2)];
    expect(only(judge(runs(0.9, 0.91), branch(twice))).comparison.runs.base).toBe(2);
  });
});

describe('a pull request whose runs differ more than the base’s', () => {
  const collapsed = [0.9, 0.1, 0.901] as const;

  test('is undecided where it is worse on average, and says what would decide', () => {
    const metric = only(judge(runs(...collapsed), branch(runs(0.9, 0.901, 0.899))));
    expect(metric.verdict).toBe('undecided');
    expect(explainComparison(metric, metric.comparison)).toEqual([
      'The runs of this pull request differ 460 times as much as those of the base (standard deviation 0.46 against 0.001), which chance does not explain. Their mean is worse: look at the worst run. More seeds here would decide.',
    ]);
  });

  test.each([1, 10])('is undecided where one of five metrics does, on a base of %d commits', (commits) => {
    const names = ['m/1', 'm/2', 'm/3', 'm/4', 'm/5'];
    const all = (values: readonly number[], first = values) =>
      values.map((value, index) =>
        Object.fromEntries(names.map((name) => [name, name === 'm/1' ? (first[index] ?? 0) : value])),
      );
    const base = [0.9, 0.905, 0.895];
    const { metrics } = judge(
      runs(...all(base, collapsed)),
      branch(...Array.from({ length: commits }, () => runs(...all(base)))),
      rule({ metric: 'm/*' }),
    );
    expect(metrics.map(({ verdict }) => verdict)).toEqual(['undecided', 'pass', 'pass', 'pass', 'pass']);
  });

  test.each<readonly [what: string, base: number[][], own: number[], verdict: string]>([
    ['two seeds, one base commit', [[0.9, 0.907]], [0.9, 0.3], 'undecided'],
    ['three seeds, one base commit', [[0.9, 0.907, 0.903]], [0.9, 0.901, 0.6], 'undecided'],
    [
      'two seeds, two base commits',
      [
        [0.9, 0.907],
        [0.9, 0.904],
      ],
      [0.9, 0.7],
      'undecided',
    ],
    ['two seeds whose spread is nine times the base’s', [[0.9, 0.91]], [0.91, 0.82], 'pass'],
    ['two seeds, one better and none worse', [[0.9, 0.907]], [0.9, 0.99], 'pass'],
  ])('is undecided on a young base too, if the ratio is plainly large: %s', (_, base, own, verdict) => {
    const metric = only(judge(runs(...own), branch(...base.map((values) => runs(...values)))));
    expect(metric.verdict).toBe(verdict);
  });

  test('is undecided so whatever the number of metrics, and says how sure that is', () => {
    const names = ['m/1', 'm/2', 'm/3', 'm/4', 'm/5'];
    const all = (values: readonly number[], first = values) =>
      values.map((value, index) =>
        Object.fromEntries(names.map((name) => [name, name === 'm/1' ? (first[index] ?? 0) : value])),
      );
    const [metric] = judge(
      runs(...all([0.9, 0.907, 0.903], [0.9, 0.907, 0.83])),
      branch(runs(...all([0.9, 0.907, 0.903]))),
      rule({ metric: 'm/*' }),
    ).metrics;
    const [comparison] = metric?.comparisons ?? [];
    if (metric === undefined || comparison === undefined) throw new Error('five metrics were given');
    expect(metric.verdict).toBe('undecided');
    expect(explainComparison(metric, comparison)[0]).toMatch(/which chance explains in 0\.\d+% of cases/);
  });

  test('passes where it is no worse on average, or by no more than the tolerance', () => {
    const base = branch(runs(0.9, 0.901, 0.899));
    expect(judge(runs(0.9, 0.99, 0.899), base).verdict).toBe('pass');
    expect(judge(runs(...collapsed), base, rule({ tolerance: 0.3 })).verdict).toBe('pass');
  });

  test('is told, where a loss passes, that its own spread makes the range wide', () => {
    const metric = only(judge(runs(0.91, 0.82), branch(runs(0.9, 0.91))));
    expect(metric).toMatchObject({
      verdict: 'pass',
      comparison: { notes: [{ kind: 'range-widened', by: 'own-runs', ratio: expect.closeTo(9, 6) }] },
    });
    expect(explainComparison(metric, metric.comparison)).toContain(
      'The runs of this pull request differ 9 times as much as those of the base, which widens the range that chance explains. Look at the worst run.',
    );
    expect(only(judge(runs(0.91, 0.99), branch(runs(0.9, 0.91)))).comparison.notes).toEqual([]);
  });

  test('is told, where a loss passes, that an anchor makes the range wide', () => {
    const base = branch(runs(...BASE), runs(...BASE));
    const anchor: GateBaseline = { ...branch(runs(0.85, 0.9, 0.95)), name: 'anchor' };
    const [main, fixed] = judge(runs(0.9, 0.89, 0.91), [base, anchor]).metrics[0]?.comparisons ?? [];
    // 0.01 without it; with it 4 and 2 degrees of freedom of 0.01 and 0.05.
    const ratio = expect.closeTo(Math.sqrt((4 * 1 + 2 * 25) / 6), 6);
    expect(main).toMatchObject({
      verdict: 'pass',
      notes: [{ kind: 'range-widened', by: 'other-baselines', ratio }],
    });
    expect(fixed?.notes).toEqual([]);
  });

  test('passes where its spread is one that chance explains', () => {
    expect(judge(runs(0.93, 0.9, 0.87), branch(runs(...BASE))).verdict).toBe('pass');
  });

  test('is a regression where even its own spread does not explain the loss', () => {
    const metric = only(judge(runs(0.5, 0.3, 0.1), branch(runs(0.9, 0.9001, 0.8999))));
    expect(metric).toMatchObject({ verdict: 'regression', comparison: { reasons: [] } });
  });

  test('is not judged by its own spread where the base has a single run', () => {
    const metric = only(judge(runs(...collapsed), branch(runs(0.9))));
    expect(metric.verdict).toBe('undecided');
    expect(explainComparison(metric, metric.comparison)[0]).toBe(
      'How much runs differ by chance is unknown, and no tolerance is set: train the base commit with seeds too, or set a tolerance.',
    );
    expect(judge(runs(...collapsed), branch(runs(0.9)), rule({ tolerance: 0.02 })).verdict).toBe(
      'regression',
    );
  });
});

describe('settings that cannot decide', () => {
  test('a percentage of 0 for a tolerance is said to be 0', () => {
    const metric = only(judge(runs(-0.1), branch(runs(0)), rule({ tolerance: '1%' })));
    expect(metric.verdict).toBe('undecided');
    expect(explainComparison(metric, metric.comparison)).toEqual([
      'How much runs differ by chance is unknown, and a tolerance of 1% of 0 is 0. Set an absolute tolerance.',
    ]);
  });

  test('a loss to detect that lies within a percentage for a tolerance is said to lie there', () => {
    const metric = only(judge(runs(...BASE), branch(runs(...BASE)), rule({ tolerance: '5%', detect: 0.02 })));
    expect(metric.verdict).toBe('undecided');
    expect(explainComparison(metric, metric.comparison)).toEqual([
      'The loss in detect (0.02) is within the tolerance (0.0455), where no loss is a regression. Change one of the two.',
    ]);
  });
});

describe('a loss that must not slip through (detect)', () => {
  test('is undecided where the runs cannot see it, and names how many seeds would', () => {
    const base = branch(...Array.from({ length: 10 }, () => runs(...BASE)));
    const metric = only(judge(runs(0.91, 0.9, 0.92), base, rule({ detect: 0.0185 })));
    expect(metric.verdict).toBe('undecided');
    const [reason] = metric.comparison.reasons;
    expect(reason).toMatchObject({
      kind: 'too-few-runs',
      detect: 0.0185,
      needed: { pullRequest: 3, base: 0 },
    });
    expect(explainComparison(metric, metric.comparison)).toEqual([
      'These runs detect a loss of 0.021 in 4 of 5 cases, but detect asks for 0.0185; 3 more seeds would decide.',
    ]);
    // With that many it does decide, with one fewer it does not: their spread is 0.01 too.
    const half = 0.01 / Math.SQRT2;
    const six = runs(0.92, 0.9, 0.92, 0.9, 0.91 + half, 0.91 - half);
    expect(judge(six, base, rule({ detect: 0.0185 })).verdict).toBe('pass');
    const five = runs(0.92, 0.9, 0.92, 0.9, 0.91);
    expect(judge(five, base, rule({ detect: 0.0185 })).verdict).toBe('undecided');
  });

  test('asks for seeds on both sides where those of the pull request alone can never do', () => {
    const metric = only(judge(runs(0.91, 0.9, 0.92), branch(runs(...BASE)), rule({ detect: 0.01 })));
    expect(metric.comparison.reasons[0]).toMatchObject({ needed: { pullRequest: 11, base: 11 } });
  });

  test('says so where not even 100 seeds a side do', () => {
    const metric = only(judge(runs(0.91, 0.9, 0.92), branch(runs(...BASE)), rule({ detect: 1e-4 })));
    expect(metric.comparison.reasons[0]).toMatchObject({ kind: 'too-few-runs', needed: null });
  });

  test('is undecided where the noise is unknown, even with a tolerance', () => {
    const metric = only(judge(runs(0.9), branch(runs(0.9)), rule({ tolerance: 0.01, detect: 0.02 })));
    expect(metric.verdict).toBe('undecided');
    expect(metric.comparison.reasons).toEqual([
      { kind: 'too-few-runs', detect: 0.02, missable: null, needed: null },
    ]);
  });

  test('does not keep a regression from being one', () => {
    expect(judge(runs(0.5, 0.51, 0.52), branch(runs(...BASE)), rule({ detect: 1e-4 })).verdict).toBe(
      'regression',
    );
  });
});

describe('fails closed:', () => {
  const base = branch(runs(...BASE));
  const good = [0.95, 0.96] as const;

  test.each<readonly [what: string, third: GateRun, kind: string]>([
    ['a run that did not report the metric', run({ other: 1 }, 2), 'missing'],
    ['a NaN', run(Number.NaN, 2), 'not-a-number'],
    ['an infinity', run(Number.POSITIVE_INFINITY, 2), 'infinite'],
    ['a number that stands for a NaN', run({ 'test/acc': { value: 0, doubt: 'replaced' } }, 2), 'replaced'],
    ['an unlikely zero', run({ 'test/acc': { value: 0, doubt: 'unexpected-zero' } }, 2), 'unexpected-zero'],
  ])('%s in one of three runs is undecided', (_, third, kind) => {
    const result = judge([...runs(...good), third], base);
    expect(result).toMatchObject({ verdict: 'undecided', exitCode: 6 });
    expect(only(result).reasons).toEqual([{ kind, tasks: ['task-3'] }]);
    expect(only(result).comparison.pValue).toBeNull();
  });

  test.each([
    ['failed', 'failed'],
    ['stopped', 'failed'],
    ['closed', 'failed'],
    ['queued', 'pending'],
    ['in_progress', 'pending'],
    ['unknown', 'pending'],
  ] as const)('a task that is %s makes the verdict %s', (status, verdict) => {
    const result = judge([...runs(...good), run(0.95, 2, { status })], base);
    expect(result).toMatchObject({ verdict, exitCode: 6 });
    expect(only(result)).toMatchObject({ verdict: 'undecided', reasons: [{ kind: 'not-completed' }] });
    const warning = judge([run(0.95, 2, { status })], base, rule({ gate: 'warn' }));
    expect(warning).toMatchObject({ verdict, exitCode: 0 });
  });

  test('no run at all is undecided', () => {
    expect(judge([], base)).toMatchObject({ verdict: 'undecided', exitCode: 6 });
  });

  test('a gated metric that nobody reports is undecided, named by its pattern', () => {
    const result = judge(runs(...good), base, [rule(), rule({ metric: 'val/*' })]);
    expect(result).toMatchObject({ verdict: 'undecided', exitCode: 6 });
    expect(result.metrics[1]).toMatchObject({ metric: 'val/*', reasons: [{ kind: 'missing' }] });
  });

  test('a metric of a pattern that the base has and the pull request lost is undecided', () => {
    const result = judge(
      runs({ 'test/a': 1 }, { 'test/a': 1.1 }),
      branch(runs({ 'test/a': 1, 'test/b': 1 }, { 'test/a': 1.1, 'test/b': 1.1 })),
      rule({ metric: 'test/*' }),
    );
    expect(result.metrics.map(({ metric, verdict }) => [metric, verdict])).toEqual([
      ['test/a', 'pass'],
      ['test/b', 'undecided'],
    ]);
  });

  test('fewer iterations than the base are said, and undecided with min-iterations', () => {
    const short = [0, 1, 2].map((index) => run(0.95 + index / 100, index, { iterations: 90 }));
    expect(only(judge(short, base)).comparison).toMatchObject({
      verdict: 'pass',
      notes: [{ kind: 'fewer-iterations', tasks: ['task-1', 'task-2', 'task-3'], baseline: 100 }],
    });
    expect(judge(short, base, rule({ 'min-iterations': 90 })).verdict).toBe('pass');
    expect(judge(short, base, rule({ 'min-iterations': '90%' })).verdict).toBe('pass');
    const strict = judge(short, base, rule({ 'min-iterations': '95%' }));
    expect(only(strict).reasons).toMatchObject([{ kind: 'too-few-iterations', required: 95 }]);
    expect(strict).toMatchObject({ verdict: 'undecided', exitCode: 6 });
    expect(judge(short, base, rule({ 'min-iterations': 91 })).verdict).toBe('undecided');
    const unknown = short.map((each) => ({ ...each, iterations: null }));
    expect(judge(unknown, base, rule({ 'min-iterations': 1 })).verdict).toBe('undecided');
  });

  test('a metric that stopped before the run did is said, and undecided with a share for min-iterations', () => {
    const reported = (reports: number, offset: number) =>
      [0, 1, 2].map((index) => run({ 'test/acc': { value: offset + index / 100, reports } }, index));
    const base30 = branch(reported(30, 0.9));
    const stopped = reported(2, 0.95);
    const metric = only(judge(stopped, base30));
    expect(metric.comparison).toMatchObject({
      verdict: 'pass',
      notes: [{ kind: 'fewer-reports', tasks: ['task-1', 'task-2', 'task-3'], baseline: 30 }],
    });
    expect(explainComparison(metric, metric.comparison)).toContain(
      "3 tasks reported it fewer times than the base's 30.",
    );
    const strict = judge(stopped, base30, rule({ 'min-iterations': '90%' }));
    expect(strict).toMatchObject({ verdict: 'undecided', exitCode: 6 });
    expect(only(strict).reasons).toMatchObject([{ kind: 'too-few-reports', required: 27 }]);
    expect(judge(reported(27, 0.95), base30, rule({ 'min-iterations': '90%' })).verdict).toBe('pass');
    expect(judge(stopped, base30, rule({ 'min-iterations': 100 })).verdict).toBe('pass');
  });

  test('a metric that the base does not have is undecided, with the remedy', () => {
    const metric = only(judge(runs(...good), branch(runs({ 'old/acc': 0.9 }, { 'old/acc': 0.91 }))));
    expect(metric).toMatchObject({
      verdict: 'undecided',
      comparison: { reasons: [{ kind: 'missing-in-baseline' }] },
    });
    expect(explainComparison(metric, metric.comparison)[0]).toMatch(/set `was` to the old name/);
  });

  test('a renamed metric is compared with its old name', () => {
    const metric = only(
      judge(runs(...good), branch(runs({ 'old/acc': 0.9 }, { 'old/acc': 0.91 })), rule({ was: 'old/acc' })),
    );
    expect(metric).toMatchObject({
      metric: 'test/acc',
      verdict: 'pass',
      comparison: { notes: [{ kind: 'renamed', was: 'old/acc' }] },
    });
  });

  test('a renamed metric is not missed under its old name by another pattern', () => {
    const result = judge(
      runs({ 'new/acc': 0.9, 'test/f1': 0.8 }, { 'new/acc': 0.91, 'test/f1': 0.81 }),
      branch(runs({ 'test/acc': 0.9, 'test/f1': 0.8 }, { 'test/acc': 0.91, 'test/f1': 0.81 })),
      [rule({ metric: 'new/acc', was: 'test/acc' }), rule({ metric: 'test/*' })],
    );
    expect(result.metrics.map(({ metric, verdict }) => [metric, verdict])).toEqual([
      ['new/acc', 'pass'],
      ['test/f1', 'pass'],
    ]);
  });

  test('a pull request that still reports the old name only has not the metric', () => {
    const old = runs({ 'old/acc': 0.9 }, { 'old/acc': 0.91 });
    const result = judge(old, branch(old), rule({ was: 'old/acc' }));
    expect(result.verdict).toBe('undecided');
    expect(only(result).reasons[0]?.kind).toBe('missing');
  });

  test('a base commit without a number to believe is passed over, and that is said', () => {
    const diverged = runs({ 'test/acc': { value: 0, doubt: 'replaced' } });
    expect(only(judge(runs(...good), branch(diverged, runs(...BASE)))).comparison).toMatchObject({
      verdict: 'pass',
      commit: 'commit-2',
      notes: expect.arrayContaining([{ kind: 'nearest-unmeasured', commit: 'commit-2' }]),
    });
    const nothing = judge(runs(...good), branch(diverged, diverged));
    expect(only(nothing).comparison.reasons).toEqual([{ kind: 'unmeasured-in-baseline' }]);
    expect(explainComparison(only(nothing), only(nothing).comparison)[0]).toMatch(
      /fixes the cause, name a sound task with --baseline, or let a person override/,
    );
    expect(nothing.exitCode).toBe(6);
  });

  describe('a metric that is 0 on the whole base branch', () => {
    const unread: GateValue = { value: 0, doubt: 'unverified-zero' };
    const failures = rule({ metric: 'failures', goal: 'minimize', tolerance: 0.5 });
    const zeros = (...values: readonly GateValue[]) =>
      branch(...values.map((value) => runs({ failures: value })));

    test('may be 0 where the nearest commit is beyond doubt', () => {
      const history = zeros({ value: 0 }, unread, unread);
      const unexpected: GateValue = { value: 0, doubt: 'unexpected-zero' };
      expect(only(judge(runs({ failures: 0 }), history, failures)).comparison).toMatchObject({
        verdict: 'pass',
        history: [0, 0, 0],
      });
      expect(judge(runs({ failures: unexpected }), history, failures).verdict).toBe('pass');
      expect(judge(runs({ failures: 1 }), history, failures).verdict).toBe('regression');
    });

    test('is undecided where the console of the pull request was not read, or warns', () => {
      const history = zeros({ value: 0 }, unread, unread);
      for (const doubt of ['unverified-zero', 'replaced'] as const)
        expect(judge(runs({ failures: { value: 0, doubt } }), history, failures).verdict).toBe('undecided');
    });

    test.each(['unverified-zero', 'unexpected-zero'] as const)(
      'is not believed where each commit leaves a doubt (%s): a loss that diverged on every commit',
      (doubt) => {
        const zero: GateValue = { value: 0, doubt };
        expect(judge(runs({ failures: 5 }), zeros(zero, zero, zero), failures)).toMatchObject({
          verdict: 'undecided',
          exitCode: 6,
        });
        expect(judge(runs({ failures: zero }), zeros({ value: 0 }), failures).verdict).toBe('undecided');
      },
    );
  });

  test('numbers too large to compute with are undecided', () => {
    expect(only(judge(runs(1e308, -1e308), branch(runs(1e308, -1e308)))).comparison.reasons).toEqual([
      { kind: 'out-of-range' },
    ]);
  });
});

describe('the baseline', () => {
  const absent = (absence: BaselineAbsence): GateBaseline => ({ name: 'main', absence });

  test('that has no history yet passes with a notice; a single run is told that it tells little', () => {
    const notice = 'The base branch has no history yet, so there is nothing to compare with.';
    const single = 'A single run does not show how much runs differ by chance; several seeds would.';
    for (const [own, sentences] of [
      [runs(0.9), [notice, single]],
      [runs(0.9, 0.91), [notice]],
    ] as const) {
      const result = judge(own, absent('no-history'));
      expect(result).toMatchObject({ verdict: 'none', exitCode: 0 });
      const metric = only(result);
      expect(explainComparison(metric, metric.comparison)).toEqual(sentences);
    }
  });

  test('that has no history yet does not let a NaN pass', () => {
    expect(judge(runs(Number.NaN), absent('no-history'))).toMatchObject({
      verdict: 'undecided',
      exitCode: 6,
    });
  });

  test.each(['unreached', 'unknown'] as const)('that is %s is undecided, not "no history"', (absence) => {
    const result = judge(runs(0.9, 0.91), absent(absence));
    expect(result).toMatchObject({ verdict: 'undecided', exitCode: 6 });
    expect(only(result).comparison.reasons).toEqual([{ kind: `baseline-${absence}` }]);
  });

  test('may be several: a metric regresses if it does against any', () => {
    const anchor: GateBaseline = { ...branch(runs(0.99, 0.98, 0.97)), name: 'anchor' };
    const own = runs(0.9, 0.91, 0.92);
    const result = judge(own, [branch(runs(...BASE)), anchor]);
    expect(result).toMatchObject({ verdict: 'regression', exitCode: 5 });
    expect(result.metrics[0]?.comparisons.map(({ baseline, verdict }) => [baseline, verdict])).toEqual([
      ['main', 'pass'],
      ['anchor', 'regression'],
    ]);
    const [main, fixed] = result.metrics[0]?.comparisons ?? [];
    expect(fixed?.correctedPValue).toBeCloseTo(2 * (fixed?.pValue ?? 0), 12);
    expect(main?.correctedPValue).toBe(main?.pValue);
    expect(judge(own, [absent('no-history'), anchor]).verdict).toBe('regression');
    expect(judge(own, [branch(runs(...BASE)), absent('unreached')]).verdict).toBe('undecided');
  });

  test('that is a fixed anchor is judged by the noise that the branch tells', () => {
    const base = branch(...Array.from({ length: 10 }, () => runs(...BASE)));
    const anchor: GateBaseline = { ...branch(runs(0.91)), name: 'anchor' };
    const tolerant = rule({ tolerance: 0.001 });
    const [, chance] = judge(runs(0.9), [base, anchor], tolerant).metrics[0]?.comparisons ?? [];
    expect(chance).toMatchObject({ verdict: 'pass', rule: 'pooled' });
    expect(chance?.noise?.degreesOfFreedom).toBe(20);
    const [, loss] = judge(runs(0.85), [base, anchor], tolerant).metrics[0]?.comparisons ?? [];
    expect(loss).toMatchObject({ verdict: 'regression', rule: 'pooled' });
  });

  test('that is a noisy anchor does not blind the comparison with the branch, and that is said', () => {
    const steady = [0.895, 0.9, 0.905];
    const base = branch(...Array.from({ length: 10 }, () => runs(...steady)));
    const noisy: GateBaseline = { ...branch(runs(0.7, 0.85, 0.9)), name: 'anchor' };
    const own = runs(...steady.map((value) => value - 0.04));
    const result = judge(own, [base, noisy]);
    expect(result.verdict).toBe('regression');
    const [main, anchor] = result.metrics[0]?.comparisons ?? [];
    expect(main).toMatchObject({ verdict: 'regression', notes: [{ kind: 'spread-left-out' }] });
    expect(main?.noise?.standardDeviation).toBeCloseTo(0.005, 12);
    expect(main?.noise?.degreesOfFreedom).toBe(22);
    // The anchor itself is compared with by a spread that holds its own.
    expect(anchor).toMatchObject({ verdict: 'pass', notes: [] });
    expect(anchor?.noise?.degreesOfFreedom).toBe(24);
    const usual: GateBaseline = { ...branch(runs(0.89, 0.9, 0.91)), name: 'anchor' };
    const [kept] = judge(own, [base, usual]).metrics[0]?.comparisons ?? [];
    expect(kept).toMatchObject({ verdict: 'regression', notes: [], noise: { degreesOfFreedom: 24 } });
  });

  test('that is a commit of the history too tells the noise once, another one adds to it', () => {
    const base = branch(runs(...BASE), runs(...BASE));
    if (!('history' in base)) throw new Error('a branch has a history');
    const [, older] = base.history;
    if (older === undefined) throw new Error('two commits were given');
    const freedomWith = (anchor: GateBaseline) =>
      judge(runs(...BASE), [base, anchor]).metrics[0]?.comparisons[0]?.noise?.degreesOfFreedom;
    expect(freedomWith({ name: 'anchor', history: [older] })).toBe(6);
    expect(freedomWith({ ...branch(runs(...BASE)), name: 'anchor' })).toBe(8);
  });

  test('may be none, which judges nothing but does not let a NaN pass', () => {
    expect(judge(runs(0.9), [])).toMatchObject({ verdict: 'none', exitCode: 0 });
    expect(judge(runs(Number.NaN), [])).toMatchObject({ verdict: 'undecided', exitCode: 6 });
  });
});

describe('the verdict and exit code', () => {
  const bad = { 'a/x': 0.5, 'b/x': 0.9 };
  const values = [bad, { 'a/x': 0.51, 'b/x': 0.91 }, { 'a/x': 0.52, 'b/x': 0.92 }];
  const base = branch(
    runs({ 'a/x': 0.9, 'b/x': 0.9 }, { 'a/x': 0.91, 'b/x': 0.91 }, { 'a/x': 0.92, 'b/x': 0.92 }),
  );

  test.each<readonly [string, ReadonlyArray<Partial<MetricRule>>, string, number]>([
    ['nothing gated', [{ metric: 'a/x', gate: 'off' }], 'none', 0],
    ['a regression that fails', [{ metric: 'a/x' }, { metric: 'b/x' }], 'regression', 5],
    ['a regression that warns', [{ metric: 'a/x', gate: 'warn' }, { metric: 'b/x' }], 'regression', 0],
    [
      'a regression that warns, undecided that fails',
      [{ metric: 'a/x', gate: 'warn' }, { metric: 'c' }],
      'regression',
      6,
    ],
    ['a regression that fails, undecided that fails', [{ metric: 'a/x' }, { metric: 'c' }], 'regression', 5],
    ['undecided that warns', [{ metric: 'b/x' }, { metric: 'c', gate: 'warn' }], 'undecided', 0],
    ['undecided that fails', [{ metric: 'b/x' }, { metric: 'c' }], 'undecided', 6],
    ['passes', [{ metric: 'b/x' }], 'pass', 0],
  ])('%s', (_, rules, verdict, exitCode) => {
    expect(judge(runs(...values), base, rules.map(rule))).toMatchObject({ verdict, exitCode });
  });

  test('a pattern whose metrics all belong to rules above it misses nothing', () => {
    const rules = [rule({ metric: 'a/x', gate: 'warn' }), rule({ metric: 'a/*' }), rule({ metric: 'b/x' })];
    expect(judge(runs(...values), base, rules).metrics.map(({ metric }) => metric)).toEqual(['a/x', 'b/x']);
  });

  test('the first rule that names a metric decides about it', () => {
    const rules = [rule({ metric: 'a/x', gate: 'off' }), rule({ metric: '*' })];
    expect(judge(runs(...values), base, rules).metrics.map(({ metric }) => metric)).toEqual(['b/x']);
  });
});

describe('whatever the numbers,', () => {
  const value = fc.integer({ min: -8000, max: 8000 }).map((eighths) => eighths / 8);
  const sample = fc.array(value, { minLength: 1, maxLength: 5 });
  const history = fc.array(sample, { minLength: 1, maxLength: 6 });
  const settings = { seed: 7, numRuns: 300 } as const;
  const judgeValues = (
    own: readonly number[],
    base: ReadonlyArray<readonly number[]>,
    more: Partial<MetricRule> = {},
  ) => judge(runs(...own), branch(...base.map((values) => runs(...values))), rule(more));

  test('turning signs and goal round turns nothing else round', () => {
    const turn = (values: readonly number[]) => values.map((each) => -each);
    fc.assert(
      fc.property(sample, history, (own, base) => {
        const a = only(judgeValues(own, base));
        const b = only(judgeValues(turn(own), base.map(turn), { goal: 'minimize' }));
        expect(b.verdict).toBe(a.verdict);
        expect(b.comparison.pValue).toEqual(a.comparison.pValue);
      }),
      settings,
    );
  });

  test('the unit of a metric does not matter', () => {
    fc.assert(
      fc.property(sample, history, fc.integer({ min: -30, max: 30 }), (own, base, exponent) => {
        const scale = (values: readonly number[]) => values.map((each) => each * 2 ** exponent);
        const a = only(judgeValues(own, base));
        const b = only(judgeValues(scale(own), base.map(scale)));
        expect(b.verdict).toBe(a.verdict);
        expect(b.comparison.pValue ?? -1).toBeCloseTo(a.comparison.pValue ?? -1, 9);
      }),
      settings,
    );
  });

  /** With runs that are much worse already, few draws are in vain. */
  const shift = fc.constantFrom(0, 300, 1000, 3000);

  test('lowering every run of the pull request never turns a regression into a pass', () => {
    fc.assert(
      fc.property(sample, history, shift, fc.integer({ min: 1, max: 1000 }), (values, base, lower, step) => {
        const own = values.map((each) => each - lower);
        fc.pre(judgeValues(own, base).verdict === 'regression');
        expect(
          judgeValues(
            own.map((each) => each - step),
            base,
          ).verdict,
        ).toBe('regression');
      }),
      { ...settings, numRuns: 100 },
    );
  });

  test('a regression is a loss, lies beyond the interval, and its corrected p-value is at most alpha', () => {
    fc.assert(
      fc.property(sample, history, (own, base) => {
        const { verdict, comparison } = only(judgeValues(own, base));
        if (comparison.pValue === null || comparison.change === null || comparison.interval === null) return;
        const isBeyond = -comparison.change > comparison.interval * (1 + 1e-6);
        const isWithin = -comparison.change < comparison.interval * (1 - 1e-6);
        expect(comparison.correctedPValue).toBeGreaterThanOrEqual(comparison.pValue);
        if (isBeyond) expect(verdict).toBe('regression');
        const isUneven = comparison.reasons.some(({ kind }) => kind === 'uneven-spread');
        if (isWithin) expect(verdict).toBe(isUneven ? 'undecided' : 'pass');
      }),
      settings,
    );
  });

  test('a run without a measurement never passes', () => {
    const hole = fc.constantFrom<Values>(
      {},
      { 'test/acc': Number.NaN },
      { 'test/acc': Number.NEGATIVE_INFINITY },
      { 'test/acc': { value: 1e6, doubt: 'replaced' } },
    );
    fc.assert(
      fc.property(sample, hole, history, (own, missing, base) => {
        const pullRequest = runs(...own, missing);
        const result = judge(
          pullRequest,
          branch(...base.map((values) => runs(...values))),
          rule({ tolerance: 1e9 }),
        );
        expect(result).toMatchObject({ verdict: 'undecided', exitCode: 6 });
      }),
      settings,
    );
  });

  test('every pass says what it could have missed, every undecided why', () => {
    fc.assert(
      fc.property(sample, history, fc.constantFrom(0, 0.1, '5%'), (own, base, tolerance) => {
        const metric = only(judgeValues(own, base, { tolerance }));
        const sentences = explainComparison(metric, metric.comparison);
        if (metric.verdict === 'pass')
          expect(sentences.join(' ')).toMatch(/slip through|would have been detected|is unknown/);
        if (metric.verdict === 'undecided') expect(metric.comparison.reasons.length).toBeGreaterThan(0);
        expect(sentences.join(' ')).not.toMatch(/NaN|undefined|null|infinity/);
      }),
      { ...settings, numRuns: 100 },
    );
  });
});
