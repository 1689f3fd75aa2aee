/** A metric of one task, as ClearML keeps it by title and series (`last_metrics`). */
export interface Metric {
  /** `title/series`: the name that the settings file and the report use. */
  readonly name: string;
  readonly title: string;
  readonly series: string;
  /** The value that was reported last. `min`, `max` and `first` are over all iterations. */
  readonly last: number;
  readonly min: number;
  readonly max: number;
  readonly first: number;
  /** Iterations of the smallest and the largest value; undefined for a single value. */
  readonly minAt: number | undefined;
  readonly maxAt: number | undefined;
  /** Mean of all reports. ClearML rounds it to two decimals. */
  readonly mean: number;
  /** How many times it was reported. */
  readonly count: number;
  /** Reported once for the whole run, without an iteration (`report_single_value`). */
  readonly isSingle: boolean;
}

/** Which number of a metric counts. */
export type MetricPick = 'last' | 'min' | 'max';

/** The title of single values (`Logger.report_single_value` of ClearML's SDK). */
export const SINGLE_VALUES_TITLE = 'Summary';

/** Whether a metric is of ClearML's resource monitor: the machine's load, not the training's result. */
export function isMonitor(metric: Pick<Metric, 'title'>): boolean {
  return metric.title.startsWith(':monitor:');
}

/** `title/series`: the name that the settings file and the report use. */
export function nameMetric(title: string, series: string): string {
  return `${title}/${series}`;
}

/** Made at the first use: a collator loads the system's language data, which takes a tenth of a program's start. */
let nameOrder: Intl.Collator | undefined;

/** Single values first, then by name, with numbers in names by size. */
export function sortMetrics(metrics: readonly Metric[]): Metric[] {
  nameOrder ??= new Intl.Collator('en', { numeric: true, sensitivity: 'variant' });
  const { compare } = nameOrder;
  return [...metrics].sort((a, b) => Number(b.isSingle) - Number(a.isSingle) || compare(a.name, b.name));
}
