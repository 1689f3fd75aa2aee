import { abortTasks, createAbortServer } from '../clearml/abort.ts';
import { ClearmlRefusal, createClearmlClient, type Reach, useClearml } from '../clearml/client.ts';
import { findDueTasks, markReported } from '../clearml/due.ts';
import { readLogEnd } from '../clearml/log.ts';
import { editRuntime } from '../clearml/notes.ts';
import { runInParallel } from '../clearml/tasks.ts';
import { readEventFile, readGithubRun } from '../github/event.ts';
import { createCheckoutReader } from '../github/git.ts';
import { chooseDetachment } from '../github/remote-code.ts';
import { writeOutputs } from '../github/runner-files.ts';
import type { Config } from '../shell/config.ts';
import { locateConfigFile } from '../shell/config-file.ts';
import { readClearmlAccess } from '../shell/environment.ts';
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
import type { Retry } from '../shell/retry.ts';
import { formatDuration } from '../text/duration.ts';
import { explainEnd, isAgentShutDown } from '../training/cause/cause.ts';
import { splitLogLines } from '../training/console-log.ts';
import { type Due, listDues, listOpenDues } from '../training/due.ts';
import { isOnlyDue } from '../training/ownership.ts';
import { hashText, identifyPipelineRepository } from '../training/pipeline.ts';
import { formatTaskUrl, isEnded, RUNTIME_KEYS, readRetries } from '../training/task.ts';
import { findEnding, observeQueue, type WatchedTask } from '../training/task-life.ts';
import { beginDue, type DueTask, findDueTimeout, listOverdue, noteWait } from './due-clock.ts';
import {
  chooseTold,
  completeSeeds,
  type DueEntry,
  type DueGroup,
  describeGroup,
  type Further,
  groupDues,
} from './due-groups.ts';
import { createHastyClient, END_TIMEOUT_MS, TAKEN_MEANWHILE, tellEnding } from './early-end.ts';
import { isLost, retryLost } from './lost-worker.ts';
import { type CheckFlags, listIdleForDue, resolveCheckOptions } from './options.ts';
import { createPatience } from './outage.ts';
import { createWatchServer, toWatchedTask, WATCHED_FIELDS } from './server.ts';
import type { WatchPorts } from './watch.ts';

/** Messages of the console in which a lost worker is looked for. */
const LOG_MESSAGES = 60;

/** One look at all that is due in a repository. */
interface Tick {
  readonly ports: WatchPorts;
  readonly client: ReturnType<typeof createClearmlClient>;
  readonly reach: Reach;
  readonly session: Session;
  /** What a service did not do. The others go on. */
  readonly failures: Failure[];
}

/**
 * `--due`: looks once at all trainings of the repository that nobody waits for, ends those past their time-outs, and tells
 * what is to be reported. One request where nothing is due.
 *
 * @throws Failure where a service did not do its part, after everything else was done and told
 */
export async function collectDue(flags: CheckFlags, session: Session): Promise<ExitCode> {
  const { env, voice, clock, random, interruption: signal } = session;
  const event = await settle(readEventFile(env));
  const [access, run, options] = checkAll(
    () => readClearmlAccess(env),
    () => readGithubRun(env, takeSettled(event)),
    () => resolveCheckOptions(flags, {}),
  );
  const idle = listIdleForDue(flags);
  if (idle.length > 0)
    voice.say(`ignoring ${idle.join(', ')}: the launches have noted their time-outs, and --due looks once`);
  const cloneUrl =
    run.repository === undefined
      ? (await createCheckoutReader(session.cwd, signal).readCheckout()).cloneUrl
      : undefined;
  const repository = identifyPipelineRepository(run.repository, run.serverUrl, cloneUrl);
  if (repository === '')
    throw failUsage('--due needs a repository', 'Set GITHUB_REPOSITORY, or run it in a checkout.');
  return useClearml(access, session, async (reach) => {
    const isAnswer = (failure: Failure) => failure instanceof ClearmlRefusal;
    const { outageTimeoutMs } = options;
    const patience = createPatience({ clock, outageTimeoutMs, say: voice.warn, isAnswer });
    const onRetry = ({ request, reason }: Retry) => patience.noteTrouble(`${request}: ${reason}`);
    const client = createClearmlClient({ ...reach, giveUpAt: patience.giveUpAt, onRetry });
    const ports = { server: createWatchServer(client), patience, clock, random, signal };
    const tick: Tick = { ports, client, reach, session, failures: [] };
    const place = await hashText(repository);
    const found = await patience.run(() => findDueTasks(client, place, WATCHED_FIELDS, { signal }), signal);
    const entries = await lookAtDue(found.map(toWatchedTask), tick);
    if (entries.length === 0) voice.say(`Nothing is due in ${repository}`);
    const told = chooseTold(entries);
    if (told.length < entries.length)
      voice.warn(
        `telling ${told.length} of ${entries.length} trainings: a step takes no longer list. The others stay due`,
      );
    const json = JSON.stringify(told);
    voice.result(json);
    await writeOutputs(session, { due: json });
    const [failure] = tick.failures;
    if (failure !== undefined) throw failure;
    return EXIT_CODES.done;
  });
}

