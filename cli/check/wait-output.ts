import { type ClearmlClient, isRefusal } from '../clearml/client.ts';
import { createLogPageReader, readLogEnd } from '../clearml/log.ts';
import { isActions } from '../shell/environment.ts';
import { writePlain } from '../text/phrase.ts';
import { toSingleLine } from '../text/single-line.ts';
import type { Cause } from '../training/cause/cause.ts';
import type { Evidence } from '../training/cause/cause-table.ts';
import { chooseExcerpt, type LogPage, splitLogLines, TAIL_LINES } from '../training/console-log.ts';
import { composeLosses, listLost } from '../training/params/arrival-words.ts';
import { findFailedStep, nameStepFailure } from '../training/steps.ts';
import { formatAgentCommand } from '../training/task.ts';
import { findEnding, type TaskLife } from '../training/task-life.ts';
import type { EndingTools } from './early-end.ts';
import { createLogFollower, createTailReader, isLongOver, type LogFollower } from './log-follower.ts';
import { isLost, retryLost } from './lost-worker.ts';
import { describeLimit, describeProgress, describeValues, labelTask } from './progress.ts';
import { type CheckedTask, describeChecked, formatDetails, formatHeadline, judgeParams } from './result.ts';
import type { Watch } from './watch.ts';

/** The table of causes is large, and most trainings succeed. */
const loadCauses = () => import('../training/cause/cause.ts');

/** Progress is printed every 30 s at most. */
const VALUES_PAUSE_MS = 30_000;
const LIVE_VALUES_PAUSE_MS = 5000;
/** A page of a log may hold some MB. */
const LOGS_AT_ONCE = 8;
/** The logs of more tasks are shown one after the other, as they end: nobody could follow them, and each look would cost a request a task. */
const MAX_LIVE_LOGS = 20;
/** GitHub shows ten per step; one is kept for any other error. */
const MAX_ANNOTATIONS = 9;
/** Further tasks with the same warning are counted. */
const MAX_NAMED_TASKS = 3;

/** What reporting a wait needs. */
interface WaitOutputTools extends Omit<EndingTools, 'reach'> {
  readonly client: ClearmlClient;
}

/** What has been printed of a wait so far. */
export interface WaitOutput extends WaitOutputTools {
  readonly watch: Watch;
  readonly followers: Map<string, LogFollower>;
  /** By task whose end was reported; undefined for one that succeeded. */
  readonly causes: Map<string, Cause | undefined>;
  readonly warnedQueues: Set<string>;
  /** Params whose loss was told, by task and state. */
  readonly toldLosses: Set<string>;
  /** The newest values of the metrics that the settings name, by task. */
  readonly values: Map<string, string>;
  /** When they were read, and after which updates of the tasks. */
  valuesRead: { readonly atMs: number; readonly updates: string };
  annotations: number;
  /** Whose log was shown last, and how many lines of it with nothing of another task in between. */
  shownLast: { readonly id: string; readonly lines: number };
}

/** An output in which nothing has been printed yet. */
export function createWaitOutput(watch: Watch, tools: WaitOutputTools): WaitOutput {
  return {
    ...tools,
    watch,
    followers: new Map(),
    causes: new Map(),
    warnedQueues: new Set(),
    toldLosses: new Set(),
    values: new Map(),
    valuesRead: { atMs: Number.NEGATIVE_INFINITY, updates: '' },
    annotations: 0,
    shownLast: { id: '', lines: 0 },
  };
}

/** Messages of a failed step's console to look for its cause in. */
const STEP_LOG_MESSAGES = 60;

/** Reports what a look has shown: new lines of logs, ends and their causes, unserved queues, progress. */
export async function tellLook(output: WaitOutput): Promise<void> {
  const { lives } = output.watch;
  warnOfLostParams(output);
  for (const [index, life] of lives.entries()) {
    if (!isDue(life, output)) continue;
    askAhead(lives.slice(index + 1), output);
    if (life.end === undefined) await findFollower(life, output).follow(life);
    else await tellEnd(life, output);
  }
  warnOfUnservedQueues(output);
  await readValues(output);
  showProgress(output);
}

