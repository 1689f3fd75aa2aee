import { expect, test } from '@jest/globals';
import { parseDueEntries } from './entries.ts';

const ENTRY = { pullRequest: 7, commit: 'a'.repeat(40), taskIds: ['1'.repeat(32)], state: 'ended' };

test('entries are read, with or without a pull request', () => {
  const push = { ...ENTRY, pullRequest: null, commit: 'b'.repeat(64), state: 'running' };
  const twice = { ...ENTRY, taskIds: [...ENTRY.taskIds, ...ENTRY.taskIds], state: 'timeout', more: 1 };
  expect(parseDueEntries(JSON.stringify([ENTRY, push, twice]))).toEqual([
    { pullRequest: 7, commit: 'a'.repeat(40), taskIds: ['1'.repeat(32)] },
    { pullRequest: undefined, commit: 'b'.repeat(64), taskIds: ['1'.repeat(32)] },
    { pullRequest: 7, commit: 'a'.repeat(40), taskIds: ['1'.repeat(32)] },
  ]);
  expect(parseDueEntries(' [] ')).toEqual([]);
});

test.each(['', 'no JSON', 'null', '{}', '"[]"', '7', JSON.stringify(ENTRY)])('%s is not a list', (text) => {
  expect(() => parseDueEntries(text)).toThrow('--due is not a JSON list');
});

test.each<[string, unknown]>([
  ['null', null],
  ['a list', [ENTRY]],
  ['no pull request', { ...ENTRY, pullRequest: undefined }],
  ['pull request 0', { ...ENTRY, pullRequest: 0 }],
  ['half a pull request', { ...ENTRY, pullRequest: 7.5 }],
  ['a pull request as a text', { ...ENTRY, pullRequest: '7' }],
  ['a path as the pull request', { ...ENTRY, pullRequest: '7/../../../user' }],
  ['a short commit', { ...ENTRY, commit: 'abc' }],
  ['a branch as the commit', { ...ENTRY, commit: 'main' }],
  ['no tasks', { ...ENTRY, taskIds: [] }],
  ['a task that is none', { ...ENTRY, taskIds: ['1'.repeat(32), '../1'] }],
  ['tasks as a text', { ...ENTRY, taskIds: '1'.repeat(32) }],
  ['an unknown state', { ...ENTRY, state: 'done' }],
  ['a state as a list', { ...ENTRY, state: ['ended'] }],
])('an entry with %s is refused', (_, entry) => {
  expect(() => parseDueEntries(JSON.stringify([ENTRY, entry]))).toThrow(
    '--due has something else as entry 2',
  );
});
