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

/** A whole number within bounds; left out it is the fallback (recording 174: 400/12 beyond the maximum). */
export function wholeNumber(
  data: Data,
  field: string,
  fallback: number,
  maximum = Number.MAX_SAFE_INTEGER,
): number {
  const value = data[field];
  if (value === undefined || value === null) return fallback;
  if (typeof value !== 'number' || !Number.isInteger(value)) throw wrongType(field, 'int', value);
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

/** A list of texts that must be there. */
export function requiredTexts(data: Data, field: string): string[] {
  const value = data[field];
  if (value === undefined || value === null) throw invalidField(field, '. field is required!');
  return texts(value, field);
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
