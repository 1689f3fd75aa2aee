import type { Comparison, GateRule, MetricJudgement, MetricVerdict } from '../gate/data.ts';
import { countRuns, explainComparison, explainReason, explainRule } from '../gate/words.ts';
import type { Column } from '../text/markdown.ts';
import { formatNumber, formatPair } from '../text/number-format.ts';
import { type Phrase, phrase, strong, words } from '../text/phrase.ts';
import { drawSparkline } from './drawing/curve.ts';
import type { Report } from './report.ts';

/** A gated metric against one of its baselines; no comparison without a baseline. */
export interface GateRow {
  readonly metric: MetricJudgement;
  readonly comparison: Comparison | undefined;
}

const ORDER: readonly MetricVerdict[] = ['regression', 'undecided', 'pass', 'none'];

/** The judgements, worst first. Empty until the training has completed. */
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

/**
 * The gate's rows with words of their own. On the first day the others all say the same: that is told once.
 *
 * @returns `same` with the sentences that the rows left out have in common
 */
export function splitFirstRows(report: Pick<Report, 'baseline' | 'gate' | 'phase'>): {
  readonly rows: readonly GateRow[];
  readonly same: readonly string[];
} {
  const all = listGateRows(report);
  const isAlike = ({ metric, comparison }: GateRow) =>
    report.baseline.isFirst &&
    metric.reasons.length === 0 &&
    comparison !== undefined &&
    comparison.reasons.length === 0 &&
    comparison.notes.every(({ kind }) => kind === 'no-history');
  const [first] = all.filter(isAlike);
  return {
    rows: all.filter((row) => !isAlike(row)),
    same: first?.comparison === undefined ? [] : explainComparison(first.metric, first.comparison),
  };
}

function verdictOf({ metric, comparison }: GateRow): MetricVerdict {
  return metric.reasons.length > 0 ? 'undecided' : (comparison?.verdict ?? metric.verdict);
}

/** The head of the table. More columns would not fit on GitHub's page. */
export const GATE_COLUMNS: readonly Column[] = [
  { title: words('Gated metric') },
  { title: words('Verdict') },
  { title: words('This pull request'), align: 'right' },
  { title: words('Base \u00b1 chance'), align: 'right' },
  { title: words('Change'), align: 'right' },
  { title: words('Judged by') },
];

/** A cell about which there is nothing to say. */
export const NOTHING = words('\u2013');

const RULE_WORDS = {
  pooled: 't-test',
  'successive-differences': 't-test',
  deterministic: 'direct',
  tolerance: 'tolerance',
  'same-training': 'same code',
} as const;

/** A row of the table, with the numbers that were judged. */
export function composeGateRow(row: GateRow): Phrase[] {
  const { metric, comparison } = row;
  const { value } = metric;
  const { base = null, interval = null, rule = null } = comparison ?? {};
  const pair = value === null || base === null ? undefined : formatPair(value, base);
  const chance = interval === null ? '' : `\u00a0\u00b1\u00a0${formatNumber(interval, 2)}`;
  return [
    nameRow(row),
    composeVerdict(row),
    value === null ? NOTHING : words(pair?.value ?? formatNumber(value)),
    base === null ? NOTHING : words(`${pair?.base ?? formatNumber(base)}${chance}`),
    pair === undefined ? NOTHING : words(pair.change),
    comparison === undefined || rule === null ? NOTHING : words(describeRule(comparison, rule)),
  ];
}

/** The metric, with the baseline if there are several. */
export function nameRow({ metric, comparison }: GateRow): Phrase {
  return comparison === undefined || metric.comparisons.length === 1
    ? phrase`${metric.metric}`
    : phrase`${metric.metric} against ${comparison.baseline}`;
}

/** How far chance alone moves the metric; empty where nothing was compared. */
export function composeNoise({ comparison }: GateRow): Phrase {
  if (comparison === undefined || comparison.base === null) return NOTHING;
  const { interval, rule } = comparison;
  if (interval !== null) return words(`\u00b1\u00a0${formatNumber(interval, 2)}`);
  if (rule === 'deterministic') return words('none\u00a0seen');
  return rule === 'same-training' ? words('same\u00a0code') : words('unknown');
}

/** `t-test, p = 0.16, 3 runs against 3`: here and on the base; with non-breaking spaces. */
function describeRule({ verdict, tolerance, correctedPValue, runs }: Comparison, rule: GateRule): string {
  const p =
    correctedPValue === null
      ? ''
      : `, p ${correctedPValue < 0.001 ? '< 0.001' : `= ${formatNumber(correctedPValue, 2)}`}`;
  const isWithoutRule = rule === 'tolerance' && tolerance === 0;
  const by = isWithoutRule ? (verdict === 'pass' ? RULE_WORDS.deterministic : '\u2013') : RULE_WORDS[rule];
  const parts = [`${by}${p}`, `${countRuns(runs.pullRequest)} against ${runs.base}`];
  return parts.map((part) => part.replaceAll(/(?<!,) /g, '\u00a0')).join(', ');
}

/** The verdict as a word, and whether it only warns. */
export function composeVerdict(row: GateRow): Phrase {
  const verdict = verdictOf(row);
  const text = verdict === 'none' ? 'not compared' : verdict;
  const force = row.metric.gate === 'warn' ? ' (warns only)' : '';
  return verdict === 'regression' || verdict === 'undecided'
    ? phrase`${strong(text)}${words(force)}`
    : words(`${text}${force}`);
}

/** The same in sentences, with the base branch's history if it has one. */
export function composeGateWords(row: GateRow): Phrase {
  const { metric, comparison } = row;
  if (comparison === undefined) {
    const reasons = metric.reasons.map((reason) => explainReason(reason));
    return phrase`${nameRow(row)}: ${words([...reasons, 'There is no baseline to compare with.'].join(' '))}`;
  }
  const sentences = explainComparison(metric, comparison);
  if (comparison.rule !== null) sentences.push(explainRule(comparison));
  const history = drawHistory(comparison, metric.value);
  const course = history === '' ? [] : phrase` The base’s commits, with this pull request last: ${history}`;
  return phrase`${nameRow(row)}: ${words(sentences.join(' '))}${course}`;
}

/** The base's commits, oldest first, with the pull request at the end; empty for a single commit. */
function drawHistory({ history }: Comparison, value: number | null): string {
  if (history.length < 2) return '';
  return drawSparkline([...[...history].reverse(), ...(value === null ? [] : [value])]);
}