/** Whether no job waits in a pull request's run whose own settings say so: its base branch decides. */
export async function isDetachedByBase(
  flags: Pick<CheckFlags, 'config'>,
  config: Config,
  session: Session,
): Promise<boolean> {
  const run = readGithubRun(session.env, await readEventFile(session.env));
  const path = locateConfigFile(session.cwd, flags.config);
  return (await chooseDetachment({ flag: undefined, config, path, run }, session)).isDetached;
}

async function lookAtDue(tasks: readonly WatchedTask[], tick: Tick): Promise<DueEntry[]> {
  if (tasks.length === 0) return [];
  const waiting = await mendDrafts(tasks, tick);
  const found = waiting.map((task) => beginDue(task, tick.client.serverNow()));
  await lookAtQueues(found, tick);
  const each = (work: (one: DueTask) => Promise<unknown>) =>
    runInParallel(found, (one) => attempt(() => work(one), tick));
  await each((one) => endIfOverdue(one, tick));
  await each((one) => (isOutdated(one, found) ? Promise.resolve() : retryIfLost(one, tick)));
  await each((one) => forget(one, tick));
  const groups = groupDues(found.filter(({ life }) => life.end !== 'draft'));
  const entries: DueEntry[] = [];
  for (const group of groups) {
    const further = (await attempt(() => completeGroup(group, tick), tick)) ?? [];
    const entry = describeGroup(group, further);
    tellEntry(entry, group, tick);
    entries.push(entry);
  }
  return entries;
}

/** One that fails does not keep the others. */
async function attempt<T>(work: () => Promise<T>, { failures, session }: Tick): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const [problem = ''] = error.message.split('\n');
    if (failures.push(error) > 1) session.voice.warn(problem);
    return undefined;
  }
}

/** Launches at the same time can leave a draft in a queue. */
async function mendDrafts(tasks: readonly WatchedTask[], tick: Tick): Promise<readonly WatchedTask[]> {
  const { patience, server, signal } = tick.ports;
  const isDueDraft = ({ status, origin }: WatchedTask) =>
    status === 'created' && listOpenDues(origin).length > 0;
  const drafts = tasks.filter(isDueDraft).map(({ id }) => id);
  if (drafts.length === 0) return tasks;
  const mend = () => patience.run(() => server.mendDrafts(drafts, signal), signal);
  const queued = (await attempt(mend, tick)) ?? [];
  return tasks.map((task) => (queued.includes(task.id) ? { ...task, status: 'queued' as const } : task));
}

/** Counts what waits in queues that nobody serves, and notes it for the next look. */
async function lookAtQueues(found: readonly DueTask[], tick: Tick): Promise<void> {
  const { patience, server, signal } = tick.ports;
  const queued = found.filter(
    ({ life, dues }) => life.end === undefined && life.phase === 'queued' && dues.length > 0,
  );
  const ids = [...new Set(queued.flatMap(({ task }) => task.queueId ?? []))];
  if (ids.length === 0) return;
  const queues = await attempt(() => patience.run(() => server.readQueues(ids, signal), signal), tick);
  if (queues === undefined) return;
  const nowMs = tick.client.serverNow();
  await runInParallel(queued, async ({ task, life }) => {
    const before = life.queueSample;
    observeQueue(life, queues.get(task.queueId ?? ''), nowMs);
    const waited = noteWait(life, before);
    if (waited === undefined) return;
    const set = { [RUNTIME_KEYS.waited]: waited };
    await attempt(() => editRuntime(tick.client, task.id, { set }, { signal }), tick);
  });
}

/** How long ClearML may take to note why a task is ended, before it is ended without. */
const NOTE_TIMEOUT_MS = 60_000;

/** Ends a task that is past the time-outs of all who use it. */
async function endIfOverdue(one: DueTask, tick: Tick): Promise<void> {
  const { task, life, dues } = one;
  const { session, reach } = tick;
  const { clock, voice, interruption: signal } = session;
  if (life.end !== undefined || life.phase === 'draft' || dues.length === 0) return;
  const nowMs = tick.client.serverNow();
  const overdue = listOverdue(one, nowMs);
  if (overdue.length === 0) return;
  const timeout = findDueTimeout(one, nowMs);
  if (timeout === undefined || !isOnlyDue(task.origin, dues)) {
    voice.warn(
      `leaving task ${task.id} alone: its time-out has passed for ${nameDues(overdue)}, but others use it too`,
    );
    return;
  }
  const what = timeout.kind === 'timeout' ? 'run time-out' : 'queue time-out';
  const limit = formatDuration(timeout.limitMs);
  voice.say(`the ${what} of ${limit} has passed for task ${task.id}: ending it`);
  // Only the note tells the report why it has ended, and a minute more or less is nothing to a tick.
  const { note } = createAbortServer(createHastyClient(reach, NOTE_TIMEOUT_MS));
  const outcome = await abortTasks({ ...createAbortServer(createHastyClient(reach)), note }, [task.id], {
    clock,
    reason: `${what} of CI`,
    ending: { kind: timeout.kind, by: limit },
    seen: new Map([[task.id, task.origin]]),
    deadlineMs: clock.now() + END_TIMEOUT_MS,
    signal,
  });
  const left = outcome.taken.map((id) => ({ id, why: TAKEN_MEANWHILE }));
  tellEnding({ ...outcome, left }, [life], { out: voice, urlOf: () => formatUrl(task, tick) });
  if (outcome.ended.includes(task.id)) life.end = timeout.kind;
  else if (outcome.lastError !== undefined) throw outcome.lastError;
}

