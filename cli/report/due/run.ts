import { runInParallel } from '../../clearml/tasks.ts';
import { ClosedConversation } from '../../github/comments.ts';
import { EXIT_CODES, type ExitCode, type Failure, settle, takeSettled } from '../../shell/failure.ts';
import type { Session } from '../../shell/program.ts';
import { type Due, listOpenDues } from '../../training/due.ts';
import { RUNTIME_KEYS } from '../../training/task.ts';
import type { Published } from '../comment.ts';
import { type Connection, connect, openWires, type Wires } from '../connection.ts';
import type { Options } from '../options.ts';
import type { ReportServer, SourceServers } from '../ports.ts';
import type { ReportedTask } from '../reported-task.ts';
import { findTasksOfPullRequest } from '../server.ts';
import { aimAt, type DueSubject, isPast, isPushed } from './aim.ts';
import type { DueEntry } from './entries.ts';
import { closeDue, isOver } from './owed.ts';
import { type DueGroup, findNote, isReplacedAmong, isReplacedBy } from './replaced.ts';
import type { DueOutcome } from './summary.ts';

export { renderDueSummary } from './summary.ts';

/** Reports one group of tasks, as a job does that waited for them. */
type ReportGroup = (options: Options, connection: Connection, session: Session) => Promise<Published>;

/** What the reports of one run share. */
interface DueRun {
  readonly options: Options;
  readonly session: Session;
  readonly wires: Wires;
  /** All tasks that exist, as they were read last, by id. */
  readonly tasks: Map<string, ReportedTask>;
  /** When they were read at the beginning; ms since 1970. Undefined if that failed: then each entry's are read by themselves. */
  readonly readAtMs: number | undefined;
  readonly settingsPath: string | undefined;
  readonly report: ReportGroup;
}

/**
 * Reports what no job waits for, one entry after the other. One that fails does not keep the others from being reported.
 *
 * @returns what became of each, and the exit code: 0 unless a service failed
 */
export async function reportDue(
  entries: readonly DueEntry[],
  options: Options,
  session: Session,
  { settingsPath, report }: Pick<DueRun, 'settingsPath' | 'report'>,
): Promise<{ readonly outcomes: readonly DueOutcome[]; readonly exitCode: ExitCode }> {
  const wires = openWires(options, session);
  const outcomes: DueOutcome[] = [];
  const exitCodes: ExitCode[] = [];
  try {
    const ids = [...new Set(entries.flatMap(({ taskIds }) => taskIds))];
    const read = await settle(wires.servers.clearml.readTasks(ids));
    // With thousands of metrics a single task may be more than the answer's time allows.
    if ('failure' in read && (entries.length === 1 || read.failure.exitCode !== EXIT_CODES.unavailable))
      throw read.failure;
    const tasks = new Map('value' in read ? read.value : []);
    const readAtMs = 'value' in read ? session.clock.now() : undefined;
    const run = { options, session, wires, tasks, readAtMs, settingsPath, report };
    for (const entry of entries) {
      // It answers nothing at all.
      if ('failure' in read && tasks.size === 0 && outcomes.length > 1) throw read.failure;
      wires.restart();
      const outcome = await settle(reportEntry(entry, entries, run));
      if ('value' in outcome) outcomes.push({ entry, ...outcome.value });
      else {
        outcomes.push({ entry, problem: outcome.failure.message });
        exitCodes.push(tellFailure(entry, outcome.failure, session));
      }
    }
  } finally {
    await wires.close();
  }
  const failed = exitCodes.filter((exitCode) => exitCode !== EXIT_CODES.done);
  return { outcomes, exitCode: failed.sort((one, other) => one - other)[0] ?? EXIT_CODES.done };
}

/** Only a service that failed makes the whole run fail: the next one tries again. */
function tellFailure(entry: DueEntry, { exitCode, message, remedy }: Failure, { voice }: Session): ExitCode {
  const text = `${nameEntry(entry)}: ${message}\n${remedy}`;
  if (exitCode !== EXIT_CODES.refused && exitCode !== EXIT_CODES.unavailable) {
    voice.warn(text);
    return EXIT_CODES.done;
  }
  voice.say(`error: ${text}`);
  voice.annotate('error', text);
  return exitCode;
}

function nameEntry({ pullRequest, commit }: DueEntry): string {
  const short = commit.slice(0, 10);
  return pullRequest === undefined ? `commit ${short}` : `pull request ${pullRequest} at ${short}`;
}

