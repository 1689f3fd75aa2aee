import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildBundles } from '../bundle.ts';
import { type Measured, measureInTurns } from '../measurement/in-turns.ts';
import { describeMachine } from '../measurement/machine.ts';
import { writePicture, writeReadmePart } from '../measurement/readme-part.ts';
import { median } from '../measurement/statistics.ts';
import { findNodeDirectory, NODE_RELEASES } from '../node-release.ts';
import { findPython } from '../required-tools.ts';
import { measureLateness, runChain, type StepFigures, trainBase } from './chain.ts';
import { type Checkout, createCheckout, FAR_MS, type Way } from './checkout.ts';
import { type ColdRound, type FreshCopy, installCopy, measureCold } from './cold.ts';
import { type FarRound, installRelease, measureFar } from './far.ts';
import { type Held, measureDetached, measureOriginalWait, measureWait } from './held.ts';
import { drawChainPicture } from './picture.ts';
import { formatCold, formatFar, formatSection, type Results } from './section.ts';
import { createSides, packRelease, type Side, STEPS, type Step } from './sides.ts';
import { measureStartup } from './startup.ts';

// Compares these programs with the Python scripts that they replace, against the same sandbox, and writes what it found
// into cli/README.md and .github/assets:
//   npm run bench                          five rounds; a quarter of an hour
//   npm run bench -- --rounds 1 --starts 3 --no-write
//   npm run bench -- --only cold --checkout ../before   the start with nothing cached, beside that of another checkout
//   npm run bench -- --only far --checkout ../before    the steps with TLS servers far away, likewise

/** The original looks every 30 s: these spread evenly over the time between two of its looks. */
const RUN_SECONDS = [33, 39, 45, 51, 57] as const;

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    starts: { type: 'string', default: '15' },
    only: { type: 'string' },
    checkout: { type: 'string', multiple: true, default: [] },
    write: { type: 'boolean', default: true },
  },
  allowNegative: true,
});
const [rounds, starts] = [Number(options.rounds), Number(options.starts)];
if (!Number.isInteger(rounds) || rounds < 1 || !Number.isInteger(starts) || starts < 1) {
  throw new Error('--rounds and --starts take a whole number from 1 on');
}
const { only } = options;
if (only !== undefined && only !== 'cold' && only !== 'far') throw new Error('--only takes cold or far');
// The page would name a folder of this machine.
if (only === undefined && options.checkout.length > 0) throw new Error('--checkout goes with --only');

const say = (line: string) => void process.stderr.write(`${line}\n`);
const createSteps = (): Record<Step, StepFigures[]> => ({ launch: [], check: [], comment: [] });
// First, as its clock would wait for whatever else goes on in this process.
const wait = only !== undefined ? undefined : await measureWait();
const directory = mkdtempSync(join(tmpdir(), 'bench-'));
const checkout = await createCheckout(directory);
try {
  const nodeDirectory = await findNodeDirectory(24);
  if (nodeDirectory === undefined) throw new Error('Node 24 is needed: run this with it');
  const node = join(nodeDirectory, 'node');
  if (wait !== undefined) await compare(wait, node);
  else {
    const table =
      only === 'cold' ? formatCold(await measureFresh(node)) : formatFar(await measureDistance(node));
    process.stdout.write(`${table.join('\n')}\n`);
  }
} finally {
  await checkout.close();
  rmSync(directory, { recursive: true, force: true });
}

async function compare(wait: Held, node: string): Promise<void> {
  const python = await findPython();
  await buildBundles();
  await packRelease(directory);
  const sides = createSides(directory, checkout.directory, node, python.executable);
  const measured = sides.map((side) => ({
    side,
    install: [] as number[],
    bytes: 0,
    near: createSteps(),
    far: createSteps(),
    farTls: createSteps(),
    lateness: [] as number[],
  }));
  // Once before it counts: what the package managers download is kept in their caches, on all sides.
  for (const side of sides) await installAnew(side);
  await trainBase(sides[2], checkout);
  // In turns, so that what else the machine does meets all sides alike.
  for (let round = 1; round <= rounds; round += 1) {
    for (const figures of measured) {
      const { side, install } = figures;
      install.push(await installAnew(side));
      figures.bytes = side.measureSize();
      await measureChain(side, checkout.near, figures.near);
      for (const way of ['far', 'farTls'] as const) {
        // What ours have cached by now, they would not have on a fresh runner; the original caches nothing.
        if (side.name !== 'original') await installAnew(side);
        await measureChain(side, checkout[way], figures[way]);
      }
      const seconds = STEPS.map((step) => `${step} ${figures.near[step].at(-1)?.seconds.toFixed(2)} s`);
      say(`round ${round}, ${side.name}: install ${install.at(-1)?.toFixed(2)} s, ${seconds.join(', ')}`);
    }
  }
  say('waiting for the ends of runs');
  await Promise.all(
    measured.flatMap(({ side, lateness }) =>
      RUN_SECONDS.map(async (seconds) => lateness.push(await measureLateness(side, checkout, seconds))),
    ),
  );
  say('waiting for an hour');
  const [original, source] = sides;
  const [ofOriginal, ofSource] = measured;
  if (ofOriginal === undefined || ofSource === undefined) throw new Error('there are three sides');
  const held: Results['held'] = [
    [
      original.title,
      addSteps(await measureOriginalWait(original, checkout), ofOriginal, ['launch', 'comment']),
    ],
    ['a job that waits', addSteps(wait, ofSource, STEPS)],
    ['detached', await measureDetached(source, checkout, () => installAnew(source))],
  ];
  say('starting the programs');
  const cold = await measureFresh(node);
  const startFigures = await measureStartup(checkout, node, starts);
  const results: Results = {
    sides: measured.map(({ side, ...figures }) => [side, figures] as const),
    starts: startFigures,
    cold,
    rounds,
    farMs: FAR_MS,
    runSeconds: RUN_SECONDS,
    held,
    conditions: describeConditions(python.version),
  };
  const section = formatSection(results);
  process.stdout.write(`${section}\n`);
  if (options.write) {
    writePicture('bench.svg', drawChainPicture(results.sides));
    writeReadmePart('bench', section);
  }
}

