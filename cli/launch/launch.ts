import { type ClearmlClient, type ClearmlClientOptions, createClearmlClient } from '../clearml/client.ts';
import type { CheckoutReader } from '../github/git.ts';
import { writeOutputs } from '../github/runner-files.ts';
import type { ClearmlAccess } from '../shell/environment.ts';
import { EXIT_CODES, type ExitCode } from '../shell/failure.ts';
import { Interruption, type Session } from '../shell/program.ts';
import { formatTaskUrl } from '../training/task.ts';
import {
  carryOutLaunch,
  createLaunchRecord,
  type LaunchResult,
  type LaunchTools,
} from './create-and-enqueue.ts';
import type { LaunchOptions } from './options.ts';
import { type LaunchPlan, planLaunch } from './plan.ts';
import type { LaunchServer } from './ports.ts';
import { findProgramProblem } from './program-file.ts';
import { formatJson, formatOutputs, tellDryRun, tellSuperseded, tellTasks, type UrlOf } from './result.ts';
import { type Destination, type Survey, surveyLaunch } from './survey.ts';
import { endSuperseded, takeBackLaunch } from './withdrawal.ts';

/** What a launch has left for ending older tasks, or for taking back what it has created. */
const CLEAN_UP_MS = 9_000;

/** How ClearML is reached, by clients that give up at different times. */
type Reach = Omit<ClearmlClientOptions, 'giveUpAt' | 'onRetry'> & { readonly access: ClearmlAccess };

export interface LaunchInput {
  readonly options: LaunchOptions;
  readonly flags: { readonly dryRun?: boolean; readonly json?: boolean };
  /** Asked for already. */
  readonly destination: Promise<Destination | { readonly error: unknown }>;
  readonly reader: CheckoutReader;
  readonly reach: Reach;
  readonly client: ClearmlClient;
  readonly server: LaunchServer;
  /** When to stop trying, ms since 1970. */
  readonly deadlineMs: number;
}

/**
 * Creates and queues what is not there yet, and tells it; with `dryRun` tells what it would do. What can't be brought to
 * its end is taken back.
 *
 * @throws Failure, or the interruption
 */
export async function launchTasks(input: LaunchInput, session: Session): Promise<ExitCode> {
  const { options, destination, reader, server } = input;
  const plan = await planLaunch(options);
  // Git looks for the program while ClearML is asked; what it finds is told whatever ClearML says.
  const warned = findProgramProblem(options, options.code, reader).then((problem) => {
    if (problem !== undefined) session.voice.warn(problem);
  });
  const [survey] = await Promise.all([
    surveyLaunch(plan, takeDestination(destination), server).finally(() => warned),
    warned,
  ]);
  if (input.flags.dryRun === true) tellDryRun(plan, survey, session);
  else await carryOut(plan, survey, input, session);
  return EXIT_CODES.done;
}

async function takeDestination(asked: LaunchInput['destination']): Promise<Destination> {
  const answer = await asked;
  if ('error' in answer) throw answer.error;
  return answer;
}

async function carryOut(
  plan: LaunchPlan,
  survey: Survey,
  { server, client, reach, deadlineMs, flags }: LaunchInput,
  session: Session,
): Promise<void> {
  const { clock, voice, interruption: signal } = session;
  const record = createLaunchRecord();
  const tools = { server, clock, token: crypto.randomUUID(), deadlineMs, signal, record };
  const urlOf: UrlOf = (task) => formatTaskUrl(reach.access.webHost, task, client.apiVersion);
  try {
    const result = await carryOutLaunch(plan, survey, tools);
    tellTasks(result, plan, urlOf, session);
    // Only what later steps can find is launched.
    await writeOutputs(session, formatOutputs(result, urlOf));
    await endOlder(result, plan, reach, deadlineMs, session);
    signal.throwIfAborted();
    voice.result(
      flags.json === true ? formatJson(result, urlOf) : result.tasks.map((task) => task.id).join('\n'),
    );
  } catch (error) {
    // All or none: what this launch has done, answered or not, is taken back.
    const urlOfId = (id: string) => urlOf({ id, projectId: survey.projectId });
    for (const message of await takeBack(error, plan, tools, reach, urlOfId)) voice.warn(message);
    throw error;
  }
}

async function endOlder(
  result: LaunchResult,
  plan: LaunchPlan,
  reach: Reach,
  launchDeadlineMs: number,
  session: Session,
): Promise<void> {
  if (result.superseded.length + result.givenUp.length === 0) return;
  const { clock, interruption: signal } = session;
  const deadlineMs = Math.max(launchDeadlineMs, clock.now() + CLEAN_UP_MS);
  const client = createClearmlClient({ ...reach, giveUpAt: () => deadlineMs });
  const outcome = await endSuperseded(result, plan, { client, clock, deadlineMs, signal });
  tellSuperseded(outcome, plan, session);
}

function takeBack(
  error: unknown,
  plan: LaunchPlan,
  { token, record, clock }: LaunchTools,
  reach: Reach,
  urlOf: (id: string) => string,
): Promise<readonly string[]> {
  const deadlineMs = clock.now() + CLEAN_UP_MS;
  const { runId } = plan.run;
  const by = runId === undefined ? 'launch' : `launch of run ${runId}`;
  return takeBackLaunch(plan, token, record, {
    client: createClearmlClient({ ...reach, giveUpAt: () => deadlineMs }),
    clock,
    deadlineMs,
    reason: error instanceof Interruption ? `${by} was ${error.message}` : `${by} failed`,
    urlOf,
  });
}
