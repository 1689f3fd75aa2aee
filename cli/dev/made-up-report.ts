import type { Baseline } from '../report/baseline/baseline.ts';
import type { Curve } from '../report/drawing/curve.ts';
import { explainFailure } from '../report/failure.ts';
import { rankByMovement } from '../report/ranking/movement.ts';
import { rankMetrics } from '../report/ranking/ranking.ts';
import { buildReport, type Report } from '../report/report.ts';
import type { ReportedTask } from '../report/reported-task.ts';
import type { ReportSources } from '../report/sources.ts';
import type { Metric } from '../training/metrics.ts';
import { formatCompareUrl } from '../training/task.ts';

/** A metric that was reported at every iteration from 0 to 10. */
export function makeMetric(title: string, series: string, fields: Partial<Metric> = {}): Metric {
  return {
    name: `${title}/${series}`,
    title,
    series,
    last: 0.5,
    min: 0.25,
    max: 1,
    first: 1,
    minAt: 7,
    maxAt: 0,
    mean: 0.5,
    count: 11,
    isSingle: false,
    ...fields,
  };
}

/** A completed task with nothing in it but what is said. */
export function makeReportedTask(fields: Partial<ReportedTask> = {}): ReportedTask {
  return {
    id: '1'.repeat(32),
    name: 'train',
    projectId: '2'.repeat(32),
    status: 'completed',
    statusReason: '',
    statusMessage: '',
    createdAtMs: Date.UTC(2026, 0, 1),
    startedAtMs: Date.UTC(2026, 0, 1, 0, 1),
    endedAtMs: Date.UTC(2026, 0, 1, 0, 2),
    iteration: 10,
    worker: undefined,
    queueId: undefined,
    tags: [],
    parent: undefined,
    isArchived: false,
    runtime: {},
    script: {
      repository: undefined,
      branch: 'topic',
      commit: '3'.repeat(40),
      entryPoint: 'train_model.py',
      workingDir: '.',
      hasDiff: false,
      packages: [],
    },
    image: undefined,
    params: {},
    hasToldArguments: false,
    metrics: [],
    monitors: [],
    artifacts: [],
    outputModels: [],
    inputModels: [],
    ...fields,
  };
}

/** The report of such tasks; every metric that was reported more than once has a curve. */
export function makeReport(
  tasks: readonly ReportedTask[],
  baselineTasks: readonly ReportedTask[] = [],
  fields: Partial<ReportSources> = {},
): Report {
  const baseline: Baseline =
    baselineTasks.length === 0
      ? { kind: 'missing', reason: 'off', branch: undefined, commitsSearched: 0 }
      : {
          kind: 'found',
          by: 'branch',
          tasks: baselineTasks,
          name: 'main',
          commit: '4'.repeat(40),
          commitsBehind: 0,
          passedOver: 0,
          isSameTraining: false,
          unfinished: undefined,
          history: [],
        };
  const isAskedOf = () => true;
  const ranked = rankByMovement(
    { tasks, baseline: fields.baseline ?? baseline, ranked: rankMetrics(tasks, []), isAskedOf },
    [],
  );
  const sources: ReportSources = {
    tasks,
    ranked,
    isAskedOf,
    pullRequest: {
      headCommit: '3'.repeat(40),
      baseBranch: 'main',
    },
    failure: undefined,
    isCurrent: true,
    baseline,
    anchors: [],
    consoles: new Map(),
    unread: [],
    curves: new Map([...tasks, ...baselineTasks].map((task) => [task.id, drawCurves(task)])),
    log: undefined,
    queues: new Map(),
    plots: [],
    baseSettings: undefined,
    ...fields,
  };
  return buildReport(sources, {
    rules: [],
    gate: undefined,
    failure: explainFailure(sources),
    settings: undefined,
    pullRequest: { repository: 'acme/digits', number: 7 },
    githubUrl: 'https://github.com',
    runId: '42',
    seedParam: 'Args/seed',
    webHost: 'https://app.clear.ml',
    urlOf: ({ id, projectId }) => `https://app.clear.ml/projects/${projectId}/tasks/${id}/output/log`,
    compareUrlOf: (own, others) => formatCompareUrl('https://app.clear.ml', own, others, undefined),
    nowMs: Date.UTC(2026, 0, 1, 0, 3),
  });
}

function drawCurves(task: ReportedTask): Map<string, Curve> {
  const x = Array.from({ length: 11 }, (_, index) => index);
  return new Map(
    task.metrics
      .filter(({ count }) => count > 1)
      .slice(0, 40)
      .map(({ name }) => [name, { x, y: x.map((at) => 1 / (at + 1)) }]),
  );
}
