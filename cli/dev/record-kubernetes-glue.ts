import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { startClearmlSandbox } from '../sandbox/clearml-server.ts';
import { splitLogLines } from '../training/console-log.ts';
import { type ClearmlDriver, createClearmlDriver, type TaskDocument } from './clearml-driver.ts';
import { type ClusterState, type KubernetesGlue, startKubernetesGlue } from './kubernetes-glue.ts';
import { preparePythonEnvironment } from './python-environment.ts';

// Records what ClearML's Kubernetes glue asks a server for, and what it leaves on a task, for e2e/check-task-kubernetes.test.ts and
// training/cause.test.ts:
//   node --import tsx cli/dev/record-kubernetes-glue.ts
// kubernetes-pod-deleted.json is written by hand, after glue/k8s.py: where a pod is gone, the glue of clearml-agent 3.0.3 ends with a
// TypeError of its own (it subtracts a text from a date); earlier ones write these words.

/** What changes a task, by the glue or by us. Ids are replaced by TASK, QUEUE and PODS (the queue that the glue makes). */
interface Step {
  readonly endpoint: string;
  readonly body: unknown;
}

/** What a pod goes through, one state after the other; each until the task has what it leads to. */
interface Way {
  readonly before?: ClusterState;
  readonly act?: ReadonlyArray<readonly [state: (task: string) => ClusterState, seen: RegExp]>;
  /** What ends the recording: a part of `status; reason; message`. */
  readonly until: RegExp;
}

const waits = (reason: string, message?: string) => (task: string) => ({
  pending: [{ task, reason, ...(message === undefined ? {} : { message }) }],
});
const UNSCHEDULABLE = '0/3 nodes are available: 3 Insufficient nvidia.com/gpu.';

const WAYS: Readonly<Record<string, Way>> = {
  scheduled: {
    act: [
      [waits('Unschedulable', UNSCHEDULABLE), /Unschedulable/],
      [waits('ContainerCreating'), /ContainerCreating/],
    ],
    until: /ContainerCreating/,
  },
  'kubernetes-image': {
    act: [
      [waits('ErrImagePull', 'rpc error: code = NotFound desc = acme/train:9: not found'), /ErrImagePull/],
      [waits('ImagePullBackOff', 'Back-off pulling image "acme/train:9"'), /^failed/],
    ],
    until: /^failed/,
  },
  'kubernetes-refused': {
    before: { applyError: 'Error from server (Forbidden): pods "clearml-id" is forbidden: exceeded quota' },
    until: /^failed/,
  },
  'no-free-pod': {
    before: { counted: JSON.stringify({ items: Array(8).fill({}) }) },
    until: /k8s max pod limit/,
  },
  'unreadable-pods': { before: { counted: 'error: connection refused' }, until: /kubectl parsing error/ },
};

const CHANGES =
  /^(?:events\.add_batch|queues\.(?:create|get_next_task|remove_task)|tasks\.(?:stop|enqueue|update|failed|dequeue|edit\w*))$/;

const CALLS = new URL('../e2e/fixtures/kubernetes-glue.json', import.meta.url);
const CAUSES = new URL('../training/fixtures/causes/', import.meta.url);
const QUIET: ClusterState = { pending: [], deleted: [], applyError: '', counted: '{"items": []}' };

async function record(): Promise<void> {
  const { python } = await preparePythonEnvironment();
  const calls: Record<string, Step[]> = {};
  for (const [name, way] of Object.entries(WAYS)) {
    const steps: Step[] = [];
    const sandbox = await startClearmlSandbox({
      onRequest: ({ endpoint, body }) => void (CHANGES.test(endpoint) && steps.push({ endpoint, body })),
    });
    const driver = createClearmlDriver(sandbox.env);
    const glue = await startKubernetesGlue({ server: sandbox.env, python, queue: 'default' });
    try {
      const { task, log, queue, pods, count } = await follow(way, driver, glue, steps);
      const made = steps.findIndex(({ endpoint }) => endpoint === 'tasks.enqueue');
      const kept = steps.slice(made + 1, count).filter((step) => JSON.stringify(step).includes(task.id));
      const text = JSON.stringify(kept).replaceAll(/,"timestamp":\d+/g, '');
      calls[name] = JSON.parse(
        text.replaceAll(task.id, 'TASK').replaceAll(queue, 'QUEUE').replaceAll(pods, 'PODS'),
      );
      if (name.startsWith('kubernetes-')) writeCause(name, task, log);
      process.stderr.write(`${name}: ${describe(task)}\n`);
    } catch (error) {
      throw new Error(`${name}: ${glue.log().slice(-3000)}`, { cause: error });
    } finally {
      await glue.stop();
      await sandbox.close();
    }
  }
  writeFileSync(CALLS, `${JSON.stringify(calls, undefined, 1)}\n`);
}

async function follow(
  { before, act = [], until }: Way,
  driver: ClearmlDriver,
  glue: KubernetesGlue,
  steps: readonly Step[],
) {
  glue.setCluster({ ...QUIET, ...before });
  const queueOf = async (name: string) =>
    (await driver.call('queues.get_all', { name: `^${name}$` })).queues[0].id;
  const queue = await queueOf('default');
  const id = await driver.createTask({ name: 'train' });
  await driver.call('tasks.enqueue', { task: id, queue });
  for (const [state, seen] of act) {
    await waitFor(driver, id, /k8s pending scheduler/);
    glue.setCluster(state(id));
    await waitFor(driver, id, seen);
  }
  const task = await waitFor(driver, id, until);
  const count = steps.length;
  await sleep(500);
  const page = await driver.call('events.get_task_log', { task: id, order: 'asc', navigate_earlier: false });
  const log: string[] = page.events.flatMap(({ msg }: { msg: string }) => splitLogLines(msg));
  return { task, log, queue, pods: await queueOf('k8s_scheduler'), count };
}

async function waitFor(driver: ClearmlDriver, id: string, seen: RegExp): Promise<TaskDocument> {
  for (const endMs = Date.now() + 30_000; Date.now() < endMs; await sleep(50)) {
    const task = await driver.getTask(id);
    if (seen.test(describe(task))) return task;
  }
  throw new Error(`not seen: ${seen}`);
}

function describe({ status, status_reason, status_message }: TaskDocument): string {
  return `${status}; ${status_reason}; ${status_message}`;
}

function writeCause(name: string, task: TaskDocument, log: readonly string[]): void {
  const { status, status_reason: statusReason, status_message: statusMessage } = task;
  const cleaned = log.map((line) => line.replaceAll(/[0-9a-f]{32}/g, '0'.repeat(32)));
  const fixture = { status, statusReason, statusMessage, log: cleaned };
  writeFileSync(new URL(`${name}.json`, CAUSES), `${JSON.stringify(fixture, undefined, 1)}\n`);
}

await record();