async function reportEntry(
  entry: DueEntry,
  entries: readonly DueEntry[],
  run: DueRun,
): Promise<{ readonly published: Published } | { readonly skipped: string }> {
  const { options, session, wires } = run;
  const skip = (skipped: string) => {
    session.voice.say(`Nothing is posted for ${nameEntry(entry)}: ${skipped}`);
    return { skipped };
  };
  await refresh(entry, run);
  const group = findGroup(entry, run);
  const { launched, tasks } = group;
  const { commit, pullRequest } = entry;
  const others = entries.filter((other) => other !== entry).map((other) => findGroup(other, run));
  const owed = tasks.filter((task) => launched !== undefined && !isReported(task, launched));
  if (launched !== undefined && owed.length === 0) return skip('it was reported already');
  const isDone = tasks.every(isOver);
  const close = async () => {
    // What has not ended is found again.
    if (options.flags.dryRun !== true && isDone)
      await runInParallel(owed, (task) => closeDue(task, pullRequest ?? commit, wires));
  };
  const drop = (why: string) => close().then(() => skip(why));
  if (isReplacedBy(group, others) || (await isReplacedOnServer(entry, group, wires)))
    return drop('a newer launch of this commit has taken its place');
  const host = await wires.github;
  const pull = pullRequest === undefined ? undefined : await host?.readPullRequestState(pullRequest);
  const missing = isDone && launched !== undefined ? Math.max(0, launched.count - tasks.length) : 0;
  const subject = { entry, launched, missing, pull, settingsPath: run.settingsPath };
  if (!(await isPushed(subject, host))) return drop('no branch holds it');
  if (isPast(subject) && !isDone) return skip('the pull request has a newer commit');
  if (isPast(subject) && tasks.length === 0) return skip('its tasks are gone');
  const own = await aimAt(subject, host, options);
  const connection = connect(own, { ...wires, servers: shareReads(run, pull) });
  const reported = await settle(run.report(own, connection, muteOutputs(session, options)));
  if ('failure' in reported) {
    const { failure } = reported;
    const isClosed = failure instanceof ClosedConversation;
    // Each look at a training that goes on would fail.
    if (isClosed && !isDone) {
      session.voice.warn(`${nameEntry(entry)}: ${failure.message}\n${failure.remedy}`);
      return { skipped: failure.message };
    }
    // The others are not judged next time either.
    if (own.missing > 0 && (isClosed || failure.exitCode === EXIT_CODES.notFound)) await close();
  }
  return { published: takeSettled(reported) };
}

/** For so long it may have gone on unseen. */
const FRESH_MS = 5_000;

/** Reads again what had not ended before others were reported: a job may have told its end meanwhile. */
async function refresh({ taskIds }: DueEntry, { session, tasks, readAtMs, wires }: DueRun): Promise<void> {
  const isFresh = readAtMs !== undefined && session.clock.now() - readAtMs < FRESH_MS;
  const stale = taskIds.filter((id) => {
    const task = tasks.get(id);
    return task === undefined ? readAtMs === undefined : !isOver(task) && !isFresh;
  });
  if (stale.length === 0) return;
  const found = await wires.servers.clearml.readTasks(stale);
  for (const id of stale) tasks.delete(id);
  for (const [id, task] of found) tasks.set(id, task);
}

function findGroup({ pullRequest, commit, taskIds }: DueEntry, run: DueRun): DueGroup {
  const tasks = taskIds.flatMap((id) => findTask(id, run) ?? []);
  return { tasks, launched: findNote(tasks, { to: pullRequest ?? commit, commit }) };
}

/** A task as it was read, with the tags that this run has added since. */
function findTask(id: string, { tasks, wires }: DueRun): ReportedTask | undefined {
  const task = tasks.get(id);
  return task && { ...task, tags: [...task.tags, ...(wires.marked.get(id) ?? [])] };
}

function isReported(task: ReportedTask, launched: Due): boolean {
  return !listOpenDues(task).some(({ to, launch }) => to === launched.to && launch === launched.launch);
}

async function isReplacedOnServer(
  { pullRequest, commit }: DueEntry,
  group: DueGroup,
  { clearml, signal }: Wires,
): Promise<boolean> {
  const pipeline = group.tasks[0]?.runtime[RUNTIME_KEYS.pipeline];
  if (pullRequest === undefined || pipeline === undefined) return false;
  const candidates = await findTasksOfPullRequest(clearml, { pipeline, pullRequest }, signal);
  return isReplacedAmong(group, candidates, { pullRequest, commit });
}

/** The answers that this run has already are not asked for again. */
function shareReads(run: DueRun, pull: DueSubject['pull']): SourceServers {
  const { clearml, github } = run.wires.servers;
  const readTasks: ReportServer['readTasks'] = async (ids) => {
    const known = new Map(
      ids.flatMap((id) => {
        const task = findTask(id, run);
        return task === undefined ? [] : [[id, task]];
      }),
    );
    const others = ids.filter((id) => !known.has(id));
    return others.length === 0 ? known : new Map([...known, ...(await clearml.readTasks(others))]);
  };
  return {
    clearml: { ...clearml, readTasks },
    github:
      pull === undefined ? github : github?.then((host) => ({ ...host, readPullRequest: async () => pull })),
  };
}

/** The outputs of a step tell of one report only. With `--json` all reports are one document. */
function muteOutputs(session: Session, { flags }: Options): Session {
  const { GITHUB_OUTPUT: _, ...env } = session.env;
  const { voice } = session;
  return { ...session, env, voice: flags.json === true ? { ...voice, result: () => undefined } : voice };
}
