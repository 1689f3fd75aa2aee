import { afterAll, beforeAll, expect, test as jestTest } from '@jest/globals';
import type { Browser, Page } from 'playwright-core';
import { drawChart } from '../report/drawing/chart.ts';
import { type Curve, cleanCurve } from '../report/drawing/curve.ts';
import { drawMermaid, findBrowser, openBrowser, openMermaidPage } from './mermaid-browser.ts';

let browser: Browser;
let page: Page;

/** A stranger's machine need not have a browser; where we check ourselves there must be one. */
const hasBrowser = findBrowser() !== undefined || process.env.CI !== undefined;
const test = hasBrowser ? jestTest : jestTest.skip;

beforeAll(async () => {
  if (!hasBrowser) return;
  browser = await openBrowser();
  page = await openMermaidPage(browser, '<!doctype html><body></body>', 'default');
});

afterAll(() => browser?.close());

function makeCurve(length: number, valueAt: (at: number) => unknown): Curve {
  const x = Array.from({ length }, (_, index) => index);
  return cleanCurve(x, x.map(valueAt));
}

const draw = (curve: Curve, name = 'this PR') => ({ curve, name, color: '#0969DA' });

const NASTY: ReadonlyArray<readonly [string, Curve]> = [
  ['not a number among others', makeCurve(50, (at) => (at % 7 === 0 ? Number.NaN : at))],
  [
    'infinities',
    makeCurve(50, (at) => (at === 3 ? Number.POSITIVE_INFINITY : at === 4 ? Number.NEGATIVE_INFINITY : at)),
  ],
  ['gaps', makeCurve(50, (at) => (at > 10 && at < 30 ? null : at))],
  ['two points', makeCurve(2, (at) => at)],
  ['a constant', makeCurve(100, () => 3)],
  ['zeros', makeCurve(100, () => 0)],
  ['negative numbers', makeCurve(100, (at) => -at - 5)],
  ['tiny numbers', makeCurve(100, (at) => at * 1e-15)],
  ['subnormal numbers', makeCurve(100, (at) => at * 5e-324)],
  ['huge numbers', makeCurve(100, (at) => at * 1e300)],
  ['numbers of all sizes', makeCurve(100, (at) => 10 ** (at - 50))],
  ['nearly equal numbers', makeCurve(100, (at) => 1e6 + at * 1e-6)],
  ['30,000 points', makeCurve(30_000, (at) => Math.sin(at / 100))],
  ['steps that are not equal', { x: [0, 1, 5, 1000, 30_000], y: [1, 5, 2, 4, 3] }],
  ['huge iterations', { x: [1e12, 1e12 + 1, 1e12 + 5], y: [1, 2, 3] }],
  ['negative iterations', { x: [-5, 0, 5], y: [1, 2, 3] }],
];

test('mermaid draws every series that a training may report, beside a baseline too', async () => {
  const baseline = { curve: makeCurve(40, (at) => at / 3), name: 'main', color: '#9A6700' };
  const charts = NASTY.flatMap(([name, curve]) =>
    [[draw(curve)], [baseline, draw(curve)]].map((lines) => ({
      name,
      text: drawChart(lines)?.mermaid ?? '',
    })),
  );
  const drawings = await drawMermaid(
    page,
    charts.map(({ text }) => text),
  );
  const problems = drawings.flatMap((drawing, index) => {
    const name = charts[index]?.name;
    if ('error' in drawing) return [`${name}: ${drawing.error}`];
    // A line that is somewhere else than on the picture would have no number.
    const paths = [...drawing.svg.matchAll(/<path[^>]* d="([^"]*)"/g)].map(([, path = '']) => path);
    const isBroken = paths.length === 0 || paths.some((path) => /NaN|Infinity/.test(path));
    return isBroken ? [`${name}: ${paths.join(' ') || 'no line'}`] : [];
  });
  expect(problems).toEqual([]);
});

test.each([
  ['a short name', 'main', 'main'],
  ['a name that is long and wide', 'W'.repeat(300), `${'W'.repeat(23)}…`],
  ['a hostile name', '"] \n<b>', 'baseline'],
])('mermaid draws a legend with the lines’ names: a branch of %s', async (_, name, shown) => {
  const curve = makeCurve(50, (at) => at * 123_456.789);
  const chart = drawChart([draw(curve, name), draw(curve)]);
  const [drawing] = await drawMermaid(page, [chart?.mermaid ?? '']);
  const labels = [...JSON.stringify(drawing).matchAll(/>([^<>]+)<\/text>/g)].map(([, text]) => text);
  expect(labels).toEqual(expect.arrayContaining([shown, 'this PR']));
});

test.each([
  ['NaN', 'xychart-beta\n  line [1, NaN]'],
  ['an exponent', 'xychart-beta\n  line [1e-5, 1]'],
  ['an empty list', 'xychart-beta\n  line []'],
])('mermaid refuses %s, so this test can fail', async (_, text) => {
  expect(await drawMermaid(page, [text])).toEqual([{ error: expect.any(String) }]);
});
