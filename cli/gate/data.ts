import type { MetricRule } from '../shell/config.ts';
import type { EXIT_CODES } from '../shell/failure.ts';
import type { TaskStatus } from '../training/task.ts';
import type { Goal } from './metric-rules.ts';
import type { Noise } from './noise.ts';
import type { ValueDoubt } from './suspicious-value.ts';

/** A metric of one run: the number that counts (`value` in its rule). */
export interface GateValue {
  readonly value: number;
  /** Why it is no measurement; undefined where it is one. */
  readonly doubt?: GateDoubt | undefined;
  /** How many times the run reported the metric; undefined where not known. */
  readonly reports?: number | undefined;
}

type GateDoubt =
  | ValueDoubt
  /** Two pairs of title and series join to this name. */
  | 'ambiguous';

/** A task. */
export interface GateRun {
  readonly task: string;
  /** null where the task has no seed. */
  readonly seed: string | null;
  readonly status: TaskStatus;
  /** null where not known. */
  readonly iterations: number | null;
  /** By the metric's name. */
  readonly values: ReadonlyMap<string, GateValue>;
  /** All results of the run, gated or not, in one text that is equal only where they are bit-identical. */
  readonly fingerprint?: string | undefined;
}

/** A commit with all its runs. */
export interface GateCommit {
  readonly commit: string;
  readonly runs: readonly GateRun[];
}

/** What the pull request is compared with: its history, or why there is none. */
export type GateBaseline = {
  /** For people: a branch, a tag, a task. */
  readonly name: string;
  /** The pull request's runs are the nearest commit's own training: whatever differs is chance. */
  readonly isSameTraining?: boolean | undefined;
  /** A commit nearer than the nearest of the history is still being trained, or too much of the nearest itself. */
  readonly hasUnfinished?: boolean | undefined;
} & ({ readonly history: readonly [GateCommit, ...GateCommit[]] } | { readonly absence: BaselineAbsence });

/** Why there is no history. */
export type BaselineAbsence =
  /** Nothing of this pipeline was ever trained there: the first run of a new repository. */
  | 'no-history'
  /** There are tasks, but the look-up did not reach them. */
  | 'unreached'
  /** Nothing has been trained within reach yet, but something is being trained. */
  | 'unfinished'
  /** GitHub was not asked, or did not tell. */
  | 'unknown';

/** How often the gate may object to a pull request that is no worse, where the settings do not say. */
export const DEFAULT_ALPHA = 0.05;

/** What is judged, and by which rules. */
export interface GateInput {
  readonly rules: readonly MetricRule[];
  readonly alpha: number;
  readonly pullRequest: readonly GateRun[];
  /** The moving one first, fixed anchors after it; histories nearest commit first. */
  readonly baselines: readonly GateBaseline[];
}

/** What decided. */
export type GateRule =
  /** t-test, variance within commits. */
  | 'pooled'
  /** t-test, variance from successive commits. */
  | 'successive-differences'
  /** The base never varied: any loss beyond the tolerance is one. */
  | 'deterministic'
  /** Noise unknown: the tolerance alone. */
  | 'tolerance'
  /** The same code with the same settings: nothing to compare. */
  | 'same-training';

/** Why a run has no measurement of a metric. */
export type MeasurementProblem = 'not-completed' | 'missing' | GateDoubt;

/** Why a metric can't be judged. Tasks are ids. */
export type GateReason =
  | { readonly kind: MeasurementProblem; readonly tasks: readonly string[] }
  | { readonly kind: 'too-few-iterations'; readonly tasks: readonly string[]; readonly required: number }
  /** The run went on, but the metric stopped early. */
  | { readonly kind: 'too-few-reports'; readonly tasks: readonly string[]; readonly required: number }
  /** The base has tasks, none of them with this metric (`was` names an old name). */
  | { readonly kind: 'missing-in-baseline' }
  /** The base's tasks have the metric, none of them a number to believe. */
  | { readonly kind: 'unmeasured-in-baseline' }
  | { readonly kind: 'baseline-unreached' | 'baseline-unfinished' | 'baseline-unknown' }
  /** The base does not tell how much runs differ, and no tolerance could decide alone. */
  | {
      readonly kind: 'noise-unknown';
      readonly because:
        | 'single-runs'
        /** The pull request has several runs, the base one. */
        | 'single-base-run'
        /** The base's runs agree, but are too few to be sure that others would. */
        | 'too-few-agree';
      readonly baseRuns: number;
      /** How many more base runs that agree would decide; null where they do not agree, or are single. */
      readonly neededRuns: number | null;
    }
  /** Nor does a tolerance that is a percentage of 0. */
  | { readonly kind: 'share-of-zero'; readonly tolerance: string }
  /** A loss, and the pull request's runs differ more than chance explains well. */
  | {
      readonly kind: 'uneven-spread';
      /** Standard deviations. */
      readonly pullRequest: number;
      readonly base: number;
      /** How often runs of the same code would differ so unevenly, in this metric alone. */
      readonly pValue: number;
    }
  | { readonly kind: 'detect-within-tolerance'; readonly detect: number; readonly tolerance: number }
  /** Numbers too large to compute with. */
  | { readonly kind: 'out-of-range' }
  | {
      readonly kind: 'too-few-runs';
      readonly detect: number;
      /** The smallest loss that these runs see; null where the noise is unknown. */
      readonly missable: number | null;
      /** Further runs that would decide; null where the noise is unknown, or 100 a side are not enough. */
      readonly needed: RunCounts | null;
    };

