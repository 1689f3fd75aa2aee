import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { EXIT_CODES } from '../../shell/failure.ts';
import { markState } from './state-mark.ts';

const blocking = { alpha: 0.05, exitCode: EXIT_CODES.regression, metrics: [] };
const warning = { ...blocking, exitCode: EXIT_CODES.done };

const STATES: ReadonlyArray<readonly [string, Parameters<typeof markState>[0]]> = [
  ['passed', { phase: 'completed', verdict: 'pass', gate: warning }],
  ['a regression', { phase: 'completed', verdict: 'regression', gate: blocking }],
  ['a regression that only warns', { phase: 'completed', verdict: 'regression', gate: warning }],
  ['undecided', { phase: 'completed', verdict: 'undecided', gate: blocking }],
  ['not judged', { phase: 'completed', verdict: 'none', gate: null }],
  ['failed', { phase: 'failed', verdict: 'failed', gate: null }],
  ['stopped', { phase: 'stopped', verdict: 'failed', gate: blocking }],
  ['waiting', { phase: 'queued', verdict: 'pending', gate: null }],
  ['running', { phase: 'running', verdict: 'pending', gate: blocking }],
  ['a draft', { phase: 'draft', verdict: 'pending', gate: null }],
];

test.each(STATES)('the mark of %s is one character that is an emoji by itself', (_, state) => {
  expect(markState(state)).toMatch(/^\p{Emoji_Presentation}$/u);
});

test('an undecided metric that blocks decides the mark beside a regression that only warns', () => {
  const gate = { ...blocking, exitCode: EXIT_CODES.undecided };
  expect(markState({ phase: 'completed', verdict: 'regression', gate })).toBe(
    markState({ phase: 'completed', verdict: 'undecided', gate }),
  );
});

test('each state has its own mark', () => {
  expect(new Set(STATES.map(([, state]) => markState(state))).size).toBe(STATES.length);
});

test('the page of the templates lists the marks, and no others', () => {
  const page = readFileSync(new URL('../../../templates/README.md', import.meta.url), 'utf8');
  const listed = [...page.matchAll(/^\| (\p{Emoji_Presentation}) \|/gmu)].map(([, mark]) => mark);
  expect(listed).toEqual(STATES.map(([, state]) => markState(state)));
});
