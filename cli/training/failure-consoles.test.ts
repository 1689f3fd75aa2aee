import { describe, expect, test } from '@jest/globals';
import { readFailureConsoles, toEvidence } from '../dev/failure-consoles.ts';
import { recogniseFailure } from './cause/cause.ts';
import { findTraceback } from './cause/traceback.ts';

describe('the cause is told where the console of a real library hides it:', () => {
  const consoles = readFailureConsoles();

  test.each(consoles.map((shown) => [shown.name, shown] as const))('%s', (_name, shown) => {
    const { kind, file, line, messageHas = '', adviceHas = '' } = shown.want;
    const cause = recogniseFailure(toEvidence(shown));
    expect({ kind: cause.kind, file: cause.file ?? null, line: cause.line ?? null }).toEqual({
      kind,
      file,
      line,
    });
    expect(cause.message).toContain(messageHas);
    expect(cause.advice).toContain(adviceHas);
  });

  test.each(['torchrun: a rank aborts', 'the kernel says so', 'thrust aborts'])(
    'the lines that show it are told where no traceback does: %s',
    (name) => {
      const shown = consoles.find((one) => one.name === name);
      const { lines } = shown === undefined ? {} : recogniseFailure(toEvidence(shown));
      expect(shown?.log[lines?.first ?? -1]).toMatch(/^terminate called|Killed process/);
    },
  );

  test('no two have the same name', () => {
    expect(new Set(consoles.map(({ name }) => name)).size).toBe(consoles.length);
  });
});

describe('a console that means harm costs a time that grows with its length only:', () => {
  const header = 'Traceback (most recent call last):';
  const frame = '  File "/x/task_repository/digits/train.py", line 7, in f';
  const repeat = (count: number, ...lines: string[]) => Array.from({ length: count }, () => lines).flat();

  /** The shortest of several runs, in ms of the processor: what else the machine does only adds to it. */
  function measure(lines: readonly string[]): number {
    const evidence = toEvidence({ exitCode: 1, log: lines });
    const run = () => {
      const before = process.cpuUsage();
      recogniseFailure(evidence);
      const { user, system } = process.cpuUsage(before);
      return (user + system) / 1000;
    };
    return Math.min(...Array.from({ length: 3 }, run));
  }

  test.each<[string, (size: number) => string[]]>([
    ['a line of megabytes', (size) => ['Starting Task Execution:', 'A.'.repeat(size * 1000)]],
    ['a line of headers', (size) => [`${header} `.repeat(size * 100), header]],
    [
      'a line of paths',
      (size) => ["[Errno 2] No such file or directory: '/task_repository/".repeat(size * 100)],
    ],
    ['tracebacks', (size) => repeat(size * 10, header, frame, '    code', 'ValueError: x')],
    ['headers without an end', (size) => repeat(size * 20, header)],
    ['frames without a header', (size) => repeat(size * 20, frame)],
    ['an endless message', (size) => [header, frame, 'ValueError: x', ...repeat(size * 40, 'A.B.c: d')]],
    ['names without an end', (size) => [header, frame, ...repeat(size * 10, `${'A.'.repeat(900)}?`)]],
    [
      'exceptions raised from each other',
      (size) =>
        repeat(
          size * 10,
          header,
          frame,
          'torch.distributed.elastic.multiprocessing.errors.ChildFailedError: ',
          'Root Cause (first observed failure):',
          '',
          'The above exception was the direct cause of the following exception:',
          '',
        ),
    ],
    [
      'prefixes',
      (size) =>
        Array.from({ length: size * 10 }, (_, index) => [`p${index} ${header}`, `p${index} ${frame}`]).flat(),
    ],
    ['ranks', (size) => Array.from({ length: size * 10 }, (_, index) => `[rank${index}]: ${header}`)],
    [
      'groups',
      (size) =>
        repeat(
          size * 10,
          `  + Exception Group ${header}`,
          `  | ${frame}`,
          '  | ExceptionGroup: x (1 sub-exception)',
          `    | ${header}`,
          '    | ValueError: x',
        ),
    ],
    [
      'boxes',
      (size) => repeat(size * 10, `╭── ${header.slice(0, -1)} ──╮`, `│ ${'/a'.repeat(40)} │`, '│ ││ │'),
    ],
    ['children', (size) => repeat(size * 10, 'Process Process-1:', header, frame, 'BrokenPipeError: x')],
    ['progress', (size) => repeat(size * 10, header, frame, 'ValueError: worker failed', 'epoch 3')],
  ])('%s', (_name, build) => {
    const [small, large] = [build(20), build(160)];
    measure(small);
    // Eight times the size: 64 times the time if it grew with the square.
    expect(measure(large) / Math.max(1, measure(small))).toBeLessThan(30);
  });

  test('and shows no exception that is none', () => {
    expect(findTraceback(['  File "x.py", line 3', 'x'], '.')).toBeUndefined();
    expect(findTraceback([header, header], '.')).toBeUndefined();
  });
});
