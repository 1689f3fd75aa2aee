import { createRequire } from 'node:module';
import { describe, expect, test } from '@jest/globals';
import { Failure } from '../shell/failure.ts';
import { readGithubRun } from './event.ts';

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
