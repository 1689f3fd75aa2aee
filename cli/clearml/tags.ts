import * as v from 'valibot';
import type { CallOptions, ClearmlClient } from './client.ts';

/** Tags that come and go; all others stay. */
export interface TagEdit {
  readonly add?: readonly string[];
  readonly remove?: readonly string[];
}

/** Adds single tags to tasks or models of any status and takes others off: one request. */
export async function changeTags(
  client: ClearmlClient,
  of: 'tasks' | 'models',
  ids: readonly string[],
  { add = [], remove = [] }: TagEdit,
  options: Omit<CallOptions, 'isRepeatable'>,
): Promise<void> {
  const body = {
    ids,
    ...(add.length === 0 ? {} : { add_tags: add }),
    ...(remove.length === 0 ? {} : { remove_tags: remove }),
  };
  await client.call(`${of}.update_tags`, body, v.unknown(), { ...options, isRepeatable: true });
}
