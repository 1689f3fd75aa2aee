import type { CodeLocation } from '../github/event.ts';
import type { CheckoutReader } from '../github/git.ts';
import type { Environment } from '../shell/environment.ts';
import { EXIT_CODES, Failure } from '../shell/failure.ts';
import { identifyRepository, isCloneUrl, stripCredentials } from '../shell/git-url.ts';

/** The code to train, with what its identity is made of. */
export interface Code extends CodeLocation {
  /** The git tree, or the hashed objects of `paths`, or the commit where it can't be read locally. */
  readonly codeId: string;
  /** Uncommitted changes to tracked files that go with the task; empty for none. */
  readonly diff: string;
}

/** The three arguments of `launch-training-task`. */
export interface CodeArguments {
  readonly cloneUrl: string | undefined;
  readonly branch: string | undefined;
  readonly commit: string | undefined;
}

/** What to train, and what the user should know about it. */
export interface LocatedCode {
  readonly location: CodeLocation;
  readonly diff: string;
  readonly warnings: readonly string[];
}

/**
 * Finds out which code is meant: the arguments, what they leave open from the event, else from the local checkout.
 *
 * @throws Failure (usage) when they leave something open that nothing else tells, when the local commit is not on the
 *   remote, or when it has changes and `--diff` was not given
 */
export async function locateCode(
  args: CodeArguments,
  eventCode: CodeLocation | Failure | undefined,
  reader: CheckoutReader,
  sendsDiff: boolean,
): Promise<LocatedCode> {
  checkArguments(args);
  if (args.cloneUrl !== undefined && args.branch !== undefined && args.commit !== undefined) {
    return describe(
      { cloneUrl: args.cloneUrl, branch: args.branch, commit: args.commit.toLowerCase() },
      sendsDiff,
    );
  }
  if (eventCode instanceof Failure) throw eventCode;
  if (eventCode !== undefined) {
    return describe(fillIn(args, eventCode, 'the event'), sendsDiff);
  }
  const checkout = await reader.readCheckout();
  if (args.cloneUrl === undefined && !isCloneUrl(checkout.cloneUrl)) {
    throw new Failure('the URL of the checkout’s remote is none that an agent can clone', {
      exitCode: EXIT_CODES.usage,
      remedy:
        'git remote -v shows it; give the repository URL, branch and commit as arguments, or set it right with git remote set-url.',
    });
  }
  const { pushedBranch } = checkout;
  if (pushedBranch === undefined) {
    throw new Failure(`commit ${checkout.commit.slice(0, 10)} is on no branch of the remote`, {
      exitCode: EXIT_CODES.usage,
      remedy: `An agent could not clone it: push it first (git push${checkout.branch === undefined ? '' : ` -u origin ${checkout.branch}`}), or run git fetch if it was pushed from elsewhere.`,
    });
  }
  const location = fillIn(
    args,
    { cloneUrl: checkout.cloneUrl, branch: pushedBranch, commit: checkout.commit },
    'the local checkout',
  );
  if (checkout.diff !== '' && !sendsDiff) {
    throw new Failure('tracked files have changes that are not committed', {
      exitCode: EXIT_CODES.usage,
      remedy: 'Commit and push them, or send them along with --diff.',
    });
  }
  const { untrackedFiles } = checkout;
  return {
    location: { ...location, cloneUrl: stripCredentials(location.cloneUrl) },
    diff: sendsDiff ? checkout.diff : '',
    warnings:
      untrackedFiles === 0
        ? []
        : [
            `${untrackedFiles} untracked ${untrackedFiles === 1 ? 'file is' : 'files are'} not part of what is trained: git add and commit what the training needs`,
          ],
  };
}

/**
 * The only commit that may be trained, as PR_COMMIT says; undefined where nobody said so.
 *
 * @throws Failure (usage) when it is no full commit id
 */
