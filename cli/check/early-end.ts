import { abortTasks, createAbortServer } from '../clearml/abort.ts';
import { type ClearmlClientOptions, createClearmlClient } from '../clearml/client.ts';
import type { ClearmlAccess } from '../shell/environment.ts';
import { EXIT_CODES, Failure, settle } from '../shell/failure.ts';
import type { Interruption, Session } from '../shell/program.ts';
import { formatDuration } from '../text/duration.ts';
import { isOursToAbort } from '../training/ownership.ts';
import { isEnded, RUNTIME_KEYS } from '../training/task.ts';
import type { TaskLife, WatchedTask } from '../training/task-life.ts';
import type { LiveConsole } from './live-console.ts';
import type { CheckOptions } from './options.ts';
import { createWatchServer } from './server.ts';

/** From a signal to our end: the runner kills us 10 s after its first one. */
const INTERRUPT_TIMEOUT_MS = 9000;
/** Of which the question how the tasks are now may take this long. */
const FRESH_LOOK_TIMEOUT_MS = 3000;
/** The question how they are in the end has what is left, and at least this. */
const LAST_LOOK_TIMEOUT_MS = 500;
/** For tasks that timed out: nobody is in a hurry. */
const END_TIMEOUT_MS = 2 * 60_000;
/** A request that ends something is tried again by us, with a new look before. */
const END_REQUEST_TIMEOUT_MS = 3000;
/** A request has at least this long, however late it is. */
const SHORTEST_ATTEMPT_MS = 1000;

/** How ClearML is reached, by clients that give up at different times. */
export type Reach = Omit<ClearmlClientOptions, 'giveUpAt' | 'onRetry'> & { readonly access: ClearmlAccess };

/** What it takes to end tasks, and to tell of it. */
export interface EndingTools {
  readonly options: CheckOptions;
  readonly reach: Reach;
  readonly out: LiveConsole;
  /** The task's page. */
  readonly urlOf: (life: TaskLife) => string;
  readonly session: Session;
}

/** What came of an attempt to end tasks. */
interface EndingReport {
  readonly ended: readonly string[];
  readonly unconfirmed: readonly string[];
  /** Not ours to end, and why. */
  readonly left: ReadonlyArray<{ readonly id: string; readonly why: string }>;
  readonly lastError: Failure | undefined;
}

/** A task's time-out has passed: ends it, where the options say so and it is ours. */
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
    out.warn(`${passed}: it is left as it is (--on-timeout leave): ${urlOf(life)}`);
    return;
  }
  out.say(`${passed}: ending it`);
  const why = { reason: `${what} of CI`, timeoutMs: END_TIMEOUT_MS, signal: session.interruption };
  tellEnding(await endOurs([life.task], why, tools), [life], tools);
}

/** A signal came: ends what is ours within the time the runner gives us. Then looks once more how the tasks are. */
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
    out.say(`Not watching any more; what runs goes on:\n${unfinished.map(urlOf).join('\n')}`);
    return;
  }
  out.say(`Interrupted by ${name}: ending ${unfinished.map(({ id }) => id).join(', ')}`);
  const isAnswered = await lookFresh(unfinished, FRESH_LOOK_TIMEOUT_MS, tools);
  const tasks = unfinished.flatMap(({ task }) => (task === undefined || isOver(task) ? [] : [task]));
  const timeoutMs = deadlineMs - session.clock.now();
  const report = await endOurs(tasks, { reason: `CI run interrupted by ${name}`, timeoutMs }, tools);
  // Nobody can say whose a task is that was never seen.
  const unseen = isAnswered ? [] : unfinished.filter(({ task }) => task === undefined).map(({ id }) => id);
  tellEnding({ ...report, unconfirmed: [...report.unconfirmed, ...unseen] }, unfinished, tools);
}

/** The wait ends early and nothing can be done about the tasks: the server does not do what is asked. */
export function tellLeft(
  error: unknown,
  lives: readonly TaskLife[],
  { out, urlOf }: Pick<EndingTools, 'out' | 'urlOf'>,
): void {
  const isSilent = error instanceof Failure && error.exitCode === EXIT_CODES.unavailable;
  const unfinished = lives.filter(({ task }) => (task === undefined ? isSilent : !isOver(task)));
  if (unfinished.length === 0) return;
  out.say(
    `What runs goes on unwatched; running this step again waits for it:\n${unfinished.map(urlOf).join('\n')}`,
  );
}

