import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { EXIT_CODES } from '../core/exit-code.ts';
import { Failure } from '../core/failure.ts';
import { toSingleLine } from '../core/single-line.ts';

/** A scratch clone of the checkout, in which the demo commits the states it needs. The checkout itself is not touched. */
export interface DemoRepository {
  readonly directory: string;
  /** What an agent clones. */
  readonly cloneUrl: string;
  readonly baseCommit: string;
  /** Commits, on the pull request's branch, train_model.py with the given default of an argument; gives the commit. */
  commitDefault(argument: string, value: number, message: string): string;
  remove(): void;
}

export const BASE_BRANCH = 'main';
export const PULL_REQUEST_BRANCH = 'tune-training';

/**
 * Clones the checkout's HEAD into a temporary directory, as branch `main`.
 *
 * @throws Failure where the checkout is no git repository or has no commit
 */
export function createDemoRepository(checkout: string): DemoRepository {
  let root: string;
  try {
    root = git(checkout, 'rev-parse', '--show-toplevel');
    git(checkout, 'rev-parse', '--verify', 'HEAD^{commit}');
  } catch (cause) {
    const { stderr } = cause as { stderr?: unknown };
    const reason = toSingleLine(typeof stderr === 'string' ? stderr : '');
    throw new Failure(`this folder is no git checkout with a commit${reason === '' ? '' : ` (${reason})`}`, {
      exitCode: EXIT_CODES.usage,
      remedy:
        'The demo clones what is committed here: run it in a clone (git clone …), or commit first (git init && git add -A && git commit).',
      cause,
    });
  }
  const directory = mkdtempSync(join(tmpdir(), 'clearml-ci-demo-'));
  try {
    git(directory, 'init', '--quiet', `--initial-branch=${BASE_BRANCH}`);
    // A fetch by path takes shallow and detached checkouts as they are.
    git(directory, 'fetch', '--quiet', '--update-shallow', root, 'HEAD');
    git(directory, 'reset', '--quiet', '--hard', 'FETCH_HEAD');
    readFileSync(join(directory, 'train_model.py'));
  } catch (cause) {
    rmSync(directory, { recursive: true, force: true });
    throw new Failure('the checkout could not be cloned, or it has no train_model.py at its root', {
      exitCode: EXIT_CODES.usage,
      remedy: 'Run the demo in a clone of this project of its own, not in a folder of another repository.',
      cause,
    });
  }
  const baseCommit = git(directory, 'rev-parse', 'HEAD');
  git(directory, 'checkout', '--quiet', '-b', PULL_REQUEST_BRANCH);
  return {
    directory,
    cloneUrl: pathToFileURL(directory).href,
    baseCommit,
    commitDefault(argument, value, message) {
      const file = join(directory, 'train_model.py');
      const text = readFileSync(file, 'utf8');
      const changed = text.replace(new RegExp(`("--${argument}".*\\bdefault=)[\\d.e-]+`), `$1${value}`);
      if (changed === text)
        throw new Error(`train_model.py has no argument --${argument} whose default is not ${value}`);
      writeFileSync(file, changed);
      git(directory, 'commit', '--quiet', '--all', '-m', message);
      return git(directory, 'rev-parse', 'HEAD');
    },
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
}

/** How many files of the checkout have changes that are in no commit, and so not in the demo. */
export function countUncommittedFiles(checkout: string): number {
  return git(checkout, 'status', '--porcelain')
    .split('\n')
    .filter((line) => line !== '').length;
}

function git(directory: string, ...args: string[]): string {
  const identity = [
    '-c',
    'user.name=Demo',
    '-c',
    'user.email=demo@example.com',
    '-c',
    'commit.gpgsign=false',
  ];
  return execFileSync('git', [...identity, ...args], {
    cwd: directory,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  }).trim();
}