/** Updates the line that shows the progress. */
export function showProgress({ watch, values, out, session }: WaitOutput): void {
  const nowMs = session.clock.now();
  const progress = describeProgress({ ...watch, values }, nowMs);
  const [life, ...others] = watch.lives;
  // A live line needs no reminder, so it has the time-out itself.
  const isWhole = out.isLive && others.length === 0 && life !== undefined && life.end === undefined;
  const limit = isWhole ? describeLimit(life, watch.settings, nowMs) : undefined;
  out.showProgress(
    progress === undefined || limit === undefined
      ? progress
      : { ...progress, text: `${progress.text}; ${limit}` },
  );
}

/** What is known of each task. */
export function describeTasks(output: WaitOutput): CheckedTask[] {
  return output.watch.lives.map((life) => describeTask(life, output));
}

function describeTask(life: TaskLife, { urlOf, causes, client }: WaitOutput): CheckedTask {
  return describeChecked(life, urlOf(life), causes.get(life.id), client.serverNow());
}

/** Whether there may be something to report of the task. */
function isDue(life: TaskLife, { causes, watch }: WaitOutput): boolean {
  if (life.end !== undefined) return !causes.has(life.id);
  return life.phase === 'running' && watch.lives.length <= MAX_LIVE_LOGS;
}

/** Tasks are reported one after the other; the logs of several are requested at a time. */
function askAhead(next: readonly TaskLife[], output: WaitOutput): void {
  const due = next.filter((life) => isDue(life, output) && hasLog(life));
  for (const life of due.slice(0, LOGS_AT_ONCE - 1)) findFollower(life, output).ask(life);
}

/** A draft that was never enqueued has no log. */
function hasLog({ wasEnqueued, task }: TaskLife): boolean {
  return wasEnqueued || task?.startedAtMs !== undefined;
}

function findFollower(life: TaskLife, output: WaitOutput): LogFollower {
  const known = output.followers.get(life.id);
  if (known !== undefined) return known;
  const { client, session } = output;
  const { patience, signal } = output.watch.ports;
  const clock = { ...output.watch.ports.clock, now: client.serverNow };
  const ask = (read: () => Promise<LogPage>) => patience.run(read, signal).catch(passOverDeleted);
  const readPage = createLogPageReader(client, life.id, signal);
  const { log } = output.options;
  const follower =
    log !== 'none'
      ? createLogFollower({
          isShortened: log === 'training',
          readPage: (...page) => ask(() => readPage(...page)),
          clock,
          signal,
          keepColors: session.voice.isColored,
          print: (lines) => printLog(life, lines, output),
        })
      : createTailReader({
          readEnd: (batchSize) => ask(() => readLogEnd(client, life.id, batchSize, signal)),
          clock,
          signal,
        });
  output.followers.set(life.id, follower);
  return follower;
}

/** A task that was deleted since the last look has no log. The next look reports it. */
function passOverDeleted(error: unknown): LogPage {
  if (isRefusal(error, 'no such task')) return { events: [], total: 0 };
  throw error;
}

function printLog({ id }: TaskLife, lines: readonly string[], output: WaitOutput): void {
  if (lines.length === 0) return;
  const { shownLast, watch, out } = output;
  output.shownLast = { id, lines: (shownLast.id === id ? shownLast.lines : 0) + lines.length };
  const isOneOfMany = watch.lives.length > 1;
  const label = labelTask(id);
  out.printLog(titleLog(id), isOneOfMany ? lines.map((line) => `[${label}] ${line}`) : lines);
}

function titleLog(id: string): string {
  return `Log of task ${id}`;
}

