import { isChance } from '../../gate/comparison.ts';
import { formatNumber, formatPair } from '../../text/number-format.ts';
import { link, type Phrase, phrase, strong, words } from '../../text/phrase.ts';
import { formatPlace } from '../../training/cause/cause-words.ts';
import { findDecisive, judgeEffect, type ReportMetric } from '../metrics.ts';
import type { Tally } from '../ranking/tally.ts';
import type { Report, ReportTask } from '../report.ts';
import { countSound, explainNoValue } from './cells.ts';
import { findForce } from './force.ts';
import { nameBaseline } from './lead.ts';

/** The first line: how far the training is, and the number or the cause that matters most. */
export function composeHeading(report: Report): Phrase {
  const name = phrase`${report.name}`;
  const { failure, phase } = report;
  switch (phase) {
    case 'failed':
    case 'stopped': {
      const word = failure?.kind === 'timeout' ? 'timed out' : phase;
      // The message contains the training's own words and names, so all of it is quoted.
      const message = failure === null ? [] : phrase`: ${failure.message}`;
      return phrase`${name} ${words(word)}${message}`;
    }
    case 'queued':
      return phrase`${name} is waiting${describePlace(report.tasks)}`;
    case 'running':
      return phrase`${name} is running${describeProgress(report.tasks)}`;
    case 'draft':
      return phrase`${name} is not in a queue yet`;
    case 'completed': {
      const verdict = nameVerdict(report);
      const judged = verdict === undefined ? [] : phrase`${strong(verdict)}${describeForce(report)}: `;
      const leading = pickLeading(report);
      if (leading === undefined) {
        const what = report.metrics.length > 0 ? 'a metric of its result' : 'any metric';
        return phrase`${judged}${name} completed without ${words(what)}`;
      }
      const counts = composeCounts(report);
      return phrase`${judged}${name}: ${counts}${leading.metric} ${composeResult(leading, report, counts.length > 0)}${countFurther(report)}`;
    }
  }
}

/** The verdicts in the first line; a training that did not complete needs none. */
const VERDICT_WORDS: Partial<Record<Report['verdict'], string>> = {
  regression: 'Regression',
  undecided: 'Undecided',
  pass: 'Pass',
};

/** The verdict as a word; gated metrics without a base to compare with were not judged. */
function nameVerdict(report: Report): string | undefined {
  const verdict = findDecisiveVerdict(report);
  return verdict === 'none' && report.gate?.metrics.length ? 'Not judged' : VERDICT_WORDS[verdict];
}

/** The verdict that decides the exit code: beside a regression that only warns, an undecided metric may block. */
function findDecisiveVerdict(report: Report): Report['verdict'] {
  const force = findForce(report);
  return force === 'warning' ? report.verdict : force;
}

function isObjection(verdict: Report['verdict']): boolean {
  return verdict === 'regression' || verdict === 'undecided';
}

/** An objection that blocks nothing says so. */
function describeForce(report: Report): Phrase {
  return findForce(report) === 'warning' ? words(' (a warning only)') : [];
}

/** The metric of the first line: the first with the report's verdict, one that blocks before one that only warns. */
function pickLeading(report: Report): ReportMetric | undefined {
  const { metrics, leadingMetrics, gate, tally } = report;
  const verdict = findDecisiveVerdict(report);
  if (!isObjection(verdict) && verdict !== 'pass') {
    const [first] = metrics.slice(0, leadingMetrics);
    const worst = gate === null ? tally?.worst : undefined;
    return metrics.find(({ metric }) => metric === worst) ?? first;
  }
  const blocking = gate?.metrics.find((judged) => judged.verdict === verdict && judged.gate === 'fail');
  return metrics.find(({ metric, verdict: own }) =>
    blocking === undefined ? own === verdict : metric === blocking.metric,
  );
}

function countFurther(report: Report): Phrase {
  const { gate, verdict } = report;
  const force = findDecisiveVerdict(report);
  const judged = gate?.metrics.filter((metric) => metric.verdict === force) ?? [];
  const further = isObjection(force) && judged.length > 1 ? words(`, and ${judged.length - 1} more`) : [];
  const warned = force === verdict ? undefined : gate?.metrics.find((metric) => metric.verdict === verdict);
  return warned === undefined ? further : phrase`${further}; regression (a warning only): ${warned.metric}`;
}

