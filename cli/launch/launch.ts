import type { ClearmlServer, Reach } from '../clearml/client.ts';
import type { CheckoutReader } from '../github/git.ts';
import { writeOutputs } from '../github/runner-files.ts';
import { EXIT_CODES, type ExitCode } from '../shell/failure.ts';
import type { Session } from '../shell/program.ts';
import { formatTaskUrl } from '../training/task.ts';
import { carryOutLaunch, type Launch } from './create-and-enqueue.ts';
import type { DoctorTools } from './doctor.ts';
import { chooseDetachment, findCollectingProblem, noteDue, planDue, warnUnreported } from './due.ts';
import { findLostDefaultsProblem } from './lost-defaults.ts';
import type { LaunchFlags, LaunchOptions } from './options.ts';
import { type LaunchPlan, planLaunch } from './plan.ts';
import { findProgramProblem } from './program-file.ts';
import { formatJson, formatOutputs, tellDryRun, tellSuperseded, tellTasks, type UrlOf } from './result.ts';
import { type Destination, type Survey, surveyLaunch } from './survey.ts';
import { endSuperseded, takeBackLaunch } from './withdrawal.ts';

export interface LaunchInput {
  readonly options: LaunchOptions;
  readonly flags: Pick<LaunchFlags, 'detach'> & { readonly dryRun?: boolean; readonly json?: boolean };
  /** The requests for it are under way. */
  readonly destination: Promise<Destination>;
  readonly reader: CheckoutReader;
  readonly reach: Reach;
  readonly server: ClearmlServer;
  /** When to stop trying, ms since 1970. */
  readonly deadlineMs: number;
  /** What the GitHub token may do; for a dry run. */
  readonly askForRights: DoctorTools['askForRights'];
  /** The settings file, relative to the repository's root; undefined where it is outside. */
  readonly settingsPath: string | undefined;
  /** Few launches ask GitHub. */
  readonly loadRemoteCode: () => Promise<typeof import('../github/remote-code.ts')>;
}

/**
 * Creates and queues what does not exist yet, and reports it. With `dryRun` it reports what it would do. A launch that
 * fails is taken back.
 *
 * @throws Failure, or the interruption
 */
export async function launchTasks(input: LaunchInput, session: Session): Promise<ExitCode> {
  const { options, destination, reader, server } = input;
  const detachment = await chooseDetachment(input, session);
  const plan = await planLaunch(options, planDue(detachment, options, input.settingsPath));
  // Git looks for the program while ClearML is asked. Its finding is reported whatever ClearML answers.
  const warned = findProgramProblem(options, options.code, reader).then((problem) => {
    if (problem !== undefined) session.voice.warn(problem);
  });
  const uncollected = findCollectingProblem(plan, input, session);
  // Awaited below; this keeps an interruption from being reported as unhandled.
  uncollected.catch(() => undefined);
  const surveying = surveyLaunch(plan, destination, server).finally(() => warned);
  const isDry = input.flags.dryRun === true;
  const [survey] = await Promise.all([isDry ? examine(surveying, plan, input, session) : surveying, warned]);
  const told = findLostDefaultsProblem(plan, survey, server, session.clock).then((problem) => {
    if (problem !== undefined) session.voice.warn(problem);
  });
  if (isDry) tellDryRun(plan, survey, await noteDue(plan, survey, undefined), session);
  else await carryOut(plan, survey, input, session).finally(() => told);
  await told;
  const problem = await uncollected;
  if (problem !== undefined) session.voice.warn(problem);
  return EXIT_CODES.done;
}

/** Says what a launch would find. Only a dry run needs it. */
async function examine(
  surveying: Promise<Survey>,
  plan: LaunchPlan,
  { server, reach, askForRights }: LaunchInput,
  session: Session,
): Promise<Survey> {
  const { tellFindings } = await import('./doctor.ts');
  return tellFindings(surveying, { plan, server, apiHost: reach.access.apiHost, askForRights }, session);
}

async function carryOut(
  plan: LaunchPlan,
  survey: Survey,
  { server, reach, deadlineMs, flags }: LaunchInput,
  session: Session,
): Promise<void> {
  const { clock, voice, interruption } = session;
  const token = crypto.randomUUID();
  const launch: Launch = {
    plan,
    server,
    clock,
    token,
    dueNotes: await noteDue(plan, survey, { token, atMs: server.client.serverNow() }),
    unnoted: new Set(),
    deadlineMs,
    created: new Set(),
    takenOver: new Map(),
    contested: new Set(),
    ending: new Set(),
    hasLostAnswers: false,
  };
  const urlOf: UrlOf = (task) => formatTaskUrl(reach.access.webHost, task, server.client.apiVersion);
  try {
    const result = await carryOutLaunch(launch, survey);
    tellTasks(result, plan, urlOf, session);
    await warnUnreported(launch, session);
    // A task that later steps can't find is not a launch: a failure here takes it back.
    await writeOutputs(session, formatOutputs(result, urlOf));
    if (result.superseded.length + result.givenUp.length > 0)
      tellSuperseded(await endSuperseded(result, launch, reach, interruption), plan, session);
    interruption.throwIfAborted();
    voice.result(
      flags.json === true ? formatJson(result, urlOf) : result.tasks.map((task) => task.id).join('\n'),
    );
  } catch (error) {
    // All or none: everything this launch has done is taken back, answered or not.
    const urlOfId = (id: string) => urlOf({ id, projectId: survey.projectId });
    for (const message of await takeBackLaunch(launch, error, reach, urlOfId)) voice.warn(message);
    throw error;
  }
}
