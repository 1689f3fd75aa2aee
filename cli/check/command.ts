import { readConfigFile } from '../shell/config-file.ts';
import { type Environment, readClearmlAccess } from '../shell/environment.ts';
import { checkAll, EXIT_CODES, type ExitCode, settle, takeSettled } from '../shell/failure.ts';
import { readPackageVersion } from '../shell/files.ts';
import { createHttp } from '../shell/http.ts';
import { Command, formatHelpEnd, Option, readFlags, runProgram, type Session } from '../shell/program.ts';
import type { World } from '../shell/world.ts';
import {
  type CheckFlags,
  listWaitingOptions,
  parseTaskIds,
  rejectIdleOptions,
  requireTaskIds,
  resolveCheckOptions,
} from './options.ts';
import type { CheckedTask } from './result.ts';
import { watchUntilEnd } from './wait.ts';

/** The arguments and options. */
export function createCommand(): Command {
  return new Command('check-task-running')
    .description('Waits until ClearML tasks have ended, shows their log, and says why one failed.')
    .argument('[task-id...]', 'tasks to wait for; one argument may hold several ids separated by blanks')
    .option(
      '--timeout <duration>',
      'how long each task may run, from its start, or from our first look at it if that is later (default: 1h)',
    )
    .option(
      '--queue-timeout <duration>',
      'how long a task may wait while no worker serves the queue, or one that serves it stands idle (default: 30m)',
    )
    .option('--poll-interval <duration>', 'fixed pause between two looks (default: grows with the time)')
    .addOption(
      new Option('--on-timeout <what>', 'what becomes of a task that timed out (default: abort)').choices([
        'abort',
        'leave',
      ]),
    )
    .addOption(
      new Option(
        '--on-interrupt <what>',
        'what becomes of the tasks on a signal (default: abort; leave for Ctrl-C at a terminal)',
      ).choices(['abort', 'leave']),
    )
    .option('--logs', "show the tasks' consoles (default)")
    .option('--no-logs', 'do not; of a task that failed the last lines are shown all the same')
    .option(
      '--outage-timeout <duration>',
      'how long ClearML may stay without an answer (default: 10m); a minute at most if it never answered',
    )
    .option(
      '--abort',
      'end the tasks instead of waiting for them; without ids, every unfinished task of this pull request and pipeline',
    )
    .option('--project <name>', "with --abort and no ids: the pipeline's project")
    .option('--task-name <name>', "with --abort and no ids: the pipeline's task name")
    .option('--json', 'print one JSON document')
    .option('--config <file>', 'settings file (default: .github/clearml-ci.yml)')
    .version(readPackageVersion())
    .addHelpText(
      'after',
      formatHelpEnd([
        'check-task-running 0123456789abcdef0123456789abcdef',
        'check-task-running "$TASK_IDS" --timeout 2h --queue-timeout 1h',
        'check-task-running "$TASK_ID" --no-logs --json',
        'check-task-running --abort "$TASK_ID"',
      ]),
    );
}

async function run(command: Command, session: Session): Promise<ExitCode> {
  const { env, cwd, clock } = session;
  const flags = readFlags<CheckFlags>(command);
  const ids = parseTaskIds(command.args);
  if (flags.abort !== true) requireTaskIds(ids);
  rejectIdleOptions(flags, ids);
  const [settings, abort] = await Promise.all([
    settle(readConfigFile(cwd, flags.config, session.voice.say)),
    flags.abort === true ? loadAbort(env) : undefined,
  ]);
  const [access, run, , options, config] = checkAll(
    () => readClearmlAccess(env),
    () => abort?.readRun(),
    () => abort?.requirePullRequest(ids),
    () => resolveCheckOptions(flags, 'value' in settings ? settings.value : {}),
    () => takeSettled(settings),
  );
  const http = createHttp(env, clock);
  try {
    if (abort !== undefined && run !== undefined) {
      const idle = listWaitingOptions(flags);
      if (idle.length > 0)
        session.voice.say(`${idle.join(', ')} changes nothing here: --abort does not wait for the training`);
      const input = { ids, flags, config, run, access, http };
      const { tasks, failure } = await abort.abortUntilEnded(input, session);
      await tellResult(tasks, flags, session);
      if (failure !== undefined) throw failure;
      return EXIT_CODES.done;
    }
    const { tasks, exitCode } = await watchUntilEnd(
      ids,
      options,
      { access, runId: env.GITHUB_RUN_ID, http },
      session,
    );
    await tellResult(tasks, flags, session);
    return exitCode;
  } finally {
    await http.close();
  }
}

/** Loaded only for this: a wait needs neither git nor the event. */
async function loadAbort(env: Environment) {
  const [{ abortUntilEnded, requirePullRequest }, { namesPullRequest, readGithubRun }, { readEventFile }] =
    await Promise.all([import('./abort.ts'), import('../github/event.ts'), import('../github/event.ts')]);
  const event = await settle(readEventFile(env));
  return {
    abortUntilEnded,
    readRun: () => readGithubRun(env, takeSettled(event)),
    requirePullRequest: (ids: readonly string[]) =>
      requirePullRequest(ids, 'failure' in event || namesPullRequest(env, event.value)),
  };
}

async function tellResult(tasks: readonly CheckedTask[], flags: CheckFlags, session: Session): Promise<void> {
  const [{ formatJson, formatOutputs }, { writeOutputs }] = await Promise.all([
    import('./result.ts'),
    import('../github/runner-files.ts'),
  ]);
  const { voice } = session;
  if (flags.json === true) voice.result(formatJson(tasks));
  else if (tasks.length > 0) voice.result(tasks.map(({ status }) => status).join('\n'));
  await writeOutputs(session, formatOutputs(tasks));
}

/** Runs the program; the exit code is what it gives. */
export async function main(world: World): Promise<ExitCode> {
  return runProgram(world, createCommand, run);
}
