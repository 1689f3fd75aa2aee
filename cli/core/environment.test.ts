import { expect, test } from '@jest/globals';
import { dropUserInfo, readClearmlHosts } from './environment.ts';
import { readGithubRun } from './github-event.ts';

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
