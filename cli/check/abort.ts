import * as v from 'valibot';
import { type AbortOutcome, abortTasks, createAbortServer } from '../clearml/abort.ts';
import { type ClearmlClient, createClearmlClient } from '../clearml/client.ts';
import { releaseTasks } from '../clearml/release.ts';
import { type GithubRun, namesPullRequest, readEventFile, readGithubRun } from '../github/event.ts';
import { createCheckoutReader } from '../github/git.ts';
import type { Config } from '../shell/config.ts';
import { readConfigFile } from '../shell/config-file.ts';
import { type ClearmlAccess, isActions, readClearmlAccess } from '../shell/environment.ts';
import { checkAll, EXIT_CODES, type ExitCode, Failure, settle, takeSettled } from '../shell/failure.ts';
import { createHttp, type Http } from '../shell/http.ts';
import type { Session } from '../shell/program.ts';
import { resolveNames } from '../training/names.ts';
import { isOfPullRequest, isOursToAbort, isUsedByPullRequest } from '../training/ownership.ts';
import { hashPipeline, identifyPipelineRepository } from '../training/pipeline.ts';
import { formatTaskUrl, isEnded, RUNTIME_KEYS, tagPullRequest } from '../training/task.ts';
import { beginLife, observeTask, type WatchedTask } from '../training/task-life.ts';
import { type CheckFlags, listWaitingOptions, resolveCheckOptions } from './options.ts';
import { type CheckedTask, describeChecked, tellResult } from './result.ts';
import { createWatchServer } from './server.ts';
import { failUnknown, type WatchServer } from './watch.ts';

/** As long as `--abort` goes on. */
const ABORT_TIMEOUT_MS = 2 * 60_000;
/** A request that ends something is tried again by us, with a new look before. */
const END_REQUEST_TIMEOUT_MS = 3000;

const FoundSchema = v.object({
  tasks: v.array(
    v.object({
      id: v.string(),
      tags: v.optional(v.array(v.string()), []),
      runtime: v.optional(v.record(v.string(), v.unknown()), {}),
    }),
  ),
});

/** `--abort`: ends tasks instead of waiting for them. */
export async function abort(ids: readonly string[], flags: CheckFlags, session: Session): Promise<ExitCode> {
  const { env, cwd, clock, voice } = session;
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
  const http = createHttp(env, clock);
  try {
    const idle = listWaitingOptions(flags);
    if (idle.length > 0)
      voice.say(`${idle.join(', ')} changes nothing here: --abort does not wait for the training`);
    const { tasks, failure } = await abortUntilEnded({ ids, flags, config, run, access, http }, session);
    await tellResult(tasks, flags, session);
    if (failure !== undefined) throw failure;
    return EXIT_CODES.done;
  } finally {
    await http.close();
  }
}

interface AbortInput {
  /** None: every unfinished task of this pull request and pipeline. */
  readonly ids: readonly string[];
  readonly flags: CheckFlags;
  readonly config: Config;
  readonly run: GithubRun;
  readonly access: ClearmlAccess;
  readonly http: Http;
}

/** A pull request's tasks, those of one pipeline. */
interface PullRequestTasks {
  readonly pipeline: string;
  readonly pullRequest: number;
}

/** Ends tasks and makes sure that they have ended. `failure`: what could not be done. */
async function abortUntilEnded(
  input: AbortInput,
  session: Session,
): Promise<{ readonly tasks: readonly CheckedTask[]; readonly failure: Failure | undefined }> {
  const { clock, voice, redact, random, interruption: signal } = session;
  const { access, http } = input;
  const deadlineMs = clock.now() + ABORT_TIMEOUT_MS;
  const reach = { access, http, clock, redact, random };
  const client = createClearmlClient({ ...reach, giveUpAt: () => deadlineMs });
  const hastyClient = createClearmlClient({
    ...reach,
    giveUpAt: (beganAtMs) => beganAtMs + END_REQUEST_TIMEOUT_MS,
  });
  const server = createWatchServer(client);
  const pipeline = await resolvePipeline(input, session);
  const ids = input.ids.length > 0 ? input.ids : await findUnfinished(client, pipeline, signal);
  if (ids.length === 0) {
    voice.say(`Nothing to abort: pull request ${pipeline?.pullRequest} has no unfinished task`);
    return { tasks: [], failure: undefined };
  }
  const found = await server.readTasks(ids, signal);
  const ours = await chooseOurs(found, pipeline, input, { client, server, session });
  const why = { clock, reason: describeReason(input.run), deadlineMs, signal };
  const outcome: AbortOutcome =
    ours.length === 0
      ? { ended: [], unconfirmed: [], lastError: undefined }
      : await abortTasks(createAbortServer(hastyClient), ours, why);
  const latest = await server.readTasks(ids, signal).catch(() => found);
  const tasks = ids.flatMap((id) => {
    const task = latest.get(id) ?? found.get(id);
    if (task === undefined) return [];
    const url = formatTaskUrl(access.webHost, task, client.apiVersion);
    return [describeTask(task, url, clock.now())];
  });
  for (const task of tasks)
    if (outcome.ended.includes(task.id)) voice.say(`Task ${task.id} has ended: ${task.status}`);
  const unknown = ids.filter((id) => !found.has(id));
  const failure =
    outcome.unconfirmed.length > 0
      ? failUnconfirmed(outcome, tasks)
      : unknown.length > 0
        ? failUnknown(unknown)
        : undefined;
  return { tasks, failure };
}

