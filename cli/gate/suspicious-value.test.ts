import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  doubtValue,
  hasStrayZero,
  isReplacementNote,
  needsConsole,
  type ValueOrigin,
} from './suspicious-value.ts';

/** From the console of a real run (recording clients/agent-logs/nan.json): its loss was NaN at iteration 3. */
const NAN_LINE =
  "2026-11-24 07:32:36,777 - clearml - INFO - NaN value encountered. Reporting it as '0.0'. Use clearml.Logger.set_reporting_nan_value to assign another value";
const INF_LINE =
  "2026-11-24 07:32:36,777 - clearml - INFO - inf value encountered. Reporting it as '0.0'. Use clearml.Logger.set_reporting_inf_value to assign another value";

function print(...lines: readonly string[]): NonNullable<ValueOrigin['console']> {
  return { lines: ['epoch 1', ...lines, 'epoch 2'], isWhole: true };
}

function origin(values: readonly number[], more: Partial<ValueOrigin> = {}): ValueOrigin {
  const pick = more.pick ?? 'last';
  const min = Math.min(...values);
  const max = Math.max(...values);
  const last = values.at(-1) ?? 0;
  return {
    value: pick === 'last' ? last : pick === 'min' ? min : max,
    pick,
    first: values[0] ?? 0,
    min,
    max,
    series: values,
    console: print(),
    ...more,
  };
}

/** The warning may stand in the part that was not read. */
const END_ONLY: Partial<ValueOrigin> = { console: { ...print(), isWhole: false } };

/** What ClearML kept of the recorded run's `loss/train`: the NaN became its smallest value. */
const RECORDED = {
  first: 0.3749857320347829,
  min: 0,
  max: 0.3749857320347829,
  console: print(NAN_LINE),
};

test("the recorded run's smallest loss, a NaN, is no measurement", () => {
  expect(doubtValue({ ...RECORDED, pick: 'min', value: 0 })).toBe('replaced');
});

test("the recorded run's last loss, sound again, is one", () => {
  expect(doubtValue({ ...RECORDED, pick: 'last', value: 0.17522126436526175 })).toBeUndefined();
});

describe.each<readonly [what: string, origin: ValueOrigin, expected: ReturnType<typeof doubtValue>]>([
  ['a NaN', origin([0.3, Number.NaN]), 'not-a-number'],
  ['an infinity', origin([0.3, Number.POSITIVE_INFINITY]), 'infinite'],
  ['a negative infinity', origin([0.3, Number.NEGATIVE_INFINITY]), 'infinite'],
  ['a loss that turned NaN', origin([0.37, 0.3, 0.26, 0.24, 0], { console: print(NAN_LINE) }), 'replaced'],
  ['a loss that turned infinite', origin([0.37, 0.9, 1e30, 0], { console: print(INF_LINE) }), 'replaced'],
  ['a loss that was NaN from the start', origin([0, 0, 0], { console: print(NAN_LINE) }), 'replaced'],
  [
    'a loss reported as another number in place of NaN',
    origin([0.4, 0.3, -1], { console: print(NAN_LINE.replace("'0.0'", "'-1.0'")) }),
    'replaced',
  ],
  [
    'a zero of minus zero’s sign after the warning',
    origin([0.4, 0.3, 0], { console: print(NAN_LINE.replace("'0.0'", "'-0.0'")) }),
    'replaced',
  ],
  ['a falling loss that jumps to zero, no warning', origin([0.37, 0.3, 0.26, 0.24, 0]), 'unexpected-zero'],
  ['an exploding loss that jumps to zero', origin([0.5, 3, 1e5, 0, 0, 0]), 'unexpected-zero'],
  [
    'a dip to zero where the smallest counts',
    origin([0.3, 0.28, 0, 0.26], { pick: 'min' }),
    'unexpected-zero',
  ],
  ['a zero after a single other value', origin([0.3, 0]), 'unexpected-zero'],
  [
    'zeros after a fall, console unknown',
    origin([2.3, 1.1, 0, 0, 0, 0], { console: undefined }),
    'unverified-zero',
  ],
  ['zeros after a fall, the console’s end read', origin([2.3, 0.9, 0], END_ONLY), 'unverified-zero'],
  ['a reward that jumps to zero', origin([-200, -150, -120, 0, 0, 0], END_ONLY), 'unverified-zero'],
  ['a loss that jumps to zero in its usual steps', origin([2.3, 1.6, 1.2, 0], END_ONLY), 'unverified-zero'],
  ['a loss that jumps to zero and stays', origin([10, 7, 5, 4.4, 0, 0, 0], END_ONLY), 'unverified-zero'],
  ['a flat loss that jumps to zero', origin([2.3, 1, 0.7, 0.6, 0.55, 0, 0], END_ONLY), 'unverified-zero'],
  [
    'a loss that underflows, console unknown',
    origin([1, 1e-3, 1e-6, 0], { console: undefined }),
    'unverified-zero',
  ],
  ['a zero whose course is unknown', origin([0.3, 0.1, 0], { series: undefined }), 'unexpected-zero'],
  ['zeros only, console unknown', origin([0, 0, 0], { console: undefined }), 'unverified-zero'],
  ['zeros only, the console’s end read', origin([0, 0], END_ONLY), 'unverified-zero'],
  [
    'a zero explained by the console’s end',
    origin([0.2, 0.1, 0], { console: { ...print(NAN_LINE), isWhole: false } }),
    'replaced',
  ],
  ['a lone zero, console unknown', origin([0], { console: undefined }), 'unverified-zero'],
])('%s', (_, value, expected) => {
  test('is no measurement', () => {
    expect(doubtValue(value)).toBe(expected);
  });
});

