import type { CodeLocation } from '../github/event.ts';
import type { CheckoutReader } from '../github/git.ts';
import type { Environment } from '../shell/environment.ts';
import { Failure, failUsage, settle } from '../shell/failure.ts';
import { identifyRepository, isCloneUrl, stripCredentials } from '../shell/git-url.ts';
import { toSingleLine } from '../text/single-line.ts';

/** The three arguments of `launch-training-task`. */
export type CodeArguments = { readonly [Name in keyof CodeLocation]: string | undefined };

/** What to train, and what the user should know about it. */
export interface LocatedCode extends CodeLocation {
  /** Uncommitted changes to tracked files that go with the task; empty for none. */
  readonly diff: string;
  readonly warnings: readonly string[];
}

/** The code to train, with its identity. */
export interface Code extends LocatedCode {
  /** The git tree, or the hashed objects of `paths`, or the commit where it can't be read locally. */
  readonly codeId: string;
}

/**
 * Finds out which code is meant: the arguments, what they leave open from the event, else from the local checkout.
 *
 * @throws Failure (usage) when the commit remains open, when the local commit is not on the remote, or when there are
 *   changes without `--diff`
 */
export async function locateCode(
  args: CodeArguments,
  eventCode: CodeLocation | Failure | undefined,
  reader: CheckoutReader,
  sendsDiff: boolean,
): Promise<LocatedCode> {
  checkArguments(args);
  const { cloneUrl, branch, commit } = args;
  const isComplete = cloneUrl !== undefined && branch !== undefined && commit !== undefined;
  const remote = isComplete ? { cloneUrl, branch, commit } : eventCode;
  if (remote instanceof Failure) throw remote;
  if (remote === undefined) return locateCheckout(args, reader, sendsDiff);
  const warnings = sendsDiff
    ? ['--diff has no effect: the commit does not come from the local checkout']
    : [];
  return { ...fillIn(args, remote, 'the event'), diff: '', warnings };
}

async function locateCheckout(
  args: CodeArguments,
  reader: CheckoutReader,
  sendsDiff: boolean,
): Promise<LocatedCode> {
  const { cloneUrl, branch, pushedBranch, tag, commit, diff, untracked } = await reader.readCheckout();
  const pushed = pushedBranch ?? tag;
  if (args.cloneUrl === undefined && !isCloneUrl(cloneUrl)) {
    throw failUsage(
      'an agent cannot clone the URL of the checkout’s remote',
      'git remote -v shows it. Correct it with git remote set-url, or give repository URL, branch and commit as arguments.',
    );
  }
  if (pushed === undefined) {
    throw failUsage(
      `commit ${commit.slice(0, 10)} is on no branch of the remote, and on no tag`,
      `An agent cannot clone it. Push it first (git push${branch === undefined ? '' : ` -u origin ${branch}`}), or run git fetch if it was pushed from elsewhere.`,
    );
  }
  const location = fillIn(args, { cloneUrl, branch: pushed, commit }, 'the local checkout');
  if (diff !== '' && !sendsDiff) {
    throw failUsage(
      'tracked files have uncommitted changes',
      'Commit and push them, or send them along with --diff.',
    );
  }
  const warnings = [
    pushedBranch === undefined &&
      `commit ${commit.slice(0, 10)} is on no branch of the remote: an agent finds it only if the tag ${tag} is pushed (git push origin ${tag})`,
    untracked.length > 0 &&
      `${nameUntracked(untracked)} will not reach the training: git add and commit what it needs`,
  ];
  return { ...location, diff, warnings: warnings.filter((warning) => warning !== false) };
}

/** How many untracked files are named. */
const MAX_NAMES = 5;

/** `2 untracked files (a.py, b.py)` */
function nameUntracked(paths: readonly string[]): string {
  const folders = paths.filter((path) => path.endsWith('/')).length;
  const noun = folders === 0 ? 'file' : folders === paths.length ? 'folder' : 'file or folder';
  const plural = noun.replace(/(file|folder)/g, '$1s');
  const names = paths.slice(0, MAX_NAMES).map((path) => toSingleLine(path, 80));
  const more = paths.length > MAX_NAMES ? ` and ${paths.length - MAX_NAMES} more` : '';
  return `${paths.length} untracked ${paths.length === 1 ? noun : plural} (${names.join(', ')}${more})`;
}

