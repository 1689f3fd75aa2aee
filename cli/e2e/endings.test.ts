import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { main as check } from '../check-task-running.ts';
import { main as comment } from '../create-stats-comment.ts';
import { runProgramHere } from '../dev/program-run.ts';
import { startGithubSandbox } from '../sandbox/github-server.ts';
import {
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

// Why we ended a task is told by whoever looks later, although the agent has written its own words over ours.

setUpLaunches();

const RUN_URL = 'https://github.com/acme/digits/actions/runs/1000';

async function runCheck(args: readonly string[], env: Record<string, string>) {
  return runProgramHere(check, { args, env: { ...sandbox.env, ...env }, cwd: folder, clock });
}

/** What an agent does when it has ended a training on a request to stop. */
async function overwriteReason(id: string): Promise<void> {
  await driver.call('tasks.stopped', {
    task: id,
    force: true,
    status_reason: 'task was stopped by tasks.stop',
    status_message: 'Changed by clearml-agent worker:0',
  });
}

const ENDS: Readonly<
  Record<string, { end(id: string): Promise<void>; code: number; cause: string; comment: string }>
> = {
  'the time-out': {
    async end(id) {
      const run = await runCheck([id, '--timeout', '90s'], await describePullRequest(7));
      expect(run.exitCode).toBe(124);
    },
    code: 124,
    cause: 'timeout: the time-out of 1m 30s passed before the training had ended',
    comment: 'Timed out',
  },
  'a newer commit': {
    async end() {
      repository.commit('Newer', { 'train_model.py': 'print(2)\n' });
      publish();
      await launchTask([], await describePullRequest(7, { id: '1001' }));
    },
    code: 4,
    cause: 'stopped: the task was superseded by commit ',
    comment: 'The newer commit is trained instead.',
  },
  'a run that is cancelled': {
    async end(id) {
      expect(await runCheck(['--abort', id], await describePullRequest(7))).toMatchObject({ exitCode: 0 });
    },
    code: 4,
    cause: 'stopped: the task was cancelled with workflow run 1000',
    comment: `[**Stopped**](${RUN_URL})`,
  },
  // `/abort` in a comment: a run that launched nothing, and that nobody has cancelled.
  'another run of the pull request': {
    async end() {
      const env = { GITHUB_EVENT_NAME: 'issue_comment', GITHUB_EVENT_PATH: join(folder, 'comment.json') };
      await writeFile(env.GITHUB_EVENT_PATH, JSON.stringify({ issue: { number: 7, pull_request: {} } }));
      const run = { ...(await describePullRequest(7, { id: '2000' })), ...env };
      expect(await runCheck(['--abort'], run)).toMatchObject({ exitCode: 0 });
    },
    code: 4,
    cause: 'stopped: the task was aborted by workflow run 2000',
    comment: '[**Stopped**](https://github.com/acme/digits/actions/runs/2000)',
  },
  'a pull request that is closed': {
    async end() {
      const env = await describePullRequest(7, { id: '2000' });
      const file = join(folder, 'closed.json');
      const event = JSON.parse(await readFile(env.GITHUB_EVENT_PATH ?? '', 'utf8'));
      await writeFile(file, JSON.stringify({ ...event, action: 'closed' }));
      expect(await runCheck(['--abort'], { ...env, GITHUB_EVENT_PATH: file })).toMatchObject({ exitCode: 0 });
    },
    code: 4,
    cause: 'stopped: the task was ended with pull request 7, which was closed',
    comment: 'reopen the pull request',
  },
};

test.each(Object.keys(ENDS))('%s is told as what ended the task', async (name) => {
  const { end, code, cause, comment: words } = ENDS[name] as (typeof ENDS)[string];
  const { id } = await launchTask([], await describePullRequest(7, { id: '1000' }));
  await driver.startTask(id);
  await end(id);
  expect((await driver.getTask(id)).status).toBe('stopped');
  await overwriteReason(id);

  const output = join(folder, 'output');
  await writeFile(output, '');
  const looked = await runCheck([id, '--json'], {
    ...(await describePullRequest(7, { id: '3000' })),
    GITHUB_OUTPUT: output,
  });
  expect(looked.exitCode).toBe(code);
  const [kind, message] = cause.split(': ');
  expect(JSON.parse(looked.stdout).tasks[0].cause).toMatchObject({
    kind,
    message: expect.stringContaining(message ?? ''),
  });

  const github = await startGithubSandbox({ pulls: [{ number: 7, headRef: 'feature', baseRef: 'main' }] });
  try {
    const env = { ...sandbox.env, ...github.env, ...(await describePullRequest(7)) };
    await runProgramHere(comment, { args: [id], env, cwd: folder, clock });
    const [posted] = github.comments(7);
    expect(posted?.body).toContain(words);
    expect(posted?.body).not.toContain('somebody');
  } finally {
    await github.close();
  }
});
