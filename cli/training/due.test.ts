import { describe, expect, test } from '@jest/globals';
import { type Due, formatDue, keyOfDue, listDues, listOpenDues, REPORTED_TAG, tagReported } from './due.ts';

const COMMIT = 'a'.repeat(40);

const due: Due = {
  to: 7,
  commit: COMMIT,
  launch: 'l-1',
  count: 3,
  seedsTag: 'seeds:0a1b2c3d',
  reused: ['e'.repeat(32)],
  runId: '11',
  base: undefined,
  atMs: 1_000,
  timeoutMs: 3_600_000,
  queueTimeoutMs: 60_000,
  retries: 1,
  settings: '.github/clearml-ci.yml',
  context: 'ClearML',
  isDetached: true,
};
const pushed: Due = {
  ...due,
  to: COMMIT,
  base: { event: 'push', branch: 'main', previous: 'b'.repeat(40) },
  runId: undefined,
  settings: undefined,
  context: undefined,
  isDetached: false,
};

function note(...dues: readonly Due[]): Record<string, string> {
  return Object.fromEntries(dues.map((one) => [keyOfDue(one.to), formatDue(one)]));
}

describe('what is due', () => {
  test('is read as it was noted, for each pull request and each commit apart', () => {
    expect(listDues({ ...note(due, { ...due, to: 8 }, pushed), ci_due: 'x', ci_use_7: 'y' })).toEqual([
      due,
      { ...due, to: 8 },
      pushed,
    ]);
  });

  test('is open until its report is tagged', () => {
    const runtime = note(due, { ...due, to: 8 });
    const openTo = (...tags: string[]) => listOpenDues({ runtime, tags }).map(({ to }) => to);
    expect(openTo()).toEqual([7, 8]);
    expect(openTo(tagReported(7))).toEqual([8]);
    expect(openTo(tagReported(7), tagReported(8))).toEqual([]);
    expect(openTo(REPORTED_TAG)).toEqual([]);
  });

  test('is nothing where the note is not ours: a training can write it too', () => {
    const { to: _to, ...value } = due;
    const bad = [
      'no JSON',
      '[]',
      ...[
        { commit: 'main' },
        { launch: '' },
        { count: 0 },
        { count: 2.5 },
        { count: 1e308 },
        { timeoutMs: '1h' },
        { atMs: null },
        { base: { event: 'push', branch: 'main' } },
      ].map((wrong) => JSON.stringify({ ...value, ...wrong })),
    ];
    for (const text of bad) expect([text, listDues({ ci_due_7: text })]).toEqual([text, []]);
    // A commit's note names its own commit, and the branch.
    const own = JSON.parse(formatDue(pushed));
    const key = keyOfDue(COMMIT);
    expect(listDues({ [key]: JSON.stringify({ ...own, commit: 'c'.repeat(40) }) })).toEqual([]);
    expect(listDues({ [key]: JSON.stringify({ ...own, base: undefined }) })).toEqual([]);
    const half = { ...own.base, branch: '\ud800' };
    expect(listDues({ [key]: JSON.stringify({ ...own, base: half }) })).toEqual([]);
    expect(listDues({ ci_due_0: formatDue(due), ci_due_07: formatDue(due) })).toEqual([]);
    expect(listDues({ [key]: JSON.stringify({ ...own, context: 'a\nb' }) })).toMatchObject([
      { context: undefined },
    ]);
  });
});
