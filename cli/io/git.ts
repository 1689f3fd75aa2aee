import { execFile } from 'node:child_process';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import type { Checkout, CheckoutReader, TreeEntry } from '../core/code.ts';
import { EXIT_CODES } from '../core/exit-code.ts';
import { Failure } from '../core/failure.ts';
import { toSingleLine } from '../core/single-line.ts';

const runFile = promisify(execFile);

/** Diffs and trees of large repositories; what is larger is no training code. */
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

/** The top folder of the checkout that `cwd` is in; undefined where it is in none (or git is missing). */
export async function findCheckoutRoot(cwd: string): Promise<string | undefined> {
  return (await tryGit(cwd, ['rev-parse', '--show-toplevel']))?.replace(/\r?\n$/, '');
}

/**
 * Reads the checkout that `cwd` is in.
 *
 * @throws Failure (usage) where there is none, it has no commit or no remote, or git is missing
 */
export async function readCheckout(cwd: string): Promise<Checkout> {
  const root = (await git(cwd, ['rev-parse', '--show-toplevel'])).trim();
  const commit = (await tryGit(cwd, ['rev-parse', '--verify', '--quiet', 'HEAD^{commit}']))?.trim();
  if (commit === undefined) {
    throw new Failure('the checkout has no commit yet', {
      exitCode: EXIT_CODES.usage,
      remedy: 'An agent trains what it can clone: commit your work and push it.',
    });
  }
  const branch = (await tryGit(cwd, ['symbolic-ref', '--quiet', '--short', 'HEAD']))?.trim();
  const remotes = (await git(cwd, ['remote'])).split('\n').filter((name) => name !== '');
  const upstream =
    branch === undefined
      ? undefined
      : (await tryGit(cwd, ['config', '--get', `branch.${branch}.remote`]))?.trim();
  const remote = [upstream, 'origin', remotes[0]].find(
    (name) => name !== undefined && remotes.includes(name),
  );
  if (remote === undefined) {
    throw new Failure('the checkout has no remote', {
      exitCode: EXIT_CODES.usage,
      remedy:
        'An agent clones the code from somewhere: add a remote (git remote add origin URL), push to it, and run this again.',
    });
  }
  const [url, holders, diff, status] = await Promise.all([
    git(cwd, ['remote', 'get-url', remote]),
    git(cwd, [
      'for-each-ref',
      '--contains',
      commit,
      '--format=%(refname:lstrip=3)',
      `refs/remotes/${remote}`,
    ]),
    git(root, ['diff', '--submodule=diff', '--no-color', '--no-ext-diff', 'HEAD']),
    git(root, ['status', '--porcelain', '--untracked-files=normal']),
  ]);
  const pushed = holders.split('\n').filter((name) => name !== '' && name !== 'HEAD');
  return {
    root,
    cloneUrl: toCloneUrl(url.trim()),
    commit,
    branch,
    pushedBranch: branch !== undefined && pushed.includes(branch) ? branch : pushed[0],
    diff,
    untrackedFiles: status.split('\n').filter((line) => line.startsWith('??')).length,
  };
}

/** The commit's git tree; undefined where the commit is not in this checkout. */
export async function readTreeId(cwd: string, commit: string): Promise<string | undefined> {
  return (await tryGit(cwd, ['rev-parse', '--verify', '--quiet', `${commit}^{tree}`]))?.trim();
}

/** Every file and submodule of the commit; undefined where the commit is not in this checkout. */
export async function listTree(cwd: string, commit: string): Promise<TreeEntry[] | undefined> {
  const output = await tryGit(cwd, ['ls-tree', '-r', '-z', '--full-tree', commit]);
  return output
    ?.split('\0')
    .filter((line) => line !== '')
    .map((line) => {
      const [head = '', path = ''] = splitOnce(line, '\t');
      const [mode = '', , objectId = ''] = head.split(' ');
      return { mode, objectId, path };
    });
}

async function git(cwd: string, args: readonly string[]): Promise<string> {
  try {
    // Reading must not write: no refreshed index.
    const { stdout } = await runFile('git', ['--no-optional-locks', ...args], {
      cwd,
      maxBuffer: MAX_OUTPUT_BYTES,
    });
    return stdout;
  } catch (cause) {
    throw explainGitError(cause, args);
  }
}

async function tryGit(cwd: string, args: readonly string[]): Promise<string | undefined> {
  try {
    return await git(cwd, args);
  } catch {
    return undefined;
  }
}

function explainGitError(error: unknown, args: readonly string[]): Failure {
  const { code, stderr } = error as { code?: unknown; stderr?: unknown };
  const message = toSingleLine(typeof stderr === 'string' ? stderr : '');
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

/** A remote may be a plain path; an agent on this machine can clone it as a URL. */
function toCloneUrl(remote: string): string {
  return remote.startsWith('/') ? pathToFileURL(remote).href : remote;
}

function splitOnce(text: string, separator: string): [string, string] {
  const index = text.indexOf(separator);
  return index < 0 ? [text, ''] : [text.slice(0, index), text.slice(index + separator.length)];
}

/** Reads of the checkout that `cwd` is in, each made when it is asked for. */
export function createCheckoutReader(
  cwd: string,
): CheckoutReader & { findRoot(): Promise<string | undefined> } {
  return {
    findRoot: () => findCheckoutRoot(cwd),
    readCheckout: () => readCheckout(cwd),
    readTreeId: (commit) => readTreeId(cwd, commit),
    listTree: (commit) => listTree(cwd, commit),
  };
}
