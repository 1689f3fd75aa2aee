import { type AbortOutcome, abortTasks, createAbortServer } from '../clearml/abort.ts';
import { type ClearmlClient, createClearmlClient, type Reach, useClearml } from '../clearml/client.ts';
import { findEntries } from '../clearml/queues.ts';
import { releaseTasks } from '../clearml/release.ts';
import { findUnfinished, findUnfinishedElsewhere } from '../clearml/unfinished.ts';
import { type GithubRun, namesPullRequest, readEventFile, readGithubRun } from '../github/event.ts';
import { createCheckoutReader } from '../github/git.ts';
import { replyWithFailure } from '../github/reply.ts';
import type { Config } from '../shell/config.ts';
import { readConfigFile } from '../shell/config-file.ts';
import { isActions, readClearmlAccess } from '../shell/environment.ts';
import {
  checkAll,
  EXIT_CODES,
  type ExitCode,
  Failure,
  failUsage,
  settle,
  takeSettled,
} from '../shell/failure.ts';
import type { Session } from '../shell/program.ts';
import { parseCommentCommand } from '../text/comment-command.ts';
import type { Ending } from '../training/ending.ts';
import { resolveNames } from '../training/names.ts';
import {
  isOfPullRequest,
  isOursToAbort,
  isUsedByPullRequest,
  type PullRequestTasks,
} from '../training/ownership.ts';
import { hashPipeline, identifyPipelineRepository } from '../training/pipeline.ts';
import { formatTaskUrl, isEnded, RUNTIME_KEYS } from '../training/task.ts';
import { beginLife, observeTask, type WatchedTask } from '../training/task-life.ts';
import { createHastyClient, describeRunEnd, TAKEN_MEANWHILE } from './early-end.ts';
import { type CheckFlags, listWaitingOptions, resolveCheckOptions } from './options.ts';
import { type CheckedTask, describeChecked, tellResult } from './result.ts';
import { createWatchServer } from './server.ts';
import { failUnknown } from './watch.ts';

/** How long `--abort` keeps trying. */
const ABORT_TIMEOUT_MS = 2 * 60_000;

/** `--abort`: ends tasks instead of waiting for them. */
export async function abort(ids: readonly string[], flags: CheckFlags, session: Session): Promise<ExitCode> {
  const { env, cwd, voice } = session;
  const [settings, event] = await Promise.all([
    settle(readConfigFile(cwd, flags.config, voice.say)),
    settle(readEventFile(env)),
  ]);
  const [access, run, , , config] = checkAll(
    () => readClearmlAccess(env),
    () => readGithubRun(env, takeSettled(event)),
    () => requirePullRequest(ids, 'failure' in event || namesPullRequest(env, event.value)),
    () => resolveCheckOptions(flags, 'value' in settings ? settings.value : {}),
    () => takeSettled(settings),
  );
  const idle = listWaitingOptions(flags);
  if (idle.length > 0) voice.say(`ignoring ${idle.join(', ')}: --abort does not wait for the training`);
  const { tasks, failure } = await useClearml(access, session, (reach) =>
    abortUntilEnded({ ids, flags, config, run, reach }, session),
  );
  await tellResult(tasks, flags, session);
  if (failure !== undefined) throw failure;
  return EXIT_CODES.done;
}

/** Tells who has commented `/abort` why it came to nothing: otherwise they would believe that the training has ended. */
export async function answerAbort(failure: Failure, session: Session): Promise<void> {
  const { env } = session;
  const read = await settle((async () => readGithubRun(env, await readEventFile(env)))());
  if ('failure' in read || parseCommentCommand(read.value.comment?.body ?? '')?.name !== 'abort') return;
  await replyWithFailure(failure, read.value, session);
}

interface AbortInput {
  /** None: every unfinished task of this pull request. */
  readonly ids: readonly string[];
  readonly flags: CheckFlags;
  readonly config: Config;
  readonly run: GithubRun;
  readonly reach: Reach;
}

