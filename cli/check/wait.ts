import type { ClearmlClient } from '../clearml/client.ts';
import type { ExitCode } from '../shell/failure.ts';
import { Interruption } from '../shell/program.ts';
import { formatTaskUrl } from '../training/task.ts';
import type { TaskLife } from '../training/task-life.ts';
import { type EndingTools, endInterrupted, endOverdue, tellLeft } from './early-end.ts';
import { createChangeCommand } from './on-change.ts';
import type { CheckFlags } from './options.ts';
import { describeStill, remind } from './reminder.ts';
import { type CheckedTask, decideExitCode, tellResult } from './result.ts';
import { createWaitOutput, describeTasks, showProgress, tellLook } from './wait-output.ts';
import { runWatch, type Watch } from './watch.ts';

const LIVE_TICK_MS = 1000;

export interface WaitTools extends Omit<EndingTools, 'urlOf'> {
  readonly flags: CheckFlags;
  /** Keeps trying during outages. */
  readonly client: ClearmlClient;
}

/** Waits until every task has ended, and reports what happens. On a signal ends what is ours. */
export async function waitForTasks(watch: Watch, tools: WaitTools): Promise<ExitCode> {
  const { tasks, exitCode } = await watchUntilEnd(watch, tools);
  await tellResult(tasks, tools.flags, tools.session);
  return exitCode;
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
