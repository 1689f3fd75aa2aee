import { readFile } from 'node:fs/promises';
import { expect, test } from '@jest/globals';
import { Ajv } from 'ajv';
import { parse } from 'yaml';
import { parseConfigYaml } from '../shell/config-yaml.ts';
import { Failure } from '../shell/failure.ts';
import { formatConfigSchema } from './config-schema.ts';

const root = new URL('../../', import.meta.url);

test('the JSON Schema that ships is the one made from the code (npm run schema writes it)', async () => {
  expect(await readFile(new URL('templates/clearml-ci.schema.json', root), 'utf8')).toBe(
    formatConfigSchema(),
  );
});

/** Whether the program takes a settings file. */
function isTaken(text: string): boolean {
  try {
    parseConfigYaml('settings.yml', text);
    return true;
  } catch (error) {
    if (error instanceof Failure && error.exitCode === 2) return false;
    throw error;
  }
}

const validate = new Ajv({ allowUnionTypes: true }).compile(JSON.parse(formatConfigSchema()));
const isValid = (text: string) => validate(parse(text));

/** Values of each key, the good ones and the bad ones, as they are written in YAML. */
const VALUES: Readonly<
  Record<string, { readonly good: readonly string[]; readonly bad: readonly string[] }>
> = {
  project: {
    good: [
      'abc',
      'My Project',
      '/a-team/b-team',
      'a-team//b-team/',
      '" spaced "',
      'one/two/six/one/two/six/one/two/six/one',
    ],
    bad: [
      'ab',
      'Team/v2',
      'a/b',
      '"   "',
      '//',
      '5',
      '~',
      '[abc]',
      'one/two/six/one/two/six/one/two/six/one/two',
    ],
  },
  'task-name': { good: ['train', '"a b"', '" abc "'], bad: ['ab', '" ab "', '""', 'true'] },
  queue: { good: ['q', 'gpu queue'], bad: ['""', '" "', '1', '~', '{}'] },
  'entry-point': {
    good: ['train.py', 'src/train.py', '-m torch.distributed.run train.py', 'a..b/c', 'C/x.py'],
    bad: ['/train.py', '../train.py', 'a/../train.py', 'a/..', "'\\x'", 'C:/x.py', '" /x"', '"a\tb"'],
  },
  'working-dir': { good: ['.', 'a/b'], bad: ['..', '/', '7'] },
  requirements: { good: ['requirements.txt'], bad: ['/etc/requirements.txt'] },
  'docker-image': { good: ['python:3.11'], bad: ['""', '3.11'] },
  params: {
    good: [
      '{}',
      '{ lr: 0.1 }',
      '{ General/a/b: true }',
      '{ a: "" }',
      '{ fp16: { value: false, type: bool } }',
      '{ a: { value: x } }',
    ],
    bad: [
      '~',
      '[lr]',
      '{ lr: ~ }',
      '{ lr: [1] }',
      '{ /lr: 1 }',
      '{ Args/: 1 }',
      '{ lr: { type: int } }',
      '{ lr: { value: 1, kind: int } }',
      '{ lr: { value: 1, type: "a b" } }',
    ],
  },
  tags: { good: ['[]', '[a, b]'], bad: ['a', '[1]', '["__$all"]', '[" __$not"]', '[""]'] },
  paths: { good: ['[src/**]'], bad: ['[]', 'src'] },
  reuse: { good: ['true', 'false'], bad: ['yes', '"true"', '1'] },
  detach: { good: ['true', 'false'], bad: ['yes', '"true"', '1'] },
  supersede: { good: ['false'], bad: ['no'] },
  seeds: {
    good: ['1', '100', '[0]', '[1, 5]', '3.0'],
    bad: ['0', '101', '1.5', '[]', '[1, 1]', '[-1]', '"3"', '[1.5]', '.inf'],
  },
  'seed-param': {
    good: ['Args/seed', 'seed:int', '"Hydra/seed : int"'],
    bad: ['/seed', 'Args/', '"Args/seed:a b"', '":int"', '"seed:"'],
  },
  timeout: { good: ['30s', '1h30m', '" 2h "', '250ms', '1.5h'], bad: ['5', 'soon', '1m1h', '""', '-1s'] },
  'queue-timeout': { good: ['90m'], bad: ['90'] },
  retries: { good: ['0', '10'], bad: ['-1', '11', '0.5', 'true'] },
  baseline: {
    good: [
      'none',
      '{}',
      '{ branch: main, runs: 3 }',
      '{ task: x }',
      '{ tag: production }',
      '[{ branch: main }, { tag: a }]',
    ],
    bad: [
      'main',
      '[]',
      '[none]',
      '{ tag: a, runs: 3 }',
      '{ runs: 0 }',
      '{ runs: 101 }',
      '{ brunch: x }',
      '{ tag: "__$x" }',
      '{ branch: ~ }',
    ],
  },
  comment: {
    good: ['update', 'recreate', '"recreate"'],
    bad: ['Recreate', 'new', 'true', '1', '[update]', '""'],
  },
  promote: {
    good: [
      '{ tag: production }',
      '{ tag: "best one", publish: true }',
      '{ tag: cicd }',
      '{ tag: prod, publish: false }',
    ],
    bad: [
      '{}',
      'production',
      '{ publish: true }',
      '{ tag: "" }',
      '{ tag: 1 }',
      '{ tag: ci }',
      '{ tag: " ci " }',
      '{ tag: "pr:7" }',
      '{ tag: "base:main:x" }',
      '{ tag: ci-reported }',
      '{ tag: "ci-reported:7" }',
      '{ tag: "__$all" }',
      '{ tag: -production }',
      '{ tag: "a\\nb" }',
      '{ tag: a, publish: "true" }',
      '{ tag: a, branch: main }',
      '~',
    ],
  },
  alpha: { good: ['0.05', '0.5'], bad: ['0', '0.6', '"0.05"', '.nan', '-1'] },
  status: {
    good: ['ClearML', '" ClearML "', '"CI / train"', 'x'.repeat(255)],
    bad: ['""', '" "', 'true', '~', '"a\\nb"', '"a\\u2028b"', '"a\\tb"', '"\\0"', 'x'.repeat(256)],
  },
  metrics: {
    good: [
      '[]',
      '[{ metric: a/b }]',
      '[{ metric: a/b, goal: maximize, gate: fail, tolerance: "1%", detect: 0.1, min-iterations: "90%" }]',
      '[{ metric: a/b, gate: off }]',
      '[{ metric: a/b, gate: "off" }]',
      '[{ metric: a/b, tolerance: 0.5, min-iterations: 7, was: c/d }]',
      '[{ metric: a/b, min-iterations: "100%" }]',
      '[{ metric: a/b, min-iterations: "0.5 %" }]',
    ],
    bad: [
      '{ metric: a/b }',
      '[{}]',
      '[a/b]',
      '[{ metric: "" }]',
      '[{ metric: a/b, gate: fail }]',
      '[{ metric: a/b, gate: warn }]',
      '[{ metric: a/b, goal: max }]',
      '[{ metric: a/b, gaol: maximize }]',
      '[{ metric: a/b, tolerance: -1 }]',
      '[{ metric: a/b, tolerance: 1 percent }]',
      '[{ metric: a/b, detect: 0 }]',
      '[{ metric: a/b, detect: .inf }]',
      '[{ metric: a/b, min-iterations: 0 }]',
      '[{ metric: a/b, min-iterations: "101%" }]',
      '[{ metric: a/b, min-iterations: "0%" }]',
      '[{ metric: a/*, was: c/d }]',
      '[{ metric: a/b, was: c/? }]',
    ],
  },
};

