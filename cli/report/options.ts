import {
  type GithubRun,
  isRepositoryName,
  namesPullRequest,
  parsePullRequestNumber,
  readEventFile,
  readGithubRun,
} from '../github/event.ts';
import type { Config } from '../shell/config.ts';
import { locateConfigFile, readConfigFile } from '../shell/config-file.ts';
import {
  type ClearmlAccess,
  type Environment,
  isActions,
  readClearmlAccess,
  readGithubToken,
  readJobToken,
} from '../shell/environment.ts';
import { checkAll, Failure, failUsage, type Settled, settle, takeSettled } from '../shell/failure.ts';
import { readPackageVersion } from '../shell/files.ts';
import { identifyRepository } from '../shell/git-url.ts';
import { formatHelpEnd } from '../shell/help.ts';
import { Command, readFlags, type Session } from '../shell/program.ts';
import { isStatusContext, STATUS_CONTEXT_WORDS, statusContextOf } from '../shell/status-context.ts';
import { toVisibleLine } from '../text/quotation.ts';
import type { Due } from '../training/due.ts';
import { checkTags, resolveSeedParam } from '../training/names.ts';
import { readTaskIds } from '../training/task-ids.ts';
import { DEFAULT_BASELINE, listBaselineRules, parseBaseline } from './baseline/rules.ts';
import { type DueEntry, parseDueEntries } from './due/entries.ts';
import type { ExpectedCode, SourceOptions } from './subject.ts';

interface Flags {
  readonly pr?: string;
  readonly repo?: string;
  readonly baseline?: string;
  readonly template?: string;
  readonly commentKey?: string;
  readonly commentAuthor?: string;
  readonly status?: string;
  readonly accept?: string;
  readonly due?: string;
  readonly gate: boolean;
  readonly summary: boolean;
  readonly promote?: boolean;
  readonly project?: string;
  readonly taskName?: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
  readonly config?: string;
}

/** Everything that decides what a run does. */
export interface Options {
  readonly flags: Flags;
  readonly access: ClearmlAccess;
  readonly github: GithubRun;
  readonly config: Config;
  readonly target: Target;
  readonly sources: SourceOptions;
  /** `--due`: what to report instead. */
  readonly due: readonly DueEntry[] | undefined;
  /** The launch whose training this is, if a run of the collecting workflow reports it. */
  readonly launched: Due | undefined;
  /** How many of that launch's trainings ClearML does not have any more, now that the others are over. */
  readonly missing: number;
}

/** Where to post the comment. */
interface Target {
  readonly token: string | undefined;
  /** For the commit status. */
  readonly jobToken: string | undefined;
  readonly repository: string | undefined;
  /** The one that a run by hand names: PR_COMMIT. */
  readonly commit: string | undefined;
  readonly pullRequest: { readonly repository: string; readonly number: number } | undefined;
}

