import { EXIT_CODES } from '../shell/failure.ts';
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
import type { Comparison, GateInput, GateResult, GateRun, MetricJudgement } from './data.ts';
import { draftMetrics, type MetricDraft } from './pairs.ts';
import { correctHolm } from './statistics.ts';

/**
 * Judges the gated metrics. A metric regresses if its mean is worse than the nearest base commit's by more than the
 * tolerance and, where the noise is known, a one-sided t-test rejects chance. All gated metrics and baselines together
 * raise a false alarm in at most `alpha` of the unchanged pull requests. What was not measured is undecided, never a pass.
 */
export function judgeGate(input: GateInput): GateResult {
  const drafts = draftMetrics(input);

  // If no gated metric ever varied, their agreement is one event; otherwise each has its share of alpha.
  const outlierLevel = input.alpha / (drafts.every(isConstant) ? 1 : drafts.length);
  const estimates = new Map(
    drafts.flatMap(({ pairs }) => pairs.map((pair) => [pair, estimatePair(pair, outlierLevel)])),
  );
  const results = testEstimates(drafts, estimates, input.alpha);

  const metrics = drafts.map(({ name, gate, goal, value, reasons, pairs }): MetricJudgement => {
    const comparisons = pairs.map((pair): Comparison => {
      const estimate = estimates.get(pair);
      if (estimate !== undefined) return decideEstimate(estimate, results.get(pair), input.alpha);
      if (pair.isSameTraining && !pair.isBlocked) return describeSameTraining(pair);
      return describeAbsence(pair, pair.reasons.length > 0 || pair.isBlocked ? 'undecided' : 'none');
    });
    const verdict =
      reasons.length > 0 ? 'undecided' : pickWorst(comparisons.map((comparison) => comparison.verdict));
    return { metric: name, gate, goal, verdict, value, reasons, comparisons };
  });
  return { ...sumUp(input.pullRequest, metrics), metrics };
}

/** The metric never varied on the base. */
function isConstant({ pairs }: MetricDraft): boolean {
  return pairs.every(({ noise }) => noise?.standardDeviation === 0);
}

/** The p-values of the tested pairs, after Holm's correction. Metrics that are compared directly spend their share of alpha. */
function testEstimates(
  drafts: readonly MetricDraft[],
  estimates: ReadonlyMap<Pair, Estimate | undefined>,
  alpha: number,
): ReadonlyMap<Pair, TestResult> {
  const tests = [...estimates].flatMap(([pair, estimate]) => {
    const pValue = estimate === undefined ? undefined : testEstimate(estimate);
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
  const worst = pickWorst(blocking.map(({ verdict }) => verdict));
  return {
    verdict: pickWorst(metrics.map(({ verdict }) => verdict)),
    exitCode: EXIT_CODES[worst === 'regression' || worst === 'undecided' ? worst : 'done'],
  };
}
