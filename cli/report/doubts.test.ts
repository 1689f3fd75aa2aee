import { describe, expect, test } from '@jest/globals';
import { uniformFloat64 } from 'pure-rand/distribution/uniformFloat64';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import { makeReportedTask } from '../dev/made-up-report.ts';
import type { Goal } from '../gate/metric-rules.ts';
import type { Metric, MetricPick } from '../training/metrics.ts';
import { cleanCurve } from './drawing/curve.ts';
import { createDoubter, type FindDoubt } from './gate-input.ts';
import type { ReportedTask } from './reported-task.ts';

/** A metric as ClearML keeps it after these reports, one an iteration. */
function toMetric(name: string, series: readonly number[]): Metric {
  const [title = ''] = name.split('/');
  const [min, max] = [Math.min(...series), Math.max(...series)];
  const isSingle = title === 'Summary';
  return {
    name,
    title,
    series: name.slice(title.length + 1),
    first: series[0] ?? 0,
    last: series.at(-1) ?? 0,
    min,
    max,
    minAt: isSingle ? undefined : series.indexOf(min),
    maxAt: isSingle ? undefined : series.indexOf(max),
    mean: 0,
    count: series.length,
    isSingle,
  };
}

type Reports = Readonly<Record<string, readonly number[]>>;

interface World {
  /** The pull request's runs. */
  readonly own: readonly Reports[];
  /** Base commits, nearest first, each with its runs. */
  readonly base: ReadonlyArray<readonly Reports[]>;
}

/** Two sides as a report reads them: consoles and curves of the pull request and of the nearest base commit only. */
function open({ own, base }: World) {
  let count = 0;
  const toTask = (reports: Reports): ReportedTask => {
    count += 1;
    const metrics = Object.entries(reports).map(([name, series]) => toMetric(name, series));
    return makeReportedTask({ id: String(count).padStart(32, '0'), metrics });
  };
  const tasks = own.map(toTask);
  const history = base.map((runs, index) => ({
    commit: String(index),
    tree: '',
    commitsBehind: index,
    tasks: runs.map(toTask),
  }));
  const [nearest] = history;
  const read = [...tasks.map((task, index) => [task, own[index]] as const)].concat(
    (nearest?.tasks ?? []).map((task, index) => [task, base[0]?.[index]] as const),
  );
  const curves = new Map(
    read.map(([task, reports]) => [
      task.id,
      new Map(
        Object.entries(reports ?? {})
          .filter(([, series]) => series.length > 1)
          .map(([name, series]) => [name, cleanCurve([...series.keys()], series)]),
      ),
    ]),
  );
  const consoles = new Map(read.map(([{ id }]) => [id, { lines: [], isWhole: true }]));
  const findDoubt = createDoubter(
    {
      tasks,
      curves,
      consoles,
      baseline:
        nearest === undefined
          ? { kind: 'missing', reason: 'no-task', branch: 'main', commitsSearched: 1 }
          : {
              kind: 'found',
              by: 'branch',
              tasks: nearest.tasks,
              name: 'main',
              commit: '0',
              passedOver: 0,
              isSameTraining: false,
              history,
            },
    },
    [],
  );
  return { tasks, nearest: nearest?.tasks ?? [], findDoubt };
}

function doubtsOf(
  tasks: readonly ReportedTask[],
  findDoubt: FindDoubt,
  name: string,
  role: { readonly pick: MetricPick; readonly goal: Goal | undefined },
) {
  return tasks.map((task) => {
    const metric = task.metrics.find((one) => one.name === name);
    return metric && findDoubt(metric, role, task)?.kind;
  });
}

type Draw = () => number;

function createDraw(seed: number): Draw {
  const source = xoroshiro128plus(seed);
  return () => uniformFloat64(source);
}

// In jest's context each look at a global is slow.
const { cos, exp, floor, log, max, min, round, sqrt, PI } = Math;

function drawPoisson(mean: number, draw: Draw): number {
  if (mean > 30) return max(0, round(mean + sqrt(mean) * drawNormal(draw)));
  const limit = exp(-mean);
  let count = 0;
  for (let product = draw(); product > limit; product *= draw()) count += 1;
  return count;
}

function drawNormal(draw: Draw): number {
  return sqrt(-2 * log(1 - draw())) * cos(2 * PI * draw());
}

function pickOne<T>(items: readonly T[], draw: Draw): T {
  return items[floor(draw() * items.length)] as T;
}

/** A course of honest numbers; each run of a pipeline draws its own. */
type Course = () => readonly number[];

