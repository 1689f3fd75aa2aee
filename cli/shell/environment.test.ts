import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { readGithubRun } from '../github/event.ts';
import {
  dropUserInfo,
  readClearmlAccess,
  readClearmlHosts,
  readEnvironment,
  readGithubToken,
} from './environment.ts';
import { Failure } from './failure.ts';

test('user names and passwords in the servers’ addresses go no further: links are made of these', () => {
  expect(readClearmlHosts({ CLEARML_API_HOST: 'https://ada:p%40ss@api.example.com/' })).toEqual({
    apiHost: 'https://api.example.com',
    webHost: 'https://app.example.com',
    filesHost: 'https://files.example.com',
  });
  const { serverUrl } = readGithubRun({ GITHUB_SERVER_URL: 'https://ada:p@ss@git.example.com/' }, undefined);
  expect(serverUrl).toBe('https://git.example.com');
  expect(dropUserInfo('https://example.com/@ada')).toBe('https://example.com/@ada');
});

function explainRefusal(env: Readonly<Record<string, string>>): string {
  try {
    readClearmlAccess(env);
  } catch (error) {
    if (error instanceof Failure) return `${error.message}\n${error.remedy}`;
    throw error;
  }
  throw new Error('it was taken');
}

test('all that is wrong with how ClearML is to be reached is said at once, and what to do about each', () => {
  const text = explainRefusal({ CLEARML_API_HOST: 'clearml.example.com', CLEARML_WEB_HOST: 'ftp://a' });
  expect(text.split('\n')).toEqual([
    'CLEARML_API_ACCESS_KEY and CLEARML_API_SECRET_KEY are not set; CLEARML_API_HOST is not an http(s) URL; CLEARML_WEB_HOST is not an http(s) URL',
    expect.stringMatching(/^Create credentials .*\. Put them into the environment/),
    expect.stringContaining('with its scheme'),
  ]);
});

test('a key that is missing alone is one', () => {
  const key = { CLEARML_API_ACCESS_KEY: 'a' };
  expect(explainRefusal(key)).toMatch(/^CLEARML_API_SECRET_KEY is not set\nPut it into the environment, or /);
  expect(explainRefusal({ ...key, GITHUB_ACTIONS: 'true' })).toMatch(
    /\nThe workflow reads it from the repository secret SECRET_KEY /,
  );
});

test.each([
  ['GH_TOKEN=ghp_a#b', 'ghp_a', ['GH_TOKEN']],
  ['  export GH_TOKEN = ghp_a#b # mine', 'ghp_a', ['GH_TOKEN']],
  ['GH_TOKEN: ghp_a#b\r', 'ghp_a', ['GH_TOKEN']],
  ['GH_TOKEN=#b', undefined, ['GH_TOKEN']],
  ['GH_TOKEN=ghp_a # the bot’s#', 'ghp_a', []],
  ['GH_TOKEN= # fill me in', undefined, []],
  ['#GH_TOKEN=ghp_a#b', undefined, []],
  ['GH_TOKEN="ghp_a#b"', 'ghp_a#b', []],
  ["GH_TOKEN='ghp_a#b' # mine", 'ghp_a#b', []],
  ['GH_TOKEN="ghp_a"#b', 'ghp_a', []],
  ['GH_TOKEN="ghp_a#b', '"ghp_a', ['GH_TOKEN']],
  ['GH_TOKEN=\'ghp_a#b"', "'ghp_a", ['GH_TOKEN']],
  ['GH_TOKEN=ghp_a#b\nGH_TOKEN="ghp_c#d"', 'ghp_c#d', []],
  ['COLOR=white#fff', undefined, []],
  ['HTTPS_PROXY=http://me:p#w@proxy:3128', undefined, ['HTTPS_PROXY']],
  ['SET_BEFORE=x\nGITHUB_TOKEN=ghp_a#b', undefined, []],
])('the line %j of .env gives the token %j, and a warning for each of %j', async (text, token, names) => {
  const folder = mkdtempSync(join(tmpdir(), 'env-'));
  try {
    writeFileSync(join(folder, '.env'), `A=1\n${text}\nZ=2\n`);
    const { env, warnings } = await readEnvironment({ GITHUB_TOKEN: 'set' }, folder);
    expect(env.GH_TOKEN).toBe(token);
    expect(warnings.map((warning) => /of (\w+) ends/.exec(warning)?.[1])).toEqual(names);
    expect(warnings.join()).not.toMatch(/ghp|p#w/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('blanks around GitHub’s token are no part of it', () => {
  expect(readGithubToken({ GH_TOKEN: ' ghp_a\n', GITHUB_TOKEN: 'ghp_b' })).toBe('ghp_a');
  expect(readGithubToken({ GITHUB_TOKEN: 'ghp_b ' })).toBe('ghp_b');
});
