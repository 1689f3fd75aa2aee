import { expect, test } from '@jest/globals';
import { formatMarker, formatOlderKey, hasMarker, readOlderTaskName } from './comments.ts';

test.each(['train', '', 'a b', 'x --> <b>', '--', '%', 'ü\n|', '\ud800', 'a'.repeat(500)])(
  'the key %j is found again, and only it',
  (key) => {
    const marker = formatMarker(key);
    expect(marker).toMatch(/^<!-- [^<>\n]*[^-\n] -->$/);
    expect(hasMarker(`${marker}\r\ntext`, marker)).toBe(true);
    expect(hasMarker(marker, formatMarker(`${key}x`))).toBe(false);
  },
);

test('a marker that is quoted, or stands elsewhere, does not count', () => {
  const marker = formatMarker('train');
  expect(hasMarker(`> ${marker}\nreply`, marker)).toBe(false);
  expect(hasMarker(`text\n${marker}`, marker)).toBe(false);
  expect(hasMarker('', marker)).toBe(false);
});

test('workflow, job and task name make the key of version 0.1, and do not run into each other', () => {
  const key = (workflow: string | undefined, job: string | undefined, taskName: string) =>
    formatOlderKey({ workflow, job, taskName });
  expect(key('a', 'b', 'c')).not.toBe(key('ab', '', 'c'));
  expect(key(undefined, undefined, 'c')).toBe(key('', '', 'c'));
});

test.each(['train', 'a b', 'x --> <b>', '--', '%', 'ü\n|', ''])(
  'the task name %j is read from a marker of version 0.1',
  (taskName) => {
    const marker = formatMarker(formatOlderKey({ workflow: 'CI', job: 'train', taskName }));
    expect(readOlderTaskName(`${marker}\r\ntext`)).toBe(taskName);
  },
);

test.each([
  '',
  'text',
  formatMarker('a key'),
  formatMarker('two\nlines'),
  '<!-- clearml-ci-cd comment: %E0%A4 -->',
])('no task name is read from %j', (body) => {
  expect(readOlderTaskName(body)).toBeUndefined();
});
