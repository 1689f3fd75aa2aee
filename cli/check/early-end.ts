import {
  type AbortOptions,
  type AbortOutcome,
  abortTasks,
  createAbortServer,
  NOTHING_ENDED,
} from '../clearml/abort.ts';
import { type ClearmlClient, createClearmlClient, type Reach } from '../clearml/client.ts';
import { formatRunUrl, readServerUrl } from '../github/run-url.ts';
import type { Environment } from '../shell/environment.ts';
import { EXIT_CODES, Failure, settle } from '../shell/failure.ts';
import type { Interruption, Session } from '../shell/program.ts';
import { withTimeLimit } from '../shell/time-limit.ts';
import { formatDuration } from '../text/duration.ts';
import type { Ending } from '../training/ending.ts';
import { isOursToAbort } from '../training/ownership.ts';
import { isEnded, RUNTIME_KEYS } from '../training/task.ts';
import type { TaskLife, WatchedTask } from '../training/task-life.ts';
import type { LiveConsole } from './live-console.ts';
import type { CheckOptions } from './options.ts';
import { createWatchServer } from './server.ts';

/** Time for everything after a signal: the runner kills us 10 s after its first one. */
const INTERRUPT_TIMEOUT_MS = 9000;
/** How much of it the first look at the tasks may take. */
const FRESH_LOOK_TIMEOUT_MS = 3000;
/** The last look at the tasks has the rest of the time, and at least this. */
const LAST_LOOK_TIMEOUT_MS = 500;
/** For tasks that timed out: there is no hurry. */
export const END_TIMEOUT_MS = 2 * 60_000;
const END_REQUEST_TIMEOUT_MS = 3000;
/** The least time that a request gets, however late it is. */
const SHORTEST_ATTEMPT_MS = 1000;

/** What ending tasks, and reporting it, needs. */
export interface EndingTools {
  readonly options: CheckOptions;
  readonly reach: Reach;
  readonly out: LiveConsole;
  /** The task's page. */
  readonly urlOf: (life: TaskLife) => string;
  readonly session: Session;
}

/** Why a task is left that was about to be ended. */
export const TAKEN_MEANWHILE = 'another pull request, or a branch, has taken it meanwhile';

/** What came of an attempt to end tasks. */
interface EndingReport extends AbortOutcome {
  /** Tasks that are not ours to end, and why. */
  readonly left: ReadonlyArray<{ readonly id: string; readonly why: string }>;
}

/** Ends a task whose time-out has passed, where the options say so and the task is ours. */
export async function endOverdue(
  life: TaskLife,
  timeout: 'timeout' | 'queue-timeout',
  tools: EndingTools,
): Promise<void> {
  const { options, out, urlOf, session } = tools;
  const limit = timeout === 'timeout' ? options.timeoutMs : options.queueTimeoutMs;
  const what = timeout === 'timeout' ? 'run time-out' : 'queue time-out';
  const passed = `the ${what} of ${formatDuration(limit)} has passed for task ${life.id}`;
  if (options.onTimeout === 'leave' || life.task === undefined) {
    out.warn(`${passed}: leaving it alone (--on-timeout leave): ${urlOf(life)}`);
    return;
  }
  out.say(`${passed}: ending it`);
  const why = {
    reason: `${what} of CI`,
    ending: { kind: timeout, by: formatDuration(limit) },
    timeoutMs: END_TIMEOUT_MS,
    signal: session.interruption,
  };
  tellEnding(await endOurs([life.task], why, tools), [life], tools);
}

/** After a signal: ends what is ours in the time that the runner gives us, then reads the tasks once more. */
export async function endInterrupted(
  interruption: Interruption,
  lives: readonly TaskLife[],
  tools: EndingTools,
): Promise<void> {
  const { clock } = tools.session;
  const deadlineMs = clock.now() + INTERRUPT_TIMEOUT_MS;
  await endUnfinished(interruption, lives, deadlineMs, tools);
  const leftMs = Math.min(FRESH_LOOK_TIMEOUT_MS, deadlineMs - clock.now());
  await lookFresh(lives, Math.max(LAST_LOOK_TIMEOUT_MS, leftMs), tools);
}

