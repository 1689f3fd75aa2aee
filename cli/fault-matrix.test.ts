import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, describe, expect, test } from '@jest/globals';
import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import { main as check } from './check-task-running.ts';
import { main as comment } from './create-stats-comment.ts';
import {
  type Cell,
  FAULTS,
  listCells,
  REPETITIONS,
  type RecordedRequest,
  recordRequests,
  runCell,
  type Scenario,
} from './dev/fault-matrix.ts';
import { createScenarios, removeScenarioFiles } from './dev/fault-scenarios.ts';
import { main as launch } from './launch-training-task.ts';

afterAll(removeScenarioFiles);

/** What the README shows of a scenario. */
interface Row {
  readonly scenario: Scenario;
  readonly requests: number;
  readonly tested: readonly RecordedRequest[];
  cells: number;
  passed: number;
}

const rows: Row[] = [];
const knownSituations = new Set<string>();

describe.each(createScenarios({ launch, check, comment }))('$name', (scenario) => {
  test('comes right, or gives up in time, whatever happens to whichever request', async () => {
    const requests = await recordRequests(scenario);
    const tested = requests.filter(
      ({ situation, isRepeated }) => !isRepeated && !knownSituations.has(situation),
    );
    for (const { situation } of requests) knownSituations.add(situation);
    const row: Row = { scenario, requests: requests.length, tested, cells: 0, passed: 0 };
    rows.push(row);
    const failures: string[] = [];
    for (const cell of listCells(tested)) {
      const { problem } = await runCell(scenario, cell);
      row.cells += 1;
      if (problem === undefined) row.passed += 1;
      else failures.push(`${describeCell(cell)}: ${problem}`);
    }
    expect(failures).toEqual([]);
    expect(row.cells).toBeGreaterThan(40);
  }, 900_000);
});

describe('all together', () => {
  const SAMPLE = 20;
  const PARALLEL = 5;

  test('as processes of their own, a random sample of the cells comes out the same', async () => {
    const all = rows.flatMap(({ scenario, tested }) =>
      listCells(tested)
        // A name is made unresolvable within this process only.
        .filter(({ fault }) => FAULTS[fault]?.kind !== 'no-name')
        .map((cell) => ({ scenario, cell })),
    );
    const generator = xoroshiro128plus(20261124);
    const sample = Array.from({ length: SAMPLE }, () => all[uniformInt(generator, 0, all.length - 1)]);
    const differences: string[] = [];
    const expected = new Map<(typeof all)[number], number | null>();
    for (const one of sample)
      if (one !== undefined) expected.set(one, (await runCell(one.scenario, one.cell)).exitCode);
    const open = [...expected];
    const work = async () => {
      for (let next = open.shift(); next !== undefined; next = open.shift()) {
        const [{ scenario, cell }, exitCode] = next;
        const real = await runCell(scenario, cell, true);
        if (real.problem !== undefined || real.exitCode !== exitCode)
          differences.push(
            `${scenario.name}, ${describeCell(cell)}: ${exitCode}, as a process ${real.exitCode}: ${real.problem}`,
          );
      }
    };
    await Promise.all(Array.from({ length: PARALLEL }, work));
    expect(differences).toEqual([]);
  }, 600_000);

  test('the README shows these numbers (WRITE_FAULT_MATRIX=1 npm test -- cli/fault-matrix.test.ts writes them)', () => {
    const table = formatTable(rows);
    process.stdout.write(`${table}\n`);
    const file = new URL('../README.md', import.meta.url);
    const readme = readFileSync(file, 'utf8');
    const block = /(?<=<!-- fault matrix -->\n)[\s\S]*?(?=<!-- end of fault matrix -->)/;
    if (process.env.WRITE_FAULT_MATRIX === '1') {
      expect(readme).toMatch(block);
      writeFileSync(
        file,
        readme.replace(block, () => `\n${table}\n\n`),
      );
      return;
    }
    expect(block.exec(readme)?.[0].trim()).toBe(table);
  });
});

function formatTable(rows: readonly Row[]): string {
  const sum = (count: (row: Row) => number) => rows.reduce((total, row) => total + count(row), 0);
  const lines = rows.map(
    ({ scenario, requests, tested, cells, passed }) =>
      `| ${scenario.name} | ${requests} | ${tested.length} | ${cells} | ${passed} |`,
  );
  return [
    `| run | its requests | broken | cells (${Object.keys(FAULTS).length} faults × ${Object.keys(REPETITIONS).join(', ')}) | passed |`,
    '| --- | --: | --: | --: | --: |',
    ...lines,
    `| together | ${sum((row) => row.requests)} | ${sum((row) => row.tested.length)} | ${sum((row) => row.cells)} | ${sum((row) => row.passed)} |`,
  ].join('\n');
}

function describeCell({ request, fault, repetition }: Cell): string {
  return `${request.endpoint} (${request.nth}), ${fault}, ${repetition}`;
}
