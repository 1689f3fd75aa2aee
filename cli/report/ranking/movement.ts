import { readName } from '../../gate/metric-names.ts';
import { listTopic } from '../../gate/metric-rules.ts';
import { findChanceRange } from '../../gate/noise.ts';
import { findMean } from '../../gate/statistics.ts';
import type { MetricRule } from '../../shell/config.ts';
import type { Metric } from '../../training/metrics.ts';
import { isSuccess } from '../../training/task.ts';
import { listBaselineTasks, listHistory } from '../baseline/baseline.ts';
import type { ReportedTask } from '../reported-task.ts';
import type { ReportSources } from '../sources.ts';
import { findCopies } from './copies.ts';
import { collectMetrics, describeRanks, type Presence, type RankedMetric } from './ranking.ts';

/** How many base commits tell how much a metric varies by chance. */
export const NOISE_COMMITS = 10;

/** A metric's change where nobody knows its noise counts as if runs differed by this share. */
const ASSUMED_NOISE = 0.05;
/** A smaller share that a metric moved by says nothing where neither its noise is known nor its goal set. */
export const SLIGHT_SHARE = 0.001;
/** Sums in another order differ by less than this share. */
const ROUNDING = 1e-9;

type MetricsByName = ReadonlyMap<string, Metric>;

/** The metrics of both sides by name: of each run, and of each run of the base's further commits. */
interface Sides {
  readonly own: readonly MetricsByName[];
  readonly base: readonly MetricsByName[];
  readonly older: ReadonlyArray<readonly MetricsByName[]>;
  readonly isSameTraining: boolean;
}

type MovedSources = Pick<ReportSources, 'tasks' | 'baseline' | 'ranked' | 'isAskedOf'>;

/**
 * The metrics of completed trainings in the order that a reader wants them: those that the settings name, in their order;
 * then what moved most against its noise (where that is unknown, by its relative change), held-out before training data;
 * what is new or gone before what stayed; bookkeeping last. A training that has not completed keeps the order by name, so
 * that its report does not jump about.
 *
 * The numbers are those that ClearML has, before any doubt: a NaN that arrived as 0 has moved far.
 */
export function rankByMovement(
  { tasks, baseline, ranked, isAskedOf }: MovedSources,
  rules: readonly MetricRule[],
): readonly RankedMetric[] {
  if (tasks.length === 0 || !tasks.every(({ status }) => isSuccess(status))) return ranked;
  const sides = indexSides(tasks, baseline);
  const baseTasks = listBaselineTasks(baseline);
  const oldNames = new Set(rules.flatMap(({ was }) => was ?? []));
  const gone = [...collectMetrics(baseTasks).values()].filter(
    ({ name }) => isReportedSteadily(name, sides) && !oldNames.has(name),
  );
  const isOwn = new Set(ranked.map(({ metric }) => metric.name));
  const missed = gone.filter(({ name }) => !isOwn.has(name));
  const described = [...ranked, ...describeRanks(missed, rules)];
  const copies = findCopies(described, sides.own, sides.base);
  const heldOut = new Set(
    described.filter(({ metric }) => readName(metric.name).data === 'held-out').map(nameMeasure),
  );
  const entries = described.map((one) => {
    const { name } = one.metric;
    const presence = baseTasks.length === 0 ? undefined : findPresence(one, sides, isAskedOf);
    const moved = one.isBookkeeping || presence !== 'both' ? STILL : measureMovement(one, sides);
    const { data } = readName(name);
    const isOfTraining =
      data === 'training' ||
      (data === undefined && heldOut.size > 0 && !one.metric.isSingle && heldOut.has(nameMeasure(one)));
    const copyOf = copies.get(name);
    return {
      ranked: { ...one, presence, copyOf, isOfTraining },
      moved,
      group: chooseGroup(one, presence, moved),
    };
  });
  entries.sort(
    (a, b) =>
      a.ranked.position - b.ranked.position ||
      Number(a.ranked.isBookkeeping) - Number(b.ranked.isBookkeeping) ||
      Number(a.ranked.isOfTraining) - Number(b.ranked.isOfTraining) ||
      a.group - b.group ||
      compareSizes(b.moved.against, a.moved.against) ||
      compareSizes(b.moved.share, a.moved.share) ||
      b.ranked.interest - a.ranked.interest,
  );
  return entries.map((entry) => entry.ranked);
}

