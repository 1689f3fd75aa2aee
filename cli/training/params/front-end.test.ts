import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { findLostDefaults } from './front-end.ts';
import { formatGivenParams, type GivenParam } from './given.ts';

// What SDK 2.1.12 writes of a program that is run by hand.
type Shown = Readonly<Record<string, readonly [value: string, type: string, description?: string]>>;

const BY_HAND = {
  click: { lr: ['0.1', 'FLOAT'], seed: ['', 'INT'], flag: ['', 'BOOL'], layers: ['(1, 2)', 'INT'] },
  'a click group': {
    train: ['True', 'click.Command'],
    'train/lr': ['0.1', 'FLOAT'],
    'train/seed': ['', 'INT'],
    evaluate: ['False', 'click.Command'],
  },
  "click's other types": {
    a: ['x', "Choice(['x', 'y'])"],
    b: ['1', '<IntRange 0<=x<=5>'],
    c: ['p', '<click.types.Path object at 0x7ff11afd2910>'],
  },
  jsonargparse: { lr: ['0.1', 'float'], 'model.layers': ['[1, 2]', 'list/int'], config: ['', ''] },
  'LightningCLI with commands': {
    subcommand: ['fit', 'jsonargparse.Command'],
    'fit.model.lr': ['0.1', 'float'],
    'fit.trainer.max_epochs': ['2', 'int'],
  },
  'LightningCLI with a file': {
    config: ['[{"path": "a.yml"}]', 'jsonargparse_path'],
    _ignore_ui_overrides_: ['False', 'bool', 'If True, values in the config file will be overriden'],
    seed: ['1', 'int'],
  },
  subparsers: {
    cmd: ['train', 'str'],
    lr: ['0.1', 'float', 'None'],
    seed: ['0', 'int', 'None'],
    ck: ['', 'str', 'None'],
  },
  'subparsers without a name': { '/subparser1': ['train', 'str'], lr: ['0.1', 'float', 'None'] },
  argparse: {
    lr: ['0.1', 'float', 'None'],
    opt: ['sgd', 'str', 'None'],
    names: ['[]', 'str', 'None'],
    bo: ['True', 'bool'],
    v: ['', 'str'],
    tag: ["['a']", 'str'],
  },
  fire: {
    verbose: ['False', 'bool', 'None'],
    separator: ['-', 'str', 'None'],
    lr: ['0.1', 'fire.Arg.shared'],
  },
  'connected options': { lr: ['0.5', 'str'], seed: ['0', 'int'], name: ['resnet', 'str'] },
  nothing: {},
} as const satisfies Readonly<Record<string, Shown>>;

const show = (shown: Shown, runtime: Readonly<Record<string, string>> = {}) => ({
  runtime,
  params: Object.entries(shown).map(([name, [value, type, description]]) => ({
    name: `Args/${name}`,
    value,
    type,
    description,
  })),
});

const launched = (params: readonly string[], entryPoint = 'train.py') => ({
  entryPoint,
  params: new Map(
    params.map((text): [string, GivenParam] => {
      const [name = '', type] = text.split(':');
      const path = name.includes('General/') ? name : `Args/${name}`;
      return [path, { name: path, value: '1', type }];
    }),
  ),
});

test.each<[keyof typeof BY_HAND, readonly string[], string, readonly string[]]>([
  ['click', [], 'click', ['lr', 'seed', 'flag', 'layers']],
  ['click', ['lr'], 'click', ['seed', 'flag', 'layers']],
  ['click', ['General/lr'], 'click', ['lr', 'seed', 'flag', 'layers']],
  ['a click group', ['train/lr'], 'click', ['train', 'train/seed', 'evaluate']],
  ['a click group', ['train:click.Command', 'train/lr'], 'click', ['train/seed']],
  ["click's other types", ['a'], 'click', ['b', 'c']],
  ['jsonargparse', ['lr'], 'jsonargparse', ['model.layers']],
  ['LightningCLI with commands', ['fit.model.lr'], 'jsonargparse', ['subcommand', 'fit.trainer.max_epochs']],
  ['LightningCLI with a file', ['lr'], 'jsonargparse', ['config', 'seed']],
  ['subparsers', ['lr'], 'subparsers', ['cmd', 'seed', 'ck']],
  ['subparsers', ['cmd', 'lr'], 'subparsers', ['seed', 'ck']],
  ['subparsers without a name', ['seed'], 'subparsers', ['/subparser1', 'lr']],
])('of %s, run by hand, a launch with %j loses the defaults', (name, params, frontEnd, names) => {
  expect(findLostDefaults(show(BY_HAND[name]), launched(params))).toEqual({ frontEnd, names });
});

