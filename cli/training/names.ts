import type { GithubRun } from '../github/event.ts';
import type { Config } from '../shell/config.ts';
import { checkAll, failUsage } from '../shell/failure.ts';
import { nameRepository } from '../shell/git-url.ts';
import { splitParamName } from '../text/param-name.ts';
import type { GivenParam } from './params/given.ts';

/** The two names that say which training this is, on every branch. */
export interface Names {
  readonly project: string;
  readonly taskName: string;
}

/** What `--project`, `--task-name`, `--entry-point` and `--working-dir` gave. */
export interface NameOptions {
  readonly project?: string | undefined;
  readonly taskName?: string | undefined;
  readonly entryPoint?: string | undefined;
  readonly workingDir?: string | undefined;
}

const DEFAULT_ENTRY_POINT = 'train_model.py';
const DEFAULT_SEED_PARAM = 'Args/seed';

/**
 * The project's and the task's name: as given, else the repository's name and `working-dir/entry-point` without its
 * ending.
 *
 * @param cloneUrl where the code is, for the repository's name outside Actions
 * @throws Failure (usage) naming each name that is missing or too short for ClearML, and each path that is malformed
 */
export function resolveNames(
  options: NameOptions,
  config: Config,
  run: Pick<GithubRun, 'repository'>,
  cloneUrl: string | undefined,
): Names {
  const [project, taskName] = checkAll(
    () => resolveProject(options, config, run, cloneUrl),
    () => resolveTaskName(options, config),
  );
  return { project, taskName };
}

function resolveProject(
  options: NameOptions,
  config: Config,
  run: Pick<GithubRun, 'repository'>,
  cloneUrl: string | undefined,
): string {
  const repositoryName =
    run.repository?.split('/')[1] ?? (cloneUrl === undefined ? undefined : nameRepository(cloneUrl));
  const project = options.project ?? config.project ?? repositoryName;
  if (project === undefined) {
    throw failUsage(
      'the project has no name',
      'Give --project, or `project` in the settings file: outside a repository there is no default name.',
    );
  }
  return normalizeProject(project);
}

const SHORTEST_NAME = 3;
const MOST_PROJECT_PARTS = 10;

/**
 * The project's name as ClearML keeps and compares it: blanks around each part and empty parts are dropped
 * (`_validate_project_name` in its apiserver/bll/project/project_bll.py).
 */
function normalizeProject(name: string): string {
  const parts = name
    .split('/')
    .map((part) => part.trim())
    .filter((part) => part !== '');
  if (parts.length <= 1) return trimName('--project', parts[0] ?? '', name);
  if (parts.length > MOST_PROJECT_PARTS) {
    throw failUsage(
      `--project "${name}" has more than ${MOST_PROJECT_PARTS} parts`,
      'ClearML refuses such names: use fewer slashes in --project or in the settings file.',
    );
  }
  const short = parts.find((part) => [...part].length < SHORTEST_NAME);
  if (short === undefined) return parts.join('/');
  throw failUsage(
    `--project "${name}" has a part with fewer than ${SHORTEST_NAME} characters: "${short}"`,
    'A slash makes a project within a project, and ClearML refuses short names for each: give a longer one with --project or in the settings file.',
  );
}

function resolveTaskName(options: NameOptions, config: Config): string {
  const [entryPoint, workingDir] = checkAll(
    () => resolveEntryPoint(options, config),
    () => resolveWorkingDir(options, config),
  );
  return trimName(
    '--task-name',
    options.taskName ??
      config['task-name'] ??
      `${workingDir === '.' ? '' : `${workingDir}/`}${nameEntryPoint(entryPoint)}`,
  );
}

function trimName(option: string, name: string, given = name): string {
  const trimmed = name.trim();
  if ([...trimmed].length >= SHORTEST_NAME) return trimmed;
  throw failUsage(
    `${option} "${given}" is shorter than ${SHORTEST_NAME} characters`,
    `ClearML refuses such names: give a longer one with ${option} or in the settings file.`,
  );
}

