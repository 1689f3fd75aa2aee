import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { directory, github, run, setUpComments, trainTask } from './comment-setup.ts';

setUpComments();

describe('templates', () => {
  test('a template of one’s own shapes the comment; values are quoted', async () => {
    writeFileSync(
      join(directory, 'own.md'),
      'Accuracy: {{metric: test_accuracy/accuracy}}, unknown: {{metric: no/such}}\n',
    );
    await run([await trainTask(0.9722), '--template', 'own.md']);
    expect(github.comments(7)[0]?.body.split('\n').slice(1)).toEqual([
      'Accuracy: `0.9722`, unknown: n/a',
      '',
    ]);
  });

  test('an unknown placeholder is exit 2 and lists the known ones', async () => {
    writeFileSync(join(directory, 'own.md'), '{{accuracy}} {{#nothing}}{{deep: er}}{{/nothing}} {{call1}}');
    const { exitCode, stderr } = await run([await trainTask(), '--template', 'own.md']);
    expect(exitCode).toBe(2);
    expect(stderr).toContain('{{accuracy}}, {{nothing}}, {{call1}}, {{deep:}}');
    expect(stderr).toContain('{{lead}}');
  });

  test.each([
    ['own.md', '{{#metrics}}', 'own.md'],
    ['no-such.md', undefined, 'the template no-such.md does not exist'],
  ])('a template that cannot be used is exit 2: %s', async (name, text, expected) => {
    if (text !== undefined) writeFileSync(join(directory, name), text);
    const { exitCode, stderr } = await run([await trainTask(), '--template', name]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain(expected);
  });
});
