import { statSync } from 'node:fs';
import { buildBundles, PROGRAM_NAMES } from './bundle.ts';
import { locateBundle } from './program-run.ts';

await buildBundles();
for (const program of PROGRAM_NAMES) {
  const file = locateBundle(program);
  process.stdout.write(`${file} ${Math.round(statSync(file).size / 1024)} KiB\n`);
}