/** The task has ended: reads the rest of its log, finds the cause, and reports both. */
async function tellEnd(life: TaskLife, output: WaitOutput): Promise<void> {
  const { out, urlOf, causes, client, session } = output;
  const follower = findFollower(life, output);
  if (hasLog(life)) await follower.finish(life);
  const { droppedLines, droppedBytes, tail } = follower.shown.rest;
  if (droppedLines > 0) {
    out.endLog(titleLog(life.id));
    out.say(
      droppedLines === 1
        ? `1 line (${droppedBytes} bytes) of the log is left out here; ${urlOf(life)} has it`
        : `${droppedLines} lines (${droppedBytes} bytes) of the log are left out here; ${urlOf(life)} has them`,
    );
  }
  printLog(life, tail, output);
  out.endLog(titleLog(life.id));
  if (life.end === 'failed' && !isLongOver(life, client.serverNow() - session.clock.now()))
    await readFinalReason(life, output);
  // Only the console tells it from a stop by a person.
  if (life.end === 'stopped' && (await loadCauses()).isAgentShutDown(gatherEvidence(life, follower, output)))
    life.end = 'worker-lost';
  const cause = (await findStepCause(life, output)) ?? (await findCause(life, follower, output));
  const left =
    cause !== undefined && isLost(life, cause) ? await settleLost(life, cause, follower, output) : cause;
  if (life.end === undefined) return;
  causes.set(life.id, left);
  tellOutcome(describeTask(life, output), follower, output);
  output.followers.delete(life.id);
}

/** Enqueues the task again, if it may be. Then it has no end. */
async function settleLost(
  life: TaskLife,
  cause: Cause,
  follower: LogFollower,
  output: WaitOutput,
): Promise<Cause | undefined> {
  if (life.end === 'stopped') life.end = 'worker-lost';
  const left = await retryLost(life, cause, follower.log.recent, output);
  if (left === undefined) follower.beginAgain();
  return left;
}

/** Where set-up fails, the agent sets the status twice; the second time with its exit code. */
async function readFinalReason(life: TaskLife, { watch }: WaitOutput): Promise<void> {
  const { patience, server, signal } = watch.ports;
  const tasks = await patience.run(() => server.readTasks([life.id], signal), signal);
  const task = tasks.get(life.id);
  if (task?.status === 'failed') life.task = task;
}

/** A pipeline fails because a step did: the step's own log has the cause. */
async function findStepCause({ end, task }: TaskLife, output: WaitOutput): Promise<Cause | undefined> {
  const step = findFailedStep(task?.steps ?? []);
  if (end !== 'failed' || step === undefined) return undefined;
  const { watch, client } = output;
  const { patience, server, signal } = watch.ports;
  const id = step.taskId;
  const tasks = await patience.run(() => server.readTasks([id], signal), signal);
  const failed = tasks.get(id);
  if (failed?.status !== 'failed') return undefined;
  const read = () => readLogEnd(client, id, STEP_LOG_MESSAGES, signal);
  const { events, total } = await patience.run(read, signal).catch(passOverDeleted);
  const { recogniseFailure } = await loadCauses();
  const {
    file: _file,
    line: _line,
    lines: _lines,
    ...cause
  } = recogniseFailure({
    statusReason: failed.statusReason,
    statusMessage: failed.statusMessage,
    log: events.flatMap(({ text }) => splitLogLines(text)),
    isLogComplete: events.length >= total,
    workingDir: failed.workingDir,
  });
  return { ...cause, message: nameStepFailure(step, cause.message) };
}

async function findCause(
  life: TaskLife,
  follower: LogFollower,
  output: WaitOutput,
): Promise<Cause | undefined> {
  if (life.end === undefined || life.end === 'succeeded') return undefined;
  const { explainEnd } = await loadCauses();
  return explainEnd(life.end, gatherEvidence(life, follower, output), life.task && findEnding(life.task));
}

function gatherEvidence({ task, pod }: TaskLife, { log }: LogFollower, { watch }: WaitOutput): Evidence {
  return {
    statusReason: task?.statusReason ?? '',
    statusMessage: task?.statusMessage ?? '',
    log: log.recent,
    isLogComplete: log.isComplete,
    workingDir: task?.workingDir ?? '.',
    queue: watch.queues.get(task?.queueId ?? '')?.name ?? task?.queueId,
    pod,
  };
}

