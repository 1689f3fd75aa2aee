import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { readConfigFile } from './config-file.ts';
import { Failure } from './failure.ts';

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'config-file-'));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

async function read(text: string) {
  await writeFile(join(folder, 'settings.yml'), text);
  return readConfigFile(folder, 'settings.yml');
}

async function readMistakes(text: string): Promise<string> {
  try {
    await read(text);
  } catch (error) {
    if (error instanceof Failure && error.exitCode === 2) return error.message;
    throw error;
  }
  throw new Error('the settings were accepted');
}

test('a missing default file is an empty config, a missing named one an error', async () => {
  expect(await readConfigFile(folder, undefined)).toEqual({});
  await expect(readConfigFile(folder, 'no-such.yml')).rejects.toMatchObject({
    exitCode: 2,
    message: 'the settings file no-such.yml does not exist',
  });
});

test('an empty file is an empty config', async () => {
  expect(await read('')).toEqual({});
  expect(await read('# nothing yet\n')).toEqual({});
});

test("this repository's own settings are valid", async () => {
  const root = new URL('../..', import.meta.url).pathname;
  expect(await readConfigFile(root, undefined)).toMatchObject({ queue: 'default' });
});

test('every key of the contract is understood, durations in milliseconds', async () => {
  expect(
    await read(
      [
        'project: My ML Project',
        'task-name: Model Training on Latest Script',
        'queue: default',
        'entry-point: train_model.py',
        'working-dir: .',
        'requirements: requirements.txt',
        'docker-image: python:3.11',
        'docker-args: --ipc=host',
        'params: { Args/n_estimators: 100, General/fast: true, plain: text }',
        'tags: [team-a]',
        'paths: [train_model.py, src/**]',
        'reuse: true',
        'supersede: false',
        'seeds: [1, 5]',
        'seed-param: Args/seed',
        'timeout: 1h30m',
        'queue-timeout: 250ms',
        'metrics:',
        '  - metric: test_accuracy/accuracy',
        '    goal: maximize',
        '    value: max',
        '    tolerance: "1%"',
        '    gate: fail',
        '    detect: 0.01',
        '    min-iterations: "90%"',
        '    was: accuracy/test',
        'baseline: { branch: main }',
        'promote: { tag: production }',
        'alpha: 0.01',
      ].join('\n'),
    ),
  ).toEqual({
    project: 'My ML Project',
    'task-name': 'Model Training on Latest Script',
    queue: 'default',
    'entry-point': 'train_model.py',
    'working-dir': '.',
    requirements: 'requirements.txt',
    'docker-image': 'python:3.11',
    'docker-args': '--ipc=host',
    params: { 'Args/n_estimators': '100', 'General/fast': true, plain: 'text' },
    tags: ['team-a'],
    paths: ['train_model.py', 'src/**'],
    reuse: true,
    supersede: false,
    seeds: [1, 5],
    'seed-param': 'Args/seed',
    timeout: 5_400_000,
    'queue-timeout': 250,
    metrics: [
      {
        metric: 'test_accuracy/accuracy',
        goal: 'maximize',
        value: 'max',
        tolerance: '1%',
        gate: 'fail',
        detect: 0.01,
        'min-iterations': '90%',
        was: 'accuracy/test',
      },
    ],
    baseline: { branch: 'main', runs: 10 },
    promote: { tag: 'production', publish: false },
    alpha: 0.01,
  });
});

test('a number among the params is taken as it is written', async () => {
  expect(await read('params: { a: 3.10, b: 12345678901234567890, c: 1e-3, d: 0x10 }')).toEqual({
    params: { a: '3.10', b: '12345678901234567890', c: '1e-3', d: '0x10' },
  });
});

test('whatever else a param is, it is taken as it is written, without its quotes', async () => {
  const lines = [
    'shared: &shared 2.50',
    'yes: yes',
    'flag: True',
    'same: false',
    'octal: 010',
    'day: 2026-01-01',
    'huge: .inf',
    'text: "1.10"',
    'tagged: !!str 1.0',
    'again: *shared',
    'typed: { value: 1.0, type: float }',
    'bool: { value: FALSE, type: bool }',
    'list: { value: "[1, 2]", type: list/int }',
  ];
  expect(await read(`params:\n${lines.map((line) => `  ${line}`).join('\n')}`)).toEqual({
    params: {
      shared: '2.50',
      yes: 'yes',
      flag: 'True',
      same: false,
      octal: '010',
      day: '2026-01-01',
      huge: '.inf',
      text: '1.10',
      tagged: '1.0',
      again: '2.50',
      typed: { value: '1.0', type: 'float' },
      bool: { value: 'FALSE', type: 'bool' },
      list: { value: '[1, 2]', type: 'list/int' },
    },
  });
});

