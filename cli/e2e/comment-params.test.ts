import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import type { DeclaredParam } from '../dev/clearml-driver.ts';
import {
  base,
  directory,
  driver,
  GATED,
  head,
  judge,
  setUpGates,
  type Training,
  train,
  trainSeeds,
} from './comment-gate-setup.ts';

setUpGates();

const LR: Readonly<Record<string, DeclaredParam>> = {
  'Args/lr': { value: '0.1', type: 'float', description: 'None' },
};
const EPOCHS: Readonly<Record<string, DeclaredParam>> = {
  'Args/epochs': { value: '5', type: 'int', description: 'None' },
};

/** Compares a pull request's task with the base's, which was given nothing but its seed. */
async function compare(
  training: Training,
  baseTraining: Training = { given: [], declared: { ...LR, ...EPOCHS } },
) {
  await train(base, [0.9], baseTraining);
  const task = await train(head, [0.9], training);
  const { stdout, body } = await judge(task, 'project: digits\n', ['--json']);
  const report = JSON.parse(stdout);
  return { body, report, params: report.tasks[0].params };
}

describe('params that did not reach the training', () => {
  test.each<[string, Training, string, object]>([
    [
      'a misspelt one',
      { given: [{ name: 'Args/lrr', value: '0.5' }], declared: { ...LR, ...EPOCHS } },
      '**`lrr` did not reach the training**, it seems: the training declares `lr`.',
      { name: 'Args/lrr', given: '0.5', value: '0.5', state: 'undeclared' },
    ],
    [
      'one of another section',
      { given: [{ name: 'General/lr', value: '0.5' }], declared: { ...LR, ...EPOCHS } },
      '**`General/lr` did not reach the training**, it seems: the training declares `Args/lr`.',
      { name: 'General/lr', given: '0.5', value: '0.5', state: 'undeclared' },
    ],
    [
      'one of a training that uses Hydra',
      {
        given: [{ name: 'Args/lr', value: '0.5' }],
        declared: { 'Hydra/_allow_omegaconf_edit_': { value: 'False', type: 'bool' } },
      },
      '**`Args/lr` did not reach the training**, it seems: the training declares `Hydra/lr`.',
      { name: 'Args/lr', given: '0.5', value: '0.5', state: 'undeclared' },
    ],
    [
      'one that the training sets',
      {
        given: [{ name: 'Transformers/learning_rate', value: '0.5' }],
        declared: { 'Transformers/learning_rate': { value: '5e-05', type: 'float' } },
      },
      '**`Transformers/learning_rate` was overwritten**: the launch gave `0.5`, and the task holds `5e-05`.',
      { name: 'Transformers/learning_rate', given: '0.5', value: '5e-05', state: 'overwritten' },
    ],
    [
      'one that nothing declares',
      { given: [{ name: 'Model/depth', value: '3' }], declared: EPOCHS },
      '**Nothing shows that `Model/depth` reached the training**: nothing in its task declared it.',
      { name: 'Model/depth', given: '3', value: '3', state: 'undeclared' },
    ],
  ])('%s: noticed, in the JSON document, and no change', async (_, training, notice, param) => {
    const { body, report, params } = await compare(training, { given: [] });

    expect(body).toMatch(/^> \[!NOTE\]$/m);
    expect(body).toContain(notice);
    expect(params).toContainEqual(param);
    expect(report.params.map((difference: { param: string }) => difference.param)).not.toContain(
      training.given?.[0]?.name,
    );
    expect(body).not.toMatch(/Changed:.*(?:lrr|General|`0\.5`|Transformers|Model)/);
  });

  test('one that arrived is a change, and no notice', async () => {
    const { body, params } = await compare({ given: [{ name: 'Args/lr', value: '5e-1' }], declared: EPOCHS });
    expect(params).toContainEqual({ name: 'Args/lr', given: '5e-1', value: '5e-1', state: 'kept' });
    expect(body).toContain('Changed: `lr` `0.1` → `5e-1`');
    expect(body).not.toContain('did not reach');
  });

  test('one that the base declares is known to arrive, although its own task shows nothing', async () => {
    const { body, params } = await compare({ given: [{ name: 'Args/lr', value: '0.5' }] });
    expect(params).toContainEqual({ name: 'Args/lr', given: '0.5', value: '0.5', state: 'kept' });
    expect(body).not.toContain('`lr` did not reach');
  });

  test('a misspelt one of the base is no change when it goes', async () => {
    const { report } = await compare(
      { given: [], declared: { ...LR, ...EPOCHS } },
      { given: [{ name: 'Args/lrr', value: '0.5' }], declared: { ...LR, ...EPOCHS } },
    );
    expect(report.params).toEqual([]);
  });

  test('a task of an older launch has no states', async () => {
    const { body, params } = await compare({ declared: EPOCHS }, {});
    expect(params).toEqual([]);
    expect(body).not.toContain('did not reach');
  });

  test('a task that still runs is told of what is known, and one that waits of nothing', async () => {
    const given = [{ name: 'Args/lrr', value: '0.5' }];
    const running = await train(head, [0.1, 0.2], { given, declared: LR, end: 'none' });
    expect((await judge(running, 'project: digits\n')).body).toContain('`lrr` did not reach the training');
    const waiting = await driver.createTask({ runtime: { ci_given: '[["Args/lrr","0.5"]]' } });
    const { stdout } = await judge(waiting, 'project: digits\n', ['--json']);
    expect(JSON.parse(stdout).tasks[0].params).toEqual([]);
  });

  test('a template shows that one did not arrive', async () => {
    writeFileSync(join(directory, 'own.md'), 'lrr {{param: lrr}}, lr {{param: lr}}\n');
    const task = await train(head, [0.9], { given: [{ name: 'Args/lrr', value: '0.5' }], declared: LR });
    const { body } = await judge(task, 'project: digits\n', ['--template', 'own.md']);
    expect(body).toContain('lrr `0.5` (did not reach the training, it seems), lr `0.1`');
  });

  test('hostile names and values are quoted', async () => {
    const name = 'Args/<img src=x>@octocat\n# [x](y)`';
    const { body } = await compare({
      given: [{ name, value: '`**x**' }],
      declared: { ...LR, [name]: { value: '# y', type: 'str' } },
    });
    expect(body).toMatch(/\*\*`` <img src=x>@octocat # \[x\]\(y\)` `` was overwritten\*\*/);
    expect(body).not.toMatch(/^# /m);
  });
});

describe('seeds that did not reach the training', () => {
  const CONNECTED: Training = { given: [], declared: { 'General/seed': { value: '0', type: 'int' } } };

  test('are said beside the verdict and in the gate’s words, on both sides', async () => {
    await trainSeeds(base, [0.81, 0.8, 0.82], CONNECTED);
    const { body, stdout } = await judge(await trainSeeds(head, [0.8, 0.82, 0.81], CONNECTED), GATED, [
      '--json',
    ]);
    expect(body).toContain(
      '> **The seeds did not reach the training**, it seems, which declares `General/seed` and not `Args/seed`. The 3 runs may be the same training. Set `seed-param` to what the training reads.',
    );
    for (const side of ['here', 'on the base']) {
      expect(body).toContain(
        `Nothing shows that the seeds of 3 runs ${side} reached the training: these runs may be the same training.`,
      );
    }
    expect(JSON.parse(stdout).lost).toMatchObject([
      { name: 'Args/seed', near: 'General/seed', tasks: 3, isSeed: true },
    ]);
  });

  test('are no repetition where only one run lost its own', async () => {
    const others = await trainSeeds(head, [0.8, 0.82], { given: [], declared: EPOCHS });
    const { body } = await judge(`${others} ${await train(head, [0.81], { ...CONNECTED, seed: 3 })}`);
    expect(body).toContain('**`Args/seed` did not reach the training**, it seems: the training declares');
    expect(body).toContain('Nothing shows that the seed of 1 run here reached the training.');
    expect(body).not.toContain('may be the same training');
  });

  test('are said with the first runs of a repository too', async () => {
    const { body } = await judge(await trainSeeds(head, [0.8, 0.82], CONNECTED));
    expect(body).toContain('Nothing shows that the seeds of 2 runs here reached the training');
  });

  test('are one run where the runs are bit-identical but for their runtime', async () => {
    const runSeeds = async (commit: string) => {
      const tasks: string[] = [];
      for (const seed of [1, 2, 3]) {
        const task = await train(commit, [0.8, 0.9], { ...CONNECTED, seed, end: 'none' });
        await driver.reportScalars(task, 'eval', 'runtime', [10 + seed / 7]);
        await driver.reportScalars(task, 'eval', 'min_dcf', [0.2]);
        await driver.completeTask(task);
        tasks.push(task);
      }
      return tasks.join(' ');
    };
    await runSeeds(base);
    const { body } = await judge(await runSeeds(head));
    expect(body).toContain('3 seeds gave bit-identical results in every metric here.');
  });

  test('and that arrived are not mentioned', async () => {
    const arrived: Training = { given: [], declared: EPOCHS };
    await trainSeeds(base, [0.81, 0.8, 0.82], arrived);
    const { body } = await judge(await trainSeeds(head, [0.8, 0.82, 0.81], arrived));
    expect(body).not.toContain('did not reach');
  });
});
