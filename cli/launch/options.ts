import type { GithubRun } from '../github/event.ts';
import type { Config } from '../shell/config.ts';
import { checkAll, EXIT_CODES, Failure } from '../shell/failure.ts';
import { isHistoryMark } from '../training/history-mark.ts';
import {
  DEFAULT_SEED_PARAM,
  type NameOptions,
  resolveEntryPoint,
  resolveNames,
  resolveWorkingDir,
} from '../training/names.ts';
import type { Code } from './code.ts';
import { resolveParams, toParamPath } from './params.ts';

const DEFAULT_QUEUE = 'default';

/** The options of `launch-training-task`, as they were given. */
export interface LaunchFlags extends NameOptions {
  readonly queue?: string | undefined;
  readonly requirements?: string | undefined;
  readonly dockerImage?: string | undefined;
  readonly dockerArgs?: string | undefined;
  /** `[Section/]name=value`, in order. */
  readonly param?: readonly string[] | undefined;
  readonly tag?: readonly string[] | undefined;
  readonly seeds?: string | undefined;
  readonly reuse?: boolean | undefined;
  readonly supersede?: boolean | undefined;
  readonly requireWorker?: boolean | undefined;
}

/** What a launch is told to do, checked. */
export interface LaunchOptions {
  readonly project: string;
  readonly taskName: string;
  readonly queue: string;
  readonly params: ReadonlyMap<string, string>;
  readonly seedParam: string;
  readonly seeds: readonly number[] | undefined;
  readonly entryPoint: string;
  readonly workingDir: string;
  readonly requirementsText: string | undefined;
  readonly dockerImage: string | undefined;
  readonly dockerArgs: string | undefined;
  /** Of the user. */
  readonly tags: readonly string[];
  readonly reuse: boolean;
  readonly supersede: boolean;
  readonly requireWorker: boolean;
  readonly config: Config;
  readonly run: GithubRun;
  readonly code: Code;
}

/**
 * Checks what a launch is told to do.
 *
 * @param requirementsText content of the requirements file, where one was named
 * @throws Failure (usage) naming every option and setting that is malformed or contradicts another
 */
export function resolveLaunchOptions(input: {
  readonly flags: LaunchFlags;
  readonly config: Config;
  readonly run: GithubRun;
  readonly code: Code;
  readonly requirementsText: string | undefined;
}): LaunchOptions {
  const { flags, config, run, code, requirementsText } = input;
  const seedParam = toParamPath(config['seed-param'] ?? DEFAULT_SEED_PARAM);
  const [params, seeds, tags, names] = checkAll(
    () => resolveParams(flags.param ?? [], config.params ?? {}),
    () => resolveSeeds(flags.seeds, config.seeds),
    () => resolveTags([...(config.tags ?? []), ...(flags.tag ?? [])]),
    () => resolveNames(flags, config, run, code.cloneUrl),
  );
  if (seeds !== undefined && params.has(seedParam)) {
    throw new Failure(`the seed is given twice: by seeds and by the param ${seedParam}`, {
      exitCode: EXIT_CODES.usage,
      remedy:
        'Leave one of them out; seed-param in the settings file names the param that seeds are written to.',
    });
  }
  return {
    ...names,
    queue: flags.queue ?? config.queue ?? DEFAULT_QUEUE,
    params,
    seedParam,
    seeds,
    entryPoint: resolveEntryPoint(flags, config),
    workingDir: resolveWorkingDir(flags, config),
    requirementsText,
    dockerImage: flags.dockerImage ?? config['docker-image'],
    dockerArgs: flags.dockerArgs ?? config['docker-args'],
    tags,
    reuse: flags.reuse ?? config.reuse ?? true,
    supersede: flags.supersede ?? config.supersede ?? true,
    requireWorker: flags.requireWorker === true,
    config,
    run,
    code,
  };
}

function resolveTags(tags: readonly string[]): readonly string[] {
  const reserved = tags.find(isHistoryMark);
  if (reserved === undefined) return tags;
  throw new Failure(`the tag ${reserved} is one that launches put on tasks themselves`, {
    exitCode: EXIT_CODES.usage,
    remedy: 'It says which commit a task is the baseline of: leave it out, or name it otherwise.',
  });
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
  const text = flag.trim();
  const parts = text.split(',').map((part) => part.trim());
  const numbers = parts.map(Number);
  const areWhole = parts.every((part) => /^\d{1,15}$/.test(part));
  const isCount = parts.length === 1 && !text.includes(',');
  const isValid =
    areWhole && (isCount ? numbers[0] !== undefined && numbers[0] >= 1 && numbers[0] <= 100 : true);
  if (!isValid || new Set(numbers).size !== numbers.length || numbers.length > 100) {
    throw new Failure(
      `--seeds "${flag}" is neither a number of seeds (1 to 100) nor a list of different whole numbers`,
      {
        exitCode: EXIT_CODES.usage,
        remedy: 'For example --seeds 3 (seeds 1, 2 and 3) or --seeds 7,11,13.',
      },
    );
  }
  return isCount ? (numbers[0] ?? 1) : numbers;
}