export function readExpectedCommit(env: Environment): string | undefined {
  const commit = env.PR_COMMIT?.trim().toLowerCase();
  if (commit === undefined || isCommitId(commit)) return commit;
  throw new Failure('PR_COMMIT is no full commit id', {
    exitCode: EXIT_CODES.usage,
    remedy: 'Give all 40 hexadecimal digits: others can make a commit that has the same first ones.',
  });
}

/**
 * Makes sure that what is trained is what somebody has read: a branch may have moved on since.
 *
 * @param expected as `readExpectedCommit` gives it
 * @throws Failure (usage) when it is another commit
 */
export function checkExpectedCommit(commit: string, expected: string | undefined): void {
  if (expected === undefined || expected === commit) return;
  throw new Failure(
    `the commit to train is ${commit.slice(0, 10)}, not ${expected.slice(0, 10)} as PR_COMMIT says`,
    {
      exitCode: EXIT_CODES.usage,
      remedy: `Most likely the branch has moved on: read what has come since, then give ${commit}.`,
    },
  );
}

function isCommitId(text: string): boolean {
  return /^[0-9a-f]{40}(?:[0-9a-f]{24})?$/i.test(text);
}

function describe(location: CodeLocation, sendsDiff: boolean): LocatedCode {
  return {
    location: { ...location, cloneUrl: stripCredentials(location.cloneUrl) },
    diff: '',
    warnings: sendsDiff ? ['--diff has no effect: the commit does not come from the local checkout'] : [],
  };
}

function fillIn(args: CodeArguments, source: CodeLocation, sourceName: string): CodeLocation {
  const isOtherRepository =
    args.cloneUrl !== undefined && identifyRepository(args.cloneUrl) !== identifyRepository(source.cloneUrl);
  if (
    isOtherRepository ||
    (args.branch !== undefined && args.branch !== source.branch && args.commit === undefined)
  ) {
    throw new Failure(
      `which commit of the given ${isOtherRepository ? 'repository' : 'branch'} is meant is not said`,
      {
        exitCode: EXIT_CODES.usage,
        remedy: `Give repository URL, branch and commit; ${sourceName} is about ${isOtherRepository ? 'another repository' : `branch ${source.branch}`}.`,
      },
    );
  }
  return {
    cloneUrl: args.cloneUrl ?? source.cloneUrl,
    branch: args.branch ?? source.branch,
    commit: (args.commit ?? source.commit).toLowerCase(),
  };
}

function checkArguments({ cloneUrl, branch, commit }: CodeArguments): void {
  if (cloneUrl !== undefined && !isCloneUrl(cloneUrl)) {
    throw new Failure('the repository URL is none that git can clone', {
      exitCode: EXIT_CODES.usage,
      remedy: 'Give it as https://github.com/acme/digits.git or git@github.com:acme/digits.git.',
    });
  }
  if (branch !== undefined && !isBranchName(branch)) {
    throw new Failure('the branch is no valid name of a git branch', {
      exitCode: EXIT_CODES.usage,
      remedy: 'Give its name as git branch shows it, without refs/heads/.',
    });
  }
  if (commit !== undefined && !isCommitId(commit)) {
    throw new Failure('the commit is no full commit id', {
      exitCode: EXIT_CODES.usage,
      remedy:
        'Give all 40 hexadecimal digits, as git rev-parse HEAD prints them: a short id or a branch can change its meaning.',
    });
  }
}

/** The rules of git-check-ref-format that matter to us: shell signs are allowed in a branch's name, blanks are not. */
function isBranchName(name: string): boolean {
  return name !== '' && !/^[-/.]|[\s\p{Cc}~^:?*[\\]|\.\.|@\{|\/\/|[/.]$|\.lock$/u.test(name);
}

/** The code's identity: the commit's tree (its message and parents decide nothing); where it can't be read here, the commit. */
export async function identifyCode({ location, diff }: LocatedCode, reader: CheckoutReader): Promise<Code> {
  return { ...location, diff, codeId: (await reader.readTreeId(location.commit)) ?? location.commit };
}
