import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import {
  directory,
  driver,
  github,
  makeEnv,
  readOutputs,
  run,
  setUpComments,
  trainTask,
  writeSettings,
} from './comment-setup.ts';

setUpComments();

const GATED = 'metrics: [{ metric: test_accuracy/accuracy, goal: maximize, gate: fail }]';

function readSummary(): string | undefined {
  const file = join(directory, 'summary.md');
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined;
}

test.each(['queued', 'in_progress'] as const)(
  'a task that is %s gets a comment and no job summary',
  async (end) => {
    const task = await trainTask(0.9, end);
    expect(await run([task])).toMatchObject({ exitCode: 0 });
    expect(github.comments(7)).toHaveLength(1);
    expect(readOutputs().verdict).toBe('pending');
    expect(readSummary()).toBeUndefined();
  },
);

test('reports before and after the wait leave one summary, the last', async () => {
  const task = await trainTask(0.9, 'in_progress');
  await run([task, '--no-gate', '--no-summary']);
  await driver.completeTask(task);
  await run([task]);
  expect(readSummary()?.match(/^### .*$/gm)).toEqual([expect.stringContaining('**0.9**')]);
});

test('--no-summary leaves out the summary of an ended task, and nothing else', async () => {
  const task = await trainTask();
  expect(await run([task, '--no-summary'])).toMatchObject({ exitCode: 0 });
  expect(github.comments(7)).toHaveLength(1);
  expect(readOutputs()).toHaveProperty('comment-id');
  expect(readSummary()).toBeUndefined();
});

test.each(['completed', 'failed'] as const)('a task that is %s has its summary', async (end) => {
  await run([await trainTask(0.9, end)]);
  expect(readSummary()).toMatch(/^### \S+ `train digits`/u);
});

test('a job that fails because the training has not ended has its summary: it is the last word', async () => {
  writeSettings(GATED);
  const task = await trainTask(0.9, 'in_progress');
  expect(await run([task, '--config', 'settings.yml'])).toMatchObject({ exitCode: 6 });
  expect(readSummary()).toContain('is running');
});

test('a report that GitHub refuses leaves its summary only once the training has ended', async () => {
  const env = makeEnv({ GH_TOKEN: github.readOnlyToken });
  const early = await run([await trainTask(0.9, 'in_progress')], env);
  expect(early.stderr).toMatch(/GitHub refuses the comment/);
  expect(early.stderr).not.toContain('job summary');
  expect(readSummary()).toBeUndefined();
  const last = await run([await trainTask(0.9)], env);
  expect(last.stderr).toContain('The report is in the job summary');
  expect(readSummary()).toContain('**0.9**');
});
