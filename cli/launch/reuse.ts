import { RUNTIME_KEYS, type TaskStatus } from '../training/task.ts';
import type { LaunchPlan, PlannedTask, TaskContent } from './plan.ts';
import type { KnownTask } from './server.ts';

/** The further a task has come, the better: it saves more of the wait. */
const PREFERENCE: ReadonlyMap<TaskStatus, number> = new Map([
  ['published', 0],
  ['completed', 1],
  ['publishing', 1],
  ['in_progress', 2],
  ['queued', 3],
  ['created', 4],
]);

/** The best of tasks with the same key; the oldest among equals, so that launches at the same time agree. */
export function chooseTask(tasks: readonly KnownTask[]): KnownTask | undefined {
  return [...tasks]
    .filter((task) => PREFERENCE.has(task.status) && !task.isArchived)
    .sort(
      (a, b) =>
        (PREFERENCE.get(a.status) ?? 9) - (PREFERENCE.get(b.status) ?? 9) ||
        a.createdMs - b.createdMs ||
        (a.id < b.id ? -1 : 1),
    )[0];
}

/**
 * Whether a task may stand for a planned one. With `--no-reuse` only an unfinished task of this very workflow run may:
 * a step that is retried must not train twice.
 */
export function canStandFor(known: KnownTask, task: PlannedTask, plan: LaunchPlan): boolean {
  if (known.runtime[RUNTIME_KEYS.key] !== task.key) return false;
  if (known.runtime[RUNTIME_KEYS.pipeline] !== plan.pipelineHash) return false;
  // Until an agent takes a task anybody can edit it in the web page, and its key does not show that. Afterwards the
  // requirements are those that were installed, the SDK adds params, and an agent's rules may set the image. The program
  // stays as it was launched (agent 3.0.3, SDK 2.1.12).
  const isUntouched = known.status === 'created' || known.status === 'queued';
  if (!isSameProgram(known.content, task.content)) return false;
  if (isUntouched && !isSameContent(known.content, task.content)) return false;
  if (plan.reuse) return true;
  const isUnfinished = isUntouched || known.status === 'in_progress';
  return isUnfinished && plan.run.runId !== undefined && known.runtime[RUNTIME_KEYS.run] === plan.run.runId;
}

function isSameProgram(a: TaskContent, b: TaskContent): boolean {
  return a.entryPoint === b.entryPoint && a.workingDir === b.workingDir && a.diff === b.diff;
}

function isSameContent(a: TaskContent, b: TaskContent): boolean {
  const flatten = (content: TaskContent) => JSON.stringify(Object.entries(content).sort());
  return flatten(a) === flatten(b);
}

/** Why a task with the key of a planned one is not taken for it; undefined where it would be. */
export function explainRefusal(known: KnownTask, task: PlannedTask, plan: LaunchPlan): string | undefined {
  if (known.isArchived) return 'is archived';
  if (known.status === 'failed') return 'has failed';
  if (!PREFERENCE.has(known.status))
    return known.status === 'unknown' ? 'has an unknown status' : `was ${known.status}`;
  if (canStandFor(known, task, plan)) return undefined;
  return canStandFor(known, task, { ...plan, reuse: true })
    ? 'is the same training, but reuse is off'
    : 'was edited since';
}
