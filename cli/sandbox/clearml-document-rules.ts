import { ClearmlApiError, invalidDocument, invalidRequest, serverTripped } from './clearml-error.ts';
import { hyperparamItem, scriptFields } from './clearml-fields.ts';
import { invalidValue } from './clearml-query.ts';
import { type Data, isObject } from './clearml-request.ts';

// What a real server refuses of a task's document, after apiserver/database/fields.py and model/task/task.py of clearml-server 2.3.0 and
// the recordings that are named. Where a document has several mistakes of one field, all are told, as there.

/** Mistakes by name, as deep as the document. */
interface Mistakes {
  [name: string]: string | Mistakes;
}

/** As Python shows a dict of errors. */
function showMistakes(mistakes: Mistakes): string {
  const entries = Object.entries(mistakes).map(([name, mistake]) =>
    typeof mistake === 'string'
      ? `'${name}': ValidationError(${mistake},)`
      : `'${name}': ${showMistakes(mistake)}`,
  );
  return `{${entries.join(', ')}}`;
}

function refuse(field: string, mistakes: Mistakes): void {
  if (Object.keys(mistakes).length > 0) throw invalidDocument(field, showMistakes(mistakes));
}

const noText = 'StringField only accepts string values';
const noDict = 'Only dictionaries may be used in a DictField';

function isText(value: unknown): boolean {
  return value === undefined || value === null || typeof value === 'string';
}

/** A map that a client sets whole; what is none is 400/16 where Python's dict() refuses it, else 400/800. */
export function readMap(data: Data, field: string): Record<string, unknown> | undefined {
  const value = data[field];
  if (value === undefined || value === null) return undefined;
  if (isObject(value)) return value;
  if (value === '' || (Array.isArray(value) && value.length === 0)) throw invalidDocument(field, noDict);
  const isSequence = typeof value === 'string' || Array.isArray(value);
  const reason = isSequence ? 'dictionary update sequence element #0 has a wrong length' : 'expecting dict';
  throw invalidValue(reason, { field });
}

/** Keys of a free map: none empty, none that begins `$`, at any depth (recording 354). */
export function checkKeys(field: string, map: Record<string, unknown>): void {
  const keys = (value: unknown): string[] =>
    isObject(value) ? Object.entries(value).flatMap(([key, inner]) => [key, ...keys(inner)]) : [];
  const all = keys(map);
  if (all.some((key) => key.startsWith('$'))) {
    throw invalidDocument(field, 'Invalid dictionary key name - keys may not startswith "$" characters');
  }
  if (all.includes('')) throw invalidDocument(field, 'Empty keys are not allowed in a DictField');
}

/** Section and item names are trimmed, and none is empty (recording 356). */
function readName(name: string, kind: string): string {
  if (name === '') throw invalidRequest(`Empty ${kind} name is not allowed`);
  if (name.trim() === '') throw invalidRequest('Empty key is not allowed');
  return name.trim();
}

function itemMistakes(item: Record<string, unknown>, required: readonly string[]): Mistakes {
  const mistakes: Mistakes = {};
  for (const name of Object.keys(hyperparamItem)) {
    const value = item[name];
    if (!isText(value)) mistakes[name] = noText;
    else if (required.includes(name) && (value === undefined || value === null))
      mistakes[name] = 'Field is required';
  }
  return mistakes;
}

/** Unknown names come before all else (400/12). */
function checkItem(document: string, field: string, item: unknown): Record<string, unknown> {
  if (!isObject(item)) throw invalidDocument(field, 'Invalid embedded document instance');
  const unknown = Object.keys(item).find((name) => !Object.hasOwn(hyperparamItem, name));
  if (unknown !== undefined) {
    throw new ClearmlApiError(400, 12, 'Validation error', { document, field: unknown });
  }
  return item;
}

