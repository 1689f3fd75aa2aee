import type { World } from '../shell/world.ts';
import { type CellResult, makePlans, runCell } from './fault-matrix.ts';
import { createScenarios } from './fault-scenarios.ts';
import type { ProgramName } from './program-run.ts';
import { createScratchRepository } from './scratch-repository.ts';

// A process of `fault-matrix-tests.ts`, with a program's name as its argument. It sends the plan of each scenario; and for
// each scenario that it is told by name, what came of its cells.

const program = process.argv[2] as ProgramName;
const { main } = (await import(`../${program}.ts`)) as { main(world: World): Promise<number> };
const repository = createScratchRepository();

process.once('disconnect', () => {
  repository.remove();
  process.exit();
});

const plans = await makePlans(createScenarios(program, main, repository));
process.on('message', async (name) => {
  const results: CellResult[] = [];
  for (const { scenario, cells } of plans.filter((plan) => plan.scenario.name === name))
    for (const cell of cells) results.push(await runCell(scenario, cell));
  process.send?.(results);
});
process.send?.(plans.map(({ scenario: _, ...plan }) => plan));
