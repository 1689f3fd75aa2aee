import { beforeAll, expect, test } from '@jest/globals';
import {
  clearml,
  commits,
  directory,
  driver,
  lastModelOf,
  promote,
  setUpPromotions,
  train,
} from '../e2e/promote-setup.ts';
import { runCommand } from './command-run.ts';
import { preparePythonEnvironment } from './python-environment.ts';

// What follows the tag, with the real SDK: clearml-serving asks in the same way.

const QUERY = `
import json
import sys
from clearml import Model
options = dict(tags=[sys.argv[1]], only_published=sys.argv[2] == "published")
models = Model.query_models(**options)
print("FOUND " + json.dumps([[model.id, model.published] for model in models]))
`;

let python: string;

setUpPromotions();

beforeAll(async () => {
  ({ python } = await preparePythonEnvironment());
});

/** The models that the SDK finds by a tag: id, and whether it is published. */
async function query(tag: string, which: 'all' | 'published' = 'all'): Promise<unknown> {
  const env = { PATH: process.env.PATH, HOME: directory, NO_PROXY: '127.0.0.1', ...clearml.env };
  const run = await runCommand(python, ['-c', QUERY, tag, which], { cwd: directory, env });
  const found = /^FOUND (.*)$/m.exec(run?.output ?? '')?.[1];
  if (found === undefined) throw new Error(run?.output);
  return JSON.parse(found);
}

test('Model.query_models gives the production model before and after a move, and the way back', async () => {
  const [first, second] = commits;
  const [old, task] = [await train(first, { models: ['early', 'late'] }), await train(second)];
  expect(await query('production')).toEqual([]);
  await promote(first, [old]);
  expect(await query('production')).toEqual([[await lastModelOf(old), false]]);

  await promote(second, [task], { setting: '{ tag: production, publish: true }' });
  const promoted = [[await lastModelOf(task), true]];
  expect(await query('production')).toEqual(promoted);
  expect(await query('production', 'published')).toEqual(promoted);
  expect(await query('production-previous')).toEqual([[await lastModelOf(old), false]]);
  expect((await driver.getTask(task)).status).toBe('completed');

  await promote(undefined, [old]);
  expect(await query('production')).toEqual([[await lastModelOf(old), false]]);
  expect(await query('production-previous')).toEqual(promoted);
});

test('Model.query_models gives no archived model, so none is promoted', async () => {
  const [first, second] = commits;
  const [old, task] = [await train(first), await train(second)];
  await promote(first, [old]);
  const model = await lastModelOf(task);
  await driver.call('models.update_tags', { ids: [model], add_tags: ['archived one'] });
  await driver.call('models.edit', { model, system_tags: ['archived'] });
  expect(await query('archived one')).toEqual([]);
  expect(await promote(second, [task])).toMatchObject({ promoted: 'false' });
  const found = await query('production');
  expect(found).toContainEqual([await lastModelOf(old), false]);
  expect(JSON.stringify(found)).not.toContain(model);
});
