import { statSync } from 'node:fs';
import { join } from 'node:path';
import { buildBundles, PROGRAM_NAMES } from './bundle.ts';
import { BUNDLES, locateBundle } from './program-run.ts';

await buildBundles();
for (const file of [...PROGRAM_NAMES.map((program) => locateBundle(program)), join(BUNDLES, 'index.mjs')]) {
  process.stdout.write(`${file} ${Math.round(statSync(file).size / 1024)} KiB\n`);
}