/** Looks how the tasks are now; where that can't be found out in time (`false`), they stay as last seen. */
async function lookFresh(
  lives: readonly TaskLife[],
  timeoutMs: number,
  { reach }: Pick<EndingTools, 'reach'>,
): Promise<boolean> {
  const limit = new AbortController();
  const alarm = new AbortController();
  void reach.clock.sleep(timeoutMs, alarm.signal).then(
    () => limit.abort(),
    () => undefined,
  );
  try {
    const ids = lives.map(({ id }) => id);
    const tasks = await createWatchServer(createHastyClient(reach)).readTasks(ids, limit.signal);
    for (const life of lives) life.task = tasks.get(life.id) ?? life.task;
    return true;
  } catch {
    // Ending them tells what is wrong with the server.
    return false;
  } finally {
    alarm.abort();
  }
}

function createHastyClient(reach: Reach) {
  return createClearmlClient({ ...reach, giveUpAt: (beganAtMs) => beganAtMs + END_REQUEST_TIMEOUT_MS });
}

function isOver({ status }: WatchedTask): boolean {
  return isEnded(status) || status === 'created';
}

/**
 * Ends those tasks that are ours to end, and leaves the others. A Failure is none to throw: whoever ends tasks has a reason
 * for it that comes first. What could not be asked, or done, is unconfirmed.
 */
async function endOurs(
  tasks: readonly WatchedTask[],
  why: { readonly reason: string; readonly timeoutMs: number; readonly signal?: AbortSignal },
  { reach, session }: EndingTools,
): Promise<EndingReport> {
  const { clock } = session;
  const runId = session.env.GITHUB_RUN_ID;
  const signal = why.signal ?? AbortSignal.timeout(why.timeoutMs);
  const deadlineMs = clock.now() + why.timeoutMs;
  // Without it nothing can be ended: there is no other question that the time is kept for.
  const asker = createClearmlClient({ ...reach, giveUpAt: () => deadlineMs - SHORTEST_ATTEMPT_MS });
  let userId: Promise<string> | undefined;
  const readUser = () => {
    userId ??= createWatchServer(asker).readUserId(signal);
    return userId;
  };
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
  if (ours.length === 0) return { ended: [], unconfirmed: unclear, left, lastError: unread };
  const server = createAbortServer(createHastyClient(reach));
  const outcome = await settle(abortTasks(server, ours, { ...why, deadlineMs, clock }));
  if ('failure' in outcome)
    return { ended: [], unconfirmed: [...ours, ...unclear], left, lastError: outcome.failure };
  const { ended, unconfirmed, lastError } = outcome.value;
  return { ended, unconfirmed: [...unconfirmed, ...unclear], left, lastError: lastError ?? unread };
}

function explainLeaving({ origin }: WatchedTask, runId: string | undefined): string {
  const taskRun = origin.runtime[RUNTIME_KEYS.run];
  if (runId !== undefined && taskRun === runId) return 'another pull request uses it too';
  if (taskRun !== undefined) return `workflow run ${taskRun} launched it, not this one`;
  return origin.runtime[RUNTIME_KEYS.launch] === undefined
    ? 'it was not launched by launch-training-task'
    : 'somebody else launched it';
}

function tellEnding(
  { ended, unconfirmed, left, lastError }: EndingReport,
  lives: readonly TaskLife[],
  { out, urlOf }: EndingTools,
): void {
  for (const id of ended) out.say(`Task ${id} has ended`);
  const error = lastError === undefined ? '' : ` (${lastError.message})`;
  for (const id of unconfirmed) {
    const life = lives.find((other) => other.id === id);
    const place = life === undefined ? id : urlOf(life);
    out.warn(`not confirmed: task ${id} may still run${error}; look at ${place}`);
  }
  for (const { id, why } of left) out.warn(`task ${id} is left as it is: ${why}`);
}
