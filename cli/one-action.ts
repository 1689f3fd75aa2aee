import * as check from './check/command.ts';
import { type ActionInput, giveToken, listActionInputs, readInput, toArguments } from './github/action.ts';
import { type GithubRun, readEventFile, readGithubRun } from './github/event.ts';
import { saveState, writeSummary } from './github/runner-files.ts';
import * as launch from './launch/command.ts';
import * as report from './report/command.ts';
import { readConfigFile } from './shell/config-file.ts';
import { EXIT_CODES, type ExitCode, Failure, failUsage } from './shell/failure.ts';
import { identifyRepository } from './shell/git-url.ts';
import { Command, runProgram, type Session } from './shell/program.ts';
import type { World } from './shell/world.ts';
import { resolveNames } from './training/names.ts';

/** A program, and which of the action's inputs are options of it. */
interface Part {
  readonly program: { createCommand(): Command; main(world: World): Promise<ExitCode> };
  readonly inputs: readonly string[];
}

const LAUNCH: Part = {
  program: launch,
  inputs: ['project', 'task-name', 'queue', 'entry-point', 'param', 'seeds', 'config'],
};
const WAIT: Part = { program: check, inputs: ['timeout', 'queue-timeout', 'config'] };
const ABORT: Part = { program: check, inputs: ['config'] };
const REPORT: Part = { program: report, inputs: ['config'] };

/** The argument with which the wait has the comment updated: `index.mjs report`. */
const REPORT_CHANGES = 'report';

/** What `main` leaves for `post`. */
const STATE = { taskIds: 'task-ids', isOver: 'is-over' } as const;

/** The action's inputs, each described as the program's option is. */
export function listOneActionInputs(): ActionInput[] {
  const inputs = [LAUNCH, WAIT, REPORT].flatMap(listInputs);
  return inputs.filter(({ name }, index) => inputs.findIndex((other) => other.name === name) === index);
}

function listInputs({ program, inputs }: Part): ActionInput[] {
  return listActionInputs(program.createCommand()).filter(({ name }) => inputs.includes(name));
}

/**
 * The action as one line of a workflow: launches the pull request's training, waits for it and reports it. Where the pull
 * request is closed, it ends what is unfinished and reports that.
 *
 * @param file the file that is run, which the wait starts again for the comment
 */
export function main(given: World, file: string): Promise<ExitCode> {
  const world = giveToken(given);
  if (world.argv[0] === REPORT_CHANGES)
    return call(world, REPORT, [world.env.TASK_IDS ?? '', '--no-gate', '--no-summary']);
  return runProgram(world, createCommand, async (_, session) => {
    const run = await readPullRequest(session);
    const isUntrained = !hasKeys(session) && isForeign(run);
    if (run.closedBase !== undefined) return isUntrained ? EXIT_CODES.done : endUnfinished(world, session);
    const exitCode = isUntrained ? await sayWhyUntrained(session) : await train(world, file, session);
    if (!session.interruption.aborted) await saveState(session, { [STATE.isOver]: 'true' });
    return exitCode;
  });
}

/** What the runner starts at the job's end: ends what a cancelled run has left, and reports what became of it. */
export function post(given: World): Promise<ExitCode> {
  const world = giveToken(given);
  return runProgram(world, createCommand, async (_, session) => {
    const run = await readPullRequest(session);
    const isOver = session.env[`STATE_${STATE.isOver}`] !== undefined;
    if (isOver || run.closedBase !== undefined || (!hasKeys(session) && isForeign(run)))
      return EXIT_CODES.done;
    return endUnfinished(world, session, session.env[`STATE_${STATE.taskIds}`]);
  });
}

/** The runner gives no arguments. */
function createCommand(): Command {
  return new Command('clearml-ci-cd');
}

/**
 * Runs a program with its options among the inputs.
 *
 * @throws Interruption after a signal: the program would not hear of one that came before it
 */
function call(
  world: World,
  part: Part,
  given: readonly string[],
  { interruption }: Partial<Pick<Session, 'interruption'>> = {},
): Promise<ExitCode> {
  interruption?.throwIfAborted();
  return part.program.main({ ...world, argv: [...given, ...toArguments(listInputs(part), world.env)] });
}

