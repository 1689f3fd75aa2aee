import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { listMetrics } from '../../clearml/tasks.ts';
import { type EnvironmentName, prepareEnvironment } from './environments.ts';
import { listCode } from './page.ts';
import { recordTraining, type SentParam } from './recorder.ts';

// What the page for users shows is taken from it and run.

const FRONT_ENDS = new URL('front-ends/', import.meta.url);
const folder = mkdtempSync(join(tmpdir(), 'clearml-ci-page-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Each training of the page: what it trains with, and its metric that the gate would take. */
const TRAININGS: ReadonlyArray<
  readonly [heading: string, environment: EnvironmentName, rate: string, metric: string]
> = [
  ['Lightning', 'torch', 'lr', 'val_loss/val_loss'],
  ['Transformers', 'torch', 'learning_rate', 'eval/loss'],
  ['XGBoost', 'torch', 'eta', 'valid/logloss'],
];

test.concurrent.each(TRAININGS)(
  'the training with %s keeps its params and seeds, and reports',
  async (heading, environment, rate, metric) => {
    const [script] = listCode(`### ${heading}`, 'python');
    const file = `${heading.toLowerCase()}-page.py`;
    writeFileSync(join(folder, file), script ?? '');
    const { python } = await prepareEnvironment(environment);
    const run = (params: readonly SentParam[]) =>
      recordTraining({ python, folder: pathToFileURL(`${folder}/`), command: [file], params });
    const base: readonly SentParam[] = [['General/seed', '1']];
    const runs = [
      base,
      base,
      [['General/seed', '2']],
      [...base, [`General/${rate}`, '0.01']],
    ] as const satisfies ReadonlyArray<readonly SentParam[]>;
    const values = await Promise.all(
      runs.map(async (params) => {
        const { exitCode, hyperparams, task } = await run(params);
        expect(exitCode).toBe(0);
        for (const [name, value] of params) {
          const [section = '', key = ''] = name.split('/');
          expect(hyperparams[section]?.[key]).toMatchObject({ value });
        }
        const found = listMetrics(task.last_metrics).find(({ name }) => name === metric);
        expect(found?.count).toBeGreaterThan(1);
        return found?.last;
      }),
    );
    const [first, same, otherSeed, otherRate] = values;
    expect(same).toBe(first);
    expect(otherSeed).not.toBe(first);
    expect(otherRate).not.toBe(first);
  },
);

/** What `## Seeds` shows, in its order, and front ends that it is for. */
const SEEDS: ReadonlyArray<readonly [frontEnd: string, environment: EnvironmentName, block: number]> = [
  ['hydra-plain', 'front-ends', 0],
  ['transformers-arguments', 'torch', 1],
  ['click-connect', 'front-ends', 2],
  ['lightning-cli-connect', 'torch', 2],
];

interface Settings {
  readonly seeds: number;
  readonly 'seed-param': string;
  readonly params?: Readonly<Record<string, { readonly value: unknown; readonly type: string }>>;
}

test.concurrent.each(SEEDS)('three seeds of %s are three, and kept', async (frontEnd, environment, block) => {
  const settings = parse(listCode('## Seeds', 'yaml')[block] ?? '') as Settings;
  const typed = Object.entries(settings.params ?? {}).map(
    ([name, { value, type }]): SentParam => [name, String(value), type],
  );
  const { python } = await prepareEnvironment(environment);
  const seeds = Array.from({ length: settings.seeds }, (_, index) => index + 1);
  const trained = await Promise.all(
    seeds.map(async (seed) => {
      const params: SentParam[] = [...typed, [settings['seed-param'], String(seed)]];
      const command = [`${frontEnd}.py`];
      const { trainedWith } = await recordTraining({ python, folder: FRONT_ENDS, command, params });
      return (trainedWith as { seed?: unknown } | undefined)?.seed;
    }),
  );
  expect(trained).toEqual(seeds);
});
