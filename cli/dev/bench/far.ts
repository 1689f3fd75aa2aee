import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runCommand } from '../command-run.ts';
import { runChain } from './chain.ts';
import type { Checkout, Way } from './checkout.ts';
import type { FreshCopy } from './cold.ts';
import { createRelease, packRelease, STEPS } from './sides.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** The three steps with the servers here and far away over TLS, in seconds. */
export interface FarRound {
  readonly near: number;
  readonly farTls: number;
}

/** Builds the actions of a checkout and unpacks them into a folder. They cache nothing. */
export async function installRelease(directory: string, node: string, root = ROOT): Promise<FreshCopy> {
  const side = createRelease(directory, join(directory, 'release.tar.gz'), node);
  await side.prepare();
  const built = join(directory, 'dist');
  const build = `import { buildBundles } from './cli/dev/bundle.ts'; await buildBundles(${JSON.stringify(built)});`;
  const args = ['--import', 'tsx', '--input-type=module', '--eval', build];
  const done = await runCommand(process.execPath, args, { cwd: root, env: process.env });
  if (done?.exitCode !== 0) throw new Error(`${root} can't be built:\n${done?.output}`);
  await packRelease(directory, built);
  await side.install();
  return { side, forget: () => undefined };
}

/** Runs a copy near and far, each time as on a fresh runner. The base branch is trained already. */
export async function measureFar({ side, forget }: FreshCopy, checkout: Checkout): Promise<FarRound> {
  const sumSteps = async (way: Way) => {
    forget();
    const { steps } = await runChain(side, checkout, way);
    return STEPS.reduce((sum, step) => sum + steps[step].seconds, 0);
  };
  return { near: await sumSteps(checkout.near), farTls: await sumSteps(checkout.farTls) };
}
