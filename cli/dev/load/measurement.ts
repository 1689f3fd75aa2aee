import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startSandbox } from '../../sandbox/sandbox.ts';
import { createClearmlDriver } from '../clearml-driver.ts';
import { measureProcess } from '../measurement/measured-process.ts';
import { median } from '../measurement/statistics.ts';
import { locateBundle } from '../program-run.ts';
import { type Load, nameGithubRequest, PULL, type Turn } from './loads.ts';

/** What a turn costs. */
export interface TurnFigures {
  /** From the start to the end of the (last) process. */
  readonly seconds: number;
  /** Of all processes together. */
  readonly processorSeconds: number;
  /** Of the largest process. */
  readonly peakMib: number;
  /** Of all processes together, to ClearML and GitHub. */
  readonly requests: number;
  /** What came of it, in a few words. */
  readonly outcome: string;
}

/** What a load of a size costs: the medians of its turns. */
export interface LoadFigures extends TurnFigures {
  readonly size: number;
  readonly bytes: number | undefined;
  /** What it costs the programs that these are compared with. */
  readonly before?: TurnFigures;
}

/** What a load costs, by its size. */
export interface MeasuredLoad {
  readonly load: Pick<Load, 'title' | 'unit' | 'describe'>;
  readonly figures: readonly LoadFigures[];
}

/** What is done to the tasks while they are watched, by us. */
const OWN_REQUESTS = new Set(['tasks.completed']);

/** What is measured, and how often. */
export interface MeasurementOptions {
  /** A Node 24. */
  readonly node: string;
  /** The folder of the built programs. */
  readonly bundles: string;
  /** Others of an earlier time. They take turns with these. */
  readonly against?: string | undefined;
  readonly repeats: number;
}

/** Measures a load in all its sizes. @throws Error where a program did something else than it should */
export async function measureLoad(load: Load, options: MeasurementOptions): Promise<MeasuredLoad> {
  const figures: LoadFigures[] = [];
  for (const size of load.sizes) figures.push(await measureSize(load, size, options));
  return { load, figures };
}

async function measureSize(
  load: Load,
  size: number,
  { node, bundles, against, repeats }: MeasurementOptions,
): Promise<LoadFigures> {
  const heard: string[] = [];
  const directory = mkdtempSync(join(tmpdir(), 'load-'));
  const sandbox = await startSandbox({
    clearml: { onRequest: ({ endpoint }) => heard.push(endpoint) },
    github: {
      pulls: [{ number: PULL, headRef: 'topic', headSha: 'a'.repeat(40), baseRef: 'main' }],
      requestsPerHour: Number.MAX_SAFE_INTEGER,
      comments: load.comments?.(size) ?? [],
      onRequest: (request) => heard.push(nameGithubRequest(request)),
    },
  });
  const cleanups: Array<() => unknown> = [];
  try {
    const stage = { sandbox, driver: createClearmlDriver(sandbox.clearml.env), directory, heard, cleanups };
    const { bytes, begin } = await load.prepare(stage, size);
    const folders = against === undefined ? [bundles] : [bundles, against];
    const sides = folders.map((folder) => ({ folder, turns: [] as TurnFigures[] }));
    for (let count = 0; count < repeats; count += 1) {
      for (const { folder, turns } of sides) {
        const turn = await begin();
        heard.length = 0;
        try {
          turns.push(await measureTurn(turn, locateBundle(load.program, folder), { node, directory, heard }));
        } catch (error) {
          throw new Error(`${load.program} failed under ${size} ${load.unit}`, { cause: error });
        }
      }
    }
    const [own, before] = sides.map(({ turns }) => findMiddle(turns));
    if (own === undefined) throw new Error('nothing was measured');
    return { size, bytes, ...own, ...(before === undefined ? {} : { before }) };
  } finally {
    for (const cleanUp of cleanups) await cleanUp();
    await sandbox.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

function findMiddle(turns: readonly TurnFigures[]): TurnFigures {
  const middle = (pick: (turn: TurnFigures) => number) => median(turns.map(pick));
  return {
    seconds: middle(({ seconds }) => seconds),
    processorSeconds: middle(({ processorSeconds }) => processorSeconds),
    peakMib: middle(({ peakMib }) => peakMib),
    requests: middle(({ requests }) => requests),
    outcome: turns.at(-1)?.outcome ?? '',
  };
}

async function measureTurn(
  { starts, meanwhile, verify }: Turn,
  program: string,
  { node, directory, heard }: { readonly node: string; readonly directory: string; readonly heard: string[] },
): Promise<TurnFigures> {
  const running = Promise.all(
    starts.map(({ args, env, cwd = directory }) =>
      measureProcess(node, [program, ...args], {
        cwd,
        env: { PATH: process.env.PATH, HOME: directory, ...env },
      }),
    ),
  );
  const ended = new AbortController();
  const acting = meanwhile?.(ended.signal).catch((error: unknown) => {
    // If the program ended early, its exit code tells more than this error.
    if (!ended.signal.aborted) throw error;
  });
  const [runs] = await Promise.all([running.finally(() => ended.abort()), acting]);
  for (const { exitCode, stderr } of runs) {
    if (exitCode !== 0) throw new Error(`exit code ${exitCode}: ${stderr.slice(-1000)}`);
  }
  const requests = heard.filter((request) => !OWN_REQUESTS.has(request)).length;
  const outcome = await verify(runs);
  return {
    seconds:
      (Math.max(...runs.map((run) => run.endedAtMs)) - Math.min(...runs.map((run) => run.beganAtMs))) / 1000,
    processorSeconds: runs.reduce((sum, run) => sum + run.processorSeconds, 0),
    peakMib: Math.max(...runs.map((run) => run.peakMib)),
    requests,
    outcome,
  };
}
