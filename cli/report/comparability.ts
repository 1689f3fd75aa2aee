import { isSuccess } from '../training/task.ts';
import type { ReportedTask } from './reported-task.ts';

/** A param whose value differs; null where a side does not have it. */
export interface ParamDifference {
  /** `Section/name` */
  readonly param: string;
  readonly value: string | null;
  readonly baseline: string | null;
}

/** Something other than params that makes two results hard to compare. */
export interface EnvironmentDifference {
  readonly aspect:
    | 'image'
    | 'requirements'
    | 'data set'
    | 'iterations'
    | 'machine'
    | 'GPU'
    | 'Python'
    | 'entry point'
    | 'working directory'
    | 'input models';
  readonly value: string;
  readonly baseline: string;
}

/**
 * Params that differ between two tasks, by name; not the seed. A task that has not got as far as its own parameters has
 * only those that it was launched with: that others are gone is not said of it.
 */
export function compareParams(
  task: ReportedTask,
  baseline: ReportedTask,
  seedParam: string,
): ParamDifference[] {
  const names = new Set([...Object.keys(task.params), ...Object.keys(baseline.params)]);
  return [...names]
    .filter((name) => name !== seedParam && task.params[name] !== baseline.params[name])
    .filter((name) => task.params[name] !== undefined || hasTold(task, name))
    .sort()
    .map((name) => ({
      param: name,
      value: task.params[name] ?? null,
      baseline: baseline.params[name] ?? null,
    }));
}

/** Whether the training got far enough to have told ClearML of this param, if it had it. */
function hasTold(task: ReportedTask, param: string): boolean {
  return (
    isSuccess(task.status) || task.iteration > 0 || (task.hasToldArguments && param.startsWith(ARGUMENTS))
  );
}

/** The section of what stands on the command line. */
const ARGUMENTS = 'Args/';

/** Sections in which ClearML keeps the data sets that were used. */
const DATASET_PARAM = /^(?:Datasets|Dataset)\//;

/** Everything else that may explain a difference. Only what both tasks tell is compared. */
export function compareEnvironments(task: ReportedTask, baseline: ReportedTask): EnvironmentDifference[] {
  const differences: EnvironmentDifference[] = [];
  const compare = (
    aspect: EnvironmentDifference['aspect'],
    value: string | undefined,
    base: string | undefined,
  ) => {
    if (value !== undefined && base !== undefined && value !== base) {
      differences.push({ aspect, value, baseline: base });
    }
  };
  compare('image', task.image ?? 'none', baseline.image ?? 'none');
  compare('entry point', task.script.entryPoint, baseline.script.entryPoint);
  compare('working directory', task.script.workingDir ?? '.', baseline.script.workingDir ?? '.');
  comparePackages(task, baseline, differences);
  compare('data set', listDatasets(task), listDatasets(baseline));
  compare('input models', listInputModels(task), listInputModels(baseline));
  if (task.iteration > 0 && baseline.iteration > 0) {
    compare('iterations', String(task.iteration), String(baseline.iteration));
  }
  if (!haveLikeMachines(task, baseline)) compare('machine', describeMachine(task), describeMachine(baseline));
  compare('GPU', describeGpu(task), describeGpu(baseline));
  compare(
    'Python',
    shortenVersion(task.runtime.python_version),
    shortenVersion(baseline.runtime.python_version),
  );
  return differences;
}

const MAX_PACKAGES = 6;

/** Packages are compared where both sides have lists of what was installed, or both of what was asked for. */
function comparePackages(
  task: ReportedTask,
  baseline: ReportedTask,
  differences: EnvironmentDifference[],
): void {
  if (task.script.packages.length === 0 || baseline.script.packages.length === 0) return;
  const own = indexPackages(task.script.packages);
  const base = indexPackages(baseline.script.packages);
  const different = [...new Set([...own.keys(), ...base.keys()])]
    .filter((name) => own.get(name) !== base.get(name))
    .sort();
  if (different.length === 0) return;
  const rest = different.length > MAX_PACKAGES ? `, and ${different.length - MAX_PACKAGES} more` : '';
  const list = (packages: ReadonlyMap<string, string>) =>
    different
      .slice(0, MAX_PACKAGES)
      .map((name) => packages.get(name) ?? `no ${name}`)
      .join(', ') + rest;
  differences.push({ aspect: 'requirements', value: list(own), baseline: list(base) });
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

function listDatasets(task: ReportedTask): string | undefined {
  const entries = Object.entries(task.params).filter(([name]) => DATASET_PARAM.test(name));
  return entries.length === 0
    ? undefined
    : entries
        .map(([name, value]) => `${name.replace(DATASET_PARAM, '')}=${value}`)
        .sort()
        .join(', ');
}

function listInputModels(task: ReportedTask): string | undefined {
  const ids = task.inputModels.map(({ id }) => id).sort();
  return ids.length === 0 ? undefined : ids.join(', ');
}

/** `2 cores, 24 GB, x86_64`; undefined where the SDK has not told yet. */
export function describeMachine({ runtime }: Pick<ReportedTask, 'runtime'>): string | undefined {
  const { cpu_cores: cores, memory_gb: memory, processor } = runtime;
  if (cores === undefined) return undefined;
  return [
    `${cores} ${cores === '1' ? 'core' : 'cores'}`,
    ...(memory === undefined ? [] : [`${Math.round(Number(memory))} GB`]),
    ...(processor === undefined ? [] : [processor]),
  ].join(', ');
}

/** Machines of one kind do not report quite the same memory. */
function haveLikeMachines({ runtime: a }: ReportedTask, { runtime: b }: ReportedTask): boolean {
  const ratio = Number(a.memory_gb) / Number(b.memory_gb);
  return a.cpu_cores === b.cpu_cores && a.processor === b.processor && ratio > 0.9 && ratio < 1.1;
}

/** `2 x NVIDIA A10`, or `none`; undefined where the SDK has not told yet. */
export function describeGpu({ runtime }: Pick<ReportedTask, 'runtime'>): string | undefined {
  const { gpu_count: count, gpu_type: type } = runtime;
  if (count === undefined) return undefined;
  if (Number(count) === 0) return 'none';
  const types = [...new Set((type ?? 'GPU').split(',').map((one) => one.trim()))];
  return `${count} \u00d7 ${types.join(', ')}`;
}

/** Patch releases of Python do not change a training. */
function shortenVersion(version: string | undefined): string | undefined {
  return version?.split('.').slice(0, 2).join('.');
}
