import { createHash } from 'node:crypto';
import { type Call, type Endpoints, endpoint } from './clearml-endpoint.ts';
import { ClearmlApiError, invalidField, invalidRequest, serverTripped } from './clearml-error.ts';
import { addEvents } from './clearml-event-intake.ts';
import { pageOfLogs, type StoredEvent } from './clearml-event-log.ts';
import {
  choice,
  type Data,
  flag,
  isObject,
  optionalObjects,
  optionalText,
  optionalTexts,
  requiredText,
  requiredTexts,
  wholeNumber,
} from './clearml-request.ts';
import {
  type Curve,
  drawCurves,
  isChosen,
  latestValues,
  type MetricChoice,
  type ScalarKey,
  singleValueIteration,
} from './clearml-scalars.ts';
import { getTasks, type Store, type TaskDocument } from './clearml-store.ts';

const pageLimit = 10_000;
/** Of points in one answer of events.scalar_metrics_iter_raw. */
const rawPointsLimit = 200_000;
const samplesLimit = 6000;
/** Of tasks whose curves one request asks for (recordings 341, 342). */
const tasksLimit = 100;
const endOfScroll = 'FFFF';
const orders = ['asc', 'desc'] as const;
const keys = ['iter', 'timestamp', 'iso_time'] as const;

function theTask(store: Store, data: Data): TaskDocument {
  const [task] = getTasks(store, [requiredText(data, 'task')]);
  return task as TaskDocument;
}

function readMetrics(data: Data): MetricChoice {
  const given = optionalObjects(data, 'metrics');
  return new Map(given.map((item) => [requiredText(item, 'metric'), optionalTexts(item, 'variants')]));
}

function readCurveOptions(data: Data): { samples: number; key: ScalarKey; choice: MetricChoice } {
  return {
    samples: wholeNumber(data, 'samples', 2000, { minimum: 1, maximum: samplesLimit }),
    key: choice(data, 'key', keys, 'scalarkeyenum', 'iter'),
    choice: readMetrics(data),
  };
}

