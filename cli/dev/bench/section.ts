import type { Measured } from '../measurement/in-turns.ts';
import { formatTable, locatePicture } from '../measurement/readme-part.ts';
import { formatNumber, formatRatio, formatSpread, median } from '../measurement/statistics.ts';
import type { StepFigures } from './chain.ts';
import type { ColdRound } from './cold.ts';
import type { FarRound } from './far.ts';
import type { Held } from './held.ts';
import { type Side, STEPS, type Step } from './sides.ts';
import type { StartRound } from './startup.ts';

type Steps = Readonly<Record<Step, readonly StepFigures[]>>;

/** What was measured of one side, a value a round; seconds, bytes. */
export interface Figures {
  readonly install: readonly number[];
  readonly bytes: number;
  readonly near: Steps;
  readonly far: Steps;
  /** Over TLS. */
  readonly farTls: Steps;
  readonly lateness: readonly number[];
}

/** All that was measured, and with what. */
export interface Results {
  /** The original first. */
  readonly sides: ReadonlyArray<readonly [Pick<Side, 'name' | 'title'>, Figures]>;
  readonly starts: ReadonlyArray<Measured<StartRound>>;
  readonly cold: ReadonlyArray<Measured<ColdRound>>;
  readonly rounds: number;
  readonly farMs: number;
  readonly runSeconds: readonly number[];
  /** What a training of an hour takes, by way; the original first. */
  readonly held: ReadonlyArray<readonly [title: string, held: Held]>;
  /** Machine and versions, one phrase. */
  readonly conditions: string;
}

/** The part of `cli/README.md` between its marks: tables, pictures, and with what they were made. */
export function formatSection(results: Results): string {
  const { sides, starts, cold, rounds, farMs, conditions } = results;
  return [
    `Medians of ${rounds} rounds, lowest to highest in brackets. All sides run in turns against the same servers (the sandbox, behind a counting proxy) on one machine: ${conditions}. \`npm run bench\` repeats it.`,
    '',
    '- Every round installs anew, from warm caches of npm and pip and a local archive of the release. On a runner the download comes on top, more for the larger sides.',
    `- ${farMs} ms away means that a request sets out so much later, on a connection that stands. Over TLS the handshakes are real, and every round trip takes so long: that of TCP too.`,
    '- Setting up Python or Node.js is not counted; the actions need neither.',
    "- The original was measured with reporting in a thread. With the SDK's default (a separate process) its launch took 7 s or more, and once hung for 5 minutes.",
    '',
    `![Seconds that each way adds to a training: installation and three steps](${locatePicture('bench.svg')})`,
    '',
    ...formatTable([
      ['', ...sides.map(([{ title }]) => title)],
      row(sides, 'install', ({ install }) => install, ' s'),
      row(sides, 'installed size', ({ bytes }) => [bytes / 1e6], ' MB'),
      ...STEPS.map((step) => row(sides, step, ({ near }) => near[step].map(({ seconds }) => seconds), ' s')),
      total(sides, 'all that is added to a training', 'near'),
      total(sides, `the same, servers ${farMs} ms away`, 'far'),
      total(sides, `the same, TLS servers ${farMs} ms away`, 'farTls'),
      row(sides, "from a run's end to its step's end", ({ lateness }) => lateness, ' s'),
    ]),
    '',
    'A training of one hour, which prints a line a minute. Detached means the setting `detach`; the tick that reports the end is counted, with its installation. The hour is a clock’s; the original’s is its 120 pauses.',
    '',
    ...formatTable([
      ['', ...results.held.map(([title]) => title)],
      heldRow(results, 'runner seconds held', ({ seconds }) => seconds, ' s'),
      heldRow(results, 'requests to ClearML', ({ requests }) => requests, ''),
    ]),
    '',
    '<details><summary>Requests, traffic, memory, start-up</summary>',
    '',
    ...formatTable([
      ['', ...sides.map(([{ title }]) => title)],
      ...details(sides, 'requests', ({ requests }) => requests, ''),
      ...details(sides, 'connections', ({ connections }) => connections, ''),
      ...details(sides, 'traffic', ({ kilobytes }) => kilobytes, ' kB'),
      ...details(sides, 'peak memory', ({ peakMib }) => peakMib, ' MiB'),
      ...details(sides, 'start to first request', ({ startSeconds }) => startSeconds * 1000, ' ms'),
    ]),
    '',
    `Requests, connections and traffic (both ways, headers included) are those of ClearML and GitHub together. The comment here finds its baseline on the base branch and updates what it posted before. The original's lists the last values in a new comment. The end of a wait was measured with runs of ${results.runSeconds.join(', ')} seconds.`,
    '',
    `Start-up at a keyboard with warm caches, ${starts[0]?.rounds.length ?? 0} starts each: milliseconds to the first request, and the ratio to an empty TypeScript file that runs the same way.`,
    '',
    ...formatTable([
      ['', 'empty file', ...STEPS],
      ...starts.map(({ title, rounds: of }) => {
        const empty = of.map((round) => round.empty);
        return [
          title,
          formatSpread(empty, '', 1000),
          ...STEPS.map((step) =>
            besideEmpty(
              of.map(({ steps }) => steps[step]),
              empty,
            ),
          ),
        ];
      }),
    ]),
    '',
    'The copied programs on a fresh runner, with Node 24: an empty temporary folder, nothing cached. Each program is the first to run. All three run to their ends one after the other.',
    '',
    ...formatCold(cold),
    '',
    '</details>',
  ].join('\n');
}