describe.each<readonly [what: string, origin: ValueOrigin]>([
  ['an ordinary value', origin([0.37, 0.3, 0.26])],
  ['an ordinary value in a run that warned', origin([0.37, 0, 0.26], { console: print(NAN_LINE) })],
  ['an error rate that falls to zero in its usual steps', origin([0.05, 0.03, 0.02, 0.01, 0])],
  ['a loss that halves until it is zero', origin([1, 0.5, 0.25, 0.125, 0.0625, 0.03, 0])],
  ['a linear schedule that ends at zero', origin([0.4, 0.3, 0.2, 0.1, 0])],
  ['a loss that underflows', origin([1, 1e-3, 1e-6, 1e-9, 1e-12, 0, 0, 0])],
  ['an accuracy that starts from zero, smallest counts', origin([0, 0.1, 0.2, 0.3], { pick: 'min' })],
  ['a count that is always zero, console read', origin([0, 0, 0])],
  ['a single zero, console read', origin([0])],
])('%s', (_, value) => {
  test('is a measurement', () => {
    expect(doubtValue(value)).toBeUndefined();
  });
});

test('whatever the course, a zero that the console explains is never believed', () => {
  const course = fc.array(fc.double({ min: -100, max: 100, noNaN: true }), { maxLength: 30 });
  fc.assert(
    fc.property(course, fc.constantFrom(NAN_LINE, INF_LINE), (values, line) => {
      expect(doubtValue(origin([...values, 0], { console: print(line) }))).toBe('replaced');
    }),
    { seed: 7 },
  );
});

test('the unit of a metric does not decide whether its zero is believed', () => {
  const course = fc.array(fc.double({ min: 1e-3, max: 1, noNaN: true }), { minLength: 1, maxLength: 12 });
  fc.assert(
    fc.property(course, fc.integer({ min: -20, max: 20 }), (values, exponent) => {
      const scaled = values.map((value) => value * 2 ** exponent);
      expect(doubtValue(origin([...scaled, 0]))).toBe(doubtValue(origin([...values, 0])));
    }),
    { seed: 7 },
  );
});

test('a zero is never believed unless the whole console was read', () => {
  const course = fc.array(fc.double({ min: -100, max: 100, noNaN: true }), { maxLength: 30 });
  const unread = fc.constantFrom(END_ONLY, { console: undefined });
  fc.assert(
    fc.property(course, unread, fc.constantFrom('last', 'min', 'max'), (values, more, pick) => {
      expect(doubtValue({ ...origin([...values, 0], more), value: 0, pick })).toBe('unverified-zero');
    }),
    { seed: 7 },
  );
});

describe('the console is worth a request', () => {
  test.each<readonly [string, Parameters<typeof needsConsole>[0], boolean]>([
    ['for a zero', origin([0]), true],
    ['for a zero with a sign', { ...origin([0]), value: -0 }, true],
    ['for a value that the biggest step leads to', origin([2, 1.9, 0.01]), true],
    ['for one that a leap leads to and that stays', origin([2, 1.9, 0.01, 0.01, 0.01]), true],
    ['for one that stays, as float32', origin([2, 1.9, 0.01, Math.fround(0.01)]), true],
    ['for a dip of two that counts', origin([0.9, 0.7, 0.6, 0.05, 0.05, 0.5], { pick: 'min' }), true],
    ['not for a plateau that the course leads to', origin([2.3, 1.1, 0.6, 0.5, 0.5, 0.5]), false],
    ['not for a series that never moves', origin([0.5, 0.5, 0.5]), false],
    ['for a dip that counts', origin([0.9, 0.7, 0.6, 0.05, 0.5], { pick: 'min' }), true],
    ['not for a tiny value that the course leads to', origin([1, 1e-150, 1e-300]), false],
    ['not for an ordinary course', origin([2.3, 1.1, 0.6, 0.5]), false],
    ['not for one that ends in noise', origin([0.1, 0.5, 0.62, 0.6, 0.65]), false],
    ['not where there is no course to leap from', origin([0.4]), false],
    ['not after a single step', origin([0.4, 0.1]), false],
    ['not where the course is unknown', origin([2, 1.9, 0.01], { series: undefined }), false],
  ])('%s: %#', (_, value, expected) => {
    expect(needsConsole(value)).toBe(expected);
  });
});

test('the notes of a console are told from its other lines', () => {
  expect(['epoch 1: loss NaN', NAN_LINE, 'NaN value encountered', INF_LINE].map(isReplacementNote)).toEqual([
    false,
    true,
    false,
    true,
  ]);
});

describe('a curve', () => {
  test.each<readonly [what: string, series: readonly number[], expected: boolean]>([
    ['that dips to 0', [2, 1.9, 0, 1.7, 1.6], true],
    ['that leaps to 0 and back after it came from 0', [0, 0.1, 0.2, 0.3, 0, 0.35], true],
    ['that ends with a leap to 0', [2, 1.9, 1.8, 0], true],
    ['that comes from 0', [0, 0.1, 0.2, 0.3], false],
    ['that goes to 0', [0.4, 0.3, 0.2, 0.1, 0, 0], false],
    ['that is always 0', [0, 0, 0], false],
    ['that is never 0', [1, 2, 3], false],
  ])('%s: a stray 0 is %s', (_, series, expected) => {
    expect(hasStrayZero(series)).toBe(expected);
  });
});
