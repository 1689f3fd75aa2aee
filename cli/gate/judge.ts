import type { MetricRule } from '../shell/config.ts';
import { EXIT_CODES } from '../shell/failure.ts';
import { matchesPattern } from '../text/pattern.ts';

import { isEnded, isSuccess } from '../training/task.ts';
import {
  decideEstimate,
  describeAbsence,
  describeSameTraining,
  type Estimate,
  estimatePair,
  type Pair,
  pickWorst,
  type TestResult,
  testEstimate,
} from './comparison.ts';
import type {
  Comparison,
  GateBaseline,
  GateInput,
  GateNote,
  GateReason,
  GateResult,
  GateRun,
  MeasurementProblem,
  MetricJudgement,
} from './data.ts';
import { correctHolm } from './holm.ts';
import { assignRole, type Goal } from './metric-rules.ts';
import { estimateNoise, findMean, isUneven } from './noise.ts';
import {
  countReports,
  type DistinctRuns,
  dropRepeats,
  findFewest,
  findShortest,
  isAlwaysZero,
  measureRun,
} from './runs.ts';
import type { Statistics } from './statistics.ts';

/** How often the gate may object to a pull request that is no worse, where the settings do not say. */
export const DEFAULT_ALPHA = 0.05;

/**
 * Judges the gated metrics. A metric regresses where its best estimate is worse than the nearest base commit's by more
 * than the tolerance and, where the noise is known, a one-sided t-test says that chance does not explain it; all gated
 * metrics and baselines together raise a false alarm in at most `alpha` of the unchanged pull requests. Whatever was not
 * measured is undecided, never a pass.
 */
export function judgeGate(input: GateInput, statistics: Statistics): GateResult {
  const gated = listGated(input);
  const names = gated.map(({ name, rule }) => ({ name, was: rule.was }));
  const pullRequest = dropRepeats(input.pullRequest, names);
  const bases = input.baselines.map((baseline): Base => {
    if (!('history' in baseline)) return { baseline, commits: [] };
    const commits = baseline.history.map(({ commit, runs }) => ({ commit, ...dropRepeats(runs, names) }));
    return { baseline, commits };
  });
  const drafts = gated.map((metric) => draftMetric(metric, pullRequest, bases, statistics));

  // Where no gated metric ever varied, that all of them agree is one event; else each has its share of alpha.
  const outlierLevel = input.alpha / (drafts.every(isConstant) ? 1 : drafts.length);
  const estimates = new Map(
    drafts.flatMap(({ pairs }) => pairs.map((pair) => [pair, estimatePair(pair, outlierLevel)])),
  );
  const results = testEstimates(drafts, estimates, input.alpha, statistics);

  const metrics = drafts.map(({ metric, value, reasons, pairs }): MetricJudgement => {
    const comparisons = pairs.map((pair): Comparison => {
      const estimate = estimates.get(pair);
      if (estimate !== undefined) return decideEstimate(estimate, results.get(pair), input.alpha, statistics);
      if (pair.isSameTraining && !pair.isBlocked) return describeSameTraining(pair);
      return describeAbsence(pair, pair.reasons.length > 0 || pair.isBlocked ? 'undecided' : 'none');
    });
    const verdict =
      reasons.length > 0 ? 'undecided' : pickWorst(comparisons.map((comparison) => comparison.verdict));
    const { name, gate, goal } = metric;
    return { metric: name, gate, goal, verdict, value, reasons, comparisons };
  });
  return { ...sumUp(input.pullRequest, metrics), metrics };
}

/** The base tells how much the metric varies: not at all. */
function isConstant({ pairs }: MetricDraft): boolean {
  return pairs.every(({ noise }) => noise?.standardDeviation === 0);
}

