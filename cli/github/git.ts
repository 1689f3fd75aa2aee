import { type ExecFileException, execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Failure, failUsage } from '../shell/failure.ts';
import { toSingleLine } from '../text/single-line.ts';

/** A git checkout. */
export interface Checkout {
  /** Absolute path of its top folder. */
  readonly root: string;
  /** URL to clone from, as configured. It may hold credentials. */
  readonly cloneUrl: string;
  readonly commit: string;
  /** Branch of the remote that holds the commit; undefined where no known remote branch does. */
  readonly pushedBranch: string | undefined;
  /** A tag that holds the commit; git does not know which tags are pushed. */
  readonly tag: string | undefined;
  /** The branch that is checked out; undefined for a detached HEAD. */
  readonly branch: string | undefined;
  /** Changes to tracked files against the commit, in the form of ClearML's SDK; empty for none. */
  readonly diff: string;
  /** Files that git neither tracks nor ignores, from the top folder on; `data/` for a folder with nothing else in it. */
  readonly untracked: readonly string[];
}

/** An object of a commit's tree. */
export interface TreeEntry {
  readonly mode: string;
  readonly objectId: string;
  /** From the repository's root, with forward slashes. */
  readonly path: string;
}

/** Reads the checkout that a folder is in. Every read throws its signal's reason once that is aborted. */
export interface CheckoutReader {
  /** @throws Failure (usage) without a checkout, a commit, a remote or git */
  readCheckout(): Promise<Checkout>;
  /** The commit's git tree; undefined where the commit is not in the checkout, or there is none. */
  readTreeId(commit: string): Promise<string | undefined>;
  /** Every file and submodule of the commit; undefined as above. */
  listTree(commit: string): Promise<readonly TreeEntry[] | undefined>;
  /** Why a commit can't be read here, as a warning says it; undefined where the folder is simply no checkout. */
  explainUnreadable(commit: string): Promise<string | undefined>;
  /** What the commit has at a path, and the folders on the way; undefined as above. */
  readPath(commit: string, path: string): Promise<readonly TreeEntry[] | undefined>;
}

/** Enough for diffs and trees of large repositories. */
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

/** Where git runs, and until when. */
interface Place {
  readonly cwd: string;
  readonly signal: AbortSignal;
  /** Git has said that this is no checkout: it is not asked again. */
  isOutside?: boolean;
}

async function readCheckout(place: Place): Promise<Checkout> {
  const root = await git(place, 'rev-parse', '--show-toplevel');
  const commit = await tryGit(place, 'rev-parse', '--verify', '--quiet', 'HEAD^{commit}');
  if (commit === undefined) {
    throw failUsage(
      'the checkout has no commit yet',
      'An agent trains what it can clone: commit and push your work.',
    );
  }
  const branch = await tryGit(place, 'symbolic-ref', '--quiet', '--short', 'HEAD');
  const remotes = (await git(place, 'remote')).split('\n').filter((name) => name !== '');
  const upstream =
    branch === undefined ? undefined : await tryGit(place, 'config', '--get', `branch.${branch}.remote`);
  const preferred = [...new Set([upstream ?? 'origin', 'origin', ...remotes])].filter((name) =>
    remotes.includes(name),
  );
  const [first] = preferred;
  if (first === undefined) {
    throw failUsage(
      'the checkout has no remote',
      'An agent clones the code from a remote: add one (git remote add origin URL), push, and run this again.',
    );
  }
  const top = { ...place, cwd: root };
  const [holders, diff, untracked] = await Promise.all([
    git(place, 'for-each-ref', '--contains', commit, '--format=%(refname)', 'refs/remotes', 'refs/tags'),
    readDiff(top),
    git(top, 'ls-files', '-z', '--others', '--exclude-standard', '--directory', '--no-empty-directory'),
  ]);
  const pushed = preferred
    .map((remote) => ({ remote, branch: choosePushedBranch(holders.split('\n'), remote, branch) }))
    .find((candidate) => candidate.branch !== undefined);
  return {
    root,
    cloneUrl: toCloneUrl((await git(place, 'remote', 'get-url', pushed?.remote ?? first)).trim(), root),
    commit,
    branch,
    pushedBranch: pushed?.branch,
    tag: /^refs\/tags\/(.+)$/m.exec(holders)?.[1],
    diff,
    untracked: untracked.split('\0').filter((path) => path !== ''),
  };
}

/** Of the remote's branches that hold the commit: that of the same name, else a main branch, else the first. */
function choosePushedBranch(
  refs: readonly string[],
  remote: string,
  branch: string | undefined,
): string | undefined {
  const prefix = `refs/remotes/${remote}/`;
  const names = refs
    .filter((ref) => ref.startsWith(prefix))
    .map((ref) => ref.slice(prefix.length))
    .filter((name) => name !== 'HEAD');
  return [branch, 'main', 'master'].find((name) => name !== undefined && names.includes(name)) ?? names[0];
}

/**
 * Changes to tracked files in a form that `git apply` takes, whatever the user's git settings.
 *
 * @throws Failure (usage) where they are not text
 */
