import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import {
  type Cell,
  type CellResult,
  FAULTS,
  listCells,
  REPETITIONS,
  recordRequests,
  runCell,
  runCellAsProcess,
  type Scenario,
} from './fault-matrix.ts';
import { placeFaultRows } from './fault-table.ts';

const README = new URL('../README.md', import.meta.url);
const README_TABLE = /(?<=<!-- fault matrix -->\n\n)[\s\S]*?(?=\n\n<!-- end of fault matrix -->)/;
const KINDS = `${Object.keys(FAULTS).length} faults × ${Object.keys(REPETITIONS).join(', ')}`;

/** So many processes of the sample run at a time: most of their time they wait. */
const PARALLEL = 3;

/** A scenario, the cells that are made of its requests, and what came of those that were run. */
interface Plan {
  readonly scenario: Scenario;
  readonly requests: number;
  readonly broken: number;
  readonly cells: readonly Cell[];
  readonly results: Map<Cell, CellResult>;
}

interface SampledCell {
  readonly plan: Plan;
  readonly cell: Cell;
}

/**
 * Makes the tests of one program: every cell of its scenarios in this process; a random sample of them as processes of
 * their own, meanwhile; and that the table in `cli/README.md` shows what came of it. With WRITE_FAULT_MATRIX=1 it is written there.
 */
export function testFaultMatrix(
  scenarios: readonly Scenario[],
  { sampleSize }: { readonly sampleSize: number },
): void {
  let plans: readonly Plan[] = [];
  let sample: readonly SampledCell[] = [];
  let sampleResults: Promise<ReadonlyMap<Cell, CellResult>> | undefined;
  const ending = new AbortController();

  beforeAll(async () => {
    plans = await makePlans(scenarios);
    sample = drawSample(plans, sampleSize);
    sampleResults = runSample(sample, ending.signal);
  });

  afterAll(async () => {
    ending.abort();
    await sampleResults;
  });

  describe.each(scenarios)('$name', (scenario) => {
    test('comes right, or gives up in time, whatever happens to whichever request', async () => {
      const { cells, results } = plans.find((plan) => plan.scenario === scenario) as Plan;
      for (const cell of cells) results.set(cell, await runCell(scenario, cell));
      const failures = cells.flatMap((cell) => {
        const problem = results.get(cell)?.problem;
        return problem === undefined ? [] : [`${describeCell(cell)}: ${problem}`];
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

/** A situation that a scenario before has been in is not made again. */
async function makePlans(scenarios: readonly Scenario[]): Promise<Plan[]> {
  const plans: Plan[] = [];
  const known = new Set<string>();
  for (const scenario of scenarios) {
    const requests = await recordRequests(scenario);
    const broken = requests.filter(({ situation, isRepeated }) => !isRepeated && !known.has(situation));
    for (const { situation } of requests) known.add(situation);
    plans.push({
      scenario,
      requests: requests.length,
      broken: broken.length,
      cells: listCells(broken),
      results: new Map(),
    });
  }
  return plans;
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
