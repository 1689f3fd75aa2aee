import { describe, expect, test } from '@jest/globals';
import { drawChart } from './chart.ts';
import type { Curve } from './curve.ts';

function makeCurve(from: number, to: number, valueAt = (at: number) => at): Curve {
  const x = Array.from({ length: to - from + 1 }, (_, index) => from + index);
  return { x, y: x.map(valueAt) };
}

function draw(...curves: readonly Curve[]) {
  return drawChart(curves.map((curve) => ({ curve, name: 'main', color: '#000000' })));
}

function linesOf(mermaid: string): number[][] {
  return [...mermaid.matchAll(/^ {2}line "main" \[(.*)\]$/gm)].map(([, list = '']) =>
    list.split(',').map(Number),
  );
}

describe('the axis', () => {
  test('ends where a shorter baseline ends', () => {
    const chart = draw(makeCurve(1, 20), makeCurve(1, 30));
    expect(chart).toMatchObject({ from: 1, to: 20, omitted: [] });
    expect(linesOf(chart?.mermaid ?? '').map((line) => [line[0], line.at(-1)])).toEqual([
      [1, 20],
      [1, 20],
    ]);
  });

  test('ends where a running training is, and the baseline is cut to it', () => {
    expect(draw(makeCurve(1, 300), makeCurve(1, 10))).toMatchObject({ from: 1, to: 10, omitted: [] });
  });

  test('is the training’s own where the baseline is much too short, or has no iteration in common', () => {
    expect(draw(makeCurve(1, 5), makeCurve(1, 100))).toMatchObject({ to: 100, omitted: [0] });
    expect(draw(makeCurve(200, 400), makeCurve(1, 100))).toMatchObject({ from: 1, to: 100, omitted: [0] });
  });
});

test.each<[string, Curve]>([
  ['no point', { x: [], y: [] }],
  ['one point', { x: [1], y: [1] }],
  ['one iteration', { x: [1, 1], y: [1, 2] }],
])('nothing is drawn of %s', (_, curve) => {
  expect(draw(curve)).toBeUndefined();
});

test.each<[string, (at: number) => number]>([
  ['tiny values', (at) => at * 1e-12],
  ['huge values', (at) => at * 1e300],
  ['negative values', (at) => -at * 1234.5678],
  ['constant values', () => 0.5],
  ['zeros', () => 0],
  ['values that differ little', (at) => 1000 + at * 1e-9],
  ['subnormal values', (at) => at * 5e-324],
])('%s are written as plain numbers within the range', (_, valueAt) => {
  const chart = draw(makeCurve(0, 100, valueAt));
  const text = chart?.mermaid ?? '';
  expect(text).not.toMatch(/NaN|Infinity|\de[+-]?\d/i);
  const [, low, high] = /y-axis (\S+) --> (\S+)/.exec(text) ?? [];
  expect(Number(low)).toBeLessThan(Number(high));
  for (const value of linesOf(text).flat()) {
    expect(value).toBeGreaterThanOrEqual(Number(low));
    expect(value).toBeLessThanOrEqual(Number(high));
  }
});

test('a chart holds nothing but numbers and words of ours', () => {
  const chart = draw(makeCurve(0, 3000, Math.sin), makeCurve(0, 3000, Math.cos));
  expect(chart?.mermaid.replace(/[-\d., ]/g, '')).toBe(
    [
      '',
      'config:',
      'xyChart:',
      'width:',
      'height:',
      'legendFontSize:',
      'xAxis:{labelFontSize:titleFontSize:}',
      'yAxis:{labelFontSize:}',
      'themeVariables:',
      'xyChart:',
      'plotColorPalette:"##"',
      '',
      'xychartbeta',
      'xaxis"iteration">',
      'yaxis>',
      'line"main"[]',
      'line"main"[]',
    ].join('\n'),
  );
});

test.each([
  ['main', 'main'],
  ['release/2026_11-a', 'release/2026_11-a'],
  ['übung', 'übung'],
  ['a'.repeat(40), `${'a'.repeat(23)}…`],
  ['', 'baseline'],
  ['a" [1, 2]\n  line "b', 'baseline'],
  ['%%{init: {"theme":"dark"}}%%', 'baseline'],
  ['a#quot;b', 'baseline'],
  ['<b>', 'baseline'],
  ['a\u202eb', 'baseline'],
])('a line’s name %j is %j in the legend', (name, shown) => {
  const chart = drawChart([{ curve: makeCurve(0, 3), name, color: '#000000' }]);
  expect(chart?.mermaid).toContain(`\n  line "${shown}" [0, 1, 2, 3]`);
  expect(chart?.mermaid.match(/^ *line/gm)).toHaveLength(1);
});
