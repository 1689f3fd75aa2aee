import { createRequire } from 'node:module';
import { describe, expect, test } from '@jest/globals';
import { Failure } from '../shell/failure.ts';
import { namesPullRequest, readGithubRun } from './event.ts';

interface EventExamples {
  readonly name: string;
  readonly examples: ReadonlyArray<Record<string, unknown>>;
}

// GitHub's own examples of every event, of github.com and of GitHub Enterprise Server.
const require = createRequire(import.meta.url);
const EVENTS: readonly EventExamples[] = [
  ...require('@octokit/webhooks-examples/api.github.com/index.json'),
  ...require('@octokit/webhooks-examples/ghes-35/index.json'),
];

const variables = {
  GITHUB_SHA: 'f'.repeat(40),
  GITHUB_REF: 'refs/heads/main',
  GITHUB_REPOSITORY: 'acme/digits',
  GITHUB_EVENT_NAME: 'x',
};

test('there are examples of many events', () => {
  expect(EVENTS.length).toBeGreaterThan(80);
});

describe.each(EVENTS.map((event) => [event.name, event.examples] as const))('%s', (name, examples) => {
  test('is read as what it is', () => {
    for (const example of examples) {
      const run = readGithubRun({ ...variables, GITHUB_EVENT_NAME: name }, example);
      const pull = example.pull_request as
        | undefined
        | { number: number; head: { sha: string; ref: string; repo: null | { clone_url: string } } };
      if (pull?.head?.repo) {
        expect(run.pullRequest).toBe(pull.number);
        expect(run.code).toEqual({
          cloneUrl: pull.head.repo.clone_url,
          branch: pull.head.ref,
          commit: pull.head.sha,
        });
      }
      // What is said of another event's code must at least be whole, or a failure that says what to give.
      if (run.code !== undefined && !(run.code instanceof Failure)) {
        expect(run.code).toEqual({
          cloneUrl: expect.stringMatching(/^https?:\/\//),
          branch: expect.stringMatching(/./),
          commit: expect.stringMatching(/^[0-9a-f]{40}$/),
        });
      }
    }
  });
});

test('an API that no request could go to is told before one is tried', () => {
  expect(readGithubRun({ GITHUB_API_URL: 'https://ghe.example.com/api/v3/' }, undefined).apiUrl).toBe(
    'https://ghe.example.com/api/v3',
  );
  for (const url of ['api.github.com', 'ftp://api.github.com', 'localhost:3000']) {
    expect(() => readGithubRun({ GITHUB_API_URL: url }, undefined)).toThrow(
      expect.objectContaining({ exitCode: 2, message: 'GITHUB_API_URL is not an http(s) URL' }),
    );
  }
});

describe('workflow_run', () => {
  const describeRun = (...pulls: readonly object[]) => ({
    workflow_run: { head_sha: 'a'.repeat(40), head_branch: 'topic', pull_requests: pulls },
  });
  const baseIn = (repository: string) => ({
    base: { repo: { url: `https://api.github.com/repos/${repository}` } },
  });
  const read = (event: object, env = {}) =>
    readGithubRun({ ...variables, GITHUB_EVENT_NAME: 'workflow_run', ...env }, event).pullRequest;

  test('names the pull request whose run has ended, and PR_NUMBER another', () => {
    const event = describeRun(
      { number: 7, ...baseIn('acme/digits') },
      { number: 8, ...baseIn('acme/digits') },
    );
    expect(read(event)).toBe(7);
    expect(read(event, { PR_NUMBER: '9' })).toBe(9);
    expect(namesPullRequest({ GITHUB_REPOSITORY: 'acme/digits' }, event)).toBe(true);
    expect(read(describeRun({ number: 7 }))).toBe(7);
  });

  test('names none of another repository, and none where GitHub names none', () => {
    const upstream = { number: 3, ...baseIn('upstream/digits') };
    expect(read(describeRun(upstream, { number: 7, ...baseIn('Acme/Digits') }))).toBe(7);
    expect(read(describeRun(upstream))).toBeUndefined();
    expect(read(describeRun())).toBeUndefined();
    expect(read({ workflow_run: { head_sha: 'a'.repeat(40), pull_requests: null } })).toBeUndefined();
    expect(namesPullRequest({ GITHUB_REPOSITORY: 'acme/digits' }, describeRun(upstream))).toBe(false);
  });
});

test('a closed pull request tells the base branch without it', () => {
  const describePull = (state: string) => ({
    pull_request: {
      number: 7,
      state,
      head: { ref: 'topic', sha: 'a', repo: null },
      base: { ref: 'main', sha: 'b' },
    },
  });
  expect(readGithubRun(variables, describePull('closed')).closedBase).toEqual({
    branch: 'main',
    commit: 'b',
  });
  expect(readGithubRun(variables, describePull('open')).closedBase).toBeUndefined();
});
