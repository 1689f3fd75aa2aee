import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { runProgramHere } from '../dev/program-run.ts';
import { Failure } from './failure.ts';
import { Command, formatAnnotation, neutralizeCommands, runProgram } from './program.ts';

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

describe("the first word of a program's own errors and warnings", () => {
  const createCommand = () =>
    new Command('test').description('a test').option('--error: <x>', 'no error: at all');
  const run = async (env: Readonly<Record<string, string>>, isTerminal: boolean, args: string[] = []) => {
    const { stdout, stderr } = await runProgramHere(
      (world) =>
        runProgram(world, createCommand, async (_, { voice }) => {
          voice.warn('a warning: of ours');
          voice.say('said, error: in the middle\nerror: in another line');
          voice.draw('error: of a training\n');
          throw new Failure('it went wrong', { exitCode: 2, remedy: 'error: is what to do' });
        }),
      { args, env, isTerminal, cwd: '/' },
    );
    return { stdout, lines: stderr.split('\n') };
  };
  const PLAIN = [
    'warning: a warning: of ours',
    'said, error: in the middle',
    'error: in another line',
    'error: of a training',
    'error: it went wrong',
    'error: is what to do',
    '',
  ];
  const COLORED = PLAIN.map((line, index) =>
    line
      .replace(/^warning:/, '\u001b[33mwarning:\u001b[39m')
      .replace(/^error:/, index === 4 ? '\u001b[31merror:\u001b[39m' : 'error:'),
  );

  test.each<readonly [env: Readonly<Record<string, string>>, isTerminal: boolean, lines: readonly string[]]>([
    [{}, true, COLORED],
    [{ TERM: 'xterm' }, true, COLORED],
    [{ NO_COLOR: '' }, true, COLORED],
    [{ FORCE_COLOR: '1', TERM: 'dumb' }, true, COLORED],
    [{ FORCE_COLOR: 'true' }, true, COLORED],
    [{ TERM: 'dumb' }, true, PLAIN],
    [{ FORCE_COLOR: '0' }, true, PLAIN],
    [{ FORCE_COLOR: 'false' }, true, PLAIN],
    [{ NO_COLOR: '1' }, true, PLAIN],
    [{ NO_COLOR: '0', FORCE_COLOR: '3' }, true, PLAIN],
    [{}, false, PLAIN],
    [{ FORCE_COLOR: '1' }, false, PLAIN],
  ])('has colour with %j where it is %j that stderr is a terminal', async (env, isTerminal, lines) => {
    expect((await run(env, isTerminal)).lines).toEqual(lines);
  });

  test('has none in Actions', async () => {
    const { lines } = await run({ GITHUB_ACTIONS: 'true', FORCE_COLOR: '1' }, true);
    expect(lines.join('\n')).not.toContain('\u001b');
  });

  test('is coloured where the command line is wrong, and help is not', async () => {
    expect((await run({}, true, ['--nonsense'])).lines[0]).toBe(
      "\u001b[31merror:\u001b[39m unknown option '--nonsense'",
    );
    const { stdout, lines } = await run({ FORCE_COLOR: '3' }, true, ['--help']);
    expect(stdout + lines.join('')).not.toContain('\u001b');
    expect(stdout).toContain('no error: at all');
  });
});
