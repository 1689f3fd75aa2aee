import type { ClearmlClient } from '../clearml/client.ts';
import type { Config } from '../shell/config.ts';
import { isActions } from '../shell/environment.ts';
import { EXIT_CODES, type ExitCode } from '../shell/failure.ts';
import { Interruption } from '../shell/program.ts';
import { listOpenDues } from '../training/due.ts';
import { formatTaskUrl, isEnded } from '../training/task.ts';
import { observeTask, type TaskLife, type WatchedTask } from '../training/task-life.ts';
import { type EndingTools, endInterrupted, endOverdue, tellLeft } from './early-end.ts';
import { createChangeCommand } from './on-change.ts';
import { type CheckFlags, listIdleForDetach } from './options.ts';
import { describeStill, remind } from './reminder.ts';
import { type CheckedTask, decideExitCode, describeChecked, tellResult } from './result.ts';
import { createWaitOutput, describeTasks, showProgress, tellLook } from './wait-output.ts';
import { runWatch, type Watch } from './watch.ts';

const LIVE_TICK_MS = 1000;

export interface WaitTools extends Omit<EndingTools, 'urlOf'> {
  readonly flags: CheckFlags;
  /** Keeps trying during outages. */
  readonly client: ClearmlClient;
  readonly config: Pick<Config, 'detach'>;
  /** Whether the base branch's settings say that no job waits. */
  readonly askBase: () => Promise<boolean>;
}

/** Waits until every task has ended, and reports what happens. On a signal ends what is ours. Where no job waits: one look. */
export async function waitForTasks(watch: Watch, tools: WaitTools): Promise<ExitCode> {
  const look = await watch.firstLook;
  if ('tasks' in look && (await isDetached(watch, look.tasks, tools))) {
    tools.out.close();
    await tellDetached(watch, look.tasks, tools);
    return EXIT_CODES.done;
  }
  const { tasks, exitCode } = await watchUntilEnd(watch, tools);
  await tellResult(tasks, tools.flags, tools.session);
  return exitCode;
}

/**
 * Whether no job waits for the tasks: the flag says so, or in Actions this run's launch has noted it, or the settings do. A
 * pull request's settings alone do not count. Once the last task has ended, this very job reports it all the same.
 */
async function isDetached(
  { lives }: Watch,
  tasks: ReadonlyMap<string, WatchedTask>,
  { flags, config, askBase, session: { env } }: WaitTools,
): Promise<boolean> {
  const found = [...tasks.values()];
  if (found.length < lives.length || found.every(({ status }) => isEnded(status))) return false;
  if (flags.detach !== undefined || !isActions(env)) return flags.detach === true;
  const dues = found.flatMap(({ origin }) => listOpenDues(origin));
  if (dues.some((due) => due.isDetached && due.runId === env.GITHUB_RUN_ID)) return true;
  return config.detach === true && (await askBase());
}

async function tellDetached(
  { lives }: Watch,
  seen: ReadonlyMap<string, WatchedTask>,
  { flags, reach, client, session }: WaitTools,
): Promise<void> {
  const nowMs = client.serverNow();
  const urlOf = (task: WatchedTask) => formatTaskUrl(reach.access.webHost, task, client.apiVersion);
  const tasks = lives.flatMap((life): CheckedTask[] => {
    const task = seen.get(life.id);
    if (task === undefined) return [];
    observeTask(life, task, nowMs);
    return [describeChecked(life, urlOf(task), undefined, nowMs)];
  });
  for (const { id, status, url } of tasks) session.voice.say(`Task ${id}: ${status}\n  ${url}`);
  // What is given for when a job waits. With --detach it was said before.
  const idle = flags.detach === true ? [] : listIdleForDetach(flags).filter((one) => one !== '--on-change');
  if (idle.length > 0)
    session.voice.warn(
      `ignoring ${idle.join(', ')}: no job waits. The time-outs are those that the launch read in the settings`,
    );
  const unnoted = [...seen.values()].filter(
    ({ status, origin }) => !isEnded(status) && listOpenDues(origin).length === 0,
  );
  if (unnoted.length === 0)
    session.voice.say('No job waits: the collecting workflow reports the end, and holds the time-outs');
  for (const { id } of unnoted)
    session.voice.warn(
      `no job waits for task ${id}, and the collecting workflow does not report it: its launch has noted nothing. Launch it detached too, or wait with --no-detach`,
    );
  await tellResult(tasks, flags, session);
}

async function watchUntilEnd(
  watch: Watch,
  tools: WaitTools,
): Promise<{ readonly tasks: readonly CheckedTask[]; readonly exitCode: ExitCode }> {
  const { reach, client, out } = tools;
  const urlOf = ({ id, task }: TaskLife) =>
    formatTaskUrl(reach.access.webHost, { id, projectId: task?.projectId }, client.apiVersion);
  const output = createWaitOutput(watch, { ...tools, urlOf });
  const { onChange } = tools.flags;
  const ids = watch.lives.map(({ id }) => id);
  const change = onChange === undefined ? undefined : createChangeCommand(onChange, ids, tools);
  const over = new AbortController();
  const { clock } = tools.session;
  const reminding = remind(() => describeStill(output), { out, clock, signal: over.signal });
  try {
    await runWatch(watch, {
      async afterLook() {
        await tellLook(output);
        change?.look(watch.lives);
      },
      tick: () => showProgress(output),
      tickMs: out.isLive ? LIVE_TICK_MS : Number.POSITIVE_INFINITY,
      endOverdue: (life, timeout) => endOverdue(life, timeout, { ...tools, urlOf }),
    });
    const tasks = describeTasks(output);
    return { tasks, exitCode: decideExitCode(tasks) };
  } catch (error) {
    if (!(error instanceof Interruption)) {
      tellLeft(error, watch.lives, { out, urlOf });
      throw error;
    }
    await endInterrupted(error, watch.lives, { ...tools, urlOf });
    out.say(error.message);
    return { tasks: describeTasks(output), exitCode: error.exitCode };
  } finally {
    await change?.finish();
    over.abort();
    await reminding;
    out.close();
  }
}
