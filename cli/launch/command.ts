import { createClearmlClient, type Reach, useClearml } from '../clearml/client.ts';
import { findProject, findQueue } from '../clearml/destination.ts';
import { type GithubRun, readEventFile, readGithubRun } from '../github/event.ts';
import { type CheckoutReader, createCheckoutReader } from '../github/git.ts';
import { locateConfigFile, readConfigFile } from '../shell/config-file.ts';
import { readClearmlAccess, readGithubToken } from '../shell/environment.ts';
import { checkAll, type ExitCode, Failure, failUsage, settle, takeSettled } from '../shell/failure.ts';
import { readPackageVersion, readRequirementsFile } from '../shell/files.ts';
import { formatHelpEnd } from '../shell/help.ts';
import { Command, readFlags, runProgram, type Session } from '../shell/program.ts';
import { createLimitWait, createRetryTeller } from '../shell/retry.ts';
import type { World } from '../shell/world.ts';
import {
  type CodeArguments,
  checkExpectedCommit,
  identifyCode,
  type LocatedCode,
  locateCode,
  readExpectedCommit,
} from './code.ts';
import { type LaunchFlags, type LaunchOptions, rejectUnreportable, resolveLaunchOptions } from './options.ts';

/** Launch gives up within a minute. The rest of the minute is for removing what it has created. */
const GIVE_UP_MS = 42_000;

interface Flags extends LaunchFlags {
  readonly config?: string;
  readonly diff?: boolean;
  readonly dryRun?: boolean;
  readonly fromComment?: boolean;
  readonly json?: boolean;
}