test('a key is a name: it keeps its spelling, whatever type it looks like', async () => {
  const keys = ['1.10', '1.1', '0x10', '1e3', 'True', 'null', '2026-01-01', '12345678901234567890'];
  const text = keys.map((key, index) => `  ${key}: ${index}.50`).join('\n');
  expect(await read(`params:\n${text}`)).toEqual({
    params: Object.fromEntries(keys.map((key, index) => [key, `${index}.50`])),
  });
  expect(await readMistakes('1.10: x')).toContain('line 1: 1.10 is not a setting');
});

test.each([
  ['metrics: [{ metric: a/b, gaol: maximize }]', 'metrics[0].gaol is not a setting; did you mean goal?'],
  ['metrics: [{ metric: a/b, aws: a/c }]', 'metrics[0].aws is not a setting; did you mean was?'],
  ['baseline: { brnch: main }', 'baseline.brnch is not a setting; did you mean branch?'],
  ['baseline: [{ branch: main, rnus: 3 }]', 'baseline[0].rnus is not a setting; did you mean runs?'],
  ['baseline: { taks: a }', 'baseline.taks is not a setting; did you mean task?'],
  ['baseline: { tga: a }', 'baseline.tga is not a setting; did you mean tag?'],
])('a key of a mapping that is nearly right is named: %s', async (text, mistake) => {
  expect(await readMistakes(text)).toContain(mistake);
});

test.each([
  ['promote: production', 'promote must be { tag: … } or { tag: …, publish: true }'],
  ['promote:', 'promote must be { tag: … } or { tag: …, publish: true }'],
  ['promote: [production]', 'promote must be { tag: … } or { tag: …, publish: true }'],
  ['promote: { publish: true }', 'promote.tag is required'],
  [
    'baseline: { branch: main, tag: a }',
    'baseline must be one of { branch: …, runs: … }, { task: ID } or { tag: … }; to compare with several, list them',
  ],
  ['baseline: { tag: a, runs: 3 }', 'baseline.runs is not a setting'],
])(
  'what is wrong with the form of a setting is said, and not what the file already has: %s',
  async (text, mistake) => {
    const message = await readMistakes(text);
    expect(message).toContain(mistake);
    expect(message).not.toContain('did you mean');
  },
);

test.each([
  ['params: { lr: ~ }', 'params.lr must be a text, a number, true or false, or { value: …, type: … }'],
  ['params: { lr: [1, 2] }', 'params.lr must be a text, a number, true or false, or { value: …, type: … }'],
  ['params: { lr: { type: bool } }', 'params.lr must be a text, a number, true or false, or { value: …'],
  ['params: { lr: { valu: 1, tpye: bool } }', 'params.lr.valu is not a setting; did you mean value?'],
  ['params: { lr: { valu: 1, tpye: bool } }', 'params.lr.tpye is not a setting; did you mean type?'],
  ['params: { lr: { 1.10: 1 } }', 'params.lr.1.10 is not a setting'],
  ['params: { ? [lr] : 1 }', 'a key must be a text: no list, mapping or alias'],
  ['params: { lr: { value: 1, typ: bool } }', 'params.lr.typ is not a setting; did you mean type?'],
  ['params: { lr: { value: 1, type: a b } }', 'params.lr.type must be a type such as bool, list/int'],
  ['params: &all { lr: *all }', 'params.lr must be a text'],
  ['seed-param: "Args/seed:a b"', 'seed-param must be [Section/]name, or [Section/]name:type'],
])('%s is a mistake', async (text, message) => {
  expect(await readMistakes(text)).toContain(`line 1: ${message}`);
});

test('all mistakes are listed at once, each with its line', async () => {
  const message = await readMistakes(
    [
      'queue: [a]',
      'quue: default',
      'timeout: soon',
      'metrics:',
      '  - goal: maximize',
      '  - metric: a/b',
      '    gate: fail',
      'baseline:',
      '  runs: 0',
    ].join('\n'),
  );
  expect(message.split('\n')).toEqual([
    'settings.yml has 6 mistakes',
    '  settings.yml: line 1: queue must be text (put it in quotes)',
    '  settings.yml: line 2: quue is not a setting; did you mean queue?',
    '  settings.yml: line 3: timeout must be a duration with its unit, such as 30s, 90m, 2h or 1h30m',
    '  settings.yml: line 5: metrics[0].metric is required',
    '  settings.yml: line 6: metrics[1].goal is required where gate is fail or warn: maximize or minimize',
    '  settings.yml: line 9: baseline.runs must be at least 1',
  ]);
});

