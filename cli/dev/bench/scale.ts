import { startSandbox } from '../../sandbox/sandbox.ts';
import { type ClearmlDriver, createClearmlDriver } from '../clearml-driver.ts';
import { startFaultProxy } from '../fault-proxy.ts';
import { answerLargeTask } from '../large-task.ts';
import { locateBundle } from '../program-run.ts';
import { type MeasuredProcess, measureProcess } from './measured-process.ts';
import type { Curve } from './picture.ts';
import { PROGRAMS, type Step } from './sides.ts';
import { median } from './statistics.ts';

const BATCH = 500;

interface Subject {
  readonly title: string;
  readonly unit: string;
  readonly step: Step;
  readonly sizes: readonly number[];
  readonly options: readonly string[];
  /** Makes what is looked at, of a size; gives the ids. */
  prepare(driver: ClearmlDriver, size: number): Promise<string[]>;
  /** What ClearML tells of the task instead, where it is more than the sandbox would keep. */
  answer?(document: object, size: number): string;
}

const SUBJECTS: readonly Subject[] = [
  {
    title: 'A report',
    unit: 'metrics',
    step: 'comment',
    sizes: [10, 100, 1000, 10_000],
    options: ['--dry-run'],
    prepare: (driver) => endTasks(driver, 1),
    answer: answerLargeTask,
  },
  {
    title: 'A report',
    unit: 'points of a curve',
    step: 'comment',
    sizes: [10, 100, 1000, 10_000],
    options: ['--dry-run'],
    prepare: reportPoints,
  },
  {
    title: 'A wait',
    unit: 'tasks',
    step: 'check',
    sizes: [1, 10, 100, 1000],
    options: ['--no-logs'],
    prepare: endTasks,
  },
  {
    title: 'A wait',
    unit: 'lines of the log',
    step: 'check',
    sizes: [1000, 10_000, 100_000, 1_000_000],
    options: [],
    prepare: writeLog,
  },
];

/** How a report grows with its metrics and its curves, and a wait with its tasks and their log: what a release runs. */
export async function measureScale(
  node: string,
  directory: string,
  repeats: number,
  say: (line: string) => void,
): Promise<Curve[]> {
  const curves: Curve[] = [];
  for (const subject of SUBJECTS) {
    const points: Curve['points'][number][] = [];
    for (const size of subject.sizes) {
      const runs = await measureSize(subject, size, node, directory, repeats);
      const seconds = median(runs.map(({ beganAtMs, endedAtMs }) => (endedAtMs - beganAtMs) / 1000));
      const peakMib = median(runs.map((run) => run.peakMib));
      points.push({ size, seconds, peakMib });
      say(`${subject.title}, ${subject.unit}: ${size} in ${seconds.toFixed(2)} s, ${peakMib.toFixed(0)} MiB`);
    }
    curves.push({ title: subject.title, unit: subject.unit, points });
  }
  return curves;
}

async function measureSize(
  { unit, step, options, prepare, answer }: Subject,
  size: number,
  node: string,
  directory: string,
  repeats: number,
): Promise<MeasuredProcess[]> {
  const sandbox = await startSandbox();
  try {
    const driver = createClearmlDriver(sandbox.clearml.env);
    const ids = await prepare(driver, size);
    const body = answer?.(await driver.getTask(ids[0] ?? ''), size);
    const proxy = await startFaultProxy(sandbox.clearml.apiHost, ({ path }) =>
      body !== undefined && path.endsWith('tasks.get_all')
        ? { kind: 'answer', status: 200, headers: { 'content-type': 'application/json' }, body }
        : undefined,
    );
    const env = { PATH: process.env.PATH, ...sandbox.clearml.env, CLEARML_API_HOST: proxy.url };
    const args = [locateBundle(PROGRAMS[step]), ...options, ids.join(' ')];
    const runs: MeasuredProcess[] = [];
    for (let count = 0; count < repeats; count += 1) {
      const run = await measureProcess(node, args, { cwd: directory, env });
      if (run.exitCode !== 0) throw new Error(`${size} ${unit}: ${run.stderr.slice(-500)}`);
      runs.push(run);
    }
    await proxy.close();
    return runs;
  } finally {
    await sandbox.close();
  }
}

async function reportPoints(driver: ClearmlDriver, size: number): Promise<string[]> {
  const id = await startTask(driver);
  await driver.reportScalars(
    id,
    'loss',
    'train',
    Array.from({ length: size }, (_, index) => 1 / (index + 1)),
  );
  await driver.completeTask(id);
  return [id];
}

async function endTasks(driver: ClearmlDriver, size: number): Promise<string[]> {
  const ids: string[] = [];
  for (let count = 0; count < size; count += 1) {
    const id = await startTask(driver);
    await driver.completeTask(id);
    ids.push(id);
  }
  return ids;
}

async function writeLog(driver: ClearmlDriver, size: number): Promise<string[]> {
  const id = await startTask(driver);
  // As the SDK sends it: many lines a message.
  const message = Array.from(
    { length: 100 },
    (_, index) => `step ${index} loss 0.123456 accuracy 0.987654`,
  ).join('\n');
  for (let line = 0; line < size; line += 100 * BATCH) {
    const count = Math.min(BATCH, (size - line) / 100);
    await driver.logLines(
      id,
      Array.from({ length: count }, () => message),
      Date.now() + line,
    );
  }
  await driver.completeTask(id);
  return [id];
}

async function startTask(driver: ClearmlDriver): Promise<string> {
  const id = await driver.createTask();
  await driver.call('tasks.enqueue', { task: id, queue: (await driver.call('queues.get_default')).id });
  await driver.startTask(id);
  return id;
}
