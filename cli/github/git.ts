import { type ExecFileException, execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { EXIT_CODES, Failure } from '../shell/failure.ts';
import { toSingleLine } from '../text/single-line.ts';

/** A checkout as git sees it. */
export interface Checkout {
  /** Absolute path of its top folder. */
  readonly root: string;
  /** URL to clone from, as configured: it may hold credentials. */
  readonly cloneUrl: string;
  readonly commit: string;
  /** Branch of the remote that holds the commit; undefined where no remote branch known here does. */
  readonly pushedBranch: string | undefined;
  /** Name of the branch that is checked out; undefined where none is. */
  readonly branch: string | undefined;
  /** Changes to tracked files against the commit, as ClearML's SDK takes them; empty for none. */
  readonly diff: string;
  /** How many files git does not track and does not ignore. */
  readonly untrackedFiles: number;
}

/** An object of a commit's tree. */
export interface TreeEntry {
  readonly mode: string;
  readonly objectId: string;
  /** From the repository's root, with forward slashes. */
  readonly path: string;
}

/** Reads of the local checkout; each is made only where it is needed. */
export interface CheckoutReader {
  /** @throws Failure (usage) where there is no usable checkout */
  readCheckout(): Promise<Checkout>;
  /** undefined where the commit is not in the local checkout, or there is none */
  readTreeId(commit: string): Promise<string | undefined>;
  listTree(commit: string): Promise<readonly TreeEntry[] | undefined>;
  /** The folders on the way to a path, and what is there, as far as there is something; undefined as above. */
  readPath(commit: string, path: string): Promise<readonly TreeEntry[] | undefined>;
}

/** Diffs and trees of large repositories; what is larger is no training code. */
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

/** Where git runs, and until when. */
interface Place {
  readonly cwd: string;
  /** Ends a git that is under way: then its reason is thrown, by every read. */
  readonly signal: AbortSignal;
}

/** The top folder of the checkout that `cwd` is in; undefined where it is in none (or git is missing). */
async function askForCheckoutRoot(place: Place): Promise<string | undefined> {
  return (await tryGit(place, ['rev-parse', '--show-toplevel']))?.replace(/\r?\n$/, '');
}

/**
 * Reads the checkout that `cwd` is in.
 *
 * @throws Failure (usage) where there is none, it has no commit or no remote, or git is missing; the signal's reason
 */
async function readCheckout(place: Place): Promise<Checkout> {
  const root = (await git(place, ['rev-parse', '--show-toplevel'])).trim();
  const commit = (await tryGit(place, ['rev-parse', '--verify', '--quiet', 'HEAD^{commit}']))?.trim();
  if (commit === undefined) {
    throw new Failure('the checkout has no commit yet', {
      exitCode: EXIT_CODES.usage,
      remedy: 'An agent trains what it can clone: commit your work and push it.',
    });
  }
  const branch = (await tryGit(place, ['symbolic-ref', '--quiet', '--short', 'HEAD']))?.trim();
  const remotes = (await git(place, ['remote'])).split('\n').filter((name) => name !== '');
  const upstream =
    branch === undefined
      ? undefined
      : (await tryGit(place, ['config', '--get', `branch.${branch}.remote`]))?.trim();
  const preferred = [...new Set([upstream, 'origin', ...remotes])].filter(
    (name) => name !== undefined && remotes.includes(name),
  );
  if (preferred.length === 0) {
    throw new Failure('the checkout has no remote', {
      exitCode: EXIT_CODES.usage,
      remedy:
        'An agent clones the code from somewhere: add a remote (git remote add origin URL), push to it, and run this again.',
    });
  }
  const [holders, diff, status] = await Promise.all([
    git(place, ['for-each-ref', '--contains', commit, '--format=%(refname)', 'refs/remotes']),
    readDiff({ ...place, cwd: root }),
    git({ ...place, cwd: root }, ['status', '--porcelain', '--untracked-files=normal']),
  ]);
  const pushed = preferred
    .map((remote) => ({ remote, branch: choosePushedBranch(holders.split('\n'), remote ?? '', branch) }))
    .find((candidate) => candidate.branch !== undefined);
  const remote = pushed?.remote ?? preferred[0] ?? 'origin';
  return {
    root,
    cloneUrl: toCloneUrl((await git(place, ['remote', 'get-url', remote])).trim(), root),
    commit,
    branch,
    pushedBranch: pushed?.branch,
    diff,
    untrackedFiles: status.split('\n').filter((line) => line.startsWith('??')).length,
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
 * Changes to tracked files in a form that `git apply` takes, whatever this user's git is set to.
 *
 * @throws Failure (usage) where they are no text: ClearML keeps them as one
 */
async function readDiff(place: Place): Promise<string> {
  const args = ['diff', '--submodule=diff', '--binary', '--no-color', '--no-ext-diff', '--no-textconv'];
  const output = await gitBytes(place, [...args, '--src-prefix=a/', '--dst-prefix=b/', 'HEAD']);
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(output);
  } catch (cause) {
    throw new Failure('the changes of tracked files are not UTF-8 text', {
      exitCode: EXIT_CODES.usage,
      remedy: 'ClearML keeps a task’s diff as text: commit and push them instead.',
      cause,
    });
  }
}

/** The commit's git tree; undefined where the commit is not in this checkout. */
async function readTreeId(place: Place, commit: string): Promise<string | undefined> {
  return (await tryGit(place, ['rev-parse', '--verify', '--quiet', `${commit}^{tree}`]))?.trim();
}

/** Every file and submodule of the commit; undefined where the commit is not in this checkout. */
async function listTree(place: Place, commit: string): Promise<TreeEntry[] | undefined> {
  const output = await tryGit(place, ['ls-tree', '-r', '-z', '--full-tree', commit]);
  return output === undefined ? undefined : parseTree(output);
}

/** What the commit has on the way to a path; undefined where the commit is not in this checkout. */
async function readPath(place: Place, commit: string, path: string): Promise<TreeEntry[] | undefined> {
  const parts = path.split('/');
  const prefixes = parts.map((_, index) => parts.slice(0, index + 1).join('/'));
  const output = await tryGit(place, ['ls-tree', '-t', '-z', '--full-tree', commit, '--', ...prefixes]);
  return output === undefined ? undefined : parseTree(output);
}

function parseTree(output: string): TreeEntry[] {
  return output
    .split('\0')
    .filter((line) => line !== '')
    .map((line) => {
      const [head = '', path = ''] = splitOnce(line, '\t');
      const [mode = '', , objectId = ''] = head.split(' ');
      return { mode, objectId, path };
    });
}

async function git(place: Place, args: readonly string[]): Promise<string> {
  return (await gitBytes(place, args)).toString('utf8');
}

/** Without node:util, of which an import loads all that it has, threads among it: a tenth of a start. */
function gitBytes({ cwd, signal }: Place, args: readonly string[]): Promise<Buffer> {
  // Reading must not write: no refreshed index.
  const options = { cwd, signal, maxBuffer: MAX_OUTPUT_BYTES, encoding: 'buffer' } as const;
  return new Promise((resolve, reject) => {
    execFile('git', ['--no-optional-locks', ...args], options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else if (signal.aborted) reject(signal.reason);
      else reject(explainGitError(error, stderr, args));
    });
  });
}

async function tryGit(place: Place, args: readonly string[]): Promise<string | undefined> {
  try {
    return await git(place, args);
  } catch {
    place.signal.throwIfAborted();
    return undefined;
  }
}

function explainGitError(error: ExecFileException, stderr: Buffer, args: readonly string[]): Failure {
  const { code } = error;
  const message = toSingleLine(stderr.toString('utf8'));
  if (code === 'ENOENT') {
    return new Failure('git is not installed, or the working directory does not exist', {
      exitCode: EXIT_CODES.usage,
      remedy: 'Install git, or give repository URL, branch and commit as arguments.',
      cause: error,
    });
  }
  if (args[0] === 'rev-parse' && code === 128) {
    return new Failure(`the working directory is in no git checkout (${message})`, {
      exitCode: EXIT_CODES.usage,
      remedy: 'Run this inside a checkout, or give repository URL, branch and commit as arguments.',
      cause: error,
    });
  }
  return new Failure(`git ${args[0] ?? ''} failed: ${message || String(code)}`, {
    exitCode: EXIT_CODES.usage,
    remedy: 'Look whether git works in this folder, or give repository URL, branch and commit as arguments.',
    cause: error,
  });
}

/** A remote may be a path; an agent on this machine can clone it as a URL. */
function toCloneUrl(remote: string, root: string): string {
  const isPath = remote.startsWith('/') || remote.startsWith('./') || remote.startsWith('../');
  return isPath ? pathToFileURL(resolve(root, remote)).href : remote;
}

function splitOnce(text: string, separator: string): [string, string] {
  const index = text.indexOf(separator);
  return index < 0 ? [text, ''] : [text.slice(0, index), text.slice(index + separator.length)];
}

/** Reads of the checkout that `cwd` is in, each made when it is asked for; the signal ends those under way. */
export function createCheckoutReader(
  cwd: string,
  signal: AbortSignal,
): CheckoutReader & { findRoot(): Promise<string | undefined> } {
  const place = { cwd, signal };
  return {
    findRoot: () => askForCheckoutRoot(place),
    readCheckout: () => readCheckout(place),
    readTreeId: (commit) => readTreeId(place, commit),
    listTree: (commit) => listTree(place, commit),
    readPath: (commit, path) => readPath(place, commit, path),
  };
}
