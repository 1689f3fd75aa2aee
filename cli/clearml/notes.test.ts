import { expect, test } from '@jest/globals';
import * as v from 'valibot';
import type { ClearmlClient } from './client.ts';
import { noteInRuntime } from './notes.ts';

const TASK = 'a'.repeat(32);

/** A server whose task has one of these in `runtime` at each look; and how often something was noted. */
function createServer(looks: ReadonlyArray<Record<string, string>>) {
  let edits = 0;
  let nth = 0;
  const client: ClearmlClient = {
    apiVersion: '2.34',
    async call(endpoint, _body, schema) {
      if (endpoint === 'tasks.edit_runtime') {
        edits += 1;
        return v.parse(schema, {});
      }
      nth += 1;
      return v.parse(schema, { tasks: [{ id: TASK, runtime: looks[nth - 1] ?? looks.at(-1) }] });
    },
  };
  return { client, countEdits: () => edits };
}

test.each<[string, Array<Record<string, string>>, boolean, number]>([
  ['is kept', [{ shared: 'mine' }], true, 1],
  ['is written over with what was there before', [{ shared: 'before' }, { shared: 'mine' }], true, 2],
  ['is gone', [{}, {}, {}], false, 3],
  ['is replaced by what another launch notes at the same time', [{ shared: 'another' }], true, 1],
])('a note that %s', async (_, looks, isKept, edits) => {
  const { client, countEdits } = createServer(looks);
  const notes = { set: { shared: 'mine' }, before: { shared: 'before' } };
  expect(await noteInRuntime(client, TASK, notes, {})).toBe(isKept);
  expect(countEdits()).toBe(edits);
});
