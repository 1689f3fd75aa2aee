import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { toEvidence } from '../dev/failure-consoles.ts';
import { findPython } from '../dev/required-tools.ts';
import { recogniseFailure } from './cause/cause.ts';
import { splitLogLines } from './console-log.ts';

const FOLDER = fileURLToPath(new URL('fixtures/failure-consoles/python/', import.meta.url));

/** What each program is to be told of. */
const EXPECTED: Readonly<Record<string, readonly [message: string, place: string | undefined]>> = {
  'atexit.py': ['ValueError: learning rate is negative', 'atexit.py:5'],
  'del.py': ['ValueError: learning rate is negative', 'del.py:5'],
  'exit_msg.py': ['no data in /data: run download.py first', undefined],
  'inner.py': ['ValueError: learning rate is negative', 'inner.py:1'],
  'mp.py': ['ValueError: learning rate is negative', 'mp.py:2'],
  'multi.py': ['ValueError: shape mismatch:', 'multi.py:1'],
  'sub.py': ['ValueError: learning rate is negative', 'inner.py:1'],
  'thread.py': ['ValueError: learning rate is negative', 'thread.py:6'],
};

/** What a program wrote, in the pieces in which it arrived: an agent sees them so, where it looks in between. */
async function run(python: string, name: string): Promise<readonly string[]> {
  const pieces: string[] = [];
  const child = execFile(python, ['-u', `${FOLDER}${name}`], { cwd: FOLDER });
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (text: string) => pieces.push(text));
  const exitCode = await new Promise((resolve) => child.on('close', resolve));
  expect(exitCode).toBe(1);
  return pieces;
}

/** The log as an agent sends it: the repository lies in its folder, and a line that it saw half written is two. */
function deliver(pieces: readonly string[]): string[] {
  const inCheckout = (text: string) =>
    text
      .replaceAll(FOLDER, '/root/.clearml/venvs-builds/3.11/task_repository/digits.git/')
      .replaceAll(dirname(FOLDER), '/srv');
  return [
    'Environment setup completed successfully',
    'Starting Task Execution:',
    '',
    ...pieces.flatMap((piece) => splitLogLines(inCheckout(piece))),
    'Process failed, exit code 1',
  ];
}

describe('of a program that real Python runs, the exception that ended it is told, at its line:', () => {
  let python: string;
  beforeAll(async () => {
    python = (await findPython()).executable;
  });

  test('all programs are looked at', () => {
    expect(Object.keys(EXPECTED).sort()).toEqual(readdirSync(FOLDER).sort());
  });

  test.each(Object.entries(EXPECTED))('%s', async (name, [message, place]) => {
    const pieces = await run(python, name);
    // As one text, and cut at each place where Python itself may pause.
    for (const log of [deliver([pieces.join('')]), deliver(pieces)]) {
      const cause = recogniseFailure(toEvidence({ exitCode: 1, log }));
      expect(cause.message).toContain(message);
      expect(cause.file && `${cause.file}:${cause.line}`).toBe(place);
      expect(cause.kind).toBe('training');
    }
  });
});
