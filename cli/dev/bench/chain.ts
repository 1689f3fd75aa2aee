import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Sandbox } from '../../sandbox/sandbox.ts';
import type { ClearmlDriver } from '../clearml-driver.ts';
import type { CountingProxy } from './counting-proxy.ts';
import { measureProcess } from './measured-process.ts';
import type { Side, Step } from './sides.ts';

/** What is measured of one step. */
export interface StepFigures {
  readonly seconds: number;
  /** From the process's start to its first request. */
  readonly startSeconds: number;
  readonly requests: number;
  readonly connections: number;
  readonly kilobytes: number;
  readonly peakMib: number;
}

export interface Bench {
  readonly sandbox: Sandbox;
  readonly driver: ClearmlDriver;
  readonly toClearml: CountingProxy;
  readonly toGithub: CountingProxy;
  /** Where the programs run: no settings file there, no `.env`, no repository. */
  readonly directory: string;
}

/** Runs the three steps of one side, the training between them ended at once: no time is spent waiting. */
export async function runChain(side: Side, bench: Bench): Promise<Readonly<Record<Step, StepFigures>>> {
  const { driver } = bench;
  const launched = await runStep(side, 'launch', bench, codeArguments(side));
  const id = launched.stdout
    .split('\n')
    .find((line) => /^[0-9a-f]{32}$/.test(line.trim()))
    ?.trim();
  if (id === undefined)
    throw new Error(`the launch of ${side.title} printed no id:\n${launched.stdout}${launched.stderr}`);
  await train(id, driver);
  await driver.completeTask(id);
  const check = await runStep(side, 'check', bench, [id]);
  const comment = await runStep(side, 'comment', bench, [id]);
  return { launch: launched.figures, check: check.figures, comment: comment.figures };
}

/** How long after the end of a run of `runSeconds` its wait ends, in seconds. */
export async function measureLateness(side: Side, bench: Bench, runSeconds: number): Promise<number> {
  const { driver, sandbox, directory } = bench;
  const id = await driver.createTask();
  await driver.call('tasks.enqueue', { task: id, queue: (await driver.call('queues.get_default')).id });
  await train(id, driver);
  const [command, args] = side.command('check', [id]);
  const waiting = measureProcess(command, args, { cwd: directory, env: makeEnv(sandbox.env) });
  await sleep(runSeconds * 1000);
  await driver.completeTask(id);
  const endedAtMs = performance.now();
  const run = await waiting;
  if (run.exitCode !== 0) throw new Error(`the wait of ${side.title} failed:\n${run.stderr}`);
  return (run.endedAtMs - endedAtMs) / 1000;
}

/** What the interpreter alone takes, in seconds. */
export async function measureEmpty(side: Side, { directory }: Bench): Promise<number> {
  const [command, args] = side.empty;
  const run = await measureProcess(command, args, { cwd: directory, env: makeEnv({}) });
  return (run.endedAtMs - run.beganAtMs) / 1000;
}

async function runStep(side: Side, step: Step, bench: Bench, stepArguments: readonly string[]) {
  const { sandbox, toClearml, toGithub, directory } = bench;
  toClearml.take();
  toGithub.take();
  const [command, args] = side.command(step, stepArguments);
  const run = await measureProcess(command, args, {
    cwd: directory,
    env: makeEnv({
      ...sandbox.env,
      CLEARML_API_HOST: toClearml.url,
      GITHUB_API_URL: toGithub.url,
      PR_NUMBER: '7',
    }),
  });
  if (run.exitCode !== 0) throw new Error(`${step} of ${side.title} failed:\n${run.stdout}${run.stderr}`);
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
    connections: sum(({ connections }) => connections),
    kilobytes: sum(({ bytes }) => bytes) / 1000,
    peakMib: run.peakMib,
  };
  return { figures, stdout: run.stdout, stderr: run.stderr };
}

/** Ours is told which commit, a new one each time: a known one would be reused. The original looks for itself. */
function codeArguments(side: Side): string[] {
  if (side.name === 'original') return [];
  return ['https://github.com/acme/digits.git', 'main', randomBytes(20).toString('hex')];
}

async function train(id: string, driver: ClearmlDriver): Promise<void> {
  await driver.startTask(id);
  await driver.reportScalars(id, 'test_accuracy', 'accuracy', [0.9]);
  await driver.reportScalars(id, 'loss', 'train', [0.9, 0.5, 0.3, 0.2, 0.1]);
  await driver.logLines(id, ['epoch 1', 'epoch 2', 'epoch 3']);
}

function makeEnv(env: Readonly<Record<string, string>>): Record<string, string | undefined> {
  return { PATH: process.env.PATH, HOME: process.env.HOME, ...env };
}
