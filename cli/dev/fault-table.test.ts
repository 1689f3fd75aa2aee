import { expect, test } from '@jest/globals';
import { placeFaultRows } from './fault-table.ts';

const TABLE = `| run | its requests | broken | cells (2 faults) | passed |
| --- | --: | --: | --: | --: |
| launch: one | 3 | 3 | 6 | 6 |
| check: one | 2 | 2 | 4 | 4 |
| check: another | 4 | 1 | 2 | 2 |
| comment: one | 5 | 5 | 10 | 10 |
| together | 14 | 11 | 22 | 22 |`;

const ROWS = [
  { name: 'check: one', requests: 2, broken: 2, cells: 4, passed: 4 },
  { name: 'check: another', requests: 4, broken: 1, cells: 2, passed: 2 },
];

test('a table that says what was found stays as it is', () => {
  expect(placeFaultRows(TABLE, ROWS, '2 faults')).toBe(TABLE);
});

test('a row of the same program that nobody found goes, another one comes, and the sum follows', () => {
  const [, second] = ROWS;
  const rows = [{ name: 'check: a third', requests: 9, broken: 8, cells: 16, passed: 15 }, second].filter(
    (row) => row !== undefined,
  );
  const lines = placeFaultRows(TABLE, rows, '2 faults').split('\n');
  expect(lines.slice(2)).toEqual([
    '| launch: one | 3 | 3 | 6 | 6 |',
    '| check: a third | 9 | 8 | 16 | 15 |',
    '| check: another | 4 | 1 | 2 | 2 |',
    '| comment: one | 5 | 5 | 10 | 10 |',
    '| together | 21 | 17 | 34 | 33 |',
  ]);
});

test('a sum, a header or a row that is wrong does not stay', () => {
  for (const [right, wrong] of [
    ['| 22 | 22 |', '| 22 | 21 |'],
    ['2 faults', '3 faults'],
    ['| check: one | 2 | 2 | 4 | 4 |\n', ''],
    ['| launch: one | 3 |', '| launch: one | 4 |'],
  ] as const) {
    const table = TABLE.replace(right, wrong);
    expect(table).not.toBe(TABLE);
    expect(placeFaultRows(table, ROWS, '2 faults')).not.toBe(table);
  }
});

test('into no table comes one', () => {
  expect(placeFaultRows('', ROWS, '2 faults').split('\n').at(-1)).toBe('| together | 6 | 3 | 6 | 6 |');
});
