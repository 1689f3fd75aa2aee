import type { MetricRule } from '../shell/config.ts';
import type { EXIT_CODES } from '../shell/failure.ts';
import type { TaskStatus } from '../training/task.ts';
import type { Goal } from './metric-rules.ts';
import type { Noise } from './noise.ts';
import type { ValueDoubt } from './suspicious-value.ts';

/** A metric of one run: the number that `value` in its rule selects. */
export interface GateValue {
  readonly value: number;
  /** Why it is not a measurement. */
  readonly doubt?: GateDoubt | undefined;
  /** How many times the run reported the metric; undefined if unknown. */
  readonly reports?: number | undefined;
}

/** `ambiguous`: two pairs of title and series join to this name. */
type GateDoubt = ValueDoubt | 'ambiguous';

/** A task. */
export interface GateRun {
  readonly task: string;
  /** null if the task has no seed. */
  readonly seed: string | null;
  /** The seed did not reach the training, as far as the task shows. */
  readonly isSeedLost?: boolean | undefined;
  readonly status: TaskStatus;
  /** null if unknown. */
  readonly iterations: number | null;
  /** By the metric's name. */
  readonly values: ReadonlyMap<string, GateValue>;
  /** All results of the run, gated or not, as a text that is equal only if they are bit-identical. */
  readonly fingerprint?: string | undefined;
}

/** A commit with all its runs. */
export interface GateCommit {
  readonly commit: string;
  readonly runs: readonly GateRun[];
}

/** What the pull request is compared with: its history, or why it has none. */
export type GateBaseline = {
  /** The name of a branch, tag or task. */
  readonly name: string;
  /** The pull request's runs are the nearest commit's own training, so any difference is chance. */
  readonly isSameTraining?: boolean | undefined;
  /** A nearer commit than those of the history is still being trained, or too much of the nearest itself. */
  readonly hasUnfinished?: boolean | undefined;
} & ({ readonly history: readonly [GateCommit, ...GateCommit[]] } | { readonly absence: BaselineAbsence });

/** Why a baseline has no history. */
export type BaselineAbsence =
  /** The branch was never trained in this pipeline, as in a new repository. */
  | 'no-history'
  /** The branch was trained, but at no commit within reach. */
  | 'unreached'
  /** A commit within reach is being trained, and none has been yet. */
  | 'unfinished'
  /** GitHub was not asked, or did not answer. */
  | 'unknown';

/** How often the gate may object to a pull request that is no worse, by default. */
export const DEFAULT_ALPHA = 0.05;

/** What to judge, by which rules. */
export interface GateInput {
  readonly rules: readonly MetricRule[];
  readonly alpha: number;
  readonly pullRequest: readonly GateRun[];
  /** The moving one first, fixed anchors after it; histories nearest commit first. */
  readonly baselines: readonly GateBaseline[];
}

/** How a metric was judged. */
export type GateRule =
  /** t-test, variance within commits. */
  | 'pooled'
  /** t-test, variance from successive commits. */
  | 'successive-differences'
  /** The base never varied: any loss beyond the tolerance counts. */
  | 'deterministic'
  /** The noise is unknown: the tolerance alone decides. */
  | 'tolerance'
  /** Both sides have the same code and settings. */
  | 'same-training';

/** Why a run has no measurement of a metric. */
export type MeasurementProblem = 'not-completed' | 'missing' | GateDoubt;

/** Why a metric can't be judged. Tasks are ids. */
export type GateReason =
  | { readonly kind: MeasurementProblem; readonly tasks: readonly string[] }
  /** The run was short, or it went on after the metric's last report. */
  | {
      readonly kind: 'too-few-iterations' | 'too-few-reports';
      readonly tasks: readonly string[];
      readonly required: number;
    }
  /** No task of the base has the metric (`was` names an old name), or none has a trusted number. */
  | { readonly kind: 'missing-in-baseline' | 'unmeasured-in-baseline' }
  | { readonly kind: 'baseline-unreached' | 'baseline-unfinished' | 'baseline-unknown' }
  /** The base does not show how much runs differ, and no tolerance is set. */
  | {
      readonly kind: 'noise-unknown';
      readonly because:
        | 'single-runs'
        /** The pull request has several runs, the base one. */
        | 'single-base-run'
        /** The base's runs agree, but are too few to be sure that others would. */
        | 'too-few-agree';
      readonly baseRuns: number;
      /** How many more agreeing base runs would decide; null where more agreement does not help. */
      readonly neededRuns: number | null;
    }
  /** The same, and the tolerance is a percentage of 0. */
  | { readonly kind: 'share-of-zero'; readonly tolerance: string }
  /** A loss, and the pull request's runs differ more than chance explains. Standard deviations of both sides. */
  | {
      readonly kind: 'uneven-spread';
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
      /** The smallest loss that these runs detect; null if the noise is unknown. */
      readonly missable: number | null;
      /** Further runs that would decide; null if the noise is unknown, or 100 on each side are not enough. */
      readonly needed: RunCounts | null;
    };

