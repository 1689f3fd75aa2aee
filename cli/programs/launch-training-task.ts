import { checkExpectedCommit, identifyCode, locateCode } from '../core/code.ts';
import { readClearmlAccess } from '../core/environment.ts';
import { EXIT_CODES, type ExitCode } from '../core/exit-code.ts';
import { Failure } from '../core/failure.ts';
import { readGithubRun } from '../core/github-event.ts';
import { carryOutLaunch, createLaunchRecord, type LaunchResult, surveyLaunch } from '../core/launch.ts';
import { type LaunchOptions, type LaunchPlan, planLaunch } from '../core/launch-plan.ts';
import { findProgramProblem } from '../core/program-file.ts';
import { resolveEntryPoint, resolveWorkingDir } from '../core/settings.ts';
import { formatTaskUrl } from '../core/task.ts';
import type { World } from '../core/world.ts';
import { createClearmlClient } from '../io/clearml.ts';
import { createLaunchServer } from '../io/clearml-launch.ts';
import type { endSuperseded } from '../io/clearml-launch-end.ts';
import { Command } from '../io/commander.ts';
import { readConfigFile } from '../io/config-file.ts';
import { readEventFile } from '../io/event-file.ts';
import { createCheckoutReader } from '../io/git.ts';
import { createHttp } from '../io/http.ts';
import { readPackageVersion } from '../io/package-version.ts';
import { formatHelpEnd, Interruption, runProgram, type Session } from '../io/program.ts';
import { askForPullRequestHead } from '../io/pull-request-head.ts';

/** Launch gives up within a minute; what it has created is removed in the rest. */
const GIVE_UP_MS = 42_000;
const CLEAN_UP_MS = 9_000;

