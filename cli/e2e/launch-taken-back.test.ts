import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import type { TaskDocument } from '../dev/clearml-driver.ts';
import { runProgramHere } from '../dev/program-run.ts';
import { main } from '../launch-training-task.ts';
import {
  breakRequests,
  clock,
  describePullRequest,
  driver,
  folder,
  launch,
  launchTask,
  repository,
  sandbox,
  setUpLaunches,
} from './launch-setup.ts';

setUpLaunches();

describe('taken back', () => {
  /** Launches and runs `meanwhile` while the launch's enqueue is held up; the launch is then interrupted. */
  async function interruptAtEnqueue(
    meanwhile: () => Promise<unknown>,
    options: { isApplied: boolean; env?: Record<string, string>; args?: string[] },
  ) {
    let send: (signal: 'SIGINT') => void = () => undefined;
    const env = await breakRequests((endpoint, nth) => {
      if (endpoint !== 'tasks.enqueue') return undefined;
      if (nth === 1) setImmediate(() => void meanwhile().then(() => send('SIGINT')));
      return { kind: 'silence', isApplied: options.isApplied };
    });
    return runProgramHere(main, {
      args: options.args ?? [],
      cwd: repository.directory,
      clock,
      env: { ...sandbox.env, ...options.env, ...env },
      onStart: (deliver) => {
        send = deliver;
      },
    });
  }

  test.each([
    ['another pull request', 8],
    ['a launch without one', undefined],
  ] as const)('not what %s has taken over meanwhile', async (_, number) => {
    let taken: TaskDocument = {};
    const run = await interruptAtEnqueue(
      async () => {
        taken = await launchTask(
          [],
          number === undefined ? { GITHUB_REPOSITORY: 'acme/digits' } : await describePullRequest(number),
        );
      },
      { isApplied: false, env: await describePullRequest(7) },
    );
    expect(run.exitCode).toBe(130);
    expect(run.stderr).toContain(
      `leaving task ${taken.id} alone: another pull request uses it (${sandbox.webHost}/`,
    );
    expect(await driver.getTask(taken.id)).toMatchObject({ status: 'queued' });
  });

  test('a draft of an earlier launch that was queued goes back to being a draft', async () => {
    const { id } = await launchTask();
    await driver.call('tasks.dequeue', { task: id });
    const run = await interruptAtEnqueue(async () => undefined, { isApplied: true });
    expect(run.exitCode).toBe(130);
    expect(await driver.getTask(id)).toMatchObject({
      status: 'created',
      status_reason: 'launch was interrupted by SIGINT',
    });
  });

  test('when the outputs cannot be written: what later steps cannot find is not launched', async () => {
    const run = await launch([], { env: { GITHUB_OUTPUT: join(folder, 'no-such-folder/output') } });
    expect(run.exitCode).toBe(2);
    expect(run.stderr).toContain('GITHUB_OUTPUT names a file that cannot be written (ENOENT)');
    expect(await driver.listTasks()).toEqual([]);
  });

  test('and a launch whose draft vanishes with another one creates it again', async () => {
    let vanish = true;
    const env = await breakRequests((endpoint) => {
      if (endpoint === 'tasks.enqueue' && vanish) {
        vanish = false;
        return {
          kind: 'hold',
          until: driver.listTasks().then((tasks) => driver.call('tasks.delete', { task: tasks[0]?.id })),
        };
      }
      return undefined;
    });
    const run = await launch([], { env });
    expect(run.exitCode).toBe(0);
    expect((await driver.listTasks()).map((task) => [task.id, task.status])).toEqual([
      [run.stdout.trim(), 'queued'],
    ]);
  });
});