/** What a reader should know, although it decides nothing. */
export type GateNote =
  | { readonly kind: 'no-history' }
  | {
      readonly kind: 'fewer-iterations' | 'fewer-reports';
      readonly tasks: readonly string[];
      readonly baseline: number;
    }
  /** Different seeds with bit-identical results: they count as one run. */
  | { readonly kind: 'seed-not-used'; readonly side: 'pull-request' | 'base'; readonly runs: number }
  /** Seeds that did not reach the training, as far as the tasks show. */
  | { readonly kind: 'seed-lost'; readonly side: 'pull-request' | 'base'; readonly runs: number }
  /** The measured rate of false alarms is for equal numbers of runs, two or more, on both sides (README.md). */
  | ({ readonly kind: 'uneven-runs' } & RunCounts)
  /** No worse than base runs that agree, but are too few to be sure that others would. */
  | { readonly kind: 'few-agree'; readonly baseRuns: number; readonly neededRuns: number }
  /** A loss passed, and runs other than the base's own widen the range that chance explains. */
  | { readonly kind: 'range-widened'; readonly by: 'own-runs' | 'other-baselines'; readonly ratio: number }
  /** Commits of other baselines whose runs differ far more do not count for the noise. */
  | { readonly kind: 'spread-left-out'; readonly commits: readonly string[] }
  /** The nearest commit has no trusted number; an older one takes its place. */
  | { readonly kind: 'nearest-unmeasured'; readonly commit: string }
  | { readonly kind: 'renamed'; readonly was: string };

/** The judgement of a metric; `none` if nothing was compared. */
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
  /** null if nothing was judged. */
  readonly rule: GateRule | null;
  /** The commit compared with. */
  readonly commit: string | null;
  /** Mean over that commit's runs. */
  readonly base: number | null;
  /** Value minus base. */
  readonly change: number | null;
  /** The tolerance as an absolute number. */
  readonly tolerance: number | null;
  /** How many runs count on each side; bit-identical ones once. */
  readonly runs: RunCounts;
  /** Means of the base commits, nearest first. */
  readonly history: readonly number[];
  readonly noise: Pick<Noise, 'standardDeviation' | 'degreesOfFreedom'> | null;
  /** Half width of the range around `base` that chance explains; a worse mean outside it is significant. */
  readonly interval: number | null;
  readonly pValue: number | null;
  /** After Holm's correction over all gated metrics and baselines. */
  readonly correctedPValue: number | null;
  /** The smallest loss that these runs detect in 4 of 5 cases; null if the noise is unknown. */
  readonly missable: number | null;
  readonly reasons: readonly GateReason[];
  readonly notes: readonly GateNote[];
}

/** A metric with its verdict and the reasons. */
export interface MetricJudgement {
  /** Its name; the rule's pattern if that matched nothing. */
  readonly metric: string;
  readonly gate: 'fail' | 'warn';
  readonly goal: Goal;
  readonly verdict: MetricVerdict;
  /** Mean over the pull request's runs; null if none measured it. */
  readonly value: number | null;
  /** Why the pull request's own runs can't be judged. */
  readonly reasons: readonly GateReason[];
  /** One per baseline, in their order. */
  readonly comparisons: readonly Comparison[];
}

/** The judgement of all metrics together. */
export interface GateResult {
  /** The first that holds. `failed` and `pending` are about the pull request's tasks. */
  readonly verdict: 'failed' | 'pending' | 'none' | 'regression' | 'undecided' | 'pass';
  /** The program's exit code, unless `--no-gate`: 0, 5 or 6. */
  readonly exitCode: typeof EXIT_CODES.done | typeof EXIT_CODES.regression | typeof EXIT_CODES.undecided;
  /** In the order of the rules, then by name. */
  readonly metrics: readonly MetricJudgement[];
}
