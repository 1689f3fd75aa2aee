import type { BaselineRule } from '../../shell/config.ts';
import { EXIT_CODES, Failure } from '../../shell/failure.ts';
import type { MetricName, SourceServers } from '../ports.ts';
import { pickTasks, type ReportedTask } from '../reported-task.ts';
import { type Baseline, type BaselineSearch, selectTagBaseline } from './baseline.ts';
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
 * Looks for the baseline that a rule names.
 *
 * @throws Failure (not found) where a task or tag that is named is not there
 */
export async function findBaseline(
  rule: BaselineRule,
  question: BaselineQuestion,
  servers: SourceServers,
): Promise<Baseline> {
  if ('task' in rule) {
    const tasks = pickTasks(question.found, [rule.task], 'baseline task');
    const { name = '', script } = tasks[0] ?? {};
    const fields = { passedOver: 0, isSameTraining: false, history: [] };
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
    'Those with uncommitted changes, of another pipeline, by workflow_dispatch, or of a pull request that no push to the base branch has found merged do not count. ';
  throw new Failure(`no completed task of the project that could be the baseline carries the tag "${tag}"`, {
    exitCode: EXIT_CODES.notFound,
    remedy: `${tagged.length === 0 ? '' : others}Put the tag on the task to compare with, in ClearML’s web page, or name another baseline.`,
  });
}