test('keys that are none are all named, at every level, with the one that was probably meant', async () => {
  const message = await readMistakes(
    [
      'Project: foo',
      'qeue: gpu',
      'entrypoint: t.py',
      'colour: blue',
      'metrics:',
      '  - metric: a/b',
      '    goals: maximize',
      '    gates: fail',
      'baseline: { brunch: main, runs: 0 }',
      'seeds: 0',
    ].join('\n'),
  );
  expect(message.split('\n').slice(1)).toEqual([
    '  settings.yml: line 1: Project is not a setting; did you mean project?',
    '  settings.yml: line 2: qeue is not a setting; did you mean queue?',
    '  settings.yml: line 3: entrypoint is not a setting; did you mean entry-point?',
    '  settings.yml: line 4: colour is not a setting',
    '  settings.yml: line 7: metrics[0].goals is not a setting; did you mean goal?',
    '  settings.yml: line 8: metrics[0].gates is not a setting; did you mean gate?',
    '  settings.yml: line 9: baseline.brunch is not a setting; did you mean branch?',
    '  settings.yml: line 9: baseline.runs must be at least 1',
    '  settings.yml: line 10: seeds must be a number of seeds (1 to 100), or a list of different whole numbers',
  ]);
});

test.each([
  ['seeds: [1, 1]', 'seeds must be a number of seeds (1 to 100), or a list of different whole numbers'],
  ['metrics: [{ metric: a/b, tolerance: -1 }]', 'tolerance must be a number that is not negative'],
  ['metrics: [{ metric: a/b, tolerance: 1 percent }]', 'tolerance must be a number that is not negative'],
  ['timeout: 5', 'timeout must be a duration with its unit'],
])('%s: what it must be is told in our words', async (text, expected) => {
  const message = await readMistakes(text);
  expect(message).toContain(expected);
  expect(message).not.toMatch(/Invalid|received/);
});

test('several baselines are a list: a fixed anchor beside the moving one', async () => {
  expect(await read('baseline: [{ branch: main, runs: 5 }, { tag: production }]')).toEqual({
    baseline: [{ branch: 'main', runs: 5 }, { tag: 'production' }],
  });
  expect(await readMistakes('baseline: [{ branch: main }, { tag: [] }]')).toContain(
    'baseline[1].tag must be text',
  );
  expect(await readMistakes('baseline: [none]')).toContain('baseline[0] must be { branch: …, runs: … }');
  expect(await readMistakes('baseline: []')).toContain('baseline must not be empty');
});

describe.each([
  [
    'a loss within the tolerance that must be seen',
    'tolerance: 0.02\n    detect: 0.02',
    'detect must be greater than tolerance',
  ],
  ['an old name for a pattern', 'metric: a/*\n    was: b', 'was must be the earlier name of this one metric'],
  [
    'an old name that is the present one',
    'metric: a\n    was: a',
    'was must be the earlier name of this one metric',
  ],
  [
    'no iterations at all',
    'min-iterations: 0',
    'min-iterations must be a number of iterations, or a percentage',
  ],
  [
    'more iterations than there are',
    'min-iterations: "101%"',
    'min-iterations must be a number of iterations',
  ],
])('%s', (_, lines, expected) => {
  test('is an error', async () => {
    const metric = lines.startsWith('metric') ? '' : 'metric: a\n    ';
    expect(await readMistakes(`metrics:\n  - ${metric}${lines}\n`)).toContain(`metrics[0].${expected}`);
  });
});

describe.each<
  readonly [what: string, rules: ReadonlyArray<readonly [metric: string, gate: string]>, first?: number]
>([
  [
    'a gate under a pattern that is off',
    [
      ['test/*', 'off'],
      ['test/accuracy', 'fail'],
    ],
    0,
  ],
  [
    'a gate under a warning',
    [
      ['a', 'off'],
      ['test/?cc', 'warn'],
      ['test/acc', 'fail'],
    ],
    1,
  ],
  [
    'a pattern under a wider one',
    [
      ['*', 'warn'],
      ['test/?*', 'fail'],
    ],
    0,
  ],
  [
    'the same metric twice',
    [
      ['test/acc', 'fail'],
      ['test/acc', 'fail'],
    ],
    0,
  ],
  [
    'a gate above a pattern',
    [
      ['test/acc', 'fail'],
      ['test/*', 'warn'],
      ['*', 'off'],
    ],
  ],
  [
    'patterns that overlap',
    [
      ['*/acc', 'warn'],
      ['test/*', 'fail'],
    ],
  ],
  [
    'a pattern under a narrower one',
    [
      ['test/a?', 'warn'],
      ['test/a*', 'fail'],
    ],
  ],
  [
    'what is off twice',
    [
      ['test/*', 'off'],
      ['test/acc', 'off'],
    ],
  ],
])('%s', (_, rules, first) => {
  const text = rules
    .map(([metric, gate]) => `  - { metric: "${metric}", goal: maximize, gate: ${gate} }\n`)
    .join('');
  test(first === undefined ? 'is right' : 'is an error: it would never act', async () => {
    const reading = readMistakes(`metrics:\n${text}`);
    if (first === undefined) await expect(reading).rejects.toThrow('the settings were accepted');
    else
      expect(await reading).toContain(
        `line ${rules.length + 1}: metrics[${rules.length - 1}].metric is matched by metrics[${first}] first`,
      );
  });
});

