import type { SentParam } from './recorder.ts';

/** Cases of one front end, by name: the params that a launch sends. Each file of `front-ends/` is one. */
export type Cases = Readonly<Record<string, readonly SentParam[]>>;

const LR: SentParam = ['Args/lr', '0.5'];
const SEED: SentParam = ['Args/seed', '7'];
const TYPO: SentParam = ['Args/lrr', '0.5'];
/** What every front end that reads `Args/NAME` is asked. */
const ARGS: Cases = {
  nothing: [],
  one: [LR],
  two: [LR, SEED],
  typo: [TYPO],
  'other section': [['General/lr', '0.5']],
};
const FEW: Cases = { nothing: [], one: [LR], typo: [TYPO] };
const args = (...pairs: ReadonlyArray<readonly [string, string]>): readonly SentParam[] =>
  pairs.map(([name, value]) => [`Args/${name}`, value]);

export const FRONT_ENDS: Readonly<Record<string, Cases>> = {
  'argparse-plain': {
    ...ARGS,
    'flags as True': args(['flag', 'True'], ['augment', 'True'], ['bool', 'True'], ['either', 'True']),
    'flags as False': args(['flag', 'False'], ['augment', 'False'], ['bool', 'False'], ['either', 'False']),
    'flags as true': args(['flag', 'true'], ['augment', 'true'], ['bool', 'true'], ['either', 'true']),
    'flags as false': args(['flag', 'false'], ['augment', 'false'], ['bool', 'false'], ['either', 'false']),
    'flags as 1': args(['flag', '1'], ['augment', '1'], ['bool', '1'], ['either', '1']),
    'flags as 0': args(['flag', '0'], ['augment', '0'], ['bool', '0'], ['either', '0']),
    'flags as yes': args(['flag', 'yes'], ['augment', 'yes'], ['bool', 'yes'], ['either', 'yes']),
    'flags as nothing': args(['flag', ''], ['augment', ''], ['bool', ''], ['either', '']),
    'lists in brackets': args(['layers', '[3, 4]'], ['names', "['a', 'b']"]),
    'lists with blanks': args(['layers', '3 4'], ['names', 'a b']),
    'lists with commas': args(['layers', '3,4'], ['names', 'a,b']),
    'no choice': args(['optimizer', 'rmsprop']),
    'a choice': args(['optimizer', 'adam']),
    None: args(['checkpoint', 'None'], ['most', 'None'], ['name', 'None'], ['lr', 'None']),
    empty: args(['checkpoint', ''], ['most', ''], ['name', ''], ['lr', '']),
    'text with blanks': args(['name', 'a = b, $c'], ['checkpoint', ' x ']),
    'numbers with exponents': args(['lr', '1e-3'], ['seed', '1e3']),
    'numbers written otherwise': args(['lr', '.50'], ['seed', '007'], ['most', '-5']),
    'numbers of the default': args(['lr', '1e-1'], ['seed', '0'], ['batch_size', '8']),
    'a version': args(['name', '1.10']),
    'by its flag': args(['batch-size', '16']),
    'by its destination': args(['batch_size', '16']),
    'not a number': args(['lr', 'fast']),
    'not whole': args(['seed', '7.0']),
    typed: [['Args/lr', '0.5', 'float']],
  },
  'argparse-required': { nothing: [], both: args(['data', 'here'], ['lr', '0.5']), one: [LR] },
  'argparse-before-init': ARGS,
  'argparse-unconnected': ARGS,
  'argparse-subparsers': {
    ...ARGS,
    command: args(['command', 'train']),
    'command and one': args(['command', 'train'], ['lr', '0.5']),
    'command and both': args(['command', 'train'], ['lr', '0.5'], ['seed', '7']),
  },
  'click-command': {
    ...ARGS,
    flag: args(['flag', 'True']),
    all: args(['lr', '0.5'], ['seed', '7'], ['flag', 'True'], ['layers', '[3, 4]']),
  },
  'click-init-inside': ARGS,
  'click-connect': { ...ARGS, connected: [['General/lr', '0.5']], seed: [['General/seed', '7']] },
  'click-group': {
    ...ARGS,
    'command untyped': args(['train', 'True']),
    command: [['Args/train', 'True', 'click.Command']],
    'command and one': [
      ['Args/train', 'True', 'click.Command'],
      ['Args/train/lr', '0.5'],
    ],
    'command and both': [
      ['Args/train', 'True', 'click.Command'],
      ['Args/train/lr', '0.5'],
      ['Args/train/seed', '7'],
    ],
  },
  'typer-plain': ARGS,
  'typer-init-inside': ARGS,
  'typer-connect': {
    nothing: [],
    connected: [
      ['General/lr', '0.5'],
      ['General/seed', '7'],
    ],
  },
  'fire-function': {
    ...ARGS,
    typed: [['Args/lr', '0.5', 'fire.Arg.shared']],
    'both typed': [
      ['Args/lr', '0.5', 'fire.Arg.shared'],
      ['Args/seed', '7', 'fire.Arg.shared'],
    ],
    'typed typo': [['Args/lrr', '0.5', 'fire.Arg.shared']],
  },
  'fire-class': {
    ...ARGS,
    'command untyped': args(['train', 'True']),
    command: [['Args/train', 'True', 'fire.Command']],
    'command and one': [
      ['Args/train', 'True', 'fire.Command'],
      ['Args/train/lr', '0.5', 'fire.Arg@train'],
    ],
  },
  'hydra-plain': {
    ...ARGS,
    hydra: [['Hydra/lr', '0.5']],
    'hydra, nested': [['Hydra/model.name', 'cnn']],
    'hydra, list': [['Hydra/model.layers', '[3,4]']],
    'hydra, typo': [['Hydra/lrr', '0.5']],
    'hydra, seed': [['Hydra/seed', '7']],
    overrides: [['Args/overrides', "['lr=0.5']"]],
    'overrides, typo': [['Args/overrides', "['lrr=0.5']"]],
    'overrides untyped': [['Args/overrides', 'lr=0.5']],
  },
  'hydra-init-inside': { ...FEW, hydra: [['Hydra/lr', '0.5']], 'hydra, seed': [['Hydra/seed', '7']] },
  'jsonargparse-parser': { ...ARGS, nested: args(['model.layers', '[3, 4]']) },
  'jsonargparse-auto-cli': FEW,
  'absl-flags': {
    ...ARGS,
    defines: [['TF_DEFINE/lr', '0.5']],
    'defines, flag': [['TF_DEFINE/flag', 'True']],
    'defines, list': [['TF_DEFINE/layers', '3,4']],
    'defines, typo': [['TF_DEFINE/lrr', '0.5']],
    'defines, seed': [['TF_DEFINE/seed', '7']],
  },
  'absl-init-inside': { ...FEW, defines: [['TF_DEFINE/lr', '0.5']] },
  'simple-parsing': { ...ARGS, 'by its destination': args(['options.lr', '0.5']) },
  'pydantic-settings': { ...ARGS, flag: args(['flag', 'True']) },
  connect: {
    ...ARGS,
    connected: [
      ['General/lr', '0.5'],
      ['General/seed', '7'],
    ],
    nested: [['General/optimizer/momentum', '0.5']],
    flag: [['General/flag', 'false']],
    'flag as 1': [['General/flag', '1']],
    list: [['General/layers', '[3, 4]']],
    none: [['General/nothing', 'x']],
    exponent: [['General/lr', '1e-3']],
    'not a number': [['General/lr', 'fast']],
    typo: [['General/lrr', '0.5']],
    named: [['Model/width', '8']],
    'named, typo': [['Model/widht', '8']],
  },
  'get-parameter': { ...ARGS, flag: args(['flag', 'False']), 'typed flag': [['Args/flag', 'False', 'bool']] },
  'no-front-end': FEW,
  'seed-overwritten': {
    nothing: [],
    connected: [
      ['General/lr', '0.5'],
      ['General/seed', '7'],
    ],
    elsewhere: [SEED],
  },
  'seed-changed': {
    nothing: [],
    connected: [
      ['General/lr', '0.5'],
      ['General/seed', '7'],
    ],
    elsewhere: [SEED],
  },
  'seed-logged': { nothing: [], one: [SEED] },
};

