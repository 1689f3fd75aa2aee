import { type Cause, explainEnd } from '../core/cause.ts';
import type { CheckOptions } from '../core/check-options.ts';
import {
  type CheckedTask,
  decideExitCode,
  describeChecked,
  formatDetails,
  formatHeadline,
} from '../core/check-report.ts';
import type { LogPage } from '../core/console-log.ts';
import { formatDuration } from '../core/duration.ts';
import type { EndingReport } from '../core/ending.ts';
import type { ClearmlAccess } from '../core/environment.ts';
import { EXIT_CODES, type ExitCode } from '../core/exit-code.ts';
import { Failure } from '../core/failure.ts';
import { createLogFollower, createTailReader, type LogFollower } from '../core/log-follow.ts';
import { createPatience } from '../core/outage.ts';
import { describeProgress, describeValues, labelTask } from '../core/progress.ts';
import { toSingleLine } from '../core/single-line.ts';
import { formatTaskUrl, isEnded } from '../core/task.ts';
import type { TaskLife, WatchedTask } from '../core/task-life.ts';
import { createWatch, type Watch } from '../core/watch.ts';
import { ClearmlRefusal, createClearmlClient } from './clearml.ts';
import { createLogPageReader, readLogEnd } from './clearml-log.ts';
import { createWatchServer } from './clearml-watch.ts';
import type { Http } from './http.ts';
import { Interruption, type Session } from './program.ts';
import { createWatchConsole } from './watch-console.ts';

/** From a signal to our end: the runner kills us 10 s after its first one. */
const INTERRUPT_TIMEOUT_MS = 9000;
/** Of which the question how the tasks are now may take this long. */
const FRESH_LOOK_TIMEOUT_MS = 3000;
/** For tasks that timed out: nobody is in a hurry. */
const END_TIMEOUT_MS = 2 * 60_000;
/** A request that ends something is tried again by us, with a new look before. */
const END_REQUEST_TIMEOUT_MS = 3000;
const LIVE_TICK_MS = 1000;
/** A line is told every 30 s at most. */
const VALUES_PAUSE_MS = 30_000;
const LIVE_VALUES_PAUSE_MS = 5000;
/** A page of a log may hold some MB. */
const LOGS_AT_ONCE = 8;
/** GitHub shows ten a step; one is left for whatever else goes wrong. */
const MAX_ANNOTATIONS = 9;

