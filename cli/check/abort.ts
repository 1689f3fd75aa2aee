import * as v from 'valibot';
import { abortTasks, createAbortServer } from '../clearml/abort.ts';
import { type ClearmlClient, createClearmlClient } from '../clearml/client.ts';
import { releaseTasks } from '../clearml/release.ts';
import type { GithubRun } from '../github/event.ts';
import { createCheckoutReader } from '../github/git.ts';
import type { Config } from '../shell/config.ts';
import { type ClearmlAccess, isActions } from '../shell/environment.ts';
import { EXIT_CODES, Failure } from '../shell/failure.ts';
import type { Http } from '../shell/http.ts';
import type { Session } from '../shell/program.ts';
import { resolveNames } from '../training/names.ts';
import { isOfPullRequest, isOursToAbort, isUsedByPullRequest } from '../training/ownership.ts';
import { hashPipeline, identifyPipelineRepository } from '../training/pipeline.ts';
import { formatTaskUrl, isEnded, RUNTIME_KEYS, tagPullRequest } from '../training/task.ts';
import { beginLife, observeTask, type WatchedTask } from '../training/task-life.ts';
import type { CheckFlags } from './options.ts';
import { type CheckedTask, describeChecked } from './result.ts';
import { createWatchServer } from './server.ts';
import { failUnknown } from './watch.ts';

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

export interface AbortInput {
  /** None: every unfinished task of this pull request and pipeline. */
  readonly ids: readonly string[];
  readonly flags: CheckFlags;
  readonly config: Config;
  readonly run: GithubRun;
  readonly access: ClearmlAccess;
  readonly http: Http;
}

/** Ends tasks and makes sure that they have ended. `failure`: what could not be done. */
export async function abortUntilEnded(
  input: AbortInput,
  session: Session,
): Promise<{ readonly tasks: readonly CheckedTask[]; readonly failure: Failure | undefined }> {
  const { clock, voice, interruption: signal } = session;
  const { run, access } = input;
  const deadlineMs = clock.now() + ABORT_TIMEOUT_MS;
  const connect = (giveUpAt: (beganAtMs: number) => number) =>
    createClearmlClient({
      access,
      http: input.http,
      clock,
      redact: session.redact,
      random: session.random,
      giveUpAt,
    });
  const client = connect(() => deadlineMs);
  const server = createWatchServer(client);
  const pipeline = await resolvePipeline(input, session);
  const ids = input.ids.length > 0 ? input.ids : await findUnfinished(client, pipeline, signal);
  if (ids.length === 0) {
    voice.say(`Nothing to abort: pull request ${pipeline?.pullRequest} has no unfinished task`);
    return { tasks: [], failure: undefined };
  }

  const found = await server.readTasks(ids, signal);
  const isPerson = !isActions(session.env);
  const mayEnd = async ({ origin }: WatchedTask): Promise<boolean> => {
    if (pipeline !== undefined && isOfPullRequest(origin, pipeline)) return true;
    if (input.ids.length === 0) return false;
    // Whoever names a task at a keyboard means it.
    return isPerson || isOursToAbort(origin, run, () => server.readUserId(signal));
  };
  const ours: string[] = [];
  const left: string[] = [];
  for (const task of found.values()) {
    if (isEnded(task.status) || (await mayEnd(task))) ours.push(task.id);
    else left.push(task.id);
  }
  // A pull request that is done with a task that others use takes its tag off: the last one ends it.
  const pullRequest = input.ids.length > 0 ? undefined : pipeline?.pullRequest;
  const shared = left.filter(
    (id) => pullRequest !== undefined && found.get(id)?.origin.tags.includes(tagPullRequest(pullRequest)),
  );
  const released = new Set(
    pullRequest === undefined ? [] : await releaseTasks(client, shared, pullRequest, signal),
  );
  ours.push(...released);
  for (const id of left) {
    if (!released.has(id))
      voice.warn(`task ${id} is left as it is: ${explainLeaving(found.get(id), input.ids.length > 0)}`);
  }
  const { ended, unconfirmed, lastError } =
    ours.length === 0
      ? { ended: [], unconfirmed: [], lastError: undefined }
      : await abortTasks(
          createAbortServer(connect((beganAtMs) => beganAtMs + END_REQUEST_TIMEOUT_MS)),
          ours,
          {
            clock,
            reason: describeReason(run),
            deadlineMs,
            signal,
          },
        );

  const latest = await server.readTasks(ids, signal).catch(() => found);
  const tasks = ids.flatMap((id) => {
    const task = latest.get(id) ?? found.get(id);
    if (task === undefined) return [];
    const life = beginLife(id, clock.now());
    observeTask(life, task, clock.now());
    const url = formatTaskUrl(access.webHost, { id, projectId: task.projectId }, client.apiVersion);
    return [describeChecked(life, { url, cause: undefined, nowMs: clock.now() })];
  });
  for (const task of tasks)
    if (ended.includes(task.id)) voice.say(`Task ${task.id} has ended: ${task.status}`);
  if (unconfirmed.length > 0) {
    const urls = tasks.filter(({ id }) => unconfirmed.includes(id)).map(({ url }) => url);
    return {
      tasks,
      failure: new Failure(
        `not confirmed: ${unconfirmed.join(', ')} may still run${lastError === undefined ? '' : ` (${lastError.message})`}`,
        {
          exitCode: EXIT_CODES.unavailable,
          remedy: `Look at it in ClearML and abort it there:\n${urls.join('\n')}`,
          cause: lastError,
        },
      ),
    };
  }
  const unknown = ids.filter((id) => !found.has(id));
  return { tasks, failure: unknown.length === 0 ? undefined : failUnknown(unknown) };
}

/** @throws Failure (usage) where neither tasks nor a pull request are named */
export function requirePullRequest(ids: readonly string[], isPullRequestNamed: boolean): void {
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
): Promise<{ readonly pipeline: string; readonly pullRequest: number } | undefined> {
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
  of: { readonly pipeline: string; readonly pullRequest: number } | undefined,
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

function explainLeaving(task: WatchedTask | undefined, isNamed: boolean): string {
  if (isNamed) return 'it was not launched by this run, or another pull request uses it too';
  return task?.origin.runtime[RUNTIME_KEYS.pullRequest] === undefined
    ? 'it was not launched for a pull request'
    : 'another pull request, or a branch, uses it too';
}

function describeReason(run: GithubRun): string {
  return run.runId === undefined ? 'aborted from the command line' : `aborted by workflow run ${run.runId}`;
}