async function readPullRequest({ env }: Session): Promise<GithubRun> {
  const run = readGithubRun(env, await readEventFile(env));
  if (run.eventName === 'pull_request' && run.eventPullRequest !== undefined) return run;
  throw failUsage(
    `this action serves the event pull_request, not ${run.eventName ?? 'a run without an event'}`,
    'Give the workflow `on: pull_request`. For pushes, a merge queue and runs by hand, copy .github/workflows/clearml_ci_cd.yml of the repository that the action comes from, or use the three actions.',
  );
}

function hasKeys({ env }: Session): boolean {
  return env.CLEARML_API_ACCESS_KEY !== undefined && env.CLEARML_API_SECRET_KEY !== undefined;
}

/** Whether the run gets no secrets of the repository: it is a fork's, or Dependabot's. */
function isForeign({ code, actor, serverUrl, repository }: GithubRun): boolean {
  if (isDependabot(actor) || code === undefined || code instanceof Failure) return true;
  return identifyRepository(code.cloneUrl) !== identifyRepository(`${serverUrl}/${repository}`);
}

function isDependabot(actor: string | undefined): boolean {
  return actor === 'dependabot[bot]';
}

/** The words are those of the workflow's first step. */
async function sayWhyUntrained(session: Session): Promise<ExitCode> {
  const { env, voice } = session;
  const passes = env.CLEARML_CI_FORKS === 'pass';
  const [why, what] = isDependabot(env.GITHUB_ACTOR)
    ? [
        "Dependabot's runs get no Actions secrets of this repository, so they can't use ClearML.",
        'A maintainer can store ACCESS_KEY and SECRET_KEY as Dependabot secrets too and run this job again,',
      ]
    : [
        "This pull request comes from a fork. Its runs get no secrets of this repository, so they can't use ClearML.",
        'A maintainer can review the changes, push them to a branch of this repository and open a pull request from that,',
      ];
  const otherwise = passes
    ? 'or leave it untrained: CLEARML_CI_FORKS is pass.'
    : 'or set CLEARML_CI_FORKS to pass in the workflow file: then such pull requests pass untrained.';
  await writeSummary(session, `Nothing was trained. ${why} ${what} ${otherwise}`);
  voice.annotate('notice', `${why} ${what} ${otherwise}`, { title: 'Nothing was trained' });
  return passes ? EXIT_CODES.done : EXIT_CODES.usage;
}

/** Launches, waits and reports. The exit code is that of the first program that fails. */
async function train(world: World, file: string, session: Session): Promise<ExitCode> {
  let printed = '';
  const stdout = {
    write(text: string) {
      printed += text;
      return world.stdout.write(text);
    },
  };
  const launched = await call({ ...world, stdout }, LAUNCH, [], session);
  if (launched !== EXIT_CODES.done) return launched;
  const taskIds = printed.trim().replace(/\s+/g, ' ');
  await saveState(session, { [STATE.taskIds]: taskIds });
  // The job summary is left to the last report.
  const reportChanges = `--on-change="${process.execPath}" "${file}" ${REPORT_CHANGES}`;
  const waited = await call(world, WAIT, [taskIds, reportChanges], session);
  const reported = await call(world, REPORT, [taskIds], session);
  return waited === EXIT_CODES.done ? reported : waited;
}

/** Ends what the pull request, or this cancelled run of it, has left. A report that fails does not make it fail. */
async function endUnfinished(world: World, session: Session, taskIds = ''): Promise<ExitCode> {
  const { env, cwd } = session;
  const read = (name: string) => readInput(world.env, name) || undefined;
  const given = { project: read('project'), taskName: read('task-name'), entryPoint: read('entry-point') };
  const config = await readConfigFile(cwd, read('config'));
  const names = resolveNames(given, config, { repository: env.GITHUB_REPOSITORY }, undefined);
  const pipeline = [`--project=${names.project}`, `--task-name=${names.taskName}`];
  const ended = await call(world, ABORT, ['--abort', ...pipeline], session);
  await call(world, REPORT, ['--no-gate', ...(taskIds === '' ? pipeline : [taskIds])], session);
  return ended;
}
