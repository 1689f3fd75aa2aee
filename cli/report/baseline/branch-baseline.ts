import type { Ancestor, CodeHost, CommitComparison, ListedCommit } from '../../github/client.ts';
import { type Failure, settle } from '../../shell/failure.ts';
import type { ReportedTask } from '../reported-task.ts';
import type { MetricName, ReportServer } from '../sources.ts';
import {
  type Baseline,
  findUnfinished,
  isBranchTrained,
  MAX_ANCESTORS,
  type MissingBaseline,
  selectBranchBaseline,
  walkFirstParents,
} from './baseline.ts';

/** A branch of merge commits has its first parents spread over several pages. */
const MAX_COMMIT_PAGES = 4;

/** What GitHub told at once: the newest commits that the branch reaches, and where the pull request branched off. */
export interface BranchHistory {
  readonly comparison: CommitComparison | undefined;
  /** The branch's newest commit first. */
  readonly listed: ReadonlyMap<string, ListedCommit>;
}

export interface BranchQuestion {
  readonly branch: string;
  readonly pipeline: string;
  readonly history: BranchHistory;
  /** The code under test. */
  readonly tasks: readonly ReportedTask[];
  /** The pull request under test. */
  readonly pullRequest: number | undefined;
  readonly seedParam: string;
  /** Of the base's tasks, what is compared. */
  readonly metrics: readonly MetricName[] | 'all';
  /** A gate must know whether there is no history at all, or none within reach. */
  readonly isGated: boolean;
}

/**
 * Looks for the tasks of the nearest base commit, and for those of the history behind it.
 *
 * ClearML is asked once for the commits that GitHub's first list reaches: all hundred of a branch that is squashed or
 * rebased. Only where they have no task it is asked once more: for all others that a branch of merges spreads over further
 * lists, and for a gate whether the branch was ever trained.
 */
export async function findBranchBaseline(
  question: BranchQuestion,
  clearml: Pick<ReportServer, 'findTasksByCode' | 'findTasksByBranch'>,
  github: Promise<CodeHost>,
): Promise<{ readonly baseline: Baseline; readonly failure: Failure | undefined }> {
  const { branch, pipeline, history, tasks, pullRequest, seedParam, metrics, isGated } = question;
  const missing = (reason: MissingBaseline['reason'], commitsSearched = 0, failure?: Failure) => {
    const baseline: MissingBaseline = { kind: 'missing', reason, branch, commitsSearched };
    return { baseline, failure };
  };
  if (history.comparison === undefined) return missing('no-ancestor');
  const { mergeBase, head } = history.comparison;
  const sought = { pipeline, branch, own: tasks, pullRequest, head: head.commit, seedParam };
  const where = { pipeline, projectId: tasks[0]?.projectId };

  const newest = history.listed;
  const hasMergeBase = newest.has(mergeBase);
  const near = hasMergeBase ? { value: newest } : await settle(listOn(github, newest, mergeBase, 1));
  if ('failure' in near) return missing('no-github', 0, near.failure);
  const first = walkFirstParents(mergeBase, near.value, MAX_ANCESTORS).chain;
  const candidates: ReportedTask[] = [];
  if (first.length > 0) {
    const codeIds = listIds(first);
    candidates.push(...(await clearml.findTasksByCode({ ...where, codeIds, branch: undefined, metrics })));
    const baseline = selectBranchBaseline(first, candidates, sought);
    if (baseline !== undefined) return { baseline, failure: undefined };
  }
  const pagesLeft = MAX_COMMIT_PAGES - (hasMergeBase ? 1 : 2);
  const far = await settle(listOn(github, near.value, mergeBase, pagesLeft));
  if ('failure' in far) return missing('no-github', first.length, far.failure);
  const { chain } = walkFirstParents(mergeBase, far.value, MAX_ANCESTORS);
  const rest = listIds(chain.slice(first.length));
  const later = isGated ? listLater(newest, chain) : [];
  if (rest.length > 0) {
    const codeIds = [...new Set([...rest, ...listIds(later)])];
    candidates.push(
      ...(await clearml.findTasksByCode({
        ...where,
        codeIds,
        branch: isGated ? branch : undefined,
        metrics,
      })),
    );
  } else if (isGated) {
    candidates.push(...(await clearml.findTasksByBranch({ ...where, branch, codeIds: listIds(later) })));
  }
  const baseline = selectBranchBaseline(chain, candidates, sought);
  if (baseline !== undefined) return { baseline, failure: undefined };
  const unfinished = findUnfinished(chain, candidates, sought);
  if (unfinished !== undefined) {
    const { baseline: none, failure } = missing('unfinished', chain.length);
    return { baseline: { ...none, unfinished }, failure };
  }
  const isTrained = isGated && isBranchTrained(later, candidates, sought);
  return missing(isTrained ? 'unreached' : 'no-task', chain.length);
}

/** Lists on from where the known first parents end, until there are enough of them, but not more than some pages. */
async function listOn(
  github: Promise<CodeHost>,
  known: ReadonlyMap<string, ListedCommit>,
  from: string,
  pages: number,
): Promise<ReadonlyMap<string, ListedCommit>> {
  let listed = known;
  for (let page = 0; page < pages; page += 1) {
    const { chain, next } = walkFirstParents(from, listed, MAX_ANCESTORS);
    if (next === undefined || chain.length >= MAX_ANCESTORS) break;
    const more = await (await github).listCommits(next);
    listed = new Map([...listed, ...more.map((commit) => [commit.commit, commit] as const)]);
  }
  return listed;
}

function listIds(commits: readonly Ancestor[]): string[] {
  return [...new Set(commits.flatMap(({ commit, tree }) => [commit, tree]))];
}

/** The branch's commits since the pull request branched off, as far as they were listed. */
function listLater(listed: BranchHistory['listed'], chain: readonly Ancestor[]): Ancestor[] {
  const [newest] = listed.keys();
  if (newest === undefined) return [];
  const isSearched = new Set(chain.map(({ commit }) => commit));
  return walkFirstParents(newest, listed, MAX_ANCESTORS).chain.filter(
    ({ commit }) => !isSearched.has(commit),
  );
}
