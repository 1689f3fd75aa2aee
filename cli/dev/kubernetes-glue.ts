import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ClearmlAgent, startClearmlAgent } from './clearml-agent.ts';

/** What the cluster does next. Each part is as it was until it is set again. */
export interface ClusterState {
  /** Pods that wait, as `kubectl get pods -o json` shows them. */
  readonly pending?: readonly PendingPod[];
  /** What `kubectl delete pod --output name` says that it deleted. */
  readonly deleted?: readonly string[];
  /** What `kubectl apply` says on stderr. */
  readonly applyError?: string;
  /** What `kubectl get pods` says where all pods are counted. */
  readonly counted?: string;
}

export interface PendingPod {
  readonly task: string;
  /** Why its container waits (`ErrImagePull`), or why no node takes it (`Unschedulable`). */
  readonly reason: string;
  readonly message?: string;
}

/** ClearML's own Kubernetes glue (`clearml_agent.glue.k8s`), over a cluster that is a shell script and some files. */
export interface KubernetesGlue extends Pick<ClearmlAgent, 'log' | 'stop'> {
  setCluster(state: ClusterState): void;
}

/** Stands for kubectl: answers with what lies in its folder. */
const KUBECTL = `#!/bin/sh
cd "$(dirname "$0")/../cluster" || exit 1
case "$*" in
  apply*) echo pod/created; cat applyError >&2;;
  delete*) cat deleted; : > deleted;;
  *status.phase=Pending*) cat pending;;
  *jsonpath*) ;;
  get*) cat counted;;
esac
`;

/** As the example of clearml-agent's repository starts it (examples/k8s_glue_example.py), with a limit of pods. */
const PROGRAM = `import sys
from clearml_agent.glue.k8s import K8sIntegration
from clearml_agent.glue import k8s
K8sIntegration._load_template_file = staticmethod(lambda path: {'spec': {}})
K8sIntegration(template_yaml='template.yaml', max_pods_limit=8).k8s_daemon(sys.argv[1])
`;

/** Starts the glue for one queue of a server. It asks queue and cluster every 0.3 s. */
export async function startKubernetesGlue(options: {
  readonly server: Readonly<Record<string, string>>;
  readonly python: string;
  readonly queue: string;
}): Promise<KubernetesGlue> {
  const folder = mkdtempSync(join(tmpdir(), 'clearml-ci-cluster-'));
  const programs = join(folder, 'bin');
  for (const name of ['bin', 'cluster']) mkdirSync(join(folder, name));
  writeFileSync(join(programs, 'kubectl'), KUBECTL, { mode: 0o755 });
  const write = (name: string, text: string) => {
    // In one step: the glue may be reading.
    writeFileSync(join(folder, name), text);
    renameSync(join(folder, name), join(folder, 'cluster', name));
  };
  const setCluster = ({ pending, deleted, applyError, counted }: ClusterState) => {
    if (pending !== undefined) write('pending', JSON.stringify({ items: pending.map(describePod) }));
    if (deleted !== undefined) write('deleted', deleted.map((task) => `pod/clearml-id-${task}\n`).join(''));
    if (applyError !== undefined) write('applyError', applyError);
    if (counted !== undefined) write('counted', counted);
  };
  setCluster({ pending: [], deleted: [], applyError: '', counted: '{"items": []}' });
  const agent = await startClearmlAgent({
    ...options,
    workerId: 'k8s:glue',
    packages: 'prepared',
    program: PROGRAM,
    programsBefore: programs,
  });
  return {
    log: agent.log,
    setCluster,
    async stop() {
      await agent.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function describePod({ task, reason, message }: PendingPod): object {
  const told = { reason, ...(message === undefined ? {} : { message }) };
  return {
    metadata: { name: `clearml-id-${task}`, namespace: 'clearml' },
    status:
      reason === 'Unschedulable'
        ? { phase: 'Pending', conditions: [{ type: 'PodScheduled', status: 'False', ...told }] }
        : { phase: 'Pending', containerStatuses: [{ state: { waiting: told } }] },
  };
}
