import type { CodeHost, CommitComparison, ListedCommit } from '../../github/client.ts';
import { type Settled, settle } from '../../shell/failure.ts';

/** The newest commits of a branch, and where the pull request branched off. */
export interface BranchHistory {
  readonly comparison: CommitComparison | undefined;
  /** The branch's newest commit first. */
  readonly listed: ReadonlyMap<string, ListedCommit>;
}

/** GitHub's branches; each request is sent once. */
export interface Histories {
  /** @param head a branch or a commit */
  search(branch: string, head: string): Promise<Settled<BranchHistory>>;
  /** The tree of a commit that was compared with a branch. */
  findTree(commit: string): Promise<string | undefined>;
}

export function openHistories(github: Promise<CodeHost>): Histories {
  const lists = new Map<string, Promise<readonly ListedCommit[]>>();
  const searches = new Map<string, Promise<Settled<BranchHistory>>>();
  const listCommits = (branch: string) => {
    const list = lists.get(branch) ?? github.then((host) => host.listCommits(branch));
    lists.set(branch, list);
    return list;
  };
  const read = async (branch: string, head: string): Promise<BranchHistory> => {
    const [comparison, commits] = await Promise.all([
      github.then((host) => host.compareCommits(branch, head)),
      listCommits(branch),
    ]);
    return { comparison, listed: new Map(commits.map((commit) => [commit.commit, commit])) };
  };
  return {
    search(branch, head) {
      const key = JSON.stringify([branch, head]);
      const begun = searches.get(key) ?? settle(read(branch, head));
      searches.set(key, begun);
      return begun;
    },
    async findTree(commit) {
      for (const search of searches.values()) {
        const found = await search;
        const compared = 'value' in found ? found.value.comparison?.head : undefined;
        if (compared?.commit === commit) return compared.tree;
      }
      return undefined;
    },
  };
}
