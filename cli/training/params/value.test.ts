import { expect, test } from '@jest/globals';
import { isSameValue } from './value.ts';

test.each([
  ['0.5', '0.5'],
  ['1e-3', '0.001'],
  ['1.10', '1.1'],
  ['5e-5', '5e-05'],
  ['100', '100.0'],
  ['1_000', '1000'],
  ['.5', '0.5'],
  ['+3', '3'],
  ['-007', '-7'],
  ['0.1', '0.10000000149011612'],
  ['true', 'True'],
  ['1', 'True'],
  ['0', 'False'],
  ['False', '0'],
  ['yes', 'True'],
  ['None', ''],
  ['null', 'None'],
  ['', '   '],
  [' adam ', 'adam'],
  ['"adam"', 'adam'],
  ['[3,4]', '[3, 4]'],
  ['(3, 4)', '[3, 4]'],
  ['(3,)', '[3]'],
  ['3,4', '[3, 4]'],
  ['[]', ''],
  ["['a', 'b']", '["a", "b"]'],
  ["{'a': 1, 'b': [True, None]}", '{"a": 1.0, "b": [true, null]}'],
  ['inf', 'Infinity'],
  ['nan', 'NaN'],
])('%j is the same value as %j', (a, b) => {
  expect(isSameValue(a, b)).toBe(true);
  expect(isSameValue(b, a)).toBe(true);
});

test.each([
  ['0.5', '0.1'],
  ['0.5', ''],
  ['1', '2'],
  ['1234567', '1234568'],
  ['12345678901234567890', '12345678901234567891'],
  ['0.001', '0.0010001'],
  ['true', 'False'],
  ['2', 'True'],
  ['None', 'False'],
  ['adam', 'Adam'],
  ['3 4', '[3, 4]'],
  ['[3, 4]', '[4, 3]'],
  ['[3, 4]', '[3, 4, 5]'],
  ['[1], [2]', '[1, 2]'],
  ['["3", "4"]', '["3", ",", "4"]'],
  ['{"a": 1}', '{"a": 2}'],
  ['inf', '-inf'],
])('%j is another value than %j', (a, b) => {
  expect(isSameValue(a, b)).toBe(false);
  expect(isSameValue(b, a)).toBe(false);
});
