import { fileURLToPath } from 'node:url';
import { type Measured, measureInTurns } from '../measurement/in-turns.ts';
import { measureProcess } from '../measurement/measured-process.ts';
import { locateBundle } from '../program-run.ts';
import { runStep } from './chain.ts';
import type { Checkout } from './checkout.ts';
import { PROGRAMS, type Step } from './sides.ts';

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
export interface StartRound {
  readonly empty: number;
  readonly steps: Readonly<Record<Step, number>>;
}

/**
 * How long the programs take to their first request, beside an empty TypeScript file that is run the same way, with
 * full caches: outside Actions, where the programs keep what they compiled. A commit that is given to it is launched without git.
 *
 * @param node a Node 24
 */
export async function measureStartup(
  checkout: Checkout,
  node: string,
  rounds: number,
): Promise<Measured<StartRound>[]> {
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
  const measureWay = async ({ node: file, options, locate }: StartWay): Promise<StartRound> => {
    const env = checkout.makeEnv(near);
    const run = await measureProcess(file, [...options, EMPTY], { cwd: checkout.directory, env });
    const startStep = async (step: Step) => {
      const command = { file, args: [...options, locate(step), ...args[step]], env: OUTSIDE_ACTIONS };
      return (await runStep(command, checkout, near)).figures.startSeconds;
    };
    return {
      empty: (run.endedAtMs - run.beganAtMs) / 1000,
      steps: {
        launch: await startStep('launch'),
        check: await startStep('check'),
        comment: await startStep('comment'),
      },
    };
  };
  return measureInTurns(
    ways.map((way) => [way.title, () => measureWay(way)] as const),
    rounds,
  );
}