test.each<[keyof typeof BY_HAND, readonly string[], string]>([
  ['click', ['lr', 'seed', 'flag', 'layers'], 'train.py'],
  ['a click group', ['train:click.Command', 'train/lr', 'train/seed'], 'train.py'],
  ['jsonargparse', [], 'train.py'],
  ['jsonargparse', ['General/lr'], 'train.py'],
  ['subparsers', [], 'train.py'],
  ['subparsers', ['lr'], 'train.py train'],
  ['subparsers', ['lr'], 'train.py --fast train'],
  ['argparse', ['lr'], 'train.py'],
  ['argparse', [], 'train.py'],
  ['fire', ['lr'], 'train.py'],
  ['connected options', ['lr'], 'train.py'],
])('of %s, run by hand, a launch with %j loses nothing', (name, params, entryPoint) => {
  expect(findLostDefaults(show(BY_HAND[name]), launched(params, entryPoint))).toBeNull();
});

test('a task that declares nothing of its own tells nothing', () => {
  expect(findLostDefaults(show(BY_HAND.nothing), launched(['lr']))).toBeUndefined();
  const given = formatGivenParams([{ name: 'Args/lr', value: '0.5', type: 'FLOAT' }]);
  expect(findLostDefaults(show({ lr: ['0.5', 'FLOAT'] }, { ci_given: given }), launched([]))).toBeUndefined();
  // Of an older launch's task it is not known what was given.
  const older = show({ lr: ['0.1', 'float', 'None'], name: ['resnet', 'str'] }, { ci_key: 'a' });
  expect(findLostDefaults(older, launched(['lr']))).toBeNull();
});

test('of argparse a text without a description, as of `append`, is no command', () => {
  const shown = show(
    { lr: ['0.1', 'float', 'None'], name: ['', 'str', 'None'], tag: ['', 'str'] },
    { ci_key: 'a', ci_given: '[]' },
  );
  expect(findLostDefaults(shown, launched(['lr']))).toBeNull();
});

interface Recording {
  readonly frontEnd: string;
  readonly case: string;
  readonly sent: readonly GivenParam[];
  readonly hyperparams: Readonly<Record<string, Readonly<Record<string, { name: string; value: string }>>>>;
}

describe('of a task that an agent ran,', () => {
  const folder = new URL('../fixtures/frontends/', import.meta.url);
  const recordings = readdirSync(folder)
    .filter((file) => file.endsWith('.json'))
    .flatMap((file): Recording[] => JSON.parse(readFileSync(new URL(file, folder), 'utf8')).recordings);

  test.each(recordings.map((recording) => [recording.frontEnd, recording.case, recording] as const))(
    '%s, %s: only subparsers show that another launch would lose defaults',
    (frontEnd, _case, { sent, hyperparams }) => {
      const params = Object.entries(hyperparams).flatMap(([section, entries]) =>
        Object.values(entries).map((entry) => ({ ...entry, name: `${section}/${entry.name}` })),
      );
      const runtime = { ci_key: 'a', ci_given: formatGivenParams(sent) };
      const lost = findLostDefaults({ runtime, params }, launched(['momentum']));
      const isShown = frontEnd === 'argparse-subparsers' && !sent.some(({ name }) => name === 'Args/command');
      expect(lost?.frontEnd).toBe(isShown ? 'subparsers' : undefined);
    },
  );
});
