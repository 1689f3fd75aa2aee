import { isRecord, parseJson } from '../shell/json.ts';
import { toSingleLine } from '../text/single-line.ts';

/** A step of a `PipelineController`, as the SDK (2.1.12) keeps it in the controller's configuration `Pipeline`. */
export interface PipelineStep {
  readonly name: string;
  /** `completed`, `cached`, `running`, `failed`, `aborted`, `skipped` and more; empty before it starts. */
  readonly status: string;
  /** Its task, once it has one. */
  readonly taskId: string | undefined;
}

/** The steps of a controller; none where the task is no pipeline. */
export function readSteps(configuration: Readonly<Record<string, unknown>>): PipelineStep[] {
  const { Pipeline: item } = configuration;
  const nodes = isRecord(item) && typeof item.value === 'string' ? parseJson(item.value) : undefined;
  if (!isRecord(nodes)) return [];
  return Object.entries(nodes).flatMap(([name, node]): PipelineStep[] => {
    if (!isRecord(node)) return [];
    const { status, executed, job_id: job } = node;
    const taskId = [executed, job].find((id) => typeof id === 'string' && /^[0-9a-f]{32}$/.test(id));
    return [{ name, status: typeof status === 'string' ? status : '', taskId: taskId as string | undefined }];
  });
}

/** The step that has failed, if it has a task. */
export function findFailedStep(
  steps: readonly PipelineStep[],
): { readonly name: string; readonly taskId: string } | undefined {
  const [failed] = steps.flatMap(({ name, status, taskId }) =>
    status === 'failed' && taskId !== undefined ? [{ name, taskId }] : [],
  );
  return failed;
}

/** `step "train" failed: ValueError: …`: what a pipeline's failure is called. */
export function nameStepFailure({ name, taskId }: { name: string; taskId: string }, message: string): string {
  return `step "${toSingleLine(name, 80)}" (task ${taskId}) failed: ${message}`;
}

/** How many steps are over, whatever became of them. */
export function countEndedSteps(steps: readonly PipelineStep[]): number {
  return steps.filter(({ status }) => ENDED.includes(status)).length;
}

const ENDED: readonly string[] = ['completed', 'cached', 'failed', 'aborted', 'skipped'];

/** `3 of 5 steps completed, running: train`; empty where there are none. */
export function describeSteps(steps: readonly PipelineStep[]): string {
  if (steps.length === 0) return '';
  const done = steps.filter(({ status }) => status === 'completed' || status === 'cached').length;
  const [running] = steps.filter(({ status }) => status === 'running');
  const now = running === undefined ? '' : `, running: ${toSingleLine(running.name, 40)}`;
  return `${done} of ${steps.length} steps completed${now}`;
}
