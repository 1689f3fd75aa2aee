/** A metric of one task: what ClearML keeps of each title and series (`last_metrics`). */
export interface Metric {
  /** `title/series`: the name that the settings file and the report use. */
  readonly name: string;
  readonly title: string;
  readonly series: string;
  /** Value reported last; `min`, `max`, `first` over all iterations. */
  readonly last: number;
  readonly min: number;
  readonly max: number;
  readonly first: number;
  /** Iterations at which the smallest and the largest value were reported; undefined for a single value. */
  readonly minAt: number | undefined;
  readonly maxAt: number | undefined;
  /** Mean over all reports, which ClearML rounds to two decimals. */
  readonly mean: number;
  /** How many times it was reported. */
  readonly count: number;
  /** Reported once for the whole run, without an iteration (`report_single_value`). */
  readonly isSingle: boolean;
}

/** Which number of a metric counts. */
export type MetricPick = 'last' | 'min' | 'max';

/** The title under which ClearML's SDK reports single values (`Logger.report_single_value`). */
const SINGLE_VALUES_TITLE = 'Summary';

/** Whether ClearML's resource monitor made it: the machine's load, not the training's result. */
export function isMonitor(metric: Pick<Metric, 'title'>): boolean {
  return metric.title.startsWith(':monitor:');
}

/** `title/series`: the name that the settings file and the report use. */
export function nameMetric(title: string, series: string): string {
  return `${title}/${series}`;
}

/** Made when it is first asked for: a collator loads the system's language data, a tenth of a program's start. */
let nameOrder: Intl.Collator | undefined;

function readNameOrder(): Intl.Collator {
  nameOrder ??= new Intl.Collator('en', { numeric: true, sensitivity: 'variant' });
  return nameOrder;
}

/** Single values first, then by name, numbers in names by their size. */
export function sortMetrics(metrics: readonly Metric[]): Metric[] {
  return [...metrics].sort(
    (a, b) => Number(b.isSingle) - Number(a.isSingle) || readNameOrder().compare(a.name, b.name),
  );
}

/** Whether a metric was reported as one of the run's single values. */
export function isSingleValueTitle(title: string): boolean {
  return title === SINGLE_VALUES_TITLE;
}
