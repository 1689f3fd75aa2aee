import { expect, test } from '@jest/globals';
import { makeReport, makeReportedTask } from '../../dev/made-up-report.ts';
import { EXIT_CODES } from '../../shell/failure.ts';
import { chooseState } from './status.ts';

const report = makeReport([makeReportedTask()]);

test.each([
  ['a regression that blocks', 'regression', 'regression', 'failure'],
  ['a regression that only warns', 'regression', 'done', 'success'],
  [
    'an undecided metric that blocks, beside a regression that only warns',
    'regression',
    'undecided',
    'error',
  ],
  ['an undecided metric that blocks', 'undecided', 'undecided', 'error'],
] as const)('the state of %s', (_, verdict, exit, state) => {
  const gate = { alpha: 0.05, exitCode: EXIT_CODES[exit], metrics: [] };
  expect(chooseState({ ...report, verdict, gate })).toBe(state);
});