/** A scroll's id is a signed token that carries where to go on (recordings 182, 193); the real signature's key is no secret either. */
function encodeScroll(content: Record<string, unknown>): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const body = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(content)}`;
  return `${body}.${createHash('sha256').update(body).digest('base64url')}`;
}

function decodeScroll(scrollId: string): Record<string, unknown> {
  const [header, content, signature] = scrollId.split('.');
  const expected = createHash('sha256').update(`${header}.${content}`).digest('base64url');
  if (content === undefined || signature !== expected) throw invalidScroll();
  const decoded: unknown = JSON.parse(Buffer.from(content, 'base64url').toString());
  if (!isObject(decoded)) throw invalidScroll();
  return decoded;
}

function invalidScroll(): ClearmlApiError {
  return new ClearmlApiError(
    500,
    100,
    "General data error (BadRequestError(400, 'illegal_argument_exception', 'Cannot parse scroll id'))",
  );
}

/** What the search engine says to a page of more than 10,000 (recording 361). */
function tooLargeWindow(size: number): ClearmlApiError {
  const text =
    `Result window is too large, from + size must be less than or equal to: [${pageLimit}] but was [${size}]. ` +
    'See the scroll api for a more efficient way to request large data sets. ' +
    'This limit can be set by changing the [index.max_result_window] index level setting.';
  const reason = `BadRequestError(400, 'search_phase_execution_exception', '${text}')`;
  return new ClearmlApiError(500, 100, `General data error (${reason})`);
}

/** A page of sorted events from a position on, for the endpoints that scroll through the search engine (recordings 178-181). */
function scrollThrough(events: readonly StoredEvent[], data: Data, size: number) {
  const scrollId = optionalText(data, 'scroll_id');
  if (scrollId === endOfScroll) return { events: [], returned: 0, total: 0, scroll_id: endOfScroll };
  const start = scrollId === undefined ? 0 : Number(decodeScroll(scrollId).position);
  const page = events.slice(start, start + size);
  const next = page.length === 0 ? endOfScroll : encodeScroll({ position: start + page.length });
  return {
    events: page,
    returned: page.length,
    total: events.length,
    scroll_id: flag(data, 'no_scroll') ? null : next,
  };
}

/** Orders events by a number; those without it come last in both directions. */
function compareBy(field: 'iter' | 'timestamp', descending: boolean) {
  return (a: StoredEvent, b: StoredEvent): number => {
    const [left, right] = [a[field], b[field]];
    if (typeof left !== 'number' || typeof right !== 'number') {
      return Number(typeof left !== 'number') - Number(typeof right !== 'number');
    }
    return descending ? right - left : left - right;
  };
}

function sortedNames(names: Iterable<string>): string[] {
  return [...new Set(names)].sort();
}

function metricsAndVariants(events: Iterable<StoredEvent>): Record<string, string[]> {
  const found = new Map<string, Set<string>>();
  for (const { metric, variant } of events) {
    found.set(metric, (found.get(metric) ?? new Set()).add(variant));
  }
  return Object.fromEntries(
    sortedNames(found.keys()).map((metric) => [metric, sortedNames(found.get(metric) ?? [])]),
  );
}

function eventsOfType(store: Store, task: TaskDocument, type: string): StoredEvent[] {
  const events = store.events.get(task.id);
  return events ? [...events.ofType(type)] : [];
}

/** The plots of the last iterations of each metric and variant, by name, newest first (recordings 189-191). */
function lastPlots(store: Store, task: TaskDocument, data: Data): StoredEvent[] {
  const iterations = wholeNumber(data, 'iters', 1);
  // Recording 363.
  if (iterations === 0) throw serverTripped('integer division or modulo by zero');
  const chosen = readMetrics(data);
  const plots = eventsOfType(store, task, 'plot').filter((plot) =>
    isChosen(chosen, plot.metric, plot.variant),
  );
  return Object.entries(metricsAndVariants(plots)).flatMap(([metric, variants]) =>
    variants.flatMap((variant) =>
      plots
        .filter((plot) => plot.metric === metric && plot.variant === variant)
        .sort(compareBy('iter', true))
        .slice(0, iterations),
    ),
  );
}

/** Samples by task and iteration, for events.plots and events.debug_images (recordings 194, 195). */
function samplesByIteration({ store, data }: Call, type: string) {
  const count = wholeNumber(data, 'iters', 1, { minimum: 1 });
  const taskIds = optionalObjects(data, 'metrics').map((item) => requiredText(item, 'task'));
  const metrics = getTasks(store, taskIds).map((task) => {
    const events = eventsOfType(store, task, type);
    const iterations = [...new Set(events.map((event) => Number(event.iter ?? 0)))].sort((a, b) => b - a);
    return {
      iterations: iterations.slice(0, count).map((iter) => ({
        events: events.filter((event) => Number(event.iter ?? 0) === iter),
        iter,
      })),
      task: task.id,
    };
  });
  return { metrics, scroll_id: createHash('md5').update(JSON.stringify(data)).digest('hex') };
}

function isBeyond(value: unknown, from: number, descending: boolean): boolean {
  return typeof value === 'number' && (descending ? value < from : value > from);
}

/** Events from a key value on, and all that share the page's last value (recordings 182, 183, 193). */
function pageByKey(
  events: readonly StoredEvent[],
  field: 'iter' | 'timestamp',
  descending: boolean,
  data: Data,
) {
  const given = wholeNumber(data, 'batch_size', field === 'iter' ? pageLimit : 500);
  if (given < 0) throw invalidRequest('batch_size should be non negative number');
  const size = Math.min(given || pageLimit, rawPointsLimit);
  const scrollId = optionalText(data, 'scroll_id');
  const scroll = scrollId === undefined ? undefined : decodeScroll(scrollId);
  const sorted = [...events].sort(compareBy(field, descending));
  const from = scroll === undefined ? undefined : Number(scroll.from_key_value);
  const rest =
    from === undefined ? sorted : sorted.filter((event) => isBeyond(event[field], from, descending));
  let end = Math.min(size, rest.length);
  while (end > 0 && end < rest.length && rest[end]?.[field] === rest[end - 1]?.[field]) end += 1;
  const page = rest.slice(0, end);
  const counted = flag(data, 'count_total', field === 'iter' && scroll !== undefined) || scroll === undefined;
  const total = typeof scroll?.total === 'number' ? scroll.total : counted ? events.length : null;
  const last = page.at(-1)?.[field] ?? from ?? null;
  return {
    page,
    total,
    scrollId: encodeScroll({ from_key_value: String(last), total, task: data.task ?? null }),
  };
}

/** Nested maps with leaves of one type. */
interface Tree<Leaf> {
  [name: string]: Tree<Leaf> | Leaf;
}

function setAt<Leaf extends object>(tree: Tree<Leaf>, path: readonly string[], leaf: Leaf): void {
  let node = tree;
  for (const step of path.slice(0, -1)) {
    // Metric names are foreign: one may be called like a property that every object has.
    if (!Object.hasOwn(node, step)) Object.defineProperty(node, step, { value: {}, enumerable: true });
    node = node[step] as Tree<Leaf>;
  }
  Object.defineProperty(node, path.at(-1) ?? '', { value: leaf, enumerable: true });
}

export const eventEndpoints: Endpoints = {
  'events.add': endpoint([1, 0], ({ store, data, worker }) =>
    addEvents(store, [data], worker ?? '<unknown>'),
  ),
  'events.add_batch': endpoint([1, 0], ({ store, data, lines, worker }) => {
    // Without the content type of JSON lines a single event is taken (recordings 144-146).
    const events = lines ?? (Object.keys(data).length === 0 ? [] : [data]);
    if (events.length === 0) throw new ClearmlApiError(400, 17, 'Batch request contains no items');
    return addEvents(store, events, worker ?? '<unknown>');
  }),

  'events.get_task_log': {
    versions: [
      [1, 5],
      [1, 7],
      [2, 9],
    ],
    handle: ({ store, data, served }) => {
      const order =
        data.order === undefined ? undefined : choice(data, 'order', orders, 'logorderenum', 'desc');
      const task = theTask(store, data);
      const logs = store.events.get(task.id)?.logs ?? [];
      const size = wholeNumber(data, 'batch_size', served[0] === 1 ? 500 : 5000);
      if (served[0] === 1) {
        // Before 2.9 it scrolled (recordings 169, 170).
        return scrollThrough(order === 'asc' ? logs : [...logs].reverse(), data, Math.min(size, pageLimit));
      }
      const earlier = flag(data, 'navigate_earlier', true);
      const fromMs = wholeNumber(data, 'from_timestamp', undefined);
      if (size > pageLimit) throw tooLargeWindow(size);
      const page = pageOfLogs(logs, { earlier, fromMs, size });
      if (order !== undefined && (order === 'asc') === earlier) page.reverse();
      return { events: page, returned: page.length, total: logs.length };
    },
  },

  'events.scalar_metrics_iter_histogram': endpoint([1, 0], ({ store, data }) => {
    const options = readCurveOptions(data);
    const task = theTask(store, data);
    return drawCurves(store.events.get(task.id), options);
  }),
  'events.multi_task_scalar_metrics_iter_histogram': endpoint([1, 0], ({ store, data }) => {
    const options = readCurveOptions(data);
    const metrics: Tree<Curve> = {};
    for (const task of getTasks(store, requiredTexts(data, 'tasks', tasksLimit))) {
      for (const [metric, variants] of Object.entries(drawCurves(store.events.get(task.id), options))) {
        for (const [variant, curve] of Object.entries(variants)) {
          setAt(metrics, [metric, variant, task.id], { ...curve, name: task.name });
        }
      }
    }
    return { metrics };
  }),
  'events.scalar_metrics_iter_raw': endpoint([2, 16], ({ store, data }) => {
    if (!isObject(data.metric)) throw invalidField('metric', '. field is required!');
    const metric = requiredText(data.metric, 'metric');
    const chosen = new Map([[metric, optionalTexts(data.metric, 'variants')]]);
    const key = choice(data, 'key', keys, 'scalarkeyenum', 'iter');
    const field = key === 'iter' ? 'iter' : 'timestamp';
    const task = theTask(store, data);
    const events = eventsOfType(store, task, 'training_stats_scalar').filter((event) =>
      isChosen(chosen, event.metric, event.variant),
    );
    const { page, total, scrollId } = pageByKey(events, field, false, data);
    const variants = new Map<string, { y: unknown[] } & Record<string, unknown[]>>();
    for (const event of page) {
      const points = variants.get(event.variant) ?? { y: [], [key]: [] };
      points.y.push(event.value);
      points[key]?.push(key === 'iso_time' ? new Date(event.timestamp).toISOString() : event[field]);
      variants.set(event.variant, points);
    }
    return { returned: page.length, total, scroll_id: scrollId, variants: Object.fromEntries(variants) };
  }),
  'events.get_scalar_metric_data': endpoint([1, 0], ({ store, data }) => {
    const task = theTask(store, data);
    const metric = requiredText(data, 'metric');
    const events = eventsOfType(store, task, 'training_stats_scalar')
      .filter((event) => event.metric === metric)
      .sort(compareBy('iter', true));
    return scrollThrough(events, data, pageLimit);
  }),
  'events.get_scalar_metrics_and_variants': endpoint([1, 0], ({ store, data }) => ({
    metrics: metricsAndVariants(eventsOfType(store, theTask(store, data), 'training_stats_scalar')),
  })),
  // The status is wrong on real servers too, always `created` (recording 185).
  'events.get_task_latest_scalar_values': endpoint([1, 0], ({ store, data }) => {
    const task = theTask(store, data);
    const { metrics, lastIteration, lastTimestamp } = latestValues(store.events.get(task.id));
    return {
      metrics,
      last_iter: lastIteration ?? 0,
      name: null,
      status: 'created',
      last_timestamp: lastTimestamp,
    };
  }),
  'events.get_task_single_value_metrics': endpoint([1, 0], ({ store, data }) => {
    const tasks = getTasks(store, requiredTexts(data, 'tasks')).map((task) => ({
      task: task.id,
      task_name: task.name,
      values: eventsOfType(store, task, 'training_stats_scalar')
        .filter((event) => event.iter === singleValueIteration)
        .map(({ metric, variant, value, timestamp }) => ({ metric, variant, value, timestamp })),
    }));
    return { tasks: tasks.filter((task) => task.values.length > 0) };
  }),
  'events.get_task_metrics': endpoint([1, 0], ({ store, data }) => {
    const type = requiredText(data, 'event_type');
    const metrics = getTasks(store, requiredTexts(data, 'tasks')).map((task) => {
      const drawn = eventsOfType(store, task, type).filter(
        (event) => typeof event.iter === 'number' && event.iter > singleValueIteration,
      );
      return { task: task.id, metrics: sortedNames(drawn.map((event) => event.metric)) };
    });
    return { metrics };
  }),
  'events.get_multi_task_metrics': endpoint([1, 0], ({ store, data }) => {
    const type = optionalText(data, 'event_type');
    const events = getTasks(store, requiredTexts(data, 'tasks')).flatMap((task) => {
      const all = store.events.get(task.id);
      return all ? [...(type === undefined || type === 'all' ? all.all() : all.ofType(type))] : [];
    });
    const found = Object.entries(metricsAndVariants(events));
    return { metrics: found.map(([metric, variants]) => ({ metric, variants })) };
  }),
  'events.get_task_plots': endpoint([1, 8], ({ store, data }) => {
    const plots = lastPlots(store, theTask(store, data), data);
    return { plots, returned: plots.length, total: plots.length, scroll_id: null };
  }),
  'events.get_multi_task_plots': endpoint([1, 8], ({ store, data }) => {
    const plots: Tree<{ name: string; plots: StoredEvent[] }> = {};
    let total = 0;
    for (const task of getTasks(store, requiredTexts(data, 'tasks'))) {
      for (const plot of lastPlots(store, task, data)) {
        total += 1;
        setAt(plots, [plot.metric, plot.variant, task.id, String(plot.iter)], {
          name: task.name,
          plots: [plot],
        });
      }
    }
    // "returned" counts metrics, not plots (recording 192).
    return { plots, returned: Object.keys(plots).length, total, scroll_id: null };
  }),
  'events.get_task_events': endpoint([1, 0], ({ store, data }) => {
    const task = theTask(store, data);
    const type = optionalText(data, 'event_type') ?? 'all';
    const order = choice(data, 'order', orders, 'logorderenum', 'asc');
    const chosen = readMetrics(data);
    const all = store.events.get(task.id);
    const events = all ? [...(type === 'all' ? all.all() : all.ofType(type))] : [];
    const found = events.filter((event) => isChosen(chosen, event.metric, event.variant));
    const field = type === 'log' ? 'timestamp' : 'iter';
    const size = { batch_size: 500, ...data };
    const { page, total, scrollId } = pageByKey(found, field, order === 'desc', size);
    return { returned: page.length, total, scroll_id: scrollId, events: page };
  }),
  'events.debug_images': endpoint([2, 7], (call) => samplesByIteration(call, 'training_debug_image')),
  'events.plots': endpoint([1, 0], (call) => samplesByIteration(call, 'plot')),
};
