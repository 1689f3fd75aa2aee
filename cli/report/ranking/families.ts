import { readName } from '../../gate/metric-names.ts';
import { isLoss } from '../../gate/metric-rules.ts';
import { findMean } from '../../gate/statistics.ts';
import type { ReportMetric } from '../metrics.ts';
import type { Report } from '../report.ts';

/** Many series of one measure, as the recall of each class: one row of the comment. */
export interface ReportFamily {
  /** `recall`, or `val/class_*` where the title has other series too. */
  readonly family: string;
  /** Its members in the order of the report, the worst first. */
  readonly metrics: readonly string[];
  /** The most telling member: the worst where the better direction is known. */
  readonly worst: string;
  /** The extreme that is worse: `max` where smaller is better. */
  readonly extreme: 'min' | 'max';
  /** Over the members that both sides have; of the pull request's alone without a baseline. null without any number. */
  readonly value: FamilyNumbers | null;
  readonly baseline: FamilyNumbers | null;
}

interface FamilyNumbers {
  readonly extreme: number;
  readonly mean: number;
}

/** Fewer series are rows of their own. */
const LEAST_MEMBERS = 5;

/**
 * The families among metrics that no rule names. Only series of one measure belong together: their names differ in numbers
 * alone, or they are the labels below a measure that has the same scale for all, as a recall. The parts of a loss have not.
 *
 * @param metrics in the order of the report
 */
export function findFamilies(metrics: readonly ReportMetric[]): ReportFamily[] {
  const groups = new Map<string, ReportMetric[]>();
  for (const metric of metrics) {
    // Without a known measure only a common title tells that they belong together.
    const title = metric.goal === null ? titleOf(metric.metric) : '';
    // What one side alone has is compared with nothing: beside the others its number would contradict their minimum.
    const side = metric.presence === 'both' ? null : metric.presence;
    const key = [metric.goal, side, title, nameFamily(metric.metric)].join('\n');
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [metric]);
    else group.push(metric);
  }
  const sizes = new Map<string, number>();
  for (const { metric } of metrics) {
    const title = titleOf(metric);
    sizes.set(title, (sizes.get(title) ?? 0) + 1);
  }
  return [...groups.values()]
    .filter(({ length }) => length >= LEAST_MEMBERS)
    .map((members) => describeFamily(members, sizes));
}

function titleOf(name: string): string {
  const end = name.indexOf('/');
  return end < 0 ? name : name.slice(0, end);
}

/** What members have in common: all but the numbers, or the measure that is their title. */
function nameFamily(name: string): string {
  const title = titleOf(name);
  const series = name.slice(title.length + 1);
  const isMeasure = (part: string) => readName(part).goal !== undefined;
  if (
    series !== '' &&
    isMeasure(title) &&
    !isLoss(title) &&
    !isMeasure(series) &&
    readName(series).data === undefined
  )
    return `${title}/*`;
  return name.replace(/[0-9]+/g, (digits, at: number) => {
    const [letters = ''] = /[a-z]*$/i.exec(name.slice(Math.max(0, at - LONGEST_WORD), at)) ?? [];
    // The number of `f1` is a part of the word.
    return isMeasure(letters + digits) && !isMeasure(letters) ? digits : '*';
  });
}

/** Longer words before a number are no measure's. */
const LONGEST_WORD = 12;

function describeFamily(found: readonly ReportMetric[], sizes: ReadonlyMap<string, number>): ReportFamily {
  const [first] = found as [ReportMetric, ...ReportMetric[]];
  const worst = chooseWorst(found) ?? first;
  const members = [worst, ...found.filter((member) => member !== worst)];
  const title = titleOf(first.metric);
  const isWholeTitle =
    sizes.get(title) === members.length && members.every(({ metric }) => titleOf(metric) === title);
  const extreme = first.goal === 'minimize' ? 'max' : 'min';
  const shared = members.filter(({ value, baseline }) => value !== null && baseline !== null);
  const hasBase = members.some(({ baseline }) => baseline !== null);
  const counted = hasBase ? shared : members;
  return {
    family: isWholeTitle ? title : nameFamily(first.metric),
    metrics: members.map(({ metric }) => metric),
    worst: worst.metric,
    extreme,
    value: summarize(
      counted.flatMap(({ value }) => value ?? []),
      extreme,
    ),
    baseline: summarize(
      counted.flatMap(({ baseline }) => baseline ?? []),
      extreme,
    ),
  };
}