/** How far a metric moved: against what chance explains, and as a share of its size; 0 for nothing. */
interface Movement {
  readonly against: number;
  readonly share: number;
}

const STILL: Movement = { against: 0, share: 0 };

function indexSides(tasks: readonly ReportedTask[], baseline: ReportSources['baseline']): Sides {
  const index = (side: readonly ReportedTask[]) =>
    side.map((task) => new Map(task.metrics.map((metric) => [metric.name, metric])));
  const older = listHistory(baseline).slice(1, NOISE_COMMITS);
  return {
    own: index(tasks),
    base: index(listBaselineTasks(baseline)),
    older: older.map((commit) => index(commit.tasks)),
    isSameTraining: baseline.kind === 'found' && baseline.isSameTraining,
  };
}

/** Whether every run of the base has it, and its further commits had it without a break: else one without it is no news. */
function isReportedSteadily(name: string, { base, older }: Sides): boolean {
  if (base.length === 0 || !base.every((run) => run.has(name))) return false;
  const before = older.map((runs) => runs.some((run) => run.has(name)));
  const beginning = before.indexOf(false);
  return beginning === -1 || !before.slice(beginning).includes(true);
}

function findPresence(
  { metric: { name }, role: { rule } }: RankedMetric,
  { own, base, older }: Sides,
  isAskedOf: MovedSources['isAskedOf'],
): Presence | undefined {
  const isOwn = own.some((run) => run.has(name));
  if (!isOwn) return 'gone';
  if (base.some((run) => run.has(name))) return 'both';
  if (!isAskedOf(name) || rule?.was !== undefined || older.some((runs) => runs.some((run) => run.has(name))))
    return undefined;
  return own.every((run) => run.has(name)) ? 'new' : undefined;
}

function measureMovement({ metric: { name }, role }: RankedMetric, sides: Sides): Movement {
  const { pick, isGoalGuessed } = role;
  const read = (runs: readonly MetricsByName[]) => runs.flatMap((run) => run.get(name)?.[pick] ?? []);
  const [values, baseValues] = [read(sides.own), read(sides.base)];
  const [value, base] = [findMean(values), findMean(baseValues)];
  const size = Math.max(Math.abs(value), Math.abs(base));
  const change = Math.abs(value - base);
  if (sides.isSameTraining || !(change > ROUNDING * size)) return STILL;
  const share = change / size;
  const range = findChanceRange(
    values,
    [baseValues, ...sides.older.map(read)].filter(({ length }) => length > 0),
  );
  if (range === undefined)
    return isGoalGuessed && share < SLIGHT_SHARE ? STILL : { against: share / ASSUMED_NOISE, share };
  return change <= range ? STILL : { against: change / range, share };
}

/** Moves with a known direction, other moves, what is on one side only, the rest. */
function chooseGroup({ role }: RankedMetric, presence: Presence | undefined, { share }: Movement): number {
  if (share > 0) return role.goal === undefined ? 1 : 0;
  return presence === 'new' || presence === 'gone' ? 2 : 3;
}

function compareSizes(a: number, b: number): number {
  return a === b ? 0 : a - b;
}

/** A metric's name without the words that tell which data it is of. */
function nameMeasure({ metric }: RankedMetric): string {
  const isOfData = (word: string) =>
    /^(?:train|training|learn|test|eval|evaluation|holdout|val|valid|validation|dev|metrics)$/.test(word);
  return listTopic(metric.name)
    .split(' ')
    .filter((word) => !isOfData(word))
    .join(' ');
}
