import { invalidField, serverTripped } from './clearml-error.ts';
import { pythonRepr } from './clearml-python.ts';

/** A JSON object as it came over the wire. */
export type Data = Readonly<Record<string, unknown>>;

/** Whether a value is a JSON object. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function wrongType(field: string, type: string, value: unknown) {
  return invalidField(field, `: ('value is wrong, expected type "${type}"', ${pythonRepr(value)}).`);
}

/** A text that must be there (recordings 104, 105: 400/12). */
export function requiredText(data: Data, field: string): string {
  const value = data[field];
  if (value === undefined || value === null) throw invalidField(field, '. field is required!');
  if (typeof value !== 'string') throw wrongType(field, 'str', value);
  return value;
}

/** A text that may be left out. */
export function optionalText(data: Data, field: string): string | undefined {
  return data[field] === undefined || data[field] === null ? undefined : requiredText(data, field);
}

/** A yes or no; left out it is the fallback. */
export function flag(data: Data, field: string, fallback = false): boolean {
  const value = data[field];
  if (value === undefined || value === null) return fallback;
  if (typeof value !== 'boolean') throw wrongType(field, 'bool', value);
  return value;
}

/** What Python's int() makes of a value: fractions are cut off, digits in a text are read; `undefined` where it refuses. */
function toInt(value: unknown): number | undefined {
  if (typeof value === 'boolean') return Number(value);
  if (typeof value === 'string') return /^\s*[-+]?\d+\s*$/.test(value) ? Number(value) : undefined;
  return typeof value === 'number' && Number.isFinite(value) ? Math.trunc(value) : undefined;
}

/** A whole number within bounds; left out it is the fallback (recordings 174, 344, 362: else 400/12). */
export function wholeNumber<Fallback extends number | undefined>(
  data: Data,
  field: string,
  fallback: Fallback,
  { minimum = -Number.MAX_SAFE_INTEGER, maximum = Number.MAX_SAFE_INTEGER } = {},
): number | Fallback {
  if (data[field] === undefined || data[field] === null) return fallback;
  const value = toInt(data[field]);
  if (value === undefined) throw wrongType(field, 'int', data[field]);
  if (value < minimum) throw invalidField(field, `: '${value}' is lower than minimum ('${minimum}')..`);
  if (value > maximum) throw invalidField(field, `: '${value}' is bigger than maximum ('${maximum}')..`);
  return value;
}

/** One of a fixed set of texts; left out it is the fallback. */
export function choice<T extends string>(
  data: Data,
  field: string,
  choices: readonly T[],
  type: string,
  fallback: T,
): T {
  const value = data[field];
  if (value === undefined || value === null) return fallback;
  const found = choices.find((candidate) => candidate === value);
  if (found === undefined) throw wrongType(field, type, value);
  return found;
}

/** A list of one text at least, and of so many at most (recordings 342, 343, 359: else 400/12). Left out it counts as empty. */
export function requiredTexts(data: Data, field: string, maximum = Number.POSITIVE_INFINITY): string[] {
  const given = optionalTexts(data, field);
  const refuse = (bound: string) =>
    invalidField(field, `: value '${pythonRepr(given)}' length is ${bound}..`);
  if (given.length === 0) throw refuse("lower than allowed minimum '1'");
  if (given.length > maximum) throw refuse(`bigger than allowed maximum '${maximum}'`);
  return given;
}

/** A list of texts; left out it is empty. */
export function optionalTexts(data: Data, field: string): string[] {
  const value = data[field];
  return value === undefined || value === null ? [] : texts(value, field);
}

function texts(value: unknown, field: string): string[] {
  if (!Array.isArray(value)) throw wrongType(field, 'list', value);
  return value.map((item) => {
    if (typeof item !== 'string') throw wrongType(field, 'str', item);
    return item;
  });
}

/** A list of objects; left out it is empty. */
export function optionalObjects(data: Data, field: string): Record<string, unknown>[] {
  const value = data[field];
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw wrongType(field, 'list', value);
  return value.map((item) => {
    if (!isObject(item)) throw wrongType(field, 'dict', item);
    return item;
  });
}

/** An object that may be left out; another type trips the server (recording 087: 500/0). */
export function optionalObject(data: Data, field: string): Record<string, unknown> | undefined {
  const value = data[field];
  if (value === undefined || value === null) return undefined;
  if (!isObject(value)) {
    const type = typeof value === 'string' ? 'str' : Array.isArray(value) ? 'list' : 'int';
    throw serverTripped(`'${type}' object has no attribute 'get'`);
  }
  return value;
}
