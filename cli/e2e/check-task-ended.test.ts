import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import {
  check,
  createRunningTask,
  driver,
  folder,
  plan,
  projectId,
  readOutputs,
  sandbox,
  setUpChecks,
} from './check-task-setup.ts';

setUpChecks();

describe('a task that has ended', () => {
  const ends: Record<
    string,
    { end: (id: string) => Promise<unknown>; exitCode: number; status: string; cause: RegExp | null }
  > = {
    completed: { end: (id) => driver.completeTask(id), exitCode: 0, status: 'completed', cause: null },
    published: {
      end: async (id) => {
        await driver.completeTask(id);
        await driver.call('tasks.publish', { task: id });
      },
      exitCode: 0,
      status: 'published',
      cause: null,
    },
    failed: {
      end: (id) => driver.failTask(id, 'worker execution exit code 3'),
      exitCode: 3,
      status: 'failed',
      cause: /^training: the training ended with exit code 3$/,
    },
    'stopped by a person': {
      end: (id) => driver.call('tasks.stop', { task: id }),
      exitCode: 4,
      status: 'stopped',
      cause: /^stopped: the task was stopped by \S/,
    },
    'stopped by the server, its worker being lost': {
      end: (id) =>
        driver.call('tasks.stopped', {
          task: id,
          force: true,
          status_reason: 'Forced stop (non-responsive)',
          status_message: 'Forced stop (non-responsive)',
        }),
      exitCode: 3,
      status: 'stopped',
      cause: /^worker-lost: /,
    },
    closed: {
      end: async (id) => {
        await driver.call('tasks.stopped', { task: id, force: true });
        await driver.call('tasks.close', { task: id });
      },
      exitCode: 4,
      status: 'closed',
      cause: /^stopped: the task was closed by somebody$/,
    },
  };
  const cases = Object.entries(ends).map(([name, expected], index) => ({
    name,
    expected,
    run: plan(async () => {
      const id = await createRunningTask();
      await expected.end(id);
      const outputs = join(folder, `outputs-${index}`);
      await writeFile(outputs, '');
      return { ...(await check([id], { env: { GITHUB_OUTPUT: outputs } })), outputs };
    }),
  }));

  test.each(cases)(
    '$name: the contract’s exit code, its status on stdout, the talk on stderr',
    async ({ expected, run: finish }) => {
      const run = await finish();
      expect(run).toMatchObject({ exitCode: expected.exitCode, stdout: `${expected.status}\n` });
      const written = await readOutputs(run.outputs);
      expect(Object.keys(written)).toEqual(['status', 'duration-seconds', 'cause']);
      expect(written.status).toBe(expected.status);
      expect(written['duration-seconds']).toMatch(/^\d+$/);
      expect(written.cause).toMatch(expected.cause ?? /^$/);
      expect(run.stderr).toMatch(
        expected.cause === null ? /^task \S+ "train" is/m : /^error: task \S+ "train" /m,
      );
      expect(run.stderr).toContain(`${sandbox.webHost}/projects/${projectId}/tasks/`);
    },
  );
});
