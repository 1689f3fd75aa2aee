import { toSingleLine } from '../text/single-line.ts';
import type { TaskStatus } from './task.ts';

// ClearML's Kubernetes glue (clearml-agent 3.0.3, clearml_agent/glue: k8s.py, pending_pods_daemon.py) takes a task out of its queue,
// makes a pod for it, and parks it in a queue of its own until the pod's agent starts it.

/** A task, as far as the glue tells of it. */
interface GlueWords {
  readonly status: TaskStatus;
  readonly statusReason: string;
  readonly statusMessage: string;
}

/** The reason of a task that is stopped only until it is in the next queue: the server lets nothing else be enqueued. */
const MOVES = 'moving to k8s pending queue';
const PARKED = 'k8s pending scheduler';
/** It is back in its queue, as the cluster has no place or does not answer. */
const PUT_BACK = ['k8s max pod limit (no free k8s service)', 'kubectl parsing error'];

/** Whether a queue is where the glue parks tasks. It has no workers, and needs none. */
export function isPodQueue(name: string, systemTags: readonly string[]): boolean {
  return name === 'k8s_scheduler' || systemTags.includes('k8s-glue');
}

/**
 * What a task waits for a pod with, in the glue's own words: `Unschedulable (0/3 nodes are available: …)`. Empty where it
 * says nothing, undefined where no pod is waited for.
 */
export function readPodState({ statusReason, statusMessage }: GlueWords): string | undefined {
  const [, said] = /^K8S glue status: (.*)/s.exec(statusMessage) ?? [];
  if (said !== undefined) return toSingleLine(said);
  if (PUT_BACK.includes(statusReason)) return statusReason;
  return statusReason === PARKED || statusReason === MOVES ? '' : undefined;
}

/**
 * How long a stopped task may be on its way from one queue to the next, in ms; undefined where it is not. The glue gives no
 * reason where it puts a task back, nor does a person who stops one.
 */
export function findMoveTimeoutMs(task: GlueWords, isWaitingForPod: boolean): number | undefined {
  if (task.status !== 'stopped') return undefined;
  if (task.statusReason === MOVES) return 30_000;
  return isWaitingForPod && task.statusReason === '' ? 10_000 : undefined;
}
