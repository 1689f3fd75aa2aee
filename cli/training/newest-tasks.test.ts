import { expect, test } from '@jest/globals';
import { type Candidate, chooseNewestTasks } from './newest-tasks.ts';

const OF = { pipeline: 'p', pullRequest: 7 };

function make(
  id: string,
  createdAtMs: number,
  more: Partial<Candidate> & { runtime?: object } = {},
): Candidate {
  return {
    id,
    createdAtMs,
    status: 'completed',
    statusReason: '',
    queueId: undefined,
    tags: [],
    commit: 'c1',
    ...more,
    runtime: {
      ci_pipeline: 'p',
      ci_pull_request: '7',
      ci_key: `key of ${id}`,
      ci_launch: id,
      ...more.runtime,
    },
  };
}

const choose = (tasks: readonly Candidate[], head?: string) => chooseNewestTasks(tasks, OF, head);

test('the newest is chosen, whatever the order of the answer', () => {
  expect(choose([make('a', 1), make('c', 3), make('b', 2)])).toEqual([['c']]);
  expect(choose([])).toEqual([]);
});

test('what the server sends beyond the question does not count', () => {
  const others = [
    make('pipeline', 5, { runtime: { ci_pipeline: 'q' } }),
    make('none', 5, { runtime: { ci_pipeline: '' } }),
    make('pull', 5, { runtime: { ci_pull_request: '77' } }),
    make('tag', 5, { runtime: { ci_pull_request: '77' }, tags: ['pr:77', 'pr:70'] }),
    make('use', 5, { runtime: { ci_pull_request: '77', ci_use_77: 'c1 topic' } }),
  ];
  expect(choose(others)).toEqual([]);
});

test('tasks that the pull request has reused count, by their tag or what they note', () => {
  const reused = { ci_pull_request: '3' };
  expect(choose([make('a', 1, { runtime: reused, tags: ['pr:7'] })])).toEqual([['a']]);
  expect(choose([make('a', 1, { runtime: { ...reused, ci_use_7: 'c9 topic' } })])).toEqual([['a']]);
});

test('those of the head commit come before newer ones, also where they were trained for another commit', () => {
  const tasks = [make('a', 1), make('b', 2, { commit: 'c2' })];
  expect(choose(tasks, 'c1')).toEqual([['a']]);
  expect(choose(tasks, 'c3')).toEqual([['b']]);
  expect(choose([make('a', 1, { runtime: { ci_use_7: 'c3 topic' } }), ...tasks.slice(1)], 'c3')).toEqual([
    ['a'],
  ]);
});

test('all seeds of a launch are chosen, oldest first, with those that it reused', () => {
  const launch = { runtime: { ci_launch: 'l' } };
  expect(choose([make('a', 1, launch), make('b', 2, launch), make('z', 0)])).toEqual([['a', 'b']]);
  const seeds = { tags: ['seeds:12345678'] };
  expect(choose([make('a', 1, seeds), make('b', 2, seeds), make('z', 0)])).toEqual([['a', 'b']]);
});

test('a repeated training counts once, as the newest', () => {
  const again = { tags: ['seeds:12345678'], runtime: { ci_key: 'k' } };
  expect(choose([make('a', 1, again), make('b', 2, again)])).toEqual([['b']]);
});

test('each leg of a matrix has its newest, the leg of the newest first', () => {
  const leg = (name: string) => ({ runtime: { ci_leg: name } });
  const tasks = [make('a', 1, leg('1')), make('b', 2, leg('2')), make('c', 3, leg('1')), make('d', 0)];
  expect(choose(tasks)).toEqual([['c'], ['b'], ['d']]);
});

test('a draft that was never queued counts only where there is nothing else', () => {
  const draft = make('draft', 9, { status: 'created' });
  expect(choose([draft, make('a', 1)])).toEqual([['a']]);
  expect(choose([draft])).toEqual([['draft']]);
  expect(choose([make('dequeued', 9, { status: 'created', queueId: 'q' }), make('a', 1)])).toEqual([
    ['dequeued'],
  ]);
});
