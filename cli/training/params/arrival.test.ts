import { describe, expect, it } from '@jest/globals';
import { writePlain } from '../../text/phrase.ts';
import { judgeArrival, listDeclared, type ParamsOfTask, type TaskParam } from './arrival.ts';
import { composeLosses, listLost } from './arrival-words.ts';
import { formatGivenParams, type GivenParam } from './given.ts';

/** `['Args/lr', '0.5', 'str']`; without a type, as the launch sends it. */
type Held = readonly [name: string, value: string, type?: string, description?: string];

function makeTask(
  given: Readonly<Record<string, string>> | readonly GivenParam[],
  held: readonly Held[],
  fields: Partial<ParamsOfTask> = {},
): ParamsOfTask {
  const params = Array.isArray(given)
    ? (given as readonly GivenParam[])
    : Object.entries(given).map(([name, value]) => ({ name, value: String(value) }));
  return {
    status: 'completed',
    iteration: 10,
    runtime: { ci_given: formatGivenParams(params) },
    held: held.map(
      ([name, value, type = '', description = '']): TaskParam => ({
        name,
        value,
        type,
        description,
      }),
    ),
    ...fields,
  };
}

const ARGPARSE: readonly Held[] = [
  ['Args/epochs', '5', 'int', 'None'],
  ['Args/model', 'mlp', 'str', 'None'],
];

const FIRE = ['completion', 'help', 'interactive', 'separator', 'trace', 'verbose'].map(
  (flag): Held => [`Args/${flag}`, 'False', 'bool', 'None'],
);

/** `kept`, `overwritten`, `undeclared`, `undeclared: Args/lr` or nothing. */
function stateOf(task: ParamsOfTask, known: readonly string[] = []): string | undefined {
  const [arrival] = judgeArrival(task, known);
  return arrival && (arrival.near === undefined ? arrival.state : `${arrival.state}: ${arrival.near}`);
}