/** Whether all that wait for it are pull requests with newer code: nobody would train the older again. */
function isOutdated({ task, dues }: DueTask, found: readonly DueTask[]): boolean {
  const pipelineOf = ({ origin }: WatchedTask) => origin.runtime[RUNTIME_KEYS.pipeline];
  const rivals = found
    .filter((other) => other.task !== task && pipelineOf(other.task) === pipelineOf(task))
    .flatMap((other) => listDues(other.task.origin.runtime));
  return dues.every(({ to, atMs, commit }) =>
    rivals.some((rival) => rival.to === to && rival.atMs > atMs && rival.commit !== commit),
  );
}

/** Enqueues a task whose worker was lost again, as often as its launches allow. */
async function retryIfLost({ task, life, dues }: DueTask, tick: Tick): Promise<void> {
  const { end } = life;
  const retries = Math.max(0, ...dues.map((due) => due.retries));
  const mayBeLost = end === 'worker-lost' || end === 'stopped' || end === 'failed';
  if (!mayBeLost || readRetries(task.origin.runtime) >= retries) return;
  const { client, ports, session } = tick;
  const { patience, signal } = ports;
  const read = () => readLogEnd(client, task.id, LOG_MESSAGES, signal);
  const { events, total } = await patience.run(read, signal);
  const log = events.flatMap(({ text }) => splitLogLines(text));
  const isLogComplete = events.length >= total;
  const evidence = { ...task, log, isLogComplete, queue: task.queueId, pod: life.pod };
  // Only the console tells an agent that was shut down from a stop by a person.
  if (end === 'stopped' && isAgentShutDown(evidence)) life.end = 'worker-lost';
  const cause = explainEnd(life.end ?? end, evidence, findEnding(task));
  if (cause === undefined || !isLost(life, cause)) return;
  life.end = 'worker-lost';
  const tools = { client, watch: { ports }, out: session.voice, options: { retries } };
  await retryLost(life, cause, log, tools);
}

/** So that no further look finds what has nothing left to report. */
async function forget({ task, life, dues }: DueTask, { client, ports, session }: Tick): Promise<void> {
  const { id, status, origin } = task;
  const isUnqueued = life.end === 'draft';
  if (isUnqueued && dues.length > 0)
    session.voice.warn(
      `task ${id} was never put into a queue, as its launch did not succeed: nothing reports it`,
    );
  if (!isUnqueued && (dues.length > 0 || !isEnded(status))) return;
  const { runtime, tags } = origin;
  const to = isUnqueued ? dues.map((due) => due.to) : [];
  await markReported(client, { id, status, runtime, tags: [...tags] }, to, { signal: ports.signal });
}

/** The seeds that had ended before the launch carry no note. */
async function completeGroup(group: DueGroup, { client, ports, session }: Tick): Promise<readonly Further[]> {
  const { due, tasks } = group;
  if (tasks.length >= due.count) return [];
  const further = await completeSeeds(group, client, ports.signal);
  const missing = due.count - tasks.length - further.length;
  if (missing > 0)
    session.voice.warn(
      `of ${due.count} trainings for ${nameDues([due])}, ${missing} can't be found: deleted, reset, or without its tags`,
    );
  return further;
}

function tellEntry({ state, taskIds }: DueEntry, { due, tasks }: DueGroup, tick: Tick): void {
  const words = { running: 'not over', ended: 'over', timeout: 'over: a time-out has passed' };
  const [first] = tasks;
  const url = first === undefined ? '' : `\n  ${formatUrl(first.task, tick)}`;
  tick.session.voice.say(
    `The training of commit ${due.commit.slice(0, 10)} for ${nameDues([due])} is ${words[state]} (${taskIds.length === 1 ? '1 task' : `${taskIds.length} tasks`})${url}`,
  );
}

function nameDues(dues: readonly Due[]): string {
  return dues
    .map(({ to, base }) =>
      typeof to === 'number' ? `pull request ${to}` : `commit ${to.slice(0, 10)} (${base?.event})`,
    )
    .join(', ');
}

function formatUrl(task: WatchedTask, { reach, client }: Tick): string {
  return formatTaskUrl(reach.access.webHost, task, client.apiVersion);
}
