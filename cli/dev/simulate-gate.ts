import { readFile, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { formatTable, listBrokenClaims, simulateGate } from './gate-simulation.ts';

/** The table in `cli/gate/README.md` stands between these. */
const BEGIN = '<!-- npm run simulate-gate -- --write -->';
const END = '<!-- end of simulate-gate -->';

const { values } = parseArgs({
  options: {
    draws: { type: 'string', default: '2000' },
    'claimed-draws': { type: 'string', default: '4000' },
    seed: { type: 'string', default: '7' },
    write: { type: 'boolean', default: false },
  },
});
const draws = Number(values.draws);
const seed = Number(values.seed);

const claimedDraws = Number(values['claimed-draws']);

const rows = simulateGate({ draws, claimedDraws, seed });
const table = formatTable(rows);
process.stdout.write(`${table}\n`);

if (values.write) {
  const readme = new URL('../gate/README.md', import.meta.url);
  const text = await readFile(readme, 'utf8');
  const [before, rest] = text.split(BEGIN);
  const after = rest?.split(END)[1];
  if (before === undefined || after === undefined)
    throw new Error(`cli/gate/README.md has no ${BEGIN} … ${END}`);
  await writeFile(readme, `${before}${BEGIN}\n\n${table}\n\n${END}${after}`);
}

const broken = listBrokenClaims(rows, { draws, claimedDraws });
process.stderr.write(
  broken.length === 0
    ? `${draws} draws a rate, ${claimedDraws} a claimed one, seed ${seed}: every claimed rate is held\n`
    : `${draws} draws a rate, ${claimedDraws} a claimed one, seed ${seed}: claims broken\n${broken.map((line) => `  ${line}\n`).join('')}`,
);
process.exitCode = broken.length === 0 ? 0 : 1;
