import type { BaselineRule } from '../../shell/config.ts';
import { EXIT_CODES, Failure } from '../../shell/failure.ts';
import type { MetricName, SourceServers } from '../ports.ts';
import { pickTasks, type ReportedTask } from '../reported-task.ts';
import { areOfOwnTraining, type Baseline, type BaselineSearch, selectTagBaseline } from './baseline.ts';
import { findBranchBaseline } from './branch-baseline.ts';
import type { Histories } from './histories.ts';

/** How to search for baselines. */
export interface BaselineQuestion extends Omit<BaselineSearch, 'pipeline' | 'branch'> {
  /** Tasks that rules name, by id. */
  readonly found: ReadonlyMap<string, ReportedTask>;
  /** What the pull request is to be merged into. */
  readonly baseBranch: string | undefined;
  readonly histories: Histories | undefined;
  /** The metrics to read of a baseline's tasks. */
  readonly metrics: readonly MetricName[] | 'all';
  /** A gate must know whether the base has no history at all, or none within reach. */
  readonly isGated: boolean;
}

/**
 * Finds the baseline that a rule names.
 *
 * @throws Failure (not found) if the rule's task or tag does not exist
 */
export async function findBaseline(
  rule: BaselineRule,
  question: BaselineQuestion,
  servers: SourceServers,
): Promise<Baseline> {
  if ('task' in rule) {
    const tasks = pickTasks(question.found, [rule.task], 'baseline task');
    const { name = '', script } = tasks[0] ?? {};
    const fields = { passedOver: 0, isSameTraining: areOfOwnTraining(tasks, question), history: [] };
    return { kind: 'found', by: 'task', tasks, name, commit: script?.commit, ...fields };
  }
  if ('tag' in rule) return findTagBaseline(rule.tag, question, servers);
  return findBranchBaseline(rule.branch ?? question.baseBranch, question, servers);
}

async function findTagBaseline(
  tag: string,
  question: BaselineQuestion,
  { clearml }: SourceServers,
): Promise<Baseline> {
  const { metrics, own, baseBranch } = question;
  const projectId = own[0]?.projectId;
  const tagged = projectId === undefined ? [] : await clearml.findTasksByTag({ tag, projectId, metrics });
  const baseline = selectTagBaseline(tagged, { ...question, tag, branch: baseBranch });
  if (baseline !== undefined) return baseline;
  const others =
    'Tasks do not count with uncommitted changes, of another pipeline, from workflow_dispatch, or from a pull request that no push to the base branch has marked as merged. ';
  throw new Failure(`no completed task of the project can be the baseline with the tag "${tag}"`, {
    exitCode: EXIT_CODES.notFound,
    remedy: `${tagged.length === 0 ? '' : others}Add the tag to the task to compare with, on its page in ClearML, or name another baseline.`,
  });
}