describe('a param that was given', () => {
  it.each<[string, Readonly<Record<string, string>>, readonly Held[], string | undefined]>([
    ['a front end declared it', { 'Args/lr': '0.5' }, [['Args/lr', '0.5', 'float']], 'kept'],
    ['it has a description', { 'Args/lr': '0.5' }, [['Args/lr', '0.5', 'str', 'Rate']], 'kept'],
    ['it is a text', { 'Args/name': 'a' }, [['Args/name', 'a', 'str']], 'kept'],
    ['argparse added the others', { 'Args/lr': '0.5' }, [['Args/lr', '0.5', 'str'], ...ARGPARSE], 'kept'],
    ['the value is written otherwise', { 'Args/lr': '1e-3' }, [['Args/lr', '0.001', 'float']], 'kept'],
    ['the training set another value', { 'Args/lr': '0.5' }, [['Args/lr', '0.1', 'float']], 'overwritten'],
    ['the training removed it', { 'Args/lr': '0.5' }, [['Args/x', '0.1', 'float']], 'overwritten'],
    ['nothing declared anything', { 'Args/lr': '0.5' }, [['Args/lr', '0.5']], 'undeclared'],
    ['only others are declared', { 'Args/lr': '0.5' }, [['Args/lr', '0.5'], ...ARGPARSE], 'undeclared'],
    [
      'another name is declared',
      { 'Args/epoch': '9' },
      [['Args/epoch', '9', 'str'], ...ARGPARSE],
      'undeclared: Args/epochs',
    ],
    [
      'the name of the flag was given',
      { 'Args/batch-size': '9' },
      [
        ['Args/batch-size', '9', 'str'],
        ['Args/batch_size', '8', 'int', 'None'],
      ],
      'undeclared: Args/batch_size',
    ],
    [
      'another section declares it',
      { 'Args/seed': '3' },
      [
        ['Args/seed', '3', 'str'],
        ['General/seed', '0', 'int'],
        ['General/lr', '0.1', 'float'],
      ],
      'undeclared: General/seed',
    ],
    [
      'another section declares it, beside other arguments',
      { 'Args/seed': '3' },
      [['Args/seed', '3', 'str'], ...ARGPARSE, ['General/seed', '0', 'int']],
      'undeclared: General/seed',
    ],
    [
      'a library has a value of its own',
      { 'Args/seed': '3' },
      [['Args/seed', '3', 'str'], ...ARGPARSE, ['Transformers/seed', '42', 'int']],
      undefined,
    ],
    [
      'another section holds the same value, which may come from this one',
      { 'Args/lr': '0.5' },
      [
        ['Args/lr', '0.5', 'str'],
        ['TB_hparams/lr', '0.5', 'float'],
      ],
      undefined,
    ],
    [
      'Hydra reads another section',
      { 'Args/lr': '0.5' },
      [
        ['Args/lr', '0.5', 'str'],
        ['Args/run', 'True', 'bool', 'Run a job'],
        ['Hydra/_allow_omegaconf_edit_', 'False', 'bool'],
      ],
      'undeclared: Hydra/lr',
    ],
    [
      'Hydra itself takes it',
      { 'Args/overrides': "['lr=0.5']" },
      [
        ['Args/overrides', "['lr=0.5']", 'str'],
        ['Hydra/_allow_omegaconf_edit_', 'False', 'bool'],
      ],
      'kept',
    ],
    [
      'its near name has no default',
      { 'Args/lrr': '0.5' },
      [
        ['Args/lrr', '0.5', 'str'],
        ['Args/lr', '', 'str', '(default: 0.1)'],
      ],
      'undeclared: Args/lr',
    ],
    [
      'fire reads only what has its type',
      { 'Args/lr': '0.5' },
      [['Args/lr', '0.5', 'str'], ...FIRE],
      'undeclared',
    ],
    [
      'Hydra reads it',
      { 'Hydra/lr': '0.5' },
      [
        ['Hydra/lr', '0.5', 'str'],
        ['Hydra/_allow_omegaconf_edit_', 'False', 'bool'],
      ],
      'kept',
    ],
    [
      'Hydra removed its overrides',
      { 'Args/overrides': '["lr=1"]' },
      [['Hydra/_allow_omegaconf_edit_', 'False', 'bool']],
      undefined,
    ],
    [
      'only the user properties are typed',
      { 'Args/lr': '0.5' },
      [
        ['Args/lr', '0.5'],
        ['properties/team', 'a', 'str'],
      ],
      'undeclared',
    ],
    ['an empty one is never typed', { 'Args/name': '' }, [['Args/name', ''], ...ARGPARSE], 'kept'],
  ])('where %s', (_, given, held, expected) => {
    expect(stateOf(makeTask(given, held))).toBe(expected);
  });

  it.each([
    ['beta1', 'beta2'],
    ['lr_g', 'lr_d'],
    ['max_len', 'min_len'],
    ['width', 'depth'],
    ['height', 'weight'],
    ['train_dir', 'valid_dir'],
    ['warmup_steps', 'warmup_ratio'],
    ['x', 'y'],
    ['lr', 'lr0'],
    ['train_batch_size', 'eval_batch_size'],
    ['alpha1', 'alpha2'],
    ['lr', 'blr'],
    ['lr', 'lrf'],
    ['lr', 'lr_d'],
    ['gamma', 'gamma_g'],
    ['x_size', 'size'],
  ])('%s is no misspelt %s', (name, sibling) => {
    const held: Held[] = [
      [`Args/${name}`, '1', 'str'],
      [`Args/${sibling}`, '2', 'int', 'None'],
    ];
    expect(stateOf(makeTask({ [`Args/${name}`]: '1' }, held))).toBe('kept');
  });

  it.each([
    ['lrr', 'lr'],
    ['learing_rate', 'learning_rate'],
    ['learming_rate', 'learning_rate'],
    ['laerning_rate', 'learning_rate'],
    ['llr', 'lr'],
    ['LR', 'lr'],
    ['batchsize', 'batch_size'],
    ['seeds', 'seed'],
    ['eopchs', 'epochs'],
  ])('%s is a misspelt %s', (name, meant) => {
    const held: Held[] = [
      [`Args/${name}`, '1', 'str'],
      [`Args/${meant}`, '2', 'int', 'None'],
    ];
    expect(stateOf(makeTask({ [`Args/${name}`]: '1' }, held))).toBe(`undeclared: Args/${meant}`);
  });

  it.each<[string, string, string, string]>([
    ['mode', 'eval', 'model', 'mlp'],
    ['name', 'a', 'names', '[]'],
    ['layer', '3', 'layers', '[1, 2]'],
    ['train', 'a', 'trains', 'b'],
  ])('%s (%s) is another one than %s (%s)', (name, value, sibling, other) => {
    const held: Held[] = [
      [`Args/${name}`, value, 'str'],
      [`Args/${sibling}`, other, 'str', 'None'],
    ];
    expect(stateOf(makeTask({ [`Args/${name}`]: value }, held))).toBe('kept');
  });

  it('is no misspelt number if it is a word', () => {
    const held: Held[] = [['Args/epoch', 'last', 'str'], ...ARGPARSE];
    expect(stateOf(makeTask({ 'Args/epoch': 'last' }, held))).toBe('kept');
  });

  it('is known to be declared where another task of the pipeline declared it', () => {
    const base = makeTask({}, [['Args/epoch', '3', 'int', 'None'], ...ARGPARSE]);
    const known = listDeclared(base);
    const misspelt = makeTask({ 'Args/epoch': '4' }, [['Args/epoch', '4', 'str'], ...ARGPARSE]);
    expect(stateOf(misspelt)).toBe('undeclared: Args/epochs');
    expect(stateOf(misspelt, known)).toBe('kept');
    const silent = makeTask({ 'Args/epoch': '4' }, [['Args/epoch', '4']]);
    expect(stateOf(silent)).toBe('undeclared');
    expect(stateOf(silent, known)).toBe('kept');
  });

  it('is not known by a task of an older launch, which may have given it', () => {
    const held: Held[] = [
      ['Args/lrr', '1', 'str'],
      ['Args/name', 'a', 'str', 'None'],
      ['Args/lr', '0.1', 'float'],
    ];
    expect(listDeclared({ ...makeTask({}, held), runtime: {} })).toEqual(['Args/name', 'Args/lr']);
  });

  it('with a type of ours is not declared by it', () => {
    const given = [{ name: 'Args/fp16', value: 'true', type: 'bool' }];
    expect(stateOf(makeTask(given, [['Args/fp16', 'true', 'bool']]))).toBe('undeclared');
    expect(stateOf(makeTask(given, [['Args/fp16', 'true', 'bool'], ...ARGPARSE]))).toBe('kept');
  });

  it.each(['click.Command', 'fire.Arg.shared', 'fire.Arg@train'])(
    'with the type %s is read unseen',
    (type) => {
      const given = [{ name: 'Args/lr', value: '1', type }];
      expect(stateOf(makeTask(given, [['Args/lr', '1', type]]))).toBeUndefined();
      expect(stateOf(makeTask(given, [['Args/lr', '1', type], ...FIRE]))).toBe('kept');
    },
  );
});

