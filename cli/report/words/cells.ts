import { formatChange, formatNumber, formatPair, formatPercentChange } from '../../text/number-format.ts';
import { joinPhrases, type Phrase, phrase, strong, words } from '../../text/phrase.ts';
import type { DoubtedValue, ReportMetric } from '../metrics.ts';
import type { ReportFamily } from '../ranking/families.ts';
import { SLIGHT_SHARE } from '../ranking/movement.ts';
import type { Report } from '../report.ts';

/** A number that was reported may still not be a measurement, such as a NaN that arrived as 0. */
export function explainNoValue({ values, doubts }: Pick<ReportMetric, 'values' | 'doubts'>): string {
  const [doubt] = doubts;
  if (doubt !== undefined) return explainDoubt(doubt);
  return values.some((value) => value !== null) ? 'not measured' : 'not reported';
}

/** `not a number (reported as 0)`, or only possibly; `0, perhaps not measured` if nothing was replaced for certain. */
export function explainDoubt({ kind, reported, isCertain }: DoubtedValue): string {
  if (kind === 'unmeasured') return `${formatNumber(reported)}, perhaps not measured`;
  if (kind === 'not-a-number') return 'not a number';
  if (kind === 'infinite') return 'infinite';
  return `${isCertain ? '' : 'possibly '}not a number (reported as ${formatNumber(reported)})`;
}

/** A metric's own cell. */
export function composeValue(metric: ReportMetric): Phrase {
  if (metric.presence === 'gone') return words('no longer reported');
  if (metric.value === null) return words(explainNoValue(metric));
  const text =
    metric.baseline === null ? formatNumber(metric.value) : formatPair(metric.value, metric.baseline).value;
  return phrase`${strong(text)}${describeSpread(metric.spread, metric.values, metric.doubts)}`;
}

/** A family's name, with what is told of it in one row beside its worst member's numbers. */
export function composeFamily(family: ReportFamily, worst: ReportMetric): Phrase {
  const { metrics, value, baseline, extreme } = family;
  const isUnder = worst.metric.startsWith(`${family.family}/`);
  const member = isUnder ? worst.metric.slice(family.family.length + 1) : worst.metric;
  const compare = (name: string, of: 'extreme' | 'mean') => {
    if (value === null) return [];
    if (baseline === null) return words(`${name} ${formatNumber(value[of])}`);
    const pair = formatPair(value[of], baseline[of]);
    return words(`${name} ${pair.base}\u00a0\u2192\u00a0${pair.value}`);
  };
  const numbers = [compare(extreme === 'min' ? 'minimum' : 'maximum', 'extreme'), compare('mean', 'mean')];
  const which = worst.goal === null ? 'first' : 'worst';
  return joinPhrases(
    [
      phrase`${strong(phrase`${family.family}`)} (${words(String(metrics.length))} series): ${words(which)} ${member}`,
      ...numbers,
    ],
    ', ',
  );
}

/** The baseline’s cell. */
export function composeBaseline(metric: ReportMetric): Phrase {
  const { baseline, baselineValues: values, baselineDoubts: doubts } = metric;
  if (baseline === null) return words(doubts.length > 0 ? explainNoValue({ values, doubts }) : '\u2013');
  const text = metric.value === null ? formatNumber(baseline) : formatPair(metric.value, baseline).base;
  return phrase`${words(text)}${describeSpread(metric.baselineSpread, values, doubts)}`;
}

/** The spread over several tasks: ` ± 0.003`, with their number unless it is all of them. */
function describeSpread(
  spread: number | null,
  values: ReadonlyArray<number | null>,
  doubts: readonly DoubtedValue[],
): Phrase {
  const count = values.filter((value) => value !== null).length;
  const of = count === values.length || count === 0 ? '' : ` (${countSound(values, doubts)})`;
  return words(`${spread === null ? '' : `\u00a0\u00b1\u00a0${formatNumber(spread, 2)}`}${of}`);
}

