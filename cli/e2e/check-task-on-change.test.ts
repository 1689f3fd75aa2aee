import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { check, createQueuedTask, driver, folder, inActions, setUpChecks } from './check-task-setup.ts';

setUpChecks();

/** Writes down what the task's status was whenever the command ran. */
const note = (file: string) =>
  `echo "$TASK_IDS $GITHUB_OUTPUT$GITHUB_STEP_SUMMARY" >> ${file}; echo said; exit 5`;

test('the command runs as the task waits and as it runs, beside outputs, stdout and exit code', async () => {
  const id = await createQueuedTask();
  const outputs = join(folder, 'outputs');
  writeFileSync(outputs, '');
  let runs = 0;
  const run = await check([id, '--poll-interval', '100ms', '--on-change', note('notes')], {
    env: { ...inActions(), GITHUB_OUTPUT: outputs, GITHUB_STEP_SUMMARY: join(folder, 'summary') },
    onStderr: (text) => {
      for (const _ of text.matchAll(/on-change exited with code 5/g)) {
        runs += 1;
        if (runs === 1) void driver.startTask(id);
        if (runs === 2) void driver.call('tasks.completed', { task: id });
      }
    },
  });
  expect(readFileSync(join(folder, 'notes'), 'utf8')).toBe(`${id} \n${id} \n`);
  expect(run).toMatchObject({ exitCode: 0, stdout: 'completed\n' });
  expect(run.stderr.match(/^said$/gm)).toHaveLength(2);
  expect(run.stderr).toContain('::warning::the command of --on-change exited with code 5');
  expect(readFileSync(outputs, 'utf8')).toContain('completed');
});

test('a task that has ended already is not told, and --abort does not run the command', async () => {
  const id = await createQueuedTask();
  await driver.startTask(id);
  await driver.call('tasks.completed', { task: id });
  expect((await check([id, '--on-change', note('ended')])).stderr).not.toContain('said');

  const waiting = await createQueuedTask();
  const aborted = await check(['--abort', waiting, '--on-change', note('aborted')]);
  expect(aborted.exitCode).toBe(0);
  expect(aborted.stderr).toContain('ignoring --on-change: --abort does not wait for the training');
  expect(aborted.stderr).not.toContain('said');
});