type TitledCopy = readonly [title: string, copy: FreshCopy];

/** This checkout and those of `--checkout`, each in a folder of its own. */
function listRoots(name: string) {
  return [undefined, ...options.checkout].map(
    (root, index) => [root ?? 'this checkout', join(directory, `${name}-${index}`), root] as const,
  );
}

/** The programs start as on a fresh runner. */
async function measureFresh(node: string): Promise<Measured<ColdRound>[]> {
  const copies: TitledCopy[] = [];
  for (const [title, folder, root] of listRoots('fresh'))
    copies.push([title, await installCopy(folder, node, root)]);
  if (only === 'cold') await trainFirst(copies);
  return measureCopies(copies, measureCold);
}

/** The three steps near and far, copied and as actions. */
async function measureDistance(node: string): Promise<Measured<FarRound>[]> {
  const copies: TitledCopy[] = [];
  for (const [title, folder, root] of listRoots('far')) {
    copies.push([`${title}, copied`, await installCopy(join(folder, 'source'), node, root)]);
    copies.push([`${title}, as actions`, await installRelease(join(folder, 'release'), node, root)]);
  }
  await trainFirst(copies);
  return measureCopies(copies, measureFar);
}

function measureCopies<Round>(
  copies: readonly TitledCopy[],
  measure: (copy: FreshCopy, checkout: Checkout) => Promise<Round>,
): Promise<Measured<Round>[]> {
  return measureInTurns(
    copies.map(([title, copy]) => [title, () => measure(copy, checkout)] as const),
    rounds,
  );
}

async function trainFirst([first]: readonly TitledCopy[]): Promise<void> {
  if (first === undefined) throw new Error('a copy was made');
  first[1].forget();
  await trainBase(first[1].side, checkout);
}

/** A wait, with the installation and the steps around it. */
function addSteps(
  wait: Held,
  { install, near }: { readonly install: readonly number[]; readonly near: Record<Step, StepFigures[]> },
  steps: readonly Step[],
): Held {
  const sum = (pick: (of: StepFigures) => number) =>
    steps.reduce((all, step) => all + median(near[step].map(pick)), 0);
  return {
    seconds: wait.seconds + median(install) + sum(({ seconds }) => seconds),
    requests: wait.requests + sum(({ ofClearml }) => ofClearml),
  };
}

/** Seconds of the installation alone. */
async function installAnew(side: Side): Promise<number> {
  await side.prepare();
  const beganAtMs = performance.now();
  await side.install();
  return (performance.now() - beganAtMs) / 1000;
}

async function measureChain(side: Side, way: Way, figures: Record<Step, StepFigures[]>): Promise<void> {
  const { steps, metrics } = await runChain(side, checkout, way);
  // Else a cheaper report than the usual would be measured.
  if (side.name !== 'original' && !/"baseline":0\.8\b/.test(metrics ?? ''))
    throw new Error(`The report of ${side.name} found no baseline: ${metrics}`);
  for (const step of STEPS) figures[step].push(steps[step]);
}

function describeConditions(pythonVersion: string): string {
  const requirements = readFileSync(new URL('requirements.txt', import.meta.url), 'utf8');
  const packages = requirements
    .split('\n')
    .flatMap((line) => (line.includes('==') ? line.replace('==', ' ') : []));
  return `${describeMachine()}; Node ${NODE_RELEASES[24]} (tsx: Node ${process.versions.node}); Python ${pythonVersion}, ${packages.join(', ')}`;
}
