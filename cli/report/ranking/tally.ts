import type { ReportMetric } from '../metrics.ts';
import { isStruck } from './families.ts';

/** How many metrics got better or worse: of those that the settings name, else of all but bookkeeping. */
export interface Tally {
  /** How many both sides report. */
  readonly metrics: number;
  readonly worse: number;
  readonly better: number;
  /** Exactly the same. */
  readonly same: number;
  /** Changes that chance explains. */
  readonly noise: number;
  /** What is no number, or may be none, although the base's is one. */
  readonly notNumbers: number;
  /** None of those may be a number after all. */
  readonly isDoubtCertain: boolean;
  /** Reported by the base only, or by the pull request only. */
  readonly gone: number;
  readonly new: number;
  /** The one that got worse most, or has no number any more. */
  readonly worst: string | null;
  /** How much runs differ by chance is known for everything that is called better or worse. */
  readonly isNoiseKnown: boolean;
}

/** Counts metrics of a completed training that has a baseline. */
export function countEffects(
  described: ReadonlyArray<{ readonly metric: ReportMetric; readonly isNoiseKnown: boolean }>,
): Tally {
  const metrics = described.map(({ metric }) => metric);
  const count = (has: (metric: ReportMetric) => boolean) => metrics.filter(has).length;
  const doubted = metrics.filter(
    ({ value, baseline, doubts }) => value === null && baseline !== null && doubts.length > 0,
  );
  const isJudged = ({ effect }: ReportMetric) => effect === 'better' || effect === 'worse';
  return {
    metrics: count(({ presence }) => presence === 'both'),
    worse: count(({ effect }) => effect === 'worse'),
    better: count(({ effect }) => effect === 'better'),
    same: count(({ effect }) => effect === 'same'),
    noise: count(({ effect }) => effect === 'noise'),
    notNumbers: doubted.length,
    isDoubtCertain: doubted.every(({ doubts }) => doubts.every(({ isCertain }) => isCertain)),
    gone: count(({ presence }) => presence === 'gone'),
    new: count(({ presence }) => presence === 'new'),
    worst: metrics.find(isStruck)?.metric ?? null,
    isNoiseKnown: described.every(({ metric, isNoiseKnown }) => isNoiseKnown || !isJudged(metric)),
  };
}
