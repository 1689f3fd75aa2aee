import { createHash } from 'node:crypto';
import type { StoredEvent } from './clearml-event-log.ts';
import { roundToHundredths } from './clearml-python.ts';
import type { LastMetric, TaskDocument } from './clearml-store.ts';

/** A real server stops adding new metrics to a task here. */
const metricsLimit = 2000;

/** The key of a metric or variant in `last_metrics`: its MD5. */
export function hashName(name: string): string {
  return createHash('md5').update(name).digest('hex');
}

interface Summary {
  metric: string;
  variant: string;
  count: number;
  total: number;
  value: unknown;
  iteration: number;
  timestamp: number;
  minimum: number;
  minimumIteration: number;
  maximum: number;
  maximumIteration: number;
  first: number;
  firstIteration: number;
  xAxisLabel?: unknown;
}

/** What a batch of scalars says of each metric and variant. */
export type BatchSummary = Map<string, Summary>;

/** Takes a scalar into the summary of its batch: the latest by iteration and time, the first, the extremes. */
export function summarize(batch: BatchSummary, event: StoredEvent, xAxisLabel: unknown): void {
  if (event.value === undefined || event.value === null) return;
  const value = event.value as number;
  const iteration = typeof event.iter === 'number' ? event.iter : 0;
  const key = JSON.stringify([event.metric, event.variant]);
  const known = batch.get(key);
  if (!known) {
    batch.set(key, {
      metric: event.metric,
      variant: event.variant,
      count: 1,
      total: value,
      value,
      iteration,
      timestamp: event.timestamp,
      minimum: value,
      minimumIteration: iteration,
      maximum: value,
      maximumIteration: iteration,
      first: value,
      firstIteration: iteration,
      ...(xAxisLabel !== undefined && { xAxisLabel }),
    });
    return;
  }
  known.count += 1;
  known.total += value;
  const later = iteration - known.iteration || event.timestamp - known.timestamp;
  if (later >= 0) Object.assign(known, { value, iteration, timestamp: event.timestamp });
  if (later >= 0 && xAxisLabel !== undefined) known.xAxisLabel = xAxisLabel;
  if (iteration < known.firstIteration) Object.assign(known, { first: value, firstIteration: iteration });
  if (value < known.minimum) Object.assign(known, { minimum: value, minimumIteration: iteration });
  if (value > known.maximum) Object.assign(known, { maximum: value, maximumIteration: iteration });
}

/**
 * Writes a batch into `last_metrics` (recordings 140, 158, 225). `value` is the batch's latest, whatever came before; the mean is computed
 * from the rounded mean.
 */
export function updateLastMetrics(task: TaskDocument, batch: BatchSummary): void {
  let size = Object.values(task.last_metrics).reduce(
    (sum, variants) => sum + Object.keys(variants).length,
    0,
  );
  for (const summary of batch.values()) {
    const metricKey = hashName(summary.metric);
    const variantKey = hashName(summary.variant);
    const before = task.last_metrics[metricKey]?.[variantKey];
    if (!before && size >= metricsLimit) continue;
    if (!before) size += 1;
    const variants = task.last_metrics[metricKey] ?? {};
    variants[variantKey] = combine(before, summary);
    task.last_metrics[metricKey] = variants;
  }
}

function combine(before: LastMetric | undefined, summary: Summary): LastMetric {
  const isNewMinimum = !before || summary.minimum < before.min_value;
  const isNewMaximum = !before || summary.maximum > before.max_value;
  const count = (before?.count ?? 0) + summary.count;
  const total = (before ? before.mean_value * before.count : 0) + summary.total;
  const label = summary.xAxisLabel ?? before?.x_axis_label;
  return {
    metric: summary.metric,
    variant: summary.variant,
    value: summary.value,
    min_value: isNewMinimum ? summary.minimum : before.min_value,
    min_value_iteration: isNewMinimum ? summary.minimumIteration : before.min_value_iteration,
    max_value: isNewMaximum ? summary.maximum : before.max_value,
    max_value_iteration: isNewMaximum ? summary.maximumIteration : before.max_value_iteration,
    first_value: before ? before.first_value : summary.first,
    first_value_iteration: before ? before.first_value_iteration : summary.firstIteration,
    count,
    mean_value: roundToHundredths(total / count),
    ...(label !== undefined && { x_axis_label: label }),
  };
}
