import { sortWords, splitWords } from '../../gate/metric-names.ts';
import type { Metric } from '../../training/metrics.ts';
import type { RankedMetric } from './ranking.ts';

type Runs = ReadonlyArray<ReadonlyMap<string, Metric>>;

/**
 * Which metrics only repeat another one: two loggers of a framework report one number by two names, or the last point of a
 * curve again as a single value. Both names must be about the same, and every run that has both must have the same numbers:
 * two perfect accuracies are two results.
 *
 * @param own the metrics of each run under test, by name
 * @param base those of the base's runs
 * @returns by the name that is not shown the one that is: what settings name, else what has a curve
 */
export function findCopies(
  ranked: readonly RankedMetric[],
  own: Runs,
  base: Runs,
): ReadonlyMap<string, string> {
  const rate = ({ metric, position, interest }: RankedMetric) => [
    position,
    own.some((run) => run.has(metric.name)) ? 0 : 1,
    hasCurve(metric) ? 0 : 1,
    metric.isSingle ? 1 : 0,
    -interest,
    metric.name.length,
  ];
  const order = ranked
    .map((one) => ({ one, rating: rate(one) }))
    .sort(
      (a, b) =>
        a.rating.map((value, index) => value - (b.rating[index] ?? 0)).find((value) => value !== 0) ?? 0,
    );
  const byTopic = new Map<string, string[]>();
  const copies = new Map<string, string>();
  for (const { one } of order) {
    const { name } = one.metric;
    const topic = nameTopic(name, ABOUT_KIND);
    const others = byTopic.get(topic) ?? [];
    const original = one.isNamed ? undefined : others.find((other) => isCopy(name, other, [...own, ...base]));
    if (original !== undefined) copies.set(name, original);
    else byTopic.set(topic, [...others, name].slice(0, MAX_OTHERS));
  }
  return copies;
}

/** A topic with more metrics has no two names for one number. */
const MAX_OTHERS = 20;

function hasCurve({ count, isSingle }: Metric): boolean {
  return count > 1 && !isSingle;
}

/** Words that tell where a number is reported, and not what it is. */
const ABOUT_PLACE = /^(?:summary|metrics?|epoch)$/;
/** One writer adds them and another leaves them out: only a whole curve tells that they make no difference. */
const ABOUT_KIND = /^(?:summary|metrics?|epoch|mean|avg|average|smooth|final|val|valid|validation)$/;

function nameTopic(name: string, left: RegExp): string {
  return sortWords(splitWords(name).replace(/\bmetrics_[0-9]+\//, ''), left);
}

function isCopy(name: string, other: string, runs: Runs): boolean {
  const both = runs.flatMap((run) => {
    const [one, two] = [run.get(name), run.get(other)];
    return one === undefined || two === undefined ? [] : [{ one, two }];
  });
  if (both.length === 0 || !both.every(({ one, two }) => isEqual(one.last, two.last))) return false;
  const isSameTopic = nameTopic(name, ABOUT_PLACE) === nameTopic(other, ABOUT_PLACE);
  return both.every(({ one, two }) => {
    const haveCurves = hasCurve(one) && hasCurve(two);
    if (isSameTopic) return !haveCurves || haveSameExtremes(one, two);
    // Both moved, and did so alike.
    return haveCurves && one.min < one.max && haveSameExtremes(one, two);
  });
}

function haveSameExtremes(one: Metric, two: Metric): boolean {
  return isEqual(one.first, two.first) && isEqual(one.min, two.min) && isEqual(one.max, two.max);
}

/** Curves and single values come in other precisions: float64, float32, or seven digits of it. */
function isEqual(a: number, b: number): boolean {
  return Math.abs(a - b) <= 1e-6 * Math.max(Math.abs(a), Math.abs(b));
}
