import { ClearmlRefusal, createClearmlClient } from '../clearml/client.ts';
import type { ClearmlAccess } from '../shell/environment.ts';
import { EXIT_CODES, type ExitCode, Failure } from '../shell/failure.ts';
import type { Http } from '../shell/http.ts';
import { Interruption, type Session } from '../shell/program.ts';
import { formatDuration } from '../text/duration.ts';
import { formatTaskUrl, isEnded } from '../training/task.ts';
import type { TaskLife, WatchedTask } from '../training/task-life.ts';
import type { EndingReport } from './early-end.ts';
import { createWatchConsole } from './live-console.ts';
import type { CheckOptions } from './options.ts';
import { createPatience } from './outage.ts';
import type { CheckedTask } from './result.ts';
import { createWatchServer } from './server.ts';
import type { TaskStory } from './wait-output.ts';
import { createWatch } from './watch.ts';

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
const LIVE_TICK_MS = 1000;
/** Node loads modules in one go: before that, a moment for the first request to leave. */
const ASK_FIRST_MS = 10;

/** Waits until every task has ended, telling what happens; on a signal ends what is ours and says so. */
export async function watchUntilEnd(
  ids: readonly string[],
  options: CheckOptions,
  around: { readonly access: ClearmlAccess; readonly runId: string | undefined; readonly http: Http },
  session: Session,
): Promise<{ readonly tasks: readonly CheckedTask[]; readonly exitCode: ExitCode }> {
  const { clock, interruption } = session;
  const { access, runId } = around;
  const out = createWatchConsole(session);
  const patience = createPatience({
    clock,
    outageTimeoutMs: options.outageTimeoutMs,
    say: out.warn,
    isAnswer: (failure) => failure instanceof ClearmlRefusal,
  });
  const connect = (giveUpAt: (beganAtMs: number) => number, onRetry?: (reason: string) => void) =>
    createClearmlClient({
      access,
      http: around.http,
      clock,
      redact: session.redact,
      random: session.random,
      giveUpAt,
      ...(onRetry === undefined ? {} : { onRetry }),
    });
  const client = connect(patience.giveUpAt, patience.noteTrouble);
  const hastyClient = connect((beganAtMs) => beganAtMs + END_REQUEST_TIMEOUT_MS);
  const hastyServer = createWatchServer(hastyClient);
  const urlOf = ({ id, task }: TaskLife) =>
    formatTaskUrl(access.webHost, { id, projectId: task?.projectId }, client.apiVersion);
  /** What tells is loaded while the first answer is under way. */
  let loading: Promise<TaskStory> | undefined;
  const loadStory = () => {
    loading ??= import('./wait-output.ts').then(({ createTaskStory }) =>
      createTaskStory(ids, options, { client, server, patience, out, urlOf }, session),
    );
    return loading;
  };
  let story: TaskStory | undefined;

  async function end(
    tasks: readonly WatchedTask[],
    why: { readonly reason: string; readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<EndingReport> {
    const signal = why.signal ?? AbortSignal.timeout(why.timeoutMs);
    // Loaded only here: most trainings end by themselves.
    const [{ endOurs }, { createAbortServer }] = await Promise.all([
      import('./early-end.ts'),
      import('../clearml/abort.ts'),
    ]);
    const deadlineMs = clock.now() + why.timeoutMs;
    // Without it nothing can be ended: there is no other question that the time is kept for.
    const asker = createWatchServer(connect(() => deadlineMs - SHORTEST_ATTEMPT_MS));
    return endOurs(
      tasks,
      { server: createAbortServer(hastyClient), readUserId: () => asker.readUserId(signal), clock },
      {
        runId,
        reason: why.reason,
        deadlineMs,
        ...(why.signal === undefined ? {} : { signal: why.signal }),
      },
    );
  }

  function tellEnding(report: EndingReport): void {
    for (const id of report.ended) out.say(`Task ${id} has ended`);
    for (const id of report.unconfirmed) {
      const life = watch.lives.find((other) => other.id === id);
      const error = report.lastError === undefined ? '' : ` (${report.lastError.message})`;
      out.warn(
        `not confirmed: task ${id} may still run${error}; look at ${life === undefined ? id : urlOf(life)}`,
      );
    }
    for (const { id, why } of report.left) out.warn(`task ${id} is left as it is: ${why}`);
  }

  async function endOverdue(
    life: TaskLife,
    timeout: 'timeout' | 'queue-timeout',
    signal: AbortSignal,
  ): Promise<void> {
    const limit = timeout === 'timeout' ? options.timeoutMs : options.queueTimeoutMs;
    const what = timeout === 'timeout' ? 'run time-out' : 'queue time-out';
    const passed = `the ${what} of ${formatDuration(limit)} has passed for task ${life.id}`;
    if (options.onTimeout === 'leave' || life.task === undefined) {
      out.warn(`${passed}: it is left as it is (--on-timeout leave): ${urlOf(life)}`);
      return;
    }
    out.say(`${passed}: ending it`);
    tellEnding(await end([life.task], { reason: `${what} of CI`, timeoutMs: END_TIMEOUT_MS, signal }));
  }

  /** A signal came: ends what is ours within the time the runner gives us. */
  async function endInterrupted({ signal: name }: Interruption, beganAtMs: number): Promise<void> {
    const unfinished = watch.lives.filter((life) => life.task === undefined || !isOver(life.task));
    if (unfinished.length === 0) return;
    const isPerson = session.isAttended && name === 'SIGINT';
    if ((options.onInterrupt ?? (isPerson ? 'leave' : 'abort')) === 'leave') {
      out.say(`Not watching any more; what runs goes on:\n${unfinished.map(urlOf).join('\n')}`);
      return;
    }
    out.say(`Interrupted by ${name}: ending ${unfinished.map(({ id }) => id).join(', ')}`);
    const isAnswered = await lookFresh(unfinished, FRESH_LOOK_TIMEOUT_MS);
    const tasks = unfinished.flatMap(({ task }) => (task === undefined || isOver(task) ? [] : [task]));
    const report = await end(tasks, {
      reason: `CI run interrupted by ${name}`,
      timeoutMs: beganAtMs + INTERRUPT_TIMEOUT_MS - clock.now(),
    });
    // Nobody can say whose a task is that was never seen.
    const unseen = isAnswered ? [] : unfinished.filter(({ task }) => task === undefined).map(({ id }) => id);
    tellEnding({ ...report, unconfirmed: [...report.unconfirmed, ...unseen] });
  }

  /** The wait ends early and nothing can be done about the tasks: the server does not do what is asked. */
  function tellLeft(error: unknown): void {
    const isSilent = error instanceof Failure && error.exitCode === EXIT_CODES.unavailable;
    const unfinished = watch.lives.filter(({ task }) => (task === undefined ? isSilent : !isOver(task)));
    if (unfinished.length === 0) return;
    out.say(
      `What runs goes on unwatched; running this step again waits for it:\n${unfinished.map(urlOf).join('\n')}`,
    );
  }

  /** Looks how the tasks are now; where that can't be found out in time (`false`), they stay as last seen. */
  async function lookFresh(lives: readonly TaskLife[], timeoutMs: number): Promise<boolean> {
    const limit = new AbortController();
    const alarm = new AbortController();
    void clock.sleep(timeoutMs, alarm.signal).then(
      () => limit.abort(),
      () => undefined,
    );
    try {
      const ids = lives.map(({ id }) => id);
      const tasks = await hastyServer.readTasks(ids, limit.signal);
      for (const life of lives) life.task = tasks.get(life.id) ?? life.task;
      return true;
    } catch {
      // Ending them tells what is wrong with the server.
      return false;
    } finally {
      alarm.abort();
    }
  }

  const server = createWatchServer(client);
  const watch = createWatch(ids, options, {
    server,
    patience,
    clock,
    random: session.random,
    events: {
      async afterLook() {
        story ??= await loadStory();
        await story.tell(watch);
      },
      tick: () => story?.showProgress(watch),
      tickMs: out.isLive ? LIVE_TICK_MS : Number.POSITIVE_INFINITY,
      endOverdue,
    },
  });

  try {
    clock
      .sleep(ASK_FIRST_MS, interruption)
      .then(loadStory)
      .catch(() => undefined);
    await watch.run(interruption);
    return (await loadStory()).sumUp(watch);
  } catch (error) {
    if (!(error instanceof Interruption)) {
      tellLeft(error);
      throw error;
    }
    const beganAtMs = clock.now();
    await endInterrupted(error, beganAtMs);
    const leftMs = Math.min(FRESH_LOOK_TIMEOUT_MS, beganAtMs + INTERRUPT_TIMEOUT_MS - clock.now());
    await lookFresh(watch.lives, Math.max(LAST_LOOK_TIMEOUT_MS, leftMs));
    out.say(error.message);
    const { tasks } = (await loadStory()).sumUp(watch);
    return { tasks, exitCode: error.exitCode };
  } finally {
    out.close();
  }
}

function isOver({ status }: WatchedTask): boolean {
  return isEnded(status) || status === 'created';
}
