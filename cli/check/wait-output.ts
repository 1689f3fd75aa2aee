import { type ClearmlClient, ClearmlRefusal } from '../clearml/client.ts';
import { createLogPageReader, readLogEnd } from '../clearml/log.ts';
import { isActions } from '../shell/environment.ts';
import type { ExitCode } from '../shell/failure.ts';
import type { Session } from '../shell/program.ts';
import { toSingleLine } from '../text/single-line.ts';
import { formatAgentCommand } from '../training/agent-command.ts';
import { type Cause, explainEnd } from '../training/cause.ts';
import type { LogPage } from '../training/console-log.ts';
import type { TaskLife } from '../training/task-life.ts';
import type { WatchConsole } from './live-console.ts';
import { createLogFollower, createTailReader, isLongOver, type LogFollower } from './log-follower.ts';
import type { CheckOptions } from './options.ts';
import type { Patience } from './outage.ts';
import { describeProgress, describeValues, labelTask } from './progress.ts';
import {
  type CheckedTask,
  decideExitCode,
  describeChecked,
  formatDetails,
  formatHeadline,
} from './result.ts';
import type { Watch, WatchServer } from './watch.ts';

/** A line is told every 30 s at most. */
const VALUES_PAUSE_MS = 30_000;
const LIVE_VALUES_PAUSE_MS = 5000;
/** A page of a log may hold some MB. */
const LOGS_AT_ONCE = 8;
/** GitHub shows ten a step; one is left for whatever else goes wrong. */
const MAX_ANNOTATIONS = 9;

/** Tells what a watch sees: logs as they grow, ends and why, queues that nobody serves, how far it is. */
export interface TaskStory {
  /** After each look. The next one waits for it. */
  tell(watch: Watch): Promise<void>;
  /** Brings the line that says what is going on up to date. */
  showProgress(watch: Watch): void;
  /** What is told at the end, and the exit code. */
  sumUp(watch: Watch): { readonly tasks: readonly CheckedTask[]; readonly exitCode: ExitCode };
}

export interface StoryTools {
  readonly client: ClearmlClient;
  readonly server: WatchServer;
  readonly patience: Patience;
  readonly out: WatchConsole;
  /** The task's page. */
  readonly urlOf: (life: TaskLife) => string;
}

/** A story in which nothing has been told yet. */
export function createTaskStory(
  ids: readonly string[],
  options: CheckOptions,
  { client, server, patience, out, urlOf }: StoryTools,
  session: Session,
): TaskStory {
  const { clock, voice, interruption } = session;
  const followers = new Map<string, LogFollower>();
  const causes = new Map<string, Cause | undefined>();
  const warnedQueues = new Set<string>();
  const values = new Map<string, string>();
  let valuesRead = { atMs: Number.NEGATIVE_INFINITY, updates: '' };
  let annotations = 0;
  /** Whose log was shown last, and how many lines of it with nothing of another task in between. */
  let shownLast = { id: '', lines: 0 };

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
    if (lines.length === 0) return;
    shownLast = { id: life.id, lines: (shownLast.id === life.id ? shownLast.lines : 0) + lines.length };
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
        droppedLines === 1
          ? `1 line (${droppedBytes} bytes) of the log is left out here; ${urlOf(life)} has it`
          : `${droppedLines} lines (${droppedBytes} bytes) of the log are left out here; ${urlOf(life)} has them`,
      );
    }
    printLog(life, tail);
    if (life.end === 'failed' && !isLongOver(life)) await readFinalReason(life);
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

  /** The end of its log stands right above, unfolded: one need not look for it among other tasks' lines. */
  function isTailInView(id: string, tail: readonly string[]): boolean {
    if (!options.showsLogs || isActions(session.env)) return false;
    return ids.length === 1 || (shownLast.id === id && shownLast.lines >= tail.length);
  }

  function tellEnd(task: CheckedTask, { tail }: LogFollower): void {
    const { cause } = task;
    if (cause === undefined) {
      out.say(`${formatHeadline(task)}\n${task.url}`);
      return;
    }
    out.say(`error: ${formatHeadline(task)}`);
    if (tail.length > 0 && !isTailInView(task.id, tail)) {
      out.say(tail.length === 1 ? 'The last line of its log:' : `The last ${tail.length} lines of its log:`);
      out.printTail(tail);
    }
    out.say(formatDetails(task));
    annotations += 1;
    if (annotations > MAX_ANNOTATIONS) return;
    out.annotate('error', `${formatHeadline(task)}\n${cause.advice}\n${task.url}`, {
      ...(cause.file === undefined ? {} : { file: cause.file }),
      ...(cause.line === undefined ? {} : { line: cause.line }),
    });
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

  function tellUnserved({ lives, queues }: Watch): void {
    for (const queue of queues.values()) {
      const isAwaited = lives.some((life) => life.end === undefined && life.task?.queueId === queue.id);
      if (!isAwaited || queue.workers.length > 0 || warnedQueues.has(queue.id)) continue;
      warnedQueues.add(queue.id);
      const name = toSingleLine(queue.name, 80);
      out.warn(`no worker serves the queue "${name}": start one (${formatAgentCommand(queue.name)})`);
    }
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

  function showProgress(watch: Watch): void {
    out.showProgress(describeProgress({ ...watch, values }, clock.now()));
  }

  return {
    async tell(watch) {
      for (const [index, life] of watch.lives.entries()) {
        if (!isDue(life)) continue;
        askAhead(watch.lives, index);
        await (life.end === undefined ? followerOf(life).follow(life) : conclude(life));
      }
      tellUnserved(watch);
      await readValues(watch.lives);
      showProgress(watch);
    },
    showProgress,
    sumUp({ lives }) {
      const tasks = lives.map(checked);
      return { tasks, exitCode: decideExitCode(tasks) };
    },
  };
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
