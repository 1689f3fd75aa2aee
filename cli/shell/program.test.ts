import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { formatAnnotation, neutralizeCommands } from './program.ts';

/** What the runner obeys: `::command::` after leading blanks, `##[command]` anywhere (actions/runner, ActionCommand.cs). */
function isCommand(line: string): boolean {
  return /^[\s\u0085]*::/.test(line) || line.includes('##[');
}

test.each([
  '::error::x',
  '  ::add-mask::x',
  '\t::set-output name=a::b',
  'text ##[error]x',
  '##[[group]]',
  '::::',
  '\u0085 ::error::x',
])('%j is no command any more', (line) => {
  expect(isCommand(neutralizeCommands(line))).toBe(false);
});

test('no line of any text is a command afterwards, and nothing but invisible signs was added', () => {
  const piece = fc.constantFrom(
    '::',
    '#',
    '##[',
    '[',
    ' ',
    '\n',
    '\r',
    '\r\n',
    'error',
    ':',
    '\u200b',
    '\u00a0',
    '\u0085',
    '\ufeff',
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => {
      const text = pieces.join('');
      const safe = neutralizeCommands(text);
      for (const line of safe.split(/\r\n|\n|\r/)) expect(isCommand(line)).toBe(false);
      expect(safe.replaceAll('\u200b', '')).toBe(text.replaceAll('\u200b', ''));
    }),
    { numRuns: 1000 },
  );
});

test('an annotation is one line whatever its message and its place hold', () => {
  expect(formatAnnotation('error', '100% wrong\n::error::x', { file: 'a,b:c.py', line: 3 })).toBe(
    '::error file=a%2Cb%3Ac.py,line=3::100%25 wrong%0A::error::x',
  );
  fc.assert(
    fc.property(fc.string(), fc.string({ minLength: 1 }), (message, file) => {
      expect(formatAnnotation('warning', message, { file })).not.toMatch(/[\r\n]/);
    }),
  );
});