/** The program that is run, relative to the working directory. */
export function resolveEntryPoint(options: NameOptions, config: Config): string {
  const given = options.entryPoint ?? config['entry-point'] ?? DEFAULT_ENTRY_POINT;
  if (/\s.*\/\//su.test(given.trim())) {
    throw failUsage(
      `--entry-point "${given}" has two slashes together in its arguments`,
      'clearml-agent reads an entry point as a path, in which they are one. Give the training an address with --param.',
    );
  }
  return normalizePath('--entry-point', given);
}

/** The working directory, relative to the repository's root, without `./` and slashes at its ends. */
export function resolveWorkingDir(options: NameOptions, config: Config): string {
  return normalizePath('--working-dir', options.workingDir ?? config['working-dir'] ?? '.');
}

function normalizePath(option: string, path: string): string {
  const parts = path.trim().split('/');
  if (path.trim() === '' || path.trim().startsWith('/') || parts.includes('..') || /[\p{Cc}\\]/u.test(path)) {
    throw failUsage(
      `${option} "${path}" is not a path inside the repository`,
      'Give it relative to the repository’s root (the entry point: to the working directory), with forward slashes.',
    );
  }
  return parts.filter((part) => part !== '' && part !== '.').join('/') || '.';
}

/** Modules that run the script, or the module, that is named after their own options. */
const LAUNCHERS = /^-m\s+(?:torch\.distributed\.(?:run|launch)|accelerate\.commands\.launch)\s/;

/** The file that an entry point runs, without its arguments, relative to the working directory; undefined for a module. */
export function findProgramFile(entryPoint: string): string | undefined {
  if (LAUNCHERS.test(entryPoint)) return /\s(?:\.\/)*(\S+\.py)(?=\s|$)/.exec(entryPoint)?.[1];
  if (entryPoint.startsWith('-')) return undefined;
  return /^\S+\.py(?=\s)/.exec(entryPoint)?.[0] ?? entryPoint;
}

/** `train` of `train.py --fast`, `pkg.train` of `-m pkg.train`. */
function nameEntryPoint(entryPoint: string): string {
  const file = findProgramFile(entryPoint);
  if (file !== undefined) return file.replace(/\.[^./]+$/, '');
  return /(?:^|\s)-m\s+(\S+)/.exec(entryPoint.replace(LAUNCHERS, ' '))?.[1] ?? entryPoint;
}

/** The param that receives the seed. */
export function resolveSeedParam(config: Config): Omit<GivenParam, 'value'> {
  const { name, type } = splitParamName(config['seed-param'] ?? DEFAULT_SEED_PARAM) ?? { name: '' };
  return { name: toParamPath(name), type };
}

/** `Args/name` for a name without a section. */
export function toParamPath(name: string): string {
  const [section, ...rest] = name.trim().split('/');
  const path = rest.length === 0 ? `Args/${section}` : `${section}/${rest.join('/')}`;
  if (path.startsWith('/') || path.endsWith('/') || /\p{Cc}/u.test(path)) {
    throw failUsage(
      `the param "${name}" has no section or no name`,
      'Give [Section/]name, for example learning_rate or General/depth.',
    );
  }
  return path;
}

/**
 * Refuses tags that ClearML takes for operators of its filters, such as `__$all`: it refuses them on a task, and a search
 * for one finds every task.
 *
 * @throws Failure (usage) naming the first of them
 */
export function checkTags(tags: readonly string[]): void {
  const operator = tags.find((tag) => tag.startsWith('__$'));
  if (operator === undefined) return;
  throw failUsage(
    `the tag "${operator}" begins with "__$"`,
    'ClearML keeps such names for operators of its filters. Choose another tag.',
  );
}

/** What `promote` marks models and their tasks with. */
export interface PromotionTags {
  readonly tag: string;
  /** What the model before it is marked with: the way back. */
  readonly previous: string;
}

/** The tags that belong together. */
export function namePromotionTags(tag: string): PromotionTags {
  return { tag, previous: `${tag}-previous` };
}
