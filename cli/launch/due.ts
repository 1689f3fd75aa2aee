import { readTasks } from '../clearml/tasks.ts';
import type { GithubRun } from '../github/event.ts';
import type { Detachment } from '../github/remote-code.ts';
import { isActions } from '../shell/environment.ts';
import type { Session } from '../shell/program.ts';
import { statusContextOf } from '../shell/status-context.ts';
import { type Due, type DueTo, formatDue, keyOfDue, SEEDS_TAG } from '../training/due.ts';
import { resolveLimits } from '../training/limits.ts';
import { hashText } from '../training/pipeline.ts';
import { isEnded, RUNTIME_KEYS } from '../training/task.ts';
import type { Code } from './code.ts';
import type { Launch } from './create-and-enqueue.ts';
import type { LaunchInput } from './launch.ts';
import type { LaunchOptions } from './options.ts';
import type { LaunchPlan } from './plan.ts';
import type { Survey } from './survey.ts';

/** What a launch is due, before it is under way. */
export type PlannedDue = Omit<Due, 'launch' | 'count' | 'seedsTag' | 'reused' | 'atMs'>;

/** Where the report of a launch's final state goes. */
export function findDueTo({ pullRequest }: GithubRun, { commit }: Pick<Code, 'commit'>): DueTo {
  return pullRequest ?? commit;
}

/** Decides whether a job waits. GitHub is asked, and its client loaded, only where the settings may differ from the base branch's. */
export async function chooseDetachment(
  { flags, options: { config, run }, settingsPath: path, loadRemoteCode }: LaunchInput,
  session: Session,
): Promise<Detachment> {
  if (!isActions(session.env) || (config.detach === undefined && config.status === undefined))
    return { isDetached: flags.detach === true, settings: config };
  const { chooseDetachment: choose } = await loadRemoteCode();
  return choose({ flag: flags.detach, config, path, run }, session);
}

/** What is wrong with a launch that something is due of: in Actions a workflow reports it. Never throws a Failure. */
export async function findCollectingProblem(
  { due, run }: LaunchPlan,
  { loadRemoteCode }: LaunchInput,
  session: Session,
): Promise<string | undefined> {
  if (due === undefined || !isActions(session.env)) return undefined;
  return (await loadRemoteCode()).findCollectingProblem(run, due, session);
}

/**
 * What is due of a launch that no job waits for, and of each push to a branch with a commit status, or whose model may be
 * promoted: by whichever run learns its end.
 *
 * @param settings the settings file, relative to the repository's root
 * @returns undefined where a job waits, and tells
 */
export function planDue(
  { isDetached, settings: deciding }: Detachment,
  { config, run, code }: LaunchOptions,
  settings: string | undefined,
): PlannedDue | undefined {
  const context = statusContextOf(deciding);
  const isPushed = run.pullRequest === undefined && run.push?.commit === code.commit;
  const isTold = context !== undefined || config.promote !== undefined;
  if (!isDetached && !(isPushed && isTold)) return undefined;
  const { timeoutMs, queueTimeoutMs, retries } = resolveLimits(config);
  return {
    to: findDueTo(run, code),
    commit: code.commit,
    runId: run.runId,
    base: run.pullRequest === undefined ? describeBase(run, code) : undefined,
    timeoutMs,
    queueTimeoutMs,
    retries,
    settings,
    context,
    isDetached,
  };
}

function describeBase({ eventName, push }: GithubRun, { branch, commit }: Pick<Code, 'branch' | 'commit'>) {
  const event = eventName === 'merge_group' ? ('merge_group' as const) : ('push' as const);
  return { event, branch, previous: push?.commit === commit ? push.previous : undefined };
}

/**
 * The notes for a task's `runtime`; none where nothing is due.
 *
 * @param launch undefined in a dry run, which draws no token
 */
export async function noteDue(
  { due, repository, tasks, tagsOfReused }: LaunchPlan,
  { reusable }: Pick<Survey, 'reusable'>,
  launch: { readonly token: string; readonly atMs: number } | undefined,
): Promise<Readonly<Record<string, string>>> {
  if (due === undefined) return {};
  const { token = '', atMs = 0 } = launch ?? {};
  const seedsTag = tagsOfReused.find((tag) => SEEDS_TAG.test(tag));
  const ended = [...reusable.values()].flatMap(({ id, status }) => (isEnded(status) ? [id] : []));
  const reused = ended.length === 0 ? undefined : ended;
  return {
    [RUNTIME_KEYS.due]: await hashText(repository),
    [keyOfDue(due.to)]: formatDue({ ...due, count: tasks.length, seedsTag, reused, launch: token, atMs }),
  };
}

/** Warns of reused tasks that did not take the notes: no other run will learn of their end. */
export async function warnUnreported(
  { server: { client, signal }, unnoted }: Launch,
  { voice }: Session,
): Promise<void> {
  const ids = [...unnoted];
  if (ids.length === 0) return;
  const tasks = await readTasks(client, ids, ['status'], { signal });
  for (const id of ids) {
    const { status } = tasks.get(id) ?? {};
    // One that has ended meanwhile is reported by this very job.
    if (status === undefined || isEnded(status)) continue;
    voice.warn(
      `the collecting workflow will not report task ${id}: this ClearML server notes nothing on a task that waits or runs (needs API 2.34). Launch with --no-detach, or update the server`,
    );
  }
}
