import { readdirSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { listMetrics } from '../../clearml/tasks.ts';
import { readFixture } from './fixture-file.ts';
import { readTable } from './page.ts';
import type { HyperParams } from './recorder.ts';

// The tables of the page for users, held to what the real libraries did: recorded by `npm run test:frameworks`.

interface Recording {
  readonly case: string;
  readonly sent: ReadonlyArray<{ readonly name: string; readonly value: string; readonly type?: string }>;
  readonly exitCode: number;
  readonly trainedWith?: Readonly<Record<string, unknown>>;
  readonly hyperparams: HyperParams;
}

interface FrontEnd {
  readonly fixture: string;
  /** Name of the learning rate. */
  readonly rate?: string;
  /** The case of a wrong name. */
  readonly typo?: string;
  /** What the code trains with where it is not given. */
  readonly defaults?: Readonly<Record<string, unknown>>;
}

/** Front ends by the name that the page has for them. */
const FRONT_ENDS: Readonly<Record<string, FrontEnd>> = {
  argparse: { fixture: 'argparse-plain' },
  'argparse, subparsers': { fixture: 'argparse-subparsers' },
  'click, one command': { fixture: 'click-command' },
  'click, group': { fixture: 'click-group' },
  typer: { fixture: 'typer-plain' },
  fire: { fixture: 'fire-function' },
  Hydra: { fixture: 'hydra-plain', typo: 'hydra, typo' },
  "Hydra's overrides": { fixture: 'hydra-plain', typo: 'overrides, typo' },
  'jsonargparse, parser': { fixture: 'jsonargparse-parser' },
  'jsonargparse, `auto_cli`': { fixture: 'jsonargparse-auto-cli' },
  LightningCLI: { fixture: 'lightning-cli', defaults: { epochs: 2 } },
  absl: { fixture: 'absl-flags', typo: 'defines, typo' },
  'simple-parsing': { fixture: 'simple-parsing' },
  'pydantic-settings': { fixture: 'pydantic-settings' },
  Transformers: { fixture: 'transformers-arguments', rate: 'learning_rate', defaults: { epochs: 1 } },
  Ultralytics: { fixture: 'ultralytics-arguments', rate: 'lr0' },
  '`task.connect`': { fixture: 'connect' },
  '`task.get_parameter`': { fixture: 'get-parameter' },
};

const readRecordings = (frontEnd: string) =>
  (readFixture(`frontends/${frontEnd}`) as { recordings: Recording[] }).recordings;

const rows = readTable('## Params');

test('the page has a row for each front end', () => {
  expect(rows.map(([name]) => name)).toEqual(Object.keys(FRONT_ENDS));
});

test.each(rows)('%s does what the page says', (label, arrives, name, others, typo) => {
  const { fixture, rate = 'lr', typo: wrong = 'typo', defaults } = FRONT_ENDS[label ?? ''] ?? { fixture: '' };
  const recordings = readRecordings(fixture);
  const sends = (param: string) => (recording: Recording) =>
    recording.sent.some((own) => own.value === '0.5' && formatName(own) === `\`${param}\``);
  expect({ arrives, others, typo }).toEqual({
    arrives: describeValue(recordings.find(sends(`Args/${rate}`))?.trainedWith?.[rate]),
    others: describeOthers(recordings, name ?? '', defaults),
    typo: describeExit(recordings.find((recording) => recording.case === wrong)?.exitCode),
  });
  const reached = recordings.filter(({ trainedWith }) => Number(trainedWith?.[rate]) === 0.5);
  if (name === 'none') expect(reached).toEqual([]);
  else expect(reached.flatMap(({ sent }) => sent.map(formatName))).toContain(name);
});

const formatName = ({ name, type }: Recording['sent'][number]) =>
  `\`${name}${type === undefined ? '' : `:${type}`}\``;

function describeValue(value: unknown): string {
  if (value === '0.5') return 'as text';
  return value === 0.5 ? 'yes' : 'no';
}

/** By what has another default, where it was not given and the rate was, by the name that reaches the training. */
function describeOthers(
  recordings: readonly Recording[],
  name: string,
  defaults: Readonly<Record<string, unknown>> = { seed: 0 },
): string {
  const reached = recordings.filter(
    ({ sent, trainedWith }) =>
      trainedWith !== undefined &&
      !sent.some((param) => Object.keys(defaults).some((key) => param.name.endsWith(key))) &&
      (name === 'none' || sent.some((param) => formatName(param) === name)),
  );
  expect(reached).not.toEqual([]);
  const isKept = ({ trainedWith }: Recording) =>
    Object.entries(defaults).every(([key, value]) => trainedWith?.[key] === value);
  return reached.every(isKept) ? 'yes' : '**no**';
}

function describeExit(exitCode: number | undefined): string {
  return exitCode === 0 ? 'silent' : `exit code ${exitCode}`;
}

describe('what is recorded', () => {
  const files = readdirSync(new URL('../../training/fixtures/frontends/', import.meta.url));
  const frontEnds = files.filter((file) => file.endsWith('.json')).map((file) => file.replace('.json', ''));

  // Those whose code has the last word.
  const others = frontEnds.filter(
    (name) => !/^(?:seed-overwritten|seed-logged|transformers-arguments|ultralytics-arguments)$/.test(name),
  );

  test.each(others)('%s leaves what was sent as it is, with no type but "str"', (frontEnd) => {
    for (const { sent, hyperparams } of readRecordings(frontEnd))
      for (const { name, value, type } of sent) {
        const [section = '', ...rest] = name.split('/');
        const own = hyperparams[section]?.[rest.join('/')] as { value?: string; type?: string } | undefined;
        expect([name, own?.value]).toEqual([name, value]);
        expect([undefined, type, 'str']).toContain(own?.type);
      }
  });
});

interface MetricsFixture {
  readonly exitCode: number;
  readonly lastMetrics: Parameters<typeof listMetrics>[0];
  readonly curves: Readonly<Record<string, readonly [count: number, first: number, last: number]>>;
  readonly bookkeeping: readonly string[];
}

const readMetrics = (name: string) => readFixture(`frameworks/${name}`) as MetricsFixture;

/** Trainings by the name that the page has for their framework. */
const FRAMEWORKS: Readonly<Record<string, string>> = {
  Lightning: 'lightning-tensorboard',
  Transformers: 'transformers-clearml',
  'Transformers, with TensorBoard': 'transformers-tensorboard',
  "torch's `SummaryWriter`": 'torch-tensorboard',
  tensorboardX: 'tensorboardx',
  XGBoost: 'xgboost-train',
  LightGBM: 'lightgbm-train',
  CatBoost: 'catboost-train',
  Keras: 'keras-callback',
  fastai: 'fastai-learner',
  Ultralytics: 'ultralytics-train',
  ignite: 'ignite-logger',
  '`HyperParameterOptimizer`, its own task': 'optimizer',
};

const frameworks = readTable('## Metrics');

test('the page has a row for each framework', () => {
  expect(frameworks.map(([name]) => name)).toEqual(Object.keys(FRAMEWORKS));
});

test.each(frameworks)('%s reports what the page says', (label, _, metrics, bookkeeping) => {
  const fixture = readMetrics(FRAMEWORKS[label ?? ''] ?? '');
  const names = listMetrics(fixture.lastMetrics).map(({ name }) => name);
  const listNames = (cell = '') => [...cell.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name);
  expect(fixture.exitCode).toBe(0);
  expect(names).toEqual(expect.arrayContaining([...listNames(metrics), ...listNames(bookkeeping)]));
  expect(fixture.bookkeeping).toEqual(expect.arrayContaining(listNames(bookkeeping)));
  for (const name of listNames(metrics)) expect(fixture.bookkeeping).not.toContain(name);
});

const reported = readdirSync(new URL('../../training/fixtures/frameworks/', import.meta.url))
  .filter((file) => file.endsWith('.json'))
  .map((file) => file.replace('.json', ''));

test.each(reported)('%s: each metric of the task is a curve or a single value', (name) => {
  const { lastMetrics, curves } = readMetrics(name);
  const [singles, others] = [true, false].map((kind) =>
    listMetrics(lastMetrics).filter(({ isSingle }) => isSingle === kind),
  );
  const titles = new Set(singles?.map(({ title }) => title));
  const drawn = Object.keys(curves).filter((curve) => !titles.has(curve.split('/')[0] ?? ''));
  expect(drawn.sort()).toEqual(others?.map((metric) => metric.name).sort());
  // Several reports of one iteration are one point.
  for (const metric of others ?? [])
    expect(metric.count).toBeGreaterThanOrEqual(curves[metric.name]?.[0] ?? 0);
});

test.each(['lightning-csv', 'transformers-default', 'keras-plain', 'keras-without-tensorflow'])(
  '%s completes, and no metric arrives',
  (name) => {
    expect(readMetrics(name)).toMatchObject({ exitCode: 0, lastMetrics: {}, curves: {} });
  },
);

test('two processes that both report give each iteration two reports, of which the last counts', () => {
  const [both, first] = ['two-ranks', 'two-ranks-first-only'].map((name) => readMetrics(name));
  const count = (fixture = both) =>
    listMetrics(fixture?.lastMetrics ?? {}).find(({ name }) => name === 'loss/train')?.count;
  expect([count(both), both?.curves['loss/train']]).toEqual([10, [5, 0, 4]]);
  expect([count(first), first?.curves['loss/train']]).toEqual([5, [5, 0, 4]]);
});

test('Transformers that reports to ClearML and to TensorBoard reports each number twice', () => {
  const [one, all] = ['transformers-clearml', 'transformers-all'].map((name) => {
    const { lastMetrics, curves } = readMetrics(name);
    const count = listMetrics(lastMetrics).find((metric) => metric.name === 'eval/loss')?.count;
    return [count, curves['eval/loss']?.[0]];
  });
  expect([one, all]).toEqual([
    [4, 3],
    [8, 3],
  ]);
});

test("fastai's own callback for TensorBoard reports the same numbers by other names", () => {
  const listNames = (name: string) => listMetrics(readMetrics(name).lastMetrics).map((metric) => metric.name);
  const added = listNames('fastai-tensorboard').filter((name) => !listNames('fastai-learner').includes(name));
  expect(added).toEqual(expect.arrayContaining(['valid_loss/valid_loss', 'accuracy/accuracy']));
  expect(listNames('fastai-tensorboard')).toEqual(expect.arrayContaining(listNames('fastai-learner')));
});

test('NaN arrives as 0.0, whether the training hears of it or not', () => {
  for (const name of ['logger-heard', 'logger-muted'])
    expect(listMetrics(readMetrics(name).lastMetrics)).toMatchObject([
      { name: 'val/loss', last: 0, count: 10 },
    ]);
});

test('one param discards the other defaults of LightningCLI; a connected dict leaves them', () => {
  const [nothing, one] = ['nothing', 'one'].map(
    (name) => readRecordings('lightning-cli').find((recording) => recording.case === name)?.trainedWith,
  );
  expect(nothing).toMatchObject({ lr: 0.1, epochs: 2, seed: 1 });
  expect(one).toMatchObject({ lr: 0.5, epochs: null });
  const [connected] = readRecordings('lightning-cli-connect');
  expect(connected?.trainedWith).toMatchObject({ lr: 0.5, epochs: 2, seed: 7 });
});

test('Transformers keeps what it is given only with the flag of type bool', () => {
  const seeds = readRecordings('transformers-arguments').map(({ case: name, trainedWith }) => [
    name,
    trainedWith?.seed,
  ]);
  expect(Object.fromEntries(seeds)).toEqual({
    args: 42,
    'without the flag': 42,
    'flag as text': 42,
    'flag as bool': 7,
    typo: 42,
  });
});

test('Ultralytics writes its own arguments over General; a connected dict reaches it', () => {
  const general = readRecordings('ultralytics-arguments').find(({ case: name }) => name === 'general');
  expect(general?.trainedWith).toMatchObject({ lr0: 0.01, seed: 0 });
  expect(general?.hyperparams.General).toMatchObject({ lr0: { value: '0.01' }, seed: { value: '0' } });
  const [connected] = readRecordings('ultralytics-connect');
  expect(connected?.trainedWith).toMatchObject({ lr0: 0.5, seed: 7, epochs: 1 });
  expect(connected?.hyperparams.General).toMatchObject({ lr0: { value: '0.5' }, seed: { value: '7' } });
});