/** `2 of 3`, and why others do not count: `2 of 3; 1 not a number`. */
export function countSound(values: ReadonlyArray<number | null>, doubts: readonly DoubtedValue[]): string {
  const count = values.filter((value) => value !== null).length;
  const isSure = doubts.every(({ isCertain }) => isCertain);
  const what = doubts.every(({ kind }) => kind === 'unmeasured')
    ? 'perhaps not measured'
    : `${isSure ? '' : 'possibly '}not a number`;
  const left = doubts.length === 0 ? '' : `; ${doubts.length} ${what}`;
  return `${count} of ${values.length}${left}`;
}

// With non-breaking spaces.
const MARKS = {
  better: '\u25b2\u00a0better',
  worse: '\u25bc\u00a0worse',
  noise: 'within\u00a0noise',
  same: '',
} as const;

/** `+0.0111 (+1.2%) ▲ better`: the mark says what the change means for the goal, not its direction. */
export function composeChange(metric: ReportMetric): Phrase {
  if (metric.presence === 'new') return words('new');
  if (metric.change === null || metric.baseline === null) return words('\u2013');
  if (metric.effect === 'same' || metric.change === 0) return words('unchanged');
  const percent = formatPercentChange(metric.change, metric.baseline);
  const mark = metric.effect === null ? '' : MARKS[metric.effect];
  const text = `${formatChange(metric.change)}${percent === undefined ? '' : ` (${percent})`}`;
  if (mark === '') return words(text);
  return phrase`${words(text)} ${metric.effect === 'worse' ? strong(mark) : words(mark)}`;
}

/** Says that better and worse are guesses, unless the settings have the goals, and why numbers are not trusted. */
export function composeLegend(report: Report): Phrase {
  const leading = report.metrics.slice(0, report.leadingMetrics);
  const isGuessed =
    report.phase === 'completed' &&
    leading.some(({ isGoalGuessed, effect }) => isGoalGuessed && (effect === 'better' || effect === 'worse'));
  const guess = isGuessed
    ? phrase`Better and worse are guessed from the metrics’ names; set ${'goal'} in the settings to be certain.`
    : [];
  const isSlight = ({ goal, effect, change, isGoalGuessed, doubts, baselineDoubts }: ReportMetric) =>
    isGoalGuessed &&
    goal !== null &&
    effect === null &&
    change !== null &&
    doubts.length + baselineDoubts.length === 0;
  const slight =
    report.phase === 'completed' && leading.some(isSlight)
      ? words(
          `A change of less than ${SLIGHT_SHARE * 100}% is called neither, because nothing shows how much runs differ by chance.`,
        )
      : [];
  const kinds = new Set(
    leading.flatMap(({ doubts, baselineDoubts }) => [...doubts, ...baselineDoubts]).map(({ kind }) => kind),
  );
  const why = DOUBT_WORDS.filter(([kind]) => kinds.has(kind)).map(([, text]) => words(text));
  const note =
    why.length === 0
      ? []
      : words('ClearML’s SDK reports NaN and infinities as 0, or as a number that the training sets.');
  return joinPhrases([guess, slight, explainNoise(report), note, ...why], ' ');
}

/** The gate's range is told as one number, so its meaning is told too. */
function explainNoise({ gate, phase }: Report): Phrase {
  const isShown = gate?.metrics.some(({ comparisons }) => comparisons.some(({ base }) => base !== null));
  return phase === 'completed' && isShown ? words('Noise is the change that chance alone explains.') : [];
}

const DOUBT_WORDS = [
  ['replaced', 'The console says that it did, but not for which metric.'],
  ['unexpected-zero', 'The console does not say so, but neither curve nor baseline leads to the 0.'],
  [
    'unmeasured',
    'Nothing speaks for such a number: no curve leads to it, and the other side’s runs do not confirm it.',
  ],
  ['unverified-zero', 'Only the console tells the two apart, and it could not be read completely.'],
] as const;