test('alpha is a share that is neither nothing nor more than half', async () => {
  expect(await readMistakes('alpha: 0')).toContain('alpha must be greater than 0');
  expect(await readMistakes('alpha: 0.6')).toContain('alpha must be at most 0.5');
  expect(await readMistakes('alpha: "5%"')).toContain('alpha must be a number');
});

describe.each([
  ['a tab', 'queue:\tdefault\n\tproject: x', /line 2/],
  ['a key that occurs twice', 'queue: a\nqueue: b', /line 2: Map keys must be unique/],
  ['a list instead of a mapping', '- a\n- b', /line 1: the file must be a mapping/],
  ['a path that leads out', 'working-dir: ../elsewhere', /line 1: working-dir must be a path inside/],
  ['too many aliases', `a: &a [1]\nb: [${'*a, '.repeat(200)}*a]`, /alias/i],
])('%s', (_, text, expected) => {
  test('is an error that names the line', async () => {
    expect(await readMistakes(text)).toMatch(expected);
  });
});

const VALID = {
  project: 'My ML Project',
  'task-name': 'Training',
  queue: 'default',
  'entry-point': 'train.py',
  'working-dir': 'src',
  requirements: 'requirements.txt',
  'docker-image': 'python:3.11',
  'docker-args': '--ipc=host',
  params: { lr: 1 },
  tags: ['a'],
  paths: ['b'],
  reuse: true,
  supersede: true,
  seeds: 3,
  'seed-param': 'Args/seed',
  timeout: '1h',
  'queue-timeout': '30m',
  metrics: [{ metric: 'a/b', goal: 'minimize', gate: 'warn' }],
  baseline: { branch: 'main', runs: 3 },
  promote: { tag: 'production' },
  alpha: 0.05,
};

/** For each key a value of a type that it does not take. */
const WRONG: Readonly<Record<keyof typeof VALID, unknown>> = {
  project: 5,
  'task-name': ['a'],
  queue: true,
  'entry-point': '/absolute.py',
  'working-dir': '../up',
  requirements: 7,
  'docker-image': { a: 1 },
  'docker-args': false,
  params: [1],
  tags: 'not a list',
  paths: [],
  reuse: 'perhaps',
  supersede: 0,
  seeds: 0,
  'seed-param': 1,
  timeout: 3600,
  'queue-timeout': '5 minutes',
  metrics: { metric: 'a' },
  baseline: 'main',
  promote: 'production',
  alpha: 5,
};

test('whichever single key or type is wrong, it is named with its line', async () => {
  const keys = Object.keys(VALID) as Array<keyof typeof VALID>;
  await fc.assert(
    fc.asyncProperty(
      fc.shuffledSubarray(keys, { minLength: 1 }),
      fc.nat(),
      fc.oneof(fc.constant('wrong type' as const), fc.constant('unknown key' as const)),
      fc
        .string({ minLength: 3, maxLength: 12, unit: fc.constantFrom(...'abcdefgh-') })
        .filter((key) => !(key in VALID)),
      async (chosen, position, kind, unknownKey) => {
        const index = position % chosen.length;
        const target = chosen[index] ?? 'queue';
        const entries = chosen.map((key): [string, unknown] =>
          key === target && kind === 'wrong type' ? [key, WRONG[key]] : [key, VALID[key]],
        );
        if (kind === 'unknown key') entries.splice(index, 0, [unknownKey, 'x']);
        const lines = entries.map(([key, value]) => stringify({ [key]: value }));
        const line = lines.slice(0, index).join('').split('\n').length;
        const message = await readMistakes(lines.join(''));
        const name = kind === 'unknown key' ? unknownKey : target;
        expect(message).toContain(`line ${line}: ${name} `);
        expect(message).toMatch(/^settings\.yml has a mistake\n/);
      },
    ),
    { numRuns: 100, seed: 7 },
  );
});