/** The p-values of the pairs that are tested, corrected: metrics that are compared directly spend their share of alpha. */
function testEstimates(
  drafts: readonly MetricDraft[],
  estimates: ReadonlyMap<Pair, Estimate | undefined>,
  alpha: number,
  statistics: Statistics,
): ReadonlyMap<Pair, TestResult> {
  const tests = [...estimates].flatMap(([pair, estimate]) => {
    const pValue = estimate === undefined ? undefined : testEstimate(estimate, statistics);
    return pValue === undefined ? [] : [{ pair, pValue }];
  });
  const tested = new Set(tests.map(({ pair }) => pair));
  const metrics = drafts.filter(({ pairs }) => pairs.some((pair) => tested.has(pair))).length;
  const direct = drafts.filter(({ pairs }) =>
    pairs.every((pair) => estimates.get(pair)?.rule === 'deterministic' && !pair.isBlocked),
  ).length;
  const share = metrics / Math.max(1, metrics + direct);
  const corrections = correctHolm(
    tests.map(({ pValue }) => pValue),
    share * alpha,
  );
  return new Map(
    tests.flatMap(({ pair, pValue }, index) => {
      const correction = corrections[index];
      if (correction === undefined) return [];
      const corrected = Math.min(1, correction.corrected / share);
      return [[pair, { level: correction.level, corrected, pValue, metrics }] as const];
    }),
  );
}

interface GatedMetric {
  readonly name: string;
  readonly rule: MetricRule;
  readonly gate: 'fail' | 'warn';
  readonly goal: Goal;
}

/**
 * The metrics that a rule gates: those of the pull request, and those of the nearest base commit, so that one that is
 * gone is missed. A gated rule that fits none of them stands for a missing metric too.
 */
function listGated({ rules, pullRequest, baselines }: GateInput): GatedMetric[] {
  const own = pullRequest.flatMap(({ values }) => [...values.keys()]);
  const [nearest] = baselines.flatMap((baseline) => ('history' in baseline ? [baseline.history[0]] : []));
  const oldNames = new Set(rules.map(({ was }) => was));
  const expected = (nearest?.runs ?? [])
    .flatMap(({ values }) => [...values.keys()])
    .filter((name) => !oldNames.has(name));
  const byRule = new Map<MetricRule, string[]>(rules.map((rule) => [rule, []]));
  const known = [...new Set([...own, ...expected])].sort();
  for (const name of known) {
    const { rule } = assignRole(name, rules);
    if (rule !== undefined) byRule.get(rule)?.push(name);
  }
  return [...byRule].flatMap(([rule, names]) => {
    const { gate, goal } = rule;
    if (gate === 'off' || goal === undefined) return [];
    // A pattern whose metrics all belong to rules above it misses nothing.
    const isMissed = names.length === 0 && !known.some((name) => matchesPattern(rule.metric, name));
    return (isMissed ? [rule.metric] : names).map((name) => ({ name, rule, gate, goal }));
  });
}

interface Base {
  readonly baseline: GateBaseline;
  readonly commits: ReadonlyArray<DistinctRuns & { readonly commit: string }>;
}

interface MetricDraft {
  readonly metric: GatedMetric;
  readonly value: number | null;
  readonly reasons: readonly GateReason[];
  readonly pairs: readonly Pair[];
}

function draftMetric(
  metric: GatedMetric,
  pullRequest: DistinctRuns,
  bases: readonly Base[],
  statistics: Statistics,
): MetricDraft {
  // The pull request reports the metric by its present name, whatever it was called before.
  const { name, rule, goal } = metric;
  const isZeroUsual = bases.some(({ commits }) =>
    isAlwaysZero(
      commits.map(({ runs }) => runs),
      { name, was: rule.was },
    ),
  );
  const values: number[] = [];
  const problems = new Map<MeasurementProblem, string[]>();
  for (const run of pullRequest.runs) {
    const measurement = measureRun(run, { name }, isZeroUsual ? ['unexpected-zero'] : []);
    if ('value' in measurement) values.push(measurement.value);
    else problems.set(measurement.problem, [...(problems.get(measurement.problem) ?? []), run.task]);
  }
  const reasons: GateReason[] = [...problems].map(([kind, tasks]) => ({ kind, tasks }));
  if (pullRequest.runs.length === 0) reasons.push({ kind: 'missing', tasks: [] });
  reasons.push(...checkIterations(rule, name, pullRequest.runs, bases));
  return {
    metric,
    value: values.length === 0 ? null : findMean(values),
    reasons,
    pairs: shareNoise(
      values,
      bases.map((base) => ({
        baseline: base.baseline.name,
        goal,
        rule,
        values,
        isBlocked: reasons.length > 0 || base.baseline.hasUnfinished === true,
        isSameTraining: base.baseline.isSameTraining === true,
        ...draftBase({ name, was: rule.was }, base, pullRequest, isZeroUsual),
      })),
      statistics,
    ),
  };
}