/** Ends tasks and confirms that they have ended. `failure`: what could not be done. */
async function abortUntilEnded(
  input: AbortInput,
  session: Session,
): Promise<{ readonly tasks: readonly CheckedTask[]; readonly failure: Failure | undefined }> {
  const { clock, voice, interruption: signal } = session;
  const { reach } = input;
  const deadlineMs = clock.now() + ABORT_TIMEOUT_MS;
  const client = createClearmlClient({ ...reach, giveUpAt: () => deadlineMs });
  const server = createWatchServer(client);
  const pipeline = await resolvePipeline(input, session);
  const ownRun = isCancelledRun(input.run, session) ? input.run.runId : undefined;
  const ids =
    input.ids.length > 0
      ? input.ids
      : await listUnfinished(client, pipeline, ownRun, { flags: input.flags, session });
  if (ids.length === 0) {
    const which = ownRun === undefined ? '' : ` that this run launched (${ownRun})`;
    voice.say(`Nothing to abort: pull request ${pipeline?.pullRequest} has no unfinished task${which}`);
    return { tasks: [], failure: undefined };
  }
  const found = await server.readTasks(ids, signal);
  const ours = await chooseOurs(found, pipeline, input, client, session);
  const { run } = input;
  // A person who names a task at a keyboard means it.
  const isMeant = input.ids.length > 0 && !isActions(session.env);
  const why = {
    clock,
    reason: describeReason(run),
    ending: chooseEnding(
      ours.map((id) => found.get(id)),
      input,
      session,
    ),
    seen: isMeant ? undefined : new Map([...found].map(([id, { origin }]) => [id, origin])),
    deadlineMs,
    signal,
  };
  const outcome = await abortTasks(createAbortServer(createHastyClient(reach)), ours, why);
  for (const id of outcome.taken) voice.warn(`leaving task ${id} alone: ${TAKEN_MEANWHILE}`);
  if (input.ids.length === 0 && pipeline !== undefined && outcome.taken.length > 0)
    await releaseTasks(client, outcome.taken, pipeline.pullRequest, signal);
  const latest = await server.readTasks(ids, signal).catch(() => found);
  const tasks = ids.flatMap((id) => {
    const task = latest.get(id) ?? found.get(id);
    if (task === undefined) return [];
    const url = formatTaskUrl(reach.access.webHost, task, client.apiVersion);
    return [describeTask(task, url, client.serverNow())];
  });
  for (const task of tasks)
    if (outcome.ended.includes(task.id)) voice.say(`Task ${task.id} has ended: ${task.status}`);
  for (const id of outcome.children)
    if (outcome.ended.includes(id)) voice.say(`Task ${id}, a step of it, has ended`);
  for (const id of outcome.clones)
    voice.say(`leaving task ${id} alone: somebody made it from the task that was ended`);
  const unknown = ids.filter((id) => !found.has(id));
  if (outcome.unconfirmed.length > 0) return { tasks, failure: failUnconfirmed(outcome, tasks) };
  return { tasks, failure: unknown.length > 0 ? failUnknown(unknown) : undefined };
}

function describeTask(task: WatchedTask, url: string, nowMs: number): CheckedTask {
  const life = beginLife(task.id, nowMs);
  observeTask(life, task, nowMs);
  return describeChecked(life, url, undefined, nowMs);
}

/** Chooses the tasks to end, and says why the others go on. */
async function chooseOurs(
  found: ReadonlyMap<string, WatchedTask>,
  pipeline: PullRequestTasks | undefined,
  { ids, run }: AbortInput,
  client: ClearmlClient,
  { env, voice, interruption: signal }: Session,
): Promise<string[]> {
  const isNamed = ids.length > 0;
  const mayEnd = async ({ status, origin }: WatchedTask): Promise<boolean> => {
    if (isEnded(status)) return true;
    // Without ids they were found in this repository, whatever the pull request calls its pipeline.
    const own = isNamed ? pipeline?.pipeline : origin.runtime[RUNTIME_KEYS.pipeline];
    if (pipeline !== undefined && isOfPullRequest(origin, { ...pipeline, pipeline: own ?? '' })) return true;
    if (!isNamed) return false;
    // A person who names a task at a keyboard means it.
    return !isActions(env) || isOursToAbort(origin, run, () => createWatchServer(client).readUserId(signal));
  };
  const ours: string[] = [];
  const left: WatchedTask[] = [];
  for (const task of found.values()) {
    if (await mayEnd(task)) ours.push(task.id);
    else left.push(task);
  }
  // Each pull request takes its tag off a shared task. The last one to do so ends it.
  const { pullRequest } = pipeline ?? {};
  if (!isNamed && pullRequest !== undefined) {
    const shared = left.filter(({ origin }) => isUsedByPullRequest(origin, pullRequest));
    const sharedIds = shared.map(({ id }) => id);
    const { unused, overtaken } = await releaseTasks(client, sharedIds, pullRequest, signal);
    ours.push(...unused);
    for (const id of overtaken)
      voice.warn(
        `an agent took task ${id} while it was handed to another pull request: it may train a commit that is gone`,
      );
  }
  for (const task of left) {
    if (!ours.includes(task.id))
      voice.warn(`leaving task ${task.id} alone: ${explainLeaving(task, isNamed)}`);
  }
  return ours;
}

function failUnconfirmed({ unconfirmed, lastError }: AbortOutcome, tasks: readonly CheckedTask[]): Failure {
  const urls = tasks.filter(({ id }) => unconfirmed.includes(id)).map(({ url }) => url);
  return new Failure(
    `not confirmed: ${unconfirmed.join(', ')} may still run${lastError === undefined ? '' : ` (${lastError.message})`}`,
    {
      exitCode: EXIT_CODES.unavailable,
      remedy: `Open it in ClearML and abort it there:\n${urls.join('\n')}`,
      cause: lastError,
    },
  );
}