async function readDiff(place: Place): Promise<string> {
  const args = ['diff', '--submodule=diff', '--binary', '--no-color', '--no-ext-diff', '--no-textconv'];
  const output = await gitBytes(place, [...args, '--src-prefix=a/', '--dst-prefix=b/', 'HEAD']);
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(output);
  } catch (cause) {
    throw failUsage(
      'the changes of tracked files are not UTF-8 text',
      'ClearML keeps the diff of a task as text: commit and push the changes instead.',
      cause,
    );
  }
}

/** Objects of a commit's tree, by `git ls-tree`. */
async function listObjects(place: Place, ...args: readonly string[]): Promise<TreeEntry[] | undefined> {
  const output = await tryGit(place, 'ls-tree', '-z', '--full-tree', ...args);
  return output
    ?.split('\0')
    .filter((line) => line !== '')
    .map((line) => {
      const [, mode = '', objectId = '', path = ''] = /^(\S+) \S+ (\S+)\t(.*)$/s.exec(line) ?? [];
      return { mode, objectId, path };
    });
}

/** What git prints, without the last line end. */
async function git(place: Place, ...args: readonly string[]): Promise<string> {
  return (await gitBytes(place, args)).toString('utf8').replace(/\r?\n$/, '');
}

/** Git since 2.35.3, and Ubuntu's 2.34. */
const DISTRUST = /dubious ownership|unsafe repository/;
const DISTRUSTED = 'git does not trust the folder, because somebody else owns it';
const TRUST_IT = 'Trust it with git config --global --add safe.directory "$PWD"';

/** What git says of a commit that it can't read. Without a checkout, or git, there is nothing to explain. */
async function explainUnreadable(place: Place, commit: string): Promise<string | undefined> {
  if (place.isOutside) return undefined;
  const unreadable = `commit ${commit.slice(0, 10)} cannot be read here`;
  try {
    await git(place, 'rev-parse', '--show-toplevel');
    return `${unreadable}: check it out before this step (actions/checkout with ref, or fetch-depth: 0)`;
  } catch (error) {
    place.signal.throwIfAborted();
    const { message } = error as Error;
    return message === DISTRUSTED ? `${unreadable}: ${DISTRUSTED}. ${TRUST_IT}` : undefined;
  }
}

/** Without promisify: the import of node:util takes a tenth of a start. */
function gitBytes({ cwd, signal }: Place, args: readonly string[]): Promise<Buffer> {
  // --no-optional-locks: reading must not refresh the index.
  const options = { cwd, signal, maxBuffer: MAX_OUTPUT_BYTES, encoding: 'buffer' } as const;
  return new Promise((resolve, reject) => {
    execFile('git', ['--no-optional-locks', ...args], options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else if (signal.aborted) reject(signal.reason);
      else reject(explainGitError(error, stderr, args));
    });
  });
}

/** As `git`; undefined where git fails. */
async function tryGit(place: Place, ...args: readonly string[]): Promise<string | undefined> {
  if (place.isOutside) return undefined;
  try {
    return await git(place, ...args);
  } catch (error) {
    place.signal.throwIfAborted();
    if (/not a git repository/.test((error as Error).message)) place.isOutside = true;
    return undefined;
  }
}

function explainGitError(error: ExecFileException, stderr: Buffer, args: readonly string[]): Failure {
  const { code } = error;
  const message = toSingleLine(stderr.toString('utf8'));
  const [what, remedy] =
    code === 'ENOENT'
      ? ['git is not installed, or the working directory does not exist', 'Install git']
      : DISTRUST.test(message)
        ? [DISTRUSTED, TRUST_IT]
        : args[0] === 'rev-parse' && code === 128
          ? [`the working directory is not in a git checkout (${message})`, 'Run this inside a checkout']
          : [
              `git ${args[0] ?? ''} failed: ${message || String(code)}`,
              'Check whether git works in this folder',
            ];
  return failUsage(what, `${remedy}, or give repository URL, branch and commit as arguments.`, error);
}

/** The URL of a remote. An agent on this machine can also clone a path, given as a file URL. */
function toCloneUrl(remote: string, root: string): string {
  const isPath = remote.startsWith('/') || remote.startsWith('./') || remote.startsWith('../');
  return isPath ? pathToFileURL(resolve(root, remote)).href : remote;
}

/** Reads the checkout that `cwd` is in. `findRoot` gives its top folder; undefined without a checkout or git. */
export function createCheckoutReader(
  cwd: string,
  signal: AbortSignal,
): CheckoutReader & { findRoot(): Promise<string | undefined> } {
  const place = { cwd, signal };
  return {
    findRoot: () => tryGit(place, 'rev-parse', '--show-toplevel'),
    readCheckout: () => readCheckout(place),
    readTreeId: (commit) => tryGit(place, 'rev-parse', '--verify', '--quiet', `${commit}^{tree}`),
    listTree: (commit) => listObjects(place, '-r', commit),
    explainUnreadable: (commit) => explainUnreadable(place, commit),
    readPath(commit, path) {
      const parts = path.split('/');
      const prefixes = parts.map((_, index) => parts.slice(0, index + 1).join('/'));
      return listObjects(place, '-t', commit, '--', ...prefixes);
    },
  };
}
