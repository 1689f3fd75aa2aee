import { findAttemptStart } from '../training/attempt.ts';
import { type Cause, explainEnd, isAgentShutDown } from '../training/cause/cause.ts';
import type { Evidence } from '../training/cause/cause-table.ts';
import { chooseExcerpt } from '../training/console-log.ts';
import { readEnding } from '../training/ending.ts';
import { nameStepFailure } from '../training/steps.ts';
import { RESET_REASON } from '../training/task.ts';
import { isArchivedUnfinished, isWorkerLost } from '../training/task-life.ts';
import { hasFailed } from './report.ts';
import type { ReportedTask } from './reported-task.ts';
import type { ReportSources } from './sources.ts';

/** Why a task failed, with the end of its console. */
export interface TaskFailure extends Cause {
  readonly taskId: string;
  /** Lines of the console: from the cause on, or the last ones. */
  readonly log: readonly string[];
}

/** How many lines of the console the report keeps. */
const LOG_LINES = 60;

/** Why the first failed task failed; undefined if none has. */
export function explainFailure({ tasks, log }: ReportSources): TaskFailure | undefined {
  const task = tasks.find(hasFailed);
  if (task === undefined) return undefined;
  const lines = log?.taskId === task.id ? log.lines : [];
  const { statusReason, statusMessage, script } = task;
  const evidence: Evidence = {
    statusReason,
    statusMessage,
    log: lines
      .slice(findAttemptStart(lines))
      .filter((line) => !SDK_REMARKS.some((remark) => remark.test(line))),
    isLogComplete: log?.isWhole ?? false,
    workingDir: script.workingDir ?? '.',
  };
  const ending = readEnding(task.runtime, task.startedAtMs);
  const cause = explainEnd(findEnd(task, evidence), evidence, ending);
  if (cause === undefined) return undefined;
  const step = task.status === 'failed' ? log?.step : undefined;
  const excerpt = chooseExcerpt(evidence.log, cause.lines, LOG_LINES);
  const shown = cause.lines && {
    first: Math.max(0, cause.lines.first - excerpt.first),
    last: cause.lines.last - excerpt.first,
  };
  return {
    ...cause,
    // A step has a script of its own.
    ...(step && { message: nameStepFailure(step, cause.message), file: undefined, line: undefined }),
    taskId: task.id,
    log: excerpt.lines,
    lines: shown,
  };
}

/*
 * What the SDK prints about itself in every training's console, as whole lines (SDK 2.1.12: task.py,
 * resource_monitor.py). Any other line may be the training's.
 */
const SDK_REMARKS = [
  /^ClearML results page: https?:\/\/\S+\/(?:tasks|experiments)\/[0-9a-f]{32}\/output\/log$/,
  /^ClearML Monitor: (?:GPU monitoring is not available|GPU monitoring failed getting GPU reading, switching off GPU monitoring|Could not detect iteration reporting, falling back to iterations as seconds-from-start|Reporting detected, reverting back to iteration based reporting)$/,
  /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - clearml\.resource_monitor - WARNING - Could not fetch GPU stats: /,
];

function findEnd(
  task: ReportedTask,
  evidence: Evidence,
): 'archived' | 'failed' | 'closed' | 'worker-lost' | 'stopped' | 'dequeued' | 'reset' {
  if (isArchivedUnfinished(task)) return 'archived';
  if (task.status === 'failed' || task.status === 'closed') return task.status;
  if (task.status === 'created') return task.statusReason === RESET_REASON ? 'reset' : 'dequeued';
  return isWorkerLost(task) || isAgentShutDown(evidence) ? 'worker-lost' : 'stopped';
}