/**
 * The only commit that may be trained, as PR_COMMIT says; undefined where it is not set.
 *
 * @throws Failure (usage) when it is not a full commit id
 */
export function readExpectedCommit(env: Environment): string | undefined {
  const commit = env.PR_COMMIT?.trim().toLowerCase();
  if (commit === undefined || isCommitId(commit)) return commit;
  throw failUsage(
    'PR_COMMIT is not a full commit id',
    'Give all 40 hexadecimal digits: anybody can make another commit with the same first digits.',
  );
}

/**
 * Ensures that the reviewed commit is trained: the branch may have moved on since.
 *
 * @param expected as `readExpectedCommit` gives it
 * @throws Failure (usage) when it is another commit
 */
export function checkExpectedCommit(commit: string, expected: string | undefined): void {
  if (expected === undefined || expected === commit) return;
  throw failUsage(
    `the commit to train is ${commit.slice(0, 10)}, not ${expected.slice(0, 10)} as PR_COMMIT says`,
    `Most likely the branch has moved on. Read the new commits, then give ${commit}.`,
  );
}

function isCommitId(text: string): boolean {
  return /^[0-9a-f]{40}(?:[0-9a-f]{24})?$/i.test(text);
}

/** The code of the arguments. What they leave open comes from the source. */
function fillIn(args: CodeArguments, source: CodeLocation, sourceName: string): CodeLocation {
  const isOtherRepository =
    args.cloneUrl !== undefined && identifyRepository(args.cloneUrl) !== identifyRepository(source.cloneUrl);
  const isOtherBranch = args.branch !== undefined && args.branch !== source.branch;
  if (isOtherRepository || (isOtherBranch && args.commit === undefined)) {
    throw failUsage(
      `the arguments do not say which commit of the ${isOtherRepository ? 'repository' : 'branch'} to train`,
      `Give repository URL, branch and commit: ${sourceName} is about ${isOtherRepository ? 'another repository' : `branch ${source.branch}`}.`,
    );
  }
  return {
    cloneUrl: stripCredentials(args.cloneUrl ?? source.cloneUrl),
    branch: args.branch ?? source.branch,
    commit: (args.commit ?? source.commit).toLowerCase(),
  };
}

function checkArguments({ cloneUrl, branch, commit }: CodeArguments): void {
  if (cloneUrl !== undefined && !isCloneUrl(cloneUrl)) {
    throw failUsage(
      'git cannot clone the repository URL',
      'Give it as https://github.com/acme/digits.git or git@github.com:acme/digits.git.',
    );
  }
  if (branch !== undefined && !isBranchName(branch)) {
    throw failUsage(
      'the branch is not a valid name of a git branch',
      'Give its name as git branch shows it, without refs/heads/.',
    );
  }
  if (commit !== undefined && !isCommitId(commit)) {
    throw failUsage(
      'the commit is not a full commit id',
      'Give all 40 hexadecimal digits, as git rev-parse HEAD prints them. A short id or a branch can change its meaning.',
    );
  }
}

/** The rules of git-check-ref-format that matter to us: a branch's name may hold shell signs, but not blanks. */
function isBranchName(name: string): boolean {
  return name !== '' && !/^[-/.]|[\s\p{Cc}~^:?*[\\]|\.\.|@\{|\/\/|[/.]$|\.lock$/u.test(name);
}

/**
 * The code's identity: the commit's tree, since message and parents decide nothing. Where neither the checkout nor GitHub
 * tells it, the commit.
 *
 * @param askForTree the tree as GitHub knows it
 */
export async function identifyCode(
  located: LocatedCode,
  reader: CheckoutReader,
  askForTree: () => Promise<string | undefined>,
): Promise<Code> {
  const { commit } = located;
  const known = await reader.readTreeId(commit);
  if (known !== undefined) return { ...located, warnings: [], codeId: known };
  const asked = await settle(askForTree());
  if ('value' in asked && asked.value !== undefined) return { ...located, warnings: [], codeId: asked.value };
  const why =
    'failure' in asked
      ? `its files are unknown (${asked.failure.message})`
      : await reader.explainUnreadable(commit);
  const warning = `${why}. Only a training of this very commit is reused`;
  return { ...located, warnings: why === undefined ? [] : [warning], codeId: commit };
}
