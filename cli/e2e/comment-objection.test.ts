import { describe, expect, test } from '@jest/globals';
import { main } from '../create-stats-comment.ts';
import { createPatientClock } from '../dev/patient-clock.ts';
import { runProgramHere } from '../dev/program-run.ts';
import {
  base,
  GATED,
  head,
  older,
  prepareRun,
  setUpGates,
  type Training,
  train,
  trainSeeds,
} from './comment-gate-setup.ts';

setUpGates();

async function run(tasks: string, settings = GATED, flags: readonly string[] = [], inActions = true) {
  const { env, ...options } = prepareRun(tasks, settings, flags);
  const { exitCode, stderr } = await runProgramHere(main, {
    ...options,
    env: { ...env, ...(inActions ? { GITHUB_ACTIONS: 'true' } : {}) },
    clock: createPatientClock(),
  });
  return { exitCode, stderr, errors: stderr.split('\n').filter((line) => line.startsWith('::error')) };
}

async function trainWorse(training: Training = {}): Promise<string> {
  await trainSeeds(older, [0.8, 0.81, 0.805], training);
  await trainSeeds(base, [0.9, 0.91, 0.905], training);
  return trainSeeds(head, [0.7, 0.71, 0.705], training);
}

const HEADING = 'Regression: train: test/accuracy 0.705, -0.2 (worse) against main';
const WHY =
  'test/accuracy: Worse by 0.2. Chance alone makes fewer than 0.1% of unchanged pull requests look this bad.';

describe('why the job is red is in the log and an annotation, in the comment’s words:', () => {
  test.each([
    ['posted', []],
    ['printed', ['--dry-run']],
    ['as JSON', ['--json']],
  ])('a regression, %s', async (_, flags) => {
    const { exitCode, stderr, errors } = await run(await trainWorse(), GATED, flags);
    expect(exitCode).toBe(5);
    expect(stderr).toContain(`error: ${HEADING}\n${WHY}`);
    expect(errors).toEqual([expect.stringContaining(`::error::${HEADING}%0A${WHY.replace('%', '%25')}`)]);
  });

  test('outside Actions without the annotation; with --no-gate and a gate that warns not at all', async () => {
    const tasks = await trainWorse();
    const outside = await run(tasks, GATED, [], false);
    expect(outside.stderr).toContain(`error: ${HEADING}\n${WHY}`);
    expect(outside.errors).toEqual([]);
    for (const quiet of [
      await run(tasks, GATED, ['--no-gate']),
      await run(tasks, GATED.replace('fail', 'warn')),
    ]) {
      expect(quiet).toMatchObject({ exitCode: 0, errors: [] });
      expect(quiet.stderr).not.toContain('error:');
    }
  });

  test.each([
    ['a training that failed', 'failed', /^::error::train failed: .*%0AThe training failed\. /],
    [
      'one that has not ended',
      'none',
      /^::error::train is running.*%0AThe gate judges a training once it has completed/,
    ],
  ] as const)('%s', async (_, end, expected) => {
    const { exitCode, errors } = await run(await train(head, [0.9], { end }));
    expect(exitCode).toBe(6);
    expect(errors).toEqual([expect.stringMatching(expected)]);
  });

  test('a metric that nobody reported', async () => {
    await train(base, [0.9]);
    const { exitCode, errors } = await run(await train(head, [0.9], { metric: ['other', 'x'] }));
    expect(exitCode).toBe(6);
    expect(errors).toEqual([
      expect.stringMatching(
        /^::error::Undecided: train: test\/accuracy was not reported%0Atest\/accuracy: \S+/,
      ),
    ]);
  });

  test('the names of hostile metrics end no line and begin no command', async () => {
    const metric = ['a\n::error::b', '##[error]\u202e%0A'] as const;
    const settings = GATED.replace('test/accuracy', '"*"');
    const { exitCode, stderr, errors } = await run(await trainWorse({ metric }), settings);
    expect(exitCode).toBe(5);
    expect(errors).toHaveLength(1);
    expect(errors[0]).toContain('a ::error::b/##%5Berror]%250A 0.705');
    expect(stderr).toContain('error: Regression: train: a ::error::b/##\u200b[error]%0A 0.705');
  });
});