/** The table of the starts with nothing cached: milliseconds, and ratios to the empty file. */
export function formatCold(cold: ReadonlyArray<Measured<ColdRound>>): string[] {
  return formatTable([
    [
      'nothing cached',
      'empty file',
      ...STEPS.map((step) => `${step}: first request`),
      'all three, whole',
      'their processor time',
    ],
    ...cold.map(({ title, rounds }) => {
      const list = (pick: (round: ColdRound) => number) => rounds.map(pick);
      const empty = list((round) => round.empty);
      return [
        title,
        formatSpread(empty, '', 1000),
        ...STEPS.map((step) =>
          besideEmpty(
            list(({ first }) => first[step]),
            empty,
          ),
        ),
        besideEmpty(
          list(({ whole }) => whole),
          empty,
        ),
        besideEmpty(
          list(({ processor }) => processor.whole),
          list(({ processor }) => processor.empty),
        ),
      ];
    }),
  ]);
}

/** Milliseconds, and the ratio to those of an empty file. */
function besideEmpty(values: readonly number[], empty: readonly number[]): string {
  return `${formatSpread(values, '', 1000)}, ${(median(values) / median(empty)).toFixed(2)}×`;
}

/** The table of the three steps, near and far; the excess is what the distance and TLS add. */
export function formatFar(far: ReadonlyArray<Measured<FarRound>>): string[] {
  return formatTable([
    ['', 'near', 'TLS, far', 'excess'],
    ...far.map(({ title, rounds }) => {
      const [near, farTls] = [rounds.map((round) => round.near), rounds.map((round) => round.farTls)];
      return [
        title,
        formatSpread(near, ' s'),
        formatSpread(farTls, ' s'),
        `${formatNumber(median(farTls) - median(near))} s`,
      ];
    }),
  ]);
}

/** Seconds that a side adds to a training: the medians of its installation and of each step, in order. */
export function listParts(
  { install, ...figures }: Figures,
  way: 'near' | 'far' | 'farTls' = 'near',
): ReadonlyArray<readonly [name: string, seconds: number]> {
  const steps = figures[way];
  return [
    ['install', median(install)],
    ...STEPS.map((step) => [step, median(steps[step].map(({ seconds }) => seconds))] as const),
  ];
}

export function sumParts(parts: ReadonlyArray<readonly [name: string, seconds: number]>): number {
  return parts.reduce((sum, [, seconds]) => sum + seconds, 0);
}

function row(
  sides: Results['sides'],
  title: string,
  pick: (figures: Figures) => readonly number[],
  unit: string,
): string[] {
  const original = sides[0] === undefined ? Number.NaN : median(pick(sides[0][1]));
  const cells = sides.map(([, figures], index) => {
    const values = pick(figures);
    return `${formatSpread(values, unit)}${index === 0 ? '' : `, ${formatRatio(median(values), original)}`}`;
  });
  return [title, ...cells];
}

function heldRow({ held }: Results, title: string, pick: (of: Held) => number, unit: string): string[] {
  const original = held[0] === undefined ? Number.NaN : pick(held[0][1]);
  const cells = held.map(([, of], index) => {
    const ratio = index === 0 ? '' : `, ${formatRatio(pick(of), original)}`;
    return `${formatNumber(pick(of))}${unit}${ratio}`;
  });
  return [title, ...cells];
}

function details(
  sides: Results['sides'],
  title: string,
  pick: (of: StepFigures) => number,
  unit: string,
): string[][] {
  return STEPS.map((step) => row(sides, `${step}: ${title}`, ({ near }) => near[step].map(pick), unit));
}

function total(sides: Results['sides'], title: string, way: 'near' | 'far' | 'farTls'): string[] {
  const totals = sides.map(([, figures]) => sumParts(listParts(figures, way)));
  const cells = totals.map((seconds, index) => {
    const ratio = index === 0 ? '' : `, ${formatRatio(seconds, totals[0] ?? Number.NaN)}`;
    return `**${formatNumber(seconds)} s${ratio}**`;
  });
  return [`**${title}**`, ...cells];
}
