import { ClearmlRefusal, createClearmlClient, useClearml } from '../clearml/client.ts';
import { readConfigFile } from '../shell/config-file.ts';
import { readClearmlAccess } from '../shell/environment.ts';
import { checkAll, type ExitCode, settle, takeSettled } from '../shell/failure.ts';
import { readPackageVersion } from '../shell/files.ts';
import { formatHelpEnd } from '../shell/help.ts';
import { Command, Option, readFlags, runProgram, type Session } from '../shell/program.ts';
import type { Retry } from '../shell/retry.ts';
import type { World } from '../shell/world.ts';
import { readTaskIds, requireTaskIds } from '../training/task-ids.ts';
import { createLiveConsole } from './live-console.ts';
import { type CheckFlags, listIdleForDetach, rejectIdleOptions, resolveCheckOptions } from './options.ts';
import { createPatience } from './outage.ts';
import { createWatchServer } from './server.ts';
import { beginWatch } from './watch.ts';

/** The arguments and options. */
export function createCommand(): Command {
  return new Command('check-task-running')
    .description(
      'Waits until ClearML tasks have ended, shows their log, and says why one failed. Prints the final status.',
    )
    .argument('[task-id...]', 'tasks to wait for; one argument may hold several ids separated by spaces')
    .optionsGroup('Wait:')
    .option(
      '--timeout <duration>',
      'how long each task may run, from its start, or from the first look at it if that is later (default: 1h)',
    )
    .option(
      '--queue-timeout <duration>',
      'how long a task may wait while no worker serves the queue, or one that serves it is idle (default: 30m)',
    )
    .option(
      '--outage-timeout <duration>',
      'how long ClearML may stay silent (default: 10m); one minute if it never answered',
    )
    .option('--poll-interval <duration>', 'fixed pause between two looks (default: adaptive)')
    .addOption(
      createChoice(
        '--on-timeout <what>',
        'what happens to a task that times out (default: abort; a task of others is left running)',
        ['abort', 'leave'],
      ),
    )
    .addOption(
      createChoice(
        '--on-interrupt <what>',
        'what happens to the tasks on a signal (default: abort; leave for Ctrl-C at a terminal; tasks of others are left running)',
        ['abort', 'leave'],
      ),
    )
    .option(
      '--on-change <command>',
      'command for the shell whenever the tasks begin to wait or to run, or one of several ends; ids in TASK_IDS',
    )
    .optionsGroup('Console:')
    .addOption(
      createChoice(
        '--log <what>',
        "what is shown of the tasks' consoles (default: training, where set-up is one line unless it failed; none: only the last lines of a task that failed)",
        ['training', 'all', 'none'],
      ),
    )
    .option('--logs', 'the same as --log all')
    .option('--no-logs', 'the same as --log none')
    .optionsGroup('Nobody waits:')
    .option(
      '--detach',
      'one look: prints the status and exits 0, as the collecting workflow reports (default: the setting detach, in Actions only)',
    )
    .option('--no-detach', 'wait, whatever the setting and the launch say')
    .option(
      '--due',
      "one look at all of the repository's trainings that nobody waits for: ends those past their time-outs, prints what is to be reported",
    )
    .optionsGroup('Abort:')
    .option(
      '--abort',
      'end the tasks instead of waiting for them; without ids, every unfinished task of this pull request (in a cancelled run: those that it launched)',
    )
    .option('--project <name>', "with --abort and no ids: the pipeline's project")
    .option('--task-name <name>', "with --abort and no ids: the pipeline's task name")
    .optionsGroup('Output and settings:')
    .option('--json', 'print one JSON document')
    .option('--config <file>', 'settings file (default: .github/clearml-ci.yml)')
    .version(readPackageVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .addHelpText('after', formatEnd);
}

function formatEnd(): string {
  return formatHelpEnd('check-task-running', {
    examples: [
      '0123456789abcdef0123456789abcdef',
      '"$TASK_IDS" --timeout 2h --queue-timeout 1h',
      '"$TASK_ID" --log none --json',
      '--abort "$TASK_ID"',
      '--due',
    ],
    variables: ['NO_COLOR'],
    exitCodes: {
      0: 'every task is completed or published',
      3: 'a task failed, or the server stopped it because its worker was lost',
      4: 'a task was stopped, aborted, closed, dequeued or reset by someone',
      7: 'a task never started: queue time-out',
      124: 'a task ran into its time-out',
    },
  });
}

/** An option that takes one of these words. Set to nothing, as by an empty variable, it counts as left out. */
function createChoice(flags: string, description: string, choices: readonly string[]) {
  const option = new Option(flags, description).choices(choices);
  const { parseArg: parse } = option;
  return option.argParser((value, earlier) => (value.trim() === '' ? '' : parse?.(value, earlier)));
}

async function run(command: Command, session: Session): Promise<ExitCode> {
  const flags = readFlags<CheckFlags>(command);
  const ids = readTaskIds(command.args);
  if (flags.abort !== true && flags.due !== true) requireTaskIds(ids);
  rejectIdleOptions(flags, ids);
  if (flags.due === true) return (await loadDue()).collectDue(flags, session);
  if (flags.abort !== true) return beginToWait(ids, flags, session);
  // A wait needs neither git nor the event.
  const { abort, answerAbort } = await import('./abort.ts');
  const ending = await settle(abort(ids, flags, session));
  if ('failure' in ending) await answerAbort(ending.failure, session);
  return takeSettled(ending);
}

/** Few waits need it. */
const loadDue = () => import('./due.ts');

async function beginToWait(ids: readonly string[], flags: CheckFlags, session: Session): Promise<ExitCode> {
  const { env, cwd, clock, random, interruption: signal } = session;
  const settings = await settle(readConfigFile(cwd, flags.config, session.voice.say));
  const [access, options] = checkAll(
    () => readClearmlAccess(env),
    () => resolveCheckOptions(flags, 'value' in settings ? settings.value : {}),
    () => takeSettled(settings),
  );
  const config = takeSettled(settings);
  const askBase = async () => (await loadDue()).isDetachedByBase(flags, config, session);
  const idle = flags.detach === true ? listIdleForDetach(flags) : [];
  if (idle.length > 0) session.voice.say(`ignoring ${idle.join(', ')}: --detach does not wait`);
  return useClearml(access, session, async (reach) => {
    const out = createLiveConsole(session, ids.length);
    const patience = createPatience({
      clock,
      outageTimeoutMs: options.outageTimeoutMs,
      say: out.warn,
      isAnswer: (failure) => failure instanceof ClearmlRefusal,
    });
    const { giveUpAt } = patience;
    const onRetry = ({ request, reason }: Retry) => patience.noteTrouble(`${request}: ${reason}`);
    const client = createClearmlClient({ ...reach, giveUpAt, onRetry });
    const server = createWatchServer(client);
    const watch = beginWatch(ids, options, { server, patience, clock, random, signal });
    // Loaded while the first answer is under way.
    const { waitForTasks } = await import('./wait.ts');
    return waitForTasks(watch, { flags, options, config, askBase, reach, client, out, session });
  });
}

/** Runs the program; the exit code is what it gives. */
export async function main(world: World): Promise<ExitCode> {
  return runProgram(world, createCommand, run);
}