interface Kind {
  readonly name: string;
  readonly goal: Goal;
  readonly pick: MetricPick;
  readonly course: Course;
}

/** An error rate over some samples that falls to a rest of a few errors, or none. */
function fallToRest(draw: Draw, epochs = 3 + floor(draw() * 28)): Course {
  const samples = pickOne([40, 200, 1000, 5000, 10_000], draw);
  const start = 0.05 + 0.85 * draw();
  const rest = pickOne([0, 0, 0.2, 1, 3], draw) / samples;
  const speed = 0.3 + 0.6 * draw();
  return () =>
    Array.from({ length: epochs }, (_, at) => {
      const errors = drawPoisson((rest + start * speed ** at) * samples, draw);
      return min(samples, errors) / samples;
    });
}

const HONEST: Readonly<Record<string, (draw: Draw) => Kind>> = {
  'an error rate that falls': (draw) => ({
    name: pickOne(['val/error', 'test/error_rate', 'eval/wer', 'valid/merror'], draw),
    goal: 'minimize',
    pick: pickOne(['last', 'min'], draw),
    course: fallToRest(draw),
  }),
  'an error rate of an early-stopped run': (draw) => ({
    name: 'val/error',
    goal: 'minimize',
    pick: pickOne(['last', 'min'], draw),
    course: fallToRest(draw, 2 + floor(draw() * 4)),
  }),
  'an error rate after a single epoch': (draw) => {
    const samples = pickOne([40, 200, 1000], draw);
    const errors = 6 * draw() ** 2;
    const course = () => [drawPoisson(errors, draw) / samples];
    return { name: 'val/error', goal: 'minimize', pick: 'last', course };
  },
  'a count by its name': (draw) => {
    const mean = 3 * draw() ** 2;
    const length = 1 + floor(draw() * 20);
    const course = () => Array.from({ length }, () => drawPoisson(mean, draw));
    return { name: 'test/failures', goal: 'minimize', pick: pickOne(['last', 'min'], draw), course };
  },
  'a count by its numbers': (draw) => {
    const mean = 2 + 8 * draw();
    const length = 2 + floor(draw() * 20);
    const course = () => Array.from({ length }, (_, at) => drawPoisson(mean * 0.7 ** at, draw));
    return { name: 'test/bugs', goal: 'minimize', pick: pickOne(['last', 'min'], draw), course };
  },
  'a sparsity that is always 0': (draw) => {
    const length = 1 + floor(draw() * 20);
    const course = () => Array.from({ length }, () => 0);
    return { name: 'model/sparsity', goal: pickOne(['minimize', 'maximize'], draw), pick: 'last', course };
  },
  'a learning rate that decays to 0': (draw) => {
    const length = 2 + floor(draw() * 40);
    const top = 10 ** (-5 * draw());
    const isCosine = draw() < 0.5;
    const course = () =>
      Array.from({ length }, (_, at) => {
        const rest = 1 - at / (length - 1);
        return top * (isCosine ? (1 - cos(PI * rest)) / 2 : rest);
      });
    return { name: 'train/learning_rate', goal: 'minimize', pick: 'last', course };
  },
  'an accuracy that begins at 0': (draw) => {
    const length = 2 + floor(draw() * 20);
    const samples = pickOne([40, 200, 10_000], draw);
    const course = () =>
      Array.from({ length }, (_, at) =>
        at === 0 ? 0 : round(samples * (0.9 - 0.8 * 0.7 ** at + 0.02 * draw())) / samples,
      );
    return { name: 'val/accuracy', goal: 'maximize', pick: pickOne(['last', 'min', 'max'], draw), course };
  },
  'a bounded number with many decimals': (draw) => {
    const length = 8 + floor(draw() * 30);
    const mean = 0.1 * draw();
    const course = () =>
      Array.from({ length }, () => max(0, mean + (0.03 + 0.03 * draw()) * drawNormal(draw)));
    return { name: 'val/gap', goal: 'minimize', pick: pickOne(['last', 'min'], draw), course };
  },
};

/** Share of honest pull requests of a kind with a number that is not believed. */
function measureFalseAlarms(kindOf: (draw: Draw) => Kind, draws: number, draw: Draw): number {
  let alarms = 0;
  for (let count = 0; count < draws; count += 1) {
    const { name, goal, pick, course } = kindOf(draw);
    const seeds = 1 + floor(draw() * 3);
    const trainSeeds = () => Array.from({ length: seeds }, () => ({ [name]: course() }));
    const base = Array.from({ length: 3 }, trainSeeds);
    const { tasks, nearest, findDoubt } = open({ own: trainSeeds(), base });
    const doubts = doubtsOf(tasks, findDoubt, name, { pick, goal });
    const onBase = doubtsOf(nearest, findDoubt, name, { pick, goal });
    if (doubts.some((kind) => kind !== undefined) || onBase.every((kind) => kind !== undefined)) alarms += 1;
  }
  return alarms / draws;
}

