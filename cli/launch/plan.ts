import type { CodeLocation, GithubRun } from '../github/event.ts';
import type { Config } from '../shell/config.ts';
import { checkAll, EXIT_CODES, Failure } from '../shell/failure.ts';
import { toWebUrl } from '../shell/git-url.ts';
import { type HistoryMark, isHistoryMark } from '../training/history-mark.ts';
import {
  DEFAULT_SEED_PARAM,
  type NameOptions,
  resolveEntryPoint,
  resolveNames,
  resolveWorkingDir,
} from '../training/names.ts';
import { hashPipeline, hashText, identifyPipelineRepository } from '../training/pipeline.ts';
import { RUNTIME_KEYS, tagPullRequest } from '../training/task.ts';

const DEFAULT_QUEUE = 'default';

/** The options of `launch-training-task`, as they were given. */
export interface LaunchOptions extends NameOptions {
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

/** The code to train, with what its identity is made of. */
export interface Code extends CodeLocation {
  /** The git tree, or the hashed objects of `paths`, or the commit where it can't be read locally. */
  readonly codeId: string;
  /** Uncommitted changes to tracked files that go with the task; empty for none. */
  readonly diff: string;
}

/** Everything that is known before ClearML is asked. */
export interface LaunchPlan {
  readonly project: string;
  readonly queue: string;
  readonly pipelineHash: string;
  readonly pullRequest: number | undefined;
  readonly commit: string;
  readonly tasks: readonly PlannedTask[];
  /** Tags that a reused task gets where it lacks them. */
  readonly tagsOfReused: readonly string[];
  /** How a reused task is marked as the branch's; undefined where the launch is not the branch's own. */
  readonly historyMark: HistoryMark | undefined;
  readonly reuse: boolean;
  readonly supersede: boolean;
  readonly requireWorker: boolean;
  readonly run: GithubRun;
}

export interface PlannedTask {
  /** Hash of everything that decides the result. */
  readonly key: string;
  readonly seed: number | undefined;
  /** The body of `tasks.create` but for `project`, whose id is not known yet, and the launch's own token. */
  readonly document: TaskDocument;
  readonly content: TaskContent;
}

/** What a task trains, but for the code itself, in our words; empty means none. */
export interface TaskContent {
  readonly entryPoint: string;
  readonly workingDir: string;
  readonly diff: string;
  readonly requirements: string;
  readonly image: string;
  readonly imageArguments: string;
  /** Values by `Section/name`. */
  readonly params: Readonly<Record<string, string>>;
}

/** The body of ClearML's `tasks.create`; every hyperparameter value is a text (recording 095). */
export interface TaskDocument {
  readonly name: string;
  readonly type: 'training';
  readonly comment: string;
  readonly tags: readonly string[];
  readonly script: {
    readonly repository: string;
    readonly branch: string;
    readonly version_num: string;
    readonly entry_point: string;
    readonly working_dir: string;
    readonly diff: string;
    readonly requirements?: { readonly pip: string };
  };
  readonly hyperparams?: Readonly<Record<string, Readonly<Record<string, HyperParameter>>>>;
  readonly container?: { readonly image?: string; readonly arguments?: string };
  readonly runtime: Readonly<Record<string, string>>;
}

interface HyperParameter {
  readonly section: string;
  readonly name: string;
  readonly value: string;
}

/** What a launch is told to do, checked. */
export interface LaunchOutline {
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
export function outlineLaunch(input: {
  readonly options: LaunchOptions;
  readonly config: Config;
  readonly run: GithubRun;
  readonly code: Code;
  readonly requirementsText: string | undefined;
}): LaunchOutline {
  const { options, config, run, code, requirementsText } = input;
  const seedParam = toParamPath(config['seed-param'] ?? DEFAULT_SEED_PARAM);
  const [params, seeds, tags, names] = checkAll(
    () => resolveParams(options.param ?? [], config.params ?? {}),
    () => resolveSeeds(options.seeds, config.seeds),
    () => resolveTags([...(config.tags ?? []), ...(options.tag ?? [])]),
    () => resolveNames(options, config, run, code.cloneUrl),
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
    queue: options.queue ?? config.queue ?? DEFAULT_QUEUE,
    params,
    seedParam,
    seeds,
    entryPoint: resolveEntryPoint(options, config),
    workingDir: resolveWorkingDir(options, config),
    requirementsText,
    dockerImage: options.dockerImage ?? config['docker-image'],
    dockerArgs: options.dockerArgs ?? config['docker-args'],
    tags,
    reuse: options.reuse ?? config.reuse ?? true,
    supersede: options.supersede ?? config.supersede ?? true,
    requireWorker: options.requireWorker === true,
    config,
    run,
    code,
  };
}

/** Plans the tasks of a launch, one a seed, with the keys that they are known by. */
export async function planLaunch(outline: LaunchOutline): Promise<LaunchPlan> {
  const { project, taskName, config, run, code, params, seedParam, seeds } = outline;
  const { entryPoint, workingDir, requirementsText, dockerImage, dockerArgs } = outline;
  const repository = identifyPipelineRepository(run.repository, run.serverUrl, code.cloneUrl);
  const pipelineHash = await hashPipeline({ repository, project, taskName });
  const shared = [
    pipelineHash,
    code.codeId,
    code.diff,
    entryPoint,
    workingDir,
    requirementsText,
    dockerImage,
    dockerArgs,
  ];
  const groupHash = await hashText(JSON.stringify([KEY_VERSION, ...shared, sortParams(params)]));
  const tagsOfReused = [
    ...(run.pullRequest === undefined ? [] : [tagPullRequest(run.pullRequest)]),
    ...(seeds === undefined ? [] : [`seeds:${groupHash.slice(0, 8)}`]),
  ];
  const tags = ['ci', ...tagsOfReused, `branch:${code.branch}`, ...outline.tags];
  const tasks = await Promise.all(
    (seeds ?? [undefined]).map(async (seed): Promise<PlannedTask> => {
      const withSeed = new Map(params);
      if (seed !== undefined) withSeed.set(seedParam, String(seed));
      const key = await hashText(JSON.stringify([KEY_VERSION, ...shared, sortParams(withSeed)]));
      return {
        key,
        seed,
        content: {
          entryPoint,
          workingDir,
          diff: code.diff,
          requirements: requirementsText ?? '',
          image: dockerImage ?? '',
          imageArguments: dockerArgs ?? '',
          params: Object.fromEntries(withSeed),
        },
        document: {
          name: taskName,
          type: 'training',
          comment: describeOrigin(run, code),
          tags: [...new Set(tags)],
          script: {
            repository: code.cloneUrl,
            branch: code.branch,
            version_num: code.commit,
            entry_point: entryPoint,
            working_dir: workingDir,
            diff: code.diff,
            ...(requirementsText === undefined ? {} : { requirements: { pip: requirementsText } }),
          },
          ...(withSeed.size === 0 ? {} : { hyperparams: groupParams(withSeed) }),
          ...(dockerImage === undefined && dockerArgs === undefined
            ? {}
            : {
                container: {
                  ...(dockerImage === undefined ? {} : { image: dockerImage }),
                  ...(dockerArgs === undefined ? {} : { arguments: dockerArgs }),
                },
              }),
          runtime: listRuntime(key, pipelineHash, run, code),
        },
      };
    }),
  );
  return {
    project,
    queue: outline.queue,
    pipelineHash,
    pullRequest: run.pullRequest,
    commit: code.commit,
    tasks,
    tagsOfReused,
    historyMark: planHistoryMark(run, code, config),
    reuse: outline.reuse,
    supersede: outline.supersede,
    requireWorker: outline.requireWorker,
    run,
  };
}

/** A push to a branch, or a person outside Actions, launches what becomes the branch's history. */
function planHistoryMark(run: GithubRun, code: Code, config: Config): HistoryMark | undefined {
  if (run.pullRequest !== undefined || code.diff !== '') return undefined;
  const { push } = run;
  const isPushed = push?.branch === code.branch && push.commit === code.commit;
  if (run.eventName !== undefined && !isPushed) return undefined;
  return {
    branch: code.branch,
    commit: code.commit,
    previous: isPushed ? push.previous : undefined,
    isTreeKnown: config.paths === undefined,
  };
}

/** Counts up when the meaning of a key changes, so that tasks of older versions are not taken for the same training. */
const KEY_VERSION = 1;

function listRuntime(key: string, pipelineHash: string, run: GithubRun, code: Code): Record<string, string> {
  const values: Record<string, string | undefined> = {
    [RUNTIME_KEYS.key]: key,
    [RUNTIME_KEYS.pipeline]: pipelineHash,
    [RUNTIME_KEYS.code]: code.codeId,
    [RUNTIME_KEYS.pullRequest]: run.pullRequest?.toString(),
    [RUNTIME_KEYS.run]: run.runId,
    [RUNTIME_KEYS.attempt]: run.runAttempt,
    [RUNTIME_KEYS.event]: run.eventName ?? 'launch',
  };
  return Object.fromEntries(
    Object.entries(values).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}

/** What a person who finds the task in ClearML wants to know: where it came from and who started it. */
function describeOrigin(run: GithubRun, code: Code): string {
  const repositoryUrl =
    run.repository === undefined ? toWebUrl(code.cloneUrl) : `${run.serverUrl}/${run.repository}`;
  const lines = [
    run.pullRequest === undefined || repositoryUrl === undefined
      ? undefined
      : `Pull request: ${repositoryUrl}/pull/${run.pullRequest}`,
    `Commit: ${repositoryUrl === undefined ? code.commit : `${repositoryUrl}/commit/${code.commit}`} (branch ${code.branch})`,
    code.diff === '' ? undefined : 'With uncommitted changes: see the task’s execution tab',
    run.runId === undefined || repositoryUrl === undefined
      ? undefined
      : `Run: ${repositoryUrl}/actions/runs/${run.runId}${run.runAttempt === undefined ? '' : `/attempts/${run.runAttempt}`}`,
    `Started by: ${run.actor ?? 'a person'}, ${run.eventName === undefined ? 'from the command line' : `event ${run.eventName}`}`,
  ];
  return lines.filter((line) => line !== undefined).join('\n');
}

function resolveTags(tags: readonly string[]): readonly string[] {
  const reserved = tags.find(isHistoryMark);
  if (reserved === undefined) return tags;
  throw new Failure(`the tag ${reserved} is one that launches put on tasks themselves`, {
    exitCode: EXIT_CODES.usage,
    remedy: 'It says which commit a task is the baseline of: leave it out, or name it otherwise.',
  });
}

/** All params by their path (`Args/lr`); a flag wins over the settings file, a later flag over an earlier one. */
function resolveParams(
  flags: readonly string[],
  configured: Readonly<Record<string, string | number | boolean>>,
): Map<string, string> {
  const params = new Map(
    Object.entries(configured).map(([name, value]) => [toParamPath(name), String(value)] as const),
  );
  for (const flag of flags) {
    const separator = flag.indexOf('=');
    if (separator < 1) {
      throw new Failure(`--param "${flag}" is not of the form [Section/]name=value`, {
        exitCode: EXIT_CODES.usage,
        remedy:
          'For example --param learning_rate=0.01 (section Args, where argparse’s arguments are) or --param General/depth=3.',
      });
    }
    params.set(toParamPath(flag.slice(0, separator)), flag.slice(separator + 1));
  }
  return params;
}

/** `Args/name` for a name without a section. */
function toParamPath(name: string): string {
  const [section, ...rest] = name.trim().split('/');
  const path = rest.length === 0 ? `Args/${section}` : `${section}/${rest.join('/')}`;
  if (path.startsWith('/') || path.endsWith('/') || /\p{Cc}/u.test(path)) {
    throw new Failure(`the param "${name}" has no section or no name`, {
      exitCode: EXIT_CODES.usage,
      remedy: 'Give [Section/]name, for example learning_rate or General/depth.',
    });
  }
  return path;
}

function sortParams(params: ReadonlyMap<string, string>): Array<[string, string]> {
  return [...params].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}

function groupParams(params: ReadonlyMap<string, string>): Record<string, Record<string, HyperParameter>> {
  const sections = new Map<string, Record<string, HyperParameter>>();
  for (const [path, value] of params) {
    const separator = path.indexOf('/');
    const section = path.slice(0, separator);
    const name = path.slice(separator + 1);
    sections.set(section, { ...sections.get(section), [name]: { section, name, value } });
  }
  return Object.fromEntries(sections);
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