/** The arguments and options. */
export function createCommand(): Command {
  const collect = (value: string, earlier: readonly string[] = []) => [...earlier, value];
  return new Command('launch-training-task')
    .description(
      'Creates a ClearML task for exactly one commit and puts it into a queue. A training that exists already is reused. Prints the task ids.',
    )
    .argument(
      '[repo-url]',
      'URL to clone from (default: from the GitHub event, else from the local checkout)',
    )
    .argument('[branch]', 'branch that holds the commit (default: likewise)')
    .argument('[commit]', 'full id of the commit to train (default: likewise)')
    .optionsGroup('Task:')
    .option('--project <name>', "ClearML project (default: the repository's name)")
    .option('--task-name <name>', 'name of the task (default: working-dir/entry-point without its ending)')
    .option('--queue <name|id>', 'queue to put the task into (default: "default")')
    .option(
      '--entry-point <file>',
      'program to run, relative to the working directory (default: train_model.py)',
    )
    .option('--working-dir <folder>', "folder to run it in, relative to the repository's root (default: .)")
    .option(
      '--requirements <file>',
      "requirements file of the checkout to send along (default: the agent reads the repository's own)",
    )
    .option('--docker-image <image>', 'image the agent runs the task in')
    .option('--docker-args <arguments>', 'arguments for docker run')
    .option(
      '--param <[Section/]name[:type]=value>',
      'hyperparameter, repeatable; without a section it goes to Args',
      collect,
    )
    .option('--tag <tag>', 'further tag, repeatable', collect)
    .option('--seeds <n|a,b,c>', 'one task per seed; n means seeds 1 to n')
    .optionsGroup('Reuse:')
    .option('--reuse', 'reuse a task that is the same training (default)')
    .option('--no-reuse', 'train again')
    .option('--supersede', "end this pull request's unfinished tasks of older commits (default)")
    .option('--no-supersede', 'leave them running')
    .optionsGroup('Run:')
    .option(
      '--detach',
      'no job waits for the training: the collecting workflow reports it (default: the setting detach, in Actions only)',
    )
    .option('--no-detach', 'a job waits for it, whatever the setting says')
    .option('--require-worker', 'exit 7 and create nothing when no worker serves the queue')
    .option('--from-comment', "do what the event's comment asks for: /train, /abort or /accept")
    .option('--diff', 'send uncommitted changes of tracked files along (local checkout only)')
    .option(
      '--dry-run',
      'say what a launch would find and do, print the tasks that would be created; change nothing',
    )
    .optionsGroup('Output and settings:')
    .option('--json', 'print one JSON document')
    .option('--config <file>', 'settings file (default: .github/clearml-ci.yml)')
    .version(readPackageVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .addHelpText('after', () =>
      formatHelpEnd('launch-training-task', {
        examples: [
          '',
          'https://github.com/acme/digits.git main "$(git rev-parse HEAD)" --queue gpu',
          '--param learning_rate=0.01 --seeds 3 --json',
          '--dry-run --diff',
        ],
        variables: ['GH_TOKEN', 'PR_COMMIT', 'GITHUB_API_URL', 'GITHUB_SERVER_URL'],
        exitCodes: {
          0: 'every task is queued, running or completed',
          7: 'no worker serves the queue (with --require-worker)',
          10: 'no such queue, project id or pull request',
        },
      }),
    );
}

async function run(command: Command, session: Session): Promise<ExitCode> {
  const flags = readFlags<Flags>(command);
  const [cloneUrl, branch, commit] = command.args.map((argument) => argument.trim() || undefined);
  const code = { cloneUrl, branch, commit };
  if (flags.fromComment !== true) return launchCode(code, flags, session);
  if (Object.values(code).some((argument) => argument !== undefined)) {
    throw failUsage(
      '--from-comment takes no arguments',
      'The comment says what to train. Leave out repository URL, branch and commit.',
    );
  }
  const { obeyComment } = await import('./from-comment.ts');
  return obeyComment(flags, session, (order) =>
    launchCode(order.code, { ...flags, seeds: order.seeds ?? flags.seeds }, session),
  );
}

async function launchCode(given: CodeArguments, flags: Flags, session: Session): Promise<ExitCode> {
  const { env, cwd, voice } = session;
  const { cloneUrl, branch, commit } = given;
  const reader = createCheckoutReader(cwd, session.interruption);
  const [settings, event] = await Promise.all([
    settle(readConfigFile(cwd, flags.config, voice.say)),
    settle(readEventFile(env)),
  ]);
  const [access, github, expectedCommit, config] = checkAll(
    () => readClearmlAccess(env),
    () => readGithubRun(env, takeSettled(event)),
    () => readExpectedCommit(env),
    () => takeSettled(settings),
    () => rejectUnreportable(flags),
  );
  const isGiven = cloneUrl !== undefined && branch !== undefined && commit !== undefined;
  const eventCode =
    github.code instanceof Failure && !isGiven ? await findHead(github, session) : github.code;
  const located = await locateCode(given, eventCode, reader, flags.diff === true);
  checkExpectedCommit(located.commit, expectedCommit);
  for (const warning of located.warnings) voice.warn(warning);
  const requirements = flags.requirements ?? config.requirements;
  const [code, requirementsText] = await Promise.all([
    identify(located, config.paths, reader, () => findTree(located, github, session)),
    requirements === undefined
      ? undefined
      : reader.findRoot().then((root) => readRequirementsFile(root ?? cwd, requirements)),
  ]);
  for (const warning of code.warnings) voice.warn(warning);
  const options = resolveLaunchOptions(flags, { config, run: github, code, requirementsText });
  return useClearml(access, session, (reach) => beginToLaunch(options, flags, reach, reader, session));
}

/** Loads the pattern matcher only where the setting `paths` needs it. */
async function identify(
  located: LocatedCode,
  paths: readonly string[] | undefined,
  reader: CheckoutReader,
  askForTree: () => Promise<string | undefined>,
) {
  if (paths === undefined) return identifyCode(located, reader, askForTree);
  const { identifyPaths } = await import('./paths.ts');
  return identifyPaths(located, paths, reader);
}

async function beginToLaunch(
  options: LaunchOptions,
  flags: Flags,
  reach: Reach,
  reader: CheckoutReader,
  session: Session,
): Promise<ExitCode> {
  const deadlineMs = session.clock.now() + GIVE_UP_MS;
  const limitWait = createLimitWait();
  const client = createClearmlClient({
    ...reach,
    giveUpAt: () => deadlineMs + limitWait.waitedMs,
    limitWait,
    onRetry: createRetryTeller(session.voice.say, session.clock),
  });
  const server = { client, signal: session.interruption };
  const destination = Promise.all([
    findProject(server, options.project),
    findQueue(server, options.queue),
  ]).catch((error: unknown) => ({ error }));
  // Loaded while the first answers are under way.
  const { launchTasks } = await import('./launch.ts');
  const askForRights = async (limited: Session) =>
    (await loadRemoteCode()).askForTokenRights(options.code.cloneUrl, options.run, limited);
  const settingsPath = locateConfigFile(session.cwd, flags.config);
  const remote = { askForRights, settingsPath, loadRemoteCode };
  const input = { options, flags, destination, reader, reach, server, deadlineMs, ...remote };
  return launchTasks(input, session);
}

/** Few launches ask GitHub. */
const loadRemoteCode = () => import('../github/remote-code.ts');

/** The code that GitHub names where the event does not. */
async function findHead(github: GithubRun, session: Session): Promise<GithubRun['code']> {
  const { askForPullRequestHead } = await loadRemoteCode();
  return (await askForPullRequestHead(github, session)) ?? github.code;
}

/** The tree of a commit that is not in the checkout. */
async function findTree(located: LocatedCode, github: GithubRun, session: Session) {
  if (readGithubToken(session.env) === undefined) return undefined;
  return (await loadRemoteCode()).askForTree(located, github, session);
}

/** Runs the program; the exit code is what it gives. */
export async function main(world: World): Promise<ExitCode> {
  return runProgram(world, createCommand, run);
}
