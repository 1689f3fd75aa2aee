import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runCommand } from '../command-run.ts';
import { runChain } from './chain.ts';
import type { Checkout } from './checkout.ts';
import type { FreshCopy } from './cold.ts';
import { createRelease, packRelease, STEPS } from './sides.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** The three steps with the servers here and far away over TLS: seconds, a value a round. */
export interface FarFigures {
  readonly title: string;
  readonly near: readonly number[];
  readonly farTls: readonly number[];
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

/** Measures copies in turns, near and far, each time as on a fresh runner. The base branch is trained already. */
export async function measureFar(
  checkout: Checkout,
  copies: ReadonlyArray<readonly [title: string, copy: FreshCopy]>,
  rounds: number,
): Promise<FarFigures[]> {
  const measured = copies.map(([title, copy]) => ({
    copy,
    figures: { title, near: [] as number[], farTls: [] as number[] },
  }));
  for (let round = 0; round <= rounds; round += 1) {
    for (const { copy, figures } of measured) {
      for (const way of ['near', 'farTls'] as const) {
        copy.forget();
        const { steps } = await runChain(copy.side, checkout, checkout[way]);
        const seconds = STEPS.reduce((sum, step) => sum + steps[step].seconds, 0);
        if (round > 0) figures[way].push(seconds);
      }
    }
  }
  return measured.map(({ figures }) => figures);
}