function tellOutcome(task: CheckedTask, { log, shown }: LogFollower, output: WaitOutput): void {
  const { out } = output;
  const { tail } = shown;
  const { cause } = task;
  if (cause === undefined) {
    out.say(`${formatHeadline(task)}\n${task.url}`);
    return;
  }
  out.say(`error: ${formatHeadline(task)}`);
  if (tail.length > 0 && !isTailInView(task.id, tail, output)) {
    const excerpt = chooseExcerpt(log.recent, cause.lines, TAIL_LINES);
    if (!excerpt.isEnd) out.say(`${excerpt.lines.length} lines of its log, from the cause on:`);
    else
      out.say(tail.length === 1 ? 'The last line of its log:' : `The last ${tail.length} lines of its log:`);
    out.printTail(excerpt.isEnd ? tail : excerpt.lines);
  }
  out.say(formatDetails(task));
  output.annotations += 1;
  if (output.annotations > MAX_ANNOTATIONS) return;
  out.annotate('error', `${formatHeadline(task)}\n${cause.advice}\n${task.url}`, {
    ...(cause.file === undefined ? {} : { file: cause.file }),
    ...(cause.line === undefined ? {} : { line: cause.line }),
  });
}

/** Whether the end of the log stands right above, unfolded and with no other task's lines in between. */
function isTailInView(id: string, tail: readonly string[], output: WaitOutput): boolean {
  const { options, session, watch, shownLast } = output;
  if (options.log === 'none' || isActions(session.env)) return false;
  return watch.lives.length === 1 || (shownLast.id === id && shownLast.lines >= tail.length);
}

/** Params that did not reach their training: one warning for all tasks with the same, as soon as it is known. */
function warnOfLostParams({ watch, causes, toldLosses, out }: WaitOutput): void {
  const tasks = new Map<string, string[]>();
  for (const life of watch.lives) {
    if (causes.has(life.id)) continue;
    const lost = listLost(judgeParams(life)).filter(
      ({ name, state }) => !toldLosses.has(`${life.id} ${state} ${name}`),
    );
    for (const { name, state } of lost) toldLosses.add(`${life.id} ${state} ${name}`);
    const text = writePlain(composeLosses(lost));
    if (text !== '') tasks.set(text, [...(tasks.get(text) ?? []), life.id]);
  }
  for (const [text, ids] of tasks) {
    const shown = ids.slice(0, MAX_NAMED_TASKS).join(', ');
    const more = ids.length > MAX_NAMED_TASKS ? ` and ${ids.length - MAX_NAMED_TASKS} more` : '';
    out.warn(`${ids.length === 1 ? 'task' : 'tasks'} ${shown}${more}: ${text}`);
  }
}

function warnOfUnservedQueues({ watch, warnedQueues, out }: WaitOutput): void {
  for (const queue of watch.queues.values()) {
    const isAwaited = watch.lives.some(
      ({ end, phase, pod, task }) =>
        end === undefined && phase === 'queued' && pod === undefined && task?.queueId === queue.id,
    );
    if (!isAwaited || queue.workers.length > 0 || warnedQueues.has(queue.id)) continue;
    warnedQueues.add(queue.id);
    const name = toSingleLine(queue.name, 80);
    out.warn(`no worker serves the queue "${name}": start one (${formatAgentCommand(queue.name)})`);
  }
}

/** Reads the metrics that the settings name of running tasks, as often as they can be shown. */
async function readValues(output: WaitOutput): Promise<void> {
  const { watch, valuesRead, options, out } = output;
  const { patience, server, clock, signal } = watch.ports;
  const running = watch.lives.filter((life) => life.end === undefined && life.phase === 'running');
  const updates = running.map(({ task }) => task?.lastUpdate).join();
  const isDue = clock.now() - valuesRead.atMs >= (out.isLive ? LIVE_VALUES_PAUSE_MS : VALUES_PAUSE_MS);
  if (options.metrics.length === 0 || running.length === 0 || !isDue || updates === valuesRead.updates)
    return;
  output.valuesRead = { atMs: clock.now(), updates };
  const ids = running.map(({ id }) => id);
  for (const [id, metrics] of await patience.run(() => server.readMetrics(ids, signal), signal)) {
    const shown = describeValues(metrics, options.metrics);
    if (shown !== undefined) output.values.set(id, shown);
  }
}
