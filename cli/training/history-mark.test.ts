import { describe, expect, test } from '@jest/globals';
import {
  chooseMarks,
  type HistoryMark,
  isHistoryMark,
  listMarkedCommits,
  listMarks,
  matchMarked,
} from './history-mark.ts';
import { RUNTIME_KEYS } from './task.ts';

const sha = (name: string) => name.repeat(40);

function reuse(
  tags: readonly string[],
  mark: Partial<HistoryMark> = {},
  task: { readonly commit?: string; readonly event?: string; readonly isSafe?: boolean } = {},
) {
  const { commit = sha('9'), event = 'pull_request', isSafe = true } = task;
  return chooseMarks(
    { commit, tags, runtime: { [RUNTIME_KEYS.event]: event }, isSafe },
    { branch: 'main', commit: sha('c'), previous: sha('b'), isTreeKnown: false, ...mark },
  );
}

describe('a task that a branch reuses', () => {
  test.each<[string, Parameters<typeof reuse>, readonly string[], (readonly string[])?]>([
    ['gets the commit', [['pr:7']], [`base:main:${sha('c')}`]],
    ['gets nothing where its own commit says it', [[], {}, { commit: sha('c'), event: 'push' }], []],
    ['gets nothing where the tree says it', [[], { isTreeKnown: true }, { event: 'push' }], []],
    [
      'gets the commit though its tree says it, where a pull request trained it: it is none’s trial any more',
      [[], { isTreeKnown: true }],
      [`base:main:${sha('c')}`],
    ],
    [
      'gets the commit though its tree says it, where a pull request could end it',
      [[], { isTreeKnown: true }, { event: 'push', isSafe: false }],
      [`base:main:${sha('c')}`],
    ],
    [
      'gets the commit though its own says it, where it was a trial',
      [[], {}, { commit: sha('c'), event: 'workflow_dispatch' }],
      [`base:main:${sha('c')}`],
    ],
    ['gets nothing twice', [[`base-until:main:${sha('c')}`]], []],
    ['gets another for another branch', [[`base:next:${sha('c')}`]], [`base:main:${sha('c')}`]],
    [
      'whose own commit was the one before, gets a last one',
      [[], {}, { commit: sha('b') }],
      [`base-until:main:${sha('c')}`],
    ],
    [
      'whose first commit was the one before, gets a last one',
      [[`base:main:${sha('b')}`]],
      [`base-until:main:${sha('c')}`],
    ],
    [
      'whose last commit was the one before, gets another last one instead',
      [[`base:main:${sha('a')}`, `base-until:main:${sha('b')}`]],
      [`base-until:main:${sha('c')}`],
      [`base-until:main:${sha('b')}`],
    ],
    [
      'to which the branch comes back, gets a first one again',
      [[`base:main:${sha('1')}`, `base-until:main:${sha('2')}`]],
      [`base:main:${sha('c')}`],
    ],
    [
      'that a trial of the commit before left, gets a first one',
      [[], {}, { commit: sha('b'), event: 'workflow_dispatch' }],
      [`base:main:${sha('c')}`],
    ],
    [
      'of a new branch, gets a first one',
      [[`base:main:${sha('b')}`], { previous: undefined }],
      [`base:main:${sha('c')}`],
    ],
  ])('%s', (_, given, add, remove = []) => {
    const [tags] = given;
    const all = [...tags.filter((tag) => isHistoryMark(tag) && !remove.includes(tag)), ...add];
    expect(reuse(...given)).toEqual({ add, remove, all });
  });

  test('has two tags however often the branch is pushed to, and twenty however often it comes back', () => {
    let tags: string[] = ['pr:7'];
    const apply = (mark: Partial<HistoryMark>) => {
      const { add, remove } = reuse(tags, mark);
      tags = [...tags, ...add].filter((tag) => !remove.includes(tag));
    };
    const commits = Array.from({ length: 300 }, (_, index) => String(index).padStart(40, '0'));
    for (const [index, commit] of commits.entries()) apply({ commit, previous: commits[index - 1] });
    expect(tags).toEqual(['pr:7', `base:main:${commits[0]}`, `base-until:main:${commits.at(-1)}`]);
    for (const commit of commits) apply({ commit: commit.replace(/^0/, 'f'), previous: sha('e') });
    expect(tags).toHaveLength(21);
    expect(tags).toContain('pr:7');
    expect(tags.at(-1)).toBe(`base:main:${commits.at(-1)?.replace(/^0/, 'f')}`);
  });
});

test('marks are told from other tags, and of which branch they are', () => {
  const tags = [`base:main:${sha('a')}`, `base-until:release/2:${sha('b')}`, 'base:main:1', 'base', 'pr:7'];
  expect(tags.filter(isHistoryMark)).toEqual(tags.slice(0, 2));
  expect(listMarkedCommits({ tags, runtime: {} }, 'main')).toEqual([sha('a')]);
  expect(listMarkedCommits({ tags, runtime: {} }, 'release/2')).toEqual([sha('b')]);
});

test('marks are kept in runtime, for a training may replace the tags', () => {
  const marks = [`base:main:${sha('a')}`, `base-until:main:${sha('b')}`];
  const runtime = { [RUNTIME_KEYS.history]: marks.join(' ') };
  expect(listMarks({ tags: ['mine', marks[0] ?? ''], runtime })).toEqual(marks);
  expect(listMarkedCommits({ tags: [], runtime }, 'main')).toEqual([sha('a'), sha('b')]);
  const [one, many] = [`^(${sha('b')})$|${matchMarked(sha('b'))}`, `^x$|${matchMarked(sha('b'), 'other')}`];
  expect(new RegExp(one).test(marks.join(' '))).toBe(true);
  expect(new RegExp(one).test(marks[1] ?? '')).toBe(true);
  expect(new RegExp(one).test(`${marks[1]}0`)).toBe(false);
  expect(new RegExp(many).test(marks.join(' '))).toBe(false);
});
