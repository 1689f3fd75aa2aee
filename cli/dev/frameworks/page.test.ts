import { readdirSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { readFixture } from './fixture-file.ts';
import { readTable } from './page.ts';
import type { HyperParams } from './recorder.ts';

// The tables of the page for users, held to what the real libraries did: recorded by `npm run test:frameworks`.

interface Recording {
  readonly case: string;
  readonly sent: ReadonlyArray<{ readonly name: string; readonly value: string; readonly type?: string }>;
  readonly exitCode: number;
  readonly trainedWith?: Readonly<Record<string, unknown>>;
  readonly hyperparams: HyperParams;
}

/** Front ends by the name that the page has for them. */
const FRONT_ENDS: Readonly<Record<string, string>> = {
  argparse: 'argparse-plain',
  'argparse, subparsers': 'argparse-subparsers',
  'click, one command': 'click-command',
  'click, group': 'click-group',
  typer: 'typer-plain',
  fire: 'fire-function',
  Hydra: 'hydra-plain',
  'jsonargparse, parser': 'jsonargparse-parser',
  'jsonargparse, `auto_cli`': 'jsonargparse-auto-cli',
  absl: 'absl-flags',
  'simple-parsing': 'simple-parsing',
  'pydantic-settings': 'pydantic-settings',
  '`task.connect`': 'connect',
  '`task.get_parameter`': 'get-parameter',
};

const readRecordings = (frontEnd: string) =>
  (readFixture(`frontends/${frontEnd}`) as { recordings: Recording[] }).recordings;

const rows = readTable('## Params');

test('the page has a row for each front end', () => {
  expect(rows.map(([name]) => name)).toEqual(Object.keys(FRONT_ENDS));
});

test.each(rows)('%s does what the page says', (label, arrives, name, others, typo) => {
  const recordings = readRecordings(FRONT_ENDS[label ?? ''] ?? '');
  const find = (title: string) => recordings.find((recording) => recording.case === title);
  expect({ arrives, others, typo }).toEqual({
    arrives: describeValue(find('one')?.trainedWith?.lr),
    others: describeOthers(recordings, name ?? ''),
    typo: describeExit((find('hydra, typo') ?? find('defines, typo') ?? find('typo'))?.exitCode),
  });
  const reached = recordings.filter(({ trainedWith }) => Number(trainedWith?.lr) === 0.5);
  if (name === 'none') expect(reached).toEqual([]);
  else expect(reached.flatMap(({ sent }) => sent.map(formatName))).toContain(name);
});

const formatName = ({ name, type }: Recording['sent'][number]) =>
  `\`${name}${type === undefined ? '' : `:${type}`}\``;

function describeValue(value: unknown): string {
  if (value === '0.5') return 'as text';
  return value === 0.5 ? 'yes' : 'no';
}

/** By the seed, where only the rate was given by the name that reaches the training. */
function describeOthers(recordings: readonly Recording[], name: string): string {
  const reached = recordings.filter(
    ({ sent, trainedWith }) =>
      trainedWith !== undefined &&
      !sent.some((param) => /seed$/.test(param.name)) &&
      (name === 'none' || sent.some((param) => formatName(param) === name)),
  );
  expect(reached).not.toEqual([]);
  return reached.every(({ trainedWith }) => trainedWith?.seed === 0) ? 'yes' : '**no**';
}

function describeExit(exitCode: number | undefined): string {
  return exitCode === 0 ? 'silent' : `exit code ${exitCode}`;
}

describe('what is recorded', () => {
  const files = readdirSync(new URL('../../training/fixtures/frontends/', import.meta.url));
  const frontEnds = files.filter((file) => file.endsWith('.json')).map((file) => file.replace('.json', ''));

  // Those whose code has the last word.
  const others = frontEnds.filter(
    (name) => !/^(?:seed-overwritten|seed-logged|transformers-arguments)$/.test(name),
  );

  test.each(others)('%s leaves what was sent as it is, with no type but "str"', (frontEnd) => {
    for (const { sent, hyperparams } of readRecordings(frontEnd))
      for (const { name, value, type } of sent) {
        const [section = '', ...rest] = name.split('/');
        const own = hyperparams[section]?.[rest.join('/')] as { value?: string; type?: string } | undefined;
        expect([name, own?.value]).toEqual([name, value]);
        expect([undefined, type, 'str']).toContain(own?.type);
      }
  });
});