/** Those that take torch. */
export const TORCH_FRONT_ENDS: Readonly<Record<string, Cases>> = {
  'lightning-cli': {
    nothing: [],
    one: args(['model.lr', '0.5']),
    seed: args(['seed_everything', '7']),
    typo: args(['model.lrr', '0.5']),
    'without its class': [LR],
    'with what it needs': args(['model.lr', '0.5'], ['seed_everything', '7'], ['trainer.max_epochs', '2']),
  },
  'lightning-cli-connect': {
    connected: [
      ['General/lr', '0.5'],
      ['General/seed', '7'],
    ],
  },
  'transformers-arguments': {
    args: args(['learning_rate', '0.5'], ['seed', '7']),
    'without the flag': [
      ['Transformers/learning_rate', '0.5'],
      ['Transformers/seed', '7'],
    ],
    'flag as text': [
      ['Transformers/_ignore_hparams_ui_overrides_', 'False'],
      ['Transformers/learning_rate', '0.5'],
      ['Transformers/seed', '7'],
    ],
    'flag as bool': [
      ['Transformers/_ignore_hparams_ui_overrides_', 'False', 'bool'],
      ['Transformers/learning_rate', '0.5'],
      ['Transformers/seed', '7'],
    ],
    typo: [
      ['Transformers/_ignore_hparams_ui_overrides_', 'False', 'bool'],
      ['Transformers/learning_rat', '0.5'],
    ],
  },
  'transformers-connect': {
    connected: [
      ['General/learning_rate', '0.5'],
      ['General/seed', '7'],
    ],
  },
};

/** Those that take torch and pictures. */
export const VISION_FRONT_ENDS: Readonly<Record<string, Cases>> = {
  'ultralytics-arguments': {
    one: args(['lr0', '0.5']),
    general: [
      ['General/lr0', '0.5'],
      ['General/seed', '7'],
    ],
    typo: [['General/epoch', '9']],
  },
  'ultralytics-connect': {
    connected: [
      ['General/lr0', '0.5'],
      ['General/seed', '7'],
    ],
  },
};
