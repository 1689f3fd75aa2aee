import * as v from 'valibot';
import { isRecord } from '../shell/json.ts';
import { TASK_STATUSES } from '../training/task.ts';

/** The largest page of `get_all`. If asked for more, the server sends 500 without saying so. */
export const PAGE_SIZE = 500;

/** A task's status. A status that we do not know counts as `unknown`, which a watch waits for. */
export const StatusSchema = v.fallback(v.picklist(TASK_STATUSES), 'unknown');

/** A point in time (`2026-11-24T06:38:42.442000+00:00`) as ms since 1970; undefined where the server has none. */
export const ServerTimeSchema = v.pipe(
  v.nullish(v.string()),
  v.transform((text) => {
    const ms = text === null || text === undefined ? Number.NaN : Date.parse(text);
    return Number.isNaN(ms) ? undefined : ms;
  }),
);

/** A text; empty where the server has anything else. */
export const TextSchema = v.fallback(v.nullish(v.string(), ''), '');

/** A text; undefined where the server has none, or an empty one. */
export const OptionalTextSchema = v.pipe(
  TextSchema,
  v.transform((text) => (text === '' ? undefined : text)),
);

/** A list; empty where the server has anything else. */
export function listOf<const Item extends v.GenericSchema>(item: Item) {
  return v.fallback(v.nullish(v.array(item), []), []);
}

/**
 * A JSON object as the list of its entries. Names are the user's here: valibot's own `record` leaves out `__proto__`,
 * `prototype` and `constructor`.
 */
export function entriesOf<const Value extends v.GenericSchema>(value: Value) {
  return v.pipe(
    v.custom<Record<string, unknown>>(isRecord),
    v.transform((map) => Object.entries(map)),
    v.array(v.tuple([v.string(), value])),
  );
}

/** What the server answers to whoever creates something. */
export const CreatedSchema = v.object({ id: v.pipe(v.string(), v.minLength(1)) });