async function endUnfinished(
  { signal: name }: Interruption,
  lives: readonly TaskLife[],
  deadlineMs: number,
  tools: EndingTools,
): Promise<void> {
  const { options, out, urlOf, session } = tools;
  const unfinished = lives.filter((life) => life.task === undefined || !isOver(life.task));
  if (unfinished.length === 0) return;
  const isPerson = session.isAttended && name === 'SIGINT';
  if ((options.onInterrupt ?? (isPerson ? 'leave' : 'abort')) === 'leave') {
    out.say(`No longer watching; these tasks go on:\n${unfinished.map(urlOf).join('\n')}`);
    return;
  }
  out.say(`Interrupted by ${name}: ending ${unfinished.map(({ id }) => id).join(', ')}`);
  const isAnswered = await lookFresh(unfinished, FRESH_LOOK_TIMEOUT_MS, tools);
  const tasks = unfinished.flatMap(({ task }) => (task === undefined || isOver(task) ? [] : [task]));
  const timeoutMs = deadlineMs - session.clock.now();
  const ending = describeRunEnd(session.env);
  const report = await endOurs(tasks, { reason: `CI run interrupted by ${name}`, ending, timeoutMs }, tools);
  // A task that was never read may be ours or not.
  const unseen = isAnswered ? [] : unfinished.filter(({ task }) => task === undefined).map(({ id }) => id);
  tellEnding({ ...report, unconfirmed: [...report.unconfirmed, ...unseen] }, unfinished, tools);
}

/** The run that waits for a task is over, and the task with it. */
export function describeRunEnd(env: Environment): Ending {
  const { GITHUB_RUN_ID: runId, GITHUB_REPOSITORY: repository } = env;
  const url = formatRunUrl({ runId, repository, serverUrl: readServerUrl(env) });
  return { kind: 'cancelled', by: runId ?? '', url };
}

/** The wait ends with an error of the server, so the tasks can't be ended. Says which ones go on. */
export function tellLeft(
  error: unknown,
  lives: readonly TaskLife[],
  { out, urlOf }: Pick<EndingTools, 'out' | 'urlOf'>,
): void {
  const isSilent = error instanceof Failure && error.exitCode === EXIT_CODES.unavailable;
  const unfinished = lives.filter(({ task }) => (task === undefined ? isSilent : !isOver(task)));
  if (unfinished.length === 0) return;
  out.say(
    `These tasks go on unwatched. Run this step again to wait for them:\n${unfinished.map(urlOf).join('\n')}`,
  );
}

/** Reads the tasks again. Without an answer in time (`false`) they stay as last seen. */
async function lookFresh(
  lives: readonly TaskLife[],
  timeoutMs: number,
  { reach }: Pick<EndingTools, 'reach'>,
): Promise<boolean> {
  const ids = lives.map(({ id }) => id);
  const server = createWatchServer(createHastyClient(reach));
  const limit = { clock: reach.clock, timeoutMs, reason: new Error('the time for a look is up') };
  try {
    const tasks = await withTimeLimit(limit, (signal) => server.readTasks(ids, signal));
    for (const life of lives) life.task = tasks.get(life.id) ?? life.task;
    return true;
  } catch {
    // Ending the tasks reports what is wrong with the server.
    return false;
  }
}

/** A client for requests that end something: they give up early, and we repeat them after a new look. */
export function createHastyClient(reach: Reach, timeoutMs = END_REQUEST_TIMEOUT_MS): ClearmlClient {
  return createClearmlClient({ ...reach, giveUpAt: (beganAtMs) => beganAtMs + timeoutMs });
}

function isOver({ status }: WatchedTask): boolean {
  return isEnded(status) || status === 'created';
}

