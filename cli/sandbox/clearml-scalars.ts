import type { StoredEvent, TaskEvents } from './clearml-event-log.ts';

/** Single values have this iteration (recording 142); curves leave them out. */
export const singleValueIteration = -(2 ** 31);

/** By what a curve is drawn. */
export type ScalarKey = 'iter' | 'timestamp' | 'iso_time';

/** Which metrics, and of each which variants; no variants means all. */
export type MetricChoice = ReadonlyMap<string, readonly string[]>;

/** A curve of at most as many points as asked for. */
export interface Curve {
  name: string;
  x: (number | string)[];
  y: number[];
}

/** A number as the search engine keeps it: float32 (recording 171). */
function stored(event: StoredEvent): number {
  return Math.fround(Number(event.value));
}

/** Whether a metric and variant were asked for; an empty choice asks for all. */
export function isChosen(choice: MetricChoice, metric: string, variant: string): boolean {
  if (choice.size === 0) return true;
  const variants = choice.get(metric);
  return variants !== undefined && (variants.length === 0 || variants.includes(variant));
}

interface Series {
  readonly metric: string;
  readonly variant: string;
  readonly events: StoredEvent[];
  readonly interval: number;
}

function position(event: StoredEvent, key: ScalarKey): number {
  return key === 'iter' ? Number(event.iter) : event.timestamp;
}

/** How wide a bucket must be for the curve to have no more points than asked for. */
function chooseInterval(events: readonly StoredEvent[], samples: number, key: ScalarKey): number {
  if (events.length < samples) return 1;
  let minimum = Number.POSITIVE_INFINITY;
  let maximum = Number.NEGATIVE_INFINITY;
  for (const event of events) {
    const at = position(event, key);
    minimum = Math.min(minimum, at);
    maximum = Math.max(maximum, at);
  }
  return Math.max(1, Math.ceil((maximum - minimum + 1) / samples));
}

function average(
  events: readonly StoredEvent[],
  interval: number,
  key: ScalarKey,
): { x: number[]; y: number[] } {
  const buckets = new Map<number, { sum: number; count: number }>();
  for (const event of events) {
    const start = Math.floor(position(event, key) / interval) * interval;
    const bucket = buckets.get(start) ?? { sum: 0, count: 0 };
    bucket.sum += stored(event);
    bucket.count += 1;
    buckets.set(start, bucket);
  }
  const x = [...buckets.keys()].sort((a, b) => a - b);
  return { x, y: x.map((start) => (buckets.get(start)?.sum ?? 0) / (buckets.get(start)?.count ?? 1)) };
}

function byName(a: { metric: string; variant: string }, b: { metric: string; variant: string }): number {
  if (a.metric !== b.metric) return a.metric < b.metric ? -1 : 1;
  return a.variant < b.variant ? -1 : a.variant > b.variant ? 1 : 0;
}

/**
 * The curves of a task, averaged into at most `samples` points each (recordings 171-173). Curves whose buckets are nearly as wide (within
 * 10%) share the widest, as on a real server.
 */
export function drawCurves(
  events: TaskEvents | undefined,
  options: { samples: number; key: ScalarKey; choice: MetricChoice },
): Record<string, Record<string, Curve>> {
  const { samples, key, choice } = options;
  const series: Series[] = [];
  for (const [metric, variants] of events?.scalars ?? []) {
    for (const [variant, all] of variants) {
      if (!isChosen(choice, metric, variant)) continue;
      const drawn = [...all.values()].filter(
        (event) => typeof event.iter === 'number' && event.iter > singleValueIteration,
      );
      if (drawn.length > 0) {
        series.push({ metric, variant, events: drawn, interval: chooseInterval(drawn, samples, key) });
      }
    }
  }
  series.sort(byName);
  const drawn: (Series & { curve: Curve })[] = [];
  for (const group of groupByInterval(series)) {
    const interval = Math.max(...group.map((one) => one.interval));
    for (const one of group) {
      const { x, y } = average(one.events, interval, key);
      const labels = key === 'iso_time' ? x.map((timeMs) => new Date(timeMs).toISOString()) : x;
      drawn.push({ ...one, curve: { name: one.variant, x: labels, y } });
    }
  }
  const curves = new Map<string, [string, Curve][]>();
  for (const { metric, variant, curve } of drawn.sort(byName)) {
    const known = curves.get(metric);
    if (known) known.push([variant, curve]);
    else curves.set(metric, [[variant, curve]]);
  }
  return Object.fromEntries([...curves].map(([metric, variants]) => [metric, Object.fromEntries(variants)]));
}

const groupSizeLimit = 50;

function groupByInterval(series: readonly Series[]): Series[][] {
  const groups: Series[][] = [];
  let upperBound = 0;
  for (const one of [...series].sort((a, b) => a.interval - b.interval)) {
    const group = groups.at(-1);
    if (group && one.interval <= upperBound && group.length < groupSizeLimit) group.push(one);
    else {
      groups.push([one]);
      upperBound = one.interval + Math.floor(one.interval * 0.1);
    }
  }
  return groups;
}

/** The newest value of each metric and variant (recording 185). */
export function latestValues(events: TaskEvents | undefined) {
  const metrics: { name: string; variants: { name: string; last_value: number; last_10_value: number }[] }[] =
    [];
  let lastIteration: number | undefined;
  let lastTimestamp = 0;
  for (const [metric, variants] of events?.scalars ?? []) {
    const rows = [...variants].flatMap(([name, all]) => {
      let newest: StoredEvent | undefined;
      for (const event of all.values()) {
        const iteration = typeof event.iter === 'number' ? event.iter : undefined;
        if (iteration !== undefined) lastIteration = Math.max(lastIteration ?? iteration, iteration);
        lastTimestamp = Math.max(lastTimestamp, event.timestamp);
        if (!newest || Number(event.iter ?? 0) >= Number(newest.iter ?? 0)) newest = event;
      }
      return newest ? [{ name, last_value: stored(newest), last_10_value: stored(newest) }] : [];
    });
    metrics.push({ name: metric, variants: sortByName(rows) });
  }
  return { metrics: sortByName(metrics), lastIteration, lastTimestamp };
}

function sortByName<T extends { name: string }>(rows: T[]): T[] {
  return rows.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}
