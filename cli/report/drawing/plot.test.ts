import { expect, test } from '@jest/globals';
import { parsePlot } from './plot.ts';

test('a table is read, its columns turned into rows (recording 189)', () => {
  const json = JSON.stringify({
    data: [
      {
        type: 'table',
        header: { values: ['a', 'b'] },
        cells: {
          values: [
            [1, 3],
            [2, 4],
          ],
        },
      },
    ],
    layout: { title: 'confusion' },
  });
  expect(parsePlot('table/confusion', 5, json)).toEqual({
    name: 'table/confusion',
    iteration: 5,
    kind: 'table',
    columns: ['a', 'b'],
    rowLabels: [],
    rows: [
      ['1', '2'],
      ['3', '4'],
    ],
    columnAxis: null,
    rowAxis: null,
  });
});

test('a table of pandas has lists as column names, and gaps', () => {
  const json = JSON.stringify({
    data: [
      {
        type: 'table',
        header: { values: ['', ['precision']] },
        cells: { values: [['cat', 'dog'], [0.123456789]] },
      },
    ],
    layout: {},
  });
  expect(parsePlot('a/b', 0, json)).toMatchObject({
    columns: ['', 'precision'],
    rows: [
      ['cat', '0.12346'],
      ['dog', ''],
    ],
  });
});

test('a confusion matrix is read as the SDK writes it, with its axes', () => {
  const json = JSON.stringify({
    data: [
      {
        x: null,
        y: ['no', 'yes'],
        z: [
          [5, 1],
          [0, 7],
        ],
        type: 'heatmap',
      },
    ],
    layout: { xaxis: { title: 'predicted' }, yaxis: { title: 'true', autorange: 'reversed' } },
  });
  expect(parsePlot('a/b', 0, json)).toMatchObject({
    kind: 'matrix',
    columns: ['0', '1'],
    rowLabels: ['no', 'yes'],
    rows: [
      ['5', '1'],
      ['0', '7'],
    ],
    columnAxis: 'predicted',
    rowAxis: 'true',
  });
});

test.each([
  ['no JSON', '{'],
  ['null', 'null'],
  ['a list', '[]'],
  ['a scatter plot', '{"data": [{"type": "scatter", "x": [1], "y": [2]}], "layout": {}}'],
  ['two traces', '{"data": [{"type": "table"}, {"type": "table"}]}'],
  ['a table without cells', '{"data": [{"type": "table", "header": {"values": []}}]}'],
  ['a matrix of texts', '{"data": [{"type": "heatmap", "z": [["a"]]}]}'],
  [
    'a matrix that is too large',
    JSON.stringify({ data: [{ type: 'heatmap', z: Array(100).fill(Array(100).fill(1)) }] }),
  ],
])('%s is no plot that a comment shows', (_, json) => {
  expect(parsePlot('a/b', 0, json)).toBeUndefined();
});
