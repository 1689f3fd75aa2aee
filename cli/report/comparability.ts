import type { Metric } from '../training/metrics.ts';
import { judgeArrival } from '../training/params/arrival.ts';
import { listLost } from '../training/params/arrival-words.ts';
import { isSuccess } from '../training/task.ts';
import type { ReportedTask } from './reported-task.ts';

/** A param whose value differs; null for a side without it. */
export interface ParamDifference {
  /** `Section/name` */
  readonly param: string;
  readonly value: string | null;
  readonly baseline: string | null;
}

/** Something other than params that makes two results hard to compare. */
export interface EnvironmentDifference {
  readonly aspect: keyof ReturnType<typeof describeConditions>;
  readonly value: string;
  readonly baseline: string;
}

/**
 * Params that differ between two tasks, by name, without the seed. Until a task reports its own params it has only those
 * of its launch, so missing ones do not count as gone. What did not reach a training is no difference.
 *
 * @param known params that the training is known to declare
 */
export function compareParams(
  task: ReportedTask,
  baseline: ReportedTask,
  seedParam: string,
  known: ReadonlySet<string> = new Set(),
): ParamDifference[] {
  const own = task.params;
  const base: Record<string, string> = { ...baseline.params };
  for (const { name, state } of judgeArrival(baseline, known)) if (state === 'undeclared') delete base[name];
  const lost = new Set(listLost(judgeArrival(task, known)).map(({ name }) => name));
  return [...new Set([...Object.keys(own), ...Object.keys(base)])]
    .filter((name) => name !== seedParam && !lost.has(name) && own[name] !== base[name])
    .filter((name) => own[name] !== undefined || hasTold(task, name))
    .sort()
    .map((name) => ({ param: name, value: own[name] ?? null, baseline: base[name] ?? null }));
}

/** Whether the training got far enough to have reported this param, if it has it. */
function hasTold(task: ReportedTask, param: string): boolean {
  if (isSuccess(task.status) || task.iteration > 0) return true;
  return task.hasToldArguments && param.startsWith('Args/');
}

/** Sections where ClearML keeps the data sets that a task used. */
const DATASET_PARAM = /^(?:Datasets|Dataset)\//;

/** Everything else that may explain a difference. Only what both tasks tell is compared. */
export function compareEnvironments(task: ReportedTask, baseline: ReportedTask): EnvironmentDifference[] {
  const own = describeConditions(task);
  const base = describeConditions(baseline);
  // Machines of one kind report slightly different amounts of memory.
  if (haveLikeMachines(task, baseline)) own.machine = base.machine;
  [own.requirements, base.requirements] = comparePackages(task, baseline);
  const aspects = Object.keys(own) as Array<keyof typeof own>;
  return aspects.flatMap((aspect) => {
    const value = own[aspect];
    const other = base[aspect];
    const isKnown = value !== undefined && other !== undefined;
    return isKnown && value !== other ? [{ aspect, value, baseline: other }] : [];
  });
}

/** What a task ran with, in the order of the report; undefined if unknown. */
function describeConditions(task: ReportedTask) {
  const { script, inputModels, iteration } = task;
  const datasets = Object.entries(task.params)
    .filter(([name]) => DATASET_PARAM.test(name))
    .map(([name, value]) => `${name.replace(DATASET_PARAM, '')}=${value}`);
  const join = (texts: readonly string[]) => [...texts].sort().join(', ') || undefined;
  return {
    image: task.image ?? 'none',
    'entry point': script.entryPoint,
    'working directory': script.workingDir ?? '.',
    // Only those that differ: see comparePackages.
    requirements: undefined as string | undefined,
    'data set': join(datasets),
    'input models': join(inputModels.map(({ id }) => id)),
    iterations: iteration > 0 ? String(iteration) : undefined,
    machine: describeMachine(task),
    GPU: describeGpu(task),
    // Patch releases of Python do not change a training.
    Python: task.runtime.python_version?.split('.').slice(0, 2).join('.'),
  };
}

const MAX_PACKAGES = 6;

/** Packages are compared if both tasks list them; a side that lists none is unknown. */
function comparePackages(task: ReportedTask, baseline: ReportedTask): [string?, string?] {
  if (task.script.packages.length === 0 || baseline.script.packages.length === 0) return [];
  const own = indexPackages(task.script.packages);
  const base = indexPackages(baseline.script.packages);
  const different = [...new Set([...own.keys(), ...base.keys()])]
    .filter((name) => own.get(name) !== base.get(name))
    .sort();
  if (different.length === 0) return [];
  const rest = different.length > MAX_PACKAGES ? `, and ${different.length - MAX_PACKAGES} more` : '';
  const list = (packages: ReadonlyMap<string, string>) =>
    different
      .slice(0, MAX_PACKAGES)
      .map((name) => packages.get(name) ?? `no ${name}`)
      .join(', ') + rest;
  return [list(own), list(base)];
}