describe('nothing is claimed', () => {
  it.each<[string, Partial<ParamsOfTask>]>([
    ['of a draft', { status: 'created', iteration: 0 }],
    ['of a task that waits', { status: 'queued' }],
    ['of one that has reported nothing yet', { status: 'in_progress', iteration: 0 }],
    ['of one that failed before it declared anything', { status: 'failed', iteration: 0 }],
    ['of one whose launch kept nothing', { runtime: {} }],
    ['of one whose note is broken', { runtime: { ci_given: '{"Args/lr":' } }],
  ])('%s', (_, fields) => {
    expect(judgeArrival(makeTask({ 'Args/lr': '0.5' }, [['Args/lr', '0.5']], fields))).toEqual([]);
  });

  it('but an overwritten param is seen while the training runs', () => {
    const task = makeTask({ 'Args/lr': '0.5' }, [['Args/lr', '0.1', 'float']], {
      status: 'in_progress',
      iteration: 0,
    });
    expect(judgeArrival(task)).toEqual([
      { name: 'Args/lr', given: '0.5', value: '0.1', state: 'overwritten' },
    ]);
  });
});

describe('what did not arrive is told', () => {
  const tell = (task: ParamsOfTask) => writePlain(composeLosses(listLost(judgeArrival(task))));

  it('with what became of it, the nearest declared name, and the exceptions', () => {
    const held: Held[] = [
      ['Args/lrr', '3', 'str'],
      ['Args/lr', '0.1', 'float', 'None'],
      ['Args/epochs', '7', 'int', 'None'],
      ['General/depth', '3', 'str'],
    ];
    const text = tell(makeTask({ 'Args/lrr': '3', 'Args/epochs': '9', 'General/depth': '3' }, held));
    expect(text).toBe(
      'epochs was overwritten: the launch gave 9, and the task holds 7. lrr did not reach the training, it seems: the training declares lr. Nothing shows that General/depth reached the training: nothing in its task declared it. (task.get_parameter, click, jsonargparse, and argparse or task.connect with everything given leave no trace there.)',
    );
  });

  it('in a line, however many there are', () => {
    const names = Array.from({ length: 40 }, (_, index) => `Args/p${index}`);
    const text = tell(
      makeTask(
        Object.fromEntries(names.map((name) => [name, '1'])),
        names.map((name) => [name, '1']),
      ),
    );
    expect(text).toMatch(
      /^Nothing shows that p0, p1, p2, p3, p4 reached the training: .* The same is true of 35 more\.$/,
    );
  });
});
