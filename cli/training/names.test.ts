import { expect, test } from '@jest/globals';
import { resolveEntryPoint, resolveNames, resolveSeedParam } from './names.ts';

test.each([
  [undefined, 'Args/seed', undefined],
  ['seed', 'Args/seed', undefined],
  ['General/a/b', 'General/a/b', undefined],
  ['seed:fire.Arg.shared', 'Args/seed', 'fire.Arg.shared'],
  ['Hydra/seed:int', 'Hydra/seed', 'int'],
])('the seed-param %s is %s', (setting, name, type) => {
  expect(resolveSeedParam(setting === undefined ? {} : { 'seed-param': setting })).toEqual({ name, type });
});

test.each([
  ['train.py', 'train'],
  ['src/train.v2.py', 'src/train.v2'],
  ['my train.py', 'my train'],
  ['-m pkg.train', 'pkg.train'],
  ['-m pkg.train --lr 0.5', 'pkg.train'],
  ['train.py fit --model.lr 0.5 --data /mnt/a/b', 'train'],
  ['-m torch.distributed.run --nproc-per-node 2 train.py', 'train'],
  ['-m torch.distributed.launch --nproc_per_node=2 ./src/train.py --lr 0.5', 'src/train'],
  ['-m torch.distributed.run --nproc-per-node 2 -m pkg.train', 'pkg.train'],
  ['-m accelerate.commands.launch --num_processes 2 train.py', 'train'],
])('"%s" runs as it is given, and its task is named %s', (entryPoint, taskName) => {
  const given = { entryPoint };
  expect(resolveEntryPoint(given, {})).toBe(entryPoint);
  expect(resolveNames(given, { project: 'digits' }, { repository: undefined }, undefined).taskName).toBe(
    taskName,
  );
});

test('arguments that an agent would change are refused', () => {
  expect(() => resolveEntryPoint({ entryPoint: 'train.py --data s3://a/b' }, {})).toThrow(
    'has two slashes together in its arguments',
  );
  expect(resolveEntryPoint({ entryPoint: './src//train.py' }, {})).toBe('src/train.py');
});