/** The command line. */
export function createCommand(): Command {
  return new Command('create-stats-comment')
    .description(
      'Reports ClearML tasks, whatever their state, as one comment on a pull request and as the job summary. Prints its URL.',
    )
    .argument(
      '[task-id...]',
      'tasks to report; one argument may hold several ids separated by spaces (default: the newest of the pull request)',
    )
    .optionsGroup('Comment:')
    .option('--pr <number>', 'number of the pull request (default: PR_NUMBER, else the event’s)')
    .option('--repo <owner/name>', 'its repository (default: GITHUB_REPOSITORY)')
    .option('--template <file>', 'template of the comment (default: templates/comment.md of this package)')
    .option(
      '--comment-key <text>',
      'identifies this comment among others (default: the pipeline, and the params on the launch’s command line)',
    )
    .option(
      '--comment-author <login>',
      'login that the token comments as, such as my-app[bot] (default: what GitHub says, else github-actions[bot])',
    )
    .option(
      '--status <context>',
      'also set the commit status with this context (default: the setting `status` of the base branch)',
    )
    .option(
      '--due <json>',
      'report each of these instead: what check-task-running --due prints; 0 unless a service fails',
    )
    .optionsGroup('Comparison:')
    .option(
      '--baseline <id|branch:NAME|tag:NAME|none>',
      'what to compare with (default: the pull request’s base branch)',
    )
    .option(
      '--accept <reason>',
      'set the commit status of the pull request’s newest commit to success, and say who accepts it and why; exit 0',
    )
    .option('--no-gate', 'judge the metrics, but never fail: exit 0')
    .option(
      '--promote',
      'move the tag of the setting `promote` to the pushed commit’s model, if the gate finds it no worse; by hand, to the task’s',
    )
    .optionsGroup('Without ids:')
    .option('--project <name>', 'project of the pipeline whose newest tasks are reported')
    .option('--task-name <name>', 'its task name')
    .optionsGroup('Output and settings:')
    .option('--no-summary', 'write no job summary, for a step that a later one reports again')
    .option('--dry-run', 'print the comment; post nothing, and write no outputs and no summary')
    .option('--json', 'print the whole report as one JSON document')
    .option('--config <file>', 'settings file (default: .github/clearml-ci.yml)')
    .version(readPackageVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .addHelpText('after', () =>
      formatHelpEnd('create-stats-comment', {
        examples: [
          '1f7b0c3d5e9a4c6b8d2f1a3b5c7d9e0f --repo acme/digits --pr 7',
          '"$TASK_IDS" --no-gate',
          '"$TASK_ID" --dry-run --json',
        ],
        variables: ['GH_TOKEN', 'GITHUB_API_URL', 'GITHUB_SERVER_URL'],
        exitCodes: {
          0: 'reported, and the gate does not object',
          5: 'the gate says no: a metric regressed',
          6: 'the gate cannot say',
          10: 'no such task, pull request or baseline task',
        },
      }),
    );
}

/**
 * Reads arguments, variables, settings and the event.
 *
 * @throws Failure (usage) that lists every mistake in them
 */
export async function readOptions(command: Command, { env, cwd, voice }: Session): Promise<Options> {
  const flags = readFlags<Flags>(command);
  const { accept: reason } = command.opts<{ readonly accept?: string }>();
  const taskIds = readTaskIds(command.args);
  const [settings, event] = await Promise.all([
    settle(readConfigFile(cwd, flags.config, voice.say)),
    settle(readEventFile(env)),
  ]);
  const [access, github, , , baseline, config, due] = checkAll(
    () => readClearmlAccess(env),
    () => readGithubRun(env, takeSettled(event)),
    () => checkAcceptance(reason),
    () => checkTarget(flags, env, 'failure' in event || namesPullRequest(env, event.value), settings),
    () => (flags.baseline === undefined ? undefined : parseBaseline(flags.baseline)),
    () => takeSettled(settings),
    () => readDueEntries(flags, taskIds),
    () => rejectIdleNames(flags, taskIds),
    () => checkPromote(flags, env, 'value' in event && namesPullRequest(env, event.value)),
  );
  const target = readTarget(flags, github, env);
  if (reason !== undefined && target.pullRequest === undefined)
    throw failUsage('--accept needs a pull request', 'Set PR_NUMBER, or give --pr and --repo.');
  const isNamed = due !== undefined || target.pullRequest !== undefined || taskIds.length > 0;
  if (!isNamed && !(flags.promote === true && github.push !== undefined)) {
    throw failUsage(
      'neither a task nor a pull request is given',
      'Give the ids that launch-training-task prints (its output task-ids), or set PR_NUMBER to report the newest tasks of that pull request.',
    );
  }
  return {
    flags,
    access,
    github,
    config,
    target,
    sources: chooseSources(config, baseline, {
      taskIds,
      expected: target.pullRequest ? readExpectedCode(github, target.pullRequest) : readPushedCode(github),
      pullRequest: target.pullRequest?.number,
      // A push has the branch's own settings.
      settingsPath:
        target.pullRequest === undefined && github.push !== undefined
          ? undefined
          : locateConfigFile(cwd, flags.config),
    }),
    due,
    launched: undefined,
    missing: 0,
  };
}

function checkAcceptance(reason: string | undefined): void {
  // An option that is set to nothing counts as left out, but this one must not turn into a mere report.
  if (reason === undefined || toVisibleLine(reason) !== '') return;
  throw failUsage('--accept needs a reason', 'Say in a few words why, as in --accept "the data changed".');
}

/**
 * A pull request's run must not promote its own model before the merge.
 *
 * @throws Failure (usage)
 */
function checkPromote({ promote, due, pr }: Flags, env: Environment, isPullRequestNamed: boolean): void {
  const { GITHUB_EVENT_NAME: event = '', GITHUB_REF: ref = '' } = env;
  if (promote !== true) return;
  const isOfTag = event === 'push' && !ref.startsWith('refs/heads/');
  if (isOfTag || /^(?:pull_request|merge_group)/.test(event)) {
    throw failUsage(
      `--promote does not go with the event ${event}${isOfTag ? ' of a tag' : ''}`,
      'A model is promoted after the merge: on a push to the base branch, or by hand with the task’s id.',
    );
  }
  // A run of the collecting workflow promotes nothing of a pull request.
  if (due === undefined && (pr !== undefined || isPullRequestNamed)) {
    throw failUsage(
      '--promote does not go with a pull request',
      'Leave --pr out and PR_NUMBER empty. By hand, give the task’s id.',
    );
  }
}

/**
 * What to gather by these settings.
 *
 * @param baseline overrides theirs
 * @throws Failure (usage) if a baseline's tag is none that ClearML takes
 */
export function chooseSources(
  config: Config,
  baseline: Config['baseline'],
  of: Pick<SourceOptions, 'taskIds' | 'expected' | 'pullRequest' | 'settingsPath'>,
): SourceOptions {
  const baselineRules = listBaselineRules(baseline ?? config.baseline ?? DEFAULT_BASELINE);
  checkTags(baselineRules.flatMap((rule) => ('tag' in rule ? rule.tag : [])));
  return {
    ...of,
    baselineRules,
    seedParam: resolveSeedParam(config).name,
    hasPaths: config.paths !== undefined,
    rules: config.metrics ?? [],
  };
}

/** @throws Failure (usage) if they are malformed, or if something else is to be reported too */
function readDueEntries({ accept, due, pr }: Flags, taskIds: readonly string[]): DueEntry[] | undefined {
  if (due === undefined) return undefined;
  if (pr === undefined && taskIds.length === 0 && accept === undefined) return parseDueEntries(due);
  throw failUsage(
    `--due names what to report, and ${accept !== undefined ? '--accept does' : pr === undefined ? 'task ids do' : '--pr does'} too`,
    'Leave one of them out.',
  );
}

/** @throws Failure (usage) where a name would have no effect */
function rejectIdleNames({ project, taskName }: Flags, taskIds: readonly string[]): void {
  const idle = project !== undefined ? '--project' : taskName !== undefined ? '--task-name' : '';
  if (idle === '' || taskIds.length === 0) return;
  throw failUsage(
    `${idle} has no effect here`,
    'It names the pipeline whose newest tasks are reported when no task ids are given.',
  );
}

function readTarget(flags: Flags, github: GithubRun, env: Environment): Target {
  const number = flags.pr === undefined ? github.pullRequest : parsePullRequestNumber(flags.pr);
  const repository = flags.repo ?? github.repository;
  return {
    token: readGithubToken(env),
    jobToken: readJobToken(env),
    repository,
    commit: env.PR_COMMIT?.trim().toLowerCase(),
    pullRequest: repository === undefined || number === undefined ? undefined : { repository, number },
  };
}

/**
 * Checks the options that say where to post the comment. A dry run needs none of them.
 *
 * @throws Failure (usage) that lists everything missing or malformed, except malformed variables
 */
function checkTarget(
  flags: Flags,
  env: Environment,
  isPullRequestNamed: boolean,
  settings: Settled<Config>,
): void {
  checkAll(
    () => {
      if (flags.status === undefined || isStatusContext(flags.status)) return;
      throw failUsage(`--status ${STATUS_CONTEXT_WORDS}`, 'Give it as in --status ClearML.');
    },
    () => {
      if (flags.pr === undefined || parsePullRequestNumber(flags.pr) !== undefined) return;
      throw failUsage('--pr is not the number of a pull request', 'Give a whole number, as in --pr 7.');
    },
    () => {
      if (flags.repo === undefined || isRepositoryName(flags.repo)) return;
      throw failUsage('--repo is not of the form owner/name', 'Give it as in --repo acme/digits.');
    },
    () => {
      const hasToken = readGithubToken(env) !== undefined;
      const missing: string[] = [];
      // By hand nothing of GitHub's is needed.
      const isByHand = flags.promote === true && env.GITHUB_EVENT_NAME !== 'push' && !isPullRequestNamed;
      if (!hasToken && !isByHand) missing.push('GH_TOKEN (or GITHUB_TOKEN) is not set');
      if ((flags.repo ?? env.GITHUB_REPOSITORY) === undefined)
        missing.push('GITHUB_REPOSITORY is not set (or give --repo)');
      const isNamed = flags.pr !== undefined || flags.due !== undefined || isPullRequestNamed;
      if (!isNamed && !isAskedWithout(flags, env, settings))
        missing.push('PR_NUMBER is not set (or give --pr), and no event names a pull request');
      if (missing.length === 0 || flags.dryRun === true) return;
      const remedy = `${explainSetting(env, missing.length, !hasToken)} Or add --dry-run, which posts nothing.`;
      throw failUsage(missing.join('; '), remedy);
    },
  );
}

/** Whether there is something to do without a pull request: a promotion, a commit status, or the summary of a run that never has one. */
function isAskedWithout(
  { status, summary, promote }: Flags,
  env: Environment,
  settings: Settled<Config>,
): boolean {
  if (promote === true) return true;
  const isSummed = summary && env.GITHUB_STEP_SUMMARY !== undefined;
  return (
    (status ?? ('value' in settings ? statusContextOf(settings.value) : undefined)) !== undefined ||
    (isSummed && isBranchEvent(env.GITHUB_EVENT_NAME))
  );
}

/** An event about a branch that no pull request belongs to. */
function isBranchEvent(eventName: string | undefined): boolean {
  return eventName === 'push' || eventName === 'merge_group';
}

function explainSetting(env: Environment, missing: number, lacksToken: boolean): string {
  const what = missing === 1 ? 'it' : 'them';
  if (!isActions(env)) return `Set ${what} in the environment, or as NAME=value in a .env file here.`;
  return lacksToken
    ? 'In a workflow, pass the job’s own token to this step: GH_TOKEN under `env`.'
    : `In a workflow, pass ${what} to this step under \`env\`.`;
}

/** The commit that a push or a merge queue made, and its branch. */
function readPushedCode({ baseBranch, code, eventName, push }: GithubRun): ExpectedCode | undefined {
  if (baseBranch === undefined || code === undefined || code instanceof Failure) return undefined;
  if (!isBranchEvent(eventName) || (eventName === 'push' && push === undefined)) return undefined;
  const isQueued = eventName === 'merge_group';
  return { baseBranch, headCommit: code.commit, headBranch: undefined, isQueued };
}

/** Base branch and head from the event, if it is about the same pull request. */
function readExpectedCode(github: GithubRun, target: Target['pullRequest']): ExpectedCode | undefined {
  const { baseBranch, code, eventName, eventPullRequest, repository, serverUrl } = github;
  if (eventPullRequest !== target?.number || repository !== target?.repository) return undefined;
  if (baseBranch === undefined) return undefined;
  if (code === undefined || code instanceof Failure) return undefined;
  if (eventName?.startsWith('pull_request') !== true) return undefined;
  const isOwnBranch = identifyRepository(code.cloneUrl) === identifyRepository(`${serverUrl}/${repository}`);
  return { baseBranch, headCommit: code.commit, headBranch: isOwnBranch ? code.branch : undefined };
}
