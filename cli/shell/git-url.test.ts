import { describe, expect, test } from '@jest/globals';
import { identifyRepository, isCloneUrl, nameRepository, stripCredentials, toWebUrl } from './git-url.ts';

describe.each([
  ['https://octocat:ghp_secret@github.com/acme/digits.git', 'https://github.com/acme/digits.git'],
  ['https://ghp_secret@github.com/acme/digits', 'https://github.com/acme/digits'],
  ['ssh://git:pw@github.com:2222/acme/digits.git', 'ssh://git@github.com:2222/acme/digits.git'],
  ['https://git.example.com/digits.git?private_token=x#y', 'https://git.example.com/digits.git'],
  ['git@github.com:acme/digits.git', 'git@github.com:acme/digits.git'],
  ['file:///srv/digits.git', 'file:///srv/digits.git'],
])('%s', (url, expected) => {
  test(`leaves the machine as ${expected}`, () => {
    expect(stripCredentials(url)).toBe(expected);
  });
});

test.each([
  'https://github.com/acme/digits.git',
  'https://github.com/acme/digits/',
  'https://token@GitHub.com/Acme/digits',
  'git@github.com:acme/digits.git',
  'github.com:acme/digits',
  'ssh://git@github.com:22/acme/digits.git',
  'git://github.com/acme/digits.git',
])('%s is github.com/acme/digits', (url) => {
  expect(identifyRepository(url)).toBe('github.com/acme/digits');
  expect(toWebUrl(url)).toBe('https://github.com/acme/digits');
  expect(nameRepository(url)).toBe('digits');
});

test.each([
  ['https://github.com/acme/digits.git', true],
  ['git@github.com:acme/digits.git', true],
  ['ssh://git@host/x', true],
  ['file:///srv/repo', true],
  ['--upload-pack=touch x', false],
  ['-oProxyCommand=x@host:path', false],
  ['ext::sh -c touch', false],
  ['javascript://x/y', false],
  ['https://github.com/a b', false],
  ['https://octocat:ghp_x@github.com:acme/digits.git', false],
  ['https::https://u:ghp_x@github.com/acme/digits', false],
  ['../bare.git', false],
  ['', false],
])('%j can be cloned from: %j', (url, expected) => {
  expect(isCloneUrl(url)).toBe(expected);
});
