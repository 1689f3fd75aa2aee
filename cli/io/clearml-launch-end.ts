import * as v from 'valibot';
import { abortTasks } from '../core/abort.ts';
import { Failure } from '../core/failure.ts';
import type { KnownTask } from '../core/launch.ts';
import type { LaunchPlan } from '../core/launch-plan.ts';
import { RUNTIME_KEYS } from '../core/task.ts';
import type { Clock } from '../core/world.ts';
import type { ClearmlClient } from './clearml.ts';
import { createAbortServer } from './clearml-abort.ts';
import { createLaunchServer } from './clearml-launch.ts';
import type { Session } from './program.ts';

const OwnTasksSchema = v.object({
  tasks: v.array(v.object({ id: v.string(), runtime: v.optional(v.record(v.string(), v.unknown()), {}) })),
});

/**
 * Removes everything that a launch has created, whether its creation was answered or not: queued and running tasks are
 * aborted, drafts deleted. Never throws: it runs while another error is on its way.
 *
 * @param token the launch's own, on every task it creates
 * @returns what to tell where something could be left
 */
export async function removeLaunched(
  plan: LaunchPlan,
  token: string,
  tools: {
    readonly client: ClearmlClient;
    readonly clock: Clock;
    readonly deadlineMs: number;
    readonly reason: string;
  },
): Promise<{ readonly message: string | undefined }> {
  const { client, clock, deadlineMs, reason } = tools;
  try {
    const server = createLaunchServer(client);
    const findOwn = async (): Promise<string[]> => {
      const { tasks } = await client.call(
        'tasks.get_all',
        {
          [`runtime.${RUNTIME_KEYS.launch}`]: token,
          only_fields: ['id', 'runtime'],
          page: 0,
          page_size: 500,
        },
        OwnTasksSchema,
        { isRepeatable: true },
      );
      return tasks.filter((task) => task.runtime[RUNTIME_KEYS.launch] === token).map((task) => task.id);
    };
    const seen = new Set<string>();
    // Twice: a create that was under way when we gave up may land a moment later.
    for (let look = 0; look < 2; look += 1) {
      if (look > 0) await clock.sleep(1000);
      const own = (await findOwn()).filter((id) => !seen.has(id));
      if (own.length === 0) continue;
      const { ended, unconfirmed } = await abortTasks(createAbortServer(client), own, {
        clock,
        reason,
        deadlineMs,
      });
      for (const id of ended) {
        await server.deleteDraft(id);
        seen.add(id);
      }
      if (unconfirmed.length > 0) {
        return { message: `not confirmed as ended: task ${unconfirmed.join(', ')}; look at it in ClearML` };
      }
    }
    return { message: undefined };
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return {
      message: `whether a task of this launch is left in project "${plan.project}" could not be found out (${error.message}); the next launch of the same code takes it over`,
    };
  }
}

/** Ends the tasks that this launch makes pointless, and says what came of it. */
export async function stopSuperseded(
  tasks: readonly KnownTask[],
  plan: LaunchPlan,
  { client, session }: { readonly client: ClearmlClient; readonly session: Session },
): Promise<void> {
  const { clock, voice, interruption } = session;
  const by = plan.run.runId === undefined ? 'a newer launch' : `run ${plan.run.runId}`;
  const reason = `superseded by ${by}: commit ${plan.commit.slice(0, 10)} of pull request ${plan.pullRequest}`;
  const ids = tasks.map((task) => task.id);
  const { ended, unconfirmed } = await abortTasks(createAbortServer(client), ids, {
    clock,
    reason,
    deadlineMs: clock.now() + 60_000,
    signal: interruption,
  });
  for (const id of ended) voice.say(`Ended task ${id} of an older commit: it is superseded`);
  for (const id of unconfirmed) {
    voice.warn(`task ${id} of an older commit is superseded, but that it has ended could not be confirmed`);
  }
}
