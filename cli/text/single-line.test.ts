import { expect, test } from '@jest/globals';
import { stripAnsi, toSingleLine } from './single-line.ts';

test.each([
  ['a colour', '\u001b[31mred\u001b[0m', 'red'],
  ['a colour with parameters after colons', '\u001b[38:2::1:2:3mred\u001b[m', 'red'],
  ['a window title that holds blanks', '\u001b]0;my title\u0007text', 'text'],
  ['a link', '\u001b]8;;https://a.example/b c\u001b\\link\u001b]8;;\u001b\\', 'link'],
  ["a character set, as tput's sgr0 selects it", '\u001b(B\u001b[mtext', 'text'],
  ['a cursor that is saved', '\u001b7text\u001b8', 'text'],
  ['a sequence that begins with a C1 control', '\u009b31mred', 'red'],
])('%s is removed whole', (_, text, expected) => {
  expect(stripAnsi(text)).toBe(expected);
});

test('line ends and other controls become one blank, and a long text is cut', () => {
  expect(toSingleLine(' a\r\n\u0000b\u2028c\u0085 ')).toBe('a b c');
  expect(toSingleLine('abcdef', 4)).toBe('abc…');
});
