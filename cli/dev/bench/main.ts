import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startSandbox } from '../../sandbox/sandbox.ts';
import { buildBundles } from '../bundle.ts';
import { createClearmlDriver } from '../clearml-driver.ts';
import { findNodeDirectory, NODE_RELEASES } from '../node-release.ts';
import { findPython } from '../required-tools.ts';
import { type Bench, measureEmpty, measureLateness, runChain, type StepFigures } from './chain.ts';
import { startCountingProxy } from './counting-proxy.ts';
import { type Bar, type Curve, drawChainPicture, drawScalePicture, sumParts } from './picture.ts';
import { measureScale } from './scale.ts';
import { createSides, packBundles, type Side, STEPS, type Step } from './sides.ts';
import { formatNumber, formatSpread, median } from './statistics.ts';

// Compares these programs with the Python scripts that they replace, against the same sandbox, and writes what it found
// into the README and .github/assets:
//   npm run bench                          five rounds; ten minutes
//   npm run bench -- --rounds 2 --installs 1 --no-scale --no-write

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
/** Between two looks of the original, 30 s apart: its average case. */
const RUN_SECONDS = 45;

interface Figures {
  readonly install: number[];
  readonly empty: number[];
  readonly lateness: number[];
  readonly steps: Readonly<Record<Step, StepFigures[]>>;
  bytes: number;
}

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    installs: { type: 'string', default: '3' },
    scale: { type: 'boolean', default: true },
    write: { type: 'boolean', default: true },
  },
  allowNegative: true,
});
const rounds = Number(options.rounds);
const installs = Math.min(rounds, Number(options.installs));
if (!Number.isInteger(rounds) || rounds < 1 || !Number.isInteger(installs) || installs < 1) {
  throw new Error('--rounds and --installs take a whole number from 1 on');
}

const say = (line: string) => void process.stderr.write(`${line}\n`);
const directory = mkdtempSync(join(tmpdir(), 'bench-'));
const sandbox = await startSandbox({
  github: { pulls: [{ number: 7, headRef: 'topic', headSha: 'a'.repeat(40), baseRef: 'main' }] },
});
const toClearml = await startCountingProxy(sandbox.clearml.apiHost);
const toGithub = await startCountingProxy(sandbox.env.GITHUB_API_URL ?? '');
try {
  const nodeDirectory = await findNodeDirectory(24);
  if (nodeDirectory === undefined) throw new Error('Node 24 is needed: run this with it');
  const python = await findPython();
  await buildBundles();
  await packBundles(directory);
  const sides = createSides(directory, join(nodeDirectory, 'node'), python.executable);
  const driver = createClearmlDriver(sandbox.clearml.env);
  const bench: Bench = { sandbox, driver, toClearml, toGithub, directory };
  const results = new Map<Side, Figures>(
    sides.map((side) => [
      side,
      { install: [], empty: [], lateness: [], steps: { launch: [], check: [], comment: [] }, bytes: 0 },
    ]),
  );
  // Once before it counts: what the package managers download is kept in their caches, on both sides.
  for (const side of sides) await side.install();
  // In turns, so that what else the machine does meets all sides alike.
  for (let round = 1; round <= rounds; round += 1) {
    for (const [side, figures] of results) {
      if (round <= installs) {
        const beganAtMs = performance.now();
        await side.install();
        figures.install.push((performance.now() - beganAtMs) / 1000);
        figures.bytes = side.measureSize();
      }
      figures.empty.push(await measureEmpty(side, bench));
      const steps = await runChain(side, bench);
      for (const step of STEPS) figures.steps[step].push(steps[step]);
      say(
        `round ${round}, ${side.name}: ${STEPS.map((step) => `${step} ${steps[step].seconds.toFixed(2)} s`).join(', ')}`,
      );
    }
  }
  const late = await Promise.all(sides.map((side) => measureLateness(side, bench, RUN_SECONDS)));
  for (const [index, side] of sides.entries()) results.get(side)?.lateness.push(late[index] ?? Number.NaN);

  const bundle = sides.find(({ name }) => name === 'bundle');
  const curves =
    options.scale && bundle !== undefined ? await measureScale(bundle, directory, say) : undefined;
  const section = formatSection(results, python.version, curves);
  process.stdout.write(`${section}\n`);
  if (options.write) writeResults(results, section, curves);
} finally {
  await toClearml.close();
  await toGithub.close();
  await sandbox.close();
  rmSync(directory, { recursive: true, force: true });
}

