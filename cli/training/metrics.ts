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

/** The title under which ClearML's SDK reports single values (recording 142). */
const SINGLE_VALUES_TITLE = 'Summary';

/** Whether ClearML's resource monitor made it: the machine's load, not the training's result. */
export function isMonitor(metric: Pick<Metric, 'title'>): boolean {
  return metric.title.startsWith(':monitor:');
}

/** `title/series`; a single value goes by its own name. */
export function nameMetric(title: string, series: string): string {
  return `${title}/${series}`;
}

/** The number that counts. */
export function pickValue(metric: Metric, pick: MetricPick): number {
  return metric[pick];
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

/**
 * Whether a pattern matches every name that another one does. One with `?` is taken to cover only itself and names, which
 * may miss a case but claims none.
 */
export function coversPattern(pattern: string, other: string): boolean {
  if (pattern === other) return true;
  // A star stands for any characters, those that stand for others included.
  return (!pattern.includes('?') || !/[*?]/.test(other)) && matchesPattern(pattern, other);
}

/**
 * Whether a name matches a pattern of the settings file: the whole `title/series`; `*` and `?` match any characters,
 * `/` included. Not by a regular expression: one with many stars could take for ever.
 */
export function matchesPattern(pattern: string, name: string): boolean {
  const wanted = [...pattern];
  const given = [...name];
  let at = 0;
  // Where to go on when the present attempt fails: after the last star, one more character of the name under it.
  let afterStar: number | undefined;
  let retryFrom = 0;
  for (let index = 0; index < given.length; ) {
    if (wanted[at] === '*') {
      at += 1;
      afterStar = at;
      retryFrom = index;
    } else if (at < wanted.length && (wanted[at] === '?' || wanted[at] === given[index])) {
      at += 1;
      index += 1;
    } else if (afterStar !== undefined) {
      retryFrom += 1;
      index = retryFrom;
      at = afterStar;
    } else return false;
  }
  return wanted.slice(at).every((character) => character === '*');
}
