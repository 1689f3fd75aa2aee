import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { runProgramProcess } from '../dev/program-run.ts';
import {
  clearml,
  directory,
  github,
  makeEnv,
  readOutputs,
  setUpComments,
  startProxy,
  trainTask,
} from './comment-setup.ts';

setUpComments();

describe('the one comment', () => {
  test('is posted, then updated in place; its URL is the result, and outputs and summary are written', async () => {
    const task = await trainTask(0.9722);
    const first = await runProgramProcess('create-stats-comment', {
      args: [task],
      env: makeEnv(),
      cwd: directory,
    });
    expect(first).toMatchObject({ exitCode: 0, signal: null });
    expect(github.comments(7)).toHaveLength(1);
    expect(github.comments(7)[0]?.body).toContain('**0.9722**');
    const { id } = github.comments(7)[0] ?? {};
    expect(first.stdout).toBe(`${github.serverUrl}/acme/digits/pull/7#issuecomment-${id}\n`);
    expect(first.stderr).toContain('Posted the comment');
    expect(readOutputs()).toEqual({
      'comment-url': first.stdout.trim(),
      'comment-id': String(id),
      verdict: 'none',
      metrics: expect.stringContaining('"metric":"test_accuracy/accuracy","value":0.9722'),
      'model-id': '',
      'model-url': '',
    });
    expect(readFileSync(join(directory, 'summary.md'), 'utf8')).toContain('**0.9722**');

    const worse = await trainTask(0.8);
    const second = await runProgramProcess('create-stats-comment', {
      args: [worse],
      env: makeEnv(),
      cwd: directory,
    });
    expect(second).toMatchObject({ exitCode: 0, stdout: first.stdout });
    expect(second.stderr).toContain('Updated the comment');
    expect(github.comments(7)).toHaveLength(1);
    expect(github.comments(7)[0]?.body).toContain('**0.8**');
  });

  test('is begun and given up where a signal comes while the curves are still asked for', async () => {
    const task = await trainTask();
    const silence = { kind: 'silence', isApplied: true } as const;
    const curves = await startProxy(clearml.apiHost, ({ path }) =>
      path.includes('scalar_metrics_iter_histogram') ? silence : undefined,
    );
    let kill: () => void = () => undefined;
    const posts = await startProxy(github.apiUrl, ({ method }) => {
      if (method !== 'POST') return undefined;
      kill();
      return silence;
    });
    const ended = await runProgramProcess('create-stats-comment', {
      args: [task],
      env: makeEnv({ CLEARML_API_HOST: curves.url, GITHUB_API_URL: posts.url }),
      cwd: directory,
      onStart: (process) => {
        kill = () => process.kill('SIGTERM');
      },
    });
    expect(ended).toEqual({ exitCode: 143, signal: null, stdout: '', stderr: 'interrupted by SIGTERM\n' });
  });

  test('that only is printed does not ask for a history that a task of no pipeline has no use for', async () => {
    const task = await trainTask();
    const slow = await startProxy(github.apiUrl, ({ path }) =>
      /\/compare\/|\/commits/.test(path) ? { kind: 'silence', isApplied: true } : undefined,
    );
    const printed = await runProgramProcess('create-stats-comment', {
      args: [task, '--dry-run'],
      env: makeEnv({ GITHUB_API_URL: slow.url }),
      cwd: directory,
    });
    expect(printed).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('**0.97**'), stderr: '' });
  });
});