function toBar(side: Side, figures: Figures): Bar {
  return {
    side,
    parts: [
      ['install', median(figures.install)],
      ...STEPS.map((step) => [step, median(figures.steps[step].map(({ seconds }) => seconds))] as const),
    ],
  };
}

/** The README's section: tables, and with what they were measured. */
function formatSection(
  results: ReadonlyMap<Side, Figures>,
  pythonVersion: string,
  curves: readonly Curve[] | undefined,
): string {
  const columns = [...results];
  const original = columns[0]?.[1];
  if (original === undefined) throw new Error('nothing was measured');
  const originalTotal = columns[0] === undefined ? 0 : sumParts(toBar(...columns[0]));
  const row = (title: string, cells: ReadonlyArray<string>) => `| ${[title, ...cells].join(' | ')} |`;
  const each = (format: (figures: Figures) => string) => columns.map(([, figures]) => format(figures));
  const ofSteps = (title: string, pick: (of: StepFigures) => number, unit: string, scale = 1) =>
    STEPS.map((step) =>
      row(
        `${step}: ${title}`,
        each(({ steps }) => formatSpread(steps[step].map(pick), unit, scale)),
      ),
    );
  const totals = columns.map(([side, figures]) => sumParts(toBar(side, figures)));
  const lines = [
    row(
      '',
      columns.map(([{ title }]) => title),
    ),
    row(
      '---',
      columns.map(() => '---:'),
    ),
    row(
      'install',
      each(({ install }) => formatSpread(install, ' s')),
    ),
    row(
      'installed size',
      each(({ bytes }) => `${formatNumber(bytes / 1e6)} MB`),
    ),
    ...ofSteps('whole step', ({ seconds }) => seconds, ' s'),
    row(
      'an empty file, run the same way',
      each(({ empty }) => formatSpread(empty, ' ms', 1000)),
    ),
    ...ofSteps('start to first request', ({ startSeconds }) => startSeconds, ' ms', 1000),
    ...ofSteps('requests', ({ requests }) => requests, ''),
    ...ofSteps('connections', ({ connections }) => connections, ''),
    ...ofSteps('traffic', ({ kilobytes }) => kilobytes, ' kB'),
    ...ofSteps('peak memory', ({ peakMib }) => peakMib, ' MiB'),
    row(
      `end of a ${RUN_SECONDS} s run to end of the wait`,
      each(({ lateness }) => formatSpread(lateness, ' s')),
    ),
    row(
      '**all that is added to a training**',
      totals.map((total) => `**${formatNumber(total)} s**`),
    ),
    row(
      'of the original',
      totals.map((total) => (total === originalTotal ? '1' : `1/${formatNumber(originalTotal / total)}`)),
    ),
  ];
  const machine = `${cpus().length} cores (${cpus()[0]?.model.trim() ?? 'unknown'}), ${Math.round(totalmem() / 2 ** 30)} GiB, ${process.platform}`;
  const requirements = readFileSync(new URL('requirements.txt', import.meta.url), 'utf8');
  const packages = requirements
    .split('\n')
    .filter((line) => /==/.test(line))
    .join(', ');
  return [
    `Medians of ${rounds} rounds in turns (${installs} for the installation), lowest to highest in brackets, against the same sandbox on the same machine: ${machine}; Node ${NODE_RELEASES[24]}, Python ${pythonVersion}, ${packages}. Installed from warm caches of npm and pip; the release is unpacked from a local archive. No network latency. \`npm run bench\` repeats it.`,
    '',
    '![Seconds that each way adds to a training](.github/assets/bench.svg)',
    '',
    ...lines,
    ...(curves === undefined
      ? []
      : [
          '',
          'What a report and a wait cost as they grow (the release):',
          '',
          '![What a report and a wait cost as they grow](.github/assets/bench-scale.svg)',
        ]),
  ].join('\n');
}

function writeResults(
  results: ReadonlyMap<Side, Figures>,
  section: string,
  curves: readonly Curve[] | undefined,
): void {
  const bars = [...results].map(([side, figures]) => toBar(side, figures));
  writeFileSync(join(ROOT, '.github/assets/bench.svg'), drawChainPicture(bars));
  if (curves !== undefined)
    writeFileSync(join(ROOT, '.github/assets/bench-scale.svg'), drawScalePicture(curves));
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
  const marked = /(<!-- bench -->\n)[\s\S]*?(<!-- \/bench -->)/;
  if (!marked.test(readme))
    throw new Error('README.md has no place for it: <!-- bench --> … <!-- /bench -->');
  writeFileSync(
    join(ROOT, 'README.md'),
    readme.replace(marked, (_, begin: string, end: string) => `${begin}${section}\n${end}`),
  );
}
