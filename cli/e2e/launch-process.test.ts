import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { type ProgramRun, type RunOptions, runProgramProcess } from '../dev/program-run.ts';
import {
  breakRequests,
  CLONE_URL,
  driver,
  folder,
  repository,
  sandbox,
  setUpLaunches,
} from './launch-setup.ts';

setUpLaunches();

describe('as a process', () => {
  const run = (args: readonly string[], options: Partial<RunOptions> = {}): Promise<ProgramRun> =>
    runProgramProcess('launch-training-task', {
      cwd: repository.directory,
      ...options,
      args,
      env: { ...sandbox.env, ...options.env },
    });

  test('0: the id on stdout, the talk on stderr', async () => {
    const result = await run([]);
    expect(result).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^[0-9a-f]{32}\n$/) });
    expect(result.stderr).toContain('Created task');
  });

  test('130: interrupted by Ctrl-C, which ends a git that is under way too', async () => {
    const git =
      '#!/bin/sh\ncase "$*" in *diff*) kill -INT $PPID; sleep 0.3; kill -INT $$ ;; esac\nexec /usr/bin/env PATH="$REAL_PATH" git "$@"\n';
    await writeFile(join(folder, 'git'), git, { mode: 0o755 });
    const PATH = `${folder}:${process.env.PATH}`;
    const result = await run([], { env: { PATH, REAL_PATH: process.env.PATH ?? '' } });
    expect(result).toEqual({ exitCode: 130, signal: null, stdout: '', stderr: 'interrupted by SIGINT\n' });
    expect(await driver.listTasks()).toEqual([]);
  });

  test('0: help and version', async () => {
    const [help, version] = await Promise.all([run(['--help']), run(['--version'])]);
    expect(help).toMatchObject({
      exitCode: 0,
      stderr: '',
      stdout: expect.stringMatching(/Examples:[\s\S]*Exit codes:[\s\S]*143 /),
    });
    expect(version).toMatchObject({ exitCode: 0, stdout: '0.1.0\n' });
  });

  test('2: a missing variable, said in Actions as an annotation too', async () => {
    const result = await run([CLONE_URL, 'main', 'a'.repeat(40)], {
      env: { CLEARML_API_SECRET_KEY: '', GITHUB_ACTIONS: 'true' },
    });
    expect(result).toMatchObject({ exitCode: 2, stdout: '' });
    expect(result.stderr).toMatch(
      /^error: CLEARML_API_SECRET_KEY is not set\n.*SECRET_KEY.*\n::error::CLEARML_API_SECRET_KEY is not set%0A/,
    );
  });

  test('2: everything that is missing or malformed is said at once', async () => {
    await writeFile(join(folder, 'settings.yml'), 'queu: gpu\n');
    const result = await run(['--config', join(folder, 'settings.yml')], {
      env: {
        CLEARML_API_SECRET_KEY: '',
        PR_NUMBER: 'seven',
        GITHUB_REPOSITORY: 'digits',
        GITHUB_EVENT_PATH: join(folder, 'settings.yml'),
        PR_COMMIT: 'abc',
      },
    });
    expect(result).toMatchObject({ exitCode: 2, stdout: '' });
    for (const text of [
      'CLEARML_API_SECRET_KEY is not set',
      'the event file that GITHUB_EVENT_PATH names is not JSON',
      'PR_COMMIT is not a full commit id',
      'line 1: queu',
    ])
      expect(result.stderr).toContain(text);
    const variables = await run([], { env: { PR_NUMBER: 'seven', GITHUB_REPOSITORY: 'digits' } });
    expect(variables.stderr.split('\n')[0]).toBe(
      'error: GITHUB_REPOSITORY is not of the form owner/name; PR_NUMBER is not the number of a pull request',
    );
  });

  test('8: refused credentials, which are not shown', async () => {
    const result = await run([], { env: { CLEARML_API_SECRET_KEY: 'wrong-secret-value' } });
    expect(result).toMatchObject({ exitCode: 8, stdout: '' });
    expect(result.stderr).toContain('error: ClearML refused the credentials');
    expect(result.stderr).not.toContain('wrong-secret-value');
  });

  test('9: a server that answers with a web page', async () => {
    const env = await breakRequests(() => ({ kind: 'answer', status: 404, body: '<html>app</html>' }));
    const result = await run([], { env });
    expect(result.exitCode).toBe(9);
    expect(result.stderr).toMatch(
      /did not answer \S+: a web page came instead \(HTTP 404\)\nCLEARML_API_HOST must name the API server/,
    );
  });

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s: exit %d, and what was created goes again', async (signal, exitCode) => {
    let kill: () => void = () => undefined;
    const env = await breakRequests((endpoint) => {
      if (endpoint !== 'tasks.enqueue') return undefined;
      kill();
      return { kind: 'silence', isApplied: true };
    });
    const result = await run([], {
      env,
      onStart: (child) => {
        kill = () => child.kill(signal);
      },
    });
    expect(result).toMatchObject({ exitCode, stdout: '' });
    expect(await driver.listTasks()).toEqual([]);
  });

  test('.env is read outside Actions, and not inside', async () => {
    const text = Object.entries(sandbox.env).map(([name, value]) => `${name}=${value}`);
    await writeFile(join(repository.directory, '.env'), text.join('\n'));
    const empty = Object.fromEntries(Object.keys(sandbox.env).map((name) => [name, '']));
    expect(await run([], { env: empty })).toMatchObject({ exitCode: 0 });
    expect(await run([], { env: { ...empty, GITHUB_ACTIONS: 'true' } })).toMatchObject({ exitCode: 2 });
  });

  test('a secret of .env that an unquoted # cuts is named, and shown nowhere', async () => {
    const secret = 'half-a-secret#the-other-half';
    await writeFile(join(repository.directory, '.env'), `CLEARML_API_SECRET_KEY=${secret}`);
    const { exitCode, stderr } = await run([], { env: { CLEARML_API_SECRET_KEY: '' } });
    expect(exitCode).toBe(8);
    expect(stderr).toContain('warning: in .env the value of CLEARML_API_SECRET_KEY ends before its "#"');
    expect(stderr).not.toMatch(/half-a-secret|the-other-half/);
  });
});