/** Waits until every task has ended, telling what happens; on a signal ends what is ours and says so. */
export async function watchUntilEnd(
  ids: readonly string[],
  options: CheckOptions,
  around: { readonly access: ClearmlAccess; readonly runId: string | undefined; readonly http: Http },
  session: Session,
): Promise<{ readonly tasks: readonly CheckedTask[]; readonly exitCode: ExitCode }> {
  const { clock, voice, interruption } = session;
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
  const followers = new Map<string, LogFollower>();
  const causes = new Map<string, Cause | undefined>();
  const warnedQueues = new Set<string>();
  const values = new Map<string, string>();
  let valuesRead = { atMs: Number.NEGATIVE_INFINITY, updates: '' };
  let annotations = 0;

  const urlOf = ({ id, task }: TaskLife) =>
    formatTaskUrl(access.webHost, { id, projectId: task?.projectId }, client.apiVersion);
  const checked = (life: TaskLife) =>
    describeChecked(life, { url: urlOf(life), cause: causes.get(life.id), nowMs: clock.now() });

  function followerOf(life: TaskLife): LogFollower {
    const known = followers.get(life.id);
    if (known !== undefined) return known;
    const follower = options.showsLogs
      ? createLogFollower({
          readPage: (...page) => patience.run(() => readPage(...page), interruption).catch(passOverDeleted),
          clock,
          signal: interruption,
          keepColors: voice.isColored,
          print: (lines) => printLog(life, lines),
        })
      : createTailReader({
          readEnd: (batchSize) =>
            patience
              .run(() => readLogEnd(client, life.id, batchSize, interruption), interruption)
              .catch(passOverDeleted),
          clock,
          signal: interruption,
        });
    const readPage = createLogPageReader(client, life.id, interruption);
    followers.set(life.id, follower);
    return follower;
  }

  function printLog(life: TaskLife, lines: readonly string[]): void {
    const label = ids.length > 1 ? `[${labelTask(life.id)}] ` : '';
    out.printLog(`Log of task ${life.id}`, label === '' ? lines : lines.map((line) => label + line));
  }

  /** The task has come to its end: reads the rest of its log, finds out why, and says it. */
  async function conclude(life: TaskLife): Promise<void> {
    const follower = followerOf(life);
    if (hasLog(life)) await follower.finish(life);
    const { droppedLines, droppedBytes, tail } = follower.rest;
    if (droppedLines > 0) {
      out.say(
        `${droppedLines} lines (${droppedBytes} bytes) of the log are left out here; ${urlOf(life)} has them`,
      );
    }
    printLog(life, tail);
    if (life.end === 'failed') await readFinalReason(life);
    causes.set(
      life.id,
      life.end === undefined
        ? undefined
        : explainEnd(life.end, {
            statusReason: life.task?.statusReason ?? '',
            statusMessage: life.task?.statusMessage ?? '',
            log: follower.recent,
            isLogComplete: follower.isComplete,
            workingDir: life.task?.workingDir ?? '.',
          }),
    );
    tellEnd(checked(life), follower);
  }

  /** Where set-up fails, the agent sets the status twice; the second time with its exit code. */
  async function readFinalReason(life: TaskLife): Promise<void> {
    const tasks = await patience.run(() => server.readTasks([life.id], interruption), interruption);
    const task = tasks.get(life.id);
    if (task?.status === 'failed') life.task = task;
  }

  function tellEnd(task: CheckedTask, follower: LogFollower): void {
    const { cause } = task;
    if (cause === undefined) {
      out.say(`${formatHeadline(task)}\n${task.url}`);
      return;
    }
    out.say(`error: ${formatHeadline(task)}`);
    const isShown = options.showsLogs && !session.env.GITHUB_ACTIONS && ids.length === 1;
    if (!isShown && follower.tail.length > 0) {
      out.say(`The last ${follower.tail.length} lines of its log:`);
      out.printTail(follower.tail);
    }
    out.say(formatDetails(task));
    annotations += 1;
    if (annotations > MAX_ANNOTATIONS) return;
    out.annotate('error', `${formatHeadline(task)}\n${cause.advice}\n${task.url}`, {
      ...(cause.file === undefined ? {} : { file: cause.file }),
      ...(cause.line === undefined ? {} : { line: cause.line }),
    });
  }

  async function end(
    tasks: readonly WatchedTask[],
    why: { readonly reason: string; readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<EndingReport> {
    const signal = why.signal ?? AbortSignal.timeout(why.timeoutMs);
    // Loaded only here: most trainings end by themselves.
    const [{ endOurs }, { createAbortServer }] = await Promise.all([
      import('../core/ending.ts'),
      import('./clearml-abort.ts'),
    ]);
    return endOurs(
      tasks,
      { server: createAbortServer(hastyClient), readUserId: () => hastyServer.readUserId(signal), clock },
      {
        runId,
        reason: why.reason,
        deadlineMs: clock.now() + why.timeoutMs,
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

  /** There may be something to tell of it. */
  function isDue(life: TaskLife): boolean {
    return life.end === undefined ? life.phase === 'running' : !causes.has(life.id);
  }

  /** Tasks are told one after the other; the logs of some are asked for at a time. */
  function askAhead(lives: readonly TaskLife[], index: number): void {
    let asked = 1;
    for (let next = index + 1; next < lives.length && asked < LOGS_AT_ONCE; next += 1) {
      const life = lives[next];
      if (life === undefined || !isDue(life) || !hasLog(life)) continue;
      followerOf(life).ask(life);
      asked += 1;
    }
  }

  async function afterLook({ lives, queues }: Watch): Promise<void> {
    for (const [index, life] of lives.entries()) {
      if (!isDue(life)) continue;
      askAhead(lives, index);
      await (life.end === undefined ? followerOf(life).follow(life) : conclude(life));
    }
    for (const queue of queues.values()) {
      const isAwaited = lives.some((life) => life.end === undefined && life.task?.queueId === queue.id);
      if (!isAwaited || queue.workers.length > 0 || warnedQueues.has(queue.id)) continue;
      warnedQueues.add(queue.id);
      const name = toSingleLine(queue.name, 80);
      out.warn(`no worker serves the queue "${name}": start one (clearml-agent daemon --queue ${name})`);
    }
    await readValues(lives);
    showProgress();
  }

  /** What the settings want to see of running tasks, as often as it could be shown. */
  async function readValues(lives: readonly TaskLife[]): Promise<void> {
    const running = lives.filter((life) => life.end === undefined && life.phase === 'running');
    const updates = running.map(({ task }) => task?.lastUpdate).join();
    const isDue = clock.now() - valuesRead.atMs >= (out.isLive ? LIVE_VALUES_PAUSE_MS : VALUES_PAUSE_MS);
    if (options.metrics.length === 0 || running.length === 0 || !isDue || updates === valuesRead.updates)
      return;
    valuesRead = { atMs: clock.now(), updates };
    const ids = running.map(({ id }) => id);
    const metrics = await patience.run(() => server.readMetrics(ids, interruption), interruption);
    for (const [id, found] of metrics) {
      const shown = describeValues(found, options.metrics);
      if (shown !== undefined) values.set(id, shown);
    }
  }

  function showProgress(): void {
    out.showProgress(describeProgress({ ...watch, values }, clock.now()));
  }

  /** A signal came: ends what is ours within the time the runner gives us. */
  async function endInterrupted({ signal: name }: Interruption): Promise<void> {
    const unfinished = watch.lives.filter((life) => life.task === undefined || !isOver(life.task));
    if (unfinished.length === 0) return;
    const isPerson = session.isAttended && name === 'SIGINT';
    if ((options.onInterrupt ?? (isPerson ? 'leave' : 'abort')) === 'leave') {
      out.say(`Not watching any more; what runs goes on:\n${unfinished.map(urlOf).join('\n')}`);
      return;
    }
    const beganAtMs = clock.now();
    out.say(`Interrupted by ${name}: ending ${unfinished.map(({ id }) => id).join(', ')}`);
    const tasks = await lookFresh(unfinished);
    const report = await end(tasks, {
      reason: `CI run interrupted by ${name}`,
      timeoutMs: beganAtMs + INTERRUPT_TIMEOUT_MS - clock.now(),
    });
    tellEnding(report);
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

  /** As the tasks are now, or where that can't be found out in time, as last seen. */
  async function lookFresh(lives: readonly TaskLife[]): Promise<readonly WatchedTask[]> {
    try {
      const ids = lives.map(({ id }) => id);
      const tasks = await hastyServer.readTasks(ids, AbortSignal.timeout(FRESH_LOOK_TIMEOUT_MS));
      for (const life of lives) life.task = tasks.get(life.id) ?? life.task;
    } catch {
      // What was last seen must do; ending them tells what is wrong with the server.
    }
    return lives.flatMap(({ task }) => (task === undefined || isOver(task) ? [] : [task]));
  }

  const server = createWatchServer(client);
  const watch = createWatch(ids, options, {
    server,
    patience,
    clock,
    random: session.random,
    events: {
      afterLook,
      tick: showProgress,
      tickMs: out.isLive ? LIVE_TICK_MS : Number.POSITIVE_INFINITY,
      endOverdue,
    },
  });

  try {
    await watch.run(interruption);
    return { tasks: watch.lives.map(checked), exitCode: decideExitCode(watch.lives.map(checked)) };
  } catch (error) {
    if (!(error instanceof Interruption)) {
      tellLeft(error);
      throw error;
    }
    await endInterrupted(error);
    await lookFresh(watch.lives);
    out.say(error.message);
    return { tasks: watch.lives.map(checked), exitCode: error.exitCode };
  } finally {
    out.close();
  }
}

/** A task that was deleted since the last look has no log (recording 167); the next look tells. */
function passOverDeleted(error: unknown): LogPage {
  if (error instanceof ClearmlRefusal && error.is(400, 101)) return { events: [], total: 0 };
  throw error;
}

/** A draft that was never enqueued has written nothing. */
function hasLog({ wasEnqueued, task }: TaskLife): boolean {
  return wasEnqueued || task?.startedAtMs !== undefined;
}

function isOver({ status }: WatchedTask): boolean {
  return isEnded(status) || status === 'created';
}
