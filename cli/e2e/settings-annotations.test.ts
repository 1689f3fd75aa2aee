import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { main as check } from '../check-task-running.ts';
import { main as comment } from '../create-stats-comment.ts';
import { runProgramHere } from '../dev/program-run.ts';
import { main as launch } from '../launch-training-task.ts';

let workspace: string;

beforeEach(() => {
  workspace = mkdtempSync(join(tmpdir(), 'workspace-'));
  mkdirSync(join(workspace, 'service/.github'), { recursive: true });
});

afterEach(() => rmSync(workspace, { recursive: true, force: true }));

const PROGRAMS = [
  ['launch-training-task', launch, ['https://github.com/acme/digits.git', 'main', 'a'.repeat(40)]],
  ['check-task-running', check, ['a'.repeat(32)]],
  ['check-task-running --abort', check, ['--abort', 'a'.repeat(32)]],
  ['create-stats-comment', comment, ['a'.repeat(32)]],
] as const;

/** The annotations in the log, with their places. */
function readAnnotations(log: string) {
  const decode = (text = '') =>
    text.replaceAll('%2C', ',').replaceAll('%3A', ':').replaceAll('%0A', '\n').replaceAll('%25', '%');
  return [...log.matchAll(/^::(\w+)(?: file=([^,:]*)(?:,line=(\d+))?)?::(.*)$/gm)].map(
    ([, level, file, line, message]) => ({
      level,
      ...(file === undefined ? {} : { file: decode(file), line }),
      message: decode(message),
    }),
  );
}

/** Runs the program in the folder `service` of the workspace. */
async function run(
  main: (typeof PROGRAMS)[number][1],
  args: readonly string[],
  settings: { readonly text: string; readonly file?: string },
  env: Readonly<Record<string, string>> = {},
) {
  writeFileSync(join(workspace, 'service', settings.file ?? '.github/clearml-ci.yml'), settings.text);
  const { exitCode, stderr } = await runProgramHere(main, {
    args: settings.file === undefined ? args : [...args, '--config', settings.file],
    cwd: join(workspace, 'service'),
    env: {
      GITHUB_ACTIONS: 'true',
      GITHUB_WORKSPACE: workspace,
      GITHUB_REPOSITORY: 'acme/digits',
      PR_NUMBER: '7',
      GH_TOKEN: 'ghs_x',
      CLEARML_API_HOST: 'http://127.0.0.1:9',
      CLEARML_API_ACCESS_KEY: 'key',
      CLEARML_API_SECRET_KEY: 'secret',
      ...env,
    },
  });
  return { exitCode, stderr, annotations: readAnnotations(stderr) };
}

const FILE = 'service/.github/clearml-ci.yml';
const MISTAKES =
  'project: Team/v2\nqueu: gpu\ntags: [a, __$all]\nparams: { lr: 1, /x: 2 }\nmetrics:\n  - metric: a/b\n    gate: fail\n';

describe('mistakes in the settings file are annotations at their lines', () => {
  test.each(PROGRAMS)('%s', async (_, main, args) => {
    const { exitCode, annotations } = await run(main, args, { text: MISTAKES });
    expect(exitCode).toBe(2);
    expect(annotations).toEqual(
      [
        [1, /^project must have at most 10 parts .* at least 3 characters/],
        [2, /^queu is not a setting; did you mean queue\?$/],
        [3, /^tags\[1\] must not begin with/],
        [4, /^params\.\/x must be a name/],
        [6, /^metrics\[0\]\.goal is required/],
      ].map(([line, message]) => ({
        level: 'error',
        file: FILE,
        line: String(line),
        message: expect.stringMatching(message as RegExp),
      })),
    );
  });

  test.each(PROGRAMS)('%s, those of the syntax too', async (_, main, args) => {
    const { exitCode, annotations } = await run(main, args, { text: 'queue: gpu\nqueue: cpu\nseeds: "1\n' });
    expect(exitCode).toBe(2);
    expect(annotations.length).toBeGreaterThanOrEqual(2);
    for (const one of annotations)
      expect(one).toMatchObject({ level: 'error', file: FILE, line: expect.stringMatching(/^[234]$/) });
  });

  test.each(PROGRAMS)('%s, beside an annotation of everything else', async (_, main, args) => {
    const { annotations } = await run(
      main,
      args,
      { text: 'queu: gpu' },
      { CLEARML_API_SECRET_KEY: '', GITHUB_REPOSITORY: 'x' },
    );
    expect(annotations).toEqual([
      { level: 'error', message: expect.stringMatching(/^CLEARML_API_SECRET_KEY is not set/) },
      { level: 'error', file: FILE, line: '1', message: expect.stringContaining('queu') },
    ]);
    expect(annotations[0]?.message).not.toContain('queu');
  });
});

test('the log lists them all the same, and outside Actions there is no annotation', async () => {
  const { stderr } = await run(launch, [], { text: MISTAKES });
  expect(stderr).toContain(
    'error: .github/clearml-ci.yml has 5 mistakes\n  .github/clearml-ci.yml: line 1: project',
  );
  const outside = await run(launch, PROGRAMS[0][2], { text: MISTAKES }, { GITHUB_ACTIONS: '' });
  expect(outside.stderr).not.toContain('::');
  expect(outside.stderr).toContain('.github/clearml-ci.yml: line 2: queu');
});

test('a name and a key cannot end the annotation, nor begin another', async () => {
  const text = '"a\\n::error file=x::b,%0A": 1\n"##[error]": 1\n';
  const { annotations, stderr } = await run(launch, PROGRAMS[0][2], { text, file: 'a,b:c%.yml' });
  expect(annotations).toHaveLength(2);
  for (const one of annotations) expect(one.file).toBe('service/a,b:c%.yml');
  expect(stderr.split('\n').filter((line) => line.startsWith('::'))).toHaveLength(2);
});

test('a workspace that is a link is followed; a file outside it is named in the message', async () => {
  const link = `${workspace}-link`;
  symlinkSync(workspace, link);
  try {
    const linked = await run(launch, PROGRAMS[0][2], { text: 'queu: gpu' }, { GITHUB_WORKSPACE: link });
    expect(linked.annotations).toMatchObject([{ file: FILE, line: '1' }]);
  } finally {
    rmSync(link);
  }
  const elsewhere = { GITHUB_WORKSPACE: join(workspace, 'service/.github') };
  const { annotations } = await run(
    launch,
    PROGRAMS[0][2],
    { text: 'queu: gpu', file: 'other.yml' },
    elsewhere,
  );
  expect(annotations).toEqual([
    { level: 'error', message: expect.stringMatching(/^other\.yml: queu is not/) },
  ]);
});
