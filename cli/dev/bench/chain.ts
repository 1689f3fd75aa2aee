import { setTimeout as sleep } from 'node:timers/promises';
import type { ClearmlDriver } from '../clearml-driver.ts';
import { measureProcess } from '../measurement/measured-process.ts';
import { parseRunnerFile } from '../runner-file.ts';
import type { Checkout, Way } from './checkout.ts';
import type { Command, Side, Step } from './sides.ts';

/** What is measured of one step. */
export interface StepFigures {
  readonly seconds: number;
  /** From the process's start to its first request. */
  readonly startSeconds: number;
  readonly requests: number;
  /** Those to ClearML. */
  readonly ofClearml: number;
  readonly connections: number;
  readonly kilobytes: number;
  readonly peakMib: number;
  /** What its threads have worked; 0 where the system does not tell. */
  readonly processorSeconds: number;
}

/** One run of the three steps. */
export interface ChainRun {
  /** The task that was launched. */
  readonly id: string;
  readonly steps: Readonly<Record<Step, StepFigures>>;
  /** The output `metrics` of the comment; undefined of the original, which has none. */
  readonly metrics: string | undefined;
}

/** Trains the base branch once, so that there is something to compare with: launched by `side`. */
export async function trainBase(side: Side, checkout: Checkout): Promise<void> {
  const launched = await runStep(side.command('launch'), checkout, checkout.near, 'push');
  const id = findTaskId(launched.stdout);
  await train(id, checkout.driver, 0.8);
  await checkout.driver.completeTask(id);
}

/** Runs the three steps of one side on a new commit, the training between them ended at once: no time is spent waiting. */
export async function runChain(side: Side, checkout: Checkout, way: Way): Promise<ChainRun> {
  const { driver } = checkout;
  await checkout.push();
  const launched = await runStep(side.command('launch'), checkout, way);
  const id = findTaskId(launched.stdout);
  await train(id, driver, 0.9);
  await driver.completeTask(id);
  const check = await runStep(side.command('check', id), checkout, way);
  const comment = await runStep(side.command('comment', id), checkout, way);
  return {
    id,
    steps: { launch: launched.figures, check: check.figures, comment: comment.figures },
    metrics: parseRunnerFile(checkout.readOutputs()).metrics,
  };
}

/** How long after the end of a run of `runSeconds` its wait ends, in seconds. */
export async function measureLateness(side: Side, checkout: Checkout, runSeconds: number): Promise<number> {
  const { driver } = checkout;
  const id = await driver.createTask();
  await driver.call('tasks.enqueue', { task: id, queue: (await driver.call('queues.get_default')).id });
  await train(id, driver, 0.9);
  const waiting = runStep(side.command('check', id), checkout, checkout.near);
  await sleep(runSeconds * 1000);
  await driver.completeTask(id);
  const endedAtMs = performance.now();
  return ((await waiting).endedAtMs - endedAtMs) / 1000;
}

/** What the interpreter alone takes, in seconds. */
export async function measureEmpty({ empty }: Side, checkout: Checkout): Promise<number> {
  const env = checkout.makeEnv(checkout.near);
  const run = await measureProcess(empty.file, empty.args, { cwd: checkout.directory, env });
  return (run.endedAtMs - run.beganAtMs) / 1000;
}

/** Runs one step through the counting proxies. @throws Error where it fails */
export async function runStep(
  { file, args, env = {} }: Command,
  checkout: Checkout,
  way: Way,
  event?: 'push' | 'schedule',
) {
  const { toClearml, toGithub } = way;
  toClearml.take();
  toGithub.take();
  const run = await measureProcess(file, args, {
    cwd: checkout.directory,
    env: { ...checkout.makeEnv(way, event), ...env },
  });
  if (run.exitCode !== 0) throw new Error(`${file} ${args.join(' ')} failed:\n${run.stdout}${run.stderr}`);
  const traffic = [toClearml.take(), toGithub.take()];
  const sum = (pick: (of: (typeof traffic)[number]) => number) =>
    traffic.reduce((all, of) => all + pick(of), 0);
  const firstAtMs = Math.min(
    ...traffic.map(({ firstRequestAtMs }) => firstRequestAtMs ?? Number.POSITIVE_INFINITY),
  );
  const figures: StepFigures = {
    seconds: (run.endedAtMs - run.beganAtMs) / 1000,
    startSeconds: (firstAtMs - run.beganAtMs) / 1000,
    requests: sum(({ requests }) => requests),
    ofClearml: traffic[0]?.requests ?? 0,
    connections: sum(({ connections }) => connections),
    kilobytes: sum(({ bytes }) => bytes) / 1000,
    peakMib: run.peakMib,
    processorSeconds: run.processorSeconds,
  };
  return { figures, stdout: run.stdout, endedAtMs: run.endedAtMs };
}

function findTaskId(stdout: string): string {
  const id = /^[0-9a-f]{32}$/m.exec(stdout)?.[0];
  if (id === undefined) throw new Error(`The launch printed no id:\n${stdout}`);
  return id;
}

/** Begins a training and reports what the measured ones do. */
export async function train(id: string, driver: ClearmlDriver, accuracy: number): Promise<void> {
  await driver.startTask(id);
  await driver.reportScalars(id, 'test_accuracy', 'accuracy', [accuracy]);
  await driver.reportScalars(id, 'loss', 'train', [0.9, 0.5, 0.3, 0.2, 0.1]);
  await driver.logLines(id, ['epoch 1', 'epoch 2', 'epoch 3']);
}
