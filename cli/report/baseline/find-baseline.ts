import type { BaselineRule } from '../../shell/config.ts';
import { EXIT_CODES, Failure } from '../../shell/failure.ts';
import type { MetricName, SourceServers } from '../ports.ts';
import { pickTasks, type ReportedTask } from '../reported-task.ts';
import { type Baseline, selectTagBaseline } from './baseline.ts';
import { findBranchBaseline } from './branch-baseline.ts';
import type { Histories } from './histories.ts';

/** What baselines are looked for with. */
export interface BaselineQuestion {
  /** The code under test. */
  readonly own: readonly ReportedTask[];
  /** Tasks that rules name, by id. */
  readonly found: ReadonlyMap<string, ReportedTask>;
  /** The pull request under test. */
  readonly pullRequest: number | undefined;
  readonly seedParam: string;
  /** What the pull request is to be merged into. */
  readonly baseBranch: string | undefined;
  /** What a branch is compared with: a branch or a commit. */
  readonly head: string | undefined;
  readonly histories: Histories | undefined;
  /** Of a baseline's tasks, what is compared. */
  readonly metrics: readonly MetricName[] | 'all';
  /** A gate must know whether there is no history at all, or none within reach. */
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
    return {
      kind: 'found',
      by: 'task',
      tasks,
      name: tasks[0]?.name ?? '',
      commit: tasks[0]?.script.commit,
      commitsBehind: undefined,
      passedOver: 0,
      isSameTraining: false,
      unfinished: undefined,
      history: [],
    };
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