const files = Object.entries(VALUES).flatMap(([key, { good, bad }]) => [
  ...good.map((value) => [`${key}: ${value}`, true] as const),
  ...bad.map((value) => [`${key}: ${value}`, false] as const),
]);

test.each([
  ['', true],
  ['# nothing yet', true],
  ['{}', true],
  ['[]', false],
  ['text', false],
  ['quue: a', false],
  ...files,
] as const)('the program and the JSON Schema agree on %j: %s', (text, isRight) => {
  expect({ program: isTaken(text), schema: isValid(text) }).toEqual({ program: isRight, schema: isRight });
});

test('there are more than a hundred such files, and each key of the settings is in one', () => {
  expect(files.length).toBeGreaterThan(100);
  const { properties } = JSON.parse(formatConfigSchema()) as { properties: object };
  expect(Object.keys(properties).filter((key) => VALUES[key] === undefined)).toEqual(['docker-args']);
});

test.each([
  'metrics: [{ metric: a/b, tolerance: 0.2, detect: 0.1 }]',
  'metrics: [{ metric: a/b, was: a/b }]',
  'metrics: [{ metric: "*" }, { metric: a/b, goal: maximize, gate: fail }]',
])('what JSON Schema has no words for is left to the program: %s', (text) => {
  expect({ program: isTaken(text), schema: isValid(text) }).toEqual({ program: false, schema: true });
});

test("this repository's own settings are valid by both", async () => {
  const text = await readFile(new URL('.github/clearml-ci.yml', root), 'utf8');
  expect([isTaken(text), isValid(text)]).toEqual([true, true]);
});
