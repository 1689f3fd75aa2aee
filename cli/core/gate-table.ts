import { drawSparkline } from './curve.ts';
import type { Comparison, MetricJudgement, MetricVerdict } from './gate-data.ts';
import { explainComparison, explainReason, explainRule } from './gate-words.ts';
import { formatNumber, formatPair } from './number-format.ts';
import { type Phrase, phrase, words } from './phrase.ts';
import type { Report } from './report.ts';

/** A gated metric against one of its baselines; no comparison where nobody asked for a baseline. */
export interface GateRow {
  readonly metric: MetricJudgement;
  readonly comparison: Comparison | undefined;
}

const ORDER: readonly MetricVerdict[] = ['regression', 'undecided', 'pass', 'none'];

/** What was judged, what is worst first. Empty until the training has ended well. */
export function listGateRows({ gate, phase }: Pick<Report, 'gate' | 'phase'>): GateRow[] {
  if (gate === null || phase !== 'completed') return [];
  return gate.metrics
    .flatMap((metric): GateRow[] =>
      metric.comparisons.length === 0
        ? [{ metric, comparison: undefined }]
        : metric.comparisons.map((comparison) => ({ metric, comparison })),
    )
    .sort((a, b) => ORDER.indexOf(verdictOf(a)) - ORDER.indexOf(verdictOf(b)));
}

function verdictOf({ metric, comparison }: GateRow): MetricVerdict {
  return metric.reasons.length > 0 ? 'undecided' : (comparison?.verdict ?? metric.verdict);
}

/** The head of the table. */
export const GATE_COLUMNS: ReadonlyArray<{ readonly title: Phrase; readonly align?: 'right' }> = [
  { title: words('Gated metric') },
  { title: words('Verdict') },
  { title: words('This pull request'), align: 'right' },
  { title: words('Base \u00b1 chance'), align: 'right' },
  { title: words('Change'), align: 'right' },
  { title: words('p'), align: 'right' },
  { title: words('Judged by') },
  { title: words('Runs'), align: 'right' },
  { title: words('History') },
];

const NOTHING = words('\u2013');

const RULE_WORDS = {
  pooled: 't-test',
  'successive-differences': 't-test',
  deterministic: 'direct',
  tolerance: 'tolerance',
  'same-training': 'same code',
} as const;

/** A row of the table: the numbers that were judged. */
export function composeGateRow(row: GateRow): Phrase[] {
  const { metric, comparison } = row;
  const { value } = metric;
  const base = comparison?.base ?? null;
  const pair = value === null || base === null ? undefined : formatPair(value, base);
  const chance =
    comparison === undefined || comparison.interval === null
      ? ''
      : `\u00a0\u00b1\u00a0${formatNumber(comparison.interval, 2)}`;
  const history = comparison === undefined ? '' : drawHistory(comparison, value);
  return [
    comparison === undefined
      ? phrase`${metric.metric}`
      : phrase`${metric.metric} against ${comparison.baseline}`,
    composeVerdict(row),
    value === null ? NOTHING : words(pair?.value ?? formatNumber(value)),
    base === null ? NOTHING : words(`${pair?.base ?? formatNumber(base)}${chance}`),
    pair === undefined ? NOTHING : words(pair.change),
    comparison === undefined || comparison.correctedPValue === null
      ? NOTHING
      : words(formatP(comparison.correctedPValue)),
    comparison === undefined || comparison.rule === null ? NOTHING : words(RULE_WORDS[comparison.rule]),
    comparison === undefined
      ? NOTHING
      : words(`${comparison.runs.pullRequest}\u00a0/\u00a0${comparison.runs.base}`),
    history === '' ? NOTHING : phrase`${history}`,
  ];
}

function formatP(p: number): string {
  return p < 0.001 ? 'below 0.001' : formatNumber(p, 2);
}

function composeVerdict(row: GateRow): Phrase {
  const verdict = verdictOf(row);
  const text = verdict === 'none' ? 'not compared' : verdict;
  const force = row.metric.gate === 'warn' ? ' (warns only)' : '';
  return verdict === 'regression' || verdict === 'undecided'
    ? phrase`${{ strong: words(text) }}${words(force)}`
    : words(`${text}${force}`);
}

/** The base's commits, oldest first, and the pull request at the end. */
function drawHistory({ history }: Comparison, value: number | null): string {
  return drawSparkline([...[...history].reverse(), ...(value === null ? [] : [value])]);
}

/** The same in sentences. */
export function composeGateWords({ metric, comparison }: GateRow): Phrase {
  const sentences =
    comparison === undefined
      ? [...metric.reasons.map((reason) => explainReason(reason)), 'There is no baseline to compare with.']
      : [
          ...explainComparison(metric, comparison),
          ...(comparison.rule === null ? [] : [explainRule(comparison)]),
        ];
  const against = comparison === undefined ? [] : phrase` against ${comparison.baseline}`;
  return phrase`${metric.metric}${against}: ${words(sentences.join(' '))}`;
}
