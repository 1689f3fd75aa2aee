import { expect, test } from '@jest/globals';
import { formatAgentCommand, formatCompareUrl } from './task.ts';

test.each([
  ['default', 'default'],
  ['gpu-a100_40', 'gpu-a100_40'],
  ['GPU queue', "'GPU queue'"],
  ["ada's; rm -rf ~", "'ada'\\''s; rm -rf ~'"],
  ['two\nlines\u001b[31m', "'two lines'"],
  ['-x', "'-x'"],
])('the name of the queue %j is one word of the command', (name, word) => {
  expect(formatAgentCommand(name)).toBe(`clearml-agent daemon --queue ${word}`);
});

const listTasks = (letter: string, count: number) =>
  Array.from({ length: count }, (_, index) => ({ id: `${letter}${index}`, projectId: 'p' }));

test.each([
  ['2.34', 'compare-tasks'],
  ['2.31', 'compare-tasks'],
  ['2.30', 'compare-experiments'],
  [undefined, 'compare-tasks'],
])('a server of API %s compares tasks at %s', (apiVersion, page) => {
  expect(formatCompareUrl('https://app', listTasks('a', 1), listTasks('b', 1), apiVersion)).toBe(
    `https://app/projects/p/${page};ids=a0,b0/scalars/graph`,
  );
});

test.each([
  ['2.34', 100],
  ['2.24', 100],
  ['2.23', 10],
])('a server of API %s compares at most %d tasks, of both sides', (apiVersion, limit) => {
  const url = formatCompareUrl('https://app', listTasks('a', 90), listTasks('b', 90), apiVersion);
  const ids = /ids=([^/]*)/.exec(url ?? '')?.[1]?.split(',');
  expect(ids).toHaveLength(limit);
  expect(ids?.slice(0, 2)).toEqual(['a0', 'b0']);
});

test('seeds of unequal numbers are all compared; one side alone, or one task, is not', () => {
  const few = listTasks('b', 1);
  expect(formatCompareUrl('', listTasks('a', 3), few, undefined)).toContain('ids=a0,b0,a1,a2/');
  expect(formatCompareUrl('', listTasks('a', 3), [], undefined)).toBeUndefined();
  expect(formatCompareUrl('', [], few, undefined)).toBeUndefined();
  expect(formatCompareUrl('', few, few, undefined)).toBeUndefined();
  expect(formatCompareUrl('', [{ id: 'a', projectId: undefined }], few, undefined)).toMatch(
    /^\/projects\/\*\//,
  );
});
