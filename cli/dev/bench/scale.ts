import { startSandbox } from '../../sandbox/sandbox.ts';
import { type ClearmlDriver, createClearmlDriver } from '../clearml-driver.ts';
import { startFaultProxy } from '../fault-proxy.ts';
import { answerLargeTask } from '../large-task.ts';
import { measureProcess } from './measured-process.ts';
import type { Curve } from './picture.ts';
import type { Side, Step } from './sides.ts';

const BATCH = 500;

/** How a report grows with its metrics and its curves, and a wait with its tasks and their log. */
export async function measureScale(
  side: Side,
  directory: string,
  say: (line: string) => void,
): Promise<Curve[]> {
  const measure = async (
    title: string,
    step: Step,
    sizes: readonly number[],
    prepare: (driver: ClearmlDriver, size: number) => Promise<string[]>,
    options: readonly string[],
    answer?: (document: object, size: number) => string,
  ): Promise<Curve> => {
    const points = [];
    for (const size of sizes) {
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
        const [command, args] = side.command(step, [...options, ids.join(' ')]);
        const run = await measureProcess(command, args, {
          cwd: directory,
          env: { PATH: process.env.PATH, ...sandbox.clearml.env, CLEARML_API_HOST: proxy.url },
        });
        await proxy.close();
        if (run.exitCode !== 0) throw new Error(`${title}, ${size}: ${run.stderr.slice(-500)}`);
        const seconds = (run.endedAtMs - run.beganAtMs) / 1000;
        points.push({ size, seconds, peakMib: run.peakMib });
        say(`${title}: ${size} in ${seconds.toFixed(2)} s, ${run.peakMib.toFixed(0)} MiB`);
      } finally {
        await sandbox.close();
      }
    }
    return { title, points };
  };

  return [
    await measure(
      'report: metrics',
      'comment',
      [10, 100, 1000, 10_000],
      (driver) => endTasks(driver, 1),
      ['--dry-run'],
      answerLargeTask,
    ),
    await measure('report: points of a curve', 'comment', [10, 100, 1000, 10_000], reportPoints, [
      '--dry-run',
    ]),
    await measure('wait: tasks', 'check', [1, 10, 100, 1000], endTasks, ['--no-logs']),
    await measure('wait: lines of the log', 'check', [1000, 10_000, 100_000, 1_000_000], writeLog, []),
  ];
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
