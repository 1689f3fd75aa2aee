import { readFile, writeFile } from 'node:fs/promises';
import { describe, expect, test } from '@jest/globals';
import { main as check } from '../check-task-running.ts';
import { runProgramHere } from '../dev/program-run.ts';
import { startGithubSandbox } from '../sandbox/github-server.ts';
import {
  breakRequests,
  clock,
  describePullRequest,
  driver,
  folder,
  launchTask,
  publish,
  repository,
  sandbox,
  setUpLaunches,
} from './launch-setup.ts';

setUpLaunches();

/** A check that would wait for an hour if it waited. */
async function look(args: readonly string[], env: Record<string, string> = {}, aheadMs = 0) {
  const output = `${folder}/output-${Math.random()}`;
  await writeFile(output, '');
  const startedMs = clock.now();
  const run = await runProgramHere(check, {
    args,
    env: { ...sandbox.env, ...env, GITHUB_OUTPUT: output },
    cwd: repository.directory,
    clock: { ...clock, now: () => clock.now() + aheadMs },
  });
  const outputs = await readFile(output, 'utf8');
  return { ...run, outputs, hasWaited: clock.now() - startedMs > 20 * 60_000 };
}

const settings = (text: string) => {
  repository.commit('Settings', { '.github/clearml-ci.yml': text });
  publish();
};

describe('with --detach', () => {
  test('one look tells the status, and who reports', async () => {
    const { id } = await launchTask(['--detach'], await describePullRequest(7));
    await driver.startTask(id);
    const asked: string[] = [];
    const env = await breakRequests((endpoint) => void asked.push(endpoint));
    const run = await look([id, '--detach'], env);
    expect(run).toMatchObject({ exitCode: 0, stdout: 'in_progress\n', hasWaited: false });
    expect(asked).toEqual(['tasks.get_all']);
    expect(run.stderr).toContain('No job waits: the collecting workflow reports the end');
    expect(run.outputs).toMatch(/^status<<(\S+)\nin_progress\n\1$/m);
    expect(JSON.parse((await look([id, '--detach', '--json'])).stdout).tasks[0]).toMatchObject({
      id,
      status: 'in_progress',
      cause: null,
    });
  });

  test('the duration is by the server’s clock: a runner’s may be off by hours', async () => {
    const { id } = await launchTask(['--detach'], await describePullRequest(7));
    await driver.startTask(id);
    await clock.sleep(60_000);
    const { stdout } = await look([id, '--detach', '--json'], {}, 3 * 3_600_000);
    const { durationSeconds } = JSON.parse(stdout).tasks[0];
    expect(durationSeconds).toBeGreaterThanOrEqual(59);
    expect(durationSeconds).toBeLessThan(180);
  });

  test.each([0, 3, -3])('the agent’s last words are waited for, with a runner %d h ahead', async (hours) => {
    const { id } = await launchTask([], await describePullRequest(7));
    await driver.startTask(id);
    await driver.logLines(id, ['Working tree is ready']);
    await driver.call('tasks.failed', {
      task: id,
      force: true,
      status_reason: 'worker execution exit code 128',
      status_message: 'Changed by clearml-agent at w:0',
    });
    const env = await breakRequests((endpoint, nth) =>
      endpoint === 'events.get_task_log' && nth === 2
        ? {
            kind: 'hold',
            until: driver.logLines(id, ['ERROR: No matching distribution found for torch==99']),
          }
        : undefined,
    );
    const { stderr } = await look([id], env, hours * 3_600_000);
    expect(stderr).toContain('torch==99');
  });

  test('says where nobody reports, as the launch was not detached', async () => {
    const { id } = await launchTask([], await describePullRequest(7));
    const { exitCode, stderr } = await look([id, '--detach']);
    expect(exitCode).toBe(0);
    expect(stderr).toContain(`no job waits for task ${id}, and the collecting workflow does not report it`);
    expect(stderr).not.toContain('holds the time-outs');
  });

  test('what has ended is reported as ever: this very job tells it', async () => {
    const { id } = await launchTask([], await describePullRequest(7));
    await driver.startTask(id);
    await driver.failTask(id);
    expect(await look([id, '--detach'])).toMatchObject({ exitCode: 3, stdout: 'failed\n' });
  });

  test('an unknown task is an error', async () => {
    expect(await look(['0'.repeat(32), '--detach'])).toMatchObject({ exitCode: 10 });
  });

  test.each([
    [['--detach', '--abort'], 'error: --detach and --abort contradict each other'],
    [['--no-detach', '--abort'], 'error: --no-detach and --abort contradict each other'],
  ])('%j is refused', async (args, message) => {
    const run = await look(['0'.repeat(32), ...args]);
    expect(run.exitCode).toBe(2);
    expect(run.stderr).toContain(message);
  });

  test('options of a wait are told', async () => {
    const { id } = await launchTask([], await describePullRequest(7));
    const run = await look([id, '--detach', '--timeout', '2h', '--on-change', 'true']);
    expect(run.exitCode).toBe(0);
    expect(run.stderr).toContain('ignoring --timeout, --on-change: --detach does not wait');
  });
});