/** What a reader should know although it decides nothing. */
export type GateNote =
  | { readonly kind: 'no-history' }
  | { readonly kind: 'fewer-iterations'; readonly tasks: readonly string[]; readonly baseline: number }
  | { readonly kind: 'fewer-reports'; readonly tasks: readonly string[]; readonly baseline: number }
  /** Different seeds, bit-identical results: counted as one run. */
  | { readonly kind: 'seed-not-used'; readonly side: 'pull-request' | 'base'; readonly runs: number }
  /** The claimed rate of false alarms is for equally many runs, two or more, a side (README, "The gate"). */
  | { readonly kind: 'uneven-runs'; readonly pullRequest: number; readonly base: number }
  /** No worse than base runs that agree, but are too few to be sure that others would. */
  | { readonly kind: 'few-agree'; readonly baseRuns: number; readonly neededRuns: number }
  /** A loss passed, and the range that chance explains owes much to runs other than the base's own. */
  | { readonly kind: 'range-widened'; readonly by: 'own-runs' | 'other-baselines'; readonly ratio: number }
  /** Commits of other baselines whose runs differ far more: how much runs differ is told without them. */
  | { readonly kind: 'spread-left-out'; readonly commits: readonly string[] }
  /** The nearest commit has no number to believe; an older one stands in. */
  | { readonly kind: 'nearest-unmeasured'; readonly commit: string }
  | { readonly kind: 'renamed'; readonly was: string };

/** What is said of a metric; `none` where nothing was compared. */
export type MetricVerdict = 'pass' | 'regression' | 'undecided' | 'none';

/** How many runs each side has. */
export interface RunCounts {
  readonly pullRequest: number;
  readonly base: number;
}

/** A metric against one baseline. Everything in the metric's own unit. */
export interface Comparison {
  readonly baseline: string;
  readonly verdict: MetricVerdict;
  /** null where nothing was judged. */
  readonly rule: GateRule | null;
  /** The commit compared with. */
  readonly commit: string | null;
  /** Mean over that commit's runs. */
  readonly base: number | null;
  /** Value minus base. */
  readonly change: number | null;
  /** The tolerance that held. */
  readonly tolerance: number | null;
  /** How many runs count on each side; bit-identical ones once. */
  readonly runs: RunCounts;
  /** Means of the base commits that were looked at, nearest first. */
  readonly history: readonly number[];
  readonly noise: Pick<Noise, 'standardDeviation' | 'degreesOfFreedom'> | null;
  /** Half width of the range around `base` that chance explains: a mean beyond it, on the worse side, is significant. */
  readonly interval: number | null;
  readonly pValue: number | null;
  /** After Holm's correction over all gated metrics and baselines. */
  readonly correctedPValue: number | null;
  /** The smallest loss that these runs see in 4 of 5 cases; null where the noise is unknown. */
  readonly missable: number | null;
  readonly reasons: readonly GateReason[];
  readonly notes: readonly GateNote[];
}

/** A metric with its verdict, and how it came about. */
export interface MetricJudgement {
  /** Its name; the rule's pattern where it matched nothing. */
  readonly metric: string;
  readonly gate: 'fail' | 'warn';
  readonly goal: Goal;
  readonly verdict: MetricVerdict;
  /** Mean over the pull request's runs; null where none measured it. */
  readonly value: number | null;
  /** What keeps the pull request's own runs from being judged. */
  readonly reasons: readonly GateReason[];
  /** One a baseline, in their order. */
  readonly comparisons: readonly Comparison[];
}

/** What the gate says of all metrics together. */
export interface GateResult {
  /** The first that holds (public contract). Here `failed` and `pending` are about the pull request's tasks. */
  readonly verdict: 'failed' | 'pending' | 'none' | 'regression' | 'undecided' | 'pass';
  /** What the gate says as an exit code, if it may object: 0, 5 or 6. */
  readonly exitCode: typeof EXIT_CODES.done | typeof EXIT_CODES.regression | typeof EXIT_CODES.undecided;
  /** In the order of the rules, then by name. */
  readonly metrics: readonly MetricJudgement[];
}