/** @throws Failure (usage) where neither tasks nor a pull request are named */
function requirePullRequest(ids: readonly string[], isPullRequestNamed: boolean): void {
  if (ids.length > 0 || isPullRequestNamed) return;
  throw failUsage(
    '--abort needs task ids or a pull request',
    'Give task ids, or set PR_NUMBER to abort every unfinished task of that pull request.',
  );
}

/** A pull request's tasks, and whose pull request it is: host/owner/name. */
interface OwnTasks extends PullRequestTasks {
  readonly repository: string;
}

/** The pull request and pipeline whose tasks are meant; undefined where the ids alone say which. */
async function resolvePipeline(
  { ids, flags, config, run }: AbortInput,
  { cwd, interruption }: Session,
): Promise<OwnTasks | undefined> {
  const { code, pullRequest, repository } = run;
  if (pullRequest === undefined) return undefined;
  const readRemote = async () => (await createCheckoutReader(cwd, interruption).readCheckout()).cloneUrl;
  try {
    const cloneUrl =
      (code instanceof Failure ? undefined : code?.cloneUrl) ??
      (repository === undefined ? await readRemote() : undefined);
    const names = resolveNames(flags, config, run, cloneUrl);
    const pipelineRepository = identifyPipelineRepository(repository, run.serverUrl, cloneUrl);
    const pipeline = await hashPipeline({ repository: pipelineRepository, ...names });
    return { pipeline, pullRequest, repository: pipelineRepository };
  } catch (error) {
    // Tasks can be named from anywhere, a repository or not.
    if (ids.length > 0 && error instanceof Failure) return undefined;
    throw error;
  }
}

/**
 * Whether the run that trains a pull request was cancelled. It ends only what it has launched: another run of the same pull
 * request may go on, as one by hand. A closed pull request, the comment `/abort` or a person ends all, and so does an event
 * that does not say what happened.
 */
function isCancelledRun({ closedBase, comment, eventName, action }: GithubRun, { env }: Session): boolean {
  if (!isActions(env) || closedBase !== undefined) return false;
  // Whatever follows the word: nobody may have asked whether the commenter may give a command.
  if (eventName === 'issue_comment') return /^\s*\/train/i.test(comment?.body ?? '');
  return action !== undefined || eventName === 'workflow_dispatch';
}

/**
 * Ids of the tasks that a worker runs or will take: not of drafts in no queue. A pull request that is closed, or whose
 * training somebody ends by `/abort`, may have renamed its pipeline, unless that is named.
 */
async function listUnfinished(
  client: ClearmlClient,
  of: OwnTasks | undefined,
  ownRun: string | undefined,
  {
    flags,
    session: { env, interruption: signal },
  }: Pick<AbortInput, 'flags'> & { readonly session: Session },
): Promise<string[]> {
  if (of === undefined) return [];
  const isWhole = isActions(env) && ownRun === undefined && !(flags.project ?? flags.taskName);
  const [own, others] = await Promise.all([
    findUnfinished(client, of, ['status'], { signal }),
    isWhole ? findUnfinishedElsewhere(client, of, of.repository, { signal }) : [],
  ]);
  const unfinished = [...own, ...others].filter(
    ({ runtime }) => ownRun === undefined || runtime[RUNTIME_KEYS.run] === ownRun,
  );
  const drafts = unfinished.filter((task) => task.status === 'created').map(({ id }) => id);
  const queued = drafts.length === 0 ? [] : await findEntries(client, drafts, { signal });
  const idle = drafts.filter((id) => !queued.some(({ taskId }) => taskId === id));
  return unfinished.map(({ id }) => id).filter((id) => !idle.includes(id));
}

function explainLeaving({ origin }: WatchedTask, isNamed: boolean): string {
  if (isNamed) return 'this run did not launch it, or another pull request uses it too';
  return origin.runtime[RUNTIME_KEYS.pullRequest] === undefined
    ? 'it was not launched for a pull request'
    : 'another pull request, or a branch, uses it too';
}

/**
 * Without ids it may be a closed pull request. A run's own tasks end because it is cancelled. Those of other runs it ends on
 * somebody's wish: `/abort` in a comment.
 */
function chooseEnding(
  tasks: ReadonlyArray<WatchedTask | undefined>,
  { ids, run }: AbortInput,
  { env }: Session,
): Ending {
  const { runId = '' } = run;
  if (ids.length === 0 && run.closedBase !== undefined)
    return { kind: 'closed', by: String(run.pullRequest ?? '') };
  if (!isActions(env)) return { kind: 'aborted', by: '' };
  const cancelled = describeRunEnd(env);
  const isOwn = tasks.every((task) => task?.origin.runtime[RUNTIME_KEYS.run] === runId);
  return isOwn || runId === '' ? cancelled : { ...cancelled, kind: 'aborted', by: `workflow run ${runId}` };
}

function describeReason(run: GithubRun): string {
  return run.runId === undefined ? 'aborted from the command line' : `aborted by workflow run ${run.runId}`;
}
