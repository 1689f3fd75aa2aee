import { expect, test } from '@jest/globals';
import type { ClearmlDriver, TaskDocument } from '../clearml-driver.ts';
import { prepareEnvironment } from './environments.ts';
import { readFixture, WRITES_RECORDINGS, writeFixture } from './fixture-file.ts';
import { METRICS, type MetricsCase } from './metrics.ts';
import { recordTraining } from './recorder.ts';

const FOLDER = new URL('trainings/', import.meta.url);

/** `[how many points, first iteration, last iteration]` of each curve. */
type Curves = Readonly<Record<string, readonly [number, number, number]>>;

interface Fixture {
  readonly exitCode: number | null;
  readonly lastMetrics: TaskDocument;
  readonly curves: Curves;
  readonly bookkeeping: readonly string[];
  readonly outputModels: number;
  readonly hyperparams: TaskDocument;
}

test.concurrent.each(Object.entries(METRICS))('%s', async (framework, metricsCase) => {
  const fixture = await record(framework, metricsCase);
  const name = `frameworks/${framework}`;
  if (WRITES_RECORDINGS) writeFixture(name, fixture);
  else expect(pickStable(fixture)).toEqual(pickStable(readFixture(name) as Fixture));
});

async function record(framework: string, { environment, command, env = {}, bookkeeping }: MetricsCase) {
  const { python, versions } = await prepareEnvironment(environment);
  let curves: Curves = {};
  const { task, exitCode, hyperparams, console } = await recordTraining(
    { python, folder: FOLDER, command: command ?? [`${framework}.py`], env },
    async (driver, id) => {
      curves = await listCurves(driver, id);
    },
  );
  const names = listNames(task.last_metrics);
  return {
    framework,
    versions: pickVersions(versions, framework),
    exitCode,
    lastIteration: task.last_iteration,
    lastMetrics: dropMonitor(task.last_metrics),
    curves,
    bookkeeping: names.filter((name) => bookkeeping?.test(name)),
    outputModels: task.models?.output?.length ?? 0,
    hyperparams,
    console,
  };
}

async function listCurves(driver: ClearmlDriver, task: string): Promise<Curves> {
  const histogram = await driver.call('events.scalar_metrics_iter_histogram', { task, samples: 6000 });
  const curves: Array<[string, [number, number, number]]> = [];
  for (const [title, series] of Object.entries(histogram)) {
    if (isMonitor(title)) continue;
    for (const [name, { x }] of Object.entries(series as Record<string, { x: number[] }>))
      curves.push([`${title}/${name}`, [x.length, x[0] ?? 0, x.at(-1) ?? 0]]);
  }
  return Object.fromEntries(curves.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** The agent's and the SDK's view of the machine. */
const isMonitor = (title: string) => title.startsWith(':monitor:');

function dropMonitor(lastMetrics: TaskDocument): TaskDocument {
  const kept = Object.entries(lastMetrics ?? {}).filter(
    ([, variants]) => !Object.values(variants as TaskDocument).some(({ metric }) => isMonitor(metric)),
  );
  return Object.fromEntries(kept);
}

function listNames(lastMetrics: TaskDocument): string[] {
  const variants = Object.values(dropMonitor(lastMetrics)).flatMap((series) =>
    Object.values(series as TaskDocument),
  );
  return variants.map(({ metric, variant }) => `${metric}/${variant}`).sort();
}

/** What must be the same again, on another machine too; numbers are not. */
function pickStable({ exitCode, lastMetrics, curves, bookkeeping, outputModels, hyperparams }: Fixture) {
  const params = Object.entries(hyperparams).map(([section, names]) => [section, Object.keys(names)]);
  return { exitCode, names: listNames(lastMetrics), curves, bookkeeping, outputModels, params };
}

/** Of the SDK, and of the packages that the training is named after. */
function pickVersions(versions: Readonly<Record<string, string>>, framework: string): Record<string, string> {
  const used = Object.entries(versions).filter(([name]) =>
    ['clearml', 'torch', 'tensorboard', framework.split('-')[0]].includes(name.toLowerCase().split('-')[0]),
  );
  return Object.fromEntries(used);
}
