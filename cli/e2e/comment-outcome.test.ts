import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { createPatientClock } from '../dev/patient-clock.ts';
import type { Clock } from '../shell/world.ts';
import {
  directory,
  driver,
  github,
  HEAD,
  makeEnv,
  readOutputs,
  replaceGithub,
  run,
  setUpComments,
  startProxy,
  trainTask,
  writeSettings,
} from './comment-setup.ts';

setUpComments();

describe('what comes of it', () => {
  test('a dry run needs no token, prints the Markdown, posts nothing and writes no file', async () => {
    const task = await trainTask();
    const { GH_TOKEN: _, ...env } = makeEnv({ GITHUB_API_URL: 'http://127.0.0.1:9' });
    const { exitCode, stdout } = await run([task, '--dry-run'], env);
    expect(exitCode).toBe(0);
    expect(stdout).toContain('<!-- clearml-ci-cd comment:');
    expect(stdout).toContain('`test_accuracy/accuracy`');
    expect(() => readOutputs()).toThrow('ENOENT');
    expect(() => readFileSync(join(directory, 'summary.md'))).toThrow('ENOENT');
  });

  test('--json prints the whole report and nothing else', async () => {
    const task = await trainTask();
    const { stdout } = await run([task, '--json']);
    expect(JSON.parse(stdout)).toMatchObject({
      version: 1,
      verdict: 'none',
      pullRequest: { repository: 'acme/digits', number: 7, headCommit: HEAD },
      commit: { id: HEAD, isCurrent: true },
      tasks: [{ id: task, status: 'completed' }],
    });
  });

  test('durations, GPU hours and the time of the report are by the server’s clock: a runner’s may be off by hours', async () => {
    const task = await trainTask(0.9, 'in_progress', { runtime: { gpu_count: '1' } });
    const clock = createPatientClock();
    const now = () => clock.now() + 3 * 3_600_000;
    const report = JSON.parse((await run([task, '--json'], makeEnv(), { ...clock, now })).stdout);
    expect(report.tasks[0].durationSeconds).toBeLessThan(120);
    expect(report.tasks[0].gpuHours).toBeLessThan(0.1);
    expect(Math.abs(report.reportedAtMs - Date.now())).toBeLessThan(120_000);
  });

  test('the first task’s last output model is an output, with its page; both are empty without one', async () => {
    const addModel = async (task: string, name: string): Promise<string> => {
      const { id } = await driver.call('models.create', { name, uri: `https://files.test/${name}`, task });
      await driver.call('tasks.add_or_update_model', { task, name, model: id, type: 'output' });
      return id;
    };
    const [first, second] = [await trainTask(), await trainTask()];
    await addModel(first, 'checkpoint');
    const last = await addModel(first, 'final\nverdict=pass');
    await addModel(second, 'final');
    await run([first, second]);
    const { 'model-id': id, 'model-url': url, ...others } = readOutputs();
    expect(id).toBe(last);
    expect(url).toMatch(new RegExp(`^http://127\\.0\\.0\\.1:\\d+/projects/[^/]+/models/${last}/general$`));
    expect(others).toMatchObject({ verdict: 'none' });
    rmSync(join(directory, 'output'));
    await run([await trainTask()]);
    expect(readOutputs()).toMatchObject({ 'model-id': '', 'model-url': '' });
  });

  test('a blank around the token does no harm', async () => {
    const token = ` ${makeEnv().GH_TOKEN}\n`;
    expect(await run([await trainTask()], makeEnv({ GH_TOKEN: token }))).toMatchObject({ exitCode: 0 });
    expect(github.comments(7)).toHaveLength(1);
  });

  test('a baseline tag that ClearML takes for an operator is exit 2', async () => {
    const task = await trainTask();
    const { exitCode, stderr } = await run([task, '--baseline', 'tag:__$all']);
    expect(exitCode).toBe(2);
    expect(stderr).toContain('error: the tag "__$all" begins with "__$"');
    writeSettings('baseline: { tag: __$any }');
    expect(await run([task, '--config', 'settings.yml'])).toMatchObject({ exitCode: 2 });
    expect(github.comments(7)).toEqual([]);
  });

  test('an archived repository is named as such', async () => {
    await replaceGithub({ isArchived: true });
    const { exitCode, stderr, stdout } = await run([await trainTask()]);
    expect({ exitCode, stdout }).toEqual({ exitCode: 8, stdout: '' });
    expect(stderr).toMatch(/The repository is archived, so it takes no comment: unarchive it/);
    expect(stderr).not.toContain('permissions');
  });

  test.each([
    ['failed', 'failed', 0],
    ['failed', 'failed', 6],
    ['in_progress', 'pending', 0],
    ['in_progress', 'pending', 6],
    ['queued', 'pending', 6],
  ] as const)('a task that is %s is %s: exit code %i', async (status, verdict, exitCode) => {
    const task = await trainTask(0.9, status);
    writeSettings('metrics: [{ metric: test_accuracy/accuracy, goal: maximize, gate: fail }]');
    const args = [task, '--config', 'settings.yml', ...(exitCode === 0 ? ['--no-gate'] : [])];
    expect((await run(args)).exitCode).toBe(exitCode);
    expect(readOutputs().verdict).toBe(verdict);
    expect(github.comments(7)).toHaveLength(1);
  });

  test.each([
    ['by us', { status_reason: 'aborted by workflow run 120' }, ': aborted by workflow run 120'],
    ['by somebody', {}, ' by somebody'],
  ])(
    'a task that was taken out of the queue %s is stopped, not about to be queued',
    async (_, body, words) => {
      const task = await trainTask(0.9, 'queued');
      await driver.call('tasks.dequeue', { task, ...body });
      writeSettings('metrics: [{ metric: test_accuracy/accuracy, goal: maximize, gate: fail }]');
      expect((await run([task, '--config', 'settings.yml'])).exitCode).toBe(6);
      expect(readOutputs().verdict).toBe('failed');
      expect(github.comments(7)[0]?.body).toContain(
        `\`train digits\` stopped: \`the task was taken out of the queue${words}\``,
      );
    },
  );

  test('a task that nobody has queued yet is pending', async () => {
    const task = await driver.createTask({ name: 'train' });
    expect((await run([task])).exitCode).toBe(0);
    expect(readOutputs().verdict).toBe('pending');
    expect(github.comments(7)[0]?.body).toContain('`train` is not in a queue yet');
  });

  test('a token without the permission is exit 8, names it, and the report is in the summary and the outputs', async () => {
    const task = await trainTask();
    const { exitCode, stderr, stdout } = await run([task], makeEnv({ GH_TOKEN: github.readOnlyToken }));
    expect(exitCode).toBe(8);
    expect(stderr).toContain('pull-requests: write');
    expect(stderr).toContain('fork');
    expect(stdout).toBe('');
    expect(readFileSync(join(directory, 'summary.md'), 'utf8')).toContain('test_accuracy');
    expect(readOutputs()).toMatchObject({ verdict: 'none' });
    expect(readOutputs()).not.toHaveProperty('comment-id');
  });

  test.each([
    ['is locked', 'Unable to create comment because issue is locked.', 'Unlock it'],
    [
      'holds as many comments as GitHub takes',
      'Commenting is disabled on issues with more than 2500 comments',
      'delete some',
    ],
  ])(
    'a conversation that %s is exit 8, and no permission is said to be missing',
    async (_, message, advice) => {
      const proxy = await startProxy(github.apiUrl, ({ method }) =>
        method === 'POST' ? { kind: 'answer', status: 403, body: JSON.stringify({ message }) } : undefined,
      );
      const { exitCode, stderr } = await run([await trainTask()], makeEnv({ GITHUB_API_URL: proxy.url }));
      expect(exitCode).toBe(8);
      expect(stderr).toContain(message);
      expect(stderr).toContain(advice);
      expect(stderr).not.toContain('pull-requests: write');
      expect(readFileSync(join(directory, 'summary.md'), 'utf8')).toContain('test_accuracy');
    },
  );

  test.each([
    ['an unknown token', { GH_TOKEN: 'ghp_unknown' }, 8, 'GH_TOKEN'],
    ['another secret key', { CLEARML_API_SECRET_KEY: 'wrong' }, 8, 'CLEARML_API_SECRET_KEY'],
    ['an unknown pull request', { PR_NUMBER: '8' }, 10, 'pull request 8'],
    ['a GitHub that is not there', { GITHUB_API_URL: 'http://127.0.0.1:9' }, 9, 'GITHUB_API_URL'],
    ['a ClearML that is not there', { CLEARML_API_HOST: 'http://127.0.0.1:9' }, 9, 'CLEARML_API_HOST'],
    ['no access key', { CLEARML_API_ACCESS_KEY: '' }, 2, 'CLEARML_API_ACCESS_KEY'],
    ['no token and no number', { GH_TOKEN: '', PR_NUMBER: '' }, 2, 'GH_TOKEN'],
  ] as const)('%s', async (_, variables, exitCode, text) => {
    const task = await trainTask();
    const result = await run([task], makeEnv(variables));
    expect(result).toMatchObject({ exitCode, stdout: '' });
    expect(result.stderr).toContain(text);
    expect(result.stderr).not.toContain('a bug of ours');
  });

  test('every variable that is missing is named at once', async () => {
    const { exitCode, stderr } = await run(['a'.repeat(32)], {});
    expect(exitCode).toBe(2);
    expect(stderr.split('\n')).toEqual([
      'error: CLEARML_API_ACCESS_KEY and CLEARML_API_SECRET_KEY are not set; GH_TOKEN (or GITHUB_TOKEN) is not set; GITHUB_REPOSITORY is not set (or give --repo); PR_NUMBER is not set (or give --pr), and no event names a pull request',
      expect.stringMatching(/^Create credentials in ClearML .*\. Put them into the environment,/),
      'Set them in the environment, or as NAME=value in a .env file here. Or add --dry-run, which posts nothing.',
      '',
    ]);
  });

  test('what is malformed is named beside what is missing', async () => {
    writeSettings('seeds: many\nqueu: gpu\n');
    const { exitCode, stderr } = await run(
      ['a'.repeat(32), '--baseline', 'branch:', '--repo', 'acme', '--config', 'settings.yml'],
      {
        PR_NUMBER: 'seven',
        GITHUB_REPOSITORY: 'digits',
        GITHUB_API_URL: 'api.github.com',
        GITHUB_EVENT_PATH: '/no',
      },
    );
    expect(exitCode).toBe(2);
    for (const name of [
      'CLEARML_API_ACCESS_KEY and CLEARML_API_SECRET_KEY are not set',
      'the event file that GITHUB_EVENT_PATH names cannot be read',
      'GH_TOKEN (or GITHUB_TOKEN) is not set',
      '--repo is not of the form owner/name',
      '--baseline',
      'line 1: seeds',
      'line 2: queu',
    ])
      expect(stderr).toContain(name);
    expect(stderr).not.toMatch(/PR_NUMBER is not set|GITHUB_REPOSITORY is not set/);
  });

  test('every variable of GitHub’s that is malformed is named at once', async () => {
    const { exitCode, stderr } = await run(
      ['a'.repeat(32)],
      makeEnv({
        PR_NUMBER: 'seven',
        GITHUB_REPOSITORY: 'digits',
        GITHUB_API_URL: 'api.github.com',
        GH_TOKEN: '',
      }),
    );
    expect(exitCode).toBe(2);
    expect(stderr.split('\n')[0]).toBe(
      'error: GITHUB_REPOSITORY is not of the form owner/name; PR_NUMBER is not the number of a pull request; GITHUB_API_URL is not an http(s) URL; GH_TOKEN (or GITHUB_TOKEN) is not set',
    );
  });

  test.each([
    ['outside Actions', { PR_NUMBER: '' }, 'Set it in the environment, '],
    ['in Actions', { PR_NUMBER: '', GITHUB_ACTIONS: 'true' }, 'In a workflow, pass it to this step '],
    ['in Actions without a token', { GH_TOKEN: '', GITHUB_ACTIONS: 'true' }, 'pass the job’s own token'],
  ])('one that is missing alone is one, with where to put it %s', async (_, variables, remedy) => {
    const { exitCode, stderr } = await run(['a'.repeat(32)], makeEnv(variables));
    expect(exitCode).toBe(2);
    expect(stderr).toContain(remedy);
  });

  test('a task that does not exist is exit 10, neither a task nor a pull request exit 2', async () => {
    const unknown = 'ab'.repeat(16);
    expect(await run([unknown])).toMatchObject({ exitCode: 10, stderr: expect.stringContaining(unknown) });
    expect((await run(['train'])).exitCode).toBe(10);
    const env = makeEnv({ PR_NUMBER: '' });
    expect((await run([' '], env)).exitCode).toBe(2);
    expect((await run([], env)).exitCode).toBe(2);
  });

  test('a rate limit that ends too late is exit 9, with the time to wait', async () => {
    const task = await trainTask();
    const clock: Clock = createPatientClock();
    await replaceGithub({ requestsPerHour: 1, now: clock.now });
    const began = clock.now();
    const { exitCode, stderr } = await run([task], makeEnv(), clock);
    expect(exitCode).toBe(9);
    expect(stderr).toMatch(/the rate limit of 1 requests an hour .*\n.*Wait \d+ min/);
    expect(clock.now() - began).toBeLessThan(60_000);
  });

  describe('the secondary rate limit', () => {
    const LINE =
      /^GitHub POST \/repos\/acme\/digits\/issues\/7\/comments: the secondary rate limit is reached \(You have exceeded .*\); trying again in (.+) \(try 2 of 2\)$/m;

    /** Reports where the limit refuses so many creations. */
    async function runLimited(refusals: number, limit: { readonly retryAfterSeconds?: number }) {
      const task = await trainTask();
      const clock: Clock = createPatientClock();
      let left = refusals;
      const secondaryLimit = ({ method }: { readonly method: string }) => {
        if (method !== 'POST' || left <= 0) return undefined;
        left -= 1;
        return limit;
      };
      await replaceGithub({ secondaryLimit, now: clock.now });
      const began = clock.now();
      const done = await run([task], makeEnv(), clock);
      return { ...done, tookMs: clock.now() - began, pause: LINE.exec(done.stderr)?.[1] };
    }

    test.each([
      ['a minute, where it does not say how long', {}, '1m'],
      ['as long as it says', { retryAfterSeconds: 85 }, '1m 25s'],
    ])('is waited for once: %s', async (_name, limit, pause) => {
      const done = await runLimited(1, limit);
      expect(done).toMatchObject({ exitCode: 0, pause });
      expect(done.tookMs).toBeGreaterThanOrEqual(60_000);
      expect(github.comments(7)).toHaveLength(1);
    });

    test.each([
      ['again after the wait', 2, {}, /also after 1m: the secondary rate limit is reached .*\n.*Wait 1 min/],
      [
        'for longer than 90 s',
        1,
        { retryAfterSeconds: 91 },
        /: the secondary rate limit is reached .*\n.*Wait 2 min/,
      ],
    ])('is exit 9 that names it, where it is there %s', async (_name, refusals, limit, words) => {
      const done = await runLimited(refusals, limit);
      expect(done.exitCode).toBe(9);
      expect(done.stderr).toMatch(words);
      expect(done.tookMs).toBeLessThan(150_000);
    });
  });

  test('what GitHub answers too late is asked again', async () => {
    const task = await trainTask();
    let failed = 0;
    const proxy = await startProxy(github.apiUrl, () =>
      failed++ < 3 ? { kind: 'answer', status: 502, body: '<html>Bad gateway</html>' } : undefined,
    );
    const env = makeEnv({ GITHUB_API_URL: proxy.url });
    expect((await run([task], env)).exitCode).toBe(0);
    expect(github.comments(7)).toHaveLength(1);
  });
});
