import { parseArgs } from 'node:util';
import { buildBundles } from '../bundle.ts';
import { describeMachine } from '../measurement/machine.ts';
import { writePicture, writeReadmePart } from '../measurement/readme-part.ts';
import { findNodeDirectory, NODE_RELEASES } from '../node-release.ts';
import { BUNDLES } from '../program-run.ts';
import { LOADS } from './loads.ts';
import { type MeasuredLoad, measureLoad } from './measurement.ts';
import { drawGrowthPicture } from './picture.ts';
import { describeFigures, formatLoadSection, listCurves } from './section.ts';

// Puts loads on the programs, looks whether they do what they should, and writes what it cost into cli/README.md and
// .github/assets:
//   npm run load                          three runs of each; some minutes
//   npm run load -- --repeats 1 --no-write
//   npm run load -- --only metrics --against ../before/dist     one load, in turns with programs built at another commit

const { values: options } = parseArgs({
  options: {
    repeats: { type: 'string', default: '3' },
    only: { type: 'string' },
    against: { type: 'string' },
    write: { type: 'boolean', default: true },
  },
  allowNegative: true,
});
const repeats = Number(options.repeats);
if (!Number.isInteger(repeats) || repeats < 1) throw new Error('--repeats takes a whole number from 1 on');

const chosen = LOADS.filter(({ unit }) => options.only === undefined || unit === options.only);
if (chosen.length === 0) {
  throw new Error(`--only takes one of: ${[...new Set(LOADS.map(({ unit }) => unit))].join(', ')}`);
}

const nodeDirectory = await findNodeDirectory(24);
if (nodeDirectory === undefined) throw new Error('Node 24 is needed: run this with it');
const node = `${nodeDirectory}/node`;
await buildBundles();
const loads: MeasuredLoad[] = [];
for (const load of chosen) {
  const sizes = options.against === undefined ? load.sizes : load.sizes.slice(-1);
  const { against } = options;
  const measured = await measureLoad({ ...load, sizes }, { node, bundles: BUNDLES, against, repeats });
  loads.push(measured);
  for (const figures of measured.figures) process.stderr.write(`${describeFigures(load.unit, figures)}\n`);
}

const conditions = `${describeMachine()}; Node ${NODE_RELEASES[24]}`;
const section = formatLoadSection({ loads, repeats, conditions });
process.stdout.write(`${section}\n`);
if (options.write && options.only === undefined && options.against === undefined) {
  writePicture('load.svg', drawGrowthPicture(listCurves(loads)));
  writeReadmePart('load', section);
}
