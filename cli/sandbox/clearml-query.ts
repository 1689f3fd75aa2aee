import { ClearmlApiError, invalidRequest, unknownField } from './clearml-error.ts';
import { compilePythonRegex, formatTime, pythonRepr } from './clearml-python.ts';
import { type Data, isObject } from './clearml-request.ts';
import { createId, type Document } from './clearml-store.ts';

/** The fields of a document: true is a plain field, 'any' one with free content below it. */
export interface FieldTree {
  readonly [name: string]: true | 'any' | FieldTree;
}

/** What get_all understands of a collection. A name that ends in `*` stands for all fields that begin so. */
export interface Collection {
  readonly fields: FieldTree;
  /** Left out unless asked for by name. */
  readonly hidden: readonly string[];
  /** Filtered by Python regex. */
  readonly patterns: readonly string[];
  /** Filtered by one or several values, with the `__$` operators. */
  readonly lists: readonly string[];
  /** Filtered by [minimum, maximum]. */
  readonly ranges: readonly string[];
  /** Filtered by one plain value. */
  readonly values: readonly string[];
  /** Filtered by times such as ">=2026-01-01T00:00:00". */
  readonly times: readonly string[];
  /** Where `order_by` begins so, texts are ordered by the numbers in them (recording 293). */
  readonly numericOrder: readonly string[];
}

type Condition = (document: Document) => boolean;

/** The most documents a page ever holds (recordings 324-326). */
const pageSizeLimit = 500;

/** The value at a dotted path; along a list it is the list of the elements' values. */
export function valueAt(document: unknown, path: string): unknown {
  let value = document;
  for (const step of path.split('.')) {
    if (Array.isArray(value)) {
      value = value.flatMap((element) => {
        const inner = isObject(element) ? element[step] : undefined;
        return inner === undefined ? [] : [inner];
      });
    } else if (isObject(value)) value = value[step];
    else return undefined;
  }
  return value;
}

function hasField(tree: FieldTree, path: string): boolean {
  let node: FieldTree | true | 'any' | undefined = tree;
  for (const step of path.split('.')) {
    if (node === 'any') return true;
    if (node === true || node === undefined) return false;
    node = Object.hasOwn(node, step) ? node[step] : undefined;
  }
  return node !== undefined;
}

function asTexts(value: unknown): unknown[] {
  if (value === undefined || value === null) return [];
  return Array.isArray(value) ? value : [value];
}

function sameValue(a: unknown, b: unknown): boolean {
  return a === b || (isObject(a) && isObject(b) && JSON.stringify(a) === JSON.stringify(b));
}

/** The list filters: plain values mean "any of", `-x` and `__$not` exclude, `__$all` means "all of" (recordings 285-287). */
function listCondition(field: string, filter: unknown): Condition | undefined {
  const included = { all: [] as string[], any: [] as string[] };
  const excluded: string[] = [];
  let context: 'all' | 'any' = 'any';
  let operator: 'all' | 'any' | undefined;
  let minusExcludes = true;
  let negate = false;
  let orEmpty = false;
  for (const value of Array.isArray(filter) ? filter : [filter]) {
    if (value === null) {
      operator ??= 'all';
      orEmpty = true;
      negate = false;
    } else if (typeof value !== 'string') {
      throw invalidValue('invalid value type, string expected', { field, value: pythonRepr(value) });
    } else if (value === '__$nop') {
      operator ??= 'all';
      context = 'any';
      minusExcludes = true;
      negate = false;
    } else if (value === '__$not') {
      if (negate) throw invalidValue('Value is expected after', { field, operator: value });
      negate = true;
    } else if (value.startsWith('__$')) {
      if (negate) throw invalidValue('Value is expected after', { field, operator: '__$not' });
      if (value === '__$all' || value === '__$and') context = 'all';
      else if (value === '__$any' || value === '__$or') context = 'any';
      else throw invalidValue('Unsupported operator', { field, operator: value });
      operator ??= context;
      minusExcludes = false;
    } else {
      operator ??= 'all';
      if (negate) excluded.push(value);
      else if (minusExcludes && value.startsWith('-')) {
        if (value === '-')
          throw invalidValue('Missing value after the exclude prefix -', { field, value: '' });
        excluded.push(value.slice(1));
      } else included[context].push(value);
      negate = false;
    }
  }
  if (negate) throw invalidValue('Value is expected after', { operator: '__$not' });

  const tests: ((values: unknown[]) => boolean)[] = [];
  const any = new Set<unknown>(included.any);
  if (any.size > 0) tests.push((values) => values.some((value) => any.has(value)));
  if (included.all.length > 0) tests.push((values) => included.all.every((value) => values.includes(value)));
  if (excluded.length > 0) tests.push((values) => !excluded.some((value) => values.includes(value)));
  if (tests.length === 0 && !orEmpty) return undefined;
  return (document) => {
    const values = asTexts(valueAt(document, field));
    if (orEmpty && values.length === 0) return true;
    if (tests.length === 0) return !orEmpty;
    return operator === 'any' ? tests.some((test) => test(values)) : tests.every((test) => test(values));
  };
}