/** What got worse, or has no number any more; else the lowest where larger is better, the highest where smaller is. */
function chooseWorst(members: readonly ReportMetric[]): ReportMetric | undefined {
  const struck = members.find(isStruck);
  if (struck !== undefined) return struck;
  const measured = members.filter(({ value, goal }) => value !== null && goal !== null);
  const sign = measured[0]?.goal === 'minimize' ? -1 : 1;
  return measured.reduce<ReportMetric | undefined>(
    (worst, member) =>
      worst === undefined || sign * (member.value ?? 0) < sign * (worst.value ?? 0) ? member : worst,
    undefined,
  );
}

/** Whether a completed training's metric is worse than the base's, or is no number although the base's is. */
export function isStruck({ presence, effect, value, baseline, doubts }: ReportMetric): boolean {
  if (presence !== 'both') return false;
  return effect === 'worse' || (value === null && baseline !== null && doubts.length > 0);
}

function summarize(values: readonly number[], extreme: ReportFamily['extreme']): FamilyNumbers | null {
  if (values.length === 0) return null;
  return { extreme: values.reduce((a, b) => Math[extreme](a, b)), mean: findMean(values) };
}

/** A row of a table: a metric, or a family with its worst member. */
export interface MetricRow {
  readonly metric: ReportMetric;
  readonly family?: ReportFamily | undefined;
}

/** The rows of metrics that follow each other: each family one, where its first member stands. */
export function listRows(metrics: readonly ReportMetric[], families: readonly ReportFamily[]): MetricRow[] {
  const familyOf = new Map(
    families.flatMap((family) => family.metrics.map((name) => [name, family] as const)),
  );
  const byName = new Map(metrics.map((metric) => [metric.metric, metric]));
  const told = new Set<ReportFamily>();
  return metrics.flatMap((metric): MetricRow[] => {
    const family = familyOf.get(metric.metric);
    if (family === undefined) return [{ metric }];
    if (told.has(family)) return [];
    told.add(family);
    return [{ metric: byName.get(family.worst) ?? metric, family }];
  });
}

/** The same rows with all members of each family, the worst first. */
export function listRowMembers(
  metrics: readonly ReportMetric[],
  families: readonly ReportFamily[],
): ReportMetric[][] {
  const byName = new Map(metrics.map((metric) => [metric.metric, metric]));
  return listRows(metrics, families).map(({ metric, family }) =>
    family === undefined ? [metric] : family.metrics.flatMap((name) => byName.get(name) ?? []),
  );
}

/** Where the comment shows each metric; copies nowhere. */
export interface MetricParts {
  /** One entry for each row that leads, with the members of a family. */
  readonly leading: ReadonlyArray<readonly ReportMetric[]>;
  /** Members of these families, and the other results. */
  readonly others: readonly ReportMetric[];
  readonly training: readonly ReportMetric[];
}

/** Parts a report's metrics. */
export function partMetrics({
  metrics,
  leadingMetrics,
  families,
}: Pick<Report, 'metrics' | 'leadingMetrics' | 'families'>): MetricParts {
  const rows = listRowMembers(metrics.slice(0, leadingMetrics), families);
  const rest = metrics.slice(leadingMetrics).filter(({ copyOf }) => copyOf === null);
  return {
    leading: rows,
    others: [
      ...rows.filter(({ length }) => length > 1).flat(),
      ...rest.filter(({ isBookkeeping }) => !isBookkeeping),
    ],
    training: rest.filter(({ isBookkeeping }) => isBookkeeping),
  };
}
