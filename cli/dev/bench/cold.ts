import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { measureProcess } from '../measurement/measured-process.ts';
import { runChain, runStep } from './chain.ts';
import type { Checkout } from './checkout.ts';
import { createSource, type Side, STEPS, type Step } from './sides.ts';

/** How the programs run where nothing of them is cached, in seconds. */
export interface ColdRound {
  /** An empty TypeScript file, to its end. */
  readonly empty: number;
  /** To the first request, each program the first to be run. */
  readonly first: Readonly<Record<Step, number>>;
  /** All three to their ends, one after the other. */
  readonly whole: number;
  /** What they have worked meanwhile, where the system tells it. */
  readonly processor: { readonly empty: number; readonly whole: number };
}

/** A copy as `npm ci` leaves it, to be run on a fresh runner. */
export interface FreshCopy {
  /** Its runs find an empty temporary folder. */
  readonly side: Side;
  /** Makes the runner a fresh one again: nothing of an earlier run is left. */
  forget(): void;
}

/** Copies and installs the programs of a checkout into a folder. */
export async function installCopy(directory: string, node: string, root?: string): Promise<FreshCopy> {
  const source = createSource(directory, node, root);
  await source.prepare();
  await source.install();
  const env = { TMPDIR: join(directory, 'temporary') };
  const side: Side = {
    ...source,
    command: (...given) => ({ ...source.command(...given), env }),
    empty: { ...source.empty, env },
  };
  return {
    side,
    forget() {
      for (const path of [join(directory, 'cli', 'node_modules', '.cache'), env.TMPDIR])
        rmSync(path, { recursive: true, force: true });
      mkdirSync(env.TMPDIR);
    },
  };
}

/** Runs a copy on a fresh runner, with Node 24 and without a build. The base branch is trained already. */
export async function measureCold({ side, forget }: FreshCopy, checkout: Checkout): Promise<ColdRound> {
  forget();
  const { file, args, env } = side.empty;
  const empty = await measureProcess(file, args, {
    cwd: checkout.directory,
    env: { ...checkout.makeEnv(checkout.near), ...env },
  });
  const { id, steps } = await runChain(side, checkout, checkout.near);
  const startAlone = async (step: Step) => {
    forget();
    return (await runStep(side.command(step, id), checkout, checkout.near)).figures.startSeconds;
  };
  const sum = (of: 'seconds' | 'processorSeconds') => STEPS.reduce((all, step) => all + steps[step][of], 0);
  return {
    empty: (empty.endedAtMs - empty.beganAtMs) / 1000,
    first: {
      launch: steps.launch.startSeconds,
      check: await startAlone('check'),
      comment: await startAlone('comment'),
    },
    whole: sum('seconds'),
    processor: { empty: empty.processorSeconds, whole: sum('processorSeconds') },
  };
}
