import { createHash } from 'node:crypto';

/** The answer to `tasks.get_all` of a task with so many metrics, some 1.6 kB each: a server may be set to keep more than its usual 2,000. */
export function answerLargeTask(document: object, count: number): string {
  const metrics: Record<string, Record<string, object>> = {};
  for (let index = 0; index < count; index += 1) {
    const metric = `group ${Math.floor(index / 20)} ${'x'.repeat(650)}`;
    const variant = `series ${index} ${'y'.repeat(650)}`;
    metrics[hash(metric)] ??= {};
    Object.assign(metrics[hash(metric)] ?? {}, {
      [hash(variant)]: {
        metric,
        variant,
        value: index / 10,
        min_value: 0,
        min_value_iteration: 0,
        max_value: index,
        max_value_iteration: 10,
        first_value: 0,
        first_value_iteration: 0,
        count: 11,
        mean_value: 1,
      },
    });
  }
  const meta = { id: 'a', trx: 'a', endpoint: { name: 'tasks.get_all', requested_version: '2.34' } };
  return JSON.stringify({
    meta: { ...meta, result_code: 200, result_subcode: 0, result_msg: 'OK' },
    data: { tasks: [{ ...document, status: 'completed', last_metrics: metrics, last_iteration: 10 }] },
  });
}

function hash(text: string): string {
  return createHash('md5').update(text).digest('hex');
}
