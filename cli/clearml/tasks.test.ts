import { expect, test } from '@jest/globals';
import * as v from 'valibot';
import type { ClearmlClient } from './client.ts';
import { findQueues } from './queues.ts';
import { readTasks } from './tasks.ts';

const ID = '0123456789abcdef0123456789abcdef';
const options = { signal: new AbortController().signal };

/** A client whose every answer holds this, checked as the real one does. */
function answerWith(data: unknown): ClearmlClient {
  return {
    apiVersion: undefined,
    serverNow: Date.now,
    call: async (_endpoint, _body, schema) => v.parse(schema, data),
  };
}

test.each([[null], ['pr:7'], [['pr:7', 7]]])(
  'tags that cannot be read (%j) are not taken for none',
  async (tags) => {
    const client = answerWith({ tasks: [{ id: ID, tags }] });
    await expect(readTasks(client, [ID], ['tags'], options)).rejects.toThrow();
  },
);

test('a task without tags has none', async () => {
  const tasks = await readTasks(answerWith({ tasks: [{ id: ID }] }), [ID], ['tags'], options);
  expect(tasks.get(ID)?.tags).toEqual([]);
});

test('a worker of a queue counts, whatever it tells of itself', async () => {
  const workers = [{ name: 'a', task: null }, { name: 'b', task: 'x' }, 'c'];
  const [queue] = await findQueues(answerWith({ queues: [{ id: ID, name: 'gpu', workers }] }), {}, options);
  expect(queue?.workers).toHaveLength(3);
});
