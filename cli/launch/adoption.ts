import { handOverCode } from '../clearml/hand-over.ts';
import { editRuntime, noteInRuntime } from '../clearml/notes.ts';
import { changeTags } from '../clearml/tags.ts';
import { readTasks } from '../clearml/tasks.ts';
import { isReportedTag, keyOfDue } from '../training/due.ts';
import { isBeingEnded } from '../training/ending.ts';
import { chooseMarks } from '../training/history-mark.ts';
import { TAKEN_OVER_TAG } from '../training/ownership.ts';
import { isEnded, isSuccess, RUNTIME_KEYS, tagTakenFor } from '../training/task.ts';
import { formatUse, isSameCode, keyOfUse, listUses, mayChooseCode } from '../training/uses.ts';
import type { Launch } from './create-and-enqueue.ts';
import { findDueTo } from './due.ts';
import type { LaunchPlan, PlannedTask } from './plan.ts';
import type { KnownTask } from './server.ts';

/** A launch takes a minute at most. */
const RECENT_MS = 5 * 60_000;

/**
 * Notes on a task of another launch that this one uses it too, in `runtime` and by tags: whoever else gives it up then
 * leaves it. Before a draft is queued, so that its creator does not take it back. A task that no agent has taken yet gets
 * this launch's commit: the former one may be on no branch any more.
 *
 * @returns `overtaken`: an agent has taken it meanwhile, and may train the former commit; `ended`: somebody has ended it
 *   at the same time, so there is nothing to hand out
 */
export async function adoptTask(
  known: KnownTask,
  { document }: PlannedTask,
  launch: Launch,
): Promise<'done' | 'overtaken' | 'ended'> {
  const { plan, server, token, clock, dueNotes } = launch;
  const { client, signal } = server;
  const marks = chooseMarksOfReused(known, plan);
  // Its creator may still fail, and take it back.
  const isRecent = client.serverNow() - known.createdMs < RECENT_MS;
  const set = {
    [keyOfUse(plan.user)]: formatUse(plan.code),
    ...(marks.all.length === 0 ? {} : { [RUNTIME_KEYS.history]: marks.all.join(' ') }),
    ...(isRecent || known.status === 'created' ? { [RUNTIME_KEYS.shared]: token } : {}),
    ...dueNotes,
  };
  const isDraft = known.status === 'created';
  // An ending of before is over: it is about to be queued again.
  const isOver = isDraft || !isBeingEnded(known.runtime, client.serverNow());
  // This launch's job waits and tells, or the notes say anew what is due.
  const dueKey = keyOfDue(findDueTo(plan.run, plan.code));
  const stale = [...(isOver ? [RUNTIME_KEYS.ended] : []), ...(dueKey in set ? [] : [dueKey])];
  const remove = stale.filter((key) => known.runtime[key] !== undefined);
  const isNoted =
    remove.length === 0 && Object.entries(set).every(([key, value]) => known.runtime[key] === value);
  if (!isEnded(known.status) && !isNoted) {
    const notes = { set, remove, before: known.runtime };
    const noted = await noteInRuntime(client, known.id, notes, {
      signal,
      sleep: (ms) => clock.sleep(ms, signal),
      isRunning: known.status === 'in_progress',
    });
    if (!isDraft && (await isEndedMeanwhile(known.id, noted, launch))) return 'ended';
    if (dueKey in set && noted?.runtime[dueKey] === undefined) launch.unnoted.add(known.id);
  }
  const taken = chooseTaken(known, plan);
  const add = [...plan.tagsOfReused, ...marks.add, ...taken.add].filter((tag) => !known.tags.includes(tag));
  // It was reported, and was enqueued again since.
  const reported = isEnded(known.status) ? [] : known.tags.filter(isReportedTag);
  if (add.length + reported.length > 0)
    await changeTags(
      client,
      'tasks',
      [known.id],
      { add, remove: [...(add.length > 0 ? [...marks.remove, ...taken.remove] : []), ...reported] },
      { signal },
    );
  const isWaiting = known.status === 'queued' || known.status === 'created';
  if (!isWaiting || isSameCode(known.code, plan.code) || !mayChooseCode(plan.user, known.runtime))
    return 'done';
  return handOverCode(client, known, plan.code, { comment: document.comment, signal });
}

/** How an ended task says which commit of a pull request it stands for. The tree does not tell where only `paths` decide. */
function chooseTaken(
  known: KnownTask,
  { config, run: { pullRequest }, code: { commit } }: LaunchPlan,
): { readonly add: readonly string[]; readonly remove: readonly string[] } {
  const isTold =
    pullRequest === undefined ||
    known.code.commit === commit ||
    listUses(known.runtime).get(pullRequest)?.commit === commit;
  if (isTold || config.paths === undefined || !isEnded(known.status)) return { add: [], remove: [] };
  const tag = tagTakenFor(pullRequest, commit);
  const isOlder = (one: string) => one !== tag && one.startsWith(tagTakenFor(pullRequest, ''));
  return { add: [tag], remove: known.tags.filter(isOlder) };
}

/** A running training ends some seconds after it was told to. */
const ENDING_MS = 20_000;
const ENDING_PAUSE_MS = 250;

/**
 * Whether somebody ends a task just as we take it: its pull request was closed, or has newer code. Who ends one notes that
 * first and looks who uses it afterwards; we look in the other order, so one of the two sees the other.
 *
 * @param noted the task after our note; undefined where it is unknown
 */
async function isEndedMeanwhile(
  id: string,
  noted: Awaited<ReturnType<typeof noteInRuntime>>,
  { server: { client, signal }, clock, deadlineMs }: Launch,
): Promise<boolean> {
  const untilMs = Math.min(clock.now() + ENDING_MS, deadlineMs);
  const read = async () => (await readTasks(client, [id], ['status', 'runtime'], { signal })).get(id);
  for (let task = noted ?? (await read()); task !== undefined; task = await read()) {
    const { status, runtime } = task;
    if (isSuccess(status)) return false;
    if (status === 'created' || isEnded(status)) return true;
    if (!isBeingEnded(runtime, client.serverNow())) return false;
    if (clock.now() >= untilMs) {
      if (status !== 'queued') return true;
      // Whoever wrote it has given up: it would be told of the task's next end.
      await editRuntime(client, id, { remove: [RUNTIME_KEYS.ended] }, { signal });
      return false;
    }
    await clock.sleep(ENDING_PAUSE_MS, signal);
  }
  return true;
}

/** Without a pull request it is a mark of the branch's history, or the general one. */
function chooseMarksOfReused(
  known: KnownTask,
  { historyMark, run }: LaunchPlan,
): ReturnType<typeof chooseMarks> {
  const isSafe = isEnded(known.status) || known.runtime[RUNTIME_KEYS.pullRequest] === undefined;
  const marks =
    historyMark === undefined
      ? { add: [], remove: [], all: [] }
      : chooseMarks({ ...known, isSafe }, historyMark);
  const isTaken = run.pullRequest === undefined && (known.status === 'created' || !isSafe);
  return marks.add.length === 0 && isTaken ? { ...marks, add: [TAKEN_OVER_TAG] } : marks;
}