/** `1 of 60 metrics worse, 2 better: `, if no gate has judged and there are several. */
function composeCounts({ tally, gate }: Report): Phrase {
  if (tally === null || gate !== null || tally.metrics + tally.gone + tally.new < 2) return [];
  const { metrics, worse, better, notNumbers } = tally;
  const all = metrics === 1 ? '1 metric' : `${metrics} metrics`;
  const moved = [
    [worse, 'worse'],
    [better, 'better'],
    [notNumbers, tally.isDoubtCertain ? 'not a number' : 'doubtful'],
  ].filter(([count]) => count !== 0);
  const effects = moved.map(([count, what], index) =>
    index === 0 ? `${count} of ${all} ${what}` : `${count} ${what}`,
  );
  if (moved.length === 0 && metrics > 0) effects.push(`${all} ${nameStillness(tally)}`);
  const further = [
    ...(tally.gone > 0 ? [`${tally.gone} no longer reported`] : []),
    ...(tally.new > 0 ? [`${tally.new} new`] : []),
  ];
  const noise = tally.isNoiseKnown ? '' : ' (noise unknown)';
  return words(`${[...effects, ...further].join(', ')}${noise}: `);
}

/** What became of metrics of which none is better or worse. */
function nameStillness({ metrics, same, noise }: Tally): string {
  if (same === metrics) return 'unchanged';
  if (same + noise === metrics) return 'within noise';
  return 'neither better nor worse, as far as known';
}

/** `0.9722, +0.0111 (better) against main`: against the baseline that decides, if there are several. */
function composeResult(metric: ReportMetric, { baseline, gate }: Report, isOneOfMany: boolean): Phrase {
  if (metric.presence === 'gone' && gate === null) return words('is no longer reported');
  if (metric.value === null) return words(`was ${explainNoValue(metric)}`);
  const judged = gate?.metrics.find(({ metric: name }) => name === metric.metric);
  const decisive = judged === undefined ? undefined : findDecisive(judged);
  const anchor = decisive === judged?.comparisons[0] ? undefined : decisive;
  const base = anchor === undefined ? metric.baseline : anchor.base;
  const left = words(metric.doubts.length === 0 ? '' : ` (${countSound(metric.values, metric.doubts)})`);
  if (base === null || metric.change === null) return phrase`${strong(formatNumber(metric.value))}${left}`;
  const pair = formatPair(metric.value, base);
  const effect =
    anchor === undefined
      ? metric.effect
      : judgeEffect(metric.value - base, metric.goal ?? undefined, isChance(anchor) === true);
  const told = effect === null || effect === 'same' ? '' : ` (${EFFECT_WORDS[effect]})`;
  const change = effect === 'same' ? 'unchanged' : `${pair.change}${told}`;
  const name = anchor === undefined ? nameBaseline(baseline) : phrase`${anchor.baseline}`;
  const from = isOneOfMany && effect !== 'same' ? words(`${pair.base} \u2192 `) : [];
  return phrase`${from}${strong(pair.value)}${left}, ${words(change)} against ${name}`;
}

const EFFECT_WORDS = { better: 'better', worse: 'worse', noise: 'within noise' } as const;

function describePlace(tasks: readonly ReportTask[]): Phrase {
  const [queue] = tasks.flatMap((task) => task.queue ?? []);
  if (queue === undefined) return words(' in the queue');
  if (queue.pod !== null)
    return phrase` for a Kubernetes pod${queue.pod === '' ? [] : phrase`: ${queue.pod}`}`;
  const place = queue.position === null ? [] : words(`, number ${queue.position} of ${queue.length}`);
  return phrase` in the queue ${queue.name}${place}`;
}

function describeProgress(tasks: readonly ReportTask[]): Phrase {
  const running = tasks.find(({ status }) => status === 'in_progress');
  if (running === undefined) return [];
  const { progress, iteration } = running;
  const at = iteration > 0 ? `, iteration ${iteration}` : '';
  if (progress === null) return words(at);
  const share = `${Math.round(progress.share * 100)}%`;
  return words(
    progress.by === 'training' ? `: ${share} done${at}` : `${at}, about ${share} of the baseline’s length`,
  );
}

/** What the heading leaves out: where the failure happened, and what to do next. */
export function composeCause({ failure }: Report): Phrase {
  if (failure === null) return [];
  const place = formatPlace(failure)
    .trim()
    .replace(/^\(|\)$/g, '');
  const where = place === '' ? [] : phrase` in ${link(failure.placeUrl, phrase`${place}`)}`;
  // The run that was cancelled.
  const kind = link(failure.url ?? null, strong(KIND_WORDS[failure.kind]));
  return phrase`${kind}${where}. ${words(failure.advice)}`;
}

const KIND_WORDS = {
  training: 'The training failed',
  setup: 'Setting up failed',
  'out-of-memory': 'Out of memory',
  'worker-lost': 'The worker was lost',
  stopped: 'Stopped',
  'never-started': 'Never started',
  timeout: 'Timed out',
  unknown: 'Failed',
} as const;
