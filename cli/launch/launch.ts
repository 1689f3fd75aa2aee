import { createClearmlClient } from '../clearml/client.ts';
import type { GithubRun } from '../github/event.ts';
import type { CheckoutReader } from '../github/git.ts';
import type { Config } from '../shell/config.ts';
import type { ClearmlAccess } from '../shell/environment.ts';
import { EXIT_CODES, type ExitCode } from '../shell/failure.ts';
import { createHttp } from '../shell/http.ts';
import { Interruption, type Session } from '../shell/program.ts';
import { formatAgentCommand } from '../training/agent-command.ts';
import { formatTaskUrl } from '../training/task.ts';

import type { LaunchResult } from './create-and-enqueue.ts';
import { type Code, type LaunchOptions, type LaunchPlan, outlineLaunch, planLaunch } from './plan.ts';
import { createLaunchServer } from './server.ts';
import type { endSuperseded } from './withdrawal.ts';

/** Launch gives up within a minute; what it has created is removed in the rest. */
const GIVE_UP_MS = 42_000;
const CLEAN_UP_MS = 9_000;

/** What is to be launched, and how it is told. */
export interface LaunchInput {
  readonly flags: LaunchOptions & { readonly dryRun?: boolean; readonly json?: boolean };
  readonly config: Config;
  readonly run: GithubRun;
  readonly code: Code;
  /** Content of the requirements file, where one was named. */
  readonly requirementsText: string | undefined;
  readonly access: ClearmlAccess;
  readonly reader: CheckoutReader;
}

/**
 * Creates and queues what is not there yet, and tells it; with `dryRun` tells what it would do. What can't be brought to
 * its end is taken back.
 *
 * @throws Failure, or the interruption
 */
export async function launchTasks(input: LaunchInput, session: Session): Promise<ExitCode> {
  const { flags, config, run, code, requirementsText, access, reader } = input;
  const { env, clock, voice } = session;
  const outline = outlineLaunch({ options: flags, config, run, code, requirementsText });

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
    // Asked before the tasks have keys, and before what follows is loaded.
    const destination = Promise.all([
      server.findProject(outline.project),
      server.findQueue(outline.queue),
    ]).then(([projectId, queue]) => ({ projectId, queue }));
    // It is waited for with the rest; until then nobody hears what goes wrong.
    destination.catch(() => undefined);
    // Node hashes and loads in one go: before that, these requests set out.
    await new Promise((resolve) => setImmediate(resolve));
    const [plan, { carryOutLaunch, createLaunchRecord, surveyLaunch }, { findProgramProblem }] =
      await Promise.all([
        planLaunch(outline),
        import('./create-and-enqueue.ts'),
        import('./program-file.ts'),
      ]);
    // Git looks for the program while ClearML is asked; what it finds is told whatever ClearML says.
    const warned = findProgramProblem(outline, code, reader).then((problem) => {
      if (problem !== undefined) voice.warn(problem);
    });
    const [survey] = await Promise.all([
      surveyLaunch(plan, destination, server).finally(() => warned),
      warned,
    ]);
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
      const { writeOutputs } = await import('../github/runner-files.ts');
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
      const by = run.runId === undefined ? 'launch' : `launch of run ${run.runId}`;
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

// Loaded only where there is something to end: most launches have nothing.
const loadEnd = () => import('./withdrawal.ts');

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
      `no worker serves the queue "${name}": the training waits until one is started (${formatAgentCommand(name)})`,
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
