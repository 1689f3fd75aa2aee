import { expect, test } from '@jest/globals';
import { runProgramProcess } from '../dev/program-run.ts';
import {
  base,
  GATED,
  head,
  older,
  prepareRun,
  readResult,
  setUpGates,
  trainSeeds,
} from './comment-gate-setup.ts';

setUpGates();

test('three seeds that are worse than the base’s three are a regression: exit code 5, as a process', async () => {
  await trainSeeds(older, [0.8, 0.81, 0.805]);
  await trainSeeds(base, [0.9, 0.91, 0.905]);
  const tasks = await trainSeeds(head, [0.7, 0.71, 0.705]);
  const { exitCode } = await runProgramProcess('create-stats-comment', prepareRun(tasks, GATED));
  const { body, verdict, metrics } = readResult();
  expect(exitCode).toBe(5);
  expect(verdict).toBe('regression');
  expect(metrics).toEqual([
    {
      metric: 'test/accuracy',
      value: expect.closeTo(0.705),
      baseline: expect.closeTo(0.905),
      change: expect.closeTo(-0.2),
      verdict: 'regression',
    },
  ]);
  expect(body.split('\n')[1]).toBe(
    '### ❌ **Regression**: `train`: `test/accuracy` **0.705**, -0.2 (worse) against `main`',
  );
  // One row tells the metric, with one ±; the words below say how it was judged.
  expect(body.match(/^\| `test\/accuracy`.*$/gm)).toEqual([
    expect.stringMatching(
      /^\| `test\/accuracy` \| \*\*regression\*\* \| \*\*0\.705\*\* \| 0\.905 \| -0\.2 \(-22\.1%\) \*\*▼\u00a0worse\*\* \| ±\u00a00\.0\d+ \|/,
    ),
  ]);
  expect(body).toContain('| Metric | Verdict | This pull request | `main` | Change | Noise |');
  expect(body).toContain(
    'Worse by 0.2. Chance alone makes fewer than 0.1% of unchanged pull requests look this bad.',
  );
  expect(body).toContain(
    't-test, 3 runs against 3 runs; the standard deviation between runs of the same code is 0.005',
  );
  expect(body).toContain('The base’s commits, with this pull request last: `▅█▁`');
});