/**
 * Ends those tasks that are ours to end, and leaves the others. Never throws a Failure: the reason for ending them comes
 * first. What could not be asked, or done, is unconfirmed.
 */
async function endOurs(
  tasks: readonly WatchedTask[],
  why: Pick<AbortOptions, 'reason' | 'ending' | 'signal'> & { readonly timeoutMs: number },
  { reach, session }: EndingTools,
): Promise<EndingReport> {
  const { clock } = session;
  const runId = session.env.GITHUB_RUN_ID;
  const signal = why.signal ?? AbortSignal.timeout(why.timeoutMs);
  const deadlineMs = clock.now() + why.timeoutMs;
  // Without this answer no task can be ended, so it may take almost all of the time.
  const asker = createClearmlClient({ ...reach, giveUpAt: () => deadlineMs - SHORTEST_ATTEMPT_MS });
  let userId: Promise<string> | undefined;
  const readUser = () => (userId ??= createWatchServer(asker).readUserId(signal));
  const answers = await Promise.all(
    tasks.map(async (task) => ({
      task,
      answer: await settle(isOursToAbort(task.origin, { runId }, readUser)),
    })),
  );
  const ours = answers.flatMap(({ task, answer }) => ('value' in answer && answer.value ? [task.id] : []));
  const left = answers
    .filter(({ answer }) => 'value' in answer && !answer.value)
    .map(({ task }) => ({ id: task.id, why: explainLeaving(task, runId) }));
  const unclear = answers.flatMap(({ task, answer }) => ('failure' in answer ? [task.id] : []));
  const [unread] = answers.flatMap(({ answer }) => ('failure' in answer ? [answer.failure] : []));
  const server = createAbortServer(createHastyClient(reach));
  const seen = new Map(tasks.map(({ id, origin }) => [id, origin]));
  const outcome = await settle(abortTasks(server, ours, { ...why, seen, deadlineMs, clock }));
  const report = 'value' in outcome ? outcome.value : { ...NOTHING_ENDED, lastError: outcome.failure };
  const unconfirmed = 'value' in outcome ? report.unconfirmed : ours;
  return {
    ...report,
    unconfirmed: [...unconfirmed, ...unclear],
    left: [...left, ...report.taken.map((id) => ({ id, why: TAKEN_MEANWHILE }))],
    lastError: report.lastError ?? unread,
  };
}

function explainLeaving({ origin }: WatchedTask, runId: string | undefined): string {
  const taskRun = origin.runtime[RUNTIME_KEYS.run];
  if (runId !== undefined && taskRun === runId) return 'another pull request uses it too';
  if (taskRun !== undefined) return `workflow run ${taskRun} launched it, not this one`;
  return origin.runtime[RUNTIME_KEYS.launch] === undefined
    ? 'it was not launched by launch-training-task'
    : 'somebody else launched it';
}

/** Says what came of an attempt to end tasks. */
export function tellEnding(
  { ended, unconfirmed, children, clones, left, lastError }: EndingReport,
  lives: readonly TaskLife[],
  { out, urlOf }: { readonly out: Pick<LiveConsole, 'say' | 'warn'> } & Pick<EndingTools, 'urlOf'>,
): void {
  const error = lastError === undefined ? '' : ` (${lastError.message})`;
  for (const id of ended) out.say(`Task ${id}${children.includes(id) ? ', a step of it,' : ''} has ended`);
  for (const id of clones) out.say(`leaving task ${id} alone: somebody made it from the task that was ended`);
  for (const id of unconfirmed) {
    const life = lives.find((other) => other.id === id);
    const where = life === undefined ? 'it is a step of a task that was ended' : `look at ${urlOf(life)}`;
    out.warn(`not confirmed: task ${id} may still run${error}; ${where}`);
  }
  for (const { id, why } of left) out.warn(`leaving task ${id} alone: ${why}`);
}
