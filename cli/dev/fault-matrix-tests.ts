import { spawn } from 'node:child_process';
import { on } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import type { World } from '../shell/world.ts';
import {
  type Cell,
  type CellPlan,
  type CellResult,
  FAULTS,
  REPETITIONS,
  runCellAsProcess,
  type Scenario,
} from './fault-matrix.ts';
import { createScenarios } from './fault-scenarios.ts';
import { placeFaultRows } from './fault-table.ts';
import { findNodeDirectory } from './node-release.ts';
import type { ProgramName } from './program-run.ts';
import { createScratchRepository } from './scratch-repository.ts';

/** The program of the process that runs the cells. */
const CELLS = fileURLToPath(new URL('fault-cells.ts', import.meta.url));
const README = new URL('../README.md', import.meta.url);
const README_TABLE = /(?<=<!-- fault matrix -->\n\n)[\s\S]*?(?=\n\n<!-- end of fault matrix -->)/;
const KINDS = `${Object.keys(FAULTS).length} faults × ${Object.keys(REPETITIONS).join(', ')}`;

/** So many processes of the sample run at a time: most of their time they wait. */
const PARALLEL = 3;

/** A scenario, its cells, and what came of those that were run. */
interface Plan extends CellPlan {
  readonly scenario: Scenario;
  readonly results: Map<Cell, CellResult>;
}

interface SampledCell {
  readonly plan: Plan;
  readonly cell: Cell;
}

/**
 * Makes the tests of one program: every cell of its scenarios, in a process of their own; a random sample of them with
 * the program as a process, meanwhile; and that the table in `cli/README.md` shows what came of it. With
 * WRITE_FAULT_MATRIX=1 it is written there.
 */
export function testFaultMatrix(
  program: ProgramName,
  main: (world: World) => Promise<number>,
  { sampleSize }: { readonly sampleSize: number },
): void {
  const repository = createScratchRepository();
  const scenarios = createScenarios(program, main, repository);
  const ending = new AbortController();
  let cellsProcess: CellsProcess;
  let plans: readonly Plan[] = [];
  let sample: readonly SampledCell[] = [];
  let sampleResults: Promise<ReadonlyMap<Cell, CellResult>> | undefined;

  beforeAll(async () => {
    const node = await findNodeDirectory(24);
    if (node === undefined) throw new Error('Node 24 is needed: run this with it');
    cellsProcess = startCells(join(node, 'node'), program, ending.signal);
    plans = (await cellsProcess.plans).map((plan, index) => ({
      ...plan,
      scenario: scenarios[index] as Scenario,
      results: new Map(),
    }));
    expect(plans).toHaveLength(scenarios.length);
    sample = drawSample(plans, sampleSize);
    sampleResults = runSample(sample, ending.signal);
  });

  afterAll(async () => {
    ending.abort();
    await sampleResults;
    repository.remove();
  });

  describe.each(scenarios)('$name', (scenario) => {
    test('comes right, or gives up in time, whatever happens to whichever request', async () => {
      const { cells, results } = plans.find((plan) => plan.scenario === scenario) as Plan;
      for (const [index, result] of (await cellsProcess.run(scenario)).entries())
        results.set(cells[index] as Cell, result);
      const failures = cells.flatMap((cell) => {
        const result = results.get(cell) ?? { problem: 'not run' };
        return result.problem === undefined ? [] : [`${describeCell(cell)}: ${result.problem}`];
      });
      expect(failures).toEqual([]);
      expect(cells.length).toBeGreaterThan(40);
    });
  });

  describe('all together', () => {
    test('as processes of their own, a random sample of the cells comes out the same', async () => {
      const found = await sampleResults;
      const outcomes = sample.map(({ plan, cell }) => ({
        name: `${plan.scenario.name}, ${describeCell(cell)}`,
        here: plan.results.get(cell)?.exitCode,
        asProcess: found?.get(cell)?.exitCode,
        problem: found?.get(cell)?.problem,
      }));
      expect(outcomes).toEqual(
        outcomes.map(({ name, here }) => ({ name, here, asProcess: here, problem: undefined })),
      );
      expect(outcomes).toHaveLength(sampleSize);
    });

    test('cli/README.md shows these numbers (WRITE_FAULT_MATRIX=1 npm test -- -i cli/e2e/fault-matrix writes them)', () => {
      const readme = readFileSync(README, 'utf8');
      const table = README_TABLE.exec(readme)?.[0] ?? '';
      const rows = plans.map(({ scenario, requests, broken, cells, results }) => ({
        name: scenario.name,
        requests,
        broken,
        cells: cells.length,
        passed: cells.filter((cell) => results.has(cell) && results.get(cell)?.problem === undefined).length,
      }));
      const written = placeFaultRows(table, rows, KINDS);
      process.stdout.write(`${placeFaultRows('', rows, KINDS)}\n`);
      if (process.env.WRITE_FAULT_MATRIX === '1') {
        expect(readme).toMatch(README_TABLE);
        writeFileSync(
          README,
          readme.replace(README_TABLE, () => written),
        );
      } else expect(table).toBe(written);
    });
  });
}

/** The process that runs the cells of a program. */
interface CellsProcess {
  /** Of each scenario, in their order. */
  readonly plans: Promise<readonly CellPlan[]>;
  run(scenario: Scenario): Promise<readonly CellResult[]>;
}

/**
 * Starts a plain Node process for the cells: within Jest each takes a quarter more of the processor. Without tsx, whose
 * thread resolves even what is loaded already: the cells' clock would jump over that time.
 */
function startCells(node: string, program: ProgramName, signal: AbortSignal): CellsProcess {
  const child = spawn(node, ['--disable-warning=ExperimentalWarning', CELLS, program], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    serialization: 'advanced',
  });
  signal.addEventListener('abort', () => child.connected && child.disconnect());
  const messages = on(child, 'message', { close: ['disconnect'] });
  const receive = async () => {
    const { value } = await messages.next();
    if (value === undefined) throw new Error('the process of the cells has ended');
    return value[0];
  };
  return {
    plans: receive(),
    run(scenario) {
      child.send(scenario.name);
      return receive();
    },
  };
}

function drawSample(plans: readonly Plan[], size: number): SampledCell[] {
  const open = plans.flatMap((plan) =>
    plan.cells
      // A name is made unresolvable within this process only.
      .filter(({ fault }) => FAULTS[fault]?.kind !== 'no-name')
      .map((cell) => ({ plan, cell })),
  );
  const generator = xoroshiro128plus(20261124);
  return Array.from({ length: size }, () => open.splice(uniformInt(generator, 0, open.length - 1), 1)).flat();
}

async function runSample(
  sample: readonly SampledCell[],
  signal: AbortSignal,
): Promise<ReadonlyMap<Cell, CellResult>> {
  const results = new Map<Cell, CellResult>();
  // What takes longest begins first.
  const order = Object.keys(REPETITIONS).reverse();
  const rank = ({ cell }: SampledCell) => order.indexOf(cell.repetition);
  const open = [...sample].sort((a, b) => rank(a) - rank(b));
  const work = async () => {
    for (let next = open.shift(); next !== undefined && !signal.aborted; next = open.shift())
      results.set(
        next.cell,
        await runCellAsProcess(next.plan.scenario, next.cell, signal).catch((error: unknown) => ({
          exitCode: null,
          problem: String(error),
        })),
      );
  };
  await Promise.all(Array.from({ length: PARALLEL }, work));
  return results;
}

function describeCell({ request, fault, repetition }: Cell): string {
  return `${request.endpoint} (${request.nth}), ${fault}, ${repetition}`;
}