describe('without a flag, in Actions,', () => {
  test('the note of this run’s own launch counts, and no other', async () => {
    const env = await describePullRequest(7, { id: '1000' });
    const { id } = await launchTask(['--detach'], env);
    expect(await look([id], env)).toMatchObject({ exitCode: 0, stdout: 'queued\n', hasWaited: false });
    expect(await look([id, '--no-detach'], env)).toMatchObject({ exitCode: 7, hasWaited: true });
    const again = await launchTask(['--detach'], env);
    const other = { ...env, GITHUB_RUN_ID: '2000' };
    expect(await look([again.id], other)).toMatchObject({ exitCode: 7, hasWaited: true });
  });

  test('a time-out of its own is told to have no effect', async () => {
    const env = await describePullRequest(7, { id: '1000' });
    const { id } = await launchTask(['--detach'], env);
    const { stderr } = await look([id, '--timeout', '6h', '--on-change', 'true'], env);
    expect(stderr).toContain('::warning::ignoring --timeout: no job waits');
    expect((await look([id, '--on-change', 'true'], env)).stderr).not.toContain('ignoring');
  });

  test('a note of a job that waits does not', async () => {
    settings('status: ClearML\n');
    const env = await describePullRequest(0);
    await writeFile(env.GITHUB_EVENT_PATH ?? '', '{}');
    const sha = repository.git('rev-parse', 'HEAD');
    const push = { ...env, GITHUB_EVENT_NAME: 'push', GITHUB_REF: 'refs/heads/main', GITHUB_SHA: sha };
    const { id, runtime } = await launchTask([], push);
    expect(runtime.ci_due).toBeDefined();
    expect(await look([id], push)).toMatchObject({ exitCode: 7, hasWaited: true });
  });

  test('the setting counts without a pull request, as on a server that takes no notes', async () => {
    settings('detach: true\n');
    const { id } = await launchTask([], {});
    const env = { GITHUB_ACTIONS: 'true', GITHUB_RUN_ID: '1000' };
    expect(await look([id], env)).toMatchObject({ exitCode: 0, hasWaited: false });
    expect(await look([id])).toMatchObject({ exitCode: 7, hasWaited: true });
  });

  test.each([
    ['detach: true\n', false],
    ['seeds: 1\n', true],
  ])('in a pull request the base branch’s settings count: %j', async (base, hasWaited) => {
    settings(base);
    repository.git('checkout', '--quiet', '-b', 'feature');
    settings('detach: true # mine\n');
    const github = await startGithubSandbox({ gitDir: repository.directory, repository: 'acme/digits' });
    try {
      const env = {
        ...(await describePullRequest(7)),
        GITHUB_API_URL: github.apiUrl,
        GH_TOKEN: github.token,
      };
      const { id } = await launchTask(['--no-detach'], env);
      expect(await look([id], env)).toMatchObject({ exitCode: hasWaited ? 7 : 0, hasWaited });
    } finally {
      await github.close();
    }
  });
});
