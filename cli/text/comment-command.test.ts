import { describe, expect, test } from '@jest/globals';
import { type CommentCommand, parseCommentCommand } from './comment-command.ts';
import { writePlain } from './phrase.ts';

const COMMIT = '0123456789abcdef0123456789abcdef01234567';
const train = (commit?: string, seeds?: string): CommentCommand => ({ name: 'train', commit, seeds });

describe('a comment is a command:', () => {
  test.each<[string, CommentCommand]>([
    ['/train', train()],
    ['  /train \t\r\n', train()],
    ['\r\n\n /train\r\n\r\nplease', train()],
    ['/Train', train()],
    ['/TRAIN', train()],
    ['\ufeff/train\u00a0', train()],
    [`/train ${COMMIT}`, train(COMMIT)],
    [`/train ${COMMIT.toUpperCase()}`, train(COMMIT)],
    [`/train ${COMMIT}${'0'.repeat(24)}`, train(`${COMMIT}${'0'.repeat(24)}`)],
    ['/train 0123456', train('0123456')],
    ['/train --seeds 5', train(undefined, '5')],
    ['/train --seeds=5', train(undefined, '5')],
    ['/train --seeds 1,2,3', train(undefined, '1,2,3')],
    ['/train \u2014seeds 5', train(undefined, '5')],
    [`/train --seeds 5 ${COMMIT}`, train(COMMIT, '5')],
    [`/train ${COMMIT} --seeds=1,2`, train(COMMIT, '1,2')],
    ['/train --seeds $(reboot)', train(undefined, '$(reboot)')],
    ['/abort', { name: 'abort' }],
    ['/Abort  \r\n> quoted', { name: 'abort' }],
    ['/accept the data changed', { name: 'accept', reason: 'the data changed' }],
    ['/accept  -x  --no-gate ', { name: 'accept', reason: '-x  --no-gate' }],
    ['/accept one\ntwo', { name: 'accept', reason: 'one' }],
    ['/accept a\u001b[31m\u0007b\u2028c', { name: 'accept', reason: 'a b c' }],
    ['/accept \u202egood\u200b \ud800', { name: 'accept', reason: 'good \ufffd' }],
  ])('%j', (body, command) => {
    expect(parseCommentCommand(body)).toEqual(command);
  });

  test('a long reason is cut', () => {
    const command = parseCommentCommand(`/accept ${'x'.repeat(60_000)}`);
    expect(command).toEqual({ name: 'accept', reason: expect.stringMatching(/^x{299}…$/) });
  });
});

describe('a comment is none:', () => {
  test.each([
    '',
    ' \n\t\n',
    'Shall we /train this?',
    'LGTM\n/train',
    '> /train',
    '>/train',
    '```\n/train\n```',
    '~~~\n/train\n~~~',
    '    /train',
    '\t/train',
    '`/train`',
    '- /train',
    '<!-- -->\n/train',
    '//train',
    '/ train',
    '/etc/passwd is wrong',
    '/train/',
    '\u200b/train',
    '/1',
    '@bot /train',
  ])('%j', (body) => {
    expect(parseCommentCommand(body)).toBeUndefined();
  });
});

test.each([
  ['/trian', '/trian'],
  ['/Training now', '/Training'],
  ['/train, please', '/train,'],
  ['/lgtm', '/lgtm'],
  ['/x`</code>@octocat', undefined],
  ['/x`<b>@octocat', '/x`<b>@octocat'],
])('another word is told as it was typed: %j', (body, word) => {
  expect(parseCommentCommand(body)).toEqual(word === undefined ? undefined : { name: 'unknown', word });
});

test.each([
  ['/train please', '/train takes the id of one commit and --seeds, not please'],
  [`/train ${COMMIT} ${COMMIT}`, `/train takes the id of one commit and --seeds, not ${COMMIT}`],
  [`/train ${COMMIT}; reboot`, `/train takes the id of one commit and --seeds, not ${COMMIT};`],
  ['/train abc', '/train takes the id of one commit and --seeds, not abc'],
  ['/train --queue gpu', '/train takes the id of one commit and --seeds, not --queue'],
  ['/train --seeds', '--seeds needs a number of seeds or a list of them'],
  ['/train --seeds=', '--seeds needs a number of seeds or a list of them'],
  ['/train --seeds 1 --seeds 2', '--seeds is given twice'],
  ['/abort now', '/abort takes nothing else'],
  ['/accept', '/accept needs a reason'],
  ['/accept \u200b\u2060 ', '/accept needs a reason'],
  ['/accept\nbecause', '/accept needs a reason'],
])('a command with other arguments is a mistake: %j', (body, problem) => {
  const command = parseCommentCommand(body);
  expect(command?.name === 'mistaken' && writePlain(command.problem)).toBe(problem);
});