function describeTask(task: WatchedTask, url: string, nowMs: number): CheckedTask {
  const life = beginLife(task.id, nowMs);
  observeTask(life, task, nowMs);
  return describeChecked(life, { url, cause: undefined, nowMs });
}

/** Which of the tasks are to be ended; says why the others are not. */
async function chooseOurs(
  found: ReadonlyMap<string, WatchedTask>,
  pipeline: PullRequestTasks | undefined,
  { ids, run }: AbortInput,
  { client, server, session }: { client: ClearmlClient; server: WatchServer; session: Session },
): Promise<string[]> {
  const { env, voice, interruption: signal } = session;
  const isNamed = ids.length > 0;
  const mayEnd = async ({ status, origin }: WatchedTask): Promise<boolean> => {
    if (isEnded(status)) return true;
    if (pipeline !== undefined && isOfPullRequest(origin, pipeline)) return true;
    if (!isNamed) return false;
    // Whoever names a task at a keyboard means it.
    return !isActions(env) || isOursToAbort(origin, run, () => server.readUserId(signal));
  };
  const ours: string[] = [];
  const left: WatchedTask[] = [];
  for (const task of found.values()) {
    if (await mayEnd(task)) ours.push(task.id);
    else left.push(task);
  }
  // A pull request that is done with a task that others use takes its tag off: the last one ends it.
  const released =
    isNamed || pipeline === undefined
      ? []
      : await releaseTasks(
          client,
          left
            .filter(({ origin }) => origin.tags.includes(tagPullRequest(pipeline.pullRequest)))
            .map(({ id }) => id),
          pipeline.pullRequest,
          signal,
        );
  for (const task of left) {
    if (!released.includes(task.id))
      voice.warn(`task ${task.id} is left as it is: ${explainLeaving(task, isNamed)}`);
  }
  return [...ours, ...released];
}

function failUnconfirmed({ unconfirmed, lastError }: AbortOutcome, tasks: readonly CheckedTask[]): Failure {
  const urls = tasks.filter(({ id }) => unconfirmed.includes(id)).map(({ url }) => url);
  return new Failure(
    `not confirmed: ${unconfirmed.join(', ')} may still run${lastError === undefined ? '' : ` (${lastError.message})`}`,
    {
      exitCode: EXIT_CODES.unavailable,
      remedy: `Look at it in ClearML and abort it there:\n${urls.join('\n')}`,
      cause: lastError,
    },
  );
}

/** @throws Failure (usage) where neither tasks nor a pull request are named */
function requirePullRequest(ids: readonly string[], isPullRequestNamed: boolean): void {
  if (ids.length > 0 || isPullRequestNamed) return;
  throw new Failure('whose tasks to abort is not said', {
    exitCode: EXIT_CODES.usage,
    remedy: 'Give task ids, or set PR_NUMBER: then every unfinished task of that pull request is aborted.',
  });
}

/** The pull request and pipeline whose tasks are meant; undefined where tasks are named and it is not known. */
async function resolvePipeline(
  { ids, flags, config, run }: AbortInput,
  session: Session,
): Promise<PullRequestTasks | undefined> {
  const { pullRequest } = run;
  if (pullRequest === undefined) return undefined;
  try {
    const cloneUrl =
      (run.code instanceof Failure ? undefined : run.code?.cloneUrl) ??
      (run.repository === undefined ? await readRemote(session) : undefined);
    const { project, taskName } = resolveNames(flags, config, run, cloneUrl);
    const repository = identifyPipelineRepository(run.repository, run.serverUrl, cloneUrl);
    return { pipeline: await hashPipeline({ repository, project, taskName }), pullRequest };
  } catch (error) {
    // Who names tasks need not be in a repository.
    if (ids.length > 0 && error instanceof Failure) return undefined;
    throw error;
  }
}

async function readRemote({ cwd, interruption }: Session): Promise<string> {
  return (await createCheckoutReader(cwd, interruption).readCheckout()).cloneUrl;
}

async function findUnfinished(
  client: ClearmlClient,
  of: PullRequestTasks | undefined,
  signal: AbortSignal,
): Promise<string[]> {
  if (of === undefined) return [];
  const find = async (filter: Readonly<Record<string, unknown>>): Promise<string[]> => {
    const { tasks } = await client.call(
      'tasks.get_all',
      {
        status: ['queued', 'in_progress'],
        [`runtime.${RUNTIME_KEYS.pipeline}`]: of.pipeline,
        ...filter,
        only_fields: ['id', 'tags', 'runtime'],
        page: 0,
        page_size: 500,
      },
      FoundSchema,
      { isRepeatable: true, signal },
    );
    // A filter that the server does not know finds everything.
    return tasks
      .filter((task) => task.runtime[RUNTIME_KEYS.pipeline] === of.pipeline)
      .filter((task) => isUsedByPullRequest(task, of.pullRequest))
      .map(({ id }) => id);
  };
  // Those launched for it, and those that it has reused.
  const found = await Promise.all([
    find({ [`runtime.${RUNTIME_KEYS.pullRequest}`]: String(of.pullRequest) }),
    find({ tags: [tagPullRequest(of.pullRequest)] }),
  ]);
  return [...new Set(found.flat())];
}

function explainLeaving({ origin }: WatchedTask, isNamed: boolean): string {
  if (isNamed) return 'it was not launched by this run, or another pull request uses it too';
  return origin.runtime[RUNTIME_KEYS.pullRequest] === undefined
    ? 'it was not launched for a pull request'
    : 'another pull request, or a branch, uses it too';
}

function describeReason(run: GithubRun): string {
  return run.runId === undefined ? 'aborted from the command line' : `aborted by workflow run ${run.runId}`;
}
