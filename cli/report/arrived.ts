import { type Arrival, judgeArrival, listDeclared } from '../training/params/arrival.ts';
import { listLost } from '../training/params/arrival-words.ts';
import { listHistory } from './baseline/baseline.ts';
import type { ReportedTask } from './reported-task.ts';
import type { ReportSources } from './sources.ts';

/** A param, or the seed, that did not reach the training. */
export interface LostParam extends Arrival {
  /** How many tasks under test lost it. */
  readonly tasks: number;
  readonly isSeed: boolean;
}

/** Params that some task of the report declared by itself: the front end of the pipeline's training takes them. */
export function listKnownParams({
  tasks,
  baseline,
  anchors,
}: Pick<ReportSources, 'tasks' | 'baseline' | 'anchors'>): ReadonlySet<string> {
  const others = [baseline, ...anchors].flatMap(listHistory).flatMap((commit) => commit.tasks);
  return new Set([...tasks, ...others].flatMap(listDeclared));
}

/** What did not reach the training: once for all tasks with the same, seeds whatever their values. */
export function listLostParams(
  tasks: readonly ReportedTask[],
  known: ReadonlySet<string>,
  seedParam: string,
): LostParam[] {
  const found = new Map<string, LostParam>();
  for (const arrival of tasks.flatMap((task) => listLost(judgeArrival(task, known)))) {
    const { name, state, near, given, value } = arrival;
    const isSeed = name === seedParam;
    const isValueTold = state === 'overwritten' && !isSeed;
    const key = JSON.stringify([name, state, near, ...(isValueTold ? [given, value] : [])]);
    found.set(key, { ...arrival, isSeed, tasks: (found.get(key)?.tasks ?? 0) + 1 });
  }
  return [...found.values()];
}

/** Whether the task's seed did not reach its training, as far as the task shows. */
export function hasLostSeed(task: ReportedTask, known: ReadonlySet<string>, seedParam: string): boolean {
  return listLost(judgeArrival(task, known)).some(({ name }) => name === seedParam);
}
