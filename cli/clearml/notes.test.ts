import { expect, test } from '@jest/globals';
import * as v from 'valibot';
import { type ClearmlClient, ClearmlRefusal } from './client.ts';
import { editRuntime, noteInRuntime } from './notes.ts';

const TASK = 'a'.repeat(32);

/** A server whose task has one of these in `runtime` at each look; and how often something was noted. */
function createServer(looks: ReadonlyArray<Record<string, string>>, status = 'queued') {
  let edits = 0;
  let nth = 0;
  const client: ClearmlClient = {
    apiVersion: '2.34',
    serverNow: Date.now,
    async call(endpoint, _body, schema) {
      if (endpoint === 'tasks.edit_runtime') {
        edits += 1;
        return v.parse(schema, {});
      }
      nth += 1;
      return v.parse(schema, {
        tasks: [{ id: TASK, status, runtime: looks[nth - 1] ?? looks.at(-1) }],
      });
    },
  };
  return { client, countEdits: () => edits };
}

test.each<[string, Array<Record<string, string>>, number]>([
  ['is kept', [{ shared: 'mine' }], 1],
  ['is written over with what was there before', [{ shared: 'before' }, { shared: 'mine' }], 2],
  ['is gone', [{}, {}, {}], 3],
  ['is replaced by what another launch notes at the same time', [{ shared: 'another' }], 1],
])('a note that %s', async (_, looks, edits) => {
  const { client, countEdits } = createServer(looks);
  const notes = { set: { shared: 'mine' }, before: { shared: 'before' } };
  expect((await noteInRuntime(client, TASK, notes, {}))?.runtime).toEqual(looks.at(-1));
  expect(countEdits()).toBe(edits);
});

test.each([
  ['was running', true],
  ['has just begun', false],
])(
  'a note that the SDK of a task that %s overwrites a moment later, with what it had read before, is written again',
  async (_, isRunning) => {
    const looks = [{ shared: 'mine' }];
    const { client, countEdits } = createServer(looks, 'in_progress');
    const pauses: number[] = [];
    const sleep = async (ms: number) => {
      pauses.push(ms);
      looks[0] = pauses.length === 1 ? { shared: 'before' } : { shared: 'mine' };
    };
    const notes = { set: { shared: 'mine' }, before: { shared: 'before' } };
    const noted = await noteInRuntime(client, TASK, notes, { sleep, isRunning });
    expect(noted?.runtime).toEqual({ shared: 'mine' });
    expect([countEdits(), pauses]).toEqual([2, [500, 500]]);
  },
);

test('nobody waits for a task that only waits itself', async () => {
  const { client, countEdits } = createServer([{ shared: 'mine' }]);
  const sleep = () => Promise.reject(new Error('it waits'));
  await noteInRuntime(client, TASK, { set: { shared: 'mine' } }, { sleep });
  expect(countEdits()).toBe(1);
});

test.each([
  ['has ended', 400, 110, false],
  ['is gone', 400, 101, false],
  ['is on a server that takes no notes', 404, 0, undefined],
] as const)('a task that %s is not noted on', async (_, code, subcode, outcome) => {
  const { client } = createServer([{}]);
  const call = async (endpoint: string) => {
    throw new ClearmlRefusal(endpoint, code, subcode, 'no');
  };
  expect(await editRuntime({ ...client, call }, TASK, { remove: ['x'] }, {})).toBe(outcome);
});
