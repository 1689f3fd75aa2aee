import { formatGithubTime, type GitHistory } from './git-history.ts';
import { type AnswerBuilder, objectIdFor, type Pull, type PullDocument } from './github-answers.ts';
import { answerPage, type Handlers } from './github-call.ts';
import { notFound } from './github-refusal.ts';

/** A pull request as the sandbox is told of it; on GitHub, pushes and people make them. */
export interface SandboxPull {
  readonly number: number;
  /** Default: the tip of `headRef` in `gitDir`, followed as it moves, as GitHub does at every push. */
  readonly headSha?: string;
  readonly headRef: string;
  readonly baseRef: string;
  /** Default: the base branch's tip in `gitDir`; without one a made-up commit id. */
  readonly baseSha?: string;
  /** `owner/name`; another than the sandbox's repository makes it a fork's pull request. */
  readonly headRepository?: string;
  /** The head repository was deleted since: GitHub then gives none. */
  readonly isHeadGone?: boolean;
  readonly title?: string;
  /** Login; default: the owner of the head repository. */
  readonly author?: string;
}

export interface PullStore {
  readonly handlers: Handlers;
  add(pull: SandboxPull): void;
  /** The pull request as it is now; throws GitHub's 404. */
  find(number: number): Promise<Pull>;
  all(): readonly Pull[];
  /** Throws where there is no such pull request. */
  setHead(number: number, headSha: string): void;
  /** Throws where there is no such pull request. */
  close(number: number): void;
  /** Throws where there is no such pull request. */
  merge(number: number, sha: string): void;
  describe(pull: Pull): Promise<PullDocument>;
}

const PUSHED_BEFORE_MS = 60_000;

export interface PullStoreOptions {
  readonly repository: string;
  readonly history: GitHistory | undefined;
  readonly answers: AnswerBuilder;
  readonly countComments: (pull: number) => number;
  /** The present time as GitHub writes it. */
  readonly time: () => string;
}

export function createPullStore(options: PullStoreOptions): PullStore {
  const { repository, history, answers, time } = options;
  const pulls = new Map<number, Pull>();
  /** Pull requests whose head is their branch's tip. */
  const followed = new Set<number>();

  const known = (number: number): Pull => {
    const pull = pulls.get(number);
    if (pull === undefined) throw new Error(`The sandbox has no pull request ${number}.`);
    return pull;
  };
  const setHead = (pull: Pull, headSha: string): void => {
    if (pull.headSha === headSha) return;
    pull.headSha = headSha;
    pull.updatedAt = time();
    pull.pushedAt = pull.updatedAt;
  };

  const find = async (number: number): Promise<Pull> => {
    const pull = pulls.get(number);
    if (pull === undefined) throw notFound();
    const tipOf = async (branch: string): Promise<string> =>
      (await history?.resolveBranch(branch)) ?? objectIdFor(`branch ${branch}`);
    if (followed.has(number)) setHead(pull, await tipOf(pull.headRef));
    if (pull.baseSha === '') pull.baseSha = await tipOf(pull.baseRef);
    return pull;
  };

  const describe = async (pull: Pull): Promise<PullDocument> => {
    const counts = {
      comments: options.countComments(pull.number),
      commits: 0,
      additions: 0,
      deletions: 0,
      changedFiles: 0,
    };
    const [head, base] = await Promise.all([history?.resolve(pull.headSha), history?.resolve(pull.baseSha)]);
    if (history === undefined || head === undefined || base === undefined) return answers.pull(pull, counts);
    const mergeBase = await history.mergeBase(base, head);
    const [commits, changes] = await Promise.all([
      history.between(base, head),
      history.changes(mergeBase, head),
    ]);
    return answers.pull(pull, {
      ...counts,
      commits: commits.length,
      additions: changes.reduce((sum, change) => sum + change.additions, 0),
      deletions: changes.reduce((sum, change) => sum + change.deletions, 0),
      changedFiles: changes.length,
    });
  };

  const holds = async (pull: Pull, sha: string): Promise<boolean> => {
    const [commit, head, base] = await Promise.all(
      [sha, pull.headSha, pull.baseSha].map(async (ref) => history?.resolve(ref)),
    );
    if (history === undefined || commit === undefined || head === undefined || base === undefined)
      return false;
    return (await history.isAncestor(commit, head)) && !(await history.isAncestor(commit, base));
  };

  const handlers: Handlers = {
    'pulls/get': async ({ values }) => {
      const pull = await find(Number(values.pull_number));
      return { status: 200, body: await describe(pull) };
    },
    'pulls/list': async (call) => {
      const { state = 'open', head, base, direction, sort } = call.values;
      const key = (pull: Pull): string => (sort === 'updated' ? pull.updatedAt : pull.createdAt);
      const selected = [...pulls.values()]
        .filter((pull) => state === 'all' || pull.state === state)
        .filter(
          (pull) => head === undefined || `${pull.headRepository.split('/')[0]}:${pull.headRef}` === head,
        )
        .filter((pull) => base === undefined || pull.baseRef === base)
        .sort((a, b) => key(b).localeCompare(key(a)) || b.number - a.number);
      if (direction === 'asc') selected.reverse();
      return answerPage(call, selected, async (pull) => answers.pullInList(await find(pull.number)));
    },
    'repos/list-pull-requests-associated-with-commit': async (call) => {
      const sha = String(call.values.commit_sha);
      const selected: Pull[] = [];
      for (const { number } of pulls.values()) {
        const pull = await find(number);
        if (pull.headSha === sha || pull.merge?.sha === sha || (await holds(pull, sha))) selected.push(pull);
      }
      return answerPage(call, selected, answers.pullInList);
    },
  };

  return {
    handlers,
    find,
    describe,
    all: () => [...pulls.values()],
    add(pull) {
      if (pulls.has(pull.number)) throw new Error(`Pull request ${pull.number} exists already.`);
      const headRepository = pull.headRepository ?? repository;
      if (pull.headSha === undefined) followed.add(pull.number);
      pulls.set(pull.number, {
        number: pull.number,
        title: pull.title ?? pull.headRef,
        author: pull.author ?? headRepository.split('/')[0] ?? 'octocat',
        headRef: pull.headRef,
        headSha: pull.headSha ?? '',
        headRepository,
        isHeadGone: pull.isHeadGone === true,
        // A branch is pushed before its pull request is opened.
        pushedAt: formatGithubTime(Date.parse(time()) - PUSHED_BEFORE_MS),
        baseRef: pull.baseRef,
        baseSha: pull.baseSha ?? '',
        state: 'open',
        createdAt: time(),
        updatedAt: time(),
        closedAt: null,
        merge: undefined,
      });
    },
    setHead(number, headSha) {
      setHead(known(number), headSha);
      followed.delete(number);
    },
    close(number) {
      const pull = known(number);
      pull.state = 'closed';
      pull.closedAt = time();
      pull.updatedAt = pull.closedAt;
    },
    merge(number, sha) {
      this.close(number);
      // What was merged stays as it was, whatever becomes of the branch.
      followed.delete(number);
      known(number).merge = { sha, at: time() };
    },
  };
}
