import type { Ancestor, CodeHost, ListedCommit } from '../../github/client.ts';
import { settle } from '../../shell/failure.ts';
import { RUNTIME_KEYS } from '../../training/task.ts';
import type { SourceServers } from '../ports.ts';
import type { ReportedTask } from '../reported-task.ts';
import {
  type Baseline,
  findUnfinished,
  isAnyTrained,
  isBranchTrained,
  listIds,
  MAX_ANCESTORS,
  type MissingBaseline,
  selectBranchBaseline,
  walkFirstParents,
} from './baseline.ts';
import type { BaselineQuestion } from './find-baseline.ts';
import type { BranchHistory } from './histories.ts';

/** On a branch of merge commits the first parents are spread over several pages. */
const MAX_COMMIT_PAGES = 4;

/**
 * Finds the tasks of the nearest base commit, and of the history behind it.
 *
 * ClearML is asked once about the commits of GitHub's first page: all hundred of a branch without merges. Only if they have
 * no task it is asked again, about the commits of further pages and, for a gate, whether the branch was ever trained.
 */
export async function findBranchBaseline(
  branch: string | undefined,
  question: BaselineQuestion,
  { clearml, github }: SourceServers,
): Promise<Baseline> {
  const missing = (reason: MissingBaseline['reason'], fields: Partial<MissingBaseline> = {}) =>
    ({ kind: 'missing', reason, branch, commitsSearched: 0, ...fields }) as const;
  const { own, head, histories, metrics, isGated } = question;
  const pipeline = own[0]?.runtime[RUNTIME_KEYS.pipeline];
  if (github === undefined || histories === undefined) return missing('no-github');
  if (pipeline === undefined) return missing('no-pipeline');
  if (branch === undefined || head === undefined) return missing('no-branch');
  const history = await histories.search(branch, head);
  if ('failure' in history) return missing('no-github', { failure: history.failure });
  const { comparison, listed } = history.value;
  if (comparison === undefined) return missing(listed.size === 0 ? 'no-such-branch' : 'no-ancestor');

  const { mergeBase } = comparison;
  const search = { ...question, pipeline, branch, head: comparison.head.commit };
  const where = { pipeline, projectId: own[0]?.projectId };
  const hasMergeBase = listed.has(mergeBase);
  const near = hasMergeBase ? { value: listed } : await settle(listOn(github, listed, mergeBase, 1));
  if ('failure' in near) return missing('no-github', { failure: near.failure });
  const first = walkFirstParents(mergeBase, near.value, MAX_ANCESTORS).chain;
  const candidates: ReportedTask[] = [];
  if (first.length > 0) {
    const codeIds = listIds(first);
    candidates.push(...(await clearml.findTasksByCode({ ...where, codeIds, branch: undefined, metrics })));
    const baseline = selectBranchBaseline(first, candidates, search);
    if (baseline !== undefined) return baseline;
  }

  const pagesLeft = MAX_COMMIT_PAGES - (hasMergeBase ? 1 : 2);
  const far = await settle(listOn(github, near.value, mergeBase, pagesLeft));
  if ('failure' in far) return missing('no-github', { commitsSearched: first.length, failure: far.failure });
  const { chain } = walkFirstParents(mergeBase, far.value, MAX_ANCESTORS);
  const rest = listIds(chain.slice(first.length));
  const later = isGated ? listLater(listed, chain) : [];
  if (rest.length > 0) {
    const codeIds = [...new Set([...rest, ...listIds(later)])];
    const onBranch = isGated ? branch : undefined;
    candidates.push(...(await clearml.findTasksByCode({ ...where, codeIds, branch: onBranch, metrics })));
  } else if (isGated) {
    candidates.push(...(await clearml.findTasksByBranch({ ...where, branch, codeIds: listIds(later) })));
  }
  const baseline = selectBranchBaseline(chain, candidates, search);
  if (baseline !== undefined) return baseline;
  const commitsSearched = chain.length;
  const unfinished = findUnfinished(chain, candidates, search);
  if (unfinished !== undefined) return missing('unfinished', { commitsSearched, unfinished });
  const isTrained = isGated && isBranchTrained(later, candidates, search);
  const isFirst = !isTrained && chain.length > 0 && !isAnyTrained(chain, candidates, search);
  return missing(isTrained ? 'unreached' : 'no-task', { commitsSearched, isFirst });
}

/** Lists further pages from the last known first parent, until there are enough commits or no pages are left. */
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

/** The listed commits of the branch since the pull request branched off. */
function listLater(listed: BranchHistory['listed'], chain: readonly Ancestor[]): Ancestor[] {
  const [newest] = listed.keys();
  if (newest === undefined) return [];
  const isSearched = new Set(chain.map(({ commit }) => commit));
  return walkFirstParents(newest, listed, MAX_ANCESTORS).chain.filter(
    ({ commit }) => !isSearched.has(commit),
  );
}
