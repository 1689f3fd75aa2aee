import { main } from '../../check-task-running.ts';
import { startClearmlSandbox } from '../../sandbox/clearml-server.ts';
import { createClearmlDriver } from '../clearml-driver.ts';
import { createPatientClock } from '../patient-clock.ts';
import { runProgramHere } from '../program-run.ts';
import { runStep, train } from './chain.ts';
import type { Checkout } from './checkout.ts';
import type { Command, Side } from './sides.ts';

/** How long a runner is held, and what ClearML is asked meanwhile. */
export interface Held {
  readonly seconds: number;
  readonly requests: number;
}

/** The training that is waited for. It prints a line and reports a loss once a minute. */
export const TRAINING_SECONDS = 3600;
const MINUTE_MS = 60_000;
/** What the driver does in the place of an agent and a training. */
const NOT_OURS =
  /^(?:events\.add_batch|queues\.get_default|tasks\.(?:create|enqueue|dequeue|started|completed))$/;

/** What waiting for one training costs our programs. The hour is a clock's, every request is real. */
export async function measureWait(): Promise<Held> {
  const clock = createPatientClock();
  let requests = 0;
  let beginTraining = () => {};
  // The clock takes no notice of programs that are being loaded.
  const isWatched = new Promise<void>((resolve) => {
    beginTraining = resolve;
  });
  const sandbox = await startClearmlSandbox({
    now: clock.now,
    onRequest: ({ endpoint }) => {
      if (NOT_OURS.test(endpoint)) return;
      requests += 1;
      beginTraining();
    },
  });
  try {
    const driver = createClearmlDriver(sandbox.env);
    const id = await driver.createTask();
    await driver.call('tasks.enqueue', { task: id, queue: (await driver.call('queues.get_default')).id });
    await driver.startTask(id);
    const training = async () => {
      await isWatched;
      const endMs = clock.now() + TRAINING_SECONDS * 1000;
      for (let minute = 1; clock.now() + MINUTE_MS <= endMs; minute += 1) {
        await clock.sleep(MINUTE_MS);
        await driver.logLines(id, [`epoch ${minute}`], clock.now());
        await driver.reportScalars(id, 'loss', 'train', [1 / minute]);
      }
      await driver.completeTask(id);
    };
    const beganAtMs = clock.now();
    const [run] = await Promise.all([
      // The shipped settings end a training after an hour: this one just ends in time.
      runProgramHere(main, { args: [id, '--timeout', '2h'], env: sandbox.env, clock }),
      training(),
    ]);
    if (run.exitCode !== 0) throw new Error(`The wait failed:\n${run.stderr}`);
    return { seconds: (clock.now() - beganAtMs) / 1000, requests };
  } finally {
    await sandbox.close();
  }
}

/**
 * What a detached training costs: the launching job's steps, which do not wait, and the tick that reports its end. Each job
 * installs anew.
 */
export async function measureDetached(
  side: Side,
  checkout: Checkout,
  installSeconds: () => Promise<number>,
): Promise<Held> {
  const { driver, near } = checkout;
  await checkout.push();
  const held = { seconds: await installSeconds(), requests: 0 };
  const step = async (command: Command, event?: 'schedule') => {
    const run = await runStep(command, checkout, near, event);
    held.seconds += run.figures.seconds;
    held.requests += run.figures.ofClearml;
    return run.stdout.trim();
  };
  const id = await step(side.command('launch', undefined, { detach: 'true' }));
  await step(side.command('check', id));
  await step(side.command('comment', id));
  await train(id, driver, 0.9);
  await driver.completeTask(id);
  held.seconds += await installSeconds();
  const due = await step(side.command('check', undefined, { due: 'true' }), 'schedule');
  await step(side.command('comment', undefined, { due }), 'schedule');
  if (!due.includes(id)) throw new Error(`Nothing was due: ${due}`);
  return held;
}

/** What it costs the original, whose pauses are a clock's too. */
export async function measureOriginalWait(side: Side, checkout: Checkout): Promise<Held> {
  const { driver } = checkout;
  const id = await driver.createTask();
  await driver.call('tasks.enqueue', { task: id, queue: (await driver.call('queues.get_default')).id });
  await train(id, driver, 0.9);
  const { file, args, env = {} } = side.command('check', id);
  const command = { file, args, env: { ...env, BENCH_WAIT_SECONDS: String(TRAINING_SECONDS) } };
  const { figures, stdout } = await runStep(command, checkout, checkout.near);
  const waited = Number(/^waited (\d+)$/m.exec(stdout)?.[1]);
  return { seconds: waited + figures.seconds, requests: figures.ofClearml };
}
