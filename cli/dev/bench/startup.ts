import { fileURLToPath } from 'node:url';
import { measureProcess } from '../measurement/measured-process.ts';
import { locateBundle } from '../program-run.ts';
import { runStep } from './chain.ts';
import type { Checkout } from './checkout.ts';
import { PROGRAMS, STEPS, type Step } from './sides.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const OUTSIDE_ACTIONS = { GITHUB_ACTIONS: '' };
const EMPTY = fileURLToPath(new URL('empty.ts', import.meta.url));

/** One way to start a TypeScript program. */
interface StartWay {
  readonly title: string;
  readonly node: string;
  readonly options: readonly string[];
  locate(step: Step): string;
}

/** Seconds from a process's start: of an empty file to its end, of each program to its first request. */
export interface StartFigures {
  readonly title: string;
  readonly empty: readonly number[];
  readonly steps: Readonly<Record<Step, readonly number[]>>;
}

/**
 * How long the programs take to their first request, beside an empty TypeScript file that is run the same way. In turns;
 * once before it counts, so that all caches are full. Outside Actions, where the programs keep what they compiled. A commit
 * that is given to the launch is launched without git.
 *
 * @param node a Node 24
 */
export async function measureStartup(
  checkout: Checkout,
  node: string,
  rounds: number,
): Promise<StartFigures[]> {
  const locateSource = (step: Step) => `${ROOT}cli/${PROGRAMS[step]}.ts`;
  const ways: StartWay[] = [
    { title: `source, Node 24`, node, options: [], locate: locateSource },
    {
      title: `source, tsx on Node ${process.versions.node.split('.')[0]}`,
      node: process.execPath,
      options: ['--import', import.meta.resolve('tsx')],
      locate: locateSource,
    },
    { title: 'release, Node 24', node, options: [], locate: (step) => locateBundle(PROGRAMS[step]) },
  ];
  const { driver, near } = checkout;
  const id = await driver.createTask();
  await driver.call('tasks.enqueue', { task: id, queue: (await driver.call('queues.get_default')).id });
  await driver.startTask(id);
  await driver.completeTask(id);
  const args: Readonly<Record<Step, readonly string[]>> = {
    launch: ['https://github.com/acme/digits.git', 'main', 'a'.repeat(40)],
    check: [id],
    comment: [id],
  };
  const measured = ways.map((way) => ({
    way,
    empty: [] as number[],
    steps: { launch: [] as number[], check: [] as number[], comment: [] as number[] },
  }));
  for (let round = 0; round <= rounds; round += 1) {
    for (const { way, empty, steps } of measured) {
      const { node: file, options } = way;
      const env = checkout.makeEnv(near);
      const run = await measureProcess(file, [...options, EMPTY], { cwd: checkout.directory, env });
      if (round > 0) empty.push((run.endedAtMs - run.beganAtMs) / 1000);
      for (const step of STEPS) {
        const command = { file, args: [...options, way.locate(step), ...args[step]], env: OUTSIDE_ACTIONS };
        const { figures } = await runStep(command, checkout, near);
        if (round > 0) steps[step].push(figures.startSeconds);
      }
    }
  }
  return measured.map(({ way: { title }, ...figures }) => ({ title, ...figures }));
}