test('an honest 0 is believed in all but one of a thousand pull requests', () => {
  const draw = createDraw(16);
  const rates = Object.entries(HONEST).map(
    ([kind, kindOf]) => [kind, measureFalseAlarms(kindOf, 150, draw)] as const,
  );
  expect(rates.reduce((sum, [, rate]) => sum + rate, 0) / rates.length).toBeLessThanOrEqual(0.001);
  // None of them is left to the others.
  expect(rates.filter(([, rate]) => rate > 0.01)).toEqual([]);
});

/** A loss that falls, as floats do. */
const fall = (length: number, from = 2.3) =>
  Array.from({ length }, (_, at) => 0.31 + from / (at + 1) + 0.0137 * Math.sin(7 * at));
const put = (series: readonly number[], from: number, to: number, value = 0) =>
  series.map((point, at) => (at >= from && at < to ? value : point));

describe('a number that the SDK put in the place of NaN, without a word on the console, is doubted:', () => {
  const LOSSES = ['val/loss', 'eval/rmse', 'epoch_loss/epoch_loss', 'learn/Logloss'];
  const sound = fall(12);
  test.each<readonly [what: string, series: readonly number[], pick: MetricPick]>([
    ['NaN throughout', put(sound, 0, 12), 'last'],
    ['NaN throughout, the smallest counts', put(sound, 0, 12), 'min'],
    ['NaN in the only report', [0], 'last'],
    ['NaN from the second report on', put(sound, 1, 12), 'last'],
    ['NaN from the third report on', put(sound, 2, 12), 'last'],
    ['NaN from the sixth report on', put(sound, 5, 12), 'last'],
    ['NaN in the last report', put(sound, 11, 12), 'last'],
    ['NaN for a while, the smallest counts', put(sound, 4, 6), 'min'],
    ['NaN in the beginning, the smallest counts', put(sound, 0, 2), 'min'],
    ['an explosion, then infinite', [2.1, 8.3, 1e5, 3e30, 0, 0, 0], 'last'],
    ['another number throughout', put(sound, 0, 12, -1), 'last'],
    ['a large number throughout', put(sound, 0, 12, -999), 'last'],
    ['another number from the sixth report on', put(sound, 5, 12, -1), 'last'],
    ['another number for a while, the smallest counts', put(sound, 4, 6, -1), 'min'],
  ])('%s', (_, series, pick) => {
    for (const name of LOSSES) {
      const base = [2, 2.1, 2.2].map((from) => [{ [name]: fall(12, from) }]);
      const { tasks, findDoubt } = open({ own: [{ [name]: series }], base });
      expect(doubtsOf(tasks, findDoubt, name, { pick, goal: 'minimize' })).toEqual([
        expect.stringMatching(/^(?:unmeasured|unexpected-zero)$/),
      ]);
    }
  });

  test.each<readonly [string, Goal, readonly number[]]>([
    ['val/error', 'minimize', fall(6)],
    ['val/chamfer', 'minimize', fall(6)],
    ['val/accuracy', 'maximize', [0.5, 0.8, 0.91, 0.97]],
    ['val/accuracy', 'maximize', [1, 1, 1]],
    ['val/reward', 'maximize', [-200.3, -150.7, -121.9]],
    ['model/sparsity', 'maximize', [0.3, 0.32]],
  ])('%s (%s) is 0 in every report, and the base never was', (name, goal, series) => {
    const { tasks, findDoubt } = open({
      own: [{ [name]: series.map(() => 0) }],
      base: [[{ [name]: series }]],
    });
    expect(doubtsOf(tasks, findDoubt, name, { pick: 'last', goal })).toEqual(['unmeasured']);
  });

  test.each<readonly [string, readonly number[], readonly number[]]>([
    ['time/epoch', [30, 30], [2.5, 2.7]],
    ['tokens/total', [4000, 4000], [12.5, 13.5]],
    ['model/parameters', [7, 7], [1_200_000, 1_200_000]],
    ['val/accuracy', [1, 1], [0.97, 0.98]],
    ['val/loss', [25.5, 1e30], [0.3, 0.4]],
  ])('but %s may well be whole', (name, own, base) => {
    const { tasks, findDoubt } = open({ own: [{ [name]: own }], base: [[{ [name]: base }]] });
    expect(doubtsOf(tasks, findDoubt, name, { pick: 'last', goal: 'maximize' })).toEqual([undefined]);
  });

  test('a measure of the result is 0 in every report of a repository’s first run', () => {
    const { tasks, findDoubt } = open({ own: [{ 'val/loss': [0, 0, 0], 'x/y': [0, 0] }], base: [] });
    expect(doubtsOf(tasks, findDoubt, 'val/loss', { pick: 'last', goal: 'minimize' })).toEqual([
      'unmeasured',
    ]);
    // Nobody knows what this is.
    expect(doubtsOf(tasks, findDoubt, 'x/y', { pick: 'last', goal: undefined })).toEqual([undefined]);
  });

  test('a 0 that the base only leapt to speaks for nothing', () => {
    const name = 'val/loss';
    const own = [{ [name]: put(sound, 0, 12) }];
    const { tasks, findDoubt } = open({ own, base: [[{ [name]: put(sound, 4, 6) }]] });
    expect(doubtsOf(tasks, findDoubt, name, { pick: 'last', goal: 'minimize' })).toEqual(['unmeasured']);
  });

  test.each([[[2.3, 1.1, 0]], [[0, 0, 0]]])(
    'a loss that was %j in one of two base commits speaks for nothing',
    (old) => {
      for (const own of [put(fall(6), 3, 6), put(fall(6), 0, 6)]) {
        const base = [[{ 'val/loss': fall(6) }], [{ 'val/loss': old }]];
        const { tasks, findDoubt } = open({ own: [{ 'val/loss': own }], base });
        expect(doubtsOf(tasks, findDoubt, 'val/loss', { pick: 'last', goal: 'minimize' })).not.toEqual([
          undefined,
        ]);
      }
    },
  );

  test('a loss that was 0 in one of many base runs speaks for nothing, an error rate does', () => {
    for (const [name, expected] of [
      ['val/loss', 'unmeasured'],
      ['val/error', undefined],
    ] as const) {
      const base = [...[2, 2.1, 2.2].map((from) => [{ [name]: fall(6, from) }]), [{ [name]: [0, 0, 0] }]];
      const { tasks, findDoubt } = open({ own: [{ [name]: [0, 0, 0] }], base });
      expect(doubtsOf(tasks, findDoubt, name, { pick: 'last', goal: 'minimize' })).toEqual([expected]);
    }
  });

  test('the base’s own zeros are doubted alike, and believed where further commits have them too', () => {
    const name = 'test/error';
    const zeros = [{ [name]: [0, 0, 0] }];
    const own = [{ [name]: [0.31, 0.2, 0.17] }];
    const role = { pick: 'last', goal: 'minimize' } as const;
    const one = open({ own, base: [zeros] });
    expect(doubtsOf(one.nearest, one.findDoubt, name, role)).toEqual(['unmeasured']);
    const more = open({ own, base: [zeros, zeros] });
    expect(doubtsOf(more.nearest, more.findDoubt, name, role)).toEqual([undefined]);
  });
});