/** 400/16. */
export function invalidValue(reason: string, details: Record<string, string>): ClearmlApiError {
  return new ClearmlApiError(400, 16, `Invalid value for fields (${reason})`, details);
}

function rangeCondition(field: string, filter: unknown): Condition {
  if (!Array.isArray(filter) || filter.length !== 2) {
    throw invalidRequest(`Min and max values should be specified for range field ${field}`);
  }
  const [minimum, maximum]: unknown[] = filter.map((bound) => toRangeBound(field, bound));
  if (minimum === null && maximum === null) {
    throw invalidRequest(`At least one of min or max values should be provided for field ${field}`);
  }
  return (document) => {
    const value = valueAt(document, field);
    if (value === undefined || value === null) return minimum === null;
    if (minimum !== null && compareValues(value, minimum) < 0) return false;
    return maximum === null || compareValues(value, maximum) <= 0;
  };
}

function toRangeBound(field: string, bound: unknown): unknown {
  if (typeof bound !== 'string') return bound;
  if (field.startsWith('last_metrics.')) return Number.isNaN(Number(bound)) ? bound : Number(bound);
  const timeMs = Date.parse(/[zZ]|[+-]\d\d:?\d\d$/.test(bound) ? bound : `${bound}Z`);
  return Number.isNaN(timeMs) ? bound : formatTime(timeMs);
}

/** Each text is an optional comparison and a time; what is no time is left out silently (recording 294). */
function timeConditions(field: string, filter: unknown): Condition[] {
  const texts = Array.isArray(filter) ? filter : [filter];
  const compared = texts.some((text) => typeof text === 'string' && /^[<>]/.test(text));
  if (texts.length === 2 && !compared) return [rangeCondition(field, texts)];
  return texts.flatMap((text): Condition[] => {
    const match = /^(>=|>|<=|<)?(.*)$/.exec(String(text));
    const timeMs = Date.parse(
      /[zZ]|[+-]\d\d:?\d\d$/.test(match?.[2] ?? '') ? String(match?.[2]) : `${match?.[2]}Z`,
    );
    if (Number.isNaN(timeMs)) return [];
    return [
      (document) => {
        const value = valueAt(document, field);
        if (typeof value !== 'string') return false;
        const difference = Date.parse(value) - timeMs;
        if (match?.[1] === '>=') return difference >= 0;
        if (match?.[1] === '>') return difference > 0;
        if (match?.[1] === '<=') return difference <= 0;
        return match?.[1] === '<' ? difference < 0 : difference === 0;
      },
    ];
  });
}

/** `_any_` and `_all_`: a pattern, case ignored, on any or all of some fields (recording 297). */
function multiFieldCondition(collection: Collection, name: string, filter: unknown): Condition | undefined {
  const valid =
    isObject(filter) && Array.isArray(filter.fields) && Object.keys(filter).every(isMultiFieldKey);
  if (!valid || (filter.pattern === undefined) === (filter.datetime === undefined)) {
    throw invalidValue('failed parsing query field', { error: 'incorrect field format', field: name });
  }
  const fields = (filter.fields as unknown[]).map(String);
  if (fields.length === 0) return undefined;
  const any = name === '_any_' || name === '_or_';
  if (filter.datetime !== undefined) {
    const conditions = fields
      .filter((field) => collection.times.includes(field))
      .map((field) => allOf(timeConditions(field, filter.datetime)));
    if (conditions.length === 0) return undefined;
    return any ? (document) => conditions.some((holds) => holds(document)) : allOf(conditions);
  }
  const regex = compilePythonRegex(filter.pattern, true);
  // A name with "._" in it goes to the database unchecked.
  if (!fields.some((field) => field.includes('._'))) {
    for (const field of fields) if (!hasField(collection.fields, field)) throw unknownField(field);
  }
  const matches = (document: Document, field: string) =>
    asTexts(valueAt(document, field)).some((value) => typeof value === 'string' && regex.test(value));
  return (document) =>
    any
      ? fields.some((field) => matches(document, field))
      : fields.every((field) => matches(document, field));
}