/**
 * How much a metric varies is asked of all baselines together: the longest history, and what the others add, but for those
 * whose runs differ far more: they are judged by a spread that holds theirs, and the others without it. A commit of the history
 * stays whatever its spread: where noise has heavy tails, leaving out the widest of many makes the rest look too steady
 * (simulated: false alarms above the claimed 7%).
 */
function shareNoise(
  values: readonly number[],
  pairs: ReadonlyArray<Omit<Pair, 'noise'>>,
  statistics: Statistics,
): Pair[] {
  const [longest, ...others] = [...pairs].sort((a, b) => b.commits.length - a.commits.length);
  const seen = new Set(others.length === 0 ? [] : longest?.commits.flatMap(({ tasks }) => tasks));
  const further = others.flatMap(({ commits }) =>
    commits.filter(({ tasks }) => {
      const isKnown = tasks.some((task) => seen.has(task));
      for (const task of tasks) seen.add(task);
      return !isKnown;
    }),
  );
  // The same commit by another baseline tells nothing new.
  const toValues = (commits: Pair['commits']) => commits.map((commit) => commit.values);
  const history = toValues(longest?.commits ?? []);
  const uneven = further.filter((commit) => isUneven(commit.values, history, statistics));
  return pairs.map((pair): Pair => {
    const leftOut = uneven.filter((commit) => !pair.commits.includes(commit));
    const others = further.filter((commit) => !leftOut.includes(commit));
    const note: GateNote = { kind: 'spread-left-out', commits: leftOut.map(({ commit }) => commit) };
    return {
      ...pair,
      noise: estimateNoise(values, history, toValues(others)),
      notes: leftOut.length === 0 ? pair.notes : [...pair.notes, note],
    };
  });
}

/** A share of the base's holds for the metric's own reports too: a run may go on after its metric has stopped. */
function checkIterations(
  { was, 'min-iterations': minimum }: MetricRule,
  name: string,
  runs: readonly GateRun[],
  bases: readonly Base[],
): GateReason[] {
  if (minimum === undefined) return [];
  const [nearest = []] = bases.flatMap(({ commits }) => (commits[0] === undefined ? [] : [commits[0].runs]));
  const share = typeof minimum === 'number' ? undefined : Number.parseFloat(minimum) / 100;
  const required = typeof minimum === 'number' ? minimum : (share ?? 0) * (findShortest(nearest) ?? 0);
  const short = runs.filter(({ iterations }) => (iterations ?? 0) < required);
  const requiredReports = (share ?? 0) * (findFewest(nearest, { name, was }) ?? 0);
  const stopped = runs.filter((run) => (countReports(run, { name }) ?? requiredReports) < requiredReports);
  return [
    ...listShort('too-few-iterations', short, required),
    ...listShort('too-few-reports', stopped, requiredReports),
  ];
}

function listShort(
  kind: 'too-few-iterations' | 'too-few-reports',
  runs: readonly GateRun[],
  required: number,
): GateReason[] {
  return runs.length === 0
    ? []
    : [{ kind, tasks: runs.map(({ task }) => task), required: Math.ceil(required) }];
}