interface Flags extends LaunchOptions {
  readonly config?: string;
  readonly diff?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** The arguments and options. */
export function createCommand(): Command {
  const collect = (value: string, earlier: readonly string[] = []) => [...earlier, value];
  return new Command('launch-training-task')
    .description(
      'Creates a ClearML task for exactly one commit and puts it into a queue, once: a training that is there already is reused.',
    )
    .argument(
      '[repo-url]',
      'URL to clone from; left out, it comes from the GitHub event, else from the local checkout',
    )
    .argument('[branch]', 'branch that holds the commit')
    .argument('[commit]', 'full id of the commit to train')
    .option('--project <name>', "ClearML project (default: the repository's name)")
    .option('--task-name <name>', 'name of the task (default: working-dir/entry-point without its ending)')
    .option('--queue <name|id>', 'queue to put the task into (default: default)')
    .option(
      '--entry-point <file>',
      'program to run, relative to the working directory (default: train_model.py)',
    )
    .option('--working-dir <folder>', "folder to run it in, relative to the repository's root (default: .)")
    .option(
      '--requirements <file>',
      "requirements file to send along (default: the agent reads the repository's own)",
    )
    .option('--docker-image <image>', 'image the agent runs the task in')
    .option('--docker-args <arguments>', 'arguments for docker run')
    .option(
      '--param <[Section/]name=value>',
      'hyperparameter; repeatable; section Args where none is given',
      collect,
    )
    .option('--tag <tag>', 'further tag; repeatable', collect)
    .option('--seeds <n|a,b,c>', 'one task a seed: n means seeds 1 to n')
    .option('--reuse', 'take a task that is the same training instead of a new one (default)')
    .option('--no-reuse', 'train again')
    .option('--supersede', "end this pull request's unfinished tasks of older commits (default)")
    .option('--no-supersede', 'leave them')
    .option('--require-worker', 'exit 7, and create nothing, when no worker serves the queue')
    .option('--diff', 'send uncommitted changes of tracked files along')
    .option('--dry-run', 'print the tasks that would be created; change nothing')
    .option('--json', 'print one JSON document')
    .option('--config <file>', 'settings file (default: .github/clearml-ci.yml)')
    .version(readPackageVersion())
    .addHelpText(
      'after',
      formatHelpEnd([
        'launch-training-task',
        'launch-training-task https://github.com/acme/digits.git main "$(git rev-parse HEAD)" --queue gpu',
        'launch-training-task --param learning_rate=0.01 --seeds 3 --json',
        'launch-training-task --dry-run --diff',
      ]),
    );
}

async function run(command: Command, session: Session): Promise<ExitCode> {
  const { env, cwd, clock, voice } = session;
  const flags = dropEmpty(command.opts<Flags>());
  const [cloneUrl, branch, commit] = command.args.map((argument) => (argument === '' ? undefined : argument));
  const reader = createCheckoutReader(cwd);
  const [config, event] = await Promise.all([
    readConfigFile(cwd, flags.config, voice.say),
    readEventFile(env),
  ]);
  const github = readGithubRun(env, event);
  const access = readClearmlAccess(env);
  const isGiven = cloneUrl !== undefined && branch !== undefined && commit !== undefined;
  const eventCode =
    github.code instanceof Failure && !isGiven
      ? ((await askForPullRequestHead(github, session)) ?? github.code)
      : github.code;
  const located = await locateCode({ cloneUrl, branch, commit }, eventCode, reader, flags.diff === true);
  checkExpectedCommit(located.location.commit, env.PR_COMMIT);
  for (const warning of located.warnings) voice.warn(warning);
  const requirementsPath = flags.requirements ?? config.requirements;
  const program = {
    workingDir: resolveWorkingDir(flags, config),
    entryPoint: resolveEntryPoint(flags, config),
  };
  const [{ code, warnings }, problem, requirementsText] = await Promise.all([
    identifyCode(located, config.paths, reader),
    findProgramProblem(program, { commit: located.location.commit, diff: located.diff }, reader),
    requirementsPath === undefined
      ? undefined
      : readRequirements((await reader.findRoot()) ?? cwd, requirementsPath),
  ]);
  for (const warning of [...warnings, problem]) if (warning !== undefined) voice.warn(warning);
  const plan = await planLaunch({ options: flags, config, run: github, code, requirementsText });

  const http = createHttp(env, clock);
  const deadlineMs = clock.now() + GIVE_UP_MS;
  const connect = (giveUpAtMs: number) =>
    createClearmlClient({
      access,
      http,
      clock,
      redact: session.redact,
      random: session.random,
      giveUpAt: () => giveUpAtMs,
    });
  const client = connect(deadlineMs);
  const server = createLaunchServer(client, session.interruption);
  try {
    const survey = await surveyLaunch(plan, server);
    if (flags.dryRun === true) {
      const documents = plan.tasks.map((task) => {
        const known = survey.reusable.get(task);
        return known === undefined
          ? { ...task.document, project: survey.projectId ?? null }
          : { id: known.id };
      });
      for (const { id } of survey.superseded)
        voice.say(`Task ${id} of an older commit would be ended${explainSuperseding(plan)}`);
      if (survey.projectId === undefined)
        voice.say(`project "${plan.project}" does not exist yet: it would be created`);
      voice.result(JSON.stringify({ tasks: documents }, undefined, 2));
      return EXIT_CODES.done;
    }

    const token = crypto.randomUUID();
    const record = createLaunchRecord();
    const signal = session.interruption;
    const urlOf = (task: { id: string; projectId: string | undefined }) =>
      formatTaskUrl(access.webHost, task, client.apiVersion);
    try {
      const result = await carryOutLaunch(plan, survey, { server, clock, token, deadlineMs, signal, record });
      describeResult(result, plan, urlOf, session);
      // Only what later steps can find is launched.
      const { writeOutputs } = await import('../io/runner-files.ts');
      await writeOutputs(session, {
        'task-id': result.tasks[0]?.id ?? '',
        'task-ids': result.tasks.map((task) => task.id).join(' '),
        'task-url': result.tasks[0] === undefined ? '' : urlOf(result.tasks[0]),
        reused: String(result.tasks.every((task) => task.isReused)),
      });
      if (result.superseded.length + result.givenUp.length > 0) {
        const { endSuperseded } = await loadEnd();
        const endDeadlineMs = Math.max(deadlineMs, clock.now() + CLEAN_UP_MS);
        const outcome = await endSuperseded(result, plan, {
          client: connect(endDeadlineMs),
          clock,
          deadlineMs: endDeadlineMs,
          signal,
        });
        describeSuperseded(outcome, plan, session);
      }
      signal.throwIfAborted();
      voice.result(
        flags.json === true ? formatJson(result, urlOf) : result.tasks.map((task) => task.id).join('\n'),
      );
      return EXIT_CODES.done;
    } catch (error) {
      // All or none: what this launch has done, answered or not, is taken back.
      const { takeBackLaunch } = await loadEnd();
      const giveUpAtMs = clock.now() + CLEAN_UP_MS;
      const by = github.runId === undefined ? 'launch' : `launch of run ${github.runId}`;
      const left = await takeBackLaunch(plan, token, record, {
        client: connect(giveUpAtMs),
        clock,
        deadlineMs: giveUpAtMs,
        reason: error instanceof Interruption ? `${by} was ${error.message}` : `${by} failed`,
        urlOf: (id) => urlOf({ id, projectId: survey.projectId }),
      });
      for (const message of left) voice.warn(message);
      throw error;
    }
  } finally {
    await http.close();
  }
}

// Loaded only where there is something to end, or a file to read: most launches need neither.
const loadEnd = () => import('../io/clearml-launch-end.ts');

async function readRequirements(root: string, path: string): Promise<string> {
  const { readRequirementsFile } = await import('../io/requirements-file.ts');
  return readRequirementsFile(root, path);
}

/** An option that is set to nothing counts as left out, as a variable does: `--docker-image "$IMAGE"`. */
function dropEmpty(flags: Flags): Flags {
  return Object.fromEntries(Object.entries(flags).filter(([, value]) => value !== '')) as unknown as Flags;
}

function describeResult(
  result: LaunchResult,
  plan: LaunchPlan,
  urlOf: (task: LaunchResult['tasks'][number]) => string,
  { voice }: Session,
): void {
  for (const task of result.tasks) {
    const { queue } = task;
    const seed = task.seed === undefined ? '' : ` (seed ${task.seed})`;
    const what = task.isReused
      ? `Reusing task ${task.id}${seed}, which is the same training and ${describeStatus(task.status)}`
      : `Created task ${task.id}${seed} for commit ${plan.commit.slice(0, 10)}`;
    const where =
      task.position === undefined
        ? ''
        : `, number ${task.position} in queue "${queue.name}" (${countWorkers(queue.workers)})`;
    voice.say(`${what}${where}\n  ${urlOf(task)}`);
  }
  const waitsIn = result.tasks.filter((task) => task.status === 'queued').map((task) => task.queue);
  const unserved = new Set(waitsIn.filter((queue) => queue.workers === 0).map((queue) => queue.name));
  for (const name of unserved) {
    voice.warn(
      `no worker serves the queue "${name}": the training waits until one is started (clearml-agent daemon --queue ${name})`,
    );
  }
}

function describeSuperseded(
  { ended, unconfirmed, why }: Awaited<ReturnType<typeof endSuperseded>>,
  plan: LaunchPlan,
  { voice }: Session,
): void {
  for (const id of ended) voice.say(`Ended task ${id} of an older commit${explainSuperseding(plan)}`);
  for (const id of unconfirmed) {
    const reason = why === undefined ? '' : ` (${why})`;
    voice.warn(
      `task ${id} of an older commit is superseded, but that it has ended could not be confirmed${reason}`,
    );
  }
}

/** Who launches by hand may not expect that a variable ends what the workflow has launched. */
function explainSuperseding({ run, pullRequest }: LaunchPlan): string {
  return run.runId === undefined
    ? `: it is superseded, since PR_NUMBER is ${pullRequest} (--no-supersede leaves it)`
    : ': it is superseded';
}

function describeStatus(status: LaunchResult['tasks'][number]['status']): string {
  return status === 'in_progress' ? 'is running' : status === 'queued' ? 'waits' : `is ${status}`;
}

function countWorkers(count: number): string {
  return count === 0 ? 'no worker' : count === 1 ? '1 worker' : `${count} workers`;
}

function formatJson(result: LaunchResult, urlOf: (task: LaunchResult['tasks'][number]) => string): string {
  return JSON.stringify({
    tasks: result.tasks.map((task) => ({
      id: task.id,
      url: urlOf(task),
      seed: task.seed ?? null,
      reused: task.isReused,
      queue: { name: task.queue.name, position: task.position ?? null, workers: task.queue.workers },
    })),
    superseded: result.superseded.map((task) => task.id),
  });
}

/** Runs the program; the exit code is what it gives. */
export async function main(world: World): Promise<ExitCode> {
  return runProgram(world, createCommand, run);
}
