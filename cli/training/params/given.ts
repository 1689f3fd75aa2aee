import { parseJson } from '../../shell/json.ts';
import { RUNTIME_KEYS } from '../task.ts';

/** A param that a launch gave its task. */
export interface GivenParam {
  /** `Section/name`, the name may hold more slashes. */
  readonly name: string;
  /** The text that was typed. */
  readonly value: string;
  /** The type that was named (`bool`); undefined for text alone. */
  readonly type?: string | undefined;
}

/** What a launch gave, as its task keeps it in `runtime`: the training overwrites the params themselves. */
export function formatGivenParams(params: Iterable<GivenParam>): string {
  return JSON.stringify(
    [...params].map(({ name, value, type }) => (type === undefined ? [name, value] : [name, value, type])),
  );
}

/** What the task's launch gave; undefined where `runtime` does not say, as in tasks of older launches. */
export function readGivenParams(runtime: Readonly<Record<string, string>>): GivenParam[] | undefined {
  const list = parseJson(runtime[RUNTIME_KEYS.given] ?? '');
  if (!Array.isArray(list)) return undefined;
  const params = list.map(readParam);
  return params.every((param) => param !== undefined) ? params : undefined;
}

function readParam(entry: unknown): GivenParam | undefined {
  if (!Array.isArray(entry)) return undefined;
  const [name, value, type] = entry as unknown[];
  if (typeof name !== 'string' || typeof value !== 'string') return undefined;
  return { name, value, ...(typeof type === 'string' ? { type } : {}) };
}
