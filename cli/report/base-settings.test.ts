import { describe, expect, test } from '@jest/globals';
import { parseConfig } from '../shell/config.ts';
import { compareSettings, type SettingsQuestion } from './base-settings.ts';

function configOf(content: unknown) {
  const parsed = parseConfig(content);
  if ('issues' in parsed) throw new Error(JSON.stringify(parsed.issues));
  return parsed.config;
}

const ACCURACY = { metric: 'test/accuracy', goal: 'maximize', gate: 'fail', tolerance: 0.005 };

/** As `metric setting: base -> value`. */
function compare(base: unknown, own: unknown, fields: Partial<SettingsQuestion> = {}): string[] {
  return compareSettings({
    base: configOf(base),
    own: configOf(own),
    branch: 'main',
    names: undefined,
    isBaselineGiven: false,
    metrics: [],
    ...fields,
  }).map(
    ({ metric, setting, base: before, value }) =>
      `${metric === null ? '' : `${metric} `}${setting}: ${before} -> ${value}`,
  );
}

const compareMetrics = (base: readonly unknown[], own: readonly unknown[], metrics: readonly string[] = []) =>
  compare({ metrics: base }, { metrics: own }, { metrics });

describe('a gated metric', () => {
  test.each<readonly [setting: string, changed: object, expected: string]>([
    ['gate', { gate: 'warn' }, 'gate: fail -> warn'],
    ['gate', { gate: 'off' }, 'gate: fail -> off'],
    ['goal', { goal: 'minimize' }, 'goal: maximize -> minimize'],
    ['value', { value: 'max' }, 'value: last -> max'],
    ['tolerance', { tolerance: '50%' }, 'tolerance: 0.005 -> 50%'],
    ['tolerance', { tolerance: undefined }, 'tolerance: 0.005 -> 0'],
    ['detect', { detect: 0.01 }, 'detect: null -> 0.01'],
    ['min-iterations', { 'min-iterations': '90%' }, 'min-iterations: null -> 90%'],
    ['was', { was: 'old/accuracy' }, 'was: null -> old/accuracy'],
  ])('is named with its %s where that changed: %j', (_, changed, expected) => {
    expect(compareMetrics([ACCURACY], [{ ...ACCURACY, ...changed }])).toEqual([`test/accuracy ${expected}`]);
  });

  test('is named once where it is new, gone, or commented out', () => {
    expect(compareMetrics([], [ACCURACY])).toEqual(['test/accuracy gate: off -> fail']);
    expect(compareMetrics([ACCURACY], [])).toEqual(['test/accuracy gate: fail -> off']);
    expect(compare({ metrics: [ACCURACY] }, {})).toEqual(['test/accuracy gate: fail -> off']);
  });

  test('that was renamed is compared with its old name', () => {
    const renamed = { ...ACCURACY, metric: 'new/accuracy', was: 'test/accuracy' };
    expect(compareMetrics([ACCURACY], [renamed])).toEqual(['new/accuracy was: null -> test/accuracy']);
    expect(compareMetrics([ACCURACY], [{ ...renamed, tolerance: 0.5 }])).toEqual([
      'new/accuracy tolerance: 0.005 -> 0.5',
      'new/accuracy was: null -> test/accuracy',
    ]);
  });

  test('is not named where the order changed, or where a rule that gates nothing did', () => {
    const f1 = { ...ACCURACY, metric: 'test/f1' };
    const free = { metric: 'train/loss' };
    expect(compareMetrics([ACCURACY, f1, free], [f1, { ...free, value: 'min' }, ACCURACY])).toEqual([]);
  });

  test('that an earlier rule now takes over is named, though its own rule stands', () => {
    const cover = { metric: '*/accuracy', gate: 'off' };
    const pattern = { ...ACCURACY, metric: 'test/*' };
    expect(compareMetrics([ACCURACY], [cover, pattern])).toEqual([
      'test/* gate: off -> fail',
      'test/accuracy gate: fail -> off',
    ]);
  });

  test('that a pattern gated on the base is named where an exact rule frees it', () => {
    const pattern = { ...ACCURACY, metric: 'test/*' };
    expect(compareMetrics([pattern], [{ metric: 'test/f1' }, pattern])).toEqual([
      'test/f1 gate: fail -> off',
    ]);
    expect(compareMetrics([pattern], [{ ...ACCURACY, metric: 'test/f1' }, pattern])).toEqual([]);
  });

  test('that a pattern gated on the base is named where another pattern frees it', () => {
    const pattern = { ...ACCURACY, metric: 'test/*' };
    const names = ['test/f1', 'test/accuracy', 'train/f1'];
    expect(compareMetrics([pattern], [{ metric: '*/f1' }, pattern], names)).toEqual([
      'test/f1 gate: fail -> off',
    ]);
    // A pattern that is gone is told once, not for each metric that it fitted.
    expect(compareMetrics([pattern], [], names)).toEqual(['test/* gate: fail -> off']);
    expect(compareMetrics([], [pattern], names)).toEqual(['test/* gate: off -> fail']);
  });
});

describe('of the whole file', () => {
  const gated = { metrics: [ACCURACY] };
  test.each<readonly [base: object, own: object, expected: readonly string[]]>([
    [{}, { alpha: 0.4 }, ['alpha: 0.05 -> 0.4']],
    [{ alpha: 0.05 }, {}, []],
    [{}, { baseline: 'none' }, ['baseline: { runs: 10 } -> none']],
    [{}, { baseline: { branch: 'main' } }, []],
    [{}, { baseline: { branch: 'old' } }, ['baseline: { runs: 10 } -> { branch: old, runs: 10 }']],
    [
      { baseline: [{ runs: 5 }, { tag: 'production' }] },
      { baseline: { runs: 5 } },
      ['baseline: { runs: 5 }, { tag: production } -> { runs: 5 }'],
    ],
    [{ seeds: 3 }, {}, ['seeds: 3 -> null']],
    [{ seeds: 3 }, { seeds: [1, 2, 3] }, []],
    [{ seeds: 3 }, { seeds: [4, 8] }, ['seeds: 3 -> [4, 8]']],
    [{}, { 'seed-param': 'General/seed' }, ['seed-param: Args/seed -> General/seed']],
    [{}, { paths: ['src/**', 'data'] }, ['paths: null -> src/**, data']],
    [{}, { queue: 'gpu', params: { lr: 1 }, timeout: '2h', tags: ['a'] }, []],
  ])('%j against %j', (base, own, expected) => {
    expect(compare({ ...gated, ...base }, { ...gated, ...own })).toEqual(expected);
    // Where nothing is gated nothing of it decides a verdict.
    expect(compare(base, own)).toEqual([]);
  });

  test('a baseline that a flag gives is not one of the settings', () => {
    expect(compare(gated, { ...gated, baseline: 'none' }, { isBaselineGiven: true })).toEqual([]);
  });

  test('project and task name are named with and without a gate', () => {
    const names = {
      base: { project: 'digits', taskName: 'train' },
      own: { project: 'sandbox', taskName: 'train 2' },
    };
    const expected = ['project: digits -> sandbox', 'task-name: train -> train 2'];
    expect(compare({}, {}, { names })).toEqual(expected);
    expect(compare(gated, gated, { names })).toEqual(expected);
    expect(compare(gated, gated, { names: { base: names.base, own: names.base } })).toEqual([]);
  });
});