function draftBase(
  name: { readonly name: string; readonly was: string | undefined },
  { baseline, commits }: Base,
  pullRequest: DistinctRuns,
  isZeroUsual: boolean,
): Pick<Pair, 'commits' | 'reasons' | 'notes'> {
  if ('absence' in baseline) {
    return {
      commits: [],
      reasons: baseline.absence === 'no-history' ? [] : [{ kind: `baseline-${baseline.absence}` }],
      notes: baseline.absence === 'no-history' ? [{ kind: 'no-history' }] : [],
    };
  }
  const believed = isZeroUsual ? (['unexpected-zero', 'unverified-zero'] as const) : [];
  const measurements = commits.map(({ commit, runs }) => ({
    commit,
    found: runs.map((run) => ({ task: run.task, measurement: measureRun(run, name, believed) })),
  }));
  const measured = measurements.flatMap(({ commit, found }) => {
    const values = found.flatMap(({ task, measurement }) =>
      'value' in measurement ? [{ task, value: measurement.value }] : [],
    );
    const tasks = values.map(({ task }) => task);
    return values.length === 0 ? [] : [{ commit, tasks, values: values.map(({ value }) => value) }];
  });
  const [nearest] = measured;
  if (nearest === undefined) {
    const isMissing = measurements.every(({ found }) =>
      found.every(({ measurement }) => 'problem' in measurement && measurement.problem === 'missing'),
    );
    return {
      commits: [],
      reasons: [{ kind: isMissing ? 'missing-in-baseline' : 'unmeasured-in-baseline' }],
      notes: [],
    };
  }
  const notes: GateNote[] = [];
  const source = commits.find(({ commit }) => commit === nearest.commit);
  if (nearest.commit !== commits[0]?.commit)
    notes.push({ kind: 'nearest-unmeasured', commit: nearest.commit });
  if (name.was !== undefined && source?.runs.every(({ values }) => !values.has(name.name)) === true) {
    notes.push({ kind: 'renamed', was: name.was });
  }
  if (pullRequest.seedless > 0) {
    notes.push({ kind: 'seed-not-used', side: 'pull-request', runs: pullRequest.seedless });
  }
  if (source !== undefined && source.seedless > 0) {
    notes.push({ kind: 'seed-not-used', side: 'base', runs: source.seedless });
  }
  const iterations = findShortest(source?.runs ?? []) ?? 0;
  const fewer = pullRequest.runs.filter((run) => run.iterations !== null && run.iterations < iterations);
  if (fewer.length > 0) {
    notes.push({ kind: 'fewer-iterations', tasks: fewer.map(({ task }) => task), baseline: iterations });
  }
  const reports = findFewest(source?.runs ?? [], name) ?? 0;
  const stopped = pullRequest.runs.filter(
    (run) => (countReports(run, { name: name.name }) ?? reports) < reports,
  );
  if (stopped.length > 0) {
    notes.push({ kind: 'fewer-reports', tasks: stopped.map(({ task }) => task), baseline: reports });
  }
  return {
    commits: measured,
    reasons: baseline.hasUnfinished === true ? [{ kind: 'baseline-unfinished' }] : [],
    notes,
  };
}

function sumUp(
  runs: readonly GateRun[],
  metrics: readonly MetricJudgement[],
): Pick<GateResult, 'verdict' | 'exitCode'> {
  const blocking = metrics.filter(({ gate }) => gate === 'fail');
  const isUndecided = blocking.length > 0 ? EXIT_CODES.undecided : EXIT_CODES.done;
  if (runs.some(({ status }) => isEnded(status) && !isSuccess(status))) {
    return { verdict: 'failed', exitCode: isUndecided };
  }
  if (runs.some(({ status }) => !isSuccess(status))) return { verdict: 'pending', exitCode: isUndecided };
  const blocks = pickWorst(blocking.map(({ verdict }) => verdict));
  return {
    verdict: pickWorst(metrics.map(({ verdict }) => verdict)),
    exitCode:
      blocks === 'regression'
        ? EXIT_CODES.regression
        : blocks === 'undecided'
          ? EXIT_CODES.undecided
          : EXIT_CODES.done,
  };
}
