import { expect, test } from '@jest/globals';
import { condenseComment, createCondenser } from './demo-condenser.ts';

const ID = '4d2f20207cbd34c5e8a1f08bd124a019';

function condense(lines: readonly string[]): string[] {
  const shown: string[] = [];
  const take = createCondenser((line) => shown.push(line));
  for (const line of lines) take(line);
  return shown;
}

test('of a console it shows the first and the last epoch, and no remarks of the SDK', () => {
  expect(
    condense([
      `Created task ${ID} for commit dee219d46a`,
      '  http://127.0.0.1:1/projects/p/tasks/t/output/log',
      '… 217 lines of the agent: settings, clone, environment',
      '',
      '2026-11-24 11:38:34,680 - clearml.resource_monitor - WARNING - Could not fetch GPU stats',
      'epoch 1/30 | train loss 0.4',
      'epoch 2/30 | train loss 0.3',
      'epoch 30/30 | train loss 0.1',
      'test accuracy 0.9694',
      'Traceback (most recent call last):',
    ]),
  ).toEqual([
    'Created task 4d2f2020 for commit dee219d46a',
    '… 217 lines of the agent: settings, clone, environment',
    'epoch 1/30 | train loss 0.4',
    'epoch 30/30 | train loss 0.1',
    'test accuracy 0.9694',
    'Traceback (most recent call last):',
  ]);
});

test('the end of a log, which has been shown, is not shown again', () => {
  expect(
    condense([
      'error: it failed',
      'The last 2 lines of its log:',
      '::stop-commands::t',
      'a',
      '',
      '::t::',
      'b',
    ]),
  ).toEqual(['error: it failed', '… The last 2 lines of its log', 'b']);
});

test('workflow commands are obeyed, not shown; between stop-commands and its token they are text', () => {
  expect(condense(['::group::Log', '::stop-commands::t', '::error::no', '::t::', '::endgroup::'])).toEqual([
    '::error::no',
  ]);
});

test('of a comment it shows what stands above the charts, links without their addresses', () => {
  const comment = [
    '<!-- marker -->',
    '### **Pass**',
    '',
    'commit [`abc`](http://127.0.0.1:1/a)\\',
    '<details open><summary>The gate</summary>',
    '',
    '| a |',
    '</details>',
    '<details open><summary>Curves</summary>',
    '```mermaid',
  ];
  expect(condenseComment(comment.join('\n'))).toEqual(['### **Pass**', 'commit [`abc`]', '| a |']);
});
