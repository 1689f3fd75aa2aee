import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { runProgramHere } from '../dev/program-run.ts';
import { parseAnnotations } from '../dev/runner-file.ts';
import { main, post } from '../one-action.ts';
import { type Sandbox, startSandbox } from '../sandbox/sandbox.ts';

const [OWN, FORK] = [7, 8];

let sandbox: Sandbox;
let folder: string;
let requests: string[];

beforeAll(async () => {
  requests = [];
  const head = { headRef: 'topic', headSha: 'a'.repeat(40), baseRef: 'main' };
  sandbox = await startSandbox({
    clearml: { onRequest: ({ endpoint }) => requests.push(endpoint) },
    github: {
      pulls: [
        { number: OWN, ...head },
        { number: FORK, ...head, headRepository: 'ada/digits' },
      ],
    },
  });
});
afterAll(() => sandbox.close());

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'one-action-'));
  requests = [];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const NO_KEYS = { CLEARML_API_ACCESS_KEY: '', CLEARML_API_SECRET_KEY: '' };

async function run(
  part: 'main' | 'post',
  pull: number,
  more: Readonly<Record<string, string>> = {},
  action: 'opened' | 'closed' = 'opened',
) {
  const event = join(folder, 'event.json');
  writeFileSync(event, JSON.stringify(await sandbox.github.pullRequestEvent(pull, action)));
  const files = { GITHUB_STEP_SUMMARY: join(folder, 'summary.md'), GITHUB_STATE: join(folder, 'state') };
  for (const path of Object.values(files)) writeFileSync(path, '');
  const ended = await runProgramHere(part === 'post' ? post : (world) => main(world, 'index.mjs'), {
    cwd: folder,
    env: {
      ...sandbox.env,
      ...files,
      GITHUB_ACTIONS: 'true',
      GITHUB_EVENT_NAME: 'pull_request',
      GITHUB_EVENT_PATH: event,
      GITHUB_ACTOR: 'ada',
      ...more,
    },
  });
  return {
    ...ended,
    summary: readFileSync(files.GITHUB_STEP_SUMMARY, 'utf8'),
    annotations: parseAnnotations(ended.stderr),
  };
}

describe('a run without keys', () => {
  test.each<[whose: string, pull: number, env: Record<string, string>, exitCode: number, words: RegExp]>([
    ["a fork's", FORK, {}, 2, /comes from a fork.*or set CLEARML_CI_FORKS to pass/],
    ["a fork's that passes", FORK, { CLEARML_CI_FORKS: 'pass' }, 0, /or leave it untrained/],
    [
      "Dependabot's",
      OWN,
      { GITHUB_ACTOR: 'dependabot[bot]' },
      2,
      /^Dependabot's runs get no Actions secrets/,
    ],
  ])('of %s says why nothing was trained', async (_, pull, env, exitCode, words) => {
    const ended = await run('main', pull, { ...NO_KEYS, ...env });
    expect(ended).toMatchObject({
      exitCode,
      stdout: '',
      annotations: [{ level: 'notice', title: 'Nothing was trained', message: expect.stringMatching(words) }],
    });
    expect(ended.summary).toBe(`Nothing was trained. ${ended.annotations[0]?.message}\n\n`);
    expect(requests).toEqual([]);
  });

  test('has nothing to end when its pull request is closed, or when it is cancelled', async () => {
    expect(await run('main', FORK, NO_KEYS, 'closed')).toMatchObject({ exitCode: 0, stderr: '' });
    expect(await run('post', FORK, NO_KEYS)).toMatchObject({ exitCode: 0, stderr: '' });
    expect(requests).toEqual([]);
  });

  test("of the repository's own branch is a mistake", async () => {
    const ended = await run('main', OWN, NO_KEYS);
    expect(ended.exitCode).toBe(2);
    expect(ended.stderr).toContain('CLEARML_API_ACCESS_KEY and CLEARML_API_SECRET_KEY are not set');
  });
});

test.each(['push', 'merge_group', 'workflow_dispatch', 'pull_request_target', 'issue_comment'])(
  'the event %s is refused, with the file to copy',
  async (eventName) => {
    const ended = await run('main', OWN, { GITHUB_EVENT_NAME: eventName });
    expect(ended).toMatchObject({ exitCode: 2, stdout: '' });
    expect(ended.annotations).toEqual([
      expect.objectContaining({
        level: 'error',
        message: expect.stringContaining(`serves the event pull_request, not ${eventName}`),
      }),
    ]);
    expect(ended.stderr).toContain('.github/workflows/clearml_ci_cd.yml');
    expect(requests).toEqual([]);
  },
);

test('a cancelled run whose step had come to its end has nothing to end', async () => {
  expect(await run('post', OWN, { 'STATE_is-over': 'true' })).toMatchObject({ exitCode: 0, stderr: '' });
  expect(await run('post', OWN, {}, 'closed')).toMatchObject({ exitCode: 0, stderr: '' });
  expect(requests).toEqual([]);
});