function isMultiFieldKey(key: string): boolean {
  return key === 'fields' || key === 'pattern' || key === 'datetime';
}

function allOf(conditions: readonly Condition[]): Condition {
  return (document) => conditions.every((holds) => holds(document));
}

/** The filters of a request that name one of the patterns; null means "not given". */
function* given(data: Data, names: readonly string[]): Generator<[string, unknown]> {
  for (const [field, filter] of Object.entries(data)) {
    if (filter === null || filter === undefined) continue;
    const known = names.some((name) =>
      name.endsWith('*') ? field.startsWith(name.slice(0, -1)) : field === name,
    );
    if (known) yield [field, filter];
  }
}

/** Reads a request's filters. What it does not know is ignored: all documents match (recording 296). */
function parseFilters(collection: Collection, data: Data): Condition {
  const conditions: Condition[] = [];
  if (data.search_text !== undefined && data.search_text !== null) {
    throw new ClearmlApiError(500, 0, 'The sandbox has no text search');
  }
  for (const field of collection.patterns) {
    // Python takes NaN for true (recording 052).
    if (!data[field] && !Number.isNaN(data[field])) continue;
    const regex = compilePythonRegex(data[field]);
    conditions.push((document) => {
      const value = valueAt(document, field);
      return typeof value === 'string' && regex.test(value);
    });
  }
  for (const [field, filter] of given(data, collection.lists)) {
    const condition = listCondition(field, filter);
    if (condition) conditions.push(condition);
  }
  for (const [field, filter] of given(data, collection.ranges))
    conditions.push(rangeCondition(field, filter));
  for (const [field, filter] of given(data, collection.values)) {
    conditions.push((document) => sameValue(valueAt(document, field), filter));
  }
  for (const [field, filter] of given(data, collection.times))
    conditions.push(...timeConditions(field, filter));
  for (const [field, filter] of given(data, ['_any_', '_or_', '_all_', '_and_'])) {
    const condition = multiFieldCondition(collection, field, filter);
    if (condition) conditions.push(condition);
  }
  if (!data.search_hidden && asTexts(data.id).length === 0) {
    conditions.push((document) => !asTexts(document.system_tags).includes('hidden'));
  }
  return allOf(conditions);
}

const typeOrder = ['undefined', 'number', 'string', 'object', 'boolean'];

/** MongoDB's order: what is missing first, then numbers, then texts by their code points. */
function compareValues(a: unknown, b: unknown, numericTexts?: Intl.Collator): number {
  const typeOf = (value: unknown) => (value === null ? 'undefined' : typeof value);
  if (typeOf(a) !== typeOf(b)) return typeOrder.indexOf(typeOf(a)) - typeOrder.indexOf(typeOf(b));
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  if (typeof a === 'string' && typeof b === 'string') {
    if (numericTexts) return numericTexts.compare(a, b);
    return a < b ? -1 : a > b ? 1 : 0;
  }
  return 0;
}

function orderDocuments(collection: Collection, documents: Document[], data: Data): Document[] {
  const given = data.order_by;
  if (given === undefined || given === null || (Array.isArray(given) && given.length === 0)) return documents;
  if (!Array.isArray(given)) {
    const text = 'FieldPath cannot be constructed with empty string';
    throw new ClearmlApiError(
      500,
      1,
      `Internal server error: err=${text}, full error: {'ok': 0.0, 'errmsg': '${text}', 'code': 40352, 'codeName': 'Location40352'}`,
    );
  }
  const keys = given.map((name) => {
    const descending = String(name).startsWith('-');
    const field = String(name).replace(/^[-+]/, '');
    if (!hasField(collection.fields, field)) throw unknownField(field);
    return { field, sign: descending ? -1 : 1 };
  });
  if (!keys.some((key) => key.field === 'id')) keys.push({ field: 'id', sign: 1 });
  const numeric = keys.some((key) => collection.numericOrder.some((prefix) => key.field.startsWith(prefix)));
  const collator = numeric ? new Intl.Collator('en-US', { numeric: true }) : undefined;
  return documents.sort((a, b) => {
    for (const { field, sign } of keys) {
      const order = compareValues(valueAt(a, field), valueAt(b, field), collator);
      if (order !== 0) return order * sign;
    }
    return 0;
  });
}