describe('a summary', () => {
  const role = { pick: 'last', goal: 'minimize' } as const;
  const base = [[{ 'train/loss': fall(6), 'Summary/train_loss': [0.9] }]];

  test.each<readonly [what: string, curve: readonly number[], mean: number]>([
    ['all zeros', [0, 0, 0, 0, 0, 0], 0],
    ['zeros from the third report on', put(fall(6), 2, 6), 0.63],
    ['zeros for a while', put(fall(6), 2, 4), 0.63],
  ])('of %s shares the doubt of the curve', (_, curve, mean) => {
    for (const name of ['Summary/train_loss', 'train/train_loss']) {
      const own = [{ 'train/loss': curve, [name]: [mean] }];
      const { tasks, findDoubt } = open({ own, base });
      expect(doubtsOf(tasks, findDoubt, name, role)).toEqual(['unmeasured']);
    }
  });

  test('of a sound curve, of another one, or a copy of the sound last value is a number', () => {
    const curve = put(fall(6), 2, 4);
    const own = [
      { 'train/loss': fall(6), 'Summary/train_loss': [0.9] },
      { 'eval/loss': put(fall(6), 2, 6), 'Summary/train_loss': [0.9] },
      { 'train/loss': curve, 'Summary/train_loss': [curve[5] ?? 0] },
    ];
    const { tasks, findDoubt } = open({ own, base });
    expect(doubtsOf(tasks, findDoubt, 'Summary/train_loss', role)).toEqual([undefined, undefined, undefined]);
  });
});
