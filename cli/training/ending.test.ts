import { expect, test } from '@jest/globals';
import { type EndingKind, explainEnding, noteEnding, readEnding } from './ending.ts';

const NOW_MS = Date.UTC(2026, 0, 1);

test.each<[EndingKind, string, string, string]>([
  ['timeout', '1h', 'timeout', 'the time-out of 1h passed before the training had ended'],
  ['queue-timeout', '30m', 'never-started', 'the task never started: the queue time-out of 30m passed'],
  ['superseded', 'a'.repeat(40), 'stopped', 'the task was superseded by commit aaaaaaaaaa'],
  ['cancelled', '1000', 'stopped', 'the task was cancelled with workflow run 1000'],
  ['closed', '7', 'stopped', 'the task was ended with pull request 7, which was closed'],
  ['aborted', '', 'stopped', 'the task was aborted by check-task-running --abort'],
  ['aborted', 'workflow run 7', 'stopped', 'the task was aborted by workflow run 7'],
  ['withdrawn', '', 'stopped', 'the task was taken back, because its launch did not succeed'],
])('%s is told as what we did', (kind, by, causeKind, message) => {
  const ending = readEnding(noteEnding({ kind, by }, NOW_MS), NOW_MS - 60_000);
  expect(ending).toEqual({ kind, by, url: undefined });
  expect(ending && explainEnding(ending)).toMatchObject({ kind: causeKind, message });
});

test('an ending does not hold for a task that was launched again since', () => {
  const runtime = noteEnding({ kind: 'timeout', by: '1h' }, NOW_MS);
  expect(readEnding(runtime, undefined)).toBeDefined();
  // An agent's start-up may overwrite the first stop.
  expect(readEnding(runtime, NOW_MS + 5000)).toBeDefined();
  expect(readEnding(runtime, NOW_MS + 3_600_000)).toBeUndefined();
});

test.each(['', 'null', '{"kind":"toString","by":"","atMs":1}', '{"kind":"timeout"}', '[1]', 'timeout'])(
  '%j is no ending',
  (text) => {
    expect(readEnding({ ci_ended: text }, undefined)).toBeUndefined();
  },
);

test('what stands in runtime may be anybody’s: it stays one line, and a link leads to a page', () => {
  const note = { kind: 'cancelled', by: '1\n::error::x', url: 'javascript:alert(1)', atMs: NOW_MS };
  const ending = readEnding({ ci_ended: JSON.stringify(note) }, undefined);
  expect(ending?.by).not.toContain('\n');
  expect(ending?.url).toBeUndefined();
});