function whole(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isInteger(value) ? value : undefined;
}

/** What get_all answers: the documents of the page, and the scroll's id where one was asked for. */
export interface Page {
  readonly documents: Document[];
  readonly scrollId?: string;
}

/**
 * get_all: filters, orders and pages. Without `page_size`, and above 500, a page holds 500 (recordings 324-326); `size` counts with
 * `scroll_id` only, and a scroll that nobody knows starts again (recordings 278-282).
 */
export function findDocuments(
  collection: Collection,
  documents: Iterable<Document>,
  data: Data,
  scrollPositions: Map<string, number>,
): Page {
  const matches = parseFilters(collection, data);
  const paged = 'scroll_id' in data ? undefined : paging(data);
  const size = paged ? paged.size : whole(data.size);
  if (size === undefined || size < 1) {
    throw invalidRequest('Integer size parameter greater than 1 should be provided when working with scroll');
  }
  const found: Document[] = [];
  for (const document of documents) if (matches(document)) found.push(document);
  orderDocuments(collection, found, data);
  if (paged) return { documents: found.slice(paged.start, paged.start + size) };

  const known = typeof data.scroll_id === 'string' && scrollPositions.has(data.scroll_id);
  const scrollId = known ? String(data.scroll_id) : createId();
  const position = scrollPositions.get(scrollId) ?? 0;
  const start = data.refresh_scroll ? 0 : position;
  const page = found.slice(start, start + (data.refresh_scroll ? Math.max(position, size) : size));
  scrollPositions.set(scrollId, start + page.length);
  return { documents: page, scrollId };
}

function paging(data: Data): { start: number; size: number } {
  const page = whole(data.page) ?? 0;
  if (page < 0) throw invalidRequest('page must be >=0', { field: 'page' });
  const size = whole(data.page_size) ?? pageSizeLimit;
  if (size < 1) throw invalidRequest('page_size must be >0', { field: 'page_size' });
  const clamped = Math.min(size, pageSizeLimit);
  return { start: page * clamped, size: clamped };
}

/** The fields that a request asks for; empty means all. */
export function requestedFields(data: Data): string[] {
  const only = data.projection ?? data.only_fields;
  return asTexts(only).map(String);
}

/**
 * The document with the fields asked for; what is missing below a field leaves `{}` (recordings 293, 300). It shares its values with the
 * stored document: it is to be sent, not changed.
 */
export function projectDocument(
  collection: Collection,
  document: Document,
  fields: readonly string[],
): Record<string, unknown> {
  const excluded = fields.filter((field) => field.startsWith('-')).map((field) => field.slice(1));
  const included = fields.filter((field) => !field.startsWith('-'));
  for (const field of [...included, ...excluded]) {
    if (!hasField(collection.fields, field)) throw unknownField(field);
  }
  let view: Record<string, unknown> = {};
  if (included.length === 0) {
    for (const [field, value] of Object.entries(document)) {
      if (!collection.hidden.includes(field)) view[field] = value;
    }
  }
  for (const field of included) copyAt(document, view, field.split('.'));
  if (excluded.length > 0) view = structuredClone(view);
  for (const field of excluded) removeAt(view, field);
  return view;
}

function copyAt(source: unknown, target: Record<string, unknown>, [step, ...rest]: string[]): void {
  if (step === undefined || !isObject(source)) return;
  const value = source[step];
  if (value === undefined) return;
  if (rest.length === 0) {
    target[step] = value;
  } else if (Array.isArray(value)) {
    const earlier = target[step];
    const copies: Record<string, unknown>[] = Array.isArray(earlier) ? earlier : value.map(() => ({}));
    value.forEach((element, index) => {
      copyAt(element, copies[index] ?? {}, rest);
    });
    target[step] = copies;
  } else {
    const earlier = target[step];
    const inner = isObject(earlier) ? earlier : {};
    copyAt(value, inner, rest);
    target[step] = inner;
  }
}

function removeAt(target: unknown, path: string): void {
  const steps = path.split('.');
  const last = steps.pop();
  const parent = steps.length === 0 ? target : valueAt(target, steps.join('.'));
  if (isObject(parent) && last !== undefined) delete parent[last];
}