/** Hyperparameters by section and name. Each says both again, and its value is a text: a number is refused (recordings 095, 355). */
export function readHyperparams(given: Record<string, unknown>): Record<string, Record<string, unknown>> {
  const mistakes: Mistakes = {};
  const sections = Object.entries(given).map(([name, items]) => {
    const section = readName(name, 'section');
    if (!isObject(items)) throw serverTripped("'str' object has no attribute 'items'");
    const read = Object.entries(items).map(([key, value]) => {
      const item = checkItem('ParamsItem', 'hyperparams', value);
      return [readName(key, 'parameter'), item] as const;
    });
    const wrong = read.map(([key, item]) => [key, itemMistakes(item, ['section', 'name', 'value'])] as const);
    const found = wrong.filter(([, mistake]) => Object.keys(mistake).length > 0);
    if (found.length > 0) mistakes[section] = Object.fromEntries(found);
    return [section, Object.fromEntries(read)] as const;
  });
  refuse('hyperparams', mistakes);
  return Object.fromEntries(sections);
}

/** Configuration by name; each says its name again and has a text. */
export function readConfiguration(given: Record<string, unknown>): Record<string, unknown> {
  const mistakes: Mistakes = {};
  const items = Object.entries(given).map(([key, value]) => {
    const name = readName(key, 'configuration');
    const found = itemMistakes(checkItem('ConfigurationItem', 'configuration', value), ['name', 'value']);
    if (Object.keys(found).length > 0) mistakes[name] = found;
    return [name, value] as const;
  });
  refuse('configuration', mistakes);
  return Object.fromEntries(items);
}

/** A container's fields are texts (recording 357: the arguments are no list). */
export function checkContainer(container: Record<string, unknown>): void {
  const wrong = Object.entries(container).filter(([, value]) => !isText(value));
  refuse('container', Object.fromEntries(wrong.map(([name]) => [name, noText])));
}

/** A script without what it does not have (recording 091: 400/12); trimmed, but for the difference. */
export function readScript(script: Record<string, unknown>): Record<string, unknown> {
  const unknown = Object.keys(script).find((field) => !scriptFields.includes(field));
  if (unknown !== undefined) {
    throw new ClearmlApiError(400, 12, 'Validation error', { document: 'Script', field: unknown });
  }
  const mistakes: Mistakes = {};
  const fields: Record<string, unknown> = {};
  for (const [field, value] of Object.entries(script)) {
    if (value === undefined || value === null) continue;
    if (field === 'requirements' && !isObject(value)) mistakes[field] = noDict;
    if (field !== 'requirements' && !isText(value)) mistakes[field] = noText;
    fields[field] = typeof value === 'string' && field !== 'diff' ? value.trim() : value;
  }
  refuse('script', mistakes);
  return fields;
}

/** Tags, sorted. What filters would take for an operator is refused (recording 353). */
export function readTags(data: Data, field: 'tags' | 'system_tags'): string[] | undefined {
  const value = data[field];
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'string')
    throw invalidDocument(field, 'Only lists and tuples may be used in a list field');
  if (!Array.isArray(value)) throw invalidValue('expecting list', { field });
  const tags = value.map((tag) => {
    if (typeof tag !== 'string') throw serverTripped("'int' object has no attribute 'startswith'");
    return tag;
  });
  const operators = tags.filter((tag) => tag.startsWith('__$'));
  if (operators.length > 0)
    throw invalidValue('unsupported tag prefix', { values: `(${operators.join(', ')})` });
  return tags.sort();
}

/** A key of `runtime` as tasks.edit_runtime stores it (utilities/parameter_key_escaper.py). */
export function escapeKey(name: string): string {
  const trimmed = readName(name.trim() || ' ', 'key');
  const escaped = trimmed
    .replaceAll('%', '%%')
    .replaceAll('.', '%2E')
    .replaceAll('$', '%24')
    .replaceAll('__', '%_%_');
  return escaped.startsWith('_') ? `%_${escaped.slice(1)}` : escaped;
}