/** Lines by the package's name as PyPI compares names. */
function indexPackages(lines: readonly string[]): Map<string, string> {
  return new Map(
    lines.map((line) => {
      const name = /^[\w.-]+/.exec(line)?.[0] ?? line;
      return [name.toLowerCase().replace(/[-_.]+/g, '-'), line.replace(/\s+/g, ' ')];
    }),
  );
}

/** `2 cores, 24 GB, x86_64`; undefined until the SDK reports it. */
export function describeMachine({ runtime }: Pick<ReportedTask, 'runtime'>): string | undefined {
  const { cpu_cores: cores, memory_gb: memory, processor } = runtime;
  if (cores === undefined) return undefined;
  return [
    `${cores} ${cores === '1' ? 'core' : 'cores'}`,
    ...(memory === undefined ? [] : [`${Math.round(Number(memory))} GB`]),
    ...(processor === undefined ? [] : [processor]),
  ].join(', ');
}

function haveLikeMachines({ runtime: a }: ReportedTask, { runtime: b }: ReportedTask): boolean {
  const ratio = Number(a.memory_gb) / Number(b.memory_gb);
  return a.cpu_cores === b.cpu_cores && a.processor === b.processor && ratio > 0.9 && ratio < 1.1;
}

/** `2 x NVIDIA A10`, or `none`; undefined until the SDK reports it. */
export function describeGpu({ runtime }: Pick<ReportedTask, 'runtime'>): string | undefined {
  const { gpu_count: count, gpu_type: type } = runtime;
  if (count === undefined) return undefined;
  if (Number(count) === 0) return 'none';
  const types = [...new Set((type ?? 'GPU').split(',').map((one) => one.trim()))];
  return `${count} \u00d7 ${types.join(', ')}`;
}

/** The load on a machine; null for what is unknown. */
interface MachineLoad {
  readonly cpuPercent: number | null;
  readonly memoryGb: number | null;
  readonly gpuPercent: number | null;
  readonly gpuMemoryGb: number | null;
}

/**
 * The load that the SDK's resource monitor measured, without what it makes up (SDK 2.1.12, `resource_monitor.py`). It asks
 * for the memory of the own processes every 30 seconds and first at the start, when they have none. Where the driver can't
 * tell the utilization it reports a fixed number, 100 unless the SDK's settings name another.
 */
export function describeLoad({ monitors }: Pick<ReportedTask, 'monitors'>): MachineLoad {
  const byName = new Map(monitors.map((metric) => [metric.name, metric]));
  const gpus = [...byName.keys()].flatMap((name) => /^(:monitor:gpu\/gpu_\d+)_/.exec(name)?.[1] ?? []);
  const readAll = (read: (gpu: string) => number | undefined) =>
    [...new Set(gpus)].map((gpu) => read(gpu) ?? Number.NaN);
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  const utilizations = readAll((gpu) => readUtilization(byName.get(`${gpu}_utilization`)));
  const memories = readAll(
    (gpu) =>
      computeUsed(byName.get(`${gpu}_mem_usage`), byName.get(`${gpu}_mem_free_gb`)) ??
      byName.get(`${gpu}_mem_used_gb`)?.max,
  );
  return {
    cpuPercent: byName.get(':monitor:machine/cpu_usage')?.mean ?? null,
    memoryGb: byName.get(':monitor:machine/memory_used_gb')?.max || null,
    // If one GPU's number is unknown, so is that of all.
    gpuPercent: gpus.length === 0 ? null : orNull(sum(utilizations) / utilizations.length),
    gpuMemoryGb: memories.includes(0) ? null : orNull(sum(memories)) || null,
  };
}

function orNull(value: number): number | null {
  return Number.isNaN(value) ? null : value;
}

/** The mean; undefined for a number that never changes, unless the GPU was idle: real means over 30 seconds differ. */
function readUtilization(metric: Metric | undefined): number | undefined {
  if (metric === undefined) return undefined;
  const { min, max, mean, count } = metric;
  const isFixed = min === max && max !== 0 && (count > 1 || max === 100);
  return isFixed ? undefined : mean;
}

/** The largest memory in use, from the share that is used and the GiB that are free, which are asked for all the time. */
function computeUsed(usage: Metric | undefined, free: Metric | undefined): number | undefined {
  if (usage === undefined || free === undefined || usage.max >= 100) return undefined;
  return (free.min * usage.max) / (100 - usage.max);
}
