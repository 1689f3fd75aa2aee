import { expect, test } from '@jest/globals';
import { resolveSeedParam } from './names.ts';

test.each([
  [undefined, 'Args/seed', undefined],
  ['seed', 'Args/seed', undefined],
  ['General/a/b', 'General/a/b', undefined],
  ['seed:fire.Arg.shared', 'Args/seed', 'fire.Arg.shared'],
  ['Hydra/seed:int', 'Hydra/seed', 'int'],
])('the seed-param %s is %s', (setting, name, type) => {
  expect(resolveSeedParam(setting === undefined ? {} : { 'seed-param': setting })).toEqual({ name, type });
});
