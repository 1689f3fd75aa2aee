import { handOverCode } from '../clearml/hand-over.ts';
import { noteInRuntime } from '../clearml/notes.ts';
import { chooseMarks } from '../training/history-mark.ts';
import { TAKEN_OVER_TAG } from '../training/ownership.ts';
import { isEnded, RUNTIME_KEYS } from '../training/task.ts';
import { formatUse, isSameCode, keyOfUse, mayChooseCode } from '../training/uses.ts';
import type { Launch } from './create-and-enqueue.ts';
import type { LaunchPlan, PlannedTask } from './plan.ts';
import { changeTags, type KnownTask } from './server.ts';

/** A launch takes a minute at most. The server's clock may differ from ours. */
const RECENT_MS = 5 * 60_000;

/**
 * Notes on a task of another launch that this one uses it too, in `runtime` and by tags: whoever else gives it up then
 * leaves it. Before a draft is queued, so that its creator does not take it back. A task that no agent has taken yet gets
 * this launch's commit: the former one may be on no branch any more.
 *
 * @returns `overtaken`: an agent has taken it meanwhile, and may train the former commit
 */
export async function adoptTask(
  known: KnownTask,
  { document }: PlannedTask,
  { plan, server, token, clock }: Launch,
): Promise<'done' | 'overtaken'> {
  const { client, signal } = server;
  const marks = chooseMarksOfReused(known, plan);
  // Its creator may still fail, and take it back.
  const isRecent = clock.now() - known.createdMs < RECENT_MS;
  const set = {
    [keyOfUse(plan.user)]: formatUse(plan.code),
    ...(marks.all.length === 0 ? {} : { [RUNTIME_KEYS.history]: marks.all.join(' ') }),
    ...(isRecent || known.status === 'created' ? { [RUNTIME_KEYS.shared]: token } : {}),
  };
  const isNoted = Object.entries(set).every(([key, value]) => known.runtime[key] === value);
  if (!isEnded(known.status) && !isNoted) {
    // An ending of before is over: it is about to be queued again.
    const remove = known.runtime[RUNTIME_KEYS.ended] === undefined ? [] : [RUNTIME_KEYS.ended];
    await noteInRuntime(client, known.id, { set, remove, before: known.runtime }, { signal });
  }
  const add = [...plan.tagsOfReused, ...marks.add].filter((tag) => !known.tags.includes(tag));
  if (add.length > 0) await changeTags(server, known.id, add, marks.remove);
  const isWaiting = known.status === 'queued' || known.status === 'created';
  if (!isWaiting || isSameCode(known.code, plan.code) || !mayChooseCode(plan.user, known.runtime))
    return 'done';
  return handOverCode(client, known, plan.code, { comment: document.comment, signal });
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
