import { expect, test } from '@jest/globals';
import { EXIT_CODES } from '../../shell/failure.ts';
import { findForce } from '../words/force.ts';
import { formatShown, isNews } from './shown.ts';

const VERDICTS = ['failed', 'pending', 'none', 'regression', 'undecided', 'pass', 'gone'] as const;
const asIs = (text: string) => text;
const write = (second: string, rest = '') =>
  `<!-- clearml-ci-cd comment: key -->\n${second}\n### heading\n${rest}`;

test('a verdict is news where another one is shown, but that a training goes on is none', () => {
  for (const before of VERDICTS) {
    const body = write(formatShown(before));
    const news = VERDICTS.filter((verdict) => isNews(body, verdict, asIs));
    expect(news).toEqual(VERDICTS.filter((verdict) => verdict !== before && verdict !== 'pending'));
  }
});

test('somebody who edits a comment in the browser changes its line ends only', () => {
  const body = `${write(formatShown('pass'))}\n`.replaceAll('\n', '\r\n').replace('shows: pass -->', '$& ');
  expect(isNews(body, 'pass', asIs)).toBe(false);
});

test.each([
  ['nothing', ''],
  ['no such line', write('### heading')],
  ['the line elsewhere', write('### heading', formatShown('pass'))],
  ['the line after other words', write(`\`train\` ${formatShown('pass')}`)],
  ['the line quoted', write(`> ${formatShown('pass')}`)],
  ['the line as the first one', `${formatShown('pass')}\n### heading`],
  ['a word that is no verdict', write('<!-- clearml-ci-cd shows: passed -->')],
])('a comment with %s shows something unknown', (_, body) => {
  for (const verdict of VERDICTS) expect(isNews(body, verdict, asIs)).toBe(verdict !== 'pending');
});

test('a verdict that is somebody’s password is known without it', () => {
  const redact = (text: string) => text.replaceAll('pass', '***');
  expect(isNews(redact(write(formatShown('pass'))), 'pass', redact)).toBe(false);
  expect(isNews(redact(write(formatShown('pass'))), 'none', redact)).toBe(true);
});

test('a regression that only warns is news where it blocks, and the other way round', () => {
  const show = (exit: 'done' | 'regression' | 'undecided') =>
    findForce({ verdict: 'regression', gate: { alpha: 0.05, exitCode: EXIT_CODES[exit], metrics: [] } });
  const all = [show('done'), show('regression'), show('undecided')];
  expect(new Set(all).size).toBe(3);
  for (const before of all) {
    const body = write(formatShown(before));
    expect(all.filter((now) => isNews(body, now, asIs))).toEqual(all.filter((now) => now !== before));
  }
});
