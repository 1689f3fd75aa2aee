import type { GithubRun } from '../github/event.ts';
import type { Config } from '../shell/config.ts';
import { checkAll, failUsage } from '../shell/failure.ts';
import { isHistoryMark } from '../training/history-mark.ts';
import {
  checkTags,
  type NameOptions,
  type Names,
  namePromotionTags,
  resolveEntryPoint,
  resolveNames,
  resolveSeedParam,
  resolveWorkingDir,
} from '../training/names.ts';
import type { GivenParam } from '../training/params/given.ts';
import type { Code } from './code.ts';
import { type Params, resolveParams } from './params.ts';

const DEFAULT_QUEUE = 'default';

/** The options of `launch-training-task`, as given. */
export interface LaunchFlags extends NameOptions {
  readonly queue?: string | undefined;
  readonly requirements?: string | undefined;
  readonly dockerImage?: string | undefined;
  readonly dockerArgs?: string | undefined;
  /** `[Section/]name[:type]=value`, in order. */
  readonly param?: readonly string[] | undefined;
  readonly tag?: readonly string[] | undefined;
  readonly seeds?: string | undefined;
  readonly reuse?: boolean | undefined;
  readonly supersede?: boolean | undefined;
  readonly requireWorker?: boolean | undefined;
  readonly detach?: boolean | undefined;
}

/** What the options of a launch are made of besides the flags. */
interface LaunchSources {
  readonly config: Config;
  readonly run: GithubRun;
  readonly code: Code;
  /** Content of the requirements file, where one was named. */
  readonly requirementsText: string | undefined;
}

/** What a launch is told to do, checked. */
export interface LaunchOptions extends LaunchSources, Names {
  readonly queue: string;
  readonly params: Params;
  /** Those of the command line alone. */
  readonly givenParams: Params;
  readonly seedParam: Omit<GivenParam, 'value'>;
  readonly seeds: readonly number[] | undefined;
  readonly entryPoint: string;
  readonly workingDir: string;
  readonly dockerImage: string | undefined;
  readonly dockerArgs: string | undefined;
  /** Of the user. */
  readonly tags: readonly string[];
  readonly reuse: boolean;
  readonly supersede: boolean;
  readonly requireWorker: boolean;
}

/**
 * Checks what a launch is told to do.
 *
 * @throws Failure (usage) naming every option and setting that is malformed or contradicts another
 */
export function resolveLaunchOptions(flags: LaunchFlags, sources: LaunchSources): LaunchOptions {
  const { config, run, code } = sources;
  const seedParam = resolveSeedParam(config);
  const [params, seeds, tags, names] = checkAll(
    () => resolveParams(flags.param ?? [], config.params ?? {}),
    () => resolveSeeds(flags.seeds, config.seeds),
    () => resolveTags([...(config.tags ?? []), ...(flags.tag ?? [])], config),
    () => resolveNames(flags, config, run, code.cloneUrl),
  );
  if (seeds !== undefined && params.has(seedParam.name)) {
    throw failUsage(
      `the seed is given twice: by seeds and by the param ${seedParam.name}`,
      'Leave one of them out. The setting seed-param names the param that receives the seed.',
    );
  }
  return {
    ...sources,
    ...names,
    queue: flags.queue ?? config.queue ?? DEFAULT_QUEUE,
    params,
    givenParams: resolveParams(flags.param ?? [], {}),
    seedParam,
    seeds,
    entryPoint: resolveEntryPoint(flags, config),
    workingDir: resolveWorkingDir(flags, config),
    dockerImage: flags.dockerImage ?? config['docker-image'],
    dockerArgs: flags.dockerArgs ?? config['docker-args'],
    tags,
    reuse: flags.reuse ?? config.reuse ?? true,
    supersede: flags.supersede ?? config.supersede ?? true,
    requireWorker: flags.requireWorker === true,
  };
}

function resolveTags(tags: readonly string[], { promote }: Pick<Config, 'promote'>): readonly string[] {
  checkTags(tags);
  const promoted = promote === undefined ? [] : Object.values(namePromotionTags(promote.tag));
  const taken = tags.find((tag) => promoted.includes(tag));
  if (taken !== undefined) {
    throw failUsage(
      `promote moves the tag ${taken}`,
      'Leave it out of tags: only one model of the pipeline carries it.',
    );
  }
  const reserved = tags.find(isHistoryMark);
  if (reserved === undefined) return tags;
  throw failUsage(
    `the tag ${reserved} is reserved: launches set it themselves`,
    'It records which commit a task is the baseline of. Choose another tag.',
  );
}

/** `--seeds 3` means 1, 2, 3; `--seeds 4,7` names them. undefined: one task, no seed set. */
function resolveSeeds(
  flag: string | undefined,
  configured: number | readonly number[] | undefined,
): readonly number[] | undefined {
  const seeds = flag === undefined ? configured : parseSeeds(flag);
  if (seeds === undefined) return undefined;
  if (typeof seeds !== 'number') return seeds;
  return seeds === 1 ? undefined : Array.from({ length: seeds }, (_, index) => index + 1);
}

function parseSeeds(flag: string): number | readonly number[] {
  const parts = flag.split(',').map((part) => part.trim());
  const numbers = parts.map(Number);
  const [count = 0, ...others] = numbers;
  const isCount = others.length === 0;
  const isWhole = parts.every((part) => /^\d{1,15}$/.test(part));
  const isInBounds = isCount ? count >= 1 && count <= 100 : numbers.length <= 100;
  if (isWhole && isInBounds && new Set(numbers).size === numbers.length) return isCount ? count : numbers;
  throw failUsage(
    `invalid --seeds "${flag}": expected a number of seeds (1 to 100) or a list of different whole numbers`,
    'For example --seeds 3 (seeds 1, 2 and 3) or --seeds 7,11,13.',
  );
}

/** @throws Failure (usage) where nobody could tell the verdict later */
export function rejectUnreportable(flags: Pick<LaunchFlags, 'detach'> & { readonly diff?: boolean }): void {
  if (flags.detach !== true || flags.diff !== true) return;
  throw failUsage(
    '--detach and --diff contradict each other',
    'A commit status would tell the verdict of changes that the commit does not have. Commit them, or wait for the training.',
  );
}
