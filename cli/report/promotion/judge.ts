import { DEFAULT_ALPHA, type MetricJudgement } from '../../gate/data.ts';
import { judgeGate } from '../../gate/judge.ts';
import { EXIT_CODES } from '../../shell/failure.ts';
import { isSuccess, RUNTIME_KEYS } from '../../training/task.ts';
import {
  areOfOwnTraining,
  type CommitTasks,
  differOnlyInSeed,
  type FoundBaseline,
  listCodeIds,
  listHistory,
} from '../baseline/baseline.ts';
import { prepareGateInput } from '../gate-input.ts';
import type { Options } from '../options.ts';
import type { SourceServers } from '../ports.ts';
import type { ReportedTask } from '../reported-task.ts';
import { completeSources, type ReportSources } from '../sources.ts';
import { isOwn } from './decide.ts';

/** What the gate says of a model beside the production model. */
export interface PromotionJudgement {
  readonly verdict: 'passed' | 'regression' | 'undecided';
  readonly metrics: readonly MetricJudgement[];
}

/** How many commits of the branch show the noise, where the settings do not say. */
const DEFAULT_RUNS = 10;

/**
 * The gate's own judgement against the production model's training, all its seeds: only what blocks a pull request objects.
 * How much runs differ is taken from the branch's commits behind it too.
 *
 * @param holder the task with the production model
 */
export async function judgePromotion(
  sources: ReportSources,
  holder: ReportedTask,
  { options, servers }: { readonly options: Options; readonly servers: SourceServers },
): Promise<PromotionJudgement> {
  const { rules, seedParam, baselineRules } = options.sources;
  const [limit = DEFAULT_RUNS] = baselineRules.flatMap((rule) => ('runs' in rule ? rule.runs : []));
  const baseline = await findProduction(sources, holder, { options, servers });
  const compared = { ...sources, baseline, anchors: [] };
  const whole = await completeSources(compared, rules, servers).whole;
  const input = prepareGateInput(
    whole,
    { rules, seedParam, baselineRules: [{ runs: limit }] },
    options.config.alpha ?? DEFAULT_ALPHA,
  );
  const { exitCode, metrics } = judgeGate(input);
  const verdict =
    exitCode === EXIT_CODES.regression
      ? 'regression'
      : exitCode === EXIT_CODES.undecided
        ? 'undecided'
        : 'passed';
  return { verdict, metrics };
}

/** The production model's training as a baseline. */
async function findProduction(
  sources: ReportSources,
  holder: ReportedTask,
  { options, servers }: { readonly options: Options; readonly servers: SourceServers },
): Promise<FoundBaseline> {
  const { tasks: own } = sources;
  const { seedParam } = options.sources;
  const seeds = await servers.clearml.findTasksByCode({
    codeIds: listCodeIds(holder),
    pipeline: holder.runtime[RUNTIME_KEYS.pipeline] ?? '',
    projectId: holder.projectId,
    branch: undefined,
    metrics: 'all',
  });
  const others = seeds.filter(
    (task) =>
      task.id !== holder.id &&
      !own.some(({ id }) => id === task.id) &&
      isSuccess(task.status) &&
      !task.isArchived &&
      !task.script.hasDiff &&
      isOwn(task) &&
      differOnlyInSeed(task, holder, seedParam),
  );
  const tasks = [holder, ...others];
  const { commit = '' } = holder.script;
  const nearest = { commit, tree: holder.runtime[RUNTIME_KEYS.code] ?? '', commitsBehind: 0, tasks };
  return {
    kind: 'found',
    by: 'tag',
    tasks,
    name: options.config.promote?.tag ?? '',
    commit: holder.script.commit,
    passedOver: 0,
    isSameTraining: areOfOwnTraining(tasks, { own, pullRequest: undefined, seedParam }),
    history: [nearest, ...listOlder(sources, holder)],
  };
}

/** The branch's commits behind the one with the production model, as far as the report has found them. */
function listOlder({ baseline, anchors }: ReportSources, holder: ReportedTask): readonly CommitTasks[] {
  const codeIds = listCodeIds(holder);
  for (const one of [baseline, ...anchors]) {
    if (one.kind !== 'found' || one.by !== 'branch') continue;
    const history = listHistory(one);
    const index = history.findIndex(({ tasks }) =>
      tasks.some((task) => task.id === holder.id || listCodeIds(task).some((id) => codeIds.includes(id))),
    );
    if (index >= 0) return history.slice(index + 1);
  }
  return [];
}
